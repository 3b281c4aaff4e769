//! Progress to stored bytes and back.

use std::time::Duration;

use prost::Message;

use super::{damaged, optional_word};
use crate::clock::Timestamp;
use crate::domain::blocker::{Blocker, Blockers};
use crate::domain::ids::{SubtaskId, TaskId};
use crate::proto::store_v1 as stored;
use crate::store::{Progress, StoreError};

pub fn progress_to_bytes(progress: &Progress) -> Vec<u8> {
    let blocker = |blocker: &Blocker| stored::Blocker {
        tenant_id: blocker.tenant_id,
        tenant_name: blocker.tenant_name.clone(),
        log_stream: blocker.log_stream,
        server: blocker.server.map(|server| server.to_string()).unwrap_or_default(),
        reason: blocker.reason.clone(),
    };
    let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    let blockers = &progress.blockers;
    stored::Progress {
        message: progress.message.clone(),
        done: progress.done,
        total: progress.total,
        at_us: progress.at.as_micros(),
        deadline_us: progress.deadline.as_micros(),
        stalled_since_us: progress.stalled_since.as_micros(),
        remaining_us: progress.remaining.map(micros),
        blockers: blockers.named().iter().map(blocker).collect(),
        blocker_count: i64::try_from(blockers.count()).unwrap_or(i64::MAX),
    }
    .encode_to_vec()
}

pub fn progress_from_bytes(task: TaskId, subtask: SubtaskId, bytes: &[u8]) -> Result<Progress, StoreError> {
    let stored::Progress {
        message,
        done,
        total,
        at_us,
        deadline_us,
        stalled_since_us,
        remaining_us,
        blockers,
        blocker_count,
    } = stored::Progress::decode(bytes).map_err(|error| damaged(format!("progress does not decode, {error}")))?;
    let blocker = |blocker: stored::Blocker| {
        Ok(Blocker {
            tenant_id: blocker.tenant_id,
            tenant_name: blocker.tenant_name,
            log_stream: blocker.log_stream,
            server: optional_word("blocker", &blocker.server)?,
            reason: blocker.reason,
        })
    };
    let named = blockers.into_iter().map(blocker).collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Progress {
        task,
        subtask,
        message,
        done,
        total,
        at: Timestamp::from_micros(at_us),
        deadline: Timestamp::from_micros(deadline_us),
        stalled_since: Timestamp::from_micros(stalled_since_us),
        remaining: remaining_us.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or_default())),
        blockers: Blockers::of_named(named, usize::try_from(blocker_count).unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_as_it_was_written() {
        let (task, subtask) = (TaskId::new(7).unwrap(), SubtaskId::new(8).unwrap());
        let at = Timestamp::from_micros;
        let blocker = Blocker::log_stream(1002, 1001, "has no other replica in sync");
        let blockers: Blockers = std::iter::repeat_n(blocker.on("10.0.0.2:2882".parse().unwrap()), 30).collect();
        let progress = Progress {
            task,
            subtask,
            message: "17 of 40 leaders".to_owned(),
            done: 17,
            total: 40,
            at: at(1),
            deadline: at(2),
            stalled_since: at(3),
            remaining: Some(Duration::from_secs(4)),
            blockers,
        };
        assert_eq!(progress_from_bytes(task, subtask, &progress_to_bytes(&progress)).unwrap(), progress);
        let uncounted = Progress { remaining: None, blockers: Blockers::default(), ..progress };
        assert_eq!(progress_from_bytes(task, subtask, &progress_to_bytes(&uncounted)).unwrap(), uncounted);
    }
}
