//! The inventory's part of the conformance suite.

use std::sync::Arc;

use obsteward::domain::ids::{ClusterId, ServerAddr, ServerId};
use obsteward::domain::status::{InnerStatus, ServerStatus, ZoneInnerStatus};
use obsteward::store::AuditRecord;
use obsteward::store::Write;
use obsteward::store::inventory::{
    ClusterChange, ClusterFilter, ClusterObservation, DefaultHost, DeregisterOutcome, HostRoute, NewCluster,
    RegisterOutcome, ServerObservation, ZoneObservation,
};
use secrecy::{ExposeSecret, SecretString};

use super::{Whole, append, at, audit, audits, commit, creation, identity, task_id};

fn server(number: u8, ob_server_id: i64) -> ServerObservation {
    ServerObservation {
        addr: format!("10.0.0.{number}:2882").parse().unwrap(),
        ob_server_id,
        zone: format!("zone{number}").parse().unwrap(),
        sql_port: 2881,
        inner_status: InnerStatus::Active,
        stop_time: None,
        start_service_time: Some(at(-60)),
        last_offline_time: None,
        with_rootserver: number == 1,
        build_version: "4.2.1.8".to_owned(),
    }
}

fn zone(number: u8) -> ZoneObservation {
    let name = format!("zone{number}").parse().unwrap();
    ZoneObservation { name, inner_status: ZoneInnerStatus::Active, region: "r".to_owned(), idc: "i".to_owned() }
}

fn observation() -> ClusterObservation {
    ClusterObservation {
        observed_at: at(0),
        zones: vec![zone(1), zone(2), zone(3)],
        servers: vec![server(3, 3), server(1, 1), server(2, 2)],
        lease_time_micros: 10_000_000,
        permanent_offline_micros: 3_600_000_000,
    }
}

pub fn cluster(number: i64) -> NewCluster {
    NewCluster {
        id: None,
        identity: identity(number),
        endpoints: vec!["10.0.0.1:2881".to_owned()],
        username: "root@sys".to_owned(),
        password: SecretString::from("s3cret"),
        default_host: DefaultHost::Grpc { port: 2890 },
        hosts: vec![("10.0.0.2".to_owned(), HostRoute::Grpc { address: "h2:2890".to_owned() })],
        server_ids: Vec::new(),
        observation: observation(),
    }
}

fn id(id: i64) -> ClusterId {
    ClusterId::new(id).unwrap()
}

