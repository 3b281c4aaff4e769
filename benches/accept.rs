//! How many stops the service accepts over a wire, each recorded durably with its lock, its request and its audit record; beside it
//! an empty call of a bare tonic server, in the same run. Server and load are processes of their own. With `--replicas N`: so many
//! services on one MariaDB.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a measurement may stop where it is")]

#[path = "support/clusters.rs"]
mod clusters;
#[path = "support/load.rs"]
mod load;
#[path = "../tests/it/support/mariadb.rs"]
mod mariadb;
#[path = "support/server.rs"]
mod server;
#[path = "support/stores.rs"]
mod stores;
mod support;

use std::sync::Arc;
use std::time::Duration;

use load::{Load, run};
use obsteward::proto::v1;
use obsteward::proto::v1::ob_server_service_client::ObServerServiceClient;
use server::Server;
use stores::{Stores, amount};
use support::{PATIENCE, figure, millis, percentile, rate, rounded, syncs};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const CONNECTIONS: usize = 4;

fn main() {
    server::bare_tonic();
    syncs::count_from_here();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let stores = Stores::new().await;
        let loads = [(1, amount(2_000, 300)), (64, amount(15_000, 2_000)), (256, amount(20_000, 3_000))];
        let loads = loads.map(|(in_flight, count)| Load { in_flight, count });
        let clusters = loads.iter().map(|load| load.count).sum::<usize>().max(amount(50_000, 0));
        let store = stores.open_one().await;
        let servers = clusters::register(&*store, clusters).await;
        store.close().await;
        drop(store);
        let path = stores.directory.path();
        let services: Vec<Server> =
            stores.config().iter().map(|store| Server::obsteward(path, &clusters::config(store))).collect();
        let bare = Server::bare("--bare-tonic");
        let mut first = 0;
        for load in loads {
            let empty = empty_calls(&bare, load).await;
            let before = syncs::so_far();
            let targets = servers[first..first + load.count].to_vec();
            first += load.count;
            let (took, mut lasted) = accepted(&services, load, targets).await;
            let Load { in_flight, count } = load;
            let per_second = count as f64 / took.as_secs_f64();
            let mut values = Vec::from(stores.settings());
            values.extend([
                ("in_flight", in_flight.into()),
                ("clusters", clusters.into()),
                ("per_second", rate(count, took)),
                ("of_empty_call", rounded(per_second / empty, 3)),
                ("p50_ms", millis(percentile(&mut lasted, 0.5))),
                ("p99_ms", millis(percentile(&mut lasted, 0.99))),
                ("syncs_each", syncs::for_each(before, count)),
            ]);
            figure("accept", values);
        }
    });
}

/// Calls a second.
async fn empty_calls(bare: &Server, load: Load) -> f64 {
    let load = Load { count: load.count * 4, ..load };
    let channels = bare.channels(CONNECTIONS.min(load.in_flight)).await;
    let call = |channel, _| async {
        HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await.unwrap();
    };
    let (took, mut lasted) = run(load, channels, call).await;
    let values = [
        ("in_flight", load.in_flight.into()),
        ("per_second", rate(load.count, took)),
        ("p50_ms", millis(percentile(&mut lasted, 0.5))),
    ];
    figure("empty_call", values);
    load.count as f64 / took.as_secs_f64()
}

async fn accepted(services: &[Server], load: Load, targets: Vec<(i64, i64)>) -> (Duration, Vec<Duration>) {
    let mut channels = Vec::new();
    for service in services {
        channels.extend(service.channels(CONNECTIONS.min(load.in_flight)).await);
    }
    let targets = Arc::new(targets);
    let call = move |channel, number: usize| {
        let (cluster_id, server_id) = targets[number];
        async move {
            let request_id = uuid::Uuid::new_v4().to_string();
            let request = v1::StopServerRequest { cluster_id, server_id, request_id, ..Default::default() };
            ObServerServiceClient::new(channel).stop_server(request).await.unwrap();
        }
    };
    run(load, channels, call).await
}
