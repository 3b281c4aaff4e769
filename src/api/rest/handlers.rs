//! Who answers an operation.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};

use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::parsed_request::ParsedRequest;
use crate::api::rest::routes::OperationId;
use crate::api::rest::state::RestState;
use crate::api::rest::{about, events, inventory, operate, tasks};

#[derive(Clone, Copy)]
pub enum Handler {
    /// Whoever asks is answered.
    Open(fn(&RestState) -> Reply),
    /// Only a proven caller is.
    Authenticated(AuthenticatedHandler),
}

pub type AuthenticatedHandler = fn(&Arc<RestState>, ParsedRequest) -> BoxFuture<'_, Result<Reply, Failure>>;

impl Handler {
    pub const fn of(operation: OperationId) -> Self {
        use Handler::{Authenticated, Open};
        match operation {
            OperationId::OpenApi => Open(|_| about::description()),
            OperationId::GetTime => Open(about::time),
            OperationId::GetStatus => Open(about::status),
            OperationId::GetInfo => Authenticated(|_, _| ready(Ok(about::info())).boxed()),
            OperationId::StopServer => Authenticated(|state, request| operate::stop(state, request).boxed()),
            OperationId::StartServer => Authenticated(|state, request| operate::start(state, request).boxed()),
            OperationId::RestartServer => Authenticated(|state, request| operate::restart(state, request).boxed()),
            OperationId::ListTasks => Authenticated(|state, request| tasks::list(state, request).boxed()),
            OperationId::GetTask => Authenticated(|state, request| tasks::get(state, request).boxed()),
            OperationId::RetryTask => Authenticated(|state, request| tasks::retry(state, request).boxed()),
            OperationId::RollbackTask => Authenticated(|state, request| tasks::rollback(state, request).boxed()),
            OperationId::CancelTask => Authenticated(|state, request| tasks::cancel(state, request).boxed()),
            OperationId::GiveUpTask => Authenticated(|state, request| tasks::give_up(state, request).boxed()),
            OperationId::GetSubtaskLog => Authenticated(|state, request| tasks::log(state, request).boxed()),
            OperationId::RetrySubtask => Authenticated(|state, request| tasks::retry_subtask(state, request).boxed()),
            OperationId::SkipSubtask => Authenticated(|state, request| tasks::skip_subtask(state, request).boxed()),
            OperationId::CancelSubtask => Authenticated(|state, request| tasks::cancel_subtask(state, request).boxed()),
            OperationId::WatchTask => Authenticated(|state, request| events::watch(state, request).boxed()),
            OperationId::ListClusters => Authenticated(|state, request| inventory::clusters(state, request).boxed()),
            OperationId::GetCluster => Authenticated(|state, request| inventory::cluster(state, request).boxed()),
            OperationId::ListZones => Authenticated(|state, request| inventory::zones(state, request).boxed()),
            OperationId::ListServers => Authenticated(|state, request| inventory::servers(state, request).boxed()),
            OperationId::GetServer => Authenticated(|state, request| inventory::server(state, request).boxed()),
            OperationId::ListZoneServers => {
                Authenticated(|state, request| inventory::zone_servers(state, request).boxed())
            }
        }
    }
}
