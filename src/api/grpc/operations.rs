//! `google.longrunning.Operations` over `TaskService`, for clients that know how to wait for an operation and not what a task is.
//! Each method is a call of `TaskService`, with its permission and its record. An operation is done when its task is closed: one
//! at rest waits for a person, and says so in its metadata, the task itself.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use prost::{Message, Name};
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};

use crate::api::grpc::call::{Arrived, status};
use crate::api::grpc::fields::shortened;
use crate::api::grpc::front::Deadline;
use crate::api::grpc::server::longrunning::operations_server::Operations as OperationsService;
use crate::api::grpc::server::task_service_server::TaskService;
use crate::api::trace;
use crate::clock::monotonic_now;
use crate::domain::ids::TaskId;
use crate::domain::refusal::Refusal;
use crate::proto::longrunning::operation::Result as Outcome;
use crate::proto::longrunning::{
    CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest, ListOperationsResponse,
    Operation, WaitOperationRequest,
};
use crate::proto::rpc::ErrorInfo;
use crate::proto::v1;
use crate::watch::encode::ERROR_DOMAIN;

/// Before the number of the task.
const PREFIX: &str = "operations/";
/// Longest wait of a caller that names none.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// What is kept of a caller's deadline for the answer to reach it, at most; a tenth of a short one.
const ANSWER: Duration = Duration::from_secs(1);

pub struct Operations<T> {
    pub(super) tasks: Arc<T>,
}

impl<T: TaskService> Operations<T> {
    async fn get<Q: Sync>(&self, request: &Request<Q>, task_id: i64) -> Result<Response<Operation>, Status> {
        let got = self.tasks.get_task(beside(request, v1::GetTaskRequest { task_id })).await?;
        answer(got, |got| got.task.map(operation).unwrap_or_default())
    }
}

#[tonic::async_trait]
impl<T: TaskService> OperationsService for Operations<T> {
    async fn list_operations(
        &self,
        request: Request<ListOperationsRequest>,
    ) -> Result<Response<ListOperationsResponse>, Status> {
        let ListOperationsRequest { name, filter, page_size, page_token, .. } = request.get_ref();
        if !name.is_empty() && format!("{name}/") != PREFIX {
            let given = shortened(name);
            return Err(refused(
                &request,
                "name",
                format!("{given:?} has no operations, write operations or leave it out"),
            ));
        }
        if !filter.is_empty() {
            return Err(refused(&request, "filter", "is not understood here, leave it out; ListTasks has filters"));
        }
        let list = v1::ListTasksRequest { page_size: *page_size, page_token: page_token.clone(), ..Default::default() };
        let listed = self.tasks.list_tasks(beside(&request, list)).await?;
        answer(listed, |listed| ListOperationsResponse {
            operations: listed.tasks.into_iter().map(operation).collect(),
            next_page_token: listed.next_page_token,
            unreachable: Vec::new(),
        })
    }

    async fn get_operation(&self, request: Request<GetOperationRequest>) -> Result<Response<Operation>, Status> {
        let task_id = task_of(&request, &request.get_ref().name)?;
        self.get(&request, task_id).await
    }

    async fn delete_operation(&self, request: Request<DeleteOperationRequest>) -> Result<Response<()>, Status> {
        let method = "google.longrunning.Operations/DeleteOperation".to_owned();
        Err(of_refusal(&request, &Refusal::MethodNotFound { method }))
    }

    async fn cancel_operation(&self, request: Request<CancelOperationRequest>) -> Result<Response<()>, Status> {
        let task_id = task_of(&request, &request.get_ref().name)?;
        let cancel = v1::CancelTaskRequest { task_id, ..Default::default() };
        answer(self.tasks.cancel_task(beside(&request, cancel)).await?, |_| ())
    }

    async fn wait_operation(&self, request: Request<WaitOperationRequest>) -> Result<Response<Operation>, Status> {
        let task_id = task_of(&request, &request.get_ref().name)?;
        let until = patience(&request)?;
        let watch = v1::WatchTaskRequest { task_id, until: v1::WatchUntil::Closed.into(), ..Default::default() };
        let mut messages = Box::pin(self.tasks.watch_task(beside(&request, watch)).await?.into_inner());
        let closed = async {
            while let Some(message) = messages.next().await {
                message?;
            }
            Ok::<(), Status>(())
        };
        if let Ok(Err(broken)) = tokio::time::timeout_at(until, closed).await {
            return Err(broken);
        }
        self.get(&request, task_id).await
    }
}

