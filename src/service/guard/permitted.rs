//! Whether a caller may make a call on what it names. Pure, except for the look at a task's cluster and at the directory.

use super::Guarded;
use crate::domain::call::{Call, Subject, permits};
use crate::domain::ids::{AccessKeyId, ClusterId, Principal, TaskId, UserId};
use crate::domain::permission::Need;
use crate::domain::refusal::Refusal;
use crate::service::arguments::Caller;
use crate::store::StoredTask;

/// As the table says, as a refusal.
pub(super) fn permit(caller: &Caller, call: Call, subject: Subject, risks: bool) -> Result<(), Refusal> {
    permits(&caller.rights, call, subject, risks).map_err(|need| denied(caller, need))
}

pub(super) fn denied(caller: &Caller, need: Need) -> Refusal {
    Refusal::PermissionDenied { principal: caller.principal.clone(), need }
}

/// On a cluster, which need not exist.
pub(super) fn permit_cluster(caller: &Caller, call: Call, cluster: ClusterId) -> Result<(), Refusal> {
    permit(caller, call, Subject::Cluster(cluster.get()), false)
}

/// On a task that was looked up: who may not do it gets the same answer whether the task exists or not.
pub(super) fn permit_found(
    caller: &Caller,
    call: Call,
    task: TaskId,
    found: Result<StoredTask, Refusal>,
) -> Result<StoredTask, Refusal> {
    let missing = Subject::Task { task: task.get(), cluster: None };
    match found {
        Ok(stored) => {
            let spec = &stored.task.spec;
            let subject = Subject::Task { task: task.get(), cluster: Some(spec.cluster.id.get()) };
            // Going on with accepted risks accepts them anew.
            let goes_on = matches!(call, Call::RetryTask | Call::SkipSubtask);
            let risks = goes_on && !spec.accepted_risks.is_empty();
            permit(caller, call, subject, risks)?;
            Ok(stored)
        }
        Err(refusal @ Refusal::TaskNotFound { .. }) => {
            permit(caller, call, missing, false)?;
            Err(refusal)
        }
        // The store does not answer: that is so whatever the caller may do.
        Err(refusal) => Err(refusal),
    }
}

impl Guarded {
    /// On a task, for a call that only reads it.
    pub(super) async fn permit_task(&self, caller: &Caller, call: Call, task: TaskId) -> Result<StoredTask, Refusal> {
        permit_found(caller, call, task, self.use_cases.get_task(caller, task).await)
    }

    /// On a user by name, which need not exist.
    pub(super) fn permit_user(&self, caller: &Caller, call: Call, name: &Principal) -> Result<(), Refusal> {
        let user = self.directory.user(name).map(|user| user.id);
        permit(caller, call, subject(caller, user), false)
    }

    /// On the user of an access key, which need not exist.
    pub(super) fn permit_key(&self, caller: &Caller, call: Call, key: &AccessKeyId) -> Result<(), Refusal> {
        let user = self.directory.key(key).map(|(_, user)| user.id);
        permit(caller, call, subject(caller, user), false)
    }
}

fn subject(caller: &Caller, user: Option<UserId>) -> Subject {
    Subject::User { user: user.map(UserId::get), own: user.is_some() && user == caller.user }
}
