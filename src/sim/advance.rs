//! How the cluster moves through time: heartbeats and lease, elections, leaders leaving marked servers, replicas
//! catching up, arbitration degrading, freezes ending. Pure: `now` comes from the caller.

use super::record::{Kind, RecordEntry};
use super::state::{Cluster, LogStream, Position, ServerStatus};
use super::time::{self, Micros};

/// How far behind a replica may be and still be elected.
const ELECTABLE: Micros = 5_000_000;

/// Does all that is due at `now`.
pub fn advance(cluster: &mut Cluster, now: Micros) -> Vec<RecordEntry> {
    let mut happened = Vec::new();
    reachability(cluster, now);
    // without a root service nobody writes __all_server
    if cluster.root_service().is_some() {
        leases(cluster, now, &mut happened);
    }
    services(cluster, now);
    for index in 0..cluster.log_streams.len() {
        elect(cluster, index, now, &mut happened);
        switch(cluster, index, now, &mut happened);
        degrade(cluster, index, now, &mut happened);
    }
    replicas(cluster, now);
    happened
}

/// A process began to serve at a server.
pub fn process_started(cluster: &mut Cluster, id: i64, pid: u32, now: Micros) {
    if let Some(server) = cluster.server_mut(id) {
        server.process = Some(super::state::Process { pid, since: now });
        server.last_heartbeat = now;
        server.unreachable_since = 0;
        server.start_service_time = 0;
    }
}

/// A process ended: its logs end here, its last heartbeat has been.
pub fn process_ended(cluster: &mut Cluster, id: i64, now: Micros) {
    if let Some(server) = cluster.server_mut(id) {
        server.process = None;
        server.unreachable_since = now;
    }
    freeze_logs(cluster, id, now);
}

fn freeze_logs(cluster: &mut Cluster, id: i64, now: Micros) {
    let ends: Vec<Option<Micros>> = cluster
        .log_streams
        .iter()
        .map(|ls| {
            let replica = ls.replica(id)?;
            // a leader's log ends with it
            Some(if ls.leader == Some(id) { now } else { cluster.replica_end(ls, replica, now) })
        })
        .collect();
    for (ls, end) in cluster.log_streams.iter_mut().zip(ends) {
        let Some(end) = end else { continue };
        if ls.leader == Some(id) {
            ls.last_scn = now;
        }
        if let Some(replica) = ls.replicas.iter_mut().find(|replica| replica.server == id) {
            replica.position = Position::Stale(end);
        }
    }
}

/// A process that is there but sends no heartbeat (SIGSTOP) is as good as gone for its peers, and comes back.
fn reachability(cluster: &mut Cluster, now: Micros) {
    let patience = (time::micros(cluster.durations.heartbeat_interval) * 3).max(500_000);
    let mut lost = Vec::new();
    for server in cluster.servers.iter_mut().filter(|server| server.process.is_some()) {
        let silent = now - server.last_heartbeat > patience;
        if silent && server.unreachable_since == 0 {
            server.unreachable_since = now;
            lost.push(server.id);
        } else if !silent {
            server.unreachable_since = 0;
        }
    }
    for id in lost {
        freeze_logs(cluster, id, now);
    }
}

fn leases(cluster: &mut Cluster, now: Micros, happened: &mut Vec<RecordEntry>) {
    let lease = cluster.lease_time();
    let mut events = Vec::new();
    for server in &mut cluster.servers {
        let late = now - server.last_heartbeat > lease;
        if server.alive() && late {
            server.last_offline_time = now;
            server.start_service_time = 0;
            if server.status == ServerStatus::Active {
                server.status = ServerStatus::Inactive;
            }
            happened.push(RecordEntry::at(server.id, Kind::ServerOffline, "last_offline_time set"));
            events.push(("last_offline_time set", server.address()));
        } else if !server.alive() && !late && server.process.is_some() {
            server.last_offline_time = 0;
            if server.status == ServerStatus::Inactive {
                server.status = ServerStatus::Active;
            }
            happened.push(RecordEntry::at(server.id, Kind::ServerOnline, "online"));
            events.push(("online", server.address()));
        }
    }
    for (event, address) in events {
        cluster.event(now, "server", event, vec![("server", address)]);
    }
}

