//! The gate: may the process of a server be ended now? Pure rules over one fresh reading and one fresh count of leaders
//! (docs/architecture.md#the-gate). It does not care who set STOP_TIME: STOP, FORCE STOP and ISOLATE leave the same
//! trace.

#[cfg(test)]
mod tests;
mod whole_cluster;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::blocker::{Blocker, Blockers};
use crate::domain::ids::ServerAddr;
use crate::domain::precheck::{self, Check, Precheck, PrecheckStage, why_leader_stays};
use crate::domain::reading::{ClusterReading, LogStreamReading, younger_than};
use crate::domain::status::{OverriddenBy, Risk, ZoneInnerStatus};
use crate::domain::stop_target::StopTarget;
use crate::domain::store_home::StoreHome;

pub use whole_cluster::{WholeStop, whole_gate};

/// A reading this old or older closes the gate.
pub const READING_AGE: Duration = Duration::from_secs(5);

/// Leaders on one server, by both views that show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderCount {
    /// LEADER rows of the server in `CDB_OB_LS_LOCATIONS`.
    pub locations: i64,
    /// LEADER rows of the server in `GV$OB_LOG_STAT`.
    pub log_stat: i64,
    /// When the count began.
    pub observed_at: Timestamp,
}

impl LeaderCount {
    pub fn most(&self) -> i64 {
        self.locations.max(self.log_stat)
    }
}

/// What is expected of STOP_TIME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopTimeExpectation {
    /// It was set before, by this task or somebody else: if it is missing, somebody has cleared it meanwhile.
    MustBeSet,
    /// It was never set, because the root service refused STOP and FORCE STOP. Only `QUORUM_LOSS` continues without it.
    RefusedByRootService,
    /// The server's zone was stopped instead, which sets no STOP_TIME: the zone must be INACTIVE.
    ZoneIsStopped,
}

/// Risks that the caller of a stop has accepted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Consent {
    /// `force`.
    pub force: bool,
    /// `accept_risks`.
    pub accepted: Vec<Risk>,
}

impl Consent {
    pub fn accepts(&self, risk: Risk) -> bool {
        self.accepted.contains(&risk)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateCode {
    /// The target is not in the reading.
    TargetUnknown,
    /// The reading or the count of leaders is 5 s old or older, or from the future.
    ReadingTooOld,
    /// STOP_TIME was set and is not any more: somebody started the server.
    StopTimeCleared,
    /// The zone was INACTIVE and is not any more: somebody started it.
    ZoneStarted,
    /// STOP_TIME was never set.
    NotStopped,
    /// Log streams are led from the target.
    LeadersLeft,
    /// A two-replica log stream counts on the arbitration service, which has not taken the target out yet.
    NotDegraded,
    /// A check of the precheck blocks.
    PrecheckBlocks,
    /// The process is one of a whole cluster's, and nobody accepted that service ends for everybody.
    ServiceLossNotAccepted,
    /// The stop of a whole cluster has a server whose freeze did not succeed and was not overridden.
    NotFrozen,
}

impl GateCode {
    /// The word in answers, stable for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TargetUnknown => "TARGET_UNKNOWN",
            Self::ReadingTooOld => "READING_TOO_OLD",
            Self::StopTimeCleared => "STOP_TIME_CLEARED",
            Self::ZoneStarted => "ZONE_STARTED",
            Self::NotStopped => "NOT_STOPPED",
            Self::LeadersLeft => "LEADERS_LEFT",
            Self::NotDegraded => "NOT_DEGRADED",
            Self::PrecheckBlocks => "PRECHECK_BLOCKS",
            Self::ServiceLossNotAccepted => "SERVICE_LOSS_NOT_ACCEPTED",
            Self::NotFrozen => "NOT_FROZEN",
        }
    }
}

impl fmt::Display for GateCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Something that closes the gate, or would without the caller's consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub code: GateCode,
    pub evidence: String,
    /// What overrode it; `None`: it closes the gate.
    pub overridden_by: Option<OverriddenBy>,
    /// Whether it may be gone when the gate is evaluated again.
    pub retriable: bool,
    /// The log streams that it is about; none when it is about the server.
    pub blockers: Blockers,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The process may be ended now.
    Open {
        /// What would have closed it without the caller's consent; each is recorded.
        overridden: Vec<Obstacle>,
    },
    Closed {
        /// Of the first obstacle.
        code: GateCode,
        /// The evidence of all obstacles, for people.
        reason: String,
        obstacles: Vec<Obstacle>,
        /// Whether waiting may open it (leaders move away, replicas catch up): otherwise a person has to act.
        retriable: bool,
    },
}

