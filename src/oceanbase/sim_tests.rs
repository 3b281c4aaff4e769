//! The adapter's acting half against the simulated cluster: STOP SERVER with its three outcomes, START SERVER, KILL, and the
//! proofs before anything is sent. In the library because only here a permit can be had; needs the built `obsteward`, which
//! the observers run.
#![cfg(test)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::domain::effect::EndlessLease;
use crate::domain::ids::{Fence, SubtaskId, TaskId};
use crate::sim::{Fault, FaultKind, Kind, SimCluster, SimOptions};

const PATIENCE: Duration = Duration::from_secs(20);

/// `target/<profile>/obsteward`, beside the `deps` of this test.
fn obsteward() -> PathBuf {
    let program = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("obsteward");
    assert!(program.exists(), "{} is not there: cargo build", program.display());
    program
}

struct Bed {
    cluster: SimCluster,
    access: ClusterAccess,
    known: Vec<KnownServer>,
    expected: Expected,
}

impl Bed {
    async fn start() -> Self {
        let cluster = SimCluster::start(SimOptions::quick(obsteward())).await.unwrap();
        let endpoints = cluster.endpoints().iter().map(|endpoint| endpoint.parse().unwrap()).collect();
        let access = ClusterAccess { endpoints, username: "root@sys".to_owned(), password: "".into() };
        let known = cluster.servers().into_iter().map(|server| KnownServer {
            addr: server.address().parse().unwrap(),
            sql_port: server.sql_port,
            zone: server.zone.parse().unwrap(),
            active: true,
        });
        let known: Vec<KnownServer> = known.collect();
        let reader = adapter().reader(&access, &known, &Expected::default(), &Avoid::default()).await.unwrap();
        let expected = Expected { identity: Some(reader.identity().clone()), target: Some((known[0].addr, 1)) };
        Self { cluster, access, known, expected }
    }

    fn permit(&self) -> Permit {
        let cluster = self.expected.identity.as_ref().unwrap().key();
        Permit::issue(
            TaskId::new(1).unwrap(),
            SubtaskId::new(1).unwrap(),
            1,
            1,
            cluster,
            Fence::new(1),
            Arc::new(EndlessLease),
        )
    }

    fn avoid(&self) -> Avoid {
        Avoid { server: Some(self.known[0].addr), zone: Some(self.known[0].zone.clone()), never: None }
    }

    async fn session(&self) -> Box<dyn EffectSession> {
        adapter().effect_session(&self.access, &self.known, &self.expected, &self.avoid()).await.unwrap()
    }

    fn stop(&self) -> Statement {
        Statement::StopServer { addr: self.known[0].addr, zone: self.known[0].zone.clone() }
    }

    async fn send(&self, statement: Statement) -> EffectOutcome {
        self.session().await.send(self.permit(), statement).await
    }

    async fn marked(&self) -> bool {
        let mut reader = adapter().reader(&self.access, &self.known, &self.expected, &self.avoid()).await.unwrap();
        reader.server(&self.known[0].addr).await.unwrap().unwrap().stop_time.is_some()
    }
}

fn adapter() -> MysqlOceanBase {
    MysqlOceanBase::new(Clock::system())
}

