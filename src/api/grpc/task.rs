//! `TaskService`: each method is a validation, a call and an encoding, or a watch.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::api::grpc::call::{Calls, Messages};
use crate::api::grpc::encode;
use crate::api::grpc::page::Paging;
use crate::api::grpc::server::task_service_server::TaskService;
use crate::api::grpc::validate;
use crate::proto::v1;
use crate::store::StoredTask;
use crate::watch::encode::task;
use crate::watch::{Hub, read_log, watch_task, watch_tasks};

pub struct Tasks {
    pub(super) calls: Calls,
    pub(super) hub: Arc<Hub>,
}

#[tonic::async_trait]
impl TaskService for Tasks {
    type WatchTaskStream = Messages;
    type WatchTasksStream = Messages;
    type GetSubtaskLogStream = Messages<v1::GetSubtaskLogResponse>;

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::GetTaskResponse>, Status> {
        self.calls
            .unary(
                request,
                |asked| validate::get_task(&asked),
                |stored| v1::GetTaskResponse { task: Some(task(&stored)) },
            )
            .await
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        let encode = |stored, page: Paging| {
            let (stored, next_page_token) = page.cut(stored, |stored: &StoredTask| stored.task.spec.id.get());
            Ok(v1::ListTasksResponse { tasks: stored.iter().map(task).collect(), next_page_token })
        };
        self.calls.list(request, |asked| validate::list_tasks(&asked), encode).await
    }

    async fn watch_task(&self, request: Request<v1::WatchTaskRequest>) -> Result<Response<Messages>, Status> {
        let begin = |asked, authorizer| watch_task(&self.hub, asked, authorizer);
        self.calls.stream(request, |asked| validate::watch_task(&asked), begin).await
    }

    async fn watch_tasks(&self, request: Request<v1::WatchTasksRequest>) -> Result<Response<Messages>, Status> {
        let begin = |asked, authorizer| watch_tasks(&self.hub, asked, authorizer);
        self.calls.stream(request, |asked| validate::watch_tasks(&asked), begin).await
    }

    async fn get_subtask_log(
        &self,
        request: Request<v1::GetSubtaskLogRequest>,
    ) -> Result<Response<Self::GetSubtaskLogStream>, Status> {
        let begin = |asked, authorizer| read_log(&self.hub, asked, authorizer);
        self.calls.stream(request, |asked| validate::get_subtask_log(&asked), begin).await
    }

    async fn retry_task(
        &self,
        request: Request<v1::RetryTaskRequest>,
    ) -> Result<Response<v1::RetryTaskResponse>, Status> {
        self.calls
            .unary(
                request,
                |asked| validate::retry_task(&asked),
                |stored| v1::RetryTaskResponse { task: Some(task(&stored)) },
            )
            .await
    }

    async fn rollback_task(
        &self,
        request: Request<v1::RollbackTaskRequest>,
    ) -> Result<Response<v1::RollbackTaskResponse>, Status> {
        self.calls
            .unary(
                request,
                |asked| validate::rollback_task(&asked),
                |stored| v1::RollbackTaskResponse { task: Some(task(&stored)) },
            )
            .await
    }

    async fn skip_subtask(
        &self,
        request: Request<v1::SkipSubtaskRequest>,
    ) -> Result<Response<v1::SkipSubtaskResponse>, Status> {
        self.calls
            .unary(
                request,
                |asked| validate::skip_subtask(&asked),
                |stored| v1::SkipSubtaskResponse { task: Some(task(&stored)) },
            )
            .await
    }

    async fn plan_task(&self, request: Request<v1::PlanTaskRequest>) -> Result<Response<v1::PlanTaskResponse>, Status> {
        self.calls.unary(request, |asked| validate::plan_task(&asked), encode::task_plan).await
    }

    async fn approve_task(
        &self,
        request: Request<v1::ApproveTaskRequest>,
    ) -> Result<Response<v1::ApproveTaskResponse>, Status> {
        self.calls
            .unary(
                request,
                |asked| validate::approve_task(&asked),
                |stored| v1::ApproveTaskResponse { task: Some(task(&stored)) },
            )
            .await
    }

    async fn withdraw_approval(
        &self,
        request: Request<v1::WithdrawApprovalRequest>,
    ) -> Result<Response<v1::WithdrawApprovalResponse>, Status> {
        self.calls
            .unary(
                request,
                |asked| validate::withdraw_approval(&asked),
                |stored| v1::WithdrawApprovalResponse { task: Some(task(&stored)) },
            )
            .await
    }

    async fn cancel_task(
        &self,
        request: Request<v1::CancelTaskRequest>,
    ) -> Result<Response<v1::CancelTaskResponse>, Status> {
        self.calls
            .unary(
                request,
                |asked| validate::cancel_task(&asked),
                |stored| v1::CancelTaskResponse { task: Some(task(&stored)) },
            )
            .await
    }

    async fn complete_hold(
        &self,
        request: Request<v1::CompleteHoldRequest>,
    ) -> Result<Response<v1::CompleteHoldResponse>, Status> {
        self.calls
            .unary(
                request,
                |asked| validate::complete_hold(&asked),
                |stored| v1::CompleteHoldResponse { task: Some(task(&stored)) },
            )
            .await
    }

    async fn give_up_task(
        &self,
        request: Request<v1::GiveUpTaskRequest>,
    ) -> Result<Response<v1::GiveUpTaskResponse>, Status> {
        self.calls
            .unary(
                request,
                |asked| validate::give_up_task(&asked),
                |stored| v1::GiveUpTaskResponse { task: Some(task(&stored)) },
            )
            .await
    }
}
