//! What a step stops or starts in a cluster: the server or the zone of its subtask, how the cluster shows that it is stopped, and
//! the words for it.

use std::fmt;

use crate::domain::event::{Failure, TaskServer};
use crate::domain::graph::TaskTarget;
use crate::domain::ids::{ServerAddr, ZoneName};
use crate::domain::reading::ServerReading;
use crate::domain::status::ZoneInnerStatus;
use crate::domain::stop_target::StopTarget;
use crate::engine::StepContext;
use crate::inventory::{InventoryError, Target};
use crate::oceanbase::{Avoid, ClusterError, ClusterReader, Expected, Statement};
use crate::operations::{Deps, inventory_failure, step_io};

#[derive(Clone, Debug)]
pub struct ServerOrZone {
    what: StopTarget,
    zone: ZoneName,
    /// The way to it and to the hosts of all its servers.
    target: Target,
    others: Vec<Target>,
}

/// Whether the cluster shows it as stopped.
pub enum Mark {
    /// So it is, in words.
    Set(String),
    NotSet,
    /// The cluster does not know it any more.
    Gone,
}

/// What a look at the cluster found.
pub struct Seen {
    pub mark: Mark,
    /// All of the cluster.
    pub servers: Vec<ServerReading>,
}

impl From<Target> for ServerOrZone {
    fn from(target: Target) -> Self {
        let (what, zone) = (StopTarget::Server(target.server.addr), target.server.zone.clone());
        Self { what, zone, target, others: Vec::new() }
    }
}

impl fmt::Display for ServerOrZone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(formatter)
    }
}

impl ServerOrZone {
    /// `None`: a zone without servers.
    pub fn zone_of(zone: ZoneName, targets: Vec<Target>) -> Option<Self> {
        let mut targets = targets.into_iter();
        let target = targets.next()?;
        Some(Self { what: StopTarget::Zone(zone.clone()), zone, target, others: targets.collect() })
    }

    /// What the subtask acts on, each server proven to be the one that the task was accepted for.
    pub async fn of(deps: &Deps, context: &StepContext) -> Result<Self, Failure> {
        let zone = match context.this().map(|this| &this.spec.target) {
            Some(TaskTarget::Server(_)) => return step_io::target(deps, context).await.map(Self::from),
            Some(TaskTarget::Zone(zone)) => zone.clone(),
            Some(TaskTarget::Cluster) | None => return Err(step_io::misplaced(context)),
        };
        let of_task: Vec<&TaskServer> = context.task.spec.servers.iter().filter(|server| server.zone == zone).collect();
        let cluster = context.task.spec.cluster.id;
        let found = deps.inventory.targets(cluster, |row| of_task.iter().any(|server| server.id == row.id)).await;
        let found = found.map_err(|error| inventory_failure(&error))?;
        let proven = |server: &&TaskServer| {
            let target = found.iter().find(|target| target.server.id == server.id).cloned();
            let gone = InventoryError::ServerNotFound { cluster, server: server.id };
            step_io::proven(target.ok_or_else(|| inventory_failure(&gone))?, server)
        };
        let targets = of_task.iter().map(proven).collect::<Result<_, Failure>>()?;
        Self::zone_of(zone, targets).ok_or_else(|| step_io::misplaced(context))
    }

    pub const fn what(&self) -> &StopTarget {
        &self.what
    }

    pub const fn zone(&self) -> &ZoneName {
        &self.zone
    }

    pub fn cluster_name(&self) -> &str {
        &self.target.cluster.identity.name
    }

