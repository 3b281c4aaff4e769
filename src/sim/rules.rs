//! What the root service allows and what it marks: pure functions over the state.
//!
//! Written from docs/oceanbase.md#stop-server and from nothing else; it shares no code with `domain`, so that each can
//! catch the other's mistakes.

use std::collections::BTreeSet;

use super::errors::SqlRefusal;
use super::state::{Cluster, LogStream, ServerStatus, Tenant};
use super::time::Micros;

/// LOG_IN_SYNC_INTERVAL_NS of ob_ls_log_stat_info.h, in microseconds.
const LOG_IN_SYNC: Micros = 5_000_000;

/// What -4018 says of a server.
pub const ENTRY_NOT_EXIST: &str = "Entry not exist";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopKind {
    Stop,
    ForceStop,
    Isolate,
}

/// Phase A: `stop_server_precheck`. `Ok(false)`: all are stopped already, and it checks nothing more; phase B does.
pub fn stop_precheck(
    cluster: &Cluster,
    addresses: &[String],
    operation: StopKind,
    now: Micros,
) -> Result<bool, SqlRefusal> {
    let servers = find_servers(cluster, addresses)?;
    let stopped = |id: &i64| cluster.server(*id).is_some_and(|server| server.stop_time != 0);
    if servers.iter().all(stopped) {
        return Ok(false);
    }
    let zones: BTreeSet<&str> = servers.iter().filter_map(|id| Some(cluster.server(*id)?.zone.as_str())).collect();
    if zones.len() > 1 {
        return Err(SqlRefusal::new(4660, "Can not stop server in multiple zones"));
    }
    if operation == StopKind::Isolate {
        return check_can_stop(cluster, &servers).map(|()| true);
    }
    for zone in zones {
        refuse_other_stop_task(cluster, zone)?;
    }
    check_majority_and_log_in_sync(cluster, &servers, operation == StopKind::ForceStop, "stop server", now)?;
    Ok(true)
}

/// Phase B: one transaction that sets STOP_TIME. Returns the servers that were marked by it.
pub fn mark_stopped(
    cluster: &mut Cluster,
    addresses: &[String],
    zone: Option<&str>,
    operation: StopKind,
    now: Micros,
) -> Result<Vec<i64>, SqlRefusal> {
    let servers = find_servers(cluster, addresses)?;
    check_zone(cluster, &servers, zone)?;
    let to_mark: Vec<i64> =
        servers.iter().copied().filter(|id| cluster.server(*id).is_some_and(|server| server.stop_time == 0)).collect();
    if operation != StopKind::Isolate {
        // of those that are stopped already as well
        for id in servers {
            let zone = cluster.server(id).map(|server| server.zone.clone()).unwrap_or_default();
            refuse_other_stop_task(cluster, &zone)?;
        }
    }
    let switch = super::time::micros(cluster.durations.leader_switch);
    for id in &to_mark {
        if let Some(server) = cluster.server_mut(*id) {
            server.stop_time = now;
            server.next_leader_move = now + switch;
            let address = server.address();
            // STOP, FORCE STOP and ISOLATE leave the same trace
            cluster.event(now, "server", "stop_server", vec![("server", address)]);
        }
    }
    Ok(to_mark)
}

/// START SERVER. Returns the servers whose STOP_TIME it cleared.
pub fn start_servers(
    cluster: &mut Cluster,
    addresses: &[String],
    zone: Option<&str>,
    now: Micros,
) -> Result<Vec<i64>, SqlRefusal> {
    let servers = find_servers(cluster, addresses)?;
    check_zone(cluster, &servers, zone)?;
    // check_server_machine_status, since 4.2.5 and 4.3.2: the root service asks each server itself
    if servers.iter().any(|id| !cluster.reachable(*id)) {
        return Err(SqlRefusal::new(4265, "rpc connect error"));
    }
    let mut started = Vec::new();
    for id in servers {
        let Some(server) = cluster.server_mut(id) else { continue };
        if server.stop_time != 0 {
            server.stop_time = 0;
            started.push(id);
            let address = server.address();
            cluster.event(now, "server", "start_server", vec![("server", address)]);
        }
    }
    Ok(started)
}

