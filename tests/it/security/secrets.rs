//! No secret leaves by the log, whatever is asked for to be logged, nor by a command line or a help text.

use std::net::SocketAddr;

use http::Method;
use obsteward::proto::v1;

use crate::support::Clients;
use crate::support::program::{Started, obsteward};
use crate::support::rest_client::{RestClient, basic};

const PASSWORD: &str = "Erdbeermond-7";
const GUESS: &str = "Brombeermond-8";
const CLUSTER_PASSWORD: &str = "Himbeermond-9";
const BOB: &str = "Blaubeermond-10";

#[tokio::test]
async fn the_log_holds_no_secret_even_when_everything_is_logged() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("password"), format!("{PASSWORD}\n")).unwrap();
    let configuration = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[rest]\nlisten = \"127.0.0.1:0\"\n[store]\npath = {:?}\n[log]\nfilter = \"trace\"\n\
         [sync]\nenabled = false\n[[auth.users]]\nname = \"admin\"\nroles = [\"ADMIN\"]\npassword_file = {:?}\n",
        path("store.db"),
        path("password"),
    );
    std::fs::write(path("serve.toml"), configuration).unwrap();
    let mut program = Started::of(obsteward(&format!("serve --config {}", path("serve.toml"))));
    let mut log = program.err_until(|line| line.contains("REST gateway on ")).await;
    let address = |log: &[String], before: &str| -> SocketAddr {
        log.iter().find_map(|line| line.strip_prefix(before)).unwrap().parse().unwrap()
    };
    let (grpc, rest) = (address(&log, "listening on "), address(&log, "REST gateway on "));

    let admin = Clients::user(grpc, "admin", PASSWORD);
    let create = v1::CreateUserRequest {
        name: "bob".to_owned(),
        password: BOB.to_owned(),
        roles: vec!["TASK_VIEWER".to_owned()],
        ..Default::default()
    };
    admin.admin.clone().create_user(create.clone()).await.unwrap();
    admin.admin.clone().create_user(create).await.unwrap_err();
    let key = v1::CreateAccessKeyRequest { user: "bob".to_owned(), ..Default::default() };
    let secret = admin.admin.clone().create_access_key(key).await.unwrap().into_inner().secret;
    let register = v1::RegisterClusterRequest {
        endpoints: vec!["127.0.0.1:1".to_owned()],
        password: CLUSTER_PASSWORD.to_owned(),
        ..Default::default()
    };
    admin.clusters.clone().register_cluster(register).await.unwrap_err();
    Clients::user(grpc, "admin", GUESS).tasks.list_tasks(v1::ListTasksRequest::default()).await.unwrap_err();
    let gateway = RestClient::of(rest);
    assert_eq!(gateway.user("bob", BOB).get("/api/v2/tasks/instances").await.status, 200);
    assert_eq!(gateway.user("admin", GUESS).get("/api/v2/tasks/instances").await.status, 401);
    let json = [("content-type", "application/json")];
    let body = format!("{{\"password\": \"{GUESS}\", \"force\": \"{GUESS}\"}}").into_bytes();
    let stop = "/api/v2/ob/clusters/1/servers/1/stop";
    assert_eq!(gateway.user("admin", PASSWORD).send(Method::POST, stop, &json, body).await.status, 400);

    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", program.pid())).unwrap();
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", program.pid())).unwrap();
    program.signal(obsteward::sim::Signal::TERM);
    let ended = program.ended().await;
    log.push(ended.err);
    let log = log.join("\n");
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "not everything was logged: {log}");
    assert!(log.contains("CREATE_USER") || log.contains("CreateUser"), "the calls are not in the log: {log}");
    for hidden in [PASSWORD, CLUSTER_PASSWORD, BOB, &secret] {
        for place in [&log, &arguments, &environment] {
            assert!(!place.contains(hidden), "{hidden} in {place}");
        }
    }
    for encoded in [basic("admin", PASSWORD), basic("admin", GUESS), basic("bob", BOB)] {
        assert!(!log.contains(encoded.strip_prefix("Basic ").unwrap()), "{log}");
    }
}
