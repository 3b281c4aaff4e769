//! Writes what a reading of a cluster found into the observed columns. The managed columns are not touched here, except that a
//! server or zone that is gone takes them along.

use std::fmt::Display;

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::commit;
use super::inventory_read;
use super::inventory_write::{Changed, server_id};
use crate::clock::Timestamp;
use crate::domain::ids::{ClusterId, ServerAddr, ServerId};
use crate::store::inventory::{ClusterObservation, ServerObservation, ServerRow, ZoneObservation, ZoneRow};
use crate::store::{AuditRecord, StoreError};

/// The first reading, with the server ids that the caller chose.
pub(super) fn first(
    connection: &Connection,
    cluster: ClusterId,
    observation: &ClusterObservation,
    chosen: &[(ServerAddr, ServerId)],
) -> rusqlite::Result<()> {
    write_cluster(connection, cluster, observation)?;
    for zone in &observation.zones {
        write_zone(connection, cluster, zone)?;
    }
    for server in in_order(&observation.servers) {
        insert_server(connection, cluster, server, observation.observed_at, chosen)?;
    }
    Ok(())
}

/// A later reading; returns the changes, described for people.
pub(super) fn observe(
    connection: &Connection,
    cluster: ClusterId,
    observation: &ClusterObservation,
    audit: Option<&AuditRecord>,
) -> Changed<Vec<String>> {
    let before = || -> Result<_, StoreError> {
        Ok((
            inventory_read::times(connection, cluster)?,
            inventory_read::zones(connection, cluster)?,
            inventory_read::servers(connection, cluster)?,
        ))
    };
    let (times, zones, servers) = match before() {
        Ok((Some(times), zones, servers)) => (times, zones, servers),
        // The cluster was deregistered while it was read.
        Ok((None, _, _)) => return Ok(Ok(Vec::new())),
        Err(error) => return Ok(Err(error)),
    };
    let mut changes = Changes(Vec::new());
    let (lease_time, permanent_offline) = times;
    changes.field("the cluster", "lease_time_us", lease_time, observation.lease_time_micros);
    let is = observation.permanent_offline_micros;
    changes.field("the cluster", "permanent_offline_us", permanent_offline, is);
    write_cluster(connection, cluster, observation)?;
    observe_zones(connection, cluster, &zones, &observation.zones, &mut changes)?;
    observe_servers(connection, cluster, &servers, observation, &mut changes)?;
    if let Some(record) = audit {
        commit::audit(connection, record)?;
    }
    Ok(Ok(changes.0))
}

/// Records why a reading failed; what was observed before stays.
pub(super) fn failed(connection: &Connection, cluster: ClusterId, at: Timestamp, error: &str) -> Changed<()> {
    let words = if error.is_empty() { format!("a reading at {at} failed") } else { error.to_owned() };
    let mut statement = connection.prepare_cached("UPDATE cluster SET sync_error = ?2 WHERE id = ?1")?;
    statement.execute(params![cluster.get(), words])?;
    Ok(Ok(()))
}

struct Changes(Vec<String>);

impl Changes {
    fn field<T: PartialEq + Display>(&mut self, whose: &str, field: &str, was: T, is: T) {
        if was != is {
            self.0.push(format!("{whose}: {field} is {is}, was {was}"));
        }
    }

    fn moment(&mut self, whose: &str, field: &str, was: Option<Timestamp>, is: Option<Timestamp>) {
        let words = |moment: Option<Timestamp>| moment.map_or("unset".to_owned(), |moment| moment.to_string());
        if was != is {
            self.0.push(format!("{whose}: {field} is {}, was {}", words(is), words(was)));
        }
    }
}

fn observe_zones(
    connection: &Connection,
    cluster: ClusterId,
    before: &[ZoneRow],
    now: &[ZoneObservation],
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    for zone in now {
        let name = format!("zone {}", zone.name);
        match before.iter().find(|row| row.name == zone.name) {
            None => changes.0.push(format!("{name} is new")),
            Some(row) => {
                changes.field(&name, "STATUS", row.inner_status, zone.inner_status);
                changes.field(&name, "region", &row.region, &zone.region);
                changes.field(&name, "IDC", &row.idc, &zone.idc);
            }
        }
        write_zone(connection, cluster, zone)?;
    }
    for row in before.iter().filter(|row| !now.iter().any(|zone| zone.name == row.name)) {
        changes.0.push(format!("zone {} is gone", row.name));
        connection
            .execute("DELETE FROM zone WHERE cluster = ?1 AND name = ?2", params![cluster.get(), row.name.as_str()])?;
    }
    Ok(())
}

