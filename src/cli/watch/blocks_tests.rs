//! What the screen of `watch` looks like, wide, narrow and low.

use super::*;
use crate::cli::view::tests::{at, stuck, subtask_moves, task, task_moves};

const READY: v1::SubtaskState = v1::SubtaskState::Ready;
const RUNNING: v1::SubtaskState = v1::SubtaskState::Running;
const SUCCESSFUL: v1::SubtaskState = v1::SubtaskState::Successful;

fn moment(seconds: i64) -> Timestamp {
    times::moment(at(seconds).as_ref()).unwrap()
}

fn numbered(id: i64, name: &str, creator: &str) -> v1::Task {
    let (name, creator) = (name.to_owned(), creator.to_owned());
    v1::Task { id, name, creator, ..task() }
}

/// Leaders leave it, and most have.
fn moving() -> TaskView {
    let mut view = TaskView::new(task());
    view.apply(&subtask_moves(2, 30, READY, RUNNING));
    view.apply(&subtask_moves(3, 30, RUNNING, SUCCESSFUL));
    view.apply(&subtask_moves(4, 10, READY, RUNNING));
    let remaining = Some(prost_types::Duration { seconds: 40, nanos: 0 });
    view.progress(v1::SubtaskProgress { stalled_since: at(63), update_time: at(64), remaining, ..stuck() });
    view
}

/// Nothing moves any more; its words and names come from elsewhere.
fn standing_still() -> TaskView {
    let mut begun = numbered(12346, "Restart OB server", "bob\u{1b}[31m");
    begun.cluster = Some(v1::TaskCluster { id: 2, name: "测试集群".to_owned(), ob_cluster_id: 2 });
    let mut view = TaskView::new(begun);
    view.apply(&v1::TaskEvent { task_id: 12346, ..subtask_moves(2, 10, READY, RUNNING) });
    view.progress(v1::SubtaskProgress { task_id: 12346, ..stuck() });
    view
}

fn at_rest() -> TaskView {
    let mut view = TaskView::new(numbered(12347, "Stop OB zone", "alice"));
    view.apply(&v1::TaskEvent { task_id: 12347, ..task_moves(2, v1::TaskState::Failed) });
    view
}

/// Four servers at once, on the way back.
fn side_by_side() -> TaskView {
    let mut task = numbered(12348, "Stop OB cluster", "carol");
    task.target = Some(v1::task::Target::WholeCluster(v1::WholeCluster {}));
    task.set_operation(v1::TaskOperation::Rollback);
    task.subtasks = (1..=5)
        .map(|number| v1::Subtask {
            id: number,
            name: "Stop observer process".to_owned(),
            server: Some(v1::TaskServer { id: number, address: format!("10.0.0.{number}:2882"), ..Default::default() }),
            state: if number == 5 { SUCCESSFUL } else { RUNNING } as i32,
            operation: v1::SubtaskOperation::Rollback as i32,
            start_time: at(number),
            ..Default::default()
        })
        .collect();
    TaskView::new(task)
}

fn ended() -> TaskView {
    let mut task = numbered(12349, "Start OB server", "alice");
    (task.state, task.finish_time) = (v1::TaskState::Successful as i32, at(33));
    task.subtasks.iter_mut().for_each(|subtask| subtask.set_state(SUCCESSFUL));
    TaskView::new(task)
}

fn drawn(columns: usize, rows: usize, notice: Option<&str>) -> Vec<String> {
    let (open, closed) = ([moving(), standing_still(), at_rest(), side_by_side()], ended());
    let picture = Picture {
        server: "http://127.0.0.1:50051",
        known: true,
        open: open.iter().collect(),
        ended: vec![&closed],
        notice,
    };
    let lines = picture.lines(Size { columns, rows }, moment(64), Paint::Plain);
    assert!(lines.len() <= rows, "{lines:#?}");
    assert!(lines.iter().all(|line| line.width() <= columns), "{lines:#?}");
    lines
}

#[test]
fn at_80_columns() {
    insta::assert_snapshot!(drawn(80, 50, None).join("\n"));
}

#[test]
fn at_40_columns() {
    insta::assert_snapshot!(drawn(40, 80, Some("watch interrupted (it ends), going on in 1.0s")).join("\n"));
}

#[test]
fn a_low_terminal_has_a_line_for_each_task_and_counts_the_others() {
    insta::assert_snapshot!([drawn(80, 10, None), drawn(80, 6, None)].map(|lines| lines.join("\n")).join("\n-----\n"));
}

#[test]
fn no_size_is_too_small() {
    for (columns, rows) in [(0, 0), (1, 1), (2, 50), (7, 9), (13, 50), (1000, 1000)] {
        drawn(columns, rows, Some("watch interrupted"));
    }
}

#[test]
fn before_anything_is_known_nothing_is_said_of_tasks() {
    let mut picture = Picture { server: "http://h", known: false, open: vec![], ended: vec![], notice: None };
    let lines = |picture: &Picture<'_>| picture.lines(Size { columns: 60, rows: 9 }, moment(0), Paint::Plain);
    assert_eq!(lines(&picture)[0], "obsteward watch  http://h");
    assert_eq!(lines(&picture)[3], "waiting for the service");
    picture.known = true;
    assert_eq!(lines(&picture)[0], "obsteward watch  no task open  http://h");
    assert_eq!(lines(&picture)[3], "no task is open; waiting for the next one");
}

#[test]
fn colours_take_no_columns() {
    let plain = block(&moving(), 40, moment(64), Paint::Plain);
    let coloured = block(&moving(), 40, moment(64), Paint::Colour);
    let codes = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m"];
    let bare = coloured.iter().map(|line| codes.iter().fold(line.clone(), |line, code| line.replace(code, "")));
    assert_eq!(bare.collect::<Vec<_>>(), plain);
    assert_ne!(coloured, plain);
}
