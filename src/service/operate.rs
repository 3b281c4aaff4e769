//! The calls that ask for an operation on a server, whose answer is a task. [`Service::accept`] is what they have in common.

use uuid::Uuid;

use super::Service;
use super::audit_entry::{AuditEntry, joined};
use super::call::{CallFamily, Caller, FamilyCall};
use super::digest::RequestDigest;
use crate::clock::Timestamp;
use crate::domain::call::Call;
use crate::domain::ids::{ClusterId, ServerAddr, ServerId};
use crate::domain::refusal::Refusal;
use crate::domain::status::{Risk, StopType};
use crate::operations;
use crate::operations::definition::{Definition, StepKind};
use crate::store::StoredTask;

/// Records a task that stops a server, and answers with it.
#[derive(Clone, Debug)]
pub struct StopServer {
    pub cluster: ClusterId,
    pub server: ServerId,
    /// Overrides what may be overridden.
    pub force: bool,
    /// Risks accepted by name; sorted, without repeats.
    pub accepted_risks: Vec<Risk>,
    pub stop_type: StopType,
    /// Whether the server is frozen before its process is ended; never with a stop of the service only.
    pub freeze_before_stop: bool,
    /// A repeat under the same id is answered with the same task.
    pub request_id: Option<Uuid>,
    /// Whether, without a request id, an equal request of the same caller is answered with its open task (OCP's programs
    /// know no request ids).
    pub repeat_by_arguments: bool,
    /// Refused unless the server has this address.
    pub expected_server: Option<ServerAddr>,
    /// End of the consent to irreversible steps.
    pub expire_time: Option<Timestamp>,
}

impl FamilyCall for StopServer {
    const CALL: Call = Call::StopServer;
    type Family = Operate;

    fn data(&self) -> Operate {
        Operate { operation: operations::stop(self.stop_type), arguments: self.clone() }
    }
}

/// Records a task that restarts a server, and answers with it. Asked as a stop is, and always of the process.
#[derive(Clone, Debug)]
pub struct RestartServer(pub StopServer);

impl FamilyCall for RestartServer {
    const CALL: Call = Call::RestartServer;
    type Family = Operate;

    fn data(&self) -> Operate {
        let arguments = StopServer { stop_type: StopType::Process, ..self.0.clone() };
        Operate { operation: &operations::RESTART, arguments }
    }
}

/// Arguments of an operation that has nothing to consent to: it overrides nothing and ends no process.
#[derive(Clone, Debug)]
pub struct OnServer {
    pub cluster: ClusterId,
    pub server: ServerId,
    pub request_id: Option<Uuid>,
    /// As in [`StopServer`].
    pub repeat_by_arguments: bool,
    /// Refused unless the server has this address.
    pub expected_server: Option<ServerAddr>,
}

macro_rules! on_server {
    ($($(#[$doc:meta])* $name:ident asks for $operation:path;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub OnServer);

        impl FamilyCall for $name {
            const CALL: Call = $operation.call;
            type Family = Operate;

            fn data(&self) -> Operate {
                let OnServer { cluster, server, request_id, repeat_by_arguments, expected_server } = self.0;
                let arguments = StopServer {
                    cluster,
                    server,
                    force: false,
                    accepted_risks: Vec::new(),
                    stop_type: StopType::Process,
                    freeze_before_stop: false,
                    request_id,
                    repeat_by_arguments,
                    expected_server,
                    expire_time: None,
                };
                Operate { operation: &$operation, arguments }
            }
        }
    )+};
}

on_server! {
    /// Records a task that starts a server, or rolls back the one at rest that stopped it; answers with that task.
    StartServer asks for operations::START;
    /// Records a task that freezes a server, and answers with it.
    FreezeServer asks for operations::FREEZE;
}

/// An operation on a server that is to be recorded as a task.
pub struct Operate {
    pub(super) operation: &'static Definition,
    /// Those of a stop: the other operations have some of them, and what they lack is as if it were not given.
    pub(super) arguments: StopServer,
}

impl Operate {
    /// What a repeat by request id must have alike: everything that was asked for, but not how it is to be recognised.
    pub(super) fn digest(&self) -> String {
        let asked = &self.arguments;
        RequestDigest::of(self.operation.call)
            .field("cluster", asked.cluster)
            .field("server", asked.server)
            .field("force", asked.force)
            .field("accepted_risks", joined(&asked.accepted_risks))
            .optional("stop_type", self.stop_type())
            .field("freeze_before_stop", asked.freeze_before_stop)
            .optional("expected_server", asked.expected_server)
            .optional("expire_time", asked.expire_time.map(Timestamp::as_micros))
            .finish()
    }

    /// `None`: it stops nothing.
    pub(super) fn stop_type(&self) -> Option<StopType> {
        self.operation.has(StepKind::StopService).then_some(self.arguments.stop_type)
    }
}

impl CallFamily for Operate {
    type Subject = ClusterId;
    type Output = StoredTask;

    fn subject(&self) -> ClusterId {
        self.arguments.cluster
    }

    fn accepts_risks(&self, _: &[Risk]) -> bool {
        !self.arguments.accepted_risks.is_empty()
    }

    fn audit_entry(&self) -> AuditEntry {
        let asked = &self.arguments;
        let (cluster, server) = (asked.cluster, asked.server);
        let entry = AuditEntry::on(format!("cluster {cluster} server {server}"))
            .in_cluster(cluster)
            .with("cluster_id", cluster)
            .with("server_id", server);
        if self.stop_type().is_none() {
            return entry.with_or_empty("expected_server", asked.expected_server);
        }
        let typed = self.operation.call == Call::StopServer;
        let entry = entry
            .with("force", asked.force)
            .with("accept_risks", joined(&asked.accepted_risks))
            .with_some("type", typed.then_some(asked.stop_type))
            .with_or_empty("expected_server", asked.expected_server)
            .with_or_empty("expire_time", asked.expire_time.map(Timestamp::as_micros));
        entry.with_some("freeze_before_stop", (!typed || asked.freeze_before_stop).then_some(asked.freeze_before_stop))
    }

    async fn run(self, service: &Service, caller: &Caller, (): ()) -> Result<StoredTask, Refusal> {
        service.accept(caller, self).await
    }
}