pub async fn a_cluster_is_registered_once_with_ids_that_read_well(store: Arc<dyn Whole>) {
    assert_eq!(store.register(cluster(1), audit()).await.unwrap(), RegisterOutcome::Done(id(1)));
    assert_eq!(store.register(cluster(1), audit()).await.unwrap(), RegisterOutcome::AlreadyRegistered(id(1)));
    assert_eq!(audits(&*store).await, [AuditRecord { cluster: Some(id(1)), ..audit() }]);
    let row = store.cluster(id(1)).await.unwrap().unwrap();
    assert_eq!((row.identity, row.endpoints), (identity(1), vec!["10.0.0.1:2881".to_owned()]));
    assert_eq!((row.password.expose_secret(), row.default_host), ("s3cret", DefaultHost::Grpc { port: 2890 }));
    assert_eq!((row.lease_time_micros, row.observed_at), (10_000_000, Some(at(0))));
    let servers = store.servers(id(1)).await.unwrap();
    let ids: Vec<_> = servers.iter().map(|server| (server.id.get(), server.zone.as_str())).collect();
    assert_eq!(ids, [(1, "zone1"), (2, "zone2"), (3, "zone3")]);
    assert_eq!(store.zones(id(1)).await.unwrap().len(), 3);
    let hosts = store.hosts(id(1)).await.unwrap();
    assert_eq!(hosts, [("10.0.0.2".to_owned(), HostRoute::Grpc { address: "h2:2890".to_owned() })]);
    assert_eq!(store.cluster_of(&identity(1).key()).await.unwrap().unwrap().id, id(1));
    assert!(store.lock(&identity(1).key()).await.unwrap().unwrap().holder.is_none());
    store.register(cluster(2), audit()).await.unwrap();
    let all = store.clusters(&ClusterFilter::every(), None, 10).await.unwrap();
    assert_eq!(all.iter().map(|row| row.id.get()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(
        store
            .clusters(&ClusterFilter { name: Some("c2".to_owned()), ..ClusterFilter::every() }, None, 10)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(store.clusters(&ClusterFilter::every(), Some(id(2)), 10).await.unwrap().len(), 0);
}

pub async fn chosen_ids_are_kept_apart_from_counted_ones(store: Arc<dyn Whole>) {
    let addr: ServerAddr = "10.0.0.3:2882".parse().unwrap();
    // The last server gets the id that the counter would have given to the first.
    let chosen = NewCluster {
        id: Some(id(9_007_199_254_740_991)),
        server_ids: vec![(addr, ServerId::new(1).unwrap())],
        ..cluster(1)
    };
    assert!(matches!(store.register(chosen.clone(), audit()).await.unwrap(), RegisterOutcome::Done(_)));
    let servers = store.servers(id(9_007_199_254_740_991)).await.unwrap();
    let ids: Vec<_> = servers.iter().map(|server| (server.id.get(), server.zone.as_str())).collect();
    assert_eq!(ids, [(1, "zone3"), (2, "zone1"), (3, "zone2")]);
    assert_eq!(store.register(cluster(2), audit()).await.unwrap(), RegisterOutcome::Done(id(1)));
    let taken = NewCluster { id: Some(id(1)), ..cluster(3) };
    assert_eq!(store.register(taken, audit()).await.unwrap(), RegisterOutcome::IdTaken { what: "cluster", id: 1 });
    let taken = NewCluster { id: None, identity: identity(3), ..chosen };
    assert_eq!(store.register(taken, audit()).await.unwrap(), RegisterOutcome::IdTaken { what: "server", id: 1 });
    assert_eq!(audits(&*store).await.len(), 2);
}

pub async fn an_observation_says_what_changed_and_leaves_managed_columns(store: Arc<dyn Whole>) {
    store.register(cluster(1), audit()).await.unwrap();
    assert_eq!(
        store.observe(id(1), ClusterObservation { observed_at: at(5), ..observation() }, None).await.unwrap(),
        [""; 0]
    );
    commit(&*store, creation(100, 1)).await;
    let mut managed = append(100, 2, 1, "a");
    managed.writes =
        vec![Write::ServerStatus { server: ServerId::new(1).unwrap(), status: Some(ServerStatus::Stopping) }];
    commit(&*store, managed).await;
    let mut next = observation();
    next.zones.pop();
    next.servers = vec![server(1, 1), server(2, 7)];
    next.servers[0].inner_status = InnerStatus::Inactive;
    next.servers[0].stop_time = Some(at(1));
    let changes = store.observe(id(1), next, None).await.unwrap();
    let expected = [
        "zone zone3 is gone",
        "server zone2 10.0.0.2:2882 is gone",
        "server zone3 10.0.0.3:2882 is gone",
        "server zone1 10.0.0.1:2882: STATUS is INACTIVE, was ACTIVE",
        "server zone1 10.0.0.1:2882: STOP_TIME is 2026-01-02T00:00:01.000Z, was unset",
        "server zone2 10.0.0.2:2882 is new, with id 4",
    ];
    assert_eq!(changes, expected);
    let servers = store.servers(id(1)).await.unwrap();
    assert_eq!(servers[0].managed_status, Some(ServerStatus::Stopping));
    assert_eq!((servers[1].id.get(), servers[1].ob_server_id), (4, 7));
    store.observe_failed(id(1), at(9), "connection refused".to_owned()).await.unwrap();
    assert_eq!(store.cluster(id(1)).await.unwrap().unwrap().sync_error, "connection refused");
    // Who asked for a reading is recorded with it; a round that nobody asked for is not.
    let before = audits(&*store).await.len();
    store.observe(id(1), observation(), None).await.unwrap();
    assert_eq!(audits(&*store).await.len(), before);
    store.observe(id(1), observation(), Some(audit())).await.unwrap();
    assert_eq!(audits(&*store).await.len(), before + 1);
    assert_eq!(store.cluster(id(1)).await.unwrap().unwrap().sync_error, "");
}

pub async fn a_held_cluster_is_not_forgotten_and_a_fence_never_goes_back(store: Arc<dyn Whole>) {
    store.register(cluster(1), audit()).await.unwrap();
    commit(&*store, creation(100, 1)).await;
    assert_eq!(store.deregister(id(1), audit()).await.unwrap(), DeregisterOutcome::Held { task: task_id(100) });
    assert_eq!(audits(&*store).await.len(), 2);
    let task = store.task(task_id(100)).await.unwrap().unwrap().task;
    commit(&*store, super::closing(&task)).await;
    assert_eq!(store.deregister(id(1), audit()).await.unwrap(), DeregisterOutcome::Done);
    assert_eq!(store.deregister(id(1), audit()).await.unwrap(), DeregisterOutcome::NotFound);
    assert_eq!(audits(&*store).await.len(), 3);
    assert!(store.cluster(id(1)).await.unwrap().is_none());
    assert!(store.servers(id(1)).await.unwrap().is_empty());
    assert_eq!(store.lock(&identity(1).key()).await.unwrap().unwrap().fence.get(), 1);
    assert!(store.task(task_id(100)).await.unwrap().is_some());
    assert_eq!(store.register(cluster(1), audit()).await.unwrap(), RegisterOutcome::Done(id(2)));
}

pub async fn people_change_what_is_theirs(store: Arc<dyn Whole>) {
    store.register(cluster(1), audit()).await.unwrap();
    let hosts = vec![
        ("10.0.0.1".to_owned(), HostRoute::Local),
        ("10.0.0.2".to_owned(), HostRoute::Ssh("admin@[fd00::2]:22".parse().unwrap())),
        ("10.0.0.3".to_owned(), HostRoute::Ssh("db-3".parse().unwrap())),
        ("10.0.0.4".to_owned(), HostRoute::None),
    ];
    let change = ClusterChange {
        password: Some(SecretString::from("new")),
        hosts: Some(hosts.clone()),
        default_host: Some(DefaultHost::Ssh("admin@:22".parse().unwrap())),
        ..ClusterChange::default()
    };
    assert!(store.update(id(1), change.clone(), audit()).await.unwrap());
    assert!(!store.update(id(2), change, audit()).await.unwrap());
    let row = store.cluster(id(1)).await.unwrap().unwrap();
    assert_eq!((row.password.expose_secret(), row.username.as_str()), ("new", "root@sys"));
    assert_eq!(row.default_host, DefaultHost::Ssh("admin@:22".parse().unwrap()));
    assert_eq!(store.hosts(id(1)).await.unwrap(), hosts);
    assert_eq!(audits(&*store).await.len(), 2);
    for default_host in [DefaultHost::Ssh("".parse().unwrap()), DefaultHost::None, DefaultHost::Local] {
        let change = ClusterChange { default_host: Some(default_host.clone()), ..ClusterChange::default() };
        assert!(store.update(id(1), change, audit()).await.unwrap());
        assert_eq!(store.cluster(id(1)).await.unwrap().unwrap().default_host, default_host);
    }
}
