//! How soon the service answers behind a start: with tasks that an earlier life left open, and with many that are closed.
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
#[path = "support/tasks.rs"]
mod tasks;

use std::time::Duration;

use futures::StreamExt;
use load::{Load, run};
use obsteward::clock::Clock;
use obsteward::domain::ids::Principal;
use obsteward::engine::WriteOutcome;
use obsteward::proto::v1;
use obsteward::proto::v1::ob_server_service_client::ObServerServiceClient;
use obsteward::proto::v1::task_service_client::TaskServiceClient;
use obsteward::store::{Author, Write};
use server::Server;
use stores::{Stores, amount};
use support::{PATIENCE, figure, millis, now};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        open(1_000).await;
        closed(amount(100_000, 5_000)).await;
    });
}

/// Accepted by a life of the service that is killed.
async fn open(count: usize) {
    let stores = Stores::new().await;
    let store = stores.open_one().await;
    let servers = clusters::register(&*store, count).await;
    store.close().await;
    drop(store);
    let path = stores.directory.path();
    let config = clusters::config(&stores.config()[0]);
    let service = Server::obsteward(path, &config);
    let channels = service.channels(4).await;
    let call = move |channel, number: usize| {
        let (cluster_id, server_id) = servers[number];
        async move {
            let request = v1::StopServerRequest { cluster_id, server_id, ..Default::default() };
            ObServerServiceClient::new(channel).stop_server(request).await.unwrap();
        }
    };
    run(Load { in_flight: 64, count }, channels, call).await;
    service.kill();
    started("open", count, &stores, &config).await;
}

async fn closed(count: usize) {
    let (stores, clock) = (Stores::new().await, Clock::system());
    let store = stores.open_one().await;
    let engine = tasks::engine(&store, &clock).await;
    let ids = u32::try_from(tasks::STEPS + 1).unwrap();
    let each = futures::stream::iter(1..=i64::try_from(count).unwrap()).for_each_concurrent(256, async |cluster| {
        let spec = tasks::spec(store.reserve_ids(ids).await.unwrap(), cluster, &clock);
        let writes = vec![Write::AcquireLock { cluster: spec.cluster.key.clone() }];
        let author = Author::Request { principal: Principal::new("bench"), nonce: spec.id.to_string() };
        let lease = engine.lease();
        let WriteOutcome::Done { task, fence, .. } = engine.create(clock.now(), spec, author, writes).await.unwrap()
        else {
            panic!("not created")
        };
        engine.begin(task, fence, lease);
    });
    each.await;
    while engine.running() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    engine.shut_down().await;
    store.close().await;
    started("closed", count, &stores, &clusters::config(&stores.config()[0])).await;
}

/// From the start of the process to the first answer.
async fn started(of: &str, count: usize, stores: &Stores, config: &str) {
    let begun = now();
    let service = Server::obsteward(stores.directory.path(), config);
    let mut client = TaskServiceClient::new(service.channels(1).await.remove(0));
    let list = |states: Vec<i32>| v1::ListTasksRequest { states, page_size: 1, ..Default::default() };
    client.list_tasks(list(Vec::new())).await.unwrap();
    let answered = begun.elapsed();
    figure("start", [("tasks", count.into()), ("they_are", of.into()), ("first_answer_ms", millis(answered))]);
}
