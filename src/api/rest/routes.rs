//! The table of routes, which `openapi.yaml` must agree with (tested), and the router that is made of it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{MethodFilter, MethodRouter, on_service};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Response;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, service_fn};

use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::authentication::{Authenticated, AuthenticationLayer};
use crate::api::rest::open::open;
use crate::api::rest::parsed_request::ParsedRequest;
use crate::api::rest::state::RestState;
use crate::api::rest::trace::{TraceLayer, TracedRequest};
use crate::api::rest::{about, events, inventory, operate, tasks};
use crate::domain::call::Call;
use crate::domain::refusal::Refusal;
use crate::service::{FreezeServer, RestartCluster, RestartZone, StartServer, StopCluster, StopZone};

/// Longest path that an error repeats, in characters.
const LONGEST_PATH: usize = 200;

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

/// Who answers an operation.
#[derive(Clone, Copy)]
enum Handler {
    /// Whoever asks is answered.
    Open(OpenHandler),
    /// Only a proven caller is.
    Authenticated(AuthenticatedHandler),
}

/// Knows nothing of the request.
pub type OpenHandler = fn(&RestState) -> BoxFuture<'_, Reply>;

type AuthenticatedHandler = fn(&Arc<RestState>, ParsedRequest) -> BoxFuture<'_, Result<Reply, Failure>>;

