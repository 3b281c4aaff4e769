//! Time passing over a cluster of three, in steps of ten milliseconds.

use super::*;
use crate::sim::bootstrap::tests::cluster;
use crate::sim::rules::{StopKind, mark_stopped, start_servers};
use crate::sim::state::{SYS_LS, SYS_TENANT, StuckLeader};

const STEP: Micros = 10_000;

/// Lets so many microseconds pass; the servers in `beating` send heartbeats.
fn pass(cluster: &mut Cluster, now: &mut Micros, time: Micros, beating: &[i64]) -> Vec<RecordEntry> {
    let (end, mut happened) = (*now + time, Vec::new());
    while *now < end {
        *now += STEP;
        for id in beating {
            if let Some(server) = cluster.server_mut(*id) {
                server.last_heartbeat = *now;
            }
        }
        happened.extend(advance(cluster, *now));
    }
    happened
}

fn stop(cluster: &mut Cluster, id: i64, now: Micros) {
    let address = cluster.server(id).unwrap().address();
    mark_stopped(cluster, &[address], None, StopKind::Stop, now).unwrap();
}

#[test]
fn leaders_leave_a_marked_server_one_by_one_and_come_home() {
    let (mut cluster, mut now) = (cluster(3), 1_000_000);
    let all = [1, 2, 3];
    let before = cluster.leaders_on(&[1]);
    stop(&mut cluster, 1, now);
    pass(&mut cluster, &mut now, 30_000, &all);
    assert_eq!(cluster.leaders_on(&[1]), before - 1);
    pass(&mut cluster, &mut now, 500_000, &all);
    assert_eq!(cluster.leaders_on(&[1]), 0);
    assert_ne!(cluster.root_service(), Some(1));
    let address = cluster.server(1).unwrap().address();
    start_servers(&mut cluster, &[address], None, now).unwrap();
    pass(&mut cluster, &mut now, 1_000_000, &all);
    assert_eq!(cluster.leaders_on(&[1]), before);
}

#[test]
fn stuck_leaders_stay() {
    let (mut cluster, mut now) = (cluster(3), 1_000_000);
    cluster.holds.stuck_leaders = vec![StuckLeader { server: Some(1), tenant: Some(SYS_TENANT), ls: None }];
    stop(&mut cluster, 1, now);
    pass(&mut cluster, &mut now, 1_000_000, &[1, 2, 3]);
    assert_eq!(cluster.leaders_on(&[1]), 1);
}

#[test]
fn no_leader_moves_to_a_replica_that_lags() {
    let (mut cluster, mut now) = (cluster(3), 1_000_000);
    cluster.holds.lagging = vec![(2, 60_000_000), (3, 60_000_000)];
    let before = cluster.leaders_on(&[1]);
    stop(&mut cluster, 1, now);
    pass(&mut cluster, &mut now, 1_000_000, &[1, 2, 3]);
    assert_eq!(cluster.leaders_on(&[1]), before);
}

#[test]
fn a_dead_server_goes_offline_after_the_lease_and_comes_back() {
    let (mut cluster, mut now) = (cluster(3), 1_000_000);
    pass(&mut cluster, &mut now, 100_000, &[1, 2, 3]);
    process_ended(&mut cluster, 1, now);
    pass(&mut cluster, &mut now, 900_000, &[2, 3]);
    assert_eq!(cluster.leaders_on(&[1]), 0);
    assert!(cluster.root_service().is_some());
    assert!(cluster.server(1).unwrap().alive());
    let happened = pass(&mut cluster, &mut now, 200_000, &[2, 3]);
    assert!(happened.iter().any(|happening| happening.kind == Kind::ServerOffline));
    let server = cluster.server(1).unwrap();
    assert_eq!((server.status, server.start_service_time), (ServerStatus::Inactive, 0));
    assert_eq!(server.last_offline_time - server.last_heartbeat, 1_000_000 + STEP);
    process_started(&mut cluster, 1, 2, now);
    pass(&mut cluster, &mut now, 150_000, &[1, 2, 3]);
    let server = cluster.server(1).unwrap();
    assert_eq!((server.status, server.last_offline_time), (ServerStatus::Active, 0));
    assert_ne!(server.start_service_time, 0);
    let catching = |cluster: &Cluster| {
        let mut replicas = cluster.log_streams.iter().filter_map(|ls| ls.replica(1));
        replicas.any(|replica| matches!(replica.position, Position::CatchingUp { .. }))
    };
    assert!(catching(&cluster));
    pass(&mut cluster, &mut now, 400_000, &[1, 2, 3]);
    assert!(!catching(&cluster));
}

#[test]
fn without_a_majority_nobody_leads_and_nothing_is_written() {
    let (mut cluster, mut now) = (cluster(3), 1_000_000);
    process_ended(&mut cluster, 1, now);
    process_ended(&mut cluster, 2, now);
    pass(&mut cluster, &mut now, 3_000_000, &[3]);
    assert!(cluster.log_streams.iter().all(|ls| ls.leader.is_none()));
    assert!(cluster.server(1).unwrap().alive());
    process_started(&mut cluster, 1, 2, now);
    pass(&mut cluster, &mut now, 1_000_000, &[1, 3]);
    assert!(cluster.log_stream(SYS_TENANT, SYS_LS).unwrap().leader.is_some());
    assert!(!cluster.server(2).unwrap().alive());
}

#[test]
fn a_silent_process_is_gone_until_it_speaks() {
    let (mut cluster, mut now) = (cluster(3), 1_000_000);
    pass(&mut cluster, &mut now, 2_000_000, &[1, 2]);
    assert_eq!(cluster.server(3).unwrap().status, ServerStatus::Inactive);
    assert_eq!(cluster.leaders_on(&[3]), 0);
    pass(&mut cluster, &mut now, 1_000_000, &[1, 2, 3]);
    assert_eq!(cluster.server(3).unwrap().status, ServerStatus::Active);
    assert!(cluster.leaders_on(&[3]) > 0);
}

#[test]
fn arbitration_degrades_a_stopped_member() {
    let (mut cluster, mut now) = (cluster(2), 1_000_000);
    cluster.arbitration = true;
    cluster.tenants.iter_mut().for_each(|tenant| tenant.arbitration = true);
    stop(&mut cluster, 1, now);
    cluster.holds.arbitration_stuck = true;
    pass(&mut cluster, &mut now, 1_000_000, &[1, 2]);
    assert!(cluster.log_streams.iter().all(|ls| ls.degraded.is_empty()));
    cluster.holds.arbitration_stuck = false;
    pass(&mut cluster, &mut now, 1_000_000, &[1, 2]);
    assert!(cluster.log_streams.iter().all(|ls| ls.degraded == [1]));
}

#[test]
fn a_freeze_moves_the_checkpoint() {
    let (mut cluster, mut now) = (cluster(3), 1_000_000);
    let before = cluster.log_streams[0].replicas[0].checkpoint;
    cluster.log_streams[0].replicas[0].freeze = Some((now + 200_000, now));
    cluster.holds.checkpoint_stuck = vec![1];
    pass(&mut cluster, &mut now, 300_000, &[1, 2, 3]);
    assert_eq!(cluster.log_streams[0].replicas[0].checkpoint, before);
    cluster.holds.checkpoint_stuck.clear();
    pass(&mut cluster, &mut now, 20_000, &[1, 2, 3]);
    assert_eq!(cluster.log_streams[0].replicas[0].checkpoint, 1_000_000);
}
