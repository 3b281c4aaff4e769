//! The log of a task as its readers meet it: whole, from a line on, and followed to its end, over gRPC and on the command
//! line. A follower misses no line, also across the end of the service, and follows only as long as it may.

use std::sync::Arc;

use futures::StreamExt;
use obsteward::api::error_status::to_status;
use obsteward::domain::ids::Principal;
use obsteward::proto::v1;
use obsteward::service::UpdateUser;
use obsteward::sim::{Fault, FaultKind};
use obsteward::watch::{ReadLog, read_log};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::guarded::Fixture;
use crate::support::program::{Program, lasting_address};
use crate::support::stored_tasks::task_id;
use crate::support::{Clients, PATIENCE, Stage, in_order, quick, reason};

type Lines = Vec<v1::SubtaskLogLine>;

fn of_task(task_id: i64) -> v1::GetSubtaskLogRequest {
    v1::GetSubtaskLogRequest { task_id, ..Default::default() }
}

/// Lines until one that is wanted, or until the stream ends; where the log then stands, and how it ended.
async fn lines_until(
    clients: &Clients,
    request: v1::GetSubtaskLogRequest,
    wanted: impl Fn(&v1::SubtaskLogLine) -> bool,
) -> (Lines, i64, Result<(), Status>) {
    let (mut lines, mut next_line) = (Vec::new(), 0);
    let read = async {
        let mut messages = clients.tasks.clone().get_subtask_log(request).await?.into_inner();
        while let Some(message) = messages.message().await? {
            next_line = message.next_line;
            let found = message.lines.iter().any(&wanted);
            lines.extend(message.lines);
            if found {
                break;
            }
        }
        Ok(())
    };
    let ended = tokio::time::timeout(PATIENCE, read).await.expect("the log does not end");
    (lines, next_line, ended)
}

async fn read(clients: &Clients, request: v1::GetSubtaskLogRequest) -> Lines {
    let (lines, _, ended) = lines_until(clients, request, |_| false).await;
    ended.unwrap();
    lines
}

