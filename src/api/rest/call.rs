//! What every request has around it: its trace, its body, its caller, its answer in an envelope — also when a handler
//! panics — and, for a mutation whose parameters are wrong, its place in the audit log.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use bytes::Bytes;
use futures::FutureExt;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use tracing::{Instrument, debug, error, field, info, info_span, warn};

use crate::api::auth::{Rate, SignedParts};
use crate::api::headers::for_one_host;
use crate::api::rest::answer::{Asked, Failure, Manner, REASON, Reply};
use crate::api::rest::inputs::Inputs;
use crate::api::rest::language::Language;
use crate::api::rest::moments::Moments;
use crate::api::rest::routes::Operation;
use crate::api::rest::{Rest, about, events, inventory, operate, tasks};
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;
use crate::net::peer::Peer;
use crate::net::unauthenticated::ConnectionGuard;
use crate::service::{Caller, ServiceCall};

/// Longest path that an error repeats, in characters.
const LONGEST_PATH: usize = 200;

/// Where a request came out of the router.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// At a route.
    Operation(Operation),
    /// At a path that takes only these methods.
    WrongMethod(&'static str),
    /// Nowhere.
    Unknown,
}

impl Target {
    const fn object(self) -> &'static str {
        match self {
            Self::Operation(operation) => operation.as_str(),
            Self::WrongMethod(_) | Self::Unknown => "request",
        }
    }

    const fn changes(self) -> bool {
        match self {
            Self::Operation(operation) => operation.changes(),
            Self::WrongMethod(_) | Self::Unknown => false,
        }
    }
}

/// A request whose caller is proven.
pub struct Proven {
    /// Who.
    pub caller: Caller,
    /// Its parameters.
    pub inputs: Inputs,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// The face with what is computed once.
pub struct Face {
    /// What it stands on.
    pub rest: Rest,
    /// How it answers.
    pub manner: Manner,
    /// Risks that may be accepted over it.
    pub risks: Vec<Risk>,
}

impl Face {
    /// Over what it stands on.
    pub fn new(rest: Rest) -> Self {
        let moments = Moments::named(&rest.config.time_zone).unwrap_or_else(|unknown| {
            warn!("{unknown}; moments are in UTC");
            Moments::utc()
        });
        let risks = rest.config.accepted_risks.iter().filter_map(|name| {
            name.parse().map_err(|unknown| warn!("rest.accepted_risks: {unknown}, it stays without effect")).ok()
        });
        let risks = risks.collect();
        let server = server_name(&rest);
        let manner = Manner { moments, server, codes: rest.config.error_codes };
        Self { rest, manner, risks }
    }

    /// Answers a request. One that changes something is worked on to its end although its client may go away: a task must
    /// not be recorded and never begun.
    pub async fn answer(self: Arc<Self>, target: Target, request: Request) -> Response<Body> {
        let language = Language::of(request.headers());
        let work = Arc::clone(&self).work(target, request);
        if !target.changes() {
            return work.await;
        }
        tokio::spawn(work).await.unwrap_or_else(|_| {
            // Panics are caught within: the runtime ends.
            let why = "the service is ending".to_owned();
            let refusal = Refusal::Unavailable { why, retry_after_millis: 1000 };
            self.manner.response(&Asked::new(language, target.object()), Err(refusal.into()), None)
        })
    }

