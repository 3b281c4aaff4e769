//! Reading sessions that stay open between the looks of a task, so that a wait costs its cluster one login and its questions
//! only, and endpoints that just failed, which are asked last.
//!
//! - A session is used again only for the same access (endpoints, name, password), for the cluster and target that it has
//!   proven, and where this look may ask: never at the server that must not be asked, elsewhere where another is wanted.
//! - One reader has it at a time. A look that is dropped during a query leaves a session that is not used again.
//! - A session that breaks is replaced at once, and a question that a server refuses for now is asked of another: both once,
//!   and without the caller's noticing, because whatever a [`ClusterReader`] asks only reads.
//! - It ends when nobody has used it for a while. What acts has a session of its own and never one of these.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{
    Avoid, ClusterAccess, ClusterError, ClusterReader, Discovery, EffectSession, ErrorClass, Expected, KnownServer,
    LeaderCount, OceanBase, SessionGone, choose,
};
use crate::clock::monotonic_now;
use crate::domain::clients::ServerClients;
use crate::domain::effect::Permit;
use crate::domain::freeze;
use crate::domain::ids::{ClusterIdentity, ServerAddr, ZoneName};
use crate::domain::precheck::LedFrom;
use crate::domain::reading::{ClusterReading, Fact, LogStreamReading, ServerReading, TenantReading, ZoneReading};
use crate::telemetry::metrics::ClusterMetrics;

/// Most sessions that wait to be used again.
const MOST_KEPT: usize = 64;
/// How long an endpoint that failed is asked last.
const FAILED_FOR: Duration = Duration::from_secs(30);

/// Opens sessions, and keeps those that read.
#[derive(Clone)]
pub struct SessionPool {
    inner: Arc<dyn OceanBase>,
    pool: Arc<SharedPool>,
    metrics: ClusterMetrics,
}

struct SharedPool {
    idle: Duration,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    kept: Vec<IdleSession>,
    /// `host:port`, and since when.
    failed: Vec<(String, Instant)>,
    sweeping: bool,
}

/// A session that is not in use.
struct IdleSession {
    session: Box<dyn ClusterReader>,
    opened_for: WantedSession,
    since: Instant,
}

/// What a session is needed for.
#[derive(Clone)]
struct WantedSession {
    access: ClusterAccess,
    known: Vec<KnownServer>,
    expected: Expected,
    avoid: Avoid,
}

impl SessionPool {
    /// A session ends when nobody has used it for `idle`; with zero at once.
    pub fn new(inner: Arc<dyn OceanBase>, idle: Duration) -> Self {
        Self { inner, pool: Arc::new(SharedPool { idle, state: Mutex::default() }), metrics: ClusterMetrics::default() }
    }

    /// Counts what it asks of clusters there.
    #[must_use]
    pub fn measured(self, metrics: ClusterMetrics) -> Self {
        Self { metrics, ..self }
    }

    fn answered<T>(&self, call: &'static str, of: &Expected, began: Instant, answer: &Result<T, ClusterError>) {
        let cluster = of.identity.as_ref().map(|identity| identity.name.as_str());
        let failed = answer.as_ref().err().map(|error| class(error.class));
        self.metrics.answered(cluster, call, failed, monotonic_now() - began);
    }

    async fn open(&self, wanted: &WantedSession) -> Result<Box<dyn ClusterReader>, ClusterError> {
        let (access, known) = self.pool.failed_last(&wanted.access, &wanted.known);
        let began = monotonic_now();
        let opened = self.inner.reader(&access, &known, &wanted.expected, &wanted.avoid).await;
        self.answered("open", &wanted.expected, began, &opened);
        opened
    }
}

impl SharedPool {
    fn state(&self) -> MutexGuard<'_, PoolState> {
        // Every change is a single call, so a panic leaves a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, wanted: &WantedSession) -> Option<Box<dyn ClusterReader>> {
        let mut state = self.state();
        state.sweep(self.idle);
        let at = state.kept.iter().position(|kept| fits(kept, wanted))?;
        Some(state.kept.swap_remove(at).session)
    }

    fn put(self: &Arc<Self>, session: Box<dyn ClusterReader>, opened_for: WantedSession) {
        // It has proven no cluster yet, or is not to be kept.
        if self.idle.is_zero() || opened_for.expected.identity.is_none() || !session.is_open() {
            return;
        }
        // Without a runtime nothing would close it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut state = self.state();
        state.sweep(self.idle);
        if state.failed.iter().any(|(endpoint, _)| endpoint == session.endpoint()) {
            return;
        }
        if state.kept.len() >= MOST_KEPT {
            state.kept.remove(0);
        }
        state.kept.push(IdleSession { session, opened_for, since: monotonic_now() });
        if !std::mem::replace(&mut state.sweeping, true) {
            runtime.spawn(sweep(Arc::downgrade(self), self.idle));
        }
    }

    fn mark_failed(&self, endpoint: &str) {
        let mut state = self.state();
        state.failed.retain(|(failed, _)| failed != endpoint);
        state.failed.push((endpoint.to_owned(), monotonic_now()));
    }

    /// The arguments of `choose`, changed so that it puts endpoints that failed last: servers as if they were not
    /// ACTIVE, seeds behind other seeds.
    fn failed_last(&self, access: &ClusterAccess, known: &[KnownServer]) -> (ClusterAccess, Vec<KnownServer>) {
        let mut state = self.state();
        state.sweep(self.idle);
        let failed = |endpoint: String| state.failed.iter().any(|(failed, _)| *failed == endpoint);
        let mut access = access.clone();
        access.endpoints.sort_by_key(|endpoint| failed(endpoint.to_string()));
        let mut known = known.to_vec();
        for server in &mut known {
            server.active &= !failed(server.endpoint().to_string());
        }
        (access, known)
    }
}

