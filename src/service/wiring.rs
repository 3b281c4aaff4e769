//! [`Service`] as the faces see it: each use case is the call of the same name.

use std::sync::Arc;

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
use crate::service::use_cases::{Synced, UseCases};
use crate::store::access::{AuditFilter, StoredAuditRecord};
use crate::store::backup::Backup;
use crate::store::inventory::ClusterOrder;
use crate::store::{LogLine, Page, StoredTask, TaskOrder};
use crate::watch::Sight;

use super::Service;
use super::sight::SeesAll;

#[async_trait]
impl UseCases for Service {
    async fn stop_server(&self, caller: &Caller, asked: StopServer) -> Result<StoredTask, Refusal> {
        Self::stop_server(self, caller, asked).await
    }

    async fn start_server(&self, caller: &Caller, asked: StartServer) -> Result<StoredTask, Refusal> {
        Self::start_server(self, caller, asked).await
    }

    async fn restart_server(&self, caller: &Caller, asked: RestartServer) -> Result<StoredTask, Refusal> {
        Self::restart_server(self, caller, asked).await
    }

    async fn plan_stop_server(&self, caller: &Caller, asked: PlanStopServer) -> Result<StopPlanView, Refusal> {
        Self::plan_stop_server(self, caller, asked).await
    }

    async fn get_server(&self, caller: &Caller, cluster: ClusterId, server: ServerId) -> Result<ServerView, Refusal> {
        Self::get_server(self, caller, cluster, server).await
    }

    async fn list_servers(&self, caller: &Caller, asked: ListServers) -> Result<Vec<ServerView>, Refusal> {
        Self::list_servers(self, caller, asked).await
    }

    async fn get_task(&self, caller: &Caller, task: TaskId) -> Result<StoredTask, Refusal> {
        Self::get_task(self, caller, task).await
    }

    async fn task_for(&self, caller: &Caller, _call: Call, task: TaskId) -> Result<StoredTask, Refusal> {
        Self::get_task(self, caller, task).await
    }

    async fn list_tasks(&self, caller: &Caller, asked: ListTasks) -> Result<Vec<StoredTask>, Refusal> {
        Self::list_tasks(self, caller, asked).await
    }

    async fn retry_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        Self::retry_task(self, caller, asked).await
    }

    async fn rollback_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        Self::rollback_task(self, caller, asked).await
    }

    async fn skip_subtask(&self, caller: &Caller, asked: SkipSubtask) -> Result<StoredTask, Refusal> {
        Self::skip_subtask(self, caller, asked).await
    }

    async fn cancel_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        Self::cancel_task(self, caller, asked).await
    }

    async fn give_up_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        Self::give_up_task(self, caller, asked).await
    }

    async fn register_cluster(&self, caller: &Caller, asked: RegisterCluster) -> Result<ClusterView, Refusal> {
        Self::register_cluster(self, caller, asked).await
    }

    async fn update_cluster(&self, caller: &Caller, asked: UpdateCluster) -> Result<ClusterView, Refusal> {
        Self::update_cluster(self, caller, asked).await
    }

    async fn get_cluster(&self, caller: &Caller, name: ClusterName) -> Result<ClusterView, Refusal> {
        Self::get_cluster(self, caller, name).await
    }

    async fn list_clusters(
        &self,
        caller: &Caller,
        name: Option<String>,
        above: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<ClusterView>, Refusal> {
        Self::list_clusters(self, caller, name, above, limit).await
    }

    async fn sync_cluster(&self, caller: &Caller, cluster: ClusterId) -> Result<Synced, Refusal> {
        Self::sync_cluster(self, caller, cluster).await
    }

    async fn deregister_cluster(&self, caller: &Caller, cluster: ClusterId) -> Result<(), Refusal> {
        Self::deregister_cluster(self, caller, cluster).await
    }

    async fn tasks_page(
        &self,
        caller: &Caller,
        asked: TaskSelection,
        page: Page<TaskOrder>,
    ) -> Result<PageOf<StoredTask>, Refusal> {
        Self::tasks_page(self, caller, asked, page).await
    }

    async fn clusters_page(
        &self,
        caller: &Caller,
        asked: ClusterSelection,
        page: Page<ClusterOrder>,
    ) -> Result<PageOf<ClusterView>, Refusal> {
        Self::clusters_page(self, caller, asked, page).await
    }

    async fn subtask_log(&self, _caller: &Caller, task: TaskId, subtask: SubtaskId) -> Result<Vec<LogLine>, Refusal> {
        Self::subtask_log(self, task, subtask).await
    }

    async fn sight(&self, _caller: &Caller, _scope: WatchScope) -> Result<Arc<dyn Sight>, Refusal> {
        Ok(Arc::new(SeesAll))
    }

    /// Refusals are recorded by whoever guards the service.
    async fn refused(&self, _caller: &Caller, _call: Call, _refusal: &Refusal) {}

    async fn create_user(&self, caller: &Caller, asked: CreateUser) -> Result<UserView, Refusal> {
        Self::create_user(self, caller, asked).await
    }

    async fn update_user(&self, caller: &Caller, asked: UpdateUser) -> Result<UserView, Refusal> {
        Self::update_user(self, caller, asked).await
    }

    async fn set_password(&self, caller: &Caller, user: Principal, password: SecretString) -> Result<(), Refusal> {
        Self::set_password(self, caller, user, password).await
    }

    async fn list_users(&self, _caller: &Caller) -> Result<Vec<UserView>, Refusal> {
        Ok(Self::list_users(self))
    }

    async fn create_access_key(&self, caller: &Caller, user: Option<Principal>) -> Result<AccessKeyView, Refusal> {
        Self::create_access_key(self, caller, user).await
    }

    async fn update_access_key(
        &self,
        caller: &Caller,
        key: AccessKeyId,
        disabled: bool,
    ) -> Result<AccessKeyView, Refusal> {
        Self::update_access_key(self, caller, key, disabled).await
    }

    async fn rotate_access_key(&self, caller: &Caller, key: AccessKeyId) -> Result<AccessKeyView, Refusal> {
        Self::rotate_access_key(self, caller, key).await
    }

    async fn list_access_keys(&self, caller: &Caller, user: Option<Principal>) -> Result<Vec<AccessKeyView>, Refusal> {
        Self::list_access_keys(self, caller, user.as_ref())
    }

    async fn create_role(
        &self,
        caller: &Caller,
        name: RoleName,
        permissions: Vec<Permission>,
    ) -> Result<RoleView, Refusal> {
        Self::create_role(self, caller, name, permissions).await
    }

    async fn delete_role(&self, caller: &Caller, name: RoleName) -> Result<(), Refusal> {
        Self::delete_role(self, caller, name).await
    }

    async fn list_roles(&self, _caller: &Caller) -> Result<Vec<RoleView>, Refusal> {
        Ok(Self::list_roles(self))
    }

    async fn list_audit_records(
        &self,
        _caller: &Caller,
        filter: AuditFilter,
        below: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredAuditRecord>, Refusal> {
        Self::list_audit_records(self, &filter, below, limit).await
    }

    async fn backup_store(&self, caller: &Caller) -> Result<Backup, Refusal> {
        Self::backup_store(self, caller).await
    }

    fn user_id(&self, name: &Principal) -> i64 {
        Self::user_id(self, name)
    }
}
