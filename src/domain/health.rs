//! The health of a cluster between two batches of a rollout: may the next server be taken out? Pure.

use std::collections::BTreeSet;

use crate::domain::blocker::{Blocker, Blockers};
use crate::domain::catch_up::CatchUp;
use crate::domain::ids::{ServerAddr, ZoneName};
use crate::domain::reading::ClusterReading;
use crate::domain::status::{InnerStatus, ZoneInnerStatus};

/// How many findings are named.
const NAMED: usize = 5;

/// Servers that are no longer heard from.
pub fn inactive(reading: &ClusterReading) -> BTreeSet<ServerAddr> {
    let inactive = reading.servers.iter().filter(|server| server.status == InnerStatus::Inactive);
    inactive.map(|server| server.addr).collect()
}

/// What keeps the next batch from beginning; none: the cluster is healthy. `batch`: the servers that came back last;
/// `inactive_before`: those that were away when the rollout began.
pub fn ailments(reading: &ClusterReading, batch: &[ServerAddr], inactive_before: &BTreeSet<ServerAddr>) -> Blockers {
    let mut found = Blockers::default();
    for addr in batch {
        let why = match reading.server(addr) {
            None => "is not in DBA_OB_SERVERS any more".to_owned(),
            Some(server) if server.status != InnerStatus::Active => format!("is {}", server.status),
            Some(server) if server.stop_time.is_some() => "has its STOP_TIME set".to_owned(),
            Some(server) if server.start_service_time.is_none() => "is not in service yet".to_owned(),
            Some(_) => {
                found.append(&CatchUp::of(&reading.log_streams, addr).behind);
                continue;
            }
        };
        found.extend([Blocker::server(*addr, why)]);
    }
    let others = || reading.servers.iter().filter(|server| !batch.contains(&server.addr));
    let lost = others().filter(|it| it.status == InnerStatus::Inactive && !inactive_before.contains(&it.addr));
    found.extend(lost.map(|server| Blocker::server(server.addr, "is INACTIVE since the rollout began")));
    let zones: Vec<&ZoneName> =
        reading.zones.iter().filter(|it| it.status == ZoneInnerStatus::Inactive).map(|it| &it.name).collect();
    let stopped = reading.servers.iter().filter(|server| zones.contains(&&server.zone));
    found.extend(
        stopped.map(|server| Blocker::server(server.addr, format!("is in zone {}, which is stopped", server.zone))),
    );
    let leaderless = reading.log_streams.iter().filter(|log_stream| log_stream.leader().is_none());
    found.extend(leaderless.map(|it| Blocker::log_stream(it.tenant_id, it.ls_id, "has no leader")));
    let names = reading.tenants.iter().map(|tenant| (tenant.id, tenant.name.clone())).collect();
    found.with_tenant_names(&names)
}

/// The first few in words.
pub fn described(ailments: &Blockers) -> String {
    let named: Vec<String> = ailments.named().iter().take(NAMED).map(ToString::to_string).collect();
    match ailments.count().saturating_sub(named.len()) {
        0 => named.join("; "),
        more => format!("{}; and {more} more", named.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::reading::sample;

    fn of(reading: &ClusterReading) -> String {
        described(&ailments(reading, &[sample::addr(2)], &BTreeSet::new()))
    }

    #[test]
    fn a_healthy_cluster_has_no_ailment_and_each_ailment_is_named() {
        let healthy = sample::cluster(3);
        assert_eq!(of(&healthy), "");
        let ill = |change: fn(&mut ClusterReading)| {
            let mut reading = healthy.clone();
            change(&mut reading);
            of(&reading)
        };
        assert!(ill(|it| it.servers[1].status = InnerStatus::Inactive).contains("is INACTIVE"));
        assert!(ill(|it| it.servers[1].stop_time = Some(Timestamp::from_micros(1))).contains("STOP_TIME"));
        assert!(ill(|it| it.servers[1].start_service_time = None).contains("not in service yet"));
        assert!(ill(|it| it.servers.truncate(1)).contains("not in DBA_OB_SERVERS"));
        assert!(ill(|it| it.servers[2].status = InnerStatus::Inactive).contains("since the rollout began"));
        assert!(ill(|it| it.zones[2].status = ZoneInnerStatus::Inactive).contains("is stopped"));
        let behind = ill(|it| it.log_streams[0].replicas.retain(|replica| replica.addr != sample::addr(2)));
        assert!(behind.contains("does not report yet"), "{behind}");
        let leaderless = ill(|it| it.log_streams[0].replicas.clear());
        assert!(leaderless.contains("has no leader"), "{leaderless}");
    }

    #[test]
    fn a_server_that_was_away_before_keeps_nothing_back() {
        let mut reading = sample::cluster(3);
        reading.servers[2].status = InnerStatus::Inactive;
        assert_eq!(ailments(&reading, &[sample::addr(2)], &[sample::addr(3)].into()), Blockers::default());
    }
}