impl Gate {
    /// What holds it closed, down to log streams where an obstacle tells.
    pub fn blockers(&self, reading: &ClusterReading, target: &ServerAddr) -> Blockers {
        let mut all = Blockers::default();
        let Self::Closed { obstacles, .. } = self else { return all };
        for obstacle in obstacles {
            match obstacle.blockers.count() {
                0 => all.extend([Blocker::server(*target, format!("closes the gate ({})", obstacle.code))]),
                _ => all.append(&obstacle.blockers),
            }
        }
        all.with_tenant_names(&reading.tenants.iter().map(|tenant| (tenant.id, tenant.name.clone())).collect())
    }
}

/// `leaders` must be counted after STOP_TIME was seen; `now` is the moment of the decision.
pub fn gate(
    reading: &ClusterReading,
    target: &ServerAddr,
    store: &StoreHome,
    leaders: &LeaderCount,
    mark: StopTimeExpectation,
    consent: &Consent,
    now: Timestamp,
) -> Gate {
    let precheck = precheck::precheck_at(PrecheckStage::Gate, reading, &StopTarget::Server(*target), store, now);
    let mut obstacles = Vec::new();
    obstacles.extend(age(reading, leaders, now));
    obstacles.extend(stop_time(reading, target, mark, consent));
    obstacles.extend(leaders_left(reading, target, leaders, consent, &precheck));
    obstacles.extend(not_degraded(reading, target, consent));
    obstacles.extend(checks(&precheck, consent));
    let (overridden, closing): (Vec<Obstacle>, Vec<Obstacle>) =
        obstacles.into_iter().partition(|obstacle| obstacle.overridden_by.is_some());
    let Some(first) = closing.first() else { return Gate::Open { overridden } };
    let reasons: Vec<String> =
        closing.iter().map(|obstacle| format!("{}: {}", obstacle.code, obstacle.evidence)).collect();
    let retriable = closing.iter().all(|obstacle| obstacle.retriable);
    Gate::Closed { code: first.code, reason: reasons.join("; "), retriable, obstacles: closing }
}

fn closes(code: GateCode, evidence: impl Into<String>) -> Obstacle {
    let retriable = match code {
        GateCode::ReadingTooOld | GateCode::LeadersLeft | GateCode::NotDegraded => true,
        GateCode::TargetUnknown
        | GateCode::StopTimeCleared
        | GateCode::ZoneStarted
        | GateCode::NotStopped
        | GateCode::PrecheckBlocks
        | GateCode::ServiceLossNotAccepted
        | GateCode::NotFrozen => false,
    };
    Obstacle { code, evidence: evidence.into(), overridden_by: None, retriable, blockers: Blockers::default() }
}

fn age(reading: &ClusterReading, leaders: &LeaderCount, now: Timestamp) -> Option<Obstacle> {
    let fresh = reading.is_younger_than(READING_AGE, now) && younger_than(leaders.observed_at, READING_AGE, now);
    (!fresh).then(|| {
        let evidence = format!(
            "the cluster was read at {}, its leaders at {}, and it is {now}: read again",
            reading.observed_at, leaders.observed_at
        );
        closes(GateCode::ReadingTooOld, evidence)
    })
}

fn stop_time(
    reading: &ClusterReading,
    target: &ServerAddr,
    mark: StopTimeExpectation,
    consent: &Consent,
) -> Option<Obstacle> {
    let Some(server) = reading.server(target) else {
        return Some(closes(GateCode::TargetUnknown, format!("server {target} is not in DBA_OB_SERVERS")));
    };
    if server.stop_time.is_some() {
        return None;
    }
    let zone = &server.zone;
    match mark {
        StopTimeExpectation::ZoneIsStopped => match reading.zone(zone).map(|zone| zone.status) {
            Some(ZoneInnerStatus::Inactive) => None,
            Some(ZoneInnerStatus::Active) => {
                let evidence =
                    format!("zone {zone} is ACTIVE again: somebody started it, ask before stopping it again");
                Some(closes(GateCode::ZoneStarted, evidence))
            }
            None => Some(closes(GateCode::TargetUnknown, format!("zone {zone} is not in DBA_OB_ZONES"))),
        },
        StopTimeExpectation::MustBeSet => {
            let evidence =
                format!("STOP_TIME of {target} was cleared: somebody started it, ask before stopping it again");
            Some(closes(GateCode::StopTimeCleared, evidence))
        }
        StopTimeExpectation::RefusedByRootService => {
            let evidence = format!("STOP_TIME of {target} is not set: the root service refused to stop it");
            let by = consent.accepts(Risk::QuorumLoss).then_some(OverriddenBy::QuorumLoss);
            Some(Obstacle { overridden_by: by, ..closes(GateCode::NotStopped, evidence) })
        }
    }
}

