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
    PlanStopServer, RegisterCluster, RoleView, ServerView, StopPlanView, StopServer, TaskRequest, TaskSelection,
    UpdateCluster, UpdateUser, UserView, WatchScope,
};
use crate::service::use_cases::{Synced, UseCases};
use crate::store::access::{AuditFilter, StoredAuditRecord};
use crate::store::inventory::ClusterOrder;
use crate::store::{LogLine, Page, StoredTask, TaskOrder};
use crate::watch::Sight;

use super::Service;

#[async_trait]
impl UseCases for Service {
    async fn stop_server(&self, caller: &Caller, asked: StopServer) -> Result<StoredTask, Refusal> {
        Self::stop_server(self, caller, asked).await
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

    async fn list_tasks(&self, caller: &Caller, asked: ListTasks) -> Result<Vec<StoredTask>, Refusal> {
        Self::list_tasks(self, caller, asked).await
    }

    async fn retry_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        Self::retry_task(self, caller, asked).await
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
        _caller: &Caller,
        _asked: TaskSelection,
        _page: Page<TaskOrder>,
    ) -> Result<PageOf<StoredTask>, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn clusters_page(
        &self,
        _caller: &Caller,
        _asked: ClusterSelection,
        _page: Page<ClusterOrder>,
    ) -> Result<PageOf<ClusterView>, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn subtask_log(&self, _caller: &Caller, _task: TaskId, _subtask: SubtaskId) -> Result<Vec<LogLine>, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn sight(&self, _caller: &Caller, _scope: WatchScope) -> Result<Arc<dyn Sight>, Refusal> {
        Ok(Arc::new(SeesAll))
    }

    async fn refused(&self, _caller: &Caller, _call: Call, _refusal: &Refusal) {}

    async fn create_user(&self, _caller: &Caller, _asked: CreateUser) -> Result<UserView, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn update_user(&self, _caller: &Caller, _asked: UpdateUser) -> Result<UserView, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn set_password(&self, _caller: &Caller, _user: Principal, _password: SecretString) -> Result<(), Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn list_users(&self, _caller: &Caller) -> Result<Vec<UserView>, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn create_access_key(&self, _caller: &Caller, _user: Option<Principal>) -> Result<AccessKeyView, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn update_access_key(
        &self,
        _caller: &Caller,
        _key: AccessKeyId,
        _disabled: bool,
    ) -> Result<AccessKeyView, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn rotate_access_key(&self, _caller: &Caller, _key: AccessKeyId) -> Result<AccessKeyView, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn list_access_keys(
        &self,
        _caller: &Caller,
        _user: Option<Principal>,
    ) -> Result<Vec<AccessKeyView>, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn create_role(
        &self,
        _caller: &Caller,
        _name: RoleName,
        _permissions: Vec<Permission>,
    ) -> Result<RoleView, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn delete_role(&self, _caller: &Caller, _name: RoleName) -> Result<(), Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn list_roles(&self, _caller: &Caller) -> Result<Vec<RoleView>, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    async fn list_audit_records(
        &self,
        _caller: &Caller,
        _filter: AuditFilter,
        _below: Option<i64>,
        _limit: u32,
    ) -> Result<Vec<StoredAuditRecord>, Refusal> {
        Err(Refusal::Internal { what: "not built".to_owned() })
    }

    fn user_id(&self, _name: &Principal) -> i64 {
        0
    }
}

struct SeesAll;

impl Sight for SeesAll {
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn sees(&self, _task: TaskId, _cluster: ClusterId) -> bool {
        true
    }
}
