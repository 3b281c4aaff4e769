//! How many stops the REST gateway accepts from users with a password, each on the disk; beside it an empty answer of a
//! bare axum server, in the same run. Server and load are processes of their own.
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

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use load::{Load, run};
use server::Server;
use stores::{Stores, amount};
use support::{PATIENCE, figure, millis, percentile, rate, rounded, syncs};
use tokio::sync::Mutex;

/// `admin:a-password-of-16`
const AUTHORIZATION: &str = "Basic YWRtaW46YS1wYXNzd29yZC1vZi0xNg==";
const USER: &str = "[auth]\nenabled = true\n[[auth.users]]\nname = \"admin\"\nroles = [\"ADMIN\"]\n";

/// One for each caller.
type Connection = Arc<Mutex<SendRequest<Full<Bytes>>>>;

fn main() {
    server::bare_axum();
    syncs::count_from_here();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let load = Load { in_flight: 64, count: amount(15_000, 2_000) };
        let stores = Stores::new().await;
        let store = stores.open_one().await;
        let servers = clusters::register(&*store, load.count).await;
        store.close().await;
        drop(store);
        let path = stores.directory.path();
        std::fs::write(path.join("password"), "a-password-of-16").unwrap();
        let user = format!("{USER}password_file = {:?}\n", path.join("password"));
        let config = clusters::config(&stores.config()[0]).replace("[auth]\nenabled = false\n", &user);
        let service = Server::obsteward(path, &format!("{config}[rest]\nlisten = \"127.0.0.1:0\"\n"));
        let (bare, connections) = (Server::bare("--bare-axum"), connect(service.rest(), load.in_flight).await);
        // The first proof of a password takes as long as its hash does.
        asked(&connections[0], Method::GET, "/api/v2/ob/clusters?size=1").await;
        let nothing = Load { count: load.count * 4, ..load };
        let call = |connection: Connection, _| async move { asked(&connection, Method::GET, "/").await };
        let (took, _) = run(nothing, connect(&bare.address, load.in_flight).await, call).await;
        let empty = nothing.count as f64 / took.as_secs_f64();
        figure("empty_request", [("in_flight", load.in_flight.into()), ("per_second", rate(nothing.count, took))]);
        let before = syncs::so_far();
        let servers = Arc::new(servers);
        let call = move |connection: Connection, number: usize| {
            let (cluster, server) = servers[number];
            async move {
                let path = format!("/api/v2/ob/clusters/{cluster}/servers/{server}/stop");
                asked(&connection, Method::POST, &path).await;
            }
        };
        let (took, mut lasted) = run(load, connections, call).await;
        let values = [
            ("in_flight", load.in_flight.into()),
            ("per_second", rate(load.count, took)),
            ("of_empty_request", rounded(load.count as f64 / took.as_secs_f64() / empty, 3)),
            ("p50_ms", millis(percentile(&mut lasted, 0.5))),
            ("p99_ms", millis(percentile(&mut lasted, 0.99))),
            ("syncs_each", syncs::for_each(before, load.count)),
        ];
        figure("rest", values);
    });
}

async fn connect(address: &str, count: usize) -> Vec<Connection> {
    let mut connections = Vec::new();
    for _ in 0..count {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        connections.push(Arc::new(Mutex::new(sender)));
    }
    connections
}

async fn asked(connection: &Connection, method: Method, path: &str) {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    let request = request.header("authorization", AUTHORIZATION).body(Full::default()).unwrap();
    let mut connection = connection.lock().await;
    connection.ready().await.unwrap();
    let answer = connection.send_request(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
}
