//! The checks of the precheck that look at servers, zones, units and parameters.

use super::{Check, CheckName, OverriddenBy, block, pass, some_of};
use crate::domain::ids::ServerAddr;
use crate::domain::reading::{ClusterReading, ServerReading, UnitReading};
use crate::domain::status::{InnerStatus, ZoneInnerStatus};

pub(super) fn checks(reading: &ClusterReading, target: &ServerAddr) -> Vec<Check> {
    let server = reading.server(target);
    vec![
        single_server(reading),
        target_known(reading, target, server),
        target_status(target, server),
        other_zone_stopped(reading, target, server),
        unit_migration(reading, target),
        upgrade_mode(reading),
    ]
}

fn single_server(reading: &ClusterReading) -> Check {
    let name = CheckName::SingleServer;
    match reading.servers.len() {
        0 | 1 => block(
            name,
            None,
            format!("the cluster has {} server", reading.servers.len()),
            "stop the cluster instead",
            None,
        ),
        number => pass(name, format!("the cluster has {number} servers")),
    }
}

fn target_known(reading: &ClusterReading, target: &ServerAddr, server: Option<&ServerReading>) -> Check {
    let name = CheckName::TargetKnown;
    let remedy = "sync the cluster, then ask again";
    let Some(server) = server else {
        let evidence = format!("server {target} is not in DBA_OB_SERVERS");
        return block(name, None, evidence, remedy, Some("-4018: Entry not exist".to_owned()));
    };
    match reading.zone(&server.zone) {
        Some(_) => {
            pass(name, format!("DBA_OB_SERVERS has {target} in zone {} with id {}", server.zone, server.ob_server_id))
        }
        None => block(name, None, format!("zone {} is not in DBA_OB_ZONES", server.zone), remedy, None),
    }
}

fn target_status(target: &ServerAddr, server: Option<&ServerReading>) -> Check {
    let name = CheckName::TargetStatus;
    let Some(server) = server else {
        return block(name, None, format!("the status of {target} is not known"), "sync the cluster", None);
    };
    match server.status {
        InnerStatus::Active | InnerStatus::Inactive => pass(name, format!("{target} is {}", server.status)),
        InnerStatus::Deleting => block(
            name,
            None,
            format!("{target} is DELETING"),
            "wait until it is deleted, or cancel the deletion with ALTER SYSTEM CANCEL DELETE SERVER",
            None,
        ),
        InnerStatus::TakeoverByRs => block(
            name,
            None,
            format!("{target} is TAKEOVER_BY_RS"),
            "wait until the root service has finished with it",
            None,
        ),
    }
}

/// `ObRootUtils::have_other_stop_task` (docs/oceanbase.md#stop-server-other-zone-check): a stopped server of the same
/// zone is allowed.
fn other_zone_stopped(reading: &ClusterReading, target: &ServerAddr, server: Option<&ServerReading>) -> Check {
    let name = CheckName::OtherZoneStopped;
    let overridden_by = Some(OverriddenBy::QuorumLoss);
    let Some(zone) = server.map(|server| &server.zone) else {
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

fn unit_migration(reading: &ClusterReading, target: &ServerAddr) -> Check {
    let name = CheckName::UnitMigration;
    let remedy = "wait until the units have moved (DBA_OB_UNITS.MIGRATE_FROM_SVR_IP is empty)";
    let units = match &reading.units {
        Ok(units) => units,
        Err(why) => return block(name, Some(OverriddenBy::Force), format!("units are not known: {why}"), remedy, None),
    };
    let moving = |unit: &&UnitReading| {
        unit.migrate_from.as_deref().is_some_and(|from| unit.addr == *target || !is_another(from, target))
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

/// Whether the text is the address of a server that is certainly not the target.
fn is_another(text: &str, target: &ServerAddr) -> bool {
    text.parse::<ServerAddr>().is_ok_and(|addr| addr != *target)
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
