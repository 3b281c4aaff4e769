//! `TaskService`: validates, calls the service or the watch, encodes.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::api::auth::Gatekeeper;
use crate::api::grpc::call::{Call, Messages};
use crate::api::grpc::checked::checked;
use crate::api::grpc::server::task_service_server::TaskService;
use crate::api::grpc::{page, validate};
use crate::domain::call::Call as Mutation;
use crate::domain::refusal::Refusal;
use crate::proto::v1;
use crate::service::arguments::WatchScope;
use crate::service::use_cases::UseCases;
use crate::watch::encode::task;
use crate::watch::{Hub, read_log, watch_task, watch_tasks};

/// See the module's head.
pub struct Tasks {
    pub(super) use_cases: Arc<dyn UseCases>,
    pub(super) gatekeeper: Arc<Gatekeeper>,
    pub(super) hub: Arc<Hub>,
}

impl Tasks {
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
impl TaskService for Tasks {
    type WatchTaskStream = Messages;
    type WatchTasksStream = Messages;
    type GetSubtaskLogStream = Messages<v1::GetSubtaskLogResponse>;

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::GetTaskResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "GetTask", request).await?;
        call.answer(async {
            let stored = self.use_cases.get_task(&call.caller, validate::get_task(&request)?).await?;
            Ok(v1::GetTaskResponse { task: Some(task(&stored)) })
        })
        .await
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "ListTasks", request).await?;
        call.answer(async {
            let (asked, listing) = validate::list_tasks(&request)?;
            let size = asked.limit - 1;
            let mut stored = self.use_cases.list_tasks(&call.caller, asked).await?;
            let more = page::cut(&mut stored, size);
            let next = stored.last().filter(|_| more).map(|last| listing.token(last.task.spec.id.get()));
            Ok(v1::ListTasksResponse {
                tasks: stored.iter().map(task).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        })
        .await
    }

    async fn watch_task(&self, request: Request<v1::WatchTaskRequest>) -> Result<Response<Messages>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "WatchTask", request).await?;
        call.stream(async {
            let asked = validate::watch_task(&request)?;
            let sight = self.use_cases.sight(&call.caller, WatchScope::Task(asked.task)).await?;
            watch_task(&self.hub, asked, sight).await
        })
        .await
    }

    async fn watch_tasks(&self, request: Request<v1::WatchTasksRequest>) -> Result<Response<Messages>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "WatchTasks", request).await?;
        call.stream(async {
            let asked = validate::watch_tasks(&request)?;
            let sight = self.use_cases.sight(&call.caller, WatchScope::Tasks(asked.cluster)).await?;
            watch_tasks(&self.hub, asked, sight).await
        })
        .await
    }

    async fn get_subtask_log(
        &self,
        request: Request<v1::GetSubtaskLogRequest>,
    ) -> Result<Response<Self::GetSubtaskLogStream>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "GetSubtaskLog", request).await?;
        call.stream(async {
            let asked = validate::get_subtask_log(&request)?;
            let sight = self.use_cases.sight(&call.caller, WatchScope::Log(asked.task)).await?;
            read_log(&self.hub, asked, sight).await
        })
        .await
    }

    async fn retry_task(
        &self,
        request: Request<v1::RetryTaskRequest>,
    ) -> Result<Response<v1::RetryTaskResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "RetryTask", request).await?;
        call.answer(async {
            let asked = self.checked(&call, Mutation::RetryTask, validate::retry_task(&request)).await?;
            let stored = self.use_cases.retry_task(&call.caller, asked).await?;
            Ok(v1::RetryTaskResponse { task: Some(task(&stored)) })
        })
        .await
    }

    async fn rollback_task(
        &self,
        request: Request<v1::RollbackTaskRequest>,
    ) -> Result<Response<v1::RollbackTaskResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "RollbackTask", request).await?;
        call.answer(async {
            let asked = self.checked(&call, Mutation::RollbackTask, validate::rollback_task(&request)).await?;
            let stored = self.use_cases.rollback_task(&call.caller, asked).await?;
            Ok(v1::RollbackTaskResponse { task: Some(task(&stored)) })
        })
        .await
    }

    async fn skip_subtask(
        &self,
        request: Request<v1::SkipSubtaskRequest>,
    ) -> Result<Response<v1::SkipSubtaskResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "SkipSubtask", request).await?;
        call.answer(async {
            let asked = self.checked(&call, Mutation::SkipSubtask, validate::skip_subtask(&request)).await?;
            let stored = self.use_cases.skip_subtask(&call.caller, asked).await?;
            Ok(v1::SkipSubtaskResponse { task: Some(task(&stored)) })
        })
        .await
    }

    async fn cancel_task(
        &self,
        request: Request<v1::CancelTaskRequest>,
    ) -> Result<Response<v1::CancelTaskResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "CancelTask", request).await?;
        call.answer(async {
            let asked = self.checked(&call, Mutation::CancelTask, validate::cancel_task(&request)).await?;
            let stored = self.use_cases.cancel_task(&call.caller, asked).await?;
            Ok(v1::CancelTaskResponse { task: Some(task(&stored)) })
        })
        .await
    }

    async fn give_up_task(
        &self,
        request: Request<v1::GiveUpTaskRequest>,
    ) -> Result<Response<v1::GiveUpTaskResponse>, Status> {
        let (call, request) = Call::admit(&self.gatekeeper, "GiveUpTask", request).await?;
        call.answer(async {
            let asked = self.checked(&call, Mutation::GiveUpTask, validate::give_up_task(&request)).await?;
            let stored = self.use_cases.give_up_task(&call.caller, asked).await?;
            Ok(v1::GiveUpTaskResponse { task: Some(task(&stored)) })
        })
        .await
    }
}
