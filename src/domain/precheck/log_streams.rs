//! The checks of the precheck that look at log streams: every one of every tenant, sys and META included, as the root
//! service's `check_majority_and_log_in_sync` does (docs/oceanbase.md#stop-server-majority-check).

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, CheckName, LeaderMove, OverriddenBy, PrecheckStage, block, pass, some_of};
use crate::domain::blocker::{Blocker, Blockers};
use crate::domain::ids::{ServerAddr, ZoneName};
use crate::domain::reading::{ClusterReading, LogReplica, LogStreamReading, ServerReading, TenantReading, ZoneReading};
use crate::domain::status::ZoneInnerStatus;
use crate::domain::stop_target::StopTarget;

/// `LOG_IN_SYNC_INTERVAL_NS`: a replica this far behind its leader still counts as in sync.
pub const LOG_IN_SYNC_INTERVAL_NS: u64 = 5_000_000_000;

/// The root service's answer for a member that it does not know.
const ENTRY_NOT_EXIST: &str = "-4018: Entry not exist";
const QUORUM: Option<OverriddenBy> = Some(OverriddenBy::QuorumLoss);
const BRING_BACK: &str = "bring back the members that are down or stopped, and wait until they have caught up";

/// The checks made here: what overrides each, and what to do about it.
const CHECKS: [(CheckName, Option<OverriddenBy>, &str); 10] = [
    (CheckName::LogStreamsReport, QUORUM, "look at GV$OB_LOG_STAT; bring back the servers that do not report"),
    (CheckName::LeaderPresent, QUORUM, "wait for an election; bring back the servers that are down"),
    (CheckName::LocalityStable, QUORUM, "wait until the locality has changed (DBA_OB_TENANT_JOBS)"),
    (CheckName::ReplicaNumber, QUORUM, "wait until every replica that the locality asks for is there"),
    (
        CheckName::MembersKnown,
        QUORUM,
        "every STOP SERVER of the cluster fails until it is repaired: add the server again, or remove the member",
    ),
    (CheckName::MemberMajority, QUORUM, BRING_BACK),
    (CheckName::ReplicaMajority, QUORUM, BRING_BACK),
    (
        CheckName::LogInSync,
        Some(OverriddenBy::Force),
        "wait until the replicas have caught up; with force, FORCE STOP SERVER follows a refused STOP SERVER",
    ),
    (CheckName::SingleReplicaTenants, QUORUM, "give the tenant more replicas, or accept that it is out of service"),
    (CheckName::ArbitrationService, QUORUM, "bring the arbitration service back first"),
];

/// What all log streams together mean for a stop.
pub(super) struct LogStreamChecks {
    pub(super) checks: Vec<Check>,
    pub(super) leader_moves: Vec<LeaderMove>,
    pub(super) failures_tolerated_after: i32,
    pub(super) failures: Vec<Failure>,
}

/// A rule that is broken.
pub(super) struct Failure {
    pub(super) check: CheckName,
    pub(super) evidence: String,
    /// What the root service would say; `None` when this is not one of its refusals.
    words: Option<String>,
    pub(super) retriable: bool,
    /// The log stream; `None`: it is about a whole tenant.
    pub(super) blocker: Option<Blocker>,
}

impl Failure {
    pub(super) fn is_of(&self, log_stream: &LogStreamReading) -> bool {
        let LogStreamReading { tenant_id, ls_id, .. } = log_stream;
        self.blocker.as_ref().is_some_and(|it| it.tenant_id == Some(*tenant_id) && it.log_stream == Some(*ls_id))
    }
}

pub(super) fn examine(moment: PrecheckStage, reading: &ClusterReading, target: &StopTarget) -> LogStreamChecks {
    let mut failures = tenants_without_log_stream(reading);
    let mut tolerated: Option<i64> = None;
    let mut moves: BTreeMap<i64, i32> = BTreeMap::new();
    let stopped = target.addresses(reading);
    let valid = valid_servers(&reading.servers, &reading.zones, &stopped);
    for log_stream in &reading.log_streams {
        let rules =
            Rules { moment, reading, statement: target.statement(), stopped: &stopped, valid: &valid, log_stream };
        let spare = rules.apply(&mut failures);
        tolerated = Some(tolerated.map_or(spare, |least| least.min(spare)));
        if stopped.iter().any(|server| log_stream.may_be_led_by(server)) {
            *moves.entry(log_stream.tenant_id).or_default() += 1;
        }
    }
    let named = |(tenant_id, leaders)| LeaderMove {
        tenant_id,
        tenant_name: reading.tenant(tenant_id).map(|tenant| tenant.name.clone()).unwrap_or_default(),
        leaders,
    };
    LogStreamChecks {
        checks: CHECKS.into_iter().map(|check| summary(check, &failures, reading)).collect(),
        leader_moves: moves.into_iter().map(named).collect(),
        failures_tolerated_after: i32::try_from(tolerated.unwrap_or(0).max(0)).unwrap_or(i32::MAX),
        failures,
    }
}

