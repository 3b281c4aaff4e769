//! A session that reads a simulated cluster as a whole.

use std::slice::from_ref;
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::Clock;
use obsteward::domain::clients::ServerClients;
use obsteward::domain::freeze;
use obsteward::domain::ids::{ClusterIdentity, ServerAddr, ZoneName};
use obsteward::domain::precheck::LedFrom;
use obsteward::domain::reading::{
    ClusterReading, Fact, Facts, LogStreamReading, ServerReading, TenantReading, ZoneReading,
};
use obsteward::oceanbase::{
    ClusterError, ClusterReader, Discovery, EffectTimes, LeaderCount, READINGS, advisory_fact, other_zone_stopped,
    required_fact, restless, same_target, silent,
};

use crate::cluster_readings as readings;
use crate::cluster_session::{
    ARBITRATION, BACKUP_JOBS, COMPACTION, LOCATIONS, LOG_STAT, LOG_STREAMS, LS_INFO, OWN_PARAMETERS, PARAMETERS,
    PARTICIPANTS, PROCESS_LIST, SERVER_RESOURCES, SERVERS, ServiceSession, TENANTS, UNITS, ZONES,
};

pub struct SimulatedReader {
    pub session: ServiceSession,
    /// `host:port`.
    pub endpoint: String,
    pub identity: ClusterIdentity,
    /// The observer that answers.
    pub server: ServerAddr,
    /// The server that is to be acted on, with its id.
    pub target: Option<(ServerAddr, i64)>,
    pub clock: Clock,
    pub times: EffectTimes,
}

impl SimulatedReader {
    async fn all_servers(&mut self) -> Result<Vec<ServerReading>, ClusterError> {
        let servers = self.session.read(&SERVERS, |cluster, _| readings::servers(cluster)).await??;
        same_target(&servers, self.target.as_ref(), &self.endpoint)?;
        Ok(servers)
    }

    async fn servers_and_zones(&mut self) -> Result<(Vec<ServerReading>, Vec<ZoneReading>), ClusterError> {
        Ok((self.all_servers().await?, self.session.read(&ZONES, |cluster, _| readings::zones(cluster)).await?))
    }

    async fn leaders_in(&mut self, addrs: &[ServerAddr], answering: bool) -> Result<Vec<LedFrom>, ClusterError> {
        let query = if answering { &LOG_STAT } else { &LOCATIONS };
        self.session.read(query, |cluster, _| readings::leaders(cluster, addrs, answering)).await?
    }

    /// One reading; `None`: servers or zones changed meanwhile.
    async fn read_once(&mut self, whole: bool) -> Result<Option<ClusterReading>, ClusterError> {
        let observed_at = self.clock.now();
        let before = self.servers_and_zones().await?;
        let session = &mut self.session;
        let tenants = session.read(&TENANTS, |cluster, _| readings::tenants(cluster)).await?;
        let parameters = session.read(&PARAMETERS, |cluster, _| readings::parameters(cluster, None)).await?;
        let units = required_fact(session.read(&UNITS, |cluster, _| readings::units(cluster)).await)?;
        let arbitration = required_fact(session.read(&ARBITRATION, |cluster, _| readings::arbitration(cluster)).await)?;
        let mut log_streams = session.read(&LOG_STREAMS, readings::log_streams).await?;
        let told = required_fact(session.ask(&LOG_STAT).await)?;
        session.state(|core, _| readings::add_arbitration(&core.cluster, &mut log_streams, told));
        if self.servers_and_zones().await? != before {
            return Ok(None);
        }
        let facts = if whole { self.facts().await? } else { Facts::not_asked("not asked for at the gate") };
        let (identity, (servers, zones)) = (self.identity.clone(), before);
        Ok(Some(ClusterReading {
            identity,
            observed_at,
            servers,
            zones,
            tenants,
            log_streams,
            units,
            parameters,
            arbitration,
            facts,
        }))
    }

    async fn facts(&mut self) -> Result<Facts, ClusterError> {
        let session = &mut self.session;
        let merging = session.read(&COMPACTION, |cluster, _| readings::merging_tenants(cluster)).await;
        let merging_tenants = advisory_fact(merging)?;
        let backup_jobs = advisory_fact(session.read(&BACKUP_JOBS, |cluster, _| readings::backup_jobs(cluster)).await)?;
        let disks = session.read(&SERVER_RESOURCES, |cluster, _| readings::log_disks(cluster)).await;
        Ok(Facts { merging_tenants, backup_jobs, log_disks: advisory_fact(disks)? })
    }

    async fn whole_reading(&mut self, whole: bool) -> Result<ClusterReading, ClusterError> {
        self.session.look().await;
        for _ in 0..READINGS {
            if let Some(reading) = self.read_once(whole).await? {
                return Ok(reading);
            }
        }
        Err(restless())
    }
}

#[async_trait]
impl ClusterReader for SimulatedReader {
    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn server_addr(&self) -> &ServerAddr {
        &self.server
    }

