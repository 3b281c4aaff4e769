//! The checks of the precheck that refuse nothing: what is worth knowing before a stop. What could not be read is an INFO
//! that says so.

use super::{Check, CheckName, CheckVerdict, advise, pass};
use crate::clock::Timestamp;
use crate::domain::reading::{ClusterReading, Fact, LogDisk};
use crate::domain::status::ZoneInnerStatus;
use crate::domain::stop_target::StopTarget;

/// A log disk this full (percent) on a server that stays is worth a warning: it takes over leaders.
const LOG_DISK_WARN_PERCENT: i64 = 80;

pub(super) fn checks(
    reading: &ClusterReading,
    target: &StopTarget,
    now: Timestamp,
    failures_tolerated_after: i32,
) -> Vec<Check> {
    vec![
        already_stopped(reading, target),
        root_service(reading, target),
        units(reading, target),
        failures_tolerated(failures_tolerated_after),
        merge(reading),
        backup(reading),
        standby_tenants(reading),
        log_disk(reading, target),
        permanent_offline(reading, target, now),
    ]
}

/// An INFO check when the fact is not known.
fn known<T>(name: CheckName, fact: &Fact<T>, say: impl FnOnce(&T) -> Check) -> Check {
    match fact {
        Ok(value) => say(value),
        Err(why) => advise(name, CheckVerdict::Info, format!("not known: {why}"), "look at it yourself"),
    }
}

fn already_stopped(reading: &ClusterReading, target: &StopTarget) -> Check {
    let name = CheckName::AlreadyStopped;
    let zone_is_inactive = |zone| reading.zone(zone).is_some_and(|zone| zone.status == ZoneInnerStatus::Inactive);
    match target {
        StopTarget::Server(addr) => match reading.server(addr).and_then(|server| server.stop_time) {
            Some(since) => {
                let remedy = "STOP SERVER will succeed without any check of the root service; rely on the checks here";
                advise(name, CheckVerdict::Info, format!("STOP_TIME is set since {since}"), remedy)
            }
            None => pass(name, "STOP_TIME is not set"),
        },
        StopTarget::Zone(zone) if zone_is_inactive(zone) => {
            let remedy = "STOP ZONE will succeed as soon as no leader is left in it";
            advise(name, CheckVerdict::Info, format!("zone {zone} is INACTIVE"), remedy)
        }
        StopTarget::Zone(zone) => pass(name, format!("zone {zone} is ACTIVE")),
    }
}

fn root_service(reading: &ClusterReading, target: &StopTarget) -> Check {
    let name = CheckName::RootService;
    match target.servers(reading).find(|server| server.with_rootserver) {
        Some(server) => advise(
            name,
            CheckVerdict::Info,
            format!("the root service runs on {}", server.addr),
            "it moves to another server by itself",
        ),
        None => pass(name, format!("the root service does not run on {target}")),
    }
}

fn units(reading: &ClusterReading, target: &StopTarget) -> Check {
    let name = CheckName::Units;
    let Some(zone) = target.zone(reading) else {
        return advise(name, CheckVerdict::Info, "not known: the target is not in the reading", "sync the cluster");
    };
    let stay = reading
        .servers
        .iter()
        .filter(|other| !target.includes(other) && other.zone == *zone && other.is_alive() && other.stop_time.is_none())
        .count();
    known(name, &reading.units, |units| {
        let stopped = target.addresses(reading);
        let here = units.iter().filter(|unit| stopped.contains(&unit.addr)).count();
        let evidence = format!("{here} units on {target}; {stay} other servers of zone {zone} serve");
        if here == 0 {
            pass(name, evidence)
        } else {
            advise(name, CheckVerdict::Info, evidence, "these units serve nothing until the server is back")
        }
    })
}

fn failures_tolerated(after: i32) -> Check {
    let name = CheckName::FailuresTolerated;
    let evidence = format!("{after} further servers may fail before a log stream loses its majority");
    match after {
        ..=0 => advise(name, CheckVerdict::Warn, evidence, "keep the stop short; stop nothing else meanwhile"),
        1.. => pass(name, evidence),
    }
}

fn merge(reading: &ClusterReading) -> Check {
    let name = CheckName::Merge;
    known(name, &reading.facts.merging_tenants, |tenants| {
        if tenants.is_empty() {
            return pass(name, "no tenant merges");
        }
        advise(name, CheckVerdict::Warn, format!("tenants {tenants:?} merge"), "wait for the merge to end")
    })
}

fn backup(reading: &ClusterReading) -> Check {
    let name = CheckName::Backup;
    known(name, &reading.facts.backup_jobs, |jobs| {
        if jobs.is_empty() {
            return pass(name, "no backup runs");
        }
        let jobs: Vec<String> = jobs.iter().map(|(tenant, status)| format!("tenant {tenant}: {status}")).collect();
        advise(name, CheckVerdict::Warn, format!("backups run ({})", jobs.join(", ")), "wait for the backup to end")
    })
}

fn standby_tenants(reading: &ClusterReading) -> Check {
    let name = CheckName::StandbyTenants;
    let role_is = |wanted: &str, role: &Fact<String>| role.as_ref().is_ok_and(|role| role.eq_ignore_ascii_case(wanted));
    let standbys: Vec<&str> = reading
        .tenants
        .iter()
        .filter(|tenant| role_is("STANDBY", &tenant.role))
        .map(|tenant| tenant.name.as_str())
        .collect();
    if let Some(why) = reading.tenants.iter().find_map(|tenant| tenant.role.as_ref().err()) {
        return advise(name, CheckVerdict::Info, format!("not known: {why}"), "look at DBA_OB_TENANTS.TENANT_ROLE");
    }
    if standbys.is_empty() {
        return pass(name, "no tenant is a standby");
    }
    let evidence = format!("standby tenants: {}", standbys.join(", "));
    advise(name, CheckVerdict::Info, evidence, "their log transport restarts from another server")
}

fn log_disk(reading: &ClusterReading, target: &StopTarget) -> Check {
    let name = CheckName::LogDisk;
    known(name, &reading.facts.log_disks, |disks| {
        let percent = |disk: &LogDisk| match disk.capacity {
            ..=0 => 100,
            1.. => disk.in_use.saturating_mul(100) / disk.capacity,
        };
        let stopped = target.addresses(reading);
        let stay = || disks.iter().filter(|disk| !stopped.contains(&disk.addr));
        let full: Vec<String> = stay()
            .filter(|disk| percent(disk) >= LOG_DISK_WARN_PERCENT)
            .map(|disk| format!("{}: {} %", disk.addr, percent(disk)))
            .collect();
        if full.is_empty() {
            return pass(name, format!("fullest log disk that stays: {} %", stay().map(percent).max().unwrap_or(0)));
        }
        advise(name, CheckVerdict::Warn, format!("log disks are full: {}", full.join(", ")), "make room on them first")
    })
}

fn permanent_offline(reading: &ClusterReading, target: &StopTarget, now: Timestamp) -> Check {
    let name = CheckName::PermanentOffline;
    known(name, &reading.parameters.server_permanent_offline_time, |after| {
        let remedy = "bring the server back before, or raise server_permanent_offline_time";
        let gone = target.servers(reading).filter_map(|server| server.permanent_offline_at(&reading.parameters)).min();
        let evidence = match gone {
            Some(at) => format!("replicas of {target} are given up at {at}"),
            None => format!(
                "replicas of {target} are given up {} s after its last heartbeat, not before {}",
                after.as_secs(),
                now.plus(*after)
            ),
        };
        advise(name, CheckVerdict::Info, evidence, remedy)
    })
}
