//! [`Service`] as the faces see it: each use case is the call of the same name.

use async_trait::async_trait;

use super::Service;
use super::arguments::{
    Caller, ClusterName, ClusterView, ListServers, ListTasks, PlanStopServer, RegisterCluster, ServerView,
    StopPlanView, StopServer, TaskRequest, UpdateCluster,
};
use super::use_cases::{Synced, UseCases};
use crate::domain::ids::{ClusterId, ServerId, TaskId};
use crate::domain::refusal::Refusal;
use crate::store::StoredTask;

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

    async fn list_clusters(&self, caller: &Caller, name: Option<String>, above: Option<ClusterId>, limit: u32) -> Result<Vec<ClusterView>, Refusal> {
        Self::list_clusters(self, caller, name, above, limit).await
    }

    async fn sync_cluster(&self, caller: &Caller, cluster: ClusterId) -> Result<Synced, Refusal> {
        Self::sync_cluster(self, caller, cluster).await
    }

    async fn deregister_cluster(&self, caller: &Caller, cluster: ClusterId) -> Result<(), Refusal> {
        Self::deregister_cluster(self, caller, cluster).await
    }
}