impl PoolState {
    /// Drops what has expired.
    fn sweep(&mut self, idle: Duration) {
        let now = monotonic_now();
        self.kept.retain(|kept| now.duration_since(kept.since) < idle);
        self.failed.retain(|(_, since)| now.duration_since(*since) < FAILED_FOR);
    }
}

/// Closes sessions that are not used, until none is left.
async fn sweep(pool: Weak<SharedPool>, idle: Duration) {
    loop {
        tokio::time::sleep(idle).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut state = pool.state();
        state.sweep(idle);
        if state.kept.is_empty() {
            state.sweeping = false;
            return;
        }
    }
}

/// Whether a kept session may be used for this. Pure.
fn fits(kept: &IdleSession, wanted: &WantedSession) -> bool {
    let (opened_for, server) = (&kept.opened_for, kept.session.server_addr());
    let (given, before) = (&wanted.access, &opened_for.access);
    let same_access = given.endpoints == before.endpoints
        && given.username == before.username
        && given.password.expose_secret() == before.password.expose_secret();
    let proven = opened_for.expected.identity == wanted.expected.identity
        && (wanted.expected.target.is_none() || opened_for.expected.target == wanted.expected.target);
    let avoid = &wanted.avoid;
    let zone = wanted.known.iter().find(|known| known.addr == *server).map(|known| &known.zone);
    let avoided = avoid.server.as_ref() == Some(server) || (avoid.zone.is_some() && avoid.zone.as_ref() == zone);
    // A session that was the last choice under the same restrictions still is.
    same_access && proven && avoid.never.as_ref() != Some(server) && (!avoided || opened_for.avoid == *avoid)
}

#[async_trait]
impl OceanBase for SessionPool {
    async fn reader(
        &self,
        access: &ClusterAccess,
        known: &[KnownServer],
        expected: &Expected,
        avoid: &Avoid,
    ) -> Result<Box<dyn ClusterReader>, ClusterError> {
        let (access, known) = (access.clone(), known.to_vec());
        let wanted = WantedSession { access, known, expected: expected.clone(), avoid: avoid.clone() };
        let session = match self.pool.take(&wanted) {
            Some(session) => session,
            None => self.open(&wanted).await?,
        };
        Ok(Box::new(PooledReader { sessions: self.clone(), wanted, session: Some(session) }))
    }

    async fn effect_session(
        &self,
        access: &ClusterAccess,
        known: &[KnownServer],
        expected: &Expected,
        avoid: &Avoid,
    ) -> Result<Box<dyn EffectSession>, ClusterError> {
        let (access, known) = self.pool.failed_last(access, known);
        let began = monotonic_now();
        let opened = self.inner.effect_session(&access, &known, expected, avoid).await;
        self.answered("open_for_effect", expected, began, &opened);
        opened
    }

    async fn kill_session(
        &self,
        permit: Permit,
        access: &ClusterAccess,
        expected: &Expected,
        endpoint: &str,
        connection_id: i64,
    ) -> Result<SessionGone, ClusterError> {
        let began = monotonic_now();
        let killed = self.inner.kill_session(permit, access, expected, endpoint, connection_id).await;
        self.answered("kill_session", expected, began, &killed);
        killed
    }
}

/// A reader that gives its session back when it is dropped.
struct PooledReader {
    sessions: SessionPool,
    wanted: WantedSession,
    /// Taken when it is dropped, never before.
    session: Option<Box<dyn ClusterReader>>,
}

impl Drop for PooledReader {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.sessions.pool.put(session, self.wanted.clone());
        }
    }
}

impl PooledReader {
    #[allow(clippy::expect_used, reason = "only drop takes it")]
    fn session(&self) -> &dyn ClusterReader {
        self.session.as_deref().expect("the session is there until its reader is dropped")
    }

