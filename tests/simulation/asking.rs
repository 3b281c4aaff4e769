//! What is asked of the service in a world: an operation with its options, as the call that asks for it.

use std::time::Duration;

use obsteward::domain::beginning::BeginRequest;
use obsteward::domain::ids::ZoneName;
use obsteward::domain::refusal::Refusal;
use obsteward::domain::rollout::RolloutAction;
use obsteward::domain::status::{Risk, StopType};
use obsteward::service::{
    FreezeServer, OnCluster, OnServer, OnZone, RestartCluster, RestartServer, RestartZone, RolloutOf, RolloutScope,
    StartCluster, StartRollout, StartServer, StartZone, StopCluster, StopServer, StopZone,
};
use obsteward::store::StoredTask;

use crate::promises::scenario::Operation;
use crate::world::World;

/// What is asked of a server, of its zone, or of all.
#[derive(Clone, Debug)]
pub struct Ask {
    pub operation: Operation,
    /// From 1, as the cluster numbers them.
    pub server: i64,
    /// How long a server is held, of what holds.
    pub hold: Duration,
    /// How long clients are waited for.
    pub drain: Duration,
    pub rollout: RolloutAsk,
    pub force: bool,
    pub risks: Vec<Risk>,
    pub service_only: bool,
    pub freeze: bool,
    /// How long the consent lasts; `None`: as long as nobody says otherwise.
    pub consent: Option<Duration>,
    /// Two asks with the same number are the same request.
    pub request: Option<u128>,
    /// What may not begin waits.
    pub queue: bool,
    /// How long it is not to begin.
    pub later: Option<Duration>,
}

/// What is asked of a rollout besides.
#[derive(Clone, Copy, Debug)]
pub struct RolloutAsk {
    /// Of every server, not of one zone only.
    pub all: bool,
    pub max_parallel: u32,
    pub min_healthy: Duration,
    pub stop_after: u32,
    pub pause_after: Option<u32>,
}

impl Ask {
    /// The simplest of its kind.
    pub const fn of(operation: Operation, server: i64) -> Self {
        let rollout =
            RolloutAsk { all: false, max_parallel: 1, min_healthy: Duration::ZERO, stop_after: 1, pause_after: None };
        Self {
            operation,
            server,
            hold: Duration::from_secs(1800),
            drain: Duration::ZERO,
            rollout,
            force: false,
            risks: Vec::new(),
            service_only: false,
            freeze: false,
            consent: None,
            request: None,
            queue: false,
            later: None,
        }
    }
}

/// Does something with the call that asks for it.
macro_rules! with_call {
    ($world:expr, $ask:expr, $call:ident => $then:expr) => {{
        let stop = $world.stop_call($ask)?;
        macro_rules! done {
            ($of_it:expr) => {{
                let $call = $of_it;
                $then
            }};
        }
        match $ask.operation {
            Operation::Stop | Operation::Hold => done!(stop),
            Operation::Restart => done!(RestartServer(stop)),
            Operation::Start => done!(StartServer(on_server(&stop))),
            Operation::Freeze => done!(FreezeServer(on_server(&stop))),
            Operation::StopZone => done!(StopZone(on_zone($ask, stop))),
            Operation::StartZone => done!(StartZone(on_zone($ask, stop))),
            Operation::RestartZone => done!(RestartZone(on_zone($ask, stop))),
            Operation::StopCluster => done!(StopCluster(on_cluster($ask, stop))),
            Operation::StartCluster => done!(StartCluster(on_cluster($ask, stop))),
            Operation::RestartCluster => done!(RestartCluster(on_cluster($ask, stop))),
            Operation::Rollout | Operation::HoldRollout => done!(rollout($ask, stop)),
        }
    }};
}

impl World {
    /// [`World::ask`], waiting for the answer.
    pub async fn ask_and_wait(&self, ask: &Ask) -> Option<Result<StoredTask, Refusal>> {
        with_call!(self, ask, call => self.call(call, ()).await)
    }

