//! What a task learns and hands on to its later steps, by what it is about: the cluster, one of its zones, one of its servers.
//! Each fact is declared once, with its type and with the key under which people are shown it. What only the steps read, for
//! example which process was running before, is not shown: it may change with every version, and no client may rely on it.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::clock::Timestamp;
use crate::domain::event::TaskSpec;
use crate::domain::freeze::AppliedLogs;
use crate::domain::graph::TaskTarget;
use crate::domain::host::ObserverIdentity;
use crate::domain::ids::{ClusterId, ServerAddr, ServerId, ZoneName};
use crate::domain::status::{ClusterStatus, ServerStatus, ZoneInnerStatus, ZoneStatus};
use crate::domain::task::Task;
use crate::domain::words::words;

words!(
    /// A value of a task's context as people are shown it; the words are its keys. The first seven are the contract's.
    ShownFact, "fact", {
        /// Our id, not OceanBase's.
        ClusterId = "cluster_id",
        FormerClusterStatus = "former_cluster_status",
        TargetZoneStatus = "target_zone_status",
        FormerZoneStatus = "former_zone_status",
        ZoneName = "zone_name",
        TargetClusterStatus = "target_cluster_status",
        /// Our id, not OceanBase's.
        ServerId = "server_id",
        FormerServerStatus = "former_server_status",
        StopTimeBefore = "stop_time_before",
        LeadersBefore = "leaders_before",
        ClusterState = "cluster_state",
        StopTime = "stop_time",
        ProcessState = "process_state",
    }
);

impl ShownFact {
    /// The contract's facts, in the order of its sample.
    pub const CONTRACT: [Self; 7] = [
        Self::ClusterId,
        Self::FormerClusterStatus,
        Self::TargetZoneStatus,
        Self::FormerZoneStatus,
        Self::ZoneName,
        Self::TargetClusterStatus,
        Self::ServerId,
    ];
}

/// Facts of one kind: the enumeration that steps record, and what is known of all of them, which later steps read. The last
/// one that was recorded counts.
macro_rules! facts {
    ($(#[$doc:meta])* $fact:ident, $known:ident, {
        $($(#[$fact_doc:meta])* $variant:ident($value:ty) as $field:ident, shown: $shown:expr;)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $fact { $($(#[$fact_doc])* $variant($value)),+ }

        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $known { $($(#[$fact_doc])* pub $field: Option<$value>),+ }

        impl $known {
            /// Nothing is known.
            pub const NONE: Self = Self { $($field: None),+ };

            fn record(&mut self, fact: $fact) {
                match fact { $($fact::$variant(value) => self.$field = Some(value)),+ }
            }

            pub fn iter(&self) -> impl Iterator<Item = $fact> {
                [$(self.$field.clone().map($fact::$variant)),+].into_iter().flatten()
            }
        }

        impl $fact {
            /// `None`: only the steps read it.
            fn shown(&self) -> Option<(ShownFact, String)> {
                let shown: Option<ShownFact> = match self { $(Self::$variant(_) => $shown),+ };
                Some((shown?, match self { $(Self::$variant(value) => value.to_string()),+ }))
            }
        }
    };
}

facts!(
    /// About the cluster.
    ClusterFact, ClusterFacts, {
        /// Before; never an in-operation one.
        FormerStatus(ClusterStatus) as former_status, shown: Some(ShownFact::FormerClusterStatus);
        /// Afterwards.
        TargetStatus(ClusterStatus) as target_status, shown: Some(ShownFact::TargetClusterStatus);
        /// The task goes on although this is so.
        State(ClusterState) as state, shown: Some(ShownFact::ClusterState);
        /// Servers that were INACTIVE before: a rollout waits for no other.
        InactiveBefore(ServerAddresses) as inactive_before, shown: None;
    }
);

facts!(
    /// About a zone.
    ZoneFact, ZoneFacts, {
        /// Before; never an in-operation one.
        FormerStatus(ZoneStatus) as former_status, shown: Some(ShownFact::FormerZoneStatus);
        /// Afterwards.
        TargetStatus(ZoneStatus) as target_status, shown: Some(ShownFact::TargetZoneStatus);
        /// In DBA_OB_ZONES before.
        StatusBefore(ZoneInnerStatus) as status_before, shown: None;
        /// The task goes on although this is so of INACTIVE, which STOP ZONE sets.
        StopTime(StopTimeState) as stop_time, shown: Some(ShownFact::StopTime);
    }
);

facts!(
    /// About a server.
    ServerFact, ServerFacts, {
        /// Before; never an in-operation one.
        FormerStatus(ServerStatus) as former_status, shown: Some(ShownFact::FormerServerStatus);
        /// STOP_TIME before.
        StopTimeBefore(Moment) as stop_time_before, shown: Some(ShownFact::StopTimeBefore);
        /// START_SERVICE_TIME before: a server that came back has another.
        StartServiceTimeBefore(Moment) as start_service_time_before, shown: None;
        ProcessBefore(ProcessBefore) as process_before, shown: None;
        /// Number of log streams led from it before.
        LeadersBefore(i32) as leaders_before, shown: Some(ShownFact::LeadersBefore);
        /// The task goes on although this is so.
        StopTime(StopTimeState) as stop_time, shown: Some(ShownFact::StopTime);
        /// Its process afterwards.
        ProcessState(ProcessState) as process_state, shown: Some(ShownFact::ProcessState);
        /// The process that this task started.
        ProcessStarted(ObserverIdentity) as process_started, shown: None;
        /// How far its log streams were applied when a freeze was requested.
        AppliedAtFreeze(AppliedLogs) as applied_at_freeze, shown: None;
    }
);

words!(
    /// What keeps a cluster's state from being known.
    ClusterState, "cluster state", {
        /// It could not be read.
        Unknown = "UNKNOWN",
    }
);

words!(
    /// What keeps STOP_TIME from being set.
    StopTimeState, "state of STOP_TIME", {
        /// By the root service.
        Refused = "REFUSED",
    }
);

words!(
    /// What is known of a process that is not seen.
    ProcessState, "process state", {
        /// Proven not to be there.
        Absent = "ABSENT",
        Unknown = "UNKNOWN",
    }
);

/// Addresses of servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerAddresses(pub BTreeSet<ServerAddr>);

impl fmt::Display for ServerAddresses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        formatter.write_str(&words.join(", "))
    }
}

/// The process of a server as it was before the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessBefore {
    Running(ObserverIdentity),
    NotSeen(ProcessState),
}

impl fmt::Display for ProcessBefore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(identity) => identity.fmt(formatter),
            Self::NotSeen(state) => state.fmt(formatter),
        }
    }
}

