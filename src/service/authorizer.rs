//! What the caller of a watch may see, asked of the directory again while it watches: a user that is disabled, a role that is
//! taken away, or the end of the credential with which it was opened, ends what it shows.
//!
//! The beginning of a watch is permitted like any other call; what it answers with is asked while the watch goes on.

use std::sync::{Arc, Mutex, PoisonError};

use super::Service;
use super::call::{Caller, ServiceCall};
use crate::access::{AuthEvidence, Directory};
use crate::domain::call::{Call, Subject, permits};
use crate::domain::ids::{ClusterId, Principal, TaskId, UserId};
use crate::domain::permission::{Action, Domain, RequiredPermission, Rights};
use crate::domain::refusal::{AuthFailure, Refusal};
use crate::service::visibility;
use crate::store::access::AccessRows;
use crate::store::{StoredTask, TaskVisibility};
use crate::watch::{ReadLog, WatchAuthorizer, WatchTask, WatchTasks};

impl ServiceCall for WatchTask {
    const CALL: Call = Call::WatchTask;
    type Subject = TaskId;
    type Output = Arc<dyn WatchAuthorizer>;

    fn subject(&self, _: &Caller) -> TaskId {
        self.task
    }

    async fn run(self, service: &Service, caller: &Caller, found: StoredTask) -> Result<Self::Output, Refusal> {
        Ok(service.authorizer(caller, Scope::Task(self.task, found.task.spec.cluster.id)))
    }
}

impl ServiceCall for ReadLog {
    const CALL: Call = Call::GetSubtaskLog;
    type Subject = TaskId;
    type Output = Arc<dyn WatchAuthorizer>;

    fn subject(&self, _: &Caller) -> TaskId {
        self.task
    }

    async fn run(self, service: &Service, caller: &Caller, found: StoredTask) -> Result<Self::Output, Refusal> {
        Ok(service.authorizer(caller, Scope::Log(self.task, found.task.spec.cluster.id)))
    }
}

impl ServiceCall for WatchTasks {
    const CALL: Call = Call::WatchTasks;
    type Subject = Option<ClusterId>;
    type Output = Arc<dyn WatchAuthorizer>;

    fn subject(&self, _: &Caller) -> Option<ClusterId> {
        self.cluster
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<Arc<dyn WatchAuthorizer>, Refusal> {
        Ok(service.authorizer(caller, self.cluster.map_or(Scope::Visible, Scope::Cluster)))
    }
}

impl Service {
    fn authorizer(&self, caller: &Caller, scope: Scope) -> Arc<dyn WatchAuthorizer> {
        match caller.user {
            None => Arc::new(SeesAll),
            Some(user) => Arc::new(UserAuthorizer::new(Arc::clone(&self.directory), user, caller, scope)),
        }
    }
}

/// What is watched, with all that permission depends on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope {
    /// One task of a cluster.
    Task(TaskId, ClusterId),
    /// The log of one task of a cluster.
    Log(TaskId, ClusterId),
    Cluster(ClusterId),
    /// All that the caller may see.
    Visible,
}

impl Scope {
    fn permitted(self, rights: &Rights) -> Result<(), RequiredPermission> {
        let of = |task: TaskId, cluster: ClusterId| Subject::Task { task: task.get(), cluster: Some(cluster.get()) };
        let (call, subject) = match self {
            Self::Task(task, cluster) => (Call::WatchTask, of(task, cluster)),
            Self::Log(task, cluster) => (Call::GetSubtaskLog, of(task, cluster)),
            Self::Cluster(cluster) => (Call::WatchTasks, Subject::Cluster(cluster.get())),
            Self::Visible => (Call::WatchTasks, Subject::Nothing),
        };
        permits(rights, call, subject, &[])
    }

    /// What somebody lacks who may do nothing any more.
    fn need(self) -> RequiredPermission {
        self.permitted(&Rights::default()).err().unwrap_or(RequiredPermission::all(Domain::Task, Action::Read))
    }
}

/// Everything, always: authentication is off.
pub(super) struct SeesAll;

impl WatchAuthorizer for SeesAll {
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn sees(&self, _task: TaskId, _cluster: ClusterId) -> bool {
        true
    }

    fn visible(&self) -> TaskVisibility {
        TaskVisibility::All
    }
}

/// Rights, and what they were computed from.
struct Known {
    rows: Arc<AccessRows>,
    rights: Result<Arc<Rights>, Ended>,
}

/// Why somebody may do nothing any more.
#[derive(Clone, Copy)]
enum Ended {
    /// The user is not there or disabled.
    User,
    /// What proved them would not any more.
    AuthEvidence,
}

/// What a user may see.
pub(super) struct UserAuthorizer {
    directory: Arc<Directory>,
    user: UserId,
    principal: Principal,
    proof: Arc<AuthEvidence>,
    scope: Scope,
    /// Kept until the directory changes: events come by the thousand, changes of roles do not.
    known: Mutex<Known>,
}

impl UserAuthorizer {
    /// Of `caller`, who is this user.
    pub fn new(directory: Arc<Directory>, user: UserId, caller: &Caller, scope: Scope) -> Self {
        let (rows, principal, proof) = (directory.rows(), caller.principal.clone(), Arc::clone(&caller.proof));
        let rights = rights_of(&directory, &rows, user, &proof);
        Self { directory, user, principal, proof, scope, known: Mutex::new(Known { rows, rights }) }
    }

    fn rights(&self) -> Result<Arc<Rights>, Ended> {
        let rows = self.directory.rows();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&rows, &known.rows) {
            let rights = rights_of(&self.directory, &rows, self.user, &self.proof);
            *known = Known { rows, rights };
        }
        known.rights.clone()
    }
}

fn rights_of(
    directory: &Directory,
    rows: &AccessRows,
    user: UserId,
    proof: &AuthEvidence,
) -> Result<Arc<Rights>, Ended> {
    let row = rows.users.iter().find(|row| row.id == user && !row.disabled).ok_or(Ended::User)?;
    if proof.holds(rows, user) { Ok(Arc::new(directory.rights_of(&row.roles))) } else { Err(Ended::AuthEvidence) }
}

impl WatchAuthorizer for UserAuthorizer {
    fn check(&self) -> Result<(), Refusal> {
        let permitted = match self.rights() {
            Ok(rights) => self.scope.permitted(&rights),
            Err(Ended::User) => Err(self.scope.need()),
            Err(Ended::AuthEvidence) => return Err(Refusal::Unauthenticated { why: AuthFailure::Ended }),
        };
        permitted.map_err(|need| Refusal::PermissionDenied { principal: self.principal.clone(), need })
    }

    fn sees(&self, task: TaskId, cluster: ClusterId) -> bool {
        self.rights().is_ok_and(|rights| {
            rights.allow(RequiredPermission::one(Domain::Task, task.get(), Action::Read))
                || rights.allow(RequiredPermission::one(Domain::Cluster, cluster.get(), Action::Read))
        })
    }

    fn visible(&self) -> TaskVisibility {
        self.rights().map_or_else(|_| visibility::of_tasks(&Rights::default()), |rights| visibility::of_tasks(&rights))
    }
}
