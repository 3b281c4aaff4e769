//! The adapter's reading half against the simulated cluster: discovery, the whole reading, precheck and gate over it, leader
//! counts, and the proofs. What acts is tested in `src/oceanbase/sim_tests.rs`, where a permit can be had.

use std::time::Duration;

use obsteward::clock::{Clock, Timestamp};
use obsteward::domain::gate::{Consent, Gate, GateCode, StopTimeExpectation, gate};
use obsteward::domain::ids::{ServerAddr, ZoneName};
use obsteward::domain::precheck::{CheckName, CheckVerdict, Precheck, blocking, precheck};
use obsteward::domain::store_home::StoreHome;
use obsteward::oceanbase::{
    Avoid, ClusterAccess, ClusterReader, Discovery, ErrorClass, Expected, MysqlOceanBase, OceanBase,
};
use obsteward::sim::{Fault, FaultKind, Signal, SimCluster, SimOptions, TenantOptions};

use crate::support::observers::known;

const PATIENCE: Duration = Duration::from_secs(20);

fn options() -> SimOptions {
    SimOptions::quick(env!("CARGO_BIN_EXE_obsteward"))
}

fn adapter() -> MysqlOceanBase {
    MysqlOceanBase::new(Clock::system())
}

fn access(cluster: &SimCluster) -> ClusterAccess {
    let endpoints = cluster.endpoints().iter().map(|endpoint| endpoint.parse().unwrap()).collect();
    ClusterAccess { endpoints, username: "root@sys".to_owned(), password: "".into() }
}

fn addr(cluster: &SimCluster, id: i64) -> ServerAddr {
    cluster.server(id).unwrap().address().parse().unwrap()
}

async fn reader(cluster: &SimCluster) -> Box<dyn ClusterReader> {
    adapter().reader(&access(cluster), &known(cluster), &Expected::default(), &Avoid::default()).await.unwrap()
}

fn now() -> Timestamp {
    Clock::system().now()
}

/// The checks that block the stop of a server, and what the root service would say.
async fn blocked(cluster: &SimCluster, id: i64) -> (Vec<CheckName>, Precheck) {
    let reading = reader(cluster).await.reading().await.unwrap();
    let precheck = precheck(&reading, &addr(cluster, id).into(), &StoreHome::InNoCluster, now());
    (blocking(&precheck, false, &[]).into_iter().map(|check| check.name).collect(), precheck)
}

