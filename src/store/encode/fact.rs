//! One fact to its stored form and back.

use super::{needed, read, word};
use crate::clock::Timestamp;
use crate::domain::facts::{ClusterFact, Fact, Moment, ProcessBefore, ServerAddresses, ServerFact, ZoneFact};
use crate::domain::freeze::{AppliedLog, AppliedLogs};
use crate::domain::host::ObserverIdentity;
use crate::domain::ids::ServerId;
use crate::proto::store_v1 as stored;
use crate::proto::store_v1::cluster_fact::Fact as StoredClusterFact;
use crate::proto::store_v1::fact::About;
use crate::proto::store_v1::process_before::Known;
use crate::proto::store_v1::server_fact::Fact as StoredServerFact;
use crate::proto::store_v1::zone_fact::Fact as StoredZoneFact;
use crate::store::StoreError;

pub(super) fn to_stored(fact: &Fact) -> stored::Fact {
    let about = match fact {
        Fact::Cluster(fact) => About::Cluster(stored::ClusterFact { fact: Some(of_cluster(fact)) }),
        Fact::Zone(zone, fact) => {
            About::Zone(stored::ZoneFact { zone: zone.as_str().to_owned(), fact: Some(of_zone(fact)) })
        }
        Fact::Server(server, fact) => {
            About::Server(stored::ServerFact { server: server.get(), fact: Some(of_server(fact)) })
        }
    };
    stored::Fact { about: Some(about) }
}

fn of_cluster(fact: &ClusterFact) -> StoredClusterFact {
    match fact {
        ClusterFact::FormerStatus(status) => StoredClusterFact::FormerStatus(status.as_str().to_owned()),
        ClusterFact::TargetStatus(status) => StoredClusterFact::TargetStatus(status.as_str().to_owned()),
        ClusterFact::State(state) => StoredClusterFact::State(state.as_str().to_owned()),
        ClusterFact::InactiveBefore(ServerAddresses(servers)) => {
            let addresses = servers.iter().map(ToString::to_string).collect();
            StoredClusterFact::InactiveBefore(stored::ServerAddresses { addresses })
        }
    }
}

fn of_zone(fact: &ZoneFact) -> StoredZoneFact {
    match fact {
        ZoneFact::FormerStatus(status) => StoredZoneFact::FormerStatus(status.as_str().to_owned()),
        ZoneFact::TargetStatus(status) => StoredZoneFact::TargetStatus(status.as_str().to_owned()),
        ZoneFact::StatusBefore(status) => StoredZoneFact::StatusBefore(status.as_str().to_owned()),
        ZoneFact::StopTime(state) => StoredZoneFact::StopTime(state.as_str().to_owned()),
    }
}

fn of_server(fact: &ServerFact) -> StoredServerFact {
    match fact {
        ServerFact::FormerStatus(status) => StoredServerFact::FormerStatus(status.as_str().to_owned()),
        ServerFact::StopTimeBefore(at) => StoredServerFact::StopTimeBefore(moment(*at)),
        ServerFact::StartServiceTimeBefore(at) => StoredServerFact::StartServiceTimeBefore(moment(*at)),
        ServerFact::ProcessBefore(before) => {
            let known = match before {
                ProcessBefore::Running(identity) => Known::Running(process(identity)),
                ProcessBefore::NotSeen(state) => Known::NotSeen(state.as_str().to_owned()),
            };
            StoredServerFact::ProcessBefore(stored::ProcessBefore { known: Some(known) })
        }
        ServerFact::LeadersBefore(leaders) => StoredServerFact::LeadersBefore(*leaders),
        ServerFact::StopTime(state) => StoredServerFact::StopTime(state.as_str().to_owned()),
        ServerFact::ProcessState(state) => StoredServerFact::ProcessState(state.as_str().to_owned()),
        ServerFact::ProcessStarted(identity) => StoredServerFact::ProcessStarted(process(identity)),
        ServerFact::AppliedAtFreeze(AppliedLogs(logs)) => {
            let log = |AppliedLog { tenant_id, ls_id, scn }| stored::AppliedLog { tenant_id, ls_id, scn };
            StoredServerFact::AppliedAtFreeze(stored::AppliedLogs { logs: logs.iter().copied().map(log).collect() })
        }
    }
}

