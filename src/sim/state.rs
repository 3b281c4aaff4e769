//! The state of the whole simulated cluster: plain data with small questions about it. It reads no clock and does no
//! input or output; `rules` decides over it and `advance` moves it through time.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::options::Durations;
use super::time::{self, Micros};

pub const SYS_TENANT: i64 = 1;
pub const SYS_LS: i64 = 1;
pub const BUILD_VERSION: &str =
    "4.2.5.3_103000092025031120-b4e5b2eb1ebae4a0e8ae2d1b4b8f4ae7b9d1ef0c(Mar 11 2025 20:36:02)";

#[derive(Debug, Clone)]
pub struct Cluster {
    pub name: String,
    pub id: i64,
    pub created: Micros,
    pub zones: Vec<Zone>,
    pub servers: Vec<Server>,
    pub tenants: Vec<Tenant>,
    pub log_streams: Vec<LogStream>,
    pub units: Vec<Unit>,
    pub parameters: BTreeMap<String, String>,
    pub events: Vec<Event>,
    pub durations: Durations,
    /// The arbitration service of the cluster is ACTIVE.
    pub arbitration: bool,
    pub compaction_running: bool,
    pub backup_running: bool,
    /// What faults hold back; recomputed whenever the faults change.
    pub holds: Holds,
}

#[derive(Debug, Clone)]
pub struct Zone {
    pub name: String,
    pub active: bool,
    /// Since when it is not ACTIVE.
    pub stopped_at: Micros,
    pub region: String,
    /// `ReadWrite`, `ReadOnly` or `Encryption`.
    pub kind: String,
}

#[derive(Debug, Clone)]
pub struct Server {
    pub id: i64,
    pub zone: String,
    pub ip: String,
    pub sql_port: u16,
    pub rpc_port: u16,
    pub home: PathBuf,
    pub status: ServerStatus,
    /// Zero, as in `__all_server`, when not set; so the next two.
    pub stop_time: Micros,
    pub start_service_time: Micros,
    pub last_offline_time: Micros,
    pub created: Micros,
    pub process: Option<Process>,
    pub last_heartbeat: Micros,
    /// Since when nothing answers there; zero while something does.
    pub unreachable_since: Micros,
    /// When the root service is ready to move the next leader away.
    pub next_leader_move: Micros,
    pub log_disk_capacity: i64,
    pub log_disk_in_use: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub since: Micros,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerStatus {
    Active,
    Inactive,
    Deleting,
    TakeoverByRs,
}

impl ServerStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::Deleting => "DELETING",
            Self::TakeoverByRs => "TAKEOVER_BY_RS",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Tenant {
    pub id: i64,
    pub name: String,
    /// `SYS`, `META` or `USER`.
    pub kind: &'static str,
    /// `PRIMARY` or `STANDBY`.
    pub role: &'static str,
    pub primary_zone: String,
    pub locality: String,
    /// Not empty while the locality is changing.
    pub previous_locality: String,
    /// What the schema asks for.
    pub paxos_replica_number: i64,
    pub arbitration: bool,
}

#[derive(Debug, Clone)]
pub struct LogStream {
    pub tenant: i64,
    pub id: i64,
    pub status: String,
    pub replicas: Vec<Replica>,
    /// The member list, which its leader keeps.
    pub members: Vec<i64>,
    pub leader: Option<i64>,
    /// Where its primary zone would have it; it returns there.
    pub preferred: i64,
    pub proposal_id: i64,
    pub paxos_replica_number: i64,
    /// The log's end while nobody leads.
    pub last_scn: Micros,
    pub degraded: Vec<i64>,
    pub created: Micros,
}

#[derive(Debug, Clone)]
pub struct Replica {
    pub server: i64,
    pub position: Position,
    pub checkpoint: Micros,
    /// A minor freeze that ends at the first and moves the checkpoint to the second.
    pub freeze: Option<(Micros, Micros)>,
}

/// How far a replica's log reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    InSync,
    /// The process is gone (or just back): the log ends where it ended.
    Stale(Micros),
    CatchingUp {
        from: Micros,
        started: Micros,
        until: Micros,
    },
}