fn said(precheck: &Precheck, name: CheckName) -> String {
    precheck.check(name).and_then(|check| check.root_service_words.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_cluster_is_discovered_read_and_passes() {
    let cluster = SimCluster::start(options()).await.unwrap();
    let mut reader = reader(&cluster).await;
    let Discovery { identity, servers, zones, parameters, .. } = reader.discover().await.unwrap();
    assert_eq!((identity.name.as_str(), identity.ob_cluster_id), ("demo", 1));
    assert_eq!(servers.iter().map(|server| server.addr).collect::<Vec<_>>(), [1, 2, 3].map(|id| addr(&cluster, id)));
    let tenants = reader.reading().await.unwrap().tenants;
    assert_eq!((zones.len(), tenants.len()), (3, 7));
    assert!(tenants.iter().all(|tenant| tenant.paxos_replica_number == Ok(3)), "{tenants:#?}");
    assert_eq!(parameters.lease_time, Ok(Duration::from_secs(1)));
    let now = now();
    let started = servers[0].start_service_time.unwrap();
    assert!(now.since(started) < Duration::from_secs(60) && started <= now, "times are UTC: {started} {now}");

    let reading = reader.reading().await.unwrap();
    assert_eq!(reading.log_streams.len(), cluster.look(|state| state.log_streams.len()));
    assert!(reading.units.is_ok() && reading.arbitration.is_ok(), "{:?} {:?}", reading.units, reading.arbitration);
    let precheck = precheck(&reading, &addr(&cluster, 1).into(), &StoreHome::InNoCluster, now);
    for check in &precheck.checks {
        assert_ne!(check.verdict, CheckVerdict::Block, "{check:?}");
        assert!(!check.evidence.starts_with("not known"), "{check:?}");
    }
    let count = reader.leaders(&addr(&cluster, 1)).await.unwrap();
    let expected = cluster.look(|state| state.leaders_on(&[1])) as i64;
    assert!(expected > 0);
    assert_eq!((count.locations, count.log_stat), (expected, expected));
    assert_eq!(precheck.leader_moves.iter().map(|moved| i64::from(moved.leaders)).sum::<i64>(), expected);
    assert_eq!(reader.horizon().await.unwrap(), Duration::from_millis(10_000 + 2_000 + 2_500));
    let checkpoints = reader.checkpoints(&addr(&cluster, 1)).await.unwrap();
    assert_eq!(checkpoints.len(), reading.log_streams.len(), "every log stream has a replica on each server");
    assert!(checkpoints.iter().all(|replica| replica.position.is_ok()), "{checkpoints:?}");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_is_foreseen() {
    let cluster = SimCluster::start(options()).await.unwrap();
    cluster.set_previous_locality(1002, "FULL{1}@zone1");
    let (names, precheck) = blocked(&cluster, 1).await;
    assert_eq!(names, [CheckName::LocalityStable]);
    assert!(said(&precheck, CheckName::LocalityStable).contains("locality is changing, stop server not allowed"));
    cluster.set_previous_locality(1002, "");

    cluster.set_zone_active("zone2", false);
    let (names, precheck) = blocked(&cluster, 1).await;
    assert!(names.contains(&CheckName::OtherZoneStopped) && names.contains(&CheckName::MemberMajority), "{names:?}");
    assert!(said(&precheck, CheckName::OtherZoneStopped).starts_with("-4660"));
    cluster.set_zone_active("zone2", true);

    let lag = cluster.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 2));
    let (names, precheck) = blocked(&cluster, 1).await;
    assert_eq!(names, [CheckName::LogInSync]);
    assert!(said(&precheck, CheckName::LogInSync).ends_with("log not sync, stop server not allowed"));
    cluster.clear(lag);

    cluster.set_upgrade_mode(true);
    assert_eq!(blocked(&cluster, 1).await.0, [CheckName::UpgradeMode]);
    cluster.set_upgrade_mode(false);

    cluster.kill_process(2, Signal::KILL).unwrap();
    assert!(cluster.wait_until(PATIENCE, |state| state.server(2).is_some_and(|s| s.last_offline_time != 0)).await);
    let (names, precheck) = blocked(&cluster, 1).await;
    assert!(names.contains(&CheckName::MemberMajority), "{names:?}");
    assert!(said(&precheck, CheckName::MemberMajority).contains("has no enough valid paxos member after stop server"));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_opens_only_for_a_marked_server_without_leaders() {
    let cluster = SimCluster::start(options()).await.unwrap();
    let target = addr(&cluster, 1);
    let zone: ZoneName = "zone2".parse().unwrap();
    let avoid = Avoid { server: Some(target), zone: None, never: Some(target) };
    let (access, known) = (access(&cluster), known(&cluster));
    let mut reader = adapter().reader(&access, &known, &Expected::default(), &avoid).await.unwrap();
    assert_ne!(*reader.server_addr(), target);
    assert_eq!(reader.other_zone_stopped(&zone).await.unwrap(), None);
    let stuck = cluster.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 1));
    let unmarked = ask(&mut reader, &target).await;
    assert!(matches!(unmarked, Gate::Closed { code: GateCode::StopTimeCleared, .. }), "{unmarked:?}");
    cluster.third_party(&format!("ALTER SYSTEM STOP SERVER '{target}'"));
    assert!(reader.server(&target).await.unwrap().unwrap().stop_time.is_some());
    let led = ask(&mut reader, &target).await;
    assert!(matches!(led, Gate::Closed { code: GateCode::LeadersLeft, retriable: true, .. }), "{led:?}");
    cluster.clear(stuck);
    assert!(cluster.wait_until(PATIENCE, |state| state.leaders_on(&[1]) == 0).await);
    let open = ask(&mut reader, &target).await;
    assert_eq!(open, Gate::Open { overridden: vec![] });
    assert!(reader.other_zone_stopped(&zone).await.unwrap().unwrap().contains(&target.to_string()));
    cluster.shutdown().await;
}

