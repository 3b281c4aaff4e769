//! Clusters as one life of the service reaches them: the port of `oceanbase` over simulated clusters, without SQL where it
//! reads, and by the cluster's own statements where it acts. Every question takes its time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::{Clock, monotonic_now};
use obsteward::domain::effect::{EffectOutcome, Permit};
use obsteward::domain::freeze;
use obsteward::domain::ids::{ClusterIdentity, ServerAddr, ZoneName};
use obsteward::domain::reading::{ClusterReading, LogStreamReading, ServerReading};
use obsteward::domain::status::ZoneInnerStatus;
use obsteward::oceanbase::{
    Avoid, ClusterAccess, ClusterError, ClusterReader, Discovery, EffectSession, EffectTimes, Endpoint, ErrorClass,
    Expected, KnownServer, LeaderCount, OceanBase, SessionGone, Statement, choose, effect_outcome,
};
use obsteward::sim::{ClientSession, Core, InProcessCluster, Micros, NotOpened};
use secrecy::ExposeSecret;
use tokio::time::{sleep, timeout};

use crate::life::{Life, Point};
use crate::readings;

/// As of a real session; so the next ones.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
const GONE_TIMEOUT: Duration = Duration::from_secs(10);

/// The numbers that decide how the search for an endpoint goes on.
const ACCESS_DENIED: u16 = 1045;

#[derive(Clone)]
pub struct SimulatedOceanBase {
    clusters: Vec<InProcessCluster>,
    clock: Clock,
    life: Arc<Life>,
    times: EffectTimes,
}

/// A session whose cluster is proven.
struct Proven {
    /// None once the connection is lost or a question was given up.
    session: Option<ClientSession>,
    endpoint: String,
    identity: ClusterIdentity,
    server: ServerAddr,
    target: Option<(ServerAddr, i64)>,
    life: Arc<Life>,
}

/// Why there is no session.
enum Failure {
    NobodyListens(ClusterError),
    Other(ClusterError),
}

impl Failure {
    fn error(self) -> ClusterError {
        match self {
            Self::NobodyListens(error) | Self::Other(error) => error,
        }
    }
}

/// How long a question takes.
fn latency(life: &Life) -> Duration {
    Duration::from_micros(match life.dice.below(100) {
        0..=79 => 0,
        80..=97 => 1_000 + life.dice.below(3_000),
        _ => 50_000 + life.dice.below(450_000),
    })
}

impl SimulatedOceanBase {
    pub fn new(clusters: Vec<InProcessCluster>, clock: Clock, life: Arc<Life>, effect_timeout: Duration) -> Self {
        Self { clusters, clock, life, times: EffectTimes::new(effect_timeout) }
    }

    /// The cluster and server at an endpoint.
    fn at(&self, endpoint: &Endpoint) -> Option<(&InProcessCluster, i64)> {
        self.clusters.iter().find_map(|cluster| {
            let server = cluster.look(|core, _| {
                let mut servers = core.cluster.servers.iter();
                servers.find(|it| it.ip == endpoint.host && it.sql_port == endpoint.port).map(|it| it.id)
            });
            Some((cluster, server?))
        })
    }

    async fn connect(&self, endpoint: &Endpoint, access: &ClusterAccess) -> Result<ClientSession, Failure> {
        self.life.pass(Point::Look, latency(&self.life)).await;
        let unreachable = |why: &str| {
            let error = ClusterError::new(ErrorClass::Unreachable, format!("{endpoint}: {why}"));
            ClusterError { endpoint: Some(endpoint.to_string()), ..error }
        };
        let nobody = || Failure::NobodyListens(unreachable("connection refused"));
        let Some((cluster, server)) = self.at(endpoint) else { return Err(nobody()) };
        match cluster.open(server, access.direct_username(), access.password.expose_secret()) {
            Ok(session) => Ok(session),
            Err(NotOpened::NobodyListens) => Err(nobody()),
            Err(NotOpened::NoAnswer) => {
                sleep(CONNECT_TIMEOUT).await;
                Err(Failure::Other(unreachable("no login within 5 s")))
            }
            Err(NotOpened::Closed) => Err(Failure::Other(unreachable("the connection was closed"))),
            Err(NotOpened::Refused { number, text }) => {
                let error = ClusterError::of_server(number, &text, &format!("login at {endpoint}"));
                Err(Failure::Other(ClusterError { endpoint: Some(endpoint.to_string()), ..error }))
            }
        }
    }

