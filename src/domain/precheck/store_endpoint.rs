//! The check of the precheck that looks at the service's own store: one that lives in the cluster that is operated on. Whoever stops
//! what carries it can write down nothing of what follows, and nobody finishes what was begun.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::log_streams::Failure;
use super::{Check, CheckName, CheckVerdict, OverriddenBy, advise, block, pass, some_of};
use crate::domain::blocker::Blockers;
use crate::domain::ids::{ClusterIdentity, ServerAddr};
use crate::domain::reading::{ClusterReading, LogStreamReading, SYS_TENANT};
use crate::domain::stop_target::StopTarget;
use crate::domain::store_home::{StoreHome, StoreTenant};

const NAME: CheckName = CheckName::StoreEndpoint;
const MOVE_IT: &str = "move the store to another database first (obsteward store migrate)";

/// The check of a stop of part of a cluster. `failures`: what the log streams break.
pub(super) fn check(store: &StoreHome, reading: &ClusterReading, target: &StopTarget, failures: &[Failure]) -> Check {
    let servers = reading.servers.iter().map(|server| server.addr);
    let tenant = match lives_in(store, &reading.identity, servers) {
        Ok(tenant) => tenant,
        Err(elsewhere) => return *elsewhere,
    };
    let named = match reading.tenant(tenant.tenant_id) {
        Some(row) => format!("tenant {} ({}), which holds the store of obsteward,", row.id, row.name),
        None => format!("tenant {}, which holds the store of obsteward,", tenant.tenant_id),
    };
    let stopped = target.addresses(reading);
    let carried: Vec<&LogStreamReading> = of_store(tenant, reading).filter(|it| may_be_on(it, &stopped)).collect();
    if let Some(lost) = lost(tenant, reading, &carried, failures) {
        let evidence =
            format!("{named} would lose a majority, and obsteward could not finish what it began: {}", lost.found);
        let remedy = format!("bring back the members that are down or stopped first, or {MOVE_IT}");
        let names = reading.tenants.iter().map(|tenant| (tenant.id, tenant.name.clone())).collect();
        let blockers = lost.blockers.with_tenant_names(&names);
        return Check { retriable: lost.retriable, blockers, ..block(NAME, None, evidence, remedy, None) };
    }
    if let Some(endpoint) = only_endpoint(tenant, reading, target) {
        let evidence = format!(
            "store.url leads to {endpoint} and nowhere else, which {target} takes away: obsteward could write nothing before it is back"
        );
        let remedy = "let store.url name an OBProxy, another server, or a name with the addresses of several; with force, obsteward \
                      waits for its store meanwhile";
        return block(NAME, Some(OverriddenBy::Force), evidence, remedy, None);
    }
    let own = carried.iter().filter(|it| it.tenant_id != SYS_TENANT || tenant.tenant_id == SYS_TENANT);
    let led = own.clone().filter(|it| stopped.iter().any(|server| it.may_be_led_by(server))).count();
    match (own.count(), led) {
        (0, _) => pass(NAME, format!("{named} has no replica on {target}")),
        (here, 0) => {
            let evidence = format!("{named} has replicas of {here} log streams on {target}, and keeps its majority");
            advise(NAME, CheckVerdict::Info, evidence, "sessions of obsteward that end there are opened elsewhere")
        }
        (here, led) => {
            let evidence = format!(
                "{named} has replicas of {here} log streams on {target}, {led} of them led from there, and keeps its majority"
            );
            let remedy = "obsteward writes nothing for the seconds in which these leaders move, and goes on by itself";
            advise(NAME, CheckVerdict::Warn, evidence, remedy)
        }
    }
}

/// The same of the stop of a whole cluster, which has these servers.
pub fn of_whole_cluster(
    store: &StoreHome,
    identity: &ClusterIdentity,
    servers: impl Iterator<Item = ServerAddr>,
) -> Check {
    lives_in(store, identity, servers).map_or_else(
        |elsewhere| *elsewhere,
        |tenant| {
            let what = "holds the store of obsteward, which could neither finish the stop nor start it again";
            block(NAME, None, format!("{tenant} {what}"), MOVE_IT, None)
        },
    )
}

