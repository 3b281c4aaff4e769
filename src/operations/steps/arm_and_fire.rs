//! The effect that ends a process: the agent identifies the process and gives a ticket; the gate is read; the ticket ends that
//! process and no other, within seconds.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::blocker::Blockers;
use crate::domain::effect::{EffectOutcome, Permit};
use crate::domain::gate::{Consent, Gate, LeaderCount, StopTimeExpectation, WholeStop, gate, whole_gate};
use crate::domain::host::{CallerFence, Finding, HostCode, ObserverIdentity, StopResult};
use crate::domain::reading::ClusterReading;
use crate::domain::store_home::StoreHome;
use crate::engine::PreparedEffect;
use crate::host::{Host, HostError};
use crate::inventory::Target;
use crate::oceanbase::ClusterError;
use crate::operations::{Deps, leaves_unknown, retriable, step_io};

/// The code when the gate could not be read behind the ticket, for a reason that passes with time.
pub(super) const GATE_UNREAD: &str = "GATE_UNREAD";
/// Longest reading behind an armed ticket, which lives five seconds.
const BEHIND_TICKET: Duration = Duration::from_secs(4);

/// What the gate is decided by.
pub(super) struct GateRead {
    pub reading: ClusterReading,
    pub leaders: LeaderCount,
    /// Where our own records are.
    pub store: StoreHome,
}

pub(super) async fn read_gate(deps: &Deps, target: &Target) -> Result<GateRead, ClusterError> {
    let read = async {
        let mut reader = step_io::gate_reader(deps, target).await?;
        let reading = reader.gate_reading().await?;
        let leaders = reader.leaders(&target.server.addr).await?;
        Ok((reading, leaders))
    };
    let (read, store) = tokio::join!(read, deps.store.home());
    read.map(|(reading, leaders)| GateRead { reading, leaders, store })
}

/// By which rules the gate is decided.
#[derive(Clone, Debug)]
pub(super) enum GateRules {
    /// A server, or one of a zone that is stopped: what is left of the cluster serves on.
    OfPart { mark: StopTimeExpectation, consent: Consent },
    /// One of a whole cluster that is stopped.
    OfWhole(WholeStop),
}

impl GateRules {
    /// Reads what they are about, and decides; with what keeps the gate closed.
    pub(super) async fn ask(&self, deps: &Deps, target: &Target) -> Result<(Gate, Blockers), ClusterError> {
        match self {
            Self::OfPart { mark, consent } => {
                let read = read_gate(deps, target).await?;
                let addr = &target.server.addr;
                let gate = gate(&read.reading, addr, &read.store, &read.leaders, *mark, consent, deps.clock.now());
                let blockers = gate.blockers(&read.reading, addr);
                Ok((gate, blockers))
            }
            Self::OfWhole(stop) => {
                let read = async { step_io::reader(deps, target).await?.servers().await };
                let cluster = &target.cluster.identity.name;
                let servers = match step_io::within(step_io::UNREADABLE_CLUSTER_TIMEOUT, cluster, read).await {
                    Ok(servers) => Some(servers),
                    Err(error) if leaves_unknown(error.class) => None,
                    Err(error) => return Err(error),
                };
                // Nothing of it opens by itself: who waits for it waits for nothing that could be named.
                Ok((whole_gate(*stop, &target.server.addr, servers.as_deref()), Blockers::default()))
            }
        }
    }
}

/// Arms, reads the gate once more behind the ticket, and fires.
pub(super) struct ArmAndFire {
    pub deps: Deps,
    pub host: Arc<dyn Host>,
    pub target: Target,
    pub identity: ObserverIdentity,
    pub rules: GateRules,
    pub unknown_cluster: bool,
    pub fence: CallerFence,
}

fn refused(code: &str, message: impl Into<String>) -> EffectOutcome {
    EffectOutcome::Refused { code: code.to_owned(), message: message.into() }
}

#[async_trait]
impl PreparedEffect for ArmAndFire {
    async fn send(self: Box<Self>, permit: Permit) -> EffectOutcome {
        let observer = self.target.observer();
        let (found, ticket) = match self.host.arm(&observer, &self.fence).await {
            Ok(armed) => armed,
            Err(HostError::Refused { code, message }) => return refused(&code, message),
            Err(error @ HostError::Protocol { .. }) => return refused("NOT_ARMED", error.to_string()),
        };
        let Finding::Running(identity) = &found.finding else {
            return refused("NOT_ARMED", format!("the process was there and is not any more: {}", found.evidence));
        };
        if *identity != self.identity {
            return refused(
                HostCode::IdentityChanged.as_str(),
                format!("the process is {identity}, expected {}", self.identity),
            );
        }
        let Some(ticket) = ticket else {
            return refused("NOT_ARMED", format!("the agent gave no ticket: {}", found.evidence));
        };
        // A ticket lives for seconds: what takes longer could only come too late.
        let limit = if self.unknown_cluster { step_io::UNREADABLE_CLUSTER_TIMEOUT } else { BEHIND_TICKET };
        let cluster = &self.target.cluster.identity.name;
        match step_io::within(limit, cluster, self.rules.ask(&self.deps, &self.target)).await {
            Ok((Gate::Open { .. }, _)) => {}
            Ok((Gate::Closed { code, reason, .. }, _)) => {
                return refused(code.as_str(), format!("the gate is closed: {reason}"));
            }
            Err(error) if self.unknown_cluster && leaves_unknown(error.class) => {}
            Err(error) => {
                let message = format!("the gate could not be read: {}", error.message);
                let code = if retriable(error.class) { GATE_UNREAD } else { "GATE_UNREADABLE" };
                return refused(code, message);
            }
        }
        // Behind the ticket, which lives for seconds: a replica that is frozen from here on comes too late.
        let grace = self.deps.timeouts.grace;
        if !permit.is_valid_for(grace) {
            return EffectOutcome::too_late();
        }
        let store_id = self.deps.store_id.clone();
        match self.host.stop(permit, &observer, identity, ticket, &store_id, grace).await {
            StopResult::Ended { evidence, .. } => EffectOutcome::Done { message: evidence },
            StopResult::Refused { code, message } => refused(&code, message),
            StopResult::Unknown { message } => EffectOutcome::Unknown { message },
        }
    }
}
