//! Clusters, zones and servers as OCP writes them (docs/ocp-v2.md#clusters-zones-and-servers). Keys stand in
//! alphabetical order.

use serde::Serialize;

use crate::api::rest::task_body::PRIMARY;
use crate::api::rest::timestamp_format::TimestampFormat;
use crate::clock::Timestamp;
use crate::domain::status::{InnerStatus, ServerStatus, StopType, ZoneStatus};
use crate::service::views::{ClusterView, ServerView};
use crate::store::inventory::ZoneRow;

/// How OCP writes a moment that never was, STOP_TIME of a server that is not stopped.
const NEVER: Timestamp = Timestamp::from_micros(0);

/// A cluster. `statusAnalysis` is there when its last reading failed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterBody {
    full_version: String,
    id: i64,
    name: String,
    ob_cluster_id: i64,
    ob_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    operating_task_instance_id: Option<i64>,
    server_count: usize,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_analysis: Option<StatusAnalysis>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_time: Option<String>,
    zones: Vec<ZoneBody>,
}

#[derive(Serialize)]
struct StatusAnalysis {
    reason: String,
}

/// A zone; with its servers when they were asked for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneBody {
    cluster_id: i64,
    idc_name: String,
    inner_status: &'static str,
    name: String,
    region_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    servers: Option<Vec<ServerBody>>,
    status: &'static str,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerBody {
    available_operations: Vec<&'static str>,
    cluster_id: i64,
    id: i64,
    idc_name: String,
    inner_status: &'static str,
    ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    operating_task_instance_id: Option<i64>,
    port: u16,
    region_name: String,
    sql_port: u16,
    start_time: String,
    status: &'static str,
    stop_time: String,
    update_time: String,
    version: String,
    with_rootserver: bool,
    zone_name: String,
}

#[derive(Serialize)]
pub struct Contents<T> {
    pub contents: Vec<T>,
}

/// A cluster; with the servers of its zones when they are given.
pub fn cluster(timestamps: &TimestampFormat, view: &ClusterView, servers: Option<&[ServerView]>) -> ClusterBody {
    let row = &view.row;
    let (ob_version, full_version) = versions(&view.version);
    let reason = Some(row.sync_error.clone()).filter(|error| !error.is_empty());
    ClusterBody {
        full_version,
        id: row.id.get(),
        name: row.identity.name.clone(),
        ob_cluster_id: row.identity.ob_cluster_id,
        ob_version,
        operating_task_instance_id: view.operating_task.map(|task| task.get()),
        server_count: view.server_count,
        status: view.status.as_str(),
        status_analysis: reason.map(|reason| StatusAnalysis { reason }),
        kind: PRIMARY,
        update_time: row.observed_at.map(|at| timestamps.text(at)),
        zones: view.zones.iter().map(|(zone, status)| zone_body(timestamps, view, zone, *status, servers)).collect(),
    }
}

/// The version of a build and, with its release, what its package is named: `4.2.1.8_108000022024072217-b4e5b2e(Jul 22 2024)`
/// is 4.2.1.8 and 4.2.1.8-108000022024072217.
fn versions(build: &str) -> (String, String) {
    let (version, rest) = build.split_once('_').unwrap_or((build, ""));
    let release = rest.split(['-', '(']).next().unwrap_or_default();
    let full = if release.is_empty() { version.to_owned() } else { format!("{version}-{release}") };
    (version.to_owned(), full)
}

/// The zones of a cluster with their servers.
pub fn zones(timestamps: &TimestampFormat, view: &ClusterView, servers: &[ServerView]) -> Vec<ZoneBody> {
    view.zones.iter().map(|(zone, status)| zone_body(timestamps, view, zone, *status, Some(servers))).collect()
}

