//! The rows of each view, in the order of its columns in `views`; those of log streams stand in `view_log_rows`, those of
//! sessions in `view_session_rows`.

use super::state::Server;
use super::views::{Cell, Rows, Source};

macro_rules! row {
    ($($cell:expr),* $(,)?) => { vec![$(Cell::from($cell)),*] };
}

pub(super) use row;

const GIB: i64 = 1 << 30;

pub(super) fn yes(condition: bool) -> &'static str {
    if condition { "YES" } else { "NO" }
}

/// The service epoch of modern rows does not matter here: creation time serves as modification time too.
pub fn dba_ob_servers(source: &Source<'_>) -> Rows {
    let root = source.cluster.root_service();
    let row = |s: &Server| {
        row![
            s.ip.as_str(),
            s.rpc_port,
            s.id,
            s.zone.as_str(),
            s.sql_port,
            yes(root == Some(s.id)),
            s.status.name(),
            Cell::time(s.start_service_time),
            Cell::time(s.stop_time),
            Cell::Null,
            Cell::time(s.created),
            Cell::time(s.created.max(s.stop_time).max(s.last_offline_time)),
            super::state::BUILD_VERSION,
            Cell::time(s.last_offline_time),
        ]
    };
    source.cluster.servers.iter().map(row).collect()
}

pub fn all_server(source: &Source<'_>) -> Rows {
    let root = source.cluster.root_service();
    let row = |s: &Server| {
        row![
            Cell::time(s.created),
            Cell::time(s.created),
            s.ip.as_str(),
            s.rpc_port,
            s.id,
            s.zone.as_str(),
            s.sql_port,
            i64::from(root == Some(s.id)),
            s.status.name(),
            0_i64,
            super::state::BUILD_VERSION,
            s.stop_time,
            s.start_service_time,
            0_i64,
            1_i64,
            s.last_offline_time,
        ]
    };
    source.cluster.servers.iter().map(row).collect()
}

fn zone_status(active: bool) -> &'static str {
    if active { "ACTIVE" } else { "INACTIVE" }
}

pub fn dba_ob_zones(source: &Source<'_>) -> Rows {
    let created = Cell::time(source.cluster.created);
    let zones = source.cluster.zones.iter();
    zones
        .map(|zone| {
            let (name, status) = (zone.name.as_str(), zone_status(zone.active));
            row![name, created.clone(), created.clone(), status, "", zone.region.as_str(), zone.kind.as_str()]
        })
        .collect()
}

pub fn all_zone(source: &Source<'_>) -> Rows {
    let created = Cell::time(source.cluster.created);
    let row = |zone: &str, name: &str, value: i64, info: &str| {
        row![created.clone(), created.clone(), zone, name, value, info]
    };
    let mut rows = vec![row("", "cluster", 0, &source.identity.0)];
    for zone in &source.cluster.zones {
        rows.push(row(&zone.name, "idc", 0, ""));
        rows.push(row(&zone.name, "region", 0, &zone.region));
        rows.push(row(&zone.name, "status", if zone.active { 2 } else { 1 }, zone_status(zone.active)));
        rows.push(row(&zone.name, "zone_type", 0, &zone.kind));
    }
    rows
}

fn none_if_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

pub fn dba_ob_tenants(source: &Source<'_>) -> Rows {
    let (created, scn) = (source.cluster.created, source.now * 1000);
    let row = |t: &super::state::Tenant| {
        let user = (t.kind == "USER").then_some(scn);
        let largest = source.cluster.log_streams.iter().filter(|ls| ls.tenant == t.id).map(|ls| ls.id).max();
        row![
            t.id,
            t.name.as_str(),
            t.kind,
            Cell::time(created),
            Cell::time(created),
            t.primary_zone.as_str(),
            t.locality.as_str(),
            none_if_empty(&t.previous_locality),
            "MYSQL",
            "NORMAL",
            "NO",
            "NO",
            t.role,
            "NORMAL",
            0_i64,
            user,
            user,
            user,
            user.map(|_| 4_611_686_018_427_387_903_i64),
            "NOARCHIVELOG",
            if t.arbitration { "ENABLED" } else { "DISABLED" },
            1_i64,
            "4.2.5.3",
            largest,
        ]
    };
    source.cluster.tenants.iter().map(row).collect()
}

