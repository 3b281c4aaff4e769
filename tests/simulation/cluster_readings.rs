//! What the adapter reads of a cluster, made from its state directly: the same as through `src/sim/view_rows.rs` and the SQL of
//! `src/oceanbase` (`cluster_tests.rs` compares the two). Pure.

use std::time::Duration;

use obsteward::clock::Timestamp;
use obsteward::domain::clients::{ClientSession, ServerClients};
use obsteward::domain::freeze;
use obsteward::domain::ids::{ClusterIdentity, ServerAddr};
use obsteward::domain::precheck::LedFrom;
use obsteward::domain::reading::locality::paxos_replica_number;
use obsteward::domain::reading::{
    ArbitrationReading, Fact, LogDisk, LogReplica, LogStreamReading, Parameters, Role, ServerReading, TenantReading,
    TenantType, UnitReading, Unreadable, ZoneReading, member_list,
};
use obsteward::domain::status::{InnerStatus, ZoneInnerStatus};
use obsteward::oceanbase::{ClusterError, metas_follow, no_leaders};
use obsteward::sim::state::{BUILD_VERSION, Cluster, LogStream, Replica, Server, ServerStatus};
use obsteward::sim::{Core, Micros, Session, time};

const ARBITER: &str = "127.0.0.1:5882";

pub fn addr(server: &Server) -> ServerAddr {
    ServerAddr::new(server.ip.parse().unwrap(), server.rpc_port).unwrap()
}

/// The addresses of all servers, read once.
struct Addresses(Vec<(i64, ServerAddr)>);

impl Addresses {
    fn of(cluster: &Cluster) -> Self {
        Self(cluster.servers.iter().map(|server| (server.id, addr(server))).collect())
    }

    fn get(&self, server: i64) -> Option<ServerAddr> {
        self.0.iter().find(|(id, _)| *id == server).map(|(_, addr)| *addr)
    }

    fn all(&self, servers: &[i64]) -> Vec<ServerAddr> {
        servers.iter().filter_map(|id| self.get(*id)).collect()
    }
}

fn moment(micros: Micros) -> Option<Timestamp> {
    (micros > 0).then(|| Timestamp::from_micros(micros))
}

fn scn(micros: Micros) -> u64 {
    u64::try_from(micros).unwrap() * 1000
}

fn reachable(cluster: &Cluster) -> impl Iterator<Item = &Server> {
    cluster.servers.iter().filter(|server| server.reachable())
}

/// As the parameters of the server that answers say; None: it does not even reach itself.
pub fn identity(core: &Core, server: i64) -> Option<ClusterIdentity> {
    let cluster = &core.cluster;
    cluster.server(server).filter(|server| server.reachable())?;
    let named = core.faults.identity(server);
    let (name, ob_cluster_id) = named.unwrap_or_else(|| (cluster.name.clone(), cluster.id));
    Some(ClusterIdentity { name, ob_cluster_id, fingerprint: time::format(cluster.created, 0) })
}

pub fn servers(cluster: &Cluster) -> Result<Vec<ServerReading>, ClusterError> {
    let root = cluster.root_service();
    let read = |server: &Server| ServerReading {
        addr: addr(server),
        ob_server_id: server.id,
        zone: server.zone.parse().unwrap(),
        sql_port: server.sql_port,
        with_rootserver: root == Some(server.id),
        status: match server.status {
            ServerStatus::Active => InnerStatus::Active,
            ServerStatus::Inactive => InnerStatus::Inactive,
            ServerStatus::Deleting => InnerStatus::Deleting,
            ServerStatus::TakeoverByRs => InnerStatus::TakeoverByRs,
        },
        start_service_time: moment(server.start_service_time),
        stop_time: moment(server.stop_time),
        last_offline_time: moment(server.last_offline_time),
        create_time: moment(server.created),
        build_version: BUILD_VERSION.to_owned(),
    };
    let mut servers: Vec<ServerReading> = cluster.servers.iter().map(read).collect();
    if servers.is_empty() {
        return Err(ClusterError::unreadable("DBA_OB_SERVERS is empty: log in to the sys tenant"));
    }
    servers.sort_by_key(|server| server.addr);
    Ok(servers)
}

pub fn zones(cluster: &Cluster) -> Vec<ZoneReading> {
    let zones = cluster.zones.iter().map(|zone| ZoneReading {
        name: zone.name.parse().unwrap(),
        status: if zone.active { ZoneInnerStatus::Active } else { ZoneInnerStatus::Inactive },
        region: zone.region.clone(),
        idc: String::new(),
        zone_type: zone.kind.clone(),
    });
    let mut zones: Vec<ZoneReading> = zones.collect();
    zones.sort_by(|a, b| a.name.cmp(&b.name));
    zones
}

