//! Permission for an effect on a cluster or host, and its outcome. Plain data.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
    lease: Arc<dyn Lease>,
}

/// The right of a replica to act at all, and of an effect to be sent. It ends by itself: a replica that was frozen or cut off finds it
/// ended when it goes on, however long ago it asked whether it owned a task or said until when its effect can happen.
pub trait Lease: fmt::Debug + Send + Sync {
    /// Whether it has not ended, and what is sent now and may happen for so long happens within its horizon.
    fn goes_on_for(&self, takes: Duration) -> bool;
}

/// The lease of the only replica of an embedded store.
#[derive(Clone, Copy, Debug)]
pub struct EndlessLease;

impl Lease for EndlessLease {
    fn goes_on_for(&self, _: Duration) -> bool {
        true
    }
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
        lease: Arc<dyn Lease>,
    ) -> Self {
        Self { task, subtask, intent, run_time, cluster, fence, lease }
    }

    /// Whether it may still be used, for an effect that can happen for so long after it is sent. Asked again directly before that:
    /// between this and that there is nothing that a session or a ticket could outlive.
    pub fn is_valid_for(&self, takes: Duration) -> bool {
        self.lease.goes_on_for(takes)
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

impl EffectOutcome {
    /// Of an effect whose permit was not valid any more when it was to be sent. Whoever owns the task now has to look.
    pub fn too_late() -> Self {
        let message = "it was not sent: the lease of this replica ended, or it could only happen behind its horizon";
        Self::Unknown { message: message.to_owned() }
    }
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
