//! Progress of a MINOR FREEZE, by the checkpoints of a server's log streams: what a checkpoint has passed is on disk, and is
//! not replayed when the server comes back. Pure.
//!
//! A freeze is done when every checkpoint has passed what was applied when it was requested, log stream by log stream. No clock
//! of ours takes part, which may be set meanwhile, and no tenant's that is another's (a standby's is behind).

use std::fmt;

use crate::domain::blocker::{Blocker, Blockers};
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
    fn has_passed(&self, scn: u64) -> bool {
        is_known(self.checkpoint_scn) && self.checkpoint_scn >= scn
    }
}

/// How far every log stream of a server was applied when it was to be frozen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedLogs(pub Vec<AppliedLog>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppliedLog {
    pub tenant_id: i64,
    pub ls_id: i64,
    /// In nanoseconds of the tenant's clock.
    pub scn: u64,
}

impl AppliedLogs {
    /// `Err`: the first log stream of which it is not known, and why.
    pub fn of(replicas: &[Replica]) -> Result<Self, String> {
        let applied = |replica: &Replica| {
            let Replica { tenant_id, ls_id, ref position } = *replica;
            let named =
                |why: &str| format!("log stream {ls_id} of tenant {tenant_id} does not show how far it is: {why}");
            match position {
                Ok(position) if is_known(position.applied_scn) => {
                    Ok(AppliedLog { tenant_id, ls_id, scn: position.applied_scn })
                }
                Ok(position) => Err(named(&format!("applied up to {}", position.applied_scn))),
                Err(why) => Err(named(&why.to_string())),
            }
        };
        replicas.iter().map(applied).collect::<Result<_, _>>().map(Self)
    }

    /// 0 for a log stream that came later: there was nothing of it to freeze.
    fn scn(&self, of: &Replica) -> u64 {
        let same = |log: &&AppliedLog| (log.tenant_id, log.ls_id) == (of.tenant_id, of.ls_id);
        self.0.iter().find(same).map_or(0, |log| log.scn)
    }
}

impl fmt::Display for AppliedLogs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} log streams", self.0.len())
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
    /// All of them.
    pub blockers: Blockers,
}

impl FreezeProgress {
    /// Of a freeze that was requested when so much was applied; `None`: that is not known.
    pub fn of(replicas: &[Replica], requested: Option<&AppliedLogs>) -> Self {
        let passed = |replica: &&Replica| {
            let position = replica.position.as_ref();
            requested.is_some_and(|applied| position.is_ok_and(|position| position.has_passed(applied.scn(replica))))
        };
        let behind = replicas.iter().find(|replica| !passed(replica)).map(|replica| {
            let why = replica.position.as_ref().err().map(|why| format!(": {why}")).unwrap_or_default();
            format!("log stream {} of tenant {} has not{why}", replica.ls_id, replica.tenant_id)
        });
        let held = |replica: &Replica| {
            let reason = match &replica.position {
                Ok(_) => "has not written out what came before the freeze".to_owned(),
                Err(why) => format!("does not tell its checkpoint: {why}"),
            };
            Blocker::log_stream(replica.tenant_id, replica.ls_id, reason)
        };
        let blockers = replicas.iter().filter(|replica| !passed(replica)).map(held).collect();
        Self { beyond: replicas.iter().filter(passed).count(), total: replicas.len(), behind, blockers }
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
        // The second tenant's clock is an hour behind.
        let (then, standby) = (100_000 * SECOND, 96_400 * SECOND);
        let before = [replica(1, Ok((7, then))), replica(1001, Ok((7, then))), replica(1002, Ok((7, standby)))];
        let requested = AppliedLogs::of(&before).unwrap();
        // 1003 came later.
        let done = vec![
            replica(1, Ok((then, then + SECOND))),
            replica(1001, Ok((then + SECOND, then + SECOND))),
            replica(1002, Ok((standby, u64::MAX))),
            replica(1003, Ok((2, 3))),
        ];
        let progress = FreezeProgress::of(&done, Some(&requested));
        assert!(progress.is_done());
        assert_eq!(progress.to_string(), "4 of 4 log streams have their checkpoint beyond the freeze");
        assert_eq!(FreezeProgress::of(&done, None).beyond, 0);
        let behind = [
            replica(1001, Ok((then - 1, then + SECOND))),
            replica(1001, Ok((u64::MAX, then))),
            replica(1003, Ok((1, then))),
            replica(1001, Err(Unreadable::new("not shown"))),
        ];
        for one in behind {
            let mut now = done.clone();
            now.retain(|replica| replica.ls_id != one.ls_id);
            now.push(one.clone());
            let progress = FreezeProgress::of(&now, Some(&requested));
            assert!(!progress.is_done(), "{one:?}");
            let why = if one.position.is_err() { ": not shown" } else { "" };
            let (ls, words) = (one.ls_id, "log streams have their checkpoint beyond the freeze");
            assert_eq!(progress.to_string(), format!("3 of 4 {words} (log stream {ls} of tenant 1002 has not{why})"));
        }
    }

    #[test]
    fn a_freeze_begins_once_it_is_known_how_far_everything_is() {
        for one in
            [replica(1, Ok((7, 0))), replica(1, Ok((7, u64::MAX))), replica(1, Err(Unreadable::new("not shown")))]
        {
            let refused = AppliedLogs::of(&[replica(2, Ok((7, 8))), one]).unwrap_err();
            assert!(refused.starts_with("log stream 1 of tenant 1002 does not show how far it is: "), "{refused}");
        }
    }
}
