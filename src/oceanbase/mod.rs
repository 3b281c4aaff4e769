//! The adapter to OceanBase: reads a cluster, and sends the few statements that act on a server or a zone. May use `domain`, `clock`,
//! `telemetry` and mysql_async; decides nothing about stopping.
//!
//! - Every session first proves the cluster (name, cluster_id, creation of the sys tenant, the target's ID); when it is not
//!   the expected one, nothing else is sent.
//! - A [`ClusterReader`] cannot act. An [`EffectSession`] sends one statement, consumes its [`Permit`] and is gone; it never
//!   reconnects, and its answer is Done, Refused or Unknown.
//! - [`SessionPool`] keeps what reads between the looks of a task.
//! - Text protocol only, literals only from validated types (`literal.rs`), columns by name (`row.rs`), every query bounded.
//!
//! OceanBase 4.x. What a version or edition lacks (a view, a column) is an unknown fact, never a value.

mod access;
mod clients;
mod effect;
mod endpoints;
mod error;
mod facts;
mod identity;
mod kill;
mod literal;
mod log_streams;
mod reader;
mod row;
mod search;
mod session;
mod session_pool;
#[cfg(all(test, feature = "sim"))]
mod sim_tests;
mod spans;
mod views;

use std::time::Duration;

use async_trait::async_trait;

pub use access::{Avoid, ClusterAccess, Endpoint, Expected, KnownServer};
pub use endpoints::choose;
pub use error::{ClusterError, ErrorClass, ErrorDetail};
pub use kill::SessionGone;
pub use literal::Statement;
pub use reader::Discovery;
pub use session_pool::SessionPool;

// What an adapter to simulated clusters shares with this one, so that both prove, choose and conclude alike.
pub use clients::silent;
pub use effect::{effect_outcome, not_permitted};
pub use endpoints::Attempt;
pub use facts::{advisory_fact, required_fact};
pub use identity::{same_cluster, same_target, stranger};
pub use kill::{KillingSession, end_session, permitted};
pub use log_streams::no_leaders;
pub use reader::{READINGS, other_zone_stopped, restless};
pub use search::Search;
pub use views::metas_follow;

pub use crate::domain::gate::LeaderCount;

use crate::clock::Clock;
use crate::domain::clients::ServerClients;
use crate::domain::effect::{EffectOutcome, Permit};
use crate::domain::freeze;
use crate::domain::ids::{ClusterIdentity, ServerAddr, ZoneName};
use crate::domain::precheck::LedFrom;
use crate::domain::reading::{ClusterReading, Fact, LogStreamReading, ServerReading, TenantReading, ZoneReading};

/// `ob_query_timeout` of an effect session, the kernel's own default. The root service checks a transient refusal again
/// until that time is over, and then answers 4012 (docs/oceanbase.md#retriable-refusals-come-back-as-4012): with a
/// short one its refusals arrive within seconds. Leaders are waited for on a reading session, however long that takes.
pub const EFFECT_QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// `wait_timeout` of a replica's effect session: nothing is sent over it for as long only between its intent and its statement.
pub const IDLE_LIMIT: Duration = Duration::from_secs(5);
/// How often an observer looks for sessions that are silent (docs/oceanbase.md#sessions-that-are-idle).
pub const IDLE_CHECK_PERIOD: Duration = Duration::from_secs(5);

/// How long a TCP connection and the login may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// `ob_query_timeout` of a reading session.
pub const READ_QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long we wait for the answer of a query that reads: a little longer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);

/// Added to the horizon for clocks and queues between us and the root service.
pub const HORIZON_MARGIN: Duration = Duration::from_secs(5);

/// What bounds an effect: `ob_query_timeout` of its session, and the margin of its horizon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectTimes {
    query_timeout: Duration,
    margin: Duration,
    /// After which the observer closes a session that is silent; `None`: after hours.
    idle_limit: Option<Duration>,
}

impl EffectTimes {
    /// A shorter timeout has a margin in proportion, but never below half a second.
    pub fn new(query_timeout: Duration) -> Self {
        let margin = (query_timeout / 4).clamp(Duration::from_millis(500), HORIZON_MARGIN);
        Self { query_timeout, margin, idle_limit: None }
    }