    /// The first endpoint that answers and is the expected cluster.
    async fn open(
        &self,
        access: &ClusterAccess,
        known: &[KnownServer],
        expected: &Expected,
        avoid: &Avoid,
    ) -> Result<Proven, ClusterError> {
        let deadline = monotonic_now() + OPEN_TIMEOUT;
        let mut failures: Vec<ClusterError> = Vec::new();
        for endpoint in choose(access, known, avoid) {
            let refused = failures.iter().any(|failure| failure.number == Some(ACCESS_DENIED));
            if refused || monotonic_now() >= deadline {
                break;
            }
            match self.open_at(&endpoint, access, expected, avoid).await {
                Ok(proven) => return Ok(proven),
                Err(error) if error.number == Some(ACCESS_DENIED) || error.next_endpoint() => failures.push(error),
                Err(error) => return Err(error),
            }
        }
        Err(ClusterError::of_all(&failures))
    }

    async fn open_at(
        &self,
        endpoint: &Endpoint,
        access: &ClusterAccess,
        expected: &Expected,
        avoid: &Avoid,
    ) -> Result<Proven, ClusterError> {
        let session = self.connect(endpoint, access).await.map_err(Failure::error)?;
        let server = session.server();
        let mut proven = Proven {
            session: Some(session),
            endpoint: endpoint.to_string(),
            identity: ClusterIdentity { name: String::new(), ob_cluster_id: 0, fingerprint: String::new() },
            server: format!("{}:{}", endpoint.host, 2882).parse().expect("an address"),
            target: expected.target,
            life: Arc::clone(&self.life),
        };
        proven.identity = proven.ask(true, |core, _| readings::identity(core, server)).await?;
        if let Some(wanted) = &expected.identity
            && *wanted != proven.identity
        {
            let message = format!("{endpoint}: is another cluster, nothing was sent to it");
            return Err(ClusterError::new(ErrorClass::WrongCluster, message));
        }
        proven.servers().await?;
        if avoid.never == Some(proven.server) {
            return Err(ClusterError::new(ErrorClass::Unreachable, format!("{endpoint}: must not be asked")));
        }
        Ok(proven)
    }
}

impl Proven {
    async fn ask<T>(&mut self, stored: bool, look: impl FnOnce(&Core, Micros) -> T) -> Result<T, ClusterError> {
        let context = format!("reading at {}", self.endpoint);
        let lost = |why: &str| ClusterError::new(ErrorClass::Unknown, format!("{context}: {why}"));
        let Some(mut session) = self.session.take() else {
            return Err(lost("the session is closed, open another one"));
        };
        self.life.pass(Point::Look, latency(&self.life)).await;
        match timeout(ANSWER_TIMEOUT, session.read(stored, look)).await {
            Ok(Some(Ok(found))) => {
                self.session = Some(session);
                Ok(found)
            }
            Ok(Some(Err((number, text)))) => {
                self.session = Some(session);
                Err(ClusterError::of_server(number, &text, &context))
            }
            Ok(None) => Err(lost("the connection was lost")),
            Err(_) => Err(lost("no answer in 12 s")),
        }
    }

    async fn servers(&mut self) -> Result<Vec<ServerReading>, ClusterError> {
        let servers = self.ask(true, |core, _| readings::servers(core)).await?;
        if let Some((addr, id)) = self.target {
            let found = servers.iter().find(|server| server.addr == addr).map(|server| server.ob_server_id);
            if found != Some(id) {
                let message = format!("{}: server {addr} has another id than {id}, sync the cluster", self.endpoint);
                return Err(ClusterError::new(ErrorClass::WrongCluster, message));
            }
        }
        Ok(servers)
    }
}

struct Reader {
    proven: Proven,
    clock: Clock,
    times: EffectTimes,
}

impl Reader {
    async fn read(&mut self, whole: bool) -> Result<ClusterReading, ClusterError> {
        let observed_at = self.clock.now();
        let identity = self.proven.identity.clone();
        self.proven.servers().await?;
        self.proven.ask(true, |core, now| readings::whole(core, now, identity, observed_at, whole)).await
    }

