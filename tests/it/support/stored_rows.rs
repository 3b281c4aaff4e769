//! Users, roles, clusters and servers that tests begin with, and the audit log of what came later.

use futures::future::join_all;
use obsteward::clock::Timestamp;
use obsteward::domain::call::Call;
use obsteward::domain::ids::{ClusterId, ClusterIdentity, Principal, RoleName, ServerAddr, ServerId, UserId};
use obsteward::domain::reason::Reason;
use obsteward::domain::status::{InnerStatus, ZoneInnerStatus};
use obsteward::store::access::{AccessChange, AccessChangeOutcome, AccessStore, AuditFilter, NewUser};
use obsteward::store::inventory::{
    ClusterObservation, DefaultHost, InventoryStore, NewCluster, RegisterOutcome, ServerObservation, ZoneObservation,
};
use obsteward::store::{AuditOutcome, AuditRecord};
use secrecy::SecretString;

use crate::support::stored_tasks::cluster_id;
use crate::support::temporary_store::{TemporaryStore, block_on};

/// Whose doing it is what a test begins with.
const BEGINNING: &str = "beginning";

/// A version as an observer says it.
pub const BUILD_VERSION: &str = "4.2.1.8_108000022024072217-b4e5b2e(Jul 22 2024 17:36:02)";

/// A record of a change that is no use case.
pub fn audit(principal: &str) -> AuditRecord {
    AuditRecord {
        at: Timestamp::from_micros(1_000_000),
        principal: Principal::new(principal),
        address: String::new(),
        call: Call::UpdateUser,
        target: String::new(),
        cluster: None,
        task: None,
        arguments: String::new(),
        reason: Reason::default(),
        outcome: AuditOutcome::Accepted,
        trace_id: String::new(),
    }
}

/// A user without anything.
pub fn new_user(name: &str) -> NewUser {
    let (password_hash, roles, certificate_names) = (None, Vec::new(), Vec::new());
    NewUser { id: None, name: Principal::new(name), password_hash, roles, certificate_names }
}

pub fn disable(user: i64) -> AccessChange {
    let user = UserId::new(user).unwrap();
    AccessChange::UpdateUser { user, roles: None, certificate_names: None, disabled: Some(true) }
}

/// Users of these names, each with one role of these permissions (none: no role), and ids from 1001.
pub fn users(users: &[(&str, &[&str])]) -> Vec<AccessChange> {
    let mut changes = Vec::new();
    for (number, (name, permissions)) in users.iter().enumerate() {
        let role: RoleName = format!("ROLE_{number}").parse().unwrap();
        let mut user = new_user(name);
        if !permissions.is_empty() {
            let permissions = permissions.iter().map(|text| text.parse().unwrap()).collect();
            changes.push(AccessChange::CreateRole { name: role.clone(), permissions });
            user.roles.push(role);
        }
        changes.push(AccessChange::CreateUser(user));
    }
    changes
}

/// Clusters are named ob1, ob2…, but 20 is that of OCP's samples.
pub fn identity(cluster: ClusterId) -> ClusterIdentity {
    let (name, ob_cluster_id) =
        if cluster.get() == 20 { ("ob_upgrade".to_owned(), 20) } else { (format!("ob{cluster}"), 1) };
    ClusterIdentity { name, ob_cluster_id, fingerprint: "x".to_owned() }
}

/// With servers 7, 8 and 9 in cluster 1, 17… in cluster 2, but 1, 2 and 3 in cluster 20; all of them serve. Those of cluster 3
/// have stopped.
pub fn new_cluster(id: i64) -> NewCluster {
    let addr = |number: i64| ServerAddr::new(format!("10.0.{id}.{number}").parse().unwrap(), 2882).unwrap();
    let servers = (7..=9).map(|number| ServerObservation {
        addr: addr(number),
        ob_server_id: 1,
        zone: "zone1".parse().unwrap(),
        sql_port: 2881,
        inner_status: InnerStatus::Active,
        stop_time: (id == 3).then(|| Timestamp::from_micros(5_000_001)),
        start_service_time: Some(Timestamp::from_micros(1)),
        last_offline_time: None,
        with_rootserver: true,
        build_version: BUILD_VERSION.to_owned(),
    });
    let server_id = |number: i64| if id == 20 { number - 6 } else { (id - 1) * 10 + number };
    let zone = ZoneObservation {
        name: "zone1".parse().unwrap(),
        inner_status: ZoneInnerStatus::Active,
        region: "r".to_owned(),
        idc: "i".to_owned(),
    };
    NewCluster {
        id: Some(cluster_id(id)),
        identity: identity(cluster_id(id)),
        endpoints: vec!["10.0.0.2:2881".to_owned()],
        username: "root@sys".to_owned(),
        password: SecretString::from("geheim"),
        default_host: DefaultHost::None,
        hosts: Vec::new(),
        server_ids: (7..=9).map(|number| (addr(number), ServerId::new(server_id(number)).unwrap())).collect(),
        observation: ClusterObservation {
            observed_at: Timestamp::from_micros(6_000_000),
            zones: vec![zone],
            servers: servers.collect(),
            lease_time_micros: 0,
            permanent_offline_micros: 0,
        },
    }
}

impl TemporaryStore {
    /// With what a test begins with, in the order given.
    pub async fn with(access: Vec<AccessChange>, clusters: impl IntoIterator<Item = NewCluster>) -> Self {
        let store = Self::new();
        let changed = access.into_iter().map(|change| store.real.change_access(change, audit(BEGINNING), 0));
        let registered = clusters.into_iter().map(|cluster| store.real.register(cluster, audit(BEGINNING)));
        // At once, so that they are written at once.
        let (changed, registered) = futures::join!(join_all(changed), join_all(registered));
        assert!(changed.iter().all(|one| matches!(one, Ok(Some(AccessChangeOutcome::Done)))), "{changed:?}");
        assert!(registered.iter().all(|one| matches!(one, Ok(RegisterOutcome::Done(_)))), "{registered:?}");
        store
    }

    /// What was asked for since, oldest first.
    pub fn records(&self) -> Vec<AuditRecord> {
        let all = block_on(self.real.audit_records(&AuditFilter::default(), None, u32::MAX)).unwrap();
        let records = all.into_iter().rev().map(|stored| stored.record);
        records.filter(|record| record.principal.as_str() != BEGINNING).collect()
    }

    /// The same, as `principal call target: outcome`.
    pub fn told(&self) -> Vec<String> {
        let told = |record: AuditRecord| {
            let outcome = match &record.outcome {
                AuditOutcome::Accepted => "ACCEPTED",
                AuditOutcome::Refused { reason } => reason.as_str(),
            };
            format!("{} {} {}: {outcome}", record.principal, record.call, record.target)
        };
        self.records().into_iter().map(told).collect()
    }
}
