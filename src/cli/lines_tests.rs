//! Tests of what events, lists and results look like.

use super::*;
use crate::cli::view::tests::{at, event, stuck, subtask_moves, task, task_moves, undo_moves};

const PENDING: v1::SubtaskState = v1::SubtaskState::Pending;
const RUNNING: v1::SubtaskState = v1::SubtaskState::Running;
const SUCCESSFUL: v1::SubtaskState = v1::SubtaskState::Successful;

fn moment(seconds: i64) -> Timestamp {
    times::moment(at(seconds).as_ref()).unwrap()
}

#[test]
fn a_transition_is_one_line() {
    let view = TaskView::new(task());
    let mut moved = subtask_moves(2, 10, RUNNING, SUCCESSFUL);
    moved.event_time = at(0);
    assert_eq!(
        event_line(&view, &moved),
        "2026-01-02T03:04:05.678Z  Stop server                 RUNNING -> SUCCESSFUL"
    );
}

#[test]
fn a_failure_is_told_with_its_reason() {
    let view = TaskView::new(task());
    assert_eq!(
        event_line(&view, &task_moves(2, v1::TaskState::Failed)),
        "2026-01-02T03:04:07.678Z  Stop OB server              RUNNING -> FAILED  DEADLINE_EXCEEDED: 3 leaders are left"
    );
}

#[test]
fn every_kind_has_words() {
    let view = TaskView::new(task());
    let words = |kind| event_line(&view, &event(2, kind))[54..].to_owned();
    assert_eq!(
        words(Kind::Created(v1::TaskCreated { task: Some(task()) })),
        "accepted as task 12345 by alice: 10.0.0.2:2882 (zone2) of cluster ob"
    );
    let intent = v1::IntentRecorded {
        subtask_id: 10,
        intent: 1,
        description: "ALTER SYSTEM STOP SERVER".to_owned(),
        endpoint: "10.0.0.1:2881".to_owned(),
        ..Default::default()
    };
    assert_eq!(words(Kind::IntentRecorded(intent)), "intent 1: ALTER SYSTEM STOP SERVER at 10.0.0.1:2881");
    let outcome = v1::IntentOutcome::Unknown as i32;
    let settled = v1::IntentSettled { subtask_id: 10, intent: 1, outcome, message: "4012".to_owned() };
    assert_eq!(words(Kind::IntentSettled(settled)), "intent 1 UNKNOWN: 4012");
    assert_eq!(
        words(Kind::Adopted(v1::TaskAdopted { fence: 3, executor: "b".to_owned() })),
        "taken over by b (fence 3)"
    );
    let verb = v1::TaskVerb::GiveUp as i32;
    assert_eq!(
        words(Kind::VerbRequested(v1::VerbRequested { verb, principal: "bob".to_owned(), ..Default::default() })),
        "GIVE_UP asked for by bob"
    );
    let (verb, principal) = (v1::TaskVerb::SkipSubtask as i32, "bob".to_owned());
    let skipped = event(
        2,
        Kind::VerbRequested(v1::VerbRequested { verb, principal, reason: "CHG-4711".to_owned(), subtask_id: Some(20) }),
    );
    assert!(
        event_line(&view, &skipped).ends_with("  Wait observer stop          SKIP_SUBTASK asked for by bob (CHG-4711)")
    );
    let unknown = v1::TaskEvent { revision: 2, ..Default::default() };
    assert!(event_line(&view, &unknown).ends_with("event 2 of a kind that this version does not know"));
}

#[test]
fn the_live_list_shows_marks_times_and_progress_in_execution_order() {
    let mut view = TaskView::new(task());
    view.apply(&subtask_moves(2, 30, PENDING, RUNNING));
    view.apply(&subtask_moves(3, 30, RUNNING, SUCCESSFUL));
    view.apply(&subtask_moves(4, 10, PENDING, RUNNING));
    view.progress(v1::SubtaskProgress {
        subtask_id: 10,
        message: "17 of 40 leaders still on zone2".to_owned(),
        done: Some(23),
        total: Some(40),
        deadline: at(304),
        ..Default::default()
    });
    assert_eq!(
        rows(&view, moment(64), 0, Paint::Plain),
        [
            "task 12345  RUNNING   1m04s  Stop OB server  10.0.0.2:2882 (zone2) of cluster ob",
            "✓ Prepare stop observer       SUCCESSFUL    1.0s",
            "⠋ Stop server                 RUNNING      1m00s  17 of 40 leaders still on zone2  (at most 4m00s more)",
            "· Wait observer stop          PENDING",
        ]
    );
}