    /// For one of several replicas, which may be frozen just before it sends and go on when another one owns its task: its session
    /// is gone by then, also where it cannot be killed. What it may still send has its time in the horizon.
    #[must_use]
    pub const fn of_replica(self) -> Self {
        Self { idle_limit: Some(IDLE_LIMIT), ..self }
    }

    pub const fn idle_limit(self) -> Option<Duration> {
        self.idle_limit
    }

    /// How long after it was sent an effect can still happen: `ob_query_timeout` of its session +
    /// `internal_sql_execute_timeout` of the root service + a margin (docs/architecture.md#the-horizon). Of a replica: and as long as
    /// a session that is silent may live.
    pub fn horizon(self, internal_sql_execute_timeout: Duration) -> Duration {
        let unsent = self.idle_limit.map(|limit| limit + IDLE_CHECK_PERIOD).unwrap_or_default();
        unsent + self.query_timeout + internal_sql_execute_timeout + self.margin
    }

    /// `ob_query_timeout` of the session.
    pub const fn query_timeout(self) -> Duration {
        self.query_timeout
    }

    /// How long the answer of an effect with this horizon is waited for.
    pub fn answer_bound(self, horizon: Duration) -> Duration {
        let unsent = self.idle_limit.map(|limit| limit + IDLE_CHECK_PERIOD).unwrap_or_default();
        horizon.saturating_sub(self.margin + unsent)
    }
}

impl Default for EffectTimes {
    fn default() -> Self {
        Self::new(EFFECT_QUERY_TIMEOUT)
    }
}

/// Opens sessions to clusters.
#[async_trait]
pub trait OceanBase: Send + Sync {
    /// A session that reads, on the first endpoint (in the order of [`choose`]) that answers and is the expected cluster.
    async fn reader(
        &self,
        access: &ClusterAccess,
        known: &[KnownServer],
        expected: &Expected,
        avoid: &Avoid,
    ) -> Result<Box<dyn ClusterReader>, ClusterError>;

    /// A session for one effect, directly on an observer (never through OBProxy). Nothing is sent yet that acts.
    async fn effect_session(
        &self,
        access: &ClusterAccess,
        known: &[KnownServer],
        expected: &Expected,
        avoid: &Avoid,
    ) -> Result<Box<dyn EffectSession>, ClusterError>;

    /// Ends the session that an earlier owner left behind, and checks that it is gone. What its statement has already
    /// set in motion at the root service may still happen until the horizon of its intent.
    async fn kill_session(
        &self,
        permit: Permit,
        access: &ClusterAccess,
        expected: &Expected,
        endpoint: &str,
        connection_id: i64,
    ) -> Result<SessionGone, ClusterError>;
}

/// A session that reads and cannot act. An error that breaks the connection ends it: open another one.
#[async_trait]
pub trait ClusterReader: Send {
    /// `host:port` of the endpoint.
    fn endpoint(&self) -> &str;

    /// The observer that answers.
    fn server_addr(&self) -> &ServerAddr;

    /// The cluster that the session proved.
    fn identity(&self) -> &ClusterIdentity;

    /// Whether another question may be asked: the connection is not broken and no question was given up.
    fn is_open(&self) -> bool;

    /// What the inventory needs: servers, zones, and parameters as this server has them.
    async fn discover(&mut self) -> Result<Discovery, ClusterError>;

    /// The whole reading of the precheck. Servers and zones are read before and after; when they differ, the whole is
    /// repeated a few times, then it is a transient error.
    async fn reading(&mut self) -> Result<ClusterReading, ClusterError>;

    /// [`ClusterReader::reading`] without what no refusal depends on: quick enough for the gate.
    async fn gate_reading(&mut self) -> Result<ClusterReading, ClusterError>;

    async fn servers(&mut self) -> Result<Vec<ServerReading>, ClusterError>;

    /// One server's row; `None`: it is not there.
    async fn server(&mut self, addr: &ServerAddr) -> Result<Option<ServerReading>, ClusterError>;