    /// The server, or all that the task has in the zone.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        std::iter::once(&self.target).chain(&self.others)
    }

    pub fn addresses(&self) -> Vec<ServerAddr> {
        self.targets().map(|target| target.server.addr).collect()
    }

    /// The way to the cluster.
    pub const fn way(&self) -> &Target {
        &self.target
    }

    /// What a session must prove.
    pub fn expected(&self) -> Expected {
        match self.what {
            StopTarget::Server(_) => self.target.expected(),
            StopTarget::Zone(_) => Expected { target: None, ..self.target.expected() },
        }
    }

    /// Endpoints that a session is opened on last.
    pub fn avoid(&self) -> Avoid {
        let server = match self.what {
            StopTarget::Server(addr) => Some(addr),
            StopTarget::Zone(_) => None,
        };
        Avoid { server, zone: Some(self.zone.clone()), never: None }
    }

    pub async fn reader(&self, deps: &Deps) -> Result<Box<dyn ClusterReader>, ClusterError> {
        let Target { access, known, .. } = &self.target;
        deps.oceanbase.reader(access, known, &self.expected(), &self.avoid()).await
    }

    pub async fn see(&self, reader: &mut dyn ClusterReader) -> Result<Seen, ClusterError> {
        let servers = reader.servers().await?;
        let mark = match &self.what {
            StopTarget::Server(addr) => {
                match servers.iter().find(|server| server.addr == *addr).map(|row| row.stop_time) {
                    Some(Some(since)) => Mark::Set(format!("STOP_TIME of {addr} is set since {since}")),
                    Some(None) => Mark::NotSet,
                    None => Mark::Gone,
                }
            }
            StopTarget::Zone(zone) => match reader.zone(zone).await?.map(|zone| zone.status) {
                Some(ZoneInnerStatus::Inactive) => Mark::Set(format!("zone {zone} is INACTIVE")),
                Some(ZoneInnerStatus::Active) => Mark::NotSet,
                None => Mark::Gone,
            },
        };
        Ok(Seen { mark, servers })
    }

    /// A session that reads, and what it saw.
    pub async fn look(
        &self,
        deps: &Deps,
        context: &StepContext,
    ) -> Result<(Box<dyn ClusterReader>, Seen), ClusterError> {
        let looked = async {
            let mut reader = self.reader(deps).await?;
            let seen = self.see(reader.as_mut()).await?;
            Ok((reader, seen))
        };
        step_io::bounded(deps, context, looked).await
    }

    pub fn stop(&self) -> Statement {
        let zone = self.zone.clone();
        match self.what {
            StopTarget::Server(addr) => Statement::StopServer { addr, zone },
            StopTarget::Zone(_) => Statement::StopZone { zone },
        }
    }

    pub fn force_stop(&self) -> Statement {
        let zone = self.zone.clone();
        match self.what {
            StopTarget::Server(addr) => Statement::ForceStopServer { addr, zone },
            StopTarget::Zone(_) => Statement::ForceStopZone { zone },
        }
    }

    pub fn start(&self) -> Statement {
        let zone = self.zone.clone();
        match self.what {
            StopTarget::Server(addr) => Statement::StartServer { addr, zone },
            StopTarget::Zone(_) => Statement::StartZone { zone },
        }
    }

    pub const fn start_words(&self) -> &'static str {
        match self.what {
            StopTarget::Server(_) => "START SERVER",
            StopTarget::Zone(_) => "START ZONE",
        }
    }

    /// The statement in a sentence.
    pub const fn stop_words(&self) -> &'static str {
        match self.what {
            StopTarget::Server(_) => "STOP SERVER",
            StopTarget::Zone(_) => "STOP ZONE",
        }
    }

    /// What the statement sets, in a sentence about whether it is set.
    pub fn mark_words(&self) -> String {
        match &self.what {
            StopTarget::Server(addr) => format!("STOP_TIME of {addr}"),
            StopTarget::Zone(zone) => format!("INACTIVE of zone {zone}"),
        }
    }

    /// Where leaders are, in the words of progress.
    pub fn place(&self) -> String {
        match &self.what {
            StopTarget::Server(addr) => format!("{} {addr}", self.zone),
            StopTarget::Zone(zone) => format!("zone {zone}"),
        }
    }

    /// A failure that names it.
    pub fn named(&self, failure: Failure) -> Failure {
        match &self.what {
            StopTarget::Server(addr) => failure.with("address", addr),
            StopTarget::Zone(zone) => failure.with("zone", zone),
        }
    }
}
