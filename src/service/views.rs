//! What calls answer, in the domain's types.

use crate::clock::Timestamp;
use crate::domain::clients::ServerClients;
use crate::domain::ids::{ClusterId, Principal, RoleName, ServerAddr, ServerId, TaskId, ZoneName};
use crate::domain::permission::Permission;
use crate::domain::reading::Fact;
use crate::domain::status::{ClusterStatus, ServerStatus, ZoneStatus};
use crate::store::access::{AccessKeyRow, UserRow};
use crate::store::inventory::{ClusterRow, HostRoute, ServerRow, ZoneRow};

pub use crate::domain::precheck::CheckVerdict;
pub use crate::operations::assess::AssessedCheck;

/// A page by number: its items, and how many there are in all.
#[derive(Clone, Debug)]
pub struct PageOf<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: u64,
}

#[derive(Clone, Debug)]
pub struct UserView {
    /// As stored; the hash of its password is never shown.
    pub row: UserRow,
    /// What its roles permit.
    pub permissions: Vec<Permission>,
}

#[derive(Clone, Debug)]
pub struct AccessKeyView {
    /// As stored; its secret is shown only to whoever makes it.
    pub row: AccessKeyRow,
    pub user: Principal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleView {
    pub name: RoleName,
    pub permissions: Vec<Permission>,
    /// When it was made; `None`: it is always there.
    pub create_time: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct ClusterView {
    pub row: ClusterRow,
    pub status: ClusterStatus,
    /// Its zones with their shown status.
    pub zones: Vec<(ZoneRow, ZoneStatus)>,
    /// Routes by `svr_ip`.
    pub hosts: Vec<(String, HostRoute)>,
    pub operating_task: Option<TaskId>,
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

#[derive(Clone, Debug)]
pub struct ServerView {
    /// As stored, or as just read.
    pub row: ServerRow,
    pub status: ServerStatus,
    pub process: ProcessView,
    /// Log streams led from it; `None`: not known.
    pub leaders: Option<i64>,
    /// Last heartbeat + `server_permanent_offline_time`, while no heartbeats arrive.
    pub permanent_offline_at: Option<Timestamp>,
    /// Until when a task holds it out of service; `None`: none does.
    pub held_until: Option<Timestamp>,
    /// Why it is not safe to power its host off; `None`: it is safe.
    pub not_safe_reason: Option<String>,
    /// Open task that acts on it.
    pub operating_task: Option<TaskId>,
}

/// What a stop would meet now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopPlanView {
    pub cluster: ClusterId,
    /// `None`: of all servers of the zone, or of the cluster.
    pub server: Option<(ServerId, ServerAddr)>,
    /// `None`: of the whole cluster.
    pub zone: Option<ZoneName>,
    /// Whether a stop with these arguments would be let through.
    pub allowed: bool,
    /// Every check, in a fixed order.
    pub checks: Vec<AssessedCheck>,
    /// Tenant, its name, and how many of its leaders would move.
    pub leader_moves: Vec<(i64, String, i32)>,
    /// Further servers that may fail afterwards; `None`: not known.
    pub failures_tolerated_after: Option<i32>,
    /// When the cluster was read.
    pub observed_at: Timestamp,
    /// What clients have on each server.
    pub clients: Vec<(ServerAddr, Fact<ServerClients>)>,
}
