//! What a cluster can spare: how many servers or zones may still fail, and which of them could be taken out of service now. One
//! reading for all of them, by the rules of the plan; hosts are not asked, which only a plan of one does.

use crate::clock::Timestamp;
use crate::domain::admission::ProcessFinding;
use crate::domain::ids::{ServerAddr, ZoneName};
use crate::domain::precheck::{CheckVerdict, Tolerance, precheck, tolerance};
use crate::domain::reading::{ClusterReading, Fact, ZoneReading};
use crate::domain::status::ZoneInnerStatus;
use crate::domain::stop_target::StopTarget;
use crate::domain::store_home::StoreHome;
use crate::oceanbase::ClusterError;
use crate::operations::assess::{AssessedCheck, admission_check, check};
use crate::operations::subject::Subject;
use crate::operations::{Deps, STOP_SERVICE, step_io};

/// Servers times log streams that are judged for one page: each pair is looked at once.
const MOST_PAIRS: usize = 500_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Margin {
    /// When the cluster was read.
    pub observed_at: Timestamp,
    pub tolerance: Fact<Tolerance>,
    /// Each with the first check that refuses to take it out; without one it could be. Empty: they are too many to judge.
    pub servers: Vec<(ServerAddr, Option<AssessedCheck>)>,
    pub zones: Vec<(ZoneName, Option<AssessedCheck>)>,
}

impl Margin {
    /// `None`: it was not judged.
    pub fn server(&self, addr: &ServerAddr) -> Option<Option<&AssessedCheck>> {
        self.servers.iter().find(|(of, _)| of == addr).map(|(_, why)| why.as_ref())
    }

    /// `None`: it was not judged.
    pub fn zone(&self, name: &ZoneName) -> Option<Option<&AssessedCheck>> {
        self.zones.iter().find(|(of, _)| of == name).map(|(_, why)| why.as_ref())
    }
}

/// Reads the cluster and judges, in bounded time. `cluster`: the whole of it.
pub async fn read_margin(deps: &Deps, cluster: &Subject) -> Result<Margin, ClusterError> {
    let read = async { cluster.reader(deps).await?.reading().await };
    let read = step_io::within(deps.timeouts.reading, cluster.cluster_name(), read);
    let (reading, store) = tokio::join!(read, deps.store.home());
    Ok(margin(&reading?, &store, deps.clock.now()))
}

/// What a reading says of it.
pub fn margin(reading: &ClusterReading, store: &StoreHome, now: Timestamp) -> Margin {
    let first = |target: StopTarget| {
        let checks = precheck(reading, &target, store, now).checks;
        checks.iter().map(AssessedCheck::from).find(AssessedCheck::refuses)
    };
    let judged = reading.servers.len().saturating_mul(reading.log_streams.len().max(1)) <= MOST_PAIRS;
    let servers = reading.servers.iter().filter(|_| judged).map(|server| {
        let state = admission_check(reading, server.addr, ProcessFinding::NotAsked, &STOP_SERVICE);
        let why = if state.refuses() { Some(state) } else { first(StopTarget::Server(server.addr)) };
        (server.addr, why)
    });
    let zones = reading
        .zones
        .iter()
        .map(|zone| (zone.name.clone(), is_stopped(zone).or_else(|| first(StopTarget::Zone(zone.name.clone())))));
    Margin {
        observed_at: reading.observed_at,
        tolerance: tolerance(reading),
        servers: servers.collect(),
        zones: zones.collect(),
    }
}

fn is_stopped(zone: &ZoneReading) -> Option<AssessedCheck> {
    match zone.status {
        ZoneInnerStatus::Active => None,
        ZoneInnerStatus::Inactive => {
            let evidence = format!("zone {} is {}", zone.name, zone.status);
            Some(check("ZONE_STATE", CheckVerdict::Block, evidence, "nothing is to be stopped here"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::sample::{NOW, addr, cluster, log_stream, server};

    fn names(reading: &ClusterReading) -> (Vec<String>, Vec<String>) {
        let margin = margin(reading, &StoreHome::InNoCluster, NOW);
        let name = |why: Option<AssessedCheck>| why.map_or_else(|| "-".to_owned(), |check| check.name);
        let servers = margin.servers.into_iter().map(|(_, why)| name(why)).collect();
        (servers, margin.zones.into_iter().map(|(_, why)| name(why)).collect())
    }

    #[test]
    fn each_server_and_zone_has_the_first_reason_against_its_stop() {
        let (servers, zones) = names(&cluster(3));
        assert_eq!((servers, zones), (vec!["-".to_owned(); 3], vec!["-".to_owned(); 3]));
        let mut reading = cluster(3);
        reading.servers[2].stop_time = Some(NOW);
        let (servers, zones) = names(&reading);
        assert_eq!(servers, ["OTHER_ZONE_STOPPED", "OTHER_ZONE_STOPPED", "SERVER_STATE"]);
        assert_eq!(zones, ["OTHER_ZONE_STOPPED", "OTHER_ZONE_STOPPED", "-"], "the rest of its zone may follow it");
        reading.zones[2].status = ZoneInnerStatus::Inactive;
        assert_eq!(names(&reading).1[2], "ZONE_STATE");
    }

    #[test]
    fn what_would_take_too_long_is_not_judged() {
        let mut reading = cluster(3);
        reading.servers.extend((4..=250).map(server));
        reading.log_streams = (0..2100).map(|number| log_stream(1002, number, &[1, 2, 3])).collect();
        let margin = margin(&reading, &StoreHome::InNoCluster, NOW);
        assert_eq!((margin.server(&addr(1)), margin.zones.len()), (None, 3));
    }
}
