//! The REST face, driven without sockets: the contract's shape, every refusal, wrong inputs, streams, and its description.

mod clients;
pub mod contract;
mod description;
mod events;
mod fuzz;
mod inputs;
mod refused;
mod sample_task;
mod several;

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::{Extension, Router};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use obsteward::api::auth::Gatekeeper;
use obsteward::api::probes::Readiness;
use obsteward::api::rest::{Rest, router};
use obsteward::clock::Clock;
use obsteward::config::{AuthConfig, ErrorCodes, LimitsConfig, RestConfig, TaskShape};
use obsteward::domain::call::Call;
use obsteward::domain::ids::UserId;
use obsteward::net::peer::Peer;
use obsteward::store::AuditOutcome;
use obsteward::store::access::AccessChange;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::security::access::{basic, cheap_hash};
use crate::support::guarded;
use crate::support::stored_rows::users;
use crate::support::temporary_store::TemporaryStore;

/// Path of the stop of the sample.
pub const STOP: &str = "/api/v2/ob/clusters/20/servers/3/stop";

/// One whose servers serve, one where they have stopped, and that of OCP's samples.
const CLUSTERS: [i64; 3] = [1, 3, 20];

/// The face over a temporary store.
pub struct Fixture {
    pub store: Arc<TemporaryStore>,
    pub service: guarded::Fixture,
    pub router: Router,
    /// What every request carries.
    login: HeaderMap,
    shutdown: CancellationToken,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn reason(&self) -> &str {
        self.headers.get("obsteward-reason").map_or("", |reason| reason.to_str().unwrap())
    }
}

impl Fixture {
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub async fn with(change: impl FnOnce(&mut RestConfig)) -> Self {
        Self::over(guarded::Fixture::over(Vec::new(), CLUSTERS).await, Gatekeeper::open(), change).await
    }

    /// Everything is asked by the user of OCP's samples, who may do everything.
    pub async fn admin(change: impl FnOnce(&mut RestConfig)) -> Self {
        Self::admin_of(CLUSTERS, change).await
    }

    pub async fn admin_of(clusters: impl IntoIterator<Item = i64>, change: impl FnOnce(&mut RestConfig)) -> Self {
        let mut access = users(&[("admin", &["**"])]);
        let Some(AccessChange::CreateUser(admin)) = access.last_mut() else { panic!("{access:?}") };
        admin.id = Some(UserId::new(100).unwrap());
        admin.password_hash = Some(cheap_hash("of-the-sample"));
        let service = guarded::Fixture::over(access, clusters).await;
        let limits = LimitsConfig { requests_per_10_seconds: 0, requests_per_day: 0, ..LimitsConfig::default() };
        let directory = Arc::clone(&service.directory);
        let gatekeeper = Gatekeeper::new(directory, Clock::system(), &AuthConfig::default(), &limits);
        let login = basic("admin", "of-the-sample");
        Self { login, ..Self::over(service, gatekeeper, change).await }
    }

    pub async fn over(service: guarded::Fixture, gatekeeper: Gatekeeper, change: impl FnOnce(&mut RestConfig)) -> Self {
        let mut config = RestConfig {
            task_shape: TaskShape::Legacy,
            error_codes: ErrorCodes::Numeric,
            server_name: "xxx.xxx.xxx.xxx".to_owned(),
            time_zone: "+08:00".to_owned(),
            ..RestConfig::default()
        };
        change(&mut config);
        let (store, shutdown) = (Arc::clone(&service.store), CancellationToken::new());
        let rest = Rest {
            guarded: service.guarded.clone(),
            hub: service.hub(&shutdown).await,
            gatekeeper: Arc::new(gatekeeper),
            config,
            body_bytes: 1024,
            arrival_seconds: 15,
            metrics: Default::default(),
            readiness: Readiness::new(store.clone(), shutdown.clone()),
        };
        let peer = Peer::plaintext(SocketAddr::from(([127, 0, 0, 1], 4711)));
        rest.readiness.serves();
        let router = router(rest).layer(Extension(peer));
        Self { store, service, router, login: HeaderMap::new(), shutdown }
    }

    /// Tells the service to end.
    pub fn end(&self) {
        self.shutdown.cancel();
    }

    pub async fn send(&self, mut request: Request<Body>) -> Response<Body> {
        // As a client does; a test that is about it gives its own.
        request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("ocp.example.com"));
        request.headers_mut().extend(self.login.clone());
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        read(self.send(request).await).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str) -> Answer {
        self.ask(Request::post(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post_json(&self, path: &str, body: &str) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        self.ask(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// The mutation that was asked for last.
    pub fn last_call(&self) -> String {
        self.service.last_call()
    }

    /// What was refused, and with which reason.
    pub fn refused(&self) -> Vec<(Call, String)> {
        let refused = self.store.records().into_iter().filter_map(|record| match record.outcome {
            AuditOutcome::Refused { reason } => Some((record.call, reason)),
            AuditOutcome::Accepted => None,
        });
        refused.collect()
    }
}

/// An answer in its envelope.
pub async fn read(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:?}"));
    let answer = Answer { status: parts.status, headers: parts.headers, body };
    assert_enveloped(&answer);
    answer
}

/// What holds of every answer.
pub fn assert_enveloped(answer: &Answer) {
    let body = answer.body.as_object().unwrap_or_else(|| panic!("no object: {answer:?}"));
    let mut keys: Vec<&str> = body.keys().map(String::as_str).filter(|key| !["data", "error"].contains(key)).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["duration", "server", "status", "successful", "timestamp", "traceId"], "{answer:?}");
    assert_eq!(body["status"], answer.status.as_u16(), "{answer:?}");
    assert_eq!(body["successful"], answer.status.is_success(), "{answer:?}");
    assert_eq!(body.contains_key("error"), !answer.status.is_success(), "{answer:?}");
    assert!(!(body.contains_key("data") && body.contains_key("error")), "{answer:?}");
    let trace = body["traceId"].as_str().unwrap();
    assert!(trace.len() == 32 && trace.chars().all(|digit| digit.is_ascii_hexdigit()), "{trace}");
    assert_eq!(answer.headers["obsteward-trace-id"], trace);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(body["duration"].is_u64());
    let timestamp = body["timestamp"].as_str().unwrap();
    assert!(timestamp.len() == 29 && timestamp.ends_with("+08:00") && &timestamp[19..20] == ".", "{timestamp}");
}

/// Serves the face over the service and a temporary store, for `scripts/schemathesis` to be run against by hand: prints where, and ends
/// after so many seconds as `SERVE_SECONDS` says.
#[tokio::test]
#[ignore = "a server to try things on, not a test"]
async fn serve_for_a_while() {
    let fixture = Fixture::over(guarded::Fixture::empty(&[], 20).await, Gatekeeper::open(), |_| ()).await;
    fixture.accept(&obsteward::operations::STOP_PROCESS).await;
    let port = std::env::var("SERVE_PORT").map_or(0, |port| port.parse().unwrap());
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let seconds = std::env::var("SERVE_SECONDS").map_or(60, |seconds| seconds.parse().unwrap());
    let served = axum::serve(listener, fixture.router.clone()).into_future();
    _ = tokio::time::timeout(std::time::Duration::from_secs(seconds), served).await;
}
