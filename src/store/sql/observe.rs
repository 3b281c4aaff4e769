//! Writes what a reading of a cluster found into the observed columns. The managed columns are not touched here, except that a
//! server or zone that is gone takes them along.

use std::fmt::Display;

use super::database::{Change, Database};
use super::ids::Ids;
use super::statement::{NewValue, OnConflict, Statement};
use super::value::SqlValue;
use super::{audit, inventory_read};
use crate::clock::Timestamp;
use crate::domain::ids::{ClusterId, ServerAddr, ServerId};
use crate::domain::status::ClusterStatus;
use crate::store::inventory::{ClusterObservation, ServerObservation, ServerRow, ZoneObservation, ZoneRow};
use crate::store::{AuditRecord, StoreError};

/// The first reading, with the server ids that the caller chose.
pub async fn first(
    database: &mut Database,
    cluster: ClusterId,
    observation: &ClusterObservation,
    chosen: &[(ServerAddr, ServerId)],
    ids: &mut Ids,
) -> Result<Vec<Statement>, StoreError> {
    let mut statements = vec![cluster_columns(cluster, observation)];
    statements.extend(observation.zones.iter().map(|zone| zone_row(cluster, zone)));
    let mut used = Vec::new();
    for server in in_order(&observation.servers) {
        // Two rows with one address: the second is another server.
        let chosen = chosen.iter().map(|(addr, id)| (addr, id.get()));
        let chosen = chosen.filter(|(addr, id)| **addr == server.addr && !used.contains(id)).map(|(_, id)| id).next();
        let id = match chosen {
            Some(id) => {
                used.push(id);
                id
            }
            None => ids.next(database).await?,
        };
        statements.push(server_row(id, cluster, server, observation.observed_at));
    }
    Ok(statements)
}

/// A later reading; answers the changes, described for people.
pub async fn observe(
    database: &mut Database,
    (cluster, observation, record): &(ClusterId, ClusterObservation, Option<AuditRecord>),
) -> Result<Change<Vec<String>>, StoreError> {
    let Some(before) = inventory_read::cluster(database, cluster).await? else {
        // The cluster was deregistered while it was read.
        return Ok(Change::none(Vec::new()));
    };
    let zones = inventory_read::zones(database, cluster).await?;
    let servers = inventory_read::servers(database, cluster).await?;
    let mut changes = Changes(Vec::new());
    changes.field("the cluster", "lease_time_us", before.lease_time_micros, observation.lease_time_micros);
    let (was, is) = (before.permanent_offline_micros, observation.permanent_offline_micros);
    changes.field("the cluster", "permanent_offline_us", was, is);
    let mut statements = vec![cluster_columns(*cluster, observation)];
    statements.extend(observed_zones(*cluster, &zones, &observation.zones, &mut changes));
    statements.extend(observed_servers(database, *cluster, &servers, observation, &mut changes).await?);
    statements.extend(record.as_ref().map(audit::insertion));
    Ok(Change::of(changes.0, statements))
}

/// Records why a reading failed; what was observed before stays.
pub async fn failed(
    _: &mut Database,
    (cluster, at, error): &(ClusterId, Timestamp, String),
) -> Result<Change<()>, StoreError> {
    let words = if error.is_empty() { format!("a reading at {at} failed") } else { error.clone() };
    let set = vec![("sync_error", words.into())];
    Ok(Change::of((), vec![Statement::update("cluster", set, vec![("id", cluster.get().into())])]))
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

fn observed_zones(
    cluster: ClusterId,
    before: &[ZoneRow],
    now: &[ZoneObservation],
    changes: &mut Changes,
) -> Vec<Statement> {
    let mut statements = Vec::new();
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
        statements.push(zone_row(cluster, zone));
    }
    for row in before.iter().filter(|row| !now.iter().any(|zone| zone.name == row.name)) {
        changes.0.push(format!("zone {} is gone", row.name));
        let of = [("cluster", cluster.get().into()), ("name", row.name.as_str().into())];
        statements.push(Statement::delete("zone", of));
    }
    statements
}

