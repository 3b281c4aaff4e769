//! Writes refused mutations into the audit log. Accepted ones are written by the commit that makes them.

use std::sync::Arc;

use super::named::Named;
use crate::clock::Clock;
use crate::domain::call::Call;
use crate::domain::refusal::Refusal;
use crate::service::arguments::Caller;
use crate::store::AuditOutcome;
use crate::store::access::AccessStore;

/// See the module's head.
#[derive(Clone)]
pub(super) struct Recorder {
    store: Arc<dyn AccessStore>,
    clock: Clock,
}

impl Recorder {
    pub const fn new(store: Arc<dyn AccessStore>, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Keeps that a mutation was refused. When the store fails, the log of the service has it, and the caller gets his
    /// refusal all the same: nothing was changed.
    pub async fn refused(&self, caller: &Caller, call: Call, named: Named, refusal: &Refusal) {
        let outcome = AuditOutcome::Refused { reason: refusal.reason().to_owned() };
        let record = named.record(caller, call, self.clock.now(), outcome);
        tracing::info!(%call, target = record.target, reason = refusal.reason(), "a mutation was refused");
        if let Err(error) = self.store.record(record.clone()).await {
            tracing::error!(
                %call,
                principal = %record.principal,
                target = record.target,
                reason = refusal.reason(),
                "a refused mutation could not be kept in the audit log: {error}"
            );
        }
    }
}