    async fn leaders_in(&mut self, locations: bool, addr: &ServerAddr) -> Result<i64, ClusterError> {
        let addr = *addr;
        let (all, own) = self.proven.ask(true, move |core, _| readings::leaders(core, locations, &addr)).await?;
        if all == 0 {
            return Err(ClusterError::unreadable("no view shows a leader in the whole cluster: look at it"));
        }
        Ok(own)
    }
}

#[async_trait]
impl ClusterReader for Reader {
    fn endpoint(&self) -> &str {
        &self.proven.endpoint
    }

    fn server_addr(&self) -> &ServerAddr {
        &self.proven.server
    }

    fn identity(&self) -> &ClusterIdentity {
        &self.proven.identity
    }

    fn is_open(&self) -> bool {
        self.proven.session.is_some()
    }

    async fn discover(&mut self) -> Result<Discovery, ClusterError> {
        let observed_at = self.clock.now();
        let servers = self.proven.servers().await?;
        let (zones, parameters) =
            self.proven.ask(true, |core, _| (readings::zones(core), readings::parameters(core))).await?;
        let (identity, endpoint) = (self.proven.identity.clone(), self.proven.endpoint.clone());
        Ok(Discovery { identity, endpoint, observed_at, servers, zones, parameters })
    }

    async fn reading(&mut self) -> Result<ClusterReading, ClusterError> {
        self.read(true).await
    }

    async fn gate_reading(&mut self) -> Result<ClusterReading, ClusterError> {
        self.read(false).await
    }

    async fn servers(&mut self) -> Result<Vec<ServerReading>, ClusterError> {
        self.proven.servers().await
    }

    async fn server(&mut self, addr: &ServerAddr) -> Result<Option<ServerReading>, ClusterError> {
        Ok(self.proven.servers().await?.into_iter().find(|server| server.addr == *addr))
    }

    async fn leaders(&mut self, addr: &ServerAddr) -> Result<LeaderCount, ClusterError> {
        let observed_at = self.clock.now();
        let locations = self.leaders_in(true, addr).await?;
        let log_stat = self.leaders_in(false, addr).await?;
        Ok(LeaderCount { locations, log_stat, observed_at })
    }

    async fn leaders_left(&mut self, addr: &ServerAddr) -> Result<i64, ClusterError> {
        match self.leaders_in(true, addr).await? {
            0 => self.leaders_in(false, addr).await,
            left => Ok(left),
        }
    }

    async fn log_streams(&mut self) -> Result<Vec<LogStreamReading>, ClusterError> {
        self.proven.ask(false, |core, now| readings::log_streams(core, now, false)).await
    }

    async fn other_zone_stopped(&mut self, zone: &ZoneName) -> Result<Option<String>, ClusterError> {
        let servers = self.proven.servers().await?;
        let zones = self.proven.ask(true, |core, _| readings::zones(core)).await?;
        let server = servers.iter().find(|server| server.stop_time.is_some() && server.zone != *zone);
        let server = server.map(|server| format!("server {} of zone {} is stopped", server.addr, server.zone));
        let other = zones.iter().find(|other| other.status == ZoneInnerStatus::Inactive && other.name != *zone);
        Ok(server.or_else(|| other.map(|other| format!("zone {} is INACTIVE", other.name))))
    }

    async fn horizon(&mut self) -> Result<Duration, ClusterError> {
        let parameters = self.proven.ask(false, |core, _| readings::parameters(core)).await?;
        Ok(self.times.horizon(parameters.internal_sql_execute_timeout?))
    }

    async fn checkpoints(&mut self, addr: &ServerAddr) -> Result<Vec<freeze::Replica>, ClusterError> {
        let addr = *addr;
        self.proven.ask(true, move |core, now| readings::checkpoints(core, now, &addr)).await
    }
}

struct Effect {
    session: ClientSession,
    endpoint: String,
    identity: ClusterIdentity,
    horizon: Duration,
    life: Arc<Life>,
}

#[async_trait]
impl EffectSession for Effect {
    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn connection_id(&self) -> i64 {
        i64::try_from(self.session.id()).expect("a session's number")
    }

