//! The service ends at any moment, by `kill -9`, at each of its commits or in order: the task goes on from where it was,
//! nothing else is touched, and a watcher that comes back misses nothing.

use std::time::Duration;

use obsteward::clock::monotonic_now;
use obsteward::proto::v1;
use obsteward::proto::v1::watch_task_response::Kind as Message;
use obsteward::sim::{Fault, FaultKind, Kind, SimOptions};
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::harness::Harness;
use crate::support::{
    Before, PATIENCE, ServeProcess, Stage, all, assert_unbroken, begins, graphs, is_alive, quick, reason, task_error,
};

/// `kill -9` when a watcher sees a subtask run, for each of the eight.
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn kill_9_in_every_subtask() {
    all(graphs::STOP.to_vec(), |name| async move {
        let harness = Harness::registered().await;
        // Long enough to be caught in the act.
        harness.sim.inject(Fault::from(FaultKind::Slow { delay_ms: 5 }).for_statement("SELECT"));
        harness.sim.inject(Fault::on(FaultKind::ExitSlowly { delay_ms: 200 }, 2));
        let service = harness.serve(&[]).await;
        let request = harness.request(&service.clients).await;
        let task = service.clients.stop_with(request).await.unwrap();
        let (mut events, _) = service.clients.events_until(task.id, 0, |event| begins(event, name)).await;
        service.kill();
        let service = harness.serve(&[]).await;
        let last = events.last().unwrap().revision;
        let (rest, ended) = service.clients.events_until(task.id, last, |_| false).await;
        ended.unwrap();
        events.extend(rest);
        assert_unbroken(&events);
        let task = service.clients.task(task.id).await;
        assert_eq!(task.state(), v1::TaskState::Successful, "killed in {name:?}: {task:#?}");
        assert!(task.subtasks.iter().all(|subtask| subtask.run_time == 1), "{task:#?}");
        harness.before.assert_only_stopped(&harness.sim, 2);
    })
    .await;
}

/// The same for a zone, whose servers have branches side by side: the next process takes over what every branch was at.
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn kill_9_in_the_subtasks_of_a_zone() {
    let names = ["Stop zone", "Stop observer process", "Start observer process", "Wait observer active", "Start zone"];
    all(names, |name| async move {
        let options = SimOptions { servers_per_zone: 2, ..quick() };
        let harness = Harness::registered_with(options).await;
        harness.sim.inject(Fault::from(FaultKind::Slow { delay_ms: 5 }).for_statement("SELECT"));
        let service = harness.serve(&[]).await;
        let v1::StopServerRequest { cluster_id, .. } = harness.request(&service.clients).await;
        let request = v1::RestartZoneRequest { cluster_id, zone: "zone2".to_owned(), ..Default::default() };
        let task = service.clients.zones.clone().restart_zone(request).await.unwrap().into_inner().task.unwrap();
        let (mut events, _) = service.clients.events_until(task.id, 0, |event| begins(event, name)).await;
        service.kill();
        let service = harness.serve(&[]).await;
        let last = events.last().unwrap().revision;
        let (rest, ended) = service.clients.events_until(task.id, last, |_| false).await;
        ended.unwrap();
        events.extend(rest);
        assert_unbroken(&events);
        let task = service.clients.task(task.id).await;
        assert_eq!(task.state(), v1::TaskState::Successful, "killed in {name:?}: {task:#?}");
        for (server, ends) in [(2, 1), (5, 1), (1, 0), (3, 0)] {
            let ended = harness.sim.recorded(Kind::ProcessEnded);
            assert_eq!(ended.iter().filter(|line| line.server == Some(server)).count(), ends, "{name:?} {server}");
            assert!(harness.sim.server(server).unwrap().pid.is_some_and(is_alive), "{name:?} {server}");
        }
        assert!(harness.sim.look(|cluster| cluster.zone("zone2").unwrap().active), "{name:?}");
    })
    .await;
}

