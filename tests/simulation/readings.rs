//! What a simulated cluster's views show, as readings: what `oceanbase` makes of the rows, made of the state itself.

use std::time::Duration;

use obsteward::clock::Timestamp;
use obsteward::domain::freeze;
use obsteward::domain::ids::{ClusterIdentity, ServerAddr};
use obsteward::domain::reading::{
    ArbitrationReading, ClusterReading, Fact, Facts, LogDisk, LogReplica, LogStreamReading, Parameters, Role,
    ServerReading, TenantReading, TenantType, UnitReading, Unreadable, ZoneReading, member_list,
};
use obsteward::domain::status::{InnerStatus, ZoneInnerStatus};
use obsteward::sim::state::{Cluster, LogStream, Server, ServerStatus};
use obsteward::sim::{Core, Micros};

fn address(server: &Server) -> ServerAddr {
    server.address().parse().expect("the address of a server")
}

fn moment(micros: Micros) -> Option<Timestamp> {
    (micros != 0).then(|| Timestamp::from_micros(micros))
}

fn scn(micros: Micros) -> u64 {
    u64::try_from(micros * 1000).expect("a moment after 1970")
}

pub fn identity(core: &Core, server: i64) -> ClusterIdentity {
    let cluster = &core.cluster;
    let (name, ob_cluster_id) = core.faults.identity(server).unwrap_or_else(|| (cluster.name.clone(), cluster.id));
    ClusterIdentity { name, ob_cluster_id, fingerprint: Timestamp::from_micros(cluster.created).to_string() }
}

pub fn servers(core: &Core) -> Vec<ServerReading> {
    let root = core.cluster.root_service();
    let server = |server: &Server| ServerReading {
        addr: address(server),
        ob_server_id: server.id,
        zone: server.zone.parse().expect("a zone's name"),
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
        build_version: obsteward::sim::state::BUILD_VERSION.to_owned(),
    };
    let mut servers: Vec<ServerReading> = core.cluster.servers.iter().map(server).collect();
    servers.sort_by_key(|server| server.addr);
    servers
}

pub fn zones(core: &Core) -> Vec<ZoneReading> {
    let zones = core.cluster.zones.iter().map(|zone| ZoneReading {
        name: zone.name.parse().expect("a zone's name"),
        status: if zone.active { ZoneInnerStatus::Active } else { ZoneInnerStatus::Inactive },
        region: zone.region.clone(),
        idc: String::new(),
        zone_type: zone.kind.clone(),
    });
    let mut zones: Vec<ZoneReading> = zones.collect();
    zones.sort_by(|one, other| one.name.cmp(&other.name));
    zones
}

pub fn parameters(core: &Core) -> Parameters {
    let time = |name: &str| {
        let micros = core.cluster.parameter_micros(name).and_then(|micros| u64::try_from(micros).ok());
        micros.map(Duration::from_micros).ok_or_else(|| Unreadable::new(format!("there is no parameter {name}")))
    };
    let upgrade = core.cluster.parameters.get("enable_upgrade_mode");
    Parameters {
        lease_time: time("lease_time"),
        server_permanent_offline_time: time("server_permanent_offline_time"),
        internal_sql_execute_timeout: time("internal_sql_execute_timeout"),
        enable_upgrade_mode: Ok(upgrade.is_some_and(|value| value.eq_ignore_ascii_case("true"))),
    }
}

fn tenants(core: &Core) -> Vec<TenantReading> {
    let tenant = |tenant: &obsteward::sim::state::Tenant| TenantReading {
        id: tenant.id,
        name: tenant.name.clone(),
        tenant_type: match tenant.kind {
            "SYS" => Ok(TenantType::Sys),
            "META" => Ok(TenantType::Meta),
            "USER" => Ok(TenantType::User),
            other => Err(Unreadable::new(format!("TENANT_TYPE is {other:?}"))),
        },
        locality: tenant.locality.clone(),
        previous_locality: Ok(Some(tenant.previous_locality.clone()).filter(|text| !text.is_empty())),
        status: "NORMAL".to_owned(),
        role: Ok(tenant.role.to_owned()),
        arbitration: Ok(if tenant.arbitration { "ENABLED" } else { "DISABLED" }.to_owned()),
        paxos_replica_number: Ok(tenant.paxos_replica_number),
    };
    core.cluster.tenants.iter().map(tenant).collect()
}

/// In the order of tenant and number. `whole`: with what the leaders report of the arbitration service.
pub fn log_streams(core: &Core, now: Micros, whole: bool) -> Vec<LogStreamReading> {
    let cluster = &core.cluster;
    let mut streams: Vec<&LogStream> = cluster.log_streams.iter().filter(|ls| ls.status != "CREATE_ABORT").collect();
    streams.sort_by_key(|ls| (ls.tenant, ls.id));
    streams.into_iter().map(|ls| log_stream(cluster, ls, now, whole)).collect()
}

