//! A hold: a server is kept out of service for somebody until that is completed, or a deadline passes. Pure.
//!
//! The cluster gives up the replicas of a server that is away for `server_permanent_offline_time`
//! (docs/oceanbase.md#permanent-offline): a hold ends before that by what a start takes, unless the caller accepted
//! [`Risk::PermanentOffline`].

use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::event::{Direction, SubtaskState};
use crate::domain::graph::SubtaskRole;
use crate::domain::ids::Principal;
use crate::domain::status::Risk;
use crate::domain::task::{Subtask, Task};

/// Time for a start before the replicas of a server are given up.
pub const TIME_TO_START: Duration = Duration::from_secs(600);

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    pub until: HoldUntil,
    /// `server_permanent_offline_time` of the cluster, as recorded when the task was accepted.
    pub permanent_offline: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldUntil {
    Deadline(Timestamp),
    /// So long from the moment at which the server is held.
    For(Duration),
}

/// Who ended a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldCompletion {
    pub by: Principal,
    pub at: Timestamp,
}

/// Longest hold that a cluster with this `server_permanent_offline_time` bears.
pub const fn longest_hold(permanent_offline: Duration) -> Duration {
    permanent_offline.saturating_sub(TIME_TO_START)
}

/// Where a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldState<'a> {
    /// The server is not out of service yet.
    Ahead,
    Held {
        since: Timestamp,
        /// When the server is brought back if nobody completes it.
        until: Timestamp,
    },
    /// Somebody said that the work is done.
    Completed(&'a HoldCompletion),
    /// It is over, and nobody completed it.
    Over,
}

impl Task {
    /// Of this subtask; `None`: it holds nothing.
    pub fn hold_state(&self, subtask: &Subtask) -> Option<HoldState<'_>> {
        let hold = self.spec.hold.filter(|_| subtask.spec.role == SubtaskRole::Hold)?;
        let (began, runs) = match subtask.state {
            SubtaskState::Pending | SubtaskState::Ready => return Some(HoldState::Ahead),
            SubtaskState::Running => (subtask.started_at?, true),
            SubtaskState::Canceling | SubtaskState::Failed | SubtaskState::Successful => (subtask.started_at?, false),
        };
        if let Some(completion) = self.hold_completion.as_ref().filter(|completion| completion.at >= began) {
            return Some(HoldState::Completed(completion));
        }
        if !runs {
            return Some(HoldState::Over);
        }
        let asked = match hold.until {
            HoldUntil::Deadline(until) => until,
            HoldUntil::For(time) => began.plus(time),
        };
        let borne = self.away_since(subtask).unwrap_or(began).plus(longest_hold(hold.permanent_offline));
        let accepted = self.spec.accepted_risks.contains(&Risk::PermanentOffline);
        let until = if accepted { asked } else { asked.min(borne) };
        Some(HoldState::Held { since: began, until })
    }

    /// The subtasks that hold a server now, each with the moment at which it is brought back by itself.
    pub fn held(&self) -> impl Iterator<Item = (&Subtask, Timestamp)> {
        let forward = self.subtasks.iter().filter(|_| self.direction == Direction::Forward);
        forward.filter_map(|subtask| match self.hold_state(subtask)? {
            HoldState::Held { until, .. } => Some((subtask, until)),
            HoldState::Ahead | HoldState::Completed(_) | HoldState::Over => None,
        })
    }

    /// When the cluster gives up the replicas of the server that a subtask holds, at the earliest; `None`: the task did not end
    /// its process.
    pub fn permanent_offline_at(&self, hold: &Subtask) -> Option<Timestamp> {
        Some(self.away_since(hold)?.plus(self.spec.hold?.permanent_offline))
    }

    /// When the process of its server was ended: its last heartbeat was not earlier.
    fn away_since(&self, hold: &Subtask) -> Option<Timestamp> {
        let ended = self.intents.iter().filter(|intent| intent.intent.irreversible && intent.may_have_happened());
        let of_it = |id| self.subtask(id).is_ok_and(|subtask| subtask.spec.target == hold.spec.target);
        ended.filter(|intent| of_it(intent.subtask)).map(|intent| intent.at).max()
    }
}