#[test]
fn a_wait_says_how_it_goes_on_or_since_when_it_does_not() {
    let mut view = TaskView::new(task());
    view.apply(&subtask_moves(2, 10, PENDING, RUNNING));
    view.progress(stuck());
    let row = |view: &TaskView| rows(view, moment(64), 0, Paint::Plain)[2].clone();
    let said = "17 of 40 leaders still on zone2  (nothing moved for 45 s, at most 4m00s more)";
    assert!(row(&view).ends_with(said), "{}", row(&view));
    let line = progress_line(&view, &stuck());
    let said = "... 17 of 40 leaders still on zone2  (nothing moved for 45 s): LS 1001 of tenant app on 10.0.0.2:2882 \
                has no other replica in sync, and 16 more";
    assert!(line.ends_with(said), "{line}");
    let remaining = Some(prost_types::Duration { seconds: 125, nanos: 0 });
    let moves = v1::SubtaskProgress { stalled_since: at(63), remaining, ..stuck() };
    view.progress(moves.clone());
    assert!(row(&view).ends_with("zone2  (about 2 min more, at most 4m00s more)"), "{}", row(&view));
    assert!(progress_line(&view, &moves).ends_with("zone2  (about 2 min more)"));
}

#[test]
fn a_success_is_one_line_with_the_time_it_took() {
    let mut view = TaskView::new(task());
    view.apply(&task_moves(2, v1::TaskState::Successful));
    assert_eq!(
        result_line(view.task()),
        "task 12345 SUCCESSFUL: Stop OB server 10.0.0.2:2882 (zone2) of cluster ob in 2.0s"
    );
    assert!(next_steps(view.task()).is_empty());
}

#[test]
fn a_failure_says_where_why_and_what_next() {
    let mut view = TaskView::new(task());
    view.apply(&subtask_moves(2, 10, RUNNING, v1::SubtaskState::Failed));
    view.apply(&task_moves(3, v1::TaskState::Failed));
    assert_eq!(result_line(view.task()), "task 12345 FAILED: Stop server: DEADLINE_EXCEEDED: 3 leaders are left");
    let steps = next_steps(view.task()).join("\n");
    // The server says which verbs are allowed; events do not, and these two always are.
    assert_eq!(
        steps,
        "task 12345 still holds cluster ob; what you can do next:\n\
         \x20 obsteward tasks rollback 12345 --watch  undoes what it did, the last first, and frees the cluster\n\
         \x20 obsteward tasks give-up 12345           closes it and frees the cluster; what was done stays as it is"
    );
}

#[test]
fn what_can_be_done_next_stands_in_the_servers_order_with_every_subtask_that_can_be_skipped() {
    let mut failed = task();
    failed.set_state(v1::TaskState::Failed);
    use v1::TaskVerb::{GiveUp, Retry, Rollback, SkipSubtask};
    failed.allowed_verbs = [Retry, Rollback, SkipSubtask, GiveUp].map(|verb| verb as i32).to_vec();
    failed.subtasks[1].allowed_verbs = vec![SkipSubtask as i32];
    assert_eq!(
        next_steps(&failed)[1..],
        [
            "  obsteward tasks retry 12345 --watch     runs it again from the first step whose result no longer holds",
            "  obsteward tasks rollback 12345 --watch  undoes what it did, the last first, and frees the cluster",
            "  obsteward tasks skip 12345 20 --watch   goes on as if Wait observer stop were done; you answer for that",
            "  obsteward tasks give-up 12345           closes it and frees the cluster; what was done stays as it is",
        ]
    );
    // Half undone.
    failed.set_operation(v1::TaskOperation::Rollback);
    failed.allowed_verbs = [Rollback, SkipSubtask, GiveUp].map(|verb| verb as i32).to_vec();
    let steps = next_steps(&failed).join("\n");
    assert!(steps.contains("goes on with undoing") && steps.contains("were undone"), "{steps}");
    let mut running = task();
    running.allowed_verbs = vec![v1::TaskVerb::Cancel as i32];
    assert_eq!(
        next_steps(&running),
        ["  obsteward tasks cancel 12345  ends what it does; what was done stays as it is"]
    );
}

