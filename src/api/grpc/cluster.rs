//! `ClusterService`: each method is a validation, a call and an encoding.

use tonic::{Request, Response, Status};

use crate::api::grpc::call::Calls;
use crate::api::grpc::encode::{self, cluster};
use crate::api::grpc::page::Paging;
use crate::api::grpc::server::cluster_service_server::ClusterService;
use crate::api::grpc::{validate_cluster as validate, validate_whole};
use crate::proto::v1;
use crate::service::views::ClusterView;
use crate::service::{DeregisterCluster, ListChangeFreezes, SyncCluster, Synced};
use crate::watch::encode::{duration, task};

pub struct Clusters(pub(super) Calls);

#[tonic::async_trait]
impl ClusterService for Clusters {
    async fn register_cluster(
        &self,
        request: Request<v1::RegisterClusterRequest>,
    ) -> Result<Response<v1::RegisterClusterResponse>, Status> {
        self.0
            .unary(request, validate::register_cluster, |view| v1::RegisterClusterResponse {
                cluster: Some(cluster(&view)),
            })
            .await
    }

    async fn update_cluster(
        &self,
        request: Request<v1::UpdateClusterRequest>,
    ) -> Result<Response<v1::UpdateClusterResponse>, Status> {
        self.0
            .unary(request, validate::update_cluster, |view| v1::UpdateClusterResponse {
                cluster: Some(cluster(&view)),
            })
            .await
    }

    async fn get_cluster(
        &self,
        request: Request<v1::GetClusterRequest>,
    ) -> Result<Response<v1::GetClusterResponse>, Status> {
        self.0
            .unary(request, validate::get_cluster, |view| v1::GetClusterResponse { cluster: Some(cluster(&view)) })
            .await
    }

    async fn list_clusters(
        &self,
        request: Request<v1::ListClustersRequest>,
    ) -> Result<Response<v1::ListClustersResponse>, Status> {
        let encode = |views, page: Paging| {
            let (views, next_page_token) = page.cut(views, |view: &ClusterView| view.row.id.get());
            Ok(v1::ListClustersResponse { clusters: views.iter().map(cluster).collect(), next_page_token })
        };
        self.0.list(request, validate::list_clusters, encode).await
    }

    async fn sync_cluster(
        &self,
        request: Request<v1::SyncClusterRequest>,
    ) -> Result<Response<v1::SyncClusterResponse>, Status> {
        let encode = |synced: Synced| v1::SyncClusterResponse {
            cluster: Some(cluster(&synced.cluster)),
            differences: synced.differences,
            elapsed: Some(duration(synced.elapsed)),
        };
        self.0.unary(request, |asked| validate::cluster_id(asked.cluster_id).map(SyncCluster), encode).await
    }

    async fn deregister_cluster(
        &self,
        request: Request<v1::DeregisterClusterRequest>,
    ) -> Result<Response<v1::DeregisterClusterResponse>, Status> {
        let validate =
            |asked: v1::DeregisterClusterRequest| validate::cluster_id(asked.cluster_id).map(DeregisterCluster);
        self.0.unary(request, validate, |()| v1::DeregisterClusterResponse {}).await
    }

    async fn stop_cluster(
        &self,
        request: Request<v1::StopClusterRequest>,
    ) -> Result<Response<v1::StopClusterResponse>, Status> {
        self.0
            .unary(request, validate_whole::stop_cluster, |stored| v1::StopClusterResponse {
                task: Some(task(&stored)),
            })
            .await
    }

    async fn start_cluster(
        &self,
        request: Request<v1::StartClusterRequest>,
    ) -> Result<Response<v1::StartClusterResponse>, Status> {
        self.0
            .unary(request, validate_whole::start_cluster, |stored| v1::StartClusterResponse {
                task: Some(task(&stored)),
            })
            .await
    }

    async fn restart_cluster(
        &self,
        request: Request<v1::RestartClusterRequest>,
    ) -> Result<Response<v1::RestartClusterResponse>, Status> {
        self.0
            .unary(request, validate_whole::restart_cluster, |stored| v1::RestartClusterResponse {
                task: Some(task(&stored)),
            })
            .await
    }

    async fn plan_stop_cluster(
        &self,
        request: Request<v1::PlanStopClusterRequest>,
    ) -> Result<Response<v1::PlanStopClusterResponse>, Status> {
        self.0
            .unary(request, validate_whole::plan_stop_cluster, |plan| v1::PlanStopClusterResponse {
                plan: Some(encode::plan(plan)),
            })
            .await
    }

    async fn freeze_changes(
        &self,
        request: Request<v1::FreezeChangesRequest>,
    ) -> Result<Response<v1::FreezeChangesResponse>, Status> {
        self.0
            .unary(request, validate::freeze_changes, |freeze| v1::FreezeChangesResponse {
                freeze: Some(encode::change_freeze(freeze)),
            })
            .await
    }

    async fn thaw_changes(
        &self,
        request: Request<v1::ThawChangesRequest>,
    ) -> Result<Response<v1::ThawChangesResponse>, Status> {
        self.0.unary(request, validate::thaw_changes, |()| v1::ThawChangesResponse {}).await
    }

    async fn list_change_freezes(
        &self,
        request: Request<v1::ListChangeFreezesRequest>,
    ) -> Result<Response<v1::ListChangeFreezesResponse>, Status> {
        self.0
            .unary(
                request,
                |v1::ListChangeFreezesRequest {}| Ok(ListChangeFreezes),
                |freezes| v1::ListChangeFreezesResponse {
                    freezes: freezes.into_iter().map(encode::change_freeze).collect(),
                },
            )
            .await
    }
}