/// Servers whose replicas count after the stop: not to be stopped, not stopped, not in an INACTIVE zone, alive, in service.
/// A server that is not in DBA_OB_SERVERS ("deleted") or whose zone is not known does not count.
pub(super) fn valid_servers(
    servers: &[ServerReading],
    zones: &[ZoneReading],
    stopped: &BTreeSet<ServerAddr>,
) -> BTreeSet<ServerAddr> {
    let zone_serves =
        |name: &ZoneName| zones.iter().any(|zone| zone.name == *name && matches!(zone.status, ZoneInnerStatus::Active));
    let counts = servers.iter().filter(|server| {
        !stopped.contains(&server.addr)
            && server.stop_time.is_none()
            && server.is_alive()
            && server.start_service_time.is_some()
            && zone_serves(&server.zone)
    });
    counts.map(|server| server.addr).collect()
}

/// Tenants in normal service have log streams; where none was read, no majority can be computed.
pub(super) fn tenants_without_log_stream(reading: &ClusterReading) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut fail = |evidence| {
        failures.push(Failure {
            check: CheckName::LogStreamsReport,
            evidence,
            words: None,
            retriable: true,
            blocker: None,
        })
    };
    if reading.log_streams.is_empty() || reading.tenants.is_empty() {
        fail("no tenant or no log stream was read".to_owned());
    }
    let served: BTreeSet<i64> = reading.log_streams.iter().map(|log_stream| log_stream.tenant_id).collect();
    for tenant in &reading.tenants {
        if tenant.status.eq_ignore_ascii_case("NORMAL") && !served.contains(&tenant.id) {
            fail(format!("no log stream of tenant {} ({}) was read", tenant.id, tenant.name));
        }
    }
    failures
}

/// The rules for one log stream.
pub(super) struct Rules<'a> {
    pub(super) moment: PrecheckStage,
    pub(super) reading: &'a ClusterReading,
    /// As the root service calls the stop.
    pub(super) statement: &'static str,
    /// To be stopped.
    pub(super) stopped: &'a BTreeSet<ServerAddr>,
    pub(super) valid: &'a BTreeSet<ServerAddr>,
    pub(super) log_stream: &'a LogStreamReading,
}

