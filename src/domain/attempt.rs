//! An effect that a task tried or is about to try, as folded from its events.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::effect::Intent;
use crate::domain::event::{Direction, IntentOutcome};
use crate::domain::ids::{Fence, SubtaskId};

/// An effect that was tried or is about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedIntent {
    pub subtask: SubtaskId,
    /// Number within the task, from 1.
    pub number: i32,
    /// Execution of the subtask that recorded it.
    pub run_time: i32,
    pub direction: Direction,
    pub intent: Intent,
    pub fence: Fence,
    pub at: Timestamp,
    /// From then to its horizon. By a clock that is far behind, the horizon itself would be far ahead: whoever adopts the task, or asks
    /// it to go on, bounds it by this.
    pub lasts: Duration,
    /// `None`: not settled yet, which counts as unknown.
    pub outcome: Option<IntentOutcome>,
    /// Its own answer never came, whatever a look has found since: it may have been somebody else who did what is found done.
    pub unanswered: bool,
}

impl RecordedIntent {
    /// Whether it may have happened or may still happen.
    pub const fn is_unresolved(&self) -> bool {
        matches!(self.outcome, None | Some(IntentOutcome::Unknown))
    }

    /// Whether it happened, or may have.
    pub const fn may_have_happened(&self) -> bool {
        match self.outcome {
            None | Some(IntentOutcome::Unknown | IntentOutcome::Done) => true,
            Some(IntentOutcome::Refused | IntentOutcome::Void) => false,
        }
    }
}
