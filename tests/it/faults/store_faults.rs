//! Trouble of the store, under the real program: a full disk, a sync that fails, a file that may only be read, that was cut,
//! restored or is somebody else's. Whatever happens, the promises hold: nothing acknowledged is lost, nothing is done that is
//! not recorded, the service says what is wrong and ends or refuses, and goes on when the store is well again.

mod backup;
mod files;
mod restored;

use obsteward::proto::v1;
use obsteward::proto::v1::task_event::Kind as Event;
use obsteward::sim::{Fault, FaultKind, Kind};
use tonic::Code;

use crate::support::faulty_disk::{DiskFault, FaultyDisk};
use crate::support::harness::Harness;
use crate::support::{PATIENCE, ServeProcess, all, is_alive, reason, task_error};

/// How the service ends when it cannot know what became of a write.
const OUTCOME_UNKNOWN: Option<i32> = Some(4);

/// A commit of a good stop, by what it records. The events of one commit have one moment.
fn commit_of(events: &[v1::TaskEvent], wanted: impl Fn(&Event) -> bool) -> usize {
    let mut moments: Vec<_> = events.iter().map(|event| event.event_time.unwrap()).collect();
    moments.dedup();
    let event = events.iter().find(|event| wanted(event.kind.as_ref().unwrap())).unwrap();
    1 + moments.iter().position(|moment| *moment == event.event_time.unwrap()).unwrap()
}

/// The service on a disk that fails at one commit of a stop: the one that would reserve its ids is 0, its acceptance is 1.
/// `syncs` go well before.
async fn fails_at(fault: DiskFault, commit: usize, syncs: usize, what: &str) {
    let harness = Harness::registered().await;
    let disk = FaultyDisk::below(&harness.config.store.path);
    let service = harness.serve(&disk.environment()).await;
    let request_id = uuid::Uuid::new_v4().to_string();
    let request = v1::StopServerRequest { request_id, ..harness.request(&service.clients).await };
    disk.fails_after(fault, syncs);
    let answer = service.clients.stop_with(request.clone()).await;
    let watched = match &answer {
        Ok(task) => {
            let (events, ended) = service.clients.events_until(task.id, 0, |_| false).await;
            assert!(ended.is_err(), "{what}: the task ended as if the disk were well");
            events
        }
        Err(status) => {
            assert_eq!((status.code(), reason(status).as_str()), (Code::Unavailable, "UNAVAILABLE"), "{status:?}");
            assert!(status.message().contains("the store does not answer"), "{status:?}");
            Vec::new()
        }
    };
    assert_eq!(answer.is_ok(), commit > 1, "{what}: {answer:?}");
    let (code, said) = service.last_words().await;
    assert_eq!(code, OUTCOME_UNKNOWN, "{what}: {said}");
    let remedy = match fault {
        DiskFault::Full => "make room on its disk",
        DiskFault::FailedSync | DiskFault::ReadOnly => "look at its disk",
    };
    let store = harness.config.store.path.display().to_string();
    assert!(said.contains(&store) && said.contains("its outcome is unknown") && said.contains(remedy), "{said}");
    assert!(!disk.failures().is_empty());

    let acts = || harness.sim.record().into_iter().filter(|line| acts(line.kind)).count();
    let done = acts();
    match fault {
        // A start must write: SQLite's index of the log, or that the task is taken over.
        DiskFault::Full if commit > 1 => {
            disk.fails(fault);
            let (code, said) = harness.serve_until_it_ends(&disk.environment()).await;
            assert!(code == Some(1) || code == OUTCOME_UNKNOWN, "{what}: {code:?} {said}");
            assert!(said.contains(&store) && said.contains(remedy), "{what}: {said}");
        }
        DiskFault::ReadOnly => {
            disk.fails(fault);
            let (code, said) = harness.serve_in_vain(&disk.environment()).await;
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains(&store) && said.contains("Read-only file system"), "{said}");
        }
        DiskFault::Full | DiskFault::FailedSync => {}
    }
    assert_eq!(acts(), done, "{what}: something was done although nothing could be recorded");

    disk.is_well();
    let service = harness.serve(&disk.environment()).await;
    let task = service.clients.stop_with(request).await.unwrap();
    let task = service.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{what}: {task:#?}");
    assert!(task.subtasks.iter().all(|subtask| subtask.run_time == 1), "{what}: {task:#?}");
    let mut evidence = harness.evidence(&service.clients).await;
    assert_eq!(evidence.tasks.len(), 1, "{what}: one request made several tasks");
    evidence.handles.extend(answer.ok());
    evidence.watched.push(watched);
    evidence.assert_promises();
    // The commit that failed is not there; one whose sync failed may be.
    let before = commits(&evidence.tasks[0].events, |event| !matches!(event, Event::Adopted(_)));
    let there =
        commit.saturating_sub(1)..=if fault == DiskFault::FailedSync { commit } else { commit.saturating_sub(1) };
    assert!(commit <= 1 || there.contains(&before), "{what}: {before} commits before, expected {there:?}");
    harness.before.assert_only_stopped(&harness.sim, 2);
}

