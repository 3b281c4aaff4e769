//! The service over a real OceanBase engine. It is one process and no cluster, so a front stands before it for each of three
//! observers (`real_engine/fronts.rs`), and the views of a cluster that it lacks are made in it (`real_engine/cluster.sql`).
//! What the simulated cluster cannot show is judged here by the engine itself: whether it understands each of our
//! statements, the types, collations and time zone of what it answers, login names, session variables, KILL.
//!
//! `scripts/test` fetches the engine and runs these tests as a lane of their own, one after the other.

mod cluster;
pub mod engine;
mod fronts;
mod wire;

use std::net::Ipv4Addr;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use obsteward::clock::{Clock, monotonic_now};
use obsteward::proto::v1;
use obsteward::sim::NetClaim;

use self::cluster::Cluster;
use self::engine::Engine;
use crate::support::{Clients, PATIENCE, assert_unbroken, task_error};

const UNDERSTOOD: u16 = 4016;

#[tokio::test]
#[ignore = "needs a real OceanBase engine; the lane of scripts/test runs it"]
async fn the_engine_listens_on_loopback_only() {
    let net = NetClaim::any().unwrap();
    let engine = Engine::start(engine::Release::OfCluster, net.address(250), "alone").await;
    let [a, b, c, d] = engine_ip(&engine).octets();
    // The address as /proc writes it, and the port.
    let wanted = format!("tcp {d:02X}{c:02X}{b:02X}{a:02X}:{:04X}", engine.address.port());
    assert!(engine_ip(&engine).is_loopback());
    assert_eq!(engine.listeners(), [wanted]);
}

fn engine_ip(engine: &Engine) -> Ipv4Addr {
    match engine.address.ip() {
        std::net::IpAddr::V4(ip) => ip,
        std::net::IpAddr::V6(ip) => panic!("{ip}"),
    }
}

/// Everything is read as the engine writes it, a stop of the service leaves leaders and marks as they should be, a start
/// takes them back, and no statement is strange to the engine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real OceanBase engine; the lane of scripts/test runs it"]
async fn a_cluster_is_registered_and_the_service_of_a_server_stopped_and_started() {
    let cluster = Cluster::start().await;
    let service = cluster.serve();
    let clients = &service.clients;
    let id = cluster.register(clients).await.id;
    let servers = clients.list_servers(id).await;
    let zones: Vec<_> = servers.iter().map(|one| (one.zone.as_str(), one.status())).collect();
    let running = v1::ServerStatus::Running;
    assert_eq!(zones, [("zone1", running), ("zone2", running), ("zone3", running)]);
    let request = service_only(cluster.request(clients, id, 2).await);
    let plan = plan(clients, &request).await;
    let warned: Vec<&str> = plan
        .checks
        .iter()
        .filter(|check| check.verdict() > v1::Verdict::Info)
        .map(|check| check.name.as_str())
        .collect();
    assert!(plan.allowed && warned == ["FAILURES_TOLERATED"], "{plan:#?}");
    cluster.assert_understood();

    let task = clients.stop_with(request.clone()).await.unwrap();
    let task = clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    let addr = format!("{}:2882", cluster.ip(2));
    let stop = format!("ALTER SYSTEM STOP SERVER '{addr}' ZONE 'zone2'");
    let said: Vec<(String, u16)> = cluster.fronts.judged().into_iter().map(|one| (one.sql, one.verdict)).collect();
    assert_eq!(said, [(stop.clone(), UNDERSTOOD)]);
    assert_eq!(cluster.fronts.told(), [Duration::from_secs(cluster.config.stop.effect_timeout_seconds)]);
    let server = clients.get_server(id, request.server_id).await;
    assert_eq!(server.service_state(), v1::ServiceState::Stopped, "{server:#?}");
    // The engine's own time zone is +08:00.
    let stopped_ago = Clock::system().now().as_micros() / 1_000_000 - server.stop_time.unwrap().seconds;
    assert!((0..60).contains(&stopped_ago), "stopped {stopped_ago} s ago");

    let start = v1::StartServerRequest { cluster_id: id, server_id: request.server_id, ..Default::default() };
    let task = clients.servers.clone().start_server(start).await.unwrap().into_inner().task.unwrap();
    let task = clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    let said: Vec<(String, u16)> = cluster.fronts.judged().into_iter().map(|one| (one.sql, one.verdict)).collect();
    assert_eq!(said, [(stop, UNDERSTOOD), (format!("ALTER SYSTEM START SERVER '{addr}' ZONE 'zone2'"), UNDERSTOOD)]);
    let server = clients.get_server(id, request.server_id).await;
    assert_eq!((server.service_state(), server.stop_time), (v1::ServiceState::Serving, None), "{server:#?}");
    cluster.assert_understood();
}

