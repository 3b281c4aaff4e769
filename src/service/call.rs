//! What a call is: its arguments are a type, and with it stands what the call is about, what the audit log says of it, and what
//! it does. Each is declared beside its use case; [`Guarded::call`](super::Guarded::call) is the one way to any of them.

use std::sync::Arc;

use super::Service;
use super::audit_entry::AuditEntry;
use super::subject::{CallSubject, Found};
use crate::access::AuthEvidence;
use crate::domain::call::Call;
use crate::domain::ids::{Principal, UserId};
use crate::domain::permission::Rights;
use crate::domain::reason::Reason;
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;
use crate::domain::trace::TraceContext;

/// Who calls, from where, under which trace.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Proven by authentication; `anonymous` when that is off.
    pub principal: Principal,
    /// Its user; `None` when authentication is off.
    pub user: Option<UserId>,
    /// What it may do, as of this call.
    pub rights: Arc<Rights>,
    /// What proved it: a watch ends when it would not any more.
    pub proof: Arc<AuthEvidence>,
    /// `ip:port`, or `ip` when a proxy did not tell the port.
    pub address: String,
    /// The same as in logs and in the task that it makes.
    pub trace: TraceContext,
    /// Why it calls, of a call that changes something.
    pub reason: Reason,
}

/// A call with its arguments.
pub trait ServiceCall: Send + Sync + 'static {
    /// Its row in the table of calls: its name, what it needs, and whether it changes anything.
    const CALL: Call;

    /// What it is about, as far as permission goes.
    type Subject: CallSubject;

    type Output: Send + 'static;

    /// As the arguments name it; [`Guarded`](super::Guarded) looks it up.
    fn subject(&self, caller: &Caller) -> Self::Subject;

    /// The risks that it accepts, which needs more than the call itself. `accepted`: those that the task was accepted with, when
    /// it is about a task.
    fn accepts_risks(&self, _accepted: &[Risk]) -> Vec<Risk> {
        Vec::new()
    }

    /// What the audit log says of it, accepted or refused. Only mutations are asked.
    fn audit_entry(&self, _caller: &Caller) -> AuditEntry {
        AuditEntry::default()
    }

    /// Does it, for a caller that may, with what was found of its subject.
    fn run(
        self,
        service: &Service,
        caller: &Caller,
        found: Found<Self::Subject>,
    ) -> impl Future<Output = Result<Self::Output, Refusal>> + Send;
}

/// What calls that differ in their arguments only have in common, as data: one way leads from it to what they do.
pub trait CallFamily: Send + Sized {
    type Subject: CallSubject;

    type Output: Send + 'static;

    fn subject(&self) -> Self::Subject;

    fn accepts_risks(&self, accepted: &[Risk]) -> Vec<Risk>;

    fn audit_entry(&self) -> AuditEntry;

    fn run(
        self,
        service: &Service,
        caller: &Caller,
        found: Found<Self::Subject>,
    ) -> impl Future<Output = Result<Self::Output, Refusal>> + Send;
}

/// A call of a family, with its own arguments.
pub trait FamilyCall: Send + Sync + 'static {
    const CALL: Call;

    /// Whose data the arguments come to.
    type Family: CallFamily;

    /// The arguments as its data.
    fn data(&self) -> Self::Family;
}

impl<C: FamilyCall> ServiceCall for C {
    const CALL: Call = <C as FamilyCall>::CALL;
    type Subject = <C::Family as CallFamily>::Subject;
    type Output = <C::Family as CallFamily>::Output;

    fn subject(&self, _: &Caller) -> Self::Subject {
        self.data().subject()
    }

    fn accepts_risks(&self, accepted: &[Risk]) -> Vec<Risk> {
        self.data().accepts_risks(accepted)
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        self.data().audit_entry()
    }

    async fn run(
        self,
        service: &Service,
        caller: &Caller,
        found: Found<Self::Subject>,
    ) -> Result<Self::Output, Refusal> {
        self.data().run(service, caller, found).await
    }
}