    fn identity(&self) -> &ClusterIdentity {
        &self.identity
    }

    fn is_open(&self) -> bool {
        self.session.is_open()
    }

    async fn discover(&mut self) -> Result<Discovery, ClusterError> {
        let observed_at = self.clock.now();
        self.session.look().await;
        let (servers, zones) = self.servers_and_zones().await?;
        let own = Some(self.session.server);
        let parameters = self.session.read(&OWN_PARAMETERS, |cluster, _| readings::parameters(cluster, own)).await?;
        let (identity, endpoint) = (self.identity.clone(), self.endpoint.clone());
        Ok(Discovery { identity, endpoint, observed_at, servers, zones, parameters })
    }

    async fn reading(&mut self) -> Result<ClusterReading, ClusterError> {
        self.whole_reading(true).await
    }

    async fn gate_reading(&mut self) -> Result<ClusterReading, ClusterError> {
        self.whole_reading(false).await
    }

    async fn servers(&mut self) -> Result<Vec<ServerReading>, ClusterError> {
        self.session.look().await;
        self.all_servers().await
    }

    async fn server(&mut self, addr: &ServerAddr) -> Result<Option<ServerReading>, ClusterError> {
        Ok(self.servers().await?.into_iter().find(|server| server.addr == *addr))
    }

    async fn zone(&mut self, zone: &ZoneName) -> Result<Option<ZoneReading>, ClusterError> {
        self.session.look().await;
        Ok(self.servers_and_zones().await?.1.into_iter().find(|found| found.name == *zone))
    }

    async fn leaders(&mut self, addr: &ServerAddr) -> Result<LeaderCount, ClusterError> {
        let observed_at = self.clock.now();
        self.session.look().await;
        let locations = self.leaders_in(from_ref(addr), false).await?;
        let log_stat = self.leaders_in(from_ref(addr), true).await?;
        let count = |led: Vec<LedFrom>| i64::try_from(led.len()).unwrap();
        Ok(LeaderCount { locations: count(locations), log_stat: count(log_stat), observed_at })
    }

    async fn leaders_left(&mut self, addrs: &[ServerAddr]) -> Result<Vec<LedFrom>, ClusterError> {
        self.session.look().await;
        let left = self.leaders_in(addrs, false).await?;
        if left.is_empty() { self.leaders_in(addrs, true).await } else { Ok(left) }
    }

    async fn tenants(&mut self) -> Result<Vec<TenantReading>, ClusterError> {
        self.session.look().await;
        self.session.read(&TENANTS, |cluster, _| readings::tenants(cluster)).await
    }

    async fn zones(&mut self) -> Result<Vec<ZoneReading>, ClusterError> {
        self.session.look().await;
        self.session.read(&ZONES, |cluster, _| readings::zones(cluster)).await
    }

    async fn log_streams(&mut self) -> Result<Vec<LogStreamReading>, ClusterError> {
        self.session.look().await;
        self.session.read(&LOG_STREAMS, readings::log_streams).await
    }

    async fn other_zone_stopped(&mut self, zone: &ZoneName) -> Result<Option<String>, ClusterError> {
        self.session.look().await;
        let (servers, zones) = self.servers_and_zones().await?;
        Ok(other_zone_stopped(&servers, &zones, zone))
    }

    async fn horizon(&mut self) -> Result<Duration, ClusterError> {
        self.session.look().await;
        let parameters = self.session.read(&PARAMETERS, |cluster, _| readings::parameters(cluster, None)).await?;
        Ok(self.times.horizon(parameters.internal_sql_execute_timeout?))
    }

    async fn checkpoints(&mut self, addr: &ServerAddr) -> Result<Vec<freeze::Replica>, ClusterError> {
        self.session.look().await;
        let located = self.session.read(&LOCATIONS, |cluster, _| !cluster.log_streams.is_empty()).await?;
        if !located {
            let message = "CDB_OB_LS_LOCATIONS shows no log stream in the whole cluster: look at it";
            return Err(ClusterError::unreadable(message));
        }
        self.session.read(&LS_INFO, |cluster, now| readings::checkpoints(cluster, addr, now)).await
    }

    async fn clients(&mut self, addr: &ServerAddr) -> Result<Fact<ServerClients>, ClusterError> {
        self.session.look().await;
        let own = self.session.connection_id;
        let sessions = required_fact(self.session.ask(&PROCESS_LIST).await)?;
        let answers = self.session.read(&SERVER_RESOURCES, |cluster, _| readings::answers(cluster, addr)).await;
        let answers = required_fact(answers)?;
        let written = required_fact(self.session.ask(&PARTICIPANTS).await)?;
        self.session.ask(&TENANTS).await?;
        let found = || {
            if !answers? {
                return Err(silent(addr));
            }
            sessions.and(written)?;
            Ok(self.session.state(|core, _| readings::clients(core, addr, own)))
        };
        Ok(found())
    }
}
