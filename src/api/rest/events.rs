//! The events of a task as server-sent events: a snapshot or, after a position, what followed it, in order, once. Ours, not
//! OCP's: its programs poll.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream, StreamExt};
use http::{HeaderName, HeaderValue};
use prost::Message;

use crate::api::error_table::{Retry, row};
use crate::api::headers::once;
use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::inputs::{Inputs, shown};
use crate::api::rest::parsed_request::ParsedRequest;
use crate::api::rest::request_meta::RequestMeta;
use crate::api::rest::state::RestState;
use crate::api::rest::tasks::task_id;
use crate::domain::ids::Revision;
use crate::domain::refusal::Refusal;
use crate::proto::json::{Json, carried};
use crate::proto::v1;
use crate::proto::v1::watch_task_response::Kind;
use crate::watch::{Until, WatchTask, watch_task};

/// Between two comments on a stream that is otherwise silent: proxies cut what says nothing.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a client should wait before it connects again.
const RECONNECT: Duration = Duration::from_secs(2);
/// Where a client that lost its stream goes on: the id of the last event that it saw.
const LAST_EVENT_ID: &str = "last-event-id";

/// Begins the stream; what refuses it before it begins is an envelope.
pub async fn watch(state: &Arc<RestState>, request: ParsedRequest) -> Result<Reply, Failure> {
    let ParsedRequest { caller, meta, inputs, headers, .. } = request;
    let last = once(&headers, &HeaderName::from_static(LAST_EVENT_ID), "Last-Event-ID")?;
    let watch = arguments(inputs, last)?;
    let permit = state.rest.gatekeeper.watch(&caller)?;
    let authorizer = state.call(&caller, Ok(watch.clone())).await?;
    let messages = watch_task(&state.rest.hub, watch, authorizer).await?;
    let first = Event::default().retry(RECONNECT).comment(format!("trace {}", meta.trace.trace_id()));
    let state = Arc::clone(state);
    let events = messages.map(move |message| {
        // The permit lives as long as the stream.
        let _counted = &permit;
        match message {
            Ok(encoded) => event(&state, &meta, encoded.bytes().clone()),
            Err(refusal) => broken(&state, &meta, &refusal),
        }
    });
    let events = stream::iter([first]).chain(events);
    let mut response = Sse::new(infallible(events))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive"))
        .into_response();
    // Proxies that collect an answer before they pass it on would make a watch useless.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(Reply::Whole(response))
}

fn arguments(mut inputs: Inputs, last: Option<&HeaderValue>) -> Result<WatchTask, Failure> {
    let query = inputs.query_text("lastEventId");
    // A browser that connects again sends the header, and the query as it was at first: the header is newer.
    let last = last.map(|last| String::from_utf8_lossy(last.as_bytes()).into_owned()).filter(|last| !last.is_empty());
    let after = match (last, query) {
        (Some(last), _) => inputs.position("Last-Event-ID", &last),
        (None, Some(query)) => inputs.position("lastEventId", &query),
        (None, None) => None,
    };
    let until = match inputs.query_text("until").as_deref() {
        None | Some("atRest") => Until::AtRest,
        Some("closed") => Until::Closed,
        Some(other) => {
            let given = shown(other);
            inputs.wrong("until", given, "is not known, give atRest or closed");
            Until::AtRest
        }
    };
    let progress = inputs.query_flag("progress").unwrap_or(false);
    let task = task_id(inputs)?;
    Ok(WatchTask { task, after: after.map(Revision::new), until, progress })
}

fn event(state: &RestState, meta: &RequestMeta, bytes: bytes::Bytes) -> Event {
    match written(bytes) {
        Some(Written { name, data, revision }) => {
            let event = Event::default().event(name).data(data);
            match revision {
                Some(revision) => event.id(revision.to_string()),
                None => event,
            }
        }
        None => {
            let refusal = Refusal::Internal { what: "an event of the watch cannot be read".to_owned() };
            broken(state, meta, &refusal)
        }
    }
}

/// A message, ready to be sent.
struct Written {
    /// The name that the protocol has for what it carries.
    name: String,
    /// One line of JSON.
    data: String,
    /// Where the stream stands after it; progress has no place of its own.
    revision: Option<i64>,
}

fn written(bytes: bytes::Bytes) -> Option<Written> {
    let (name, data, revision) = match v1::WatchTaskResponse::decode(bytes).ok()?.kind? {
        Kind::Snapshot(task) => ("snapshot".to_owned(), serde_json::to_string(&Json(&task)), Some(task.revision)),
        Kind::Bookmark(bookmark) => {
            ("bookmark".to_owned(), serde_json::to_string(&Json(&bookmark)), Some(bookmark.revision))
        }
        Kind::Progress(progress) => ("progress".to_owned(), serde_json::to_string(&Json(&progress)), None),
        Kind::Event(event) => {
            let name = carried(&event, "kind").unwrap_or_else(|| "unknown".to_owned());
            (name, serde_json::to_string(&Json(&event)), Some(event.revision))
        }
    };
    Some(Written { name, data: data.ok()?, revision })
}

/// The end of a watch that was refused in its course, or whose service ends.
fn broken(state: &RestState, meta: &RequestMeta, refusal: &Refusal) -> Event {
    let row = row(refusal);
    let wait = match row.retry {
        Retry::After(wait) => Some(wait),
        Retry::Never | Retry::At(_) => None,
    };
    let error = state.format.error(meta, &row, Vec::new());
    let data = serde_json::to_string(&error).unwrap_or_default();
    // Not `error`: browsers name what befalls the connection so.
    let event = Event::default().event("failed").data(data);
    match wait {
        Some(wait) => event.retry(wait),
        None => event,
    }
}

fn infallible(
    events: impl Stream<Item = Event> + Send + 'static,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    events.map(Ok)
}