/// STOP ZONE's check: `Ok(false)` when the zone is inactive already, which spares it only the look at other zones.
pub fn stop_zone_precheck(cluster: &Cluster, zone: &str, force: bool, now: Micros) -> Result<bool, SqlRefusal> {
    let Some(found) = cluster.zone(zone) else { return Err(SqlRefusal::new(4018, "zone not exist")) };
    if found.active {
        refuse_other_stop_task(cluster, &found.name)?;
    }
    let servers: Vec<i64> =
        cluster.servers.iter().filter(|server| server.zone == found.name).map(|server| server.id).collect();
    if found.kind != "ReadOnly" && !servers.is_empty() {
        check_majority_and_log_in_sync(cluster, &servers, force, "stop zone", now)?;
    }
    Ok(found.active)
}

pub fn set_zone_active(cluster: &mut Cluster, zone: &str, active: bool, now: Micros) -> Result<(), SqlRefusal> {
    let Some(found) = cluster.zones.iter_mut().find(|found| found.name.eq_ignore_ascii_case(zone)) else {
        return Err(SqlRefusal::new(4018, "zone not exist"));
    };
    if found.active != active {
        found.active = active;
        found.stopped_at = now;
        let name = found.name.clone();
        cluster.event(now, "zone", if active { "start_zone" } else { "stop_zone" }, vec![("zone", name)]);
    }
    Ok(())
}

fn find_servers(cluster: &Cluster, addresses: &[String]) -> Result<Vec<i64>, SqlRefusal> {
    let find = |address: &String| {
        cluster.server_at(address).map(|server| server.id).ok_or_else(|| SqlRefusal::new(4018, ENTRY_NOT_EXIST))
    };
    addresses.iter().map(find).collect()
}

fn check_zone(cluster: &Cluster, servers: &[i64], zone: Option<&str>) -> Result<(), SqlRefusal> {
    let Some(zone) = zone.filter(|zone| !zone.is_empty()) else { return Ok(()) };
    let matches = |id: &i64| cluster.server(*id).is_some_and(|server| server.zone.eq_ignore_ascii_case(zone));
    if servers.iter().all(matches) { Ok(()) } else { Err(SqlRefusal::new(4631, "Server zone not match")) }
}

/// `ObRootUtils::have_other_stop_task`.
fn refuse_other_stop_task(cluster: &Cluster, zone: &str) -> Result<(), SqlRefusal> {
    let other_server = cluster.servers.iter().any(|server| server.stop_time > 0 && server.zone != zone);
    let other_zone = cluster.zones.iter().any(|other| !other.active && other.name != zone);
    if other_server || other_zone {
        return Err(SqlRefusal::new(4660, "cannot stop server or stop zone in multiple zones"));
    }
    Ok(())
}

/// ISOLATE's only check: not all zones of the primary region of a tenant that both stopped and to-stop servers carry.
fn check_can_stop(cluster: &Cluster, to_stop: &[i64]) -> Result<(), SqlRefusal> {
    let stopped: Vec<i64> =
        cluster.servers.iter().filter(|server| server.stop_time != 0).map(|server| server.id).collect();
    if stopped.is_empty() {
        return Ok(());
    }
    let carries = |tenant: &Tenant, servers: &[i64]| {
        cluster.units.iter().any(|unit| unit.tenant == tenant.id && servers.contains(&unit.server))
    };
    let zone_of = |server: i64| cluster.server(server).map(|server| server.zone.as_str());
    let gone: BTreeSet<&str> = stopped.iter().chain(to_stop).filter_map(|id| zone_of(*id)).collect();
    for tenant in cluster.tenants.iter().filter(|tenant| carries(tenant, &stopped) && carries(tenant, to_stop)) {
        let mut zones = cluster.units.iter().filter(|unit| unit.tenant == tenant.id).filter_map(|u| zone_of(u.server));
        if zones.all(|zone| gone.contains(zone)) {
            return Err(SqlRefusal::new(4179, "Stop all servers in primary region is not allowed"));
        }
    }
    Ok(())
}