const fn moment(moment: Moment) -> stored::Moment {
    let at_us = match moment {
        Moment::NotSet => None,
        Moment::At(at) => Some(at.as_micros()),
    };
    stored::Moment { at_us }
}

fn process(identity: &ObserverIdentity) -> stored::Process {
    let identity = identity.clone();
    stored::Process {
        boot_id: identity.boot_id,
        pid: identity.pid,
        start_ticks: identity.start_ticks,
        executable: identity.executable,
        executable_inode: identity.executable_inode,
        home: identity.home,
        uid: identity.uid,
        network_namespace: identity.network_namespace,
        cluster_name: identity.cluster_name,
    }
}

pub(super) fn from_stored(fact: stored::Fact) -> Result<Fact, StoreError> {
    Ok(match needed("kind of a fact", fact.about)? {
        About::Cluster(about) => Fact::Cluster(match needed("fact about a cluster", about.fact)? {
            StoredClusterFact::FormerStatus(status) => ClusterFact::FormerStatus(word("cluster fact", &status)?),
            StoredClusterFact::TargetStatus(status) => ClusterFact::TargetStatus(word("cluster fact", &status)?),
            StoredClusterFact::State(state) => ClusterFact::State(word("cluster fact", &state)?),
            StoredClusterFact::InactiveBefore(servers) => {
                let servers = servers.addresses.iter().map(|addr| word("cluster fact", addr));
                ClusterFact::InactiveBefore(ServerAddresses(servers.collect::<Result<_, _>>()?))
            }
        }),
        About::Zone(about) => {
            let fact = match needed("fact about a zone", about.fact)? {
                StoredZoneFact::FormerStatus(status) => ZoneFact::FormerStatus(word("zone fact", &status)?),
                StoredZoneFact::TargetStatus(status) => ZoneFact::TargetStatus(word("zone fact", &status)?),
                StoredZoneFact::StatusBefore(status) => ZoneFact::StatusBefore(word("zone fact", &status)?),
                StoredZoneFact::StopTime(state) => ZoneFact::StopTime(word("zone fact", &state)?),
            };
            Fact::Zone(word("zone fact", &about.zone)?, fact)
        }
        About::Server(about) => {
            let fact = from_server(needed("fact about a server", about.fact)?)?;
            Fact::Server(read("server fact", ServerId::new(about.server))?, fact)
        }
    })
}

fn from_server(fact: StoredServerFact) -> Result<ServerFact, StoreError> {
    Ok(match fact {
        StoredServerFact::FormerStatus(status) => ServerFact::FormerStatus(word("server fact", &status)?),
        StoredServerFact::StopTimeBefore(at) => ServerFact::StopTimeBefore(from_moment(at)),
        StoredServerFact::StartServiceTimeBefore(at) => ServerFact::StartServiceTimeBefore(from_moment(at)),
        StoredServerFact::ProcessBefore(before) => {
            ServerFact::ProcessBefore(match needed("process before", before.known)? {
                Known::Running(process) => ProcessBefore::Running(from_process(process)),
                Known::NotSeen(state) => ProcessBefore::NotSeen(word("server fact", &state)?),
            })
        }
        StoredServerFact::LeadersBefore(leaders) => ServerFact::LeadersBefore(leaders),
        StoredServerFact::StopTime(state) => ServerFact::StopTime(word("server fact", &state)?),
        StoredServerFact::ProcessState(state) => ServerFact::ProcessState(word("server fact", &state)?),
        StoredServerFact::ProcessStarted(process) => ServerFact::ProcessStarted(from_process(process)),
        StoredServerFact::AppliedAtFreeze(applied) => {
            let log = |stored::AppliedLog { tenant_id, ls_id, scn }| AppliedLog { tenant_id, ls_id, scn };
            ServerFact::AppliedAtFreeze(AppliedLogs(applied.logs.into_iter().map(log).collect()))
        }
    })
}

fn from_moment(moment: stored::Moment) -> Moment {
    moment.at_us.map(Timestamp::from_micros).into()
}

fn from_process(process: stored::Process) -> ObserverIdentity {
    ObserverIdentity {
        boot_id: process.boot_id,
        pid: process.pid,
        start_ticks: process.start_ticks,
        executable: process.executable,
        executable_inode: process.executable_inode,
        home: process.home,
        uid: process.uid,
        network_namespace: process.network_namespace,
        cluster_name: process.cluster_name,
    }
}
