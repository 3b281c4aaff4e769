//! Tests of the view, and the tasks and events that the other tests of the command line use.

use super::*;

/// A task of three subtasks whose order is 30, 10, 20.
pub(crate) fn task() -> v1::Task {
    let subtask = |id, name: &str, upstreams: &[i64], downstreams: &[i64]| v1::Subtask {
        id,
        name: name.to_owned(),
        state: v1::SubtaskState::Pending as i32,
        upstreams: upstreams.to_vec(),
        downstreams: downstreams.to_vec(),
        ..Default::default()
    };
    v1::Task {
        id: 12345,
        name: "Stop OB server".to_owned(),
        state: v1::TaskState::Running as i32,
        target: Some(v1::task::Target::Server(v1::TaskServer {
            id: 2,
            address: "10.0.0.2:2882".to_owned(),
            zone: "zone2".to_owned(),
        })),
        cluster: Some(v1::TaskCluster { id: 1, name: "ob".to_owned(), ob_cluster_id: 1 }),
        creator: "alice".to_owned(),
        create_time: at(0),
        revision: 1,
        seq: 100,
        subtasks: vec![
            subtask(10, "Stop server", &[30], &[20]),
            subtask(20, "Wait observer stop", &[10], &[]),
            subtask(30, "Prepare stop observer", &[], &[10]),
        ],
        ..Default::default()
    }
}

/// 2026-01-02T03:04:05.678Z and so many seconds.
pub(crate) fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: 1_767_323_045 + seconds, nanos: 678_000_000 })
}

pub(crate) fn event(revision: i64, kind: Kind) -> v1::TaskEvent {
    v1::TaskEvent { seq: 100 + revision, task_id: 12345, revision, event_time: at(revision), kind: Some(kind) }
}

pub(crate) fn subtask_moves(revision: i64, id: i64, from: v1::SubtaskState, to: v1::SubtaskState) -> v1::TaskEvent {
    let effect = if to == v1::SubtaskState::Successful { v1::Effect::Done } else { v1::Effect::Unspecified };
    let name = task().subtasks.iter().find(|subtask| subtask.id == id).unwrap().name.clone();
    event(
        revision,
        Kind::SubtaskTransition(v1::SubtaskTransition {
            subtask_id: id,
            name,
            from: from as i32,
            to: to as i32,
            operation: v1::SubtaskOperation::Execute as i32,
            run_time: 1,
            effect: effect as i32,
            executor: "host-1".to_owned(),
            error: None,
        }),
    )
}

/// As [`subtask_moves`], under an operation of a rollback.
pub(crate) fn undo_moves(
    revision: i64,
    id: i64,
    from: v1::SubtaskState,
    to: v1::SubtaskState,
    operation: v1::SubtaskOperation,
) -> v1::TaskEvent {
    let mut event = subtask_moves(revision, id, from, to);
    if let Some(Kind::SubtaskTransition(transition)) = &mut event.kind {
        transition.set_operation(operation);
        transition.set_effect(v1::Effect::None);
    }
    event
}

pub(crate) fn task_moves(revision: i64, to: v1::TaskState) -> v1::TaskEvent {
    let error = (phase(to) == Phase::AtRest).then(|| tonic_types::pb::Status {
        code: tonic::Code::DeadlineExceeded as i32,
        message: "3 leaders are left".to_owned(),
        details: Vec::new(),
    });
    event(
        revision,
        Kind::TaskTransition(v1::TaskTransition {
            from: v1::TaskState::Running as i32,
            to: to as i32,
            operation: v1::TaskOperation::Execute as i32,
            error,
        }),
    )
}

fn progress(subtask_id: i64) -> v1::SubtaskProgress {
    v1::SubtaskProgress { task_id: 12345, subtask_id, message: "17 of 40".to_owned(), ..Default::default() }
}

/// A wait in which nothing has moved for 45 s.
pub fn stuck() -> v1::SubtaskProgress {
    let server_address = "10.0.0.2:2882".to_owned();
    let held = v1::ProgressBlocker {
        tenant_id: Some(1002),
        tenant_name: "app".to_owned(),
        log_stream_id: Some(1001),
        server_address: server_address.clone(),
        reason: "has no other replica in sync".to_owned(),
    };
    let lives = v1::ProgressBlocker { server_address, reason: "is ACTIVE".to_owned(), ..Default::default() };
    v1::SubtaskProgress {
        message: "17 of 40 leaders still on zone2".to_owned(),
        done: Some(23),
        total: Some(40),
        update_time: at(64),
        stalled_since: at(19),
        deadline: at(304),
        blockers: vec![held, lives],
        blocker_count: 17,
        ..progress(10)
    }
}

#[test]
fn order_follows_the_edges_not_the_ids() {
    assert_eq!(execution_order(&task().subtasks), [30, 10, 20]);
}

#[test]
fn order_needs_only_one_end_of_an_edge_and_survives_a_cycle() {
    let mut subtasks = task().subtasks;
    for subtask in &mut subtasks {
        subtask.upstreams.clear();
    }
    assert_eq!(execution_order(&subtasks), [30, 10, 20]);
    subtasks[1].downstreams = vec![10];
    assert_eq!(execution_order(&subtasks), [30, 10, 20]);
}

#[test]
fn every_event_is_applied_once_and_in_order() {
    let mut view = TaskView::new(task());
    let begin = subtask_moves(2, 30, v1::SubtaskState::Ready, v1::SubtaskState::Running);
    assert_eq!(view.apply(&begin), ApplyOutcome::Applied);
    assert_eq!(view.apply(&begin), ApplyOutcome::Old);
    assert_eq!(view.apply(&task_moves(4, v1::TaskState::Failed)), ApplyOutcome::Gap);
    assert_eq!(view.task().revision, 2);
    assert_eq!(view.task().state(), v1::TaskState::Running);
    assert_eq!(view.subtask(30).unwrap().start_time, at(2));
    assert_eq!(view.task().start_time, at(2));
}

