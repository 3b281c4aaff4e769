//! What the face says of itself: its description, the time, whether it serves, what runs here. All but the last need no caller:
//! load balancers, and clients that look whether there is an OCP, ask before they say who they are.

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::api::probes;
use crate::api::rest::OPENAPI;
use crate::api::rest::answer::Reply;
use crate::api::rest::state::RestState;
use crate::clock::Clock;

/// `/openapi.yaml`.
pub fn description() -> Reply {
    whole(StatusCode::OK, "application/yaml", OPENAPI)
}

/// The time: a client may correct the `Date` that it signs.
pub fn time(state: &RestState) -> Reply {
    Reply::Data(Value::from(state.format.timestamps.text(Clock::system().now())))
}

/// OCP's words of a service that is well and of one that is not; the status says the same to who reads no body.
pub fn status(state: &RestState) -> Reply {
    match state.rest.hub.is_ending() {
        false => whole(StatusCode::OK, "text/plain; charset=utf-8", "okay"),
        true => whole(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", "bad"),
    }
}

/// Of the process.
pub fn liveness() -> Reply {
    probed(None)
}

/// Of the service.
pub async fn readiness(state: &RestState) -> Reply {
    probed(state.rest.readiness.lacks().await)
}

/// `lack`: what is missing.
fn probed(lack: Option<String>) -> Reply {
    let (status, text) = probes::answer(lack);
    whole(status, "text/plain; charset=utf-8", text)
}

/// Without an envelope, as OCP documents it; of its fields those that say something about this program.
pub fn info() -> Reply {
    let name = env!("CARGO_PKG_NAME");
    let info = json!({"artifact": name, "buildVersion": env!("CARGO_PKG_VERSION"), "group": name, "name": name});
    whole(StatusCode::OK, "application/json", info.to_string())
}

fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Reply {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Reply::Whole(response)
}
