//! A session that reads a cluster as a whole.

use std::slice::from_ref;
use std::time::Duration;

use async_trait::async_trait;

use super::error::{ClusterError, ErrorClass};
use super::identity::same_target;
use super::session::ProvenSession;
use super::views::Whose;
use super::{ClusterReader, EffectTimes, clients, facts, log_streams, views};
use crate::clock::{Clock, Timestamp};
use crate::domain::clients::ServerClients;
use crate::domain::freeze;
use crate::domain::gate::LeaderCount;
use crate::domain::ids::{ClusterIdentity, ServerAddr, ZoneName};
use crate::domain::precheck::LedFrom;
use crate::domain::reading::{
    ClusterReading, Fact, Facts, LogStreamReading, Parameters, ServerReading, TenantReading, ZoneReading,
};
use crate::domain::status::ZoneInnerStatus;

/// How often a reading is made when servers or zones change under it.
pub const READINGS: usize = 3;

/// What the inventory needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    pub identity: ClusterIdentity,
    /// `host:port` that answered.
    pub endpoint: String,
    pub observed_at: Timestamp,
    pub servers: Vec<ServerReading>,
    pub zones: Vec<ZoneReading>,
    /// Its parameters, as one server has them.
    pub parameters: Parameters,
}

pub struct MysqlReader {
    proven: ProvenSession,
    clock: Clock,
    times: EffectTimes,
}

impl MysqlReader {
    pub(super) const fn new(proven: ProvenSession, clock: Clock, times: EffectTimes) -> Self {
        Self { proven, clock, times }
    }

    /// One reading; `None`: servers or zones changed meanwhile.
    async fn read_once(&mut self, whole: bool) -> Result<Option<ClusterReading>, ClusterError> {
        let observed_at = self.clock.now();
        let (servers, zones) = self.servers_and_zones().await?;
        let session = &mut self.proven.session;
        let tenants = views::tenants(session).await?;
        let parameters = views::parameters(session, Whose::AllServers).await?;
        let units = facts::units(session).await?;
        let arbitration = facts::arbitration(session).await?;
        let log_streams = log_streams::read(session).await?;
        if self.servers_and_zones().await? != (servers.clone(), zones.clone()) {
            return Ok(None);
        }
        let session = &mut self.proven.session;
        let facts = if whole { facts::facts(session).await? } else { Facts::not_asked("not asked for at the gate") };
        Ok(Some(ClusterReading {
            identity: self.proven.identity.clone(),
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

    async fn all_servers(&mut self) -> Result<Vec<ServerReading>, ClusterError> {
        let ProvenSession { session, endpoint, target, .. } = &mut self.proven;
        let servers = views::servers(session).await?;
        same_target(&servers, target.as_ref(), endpoint)?;
        Ok(servers)
    }

    async fn servers_and_zones(&mut self) -> Result<(Vec<ServerReading>, Vec<ZoneReading>), ClusterError> {
        Ok((self.all_servers().await?, views::zones(&mut self.proven.session).await?))
    }

    async fn read(&mut self, whole: bool) -> Result<ClusterReading, ClusterError> {
        for _ in 0..READINGS {
            if let Some(reading) = self.read_once(whole).await? {
                return Ok(reading);
            }
        }
        Err(restless())
    }
}

/// The error when servers or zones changed under each reading.
pub fn restless() -> ClusterError {
    let message =
        format!("servers or zones changed during each of {READINGS} readings, try again when they are at rest");
    ClusterError::new(ErrorClass::Transient, message)
}

/// What is stopped outside this zone, in words; `None`: nothing.
pub fn other_zone_stopped(servers: &[ServerReading], zones: &[ZoneReading], zone: &ZoneName) -> Option<String> {
    let server = servers.iter().find(|server| server.stop_time.is_some() && server.zone != *zone);
    let server = server.map(|server| format!("server {} of zone {} is stopped", server.addr, server.zone));
    let other = zones.iter().find(|other| other.status == ZoneInnerStatus::Inactive && other.name != *zone);
    server.or_else(|| other.map(|other| format!("zone {} is INACTIVE", other.name)))
}

#[async_trait]
impl ClusterReader for MysqlReader {
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
        self.proven.session.is_open()
    }

    async fn discover(&mut self) -> Result<Discovery, ClusterError> {
        let observed_at = self.clock.now();
        let (servers, zones) = self.servers_and_zones().await?;
        let parameters = views::parameters(&mut self.proven.session, Whose::OneServer).await?;
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
        self.all_servers().await
    }

    async fn server(&mut self, addr: &ServerAddr) -> Result<Option<ServerReading>, ClusterError> {
        Ok(self.all_servers().await?.into_iter().find(|server| server.addr == *addr))
    }

    async fn zone(&mut self, zone: &ZoneName) -> Result<Option<ZoneReading>, ClusterError> {
        Ok(views::zones(&mut self.proven.session).await?.into_iter().find(|found| found.name == *zone))
    }

    async fn leaders(&mut self, addr: &ServerAddr) -> Result<LeaderCount, ClusterError> {
        let observed_at = self.clock.now();
        let session = &mut self.proven.session;
        let locations = log_streams::leaders_in(session, "CDB_OB_LS_LOCATIONS", from_ref(addr)).await?;
        let log_stat = log_streams::leaders_in(session, "GV$OB_LOG_STAT", from_ref(addr)).await?;
        let count = |led: Vec<LedFrom>| i64::try_from(led.len()).unwrap_or(i64::MAX);
        Ok(LeaderCount { locations: count(locations), log_stat: count(log_stat), observed_at })
    }

    async fn leaders_left(&mut self, addrs: &[ServerAddr]) -> Result<Vec<LedFrom>, ClusterError> {
        let session = &mut self.proven.session;
        let left = log_streams::leaders_in(session, "CDB_OB_LS_LOCATIONS", addrs).await?;
        if left.is_empty() { log_streams::leaders_in(session, "GV$OB_LOG_STAT", addrs).await } else { Ok(left) }
    }

    async fn tenants(&mut self) -> Result<Vec<TenantReading>, ClusterError> {
        views::tenants(&mut self.proven.session).await
    }

    async fn zones(&mut self) -> Result<Vec<ZoneReading>, ClusterError> {
        views::zones(&mut self.proven.session).await
    }

    async fn log_streams(&mut self) -> Result<Vec<LogStreamReading>, ClusterError> {
        log_streams::joined(&mut self.proven.session).await
    }

    async fn other_zone_stopped(&mut self, zone: &ZoneName) -> Result<Option<String>, ClusterError> {
        let (servers, zones) = self.servers_and_zones().await?;
        Ok(other_zone_stopped(&servers, &zones, zone))
    }

    async fn horizon(&mut self) -> Result<Duration, ClusterError> {
        // The root service may be on any server.
        let parameters = views::parameters(&mut self.proven.session, Whose::AllServers).await?;
        Ok(self.times.horizon(parameters.internal_sql_execute_timeout?))
    }

    async fn checkpoints(&mut self, addr: &ServerAddr) -> Result<Vec<freeze::Replica>, ClusterError> {
        log_streams::checkpoints(&mut self.proven.session, addr).await
    }

    async fn clients(&mut self, addr: &ServerAddr) -> Result<Fact<ServerClients>, ClusterError> {
        clients::read(&mut self.proven.session, addr).await
    }
}