#[test]
fn an_event_of_an_unknown_kind_advances() {
    let mut view = TaskView::new(task());
    let unknown = v1::TaskEvent { revision: 2, seq: 7, task_id: 12345, ..Default::default() };
    assert_eq!(view.apply(&unknown), ApplyOutcome::Applied);
    assert_eq!((view.task().revision, view.task().seq), (2, 7));
}

#[test]
fn a_view_of_nothing_starts_with_the_first_event() {
    let mut view = TaskView::default();
    let mut created = task();
    created.revision = 0;
    assert_eq!(view.apply(&event(1, Kind::Created(v1::TaskCreated { task: Some(created) }))), ApplyOutcome::Applied);
    assert_eq!(view.task().revision, 1);
    assert_eq!(view.subtasks().map(|subtask| subtask.id).collect::<Vec<_>>(), [30, 10, 20]);
}

#[test]
fn progress_lives_as_long_as_its_execution() {
    let mut view = TaskView::new(task());
    view.progress(progress(30));
    assert!(view.subtask(30).unwrap().progress.is_none(), "pending");
    view.apply(&subtask_moves(2, 30, v1::SubtaskState::Ready, v1::SubtaskState::Running));
    view.progress(progress(30));
    assert!(view.subtask(30).unwrap().progress.is_some());
    view.apply(&subtask_moves(3, 30, v1::SubtaskState::Running, v1::SubtaskState::Successful));
    assert!(view.subtask(30).unwrap().progress.is_none());
    view.progress(progress(30));
    assert!(view.subtask(30).unwrap().progress.is_none(), "over");
}

#[test]
fn what_was_undone_is_kept_until_the_subtask_is_done_again() {
    let mut view = TaskView::new(task());
    let (ready, running) = (v1::SubtaskState::Ready, v1::SubtaskState::Running);
    let tried = |view: &mut TaskView, revision, outcome: v1::IntentOutcome| {
        let description = format!("intent {revision}");
        let intent = v1::IntentRecorded { subtask_id: 10, intent: 1, description, ..Default::default() };
        view.apply(&event(revision, Kind::IntentRecorded(intent)));
        let outcome = outcome as i32;
        let settled = v1::IntentSettled { subtask_id: 10, intent: 1, outcome, ..Default::default() };
        view.apply(&event(revision + 1, Kind::IntentSettled(settled)));
    };
    view.apply(&subtask_moves(2, 10, ready, running));
    tried(&mut view, 3, v1::IntentOutcome::Done);
    assert_eq!(view.undone(10), None, "that was doing");
    view.apply(&undo_moves(5, 10, ready, running, v1::SubtaskOperation::Rollback));
    tried(&mut view, 6, v1::IntentOutcome::Refused);
    assert_eq!(view.undone(10), Some(&[][..]));
    tried(&mut view, 8, v1::IntentOutcome::Done);
    view.apply(&undo_moves(10, 10, running, v1::SubtaskState::Pending, v1::SubtaskOperation::Rollback));
    assert_eq!(view.undone(10), Some(&["intent 8".to_owned()][..]));
    assert_eq!(view.subtask(10).unwrap().finish_time, at(10));
    view.apply(&subtask_moves(11, 10, ready, running));
    assert_eq!(view.undone(10), None);
}

#[test]
fn rest_and_close_keep_their_moments() {
    let mut view = TaskView::new(task());
    view.apply(&task_moves(2, v1::TaskState::Failed));
    assert_eq!((view.task().resting_since, view.task().finish_time), (at(2), None));
    assert!(view.task().error.is_some());
    view.apply(&task_moves(3, v1::TaskState::Running));
    assert_eq!((view.task().resting_since, view.task().finish_time), (None, None));
    assert!(view.task().error.is_none());
    view.apply(&task_moves(4, v1::TaskState::Successful));
    assert_eq!((view.task().resting_since, view.task().finish_time), (None, at(4)));
}

#[test]
fn context_overrides_and_warnings_are_kept() {
    let mut view = TaskView::new(task());
    let context = std::collections::BTreeMap::from([("zone_name".to_owned(), "zone2".to_owned())]);
    view.apply(&event(2, Kind::ContextRecorded(v1::ContextRecorded { subtask_id: 30, context })));
    let item = v1::Override { check: "LOG_IN_SYNC".to_owned(), ..Default::default() };
    view.apply(&event(3, Kind::Override(item)));
    let (code, text) = ("PROCESS_STATE_UNKNOWN".to_owned(), "host silent".to_owned());
    view.apply(&event(4, Kind::Warning(v1::TaskWarning { subtask_id: 20, code, text })));
    assert_eq!(view.task().context["zone_name"], "zone2");
    assert_eq!(view.task().overrides.len(), 1);
    let warned = &view.task().warnings[0];
    assert_eq!((warned.subtask_id, warned.text.as_str()), (20, "host silent"));
}

#[test]
fn what_was_tried_is_noted_until_it_is_settled() {
    let mut view = TaskView::new(task());
    let description = "ALTER SYSTEM STOP SERVER".to_owned();
    let intent = v1::IntentRecorded { subtask_id: 10, intent: 1, description, ..Default::default() };
    view.apply(&event(2, Kind::IntentRecorded(intent)));
    assert_eq!(view.note(10), Some("ALTER SYSTEM STOP SERVER"));
    view.apply(&event(3, Kind::IntentSettled(v1::IntentSettled { subtask_id: 10, intent: 1, ..Default::default() })));
    assert_eq!(view.note(10), None);
}
