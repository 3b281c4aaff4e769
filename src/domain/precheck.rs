//! The precheck: would the cluster bear the stop of one server, or of a zone? Pure rules over one reading. It mirrors the root service's
//! own precheck (docs/oceanbase.md#stop-server-precheck), with its words and numbers, and adds what the root service
//! does not look at. The root service stays the authority: what passes here may still be refused there.

mod advice;
mod leader_stays;
mod log_streams;
mod servers;
mod store_endpoint;
#[cfg(test)]
mod tests;
mod tolerance;
pub mod unanswered;

pub use leader_stays::{HAS_NOT_LEFT, LedFrom, why_leader_stays};
pub use log_streams::LOG_IN_SYNC_INTERVAL_NS;
pub use store_endpoint::{of_unread_cluster, of_whole_cluster};
pub use tolerance::{Tolerance, tolerance};

use std::fmt;

use crate::clock::Timestamp;
use crate::domain::blocker::Blockers;
use crate::domain::reading::ClusterReading;
use crate::domain::status::{OverriddenBy, Risk};
use crate::domain::stop_target::StopTarget;
use crate::domain::store_home::StoreHome;

macro_rules! check_names {
    ($($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// Name of a check; the order is the order in which the checks are shown.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum CheckName { $($(#[$doc])* $variant),+ }

        impl CheckName {
            /// Every check, in the order in which they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in answers and in the audit log, stable for programs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

check_names! {
    /// Servers of the cluster stay (OBE19020).
    SingleServer = "SINGLE_SERVER",
    /// The target and its zone are in the reading.
    TargetKnown = "TARGET_KNOWN",
    /// The target is not being deleted or taken over.
    TargetStatus = "TARGET_STATUS",
    /// Nothing is stopped in another zone (-4660).
    OtherZoneStopped = "OTHER_ZONE_STOPPED",
    /// Every log stream reports (-4179, "has no enough paxos member").
    LogStreamsReport = "LOG_STREAMS_REPORT",
    /// Every log stream has a leader (-4179, "has no leader").
    LeaderPresent = "LEADER_PRESENT",
    /// No locality changes (-4179, "locality is changing").
    LocalityStable = "LOCALITY_STABLE",
    /// Replica numbers are the tenants' (-4179, "paxos replica number does not match with tenant").
    ReplicaNumber = "REPLICA_NUMBER",
    /// Every member is a server of the cluster (-4018).
    MembersKnown = "MEMBERS_KNOWN",
    /// The member lists keep a majority (-4179, "has no enough valid paxos member after stop server").
    MemberMajority = "MEMBER_MAJORITY",
    /// The replicas that report keep a majority (the same words).
    ReplicaMajority = "REPLICA_MAJORITY",
    /// A majority is within 5 s of the leader (-4179, "log not sync").
    LogInSync = "LOG_IN_SYNC",
    /// No tenant has its only replica on the target.
    SingleReplicaTenants = "SINGLE_REPLICA_TENANTS",
    /// The arbitration service is ACTIVE where the majority depends on it.
    ArbitrationService = "ARBITRATION_SERVICE",
    /// The tenant that holds our own store keeps a majority, and stays reachable.
    StoreEndpoint = "STORE_ENDPOINT",
    /// No unit moves to or from the target.
    UnitMigration = "UNIT_MIGRATION",
    /// The cluster is not being upgraded.
    UpgradeMode = "UPGRADE_MODE",
    /// Whether STOP_TIME is set already.
    AlreadyStopped = "ALREADY_STOPPED",
    /// Whether the root service runs on the target.
    RootService = "ROOT_SERVICE",
    /// Units on the target, and servers of the zone that stay.
    Units = "UNITS",
    /// Failures that the log streams bear afterwards.
    FailuresTolerated = "FAILURES_TOLERATED",
    /// Whether a merge runs.
    Merge = "MERGE",
    /// Whether a backup runs.
    Backup = "BACKUP",
    /// Whether tenants are standbys.
    StandbyTenants = "STANDBY_TENANTS",
    /// Room on the log disks of the servers that stay.
    LogDisk = "LOG_DISK",
    /// When the target's replicas would be built elsewhere.
    PermanentOffline = "PERMANENT_OFFLINE",
}

impl fmt::Display for CheckName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckVerdict {
    Pass,
    /// A fact that people should know.
    Info,
    /// A reason to think again; blocks nothing.
    Warn,
    /// The stop is refused, unless overridden.
    Block,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: CheckName,
    pub verdict: CheckVerdict,
    /// What was found, with its values.
    pub evidence: String,
    /// What to do about it; empty when it passed.
    pub remedy: String,
    /// What overrides it when it blocks; `None`: nothing does.
    pub overridden_by: Option<OverriddenBy>,
    /// What the root service would say, with its number, when this mirrors one of its refusals.
    pub root_service_words: Option<String>,
    /// Whether it may pass by itself when asked again: the refusals for which the root service's own loop goes on
    /// (docs/oceanbase.md#stop-server-majority-check).
    pub retriable: bool,
    /// The log streams that break it; none for a check of another kind.
    pub blockers: Blockers,
}

/// Leaders of one tenant that a stop would move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderMove {
    pub tenant_id: i64,
    pub tenant_name: String,
    /// Number of its log streams led from the target.
    pub leaders: i32,
}

/// Every check of one reading, in the order of [`CheckName`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precheck {
    pub checks: Vec<Check>,
    /// Leaders on the target, per tenant.
    pub leader_moves: Vec<LeaderMove>,
    /// Further servers that may fail afterwards without any log stream losing its majority.
    pub failures_tolerated_after: i32,
    pub observed_at: Timestamp,
}

impl Precheck {
    /// `None` never happens: every name has a check.
    pub fn check(&self, name: CheckName) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    fn blocks(&self, name: CheckName) -> bool {
        // A check that is not there was not made, and counts as one that blocks.
        self.check(name).is_none_or(|check| check.verdict == CheckVerdict::Block)
    }

    /// Whether every log stream keeps a majority without the target that is in sync: the condition under which `force` may
    /// go on although leaders are left (docs/ocp-v2.md#what-stop-and-force-mean).
    pub fn keeps_synced_majority(&self) -> bool {
        self.keeps_majority() && !self.blocks(CheckName::LogInSync)
    }

    /// Whether every log stream reports, has a leader and keeps a majority without the target.
    pub fn keeps_majority(&self) -> bool {
        use CheckName::{LeaderPresent, LogStreamsReport, MemberMajority, ReplicaMajority};
        ![LogStreamsReport, LeaderPresent, MemberMajority, ReplicaMajority].into_iter().any(|name| self.blocks(name))
    }
}

/// When the rules are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrecheckStage {
    /// Before STOP SERVER: exactly as strict as the root service.
    BeforeStop,
    /// At the gate: members that the arbitration service has degraded since count as replicas of the tenant.
    Gate,
}

/// Makes every check for the stop of `target`. Never skips one; what could not be read blocks where a refusal depends on it.
/// `store`: where our own records are.
pub fn precheck(reading: &ClusterReading, target: &StopTarget, store: &StoreHome, now: Timestamp) -> Precheck {
    precheck_at(PrecheckStage::BeforeStop, reading, target, store, now)
}

/// [`precheck`] at a given moment.
pub fn precheck_at(
    moment: PrecheckStage,
    reading: &ClusterReading,
    target: &StopTarget,
    store: &StoreHome,
    now: Timestamp,
) -> Precheck {
    let log_streams = log_streams::examine(moment, reading, target);
    let of_store = store_endpoint::check(store, reading, target, &log_streams.failures);
    let failures_tolerated_after = log_streams.failures_tolerated_after;
    let leader_moves = log_streams.leader_moves;
    let mut checks = log_streams.checks;
    checks.push(of_store);
    checks.extend(servers::checks(reading, target));
    checks.extend(advice::checks(reading, target, now, failures_tolerated_after));
    checks.sort_by_key(|check| check.name);
    Precheck { checks, leader_moves, failures_tolerated_after, observed_at: reading.observed_at }
}

/// The checks that refuse the stop: those that block and are not overridden.
pub fn blocking<'a>(precheck: &'a Precheck, force: bool, accepted: &[Risk]) -> Vec<&'a Check> {
    let refuses = |check: &&Check| check.verdict == CheckVerdict::Block && !is_overridden(check, force, accepted);
    precheck.checks.iter().filter(refuses).collect()
}