fn log_stream(cluster: &Cluster, ls: &LogStream, now: Micros, whole: bool) -> LogStreamReading {
    let members = member_list::parse(&ls.member_list(cluster));
    let answering = ls.replicas.iter().filter_map(|replica| {
        let server = cluster.server(replica.server).filter(|server| server.reachable())?;
        Some(LogReplica {
            addr: address(server),
            role: Ok(if ls.leader == Some(server.id) { Role::Leader } else { Role::Follower }),
            proposal_id: Ok(ls.proposal_id),
            member_list: members.clone(),
            paxos_replica_number: Ok(ls.paxos_replica_number),
            end_scn: Ok(scn(cluster.replica_end(ls, replica, now))),
        })
    });
    let replicas: Vec<LogReplica> = answering.collect();
    let is_led = replicas.iter().any(|replica| replica.role == Ok(Role::Leader));
    let of_leader = |found: Fact<()>| -> Fact<()> {
        if is_led { found } else { Err(Unreadable::new("GV$OB_LOG_STAT does not show its leader")) }
    };
    let degraded = || ls.degraded.iter().filter_map(|id| cluster.server(*id)).map(address).collect();
    let arbiter = cluster.arbitrates(ls.tenant).then(|| "127.0.0.1:5882".to_owned());
    LogStreamReading {
        tenant_id: ls.tenant,
        ls_id: ls.id,
        replicas,
        unreadable: Vec::new(),
        degraded_list: if whole { of_leader(Ok(())).map(|()| degraded()) } else { Ok(Vec::new()) },
        arbitration_member: if whole { of_leader(Ok(())).map(|()| arbiter) } else { Ok(None) },
    }
}

/// How many log streams are led, in all and from a server, by the stored locations or by what the servers say.
pub fn leaders(core: &Core, locations: bool, addr: &ServerAddr) -> (usize, i64) {
    let cluster = &core.cluster;
    let (mut all, mut own) = (0, 0);
    for leader in cluster.log_streams.iter().filter_map(|ls| ls.leader).filter_map(|id| cluster.server(id)) {
        if locations || leader.reachable() {
            all += 1;
            own += i64::from(address(leader) == *addr);
        }
    }
    (all, own)
}

pub fn checkpoints(core: &Core, now: Micros, addr: &ServerAddr) -> Vec<freeze::Replica> {
    let cluster = &core.cluster;
    let on = |ls: &LogStream| {
        let server = cluster.servers.iter().find(|server| address(server) == *addr)?;
        let replica = ls.replica(server.id)?;
        let position = if server.reachable() {
            let (checkpoint, end) = (replica.checkpoint, cluster.replica_end(ls, replica, now));
            Ok(freeze::Position { checkpoint_scn: scn(checkpoint), applied_scn: scn(end) })
        } else {
            Err(Unreadable::new("__all_virtual_ls_info does not show it"))
        };
        Some(freeze::Replica { tenant_id: ls.tenant, ls_id: ls.id, position })
    };
    cluster.log_streams.iter().filter_map(on).collect()
}

/// The reading of the precheck, or without what no refusal depends on.
pub fn whole(
    core: &Core,
    now: Micros,
    identity: ClusterIdentity,
    observed_at: Timestamp,
    whole: bool,
) -> ClusterReading {
    let cluster = &core.cluster;
    let unit = |unit: &obsteward::sim::state::Unit| {
        let server = cluster.server(unit.server)?;
        Some(UnitReading {
            unit_id: unit.id,
            tenant_id: Some(unit.tenant),
            addr: address(server),
            zone: server.zone.clone(),
            status: "ACTIVE".to_owned(),
            migrate_from: unit.migrate_from.and_then(|id| cluster.server(id)).map(Server::address),
        })
    };
    let reachable = || cluster.servers.iter().filter(|server| server.reachable());
    let arbitration = |server: &Server| ArbitrationReading {
        addr: address(server),
        service: "127.0.0.1:5882".to_owned(),
        status: "ACTIVE".to_owned(),
    };
    let disk = |server: &Server| LogDisk {
        addr: address(server),
        capacity: server.log_disk_capacity,
        in_use: server.log_disk_in_use,
    };
    ClusterReading {
        identity,
        observed_at,
        servers: servers(core),
        zones: zones(core),
        tenants: tenants(core),
        log_streams: log_streams(core, now, true),
        units: Ok(cluster.units.iter().filter_map(unit).collect()),
        parameters: parameters(core),
        arbitration: Ok(if cluster.arbitration { reachable().map(arbitration).collect() } else { Vec::new() }),
        facts: if whole {
            Facts {
                merging_tenants: Ok(Vec::new()),
                backup_jobs: Ok(Vec::new()),
                log_disks: Ok(reachable().map(disk).collect()),
            }
        } else {
            Facts::not_asked("not asked for at the gate")
        },
    }
}
