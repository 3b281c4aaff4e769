//! Servers, clusters and plans as the gRPC face shows them.

use obsteward::api::grpc::encode;
use obsteward::clock::Timestamp;
use obsteward::domain::ids::{ClusterIdentity, ServerId};
use obsteward::domain::reading::Unreadable;
use obsteward::domain::status::{ClusterStatus, InnerStatus, OverriddenBy, ServerStatus, ZoneInnerStatus, ZoneStatus};
use obsteward::proto::v1;
use obsteward::service::views::{AssessedCheck, CheckVerdict, ClusterView, ProcessView, ServerView, StopPlanView};
use obsteward::store::inventory::{ClusterRow, DefaultHost, HostRoute, ServerRow, ZoneRow};
use secrecy::SecretString;

use crate::support::stored_rows::BUILD_VERSION;
use crate::support::stored_tasks::{cluster_id, task_id};

fn server_view(id: i64) -> ServerView {
    ServerView {
        row: ServerRow {
            id: ServerId::new(id).unwrap(),
            cluster: cluster_id(1),
            addr: "10.0.0.2:2882".parse().unwrap(),
            ob_server_id: 1,
            zone: "zone1".parse().unwrap(),
            sql_port: 2881,
            managed_status: None,
            inner_status: InnerStatus::Active,
            stop_time: Some(Timestamp::from_micros(5_000_001)),
            start_service_time: Some(Timestamp::from_micros(1)),
            last_offline_time: None,
            with_rootserver: true,
            build_version: "4.2.1.8".to_owned(),
            observed_at: Timestamp::from_micros(6_000_000),
        },
        status: ServerStatus::Stopped,
        process: ProcessView::Running { pid: 77 },
        leaders: None,
        permanent_offline_at: None,
        held_until: None,
        not_safe_reason: Some("its process runs".to_owned()),
        operating_task: Some(task_id(4)),
    }
}

fn cluster_view(id: i64) -> ClusterView {
    let zone = ZoneRow {
        name: "zone1".parse().unwrap(),
        inner_status: ZoneInnerStatus::Active,
        region: "r".to_owned(),
        idc: "i".to_owned(),
        managed_status: None,
    };
    ClusterView {
        row: ClusterRow {
            id: cluster_id(id),
            identity: ClusterIdentity { name: "obtest".to_owned(), ob_cluster_id: 9, fingerprint: "f".to_owned() },
            endpoints: vec!["10.0.0.2:2881".to_owned()],
            username: "root@sys".to_owned(),
            password: SecretString::from("geheim"),
            default_host: DefaultHost::None,
            managed_status: None,
            observed_at: None,
            sync_error: String::new(),
            lease_time_micros: 0,
            permanent_offline_micros: 0,
        },
        status: ClusterStatus::Running,
        zones: vec![(zone, ZoneStatus::Running)],
        hosts: vec![("10.0.0.2".to_owned(), HostRoute::Grpc { address: "10.0.0.2:2890".to_owned() })],
        operating_task: None,
        server_count: 3,
        version: BUILD_VERSION.to_owned(),
    }
}

#[test]
fn servers_clusters_and_plans_are_shown() {
    let shown = encode::server(&server_view(7));
    assert_eq!((shown.status(), shown.inner_status()), (v1::ServerStatus::Stopped, v1::ServerInnerStatus::Active));
    assert_eq!(shown.service_state(), v1::ServiceState::Stopped);
    assert_eq!((shown.process_state(), shown.pid), (v1::ProcessState::Running, Some(77)));
    assert_eq!((shown.leader_count, shown.operating_task_id), (None, Some(4)));
    assert!(!shown.safe_to_power_off && shown.not_safe_reason == "its process runs");
    assert_eq!(shown.stop_time, Some(prost_types::Timestamp { seconds: 5, nanos: 1000 }));

    let plan = encode::plan(StopPlanView {
        cluster: cluster_id(1),
        server: Some((ServerId::new(7).unwrap(), "10.0.0.2:2882".parse().unwrap())),
        zone: Some("zone1".parse().unwrap()),
        allowed: false,
        checks: vec![AssessedCheck {
            name: "LOG_IN_SYNC".to_owned(),
            verdict: CheckVerdict::Block,
            evidence: "replica lags".to_owned(),
            remedy: "wait".to_owned(),
            overridden_by: Some(OverriddenBy::Force),
            overridden: false,
            root_service_words: None,
            retriable: false,
        }],
        leader_moves: vec![(1002, "t1".to_owned(), 4)],
        failures_tolerated_after: Some(0),
        observed_at: Timestamp::from_micros(1),
        clients: vec![("10.0.0.2:2882".parse().unwrap(), Err(Unreadable::new("it is silent")))],
    });
    assert_eq!((plan.clients[0].not_known_reason.as_str(), plan.clients[0].tenants.len()), ("it is silent", 0));
    assert_eq!((plan.allowed, plan.checks[0].verdict()), (false, v1::Verdict::Block));
    assert_eq!(plan.leader_moves[0].leaders, 4);

    let cluster = encode::cluster(&cluster_view(1));
    assert_eq!((cluster.name.as_str(), cluster.server_count, cluster.zones.len()), ("obtest", 3, 1));
    assert_eq!(cluster.hosts[0].transport(), v1::HostTransport::Grpc);
}
