//! Progress of a MINOR FREEZE, by the checkpoints of a server's log streams: what a checkpoint has passed is on disk, and is
//! not replayed when the server comes back. Pure.
//!
//! A freeze is done when every checkpoint has passed the moment at which it was requested. That moment is measured on each log
//! stream's own clock, the newest log that its replica has applied: the clocks of tenants differ (a standby's is behind), and
//! ours may be wrong by as much.

use std::fmt;
use std::time::Duration;

use crate::domain::reading::Fact;

/// One log stream's replica on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub tenant_id: i64,
    pub ls_id: i64,
    /// `Err`: the server does not report it.
    pub position: Fact<Position>,
}

/// SCNs, in nanoseconds of the tenant's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// `checkpoint_scn`: everything up to it is on disk.
    pub checkpoint_scn: u64,
    /// `weak_read_scn`: everything up to it is applied.
    pub applied_scn: u64,
}

impl Position {
    /// Whether everything applied up to `ago` before the newest log is on disk.
    fn has_passed(&self, ago: Duration) -> bool {
        let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
        is_known(self.checkpoint_scn)
            && is_known(self.applied_scn)
            && self.checkpoint_scn >= self.applied_scn.saturating_sub(ago)
    }
}

/// The kernel writes a number that is not set as 0, 1 or the largest.
const fn is_known(scn: u64) -> bool {
    scn > 1 && scn < u64::MAX
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeProgress {
    /// Log streams whose checkpoint has passed the freeze.
    pub beyond: usize,
    pub total: usize,
    /// The first log stream that has not passed it, with the reason if its position is not known.
    pub behind: Option<String>,
}

impl FreezeProgress {
    /// Of a freeze that was requested `ago` before the reading.
    pub fn of(replicas: &[Replica], ago: Duration) -> Self {
        let passed = |replica: &&Replica| replica.position.as_ref().is_ok_and(|position| position.has_passed(ago));
        let behind = replicas.iter().find(|replica| !passed(replica)).map(|replica| {
            let why = replica.position.as_ref().err().map(|why| format!(": {why}")).unwrap_or_default();
            format!("log stream {} of tenant {} has not{why}", replica.ls_id, replica.tenant_id)
        });
        Self { beyond: replicas.iter().filter(passed).count(), total: replicas.len(), behind }
    }

    pub const fn is_done(&self) -> bool {
        self.behind.is_none()
    }
}

impl fmt::Display for FreezeProgress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} log streams have their checkpoint beyond the freeze", self.beyond, self.total)?;
        match &self.behind {
            Some(behind) => write!(formatter, " ({behind})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::Unreadable;

    const SECOND: u64 = 1_000_000_000;

    fn replica(ls_id: i64, position: Fact<(u64, u64)>) -> Replica {
        let position = position.map(|(checkpoint_scn, applied_scn)| Position { checkpoint_scn, applied_scn });
        Replica { tenant_id: 1002, ls_id, position }
    }

    #[test]
    fn every_checkpoint_counts_on_its_own_clock() {
        // Requested 10 s ago; the second tenant's clock is an hour behind.
        let (now, standby) = (100_000 * SECOND, 96_400 * SECOND);
        let ago = Duration::from_secs(10);
        let done = vec![
            replica(1, Ok((now - 10 * SECOND, now))),
            replica(1001, Ok((now, now))),
            replica(1002, Ok((standby - 9 * SECOND, standby))),
        ];
        let progress = FreezeProgress::of(&done, ago);
        assert!(progress.is_done());
        assert_eq!(progress.to_string(), "3 of 3 log streams have their checkpoint beyond the freeze");
        let behind = [
            replica(1003, Ok((now - 10 * SECOND - 1, now))),
            replica(1003, Ok((now, u64::MAX))),
            replica(1003, Ok((now, 1))),
            replica(1003, Ok((u64::MAX, now))),
            replica(1003, Err(Unreadable::new("not shown"))),
        ];
        for one in behind {
            let progress = FreezeProgress::of(&[done.clone(), vec![one.clone()]].concat(), ago);
            assert!(!progress.is_done(), "{one:?}");
            let why = if one.position.is_err() { ": not shown" } else { "" };
            assert_eq!(
                progress.to_string(),
                format!(
                    "3 of 4 log streams have their checkpoint beyond the freeze (log stream 1003 of tenant 1002 has not{why})"
                )
            );
        }
    }
}
