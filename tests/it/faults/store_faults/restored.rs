//! A restore of yesterday's store: agents and watchers know more than it does. It acts under no fence that is old, says so
//! where people look, and goes on once they have said what happened.

use std::path::Path;

use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, Kind};
use tonic::Code;

use crate::support::harness::Harness;
use crate::support::program::{end_of, obsteward};
use crate::support::{PATIENCE, reason, task_error};

/// A backup: the files as they are, while nobody writes.
struct Backup(tempfile::TempDir);

const FILES: [&str; 3] = ["obsteward.db", "obsteward.db-wal", "obsteward.db.key"];

impl Backup {
    fn of(directory: &Path) -> Self {
        let backup = tempfile::tempdir().unwrap();
        for name in FILES {
            std::fs::copy(directory.join(name), backup.path().join(name)).unwrap();
        }
        Self(backup)
    }

    /// Puts it where the service keeps its store; what lies beside the file is of the store that it replaces.
    fn restore(&self, directory: &Path) {
        let _ = std::fs::remove_file(directory.join("obsteward.db-shm"));
        for name in FILES {
            std::fs::copy(self.0.path().join(name), directory.join(name)).unwrap();
        }
    }
}

/// People start the server that was stopped.
async fn started_again(harness: &Harness) {
    harness.sim.start_server_process(2).await.unwrap();
    harness.sim.third_party(&format!("ALTER SYSTEM START SERVER '{}'", harness.sim.server(2).unwrap().address()));
    let serves = harness.sim.wait_until(PATIENCE, |cluster| {
        cluster.server(2).is_some_and(|server| server.stop_time == 0 && server.reachable())
    });
    assert!(serves.await);
}

fn acts(harness: &Harness) -> usize {
    let alters = |text: &str| text.to_uppercase().starts_with("ALTER SYSTEM");
    let record = harness.sim.record().into_iter();
    record
        .filter(|line| match line.kind {
            Kind::Statement => alters(&line.text),
            kind => super::acts(kind),
        })
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn yesterdays_store_acts_under_no_old_fence() {
    let mut harness = Harness::registered().await;
    // A server that was just started needs a moment to catch up.
    harness.config.stop.precheck_seconds = 20;
    let before_any_task = Backup::of(harness.directory.path());

    // The task stands before its first statement when the backup is made.
    let held = Fault::from(FaultKind::Slow { delay_ms: 60_000 }).for_statement("SELECT CONNECTION_ID()");
    let held = harness.sim.inject(held);
    let service = harness.serve(&[]).await;
    let request = harness.request(&service.clients).await;
    let first = service.clients.stop_with(request.clone()).await.unwrap().id;
    assert!(harness.sim.wait_recorded(PATIENCE, Kind::Statement, "SELECT CONNECTION_ID()").await);
    let in_the_middle = Backup::of(harness.directory.path());
    service.kill();
    harness.sim.clear(held);

    // What yesterday's store will not know: how the task ended, and another one after it.
    let service = harness.serve(&[]).await;
    assert_eq!(service.clients.at_rest(first).await.state(), v1::TaskState::Successful);
    let last_seen = service.clients.task(first).await;
    started_again(&harness).await;
    let second = service.clients.stop_with(request.clone()).await.unwrap().id;
    let task = service.clients.at_rest(second).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    started_again(&harness).await;
    harness.evidence(&service.clients).await.assert_promises();
    service.kill();
    let forgotten = harness.sim.record().last().unwrap().sequence;
    let done = acts(&harness);

    // Where it can be seen, the service does not even start.
    before_any_task.restore(harness.directory.path());
    let (code, said) = harness.serve_in_vain(&[]).await;
    assert_eq!(code, Some(1));
    for words in ["were acknowledged from it", "a backup was restored", "`obsteward store restored`"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }

    // On another machine it cannot. A new task is refused before anything is sent.
    before_any_task.restore(harness.directory.path());
    std::fs::remove_file(harness.directory.path().join("obsteward.db.lock")).unwrap();
    let service = harness.serve(&[]).await;
    let task = service.clients.stop_with(request.clone()).await.unwrap();
    let task = service.clients.at_rest(task.id).await;
    assert_fenced(&task, v1::TaskState::Refused, &service.said());
    service.kill();

    // One that goes on by itself ends before its statement; watchers are told that they are ahead.
    in_the_middle.restore(harness.directory.path());
    std::fs::remove_file(harness.directory.path().join("obsteward.db.lock")).unwrap();
    let service = harness.serve(&[]).await;
    let task = service.clients.at_rest(first).await;
    assert_fenced(&task, v1::TaskState::Refused, &service.said());
    assert_eq!(acts(&harness), done, "the restored service did something");
    let (events, ended) = service.clients.events_until(first, last_seen.revision, |_| false).await;
    let ahead = ended.unwrap_err();
    assert_eq!((events.len(), ahead.code(), reason(&ahead).as_str()), (0, Code::OutOfRange, "REVISION_AHEAD"));
    let all = v1::WatchTasksRequest { after_seq: Some(last_seen.seq), ..Default::default() };
    let ahead = match service.clients.tasks.clone().watch_tasks(all).await {
        Err(status) => status,
        Ok(stream) => stream.into_inner().message().await.unwrap_err(),
    };
    assert_eq!((ahead.code(), reason(&ahead).as_str()), (Code::OutOfRange, "SEQ_AHEAD"));

    // What the operator was told to do; not under a service that runs.
    let store = format!("store restored --output json --store {}", harness.config.store.path.display());
    let refused = end_of(obsteward(&store)).await.with(1);
    assert!(refused.err.contains("in use by another obsteward"), "{}", refused.err);
    service.kill();
    let renamed = end_of(obsteward(&store)).await.with(0).json();
    assert_ne!(renamed["store_id"], renamed["former_store_id"]);
    let service = harness.serve(&[]).await;
    let task = service.clients.stop_with(request.clone()).await.unwrap();
    let task = service.clients.at_rest(task.id).await;
    let (code, message) = task_error(&task);
    let trust = format!("agent trust {}", renamed["store_id"].as_str().unwrap());
    assert_eq!((task.state(), code.as_str()), (v1::TaskState::Refused, "STORE_NOT_TRUSTED"), "{task:#?}");
    assert!(message.contains(&format!("obsteward {trust}")), "{message}");
    assert_eq!(acts(&harness), done);
    let agent = harness.config.local_agent.state_directory.as_ref().unwrap().display();
    end_of(obsteward(&format!("{trust} --state-directory {agent}"))).await.with(0);

    let task = service.clients.stop_with(request).await.unwrap();
    let task = service.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(task.id > second + 1_000_000, "the id {} may have been given before", task.id);
    let mut evidence = harness.evidence(&service.clients).await;
    evidence.forgotten_before = forgotten;
    evidence.assert_promises();
}

#[track_caller]
fn assert_fenced(task: &v1::Task, state: v1::TaskState, log: &str) {
    let (code, message) = task_error(task);
    assert_eq!((task.state(), code.as_str()), (state, "FENCED"), "{task:#?}");
    for words in ["restored from a backup", "no other service runs", "`obsteward store restored`"] {
        assert!(message.contains(words), "{words:?} is not in {message}");
        assert!(log.contains(words), "{words:?} is not in the log: {log}");
    }
}
