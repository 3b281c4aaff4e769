//! The table of routes, which `openapi.yaml` must agree with (tested), and the router that is made of it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{MethodFilter, MethodRouter, on_service};
use http::Response;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, service_fn};

use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::authentication::{Authenticated, AuthenticationLayer};
use crate::api::rest::handlers::Handler;
use crate::api::rest::open::open;
use crate::api::rest::parsed_request::ParsedRequest;
use crate::api::rest::state::RestState;
use crate::api::rest::trace::{TraceLayer, TracedRequest};
use crate::domain::call::Call;
use crate::domain::refusal::Refusal;

/// Longest path that an error repeats, in characters.
const LONGEST_PATH: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationId {
    /// The description of the face.
    OpenApi,
    /// What the time is here: clients ask whether the face is there.
    GetTime,
    /// Whether the service serves, in OCP's words: load balancers ask.
    GetStatus,
    GetInfo,
    StopServer,
    StartServer,
    RestartServer,
    ListTasks,
    GetTask,
    /// Runs a failed task again.
    RetryTask,
    /// Undoes what a failed task did.
    RollbackTask,
    /// Ends what a task runs.
    CancelTask,
    /// Closes a task at rest as it is.
    GiveUpTask,
    GetSubtaskLog,
    /// Runs a failed subtask again.
    RetrySubtask,
    /// Goes on behind a failed subtask.
    SkipSubtask,
    CancelSubtask,
    /// The events of a task.
    WatchTask,
    ListClusters,
    GetCluster,
    /// The zones of a cluster.
    ListZones,
    /// The servers of a cluster.
    ListServers,
    GetServer,
    /// The servers of a zone.
    ListZoneServers,
}

impl OperationId {
    /// Its name in `openapi.yaml`, and the object that errors about its parameters name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenApi => "openApi",
            Self::GetTime => "getTime",
            Self::GetStatus => "getStatus",
            Self::GetInfo => "getInfo",
            Self::StopServer => "stopObServer",
            Self::StartServer => "startObServer",
            Self::RestartServer => "restartObServer",
            Self::ListTasks => "listTasks",
            Self::GetTask => "getTask",
            Self::RetryTask => "retryTask",
            Self::RollbackTask => "rollbackTask",
            Self::CancelTask => "cancelTask",
            Self::GiveUpTask => "giveUpTask",
            Self::GetSubtaskLog => "getSubtaskLog",
            Self::RetrySubtask => "retrySubtask",
            Self::SkipSubtask => "skipSubtask",
            Self::CancelSubtask => "cancelSubtask",
            Self::WatchTask => "watchTask",
            Self::ListClusters => "listClusters",
            Self::GetCluster => "getCluster",
            Self::ListZones => "listZones",
            Self::ListServers => "listServers",
            Self::GetServer => "getServer",
            Self::ListZoneServers => "listZoneServers",
        }
    }

    /// The call of the service that it comes down to; `None`: it says something of the face itself.
    const fn call(self) -> Option<Call> {
        Some(match self {
            Self::OpenApi | Self::GetTime | Self::GetStatus | Self::GetInfo => return None,
            Self::StopServer => Call::StopServer,
            Self::StartServer => Call::StartServer,
            Self::RestartServer => Call::RestartServer,
            Self::ListTasks => Call::ListTasks,
            Self::GetTask => Call::GetTask,
            Self::RetryTask | Self::RetrySubtask => Call::RetryTask,
            Self::RollbackTask => Call::RollbackTask,
            Self::CancelTask | Self::CancelSubtask => Call::CancelTask,
            Self::GiveUpTask => Call::GiveUpTask,
            Self::SkipSubtask => Call::SkipSubtask,
            Self::GetSubtaskLog => Call::GetSubtaskLog,
            Self::WatchTask => Call::WatchTask,
            Self::ListClusters => Call::ListClusters,
            Self::GetCluster => Call::GetCluster,
            Self::GetServer => Call::GetServer,
            Self::ListZones | Self::ListServers | Self::ListZoneServers => Call::ListServers,
        })
    }

    pub fn changes(self) -> bool {
        self.call().is_some_and(Call::is_mutation)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET, and HEAD with it.
    Get,
    Post,
}

impl Method {
    const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
        }
    }

    const fn allowed(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub method: Method,
    /// Its path; parameters in braces.
    pub path: &'static str,
    pub operation: OperationId,
}

const fn get(path: &'static str, operation: OperationId) -> Route {
    Route { method: Method::Get, path, operation }
}

const fn post(path: &'static str, operation: OperationId) -> Route {
    Route { method: Method::Post, path, operation }
}

