//! Reading sessions that are used again: for whom, where, until when, and what becomes of one that breaks.

use std::sync::Arc;
use std::time::Duration;

use obsteward::clock::Clock;
use obsteward::oceanbase::{
    Avoid, ClusterAccess, ClusterReader, ErrorClass, Expected, KnownServer, MysqlOceanBase, OceanBase, SessionPool,
};
use obsteward::sim::{Fault, FaultKind, Kind, Signal, SimCluster};

use crate::support::{PATIENCE, quick};

struct Stage {
    sim: SimCluster,
    sessions: SessionPool,
    access: ClusterAccess,
    known: Vec<KnownServer>,
    expected: Expected,
}

impl Stage {
    async fn new(idle: Duration) -> Self {
        let sim = SimCluster::start(quick()).await.unwrap();
        let endpoints = sim.endpoints().iter().map(|endpoint| endpoint.parse().unwrap()).collect();
        let access = ClusterAccess { endpoints, username: "root@sys".to_owned(), password: "".into() };
        let known = sim.servers().into_iter().map(|server| KnownServer {
            addr: server.address().parse().unwrap(),
            sql_port: server.sql_port,
            zone: server.zone.parse().unwrap(),
            active: true,
        });
        let known: Vec<KnownServer> = known.collect();
        let sessions = SessionPool::new(Arc::new(MysqlOceanBase::new(Clock::system())), idle);
        let first = sessions.reader(&access, &known, &Expected::default(), &Avoid::default()).await.unwrap();
        let expected = Expected { identity: Some(first.identity().clone()), target: Some((known[0].addr, 1)) };
        drop(first);
        Self { sim, sessions, access, known, expected }
    }

    fn away(&self, server: usize) -> Avoid {
        Avoid { server: Some(self.known[server].addr), zone: Some(self.known[server].zone.clone()), never: None }
    }

    async fn reader(&self, avoid: &Avoid) -> Box<dyn ClusterReader> {
        self.sessions.reader(&self.access, &self.known, &self.expected, avoid).await.unwrap()
    }

    /// The row of the target, and where it was asked.
    async fn look(&self, avoid: &Avoid) -> String {
        let mut reader = self.reader(avoid).await;
        reader.server(&self.known[0].addr).await.unwrap().unwrap();
        reader.endpoint().to_owned()
    }

    fn logins(&self) -> usize {
        self.sim.recorded(Kind::SessionOpened).len()
    }

    fn endpoint(&self, server: usize) -> String {
        self.known[server].endpoint().to_string()
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_used_again_where_it_may_ask_and_for_nobody_else() {
    let stage = Stage::new(LONG).await;
    let logins = stage.logins();
    let away = stage.away(0);
    for _ in 0..5 {
        assert_eq!(stage.look(&away).await, stage.endpoint(1));
    }
    assert_eq!(stage.logins(), logins + 1);
    // Two at once are two sessions, and both are used again.
    let two = (stage.reader(&away).await, stage.reader(&away).await);
    assert_eq!(stage.logins(), logins + 2);
    drop(two);
    // The gate's rule is met by it, and by none at the server that must not be asked.
    let gate = Avoid { never: Some(stage.known[0].addr), ..stage.away(0) };
    assert_eq!((stage.look(&gate).await, stage.logins()), (stage.endpoint(1), logins + 2));
    let other_gate = Avoid { never: Some(stage.known[1].addr), ..stage.away(1) };
    assert_eq!((stage.look(&other_gate).await, stage.logins()), (stage.endpoint(0), logins + 3));
    // Another password logs in for itself, and so does another target.
    let other = ClusterAccess { password: "other".into(), ..stage.access.clone() };
    let refused = stage.sessions.reader(&other, &stage.known, &stage.expected, &away).await.err().unwrap();
    assert_eq!(refused.class, ErrorClass::AuthFailed, "{refused}");
    let replaced = Expected { target: Some((stage.known[0].addr, 9)), ..stage.expected.clone() };
    let refused = stage.sessions.reader(&stage.access, &stage.known, &replaced, &away).await.err().unwrap();
    assert_eq!(refused.class, ErrorClass::WrongCluster, "{refused}");
    // A server that is added again while a session is kept is another one all the same.
    stage.sim.change(|cluster| cluster.servers[0].id = 7);
    let mut reader = stage.reader(&away).await;
    let refused = reader.server(&stage.known[0].addr).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::WrongCluster, "{refused}");
    stage.sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_breaks_is_replaced_at_once() {
    let stage = Stage::new(LONG).await;
    let away = stage.away(0);
    let mut reader = stage.reader(&away).await;
    assert_eq!(reader.endpoint(), stage.endpoint(1));
    stage.sim.kill_process(2, Signal::KILL).unwrap();
    assert!(stage.sim.wait_recorded(PATIENCE, Kind::ProcessEnded, "").await);
    assert!(reader.server(&stage.known[0].addr).await.unwrap().is_some());
    assert_eq!(reader.endpoint(), stage.endpoint(2));
    drop(reader);
    let logins = stage.logins();
    assert_eq!((stage.look(&away).await, stage.logins()), (stage.endpoint(2), logins));
    stage.sim.shutdown().await;
}

/// A number that may pass is asked of another server at once, and that server is preferred for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_refuses_for_now_is_asked_of_another() {
    let stage = Stage::new(LONG).await;
    let away = stage.away(0);
    for number in [4013, 4030, 4265, 5345, 4990] {
        let odd = FaultKind::Refused { number, text: "not now".to_owned() };
        stage.sim.inject(Fault::on(odd, 2).for_statement("SELECT * FROM oceanbase.DBA_OB_ZONES").times(1));
        let zone = stage.known[0].zone.clone();
        let mut reader = stage.reader(&away).await;
        assert_eq!(reader.other_zone_stopped(&zone).await.unwrap(), None, "{number}");
        drop(reader);
        assert_eq!(stage.look(&away).await, stage.endpoint(2), "{number}");
    }
    // What a person has to change is not asked twice.
    let denied = FaultKind::Refused { number: 1142, text: "denied".to_owned() };
    stage.sim.inject(Fault::from(denied).for_statement("SELECT * FROM oceanbase.DBA_OB_ZONES").times(2));
    let mut reader = stage.reader(&away).await;
    let error = reader.other_zone_stopped(&stage.known[0].zone).await.unwrap_err();
    assert_eq!((error.class, error.number), (ErrorClass::Permanent, Some(1142)), "{error}");
    stage.sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_nobody_uses_ends() {
    let stage = Stage::new(Duration::from_millis(100)).await;
    stage.look(&stage.away(0)).await;
    let closed = async {
        while stage.sim.recorded(Kind::SessionClosed).len() < stage.logins() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
    // One that is given up amidst a question, too: its answer would be the next one's.
    let stage = Stage::new(LONG).await;
    let slow = FaultKind::Slow { delay_ms: 5_000 };
    let slow = stage.sim.inject(Fault::from(slow).for_statement("SELECT * FROM oceanbase.DBA_OB_ZONES"));
    let logins = stage.logins();
    let mut reader = stage.reader(&stage.away(0)).await;
    let asked = reader.other_zone_stopped(&stage.known[0].zone);
    assert!(tokio::time::timeout(Duration::from_millis(100), asked).await.is_err());
    assert!(!reader.is_open());
    drop(reader);
    stage.sim.clear(slow);
    stage.look(&stage.away(0)).await;
    assert_eq!(stage.logins(), logins + 2);
}
