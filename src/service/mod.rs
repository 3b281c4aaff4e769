//! The use cases that every face shares: admission, one commit, and what is shown. Nothing here knows gRPC, REST or a
//! terminal. Each file is a group of calls on [`Service`].

pub mod arguments;
mod clusters;
mod refusals;
mod servers;
mod stop;
mod tasks;
pub mod use_cases;
mod wiring;

use std::sync::Arc;

use crate::domain::call::Call;
use crate::domain::ids::TaskId;
use crate::domain::refusal::Refusal;
use crate::engine::Engine;
use crate::operations::Deps;
use crate::store::{AuditOutcome, AuditRecord, Store, StoredTask};
use arguments::Caller;
use refusals::store_refusal;

/// The use cases over their parts.
#[derive(Clone)]
pub struct Service {
    store: Arc<dyn Store>,
    engine: Arc<Engine>,
    deps: Deps,
}

impl Service {
    /// Over a store, an engine and the ways to clusters and hosts.
    pub const fn new(store: Arc<dyn Store>, engine: Arc<Engine>, deps: Deps) -> Self {
        Self { store, engine, deps }
    }

    /// One task as committed.
    async fn stored_task(&self, task: TaskId) -> Result<StoredTask, Refusal> {
        self.store.task(task).await.map_err(|error| store_refusal(&error))?.ok_or(Refusal::TaskNotFound { task })
    }

    /// Names an accepted mutation for the audit log.
    fn audit(&self, caller: &Caller, call: Call, target: String, arguments: String) -> AuditRecord {
        AuditRecord {
            at: self.deps.clock.now(),
            principal: caller.principal.clone(),
            address: caller.address.clone(),
            call,
            target,
            cluster: None,
            task: None,
            arguments,
            outcome: AuditOutcome::Accepted,
            trace_id: caller.trace_id.clone(),
        }
    }
}
