//! Simulated clusters as the service sees them: effects, faults, ends of lives; and that readings are the real adapter's. A permit
//! is the engine's alone, so effects are sent without one.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use obsteward::clock::{Clock, Timestamp};
use obsteward::domain::clients::ServerClients;
use obsteward::domain::effect::EffectOutcome;
use obsteward::domain::freeze;
use obsteward::domain::precheck::LedFrom;
use obsteward::domain::reading::{ClusterReading, Fact, LogStreamReading};
use obsteward::oceanbase::{
    Avoid, ClusterAccess, ClusterError, ClusterReader, Discovery, EffectTimes, ErrorClass, Expected, KnownServer,
    LeaderCount, MysqlOceanBase, OceanBase, SessionGone, Statement,
};
use obsteward::sim::state::Cluster;
use obsteward::sim::{
    Fault, FaultKind, InProcessCluster, Kind, Signal, SimClock, SimCluster, SimOptions, SimServerInfo, TenantOptions,
};
use tokio::time::{sleep, timeout};

use crate::cluster::{Clusters, SimulatedOceanBase};
use crate::cluster_effect::SimulatedEffectSession;
use crate::life::{Crash, Dice, Life, Loss, LostEffect, Point};

/// A cluster of three, and a life that reaches it.
struct World {
    cluster: InProcessCluster,
    life: Arc<Life>,
    service: SimulatedOceanBase,
}

fn world(seed: u64) -> World {
    let clock = SimClock::simulated(1_700_000_000_000_000);
    let cluster = InProcessCluster::new(&SimOptions::new(""), |n| Ipv4Addr::new(10, 0, 1, n), clock);
    let ticking = cluster.clone();
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(50)).await;
            ticking.tick();
        }
    });
    let life = Life::new(Dice::new(seed));
    let service = reaching(&cluster, Arc::clone(&life));
    World { cluster, life, service }
}

fn reaching(cluster: &InProcessCluster, life: Arc<Life>) -> SimulatedOceanBase {
    let clusters = Clusters::default();
    clusters.add(cluster.clone());
    SimulatedOceanBase::new(life, clusters, Clock::system(), EffectTimes::default())
}

fn known(cluster: &InProcessCluster) -> Vec<KnownServer> {
    cluster.look(|core, _| {
        let known = core.cluster.servers.iter().map(|server| KnownServer {
            addr: server.address().parse().unwrap(),
            sql_port: server.sql_port,
            zone: server.zone.parse().unwrap(),
            active: true,
        });
        known.collect()
    })
}

fn access(known: &[KnownServer]) -> ClusterAccess {
    let endpoints = known.iter().map(KnownServer::endpoint).collect();
    ClusterAccess { endpoints, username: "root@sys".to_owned(), password: "".into() }
}

impl World {
    /// The first server is the target.
    fn avoid(&self) -> Avoid {
        Avoid { server: Some(known(&self.cluster)[0].addr), ..Avoid::default() }
    }

    async fn effect(&self) -> Result<SimulatedEffectSession, ClusterError> {
        let known = known(&self.cluster);
        self.service.effect(&access(&known), &known, &Expected::default(), &self.avoid()).await
    }

    async fn reader(&self) -> Result<Box<dyn ClusterReader>, ClusterError> {
        let known = known(&self.cluster);
        self.service.reader(&access(&known), &known, &Expected::default(), &self.avoid()).await
    }

    fn stop(&self) -> Statement {
        let target = &known(&self.cluster)[0];
        Statement::StopServer { addr: target.addr, zone: target.zone.clone() }
    }

    fn marked(&self) -> bool {
        self.cluster.look(|core, _| core.cluster.servers[0].stop_time != 0)
    }

    fn recorded(&self, kind: Kind) -> usize {
        self.cluster.look(|core, _| core.record.iter().filter(|recorded| recorded.kind == kind).count())
    }

    fn sessions(&self) -> usize {
        self.cluster.look(|core, _| core.sessions.len())
    }
}