pub fn all_tenant(source: &Source<'_>) -> Rows {
    let tenants = source.cluster.tenants.iter();
    tenants
        .map(|t| {
            let arbitration = if t.arbitration { "ENABLED" } else { "DISABLED" };
            let (name, zone) = (t.name.as_str(), t.primary_zone.as_str());
            row![
                t.id,
                name,
                zone,
                0_i64,
                t.locality.as_str(),
                t.previous_locality.as_str(),
                "NORMAL",
                0_i64,
                arbitration
            ]
        })
        .collect()
}

pub fn dba_ob_units(source: &Source<'_>) -> Rows {
    let created = source.cluster.created;
    let units = source.cluster.units.iter();
    units
        .filter_map(|unit| {
            let server = source.cluster.server(unit.server)?;
            let from = unit.migrate_from.and_then(|id| source.cluster.server(id));
            Some(row![
                unit.id,
                unit.tenant,
                "ACTIVE",
                unit.tenant,
                unit.tenant,
                Cell::time(created),
                Cell::time(created),
                server.zone.as_str(),
                server.ip.as_str(),
                server.rpc_port,
                from.map(|server| server.ip.as_str()),
                from.map(|server| server.rpc_port),
                from.map(|_| "NO"),
                unit.tenant,
                2_i64,
                2_i64,
                4 * GIB,
                12 * GIB,
            ])
        })
        .collect()
}

pub fn gv_ob_units(source: &Source<'_>) -> Rows {
    let units = source.cluster.units.iter();
    units
        .filter_map(|unit| {
            let s = source.cluster.server(unit.server).filter(|server| server.reachable())?;
            let created = Cell::time(source.cluster.created);
            let (ip, zone) = (s.ip.as_str(), s.zone.as_str());
            let cpu = 2_i64;
            Some(row![
                ip,
                s.rpc_port,
                unit.id,
                unit.tenant,
                zone,
                cpu,
                cpu,
                4 * GIB,
                12 * GIB,
                GIB,
                GIB,
                "NORMAL",
                created
            ])
        })
        .collect()
}

pub fn resource_pools(source: &Source<'_>) -> Rows {
    let zones = source.cluster.zones.iter().map(|zone| zone.name.as_str()).collect::<Vec<_>>().join(";");
    let created = Cell::time(source.cluster.created);
    let tenants = source.cluster.tenants.iter().filter(|tenant| tenant.kind != "META");
    tenants
        .map(|t| {
            let name = format!("{}_pool", t.name);
            row![t.id, name, t.id, created.clone(), created.clone(), 1_i64, t.id, zones.as_str(), "FULL"]
        })
        .collect()
}

pub fn events(source: &Source<'_>) -> Rows {
    let row = |event: &super::state::Event| {
        let mut row = row![Cell::time(event.at), event.module, event.event];
        for i in 0..6 {
            let (name, value) = event.names.get(i).map_or(("", ""), |(name, value)| (*name, value.as_str()));
            row.extend(row![name, value]);
        }
        let (ip, port) = event.rs.rsplit_once(':').unwrap_or(("", "0"));
        row.extend(row!["", ip, port.parse::<i64>().unwrap_or_default()]);
        row
    };
    source.cluster.events.iter().map(row).collect()
}

pub fn gv_ob_servers(source: &Source<'_>) -> Rows {
    let reachable = source.cluster.servers.iter().filter(|server| server.reachable());
    reachable
        .map(|s| {
            row![
                s.ip.as_str(),
                s.rpc_port,
                s.zone.as_str(),
                s.sql_port,
                16_i64,
                16_i64,
                8_i64,
                8_i64,
                64 * GIB,
                32 * GIB,
                s.log_disk_capacity,
                s.log_disk_capacity / 2,
                s.log_disk_in_use,
                500 * GIB,
                40 * GIB,
                "NORMAL",
                80 * GIB,
                Cell::Null,
                Cell::Null,
            ]
        })
        .collect()
}

