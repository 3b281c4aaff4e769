//! One replica owns a task and ends, is killed, or is frozen at the worst moment: between the last look at its lease and its effect.
//! Another one takes the task over, and what the first one does when it goes on comes to nothing.

use std::time::Duration;

use obsteward::clock::{Clock, Timestamp};
use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, Kind, SimCluster};
use obsteward::store::replicas::LEASE;
use rustix::process::Signal;

use super::replica_set::ReplicaSet;
use crate::promises::Evidence;
use crate::support::{Clients, quick};

const LONGEST_REST: Duration = Duration::from_secs(120);

/// Two replicas, a cluster, and a task that the first one owns.
struct Owned {
    set: ReplicaSet,
    sim: SimCluster,
    cluster_id: i64,
    task: i64,
    second: Clients,
}

impl Owned {
    async fn new(environment: &[(&str, &str)], stuck: bool) -> Self {
        let (set, sim) = (ReplicaSet::empty(2).await, SimCluster::start(quick()).await.unwrap());
        set.start_with(0, environment).await;
        set.start_with(1, &[]).await;
        let (first, second) = (set.clients(0).await.unwrap(), set.clients(1).await.unwrap());
        let cluster_id = set.register(&first, &sim).await.id;
        if stuck {
            sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 2));
        }
        let ip = sim.server(2).unwrap().ip;
        let server_id = first.list_servers(cluster_id).await.into_iter().find(|server| server.ip == ip).unwrap().id;
        let request = v1::StopServerRequest { cluster_id, server_id, ..Default::default() };
        let task = first.stop_with(request).await.unwrap().id;
        Self { set, sim, cluster_id, task, second }
    }

    /// When the second replica took the task over.
    async fn taken_over(&self) -> Timestamp {
        let adopted = |event: &v1::TaskEvent| matches!(event.kind, Some(v1::task_event::Kind::Adopted(_)));
        let (events, ended) = self.second.events_until(self.task, 0, adopted).await;
        ended.unwrap();
        let at = events.last().unwrap().event_time.unwrap();
        Timestamp::from_micros(at.seconds * 1_000_000 + i64::from(at.nanos) / 1000)
    }

    /// The task at rest or closed. What a host was asked for may take effect for most of a minute, and is waited for.
    async fn at_rest(&self) -> v1::Task {
        loop {
            let task = self.second.task(self.task).await;
            use v1::TaskState as S;
            match task.state() {
                S::Running | S::Canceling => tokio::time::sleep(Duration::from_millis(100)).await,
                _ => return task,
            }
        }
    }

    async fn assert_promises(&self) {
        Evidence::gather(&self.second, &self.sim, self.cluster_id).await.assert_promises();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a lane of scripts/test runs it"]
async fn what_a_frozen_replica_sends_when_it_goes_on_comes_to_nothing() {
    // The first effect marks the server, over a session; the second ends its process, behind a ticket of the agent.
    let cases = [("1", false), ("1", true), ("2", false), ("2", true)];
    futures::future::join_all(cases.map(|(effect, undone)| frozen(effect, undone))).await;
}

async fn frozen(effect: &str, undone: bool) {
    let owned = Owned::new(&[("OBSTEWARD_FREEZE_AT_EFFECT", effect)], false).await;
    owned.taken_over().await;
    if undone {
        let request = v1::CancelTaskRequest { task_id: owned.task, ..Default::default() };
        // It may have come to its end before.
        let _ = owned.second.tasks.clone().cancel_task(request).await;
    }
    let task = tokio::time::timeout(LONGEST_REST, owned.at_rest()).await.expect("the task does not come to rest");
    if task.allowed_verbs().any(|verb| verb == v1::TaskVerb::Rollback) {
        let request = v1::RollbackTaskRequest { task_id: owned.task, ..Default::default() };
        owned.second.tasks.clone().rollback_task(request).await.unwrap();
        tokio::time::timeout(LONGEST_REST, owned.at_rest()).await.expect("the rollback does not end");
    }
    let before = owned.sim.record().len();
    owned.set.signal(0, Signal::CONT).await;
    // It comes back as another replica.
    let back = async {
        loop {
            let request = v1::ListReplicasRequest::default();
            let listed = owned.second.admin.clone().list_replicas(request).await.unwrap().into_inner().replicas;
            if listed.iter().filter(|one| one.state() == v1::ReplicaState::Live).count() == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LEASE * 2, back).await.expect("the frozen replica does not come back");
    // Longer than a session that is silent lives, and than a ticket is valid.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let late: Vec<_> = owned.sim.record().split_off(before);
    assert!(
        late.iter()
            .all(|one| !matches!(one.kind, Kind::MarkSet | Kind::MarkCleared | Kind::Signal | Kind::ProcessEnded)),
        "effect {effect}, undone {undone}: {late:#?}"
    );
    owned.assert_promises().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a lane of scripts/test runs it"]
async fn a_task_is_taken_over_behind_the_lease_or_at_once() {
    let takeover = async |signal: Signal| {
        let owned = Owned::new(&[], true).await;
        owned.second.waits_for(owned.task, "leader").await;
        let at = Clock::system().now();
        owned.set.signal(0, signal).await;
        let took = owned.taken_over().await.since(at);
        println!("takeover: {signal:?} {} ms", took.as_millis());
        owned.sim.clear_all();
        let task = owned.second.at_rest(owned.task).await;
        assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
        owned.assert_promises().await;
        took
    };
    let (killed, ended) = futures::join!(
        futures::future::join_all([(); 3].map(|()| takeover(Signal::KILL))),
        futures::future::join_all([(); 3].map(|()| takeover(Signal::TERM))),
    );
    // With room for a machine that does something else.
    assert!(killed.iter().all(|took| *took < LEASE + Duration::from_secs(3)), "{killed:?}");
    assert!(ended.iter().all(|took| *took < Duration::from_secs(2)), "{ended:?}");
}

/// As one that was frozen while the others were replaced: it cannot come back, and must not go on answering.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a lane of scripts/test runs it"]
async fn a_replica_of_a_schema_that_is_gone_ends_and_says_why() {
    let set = ReplicaSet::start(1).await;
    set.write("INSERT INTO replicas.schema_version VALUES (9, 9, 'a later obsteward')").await;
    let (code, said) = set.last_words(0).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("has schema 9, which needs an obsteward that knows schema 9"), "{said}");
}