    async fn work(self: Arc<Self>, target: Target, request: Request) -> Response<Body> {
        let asked = Asked::new(Language::of(request.headers()), target.object());
        let span = info_span!(
            "rest",
            operation = asked.object,
            trace_id = %asked.trace_id,
            principal = field::Empty,
            address = field::Empty,
        );
        let (mut rate, mut proven) = (None, false);
        let guard = request.extensions().get::<ConnectionGuard>().cloned();
        let client = peer(request.extensions()).client(request.headers()).ip();
        let work = AssertUnwindSafe(self.attend(&asked, target, request, &mut rate, &mut proven)).catch_unwind();
        let outcome = work.instrument(span.clone()).await.unwrap_or_else(|_| {
            // What it says went to standard error with its place; it may hold anything, so callers do not see it.
            span.in_scope(|| error!("the handler of the request panicked"));
            Err(Refusal::Internal { what: "the request could not be handled".to_owned() }.into())
        });
        let mut response = self.manner.response(&asked, outcome, rate);
        if let Some(guard) = guard.filter(|_| !proven) {
            response = self.for_a_stranger(&asked, response, &guard, client);
        }
        let status = response.status();
        let reason = response.headers().get(REASON).and_then(|reason| reason.to_str().ok()).unwrap_or_default();
        span.in_scope(|| match status.as_u16() {
            500.. => warn!(%status, reason, "failed"),
            400.. => info!(%status, reason, "refused"),
            _ => debug!(%status, "answered"),
        });
        if let Target::WrongMethod(allowed) = target {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }

    /// An answer to somebody that is not proven. It counts until it is taken; who takes none gets the next ones without a
    /// body, which no window holds back.
    fn for_a_stranger(
        &self,
        asked: &Asked,
        response: Response<Body>,
        guard: &ConnectionGuard,
        client: IpAddr,
    ) -> Response<Body> {
        match guard.stay(client) {
            Ok(stay) => response.map(|body| {
                // Of what holds on to something, this leaves the body its length.
                Body::new(body.map_err(move |error| {
                    let _counted = &stay;
                    error
                }))
            }),
            Err(limit) => {
                let refusal = Refusal::TooManyUnauthenticated { limit };
                let mut response = self.manner.response(asked, Err(refusal.into()), None);
                response.headers_mut().remove(CONTENT_TYPE);
                response.map(|_| Body::empty())
            }
        }
    }

    async fn attend(
        self: &Arc<Self>,
        asked: &Asked,
        target: Target,
        mut request: Request,
        rate: &mut Option<Rate>,
        proven: &mut bool,
    ) -> Result<Reply, Failure> {
        if let Some(reply) = self.open(target) {
            return Ok(reply);
        }
        let path = match request.extract_parts::<RawPathParams>().await {
            Ok(params) => Some(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
            Err(_) => None,
        };
        let (parts, body) = request.into_parts();
        for_one_host(parts.version, &parts.uri, &parts.headers)?;
        let peer = peer(&parts.extensions);
        // A stranger's body is read only where its signature is about it.
        let needs_body = self.rest.gatekeeper.needs_body(&parts.headers, &peer, &asked.trace_id);
        let (read, unread) = match needs_body.map_err(|denied| denied.refusal)? {
            true => (self.body(&parts, body).await?, None),
            false => (Bytes::new(), Some(body)),
        };
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        let signed = SignedParts {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query(),
            host: parts.headers.get(HOST).and_then(|host| host.to_str().ok()).or(authority),
            body: &read,
        };
        let admitted = self.rest.gatekeeper.admit(&parts.headers, Some(signed), &peer, &asked.trace_id).await;
        let admitted = admitted.map_err(|denied| {
            *rate = denied.rate;
            denied.refusal
        })?;
        *rate = admitted.rate;
        *proven = true;
        if let Some(guard) = parts.extensions.get::<ConnectionGuard>() {
            guard.known();
        }
        let mut caller = admitted.caller;
        let span = tracing::Span::current();
        span.record("principal", field::display(&caller.principal));
        span.record("address", field::display(&caller.address));
        let method = parts.method.as_str().to_owned();
        match target {
            Target::Unknown => Err(Refusal::RouteNotFound { method, path: shortened_path(&parts) }.into()),
            Target::WrongMethod(allowed) => {
                let (path, allowed) = (shortened_path(&parts), allowed.to_owned());
                Err(Refusal::MethodNotAllowed { method, path, allowed }.into())
            }
            Target::Operation(operation) => {
                let body = match unread {
                    Some(body) => self.body(&parts, body).await?,
                    None => read,
                };
                let mut inputs = Inputs::new(path, parts.uri.query());
                if operation.changes() && foreign(&parts.headers) {
                    let advice = "says that another site's page sends this with the credentials of your browser";
                    inputs.wrong("Sec-Fetch-Site", Value::Null, advice);
                }
                if operation.changes() {
                    caller.reason = inputs.query_reason();
                }
                self.perform(asked, operation, Proven { caller, inputs, headers: parts.headers, body }).await
            }
        }
    }

    /// What is answered whoever asks.
    fn open(&self, target: Target) -> Option<Reply> {
        match target {
            Target::Operation(Operation::OpenApi) => Some(about::description()),
            Target::Operation(Operation::GetTime) => Some(about::time(self)),
            Target::Operation(Operation::GetStatus) => Some(about::status(self)),
            Target::Operation(_) | Target::WrongMethod(_) | Target::Unknown => None,
        }
    }

    async fn perform(self: &Arc<Self>, asked: &Asked, operation: Operation, request: Proven) -> Result<Reply, Failure> {
        match operation {
            Operation::OpenApi => Ok(about::description()),
            Operation::GetTime => Ok(about::time(self)),
            Operation::GetStatus => Ok(about::status(self)),
            Operation::GetInfo => Ok(about::info()),
            Operation::StopServer => operate::stop(self, request).await,
            Operation::StartServer => operate::start(self, request).await,
            Operation::RestartServer => operate::restart(self, request).await,
            Operation::ListTasks => tasks::list(self, request).await,
            Operation::GetTask => tasks::get(self, request).await,
            Operation::RetryTask => tasks::retry(self, request).await,
            Operation::RollbackTask => tasks::rollback(self, request).await,
            Operation::CancelTask => tasks::cancel(self, request).await,
            Operation::GiveUpTask => tasks::give_up(self, request).await,
            Operation::GetSubtaskLog => tasks::log(self, request).await,
            Operation::RetrySubtask => tasks::retry_subtask(self, request).await,
            Operation::SkipSubtask => tasks::skip_subtask(self, request).await,
            Operation::CancelSubtask => tasks::cancel_subtask(self, request).await,
            Operation::WatchTask => events::watch(self, asked, request).await,
            Operation::ListClusters => inventory::clusters(self, request).await,
            Operation::GetCluster => inventory::cluster(self, request).await,
            Operation::ListZones => inventory::zones(self, request).await,
            Operation::ListServers => inventory::servers(self, request).await,
            Operation::GetServer => inventory::server(self, request).await,
            Operation::ListZoneServers => inventory::zone_servers(self, request).await,
        }
    }

    /// Makes a call with these arguments; when those of a mutation are wrong, that it was asked for is kept.
    pub async fn call<C: ServiceCall>(
        &self,
        caller: &Caller,
        arguments: Result<C, Failure>,
    ) -> Result<C::Output, Failure> {
        match arguments {
            Ok(call) => Ok(self.rest.guarded.call(caller, call).await?),
            Err(failure) => {
                self.rest.guarded.refused::<C>(caller, &failure.refusal).await;
                Err(failure)
            }
        }
    }

    /// The whole body, bounded in bytes and time.
    async fn body(&self, parts: &Parts, body: Body) -> Result<Bytes, Refusal> {
        let limit = self.rest.body_bytes;
        let declared = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > limit) {
            return Err(Refusal::BodyTooLarge { limit });
        }
        let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
        let seconds = self.rest.arrival_seconds;
        let arrived = tokio::time::timeout(Duration::from_secs(seconds), limited.collect()).await;
        match arrived {
            Err(_) => Err(Refusal::RequestTimeout { seconds }),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge { limit }),
            Ok(Err(_)) => Err(Refusal::field("body", "broke off before its end, send it again")),
            Ok(Ok(body)) => Ok(body.to_bytes()),
        }
    }
}

/// Whether a browser says that a page of another site sends this: it would add the password that it remembers, unasked.
fn foreign(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-site").iter().any(|site| site == "cross-site" || site == "same-site")
}

/// The name that was given, or the address that is listened on, or the machine's name.
fn server_name(rest: &Rest) -> String {
    let listened = rest.config.listen.map(|address| address.ip()).filter(|ip: &IpAddr| !ip.is_unspecified());
    match (rest.config.server_name.as_str(), listened) {
        ("", Some(ip)) => ip.to_string(),
        ("", None) => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        (name, _) => name.to_owned(),
    }
}

/// Who is at the other end of the connection.
fn peer(extensions: &http::Extensions) -> Peer {
    extensions.get().cloned().unwrap_or_else(|| Peer::plaintext(SocketAddr::from(([0, 0, 0, 0], 0))))
}

fn shortened_path(parts: &Parts) -> String {
    cut(parts.uri.path())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_PATH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