    /// `None`: the cluster has no such zone.
    async fn zone(&mut self, zone: &ZoneName) -> Result<Option<ZoneReading>, ClusterError>;

    /// Leaders on a server by both views. A view that shows no leader at all in the whole cluster is an error, not a zero.
    async fn leaders(&mut self, addr: &ServerAddr) -> Result<LeaderCount, ClusterError>;

    /// Leaders on these servers, for a caller that waits until there are none: the view of locations first, which is stored,
    /// and the other one, which asks every server of the cluster, only when that shows none.
    async fn leaders_left(&mut self, addrs: &[ServerAddr]) -> Result<Vec<LedFrom>, ClusterError>;

    async fn tenants(&mut self) -> Result<Vec<TenantReading>, ClusterError>;

    async fn zones(&mut self) -> Result<Vec<ZoneReading>, ClusterError>;

    /// The log streams with their replicas, without what only the arbitration service changes.
    async fn log_streams(&mut self) -> Result<Vec<LogStreamReading>, ClusterError>;

    /// What is stopped outside this zone, in words; `None`: nothing.
    async fn other_zone_stopped(&mut self, zone: &ZoneName) -> Result<Option<String>, ClusterError>;

    /// How long after it was sent an effect can still happen in this cluster, by its parameters now.
    async fn horizon(&mut self) -> Result<Duration, ClusterError>;

    /// The log streams of a server with their checkpoints, by which a MINOR FREEZE of it is verified.
    async fn checkpoints(&mut self, addr: &ServerAddr) -> Result<Vec<freeze::Replica>, ClusterError>;

    /// What clients have on a server, without the sessions of this service and of the cluster itself. A server that does not
    /// answer, and a version without the views, is an unknown fact.
    async fn clients(&mut self, addr: &ServerAddr) -> Result<Fact<ServerClients>, ClusterError>;
}

#[async_trait]
pub trait EffectSession: Send {
    /// `host:port` of the endpoint, for the intent.
    fn endpoint(&self) -> &str;

    /// `CONNECTION_ID()`, for the intent.
    fn connection_id(&self) -> i64;

    /// How long after it was sent an effect on this session can still happen.
    fn horizon(&self) -> Duration;

    /// Sends the statement, once. The session is gone afterwards.
    async fn send(self: Box<Self>, permit: Permit, statement: Statement) -> EffectOutcome;
}

#[derive(Clone, Debug)]
pub struct MysqlOceanBase {
    clock: Clock,
    times: EffectTimes,
}

impl MysqlOceanBase {
    /// The clock dates what is read.
    pub fn new(clock: Clock) -> Self {
        Self { clock, times: EffectTimes::default() }
    }

    #[must_use]
    pub const fn with_effect_times(mut self, times: EffectTimes) -> Self {
        self.times = times;
        self
    }
}

#[async_trait]
impl OceanBase for MysqlOceanBase {
    async fn reader(
        &self,
        access: &ClusterAccess,
        known: &[KnownServer],
        expected: &Expected,
        avoid: &Avoid,
    ) -> Result<Box<dyn ClusterReader>, ClusterError> {
        let proven = session::open(access, known, expected, avoid, session::Purpose::Read).await?;
        Ok(Box::new(reader::MysqlReader::new(proven, self.clock.clone(), self.times)))
    }

    async fn effect_session(
        &self,
        access: &ClusterAccess,
        known: &[KnownServer],
        expected: &Expected,
        avoid: &Avoid,
    ) -> Result<Box<dyn EffectSession>, ClusterError> {
        let proven = session::open(access, known, expected, avoid, session::Purpose::Effect(self.times)).await?;
        Ok(Box::new(effect::MysqlEffectSession::new(proven, self.times).await?))
    }

    async fn kill_session(
        &self,
        permit: Permit,
        access: &ClusterAccess,
        expected: &Expected,
        endpoint: &str,
        connection_id: i64,
    ) -> Result<SessionGone, ClusterError> {
        kill::kill(&permit, access, expected, endpoint, connection_id).await
    }
}
