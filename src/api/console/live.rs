//! Live pages: a stream of server-sent events, each with the live region of the page as it is now, rendered as the page was.
//! What happened is not told, only that something did: there is one rendering, and a browser that missed events misses nothing.
//!
//! With every event the caller is proven anew, and what it may see asked again. Renderings take turns (`turns.rs`), and a region is
//! rendered once for all that is there when its turn comes, however many events that are.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, Stream, StreamExt};
use http::{HeaderName, HeaderValue};
use maud::Markup;

use crate::access::credentials::Credentials;
use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::cookies;
use crate::api::console::visit::Visit;
use crate::api::limits::watches::WatchPermit;
use crate::domain::refusal::Refusal;
use crate::watch::Encoded;

/// Field in which the address of a stream says the language of its page.
pub const LANGUAGE: &str = "lang";
/// Most events that are told as one.
const TOGETHER: usize = 1024;
/// Between two comments on a stream that is otherwise silent.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a browser waits before it connects again.
const RECONNECT: Duration = Duration::from_secs(2);

/// The live region of a page.
pub struct Region {
    pub markup: Markup,
    /// Where it stands, for `Last-Event-ID`; `None`: it has no place of its own.
    pub revision: Option<i64>,
}

pub type Render = fn(Arc<ConsoleState>, Arc<Visit>) -> BoxFuture<'static, Result<Region, Problem>>;

type Messages = Pin<Box<dyn Stream<Item = Vec<Result<Encoded, Refusal>>> + Send>>;

struct Shown {
    state: Arc<ConsoleState>,
    visit: Arc<Visit>,
    messages: Messages,
    render: Render,
    /// What the browser has already.
    seen: Option<i64>,
    _permit: WatchPermit,
}

/// The address of a page's stream: in the language of the page, and of what its query has chosen.
pub fn source(visit: &Visit, path: &str) -> String {
    let query = visit.head.uri.query().unwrap_or_default();
    format!("{path}?{LANGUAGE}={}&{query}", cookies::word(visit.language))
}

/// The stream of a region that changes with `messages`.
pub fn stream(
    state: Arc<ConsoleState>,
    visit: Arc<Visit>,
    messages: impl Stream<Item = Result<Encoded, Refusal>> + Send + 'static,
    render: Render,
) -> Result<Answer, Problem> {
    let permit = state.console.gatekeeper.watch(&visit.caller)?;
    let last = visit.head.headers.get("last-event-id").and_then(|last| last.to_str().ok()?.parse().ok());
    let seen = last.or_else(|| visit.query.get("seen")?.parse().ok());
    let messages: Messages = Box::pin(messages.ready_chunks(TOGETHER).fuse());
    let shown = Shown { state, visit, messages, render, seen, _permit: permit };
    let first = Event::default().retry(RECONNECT).comment("live");
    let events = stream::unfold(Some(shown), |shown| async move { next(shown?).await });
    let events = stream::iter([first]).chain(events).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Proxies that collect an answer before they pass it on would make it useless.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(Answer::Whole(response))
}

async fn next(mut shown: Shown) -> Option<(Event, Option<Shown>)> {
    let Some(mut told) = shown.messages.next().await else {
        // Nothing will change any more: the browser need not come again.
        return Some((Event::default().event("end").data("end"), None));
    };
    let turn = shown.state.turns.next().await;
    // What came while it waited is shown with the rest.
    loop {
        if let Some(Err(refusal)) = told.into_iter().find(Result::is_err) {
            return Some((ended(&refusal), None));
        }
        match shown.messages.next().now_or_never().flatten() {
            Some(more) => told = more,
            None => break,
        }
    }
    match turn.take(rendered(Arc::clone(&shown.state), Arc::clone(&shown.visit), shown.render)).await {
        Ok(Region { revision, .. }) if revision.is_some() && revision == shown.seen.take() => {
            Some((Event::default().comment("as it is shown"), Some(shown)))
        }
        Ok(Region { markup, revision }) => {
            let event = Event::default().event("region").data(markup.into_string());
            let event = match revision {
                Some(revision) => event.id(revision.to_string()),
                None => event,
            };
            Some((event, Some(shown)))
        }
        Err(Problem::Refused(refusal)) => Some((ended(&refusal), None)),
        Err(Problem::NoPage | Problem::ForeignForm) => None,
    }
}

async fn rendered(state: Arc<ConsoleState>, visit: Arc<Visit>, render: Render) -> Result<Region, Problem> {
    let visit = again(&state, &visit).await?;
    render(state, Arc::new(visit)).await
}

/// Who is proven by the same session now.
async fn again(state: &ConsoleState, visit: &Visit) -> Result<Visit, Refusal> {
    let presented = visit.token.clone().map(|token| Credentials::Session { token });
    let proven = state.console.gatekeeper.visitor(&visit.head, presented, visit.caller.trace).await;
    let caller = proven.map_err(|denied| denied.refusal)?;
    Ok(Visit {
        caller,
        language: visit.language,
        session: visit.session,
        token: visit.token.clone(),
        form_token: visit.form_token.clone(),
        path: visit.path.clone(),
        query: visit.query.clone(),
        form: visit.form.clone(),
        head: visit.head.clone(),
    })
}

/// The end of a stream: of a session, of a permission, or of the service, in which case the browser comes again.
fn ended(refusal: &Refusal) -> Event {
    let over = matches!(refusal, Refusal::Unauthenticated { .. } | Refusal::PermissionDenied { .. });
    Event::default().event(if over { "signed-out" } else { "broken" }).data(refusal.reason())
}
