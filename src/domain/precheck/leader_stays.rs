//! Why the leader of a log stream is still on a server that it should have left, for people: nothing decides by it.

use std::collections::BTreeSet;

use super::log_streams::{is_in_sync, valid_servers};
use crate::domain::ids::ServerAddr;
use crate::domain::reading::{LogReplica, LogStreamReading, ServerReading, ZoneReading};

/// A log stream that is led from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LedFrom {
    pub tenant_id: i64,
    pub ls_id: i64,
    pub addr: ServerAddr,
}

/// What is said of a leader before more was looked at.
pub const HAS_NOT_LEFT: &str = "has not handed its leader over";

/// Why the leader does not leave the servers that are stopped.
pub fn why_leader_stays(
    log_stream: &LogStreamReading,
    servers: &[ServerReading],
    zones: &[ZoneReading],
    stopped: &BTreeSet<ServerAddr>,
) -> String {
    let Some(leader) = log_stream.leader() else { return "has no leader".to_owned() };
    let members = match &leader.member_list {
        Ok(members) => members,
        Err(why) => return format!("does not tell its members: {why}"),
    };
    let others: BTreeSet<&ServerAddr> = members.iter().filter(|member| !stopped.contains(member)).collect();
    if others.is_empty() {
        return "has no other replica".to_owned();
    }
    let valid = valid_servers(servers, zones, stopped);
    let serving: BTreeSet<&ServerAddr> = others.into_iter().filter(|member| valid.contains(member)).collect();
    if serving.is_empty() {
        return "has no other replica on a server in service".to_owned();
    }
    let reporting: Vec<&LogReplica> =
        log_stream.replicas.iter().filter(|replica| serving.contains(&replica.addr)).collect();
    if reporting.is_empty() {
        return "has no other replica that reports".to_owned();
    }
    match reporting.iter().find(|replica| is_in_sync(leader, replica)) {
        Some(replica) => format!("{HAS_NOT_LEFT}, {} is in sync", replica.addr),
        None => "has no other replica in sync".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::precheck::LOG_IN_SYNC_INTERVAL_NS;
    use crate::domain::reading::{ClusterReading, Unreadable, sample};
    use crate::domain::status::ZoneInnerStatus;

    fn why(change: impl FnOnce(&mut ClusterReading)) -> String {
        let mut reading = sample::cluster(3);
        change(&mut reading);
        let stopped = BTreeSet::from([sample::addr(1)]);
        why_leader_stays(&reading.log_streams[3], &reading.servers, &reading.zones, &stopped)
    }

    fn members(reading: &mut ClusterReading, members: Result<Vec<ServerAddr>, Unreadable>) {
        reading.log_streams[3].replicas[0].member_list = members;
    }

    #[test]
    fn a_leader_that_stays_says_why() {
        let addr = sample::addr;
        assert_eq!(why(|_| {}), "has not handed its leader over, 127.0.1.2:2882 is in sync");
        let behind = |reading: &mut ClusterReading, index: usize| {
            let replica = &mut reading.log_streams[3].replicas[index];
            replica.end_scn = replica.end_scn.clone().map(|scn| scn - LOG_IN_SYNC_INTERVAL_NS - 1);
        };
        assert_eq!(why(|reading| behind(reading, 1)), "has not handed its leader over, 127.0.1.3:2882 is in sync");
        let all_behind = |reading: &mut ClusterReading| {
            behind(reading, 1);
            behind(reading, 2);
        };
        assert_eq!(why(all_behind), "has no other replica in sync");
        assert_eq!(why(|reading| members(reading, Ok(vec![addr(1)]))), "has no other replica");
        let out_of_service = |reading: &mut ClusterReading| {
            reading.servers[1].stop_time = Some(sample::NOW);
            reading.zones[2].status = ZoneInnerStatus::Inactive;
        };
        assert_eq!(why(out_of_service), "has no other replica on a server in service");
        let silent = |reading: &mut ClusterReading| reading.log_streams[3].replicas.truncate(1);
        assert_eq!(why(silent), "has no other replica that reports");
        let unknown = |reading: &mut ClusterReading| members(reading, Err(Unreadable::new("NULL")));
        assert_eq!(why(unknown), "does not tell its members: NULL");
        assert_eq!(why(|reading| reading.log_streams[3].replicas.clear()), "has no leader");
    }
}