fn observe_servers(
    connection: &Connection,
    cluster: ClusterId,
    before: &[ServerRow],
    observation: &ClusterObservation,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let same = |row: &ServerRow, server: &ServerObservation| {
        row.addr == server.addr && row.ob_server_id == server.ob_server_id
    };
    for row in before.iter().filter(|row| !observation.servers.iter().any(|server| same(row, server))) {
        changes.0.push(format!("server {} {} is gone", row.zone, row.addr));
        connection.execute("DELETE FROM server WHERE id = ?1", [row.id.get()])?;
    }
    for server in in_order(&observation.servers) {
        let name = format!("server {} {}", server.zone, server.addr);
        match before.iter().find(|row| same(row, server)) {
            None => {
                let id = insert_server(connection, cluster, server, observation.observed_at, &[])?;
                changes.0.push(format!("{name} is new, with id {id}"));
            }
            Some(row) => {
                describe(row, server, &name, changes);
                update_server(connection, row.id, server, observation.observed_at)?;
            }
        }
    }
    Ok(())
}

fn describe(row: &ServerRow, server: &ServerObservation, name: &str, changes: &mut Changes) {
    changes.field(name, "STATUS", row.inner_status, server.inner_status);
    changes.moment(name, "STOP_TIME", row.stop_time, server.stop_time);
    changes.moment(name, "START_SERVICE_TIME", row.start_service_time, server.start_service_time);
    changes.moment(name, "LAST_OFFLINE_TIME", row.last_offline_time, server.last_offline_time);
    changes.field(name, "WITH_ROOTSERVER", row.with_rootserver, server.with_rootserver);
    changes.field(name, "BUILD_VERSION", &row.build_version, &server.build_version);
    changes.field(name, "zone", &row.zone, &server.zone);
    changes.field(name, "SQL_PORT", row.sql_port, server.sql_port);
}

/// By zone, then by address, so that new ids are in a readable order.
fn in_order(servers: &[ServerObservation]) -> Vec<&ServerObservation> {
    let mut servers: Vec<&ServerObservation> = servers.iter().collect();
    servers.sort_by_key(|server| (&server.zone, server.addr, server.ob_server_id));
    servers
}

fn write_cluster(connection: &Connection, cluster: ClusterId, now: &ClusterObservation) -> rusqlite::Result<()> {
    // STOPPED says that a cluster cannot be read because a task ended all of it, which a reading ends: one that fails later has
    // another cause.
    let mut statement = connection.prepare_cached(
        "UPDATE cluster SET observed_us = ?2, sync_error = '', lease_time_us = ?3, permanent_offline_us = ?4, \
         managed_status = NULLIF(managed_status, 'STOPPED') WHERE id = ?1",
    )?;
    let moment = now.observed_at.as_micros();
    statement.execute(params![cluster.get(), moment, now.lease_time_micros, now.permanent_offline_micros])?;
    Ok(())
}

fn write_zone(connection: &Connection, cluster: ClusterId, zone: &ZoneObservation) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO zone (cluster, name, inner_status, region, idc) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (cluster, name) DO UPDATE SET inner_status = excluded.inner_status, region = excluded.region, \
         idc = excluded.idc",
    )?;
    let name = zone.name.as_str();
    statement.execute(params![cluster.get(), name, zone.inner_status.as_str(), zone.region, zone.idc])?;
    Ok(())
}

fn insert_server(
    connection: &Connection,
    cluster: ClusterId,
    server: &ServerObservation,
    observed_at: Timestamp,
    chosen: &[(ServerAddr, ServerId)],
) -> rusqlite::Result<i64> {
    let id = server_id(connection, server.addr, chosen)?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO server (zone, sql_port, inner_status, stop_us, start_service_us, last_offline_us, with_rootserver, \
         build_version, observed_us, id, cluster, addr, ob_server_id) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING",
    )?;
    let key: [Value; 4] = [id.into(), cluster.get().into(), server.addr.to_string().into(), server.ob_server_id.into()];
    statement.execute(params_from_iter(observed(server, observed_at).into_iter().chain(key)))?;
    Ok(id)
}

fn update_server(
    connection: &Connection,
    id: ServerId,
    server: &ServerObservation,
    observed_at: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE server SET zone = ?1, sql_port = ?2, inner_status = ?3, stop_us = ?4, start_service_us = ?5, \
         last_offline_us = ?6, with_rootserver = ?7, build_version = ?8, observed_us = ?9 WHERE id = ?10",
    )?;
    statement.execute(params_from_iter(observed(server, observed_at).into_iter().chain([id.get().into()])))?;
    Ok(())
}

/// The observed columns, in the order of both statements.
fn observed(server: &ServerObservation, at: Timestamp) -> [Value; 9] {
    [
        server.zone.as_str().to_owned().into(),
        i64::from(server.sql_port).into(),
        server.inner_status.as_str().to_owned().into(),
        server.stop_time.map(Timestamp::as_micros).into(),
        server.start_service_time.map(Timestamp::as_micros).into(),
        server.last_offline_time.map(Timestamp::as_micros).into(),
        server.with_rootserver.into(),
        server.build_version.clone().into(),
        at.as_micros().into(),
    ]
}
