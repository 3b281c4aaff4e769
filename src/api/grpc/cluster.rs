//! `ClusterService`: validates, calls the service, encodes.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::api::auth::Gatekeeper;
use crate::api::grpc::call::Call;
use crate::api::grpc::checked::checked;
use crate::api::grpc::server::cluster_service_server::ClusterService;
use crate::api::grpc::{encode, page, validate_cluster};
use crate::domain::call::Call as Mutation;
use crate::domain::refusal::Refusal;
use crate::proto::v1;
use crate::service::use_cases::UseCases;

/// See the module's head.
pub struct Clusters {
    pub(super) use_cases: Arc<dyn UseCases>,
    pub(super) gatekeeper: Arc<Gatekeeper>,
}

impl Clusters {
    async fn checked<T: Send>(
        &self,
        call: &Call,
        mutation: Mutation,
        validated: Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        checked(&*self.use_cases, &call.caller, mutation, validated).await
    }
}

#[tonic::async_trait]
impl ClusterService for Clusters {
    async fn register_cluster(
        &self,
        request: Request<v1::RegisterClusterRequest>,
    ) -> Result<Response<v1::RegisterClusterResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "RegisterCluster", request).await?;
        call.answer(async {
            let asked =
                self.checked(&call, Mutation::RegisterCluster, validate_cluster::register_cluster(request)).await?;
            let view = self.use_cases.register_cluster(&call.caller, asked).await?;
            Ok(v1::RegisterClusterResponse { cluster: Some(encode::cluster(&view)) })
        })
        .await
    }

    async fn update_cluster(
        &self,
        request: Request<v1::UpdateClusterRequest>,
    ) -> Result<Response<v1::UpdateClusterResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "UpdateCluster", request).await?;
        call.answer(async {
            let asked = self.checked(&call, Mutation::UpdateCluster, validate_cluster::update_cluster(request)).await?;
            let view = self.use_cases.update_cluster(&call.caller, asked).await?;
            Ok(v1::UpdateClusterResponse { cluster: Some(encode::cluster(&view)) })
        })
        .await
    }

    async fn get_cluster(
        &self,
        request: Request<v1::GetClusterRequest>,
    ) -> Result<Response<v1::GetClusterResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "GetCluster", request).await?;
        call.answer(async {
            let name = validate_cluster::get_cluster(request)?;
            let view = self.use_cases.get_cluster(&call.caller, name).await?;
            Ok(v1::GetClusterResponse { cluster: Some(encode::cluster(&view)) })
        })
        .await
    }

    async fn list_clusters(
        &self,
        request: Request<v1::ListClustersRequest>,
    ) -> Result<Response<v1::ListClustersResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "ListClusters", request).await?;
        call.answer(async {
            let (asked, listing) = validate_cluster::list_clusters(request)?;
            let validate_cluster::ListClusters { name, above, limit } = asked;
            let mut views = self.use_cases.list_clusters(&call.caller, name, above, limit).await?;
            let more = page::cut(&mut views, limit - 1);
            let next = views.last().filter(|_| more).map(|last| listing.token(last.row.id.get()));
            Ok(v1::ListClustersResponse {
                clusters: views.iter().map(encode::cluster).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        })
        .await
    }

    async fn sync_cluster(
        &self,
        request: Request<v1::SyncClusterRequest>,
    ) -> Result<Response<v1::SyncClusterResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "SyncCluster", request).await?;
        call.answer(async {
            let cluster = validate_cluster::cluster_id(request.cluster_id)?;
            let (view, differences, elapsed) = self.use_cases.sync_cluster(&call.caller, cluster).await?;
            Ok(v1::SyncClusterResponse {
                cluster: Some(encode::cluster(&view)),
                differences,
                elapsed: Some(crate::watch::encode::duration(elapsed)),
            })
        })
        .await
    }

    async fn deregister_cluster(
        &self,
        request: Request<v1::DeregisterClusterRequest>,
    ) -> Result<Response<v1::DeregisterClusterResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "DeregisterCluster", request).await?;
        call.answer(async {
            let valid = validate_cluster::cluster_id(request.cluster_id);
            let cluster = self.checked(&call, Mutation::DeregisterCluster, valid).await?;
            self.use_cases.deregister_cluster(&call.caller, cluster).await?;
            Ok(v1::DeregisterClusterResponse {})
        })
        .await
    }
}