/// Undone subtasks are pending again, and one sees what that took.
#[test]
fn a_rollback_shows_what_is_undone_and_what_was() {
    let mut view = TaskView::new(task());
    let failed = v1::SubtaskState::Failed;
    for (revision, id, from, to) in [(2, 30, PENDING, RUNNING), (3, 30, RUNNING, SUCCESSFUL), (4, 10, PENDING, RUNNING)]
    {
        view.apply(&subtask_moves(revision, id, from, to));
    }
    view.apply(&subtask_moves(5, 10, RUNNING, failed));
    let back = |revision, id, from, to| undo_moves(revision, id, from, to, v1::SubtaskOperation::Rollback);
    let mut goes_back = task_moves(6, v1::TaskState::Running);
    if let Some(Kind::TaskTransition(transition)) = &mut goes_back.kind {
        transition.set_operation(v1::TaskOperation::Rollback);
    }
    view.apply(&goes_back);
    view.apply(&back(7, 10, v1::SubtaskState::Ready, RUNNING));
    let running = "⠋ Stop server                 RUNNING       1.0s  undo";
    assert_eq!(rows(&view, moment(8), 0, Paint::Plain)[2], running);
    view.progress(v1::SubtaskProgress {
        subtask_id: 10,
        message: "waits for the mark".to_owned(),
        ..Default::default()
    });
    assert_eq!(rows(&view, moment(8), 0, Paint::Plain)[2], format!("{running}: waits for the mark"));
    let description = "ALTER SYSTEM START SERVER".to_owned();
    let intent = v1::IntentRecorded { subtask_id: 10, intent: 2, description, ..Default::default() };
    view.apply(&event(8, Kind::IntentRecorded(intent)));
    let outcome = v1::IntentOutcome::Done as i32;
    view.apply(&event(
        9,
        Kind::IntentSettled(v1::IntentSettled { subtask_id: 10, intent: 2, outcome, ..Default::default() }),
    ));
    view.apply(&back(10, 10, RUNNING, PENDING));
    view.apply(&back(11, 30, v1::SubtaskState::Ready, RUNNING));
    view.apply(&back(12, 30, RUNNING, PENDING));
    assert_eq!(
        rows(&view, moment(99), 0, Paint::Plain),
        [
            "task 12345  RUNNING   1m39s  Stop OB server (rollback)  10.0.0.2:2882 (zone2) of cluster ob",
            "↩ Prepare stop observer       PENDING       1.0s  nothing to undo",
            "↩ Stop server                 PENDING       3.0s  undone: ALTER SYSTEM START SERVER",
            "· Wait observer stop          PENDING",
        ]
    );
    // Of a task that was read as it stands, only that it was undone is known; a skip undid nothing.
    let whole = TaskView::new(view.into_task());
    assert!(rows(&whole, moment(99), 0, Paint::Plain)[2].ends_with("  3.0s  undone"));
    let mut skipped = whole;
    skipped.apply(&undo_moves(13, 10, RUNNING, PENDING, v1::SubtaskOperation::RollbackSkip));
    assert!(rows(&skipped, moment(99), 0, Paint::Plain)[2].ends_with("skipped, counts as undone"));
}

#[test]
fn a_failed_undo_is_told_as_one() {
    let mut failed = task();
    failed.set_state(v1::TaskState::Failed);
    failed.set_operation(v1::TaskOperation::Rollback);
    failed.subtasks[0].set_state(v1::SubtaskState::Failed);
    failed.subtasks[0].set_operation(v1::SubtaskOperation::Rollback);
    failed.error = Some(tonic_types::pb::Status { code: 9, message: "no".to_owned(), details: Vec::new() });
    assert_eq!(result_line(&failed), "task 12345 FAILED: undo of Stop server: FAILED_PRECONDITION: no");
}

#[test]
fn only_allowed_verbs_are_offered() {
    let mut failed = task();
    failed.state = v1::TaskState::Failed as i32;
    failed.allowed_verbs = vec![v1::TaskVerb::GiveUp as i32];
    let steps = next_steps(&failed).join("\n");
    assert!(!steps.contains("retry") && steps.contains("give-up"), "{steps}");
}

#[test]
fn plain_rows_have_no_codes_and_hostile_names_stay_harmless() {
    let mut hostile = task();
    hostile.subtasks[0].name = "a\u{1b}[2J".to_owned();
    assert!(!rows(&TaskView::new(hostile), moment(1), 3, Paint::Plain).join("").contains('\u{1b}'));
}