    fn horizon(&self) -> Duration {
        self.horizon
    }

    async fn send(self: Box<Self>, permit: Permit, statement: Statement) -> EffectOutcome {
        let Self { mut session, endpoint, identity, horizon, life } = *self;
        assert_eq!(*permit.cluster(), identity.key(), "a permit for another cluster");
        life.pass(Point::Permit, latency(&life)).await;
        let text = statement.to_string();
        let context = format!("{text} at {endpoint}");
        let answered = life.while_it_lasts(timeout(horizon, session.command(&text))).await;
        // Whoever waited has its answer, or is gone.
        drop(session);
        let lost = |why: &str| ClusterError::new(ErrorClass::Unknown, format!("{context}: {why}"));
        let answer = match answered {
            Some(Ok(Some(Ok(())))) => Ok(()),
            Some(Ok(Some(Err((number, text))))) => Err(ClusterError::of_server(number, &text, &context)),
            Some(Ok(None)) => Err(lost("the connection was lost")),
            Some(Err(_)) => Err(lost("no answer")),
            None => std::future::pending().await,
        };
        life.pass(Point::Answer, latency(&life)).await;
        effect_outcome(answer)
    }
}

#[async_trait]
impl OceanBase for SimulatedOceanBase {
    async fn reader(
        &self,
        access: &ClusterAccess,
        known: &[KnownServer],
        expected: &Expected,
        avoid: &Avoid,
    ) -> Result<Box<dyn ClusterReader>, ClusterError> {
        let proven = self.open(access, known, expected, avoid).await?;
        Ok(Box::new(Reader { proven, clock: self.clock.clone(), times: self.times }))
    }

    async fn effect_session(
        &self,
        access: &ClusterAccess,
        known: &[KnownServer],
        expected: &Expected,
        avoid: &Avoid,
    ) -> Result<Box<dyn EffectSession>, ClusterError> {
        let mut proven = self.open(access, known, expected, avoid).await?;
        let parameters = proven.ask(false, |core, _| readings::parameters(core)).await?;
        let horizon = self.times.horizon(parameters.internal_sql_execute_timeout?);
        let lost = || ClusterError::new(ErrorClass::Unknown, format!("{}: the connection was lost", proven.endpoint));
        let mut session = proven.session.take().ok_or_else(lost)?;
        let (endpoint, identity, life) = (proven.endpoint, proven.identity, proven.life);
        let timeout = self.times.query_timeout().as_micros();
        session.command(&format!("SET ob_query_timeout = {timeout}")).await;
        Ok(Box::new(Effect { session, endpoint, identity, horizon, life }))
    }

    async fn kill_session(
        &self,
        permit: Permit,
        access: &ClusterAccess,
        expected: &Expected,
        endpoint: &str,
        connection_id: i64,
    ) -> Result<SessionGone, ClusterError> {
        let endpoint: Endpoint = endpoint.parse()?;
        match self.connect(&endpoint, access).await {
            Ok(session) => drop(session),
            Err(Failure::NobodyListens(_)) => return Ok(SessionGone::EndpointDead),
            Err(Failure::Other(error)) => return Err(error),
        }
        let expected = Expected { identity: expected.identity.clone(), target: None };
        let mut proven = self.open_at(&endpoint, access, &expected, &Avoid::default()).await?;
        assert_eq!(*permit.cluster(), proven.identity.key(), "a permit for another cluster");
        let here = proven.session.as_ref().map(ClientSession::server);
        let is_there = move |core: &Core, _: Micros| {
            let session = u64::try_from(connection_id).ok().and_then(|id| core.sessions.get(&id));
            session.is_some_and(|session| Some(session.server) == here)
        };
        if !proven.ask(false, is_there).await? {
            return Ok(SessionGone::NotThere);
        }
        if let Some(session) = &mut proven.session {
            session.command(&format!("KILL {connection_id}")).await;
        }
        let deadline = monotonic_now() + GONE_TIMEOUT;
        while proven.ask(false, is_there).await? {
            if monotonic_now() >= deadline {
                let message = format!("{endpoint}: session {connection_id} is still there after KILL");
                return Err(ClusterError::new(ErrorClass::Transient, message));
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(SessionGone::Killed)
    }
}
