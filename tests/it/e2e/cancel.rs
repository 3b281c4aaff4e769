//! Cancelling a stop: it comes to rest with what it did, goes on when it is retried, and a crash on the way changes nothing
//! of that.

use std::time::Duration;

use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, Kind};
use tonic::{Code, Status};

use crate::support::program::{Program, lasting_address};
use crate::support::refusal::{error_info, status_info};
use crate::support::{Before, ServeProcess, Stage, assert_unbroken, quick, task_error};

const STUCK: FaultKind = FaultKind::LeaderSwitchStuck { tenant: None, ls: None };
const STOP: &str = "ALTER SYSTEM STOP SERVER";

async fn cancel(stage: &Stage, task_id: i64, if_revision: Option<i64>) -> Result<v1::Task, Status> {
    let request = v1::CancelTaskRequest { task_id, if_revision, ..Default::default() };
    Ok(stage.clients.tasks.clone().cancel_task(request).await?.into_inner().task.unwrap())
}

fn stop_server(task: &v1::Task) -> &v1::Subtask {
    task.subtasks.iter().find(|subtask| subtask.name == "Stop server").unwrap()
}

/// A stop whose leaders do not leave, cancelled while it waits for them: it rests, the mark stays, the cluster is held; the
/// retry goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_leaders_is_cancelled_and_taken_up_again() {
    let stage = Stage::new().await;
    let before = Before::of(&stage.sim);
    let stuck = stage.sim.inject(Fault::on(STUCK, 2));
    let id = stage.clients.stop_with(stage.request(2).await).await.unwrap().id;
    stage.clients.waits_for(id, "leaders still on zone2").await;
    assert_eq!(stage.clients.task(id).await.allowed_verbs().collect::<Vec<_>>(), [v1::TaskVerb::Cancel]);
    let moved = cancel(&stage, id, Some(1)).await.unwrap_err();
    assert_eq!((moved.code(), status_info(&moved).0.as_str()), (Code::Aborted, "TASK_MOVED"));

    cancel(&stage, id, None).await.unwrap();
    let task = stage.clients.at_rest(id).await;
    assert_eq!((task.state(), task.operation()), (v1::TaskState::Cancelled, v1::TaskOperation::Cancel), "{task:#?}");
    let (reason, metadata) = error_info(&task);
    assert_eq!((reason.as_str(), &metadata["principal"]), ("CANCELLED", &task.creator));
    assert!(metadata["waited_for"].contains("leaders still on zone2"), "{metadata:?}");
    let step = stop_server(&task);
    assert_eq!((step.state(), step.operation()), (v1::SubtaskState::Failed, v1::SubtaskOperation::Cancel));
    assert_eq!(step.effect(), v1::Effect::Done);
    use v1::TaskVerb::{GiveUp, Retry, Rollback, SkipSubtask};
    assert_eq!(task.allowed_verbs().collect::<Vec<_>>(), [Retry, Rollback, SkipSubtask, GiveUp]);
    assert!(stage.sim.look(|cluster| cluster.server(2).unwrap().stop_time != 0) && !stage.is_free().await);
    assert_eq!(stage.sim.recorded(Kind::Signal), []);
    let mut admin = stage.clients.admin.clone();
    let records = admin.list_audit_records(v1::ListAuditRecordsRequest::default()).await;
    let records = records.unwrap().into_inner().records;
    let asked: Vec<_> = records.iter().filter(|record| record.operation == "CANCEL_TASK").collect();
    assert_eq!(asked.iter().map(|record| record.task_id).collect::<Vec<_>>(), [Some(id), Some(id)], "{records:#?}");

    stage.sim.clear(stuck);
    stage.retry(id).await.unwrap();
    let task = stage.closed(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    before.assert_only_stopped(&stage.sim, 2);
    assert_eq!(stage.statements_that_act().len(), 1, "the retry looks, and finds the mark");
    assert_unbroken(&stage.clients.events(id).await);

    // Nothing runs any more.
    let refused = cancel(&stage, id, None).await.unwrap_err();
    let (reason, metadata) = status_info(&refused);
    assert_eq!((refused.code(), reason.as_str()), (Code::FailedPrecondition, "VERB_NOT_ALLOWED"));
    assert_eq!((metadata["verb"].as_str(), metadata["allowed_states"].as_str()), ("CANCEL", "PENDING, RUNNING"));
}