/// The gate as it is now.
async fn ask(reader: &mut Box<dyn ClusterReader>, target: &ServerAddr) -> Gate {
    let leaders = reader.leaders(target).await.unwrap();
    let reading = reader.gate_reading().await.unwrap();
    let (store, mark, consent) = (StoreHome::InNoCluster, StopTimeExpectation::MustBeSet, Consent::default());
    gate(&reading, target, &store, &leaders, mark, &consent, now())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_with_arbitration_wait_for_the_degradation() {
    let two = TenantOptions { replica_zones: vec![1, 2], arbitration: true, ..TenantOptions::new("pair") };
    let options = SimOptions { tenants: vec![two], arbitration: true, ..options() };
    let cluster = SimCluster::start(options).await.unwrap();
    let (names, _) = blocked(&cluster, 1).await;
    assert_eq!(names, []);
    let target = addr(&cluster, 1);
    let stuck = cluster.inject(FaultKind::ArbitrationStuck);
    cluster.third_party(&format!("ALTER SYSTEM STOP SERVER '{target}'"));
    assert!(cluster.wait_until(PATIENCE, |state| state.leaders_on(&[1]) == 0).await);
    let mut reader = reader(&cluster).await;
    let waits = ask(&mut reader, &target).await;
    assert!(matches!(waits, Gate::Closed { code: GateCode::NotDegraded, retriable: true, .. }), "{waits:?}");
    cluster.clear(stuck);
    let mut last = waits;
    for _ in 0..100 {
        last = ask(&mut reader, &target).await;
        if matches!(last, Gate::Open { .. }) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(last, Gate::Open { overridden: vec![] });
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_do_not_prove_themselves_are_left() {
    let cluster = SimCluster::start(options()).await.unwrap();
    let (access, known) = (access(&cluster), known(&cluster));
    let open = async |expected: &Expected, avoid: &Avoid| adapter().reader(&access, &known, expected, avoid).await;
    let first = open(&Expected::default(), &Avoid::default()).await.unwrap();
    let expected = Expected { identity: Some(first.identity().clone()), target: Some((addr(&cluster, 2), 2)) };

    // Starting, stopping or closed endpoints: the next one.
    cluster.inject(Fault::on(FaultKind::RefuseConnections, 1));
    cluster.inject(Fault::on(FaultKind::TenantNotInServer, 2));
    let reader = open(&expected, &Avoid::default()).await.unwrap();
    assert_eq!(*reader.server_addr(), addr(&cluster, 3));
    let nobody = open(&expected, &Avoid { never: Some(addr(&cluster, 3)), ..Avoid::default() }).await.err().unwrap();
    assert!(nobody.message.contains("no endpoint answers"), "{nobody}");
    cluster.clear_all();

    // A server that was deleted and added again is another one.
    let replaced = Expected { target: Some((addr(&cluster, 2), 9)), ..expected.clone() };
    let error = open(&replaced, &Avoid::default()).await.err().unwrap();
    assert_eq!(error.class, ErrorClass::WrongCluster, "{error}");

    cluster.inject(FaultKind::LoginRefused);
    let error = open(&expected, &Avoid::default()).await.err().unwrap();
    assert_eq!((error.class, error.number), (ErrorClass::AuthFailed, Some(1045)), "{error}");
    cluster.clear_all();

    cluster.inject(FaultKind::WrongIdentity { cluster_name: "other".to_owned(), cluster_id: 7 });
    let error = open(&expected, &Avoid::default()).await.err().unwrap();
    assert_eq!(error.class, ErrorClass::WrongCluster, "{error}");
    cluster.shutdown().await;
}