/// A moment that a cluster shows, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    NotSet,
    At(Timestamp),
}

impl From<Option<Timestamp>> for Moment {
    fn from(at: Option<Timestamp>) -> Self {
        at.map_or(Self::NotSet, Self::At)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet => formatter.write_str("not set"),
            Self::At(at) => at.fmt(formatter),
        }
    }
}

/// One fact, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Cluster(ClusterFact),
    Zone(ZoneName, ZoneFact),
    Server(ServerId, ServerFact),
}

/// Every fact that a task knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub cluster: ClusterFacts,
    zones: BTreeMap<ZoneName, ZoneFacts>,
    servers: BTreeMap<ServerId, ServerFacts>,
}

impl Facts {
    pub fn record(&mut self, fact: Fact) {
        match fact {
            Fact::Cluster(fact) => self.cluster.record(fact),
            Fact::Zone(zone, fact) => self.zones.entry(zone).or_default().record(fact),
            Fact::Server(server, fact) => self.servers.entry(server).or_default().record(fact),
        }
    }

    pub fn zone(&self, zone: &ZoneName) -> &ZoneFacts {
        self.zones.get(zone).unwrap_or(&ZoneFacts::NONE)
    }

    pub fn server(&self, server: ServerId) -> &ServerFacts {
        self.servers.get(&server).unwrap_or(&ServerFacts::NONE)
    }

    pub fn iter(&self) -> impl Iterator<Item = Fact> {
        let zones = self.zones.iter().flat_map(|(zone, facts)| facts.iter().map(|fact| Fact::Zone(zone.clone(), fact)));
        let servers = self.servers.iter().flat_map(|(id, facts)| facts.iter().map(|fact| Fact::Server(*id, fact)));
        self.cluster.iter().map(Fact::Cluster).chain(zones).chain(servers)
    }
}

impl FromIterator<Fact> for Facts {
    fn from_iter<T: IntoIterator<Item = Fact>>(facts: T) -> Self {
        let mut known = Self::default();
        known.extend(facts);
        known
    }
}