    #[allow(clippy::expect_used, reason = "only drop takes it")]
    fn session_mut(&mut self) -> &mut dyn ClusterReader {
        self.session.as_deref_mut().expect("the session is there until its reader is dropped")
    }

    /// Whether to repeat the query; if so, a new session is open by then.
    async fn should_retry(&mut self, error: &ClusterError) -> Result<bool, ClusterError> {
        if !error.next_endpoint() {
            return Ok(false);
        }
        let (open, endpoint) = (self.session().is_open(), self.session().endpoint().to_owned());
        let wanted = &self.wanted;
        if open && choose(&wanted.access, &wanted.known, &wanted.avoid).len() < 2 {
            return Ok(false);
        }
        self.sessions.pool.mark_failed(&endpoint);
        // An answer that was not understood is more often about the whole cluster than about one server: the next look
        // may ask another.
        if open && error.number.is_none() {
            return Ok(false);
        }
        tracing::debug!(%endpoint, "asks another session: {error}");
        self.session = Some(self.sessions.open(&self.wanted).await?);
        Ok(true)
    }
}

/// Runs a query, and once more on another session when that may help. Measures it as one call.
macro_rules! retry_once {
    ($reader:ident.$question:ident($($argument:expr),*)) => {{
        let began = monotonic_now();
        let asked = async {
            match $reader.session_mut().$question($($argument),*).await {
                Err(error) if $reader.should_retry(&error).await? => {
                    $reader.session_mut().$question($($argument),*).await
                }
                answer => answer,
            }
        };
        let answer = asked.await;
        $reader.sessions.answered(stringify!($question), &$reader.wanted.expected, began, &answer);
        answer
    }};
}

/// As metrics have it.
const fn class(of: ErrorClass) -> &'static str {
    match of {
        ErrorClass::Permanent => "permanent",
        ErrorClass::Transient => "transient",
        ErrorClass::Unreachable => "unreachable",
        ErrorClass::AuthFailed => "auth_failed",
        ErrorClass::WrongCluster => "wrong_cluster",
        ErrorClass::Unreadable => "unreadable",
        ErrorClass::Unknown => "unknown",
    }
}

#[async_trait]
impl ClusterReader for PooledReader {
    fn endpoint(&self) -> &str {
        self.session().endpoint()
    }

    fn server_addr(&self) -> &ServerAddr {
        self.session().server_addr()
    }

    fn identity(&self) -> &ClusterIdentity {
        self.session().identity()
    }

    fn is_open(&self) -> bool {
        self.session().is_open()
    }

    async fn discover(&mut self) -> Result<Discovery, ClusterError> {
        retry_once!(self.discover())
    }

    async fn reading(&mut self) -> Result<ClusterReading, ClusterError> {
        retry_once!(self.reading())
    }

    async fn gate_reading(&mut self) -> Result<ClusterReading, ClusterError> {
        retry_once!(self.gate_reading())
    }

    async fn servers(&mut self) -> Result<Vec<ServerReading>, ClusterError> {
        retry_once!(self.servers())
    }

    async fn server(&mut self, addr: &ServerAddr) -> Result<Option<ServerReading>, ClusterError> {
        retry_once!(self.server(addr))
    }

    async fn zone(&mut self, zone: &ZoneName) -> Result<Option<ZoneReading>, ClusterError> {
        retry_once!(self.zone(zone))
    }

    async fn leaders(&mut self, addr: &ServerAddr) -> Result<LeaderCount, ClusterError> {
        retry_once!(self.leaders(addr))
    }

    async fn leaders_left(&mut self, addrs: &[ServerAddr]) -> Result<Vec<LedFrom>, ClusterError> {
        retry_once!(self.leaders_left(addrs))
    }

    async fn tenants(&mut self) -> Result<Vec<TenantReading>, ClusterError> {
        retry_once!(self.tenants())
    }

    async fn zones(&mut self) -> Result<Vec<ZoneReading>, ClusterError> {
        retry_once!(self.zones())
    }

    async fn log_streams(&mut self) -> Result<Vec<LogStreamReading>, ClusterError> {
        retry_once!(self.log_streams())
    }

    async fn other_zone_stopped(&mut self, zone: &ZoneName) -> Result<Option<String>, ClusterError> {
        retry_once!(self.other_zone_stopped(zone))
    }

    async fn horizon(&mut self) -> Result<Duration, ClusterError> {
        retry_once!(self.horizon())
    }

    async fn checkpoints(&mut self, addr: &ServerAddr) -> Result<Vec<freeze::Replica>, ClusterError> {
        retry_once!(self.checkpoints(addr))
    }

    async fn clients(&mut self, addr: &ServerAddr) -> Result<Fact<ServerClients>, ClusterError> {
        retry_once!(self.clients(addr))
    }
}
