//! Probes of whoever supervises the process: `GET /healthz`, whether it answers at all, and `GET /readyz`, whether it serves.
//! Everybody may ask, and learns nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::header::CACHE_CONTROL;
use http::{HeaderName, StatusCode};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::ClusterKey;
use crate::store::Store;

/// A probe is to be answered before those who ask give up.
const STORE_ANSWERS_WITHIN: Duration = Duration::from_millis(800);

/// Whether calls are served: from when that is said, until the service is told to end.
pub struct Readiness {
    store: Arc<dyn Store>,
    serving: AtomicBool,
    ending: CancellationToken,
    /// One look at the store at a time: anybody may ask.
    turn: Mutex<()>,
}

impl Readiness {
    pub fn new(store: Arc<dyn Store>, ending: CancellationToken) -> Arc<Self> {
        Arc::new(Self { store, serving: AtomicBool::new(false), ending, turn: Mutex::default() })
    }

    /// Calls are served from now on.
    pub fn serves(&self) {
        self.serving.store(true, Ordering::Release);
    }

    /// Why it is not ready, in a line; `None`: it is.
    pub async fn lacks(&self) -> Option<String> {
        if self.ending.is_cancelled() {
            return Some("the service ends".to_owned());
        }
        if !self.serving.load(Ordering::Acquire) {
            return Some("the service starts".to_owned());
        }
        let looked = async {
            let _turn = self.turn.lock().await;
            // There is no such cluster: the store is asked, and has little to read.
            self.store.lock(&ClusterKey::from_stored(String::new())).await
        };
        match tokio::time::timeout(STORE_ANSWERS_WITHIN, looked).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => {
                tracing::warn!("not ready: {error}");
                Some("the store fails, the log says why".to_owned())
            }
            Err(_) => Some(format!("the store does not answer within {STORE_ANSWERS_WITHIN:?}")),
        }
    }
}

type Probed = (StatusCode, [(HeaderName, &'static str); 1], String);

/// The two probes; the gateway has them among its routes.
pub fn router(readiness: Arc<Readiness>) -> Router {
    let healthz = get(async || told(None));
    let readyz = get(async |State(readiness): State<Arc<Readiness>>| told(readiness.lacks().await));
    Router::new().route("/healthz", healthz).route("/readyz", readyz).with_state(readiness)
}

fn told(lack: Option<String>) -> Probed {
    let (status, text) = answer(lack);
    (status, [(CACHE_CONTROL, "no-store")], text)
}

/// What a probe is answered; `lack`: what is missing.
pub fn answer(lack: Option<String>) -> (StatusCode, String) {
    match lack {
        None => (StatusCode::OK, "ok".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}