fn zone_body(
    timestamps: &TimestampFormat,
    view: &ClusterView,
    zone: &ZoneRow,
    status: ZoneStatus,
    servers: Option<&[ServerView]>,
) -> ZoneBody {
    let own = |servers: &[ServerView]| {
        let own = servers.iter().filter(|server| server.row.zone == zone.name);
        own.map(|one| server(timestamps, view, one)).collect()
    };
    ZoneBody {
        cluster_id: view.row.id.get(),
        idc_name: zone.idc.clone(),
        inner_status: zone.inner_status.as_str(),
        name: zone.name.to_string(),
        region_name: zone.region.clone(),
        servers: servers.map(own),
        status: status.as_str(),
    }
}

/// A server of a cluster.
pub fn server(timestamps: &TimestampFormat, cluster: &ClusterView, view: &ServerView) -> ServerBody {
    let row = &view.row;
    let zone = cluster.zones.iter().map(|(zone, _)| zone).find(|zone| zone.name == row.zone);
    ServerBody {
        // A task that acts on it comes first.
        available_operations: match view.operating_task {
            Some(_) => Vec::new(),
            None => available_operations(view.status, row.inner_status),
        },
        cluster_id: row.cluster.get(),
        id: row.id.get(),
        idc_name: zone.map(|zone| zone.idc.clone()).unwrap_or_default(),
        inner_status: row.inner_status.as_str(),
        ip: row.addr.ip().to_string(),
        operating_task_instance_id: view.operating_task.map(|task| task.get()),
        port: row.addr.rpc_port(),
        region_name: zone.map(|zone| zone.region.clone()).unwrap_or_default(),
        sql_port: row.sql_port,
        start_time: timestamps.text(row.start_service_time.unwrap_or(NEVER)),
        status: view.status.as_str(),
        stop_time: timestamps.text(row.stop_time.unwrap_or(NEVER)),
        update_time: timestamps.text(row.observed_at),
        version: row.build_version.clone(),
        with_rootserver: row.with_rootserver,
        zone_name: row.zone.to_string(),
    }
}

const START: &str = "START";
const RESTART: &str = "RESTART";

/// Which of OCP's operations can be asked of a server over this face now.
fn available_operations(status: ServerStatus, inner: InnerStatus) -> Vec<&'static str> {
    match (status, inner) {
        (_, InnerStatus::Deleting | InnerStatus::TakeoverByRs) => Vec::new(),
        (ServerStatus::Running, _) => vec![StopType::Service.as_str(), StopType::Process.as_str(), RESTART],
        // The service is stopped and the process still runs.
        (ServerStatus::Stopped, InnerStatus::Active) => vec![StopType::Process.as_str(), START],
        (ServerStatus::Stopped | ServerStatus::Unavailable, InnerStatus::Inactive | InnerStatus::Active) => {
            vec![START]
        }
        (ServerStatus::Stopping | ServerStatus::Starting | ServerStatus::Restarting | ServerStatus::Deleting, _) => {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_has_a_version_and_a_full_version() {
        for (build, version, full) in [
            ("4.2.1.8_108000022024072217-b4e5b2e(Jul 22 2024 17:36:02)", "4.2.1.8", "4.2.1.8-108000022024072217"),
            ("4.3.5.0_100000(Jan  1 2025)", "4.3.5.0", "4.3.5.0-100000"),
            ("4.2.1.8", "4.2.1.8", "4.2.1.8"),
            ("", "", ""),
        ] {
            assert_eq!(versions(build), (version.to_owned(), full.to_owned()), "{build}");
        }
    }

    #[test]
    fn what_can_be_asked_of_a_server_follows_from_its_state() {
        use InnerStatus::{Active, Deleting, Inactive};
        use ServerStatus::{Running, Starting, Stopped, Stopping, Unavailable};
        for (status, inner, operations) in [
            (Running, Active, &["STOP_SERVICE", "STOP_PROCESS", "RESTART"][..]),
            (Stopped, Active, &["STOP_PROCESS", "START"]),
            (Stopped, Inactive, &["START"]),
            (Unavailable, Inactive, &["START"]),
            (Unavailable, Deleting, &[]),
            (Stopping, Active, &[]),
            (Starting, Active, &[]),
        ] {
            assert_eq!(available_operations(status, inner), operations, "{status} {inner}");
        }
    }
}
