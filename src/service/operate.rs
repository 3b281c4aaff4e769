//! The calls that ask for an operation on a server, a zone or a whole cluster, whose answer is a task. [`Service::accept`] is what they have in common.

use std::time::Duration;

use uuid::Uuid;

use super::Service;
use super::audit_entry::{AuditEntry, joined};
use super::begin::RequestKey;
use super::call::{CallFamily, Caller, FamilyCall};
use super::digest::RequestDigest;
use crate::clock::Timestamp;
use crate::domain::beginning::BeginRequest;
use crate::domain::call::Call;
use crate::domain::gate::Consent;
use crate::domain::graph::TaskTarget;
use crate::domain::ids::{ClusterId, ServerAddr, ServerId, ZoneName};
use crate::domain::refusal::Refusal;
use crate::domain::status::{Risk, StopType};
use crate::operations;
use crate::operations::definition::Definition;
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
    /// Until when the server is held out of service before it is started again; `None`: it is stopped for good.
    pub hold_until: Option<Timestamp>,
    /// How long clients are waited for before the process is ended; zero with a stop of the service only.
    pub drain: Duration,
    /// A repeat under the same id is answered with the same task.
    pub request_id: Option<Uuid>,
    /// Whether, without a request id, an equal request of the same caller is answered with its open task (OCP's programs
    /// know no request ids).
    pub repeat_by_arguments: bool,
    /// Refused unless the server has this address.
    pub expected_server: Option<ServerAddr>,
    /// End of the consent to irreversible steps.
    pub expire_time: Option<Timestamp>,
    /// When it begins.
    pub begin: BeginRequest,
}

impl FamilyCall for StopServer {
    const CALL: Call = Call::StopServer;
    type Family = Operate;

    fn data(&self) -> Operate {
        let stop = operations::stop(self.stop_type);
        self.asking(self.hold_until.map_or(stop, |_| &operations::HOLD))
    }
}

impl StopServer {
    fn asking(&self, operation: &'static Definition) -> Operate {
        let arguments = self.clone();
        Operate {
            operation,
            cluster: arguments.cluster,
            target: TaskTarget::Server(arguments.server),
            expected_server: arguments.expected_server,
            expected_cluster: None,
            consent: Consent { force: arguments.force, accepted: arguments.accepted_risks },
            stop_type: arguments.stop_type,
            freeze_before_stop: arguments.freeze_before_stop,
            hold_until: arguments.hold_until,
            drain: arguments.drain,
            request_id: arguments.request_id,
            repeat_by_arguments: arguments.repeat_by_arguments,
            expire_time: arguments.expire_time,
            begin: arguments.begin,
        }
    }
}

/// Records a task that restarts a server, and answers with it. Asked as a stop is, and always of the process.
#[derive(Clone, Debug)]
pub struct RestartServer(pub StopServer);

impl FamilyCall for RestartServer {
    const CALL: Call = Call::RestartServer;
    type Family = Operate;

