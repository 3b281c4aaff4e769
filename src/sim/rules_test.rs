//! The root service's refusals, one row each: what was wrong, and the words and number it is refused with.

use super::*;
use crate::sim::bootstrap::tests::cluster;
use crate::sim::state::{Position, UnknownMember};

const NOW: Micros = 20_000_000;

type Change = fn(&mut Cluster);

fn address(id: i64) -> String {
    format!("127.0.1.{id}:2882")
}

fn stop(cluster: &Cluster, id: i64, operation: StopKind) -> Result<bool, (u16, String, bool)> {
    stop_precheck(cluster, &[address(id)], operation, NOW).map_err(|r| (r.number, r.text, r.retry))
}

fn stopped(cluster: &mut Cluster, id: i64) {
    cluster.server_mut(id).unwrap().stop_time = 5;
}

fn dead(cluster: &mut Cluster, id: i64) {
    crate::sim::advance::process_ended(cluster, id, NOW - 1);
}

fn stale(cluster: &mut Cluster, id: i64) {
    for replica in cluster.log_streams.iter_mut().flat_map(|ls| &mut ls.replicas).filter(|r| r.server == id) {
        replica.position = Position::Stale(NOW - LOG_IN_SYNC - 1);
    }
}

fn unknown_member(cluster: &mut Cluster) {
    let address = "10.9.9.9:2882".to_owned();
    cluster.holds.unknown_members = vec![UnknownMember { tenant: Some(1002), ls: Some(1001), address }];
}

/// Only this log stream is left, and its leader does not answer.
fn silence(cluster: &mut Cluster, tenant: i64, id: i64) {
    cluster.log_streams.retain(|ls| (ls.tenant, ls.id) == (tenant, id));
    let leader = cluster.log_streams[0].leader.unwrap();
    dead(cluster, leader);
}

#[test]
fn stop_server_is_refused_in_the_root_services_words() {
    const NO_LEADER: &str = "Tenant(1001) LS(1) has no leader, stop server not allowed";
    const NO_VALID: &str =
        "Tenant(1) LS(1) has no enough valid paxos member after stop server, stop server not allowed";
    const NO_SYNC: &str = "Tenant(1) LS(1) log not sync, stop server not allowed";
    const ELSEWHERE: &str = "cannot stop server or stop zone in multiple zones";
    let rows: &[(&str, Change, u16, &str, bool)] = &[
        ("another zone's server is stopped", |c| stopped(c, 2), 4660, ELSEWHERE, false),
        ("another zone is stopped", |c| c.zones[1].active = false, 4660, ELSEWHERE, false),
        ("no leader", |c| c.log_stream_mut(1001, 1).unwrap().leader = None, 4179, NO_LEADER, true),
        ("the leader does not answer", |c| silence(c, 1001, 1), 4179, NO_LEADER, true),
        (
            "nobody answers",
            |c| c.log_stream_mut(1001, 1).unwrap().replicas.clear(),
            4179,
            "Tenant(1001) LS(1) has no enough paxos member, stop server not allowed",
            true,
        ),
        (
            "locality is changing",
            |c| c.tenants[2].previous_locality = "FULL{1}@zone1".into(),
            4179,
            "Tenant(1002) locality is changing, stop server not allowed",
            false,
        ),
        (
            "replica number differs",
            |c| c.log_stream_mut(1002, 1001).unwrap().paxos_replica_number = 2,
            4179,
            "Tenant(1002) LS(1001) paxos replica number does not match with tenant. It should be 3. stop server not allowed",
            false,
        ),
        ("another is offline", |c| c.server_mut(2).unwrap().last_offline_time = 5, 4179, NO_VALID, false),
        ("another is not in service", |c| c.server_mut(2).unwrap().start_service_time = 0, 4179, NO_VALID, false),
        ("another lags", |c| stale(c, 2), 4179, NO_SYNC, true),
        ("a member is no server", unknown_member, 4018, ENTRY_NOT_EXIST, false),
    ];
    for (what, change, number, text, retry) in rows {
        let mut cluster = cluster(3);
        change(&mut cluster);
        assert_eq!(stop(&cluster, 1, StopKind::Stop), Err((*number, (*text).to_owned(), *retry)), "{what}");
    }
}

#[test]
fn a_member_that_is_dead_but_not_yet_offline_is_retried() {
    let mut cluster = cluster(3);
    dead(&mut cluster, 2);
    let (number, text, retry) = stop(&cluster, 1, StopKind::Stop).unwrap_err();
    assert_eq!((number, retry), (4179, true));
    assert!(text.ends_with("has no enough valid paxos member after stop server, stop server not allowed"), "{text}");
}

#[test]
fn force_stop_skips_only_the_log() {
    let mut cluster = cluster(3);
    stale(&mut cluster, 2);
    assert_eq!(stop(&cluster, 1, StopKind::ForceStop), Ok(true));
    cluster.server_mut(2).unwrap().last_offline_time = 5;
    assert_eq!(stop(&cluster, 1, StopKind::ForceStop).unwrap_err().0, 4179);
}

#[test]
fn in_sync_means_five_seconds() {
    let mut cluster = cluster(3);
    for (behind, passes) in [(LOG_IN_SYNC, true), (LOG_IN_SYNC + 1, false)] {
        cluster.holds.lagging = vec![(2, behind)];
        assert_eq!(stop(&cluster, 1, StopKind::Stop).is_ok(), passes, "{behind}");
    }
}

