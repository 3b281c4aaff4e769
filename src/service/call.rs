//! What a call is: its arguments are a type, and with it stands what the call is about, what the audit log says of it, and what
//! it does. Each is declared beside its use case; [`Guarded::call`](super::Guarded::call) is the one way to any of them.

use std::sync::Arc;

use super::Service;
use super::audit_entry::AuditEntry;
use crate::access::AuthEvidence;
use crate::domain::call::Call;
use crate::domain::ids::{AccessKeyId, ClusterId, Principal, TaskId, UserId};
use crate::domain::permission::Rights;
use crate::domain::reason::Reason;
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;

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
    /// 16 hex digits, the same as in logs.
    pub trace_id: String,
    /// Why it calls, of a call that changes something.
    pub reason: Reason,
}

/// A call with its arguments.
pub trait ServiceCall: Send + Sync + 'static {
    /// Its row in the table of calls: its name, what it needs, and whether it changes anything.
    const CALL: Call;

    /// What it answers.
    type Output: Send + 'static;

    /// What it is about, as far as permission goes.
    fn subject(&self, caller: &Caller) -> CallSubject;

    /// Whether it accepts risks, which needs more than the call itself. `accepted`: those that the task was accepted with, when
    /// it is about a task.
    fn accepts_risks(&self, _accepted: &[Risk]) -> bool {
        false
    }

    /// What the audit log says of it, accepted or refused. Only mutations are asked.
    fn audit_entry(&self, _caller: &Caller) -> AuditEntry {
        AuditEntry::default()
    }

    /// Does it, for a caller that may.
    fn run(self, service: &Service, caller: &Caller) -> impl Future<Output = Result<Self::Output, Refusal>> + Send;
}

/// What a call is about, as it names it; [`Guarded`](super::Guarded) finds out what that is to the table of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallSubject {
    /// Nothing, or everything.
    Nothing,
    /// A cluster, which need not exist.
    Cluster(ClusterId),
    /// A cluster by its name, found only among those that the caller may read.
    ClusterNamed(String),
    /// A task, which need not exist. The caller may be allowed to by its cluster.
    Task(TaskId),
    /// A user, who need not exist.
    User(Principal),
    /// The user of an access key, which need not exist.
    AccessKey(AccessKeyId),
}