pub fn tenants(cluster: &Cluster) -> Vec<TenantReading> {
    let tenants = cluster.tenants.iter().map(|tenant| TenantReading {
        id: tenant.id,
        name: tenant.name.clone(),
        tenant_type: match tenant.kind {
            "SYS" => Ok(TenantType::Sys),
            "META" => Ok(TenantType::Meta),
            "USER" => Ok(TenantType::User),
            other => panic!("no such tenant type: {other}"),
        },
        paxos_replica_number: paxos_replica_number(&tenant.locality),
        locality: tenant.locality.clone(),
        previous_locality: Ok(Some(tenant.previous_locality.clone()).filter(|text| !text.trim().is_empty())),
        status: "NORMAL".to_owned(),
        role: Ok(tenant.role.to_owned()),
        arbitration: Ok(if tenant.arbitration { "ENABLED" } else { "DISABLED" }.to_owned()),
    });
    let mut tenants: Vec<TenantReading> = tenants.collect();
    tenants.sort_by_key(|tenant| tenant.id);
    metas_follow(tenants)
}

/// `server`: as it alone has them; None: as all have them that answer.
pub fn parameters(cluster: &Cluster, server: Option<i64>) -> Parameters {
    let told = reachable(cluster).any(|found| server.is_none_or(|id| id == found.id));
    let value = |name: &str| {
        let value = cluster.parameters.get(name).filter(|_| told);
        value.ok_or_else(|| Unreadable::new(format!("there is no parameter {name}")))
    };
    let duration = |name: &str| {
        value(name).map(|value| {
            let micros = time::parse_duration(value).unwrap_or_else(|| panic!("{name} is {value:?}"));
            Duration::from_micros(u64::try_from(micros).unwrap())
        })
    };
    Parameters {
        lease_time: duration("lease_time"),
        server_permanent_offline_time: duration("server_permanent_offline_time"),
        internal_sql_execute_timeout: duration("internal_sql_execute_timeout"),
        enable_upgrade_mode: value("enable_upgrade_mode").map(|value| value.eq_ignore_ascii_case("true")),
    }
}

pub fn units(cluster: &Cluster) -> Vec<UnitReading> {
    let units = cluster.units.iter().filter_map(|unit| {
        let server = cluster.server(unit.server)?;
        let from = unit.migrate_from.and_then(|id| cluster.server(id));
        Some(UnitReading {
            unit_id: unit.id,
            tenant_id: Some(unit.tenant),
            addr: addr(server),
            zone: server.zone.clone(),
            status: "ACTIVE".to_owned(),
            migrate_from: from.map(|server| addr(server).to_string()),
        })
    });
    units.collect()
}

pub fn arbitration(cluster: &Cluster) -> Vec<ArbitrationReading> {
    if !cluster.arbitration {
        return Vec::new();
    }
    let read = |server: &Server| ArbitrationReading {
        addr: addr(server),
        service: ARBITER.to_owned(),
        status: "ACTIVE".to_owned(),
    };
    reachable(cluster).map(read).collect()
}

pub fn merging_tenants(cluster: &Cluster) -> Vec<i64> {
    let merging = cluster.tenants.iter().filter(|_| cluster.compaction_running);
    merging.map(|tenant| tenant.id).collect()
}

pub fn backup_jobs(cluster: &Cluster) -> Vec<(i64, String)> {
    let users = cluster.tenants.iter().filter(|tenant| cluster.backup_running && tenant.kind == "USER");
    users.map(|tenant| (tenant.id, "DOING".to_owned())).collect()
}

pub fn log_disks(cluster: &Cluster) -> Vec<LogDisk> {
    let disk = |server: &Server| LogDisk {
        addr: addr(server),
        capacity: server.log_disk_capacity,
        in_use: server.log_disk_in_use,
    };
    reachable(cluster).map(disk).collect()
}

/// The joined statement of the precheck.
pub fn log_streams(cluster: &Cluster, now: Micros) -> Vec<LogStreamReading> {
    let mut streams: Vec<&LogStream> = cluster.log_streams.iter().filter(|ls| ls.status != "CREATE_ABORT").collect();
    streams.sort_by_key(|ls| (ls.tenant, ls.id));
    let addresses = Addresses::of(cluster);
    let read = |ls: &LogStream| {
        let member_list = members(cluster, ls, &addresses);
        let replica = |replica: &Replica| {
            let server = cluster.server(replica.server).filter(|server| server.reachable())?;
            Some(LogReplica {
                addr: addresses.get(server.id)?,
                role: Ok(if ls.leader == Some(server.id) { Role::Leader } else { Role::Follower }),
                proposal_id: Ok(ls.proposal_id),
                member_list: member_list.clone(),
                paxos_replica_number: Ok(ls.paxos_replica_number),
                end_scn: Ok(scn(cluster.replica_end(ls, replica, now))),
            })
        };
        LogStreamReading {
            tenant_id: ls.tenant,
            ls_id: ls.id,
            replicas: ls.replicas.iter().filter_map(replica).collect(),
            unreadable: vec![],
            degraded_list: Ok(vec![]),
            arbitration_member: Ok(None),
        }
    };
    streams.into_iter().map(read).collect()
}

