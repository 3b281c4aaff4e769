//! The checks of the precheck that look at servers, zones, units and parameters.

use std::collections::BTreeSet;

use super::{Check, CheckName, OverriddenBy, block, pass, some_of};
use crate::domain::ids::ServerAddr;
use crate::domain::reading::{ClusterReading, UnitReading};
use crate::domain::status::{InnerStatus, ZoneInnerStatus};
use crate::domain::stop_target::StopTarget;

pub(super) fn checks(reading: &ClusterReading, target: &StopTarget) -> Vec<Check> {
    vec![
        single_server(reading, target),
        target_known(reading, target),
        target_status(reading, target),
        other_zone_stopped(reading, target),
        unit_migration(reading, target),
        upgrade_mode(reading),
    ]
}

fn single_server(reading: &ClusterReading, target: &StopTarget) -> Check {
    let name = CheckName::SingleServer;
    match reading.servers.iter().filter(|server| !target.includes(server)).count() {
        0 => {
            let evidence = format!("no server of the cluster but {target} stays");
            block(name, None, evidence, "stop the cluster instead", None)
        }
        stay => pass(name, format!("{stay} servers of the cluster stay")),
    }
}

fn target_known(reading: &ClusterReading, target: &StopTarget) -> Check {
    let name = CheckName::TargetKnown;
    let remedy = "sync the cluster, then ask again";
    let unknown = |evidence: String, words: &str| block(name, None, evidence, remedy, Some(format!("-4018: {words}")));
    let found = match target {
        StopTarget::Server(addr) => match reading.server(addr) {
            Some(server) => {
                format!("DBA_OB_SERVERS has {addr} in zone {} with id {}", server.zone, server.ob_server_id)
            }
            None => return unknown(format!("server {addr} is not in DBA_OB_SERVERS"), "Entry not exist"),
        },
        StopTarget::Zone(_) => format!("DBA_OB_ZONES has it with {} servers", target.servers(reading).count()),
    };
    match (target.zone(reading).filter(|zone| reading.zone(zone).is_none()), target) {
        (None, _) => pass(name, found),
        (Some(zone), StopTarget::Zone(_)) => unknown(format!("zone {zone} is not in DBA_OB_ZONES"), "zone not exist"),
        (Some(zone), StopTarget::Server(_)) => {
            block(name, None, format!("zone {zone} is not in DBA_OB_ZONES"), remedy, None)
        }
    }
}

fn target_status(reading: &ClusterReading, target: &StopTarget) -> Check {
    let name = CheckName::TargetStatus;
    let mut statuses = Vec::new();
    for server in target.servers(reading) {
        let remedy = match server.status {
            InnerStatus::Active | InnerStatus::Inactive => {
                statuses.push(format!("{} is {}", server.addr, server.status));
                continue;
            }
            InnerStatus::Deleting => {
                "wait until it is deleted, or cancel the deletion with ALTER SYSTEM CANCEL DELETE SERVER"
            }
            InnerStatus::TakeoverByRs => "wait until the root service has finished with it",
        };
        return block(name, None, format!("{} is {}", server.addr, server.status), remedy, None);
    }
    if statuses.is_empty() {
        return block(name, None, format!("no server of {target} is known"), "sync the cluster", None);
    }
    pass(name, some_of(&statuses))
}

/// `ObRootUtils::have_other_stop_task` (docs/oceanbase.md#stop-server-other-zone-check): a stopped server of the same
/// zone is allowed.
fn other_zone_stopped(reading: &ClusterReading, target: &StopTarget) -> Check {
    let name = CheckName::OtherZoneStopped;
    let overridden_by = Some(OverriddenBy::QuorumLoss);
    let Some(zone) = target.zone(reading) else {
        let evidence = format!("the zone of {target} is not known");
        return block(name, overridden_by, evidence, "sync the cluster", None);
    };
    let servers = reading.servers.iter().filter(|other| other.stop_time.is_some() && other.zone != *zone);
    let mut found: Vec<String> =
        servers.map(|other| format!("server {} of zone {} is stopped", other.addr, other.zone)).collect();
    let zones = reading.zones.iter().filter(|other| other.name != *zone);
    found.extend(zones.filter_map(|other| match other.status {
        ZoneInnerStatus::Active => None,
        ZoneInnerStatus::Inactive => Some(format!("zone {} is INACTIVE", other.name)),
    }));
    if found.is_empty() {
        return pass(name, format!("nothing is stopped outside zone {zone}"));
    }
    block(
        name,
        overridden_by,
        some_of(&found),
        "start what is stopped in the other zone first, and wait until its replicas have caught up",
        Some("-4660: cannot stop server or stop zone in multiple zones".to_owned()),
    )
}

fn unit_migration(reading: &ClusterReading, target: &StopTarget) -> Check {
    let name = CheckName::UnitMigration;
    let remedy = "wait until the units have moved (DBA_OB_UNITS.MIGRATE_FROM_SVR_IP is empty)";
    let units = match &reading.units {
        Ok(units) => units,
        Err(why) => return block(name, Some(OverriddenBy::Force), format!("units are not known: {why}"), remedy, None),
    };
    let stopped = target.addresses(reading);
    let moving = |unit: &&UnitReading| {
        unit.migrate_from.as_deref().is_some_and(|from| stopped.contains(&unit.addr) || !is_another(from, &stopped))
    };
    let found: Vec<String> = units
        .iter()
        .filter(moving)
        .map(|unit| {
            format!("unit {} moves from {} to {}", unit.unit_id, unit.migrate_from.as_deref().unwrap_or(""), unit.addr)
        })
        .collect();
    if found.is_empty() {
        return pass(name, format!("no unit moves to or from {target}"));
    }
    block(name, Some(OverriddenBy::Force), some_of(&found), remedy, None)
}

/// Whether the text is the address of a server that is certainly not to be stopped.
fn is_another(text: &str, stopped: &BTreeSet<ServerAddr>) -> bool {
    text.parse().is_ok_and(|addr| !stopped.contains(&addr))
}

fn upgrade_mode(reading: &ClusterReading) -> Check {
    let name = CheckName::UpgradeMode;
    let remedy = "finish the upgrade first";
    match &reading.parameters.enable_upgrade_mode {
        Ok(false) => pass(name, "enable_upgrade_mode is False"),
        Ok(true) => block(name, Some(OverriddenBy::Force), "enable_upgrade_mode is True", remedy, None),
        Err(why) => {
            block(name, Some(OverriddenBy::Force), format!("enable_upgrade_mode is not known: {why}"), remedy, None)
        }
    }
}