/// The table: the name of an operation in `openapi.yaml`, the call of the service that it comes down to (`None`: it says
/// something of the face itself), who answers it, and its paths, parameters in braces. No path has two methods (tested), so
/// that a wrong method has one answer.
macro_rules! operations {
    ($($(#[$doc:meta])* $id:ident = $name:literal, $call:expr, $handler:expr, $($method:ident $path:literal),+;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum OperationId { $($(#[$doc])* $id),+ }

        impl OperationId {
            /// Its name in `openapi.yaml`, and the object that errors about its parameters name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$id => $name),+ }
            }

            const fn call(self) -> Option<Call> {
                match self { $(Self::$id => $call),+ }
            }

            const fn handler(self) -> Handler {
                match self { $(Self::$id => $handler),+ }
            }

            pub fn changes(self) -> bool {
                self.call().is_some_and(Call::is_mutation)
            }
        }

        /// Every route.
        pub const ROUTES: &[Route] =
            &[$($(Route { method: Method::$method, path: $path, operation: OperationId::$id }),+),+];
    };
}

/// What answers proven callers, with what it asks the service for if that is left open.
macro_rules! proven {
    ($handler:path $(, $asked:path)?) => {
        Handler::Authenticated(|state, request| $handler(state, request $(, $asked)?).boxed())
    };
}

operations! {
    /// The description of the face.
    OpenApi = "openApi", None, Handler::Open(|_| ready(about::description()).boxed()), Get "/openapi.yaml";
    /// What the time is here: clients ask whether the face is there.
    GetTime = "getTime", None, Handler::Open(|state| ready(about::time(state)).boxed()), Get "/api/v2/time";
    /// Whether the service serves, in OCP's words: load balancers ask.
    GetStatus = "getStatus", None, Handler::Open(|state| ready(about::status(state)).boxed()),
        Get "/api/status";
    /// Whether the process answers at all.
    GetLiveness = "getLiveness", None, Handler::Open(|_| ready(about::liveness()).boxed()), Get "/healthz";
    /// Whether it serves, and its store answers.
    GetReadiness = "getReadiness", None, Handler::Open(|state| about::readiness(state).boxed()), Get "/readyz";
    GetInfo = "getInfo", None, Handler::Authenticated(|_, _| ready(Ok(about::info())).boxed()), Get "/api/v2/info";
    StopServer = "stopObServer", Some(Call::StopServer), proven!(operate::stop),
        Post "/api/v2/ob/clusters/{id}/servers/{serverId}/stop";
    StartServer = "startObServer", Some(Call::StartServer), proven!(operate::on_server, StartServer),
        Post "/api/v2/ob/clusters/{id}/servers/{serverId}/start";
    RestartServer = "restartObServer", Some(Call::RestartServer), proven!(operate::restart),
        Post "/api/v2/ob/clusters/{id}/servers/{serverId}/restart";
    FreezeServer = "freezeObServer", Some(Call::FreezeServer), proven!(operate::on_server, FreezeServer),
        Post "/api/v2/ob/clusters/{id}/servers/{serverId}/freeze";
    StopZone = "stopObZone", Some(Call::StopZone), proven!(operate::stop_zone, StopZone),
        Post "/api/v2/ob/clusters/{id}/zones/{zoneName}/stop";
    StartZone = "startObZone", Some(Call::StartZone), proven!(operate::start_zone),
        Post "/api/v2/ob/clusters/{id}/zones/{zoneName}/start";
    RestartZone = "restartObZone", Some(Call::RestartZone), proven!(operate::stop_zone, RestartZone),
        Post "/api/v2/ob/clusters/{id}/zones/{zoneName}/restart";
    StopCluster = "stopObCluster", Some(Call::StopCluster), proven!(operate::stop_cluster, StopCluster),
        Post "/api/v2/ob/clusters/{id}/stop";
    StartCluster = "startObCluster", Some(Call::StartCluster), proven!(operate::start_cluster),
        Post "/api/v2/ob/clusters/{id}/start";
    RestartCluster = "restartObCluster", Some(Call::RestartCluster), proven!(operate::stop_cluster, RestartCluster),
        Post "/api/v2/ob/clusters/{id}/restart";
    ListTasks = "listTasks", Some(Call::ListTasks), proven!(tasks::list), Get "/api/v2/tasks/instances";
    GetTask = "getTask", Some(Call::GetTask), proven!(tasks::get),
        Get "/api/v2/tasks/instances/{taskInstanceId}", Get "/api/v2/tasks/{taskInstanceId}";
    /// Runs a failed task again.
    RetryTask = "retryTask", Some(Call::RetryTask), proven!(tasks::retry),
        Post "/api/v2/tasks/instances/{taskInstanceId}/retry";
    /// Undoes what a failed task did.
    RollbackTask = "rollbackTask", Some(Call::RollbackTask), proven!(tasks::rollback),
        Post "/api/v2/tasks/instances/{taskInstanceId}/rollback";
    /// Ends what a task runs.
    CancelTask = "cancelTask", Some(Call::CancelTask), proven!(tasks::cancel),
        Post "/api/v2/tasks/instances/{taskInstanceId}/cancel";
    /// Brings back what a task holds.
    CompleteHold = "completeHold", Some(Call::CompleteHold), proven!(tasks::complete_hold),
        Post "/api/v2/tasks/instances/{taskInstanceId}/completeHold";
    PauseRollout = "pauseRollout", Some(Call::PauseRollout), proven!(tasks::pause),
        Post "/api/v2/tasks/instances/{taskInstanceId}/pause";
    ResumeRollout = "resumeRollout", Some(Call::ResumeRollout), proven!(tasks::resume),
        Post "/api/v2/tasks/instances/{taskInstanceId}/resume";
    /// Closes a task at rest as it is.
    GiveUpTask = "giveUpTask", Some(Call::GiveUpTask), proven!(tasks::give_up),
        Post "/api/v2/tasks/instances/{taskInstanceId}/giveUp";
    GetSubtaskLog = "getSubtaskLog", Some(Call::GetSubtaskLog), proven!(tasks::log),
        Get "/api/v2/tasks/instances/{taskInstanceId}/subtasks/{subtaskInstanceId}/log";
    /// Runs a failed subtask again.
    RetrySubtask = "retrySubtask", Some(Call::RetryTask), proven!(tasks::retry_subtask),
        Post "/api/v2/tasks/instances/{taskInstanceId}/subtasks/{subtaskInstanceId}/retry";
    /// Goes on behind a failed subtask.
    SkipSubtask = "skipSubtask", Some(Call::SkipSubtask), proven!(tasks::skip_subtask),
        Post "/api/v2/tasks/instances/{taskInstanceId}/subtasks/{subtaskInstanceId}/skip";
    CancelSubtask = "cancelSubtask", Some(Call::CancelTask), proven!(tasks::cancel_subtask),
        Post "/api/v2/tasks/instances/{taskInstanceId}/subtasks/{subtaskInstanceId}/cancel";
    /// The events of a task.
    WatchTask = "watchTask", Some(Call::WatchTask), proven!(events::watch),
        Get "/api/v2/tasks/instances/{taskInstanceId}/events";
    ListClusters = "listClusters", Some(Call::ListClusters), proven!(inventory::clusters), Get "/api/v2/ob/clusters";
    GetCluster = "getCluster", Some(Call::GetCluster), proven!(inventory::cluster), Get "/api/v2/ob/clusters/{id}";
    /// The zones of a cluster.
    ListZones = "listZones", Some(Call::ListServers), proven!(inventory::zones),
        Get "/api/v2/ob/clusters/{id}/zones";
    /// The servers of a cluster.
    ListServers = "listServers", Some(Call::ListServers), proven!(inventory::servers),
        Get "/api/v2/ob/clusters/{id}/servers";
    GetServer = "getServer", Some(Call::GetServer), proven!(inventory::server),
        Get "/api/v2/ob/clusters/{id}/servers/{serverId}";
    /// The servers of a zone: as it is documented, and as published clients call it.
    ListZoneServers = "listZoneServers", Some(Call::ListServers), proven!(inventory::zone_servers),
        Get "/api/v2/clusters/{clusterId}/zones/{zoneName}/servers",
        Get "/api/v2/ob/clusters/{id}/zones/{zoneName}/servers";
}

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

    /// Whether it answers everybody: whether the service lives, and what it is.
    pub fn is_open(self) -> bool {
        match self {
            Self::Operation(operation) => matches!(operation.handler(), Handler::Open(_)),
            Self::WrongMethod(_) | Self::Unknown => false,
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
        let right = service(state, Target::Operation(route.operation), route.path);
        let wrong = service(state, Target::WrongMethod(route.method.allowed()), route.path);
        paths.insert(route.path, on_service(route.method.filter(), right).fallback_service(wrong));
    }
    let router = paths.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    router.fallback_service(service(state, Target::Unknown, ""))
}

type BoxedService = BoxCloneSyncService<Request, Response<Body>, Infallible>;

/// What answers at a target. Whether there is such a path or method, too, only proven callers learn.
fn service(state: &Arc<RestState>, target: Target, path: &'static str) -> BoxedService {
    let state = Arc::clone(state);
    match target {
        Target::Operation(operation) => match operation.handler() {
            Handler::Open(answer) => {
                let inner = Arc::clone(&state);
                traced(&state, target, path, service_fn(move |request| open(Arc::clone(&inner), answer, request)))
            }
            Handler::Authenticated(handle) => {
                let changes = operation.changes();
                authenticated(&Arc::clone(&state), target, path, move |request| {
                    let state = Arc::clone(&state);
                    async move { handle(&state, ParsedRequest::read(&state.rest, request, changes).await?).await }
                })
            }
        },
        Target::WrongMethod(allowed) => authenticated(&state, target, path, move |request| {
            let (method, path) = method_and_path(&request);
            ready(Err(Refusal::MethodNotAllowed { method, path, allowed: allowed.to_owned() }.into()))
        }),
        Target::Unknown => authenticated(&state, target, path, |request| {
            let (method, path) = method_and_path(&request);
            ready(Err(Refusal::RouteNotFound { method, path }.into()))
        }),
    }
}

fn authenticated<F>(
    state: &Arc<RestState>,
    target: Target,
    path: &'static str,
    handle: impl Fn(Authenticated) -> F + Clone + Send + Sync + 'static,
) -> BoxedService
where
    F: Future<Output = Result<Reply, Failure>> + Send + 'static,
{
    traced(state, target, path, AuthenticationLayer { state: Arc::clone(state) }.layer(service_fn(handle)))
}

fn traced<S>(state: &Arc<RestState>, target: Target, route: &'static str, inner: S) -> BoxedService
where
    S: Service<TracedRequest, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    BoxCloneSyncService::new(TraceLayer { state: Arc::clone(state), target, route }.layer(inner))
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
