//! The use cases that every face shares: admission, one commit, and what is shown. Nothing here knows gRPC, REST or a
//! terminal. Each file is a group of calls on [`Service`]; [`Guarded`] stands before them and asks whether the caller may.

mod accept;
mod access_rules;
pub mod arguments;
mod audit;
mod backup;
mod clusters;
mod guard;
mod keys;
mod left_behind;
mod named;
mod passwords;
mod plan;
mod recorder;
mod refusals;
mod roles;
mod servers;
mod sight;
mod tasks;
pub mod use_cases;
mod users;
mod visibility;
mod wiring;

use std::sync::Arc;

use crate::access::Directory;
use crate::domain::call::Call;
use crate::domain::ids::TaskId;
use crate::domain::refusal::Refusal;
use crate::engine::Engine;
use crate::operations::Deps;
use crate::store::access::AccessStore;
use crate::store::backup::Backups;
use crate::store::{AuditOutcome, AuditRecord, Store, StoredTask};
use arguments::Caller;
use named::Named;
use refusals::store_refusal;

pub use guard::Guarded;
pub use named::LONGEST_ARGUMENTS;
pub use passwords::{Argon2id, PasswordHasher};

/// What the calls on users, keys, roles and the audit log go through.
#[derive(Clone)]
pub struct Administration {
    /// Users, keys and roles.
    pub directory: Arc<Directory>,
    /// The audit log.
    pub access: Arc<dyn AccessStore>,
    /// Copies of the store.
    pub backups: Arc<dyn Backups>,
    /// Makes what is stored of passwords.
    pub hasher: Arc<dyn PasswordHasher>,
}

/// The use cases over their parts. They believe that the caller may: lists show what his rights show, and changes of users
/// give only what he has, but everything else is asked by [`Guarded`].
#[derive(Clone)]
pub struct Service {
    store: Arc<dyn Store>,
    engine: Arc<Engine>,
    deps: Deps,
    directory: Arc<Directory>,
    access: Arc<dyn AccessStore>,
    backups: Arc<dyn Backups>,
    hasher: Arc<dyn PasswordHasher>,
}

impl Service {
    /// Over a store, an engine, the ways to clusters and hosts, and who may act.
    pub fn new(store: Arc<dyn Store>, engine: Arc<Engine>, deps: Deps, administration: Administration) -> Self {
        let Administration { directory, access, backups, hasher } = administration;
        Self { store, engine, deps, directory, access, backups, hasher }
    }

    /// One task as committed.
    async fn stored_task(&self, task: TaskId) -> Result<StoredTask, Refusal> {
        self.store.task(task).await.map_err(|error| store_refusal(&error))?.ok_or(Refusal::TaskNotFound { task })
    }

    /// Names an accepted mutation for the audit log.
    fn audit(&self, caller: &Caller, call: Call, named: Named) -> AuditRecord {
        named.record(caller, call, self.deps.clock.now(), AuditOutcome::Accepted)
    }
}