fn assert_numbered(lines: &Lines) {
    let numbers: Vec<i64> = lines.iter().map(|line| line.number).collect();
    assert_eq!(numbers, (1..=i64::try_from(lines.len()).unwrap()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_read_whole_by_subtask_and_from_a_line_on() {
    let address = lasting_address();
    let stage = Stage::with(quick(), |config| config.server.listen = address).await;
    let clients = &stage.clients;
    let task = stage.stop(2).await;
    let whole = read(clients, of_task(task.id)).await;
    assert_numbered(&whole);
    assert!(whole.iter().all(|line| line.run_time == 1 && line.time.is_some() && !line.text.is_empty()), "{whole:?}");
    let statement = format!("ALTER SYSTEM STOP SERVER '{}'", stage.info(2).address());
    assert_eq!(whole.iter().filter(|line| line.text.contains(&statement)).count(), 1, "{whole:#?}");

    // Each subtask's own log is its part of the whole, numbered by itself; most have one.
    let mut with_lines = 0;
    for subtask in &task.subtasks {
        let own = read(clients, v1::GetSubtaskLogRequest { subtask_id: Some(subtask.id), ..of_task(task.id) }).await;
        assert_numbered(&own);
        let texts = |lines: &Lines| lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>();
        let part: Lines = whole.iter().filter(|line| line.subtask_id == subtask.id).cloned().collect();
        assert_eq!(texts(&own), texts(&part), "{}", subtask.name);
        with_lines += usize::from(!own.is_empty());
    }
    assert!(with_lines >= 4, "{whole:#?}");

    let from_third = v1::GetSubtaskLogRequest { from_line: 3, ..of_task(task.id) };
    assert_eq!(read(clients, from_third).await, whole[2..]);
    // Behind the end there is nothing, and a closed task has nothing to wait for.
    let behind = i64::try_from(whole.len()).unwrap() + 1;
    let request = v1::GetSubtaskLogRequest { from_line: behind, follow: true, ..of_task(task.id) };
    let (lines, next_line, ended) = lines_until(clients, request, |_| false).await;
    assert!(lines.is_empty() && next_line == behind && ended.is_ok(), "{lines:?} {next_line} {ended:?}");

    let refused = |request| async move { lines_until(clients, request, |_| false).await.2.unwrap_err() };
    assert_eq!(reason(&refused(of_task(999_999)).await), "TASK_NOT_FOUND");
    let status = refused(v1::GetSubtaskLogRequest { subtask_id: Some(task.id), ..of_task(task.id) }).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "subtask_id");

    on_the_command_line(&Program::of(address), &task, &whole).await;
}

/// The same lines, under a head for each execution.
async fn on_the_command_line(obsteward: &Program, task: &v1::Task, whole: &Lines) {
    let shown = obsteward.run(&format!("tasks log {}", task.id)).await.with(0);
    let (heads, lines): (Vec<&str>, Vec<&str>) = shown.out.lines().partition(|line| line.starts_with("############{"));
    assert_eq!(lines.len(), whole.len(), "{shown:?}");
    assert!(lines.iter().zip(whole).all(|(shown, line)| shown.ends_with(&line.text)), "{shown:?}");
    let named: Vec<_> = heads.iter().map(|head| head.split("############ ").nth(1).unwrap().to_owned()).collect();
    let id = |name: &str| task.subtasks.iter().find(|subtask| subtask.name == name).unwrap().id;
    let logged = |id: i64| whole.iter().any(|line| line.subtask_id == id);
    let names = in_order(task).into_iter().map(|(name, _)| name).filter(|name| logged(id(name)));
    assert_eq!(named, names.map(|name| format!("{} {name}", id(&name))).collect::<Vec<_>>());

    let prepare = id("Prepare stop observer");
    let shown = obsteward.run(&format!("tasks log {} {prepare} --follow", task.id)).await.with(0);
    assert!(shown.out.starts_with("############{EXECUTE}{20") && shown.out.contains("}############\n"), "{shown:?}");
    let line = format!("tasks log {} --from-line 2 --output json", task.id);
    let json = obsteward.run(&line).await.with(0).json_lines();
    let texts: Vec<_> = json.iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert_eq!(texts, whole[1..].iter().map(|line| line.text.as_str()).collect::<Vec<_>>());
    assert_eq!((json[0]["number"].as_i64(), json[0]["subtask"].as_str()), (Some(2), Some("Stop server")));
    assert!(obsteward.run(&format!("tasks log {} 7", task.id)).await.with(3).err.contains("Stop observer process"));
    obsteward.run("tasks log 999999").await.with(3);
}

/// Begun before the first line is there, cut off in the middle by the end of the service, and taken up again.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_a_running_stop_misses_no_line() {
    let mut stage = Stage::new().await;
    let fault = stage.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 2));
    let request = stage.request(2).await;
    let task = stage.clients.stop_with(request).await.unwrap();
    let follow = move |from_line| v1::GetSubtaskLogRequest { follow: true, from_line, ..of_task(task.id) };
    let marked = |line: &v1::SubtaskLogLine| line.text.contains("ALTER SYSTEM STOP SERVER");
    let (before, _, ended) = lines_until(&stage.clients, follow(0), marked).await;
    ended.unwrap();

    // Another, which has the same lines at once, and then hears of nothing until the service ends.
    let (heard, clients) = (Arc::new(Notify::new()), stage.clients.clone());
    let hears = Arc::clone(&heard);
    let cut_off = tokio::spawn(async move {
        let hear = |_: &v1::SubtaskLogLine| {
            hears.notify_one();
            false
        };
        lines_until(&clients, follow(0), hear).await
    });
    heard.notified().await;
    stage.end_service().await;
    let (first, next_line, ended) = cut_off.await.unwrap();
    assert_eq!(reason(&ended.unwrap_err()), "UNAVAILABLE");
    assert_eq!(first[..before.len()], before);

    stage.restart().await;
    let clients = stage.clients.clone();
    let rest = tokio::spawn(async move { lines_until(&clients, follow(next_line), |_| false).await });
    stage.sim.clear(fault);
    let (after, _, ended) = rest.await.unwrap();
    ended.unwrap();
    assert!(!after.is_empty(), "nothing was logged after the break");
    assert_eq!(stage.clients.task(task.id).await.state(), v1::TaskState::Successful, "ended before the task did");
    let all: Lines = [first, after].concat();
    assert_numbered(&all);
    assert_eq!(all, read(&stage.clients, of_task(task.id)).await);
}

#[tokio::test(start_paused = true)]
async fn rights_that_are_taken_away_end_a_follower() {
    let fixture = Fixture::new(&[("admin", &["**"]), ("reader", &["TASK:1:READ"]), ("other", &["TASK:3:READ"])]).await;
    let hub = fixture.hub(&CancellationToken::new()).await;
    let asked = ReadLog { task: task_id(1), subtask: None, from_line: 0, follow: true };
    let authorizer = |name: &str| {
        let (guarded, caller) = (fixture.guarded.clone(), fixture.caller(name));
        let asked = asked.clone();
        async move { guarded.call(&caller, asked).await }
    };
    assert_eq!(to_status(&authorizer("other").await.err().unwrap()).code(), Code::PermissionDenied);
    let mut log = Box::pin(read_log(&hub, asked.clone(), authorizer("reader").await.unwrap()).await.unwrap());
    // Where the log stands, and a sign of life while nothing is logged.
    for _ in 0..2 {
        assert_eq!(log.next().await.unwrap().unwrap(), v1::GetSubtaskLogResponse { lines: Vec::new(), next_line: 1 });
    }
    let name = Principal::new("reader");
    let demote = UpdateUser { name, roles: Some(Vec::new()), certificate_names: None, disabled: None };
    fixture.guarded.call(&fixture.caller("admin"), demote).await.unwrap();
    let status = to_status(&log.next().await.unwrap().unwrap_err());
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(log.next().await.is_none(), "a refusal ends a log");
}