impl Rules<'_> {
    /// Adds the rules that the log stream breaks, and returns how many members it can lose after the stop (0: none, or not
    /// known).
    fn apply(&self, failures: &mut Vec<Failure>) -> i64 {
        let tenant = self.reading.tenant(self.log_stream.tenant_id);
        self.report(failures);
        self.locality(tenant, failures);
        let Some(leader) = self.log_stream.leader() else {
            let words = (!self.log_stream.replicas.is_empty())
                .then(|| format!("has no leader, {} not allowed", self.statement));
            failures.push(self.failure(CheckName::LeaderPresent, "no leader", words));
            for check in
                [CheckName::ReplicaNumber, CheckName::MemberMajority, CheckName::ReplicaMajority, CheckName::LogInSync]
            {
                failures.push(Failure { retriable: true, ..self.failure(check, "not known without a leader", None) });
            }
            return 0;
        };
        self.replica_number(tenant, leader, failures);
        self.majority(tenant, leader, failures)
    }

    fn failure(&self, check: CheckName, found: &str, words: Option<String>) -> Failure {
        let LogStreamReading { tenant_id, ls_id, .. } = *self.log_stream;
        let reason = format!("fails {check}: {found}");
        Failure {
            check,
            evidence: format!("Tenant({tenant_id}) LS({ls_id}): {found}"),
            words: words.map(|words| format!("-4179: Tenant({tenant_id}) LS({ls_id}) {words}")),
            retriable: matches!(
                check,
                CheckName::LogStreamsReport
                    | CheckName::LeaderPresent
                    | CheckName::ReplicaMajority
                    | CheckName::LogInSync
            ),
            blocker: Some(Blocker::log_stream(tenant_id, ls_id, reason)),
        }
    }

    /// Checks that the left join found a row, and that every row could be parsed.
    fn report(&self, failures: &mut Vec<Failure>) {
        let words = || Some(format!("has no enough paxos member, {} not allowed", self.statement));
        let check = CheckName::LogStreamsReport;
        if self.log_stream.replicas.is_empty() {
            failures.push(self.failure(check, "no replica reports", words()));
        }
        for why in &self.log_stream.unreadable {
            failures.push(self.failure(check, &why.to_string(), words()));
        }
        for replica in &self.log_stream.replicas {
            if let Err(why) = &replica.role {
                failures.push(self.failure(check, &format!("role of {}: {why}", replica.addr), None));
            }
        }
    }

    fn locality(&self, tenant: Option<&TenantReading>, failures: &mut Vec<Failure>) {
        let check = CheckName::LocalityStable;
        let Some(tenant) = tenant else {
            failures.push(self.failure(check, "its tenant is not in DBA_OB_TENANTS", None));
            return;
        };
        match &tenant.previous_locality {
            Ok(None) => {}
            Ok(Some(previous)) => failures.push(Failure {
                check,
                evidence: format!("tenant {} changes from {previous} to {}", tenant.id, tenant.locality),
                words: Some(format!(
                    "-4179: Tenant({}) locality is changing, {} not allowed",
                    tenant.id, self.statement
                )),
                retriable: false,
                blocker: None,
            }),
            Err(why) => failures.push(self.failure(check, &format!("PREVIOUS_LOCALITY is not known: {why}"), None)),
        }
    }

    fn replica_number(&self, tenant: Option<&TenantReading>, leader: &LogReplica, failures: &mut Vec<Failure>) {
        let check = CheckName::ReplicaNumber;
        let expected = match tenant.map(|tenant| &tenant.paxos_replica_number) {
            Some(Ok(expected)) => *expected,
            Some(Err(why)) => return failures.push(self.failure(check, &why.to_string(), None)),
            None => return failures.push(self.failure(check, "its tenant is not in DBA_OB_TENANTS", None)),
        };
        match &leader.paxos_replica_number {
            Ok(number) if *number == expected || number + self.degraded() == expected => {}
            Ok(number) => {
                let words = format!(
                    "paxos replica number does not match with tenant. It should be {expected}. {} not allowed",
                    self.statement
                );
                failures.push(self.failure(check, &format!("{number} replicas instead of {expected}"), Some(words)));
            }
            Err(why) => failures.push(self.failure(check, &why.to_string(), None)),
        }
    }

    /// The root service looks up each member in its list of servers, and fails with the error of that lookup.
    fn members_known(&self, members: &[ServerAddr], failures: &mut Vec<Failure>) {
        let check = CheckName::MembersKnown;
        for member in members.iter().filter(|member| self.reading.server(member).is_none()) {
            let found = format!("member {member} is not in DBA_OB_SERVERS");
            failures.push(Failure { words: Some(ENTRY_NOT_EXIST.to_owned()), ..self.failure(check, &found, None) });
        }
    }

    /// At the gate: the number of members that were degraded and that the leader no longer counts.
    fn degraded(&self) -> i64 {
        match (self.moment, &self.log_stream.degraded_list) {
            (PrecheckStage::Gate, Ok(list)) => i64::try_from(list.len()).unwrap_or(0),
            (PrecheckStage::Gate, Err(_)) | (PrecheckStage::BeforeStop, _) => 0,
        }
    }

    /// Checks the members, replicas and replicas in sync that are left, each against `n/2 + 1`.
    fn majority(&self, tenant: Option<&TenantReading>, leader: &LogReplica, failures: &mut Vec<Failure>) -> i64 {
        let (members, number) = match (&leader.member_list, &leader.paxos_replica_number) {
            (Ok(members), Ok(number)) if *number > 0 => (members, *number),
            (Ok(_), Ok(number)) => return self.unknown_majority(&format!("{number} paxos replicas"), failures),
            (Err(why), _) | (_, Err(why)) => return self.unknown_majority(&why.to_string(), failures),
        };
        self.members_known(members, failures);
        let majority = number / 2 + 1;
        let left: BTreeSet<ServerAddr> = members.iter().copied().filter(|member| self.valid.contains(member)).collect();
        if let (1, Some(only)) = (number, members.iter().find(|member| self.stopped.contains(member))) {
            let found = format!("the only replica is on {only}");
            failures.push(self.failure(CheckName::SingleReplicaTenants, &found, None));
        }
        let arbiter = self.arbiter(tenant, number, count(&left) < majority, &left, failures);

        let what = self.statement;
        let words = || Some(format!("has no enough valid paxos member after {what}, {what} not allowed"));
        let members_left = count(&left) + arbiter;
        if members_left < majority {
            let found = format!("{members_left} of {number} members stay, {majority} are needed");
            failures.push(self.failure(CheckName::MemberMajority, &found, words()));
        }
        let reports = |replica: &&LogReplica| left.contains(&replica.addr);
        let reporting: BTreeSet<_> =
            self.log_stream.replicas.iter().filter(reports).map(|replica| replica.addr).collect();
        let reporting_left = count(&reporting) + arbiter;
        if reporting_left < majority {
            let found = format!("{reporting_left} of {number} replicas stay and report, {majority} are needed");
            failures.push(self.failure(CheckName::ReplicaMajority, &found, words()));
        }
        let in_sync = |replica: &&LogReplica| is_in_sync(leader, replica);
        let synced: BTreeSet<_> =
            self.log_stream.replicas.iter().filter(reports).filter(in_sync).map(|replica| replica.addr).collect();
        let synced_left = count(&synced) + arbiter;
        if synced_left < majority {
            let found =
                format!("{synced_left} of {number} replicas stay within 5 s of the leader, {majority} are needed");
            let words = format!("log not sync, {what} not allowed");
            failures.push(self.failure(CheckName::LogInSync, &found, Some(words)));
        }
        members_left.min(reporting_left) - majority
    }

    fn unknown_majority(&self, why: &str, failures: &mut Vec<Failure>) -> i64 {
        for check in [CheckName::MemberMajority, CheckName::ReplicaMajority, CheckName::LogInSync] {
            failures.push(self.failure(check, why, None));
        }
        0
    }

    /// 1 when the arbitration service counts: only for two replicas ("support stop 1F in 2F1A"). The root service asks
    /// a list in its memory; `GV$OB_ARBITRATION_SERVICE_STATUS` is the nearest
    /// (docs/oceanbase.md#arbitration-and-degraded-members), so every member that stays must see the service ACTIVE.
    pub(super) fn arbiter(
        &self,
        tenant: Option<&TenantReading>,
        number: i64,
        needed: bool,
        left: &BTreeSet<ServerAddr>,
        failures: &mut Vec<Failure>,
    ) -> i64 {
        let enabled = tenant.is_some_and(|tenant| {
            tenant.arbitration.as_ref().is_ok_and(|status| status.eq_ignore_ascii_case("ENABLED"))
        });
        let has_member = matches!(self.log_stream.arbitration_member, Ok(Some(_)));
        if number != 2 || !(enabled || has_member) {
            return 0;
        }
        let active = self.reading.arbitration.as_ref().is_ok_and(|rows| {
            left.iter().all(|member| {
                let mut seen = rows.iter().filter(|row| row.addr == *member).peekable();
                seen.peek().is_some() && seen.all(|row| row.status.eq_ignore_ascii_case("ACTIVE"))
            })
        });
        if enabled && has_member && active && !left.is_empty() {
            return 1;
        }
        if needed {
            let found = match &self.reading.arbitration {
                Err(why) => format!("the arbitration service is needed and not known: {why}"),
                Ok(_) if !enabled => "the arbitration service is needed and not ENABLED for the tenant".to_owned(),
                Ok(_) if !has_member => "the arbitration service is needed and not a member".to_owned(),
                Ok(_) => "the arbitration service is needed and not ACTIVE on every member that stays".to_owned(),
            };
            failures.push(self.failure(CheckName::ArbitrationService, &found, None));
        }
        0
    }
}

