//! The web console, driven without sockets and without a browser: who gets in and who does not, what forms are taken, what
//! pages are made of, and that they change while they are shown.

mod browser;
mod live;
mod markup;
mod operations;
mod pages;
mod sessions;
mod writes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use obsteward::access::session::Sessions;
use obsteward::api::auth::Gatekeeper;
use obsteward::api::console::{Console, router};
use obsteward::api::probes::Readiness;
use obsteward::api::rest::{self, Rest};
use obsteward::clock::Clock;
use obsteward::config::{AuthConfig, LimitsConfig, RestConfig};
use obsteward::net::peer::Peer;
use obsteward::oceanbase::OceanBase;
use obsteward::store::access::AccessChange;
use tokio_util::sync::CancellationToken;

use crate::security::access::cheap_hash;
use crate::support::guarded;
use crate::support::reads_only::nobody_there;
use crate::support::stored_rows::users;
use crate::support::stored_tasks::{cluster_id, task_id};

pub use browser::Browser;

/// How long a session lasts here.
pub const SESSION: Duration = Duration::from_secs(3600);

/// The console before the REST face, over a temporary store: `admin` may do everything, `viewer` may read clusters and tasks;
/// the password of each is `of-` and its name. Task 1 on cluster 1 runs its first step, and task 2 on cluster 2 has failed in it.
pub struct Fixture {
    pub service: guarded::Fixture,
    pub clock: Clock,
    pub router: Router,
}

impl Fixture {
    pub async fn new() -> Self {
        Self::with(true).await
    }

    /// Nobody has to prove who they are.
    pub async fn open() -> Self {
        Self::with(false).await
    }

    async fn with(authentication: bool) -> Self {
        Self::over(authentication, Arc::new(nobody_there())).await
    }

    /// With another way to the clusters.
    pub async fn over(authentication: bool, oceanbase: Arc<dyn OceanBase>) -> Self {
        let mut access = users(&[("admin", &["**"]), ("viewer", &["CLUSTER:*:READ", "TASK:*:READ"])]);
        for change in &mut access {
            if let AccessChange::CreateUser(user) = change {
                user.password_hash = Some(cheap_hash(&format!("of-{}", user.name)));
            }
        }
        let service = guarded::Fixture::over_clusters(access, 1..=3, oceanbase).await;
        for (task, fails) in [(1, false), (2, true)] {
            service.store.create(task_id(task), cluster_id(task));
            service.store.dispatch(task_id(task));
            if fails {
                service.store.fail(task_id(task), 1);
            }
        }
        let clock = Clock::shifted();
        let limits = LimitsConfig { requests_per_10_seconds: 0, requests_per_day: 0, ..LimitsConfig::default() };
        let sessions = Arc::new(Sessions::new(&*service.store.real, SESSION).unwrap());
        let gatekeeper = match authentication {
            true => {
                let directory = Arc::clone(&service.directory);
                Gatekeeper::new(directory, clock.clone(), &AuthConfig::default(), &limits)
                    .with_sessions(Arc::clone(&sessions))
            }
            false => Gatekeeper::open(),
        };
        let (gatekeeper, hub) = (Arc::new(gatekeeper), service.hub(&CancellationToken::new()).await);
        let (config, body_bytes, arrival_seconds) = (RestConfig::default(), 4096, 15);
        let gateway = rest::router(Rest {
            guarded: service.guarded.clone(),
            hub: Arc::clone(&hub),
            gatekeeper: Arc::clone(&gatekeeper),
            config: config.clone(),
            body_bytes,
            arrival_seconds,
            metrics: Default::default(),
            readiness: Readiness::new(service.store.real.clone(), CancellationToken::new()),
        });
        let console = Console {
            guarded: service.guarded.clone(),
            hub,
            gatekeeper,
            sessions,
            clock: clock.clone(),
            config,
            body_bytes,
            arrival_seconds,
        };
        let peer = Peer::plaintext(SocketAddr::from(([127, 0, 0, 1], 4711)));
        let router = router(console, gateway).layer(Extension(peer));
        Self { service, clock, router }
    }

    /// Signed in.
    pub async fn signed_in(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        let answer = browser.sign_in(name, &format!("of-{name}")).await;
        assert_eq!((answer.status.as_u16(), answer.location()), (303, "/"), "{answer:?}");
        browser
    }

    pub fn browser(&self) -> Browser {
        Browser::new(self.router.clone())
    }
}
