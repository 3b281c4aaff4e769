//! The last events as they were read: whoever follows the log here reads each of them once from the database, together.

use std::collections::VecDeque;

use crate::domain::event::StoredEvent;
use crate::domain::ids::Seq;

/// Events that are kept: a watcher that is further behind reads the log.
const LENGTH: usize = 4096;

/// Every event above `floor` up to `head`.
#[derive(Debug)]
pub(super) struct Ring {
    events: VecDeque<StoredEvent>,
    floor: Seq,
    head: Seq,
}

impl Ring {
    /// Empty, from this position on.
    pub(super) const fn new(floor: Seq) -> Self {
        Self { events: VecDeque::new(), floor, head: floor }
    }

    pub(super) const fn head(&self) -> Seq {
        self.head
    }

    /// Adds what follows the head.
    pub(super) fn extend(&mut self, events: Vec<StoredEvent>) {
        for event in events {
            self.head = event.seq;
            self.events.push_back(event);
        }
        while self.events.len() > LENGTH {
            if let Some(oldest) = self.events.pop_front() {
                self.floor = oldest.seq;
            }
        }
    }

    /// Events above a position, at most `limit`; `None`: they begin before what is kept.
    pub(super) fn after(&self, after: Seq, limit: u32) -> Option<Vec<StoredEvent>> {
        if after < self.floor {
            return None;
        }
        let first = self.events.partition_point(|event| event.seq <= after);
        Some(self.events.iter().skip(first).take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::event::{Event, EventKind};
    use crate::domain::ids::{Fence, Revision, SubtaskId, TaskId};

    fn event(seq: i64) -> StoredEvent {
        let subtask = SubtaskId::new(1).unwrap();
        let kind = EventKind::Warned { subtask, code: String::new(), message: String::new() };
        StoredEvent {
            seq: Seq::new(seq),
            task: TaskId::new(1).unwrap(),
            revision: Revision::new(seq),
            fence: Fence::ZERO,
            event: Event { at: Timestamp::default(), kind },
        }
    }

    #[test]
    fn what_is_kept_is_whole() {
        let mut ring = Ring::new(Seq::new(10));
        let seqs = |ring: &Ring, after, limit| {
            let events = ring.after(Seq::new(after), limit)?;
            Some(events.into_iter().map(|event| event.seq.get()).collect::<Vec<_>>())
        };
        assert_eq!(seqs(&ring, 9, 5), None);
        assert_eq!(seqs(&ring, 10, 5), Some(vec![]));
        ring.extend((11..=13).map(event).collect());
        assert_eq!((seqs(&ring, 11, 5), seqs(&ring, 10, 2)), (Some(vec![12, 13]), Some(vec![11, 12])));
        let last = 13 + i64::try_from(LENGTH).unwrap();
        ring.extend((14..=last).map(event).collect());
        assert_eq!((seqs(&ring, 12, 1), seqs(&ring, 13, 1)), (None, Some(vec![14])));
        assert_eq!(ring.head(), Seq::new(last));
    }
}