#[derive(Debug, Clone)]
pub struct Unit {
    pub id: i64,
    pub tenant: i64,
    pub server: i64,
    /// Set while the unit is on its way here.
    pub migrate_from: Option<i64>,
}

/// A row of DBA_OB_ROOTSERVICE_EVENT_HISTORY.
#[derive(Debug, Clone)]
pub struct Event {
    pub at: Micros,
    pub module: &'static str,
    pub event: &'static str,
    pub names: Vec<(&'static str, String)>,
    pub rs: String,
}

#[derive(Debug, Clone, Default)]
pub struct Holds {
    pub stuck_leaders: Vec<StuckLeader>,
    /// (server, behind by)
    pub lagging: Vec<(i64, Micros)>,
    pub arbitration_stuck: bool,
    pub checkpoint_stuck: Vec<i64>,
    pub unknown_members: Vec<UnknownMember>,
}

/// An address in member lists that no server has.
#[derive(Debug, Clone)]
pub struct UnknownMember {
    pub tenant: Option<i64>,
    pub ls: Option<i64>,
    pub address: String,
}

#[derive(Debug, Clone)]
pub struct StuckLeader {
    pub server: Option<i64>,
    pub tenant: Option<i64>,
    pub ls: Option<i64>,
}

impl Holds {
    /// This log stream keeps its leader; with nobody leading, nobody is elected.
    pub fn leader_stuck(&self, ls: &LogStream) -> bool {
        self.stuck_leaders.iter().any(|stuck| {
            stuck.server.is_none_or(|server| ls.leader == Some(server))
                && stuck.tenant.is_none_or(|tenant| tenant == ls.tenant)
                && stuck.ls.is_none_or(|id| id == ls.id)
        })
    }

    /// Members of this log stream that are in no server list.
    pub fn unknown_members(&self, ls: &LogStream) -> impl Iterator<Item = &str> {
        let (tenant, id) = (ls.tenant, ls.id);
        let of_this = move |unknown: &&UnknownMember| {
            unknown.tenant.is_none_or(|wanted| wanted == tenant) && unknown.ls.is_none_or(|wanted| wanted == id)
        };
        self.unknown_members.iter().filter(of_this).map(|unknown| unknown.address.as_str())
    }
}

impl Server {
    /// The address OceanBase knows it by: `ip:rpc_port`.
    pub fn address(&self) -> String {
        format!("{}:{}", self.ip, self.rpc_port)
    }

    /// As the root service sees it, which is late.
    pub fn alive(&self) -> bool {
        self.last_offline_time == 0
    }

    pub fn in_service(&self) -> bool {
        self.start_service_time != 0
    }

    /// As its peers see it.
    pub fn reachable(&self) -> bool {
        self.process.is_some() && self.unreachable_since == 0
    }
}

impl LogStream {
    pub fn replica(&self, server: i64) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.server == server)
    }

    /// Member list as the views print it.
    pub fn member_list(&self, cluster: &Cluster) -> String {
        let members = self.members.iter().filter_map(|id| cluster.server(*id)).map(Server::address);
        let unknown = cluster.holds.unknown_members(self).map(str::to_owned);
        members.chain(unknown).map(|address| format!("{address}:1")).collect::<Vec<_>>().join(",")
    }
}

impl Cluster {
    /// Writes `rootservice_list`: every server.
    pub(super) fn list_root_service(&mut self) {
        let list = self.servers.iter().map(|s| format!("{}:{}:{}", s.ip, s.rpc_port, s.sql_port));
        self.parameters.insert("rootservice_list".into(), list.collect::<Vec<_>>().join(";"));
    }

    /// The processes that have just started serve at once.
    pub(super) fn all_serve(&mut self, now: Micros) {
        for server in &mut self.servers {
            server.start_service_time = now;
            server.last_heartbeat = now;
        }
    }

