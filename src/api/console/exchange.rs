//! The way of a request to the console: its caller is proven by its session, a form must come from a page of ours, then its
//! handler answers, in a frame.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request};
use futures::future::BoxFuture;
use http::header::{LOCATION, SET_COOKIE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use secrecy::SecretString;
use tracing::{Instrument, Span, error_span, field};

use crate::access::Secret;
use crate::access::credentials::Credentials;
use crate::access::session::session_of;
use crate::api::auth::{Denied, peer};
use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::cookies;
use crate::api::console::fields::{Fields, encoded};
use crate::api::console::frame::{self, Frame};
use crate::api::console::live;
use crate::api::console::same_origin::is_same_origin;
use crate::api::console::visit::Visit;
use crate::api::headers::for_one_host;
use crate::api::rest::TRACE_ID;
use crate::api::rest::body::read_body;
use crate::api::rest::panics::caught;
use crate::api::rest::stranger::Stranger;
use crate::api::trace;
use crate::domain::refusal::Refusal;
use crate::domain::trace::TraceContext;

/// What answers proven callers at an address.
pub type Handler = fn(Arc<ConsoleState>, Arc<Visit>) -> BoxFuture<'static, Result<Answer, Problem>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Page,
    /// Changes something.
    Form,
    /// A stream of a page's live region: it is shown to nobody, and does not count as use of the session.
    Live,
}

/// What is known of a request before its caller is.
pub struct Arrival {
    pub head: Parts,
    pub trace: TraceContext,
    /// What stands for the request in its trace.
    pub span: Span,
    /// Whether the client speaks TLS, to us or to a proxy that is trusted.
    pub secure: bool,
    pub stranger: Stranger,
}

impl Arrival {
    pub fn of(state: &ConsoleState, request: Request) -> (Self, Body) {
        let stranger = Stranger::of(&request);
        let (head, body) = request.into_parts();
        let secure = state.console.config.tls.is_some() || peer(&head.extensions).is_behind_https(&head.headers);
        let route = head.extensions.get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
        let span = trace::of_request(&head.method, route);
        let trace = trace::arrived(&head.headers, &span);
        (Self { head, trace, span, secure, stranger }, body)
    }

    pub fn frame(&self) -> Frame<'_> {
        Frame { language: cookies::language(&self.head.headers), visit: None, uri: &self.head.uri }
    }

    /// An answer to somebody that is not proven.
    pub fn for_stranger(self, response: Response<Body>) -> Response<Body> {
        let response = traced(response, self.trace);
        self.stranger.held(response).unwrap_or_else(|_| {
            let mut full = Response::new(Body::empty());
            *full.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            full
        })
    }

    /// A form from a page of ours.
    pub async fn form(&self, state: &ConsoleState, body: Body) -> Result<Fields, Problem> {
        if !is_same_origin(&self.head.uri, &self.head.headers) {
            return Err(Problem::ForeignForm);
        }
        let (limit, seconds) = (state.console.body_bytes, state.console.arrival_seconds);
        let body = read_body(limit, seconds, &self.head.headers, body).await?;
        Ok(Fields::read(&String::from_utf8_lossy(&body)))
    }
}

/// Answers a request at an address of the console.
pub async fn visited(state: Arc<ConsoleState>, way: Way, handle: Handler, request: Request) -> Response<Body> {
    let (arrival, body) = Arrival::of(&state, request);
    let request_span = arrival.span.clone();
    let trace_id = arrival.trace.trace_id();
    let answering = async {
        let span = error_span!("console", %trace_id, principal = field::Empty, address = field::Empty);
        let response = answered(state, way, handle, arrival, body).instrument(span).await;
        trace::request_ended(&Span::current(), response.status());
        response
    };
    answering.instrument(request_span).await
}

