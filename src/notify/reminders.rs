//! When people are reminded that a cluster is about to give up a server that is held for them. Pure: who is held, and until when, is
//! told by whoever knows tasks and clusters ([`HeldServers`]), as it is for the metrics.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::event::TaskSpec;
use crate::domain::ids::SubtaskId;
use crate::notify::message::{HoldTimes, Message, of_reminder};

/// A server that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub spec: Arc<TaskSpec>,
    /// That holds it.
    pub subtask: SubtaskId,
    /// A server that is held again is another hold.
    pub run_time: i32,
    /// When it is brought back by itself.
    pub until: Timestamp,
    /// `None`: not known.
    pub permanent_offline_at: Option<Timestamp>,
}

/// Knows which servers are held.
#[async_trait]
pub trait HeldServers: Send + Sync {
    /// Of all clusters; an error says why that is not known now.
    async fn held_now(&self) -> Result<Vec<Hold>, String>;
}

impl Hold {
    /// Which of all holds it is.
    pub fn key(&self) -> String {
        format!("{}-{}-{}", self.spec.id, self.subtask, self.run_time)
    }

    pub const fn times(&self) -> HoldTimes {
        HoldTimes { until: Some(self.until), permanent_offline_at: self.permanent_offline_at }
    }

    pub fn message(&self, store_id: &str, now: Timestamp) -> Message {
        of_reminder(&format!("{store_id}-{}", self.key()), now, &self.spec, self.subtask, self.times())
    }

    /// Whether its deadline is nearer than that.
    fn is_near(&self, before: Duration, now: Timestamp) -> bool {
        self.permanent_offline_at.is_some_and(|at| now.plus(before) >= at)
    }
}

/// What is due, and of what was reminded before that which still lasts.
pub fn due<'a>(
    holds: &'a [Hold],
    reminded: &[String],
    before: Duration,
    now: Timestamp,
) -> (Vec<&'a Hold>, Vec<String>) {
    let lasting: Vec<String> =
        reminded.iter().filter(|key| holds.iter().any(|hold| hold.key() == **key)).cloned().collect();
    let due = holds.iter().filter(|hold| hold.is_near(before, now) && !lasting.contains(&hold.key())).collect();
    (due, lasting)
}