/// Parameters as each server that answers holds them; the identity is the endpoint's.
fn parameters<'a>(source: &'a Source<'_>) -> impl Iterator<Item = (&'a Server, String, String)> {
    source.cluster.servers.iter().filter(|server| server.reachable()).flat_map(move |server| {
        let own = [
            ("cluster", source.identity.0.clone()),
            ("cluster_id", source.identity.1.to_string()),
            ("zone", server.zone.clone()),
            ("mysql_port", server.sql_port.to_string()),
            ("rpc_port", server.rpc_port.to_string()),
            ("local_ip", server.ip.clone()),
            ("observer_id", server.id.to_string()),
        ];
        let shared = source.cluster.parameters.iter().map(|(name, value)| (name.clone(), value.clone()));
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(shared).map(move |(name, value)| (server, name, value))
    })
}

pub fn gv_ob_parameters(source: &Source<'_>) -> Rows {
    ob_parameters(source, |_| true)
}

/// What the server that answers says of itself.
pub fn v_ob_parameters(source: &Source<'_>) -> Rows {
    ob_parameters(source, |server| server.id == source.server)
}

fn ob_parameters(source: &Source<'_>, shown: impl Fn(&Server) -> bool) -> Rows {
    parameters(source)
        .filter(|(server, _, _)| shown(server))
        .map(|(s, name, value)| {
            let (ip, zone) = (s.ip.as_str(), s.zone.as_str());
            row![
                ip,
                s.rpc_port,
                zone,
                "CLUSTER",
                Cell::Null,
                name,
                Cell::Null,
                value,
                "",
                "OBSERVER",
                "DYNAMIC_EFFECTIVE"
            ]
        })
        .collect()
}

pub fn sys_parameter_stat(source: &Source<'_>) -> Rows {
    parameters(source)
        .map(|(s, name, value)| {
            let (ip, zone) = (s.ip.as_str(), s.zone.as_str());
            row![
                zone,
                "observer",
                ip,
                s.rpc_port,
                name,
                Cell::Null,
                value.as_str(),
                value.as_str(),
                "",
                "OBSERVER",
                "CLUSTER",
                "DEFAULT",
                "DYNAMIC_EFFECTIVE",
            ]
        })
        .collect()
}

pub fn arbitration_status(source: &Source<'_>) -> Rows {
    if !source.cluster.arbitration {
        return Vec::new();
    }
    let reachable = source.cluster.servers.iter().filter(|server| server.reachable());
    reachable.map(|s| row![s.ip.as_str(), s.rpc_port, "127.0.0.1:5882", "ACTIVE"]).collect()
}

pub fn arbitration_service(source: &Source<'_>) -> Rows {
    if !source.cluster.arbitration {
        return Vec::new();
    }
    let created = Cell::time(source.cluster.created);
    vec![row![created.clone(), created, "default", "127.0.0.1:5882", "", "ADDR"]]
}

pub fn major_compaction(source: &Source<'_>) -> Rows {
    let (created, scn) = (source.cluster.created, source.cluster.created * 1000);
    let status = if source.cluster.compaction_running { "COMPACTING" } else { "IDLE" };
    let tenants = source.cluster.tenants.iter();
    tenants
        .map(|t| {
            let time = Cell::time(created);
            row![t.id, scn, time.clone(), scn, scn, time.clone(), time, status, "NO", "NO", ""]
        })
        .collect()
}

pub fn backup_jobs(source: &Source<'_>) -> Rows {
    if !source.cluster.backup_running {
        return Vec::new();
    }
    let users = source.cluster.tenants.iter().filter(|tenant| tenant.kind == "USER");
    users
        .map(|t| {
            let start = Cell::time(source.cluster.created);
            let path = "file:///backup";
            row![
                t.id,
                1_i64,
                1_i64,
                1_i64,
                "FULL",
                "USER_TENANT",
                start,
                Cell::Null,
                "DOING",
                0_i64,
                Cell::Null,
                Cell::Null,
                path
            ]
        })
        .collect()
}