    fn stop_call(&self, ask: &Ask) -> Option<StopServer> {
        Some(StopServer {
            cluster: self.cluster_id,
            server: self.server_id(ask.server)?,
            force: ask.force,
            accepted_risks: ask.risks.clone(),
            stop_type: if ask.service_only { StopType::Service } else { StopType::Process },
            freeze_before_stop: ask.freeze && !ask.service_only,
            hold_until: (ask.operation == Operation::Hold).then(|| self.clock().now().plus(ask.hold)),
            drain: ask.drain,
            request_id: ask.request.map(uuid::Uuid::from_u128),
            repeat_by_arguments: false,
            expected_server: None,
            expire_time: ask.consent.map(|consent| self.clock().now().plus(consent)),
            begin: BeginRequest { not_before: ask.later.map(|later| self.clock().now().plus(later)), queue: ask.queue },
        })
    }

    /// `None`: the server is not known to the service.
    pub fn ask(&mut self, ask: &Ask) -> Option<()> {
        with_call!(self, ask, call => self.send(call, ()));
        Some(())
    }
}

fn on_server(stop: &StopServer) -> OnServer {
    OnServer {
        cluster: stop.cluster,
        server: stop.server,
        request_id: stop.request_id,
        repeat_by_arguments: false,
        expected_server: None,
        begin: stop.begin,
    }
}

fn on_zone(ask: &Ask, stop: StopServer) -> OnZone {
    let starts = ask.operation == Operation::StartZone;
    OnZone {
        cluster: stop.cluster,
        zone: zone_of(ask.server),
        request_id: stop.request_id,
        repeat_by_arguments: false,
        force: stop.force && !starts,
        accepted_risks: if starts { Vec::new() } else { stop.accepted_risks },
        freeze_before_stop: stop.freeze_before_stop && !starts,
        drain: if starts { Duration::ZERO } else { stop.drain },
        expire_time: stop.expire_time,
        begin: stop.begin,
    }
}

/// With what it cannot do without: somebody who means it.
fn on_cluster(ask: &Ask, stop: StopServer) -> OnCluster {
    let starts = ask.operation == Operation::StartCluster;
    let mut accepted_risks = if starts { Vec::new() } else { stop.accepted_risks };
    accepted_risks.retain(|risk| Risk::OF_CLUSTER.contains(risk));
    if !starts && !accepted_risks.contains(&Risk::ServiceLoss) {
        accepted_risks.push(Risk::ServiceLoss);
        accepted_risks.sort();
    }
    OnCluster {
        cluster: stop.cluster,
        expected_name: None,
        request_id: stop.request_id,
        repeat_by_arguments: false,
        force: stop.force && !starts,
        accepted_risks,
        expire_time: if starts { None } else { stop.expire_time },
        begin: stop.begin,
    }
}

fn rollout(ask: &Ask, stop: StopServer) -> StartRollout {
    let RolloutAsk { all, max_parallel, min_healthy, stop_after, pause_after } = ask.rollout;
    let holds = ask.operation == Operation::HoldRollout;
    StartRollout {
        of: RolloutOf {
            cluster: stop.cluster,
            scope: if all { RolloutScope::All } else { RolloutScope::Zones(vec![zone_of(ask.server)]) },
            action: if holds { RolloutAction::Hold } else { RolloutAction::Restart },
            max_parallel,
            force: stop.force,
            accepted_risks: stop.accepted_risks,
        },
        min_healthy,
        stop_after,
        pause_after,
        freeze_before_stop: stop.freeze_before_stop,
        drain: stop.drain,
        hold: holds.then_some(ask.hold),
        deadline: stop.expire_time,
        request_id: stop.request_id,
        begin: stop.begin,
    }
}

pub fn zone_of(server: i64) -> ZoneName {
    format!("zone{}", (server - 1) % 3 + 1).parse().unwrap()
}
