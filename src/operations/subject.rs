//! What an operation is on: a server, a zone with its servers, or a whole cluster, with the way to each of its servers.

use crate::domain::event::{Failure, TaskServer};
use crate::domain::graph::TaskTarget;
use crate::domain::ids::{ServerAddr, ZoneName};
use crate::domain::stop_target::StopTarget;
use crate::engine::StepContext;
use crate::inventory::{InventoryError, Target};
use crate::oceanbase::{Avoid, ClusterError, ClusterReader, Expected};
use crate::operations::{Deps, inventory_failure, step_io};

#[derive(Clone, Debug)]
pub struct Subject {
    what: TaskTarget,
    /// The way to it and to the hosts of all its servers.
    way: Target,
    others: Vec<Target>,
}

impl From<Target> for Subject {
    fn from(target: Target) -> Self {
        Self { what: TaskTarget::Server(target.server.id), way: target, others: Vec::new() }
    }
}

impl Subject {
    /// `None`: a zone, or a cluster, without servers.
    pub fn new(what: TaskTarget, targets: Vec<Target>) -> Option<Self> {
        let mut targets = targets.into_iter();
        Some(Self { what, way: targets.next()?, others: targets.collect() })
    }

    /// What the subtask acts on, each server proven to be the one that the task was accepted for.
    pub(super) async fn of(deps: &Deps, context: &StepContext) -> Result<Self, Failure> {
        let (task, this) = (&context.task.spec, context.this().map(|this| this.spec.target.clone()));
        let what = match this.ok_or_else(|| step_io::misplaced(context))? {
            TaskTarget::Server(_) => return step_io::target(deps, context).await.map(Self::from),
            what @ (TaskTarget::Zone(_) | TaskTarget::Cluster) => what,
        };
        let zone = task.zone_of(&what);
        let is_of = |server: &&TaskServer| zone.is_none_or(|zone| server.zone == *zone);
        let of_task: Vec<&TaskServer> = task.servers.iter().filter(is_of).collect();
        let found = deps.inventory.targets(task.cluster.id, |row| of_task.iter().any(|it| it.id == row.id)).await;
        let found = found.map_err(|error| inventory_failure(&error))?;
        let proven = |server: &&TaskServer| {
            let target = found.iter().find(|target| target.server.id == server.id).cloned();
            let gone = InventoryError::ServerNotFound { cluster: task.cluster.id, server: server.id };
            step_io::proven(target.ok_or_else(|| inventory_failure(&gone))?, server)
        };
        let targets = of_task.iter().map(proven).collect::<Result<_, Failure>>()?;
        Self::new(what.clone(), targets).ok_or_else(|| step_io::misplaced(context))
    }

    pub const fn what(&self) -> &TaskTarget {
        &self.what
    }

    /// As the rules of a stop see it; `None`: it is a whole cluster.
    pub fn stop_target(&self) -> Option<StopTarget> {
        match &self.what {
            TaskTarget::Server(_) => Some(StopTarget::Server(self.way.server.addr)),
            TaskTarget::Zone(zone) => Some(StopTarget::Zone(zone.clone())),
            TaskTarget::Cluster => None,
        }
    }

    /// The zone that it is, or is in; `None`: it is a whole cluster.
    pub const fn zone(&self) -> Option<&ZoneName> {
        match &self.what {
            TaskTarget::Server(_) => Some(&self.way.server.zone),
            TaskTarget::Zone(zone) => Some(zone),
            TaskTarget::Cluster => None,
        }
    }

    pub fn cluster_name(&self) -> &str {
        &self.way.cluster.identity.name
    }

    /// The server, or all that the operation has in the zone or the cluster.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        std::iter::once(&self.way).chain(&self.others)
    }

    pub fn addresses(&self) -> Vec<ServerAddr> {
        self.targets().map(|target| target.server.addr).collect()
    }

    /// The way to the cluster.
    pub const fn way(&self) -> &Target {
        &self.way
    }

    /// What a session must prove.
    pub fn expected(&self) -> Expected {
        match self.what {
            TaskTarget::Server(_) => self.way.expected(),
            TaskTarget::Zone(_) | TaskTarget::Cluster => Expected { target: None, ..self.way.expected() },
        }
    }

    /// Endpoints that a session is opened on last.
    pub fn avoid(&self) -> Avoid {
        let server = match self.what {
            TaskTarget::Server(_) => Some(self.way.server.addr),
            TaskTarget::Zone(_) | TaskTarget::Cluster => None,
        };
        Avoid { server, zone: self.zone().cloned(), never: None }
    }

    pub async fn reader(&self, deps: &Deps) -> Result<Box<dyn ClusterReader>, ClusterError> {
        let Target { access, known, .. } = &self.way;
        deps.oceanbase.reader(access, known, &self.expected(), &self.avoid()).await
    }
}