fn is_unknown(outcome: &EffectOutcome) -> bool {
    matches!(outcome, EffectOutcome::Unknown { .. })
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_done_when_the_leaders_have_moved() {
    let world = world(1);
    let mut reader = world.reader().await.unwrap();
    let target = known(&world.cluster)[0].addr;
    assert!(reader.leaders(&target).await.unwrap().most() > 0);
    let outcome = world.effect().await.unwrap().act(world.stop()).await;
    assert!(matches!(outcome, EffectOutcome::Done { .. }), "{outcome:?}");
    assert!(world.marked());
    assert_eq!(reader.leaders(&target).await.unwrap().most(), 0);
    assert!(reader.server(&target).await.unwrap().unwrap().stop_time.is_some());
    let statements = world.recorded(Kind::Statement);
    assert_eq!((statements, world.recorded(Kind::Answered), world.sessions()), (2, 2, 1), "SET and STOP");
}

#[tokio::test(start_paused = true)]
async fn a_late_mark_and_a_refusal_are_what_they_are_at_the_real_adapter() {
    let world = world(2);
    world.cluster.inject(FaultKind::LateMark { delay_ms: 3_000 });
    let outcome = world.effect().await.unwrap().act(world.stop()).await;
    assert!(is_unknown(&outcome) && !world.marked() && world.sessions() == 0, "{outcome:?}");
    sleep(Duration::from_secs(3)).await;
    assert!(world.marked());
    world.cluster.with(|core, _| core.cluster.zones[1].active = false);
    let outcome = world.effect().await.unwrap().act(world.stop()).await;
    assert!(matches!(&outcome, EffectOutcome::Refused { code, .. } if code == "4660"), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn effects_are_lost_as_planned() {
    for (effect, statements) in [(LostEffect::Before, 2), (LostEffect::After, 3)] {
        let world = world(3);
        world.life.plan_loss(Some(Loss { effect, left: 1 }));
        let outcome = world.effect().await.unwrap().act(world.stop()).await;
        assert!(is_unknown(&outcome), "{outcome:?}");
        let outcome = world.effect().await.unwrap().act(world.stop()).await;
        assert!(matches!(outcome, EffectOutcome::Done { .. }), "{outcome:?}");
        assert_eq!(world.recorded(Kind::Statement), statements + 1, "{effect:?}: two of SET");
    }
}

#[tokio::test(start_paused = true)]
async fn a_life_that_is_over_hears_nothing_and_holds_no_session() {
    for (at, marked) in [(Point::Permit, false), (Point::Answer, true)] {
        let world = world(4);
        world.life.plan(Some(Crash { at, left: 1 }));
        let session = world.effect().await.unwrap();
        let mut reader = world.reader().await.unwrap();
        assert_eq!(world.sessions(), 2);
        let stop = session.act(world.stop());
        assert!(timeout(Duration::from_secs(60), stop).await.is_err());
        assert_eq!((world.sessions(), world.marked()), (0, marked));
        assert!(timeout(Duration::from_secs(60), reader.servers()).await.is_err());
        assert!(timeout(Duration::from_secs(60), world.reader()).await.is_err());
    }
}

/// A life that ends while its statement runs is a client that goes away.
#[tokio::test(start_paused = true)]
async fn a_statement_ends_with_the_life_that_sent_it_or_goes_on_unnoticed() {
    for (unnoticed, sessions) in [(false, 0), (true, 1)] {
        let world = world(5);
        if unnoticed {
            world.cluster.inject(FaultKind::ClientLossUnnoticed);
        }
        world.cluster.inject(Fault::from(FaultKind::Hang).for_statement("ALTER SYSTEM"));
        let running = world.effect().await.unwrap().act(world.stop());
        let running = tokio::spawn(running);
        sleep(Duration::from_secs(2)).await;
        world.life.end();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(world.sessions(), sessions);
        sleep(Duration::from_secs(20)).await;
        assert_eq!(world.sessions(), 0);
        assert!(!running.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_session_is_killed() {
    let world = world(6);
    world.cluster.inject(Fault::from(FaultKind::Hang).for_statement("ALTER SYSTEM"));
    let session = world.effect().await.unwrap();
    let (endpoint, id) = (session.endpoint.clone(), session.session.connection_id);
    let running = tokio::spawn(session.act(world.stop()));
    sleep(Duration::from_secs(1)).await;
    let access = access(&known(&world.cluster));
    let expected = Expected::default();
    let kill = |id| world.service.kill(&access, &expected, &endpoint, id, |_, _| Ok(()));
    assert_eq!(kill(id).await, Ok(SessionGone::Killed));
    let outcome = running.await.unwrap();
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert_eq!(kill(id).await, Ok(SessionGone::NotThere));
    let server = world.cluster.look(|core, _| core.cluster.servers[1].clone());
    world.cluster.process_ended(server.id, server.process.unwrap().pid);
    assert_eq!(kill(id).await, Ok(SessionGone::EndpointDead));
}

#[tokio::test(start_paused = true)]
async fn endpoints_fail_as_real_ones_do() {
    let world = world(7);
    let servers = known(&world.cluster);
    // closed, dead, frozen endpoints: the next one
    world.cluster.inject(Fault::on(FaultKind::RefuseConnections, 2));
    let mut reader = world.reader().await.unwrap();
    assert_eq!(*reader.server_addr(), servers[2].addr);
    world.cluster.freeze(3);
    let silent = reader.servers().await.unwrap_err();
    assert!(silent.class == ErrorClass::Unknown && silent.message.contains("no answer in 12 s"), "{silent}");
    assert!(!reader.is_open());
    reader = world.reader().await.unwrap();
    assert_eq!(*reader.server_addr(), servers[0].addr, "the last one, which is to be avoided");
    world.cluster.process_ended(1, 1001);
    let lost = reader.servers().await.unwrap_err();
    assert!(lost.class == ErrorClass::Unknown && !reader.is_open(), "{lost}");
    let nobody = world.reader().await.err().unwrap();
    assert!(nobody.class == ErrorClass::Unreachable && nobody.message.contains("no endpoint answers"), "{nobody}");
    world.cluster.thaw(3);
    // nobody leads the sys tenant
    reader = world.reader().await.unwrap();
    world.cluster.process_ended(2, 1002);
    sleep(Duration::from_secs(10)).await;
    let timed_out = reader.servers().await.unwrap_err();
    assert_eq!((timed_out.class, timed_out.number), (ErrorClass::Transient, Some(4012)), "{timed_out}");
    assert!(reader.is_open());

    let world = self::world(8);
    world.cluster.inject(FaultKind::WrongIdentity { cluster_name: "other".to_owned(), cluster_id: 7 });
    assert_eq!(world.reader().await.unwrap().identity().name, "other");
    world.cluster.inject(FaultKind::LoginRefused);
    assert_eq!(world.reader().await.err().unwrap().class, ErrorClass::AuthFailed);
    world.cluster.clear(None);
    let refused = FaultKind::Refused { number: 4036, text: "need retry".to_owned() };
    world.cluster.inject(Fault::from(refused).for_statement("SELECT * FROM oceanbase.DBA_OB_ZONES"));
    let mut reader = world.reader().await.unwrap();
    let refused = reader.reading().await.unwrap_err();
    assert_eq!((refused.class, refused.number), (ErrorClass::Transient, Some(4036)), "{refused}");
    assert!(reader.reading().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_record() {
    let mut records = Vec::new();
    for _ in 0..2 {
        let world = world(9);
        world.cluster.inject(FaultKind::CutAfterMark);
        for _ in 0..3 {
            let _ = world.effect().await.unwrap().act(world.stop()).await;
            let _ = world.reader().await.unwrap().reading().await;
        }
        records.push(world.cluster.look(|core, _| core.record.clone()));
    }
    // each world begins at the same moment by its own clock
    assert_eq!(records[0], records[1]);
}

/// All that a reader says, without what only says when it was asked.
#[derive(Debug, PartialEq)]
struct Said {
    discovery: Discovery,
    reading: Result<ClusterReading, ClusterError>,
    gate: Result<ClusterReading, ClusterError>,
    log_streams: Vec<LogStreamReading>,
    by_server: Vec<BySaid>,
    horizon: Duration,
}

#[derive(Debug, PartialEq)]
struct BySaid {
    leaders: LeaderCount,
    left: Vec<LedFrom>,
    other_zone: Option<String>,
    checkpoints: Vec<freeze::Replica>,
    clients: Fact<ServerClients>,
}

async fn said(reader: &mut dyn ClusterReader) -> Said {
    let mut discovery = reader.discover().await.unwrap();
    discovery.observed_at = Timestamp::default();
    let mut by_server = Vec::new();
    for server in discovery.servers.clone() {
        let mut leaders = reader.leaders(&server.addr).await.unwrap();
        leaders.observed_at = Timestamp::default();
        let mut checkpoints = reader.checkpoints(&server.addr).await.unwrap();
        for position in checkpoints.iter_mut().filter_map(|replica| replica.position.as_mut().ok()) {
            position.applied_scn = rounded(position.applied_scn);
        }
        let left = reader.leaders_left(&[server.addr]).await.unwrap();
        let other_zone = reader.other_zone_stopped(&server.zone).await.unwrap();
        let clients = reader.clients(&server.addr).await.unwrap();
        by_server.push(BySaid { leaders, left, other_zone, checkpoints, clients });
    }
    Said {
        discovery,
        reading: reader.reading().await.map(timeless),
        gate: reader.gate_reading().await.map(timeless),
        log_streams: endless(reader.log_streams().await.unwrap()),
        by_server,
        horizon: reader.horizon().await.unwrap(),
    }
}

fn timeless(reading: ClusterReading) -> ClusterReading {
    ClusterReading { observed_at: Timestamp::default(), log_streams: endless(reading.log_streams), ..reading }
}

fn endless(mut log_streams: Vec<LogStreamReading>) -> Vec<LogStreamReading> {
    for replica in log_streams.iter_mut().flat_map(|log_stream| &mut log_stream.replicas) {
        replica.end_scn = replica.end_scn.clone().map(rounded);
    }
    log_streams
}

/// To half a minute: a replica that is behind by minutes stays behind.
const fn rounded(scn: u64) -> u64 {
    scn / 30_000_000_000
}

/// The same cluster once with processes, read through SQL, and once as a value.
struct Twins {
    real: SimCluster,
    adapter: MysqlOceanBase,
    access: ClusterAccess,
    known: Vec<KnownServer>,
    /// As it was when its clients logged in.
    began: Cluster,
    _clients: Vec<Conn>,
}

/// Clients at server 2, with what each has sent.
const CLIENTS: [(&str, &[&str]); 3] =
    [("root@app", &["BEGIN", "INSERT INTO t VALUES (1)"]), ("root@app", &[]), ("root@pair", &["START TRANSACTION"])];

impl Twins {
    async fn start() -> Self {
        let pair = TenantOptions { replica_zones: vec![1, 2], arbitration: true, ..TenantOptions::new("pair") };
        let tenants = vec![pair, TenantOptions::new("app")];
        let options = SimOptions::quick(env!("CARGO_BIN_EXE_obsteward"));
        let real = SimCluster::start(SimOptions { tenants, arbitration: true, ..options }).await.unwrap();
        let server = |server: SimServerInfo| KnownServer {
            addr: server.address().parse().unwrap(),
            sql_port: server.sql_port,
            zone: server.zone.parse().unwrap(),
            active: true,
        };
        let known: Vec<KnownServer> = real.servers().into_iter().map(server).collect();
        let mut clients = Vec::new();
        for (user, statements) in CLIENTS {
            let options = OptsBuilder::default().ip_or_hostname(known[1].addr.ip().to_string());
            let options = options.tcp_port(known[1].sql_port).user(Some(user)).prefer_socket(false);
            let mut client = Conn::new(options).await.unwrap();
            for statement in statements {
                client.query_drop(*statement).await.unwrap();
            }
            clients.push(client);
        }
        Self {
            began: real.look(Clone::clone),
            _clients: clients,
            access: access(&known),
            adapter: MysqlOceanBase::new(Clock::system()),
            known,
            real,
        }
    }

    async fn read(&self, from: &dyn OceanBase) -> Said {
        let avoid = Avoid { server: Some(self.known[0].addr), ..Avoid::default() };
        let reader = from.reader(&self.access, &self.known, &Expected::default(), &avoid).await;
        said(reader.unwrap().as_mut()).await
    }

    /// Compares what the two adapters say, a few times if need be, because the cluster with processes goes on meanwhile.
    async fn compare(&self, what: &str) {
        let mut different = None;
        for _ in 0..5 {
            let state = self.real.look(Clone::clone);
            let real = self.read(&self.adapter).await;
            let value =
                InProcessCluster::new(&SimOptions::quick(""), |n| Ipv4Addr::new(127, 0, 0, n), SimClock::System);
            value.with(|core, _| core.cluster = self.began.clone());
            let mut clients = Vec::new();
            for (user, statements) in CLIENTS {
                let mut client = value.open(2, "client", user, "").unwrap();
                for statement in statements {
                    client.command(statement).await.unwrap().unwrap();
                }
                clients.push(client);
            }
            value.with(|core, _| core.cluster = state);
            let simulated = self.read(&reaching(&value, Life::new(Dice::new(1)))).await;
            if real == simulated {
                return;
            }
            different = Some((real, simulated));
        }
        let (real, simulated) = different.unwrap();
        panic!("{what}\n{real:#?}\n{simulated:#?}");
    }

    async fn until(&self, wanted: impl FnMut(&Cluster) -> bool) {
        assert!(self.real.wait_until(Duration::from_secs(20), wanted).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_are_what_sql_says() {
    let twins = Twins::start().await;
    twins.compare("healthy").await;
    let avoid = Avoid::default();
    let reader = twins.adapter.reader(&twins.access, &twins.known, &Expected::default(), &avoid).await;
    let clients = reader.unwrap().clients(&twins.known[1].addr).await.unwrap().unwrap();
    assert_eq!(
        clients.to_string(),
        "2 sessions and 1 open transaction of tenant app, 1 session and 1 open transaction of tenant pair"
    );

    twins.real.third_party(&format!("ALTER SYSTEM STOP SERVER '{}'", twins.known[0].addr));
    twins
        .until(|state| state.leaders_on(&[1]) == 0 && state.log_streams.iter().any(|ls| !ls.degraded.is_empty()))
        .await;
    twins.compare("stopped and degraded").await;

    twins.real.kill_process(1, Signal::KILL).unwrap();
    twins.until(|state| state.server(1).is_some_and(|server| server.last_offline_time != 0)).await;
    twins.compare("stopped and dead").await;

    twins.real.inject(FaultKind::UnknownMember { address: "10.9.9.9:2882".to_owned(), tenant: Some(1004), ls: None });
    twins.real.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 600_000 }, 2));
    twins.real.set_previous_locality(1004, "FULL{1}@zone1");
    twins.real.set_zone_active("zone1", false);
    twins.real.set_unit_migration(1004, 2, 3);
    twins.real.set_upgrade_mode(true);
    twins.real.set_parameter("internal_sql_execute_timeout", "1m");
    twins.real.change(|cluster| (cluster.compaction_running, cluster.backup_running) = (true, true));
    twins.real.remove_leader(1004, 1001);
    twins.compare("whatever may be set").await;
    twins.real.shutdown().await;
}

/// `cargo test --profile bench --test simulation cost -- --ignored --nocapture`
#[tokio::test(start_paused = true)]
#[ignore = "a measurement"]
async fn what_questions_cost() {
    let world = world(10);
    let target = known(&world.cluster)[0].addr;
    let mut reader = world.reader().await.unwrap();
    let clock = SimClock::System;
    macro_rules! time {
        ($name:literal, $question:expr) => {
            let began = clock.now();
            for _ in 0..5000 {
                let _ = $question.await;
            }
            println!("{}: {:.2} us", $name, (clock.now() - began) as f64 / 5000.0);
        };
    }
    time!("server", reader.server(&target));
    time!("leaders", reader.leaders(&target));
    time!("reading", reader.reading());
    time!("gate reading", reader.gate_reading());
    time!("discover", reader.discover());
    time!("checkpoints", reader.checkpoints(&target));
    time!("open a reader", world.reader());
    time!("open an effect session", world.effect());
    let start = || Statement::StartServer { addr: target, zone: known(&world.cluster)[0].zone.clone() };
    time!("open and start", async { world.effect().await.unwrap().act(start()).await });
    time!("nothing but time", sleep(Duration::from_millis(3)));
}
