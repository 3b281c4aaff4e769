//! `RolloutService`: each method is a validation, a call and an encoding.

use tonic::{Request, Response, Status};

use crate::api::grpc::call::Calls;
use crate::api::grpc::server::rollout_service_server::RolloutService;
use crate::api::grpc::{encode, validate, validate_rollout};
use crate::proto::v1;
use crate::watch::encode::task;

pub struct Rollouts(pub(super) Calls);

#[tonic::async_trait]
impl RolloutService for Rollouts {
    async fn start_rollout(
        &self,
        request: Request<v1::StartRolloutRequest>,
    ) -> Result<Response<v1::StartRolloutResponse>, Status> {
        self.0
            .unary(request, validate_rollout::start_rollout, |stored| v1::StartRolloutResponse {
                task: Some(task(&stored)),
            })
            .await
    }

    async fn plan_rollout(
        &self,
        request: Request<v1::PlanRolloutRequest>,
    ) -> Result<Response<v1::PlanRolloutResponse>, Status> {
        self.0.unary(request, validate_rollout::plan_rollout, encode::rollout_plan).await
    }

    async fn pause_rollout(
        &self,
        request: Request<v1::PauseRolloutRequest>,
    ) -> Result<Response<v1::PauseRolloutResponse>, Status> {
        self.0
            .unary(
                request,
                |asked| validate::pause_rollout(&asked),
                |stored| v1::PauseRolloutResponse { task: Some(task(&stored)) },
            )
            .await
    }

    async fn resume_rollout(
        &self,
        request: Request<v1::ResumeRolloutRequest>,
    ) -> Result<Response<v1::ResumeRolloutResponse>, Status> {
        self.0
            .unary(
                request,
                |asked| validate::resume_rollout(&asked),
                |stored| v1::ResumeRolloutResponse { task: Some(task(&stored)) },
            )
            .await
    }
}