/// `kill -9` between SIGTERM and SIGKILL to an observer that ignores the first: the next process finds it still there, and
/// ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kill_9_between_sigterm_and_sigkill() {
    let harness = Harness::registered().await;
    harness.sim.inject(Fault::on(FaultKind::IgnoreSigterm, 2));
    let service = harness.serve(&[]).await;
    let request = harness.request(&service.clients).await;
    let id = service.clients.stop_with(request).await.unwrap().id;
    assert!(harness.sim.wait_recorded(PATIENCE, Kind::Signal, "SIGTERM ignored").await);
    service.kill();
    assert!(is_alive(harness.before.pid(2)));
    let service = harness.serve(&[]).await;
    let task = service.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    harness.before.assert_only_stopped(&harness.sim, 2);
}

/// The process ends before or after the Nth commit, for every N of a good run.
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_crash_around_every_commit() {
    let harness = Harness::registered().await;
    let service = harness.serve(&[]).await;
    let request = harness.request(&service.clients).await;
    let task = service.clients.stop_with(request).await.unwrap();
    let events = service.clients.events(task.id).await;
    // The events of one commit have one moment.
    let mut moments: Vec<_> = events.iter().map(|event| event.event_time.unwrap()).collect();
    moments.dedup();
    let commits = moments.len();
    assert!(commits >= 10, "{commits}");
    drop((service, harness));
    let points = (1..=commits).flat_map(|n| [("OBSTEWARD_CRASH_AT_SUBMIT", n), ("OBSTEWARD_CRASH_AT_SUBMIT_AFTER", n)]);
    all(points.collect::<Vec<_>>(), |(hook, n)| async move {
        let harness = Harness::registered().await;
        let mut service = harness.serve(&[(hook, &n.to_string())]).await;
        let request = harness.request(&service.clients).await;
        let _ = service.clients.stop_with(request).await;
        let status = service.ended().await.unwrap_or_else(|| panic!("{hook}={n} did not end the service"));
        assert!(!status.success());
        drop(service);
        let service = harness.serve(&[]).await;
        let tasks = service.clients.list().await;
        if hook == "OBSTEWARD_CRASH_AT_SUBMIT" && n == 1 {
            assert_eq!(tasks, [], "a task that was never committed");
            return;
        }
        assert_eq!(tasks.len(), 1);
        let events = service.clients.events(tasks[0].id).await;
        assert_unbroken(&events);
        let task = service.clients.task(tasks[0].id).await;
        assert_eq!(task.state(), v1::TaskState::Successful, "{hook}={n}: {task:#?}");
        harness.before.assert_only_stopped(&harness.sim, 2);
    })
    .await;
}

/// A process that dies between an intent and its effect, three times: the task rests, and a retry ends it well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_loop_rests() {
    let harness = Harness::registered().await;
    let hook = [("OBSTEWARD_CRASH_AT_PERMIT", "1")];
    let mut service = harness.serve(&hook).await;
    let request = harness.request(&service.clients).await;
    let id = service.clients.stop_with(request).await.unwrap().id;
    for adoption in 1..=2 {
        assert!(!service.ended().await.unwrap().success());
        drop(service);
        service = harness.serve(&hook).await;
        assert!(service.pid() > 0, "adoption {adoption}");
    }
    assert!(!service.ended().await.unwrap().success());
    drop(service);
    let service = harness.serve(&[]).await;
    let task = service.clients.at_rest(id).await;
    assert_eq!((task.state(), task_error(&task).0.as_str()), (v1::TaskState::Failed, "CRASH_LOOP"), "{task:#?}");
    assert_eq!(harness.sim.recorded(Kind::MarkSet), [], "no statement was ever sent");
    drop(service);
    // The retry is committed and its answer lost: the next process finds it and goes on.
    let mut service = harness.serve(&[("OBSTEWARD_CRASH_AT_SUBMIT_AFTER", "1")]).await;
    let retry = v1::RetryTaskRequest { task_id: id, ..Default::default() };
    let lost = service.clients.tasks.clone().retry_task(retry).await.unwrap_err();
    assert!(matches!(lost.code(), Code::Unavailable | Code::Unknown | Code::Cancelled), "{lost:?}");
    assert!(!service.ended().await.unwrap().success());
    drop(service);
    let service = harness.serve(&[]).await;
    let (events, _) = service.clients.events_until(id, task.revision, |_| false).await;
    assert_eq!(events[0].revision, task.revision + 1);
    let task = service.clients.task(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_unbroken(&service.clients.events(id).await);
    harness.before.assert_only_stopped(&harness.sim, 2);
}