/// Every route. No path has two methods (tested), so that a wrong method has one answer.
pub const ROUTES: &[Route] = &[
    get("/openapi.yaml", OperationId::OpenApi),
    get("/api/v2/time", OperationId::GetTime),
    get("/api/v2/info", OperationId::GetInfo),
    get("/api/status", OperationId::GetStatus),
    get("/api/v2/ob/clusters", OperationId::ListClusters),
    get("/api/v2/ob/clusters/{id}", OperationId::GetCluster),
    get("/api/v2/ob/clusters/{id}/zones", OperationId::ListZones),
    get("/api/v2/ob/clusters/{id}/servers", OperationId::ListServers),
    get("/api/v2/ob/clusters/{id}/servers/{serverId}", OperationId::GetServer),
    post("/api/v2/ob/clusters/{id}/servers/{serverId}/stop", OperationId::StopServer),
    post("/api/v2/ob/clusters/{id}/servers/{serverId}/start", OperationId::StartServer),
    post("/api/v2/ob/clusters/{id}/servers/{serverId}/restart", OperationId::RestartServer),
    // As it is documented, and as published clients call it.
    get("/api/v2/clusters/{clusterId}/zones/{zoneName}/servers", OperationId::ListZoneServers),
    get("/api/v2/ob/clusters/{id}/zones/{zoneName}/servers", OperationId::ListZoneServers),
    get("/api/v2/tasks/instances", OperationId::ListTasks),
    get("/api/v2/tasks/instances/{taskInstanceId}", OperationId::GetTask),
    get("/api/v2/tasks/{taskInstanceId}", OperationId::GetTask),
    post("/api/v2/tasks/instances/{taskInstanceId}/retry", OperationId::RetryTask),
    post("/api/v2/tasks/instances/{taskInstanceId}/rollback", OperationId::RollbackTask),
    post("/api/v2/tasks/instances/{taskInstanceId}/cancel", OperationId::CancelTask),
    post("/api/v2/tasks/instances/{taskInstanceId}/giveUp", OperationId::GiveUpTask),
    get("/api/v2/tasks/instances/{taskInstanceId}/events", OperationId::WatchTask),
    get("/api/v2/tasks/instances/{taskInstanceId}/subtasks/{subtaskInstanceId}/log", OperationId::GetSubtaskLog),
    post("/api/v2/tasks/instances/{taskInstanceId}/subtasks/{subtaskInstanceId}/retry", OperationId::RetrySubtask),
    post("/api/v2/tasks/instances/{taskInstanceId}/subtasks/{subtaskInstanceId}/skip", OperationId::SkipSubtask),
    post("/api/v2/tasks/instances/{taskInstanceId}/subtasks/{subtaskInstanceId}/cancel", OperationId::CancelSubtask),
];

/// Where a request came out of the router.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    Operation(OperationId),
    /// A path that takes only these methods.
    WrongMethod(&'static str),
    /// No path of ours.
    Unknown,
}

impl Target {
    /// What errors about the request's parameters name.
    pub const fn object(self) -> &'static str {
        match self {
            Self::Operation(operation) => operation.as_str(),
            Self::WrongMethod(_) | Self::Unknown => "request",
        }
    }

    pub fn changes(self) -> bool {
        match self {
            Self::Operation(operation) => operation.changes(),
            Self::WrongMethod(_) | Self::Unknown => false,
        }
    }
}

/// The router of the table.
pub fn router(state: &Arc<RestState>) -> Router {
    let mut paths: BTreeMap<&str, MethodRouter> = BTreeMap::new();
    for route in ROUTES {
        let right = service(state, Target::Operation(route.operation));
        let wrong = service(state, Target::WrongMethod(route.method.allowed()));
        paths.insert(route.path, on_service(route.method.filter(), right).fallback_service(wrong));
    }
    let router = paths.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    router.fallback_service(service(state, Target::Unknown))
}

type BoxedService = BoxCloneSyncService<Request, Response<Body>, Infallible>;

/// What answers at a target. Whether there is such a path or method, too, only proven callers learn.
fn service(state: &Arc<RestState>, target: Target) -> BoxedService {
    let state = Arc::clone(state);
    match target {
        Target::Operation(operation) => match Handler::of(operation) {
            Handler::Open(answer) => {
                let inner = Arc::clone(&state);
                traced(&state, target, service_fn(move |request| open(Arc::clone(&inner), answer, request)))
            }
            Handler::Authenticated(handle) => {
                let changes = operation.changes();
                authenticated(&Arc::clone(&state), target, move |request| {
                    let state = Arc::clone(&state);
                    async move { handle(&state, ParsedRequest::read(&state.rest, request, changes).await?).await }
                })
            }
        },
        Target::WrongMethod(allowed) => authenticated(&state, target, move |request| {
            let (method, path) = method_and_path(&request);
            ready(Err(Refusal::MethodNotAllowed { method, path, allowed: allowed.to_owned() }.into()))
        }),
        Target::Unknown => authenticated(&state, target, |request| {
            let (method, path) = method_and_path(&request);
            ready(Err(Refusal::RouteNotFound { method, path }.into()))
        }),
    }
}

fn authenticated<F>(
    state: &Arc<RestState>,
    target: Target,
    handle: impl Fn(Authenticated) -> F + Clone + Send + Sync + 'static,
) -> BoxedService
where
    F: Future<Output = Result<Reply, Failure>> + Send + 'static,
{
    traced(state, target, AuthenticationLayer { state: Arc::clone(state) }.layer(service_fn(handle)))
}

fn traced<S>(state: &Arc<RestState>, target: Target, inner: S) -> BoxedService
where
    S: Service<TracedRequest, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    BoxCloneSyncService::new(TraceLayer { state: Arc::clone(state), target }.layer(inner))
}

fn method_and_path(request: &Authenticated) -> (String, String) {
    let request = request.request();
    (request.method().as_str().to_owned(), cut(request.uri().path()))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_PATH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
