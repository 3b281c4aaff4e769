//! StopServer, StartServer and RestartServer: the calls whose answer is a task. [`Service::accept`] is what they have in common.

use uuid::Uuid;

use super::Service;
use super::audit_entry::{AuditEntry, joined};
use super::call::{Caller, ServiceCall};
use super::digest::RequestDigest;
use super::plan::request;
use crate::clock::Timestamp;
use crate::domain::admission::Request;
use crate::domain::call::Call;
use crate::domain::ids::{ClusterId, ServerAddr, ServerId};
use crate::domain::refusal::Refusal;
use crate::domain::status::{Risk, StopType};
use crate::store::StoredTask;

/// Records a task that stops a server, and answers with it.
#[derive(Clone, Debug)]
pub struct StopServer {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Which server.
    pub server: ServerId,
    /// Overrides what may be overridden.
    pub force: bool,
    /// Risks accepted by name; sorted, without repeats.
    pub accepted_risks: Vec<Risk>,
    /// Kind of stop.
    pub stop_type: StopType,
    /// Whether the server is frozen before its process is ended; never with a stop of the service only.
    pub freeze_before_stop: bool,
    /// For repeats.
    pub request_id: Option<Uuid>,
    /// Whether, without a request id, an equal request of the same caller is answered with its open task (OCP's programs
    /// know no request ids).
    pub repeat_by_arguments: bool,
    /// Refused unless the server has this address.
    pub expected_server: Option<ServerAddr>,
    /// End of the consent to irreversible steps.
    pub expire_time: Option<Timestamp>,
}

impl ServiceCall for StopServer {
    const CALL: Call = Call::StopServer;
    type Subject = ClusterId;
    type Output = StoredTask;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.cluster
    }

    fn accepts_risks(&self, _: &[Risk]) -> bool {
        !self.accepted_risks.is_empty()
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        let expire_time = self.expire_time.map(Timestamp::as_micros);
        let entry = on_server(self.cluster, self.server)
            .with("cluster_id", self.cluster)
            .with("server_id", self.server)
            .with("force", self.force)
            .with("accept_risks", joined(&self.accepted_risks))
            .with("type", self.stop_type)
            .with_or_empty("expected_server", self.expected_server)
            .with_or_empty("expire_time", expire_time);
        if self.freeze_before_stop { entry.with("freeze_before_stop", true) } else { entry }
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<StoredTask, Refusal> {
        service.accept(caller, self.operate(caller)).await
    }
}

/// Records a task that starts a server, or rolls back the one at rest that stopped it; answers with that task.
#[derive(Clone, Debug)]
pub struct StartServer {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Which server.
    pub server: ServerId,
    /// For repeats.
    pub request_id: Option<Uuid>,
    /// As in [`StopServer`].
    pub repeat_by_arguments: bool,
    /// Refused unless the server has this address.
    pub expected_server: Option<ServerAddr>,
}

impl ServiceCall for StartServer {
    const CALL: Call = Call::StartServer;
    type Subject = ClusterId;
    type Output = StoredTask;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.cluster
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        on_server(self.cluster, self.server)
            .with("cluster_id", self.cluster)
            .with("server_id", self.server)
            .with_or_empty("expected_server", self.expected_server)
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<StoredTask, Refusal> {
        service.accept(caller, self.operate(caller)).await
    }
}

/// Records a task that restarts a server, and answers with it.
#[derive(Clone, Debug)]
pub struct RestartServer {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Which server.
    pub server: ServerId,
    /// Overrides what may be overridden.
    pub force: bool,
    /// Risks accepted by name; sorted, without repeats.
    pub accepted_risks: Vec<Risk>,
    /// Whether the server is frozen before its process is ended.
    pub freeze_before_stop: bool,
    /// For repeats.
    pub request_id: Option<Uuid>,
    /// As in [`StopServer`].
    pub repeat_by_arguments: bool,
    /// Refused unless the server has this address.
    pub expected_server: Option<ServerAddr>,
    /// End of the consent to irreversible steps.
    pub expire_time: Option<Timestamp>,
}

