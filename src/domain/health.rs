//! The health of a cluster between two batches of a rollout: may the next server be taken out? Pure.

use std::collections::BTreeSet;

use crate::domain::catch_up::CatchUp;
use crate::domain::ids::ServerAddr;
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
pub fn ailments(reading: &ClusterReading, batch: &[ServerAddr], inactive_before: &BTreeSet<ServerAddr>) -> Vec<String> {
    let mut found = Vec::new();
    for addr in batch {
        match reading.server(addr) {
            None => found.push(format!("{addr} is not in DBA_OB_SERVERS any more")),
            Some(server) if server.status != InnerStatus::Active => found.push(format!("{addr} is {}", server.status)),
            Some(server) if server.stop_time.is_some() => found.push(format!("STOP_TIME of {addr} is set")),
            Some(server) if server.start_service_time.is_none() => found.push(format!("{addr} is not in service yet")),
            Some(_) => {
                let catch_up = CatchUp::of(&reading.log_streams, addr);
                if !catch_up.is_done() {
                    found.push(format!("{addr}: {catch_up}"));
                }
            }
        }
    }
    let gone = inactive(reading);
    let gone = gone.iter().filter(|addr| !inactive_before.contains(addr) && !batch.contains(addr));
    found.extend(gone.map(|addr| format!("{addr} is {} since the rollout began", InnerStatus::Inactive)));
    let stopped = reading.zones.iter().filter(|zone| zone.status == ZoneInnerStatus::Inactive);
    found.extend(stopped.map(|zone| format!("zone {} is stopped", zone.name)));
    let leaderless = reading.log_streams.iter().filter(|log_stream| log_stream.leader().is_none());
    found
        .extend(leaderless.map(|log_stream| {
            format!("tenant {} log stream {} has no leader", log_stream.tenant_id, log_stream.ls_id)
        }));
    found
}

/// The first few in words.
pub fn described(ailments: &[String]) -> String {
    let mut words = ailments.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if ailments.len() > NAMED {
        words.push_str(&format!("; and {} more", ailments.len() - NAMED));
    }
    words
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
        assert!(behind.contains("caught up"), "{behind}");
        let leaderless = ill(|it| it.log_streams[0].replicas.clear());
        assert!(leaderless.contains("has no leader"), "{leaderless}");
    }

    #[test]
    fn a_server_that_was_away_before_keeps_nothing_back() {
        let mut reading = sample::cluster(3);
        reading.servers[2].status = InnerStatus::Inactive;
        assert_eq!(ailments(&reading, &[sample::addr(2)], &[sample::addr(3)].into()), Vec::<String>::new());
    }
}