    fn data(&self) -> Operate {
        Operate { stop_type: StopType::Process, hold_until: None, ..self.0.asking(&operations::RESTART) }
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
    pub begin: BeginRequest,
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
                let OnServer { cluster, server, request_id, repeat_by_arguments, expected_server, begin } = self.0;
                Operate {
                    operation: &$operation,
                    cluster,
                    target: TaskTarget::Server(server),
                    expected_server,
                    expected_cluster: None,
                    consent: Consent::default(),
                    stop_type: StopType::Process,
                    freeze_before_stop: false,
                    hold_until: None,
                    drain: Duration::ZERO,
                    request_id,
                    repeat_by_arguments,
                    expire_time: None,
                    begin,
                }
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

/// Arguments of an operation on a zone.
#[derive(Clone, Debug)]
pub struct OnZone {
    pub cluster: ClusterId,
    pub zone: ZoneName,
    pub request_id: Option<Uuid>,
    /// As in [`StopServer`].
    pub repeat_by_arguments: bool,
    /// As in [`StopServer`]; false, empty, zero and absent for a start.
    pub force: bool,
    pub accepted_risks: Vec<Risk>,
    pub freeze_before_stop: bool,
    pub drain: Duration,
    pub expire_time: Option<Timestamp>,
    pub begin: BeginRequest,
}

macro_rules! on_zone {
    ($($(#[$doc:meta])* $name:ident asks for $operation:path;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub OnZone);

        impl FamilyCall for $name {
            const CALL: Call = $operation.call;
            type Family = Operate;

            fn data(&self) -> Operate {
                let asked = self.0.clone();
                Operate {
                    operation: &$operation,
                    cluster: asked.cluster,
                    target: TaskTarget::Zone(asked.zone),
                    expected_server: None,
                    expected_cluster: None,
                    consent: Consent { force: asked.force, accepted: asked.accepted_risks },
                    stop_type: StopType::Process,
                    freeze_before_stop: asked.freeze_before_stop,
                    hold_until: None,
                    drain: asked.drain,
                    request_id: asked.request_id,
                    repeat_by_arguments: asked.repeat_by_arguments,
                    expire_time: asked.expire_time,
                    begin: asked.begin,
                }
            }
        }
    )+};
}

on_zone! {
    /// Records a task that stops a zone: its service, then the process of each of its servers; answers with it.
    StopZone asks for operations::zone::STOP;
    /// Records a task that starts the processes of a zone and then its service, and answers with it.
    StartZone asks for operations::zone::START;
    /// Records a task that stops a zone and starts it again, and answers with it.
    RestartZone asks for operations::zone::RESTART;
}

/// Arguments of an operation on a whole cluster.
#[derive(Clone, Debug)]
pub struct OnCluster {
    pub cluster: ClusterId,
    /// Refused unless the cluster has this name.
    pub expected_name: Option<String>,
    pub request_id: Option<Uuid>,
    /// As in [`StopServer`].
    pub repeat_by_arguments: bool,
    /// As in [`StopServer`]; false, empty and absent for a start.
    pub force: bool,
    pub accepted_risks: Vec<Risk>,
    pub expire_time: Option<Timestamp>,
    pub begin: BeginRequest,
}

macro_rules! on_cluster {
    ($($(#[$doc:meta])* $name:ident asks for $operation:path;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub OnCluster);

        impl FamilyCall for $name {
            const CALL: Call = $operation.call;
            type Family = Operate;

            fn data(&self) -> Operate {
                let asked = self.0.clone();
                Operate {
                    operation: &$operation,
                    cluster: asked.cluster,
                    target: TaskTarget::Cluster,
                    expected_server: None,
                    expected_cluster: asked.expected_name,
                    consent: Consent { force: asked.force, accepted: asked.accepted_risks },
                    stop_type: StopType::Process,
                    // A node of its own.
                    freeze_before_stop: false,
                    // No client is left when all of it goes.
                    drain: Duration::ZERO,
                    hold_until: None,
                    request_id: asked.request_id,
                    repeat_by_arguments: asked.repeat_by_arguments,
                    expire_time: asked.expire_time,
                    begin: asked.begin,
                }
            }
        }
    )+};
}

on_cluster! {
    /// Records a task that freezes every server of a cluster and then ends every process, and answers with it. Needs SERVICE_LOSS.
    StopCluster asks for operations::cluster::STOP;
    /// Records a task that starts every process of a cluster, or rolls back the one at rest that stopped it; answers with that task.
    StartCluster asks for operations::cluster::START;
    /// Records a task that stops a cluster and starts it again, and answers with it. Needs SERVICE_LOSS.
    RestartCluster asks for operations::cluster::RESTART;
}

/// An operation that is to be recorded as a task. What an operation lacks is as if it were not given.
pub struct Operate {
    pub(super) operation: &'static Definition,
    pub(super) cluster: ClusterId,
    pub(super) target: TaskTarget,
    pub(super) expected_server: Option<ServerAddr>,
    pub(super) expected_cluster: Option<String>,
    pub(super) consent: Consent,
    stop_type: StopType,
    pub(super) freeze_before_stop: bool,
    pub(super) hold_until: Option<Timestamp>,
    pub(super) drain: Duration,
    pub(super) request_id: Option<Uuid>,
    repeat_by_arguments: bool,
    pub(super) expire_time: Option<Timestamp>,
    pub(super) begin: BeginRequest,
}

impl Operate {
    /// What a repeat by request id must have alike: everything that was asked for, but not how it is to be recognised.
    pub(super) fn digest(&self) -> String {
        let digest = RequestDigest::of(self.operation.call).field("cluster", self.cluster);
        let digest = match &self.target {
            TaskTarget::Server(server) => digest.field("server", server),
            TaskTarget::Zone(zone) => digest.field("zone", zone),
            TaskTarget::Cluster => digest,
        };
        digest
            .field("force", self.consent.force)
            .field("accepted_risks", joined(&self.consent.accepted))
            .optional("stop_type", self.stop_type())
            .field("freeze_before_stop", self.freeze_before_stop)
            .optional("expected_server", self.expected_server)
            .optional("expected_cluster", self.expected_cluster.as_deref())
            .optional("expire_time", self.expire_time.map(Timestamp::as_micros))
            .optional("hold_until", self.hold_until.map(Timestamp::as_micros))
            .optional("drain", self.drain_words())
            .optional("not_before", self.begin.not_before.map(Timestamp::as_micros))
            .optional("queue", self.begin.queue.then_some(true))
            .finish()
    }

    /// In seconds; `None`: it waits for no client.
    fn drain_words(&self) -> Option<String> {
        (!self.drain.is_zero()).then(|| format!("{}s", self.drain.as_secs_f64()))
    }

    /// Whether an equal request of the same caller is answered with its open task.
    pub(super) const fn repeats_by_arguments(&self) -> bool {
        self.repeat_by_arguments && self.request_id.is_none()
    }

    /// `None`: it was asked for without a request id.
    pub(super) fn request_key(&self) -> Option<RequestKey> {
        self.request_id.map(|id| RequestKey { id, digest: self.digest() })
    }

    /// `None`: it stops nothing.
    pub(super) fn stop_type(&self) -> Option<StopType> {
        self.operation.stops_service().then_some(self.stop_type)
    }
}

impl CallFamily for Operate {
    type Subject = ClusterId;
    type Output = StoredTask;

    fn subject(&self) -> ClusterId {
        self.cluster
    }

    fn accepts_risks(&self, _: &[Risk]) -> Vec<Risk> {
        self.consent.accepted.clone()
    }

    fn audit_entry(&self) -> AuditEntry {
        let cluster = self.cluster;
        let on = |what: String| AuditEntry::on(what).in_cluster(cluster).with("cluster_id", cluster);
        let entry = match &self.target {
            TaskTarget::Server(server) => on(format!("cluster {cluster} server {server}")).with("server_id", server),
            TaskTarget::Zone(zone) => on(format!("cluster {cluster} zone {zone}")).with("zone", zone),
            TaskTarget::Cluster => on(format!("cluster {cluster}")),
        };
        let expected = |entry: AuditEntry| match self.target {
            TaskTarget::Server(_) => entry.with_or_empty("expected_server", self.expected_server),
            TaskTarget::Zone(_) => entry,
            TaskTarget::Cluster => entry.with_or_empty("expected_name", self.expected_cluster.as_deref()),
        };
        let not_before = self.begin.not_before.map(Timestamp::as_micros);
        let entry = entry.with_some("not_before", not_before).with_some("queue", self.begin.queue.then_some(true));
        if self.stop_type().is_none() {
            return expected(entry);
        }
        let typed = self.operation.call == Call::StopServer;
        let entry = entry
            .with("force", self.consent.force)
            .with("accept_risks", joined(&self.consent.accepted))
            .with_some("type", typed.then_some(self.stop_type));
        let entry = expected(entry).with_or_empty("expire_time", self.expire_time.map(Timestamp::as_micros));
        if self.target == TaskTarget::Cluster {
            return entry;
        }
        let freeze = self.freeze_before_stop;
        let entry = entry.with_some("freeze_before_stop", (!typed || freeze).then_some(freeze));
        let entry = entry.with_some("drain", self.drain_words());
        entry.with_some("hold_until", self.hold_until.map(Timestamp::as_micros))
    }

    async fn run(self, service: &Service, caller: &Caller, (): ()) -> Result<StoredTask, Refusal> {
        service.accept(caller, self).await
    }
}