/// A process that dies between the intent of a freeze and its statement, or between the freeze and the end: the next one finds
/// out how far it came, freezes once and ends the process once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_around_a_freeze() {
    // Permits: STOP SERVER, MINOR FREEZE, the end.
    all(["2", "3"], |permit| async move {
        let harness = Harness::registered().await;
        let mut service = harness.serve(&[("OBSTEWARD_CRASH_AT_PERMIT", permit)]).await;
        let request = harness.request(&service.clients).await;
        let request = v1::StopServerRequest { freeze_before_stop: true, ..request };
        let id = service.clients.stop_with(request).await.unwrap().id;
        assert!(!service.ended().await.unwrap().success());
        drop(service);
        assert_eq!(harness.sim.recorded(Kind::MinorFreeze).len(), usize::from(permit == "3"));
        assert!(is_alive(harness.before.pid(2)));
        let service = harness.serve(&[]).await;
        let task = service.clients.at_rest(id).await;
        assert_eq!(task.state(), v1::TaskState::Successful, "crashed at permit {permit}: {task:#?}");
        for kind in [Kind::MarkSet, Kind::MinorFreeze, Kind::ProcessEnded] {
            assert_eq!(harness.sim.recorded(kind).len(), 1, "{kind:?}, crashed at permit {permit}");
        }
        harness.before.assert_others_live(&harness.sim, 2);
    })
    .await;
}

/// A task that lay still too long never ends the process by itself: neither when it was waiting at the gate, nor when the
/// mark was still being set, nor after its consent has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gap_ends_the_consent() {
    let eleven_minutes = Duration::from_secs(11 * 60);
    let expires = Duration::from_secs(300);
    let lagging = Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 3);
    let at_gate = lagging.after(Kind::Answered, "ALTER SYSTEM STOP SERVER", 1);
    let stuck = Fault::from(FaultKind::LeaderSwitchStuck { tenant: None, ls: None });
    let cases = [
        ("the gate is closed", at_gate.clone(), eleven_minutes, None),
        ("leaders still on", stuck, eleven_minutes, None),
        ("the gate is closed", at_gate, Duration::from_secs(400), Some(expires)),
    ];
    all(cases, |(waits_for, fault, gap, expires)| async move {
        let mut stage = Stage::with(quick(), |config| config.stop.gate_seconds = 60).await;
        let before = Before::of(&stage.sim);
        stage.sim.inject(fault);
        let mut request = stage.request(2).await;
        request.expire_time = expires.map(|expires| {
            let micros = stage.clock.now().plus(expires).as_micros();
            prost_types::Timestamp { seconds: micros / 1_000_000, nanos: 0 }
        });
        let id = stage.clients.stop_with(request).await.unwrap().id;
        stage.clients.waits_for(id, waits_for).await;
        stage.end_service().await;
        stage.clock.advance(gap);
        stage.sim.clear_all();
        stage.restart().await;
        let task = stage.clients.at_rest(id).await;
        assert_eq!((task.state(), task_error(&task).0.as_str()), (v1::TaskState::Failed, "EXPIRED"), "{task:#?}");
        assert_eq!(stage.sim.recorded(Kind::ProcessEnded), []);
        assert_eq!(stage.info(2).pid, Some(before.pid(2)));
        stage.clients.retry(id).await;
        let task = stage.clients.at_rest(id).await;
        assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
        assert_unbroken(&stage.clients.events(id).await);
        before.assert_only_stopped(&stage.sim, 2);
    })
    .await;
}