impl ServiceCall for RestartServer {
    const CALL: Call = Call::RestartServer;
    type Subject = ClusterId;
    type Output = StoredTask;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.cluster
    }

    fn accepts_risks(&self, _: &[Risk]) -> bool {
        !self.accepted_risks.is_empty()
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        on_server(self.cluster, self.server)
            .with("cluster_id", self.cluster)
            .with("server_id", self.server)
            .with("force", self.force)
            .with("accept_risks", joined(&self.accepted_risks))
            .with_or_empty("expected_server", self.expected_server)
            .with_or_empty("expire_time", self.expire_time.map(Timestamp::as_micros))
            .with("freeze_before_stop", self.freeze_before_stop)
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<StoredTask, Refusal> {
        service.accept(caller, self.operate(caller)).await
    }
}

fn on_server(cluster: ClusterId, server: ServerId) -> AuditEntry {
    AuditEntry::on(format!("cluster {cluster} server {server}")).in_cluster(cluster)
}

/// An operation on a server that is to be recorded as a task.
pub(super) struct Operate {
    pub call: Call,
    pub request: Request,
    pub cluster: ClusterId,
    pub server: ServerId,
    pub force: bool,
    pub accepted_risks: Vec<Risk>,
    pub stop_type: Option<StopType>,
    pub freeze_before_stop: bool,
    pub request_id: Option<Uuid>,
    pub repeat_by_arguments: bool,
    pub expected_server: Option<ServerAddr>,
    pub expire_time: Option<Timestamp>,
    /// What the audit log says when it is accepted.
    pub entry: AuditEntry,
}

impl Operate {
    /// What a repeat by request id must have alike: everything that was asked for, but not how it is to be recognised.
    pub fn digest(&self) -> String {
        RequestDigest::of(self.call)
            .field("cluster", self.cluster)
            .field("server", self.server)
            .field("force", self.force)
            .field("accepted_risks", joined(&self.accepted_risks))
            .optional("stop_type", self.stop_type)
            .field("freeze_before_stop", self.freeze_before_stop)
            .optional("expected_server", self.expected_server)
            .optional("expire_time", self.expire_time.map(Timestamp::as_micros))
            .finish()
    }
}

impl StopServer {
    fn operate(self, caller: &Caller) -> Operate {
        Operate {
            call: Self::CALL,
            request: request(self.stop_type),
            entry: self.audit_entry(caller),
            cluster: self.cluster,
            server: self.server,
            force: self.force,
            accepted_risks: self.accepted_risks,
            stop_type: Some(self.stop_type),
            freeze_before_stop: self.freeze_before_stop,
            request_id: self.request_id,
            repeat_by_arguments: self.repeat_by_arguments,
            expected_server: self.expected_server,
            expire_time: self.expire_time,
        }
    }
}

impl StartServer {
    fn operate(self, caller: &Caller) -> Operate {
        Operate {
            call: Self::CALL,
            request: Request::Start,
            entry: self.audit_entry(caller),
            cluster: self.cluster,
            server: self.server,
            force: false,
            accepted_risks: Vec::new(),
            stop_type: None,
            freeze_before_stop: false,
            request_id: self.request_id,
            repeat_by_arguments: self.repeat_by_arguments,
            expected_server: self.expected_server,
            expire_time: None,
        }
    }
}

impl RestartServer {
    fn operate(self, caller: &Caller) -> Operate {
        Operate {
            call: Self::CALL,
            request: Request::Restart,
            entry: self.audit_entry(caller),
            cluster: self.cluster,
            server: self.server,
            force: self.force,
            accepted_risks: self.accepted_risks,
            stop_type: Some(StopType::Process),
            freeze_before_stop: self.freeze_before_stop,
            request_id: self.request_id,
            repeat_by_arguments: self.repeat_by_arguments,
            expected_server: self.expected_server,
            expire_time: self.expire_time,
        }
    }
}