fn members(cluster: &Cluster, ls: &LogStream, addresses: &Addresses) -> Fact<Vec<ServerAddr>> {
    if cluster.holds.unknown_members.is_empty() {
        Ok(addresses.all(&ls.members))
    } else {
        member_list::parse(&ls.member_list(cluster))
    }
}

/// Adds what their leaders report of the arbitration service; `told` is Err where they could not be asked.
pub fn add_arbitration(cluster: &Cluster, log_streams: &mut [LogStreamReading], told: Fact<()>) {
    let addresses = Addresses::of(cluster);
    for reading in log_streams {
        let leader = reading.leader().map(|leader| leader.addr);
        let found = cluster.log_stream(reading.tenant_id, reading.ls_id).filter(|ls| {
            let leads = led_by(cluster, ls).filter(|server| server.reachable());
            leads.is_some_and(|server| addresses.get(server.id) == leader)
        });
        let found = match &told {
            Ok(()) => found.ok_or_else(|| Unreadable::new("GV$OB_LOG_STAT does not show its leader")),
            Err(why) => Err(why.clone()),
        };
        reading.degraded_list = found.clone().map(|ls| addresses.all(&ls.degraded));
        reading.arbitration_member = found.map(|ls| cluster.arbitrates(ls.tenant).then(|| ARBITER.to_owned()));
    }
}

/// The server with the replica that leads.
fn led_by<'a>(cluster: &'a Cluster, ls: &LogStream) -> Option<&'a Server> {
    ls.replica(ls.leader?).and_then(|replica| cluster.server(replica.server))
}

/// LEADER rows of these servers in `CDB_OB_LS_LOCATIONS`, or in `GV$OB_LOG_STAT` with `answering` servers only.
pub fn leaders(cluster: &Cluster, at: &[ServerAddr], answering: bool) -> Result<Vec<LedFrom>, ClusterError> {
    let (mut all, mut here) = (0, Vec::new());
    let addresses = Addresses::of(cluster);
    for (ls, server) in cluster.log_streams.iter().filter_map(|ls| Some((ls, led_by(cluster, ls)?))) {
        if !answering || server.reachable() {
            all += 1;
            let addr = addresses.get(server.id).filter(|addr| at.contains(addr));
            here.extend(addr.map(|addr| LedFrom { tenant_id: ls.tenant, ls_id: ls.id, addr }));
        }
    }
    here.sort_unstable();
    if all == 0 { Err(no_leaders(if answering { "GV$OB_LOG_STAT" } else { "CDB_OB_LS_LOCATIONS" })) } else { Ok(here) }
}

pub fn checkpoints(cluster: &Cluster, at: &ServerAddr, now: Micros) -> Vec<freeze::Replica> {
    let Some(server) = cluster.servers.iter().find(|server| addr(server) == *at) else { return Vec::new() };
    let read = |ls: &LogStream| {
        let replica = ls.replica(server.id)?;
        let position = freeze::Position {
            checkpoint_scn: scn(replica.checkpoint),
            applied_scn: scn(cluster.replica_end(ls, replica, now)),
        };
        let told = server.reachable().then_some(position);
        let position = told.ok_or_else(|| Unreadable::new("__all_virtual_ls_info does not show it"));
        Some(freeze::Replica { tenant_id: ls.tenant, ls_id: ls.id, position })
    };
    cluster.log_streams.iter().filter_map(read).collect()
}

/// Whether the views show this server.
pub fn answers(cluster: &Cluster, at: &ServerAddr) -> bool {
    cluster.servers.iter().any(|server| addr(server) == *at && server.reachable())
}

/// What clients have on a server; whose session asks is told by its number.
pub fn clients(core: &Core, at: &ServerAddr, own: i64) -> ServerClients {
    let own = core.sessions.get(&u64::try_from(own).unwrap()).map(Session::login);
    let here = |session: &&Session| core.cluster.server(session.server).is_some_and(|server| addr(server) == *at);
    let of_client = |session: &&Session| Some(session.login()) != own;
    let read = |session: &Session| ClientSession {
        tenant: session.login().1.to_owned(),
        active: session.statement().is_some(),
        transaction: session.transaction.map(|open| open.id),
    };
    let sessions: Vec<ClientSession> = core.sessions.values().filter(here).filter(of_client).map(read).collect();
    // a transaction of this cluster ends with its session
    ServerClients::of(&sessions, [])
}
