//! The use cases as the faces see them: what `api` calls and the service implements. Every call names its caller.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::domain::call::Call;
use crate::domain::ids::{AccessKeyId, ClusterId, Principal, RoleName, ServerId, SubtaskId, TaskId};
use crate::domain::permission::Permission;
use crate::domain::refusal::Refusal;
use crate::service::arguments::{
    AccessKeyView, Caller, ClusterName, ClusterSelection, ClusterView, CreateUser, ListServers, ListTasks, PageOf,
    PlanStopServer, RegisterCluster, RestartServer, RoleView, ServerView, SkipSubtask, StartServer, StopPlanView,
    StopServer, TaskRequest, TaskSelection, UpdateCluster, UpdateUser, UserView, WatchScope,
};
use crate::store::access::{AuditFilter, StoredAuditRecord};
use crate::store::backup::Backup;
use crate::store::inventory::ClusterOrder;
use crate::store::{LogLine, Page, StoredTask, TaskOrder};
use crate::watch::Sight;

/// A cluster as just read: what is known, what changed since the reading before, and how long the reading took.
pub type Synced = (ClusterView, Vec<String>, Duration);

/// The use cases.
#[async_trait]
pub trait UseCases: Send + Sync {
    /// Records a task that stops a server.
    async fn stop_server(&self, caller: &Caller, asked: StopServer) -> Result<StoredTask, Refusal>;

    /// Records a task that starts a server; or rolls back the task at rest that stopped it, and returns that.
    async fn start_server(&self, caller: &Caller, asked: StartServer) -> Result<StoredTask, Refusal>;

    /// Records a task that restarts a server.
    async fn restart_server(&self, caller: &Caller, asked: RestartServer) -> Result<StoredTask, Refusal>;

    /// The whole precheck of a stop, without change.
    async fn plan_stop_server(&self, caller: &Caller, asked: PlanStopServer) -> Result<StopPlanView, Refusal>;

    /// One server, its process looked at.
    async fn get_server(&self, caller: &Caller, cluster: ClusterId, server: ServerId) -> Result<ServerView, Refusal>;

    /// Servers as last recorded, ascending by id.
    async fn list_servers(&self, caller: &Caller, asked: ListServers) -> Result<Vec<ServerView>, Refusal>;

    /// One task.
    async fn get_task(&self, caller: &Caller, task: TaskId) -> Result<StoredTask, Refusal>;

    /// One task, to whoever may make this call on it, which changes something; a refusal is on record as one of the call.
    /// For faces that must look at a task before they can say what is asked of it.
    async fn task_for(&self, caller: &Caller, call: Call, task: TaskId) -> Result<StoredTask, Refusal>;

    /// Tasks, newest first.
    async fn list_tasks(&self, caller: &Caller, asked: ListTasks) -> Result<Vec<StoredTask>, Refusal>;

    /// Runs a failed task again.
    async fn retry_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal>;

    /// Undoes what a task at rest has done.
    async fn rollback_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal>;

    /// Counts a failed subtask as successful, and goes on behind it.
    async fn skip_subtask(&self, caller: &Caller, asked: SkipSubtask) -> Result<StoredTask, Refusal>;

    /// Ends what a task runs.
    async fn cancel_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal>;

    /// Closes a task at rest.
    async fn give_up_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal>;

    /// Records a cluster after proving its identity.
    async fn register_cluster(&self, caller: &Caller, asked: RegisterCluster) -> Result<ClusterView, Refusal>;

    /// Changes what people decide of a cluster.
    async fn update_cluster(&self, caller: &Caller, asked: UpdateCluster) -> Result<ClusterView, Refusal>;

    /// One cluster.
    async fn get_cluster(&self, caller: &Caller, name: ClusterName) -> Result<ClusterView, Refusal>;

    /// Clusters with ids above `above`, ascending.
    async fn list_clusters(
        &self,
        caller: &Caller,
        name: Option<String>,
        above: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<ClusterView>, Refusal>;

    /// Reads a cluster now.
    async fn sync_cluster(&self, caller: &Caller, cluster: ClusterId) -> Result<Synced, Refusal>;

    /// Forgets a cluster.
    async fn deregister_cluster(&self, caller: &Caller, cluster: ClusterId) -> Result<(), Refusal>;

    /// A page of tasks.
    async fn tasks_page(
        &self,
        caller: &Caller,
        asked: TaskSelection,
        page: Page<TaskOrder>,
    ) -> Result<PageOf<StoredTask>, Refusal>;

    /// A page of clusters.
    async fn clusters_page(
        &self,
        caller: &Caller,
        asked: ClusterSelection,
        page: Page<ClusterOrder>,
    ) -> Result<PageOf<ClusterView>, Refusal>;

    /// Log of a subtask: all its lines so far, ascending.
    async fn subtask_log(&self, caller: &Caller, task: TaskId, subtask: SubtaskId) -> Result<Vec<LogLine>, Refusal>;

    /// Whether the caller may watch, and what of it he sees while he does.
    async fn sight(&self, caller: &Caller, scope: WatchScope) -> Result<Arc<dyn Sight>, Refusal>;

    /// Keeps that a mutation was refused before it reached its use case: its arguments are not valid.
    async fn refused(&self, caller: &Caller, call: Call, refusal: &Refusal);

    /// Makes a user.
    async fn create_user(&self, caller: &Caller, asked: CreateUser) -> Result<UserView, Refusal>;

    /// Changes a user.
    async fn update_user(&self, caller: &Caller, asked: UpdateUser) -> Result<UserView, Refusal>;

    /// Gives a user another password.
    async fn set_password(&self, caller: &Caller, user: Principal, password: SecretString) -> Result<(), Refusal>;

    /// Users, ascending by id.
    async fn list_users(&self, caller: &Caller) -> Result<Vec<UserView>, Refusal>;

    /// Makes an access key for a user, or for the caller.
    async fn create_access_key(&self, caller: &Caller, user: Option<Principal>) -> Result<AccessKeyView, Refusal>;

    /// Disables or enables an access key.
    async fn update_access_key(
        &self,
        caller: &Caller,
        key: AccessKeyId,
        disabled: bool,
    ) -> Result<AccessKeyView, Refusal>;

    /// Gives an access key another secret.
    async fn rotate_access_key(&self, caller: &Caller, key: AccessKeyId) -> Result<AccessKeyView, Refusal>;

    /// Access keys that the caller may see, ascending by id; of one user when named.
    async fn list_access_keys(&self, caller: &Caller, user: Option<Principal>) -> Result<Vec<AccessKeyView>, Refusal>;

    /// Makes a role.
    async fn create_role(
        &self,
        caller: &Caller,
        name: RoleName,
        permissions: Vec<Permission>,
    ) -> Result<RoleView, Refusal>;

    /// Removes a role.
    async fn delete_role(&self, caller: &Caller, name: RoleName) -> Result<(), Refusal>;

    /// Roles, those that are always there first.
    async fn list_roles(&self, caller: &Caller) -> Result<Vec<RoleView>, Refusal>;

    /// Audit records, newest first, with ids below `below`.
    async fn list_audit_records(
        &self,
        caller: &Caller,
        filter: AuditFilter,
        below: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredAuditRecord>, Refusal>;

    /// A copy of the store.
    async fn backup_store(&self, caller: &Caller) -> Result<Backup, Refusal>;

    /// Id and name of a user as OCP shows creators: of one that is not known, id 0.
    fn user_id(&self, name: &Principal) -> i64;
}