/// START_SERVICE_TIME comes a while after the process, and then its replicas begin to catch up.
fn services(cluster: &mut Cluster, now: Micros) {
    let (delay, catch_up) = (time::micros(cluster.durations.start_service), time::micros(cluster.durations.catch_up));
    let mut serving = Vec::new();
    for server in &mut cluster.servers {
        let Some(process) = &server.process else { continue };
        if server.unreachable_since != 0 {
            continue;
        }
        if server.start_service_time == 0 && server.alive() && now - process.since >= delay {
            server.start_service_time = now;
        }
        if server.start_service_time != 0 {
            serving.push(server.id);
        }
    }
    for replica in cluster.log_streams.iter_mut().flat_map(|ls| &mut ls.replicas) {
        if let (Position::Stale(from), true) = (replica.position, serving.contains(&replica.server)) {
            replica.position = Position::CatchingUp { from, started: now, until: now + catch_up };
        }
    }
}

fn elect(cluster: &mut Cluster, index: usize, now: Micros, happened: &mut Vec<RecordEntry>) {
    let ls = &cluster.log_streams[index];
    let election = time::micros(cluster.durations.election);
    let down_since = |id: &i64| cluster.server(*id).map_or(0, |server| server.unreachable_since);
    let has_majority = cluster.has_majority(ls);
    match ls.leader {
        Some(leader) if cluster.reachable(leader) => {
            // a leader that lost its majority steps down
            let lost_at = ls.members.iter().filter(|id| !cluster.reachable(**id)).map(down_since).max();
            if !has_majority && lost_at.is_some_and(|at| now - at >= election) {
                lead(cluster, index, None, now, happened);
            }
        }
        Some(leader) if now - down_since(&leader) < election => {}
        None if cluster.holds.leader_stuck(ls) => {}
        _ => {
            let successor = if has_majority { candidate(cluster, ls, now) } else { None };
            if successor.is_some() || ls.leader.is_some() {
                lead(cluster, index, successor, now, happened);
            }
        }
    }
}

/// Moves one leader, if it is time: away from a marked server, or home to its primary zone.
fn switch(cluster: &mut Cluster, index: usize, now: Micros, happened: &mut Vec<RecordEntry>) {
    let ls = &cluster.log_streams[index];
    let Some(leader) = ls.leader.and_then(|id| cluster.server(id)).filter(|server| server.reachable()) else { return };
    if now < leader.next_leader_move {
        return;
    }
    let stuck = cluster.holds.leader_stuck(ls);
    let must_leave = leader.stop_time != 0 || !cluster.zone(&leader.zone).is_some_and(|zone| zone.active);
    let leader = leader.id;
    let wants_home = leader != ls.preferred && electable(cluster, ls, ls.preferred, now);
    if stuck || !(must_leave || wants_home) {
        return;
    }
    let Some(successor) = candidate(cluster, ls, now).filter(|successor| *successor != leader) else { return };
    lead(cluster, index, Some(successor), now, happened);
    let pause = time::micros(cluster.durations.leader_switch);
    if let Some(server) = cluster.server_mut(leader) {
        server.next_leader_move = now + pause;
    }
}

/// The electable member that its primary zone prefers, else the one with the fewest leaders.
fn candidate(cluster: &Cluster, ls: &LogStream, now: Micros) -> Option<i64> {
    if electable(cluster, ls, ls.preferred, now) {
        return Some(ls.preferred);
    }
    let able = ls.members.iter().copied().filter(|id| electable(cluster, ls, *id, now));
    able.min_by_key(|id| (cluster.leaders_on(&[*id]), *id))
}

