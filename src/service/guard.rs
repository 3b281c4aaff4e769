//! The service behind permission and record: every call goes through the one table of `domain::call` before anything that it
//! names is shown, so that a refusal does not tell what exists; and every mutation that is refused, by whatever rule, is in the
//! audit log. (What is accepted is recorded by the commit that makes it.)
//!
//! A mutation runs as a task of its own: a caller that hangs up tears neither the change nor its record.

use tracing::Instrument;

use super::Service;
use super::audit_entry::AuditEntry;
use super::call::{CallSubject, Caller, ServiceCall};
use super::refusals::permission_denied;
use crate::domain::call::{Call, Subject, permits};
use crate::domain::ids::{ClusterId, Principal, UserId};
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;
use crate::store::AuditOutcome;

/// See the module's head.
#[derive(Clone)]
pub struct Guarded(Service);

/// What a call is about, looked up.
struct Resolved {
    subject: Subject,
    /// The cluster of the task that it is about.
    cluster: Option<ClusterId>,
    /// What that task was accepted with.
    accepted: Vec<Risk>,
}

impl From<Subject> for Resolved {
    fn from(subject: Subject) -> Self {
        Self { subject, cluster: None, accepted: Vec::new() }
    }
}

impl Guarded {
    /// In front of the use cases.
    pub const fn new(service: Service) -> Self {
        Self(service)
    }

    /// Makes a call, if the caller may. A mutation is worked on to its end, whether or not the caller waits.
    pub async fn call<C: ServiceCall>(&self, caller: &Caller, call: C) -> Result<C::Output, Refusal> {
        if !C::CALL.is_mutation() {
            permit(caller, &call, &self.resolve(caller, &call).await?)?;
            return call.run(&self.0, caller).await;
        }
        let (this, caller) = (self.clone(), caller.clone());
        let whole = async move { this.mutation(&caller, call).await }.in_current_span();
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
        let ended = match self.resolve(caller, &call).await {
            Ok(resolved) => {
                if let Some(cluster) = resolved.cluster {
                    entry = entry.in_cluster(cluster);
                }
                match permit(caller, &call, &resolved) {
                    Ok(()) => call.run(&self.0, caller).await,
                    Err(refusal) => Err(refusal),
                }
            }
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = &ended {
            self.record(caller, C::CALL, entry, refusal).await;
        }
        ended
    }

    /// What a call is about to the table. What is not there is looked for all the same: the table names what is missing alike.
    async fn resolve<C: ServiceCall>(&self, caller: &Caller, call: &C) -> Result<Resolved, Refusal> {
        let of_user = |user: Option<UserId>| {
            Subject::User { user: user.map(UserId::get), own: user.is_some() && user == caller.user }.into()
        };
        Ok(match call.subject(caller) {
            CallSubject::Nothing => Subject::Nothing.into(),
            CallSubject::Cluster(cluster) => Subject::Cluster(cluster.get()).into(),
            CallSubject::ClusterNamed(name) => match self.0.cluster_named(caller, &name).await? {
                Some(row) => Subject::Cluster(row.id.get()).into(),
                None => Subject::Nothing.into(),
            },
            CallSubject::Task(task) => match self.0.stored_task(task).await {
                Ok(stored) => {
                    let spec = &stored.task.spec;
                    let cluster = spec.cluster.id;
                    let subject = Subject::Task { task: task.get(), cluster: Some(cluster.get()) };
                    Resolved { subject, cluster: Some(cluster), accepted: spec.accepted_risks.clone() }
                }
                Err(Refusal::TaskNotFound { .. }) => Subject::Task { task: task.get(), cluster: None }.into(),
                // The store does not answer: that is so whatever the caller may do.
                Err(refusal) => return Err(refusal),
            },
            CallSubject::User(name) => of_user(self.0.directory.user(&name).map(|user| user.id)),
            CallSubject::AccessKey(key) => of_user(self.0.directory.key(&key).map(|(_, user)| user.id)),
        })
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

/// As the table says, as a refusal.
fn permit<C: ServiceCall>(caller: &Caller, call: &C, resolved: &Resolved) -> Result<(), Refusal> {
    let risks = call.accepts_risks(&resolved.accepted);
    permits(&caller.rights, C::CALL, resolved.subject, risks).map_err(|need| permission_denied(caller, need))
}
