//! Pages that change while they are shown.

use axum::body::Body;
use futures::StreamExt;
use http::Request;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::{Browser, Fixture, SESSION};
use crate::support::PATIENCE;
use crate::support::stored_tasks::task_id;

/// The events of a stream, one after the other.
struct Stream {
    body: axum::body::BodyDataStream,
    read: String,
}

impl Stream {
    async fn of(browser: &Browser, path: &str, last: Option<&str>) -> Self {
        let request = Request::get(path);
        let request = last.into_iter().fold(request, |request, last| request.header("last-event-id", last));
        let response = browser.send(request, Body::empty()).await;
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), read: String::new() }
    }

    /// The next block that says what it holds.
    async fn next(&mut self, what: &str) -> String {
        let found = async {
            loop {
                while let Some((block, rest)) = self.read.split_once("\n\n") {
                    let (block, rest) = (block.to_owned(), rest.to_owned());
                    self.read = rest;
                    if block.contains(what) {
                        return block;
                    }
                }
                let data = self.body.next().await.unwrap_or_else(|| panic!("ended without {what}")).unwrap();
                self.read.push_str(std::str::from_utf8(&data).unwrap());
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {what}"))
    }
}

#[tokio::test]
async fn a_task_is_shown_as_it_moves() {
    let fixture = Fixture::new().await;
    let admin = fixture.signed_in("admin").await;
    let mut stream = Stream::of(&admin, "/tasks/1/live", None).await;
    let first = stream.next("event: region").await;
    assert!(first.contains("Step 1") && first.contains("state-RUNNING"), "{first}");
    fixture.service.store.fail(task_id(1), 1);
    let failed = stream.next("id=\"verb-RETRY\"").await;
    let id = failed.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    assert_eq!(id, fixture.service.store.folded(task_id(1)).revision.to_string());
    // Who comes again with that has it already.
    let mut again = Stream::of(&admin, "/tasks/1/live", Some(id)).await;
    again.next("as it is shown").await;
    let mut page = Stream::of(&admin, &format!("/tasks/1/live?seen={id}"), None).await;
    page.next("as it is shown").await;
}

#[tokio::test]
async fn lists_change_with_what_is_in_them() {
    let fixture = Fixture::new().await;
    let viewer = fixture.signed_in("viewer").await;
    let mut streams = Vec::new();
    for path in ["/tasks/live", "/clusters/live", "/clusters/1/live"] {
        streams.push(Stream::of(&viewer, path, None).await);
    }
    for stream in &mut streams {
        stream.next("event: region").await;
    }
    fixture.service.store.fail(task_id(1), 1);
    for stream in &mut streams {
        stream.next("event: region").await;
    }
}

#[tokio::test]
async fn a_stream_speaks_the_language_of_its_page() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    let page = admin.page("/tasks/1").await;
    let source = page.split_once("data-live=\"").unwrap().1.split_once('"').unwrap().0.replace("&amp;", "&");
    admin.get("/language?to=zh&next=/").await;
    assert!(admin.page("/tasks/1").await.contains("步骤"));
    let mut stream = Stream::of(&admin, &source.replace("seen=", "shown="), None).await;
    let region = stream.next("event: region").await;
    assert!(region.contains("Steps") && !region.contains("步骤"), "{region}");
}

#[tokio::test]
async fn a_stream_ends_when_its_session_is_signed_out_or_its_user_is_disabled() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    let mut viewer = fixture.signed_in("viewer").await;
    let mut streams = Vec::new();
    for browser in [&admin, &viewer] {
        streams.push(Stream::of(browser, "/tasks/1/live", None).await);
    }
    for stream in &mut streams {
        stream.next("event: region").await;
    }
    assert_eq!(viewer.submit("/", "/sign-out", &[]).await.status.as_u16(), 303);
    fixture.service.store.fail(task_id(1), 1);
    streams.pop().unwrap().next("event: signed-out").await;
    streams.pop().unwrap().next("event: region").await;
    let mut viewer = fixture.signed_in("viewer").await;
    let mut stream = Stream::of(&viewer, "/tasks/live", None).await;
    stream.next("event: region").await;
    let disable = [("act", "disable-user"), ("user", "viewer")];
    assert_eq!(admin.submit("/access", "/access", &disable).await.status.as_u16(), 303);
    fixture.service.store.create(task_id(3), obsteward::domain::ids::ClusterId::new(3).unwrap());
    stream.next("event: signed-out").await;
    assert_eq!(viewer.get("/").await.status.as_u16(), 303);
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let fixture = Fixture::new().await;
    let admin = fixture.signed_in("admin").await;
    let mut stream = Stream::of(&admin, "/tasks/1/live", None).await;
    stream.next("event: region").await;
    fixture.clock.advance(SESSION);
    fixture.service.store.fail(task_id(1), 1);
    stream.next("event: signed-out").await;
    assert!(timeout(PATIENCE, stream.body.next()).await.unwrap().is_none());
    let refused = admin.send(Request::get("/tasks/1/live"), Body::empty()).await;
    assert_eq!(refused.status().as_u16(), 401);
    _ = refused.into_body().collect().await.unwrap();
}
