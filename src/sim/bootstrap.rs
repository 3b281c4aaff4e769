//! The state a cluster begins with, from its options: zones, servers, tenants, log streams, leaders spread.

use std::net::Ipv4Addr;
use std::path::Path;

use super::options::{SimOptions, TenantOptions};
use super::state::{
    Cluster, Holds, LogStream, Position, Replica, SYS_TENANT, Server, ServerStatus, Tenant, Unit, Zone,
};
use super::time::{self, Micros};

pub const SQL_PORT: u16 = 2881;
pub const RPC_PORT: u16 = 2882;

/// Everything but the processes; `address` gives the nth server's, from 1.
pub fn bootstrap(options: &SimOptions, directory: &Path, address: impl Fn(u8) -> Ipv4Addr, now: Micros) -> Cluster {
    let mut cluster = Cluster {
        name: options.cluster_name.clone(),
        id: options.cluster_id,
        created: now,
        zones: Vec::new(),
        servers: Vec::new(),
        tenants: Vec::new(),
        log_streams: Vec::new(),
        units: Vec::new(),
        parameters: parameters(options),
        events: Vec::new(),
        durations: options.durations.clone(),
        arbitration: options.arbitration,
        compaction_running: false,
        backup_running: false,
        holds: Holds::default(),
    };
    for zone in 1..=options.zones {
        cluster.zones.push(Zone {
            name: format!("zone{zone}"),
            active: true,
            stopped_at: 0,
            region: "default_region".into(),
            kind: "ReadWrite".into(),
        });
    }
    // servers of one zone do not stand together: 1, 2, 3 are in three zones
    for number in 0..options.zones * options.servers_per_zone {
        let ip = address(number as u8 + 1).to_string();
        add_server(&mut cluster, directory, &ip, &format!("zone{}", number % options.zones + 1), now);
    }
    add_tenant(&mut cluster, SYS_TENANT, "sys", "SYS", &TenantOptions::new("sys"), 0, now);
    for (index, tenant) in options.tenants.iter().enumerate() {
        let user = 1002 + 2 * index as i64;
        let meta = TenantOptions { standby: false, log_streams: 0, ..tenant.clone() };
        add_tenant(&mut cluster, user - 1, &format!("META${user}"), "META", &meta, index, now);
        add_tenant(&mut cluster, user, &tenant.name, "USER", tenant, index, now);
    }
    cluster
}

/// A server that is ACTIVE and in service from the start; its process is somebody else's business.
pub fn add_server(cluster: &mut Cluster, directory: &Path, ip: &str, zone: &str, now: Micros) -> i64 {
    let id = cluster.servers.iter().map(|server| server.id).max().unwrap_or(0) + 1;
    cluster.servers.push(Server {
        id,
        zone: zone.into(),
        ip: ip.into(),
        sql_port: SQL_PORT,
        rpc_port: RPC_PORT,
        home: directory.join("hosts").join(ip).join("oceanbase"),
        status: ServerStatus::Active,
        stop_time: 0,
        start_service_time: now,
        last_offline_time: 0,
        created: now,
        process: None,
        last_heartbeat: now,
        unreachable_since: 0,
        next_leader_move: 0,
        log_disk_capacity: 40 << 30,
        log_disk_in_use: 10 << 30,
    });
    id
}

fn add_tenant(
    cluster: &mut Cluster,
    id: i64,
    name: &str,
    kind: &'static str,
    options: &TenantOptions,
    spread: usize,
    now: Micros,
) {
    let wanted = |zone: usize| options.replica_zones.is_empty() || options.replica_zones.contains(&(zone as u16 + 1));
    let zones: Vec<String> =
        (0..cluster.zones.len()).filter(|zone| wanted(*zone)).map(|zone| cluster.zones[zone].name.clone()).collect();
    // one unit per zone, on the server whose turn it is; META tenants live in their user tenant's unit
    let servers: Vec<i64> = zones
        .iter()
        .filter_map(|zone| {
            let own: Vec<i64> = cluster.servers.iter().filter(|s| s.zone == *zone).map(|s| s.id).collect();
            own.get(spread % own.len().max(1)).copied()
        })
        .collect();
    if kind != "META" {
        for server in &servers {
            let unit = cluster.units.len() as i64 + 1;
            cluster.units.push(Unit { id: unit, tenant: id, server: *server, migrate_from: None });
        }
    }
    cluster.tenants.push(Tenant {
        id,
        name: name.into(),
        kind,
        role: if options.standby { "STANDBY" } else { "PRIMARY" },
        primary_zone: "RANDOM".into(),
        locality: zones.iter().map(|zone| format!("FULL{{1}}@{zone}")).collect::<Vec<_>>().join(", "),
        previous_locality: String::new(),
        paxos_replica_number: servers.len() as i64,
        arbitration: options.arbitration,
    });
    let user = if kind == "USER" { options.log_streams } else { 0 };
    let ids = std::iter::once(1).chain((0..i64::from(user)).map(|n| 1001 + n));
    for (turn, ls) in ids.enumerate() {
        let Some(&leader) = servers.get((turn + spread) % servers.len().max(1)) else { continue };
        cluster.log_streams.push(LogStream {
            tenant: id,
            id: ls,
            status: "NORMAL".into(),
            replicas: servers.iter().map(|server| replica(*server, now)).collect(),
            members: servers.clone(),
            leader: Some(leader),
            preferred: leader,
            proposal_id: 1,
            paxos_replica_number: servers.len() as i64,
            last_scn: now,
            degraded: Vec::new(),
            created: now - 3_600_000_000,
        });
    }
}

pub fn replica(server: i64, now: Micros) -> Replica {
    Replica { server, position: Position::InSync, checkpoint: now - 60_000_000, freeze: None }
}

fn parameters(options: &SimOptions) -> std::collections::BTreeMap<String, String> {
    let duration = |d| time::show_duration(time::micros(d));
    let known = [
        ("lease_time", duration(options.durations.lease_time)),
        ("internal_sql_execute_timeout", duration(options.durations.internal_sql_execute_timeout)),
        ("server_permanent_offline_time", "3600s".into()),
        ("min_observer_version", "4.2.5.3".into()),
        ("enable_upgrade_mode", "False".into()),
        ("enable_rebalance", "True".into()),
        ("enable_rereplication", "True".into()),
        ("enable_auto_leader_switch", "True".into()),
        ("enable_major_freeze", "True".into()),
        ("major_freeze_duty_time", "02:00".into()),
        ("rootservice_list", String::new()),
        ("devname", "lo".into()),
        ("log_disk_utilization_threshold", "80".into()),
        ("log_disk_utilization_limit_threshold", "95".into()),
    ];
    known.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A cluster of so many one-server zones at time 1 s, every server reachable.
    pub fn cluster(servers: u16) -> Cluster {
        let options = SimOptions { zones: servers, ..SimOptions::quick("/nowhere") };
        let mut cluster = bootstrap(&options, Path::new("/nowhere"), |n| Ipv4Addr::new(127, 0, 1, n), 1_000_000);
        for id in 1..=i64::from(servers) {
            super::super::advance::process_started(&mut cluster, id, 1, 1_000_000);
            cluster.server_mut(id).unwrap().start_service_time = 1_000_000;
        }
        cluster
    }

    #[test]
    fn leaders_are_spread() {
        let cluster = cluster(3);
        assert_eq!(cluster.log_streams.len(), 1 + 3 * (1 + 4));
        for server in 1..=3 {
            assert!(cluster.leaders_on(&[server]) >= 4);
        }
        assert_eq!(cluster.root_service(), Some(1));
    }
}