fn is_unknown(outcome: &EffectOutcome) -> bool {
    matches!(outcome, EffectOutcome::Unknown { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn done_refused_and_unknown_are_told_apart() {
    let bed = Bed::start().await;
    // Refused, with the root service's words.
    bed.cluster.set_previous_locality(1, "FULL{1}@zone1");
    let refused = bed.send(bed.stop()).await;
    let said = |words: &str| words.contains("locality is changing, stop server not allowed");
    assert!(
        matches!(&refused, EffectOutcome::Refused { code, message } if code == "4179" && said(message)),
        "{refused:?}"
    );
    bed.cluster.set_previous_locality(1, "");
    // Refused for a transient reason, which the root service never says.
    let lag = bed.cluster.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 2));
    let unheard = bed.send(bed.stop()).await;
    assert!(is_unknown(&unheard), "{unheard:?}");
    assert!(!bed.marked().await);
    // FORCE STOP does not ask for log sync.
    let force = Statement::ForceStopServer { addr: bed.known[0].addr, zone: bed.known[0].zone.clone() };
    let done = bed.send(force).await;
    assert!(matches!(done, EffectOutcome::Done { .. }), "{done:?}");
    assert!(bed.marked().await);
    bed.cluster.clear(lag);
    let start = Statement::StartServer { addr: bed.known[0].addr, zone: bed.known[0].zone.clone() };
    assert!(matches!(bed.send(start).await, EffectOutcome::Done { .. }));
    assert!(!bed.marked().await);
    // The zone is compared after the precheck.
    let wrong_zone = Statement::StopServer { addr: bed.known[0].addr, zone: "nowhere".parse().unwrap() };
    let refused = bed.send(wrong_zone).await;
    assert!(matches!(&refused, EffectOutcome::Refused { code, .. } if code == "4631"), "{refused:?}");
    // Unknown, whether it was marked or not.
    bed.cluster.inject(FaultKind::CutBeforeMark);
    let cut = bed.send(bed.stop()).await;
    assert!(is_unknown(&cut), "{cut:?}");
    assert!(!bed.marked().await);
    for fault in [FaultKind::CutAfterMark, FaultKind::LeaderWaitTimeout, FaultKind::TimeoutAfterMark] {
        bed.cluster.inject(fault.clone());
        let outcome = bed.send(bed.stop()).await;
        assert!(is_unknown(&outcome), "{fault:?} {outcome:?}");
        assert!(bed.marked().await, "{fault:?}");
        let start = Statement::StartServer { addr: bed.known[0].addr, zone: bed.known[0].zone.clone() };
        assert!(matches!(bed.send(start).await, EffectOutcome::Done { .. }));
    }
    let done = bed.send(bed.stop()).await;
    assert!(matches!(done, EffectOutcome::Done { .. }), "{done:?}");
    assert!(matches!(bed.send(bed.stop()).await, EffectOutcome::Done { .. }), "it is idempotent");
    assert!(matches!(bed.send(Statement::MinorFreeze { addr: bed.known[1].addr }).await, EffectOutcome::Done { .. }));
    bed.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_session_is_killed_and_seen_to_be_gone() {
    let bed = Bed::start().await;
    bed.cluster.inject(Fault::from(FaultKind::Hang).for_statement("ALTER SYSTEM STOP SERVER"));
    let session = bed.session().await;
    let (endpoint, id) = (session.endpoint().to_owned(), session.connection_id());
    assert_ne!(endpoint, bed.known[0].endpoint().to_string(), "not the target while others are left");
    assert!(id > 0);
    let sent = tokio::spawn(session.send(bed.permit(), bed.stop()));
    assert!(bed.cluster.wait_recorded(PATIENCE, Kind::Statement, "STOP SERVER").await);
    let kill = async |id| adapter().kill_session(bed.permit(), &bed.access, &bed.expected, &endpoint, id).await;
    assert_eq!(kill(id).await, Ok(SessionGone::Killed));
    let outcome = sent.await.unwrap();
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert_eq!(kill(id).await, Ok(SessionGone::NotThere));
    // Its process is gone, and the session with it.
    let server = bed.cluster.servers().into_iter().find(|server| server.endpoint() == endpoint).unwrap();
    bed.cluster.kill_process(server.id, crate::sim::Signal::KILL).unwrap();
    assert!(bed.cluster.wait_recorded(PATIENCE, Kind::ProcessEnded, "").await);
    let mut gone = kill(id).await;
    // While the process dies connections are reset, which proves nothing yet.
    while gone.as_ref().is_err_and(|error| error.class == ErrorClass::Unreachable) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        gone = kill(id).await;
    }
    assert_eq!(gone, Ok(SessionGone::EndpointDead));
    bed.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_to_another_cluster() {
    let bed = Bed::start().await;
    let mut other = bed.expected.identity.clone().unwrap();
    other.fingerprint.push('0');
    let expected = Expected { identity: Some(other.clone()), target: None };
    let refused = adapter().effect_session(&bed.access, &bed.known, &expected, &Avoid::default()).await.err().unwrap();
    assert_eq!(refused.class, ErrorClass::WrongCluster, "{refused}");
    // A permit for another cluster is no permit for this session.
    let session = bed.session().await;
    let permit = Permit::issue(
        TaskId::new(1).unwrap(),
        SubtaskId::new(1).unwrap(),
        1,
        1,
        other.key(),
        Fence::new(1),
        Arc::new(EndlessLease),
    );
    let outcome = session.send(permit, bed.stop()).await;
    assert!(matches!(&outcome, EffectOutcome::Refused { code, .. } if code == "WRONG_CLUSTER"), "{outcome:?}");
    assert!(!bed.marked().await);
    let altered = |recorded: &crate::sim::Recorded| recorded.text.to_uppercase().contains("ALTER SYSTEM");
    assert!(!bed.cluster.recorded(Kind::Statement).iter().any(altered));
    bed.cluster.shutdown().await;
}
