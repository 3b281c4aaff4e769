//! Tests of following a task over scripted streams: what is shown across broken connections.

use std::collections::BTreeSet;

use futures::stream;
use tonic::Code;

use super::*;
use crate::cli::view::tests::{event, subtask_moves, task, task_moves};

type Script = Vec<Result<Vec<Result<Message, Status>>, Status>>;

fn moved(revision: i64) -> Result<Message, Status> {
    let event = match revision {
        1 => event(1, Kind::Created(v1::TaskCreated { task: Some(task()) })),
        2 => subtask_moves(2, 30, v1::SubtaskState::Ready, v1::SubtaskState::Running),
        3 => subtask_moves(3, 30, v1::SubtaskState::Running, v1::SubtaskState::Successful),
        _ => task_moves(revision, v1::TaskState::Successful),
    };
    Ok(Message::Event(Box::new(event)))
}

fn lost() -> Status {
    Status::unavailable("connection reset")
}

/// Plays one script per opening; gives the lines shown, the positions asked for and how it ended.
async fn play(from: Option<i64>, script: Script) -> (Vec<String>, Vec<Option<i64>>, Result<(), Stopped>) {
    let output = Output::memory(Format::Text);
    let mut one = OneTask {
        output: &output,
        task_id: 12345,
        view: TaskView::default(),
        position: from,
        state: v1::TaskState::Unspecified,
        until_closed: false,
        goal: Goal::Reached,
        held_before: BTreeSet::new(),
        live: None,
        last_progress: None,
    };
    let mut asked = Vec::new();
    let mut script = script.into_iter();
    let ended = resume(&mut one, |after| {
        asked.push(after);
        let next = script.next().unwrap_or_else(|| Err(Status::not_found("the script is over")));
        futures::future::ready(next.map(|messages| stream::iter(messages).boxed())).boxed()
    })
    .await;
    let shown = output.written().0.lines().map(|line| line[26..].to_owned()).collect();
    (shown, asked, ended)
}

/// What is shown of revisions 1 to 4.
const ALL: [&str; 4] = [
    "Stop OB server              accepted as task 12345 by alice: 10.0.0.2:2882 (zone2) of cluster ob",
    "Prepare stop observer       READY -> RUNNING",
    "Prepare stop observer       RUNNING -> SUCCESSFUL",
    "Stop OB server              RUNNING -> SUCCESSFUL",
];

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_repeated_across_a_break() {
    let script = vec![
        Ok(vec![moved(1), moved(2), Err(lost())]),
        Err(lost()),
        // A server that begins too early repeats nothing on the screen.
        Ok(vec![moved(2), moved(3), moved(4)]),
    ];
    let (shown, asked, ended) = play(Some(0), script).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(shown, ALL);
    assert_eq!(asked, [Some(0), Some(2), Some(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_gap_opens_the_stream_again_where_it_began() {
    let script = vec![Ok(vec![moved(1), moved(3), moved(4)]), Ok(vec![moved(2), moved(3), moved(4)])];
    let (shown, asked, ended) = play(Some(0), script).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(shown, ALL);
    assert_eq!(asked, [Some(0), Some(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_while_the_task_runs_is_not_the_end() {
    let script = vec![Ok(vec![moved(1), moved(2)]), Ok(vec![moved(3), moved(4)])];
    let (shown, _, ended) = play(Some(0), script).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(shown, ALL);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_always_ends_early_is_given_up() {
    let script = (0..20).map(|_| Ok(vec![])).collect();
    let (_, asked, ended) = play(Some(0), script).await;
    assert!(matches!(ended, Err(Stopped::Status(status)) if status.code() == Code::DataLoss));
    assert!(asked.len() < 10);
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_the_following_at_once() {
    let (_, asked, ended) = play(Some(0), vec![Err(Status::not_found("task 12345 is not there"))]).await;
    assert!(matches!(ended, Err(Stopped::Status(status)) if status.code() == Code::NotFound));
    assert_eq!(asked.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_away_is_given_up_in_the_end() {
    let script = (0..1000).map(|_| Err(lost())).collect();
    let (_, asked, ended) = play(Some(0), script).await;
    assert!(matches!(ended, Err(Stopped::Status(status)) if status.code() == Code::Unavailable));
    assert!(asked.len() > 50, "{}", asked.len());
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_alone_ends_the_watch_of_a_closed_task() {
    let state = v1::TaskState::Successful as i32;
    let bookmark = v1::Bookmark { seq: 104, revision: 4, state, snapshots_end: false };
    let (shown, _, ended) = play(Some(4), vec![Ok(vec![Ok(Message::Bookmark(bookmark))])]).await;
    assert!(ended.is_ok() && shown.is_empty(), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_where_the_following_begins() {
    let script =
        vec![Ok(vec![Ok(Message::Snapshot(Box::new(task()))), moved(2), Err(lost())]), Ok(vec![moved(3), moved(4)])];
    let (shown, asked, ended) = play(None, script).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert!(shown[0].ends_with("RUNNING at revision 1: 10.0.0.2:2882 (zone2) of cluster ob"), "{shown:?}");
    assert_eq!(shown[1..], ALL[1..]);
    assert_eq!(asked, [None, Some(2)]);
}

#[tokio::test]
async fn the_following_can_be_spawned() {
    fn sendable<T: Send>(_: &T) {}
    let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let client = Client::from_channel(channel, "http://127.0.0.1:1".to_owned());
    let output = Output::memory(Format::Text);
    sendable(&follow(&client, &output, 1, FollowOptions::default()));
}

#[tokio::test(start_paused = true)]
async fn json_is_one_line_per_event_with_the_kind_as_key() {
    let output = Output::memory(Format::Json);
    let mut one = OneTask {
        output: &output,
        task_id: 12345,
        view: TaskView::default(),
        position: Some(0),
        state: v1::TaskState::Unspecified,
        until_closed: false,
        goal: Goal::Reached,
        held_before: BTreeSet::new(),
        live: None,
        last_progress: None,
    };
    for revision in 1..=4 {
        assert_eq!(one.take(moved(revision).unwrap()).unwrap(), Continuity::Fits);
    }
    let lines: Vec<serde_json::Value> =
        output.written().0.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["event"]["revision"].as_i64().unwrap()).collect();
    assert_eq!(kinds, [1, 2, 3, 4]);
    assert_eq!(lines[1]["event"]["subtask_transition"]["to"], "SUBTASK_STATE_RUNNING");
    assert!(one.is_over());
}

/// A stream of a task that holds a server goes on; whoever waits for the hold is done.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_held_is_enough_for_who_waits_for_that() {
    let output = Output::memory(Format::Text);
    let mut seed = task();
    for subtask in &mut seed.subtasks {
        subtask.hold = true;
    }
    let mut one = OneTask {
        output: &output,
        task_id: 12345,
        view: TaskView::new(seed),
        position: Some(1),
        state: v1::TaskState::Running,
        until_closed: false,
        goal: Goal::Held,
        held_before: BTreeSet::new(),
        live: None,
        last_progress: None,
    };
    let endless = |_| {
        let messages = stream::iter([moved(2)]).chain(stream::pending());
        futures::future::ready(Ok(messages.boxed())).boxed()
    };
    assert!(resume(&mut one, endless).await.is_ok());
}