/// Another call by the same caller, under the same trace.
fn beside<Q, M>(request: &Request<Q>, message: M) -> Request<M> {
    Request::from_parts(request.metadata().clone(), request.extensions().clone(), message)
}

fn answer<A, B>(answered: Response<A>, of: impl FnOnce(A) -> B) -> Result<Response<B>, Status> {
    Ok(answered.map(of))
}

fn refused<Q>(request: &Request<Q>, field: &str, description: impl Into<String>) -> Status {
    of_refusal(request, &Refusal::field(field, description))
}

fn of_refusal<Q>(request: &Request<Q>, refusal: &Refusal) -> Status {
    match request.extensions().get::<Arrived>() {
        Some(Arrived { admitted, .. }) => status(refusal, admitted.caller.trace, admitted.rate),
        None => status(refusal, trace::new(), None),
    }
}

/// The task of an operation.
fn task_of<Q>(request: &Request<Q>, name: &str) -> Result<i64, Status> {
    // One spelling: neither a sign nor leading zeros.
    let spelt = |digits: &&str| !digits.starts_with('0') && digits.bytes().all(|digit| digit.is_ascii_digit());
    let id = name.strip_prefix(PREFIX).filter(spelt).and_then(|digits| TaskId::new(digits.parse().ok()?).ok());
    id.map(TaskId::get).ok_or_else(|| {
        let given = shortened(name);
        refused(request, "name", format!("{given:?} is not an operation, write operations/ and the id of a task"))
    })
}

/// Until when an operation is waited for: as long as is asked for, and so that the answer still reaches the caller.
fn patience(request: &Request<WaitOperationRequest>) -> Result<Instant, Status> {
    let asked = match request.get_ref().timeout {
        None => LONGEST_WAIT,
        Some(timeout) => Duration::try_from(timeout)
            .map_err(|_| refused(request, "timeout", "is negative or too long, give at most 600 s"))?,
    };
    let now = monotonic_now();
    let left = request.extensions().get::<Deadline>().map(|Deadline(deadline)| deadline.duration_since(now));
    let left = left.map_or(LONGEST_WAIT, |left| left.saturating_sub(ANSWER.min(left / 10)));
    Ok(now + asked.min(left).min(LONGEST_WAIT))
}

fn operation(task: v1::Task) -> Operation {
    let whole = prost_types::Any {
        type_url: format!("type.googleapis.com/{}", v1::Task::full_name()),
        value: task.encode_to_vec(),
    };
    let result = match task.state() {
        v1::TaskState::Successful => Some(Outcome::Response(whole.clone())),
        state @ (v1::TaskState::RolledBack | v1::TaskState::Refused | v1::TaskState::GivenUp) => {
            Some(Outcome::Error(task.error.unwrap_or_else(|| ended(task.id, state))))
        }
        v1::TaskState::Unspecified
        | v1::TaskState::Pending
        | v1::TaskState::Running
        | v1::TaskState::Canceling
        | v1::TaskState::Failed
        | v1::TaskState::Cancelled => None,
    };
    Operation { name: format!("{PREFIX}{}", task.id), metadata: Some(whole), done: result.is_some(), result }
}

/// Of a task that was closed by a person, without having failed.
fn ended(task: i64, state: v1::TaskState) -> tonic_types::Status {
    let state = state.as_str_name().trim_start_matches("TASK_STATE_");
    let metadata = [("task_id".to_owned(), task.to_string()), ("state".to_owned(), state.to_owned())].into();
    let info = ErrorInfo { reason: format!("TASK_{state}"), domain: ERROR_DOMAIN.to_owned(), metadata };
    let message = format!("task {task} is {state}, it did not reach what was asked for");
    tonic_types::Status { code: Code::Cancelled.into(), message, details: vec![info.into_any()] }
}
