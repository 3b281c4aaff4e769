//! What callers ask, validated and in the domain's types, and what they get. Every call carries its [`Caller`].

use std::sync::Arc;

use secrecy::SecretString;
use uuid::Uuid;

use crate::access::Proof;
use crate::clock::Timestamp;
use crate::domain::event::TaskState;
use crate::domain::ids::{
    ClusterId, Principal, Revision, RoleName, ServerAddr, ServerId, SubtaskId, TaskId, UserId, ZoneName,
};
use crate::domain::permission::{Permission, Rights};
use crate::domain::status::{ClusterStatus, OverriddenBy, Risk, ServerStatus, StopType, ZoneStatus};
use crate::store::access::{AccessKeyRow, UserRow};
use crate::store::inventory::{ClusterRow, DefaultHost, HostRoute, ServerRow, ZoneRow};

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
    pub proof: Arc<Proof>,
    /// `ip:port`, or `ip` when a proxy did not tell the port.
    pub address: String,
    /// 16 hex digits, the same as in logs.
    pub trace_id: String,
}

/// StopServer.
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

/// StartServer.
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

/// RestartServer.
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

/// PlanStopServer.
#[derive(Clone, Debug)]
pub struct PlanStopServer {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Which server.
    pub server: ServerId,
    /// Whether the stop would use force.
    pub force: bool,
    /// Risks that it would accept.
    pub accepted_risks: Vec<Risk>,
    /// Kind of stop.
    pub stop_type: StopType,
    /// Whether the stop would freeze the server first.
    pub freeze_before_stop: bool,
}

/// SkipSubtask.
#[derive(Clone, Debug)]
pub struct SkipSubtask {
    /// Which task.
    pub task: TaskId,
    /// Which subtask.
    pub subtask: SubtaskId,
    /// Refused unless the task is at this revision.
    pub if_revision: Option<Revision>,
}

/// RetryTask, RollbackTask, CancelTask and GiveUpTask.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    /// Which task.
    pub task: TaskId,
    /// Refused unless the task is at this revision.
    pub if_revision: Option<Revision>,
    /// New end of consent, for a retry and a rollback.
    pub expire_time: Option<Timestamp>,
}

/// Which tasks of those that the caller may see.
#[derive(Clone, Debug, Default)]
pub struct TaskSelection {
    /// Of this cluster.
    pub cluster: Option<ClusterId>,
    /// Of this server.
    pub server: Option<ServerId>,
    /// In one of these states; empty: any.
    pub states: Vec<TaskState>,
    /// Whose name holds this, whatever the case.
    pub name: Option<String>,
}

/// Which clusters of those that the caller may see.
#[derive(Clone, Debug, Default)]
pub struct ClusterSelection {
    /// Whose name holds this, whatever the case.
    pub name_part: Option<String>,
    /// With one of these shown statuses; empty: any.
    pub statuses: Vec<ClusterStatus>,
}

/// A page by number: its items, and how many there are in all.
#[derive(Clone, Debug)]
pub struct PageOf<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: u64,
}

/// CreateUser.
#[derive(Clone, Debug)]
pub struct CreateUser {
    /// Its name.
    pub name: Principal,
    /// Its password.
    pub password: Option<SecretString>,
    /// Its roles; ascending, without repeats.
    pub roles: Vec<RoleName>,
    /// Names of its certificates; ascending, without repeats.
    pub certificate_names: Vec<String>,
}

/// UpdateUser; `None`: stays.
#[derive(Clone, Debug)]
pub struct UpdateUser {
    /// Which user.
    pub name: Principal,
    /// Its roles.
    pub roles: Option<Vec<RoleName>>,
    /// Names of its certificates.
    pub certificate_names: Option<Vec<String>>,
    /// Whether it is nobody for now.
    pub disabled: Option<bool>,
}

/// A user as shown.
#[derive(Clone, Debug)]
pub struct UserView {
    /// As stored; the hash of its password is never shown.
    pub row: UserRow,
    /// What its roles permit.
    pub permissions: Vec<Permission>,
}

/// An access key as shown.
#[derive(Clone, Debug)]
pub struct AccessKeyView {
    /// As stored; its secret is shown only to whoever makes it.
    pub row: AccessKeyRow,
    /// Name of its user.
    pub user: Principal,
}

/// A role as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleView {
    /// Its name.
    pub name: RoleName,
    /// Its permissions.
    pub permissions: Vec<Permission>,
    /// When it was made; `None`: it is always there.
    pub create_time: Option<Timestamp>,
}

/// What a watch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchScope {
    /// One task.
    Task(TaskId),
    /// The log of one task.
    Log(TaskId),
    /// Tasks of one cluster, or of all that the caller may see.
    Tasks(Option<ClusterId>),
}

