//! What may still fail: how many servers, or whole zones, a cluster can lose as it is now before a log stream loses its
//! majority. The same count of members as for a stop, of nothing. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::PrecheckStage;
use super::log_streams::{Rules, tenants_without_log_stream, valid_servers};
use crate::domain::ids::{ServerAddr, ZoneName};
use crate::domain::reading::{ClusterReading, Fact, LogStreamReading, Unreadable};

/// Whichever they are; 0: one failure more may cost a log stream its majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    pub servers: usize,
    pub zones: usize,
}

/// Not known when it is not for a single log stream: that one could be the weakest.
pub fn tolerance(reading: &ClusterReading) -> Fact<Tolerance> {
    if let Some(unread) = tenants_without_log_stream(reading).into_iter().next() {
        return Err(Unreadable::new(unread.evidence));
    }
    let valid = valid_servers(&reading.servers, &reading.zones, &BTreeSet::new());
    let each = reading.log_streams.iter().map(|log_stream| of_log_stream(reading, &valid, log_stream));
    let each = each.collect::<Fact<Vec<Tolerance>>>()?;
    let least = |of: fn(&Tolerance) -> usize| each.iter().map(of).min().unwrap_or(0);
    Ok(Tolerance { servers: least(|it| it.servers), zones: least(|it| it.zones) })
}

fn of_log_stream(
    reading: &ClusterReading,
    valid: &BTreeSet<ServerAddr>,
    log_stream: &LogStreamReading,
) -> Fact<Tolerance> {
    let unknown = |why: &dyn std::fmt::Display| {
        Unreadable::new(format!("Tenant({}) LS({}): {why}", log_stream.tenant_id, log_stream.ls_id))
    };
    if let Some(why) = log_stream.unreadable.first() {
        return Err(unknown(why));
    }
    let leader = log_stream.leader().ok_or_else(|| unknown(&"no leader"))?;
    let members = leader.member_list.as_ref().map_err(|why| unknown(why))?;
    let number = *leader.paxos_replica_number.as_ref().map_err(|why| unknown(why))?;
    let number = usize::try_from(number).ok().filter(|number| *number > 0);
    let number = number.ok_or_else(|| unknown(&"its number of replicas is none"))?;
    let reports = |member: &ServerAddr| log_stream.replicas.iter().any(|replica| replica.addr == *member);
    let counted: BTreeSet<ServerAddr> =
        members.iter().copied().filter(|member| valid.contains(member) && reports(member)).collect();
    let (none, tenant) = (BTreeSet::new(), reading.tenant(log_stream.tenant_id));
    let moment = PrecheckStage::BeforeStop;
    let rules = Rules { moment, reading, statement: "", stopped: &none, valid, log_stream };
    let arbiter = rules.arbiter(tenant, i64::try_from(number).unwrap_or(i64::MAX), false, &counted, &mut Vec::new());
    let votes = counted.len() + usize::from(arbiter > 0);
    let spare = votes.saturating_sub(number / 2 + 1);
    Ok(Tolerance { servers: spare, zones: zones_within(spare, reading, &counted) })
}

/// How many zones may go, the fullest first, while no more than `spare` members go with them.
fn zones_within(spare: usize, reading: &ClusterReading, members: &BTreeSet<ServerAddr>) -> usize {
    let mut in_zone: BTreeMap<&ZoneName, usize> = BTreeMap::new();
    for server in members.iter().filter_map(|member| reading.server(member)) {
        *in_zone.entry(&server.zone).or_default() += 1;
    }
    let mut counts: Vec<usize> = in_zone.into_values().collect();
    counts.sort_unstable_by(|one, other| other.cmp(one));
    let gone = counts.iter().scan(0, |gone, count| {
        *gone += count;
        Some(*gone)
    });
    gone.take_while(|gone| *gone <= spare).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::precheck::{blocking, precheck};
    use crate::domain::reading::sample::{NOW, addr, cluster, log_stream, server};
    use crate::domain::status::InnerStatus;
    use crate::domain::store_home::StoreHome;

    fn of(reading: &ClusterReading) -> (usize, usize) {
        let tolerance = tolerance(reading).unwrap();
        (tolerance.servers, tolerance.zones)
    }

    #[test]
    fn the_weakest_log_stream_decides() {
        assert_eq!([1, 2, 3, 4, 5].map(|servers| of(&cluster(servers))), [(0, 0), (0, 0), (1, 1), (1, 1), (2, 2)]);
        let mut reading = cluster(5);
        reading.log_streams.push(log_stream(1002, 1002, &[1, 2, 3]));
        assert_eq!(of(&reading), (1, 1));
        reading.servers[0].status = InnerStatus::Inactive;
        assert_eq!(of(&reading), (0, 0));
    }

    #[test]
    fn a_zone_goes_with_all_that_is_in_it() {
        let mut reading = cluster(5);
        reading.servers[1].zone = server(1).zone;
        assert_eq!(of(&reading), (2, 1), "the zone of two, and no other");
        reading.servers[2].zone = server(1).zone;
        assert_eq!(of(&reading), (2, 0));
    }

    #[test]
    fn what_is_not_known_of_one_is_not_known_of_all() {
        let mut reading = cluster(3);
        reading.log_streams[2].replicas.clear();
        assert_eq!(tolerance(&reading).unwrap_err().0, "Tenant(1002) LS(1): no leader");
        reading.log_streams.clear();
        assert!(tolerance(&reading).is_err());
    }

    /// Where a server may fail, a stop of any is let through, and the other way round.
    #[test]
    fn it_agrees_with_the_precheck() {
        for servers in 2..=6 {
            let reading = cluster(servers);
            let stops = (1..=servers).all(|number| {
                let precheck = precheck(&reading, &addr(number).into(), &StoreHome::InNoCluster, NOW);
                blocking(&precheck, false, &[]).is_empty()
            });
            assert_eq!(of(&reading).0 > 0, stops, "{servers}");
        }
    }
}