/// Between the signal and the look behind it nothing ends: the process is gone, the step succeeded, and nothing behind it
/// is begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_signalled_is_looked_at() {
    let stage = Stage::new().await;
    let before = Before::of(&stage.sim);
    stage.sim.inject(Fault::on(FaultKind::IgnoreSigterm, 2));
    let id = stage.clients.stop_with(stage.request(2).await).await.unwrap().id;
    assert!(stage.sim.wait_recorded(Duration::from_secs(40), Kind::Signal, "SIGTERM ignored").await);
    cancel(&stage, id, None).await.unwrap();
    let task = stage.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Cancelled, "{task:#?}");
    let ended = task.subtasks.iter().find(|subtask| subtask.name == "Stop observer process").unwrap();
    assert_eq!((ended.state(), ended.operation()), (v1::SubtaskState::Successful, v1::SubtaskOperation::Cancel));
    before.assert_only_stopped(&stage.sim, 2);
    stage.retry(id).await.unwrap();
    assert_eq!(stage.closed(id).await.state(), v1::TaskState::Successful);
    before.assert_only_stopped(&stage.sim, 2);
}

/// `kill -9` while a cancelled step waits for what it sent: the next process goes on to the end of the cancellation, and not
/// before a lost statement is found or can no longer take effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_while_canceling_goes_on_to_its_end() {
    for (lost, state) in [
        (FaultKind::CutBeforeMark, v1::TaskState::Refused),
        (FaultKind::LateMark { delay_ms: 4000 }, v1::TaskState::Cancelled),
    ] {
        // A statement may take three seconds: its horizon is 5.5 s away.
        let mut stage = Stage::with(quick(), |config| config.stop.effect_timeout_seconds = 3).await;
        let before = Before::of(&stage.sim);
        stage.end_service().await;
        let service = serve(&stage);
        stage.clients = service.clients.clone();
        stage.sim.inject(Fault::on(STUCK, 2));
        stage.sim.inject(Fault::from(lost.clone()).times(1).for_statement(STOP));
        let (number, text) = (4660, "cannot stop server or stop zone in multiple zones".to_owned());
        let refused = Fault::from(FaultKind::Refused { number, text }).times(9).for_statement(STOP);
        stage.sim.inject(refused.after(Kind::ConnectionCut, STOP, 1));
        let id = stage.clients.stop_with(stage.request(2).await).await.unwrap().id;
        stage.clients.waits_for(id, "can no longer take effect").await;
        let task = cancel(&stage, id, None).await.unwrap();
        assert_eq!(task.state(), v1::TaskState::Canceling, "{task:#?}");
        stage.clients.waits_for(id, "cancelled, waits until").await;
        service.kill();

        let service = serve(&stage);
        stage.clients = service.clients.clone();
        let task = stage.clients.at_rest(id).await;
        assert_eq!(task.state(), state, "{lost:?} {task:#?}");
        assert_eq!((task_error(&task).0.as_str(), stop_server(&task).state()), ("CANCELLED", v1::SubtaskState::Failed));
        let events = stage.clients.events(id).await;
        assert_unbroken(&events);
        let marked = stage.sim.look(|cluster| cluster.server(2).unwrap().stop_time != 0);
        assert_eq!((marked, stage.is_free().await), (state == v1::TaskState::Cancelled, !marked));
        if !marked {
            let horizon = events.iter().find_map(|event| match &event.kind {
                Some(v1::task_event::Kind::IntentRecorded(intent)) => intent.horizon,
                _ => None,
            });
            let (horizon, end) = (horizon.unwrap(), task.finish_time.unwrap());
            assert!((end.seconds, end.nanos) >= (horizon.seconds, horizon.nanos), "{end:?} is before {horizon:?}");
        }
        before.assert_others_live(&stage.sim, 0);
        assert_eq!(stage.sim.recorded(Kind::Signal), []);
    }
}

fn serve(stage: &Stage) -> ServeProcess {
    tokio::task::block_in_place(|| ServeProcess::start(&stage.config, stage.directory.path(), &[]))
}

/// From the command line, which says how to go on.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_cancels_and_says_what_next() {
    let address = lasting_address();
    let stage = Stage::with(quick(), |config| config.server.listen = address).await;
    let obsteward = Program::of(address);
    stage.sim.inject(Fault::on(STUCK, 2));
    let id = stage.clients.stop_with(stage.request(2).await).await.unwrap().id;
    stage.clients.waits_for(id, "leaders still on zone2").await;
    let shown = obsteward.run(&format!("tasks show {id}")).await.with(0);
    assert!(shown.out.contains(&format!("obsteward tasks cancel {id}")), "{shown:?}");
    assert!(obsteward.run(&format!("tasks cancel {id} --if-revision 1")).await.with(3).err.contains("TASK_MOVED"));
    let told = obsteward.run(&format!("tasks cancel {id}")).await.with(0);
    assert!(told.out.starts_with(&format!("task {id} ")), "{told:?}");
    let watched = obsteward.run(&format!("watch {id}")).await.with(1);
    assert!(watched.out.contains("CANCELLED") && watched.out.contains("cancelled by anonymous"), "{watched:?}");
    assert!(watched.err.contains(&format!("obsteward tasks retry {id}")), "{watched:?}");
    assert!(obsteward.run(&format!("tasks cancel {id}")).await.with(3).err.contains("VERB_NOT_ALLOWED"));
}