    pub fn server(&self, id: i64) -> Option<&Server> {
        self.servers.iter().find(|server| server.id == id)
    }

    pub fn server_mut(&mut self, id: i64) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.id == id)
    }

    pub fn server_at(&self, address: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.address() == address)
    }

    pub fn zone(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.name.eq_ignore_ascii_case(name))
    }

    pub fn tenant(&self, id: i64) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.id == id)
    }

    pub fn log_stream(&self, tenant: i64, id: i64) -> Option<&LogStream> {
        self.log_streams.iter().find(|ls| ls.tenant == tenant && ls.id == id)
    }

    pub fn log_stream_mut(&mut self, tenant: i64, id: i64) -> Option<&mut LogStream> {
        self.log_streams.iter_mut().find(|ls| ls.tenant == tenant && ls.id == id)
    }

    /// The root service works where the sys tenant's log stream is led.
    pub fn root_service(&self) -> Option<i64> {
        let leader = self.log_stream(SYS_TENANT, SYS_LS)?.leader?;
        self.server(leader).filter(|server| server.reachable()).map(|server| server.id)
    }

    /// Rows that CDB_OB_LS_LOCATIONS shows with role LEADER for these servers.
    pub fn leaders_on(&self, servers: &[i64]) -> usize {
        self.log_streams.iter().filter(|ls| ls.leader.is_some_and(|leader| servers.contains(&leader))).count()
    }

    pub fn reachable(&self, id: i64) -> bool {
        self.server(id).is_some_and(Server::reachable)
    }

    pub fn parameter_micros(&self, name: &str) -> Option<Micros> {
        self.parameters.get(name).and_then(|value| time::parse_duration(value))
    }

    pub fn lease_time(&self) -> Micros {
        self.parameter_micros("lease_time").unwrap_or_else(|| time::micros(self.durations.lease_time))
    }

    pub fn internal_timeout(&self) -> Micros {
        self.parameter_micros("internal_sql_execute_timeout")
            .unwrap_or_else(|| time::micros(self.durations.internal_sql_execute_timeout))
    }

    /// The last log entry of a log stream, in microseconds.
    pub fn leader_end(&self, ls: &LogStream, now: Micros) -> Micros {
        if ls.leader.is_some_and(|leader| self.reachable(leader)) { now } else { ls.last_scn }
    }

    /// How far the log of a replica reaches, in microseconds.
    pub fn replica_end(&self, ls: &LogStream, replica: &Replica, now: Micros) -> Micros {
        let end = self.leader_end(ls, now);
        if ls.leader == Some(replica.server) {
            return end;
        }
        let reached = match replica.position {
            Position::InSync => end,
            Position::Stale(scn) => scn,
            Position::CatchingUp { from, started, until } => {
                let share = (now - started) as f64 / (until - started).max(1) as f64;
                from + ((end - from) as f64 * share.clamp(0.0, 1.0)) as Micros
            }
        };
        let held = self.holds.lagging.iter().find(|(server, _)| *server == replica.server);
        held.map_or(reached, |(_, by)| reached.min(end - by)).min(end)
    }

    /// Whether enough members of a log stream are there to write its log.
    pub fn has_majority(&self, ls: &LogStream) -> bool {
        let living = ls.members.iter().filter(|id| self.reachable(**id)).count();
        let votes = living + usize::from(ls.members.len() == 2 && self.arbitrates(ls.tenant));
        votes > ls.members.len() / 2
    }

    /// Whether the arbitration service votes for this tenant.
    pub fn arbitrates(&self, tenant: i64) -> bool {
        self.arbitration && self.tenant(tenant).is_some_and(|tenant| tenant.arbitration)
    }

    pub fn event(&mut self, at: Micros, module: &'static str, event: &'static str, names: Vec<(&'static str, String)>) {
        let rs = self.root_service().and_then(|id| self.server(id)).map(Server::address).unwrap_or_default();
        self.events.push(Event { at, module, event, names, rs });
    }
}