/// Leaders are overridden by `force` only, and only if every log stream keeps a synced majority without the target. Where it
/// does not, leaders cannot leave at all (a single replica): then `QUORUM_LOSS` must be accepted beside `force`.
fn leaders_left(
    reading: &ClusterReading,
    target: &ServerAddr,
    leaders: &LeaderCount,
    consent: &Consent,
    precheck: &Precheck,
) -> Option<Obstacle> {
    let led_streams: Vec<&LogStreamReading> =
        reading.log_streams.iter().filter(|log_stream| log_stream.may_be_led_by(target)).collect();
    let led = led_streams.len();
    let known = leaders.locations >= 0 && leaders.log_stat >= 0;
    if known && leaders.most() == 0 && led == 0 {
        return None;
    }
    let evidence = format!(
        "leaders left on {target}: {} in CDB_OB_LS_LOCATIONS, {} in GV$OB_LOG_STAT, {led} in the reading",
        leaders.locations, leaders.log_stat
    );
    let by = match (consent.force, precheck.keeps_synced_majority(), consent.accepts(Risk::QuorumLoss)) {
        (true, true, _) => Some(OverriddenBy::Force),
        (true, false, true) => Some(OverriddenBy::ForceAndQuorumLoss),
        (true, false, false) | (false, _, _) => None,
    };
    let stopped = BTreeSet::from([*target]);
    let stays = |log_stream: &LogStreamReading| {
        let why = why_leader_stays(log_stream, &reading.servers, &reading.zones, &stopped);
        Blocker::log_stream(log_stream.tenant_id, log_stream.ls_id, why).on(*target)
    };
    let blockers = led_streams.into_iter().map(stays).collect();
    Some(Obstacle { overridden_by: by, blockers, ..closes(GateCode::LeadersLeft, evidence) })
}

/// Two-replica tenants depend on the arbitration service, which must have taken the target out of the majority already
/// (docs/oceanbase.md#arbitration-and-degraded-members: leader count 0 is not yet the end).
fn not_degraded(reading: &ClusterReading, target: &ServerAddr, consent: &Consent) -> Option<Obstacle> {
    let mut waiting = Vec::new();
    for log_stream in &reading.log_streams {
        let two_replicas =
            reading.tenant(log_stream.tenant_id).is_some_and(|tenant| tenant.paxos_replica_number == Ok(2))
                || log_stream.leader().is_some_and(|leader| leader.paxos_replica_number == Ok(2));
        let member = match log_stream.leader().map(|leader| &leader.member_list) {
            Some(Ok(members)) => members.contains(target),
            // Not known: treated as a two-replica tenant.
            Some(Err(_)) | None => true,
        };
        let degraded = log_stream.degraded_list.as_ref().is_ok_and(|members| members.contains(target));
        if two_replicas && member && !degraded {
            waiting.push((log_stream.tenant_id, log_stream.ls_id));
        }
    }
    if waiting.is_empty() {
        return None;
    }
    let named: Vec<String> = waiting.iter().map(|(tenant, ls)| format!("Tenant({tenant}) LS({ls})")).collect();
    let evidence = format!("{target} is not in DEGRADED_LIST of {}", named.join(", "));
    let degrades = |(tenant, ls)| Blocker::log_stream(tenant, ls, "has not degraded it").on(*target);
    let blockers = waiting.into_iter().map(degrades).collect();
    let by = consent.accepts(Risk::QuorumLoss).then_some(OverriddenBy::QuorumLoss);
    Some(Obstacle { overridden_by: by, blockers, ..closes(GateCode::NotDegraded, evidence) })
}

/// The whole precheck again, log sync included.
fn checks(precheck: &Precheck, consent: &Consent) -> Vec<Obstacle> {
    let said = |check: &Check| format!("{}: {}", check.name, check.evidence);
    let blocking = precheck::blocking(precheck, consent.force, &consent.accepted);
    let overridden = precheck::overridden(precheck, consent.force, &consent.accepted);
    let closing = blocking.into_iter().map(|check| Obstacle {
        retriable: check.retriable,
        blockers: check.blockers.clone(),
        ..closes(GateCode::PrecheckBlocks, said(check))
    });
    let let_through = overridden
        .into_iter()
        .map(|check| Obstacle { overridden_by: check.overridden_by, ..closes(GateCode::PrecheckBlocks, said(check)) });
    closing.chain(let_through).collect()
}