/// Number of commits as long as their events are like this.
fn commits(events: &[v1::TaskEvent], like: impl Fn(&Event) -> bool) -> usize {
    let events = events.iter().take_while(|event| event.kind.as_ref().is_some_and(&like));
    let mut moments: Vec<_> = events.map(|event| event.event_time.unwrap()).collect();
    moments.dedup();
    moments.len()
}

fn acts(kind: Kind) -> bool {
    matches!(kind, Kind::MarkSet | Kind::MarkCleared | Kind::Signal | Kind::ProcessEnded | Kind::MinorFreeze)
}

/// The disk fails before a stop is accepted, before and after each of its two intents, at the end of a step, when the inventory
/// is written and at the last commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_disk_that_fails_at_any_moment_of_a_stop() {
    let harness = Harness::registered().await;
    let service = harness.serve(&[]).await;
    let task = service.clients.stop_with(harness.request(&service.clients).await).await.unwrap();
    let good = service.clients.events(task.id).await;
    let evidence = harness.evidence(&service.clients).await;
    evidence.assert_promises();
    drop((service, harness));
    let recorded = |number| move |event: &Event| matches!(event, Event::IntentRecorded(it) if it.intent == number);
    let settled = |number| move |event: &Event| matches!(event, Event::IntentSettled(it) if it.intent == number);
    let step_ends = |event: &Event| {
        matches!(event, Event::SubtaskTransition(moved)
            if moved.name == "Wait observer stop" && moved.to() == v1::SubtaskState::Successful)
    };
    let task_ends = |event: &Event| matches!(event, Event::TaskTransition(_));
    let intent = commit_of(&good, recorded(1));
    // The inventory is written behind the commit that begins its reading, and synced once.
    let inventory = commit_of(&good, |event| {
        matches!(event, Event::SubtaskTransition(moved)
            if moved.name == "Sync cluster info" && moved.to() == v1::SubtaskState::Running)
    });
    let last = commit_of(&good, task_ends);
    let before = [
        (0, "reserving ids"),
        (1, "acceptance"),
        (intent, "the intent of STOP SERVER"),
        (commit_of(&good, settled(1)), "the outcome of STOP SERVER"),
        (commit_of(&good, recorded(2)), "the intent of the end"),
        (commit_of(&good, settled(2)), "the outcome of the end"),
        (commit_of(&good, step_ends), "the end of a step"),
    ];
    assert!(before.iter().all(|(commit, _)| *commit <= inventory) && last > inventory + 1);
    let before = before.map(|(commit, what)| (commit, commit, what));
    let points = before
        .into_iter()
        .chain([(inventory + 1, inventory + 1, "the inventory"), (last, last + 1, "the last commit")]);
    let both =
        |(commit, syncs, what)| [DiskFault::Full, DiskFault::FailedSync].map(|fault| (fault, commit, syncs, what));
    let read_only = (DiskFault::ReadOnly, intent, intent, "the intent of STOP SERVER");
    let cases: Vec<_> = points.flat_map(both).chain([read_only]).collect();
    all(cases, |(fault, commit, syncs, what)| async move {
        fails_at(fault, commit, syncs, &format!("{fault:?} at {what}")).await;
    })
    .await;
}

/// What the store cannot keep is not the cluster's fault, and not told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_not_a_cluster_that_does_not_answer() {
    let harness = Harness::registered().await;
    let disk = FaultyDisk::below(&harness.config.store.path);
    let service = harness.serve(&disk.environment()).await;
    let request =
        v1::SyncClusterRequest { cluster_id: harness.cluster_id(&service.clients).await, ..Default::default() };
    let sync = async || service.clients.clusters.clone().sync_cluster(request.clone()).await.unwrap_err();
    harness.sim.inject(FaultKind::RefuseConnections);
    let status = sync().await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "CLUSTER_UNREACHABLE"));
    harness.sim.clear_all();
    disk.fails(DiskFault::Full);
    let status = sync().await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "UNAVAILABLE"));
    assert!(status.message().contains("the store does not answer"), "{status:?}");
    assert_eq!(service.last_words().await.0, OUTCOME_UNKNOWN);
}

