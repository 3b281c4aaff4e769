//! The table of routes, which `openapi.yaml` must agree with (tested), and the router that is made of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::api::rest::call::{Face, Target};

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The description of the face.
    OpenApi,
    /// What the time is here: clients ask whether the face is there.
    GetTime,
    /// Whether the service serves, in OCP's words: load balancers ask.
    GetStatus,
    /// What runs here.
    GetInfo,
    /// Stops a server.
    StopServer,
    /// Starts a server.
    StartServer,
    /// Restarts a server.
    RestartServer,
    /// A page of tasks.
    ListTasks,
    /// One task.
    GetTask,
    /// Runs a failed task again.
    RetryTask,
    /// Undoes what a failed task did.
    RollbackTask,
    /// Ends what a task runs.
    CancelTask,
    /// Closes a task at rest as it is.
    GiveUpTask,
    /// What a subtask logged.
    GetSubtaskLog,
    /// Runs a failed subtask again.
    RetrySubtask,
    /// Goes on behind a failed subtask.
    SkipSubtask,
    /// Ends a running subtask.
    CancelSubtask,
    /// The events of a task.
    WatchTask,
    /// A page of clusters.
    ListClusters,
    /// One cluster.
    GetCluster,
    /// The zones of a cluster.
    ListZones,
    /// The servers of a cluster.
    ListServers,
    /// One server.
    GetServer,
    /// The servers of a zone.
    ListZoneServers,
}

impl Operation {
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

    /// Whether it changes anything.
    pub const fn changes(self) -> bool {
        match self {
            Self::StopServer
            | Self::StartServer
            | Self::RestartServer
            | Self::RetryTask
            | Self::RollbackTask
            | Self::CancelTask
            | Self::GiveUpTask
            | Self::RetrySubtask
            | Self::SkipSubtask
            | Self::CancelSubtask => true,
            Self::OpenApi
            | Self::GetTime
            | Self::GetStatus
            | Self::GetInfo
            | Self::ListTasks
            | Self::GetTask
            | Self::GetSubtaskLog
            | Self::WatchTask
            | Self::ListClusters
            | Self::GetCluster
            | Self::ListZones
            | Self::ListServers
            | Self::GetServer
            | Self::ListZoneServers => false,
        }
    }
}

/// Method of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET, and HEAD with it.
    Get,
    /// POST.
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

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path; parameters in braces.
    pub path: &'static str,
    /// What it does.
    pub operation: Operation,
}

const fn get(path: &'static str, operation: Operation) -> Route {
    Route { method: Method::Get, path, operation }
}

const fn post(path: &'static str, operation: Operation) -> Route {
    Route { method: Method::Post, path, operation }
}

/// Every route. No path has two methods (tested), so that a wrong method has one answer.
pub const ROUTES: &[Route] = &[
    get("/openapi.yaml", Operation::OpenApi),
    get("/api/v2/time", Operation::GetTime),
    get("/api/v2/info", Operation::GetInfo),
    get("/api/status", Operation::GetStatus),
    get("/api/v2/ob/clusters", Operation::ListClusters),
    get("/api/v2/ob/clusters/{id}", Operation::GetCluster),
    get("/api/v2/ob/clusters/{id}/zones", Operation::ListZones),
    get("/api/v2/ob/clusters/{id}/servers", Operation::ListServers),
    get("/api/v2/ob/clusters/{id}/servers/{serverId}", Operation::GetServer),
    post("/api/v2/ob/clusters/{id}/servers/{serverId}/stop", Operation::StopServer),
    post("/api/v2/ob/clusters/{id}/servers/{serverId}/start", Operation::StartServer),
    post("/api/v2/ob/clusters/{id}/servers/{serverId}/restart", Operation::RestartServer),
    // As it is documented, and as published clients call it.
    get("/api/v2/clusters/{clusterId}/zones/{zoneName}/servers", Operation::ListZoneServers),
    get("/api/v2/ob/clusters/{id}/zones/{zoneName}/servers", Operation::ListZoneServers),
    get("/api/v2/tasks/instances", Operation::ListTasks),
    get("/api/v2/tasks/instances/{taskInstanceId}", Operation::GetTask),
    get("/api/v2/tasks/{taskInstanceId}", Operation::GetTask),
    post("/api/v2/tasks/instances/{taskInstanceId}/retry", Operation::RetryTask),
    post("/api/v2/tasks/instances/{taskInstanceId}/rollback", Operation::RollbackTask),
    post("/api/v2/tasks/instances/{taskInstanceId}/cancel", Operation::CancelTask),
    post("/api/v2/tasks/instances/{taskInstanceId}/giveUp", Operation::GiveUpTask),
    get("/api/v2/tasks/instances/{taskInstanceId}/events", Operation::WatchTask),
    get("/api/v2/tasks/instances/{taskInstanceId}/subtasks/{subtaskInstanceId}/log", Operation::GetSubtaskLog),
    post("/api/v2/tasks/instances/{taskInstanceId}/subtasks/{subtaskInstanceId}/retry", Operation::RetrySubtask),
    post("/api/v2/tasks/instances/{taskInstanceId}/subtasks/{subtaskInstanceId}/skip", Operation::SkipSubtask),
    post("/api/v2/tasks/instances/{taskInstanceId}/subtasks/{subtaskInstanceId}/cancel", Operation::CancelSubtask),
];

/// The router of the table.
pub fn router(face: Arc<Face>) -> Router {
    let mut paths: BTreeMap<&str, MethodRouter> = BTreeMap::new();
    for route in ROUTES {
        let (right, wrong) = (Arc::clone(&face), Arc::clone(&face));
        let (operation, allowed) = (route.operation, route.method.allowed());
        let methods = on(route.method.filter(), move |request: Request| {
            Arc::clone(&right).answer(Target::Operation(operation), request)
        })
        .fallback(move |request: Request| Arc::clone(&wrong).answer(Target::WrongMethod(allowed), request));
        paths.insert(route.path, methods);
    }
    let router = paths.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    router.fallback(move |request: Request| Arc::clone(&face).answer(Target::Unknown, request))
}
