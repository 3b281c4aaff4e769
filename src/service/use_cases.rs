//! The use cases as the faces see them: what `api` calls and the service implements. Every call names its caller.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::ids::{ClusterId, ServerId, TaskId};
use crate::domain::refusal::Refusal;
use crate::service::arguments::{
    Caller, ClusterName, ClusterView, ListServers, ListTasks, PlanStopServer, RegisterCluster, ServerView,
    StopPlanView, StopServer, TaskRequest, UpdateCluster,
};
use crate::store::StoredTask;

/// A cluster as just read: what is known, what changed since the reading before, and how long the reading took.
pub type Synced = (ClusterView, Vec<String>, Duration);

/// The use cases.
#[async_trait]
pub trait UseCases: Send + Sync {
    /// Records a task that stops a server.
    async fn stop_server(&self, caller: &Caller, asked: StopServer) -> Result<StoredTask, Refusal>;

    /// The whole precheck of a stop, without change.
    async fn plan_stop_server(&self, caller: &Caller, asked: PlanStopServer) -> Result<StopPlanView, Refusal>;

    /// One server, its process looked at.
    async fn get_server(&self, caller: &Caller, cluster: ClusterId, server: ServerId) -> Result<ServerView, Refusal>;

    /// Servers as last recorded, ascending by id.
    async fn list_servers(&self, caller: &Caller, asked: ListServers) -> Result<Vec<ServerView>, Refusal>;

    /// One task.
    async fn get_task(&self, caller: &Caller, task: TaskId) -> Result<StoredTask, Refusal>;

    /// Tasks, newest first.
    async fn list_tasks(&self, caller: &Caller, asked: ListTasks) -> Result<Vec<StoredTask>, Refusal>;

    /// Runs a failed task again.
    async fn retry_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal>;

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
}
