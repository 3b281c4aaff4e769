//! The cluster without processes under paused time: statements end as at the coordinator, sessions end with their clients.

use std::time::Duration;

use super::*;
use crate::sim::record::Recorded;
use crate::sim::{FaultKind, SimOptions};

fn cluster() -> InProcessCluster {
    let clock = SimClock::simulated(1_700_000_000_000_000);
    let cluster = InProcessCluster::new(&SimOptions::new(""), |n| Ipv4Addr::new(10, 0, 1, n), clock);
    let ticking = cluster.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            ticking.tick();
        }
    });
    cluster
}

const STOP: &str = "ALTER SYSTEM STOP SERVER '10.0.1.1:2882' ZONE 'zone1'";

fn open(cluster: &InProcessCluster, server: i64) -> ClientSession {
    cluster.open(server, "test", "root@sys", "").unwrap()
}

/// What the record says of sessions and marks since the beginning.
fn kinds(cluster: &InProcessCluster) -> Vec<Kind> {
    let told = |recorded: &&Recorded| {
        !matches!(
            recorded.kind,
            Kind::ProcessStarted | Kind::LeaderMoved | Kind::RootServiceMoved | Kind::FaultInjected
        )
    };
    cluster.look(|core, _| core.record.iter().filter(told).map(|recorded| recorded.kind).collect())
}

fn marked(cluster: &InProcessCluster) -> bool {
    cluster.look(|core, _| core.cluster.servers[0].stop_time != 0)
}

#[tokio::test(start_paused = true)]
async fn a_stop_marks_and_ends_when_the_leaders_have_moved() {
    let cluster = cluster();
    assert!(cluster.look(|core, _| core.cluster.leaders_on(&[1])) > 0);
    let mut session = open(&cluster, 2);
    assert_eq!(session.command(STOP).await, Some(Ok(())));
    assert_eq!(cluster.look(|core, _| core.cluster.leaders_on(&[1])), 0);
    assert!(marked(&cluster));
    assert_eq!(session.command("KILL 7").await, Some(Err((1094, "Unknown thread id: 7".to_owned()))));
    drop(session);
    let kinds = kinds(&cluster);
    let stop = [Kind::SessionOpened, Kind::Statement, Kind::MarkSet, Kind::Answered];
    assert_eq!(kinds, [&stop[..], &[Kind::Statement, Kind::Answered, Kind::SessionClosed]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_late_mark_comes_after_its_session() {
    let cluster = cluster();
    cluster.inject(FaultKind::LateMark { delay_ms: 2_000 });
    let mut session = open(&cluster, 2);
    assert_eq!(session.execute(STOP).await, Some(End::Cut));
    assert!(!session.is_open() && !marked(&cluster));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert!(marked(&cluster));
    let kinds = kinds(&cluster);
    let cut = [Kind::SessionOpened, Kind::Statement, Kind::FaultUsed, Kind::ConnectionCut, Kind::SessionClosed];
    assert_eq!(kinds, [&cut[..], &[Kind::MarkSet]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_its_statement_where_that_is_noticed() {
    let cluster = cluster();
    for (unnoticed, sessions) in [(false, 0), (true, 1)] {
        if unnoticed {
            cluster.inject(FaultKind::ClientLossUnnoticed);
        }
        cluster.inject(FaultKind::Hang);
        let mut session = open(&cluster, 2);
        let left = tokio::time::timeout(Duration::from_secs(1), session.execute(STOP)).await;
        assert!(left.is_err());
        drop(session);
        assert_eq!(cluster.look(|core, _| core.sessions.len()), sessions);
    }
    // the hanging statement ends by itself, and its session with it
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(cluster.look(|core, _| core.sessions.len()), 0);
    assert_eq!(kinds(&cluster).pop(), Some(Kind::SessionClosed));
}

#[tokio::test(start_paused = true)]
async fn a_killed_session_is_gone() {
    let cluster = cluster();
    let mut idle = open(&cluster, 2);
    let (mut busy, mut killer) = (open(&cluster, 2), open(&cluster, 2));
    cluster.inject(FaultKind::Hang);
    let (idle_id, busy_id) = (idle.id(), busy.id());
    let victim = tokio::spawn(async move { busy.execute(STOP).await });
    tokio::task::yield_now().await;
    for id in [idle_id, busy_id] {
        assert_eq!(killer.command(&format!("KILL {id}")).await, Some(Ok(())));
    }
    assert_eq!(victim.await.unwrap(), Some(End::Cut));
    assert_eq!(idle.execute("SELECT 1").await, None);
    assert_eq!(cluster.look(|core, _| core.sessions.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn processes_end_freeze_and_come_back() {
    let cluster = cluster();
    let mut session = open(&cluster, 1);
    cluster.inject(Fault::on(FaultKind::RestartAfterExit { delay_ms: 700 }, 1));
    cluster.inject(Fault::on(FaultKind::StartsSlowly { delay_ms: 300 }, 1));
    assert_eq!(cluster.process_ended(1, 7), None, "not its process");
    assert!(session.is_open());
    assert_eq!(cluster.process_ended(1, 1001), Some(Duration::from_millis(700)));
    assert_eq!(session.execute("SELECT 1").await, None);
    assert_eq!(cluster.open(1, "test", "root@sys", "").err(), Some(NotOpened::NobodyListens));
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(!cluster.look(|core, _| core.cluster.servers[0].alive()));
    assert_eq!(cluster.process_begins(1), Beginning::ServesAfter(Duration::from_millis(300)));
    assert!(cluster.process_started(1, 2000));
    let refused = cluster.open(1, "test", "root@sys", "").err();
    assert_eq!(refused, Some(NotOpened::Refused { number: 8001, text: "Server is initializing".into() }));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(cluster.look(|core, _| core.cluster.servers[0].alive() && core.cluster.servers[0].in_service()));

    let mut session = open(&cluster, 1);
    cluster.freeze(1);
    assert_eq!(cluster.open(1, "test", "root@sys", "").err(), Some(NotOpened::NoAnswer));
    let asked = tokio::spawn(async move { session.command("SET autocommit = 1").await });
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(!asked.is_finished() && !cluster.look(|core, _| core.cluster.servers[0].alive()));
    cluster.thaw(1);
    assert_eq!(asked.await.unwrap(), Some(Ok(())));
}

/// `cargo test --profile bench --lib in_process -- --ignored --nocapture`
#[tokio::test(start_paused = true)]
#[ignore = "a measurement"]
async fn what_it_costs() {
    let clock = SimClock::System;
    let time = |name: &str, times: i64, mut step: Box<dyn FnMut()>| {
        let began = clock.now();
        (0..times).for_each(|_| step());
        println!("{name}: {:.2} us", (clock.now() - began) as f64 / times as f64);
    };
    let made = || {
        let options = SimOptions { servers_per_zone: 2, ..SimOptions::new("") };
        InProcessCluster::new(&options, |n| Ipv4Addr::new(10, 0, 1, n), SimClock::simulated(1_700_000_000_000_000))
    };
    time("make", 1000, Box::new(|| drop(made())));
    let (ticked, opened) = (made(), made());
    time("tick", 100_000, Box::new(move || ticked.tick()));
    time("session", 10_000, Box::new(move || drop(open(&opened, 1))));
}
