//! The service's way to simulated clusters: the adapter of `src/oceanbase` without MySQL and sockets. It proves, chooses and
//! concludes with the same code; what it reads is made from the state (`cluster_readings.rs`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use obsteward::clock::Clock;
use obsteward::domain::effect::Permit;
use obsteward::domain::ids::{ClusterIdentity, ServerAddr};
use obsteward::oceanbase::{
    ANSWER_TIMEOUT, Avoid, CONNECT_TIMEOUT, ClusterAccess, ClusterError, ClusterReader, EffectSession, EffectTimes,
    Endpoint, ErrorClass, Expected, KnownServer, OceanBase, Search, SessionGone, end_session, permitted, same_cluster,
    same_target, stranger,
};
use obsteward::sim::{InProcessCluster, NotOpened};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::cluster_effect::SimulatedEffectSession;
use crate::cluster_reader::SimulatedReader;
use crate::cluster_readings as readings;
use crate::cluster_session::{
    CONNECTION_ID, OWN_PARAMETERS, PARAMETERS, SERVERS, ServiceSession, TENANTS, WHO_ANSWERS,
};
use crate::life::{Life, Point};

/// The clusters of a world. Shared and cheap to clone; it outlives the lives of the service.
#[derive(Clone, Default)]
pub struct Clusters {
    all: Arc<Mutex<Vec<InProcessCluster>>>,
    lives: Arc<AtomicU64>,
}

impl Clusters {
    pub fn add(&self, cluster: InProcessCluster) {
        self.all.lock().unwrap().push(cluster);
    }

    pub fn all(&self) -> Vec<InProcessCluster> {
        self.all.lock().unwrap().clone()
    }

    /// The server whose SQL port it is.
    fn at(&self, endpoint: &Endpoint) -> Option<(InProcessCluster, i64)> {
        self.all.lock().unwrap().iter().find_map(|cluster| {
            let server = cluster.look(|core, _| {
                let mut servers = core.cluster.servers.iter();
                let found = servers.find(|server| server.sql_port == endpoint.port && server.ip == endpoint.host);
                found.map(|server| server.id)
            });
            server.map(|server| (cluster.clone(), server))
        })
    }
}

/// The clusters, as one life of the service reaches them.
pub struct SimulatedOceanBase {
    life: Arc<Life>,
    clusters: Clusters,
    clock: Clock,
    times: EffectTimes,
    /// What observers know this life by.
    client: String,
}

/// A session whose cluster is proven.
struct Proven {
    session: ServiceSession,
    identity: ClusterIdentity,
    server: ServerAddr,
}

impl SimulatedOceanBase {
    /// The clock dates what is read. When the life ends its sessions are lost.
    pub fn new(life: Arc<Life>, clusters: Clusters, clock: Clock, times: EffectTimes) -> Self {
        let client = format!("10.255.0.1:{}", clusters.lives.fetch_add(1, Ordering::SeqCst) + 1);
        tokio::spawn(lose_sessions(Arc::clone(&life), clusters.clone(), client.clone()));
        Self { life, clusters, clock, times, client }
    }

    /// Connects and logs in; the flag: nobody listens there.
    async fn connect(
        &self,
        endpoint: &Endpoint,
        username: &str,
        access: &ClusterAccess,
    ) -> Result<ServiceSession, (ClusterError, bool)> {
        let unreachable =
            |why: &str| ClusterError::new(ErrorClass::Unreachable, format!("{endpoint}: {why}")).at(endpoint);
        self.life.pass(Point::Look, self.life.dice.latency()).await;
        let Some((cluster, server)) = self.clusters.at(endpoint) else {
            return Err((unreachable("no route to host"), false));
        };
        cluster.tick();
        let password = access.password.expose_secret();
        loop {
            return match cluster.open(server, &self.client, username, password) {
                Ok(session) => Ok(ServiceSession::new(Arc::clone(&self.life), endpoint.clone(), session)),
                Err(NotOpened::NobodyListens) => Err((unreachable("connection refused"), true)),
                Err(NotOpened::Closed) => Err((unreachable("the connection was closed"), false)),
                Err(NotOpened::Refused { number, text }) => {
                    let error = ClusterError::answered(number, &text, &format!("login at {endpoint}"));
                    Err((error.at(endpoint), false))
                }
                Err(NotOpened::NoAnswer) => {
                    if timeout(CONNECT_TIMEOUT, cluster.thawed(server)).await.is_ok() {
                        continue;
                    }
                    Err((unreachable(&format!("no login within {} s", CONNECT_TIMEOUT.as_secs())), false))
                }
            };
        }
    }