#[test]
fn of_a_stopped_server_only_the_other_zones_are_looked_at() {
    let mut cluster = cluster(3);
    stopped(&mut cluster, 1);
    cluster.log_streams[0].leader = None;
    assert_eq!(stop(&cluster, 1, StopKind::Stop), Ok(false));
    let before = cluster.server(1).unwrap().stop_time;
    assert_eq!(mark_stopped(&mut cluster, &[address(1)], None, StopKind::Stop, NOW), Ok(vec![]));
    assert_eq!(cluster.server(1).unwrap().stop_time, before);
    stopped(&mut cluster, 2);
    assert_eq!(stop(&cluster, 1, StopKind::Stop), Ok(false));
    for operation in [StopKind::Stop, StopKind::ForceStop] {
        assert_eq!(mark_stopped(&mut cluster, &[address(1)], None, operation, NOW).unwrap_err().number, 4660);
    }
}

#[test]
fn a_start_asks_the_server_itself() {
    let mut cluster = cluster(3);
    stopped(&mut cluster, 2);
    dead(&mut cluster, 2);
    assert_eq!(start_servers(&mut cluster, &[address(2)], None, NOW).unwrap_err().number, 4265);
    assert_ne!(cluster.server(2).unwrap().stop_time, 0);
}

#[test]
fn unknown_servers_and_zones_are_refused() {
    let mut cluster = cluster(3);
    let refused = |refusal: SqlRefusal| (refusal.number, refusal.text);
    assert_eq!(stop(&cluster, 9, StopKind::Stop).unwrap_err().0, 4018);
    let both = [address(1), address(2)];
    assert_eq!(
        stop_precheck(&cluster, &both, StopKind::Stop, NOW).map_err(refused),
        Err((4660, "Can not stop server in multiple zones".into()))
    );
    for result in [
        mark_stopped(&mut cluster, &[address(1)], Some("zone2"), StopKind::Stop, NOW).map_err(refused),
        start_servers(&mut cluster, &[address(1)], Some("zone2"), NOW).map_err(refused),
    ] {
        assert_eq!(result.unwrap_err().0, 4631);
    }
    assert_eq!(
        stop_zone_precheck(&cluster, "zone9", false, NOW).map_err(refused),
        Err((4018, "zone not exist".into()))
    );
}

#[test]
fn the_mark_looks_for_other_zones_again() {
    let mut cluster = cluster(3);
    assert_eq!(stop(&cluster, 1, StopKind::Stop), Ok(true));
    stopped(&mut cluster, 3);
    let refused = mark_stopped(&mut cluster, &[address(1)], Some("ZONE1"), StopKind::Stop, NOW);
    assert_eq!(refused.unwrap_err().number, 4660);
}

#[test]
fn marks_are_set_and_cleared_once() {
    let mut cluster = cluster(3);
    assert_eq!(mark_stopped(&mut cluster, &[address(1)], Some("zone1"), StopKind::Stop, NOW), Ok(vec![1]));
    assert_eq!(cluster.server(1).unwrap().stop_time, NOW);
    assert_eq!(start_servers(&mut cluster, &[address(1)], None, NOW), Ok(vec![1]));
    assert_eq!(start_servers(&mut cluster, &[address(1)], None, NOW), Ok(vec![]));
    let events: Vec<&str> = cluster.events.iter().map(|event| event.event).collect();
    assert_eq!(events, ["stop_server", "start_server"]);
}

#[test]
fn the_arbiter_votes_for_two_replicas_only() {
    let mut cluster = cluster(2);
    assert_eq!(stop(&cluster, 1, StopKind::Stop).unwrap_err().0, 4179);
    cluster.arbitration = true;
    cluster.tenants.iter_mut().for_each(|tenant| tenant.arbitration = true);
    assert_eq!(stop(&cluster, 1, StopKind::Stop), Ok(true));
    cluster.arbitration = false;
    assert_eq!(stop(&cluster, 1, StopKind::Stop).unwrap_err().0, 4179);
}

#[test]
fn isolate_only_keeps_one_zone_of_the_primary_region() {
    let mut cluster = cluster(2);
    cluster.log_streams[0].leader = None;
    assert_eq!(stop(&cluster, 1, StopKind::Isolate), Ok(true));
    stopped(&mut cluster, 2);
    let refused = (4179, "Stop all servers in primary region is not allowed".to_owned(), false);
    assert_eq!(stop(&cluster, 1, StopKind::Isolate), Err(refused));
}

#[test]
fn stop_zone_says_stop_zone() {
    let mut cluster = cluster(3);
    assert_eq!(stop_zone_precheck(&cluster, "zone1", false, NOW), Ok(true));
    stale(&mut cluster, 2);
    assert_eq!(
        stop_zone_precheck(&cluster, "zone1", false, NOW).unwrap_err().text,
        "Tenant(1) LS(1) log not sync, stop zone not allowed"
    );
    set_zone_active(&mut cluster, "zone1", false, NOW).unwrap();
    // inactive already: the other zones are not looked at, the majority is
    assert_eq!(stop_zone_precheck(&cluster, "zone1", false, NOW).unwrap_err().number, 4179);
    assert_eq!(stop_zone_precheck(&cluster, "zone1", true, NOW), Ok(false));
    stopped(&mut cluster, 3);
    cluster.zones[0].kind = "ReadOnly".into();
    assert_eq!(stop_zone_precheck(&cluster, "zone1", false, NOW), Ok(false));
}
