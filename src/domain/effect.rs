//! Permission for an effect on a cluster or host, and its outcome. Plain data.

use crate::clock::Timestamp;
use crate::domain::ids::{ClusterKey, Fence, SubtaskId, TaskId};

/// The right to try one effect, once: made by the engine only after the effect's intent is committed and the ownership
/// checked, and consumed by the call that sends it. `tests/it/repository/layers.rs` fails when anything but `engine` issues one.
#[derive(Debug)]
pub struct Permit {
    task: TaskId,
    subtask: SubtaskId,
    intent: i32,
    run_time: i32,
    cluster: ClusterKey,
    fence: Fence,
}

impl Permit {
    /// For the engine, after the commit of the intent.
    pub(crate) fn issue(
        task: TaskId,
        subtask: SubtaskId,
        intent: i32,
        run_time: i32,
        cluster: ClusterKey,
        fence: Fence,
    ) -> Self {
        Self { task, subtask, intent, run_time, cluster, fence }
    }

    pub const fn cluster(&self) -> &ClusterKey {
        &self.cluster
    }

    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// Identifies the call, so that an agent runs it only once: `task/subtask/run_time/intent`.
    pub fn token(&self) -> String {
        format!("{}/{}/{}/{}", self.task, self.subtask, self.run_time, self.intent)
    }
}

/// The outcome of an effect that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EffectOutcome {
    /// The other side confirmed it.
    Done { message: String },
    /// The other side refused it, and nothing happened.
    Refused { code: String, message: String },
    /// Timeout, lost connection, 4012, 4652, -4751: it may have happened or may still happen. A later look resolves it.
    Unknown { message: String },
}

/// An effect that is about to be tried; recorded before it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// For people, for example the statement.
    pub description: String,
    /// SQL endpoint or host.
    pub endpoint: String,
    /// Connection id of the session; 0 for an effect on a host.
    pub connection_id: i64,
    /// Latest moment at which the effect can still happen.
    pub horizon: Timestamp,
    /// Whether no other statement can undo it (ending a process): never begins after `expire_time` nor after a long gap.
    pub irreversible: bool,
}