/// ListTasks.
#[derive(Clone, Debug)]
pub struct ListTasks {
    /// Of this cluster.
    pub cluster: Option<ClusterId>,
    /// Of this server.
    pub server: Option<ServerId>,
    /// In one of these states; empty: any.
    pub states: Vec<TaskState>,
    /// Of this creator.
    pub creator: Option<Principal>,
    /// Only ids below this (from the page token).
    pub below: Option<TaskId>,
    /// At most so many.
    pub limit: u32,
}

/// RegisterCluster.
#[derive(Clone, Debug)]
pub struct RegisterCluster {
    /// `host:sql_port`, at least one.
    pub endpoints: Vec<String>,
    /// Login.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// Refused unless the cluster has this name.
    pub expected_name: Option<String>,
    /// Id that the caller chose.
    pub cluster: Option<ClusterId>,
    /// Server ids that the caller chose.
    pub server_ids: Vec<(ServerAddr, ServerId)>,
    /// Routes by `svr_ip`.
    pub hosts: Vec<(String, HostRoute)>,
    /// Route to hosts that are not named.
    pub default_host: DefaultHost,
}

/// UpdateCluster; `None`: stays.
#[derive(Clone, Debug)]
pub struct UpdateCluster {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Endpoints.
    pub endpoints: Option<Vec<String>>,
    /// Login.
    pub username: Option<String>,
    /// Password.
    pub password: Option<SecretString>,
    /// Routes by `svr_ip`, all of them.
    pub hosts: Option<Vec<(String, HostRoute)>>,
    /// Route to hosts that are not named.
    pub default_host: Option<DefaultHost>,
}

/// How a cluster is named in GetCluster.
#[derive(Clone, Debug)]
pub enum ClusterName {
    /// By id here.
    Id(ClusterId),
    /// By its name.
    Name(String),
}

/// A cluster as shown.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// As stored.
    pub row: ClusterRow,
    /// Shown status.
    pub status: ClusterStatus,
    /// Its zones with their shown status.
    pub zones: Vec<(ZoneRow, ZoneStatus)>,
    /// Routes by `svr_ip`.
    pub hosts: Vec<(String, HostRoute)>,
    /// Task that holds it.
    pub operating_task: Option<TaskId>,
    /// Number of servers.
    pub server_count: usize,
    /// Build version of its servers.
    pub version: String,
}

/// What is known of a server's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessView {
    /// Not asked (lists).
    NotAsked,
    /// Exactly one.
    Running { pid: i64 },
    /// Proven that there is none.
    Absent,
    /// The host does not answer, or no way to it is known.
    HostUnreachable { reason: String },
    /// More than one could be it.
    Ambiguous { evidence: String },
}

/// A server as shown.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// As stored, or as just read.
    pub row: ServerRow,
    /// Shown status.
    pub status: ServerStatus,
    /// Its process.
    pub process: ProcessView,
    /// Log streams led from it; `None`: not known.
    pub leaders: Option<i64>,
    /// Last heartbeat + `server_permanent_offline_time`, while no heartbeats arrive.
    pub permanent_offline_at: Option<Timestamp>,
    /// Why it is not safe to power its host off; `None`: it is safe.
    pub not_safe_reason: Option<String>,
    /// Open task that acts on it.
    pub operating_task: Option<TaskId>,
}

/// ListServers.
#[derive(Clone, Debug)]
pub struct ListServers {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Only of this zone.
    pub zone: Option<ZoneName>,
    /// Only ids above this (from the page token).
    pub above: Option<ServerId>,
    /// At most so many.
    pub limit: u32,
}

/// What a check of a plan says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// In order.
    Pass,
    /// Worth knowing.
    Info,
    /// Worth stopping to think.
    Warn,
    /// The stop is refused, unless overridden.
    Block,
}

/// One check of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanCheck {
    /// Its name, for example `LOG_IN_SYNC`.
    pub name: String,
    /// What it says.
    pub verdict: Verdict,
    /// What was found.
    pub evidence: String,
    /// What to do about it.
    pub remedy: String,
    /// What overrides it; `None`: nothing does.
    pub overridden_by: Option<OverriddenBy>,
    /// Whether this request overrides it.
    pub overridden: bool,
}

/// What a stop would meet now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopPlanView {
    /// The cluster.
    pub cluster: ClusterId,
    /// The server.
    pub server: ServerId,
    /// Its address.
    pub addr: ServerAddr,
    /// Its zone.
    pub zone: ZoneName,
    /// Whether a stop with these arguments would be let through.
    pub allowed: bool,
    /// Every check, in a fixed order.
    pub checks: Vec<PlanCheck>,
    /// Tenant, its name, and how many of its leaders would move.
    pub leader_moves: Vec<(i64, String, i32)>,
    /// Further servers that may fail afterwards; `None`: not known.
    pub failures_tolerated_after: Option<i32>,
    /// When the cluster was read.
    pub observed_at: Timestamp,
}