    /// Opens a session on the first endpoint that answers and proves the cluster.
    async fn open(
        &self,
        access: &ClusterAccess,
        known: &[KnownServer],
        expected: &Expected,
        avoid: &Avoid,
        only_direct: bool,
    ) -> Result<Proven, ClusterError> {
        let mut search = Search::new(access, known, avoid, only_direct);
        while let Some(attempt) = search.next() {
            let opened = async {
                let session = self.connect(&attempt.endpoint, &attempt.username, access).await;
                let session = session.map_err(|(error, _)| error)?;
                let proven = prove(session, expected).await?;
                avoid.permits(&proven.server, &attempt.endpoint)?;
                Ok(proven)
            };
            match opened.await {
                Ok(proven) => return Ok(proven),
                Err(error) => search.failed(attempt, error)?,
            }
        }
        Err(search.nobody())
    }

    /// A session for one effect.
    pub async fn effect(
        &self,
        access: &ClusterAccess,
        known: &[KnownServer],
        expected: &Expected,
        avoid: &Avoid,
    ) -> Result<SimulatedEffectSession, ClusterError> {
        let Proven { mut session, identity, .. } = self.open(access, known, expected, avoid, true).await?;
        let limit = self.times.query_timeout();
        let idle = self.times.idle_limit().map(|limit| format!(", wait_timeout = {}", limit.as_secs()));
        let idle = idle.unwrap_or_default();
        let settings = format!("SET ob_query_timeout = {}, time_zone = '+00:00'{idle}", limit.as_micros());
        session.command(&settings, ANSWER_TIMEOUT).await?;
        session.ask(&CONNECTION_ID).await?;
        let parameters = session.read(&PARAMETERS, |cluster, _| readings::parameters(cluster, None)).await?;
        let horizon = self.times.horizon(parameters.internal_sql_execute_timeout?);
        let (endpoint, times) = (session.endpoint.to_string(), self.times);
        Ok(SimulatedEffectSession { session, endpoint, identity, horizon, times })
    }

    /// Ends the session that an earlier owner left behind; `may`: whether that is permitted at this cluster.
    pub async fn kill(
        &self,
        access: &ClusterAccess,
        expected: &Expected,
        endpoint: &str,
        connection_id: i64,
        may: impl FnOnce(&ClusterIdentity, &Endpoint) -> Result<(), ClusterError> + Send,
    ) -> Result<SessionGone, ClusterError> {
        let endpoint: Endpoint = endpoint.parse()?;
        let session = match self.connect(&endpoint, access.direct_username(), access).await {
            Ok(session) => session,
            Err((_, true)) => return Ok(SessionGone::EndpointDead),
            Err((error, false)) => return Err(error),
        };
        let expected = Expected { identity: expected.identity.clone(), target: None };
        let Proven { mut session, identity, .. } = prove(session, &expected).await?;
        may(&identity, &endpoint)?;
        session.pass(Point::Permit).await;
        let gone = end_session(&mut session, &endpoint, connection_id).await;
        session.pass(Point::Answer).await;
        gone
    }
}

/// Which cluster and server answer, compared with what is expected.
async fn prove(mut session: ServiceSession, expected: &Expected) -> Result<Proven, ClusterError> {
    session.ask(&OWN_PARAMETERS).await?;
    let identity = session.state(|core, _| readings::identity(core, session.server));
    let identity =
        identity.ok_or_else(|| ClusterError::unreadable("parameter cluster has the values [] instead of one"))?;
    session.ask(&TENANTS).await?;
    same_cluster(&identity, expected, &session.endpoint)?;
    let servers = session.read(&SERVERS, |cluster, _| readings::servers(cluster)).await??;
    same_target(&servers, expected.target.as_ref(), &session.endpoint.to_string())?;
    session.ask(&WHO_ANSWERS).await?;
    let server = servers.iter().find(|server| server.ob_server_id == session.server).map(|server| server.addr);
    let server = server.ok_or_else(|| stranger(&session.endpoint))?;
    Ok(Proven { session, identity, server })
}

/// Waits for the end of a life; then its connections are closed as with those of a process that has died.
async fn lose_sessions(life: Arc<Life>, clusters: Clusters, client: String) {
    let ended = life.ended.notified();
    if !life.is_over() {
        ended.await;
    }
    for cluster in clusters.all() {
        cluster.lose_client(&client);
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
        let Proven { session, identity, server } = self.open(access, known, expected, avoid, false).await?;
        let (endpoint, target) = (session.endpoint.to_string(), expected.target);
        let (clock, times) = (self.clock.clone(), self.times);
        Ok(Box::new(SimulatedReader { session, endpoint, identity, server, target, clock, times }))
    }

    async fn effect_session(
        &self,
        access: &ClusterAccess,
        known: &[KnownServer],
        expected: &Expected,
        avoid: &Avoid,
    ) -> Result<Box<dyn EffectSession>, ClusterError> {
        Ok(Box::new(self.effect(access, known, expected, avoid).await?))
    }

    async fn kill_session(
        &self,
        permit: Permit,
        access: &ClusterAccess,
        expected: &Expected,
        endpoint: &str,
        connection_id: i64,
    ) -> Result<SessionGone, ClusterError> {
        let may = |identity: &ClusterIdentity, endpoint: &Endpoint| permitted(&permit, identity, endpoint);
        self.kill(access, expected, endpoint, connection_id, may).await
    }
}
