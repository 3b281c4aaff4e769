//! The use cases that every face shares: admission, one commit, and what is shown. Nothing here knows gRPC, REST or a
//! terminal. Each call is one type, its arguments, declared beside what it does ([`ServiceCall`]); [`Guarded`] stands before
//! them all and asks whether the caller may.

mod accept;
mod access_rules;
mod approval;
mod audit;
mod audit_entry;
mod authorizer;
mod backup;
mod begin;
mod call;
mod change_freezes;
mod clusters;
mod digest;
mod guard;
mod held;
mod hold;
mod keys;
mod left_behind;
mod margin;
mod notifications;
mod operate;
mod overview;
mod passwords;
mod pending;
mod plan;
mod refusals;
mod registering;
mod replicas;
mod roles;
mod rollout;
mod servers;
mod sessions;
mod subject;
mod subtasks;
mod tasks;
mod users;
mod verbs;
pub mod views;
mod visibility;

use std::sync::Arc;

use crate::access::Directory;
use crate::domain::call::Call;
use crate::domain::ids::TaskId;
use crate::domain::maintenance::MaintenancePolicies;
use crate::domain::refusal::Refusal;
use crate::engine::Engine;
use crate::notify::NotificationTargets;
use crate::operations::Deps;
use crate::store::access::AccessStore;
use crate::store::backup::Backups;
use crate::store::change_freezes::ChangeFreezes;
use crate::store::{AuditOutcome, AuditRecord, Store, StoredTask};
use margin::Margins;
use refusals::store_refusal;

pub use approval::{PlanTask, TaskPlanView};
pub use audit::ListAuditRecords;
pub use audit_entry::{AuditEntry, LONGEST_ARGUMENTS};
pub use backup::BackupStore;
pub use call::{CallFamily, Caller, FamilyCall, ServiceCall};
pub use change_freezes::{ChangeFreezeView, FreezeChanges, ListChangeFreezes, ThawChanges};
pub use clusters::{ClusterSelection, ClustersPage, DeregisterCluster, GetCluster, ListClusters};
pub use guard::Guarded;
pub use keys::{CreateAccessKey, ListAccessKeys, RotateAccessKey, UpdateAccessKey};
pub use margin::{GetMargin, MarginView};
pub use notifications::ListNotificationTargets;
pub use operate::{
    FreezeServer, OnCluster, OnServer, OnZone, Operate, RestartCluster, RestartServer, RestartZone, StartCluster,
    StartServer, StartZone, StopCluster, StopServer, StopZone,
};
pub use overview::{AwayServer, HeldServer, OpenTask, Overview, ReadCluster};
pub use passwords::{Argon2id, PasswordHasher};
pub use plan::{PlanStopCluster, PlanStopServer, PlanStopZone};
pub use registering::{RegisterCluster, SyncCluster, Synced, UpdateCluster};
pub use replicas::{ListReplicas, ReplicaView};
pub use roles::{CreateRole, DeleteRole, ListRoles};
pub use rollout::{PlanRollout, RolloutOf, RolloutPlanView, RolloutScope, StartRollout};
pub use servers::{GetServer, ListServers};
pub use sessions::{EndSessions, Ended};
pub use subject::{CallSubject, Found, Resolved};
pub use subtasks::{CancelSubtask, RetrySubtask, SubtaskLog};
pub use tasks::{GetTask, ListTasks, TaskSelection, TasksPage};
pub use users::{CreateUser, ListUsers, SetPassword, UpdateUser};
pub use verbs::{
    ApproveTask, CancelTask, CompleteHold, GiveUpTask, PauseRollout, ResumeRollout, RetryTask, RollbackTask,
    SkipSubtask, TaskRequest, WithdrawApproval,
};

/// What the calls on users, keys, roles and the audit log go through.
#[derive(Clone)]
pub struct Administration {
    pub directory: Arc<Directory>,
    pub access: Arc<dyn AccessStore>,
    pub freezes: Arc<dyn ChangeFreezes>,
    pub backups: Arc<dyn Backups>,
    /// Makes what is stored of passwords.
    pub hasher: Arc<dyn PasswordHasher>,
}

/// When tasks begin.
#[derive(Clone, Debug, Default)]
pub struct BeginningRules {
    pub policies: MaintenancePolicies,
    /// Whether callers are authenticated: otherwise nobody can lose a right.
    pub authentication: bool,
}

/// The use cases over their parts. They believe that the caller may: lists show what the caller's rights show, and changes of
/// users give only what the caller has, but everything else is asked by [`Guarded`].
#[derive(Clone)]
pub struct Service {
    store: Arc<dyn Store>,
    engine: Arc<Engine>,
    deps: Deps,
    directory: Arc<Directory>,
    access: Arc<dyn AccessStore>,
    freezes: Arc<dyn ChangeFreezes>,
    beginnings: Arc<BeginningRules>,
    backups: Arc<dyn Backups>,
    hasher: Arc<dyn PasswordHasher>,
    notifications: NotificationTargets,
    margins: Arc<Margins>,
}

impl Service {
    /// Over a store, an engine, the ways to clusters and hosts, and who may act.
    pub fn new(store: Arc<dyn Store>, engine: Arc<Engine>, deps: Deps, administration: Administration) -> Self {
        let Administration { directory, access, freezes, backups, hasher } = administration;
        let notifications = NotificationTargets::default();
        let (beginnings, margins) = (Arc::default(), Arc::default());
        Self { store, engine, deps, directory, access, freezes, beginnings, backups, hasher, notifications, margins }
    }

    /// Lets tasks begin by these rules only.
    #[must_use]
    pub fn with_beginnings(self, rules: BeginningRules) -> Self {
        Self { beginnings: Arc::new(rules), ..self }
    }

    /// Shows these targets.
    #[must_use]
    pub fn with_notifications(self, notifications: NotificationTargets) -> Self {
        Self { notifications, ..self }
    }

    /// One task as committed.
    async fn stored_task(&self, task: TaskId) -> Result<StoredTask, Refusal> {
        self.store.task(task).await.map_err(|error| store_refusal(&error))?.ok_or(Refusal::TaskNotFound { task })
    }

    /// The record of an accepted mutation, which the commit that makes it writes.
    fn accepted(&self, caller: &Caller, call: Call, entry: AuditEntry) -> AuditRecord {
        entry.record(caller, call, self.deps.clock.now(), AuditOutcome::Accepted)
    }
}
