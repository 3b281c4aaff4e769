//! `ObZoneService`: each method is a validation, a call and an encoding.

use tonic::{Request, Response, Status};

use crate::api::grpc::call::Calls;
use crate::api::grpc::server::ob_zone_service_server::ObZoneService;
use crate::api::grpc::{encode, validate_zone};
use crate::proto::v1;
use crate::watch::encode::task;

pub struct ObZones(pub(super) Calls);

#[tonic::async_trait]
impl ObZoneService for ObZones {
    async fn stop_zone(&self, request: Request<v1::StopZoneRequest>) -> Result<Response<v1::StopZoneResponse>, Status> {
        self.0
            .unary(request, validate_zone::stop_zone, |stored| v1::StopZoneResponse { task: Some(task(&stored)) })
            .await
    }

    async fn start_zone(
        &self,
        request: Request<v1::StartZoneRequest>,
    ) -> Result<Response<v1::StartZoneResponse>, Status> {
        self.0
            .unary(request, validate_zone::start_zone, |stored| v1::StartZoneResponse { task: Some(task(&stored)) })
            .await
    }

    async fn restart_zone(
        &self,
        request: Request<v1::RestartZoneRequest>,
    ) -> Result<Response<v1::RestartZoneResponse>, Status> {
        self.0
            .unary(request, validate_zone::restart_zone, |stored| v1::RestartZoneResponse { task: Some(task(&stored)) })
            .await
    }

    async fn plan_stop_zone(
        &self,
        request: Request<v1::PlanStopZoneRequest>,
    ) -> Result<Response<v1::PlanStopZoneResponse>, Status> {
        self.0
            .unary(request, validate_zone::plan_stop_zone, |plan| v1::PlanStopZoneResponse {
                plan: Some(encode::plan(plan)),
            })
            .await
    }
}
