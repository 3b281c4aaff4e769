//! Server-sent events: every event once and in order, resumed after the last that was seen, ended with the task or with the
//! caller's rights.

use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use obsteward::domain::decide::{Input, StepOutput, VerbRequest};
use obsteward::domain::ids::UserId;
use obsteward::store::StoreError;
use obsteward::store::access::AccessChange;
use obsteward::watch::BOOKMARK_PERIOD;
use serde_json::Value;

use super::Fixture;
use crate::support::stored_rows::audit;
use crate::support::stored_tasks::{asks, cluster_id, subtask_id, task_id};

#[derive(Debug)]
struct Event {
    id: Option<i64>,
    name: String,
    data: Value,
}

/// The events of a stream that has ended, and its comments.
fn read(text: &str) -> (Vec<Event>, Vec<&str>) {
    let (mut events, mut comments) = (Vec::new(), Vec::new());
    for block in text.split("\n\n").filter(|block| !block.is_empty()) {
        let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
        comments.extend(block.lines().filter(|line| line.starts_with(':')));
        if let Some(data) = line("data:") {
            let name = line("event:").expect("an event has a name").to_owned();
            let id = line("id:").map(|id| id.parse().unwrap());
            events.push(Event { id, name, data: serde_json::from_str(data).unwrap() });
        }
    }
    (events, comments)
}

async fn text(response: Response<Body>) -> String {
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    assert_eq!(response.headers()["obsteward-trace-id"].len(), 32);
    let body = tokio::time::timeout(std::time::Duration::from_secs(600), response.into_body().collect()).await;
    String::from_utf8(body.expect("the stream does not end").unwrap().to_bytes().to_vec()).unwrap()
}

fn watch(query: &str, last: Option<&str>) -> Request<Body> {
    let mut request = Request::get(format!("/api/v2/tasks/instances/1/events{query}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.body(Body::empty()).unwrap()
}

fn ids(events: &[Event]) -> Vec<i64> {
    events
        .iter()
        .filter(|event| !["snapshot", "bookmark"].contains(&event.name.as_str()))
        .filter_map(|one| one.id)
        .collect()
}

#[tokio::test]
async fn a_watch_begins_with_a_snapshot_and_ends_with_the_task() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    let response = fixture.send(watch("", None)).await;
    fixture.store.dispatch(task_id(1));
    (1..=3).for_each(|number| fixture.store.succeed(task_id(1), number));
    let text = text(response).await;
    assert!(text.starts_with("retry:2000\n") || text.starts_with("retry: 2000\n"), "{text}");
    let (events, _) = read(&text);
    assert_eq!((events[0].name.as_str(), events[0].id), ("snapshot", Some(2)));
    assert_eq!(events[0].data["subtasks"].as_array().map(Vec::len), Some(3));
    let head = fixture.store.log().last().unwrap().revision.get();
    assert_eq!(ids(&events), (3..=head).collect::<Vec<_>>());
    let last = events.last().unwrap();
    assert_eq!((last.name.as_str(), &last.data["state"]), ("bookmark", &Value::from("TASK_STATE_SUCCESSFUL")));
    let moved = events.iter().find(|event| event.name == "subtask_transition").unwrap();
    let to = &moved.data["subtask_transition"]["to"];
    assert_eq!((to, moved.data["revision"].as_i64()), (&Value::from("SUBTASK_STATE_RUNNING"), moved.id));
}

#[tokio::test]
async fn a_watch_goes_on_after_the_last_event_that_was_seen() {
    let fixture = Fixture::new().await;
    fixture.store.run(task_id(1), cluster_id(1));
    let head = fixture.store.log().last().unwrap().revision.get();
    for (query, header, after) in [
        ("", Some("0"), 0),
        ("", Some("4"), 4),
        ("?lastEventId=4", None, 4),
        ("?lastEventId=2", Some("6"), 6),
        ("?until=closed", Some("5"), 5),
    ] {
        let text = text(fixture.send(watch(query, header)).await).await;
        let (events, _) = read(&text);
        assert_eq!(ids(&events), (after + 1..=head).collect::<Vec<_>>(), "{query} {header:?}");
        assert_eq!(events.last().unwrap().name, "bookmark");
    }
}

#[tokio::test]
async fn what_was_asked_names_the_subtask_that_it_was_asked_of() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    fixture.store.dispatch(task_id(1));
    fixture.store.succeed(task_id(1), 1);
    fixture.store.fail(task_id(1), 2);
    let subtask = subtask_id(task_id(1), 2);
    for asked in [VerbRequest::SkipSubtask { subtask }, VerbRequest::Cancel] {
        fixture.store.decide(task_id(1), asks(asked));
        fixture.store.dispatch(task_id(1));
    }
    let subtask = subtask_id(task_id(1), 3);
    let ended =
        Input::StepCancelled { subtask, looked: true, output: StepOutput::default(), waited_for: "nothing".to_owned() };
    fixture.store.decide(task_id(1), ended);
    let text = text(fixture.send(watch("", Some("0"))).await).await;
    let asked = read(&text).0.into_iter().filter(|event| event.name == "verb_requested");
    let asked = asked.map(|event| event.data["verb_requested"].clone());
    let asked: Vec<_> = asked.map(|asked| (asked["verb"].clone(), asked["subtask_id"].clone())).collect();
    let skipped = (Value::from("TASK_VERB_SKIP_SUBTASK"), Value::from(subtask_id(task_id(1), 2).get()));
    assert_eq!(asked, [skipped, (Value::from("TASK_VERB_CANCEL"), Value::Null)]);
}

#[tokio::test]
async fn what_refuses_a_watch_before_it_begins_is_an_envelope() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.ask(watch("", None)).await.reason(), "TASK_NOT_FOUND");
    fixture.store.create(task_id(1), cluster_id(1));
    assert_eq!(fixture.ask(watch("?lastEventId=99", None)).await.reason(), "REVISION_AHEAD");
    for (query, header) in [("?until=later", None), ("?progress=7", None), ("?lastEventId=-1", None), ("", Some("x"))] {
        assert_eq!(fixture.ask(watch(query, header)).await.reason(), "INVALID_ARGUMENT", "{query} {header:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_with_the_callers_rights_and_is_never_silent() {
    let fixture = Fixture::admin(|_| ()).await;
    fixture.store.create(task_id(1), cluster_id(1));
    let response = fixture.send(watch("?until=closed", None)).await;
    let user = UserId::new(100).unwrap();
    let demote = AccessChange::UpdateUser { user, roles: Some(Vec::new()), certificate_names: None, disabled: None };
    let directory = &fixture.service.directory;
    let demoted = async {
        // After the first bookmark, which comes when nothing happens.
        tokio::time::sleep(BOOKMARK_PERIOD + Duration::from_secs(1)).await;
        directory.change::<StoreError>(|_| Ok((demote.clone(), audit("admin")))).await.unwrap();
    };
    let (text, ()) = tokio::join!(text(response), demoted);
    let (events, comments) = read(&text);
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["snapshot", "bookmark", "failed"]);
    assert!(comments.iter().any(|comment| comment.contains("keep-alive")), "{comments:?}");
    assert_eq!(events[2].data["code"], 3100);
}