/// A marked server gets no leaders.
fn electable(cluster: &Cluster, ls: &LogStream, id: i64, now: Micros) -> bool {
    let Some(server) = cluster.server(id) else { return false };
    let in_sync = ls.replica(id).is_some_and(|replica| {
        cluster.leader_end(ls, now) - cluster.replica_end(ls, replica, now) <= ELECTABLE
            && !matches!(replica.position, Position::Stale(_))
    });
    ls.members.contains(&id)
        && server.reachable()
        && server.in_service()
        && server.stop_time == 0
        && cluster.zone(&server.zone).is_some_and(|zone| zone.active)
        && in_sync
}

/// Changes a log stream's leader and says so.
pub fn lead(cluster: &mut Cluster, index: usize, leader: Option<i64>, now: Micros, happened: &mut Vec<RecordEntry>) {
    let end = cluster.leader_end(&cluster.log_streams[index], now);
    let ls = &mut cluster.log_streams[index];
    let was = ls.leader;
    ls.last_scn = end;
    ls.leader = leader;
    if leader.is_some() {
        ls.proposal_id += 1;
    }
    for replica in &mut ls.replicas {
        if Some(replica.server) == leader {
            replica.position = Position::InSync;
        }
    }
    let name = |id: Option<i64>| id.map_or("nobody".to_owned(), |id| format!("server {id}"));
    let text = format!("tenant {} log stream {}: {} -> {}", ls.tenant, ls.id, name(was), name(leader));
    let is_root = ls.tenant == super::state::SYS_TENANT && ls.id == super::state::SYS_LS;
    happened.push(RecordEntry { server: leader.or(was), session: None, kind: Kind::LeaderMoved, text });
    if is_root && leader.is_some() {
        happened.push(RecordEntry { server: leader, session: None, kind: Kind::RootServiceMoved, text: name(leader) });
        cluster.event(now, "root_service", "full_rootservice", vec![("result", "0".into())]);
    }
}

fn degrade(cluster: &mut Cluster, index: usize, now: Micros, happened: &mut Vec<RecordEntry>) {
    let ls = &cluster.log_streams[index];
    if cluster.holds.arbitration_stuck || !cluster.arbitrates(ls.tenant) || ls.members.len() != 2 {
        return;
    }
    let wait = time::micros(cluster.durations.arbitration_degrade);
    let due = |id: &i64| {
        cluster.server(*id).is_some_and(|server| {
            let zone = cluster.zone(&server.zone).filter(|zone| !zone.active).map_or(0, |zone| zone.stopped_at);
            let since = [server.stop_time, zone, server.unreachable_since].into_iter().find(|since| *since != 0);
            let since = since.unwrap_or_default();
            since != 0 && now - since >= wait && ls.leader.is_some_and(|leader| leader != *id)
        })
    };
    let degraded: Vec<i64> = ls.members.iter().copied().filter(due).collect();
    if degraded != ls.degraded {
        let text = format!("tenant {} log stream {}: degraded {degraded:?}", ls.tenant, ls.id);
        happened.push(RecordEntry { server: None, session: None, kind: Kind::ArbitrationDegraded, text });
        cluster.log_streams[index].degraded = degraded;
    }
}

fn replicas(cluster: &mut Cluster, now: Micros) {
    let held = &cluster.holds.checkpoint_stuck;
    let reachable: Vec<i64> =
        cluster.servers.iter().filter(|server| server.reachable()).map(|server| server.id).collect();
    for ls in &mut cluster.log_streams {
        for replica in &mut ls.replicas {
            if matches!(replica.position, Position::CatchingUp { until, .. } if now >= until) {
                replica.position = Position::InSync;
            }
            if let Some((done, scn)) = replica.freeze
                && now >= done
                && !held.contains(&replica.server)
                && reachable.contains(&replica.server)
            {
                replica.checkpoint = replica.checkpoint.max(scn);
                replica.freeze = None;
            }
        }
    }
}

#[cfg(test)]
#[path = "advance_test.rs"]
mod tests;
