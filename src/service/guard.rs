//! The service behind permission and record: every call goes through the one table of `domain::call` before anything that it
//! names is shown, so that a refusal does not tell what exists; and every mutation that is refused, by whatever rule, is in the
//! audit log. (What is accepted is recorded by the commit that makes it.)
//!
//! A mutation runs as a task of its own: a caller that hangs up tears neither the change nor its record.

use tracing::{Instrument, Span, info_span};

use super::Service;
use super::audit_entry::AuditEntry;
use super::call::{Caller, ServiceCall};
use super::refusals::permission_denied;
use super::subject::{CallSubject, Found, Resolved};
use crate::domain::call::{Call, permits};
use crate::domain::ids::Principal;
use crate::domain::refusal::Refusal;
use crate::store::AuditOutcome;
use crate::telemetry::traces::{self, SPAN};

#[derive(Clone)]
pub struct Guarded(Service);

impl Guarded {
    /// In front of the use cases.
    pub const fn new(service: Service) -> Self {
        Self(service)
    }

    /// Makes a call, if the caller may. A mutation is worked on to its end, whether or not the caller waits.
    pub async fn call<C: ServiceCall>(&self, caller: &Caller, call: C) -> Result<C::Output, Refusal> {
        if !C::CALL.is_mutation() {
            let asking = asking(C::CALL);
            let resolved = call.subject(caller).resolve(&self.0, caller).instrument(asking.clone()).await?;
            return self.permitted(caller, call, resolved, asking).await;
        }
        let (this, caller) = (self.clone(), caller.clone());
        let whole = traces::carried(async move { this.mutation(&caller, call).await });
        tokio::spawn(whole).await.unwrap_or_else(|error| {
            let call = C::CALL;
            tracing::error!(%call, "a mutation broke down: {error}");
            Err(Refusal::Internal { what: format!("{call} broke down") })
        })
    }

    /// Keeps that a mutation was refused before it could be made: its arguments are not valid.
    pub async fn refused<C: ServiceCall>(&self, caller: &Caller, refusal: &Refusal) {
        if C::CALL.is_mutation() {
            self.record(caller, C::CALL, AuditEntry::invalid(refusal), refusal).await;
        }
    }

    /// Id of a user as OCP shows creators; 0: there is none of this name.
    pub fn user_id(&self, name: &Principal) -> i64 {
        self.0.directory.user(name).map_or(0, |user| user.id.get())
    }

    async fn mutation<C: ServiceCall>(&self, caller: &Caller, call: C) -> Result<C::Output, Refusal> {
        let mut entry = call.audit_entry(caller);
        let asking = asking(C::CALL);
        let ended = match call.subject(caller).resolve(&self.0, caller).instrument(asking.clone()).await {
            Ok(resolved) => {
                if let Some(cluster) = resolved.cluster {
                    entry = entry.in_cluster(cluster);
                }
                self.permitted(caller, call, resolved, asking).await
            }
            Err(refusal) => Err(refusal),
        };
        match &ended {
            Ok(_) => {}
            // It may be the store that does not answer: its record is tried for, and the caller does not wait for that.
            Err(refusal @ Refusal::Unavailable { .. }) => {
                let (this, caller, refusal) = (self.clone(), caller.clone(), refusal.clone());
                tokio::spawn(async move { this.record(&caller, C::CALL, entry, &refusal).await }.in_current_span());
            }
            Err(refusal) => self.record(caller, C::CALL, entry, refusal).await,
        }
        ended
    }

    /// Makes a call if the table says so. That its subject is not there is for those who may to know.
    async fn permitted<C: ServiceCall>(
        &self,
        caller: &Caller,
        call: C,
        resolved: Resolved<Found<C::Subject>>,
        asking: Span,
    ) -> Result<C::Output, Refusal> {
        let risks = call.accepts_risks(&resolved.accepted);
        let permitted = asking.in_scope(|| permits(&caller.rights, C::CALL, resolved.subject, &risks));
        permitted.map_err(|need| permission_denied(caller, need))?;
        drop(asking);
        call.run(&self.0, caller, resolved.found?).await
    }

    /// Keeps that a mutation was refused. When the store fails, the log of the service has it, and the caller gets its refusal
    /// all the same: nothing was changed.
    async fn record(&self, caller: &Caller, call: Call, entry: AuditEntry, refusal: &Refusal) {
        let outcome = AuditOutcome::Refused { reason: refusal.reason().to_owned() };
        let record = entry.record(caller, call, self.0.deps.clock.now(), outcome);
        tracing::info!(%call, target = record.target, reason = refusal.reason(), "a mutation was refused");
        if let Err(error) = self.0.access.record(record.clone()).await {
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

/// In a trace: looking up what a call is about, and whether its caller may make it.
fn asking(call: Call) -> Span {
    info_span!(target: SPAN, "permission", obsteward.call = %call)
}