/// The record of the agent on a disk that fails: a stop is refused before it begins; when the disk fails later, nothing is
/// signalled, the task says whose record it is, and a retry ends it well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agent_that_cannot_keep_its_record_ends_nothing() {
    let harness = Harness::registered().await;
    let disk = FaultyDisk::below(harness.config.local_agent.state_directory.as_ref().unwrap());
    let service = harness.serve(&disk.environment()).await;
    let request = harness.request(&service.clients).await;
    disk.fails(DiskFault::FailedSync);
    let refused = service.clients.stop_with(request.clone()).await.unwrap();
    let refused = service.clients.at_rest(refused.id).await;
    let (code, message) = task_error(&refused);
    assert_eq!((refused.state(), code.as_str()), (v1::TaskState::Refused, "LEDGER_FAILED"), "{refused:#?}");
    let words = "ledger.json: Input/output error";
    assert!(message.contains(words) && message.contains("look at the disk of its host"), "{message}");
    assert_eq!(harness.sim.recorded(Kind::MarkSet), []);

    disk.is_well();
    let stuck = harness.sim.inject(FaultKind::LeaderSwitchStuck { tenant: None, ls: None });
    let id = service.clients.stop_with(request).await.unwrap().id;
    service.clients.waits_for(id, "leaders still on").await;
    disk.fails(DiskFault::FailedSync);
    harness.sim.clear(stuck);
    let failed = service.clients.at_rest(id).await;
    let (code, message) = task_error(&failed);
    assert_eq!((failed.state(), code.as_str()), (v1::TaskState::Failed, "LEDGER_FAILED"), "{failed:#?}");
    assert!(message.contains(words), "{message}");
    assert_eq!(harness.sim.recorded(Kind::Signal), []);
    assert!(is_alive(harness.before.pid(2)));

    disk.is_well();
    service.clients.retry(id).await;
    let task = service.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    harness.evidence(&service.clients).await.assert_promises();
    harness.before.assert_only_stopped(&harness.sim, 2);
}

/// A disk of the agent that is full for a while costs time, in the first step as in the one that ends the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_of_the_agent_is_waited_for() {
    let harness = Harness::registered().await;
    let disk = FaultyDisk::below(harness.config.local_agent.state_directory.as_ref().unwrap());
    let service = harness.serve(&disk.environment()).await;
    let request = harness.request(&service.clients).await;
    let stuck = harness.sim.inject(FaultKind::LeaderSwitchStuck { tenant: None, ls: None });
    disk.fails(DiskFault::Full);
    let id = service.clients.stop_with(request).await.unwrap().id;
    service.clients.waits_for(id, "No space left on device").await;
    assert_eq!(harness.sim.recorded(Kind::MarkSet), []);
    disk.is_well();
    service.clients.waits_for(id, "leaders still on").await;
    disk.fails(DiskFault::Full);
    harness.sim.clear(stuck);
    service.clients.waits_for(id, "the agent's record cannot be kept").await;
    assert_eq!(harness.sim.recorded(Kind::Signal), []);
    disk.is_well();
    let task = service.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    harness.evidence(&service.clients).await.assert_promises();
    harness.before.assert_only_stopped(&harness.sim, 2);
}

/// Clients that take all the connections they get take none of what a stop needs, however few files the service may open.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_connections_does_not_fail_a_stop() {
    let harness = Harness::registered().await;
    let service =
        tokio::task::block_in_place(|| ServeProcess::start_with_files(&harness.config, harness.directory.path(), 72));
    let request = harness.request(&service.clients).await;
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(tokio::net::TcpStream::connect(&service.address).await.unwrap());
    }
    let task = service.clients.stop_with(request).await.unwrap();
    let task = service.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    harness.before.assert_only_stopped(&harness.sim, 2);
    drop(flood);
}

/// The agent's disk fills up between SIGTERM and SIGKILL: the process is ended all the same, and the task goes on from that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_end_whose_answer_the_agent_could_not_keep_is_still_true() {
    let harness = Harness::registered().await;
    let disk = FaultyDisk::below(harness.config.local_agent.state_directory.as_ref().unwrap());
    let service = harness.serve(&disk.environment()).await;
    harness.sim.inject(Fault::on(FaultKind::IgnoreSigterm, 2));
    let id = service.clients.stop_with(harness.request(&service.clients).await).await.unwrap().id;
    assert!(harness.sim.wait_recorded(PATIENCE, Kind::Signal, "SIGTERM ignored").await);
    disk.fails(DiskFault::Full);
    let task = service.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(disk.failures().iter().any(|failure| failure.contains("ledger.json")), "{:?}", disk.failures());
    harness.evidence(&service.clients).await.assert_promises();
    harness.before.assert_only_stopped(&harness.sim, 2);
}