async fn answered(
    state: Arc<ConsoleState>,
    way: Way,
    handle: Handler,
    mut arrival: Arrival,
    body: Body,
) -> Response<Body> {
    let token = cookies::session(&arrival.head.headers, arrival.secure);
    let caller = match proven(&state, &arrival, token.clone()).await {
        Ok(caller) => caller,
        Err(Denied { refusal: Refusal::Unauthenticated { .. }, .. }) if way == Way::Page => {
            let wanted = arrival.head.uri.path_and_query().map_or("/", |wanted| wanted.as_str());
            let response = see_other(&format!("/sign-in?next={}", encoded(wanted)));
            return arrival.for_stranger(response);
        }
        Err(Denied { refusal, .. }) => {
            let response = frame::problem(&arrival.frame(), &Problem::Refused(refusal));
            return arrival.for_stranger(response);
        }
    };
    Span::current().record("principal", field::display(&caller.principal));
    Span::current().record("address", field::display(&caller.address));
    let session = token.as_ref().and_then(session_of).filter(|_| caller.user.is_some());
    let sessions = &state.console.sessions;
    let form = match way {
        Way::Page | Way::Live => Ok(Fields::default()),
        Way::Form => arrival.form(&state, body).await.and_then(|form| {
            let given = form.get("form_token").unwrap_or_default();
            if sessions.is_form_token(session, given) { Ok(form) } else { Err(Problem::ForeignForm) }
        }),
    };
    let path = match RawPathParams::from_request_parts(&mut arrival.head, &()).await {
        Ok(path) => Ok(Fields::of(path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())))),
        Err(_) => Err(Problem::NoPage),
    };
    let (form, path, wrong) = match (form, path) {
        (Ok(form), Ok(path)) => (form, path, None),
        (Err(problem), _) | (_, Err(problem)) => (Fields::default(), Fields::default(), Some(problem)),
    };
    let query = Fields::read(arrival.head.uri.query().unwrap_or_default());
    let language = match (way, query.get(live::LANGUAGE).and_then(cookies::chosen)) {
        // That of the page which it belongs to, whatever another tab has chosen since.
        (Way::Live, Some(of_page)) => of_page,
        (Way::Live, None) | (Way::Page | Way::Form, _) => cookies::language(&arrival.head.headers),
    };
    let visit = Arc::new(Visit {
        language,
        session,
        form_token: sessions.form_token(session),
        token,
        path,
        query,
        form,
        caller,
        head: arrival.head,
    });
    let outcome = match wrong {
        None => caught(handle(Arc::clone(&state), Arc::clone(&visit))).await,
        Some(problem) => Err(problem),
    };
    let frame = Frame { language: visit.language, visit: Some(&visit), uri: &visit.head.uri };
    let mut response = match outcome {
        Ok(Answer::Page(page)) => frame::page(&frame, StatusCode::OK, page),
        Ok(Answer::SeeOther(path)) => see_other(&path),
        Ok(Answer::Whole(response)) => response,
        Err(problem) => frame::problem(&frame, &problem),
    };
    if way != Way::Live && !response.headers().contains_key(SET_COOKIE) {
        let renewed = renewed(&state, &visit);
        let cookie = renewed.and_then(|token| {
            cookies::set_session(&token, state.console.sessions.lifetime().as_secs(), arrival.secure)
        });
        response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    }
    traced(response, arrival.trace)
}

/// With authentication off, everybody who speaks to one host.
async fn proven(
    state: &ConsoleState,
    arrival: &Arrival,
    token: Option<SecretString>,
) -> Result<crate::service::Caller, Denied> {
    for_one_host(arrival.head.version, &arrival.head.uri, &arrival.head.headers)?;
    let presented = token.map(|token| Credentials::Session { token });
    state.console.gatekeeper.admit_visitor(&arrival.head, presented, arrival.trace).await
}

/// The session with a later end.
fn renewed(state: &ConsoleState, visit: &Visit) -> Option<SecretString> {
    let Some(Secret::Password(hash)) = &visit.caller.proof.secret else { return None };
    state.console.sessions.renew(visit.session?, hash, state.console.clock.now())
}

/// On to another page of ours.
pub fn see_other(path: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, path);
    response
}

fn traced(mut response: Response<Body>, trace: TraceContext) -> Response<Body> {
    if let Ok(trace) = HeaderValue::from_str(&trace.trace_id().to_string()) {
        response.headers_mut().insert(HeaderName::from_static(TRACE_ID), trace);
    }
    response
}

fn is_of_gateway(path: &str) -> bool {
    path.starts_with("/api/") || path == "/openapi.yaml"
}

/// Whether a page is asked for by a browser that is to show it.
pub fn is_for_people(request: &Request) -> bool {
    let accepts = request.headers().get_all(http::header::ACCEPT).iter();
    let html = accepts.filter_map(|accept| accept.to_str().ok()).any(|accept| accept.contains("text/html"));
    html && matches!(*request.method(), Method::GET | Method::HEAD) && !is_of_gateway(request.uri().path())
}