/// The checks that block and are overridden: each is recorded with its evidence.
pub fn overridden<'a>(precheck: &'a Precheck, force: bool, accepted: &[Risk]) -> Vec<&'a Check> {
    let given = |check: &&Check| check.verdict == CheckVerdict::Block && is_overridden(check, force, accepted);
    precheck.checks.iter().filter(given).collect()
}

fn is_overridden(check: &Check, force: bool, accepted: &[Risk]) -> bool {
    check.overridden_by.is_some_and(|by| by.is_given(force, accepted))
}

/// Whether the stop will need FORCE STOP SERVER: the log is not in sync, which a plain STOP refuses. The plain one is still
/// sent first.
pub fn needs_force_stop(precheck: &Precheck) -> bool {
    precheck.blocks(CheckName::LogInSync)
}

// How the files of this module make checks.

fn pass(name: CheckName, evidence: impl Into<String>) -> Check {
    Check {
        name,
        verdict: CheckVerdict::Pass,
        evidence: evidence.into(),
        remedy: String::new(),
        overridden_by: None,
        root_service_words: None,
        retriable: false,
        blockers: Blockers::default(),
    }
}

fn advise(name: CheckName, verdict: CheckVerdict, evidence: impl Into<String>, remedy: impl Into<String>) -> Check {
    Check { verdict, remedy: remedy.into(), ..pass(name, evidence) }
}

fn block(
    name: CheckName,
    overridden_by: Option<OverriddenBy>,
    evidence: impl Into<String>,
    remedy: impl Into<String>,
    root_service_words: Option<String>,
) -> Check {
    Check { overridden_by, root_service_words, ..advise(name, CheckVerdict::Block, evidence, remedy) }
}

/// The first of many findings, and how many more there are.
fn some_of(findings: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = findings.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    if findings.len() > SHOWN {
        text.push_str(&format!("; and {} more", findings.len() - SHOWN));
    }
    text
}
