//! What the caller of a watch may see, asked of the directory again while it watches: a user that is disabled, or a role
//! that is taken away, ends what it shows.

use std::sync::{Arc, Mutex, PoisonError};

use crate::access::Directory;
use crate::domain::call::{Call, Subject, permits};
use crate::domain::ids::{ClusterId, Principal, TaskId, UserId};
use crate::domain::permission::{Action, Domain, Need, Rights};
use crate::domain::refusal::Refusal;
use crate::store::access::AccessRows;
use crate::watch::Sight;

/// What is watched, with all that permission depends on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope {
    /// One task of a cluster.
    Task(TaskId, ClusterId),
    /// The log of one task of a cluster.
    Log(TaskId, ClusterId),
    /// Tasks of one cluster.
    Cluster(ClusterId),
    /// All that the caller may see.
    Visible,
}

impl Scope {
    fn permitted(self, rights: &Rights) -> Result<(), Need> {
        let of = |task: TaskId, cluster: ClusterId| Subject::Task { task: task.get(), cluster: Some(cluster.get()) };
        let (call, subject) = match self {
            Self::Task(task, cluster) => (Call::WatchTask, of(task, cluster)),
            Self::Log(task, cluster) => (Call::GetSubtaskLog, of(task, cluster)),
            Self::Cluster(cluster) => (Call::WatchTasks, Subject::Cluster(cluster.get())),
            Self::Visible => (Call::WatchTasks, Subject::Nothing),
        };
        permits(rights, call, subject, false)
    }

    /// What somebody lacks who may do nothing any more.
    fn need(self) -> Need {
        self.permitted(&Rights::default()).err().unwrap_or(Need::all(Domain::Task, Action::Read))
    }
}

/// Everything, always: authentication is off.
pub(super) struct SeesAll;

impl Sight for SeesAll {
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn sees(&self, _task: TaskId, _cluster: ClusterId) -> bool {
        true
    }
}

/// Rights, and what they were computed from.
struct Known {
    rows: Arc<AccessRows>,
    /// `None`: the user is not there or disabled.
    rights: Option<Arc<Rights>>,
}

/// What a user may see.
pub(super) struct UserSight {
    directory: Arc<Directory>,
    user: UserId,
    principal: Principal,
    scope: Scope,
    /// Kept until the directory changes: events come by the thousand, changes of roles do not.
    known: Mutex<Known>,
}

impl UserSight {
    pub fn new(directory: Arc<Directory>, user: UserId, principal: Principal, scope: Scope) -> Self {
        let rows = directory.rows();
        let rights = rights_of(&directory, &rows, user);
        Self { directory, user, principal, scope, known: Mutex::new(Known { rows, rights }) }
    }

    fn rights(&self) -> Option<Arc<Rights>> {
        let rows = self.directory.rows();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&rows, &known.rows) {
            let rights = rights_of(&self.directory, &rows, self.user);
            *known = Known { rows, rights };
        }
        known.rights.clone()
    }
}

fn rights_of(directory: &Directory, rows: &AccessRows, user: UserId) -> Option<Arc<Rights>> {
    let user = rows.users.iter().find(|row| row.id == user)?;
    directory.identity(user).map(|identity| identity.rights)
}

impl Sight for UserSight {
    fn check(&self) -> Result<(), Refusal> {
        let permitted = match self.rights() {
            Some(rights) => self.scope.permitted(&rights),
            None => Err(self.scope.need()),
        };
        permitted.map_err(|need| Refusal::PermissionDenied { principal: self.principal.clone(), need })
    }

    fn sees(&self, task: TaskId, cluster: ClusterId) -> bool {
        self.rights().is_some_and(|rights| {
            rights.allow(Need::one(Domain::Task, task.get(), Action::Read))
                || rights.allow(Need::one(Domain::Cluster, cluster.get(), Action::Read))
        })
    }
}
