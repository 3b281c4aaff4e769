//! A store with many clusters that nobody answers for: whatever is asked of them waits.

use obsteward::clock::Clock;
use obsteward::domain::call::Call;
use obsteward::domain::ids::{ClusterIdentity, Principal};
use obsteward::domain::reason::Reason;
use obsteward::domain::status::{InnerStatus, ZoneInnerStatus};
use obsteward::store::inventory::{
    ClusterObservation, DefaultHost, NewCluster, RegisterOutcome, ServerObservation, ZoneObservation,
};
use obsteward::store::{AuditOutcome, AuditRecord, WholeStore};
use secrecy::SecretString;

/// Registered at the same time.
const AT_ONCE: usize = 256;

/// Registers so many; returns a server of each, as (cluster, server).
pub async fn register(store: &dyn WholeStore, count: usize) -> Vec<(i64, i64)> {
    use futures::StreamExt;

    let registered = futures::stream::iter(1..=count).map(async |number| {
        let new = cluster(i64::try_from(number).expect("a number"));
        let RegisterOutcome::Done(id) = store.register(new, audit()).await.expect("it registers") else {
            panic!("cluster {number} is not registered")
        };
        id
    });
    let ids: Vec<_> = registered.buffered(AT_ONCE).collect().await;
    let mut servers = Vec::with_capacity(count);
    for id in ids {
        let server = store.servers(id).await.expect("its servers").first().expect("a server").id;
        servers.push((id.get(), server.get()));
    }
    servers
}

/// Of a service on a store, as this section says, whose tasks ask once and then wait.
pub fn config(store: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[auth]\nenabled = false\n{store}[stop]\npoll_millis = 10000\n\
         [sync]\nenabled = false\n[limits]\nrequests_per_10_seconds = 0\n"
    )
}

fn audit() -> AuditRecord {
    AuditRecord {
        at: Clock::system().now(),
        principal: Principal::new("bench"),
        address: String::new(),
        call: Call::RegisterCluster,
        cluster: None,
        task: None,
        outcome: AuditOutcome::Accepted,
        target: String::new(),
        arguments: String::new(),
        reason: Reason::default(),
        trace_id: String::new(),
    }
}

fn cluster(number: i64) -> NewCluster {
    let now = Clock::system().now();
    let server = |server: u8| ServerObservation {
        addr: format!("127.255.0.{server}:2882").parse().expect("an address"),
        ob_server_id: i64::from(server),
        zone: format!("zone{server}").parse().expect("a zone"),
        sql_port: 1,
        inner_status: InnerStatus::Active,
        stop_time: None,
        start_service_time: Some(now),
        last_offline_time: None,
        with_rootserver: server == 1,
        build_version: "4.2.1.8".to_owned(),
    };
    let zone = |zone: u8| ZoneObservation {
        name: format!("zone{zone}").parse().expect("a name"),
        inner_status: ZoneInnerStatus::Active,
        region: "r".to_owned(),
        idc: "i".to_owned(),
    };
    NewCluster {
        id: None,
        identity: ClusterIdentity {
            name: format!("c{number}"),
            ob_cluster_id: number,
            fingerprint: number.to_string(),
        },
        endpoints: vec!["127.255.0.1:1".to_owned()],
        username: "root@sys".to_owned(),
        password: SecretString::from("s3cret"),
        default_host: DefaultHost::None,
        hosts: Vec::new(),
        server_ids: Vec::new(),
        observation: ClusterObservation {
            observed_at: now,
            zones: (1..=3).map(zone).collect(),
            servers: (1..=3).map(server).collect(),
            lease_time_micros: 10_000_000,
            permanent_offline_micros: 3_600_000_000,
        },
    }
}