impl Extend<Fact> for Facts {
    fn extend<T: IntoIterator<Item = Fact>>(&mut self, facts: T) {
        facts.into_iter().for_each(|fact| self.record(fact));
    }
}

/// A context as people are shown it.
pub type Context = BTreeMap<ShownFact, String>;

/// Of which facts people are shown: those about a task's target, its zone and its cluster.
#[derive(Clone, Debug)]
pub struct ContextScope {
    cluster: ClusterId,
    zone: Option<ZoneName>,
    server: Option<ServerId>,
}

impl ContextScope {
    pub fn of(spec: &TaskSpec) -> Self {
        let server = match spec.target {
            TaskTarget::Server(server) => Some(server),
            TaskTarget::Zone(_) | TaskTarget::Cluster => None,
        };
        Self { cluster: spec.cluster.id, zone: spec.zone_of(&spec.target).cloned(), server }
    }

    /// What people are shown of these facts; the target's ids with the status that it had before.
    pub fn context(&self, facts: impl IntoIterator<Item = Fact>) -> Context {
        let shown = facts.into_iter().filter_map(|fact| match fact {
            Fact::Cluster(fact) => fact.shown(),
            Fact::Zone(zone, fact) => fact.shown().filter(|_| self.zone.as_ref() == Some(&zone)),
            Fact::Server(server, fact) => fact.shown().filter(|_| self.server == Some(server)),
        });
        let mut context: Context = shown.collect();
        let former_status = match (self.server, &self.zone) {
            (Some(_), _) => ShownFact::FormerServerStatus,
            (None, Some(_)) => ShownFact::FormerZoneStatus,
            (None, None) => ShownFact::FormerClusterStatus,
        };
        if context.contains_key(&former_status) {
            context.extend(self.ids());
        }
        context
    }

    fn ids(&self) -> impl Iterator<Item = (ShownFact, String)> {
        let zone = self.zone.as_ref().map(|zone| (ShownFact::ZoneName, zone.to_string()));
        let server = self.server.map(|server| (ShownFact::ServerId, server.to_string()));
        std::iter::once((ShownFact::ClusterId, self.cluster.to_string())).chain(zone).chain(server)
    }
}

impl Task {
    /// What people are shown of what it knows.
    pub fn context(&self) -> Context {
        let scope = ContextScope::of(&self.spec);
        let mut context = scope.context(self.facts.iter());
        context.extend(scope.ids());
        context
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_of_its_target_and_holds_what_people_are_shown() {
        let id = |id| ServerId::new(id).unwrap();
        let (cluster, zone) = (ClusterId::new(1).unwrap(), Some("zone1".parse().unwrap()));
        let of_server = ContextScope { cluster, zone, server: Some(id(2)) };
        let of_zone = ContextScope { server: None, ..of_server.clone() };
        let shown_of = |scope: &ContextScope, facts: Vec<Fact>| {
            let context = scope.context(facts);
            context.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
        };
        let shown = |facts| shown_of(&of_server, facts);
        let of = |server, fact| Fact::Server(id(server), fact);
        let stopped = ServerFact::FormerStatus(ServerStatus::Stopped);
        let marked = ServerFact::StopTimeBefore(Moment::NotSet);
        let process = ServerFact::ProcessBefore(ProcessBefore::NotSeen(ProcessState::Absent));
        assert_eq!(
            shown(vec![of(2, stopped.clone()), of(2, marked.clone()), of(2, process)]),
            "cluster_id=1 zone_name=zone1 server_id=2 former_server_status=STOPPED stop_time_before=not set"
        );
        assert_eq!(shown(vec![of(2, marked.clone())]), "stop_time_before=not set");
        assert_eq!(shown(vec![of(3, stopped.clone()), of(3, marked)]), "");
        let zone = Fact::Zone("zone1".parse().unwrap(), ZoneFact::FormerStatus(ZoneStatus::Running));
        assert_eq!(
            shown_of(&of_zone, vec![of(2, stopped), zone]),
            "cluster_id=1 former_zone_status=RUNNING zone_name=zone1"
        );
        let elsewhere = Fact::Zone("zone2".parse().unwrap(), ZoneFact::TargetStatus(ZoneStatus::Stopped));
        assert_eq!(
            shown(vec![elsewhere, Fact::Cluster(ClusterFact::State(ClusterState::Unknown))]),
            "cluster_state=UNKNOWN"
        );
    }
}