async fn observed_servers(
    database: &mut Database,
    cluster: ClusterId,
    before: &[ServerRow],
    observation: &ClusterObservation,
    changes: &mut Changes,
) -> Result<Vec<Statement>, StoreError> {
    let same = |row: &ServerRow, server: &ServerObservation| {
        row.addr == server.addr && row.ob_server_id == server.ob_server_id
    };
    let (mut statements, mut ids) = (Vec::new(), None);
    for row in before.iter().filter(|row| !observation.servers.iter().any(|server| same(row, server))) {
        changes.0.push(format!("server {} {} is gone", row.zone, row.addr));
        statements.push(Statement::delete("server", [("id", row.id.get().into())]));
    }
    for server in in_order(&observation.servers) {
        let name = format!("server {} {}", server.zone, server.addr);
        match before.iter().find(|row| same(row, server)) {
            None => {
                let ids = match &mut ids {
                    Some(ids) => ids,
                    None => ids.insert(Ids::read(database, "server").await?),
                };
                let id = ids.next(database).await?;
                changes.0.push(format!("{name} is new, with id {id}"));
                statements.push(server_row(id, cluster, server, observation.observed_at));
            }
            Some(row) => {
                describe(row, server, &name, changes);
                let of = vec![("id", row.id.get().into())];
                statements.push(Statement::update("server", observed(server, observation.observed_at).into(), of));
            }
        }
    }
    statements.extend(ids.into_iter().flat_map(Ids::statements));
    Ok(statements)
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

fn cluster_columns(cluster: ClusterId, now: &ClusterObservation) -> Statement {
    // STOPPED says that a cluster cannot be read because a task ended all of it, which a reading ends: one that fails later has
    // another cause.
    let set = vec![
        ("observed_us", NewValue::To(now.observed_at.as_micros().into())),
        ("sync_error", NewValue::To("".into())),
        ("lease_time_us", NewValue::To(now.lease_time_micros.into())),
        ("permanent_offline_us", NewValue::To(now.permanent_offline_micros.into())),
        ("managed_status", NewValue::NullIf(ClusterStatus::Stopped.as_str())),
    ];
    Statement::Update { table: "cluster", set, of: vec![("id", cluster.get().into())] }
}

fn zone_row(cluster: ClusterId, zone: &ZoneObservation) -> Statement {
    let row = [
        ("cluster", cluster.get().into()),
        ("name", zone.name.as_str().into()),
        ("inner_status", zone.inner_status.as_str().into()),
        ("region", zone.region.as_str().into()),
        ("idc", zone.idc.as_str().into()),
    ];
    let columns = &["inner_status", "region", "idc"];
    Statement::insert("zone", row).on_conflict(OnConflict::Replace { key: "cluster, name", columns })
}

fn server_row(id: i64, cluster: ClusterId, server: &ServerObservation, at: Timestamp) -> Statement {
    let key = [
        ("id", id.into()),
        ("cluster", cluster.get().into()),
        ("addr", server.addr.to_string().into()),
        ("ob_server_id", server.ob_server_id.into()),
    ];
    let row = key.into_iter().chain(observed(server, at)).collect();
    Statement::Insert { table: "server", row, on_conflict: OnConflict::Keep }
}

/// The observed columns.
fn observed(server: &ServerObservation, at: Timestamp) -> [(&'static str, SqlValue); 9] {
    [
        ("zone", server.zone.as_str().into()),
        ("sql_port", i64::from(server.sql_port).into()),
        ("inner_status", server.inner_status.as_str().into()),
        ("stop_us", server.stop_time.map(Timestamp::as_micros).into()),
        ("start_service_us", server.start_service_time.map(Timestamp::as_micros).into()),
        ("last_offline_us", server.last_offline_time.map(Timestamp::as_micros).into()),
        ("with_rootserver", server.with_rootserver.into()),
        ("build_version", server.build_version.as_str().into()),
        ("observed_us", at.as_micros().into()),
    ]
}

/// By zone, then by address, so that new ids are in a readable order.
fn in_order(servers: &[ServerObservation]) -> Vec<&ServerObservation> {
    let mut servers: Vec<&ServerObservation> = servers.iter().collect();
    servers.sort_by_key(|server| (&server.zone, server.addr, server.ob_server_id));
    servers
}