fn check_majority_and_log_in_sync(
    cluster: &Cluster,
    to_stop: &[i64],
    skip_log_sync: bool,
    what: &str,
    now: Micros,
) -> Result<(), SqlRefusal> {
    let mut streams: Vec<&LogStream> = cluster.log_streams.iter().filter(|ls| ls.status != "CREATE_ABORT").collect();
    streams.sort_by_key(|ls| (ls.tenant, ls.id));
    streams.into_iter().try_for_each(|ls| check_log_stream(cluster, ls, to_stop, skip_log_sync, what, now))
}

/// `check_ls_log_stat_info_`, in the kernel's order.
fn check_log_stream(
    cluster: &Cluster,
    ls: &LogStream,
    to_stop: &[i64],
    skip_log_sync: bool,
    what: &str,
    now: Micros,
) -> Result<(), SqlRefusal> {
    let refuse =
        |text: &str| SqlRefusal::new(4179, format!("Tenant({}) LS({}) {text}, {what} not allowed", ls.tenant, ls.id));
    // __all_virtual_log_stat has rows of the servers that answer
    let rows: Vec<i64> =
        ls.replicas.iter().map(|replica| replica.server).filter(|server| cluster.reachable(*server)).collect();
    if rows.is_empty() {
        return Err(refuse("has no enough paxos member").retried());
    }
    if !ls.leader.is_some_and(|leader| rows.contains(&leader)) {
        return Err(refuse("has no leader").retried());
    }
    let Some(tenant) = cluster.tenant(ls.tenant) else { return Err(SqlRefusal::new(4016, "Internal error")) };
    if !tenant.previous_locality.is_empty() {
        return Err(SqlRefusal::new(4179, format!("Tenant({}) locality is changing, {what} not allowed", ls.tenant)));
    }
    if ls.paxos_replica_number != tenant.paxos_replica_number {
        return Err(SqlRefusal::new(
            4179,
            format!(
                "Tenant({}) LS({}) paxos replica number does not match with tenant. It should be {}. {what} not allowed",
                ls.tenant, ls.id, tenant.paxos_replica_number
            ),
        ));
    }
    if cluster.holds.unknown_members(ls).next().is_some() {
        return Err(SqlRefusal::new(4018, ENTRY_NOT_EXIST));
    }
    // the arbitration service is only asked for two-replica log streams: 1F may stop in 2F1A
    let arbiter = usize::from(ls.paxos_replica_number == 2 && cluster.arbitrates(ls.tenant));
    let majority = ls.paxos_replica_number as usize / 2 + 1;
    let valid: Vec<i64> = ls.members.iter().copied().filter(|id| valid_member(cluster, *id, to_stop)).collect();
    let text = format!("has no enough valid paxos member after {what}");
    if valid.len() + arbiter < majority {
        return Err(refuse(&text));
    }
    let answering: Vec<i64> = valid.into_iter().filter(|id| rows.contains(id)).collect();
    if answering.len() + arbiter < majority {
        return Err(refuse(&text).retried());
    }
    if !skip_log_sync {
        let end = cluster.leader_end(ls, now);
        let in_sync = answering
            .iter()
            .filter_map(|id| ls.replica(*id))
            .filter(|replica| end - cluster.replica_end(ls, replica, now) <= LOG_IN_SYNC)
            .count();
        if in_sync + arbiter < majority {
            return Err(refuse("log not sync").retried());
        }
    }
    Ok(())
}

fn valid_member(cluster: &Cluster, id: i64, to_stop: &[i64]) -> bool {
    cluster.server(id).is_some_and(|server| {
        !to_stop.contains(&id)
            && server.stop_time == 0
            && server.alive()
            && server.in_service()
            && server.status != ServerStatus::TakeoverByRs
            && cluster.zone(&server.zone).is_some_and(|zone| zone.active)
    })
}

#[cfg(test)]
#[path = "rules_test.rs"]
mod tests;
