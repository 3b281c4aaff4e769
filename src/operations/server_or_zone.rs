//! What a step stops or starts in a cluster: the server or the zone of its subtask, how the cluster shows that it is stopped, and
//! the words for it.

use std::fmt;
use std::ops::Deref;

use crate::domain::event::Failure;
use crate::domain::ids::ZoneName;
use crate::domain::reading::ServerReading;
use crate::domain::status::ZoneInnerStatus;
use crate::domain::stop_target::StopTarget;
use crate::engine::StepContext;
use crate::inventory::Target;
use crate::oceanbase::{ClusterError, ClusterReader, Statement};
use crate::operations::subject::Subject;
use crate::operations::{Deps, step_io};

#[derive(Clone, Debug)]
pub struct ServerOrZone {
    what: StopTarget,
    zone: ZoneName,
    subject: Subject,
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
        Self { what, zone, subject: target.into() }
    }
}

/// It is a subject: what a step reads of one holds for it.
impl Deref for ServerOrZone {
    type Target = Subject;

    fn deref(&self) -> &Subject {
        &self.subject
    }
}

impl fmt::Display for ServerOrZone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(formatter)
    }
}

impl ServerOrZone {
    /// What the subtask acts on, each server proven to be the one that the task was accepted for.
    pub async fn of(deps: &Deps, context: &StepContext) -> Result<Self, Failure> {
        let subject = Subject::of(deps, context).await?;
        match (subject.stop_target(), subject.zone().cloned()) {
            (Some(what), Some(zone)) => Ok(Self { what, zone, subject }),
            (None, _) | (_, None) => Err(step_io::misplaced(context)),
        }
    }

    pub const fn what(&self) -> &StopTarget {
        &self.what
    }

    pub const fn zone(&self) -> &ZoneName {
        &self.zone
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