/// What is not known of either is not in sync.
pub(super) fn is_in_sync(leader: &LogReplica, replica: &LogReplica) -> bool {
    match (&leader.end_scn, &replica.end_scn) {
        (Ok(leader_scn), Ok(scn)) => leader_scn.saturating_sub(*scn) <= LOG_IN_SYNC_INTERVAL_NS,
        (Err(_), _) | (_, Err(_)) => false,
    }
}

fn count(addresses: &BTreeSet<ServerAddr>) -> i64 {
    i64::try_from(addresses.len()).unwrap_or(i64::MAX)
}

/// One check over all log streams.
fn summary(
    (name, overridden_by, remedy): (CheckName, Option<OverriddenBy>, &str),
    failures: &[Failure],
    reading: &ClusterReading,
) -> Check {
    let mut found: Vec<String> = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut words = None;
    let mut retriable = true;
    let mut blockers = Blockers::default();
    for failure in failures.iter().filter(|failure| failure.check == name) {
        if seen.insert(&failure.evidence) {
            found.push(failure.evidence.clone());
            blockers.extend(failure.blocker.clone());
        }
        words = words.or_else(|| failure.words.clone());
        retriable &= failure.retriable;
    }
    if found.is_empty() {
        return pass(name, format!("so for {} log streams", reading.log_streams.len()));
    }
    let names = reading.tenants.iter().map(|tenant| (tenant.id, tenant.name.clone())).collect();
    let blockers = blockers.with_tenant_names(&names);
    Check { retriable, blockers, ..block(name, overridden_by, some_of(&found), remedy, words) }
}
