//! Whether the replicas of a server have caught up with their leaders, because only then may another zone be stopped. Pure.

use std::fmt;

use crate::domain::blocker::{Blocker, Blockers};
use crate::domain::ids::ServerAddr;
use crate::domain::precheck::LOG_IN_SYNC_INTERVAL_NS;
use crate::domain::reading::LogStreamReading;

/// How many replicas of a server are within 5 s of their leader (docs/oceanbase.md#logs-in-sync).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatchUp {
    pub in_sync: usize,
    /// All that it should have: log streams whose member list contains it.
    pub total: usize,
    /// Those that are not in sync.
    pub behind: Blockers,
}

/// How many of those that are behind are named.
const NAMED: usize = 3;

impl CatchUp {
    /// What is not known of a replica counts as behind.
    pub fn of(log_streams: &[LogStreamReading], addr: &ServerAddr) -> Self {
        let mut catch_up = Self { in_sync: 0, total: 0, behind: Blockers::default() };
        let name = |catch_up: &mut Self, of: &LogStreamReading, what: &str| {
            catch_up.behind.extend([Blocker::log_stream(of.tenant_id, of.ls_id, what).on(*addr)]);
        };
        for log_stream in log_streams {
            let Some(leader) = log_stream.leader() else {
                catch_up.total += 1;
                name(&mut catch_up, log_stream, "has no leader");
                continue;
            };
            let member = leader.member_list.as_ref().is_ok_and(|members| members.contains(addr));
            if !member {
                continue;
            }
            catch_up.total += 1;
            let own = log_stream.replicas.iter().find(|replica| replica.addr == *addr);
            match own.map(|own| (&leader.end_scn, &own.end_scn)) {
                Some((Ok(leader), Ok(own))) if leader.saturating_sub(*own) <= LOG_IN_SYNC_INTERVAL_NS => {
                    catch_up.in_sync += 1;
                }
                Some((Ok(_), Ok(_))) => name(&mut catch_up, log_stream, "is more than 5 s behind its leader"),
                Some(_) => name(&mut catch_up, log_stream, "does not tell how far it is"),
                None => name(&mut catch_up, log_stream, "does not report yet"),
            }
        }
        catch_up
    }

    pub const fn is_done(&self) -> bool {
        self.in_sync == self.total
    }
}

impl fmt::Display for CatchUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} replicas caught up", self.in_sync, self.total)?;
        let named = self.behind.named().iter().take(NAMED).filter_map(|blocker| {
            let (tenant_id, ls_id) = (blocker.tenant_id?, blocker.log_stream?);
            Some(format!("tenant {tenant_id} log stream {ls_id} {}", blocker.reason))
        });
        let named: Vec<String> = named.collect();
        if !named.is_empty() {
            write!(formatter, " ({})", named.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::sample;

    #[test]
    fn a_server_has_caught_up_when_every_replica_is_within_five_seconds() {
        let mut reading = sample::cluster(3);
        let addr = sample::addr(2);
        assert!(CatchUp::of(&reading.log_streams, &addr).is_done());
        let leader_scn = reading.log_streams[0].leader().unwrap().end_scn.clone().unwrap();
        reading.log_streams[0].replicas[1].end_scn = Ok(leader_scn - LOG_IN_SYNC_INTERVAL_NS - 1);
        reading.log_streams[1].replicas.retain(|replica| replica.addr != addr);
        let catch_up = CatchUp::of(&reading.log_streams, &addr);
        assert_eq!((catch_up.in_sync, catch_up.total), (reading.log_streams.len() - 2, reading.log_streams.len()));
        let words = catch_up.to_string();
        assert!(words.contains("more than 5 s behind its leader") && words.contains("does not report yet"), "{words}");
    }

    #[test]
    fn a_server_without_replicas_has_nothing_to_catch_up() {
        let reading = sample::cluster(3);
        let catch_up = CatchUp::of(&reading.log_streams, &sample::addr(9));
        assert_eq!((catch_up.total, catch_up.is_done()), (0, true));
    }
}