/// The session of an earlier owner lives on when nobody notices that its client is gone: it is killed before anything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_take_over_kills_the_session_that_was_left() {
    let harness = Harness::registered().await;
    harness.sim.inject(FaultKind::ClientLossUnnoticed);
    let stuck = harness.sim.inject(FaultKind::LeaderSwitchStuck { tenant: None, ls: None });
    let service = harness.serve(&[]).await;
    let request = harness.request(&service.clients).await;
    let id = service.clients.stop_with(request).await.unwrap().id;
    assert!(harness.sim.wait_recorded(PATIENCE, Kind::MarkSet, "").await);
    let session = harness.sim.recorded(Kind::MarkSet)[0].session;
    service.kill();
    let service = harness.serve(&[]).await;
    assert!(harness.sim.wait_recorded(PATIENCE, Kind::SessionKilled, "connection by session").await);
    let killed: Vec<_> =
        harness.sim.recorded(Kind::SessionKilled).into_iter().map(|recorded| recorded.session).collect();
    assert_eq!(killed, [session]);
    harness.sim.clear(stuck);
    let task = service.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    harness.before.assert_only_stopped(&harness.sim, 2);
}

/// A second service on the same store would be a second operator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_service_on_the_store_is_refused() {
    let harness = Harness::new(SimOptions { zones: 1, ..quick() }).await;
    let first = harness.serve(&[]).await;
    let mut second = harness.config.clone();
    second.local_agent.state_directory = Some(harness.directory.path().join("another-agent"));
    let other = tempfile::tempdir().unwrap();
    let started = ServeProcess::try_start(&second, other.path(), &[]);
    let (status, said) = started.err().expect("two services on one store");
    assert!(!status.success());
    assert!(said.contains(&harness.config.store.path.display().to_string()), "{said}");
    assert_eq!(first.clients.list().await, []);
}

/// SIGTERM in the middle of a task: the service ends within seconds and tells its watchers, and the next one goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sigterm_in_the_middle_of_a_task() {
    let harness = Harness::registered().await;
    let stuck = harness.sim.inject(FaultKind::LeaderSwitchStuck { tenant: None, ls: None });
    let mut service = harness.serve(&[]).await;
    let request = harness.request(&service.clients).await;
    let id = service.clients.stop_with(request).await.unwrap().id;
    assert!(harness.sim.wait_recorded(PATIENCE, Kind::MarkSet, "").await);
    let request = v1::WatchTaskRequest { task_id: id, after_revision: Some(0), ..Default::default() };
    let mut stream = service.clients.tasks.clone().watch_task(request).await.unwrap().into_inner();
    let mut last = stream.message().await.unwrap();
    service.terminate();
    let began = monotonic_now();
    let mut seen = 0;
    let status = loop {
        if let Some(Message::Event(event)) = last.as_ref().and_then(|message| message.kind.as_ref()) {
            seen = event.revision;
        }
        match stream.message().await {
            Ok(Some(message)) => last = Some(message),
            Ok(None) => panic!("the watch ended as if the task had"),
            Err(status) => break status,
        }
    };
    let Some(Message::Bookmark(bookmark)) = last.unwrap().kind else { panic!("no bookmark before the end") };
    assert_eq!((status.code(), reason(&status).is_empty()), (Code::Unavailable, false), "{status:?}");
    assert!(status.get_error_details().retry_info().is_some_and(|retry| retry.retry_delay.is_some()), "{status:?}");
    assert!(service.ended().await.unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(6), "took {:?}", began.elapsed());
    assert!(bookmark.revision >= seen);
    drop(service);
    harness.sim.clear(stuck);
    let service = harness.serve(&[]).await;
    let (rest, ended) = service.clients.events_until(id, bookmark.revision, |_| false).await;
    ended.unwrap();
    assert_eq!(rest[0].revision, bookmark.revision + 1);
    let task = service.clients.task(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    harness.before.assert_only_stopped(&harness.sim, 2);
}
