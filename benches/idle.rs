//! What the service takes while nothing happens: with many clusters and many watchers, and behind a burst of watchers that are gone.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a measurement may stop where it is")]

#[path = "support/clusters.rs"]
mod clusters;
#[path = "../tests/it/support/mariadb.rs"]
mod mariadb;
#[path = "support/server.rs"]
mod server;
#[path = "support/stores.rs"]
mod stores;
mod support;

use std::time::Duration;

use obsteward::proto::v1;
use obsteward::proto::v1::task_service_client::TaskServiceClient;
use server::Server;
use stores::{Stores, amount};
use support::{PATIENCE, figure, quick, rounded};
use tonic::Streaming;

/// Streams that one connection may have.
const PER_CONNECTION: usize = 1_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let stores = Stores::new().await;
        let store = stores.open_one().await;
        let clusters = amount(10_000, 1_000);
        clusters::register(&*store, clusters).await;
        store.close().await;
        drop(store);
        let config =
            clusters::config(&stores.config()[0]).replace("[limits]\n", "[limits]\nwatches_per_principal = 20000\n");
        let service = Server::obsteward(stores.directory.path(), &config);
        let (fresh, _) = service.used();
        figure("fresh", [("clusters", clusters.into()), ("mib", rounded(fresh, 1))]);

        let burst = amount(5_000, 1_000);
        drop(watchers(&service, burst).await);
        let pause = Duration::from_secs(if quick() { 10 } else { 60 });
        tokio::time::sleep(pause).await;
        let (mib, _) = service.used();
        let values = [("watchers", burst.into()), ("seconds_since", pause.as_secs().into()), ("mib", rounded(mib, 1))];
        figure("behind_a_burst", values);

        let count = amount(10_000, 1_000);
        let watching = watchers(&service, count).await;
        let (_, before) = service.used();
        let time = Duration::from_secs(if quick() { 5 } else { 30 });
        tokio::time::sleep(time).await;
        let (mib, after) = service.used();
        let values = [
            ("clusters", clusters.into()),
            ("watchers", count.into()),
            ("mib", rounded(mib, 1)),
            ("of_a_core", rounded((after - before) / time.as_secs_f64(), 4)),
        ];
        figure("idle", values);
        drop(watching);
    });
}

/// Of every task, and of what begins.
async fn watchers(service: &Server, count: usize) -> Vec<Streaming<v1::WatchTasksResponse>> {
    let mut watching = Vec::with_capacity(count);
    for channel in service.channels(count.div_ceil(PER_CONNECTION)).await {
        for _ in 0..PER_CONNECTION.min(count - watching.len()) {
            let mut client = TaskServiceClient::new(channel.clone());
            watching.push(client.watch_tasks(v1::WatchTasksRequest::default()).await.unwrap().into_inner());
        }
    }
    watching
}
