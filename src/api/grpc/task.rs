//! `TaskService`: validates, calls the service or the watch, encodes.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::api::grpc::call::{Call, Messages};
use crate::api::grpc::server::task_service_server::TaskService;
use crate::api::grpc::{page, validate};
use crate::proto::v1;
use crate::service::use_cases::UseCases;
use crate::watch::encode::task;
use crate::watch::{Hub, Permission, watch_task, watch_tasks};

/// See the module's head.
pub struct Tasks {
    pub(super) use_cases: Arc<dyn UseCases>,
    pub(super) hub: Arc<Hub>,
}

/// Everybody may see everything until callers are authenticated.
fn permission() -> Permission {
    Arc::new(|| Ok(()))
}

#[tonic::async_trait]
impl TaskService for Tasks {
    type WatchTaskStream = Messages;
    type WatchTasksStream = Messages;

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::GetTaskResponse>, Status> {
        let (call, request) = Call::admit("GetTask", request);
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
        let (call, request) = Call::admit("ListTasks", request);
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
        let (call, request) = Call::admit("WatchTask", request);
        call.stream(async { watch_task(&self.hub, validate::watch_task(&request)?, permission()).await }).await
    }

    async fn watch_tasks(&self, request: Request<v1::WatchTasksRequest>) -> Result<Response<Messages>, Status> {
        let (call, request) = Call::admit("WatchTasks", request);
        call.stream(async { watch_tasks(&self.hub, validate::watch_tasks(&request)?, permission()).await }).await
    }

    async fn retry_task(
        &self,
        request: Request<v1::RetryTaskRequest>,
    ) -> Result<Response<v1::RetryTaskResponse>, Status> {
        let (call, request) = Call::admit("RetryTask", request);
        call.answer(async {
            let stored = self.use_cases.retry_task(&call.caller, validate::retry_task(&request)?).await?;
            Ok(v1::RetryTaskResponse { task: Some(task(&stored)) })
        })
        .await
    }

    async fn give_up_task(
        &self,
        request: Request<v1::GiveUpTaskRequest>,
    ) -> Result<Response<v1::GiveUpTaskResponse>, Status> {
        let (call, request) = Call::admit("GiveUpTask", request);
        call.answer(async {
            let stored = self.use_cases.give_up_task(&call.caller, validate::give_up_task(&request)?).await?;
            Ok(v1::GiveUpTaskResponse { task: Some(task(&stored)) })
        })
        .await
    }
}