/// The same of a cluster that could not be read, and is recorded with these servers.
pub fn of_unread_cluster(
    store: &StoreHome,
    identity: &ClusterIdentity,
    servers: impl Iterator<Item = ServerAddr>,
) -> Check {
    lives_in(store, identity, servers).map_or_else(|elsewhere| *elsewhere, |tenant| {
        let what = "holds the store of obsteward, and whether it keeps its majority is not known: the cluster was not read";
        block(NAME, None, format!("{tenant} {what}"), format!("wait until the cluster can be read, or {MOVE_IT}"), None)
    })
}

/// The store's tenant if it is one of this cluster; otherwise the whole check.
fn lives_in<'a>(
    store: &'a StoreHome,
    identity: &ClusterIdentity,
    servers: impl Iterator<Item = ServerAddr>,
) -> Result<&'a StoreTenant, Box<Check>> {
    Err(Box::new(match store {
        StoreHome::InNoCluster => pass(NAME, "the store of obsteward is in no cluster"),
        StoreHome::Tenant(tenant) if tenant.is_of(identity, servers) => return Ok(tenant),
        StoreHome::Tenant(tenant) => pass(NAME, format!("the store of obsteward is {tenant}")),
        StoreHome::NotKnown(why) => advise(
            NAME,
            CheckVerdict::Warn,
            format!("in which cluster the store of obsteward is, is not known: {why}"),
            "look whether it is a tenant of this one",
        ),
    }))
}

/// Without its META tenant a tenant serves nothing, and without sys none of them for long.
fn of_store<'a>(tenant: &StoreTenant, reading: &'a ClusterReading) -> impl Iterator<Item = &'a LogStreamReading> {
    // The id of a META tenant is its user tenant's less one; no tenant has that of sys less one.
    let tenants = [tenant.tenant_id, tenant.tenant_id - 1, SYS_TENANT];
    reading.log_streams.iter().filter(move |log_stream| tenants.contains(&log_stream.tenant_id))
}

/// Whether one of these servers has a replica, as far as that is known: nobody tells of a log stream of which none reports.
fn may_be_on(log_stream: &LogStreamReading, servers: &BTreeSet<ServerAddr>) -> bool {
    let member = log_stream.leader().and_then(|leader| leader.member_list.as_ref().ok());
    log_stream.replicas.is_empty()
        || !log_stream.unreadable.is_empty()
        || log_stream.replicas.iter().any(|replica| servers.contains(&replica.addr))
        || member.is_some_and(|members| members.iter().any(|member| servers.contains(member)))
}

struct Lost {
    found: String,
    /// Whether all of it may pass by itself.
    retriable: bool,
    blockers: Blockers,
}

/// The log streams among these that keep no majority, or of which it is not known; `None`: all keep it.
fn lost(
    tenant: &StoreTenant,
    reading: &ClusterReading,
    carried: &[&LogStreamReading],
    failures: &[Failure],
) -> Option<Lost> {
    if !reading.log_streams.iter().any(|it| it.tenant_id == tenant.tenant_id) {
        let found = "no log stream of it was read".to_owned();
        return Some(Lost { found, retriable: true, blockers: Blockers::default() });
    }
    let is_lost = |check| matches!(check, CheckName::MemberMajority | CheckName::ReplicaMajority);
    let (mut found, mut blockers, mut retriable) = (Vec::new(), Blockers::default(), true);
    for log_stream in carried {
        let mut of_it = failures.iter().filter(|failure| is_lost(failure.check) && failure.is_of(log_stream));
        if let Some(first) = of_it.next() {
            found.push(first.evidence.clone());
            blockers.extend(first.blocker.clone());
            retriable &= first.retriable && of_it.all(|other| other.retriable);
        }
    }
    (!found.is_empty()).then(|| Lost { found: some_of(&found), retriable, blockers })
}

/// The endpoint of the store, when all that it has are servers of the target.
fn only_endpoint(tenant: &StoreTenant, reading: &ClusterReading, target: &StopTarget) -> Option<SocketAddr> {
    let taken: BTreeSet<SocketAddr> =
        target.servers(reading).map(|server| SocketAddr::new(server.addr.ip(), server.sql_port)).collect();
    let first = tenant.endpoints.first()?;
    tenant.endpoints.iter().all(|endpoint| taken.contains(endpoint)).then_some(*first)
}

#[cfg(test)]
#[path = "store_endpoint_tests.rs"]
mod tests;