fn service_only(request: v1::StopServerRequest) -> v1::StopServerRequest {
    v1::StopServerRequest { r#type: v1::StopType::Service as i32, ..request }
}

async fn plan(clients: &Clients, request: &v1::StopServerRequest) -> v1::StopPlan {
    let v1::StopServerRequest { cluster_id, server_id, r#type, .. } = *request;
    let request = v1::PlanStopServerRequest { cluster_id, server_id, r#type, ..Default::default() };
    clients.servers.clone().plan_stop_server(request).await.unwrap().into_inner().plan.unwrap()
}

/// Stopped, frozen by the engine, ended: the process is gone and the engine's words are in the order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real OceanBase engine; the lane of scripts/test runs it"]
async fn a_server_is_frozen_and_ended() {
    let cluster = Cluster::start().await;
    let service = cluster.serve();
    let clients = &service.clients;
    let id = cluster.register(clients).await.id;
    let request = v1::StopServerRequest { freeze_before_stop: true, ..cluster.request(clients, id, 3).await };
    let task = clients.stop_with(request.clone()).await.unwrap();
    let task = clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    let addr = format!("{}:2882", cluster.ip(3));
    let said: Vec<(String, u16)> = cluster.fronts.judged().into_iter().map(|one| (one.sql, one.verdict)).collect();
    let stop = format!("ALTER SYSTEM STOP SERVER '{addr}' ZONE 'zone3'");
    let freeze = format!("ALTER SYSTEM MINOR FREEZE SERVER = ('{addr}')");
    assert_eq!(said, [(stop, UNDERSTOOD), (freeze, 4025)]);
    let server = clients.get_server(id, request.server_id).await;
    assert_eq!((server.status(), server.inner_status()), (v1::ServerStatus::Stopped, v1::ServerInnerStatus::Inactive));
    assert!(std::net::TcpStream::connect((cluster.ip(3), 2882)).is_err());
    assert_unbroken(&clients.events(task.id).await);
    cluster.assert_understood();
}

/// `kill -9` of the service while STOP SERVER is in flight: its session lives on in the engine, until the next service has
/// the engine KILL it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real OceanBase engine; the lane of scripts/test runs it"]
async fn a_take_over_has_the_engine_kill_the_session_that_was_left() {
    let cluster = Cluster::start().await;
    let service = cluster.serve();
    let id = cluster.register(&service.clients).await.id;
    let request = service_only(cluster.request(&service.clients, id, 2).await);
    let mut root = cluster.root().await;
    // The task is not closed before its stop, which nobody had an answer to, can come no more: that is not to be long.
    root.query_drop("ALTER SYSTEM SET internal_sql_execute_timeout = '2s'").await.unwrap();
    cluster.fronts.hold_leaders(true);
    let task = service.clients.stop_with(request).await.unwrap().id;
    until(&mut root, "SELECT COUNT(*) FROM __all_server WHERE stop_time > 0", 1).await;
    let session = cluster.fronts.judged()[0].session;
    service.kill();
    let there = format!("SELECT COUNT(*) FROM __all_virtual_processlist WHERE id = {session}");
    assert_eq!(root.query_first::<i64, _>(&there).await.unwrap(), Some(1), "the session is gone by itself");
    let service = cluster.serve();
    until(&mut root, &there, 0).await;
    cluster.fronts.hold_leaders(false);
    let task = service.clients.at_rest(task).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    cluster.assert_understood();
}

/// The engine takes everything behind `@` for the tenant; and who may only read is told so by it, before anything is marked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real OceanBase engine; the lane of scripts/test runs it"]
async fn login_names_and_privileges_are_judged_by_the_engine() {
    let cluster = Cluster::start().await;
    let mut root = cluster.root().await;
    for statement in ["CREATE USER reader IDENTIFIED BY 'secret'", "GRANT SELECT, PROCESS ON *.* TO reader"] {
        root.query_drop(statement).await.unwrap();
    }
    let service = cluster.serve();
    let clients = &service.clients;
    let request = v1::RegisterClusterRequest {
        endpoints: vec![format!("{}:2881", cluster.ip(1))],
        username: format!("reader@sys#{}", cluster.name),
        password: "secret".to_owned(),
        default_host: Some(v1::DefaultHost { transport: v1::HostTransport::Local as i32, ..Default::default() }),
        ..Default::default()
    };
    let id = clients.clusters.clone().register_cluster(request).await.unwrap().into_inner().cluster.unwrap().id;
    assert_eq!(cluster.fronts.denied(), 1, "the name with #cluster, once");
    let request = service_only(cluster.request(clients, id, 2).await);
    assert!(plan(clients, &request).await.allowed);
    let task = clients.stop_with(request).await.unwrap();
    let task = clients.at_rest(task.id).await;
    let (reason, message) = task_error(&task);
    assert_eq!((task.state(), reason.as_str()), (v1::TaskState::Refused, "REFUSED_BY_ROOT_SERVICE"), "{task:#?}");
    assert!(message.contains("ALTER SYSTEM privilege"), "{message}");
    let verdicts: Vec<u16> = cluster.fronts.judged().iter().map(|one| one.verdict).collect();
    assert_eq!(verdicts, [1227]);
    until(&mut root, "SELECT COUNT(*) FROM __all_server WHERE stop_time > 0", 0).await;
    cluster.assert_understood();
}

async fn until(root: &mut mysql_async::Conn, count: &str, wanted: i64) {
    let deadline = monotonic_now() + PATIENCE;
    while root.query_first::<i64, _>(count).await.unwrap() != Some(wanted) {
        assert!(monotonic_now() < deadline, "{count} did not become {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
