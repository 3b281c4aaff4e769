//! Keeps the silences at an Alertmanager as they should be: looks at which servers are out of service, at which silences there are, and
//! does what is missing. It asks the Alertmanager nothing while no server is out and none of our silences is left.

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Method};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::ids::Seq;
use crate::notify::http_client::{Asked, HttpClient, SendError};
use crate::notify::silences::{KnownSilence, Plan, SilenceRules, SilencedServer, is_out};
use crate::notify::standing::Standing;
use crate::notify::{Share, backoff, number_of};
use crate::store::notifications::NotificationStore;
use crate::store::{Store, StoreError};

/// The name under which it is shown; no webhook may have it.
pub const ALERTMANAGER: &str = "alertmanager";
const SILENCES: &str = "/api/v2/silences";
/// All silences of an Alertmanager, in bytes.
const LARGEST_LIST: usize = 16 << 20;
/// An answer to a silence that was made.
const LARGEST_ANSWER: usize = 64 << 10;
/// Between two looks while tasks move.
const GATHER: Duration = Duration::from_secs(1);

/// An Alertmanager, as the configuration has it.
pub struct Alertmanager {
    pub client: HttpClient,
    /// Value of the header `Authorization`.
    pub authorization: Option<HeaderValue>,
    pub rules: SilenceRules,
}

/// The task of the Alertmanager.
pub struct Silencer {
    pub alertmanager: Arc<Alertmanager>,
    pub log: Arc<dyn Store>,
    pub kept: Arc<dyn NotificationStore>,
    pub share: Share,
    pub clock: Clock,
}

/// What went wrong in a look.
enum Failed {
    Store(StoreError),
    Sending(SendError),
}

impl Silencer {
    /// Until `shutdown`. Silences are left as they are then: they end by themselves, unless the next start extends them.
    pub async fn run(self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&self) {
        let mut committed = self.log.committed();
        let mut standing = None;
        // An earlier process may have left some.
        let mut ours = true;
        let mut failures = 0;
        loop {
            if !(self.share)(number_of(ALERTMANAGER)) {
                (standing, ours) = (None, true);
                tokio::time::sleep(GATHER).await;
                continue;
            }
            match self.look(&mut standing, ours).await {
                Ok(left) => (ours, failures) = (left, 0),
                Err(Failed::Sending(error)) => {
                    failures += 1;
                    if let Some(standing) = &mut standing {
                        standing.failed(self.clock.now(), &error.to_string()).await;
                    }
                    let pause = backoff::pause(failures, backoff::PAUSES).min(self.alertmanager.rules.look_interval());
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Err(Failed::Store(error)) => {
                    warn!(to = ALERTMANAGER, "silences wait for the store: {error}");
                    tokio::time::sleep(GATHER).await;
                    continue;
                }
            }
            tokio::select! {
                changed = committed.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(self.alertmanager.rules.look_interval()) => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Whether any of our silences is left behind it.
    async fn look(&self, standing: &mut Option<Standing>, ours: bool) -> Result<bool, Failed> {
        let standing = match standing {
            Some(standing) => standing,
            None => {
                let read = Standing::of(ALERTMANAGER, Seq::ZERO, Arc::clone(&self.kept)).await;
                standing.insert(read.map_err(Failed::Store)?)
            }
        };
        let servers = self.kept.managed_servers().await.map_err(Failed::Store)?;
        let out: Vec<SilencedServer> = servers
            .into_iter()
            .filter(is_out)
            .map(|server| SilencedServer { cluster: server.cluster_name, addr: server.addr })
            .collect();
        if out.is_empty() && !ours {
            return Ok(false);
        }
        let known = self.known().await.map_err(Failed::Sending)?;
        let Plan { post, expire, ours } = self.alertmanager.rules.plan(&out, &known, self.clock.now());
        let acts = !post.is_empty() || !expire.is_empty();
        for silence in post {
            if silence.id.is_none() {
                info!(to = ALERTMANAGER, "silences alerts: {}", silence.comment);
            }
            let body = serde_json::to_vec(&silence).unwrap_or_default();
            self.ask(Method::POST, SILENCES.to_owned(), body, LARGEST_ANSWER).await.map_err(Failed::Sending)?;
        }
        for id in expire {
            let path = format!(
                "/api/v2/silence/{}",
                percent_encoding::utf8_percent_encode(&id, percent_encoding::NON_ALPHANUMERIC)
            );
            self.ask(Method::DELETE, path, Vec::new(), 0).await.map_err(Failed::Sending)?;
            info!(to = ALERTMANAGER, id, "a silence is over, its server serves again or nothing has it out of service");
        }
        if acts || standing.row.failing_since.is_some() {
            standing.delivered(self.clock.now()).await.map_err(Failed::Store)?;
        }
        Ok(ours > 0)
    }

    async fn known(&self) -> Result<Vec<KnownSilence>, SendError> {
        let body = self.ask(Method::GET, SILENCES.to_owned(), Vec::new(), LARGEST_LIST).await?;
        serde_json::from_slice(&body)
            .map_err(|error| SendError::Unreadable(self.alertmanager.client.endpoint.clone(), error.to_string()))
    }

    async fn ask(
        &self,
        method: Method,
        path: String,
        body: Vec<u8>,
        largest_answer: usize,
    ) -> Result<bytes::Bytes, SendError> {
        let headers = self.alertmanager.authorization.iter().map(|value| (AUTHORIZATION, value.clone())).collect();
        let asked = Asked { method, path, headers, body, largest_answer };
        self.alertmanager.client.send(asked).await
    }
}
