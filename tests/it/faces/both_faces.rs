//! The service as its callers meet it, over gRPC and over REST at once, with authentication on: one stop is one task
//! whichever face it came through, an access key proves its user, and what was asked is on record.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http_body_util::BodyExt;
use obsteward::access::signature::{self, SignedRequest};
use obsteward::app::{App, AppError};
use obsteward::clock::Clock;
use obsteward::config::Config;
use obsteward::proto::v1;
use obsteward::sim::SimCluster;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::support::rest_client::{Answer, RestClient};
use crate::support::{Clients, PATIENCE, callers, config, quick};

const PASSWORD: &str = "correct horse battery";

/// A simulated cluster, registered as 1, and the service over it with both faces and a few users.
struct Faces {
    sim: SimCluster,
    directory: tempfile::TempDir,
    grpc: SocketAddr,
    rest: SocketAddr,
    cluster: i64,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), AppError>>,
}

/// `admin` with ADMIN, and a user of every other role that is asked for.
fn access(config: &mut Config, password_file: PathBuf, roles: &[(&str, &[&str])]) {
    std::fs::write(&password_file, format!("{PASSWORD}\n")).unwrap();
    config.auth.enabled = true;
    config.auth.roles = callers::roles(roles);
    let user = |name: &str, role: &str| callers::user(name, role, &password_file);
    config.auth.users = roles.iter().map(|(name, _)| user(&name.to_lowercase(), name)).collect();
    config.auth.users.push(user("admin", "ADMIN"));
}

impl Faces {
    async fn new(roles: &[(&str, &[&str])], change: impl FnOnce(&mut Config)) -> Self {
        let sim = SimCluster::start(quick()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        access(&mut config, directory.path().join("password"), roles);
        config.rest.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.rest.time_zone = "Asia/Shanghai".to_owned();
        change(&mut config);
        let app = App::build(&config, Clock::system()).await.unwrap();
        let (grpc, rest) = (app.address(), app.rest_address().unwrap());
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(app.run(shutdown.clone()));
        let admin = Clients::user(grpc, "admin", PASSWORD);
        let cluster = admin.register(sim.endpoints()).await.unwrap().id;
        Self { sim, directory, grpc, rest, cluster, shutdown, running }
    }

    fn grpc(&self, user: &str) -> Clients {
        Clients::user(self.grpc, user, PASSWORD)
    }

    fn rest(&self, user: &str) -> RestClient {
        RestClient::of(self.rest).user(user, PASSWORD)
    }

    /// A server of the registered cluster that is the simulated one of this id.
    async fn server(&self, sim_id: i64) -> i64 {
        let ip = self.sim.server(sim_id).unwrap().ip;
        let servers = self.grpc("admin").list_servers(self.cluster).await;
        servers.into_iter().find(|server| server.ip == ip).unwrap().id
    }

    fn stop_path(&self, server: i64) -> String {
        format!("/api/v2/ob/clusters/{}/servers/{server}/stop", self.cluster)
    }

    async fn end(self) -> tempfile::TempDir {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        self.directory
    }
}

#[tokio::test]
async fn one_stop_asked_for_over_both_faces_is_one_task_that_both_show_alike() {
    let faces = Faces::new(&[], |_| {}).await;
    let server = faces.server(2).await;
    let request_id = "123e4567-e89b-42d3-a456-426614174000";
    let rest = faces.rest("admin");
    let key = [("idempotency-key", request_id)];
    let asked = rest.send(Method::POST, &faces.stop_path(server), &key, Vec::new()).await.data();
    let id = asked["id"].as_i64().unwrap();
    assert_eq!(asked["tasks"].as_array().unwrap().len(), 8);
    assert_eq!(asked["creator"], json!({"id": 100, "name": "admin"}));

    let grpc = faces.grpc("admin");
    let request = v1::StopServerRequest {
        cluster_id: faces.cluster,
        server_id: server,
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    assert_eq!(grpc.stop_with(request).await.unwrap().id, id, "a repeat over the other face is the same task");
    let again = rest.post(&faces.stop_path(server)).await.data();
    assert_eq!(again["id"], id, "an equal repeat without a key too, while the task is open");

    let events = grpc.events(id).await;
    let task = grpc.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful);
    let shown = rest.get(&format!("/api/v2/tasks/instances/{id}")).await.data();
    assert_eq!(shown, rest.get(&format!("/api/v2/tasks/{id}")).await.data(), "the alias that clients poll");
    assert_eq!((shown["status"].as_str(), shown["name"].as_str()), (Some("SUCCESSFUL"), Some("Stop OB server")));
    let of_rest: Vec<_> = shown["subtasks"].as_array().unwrap().iter().map(described).collect();
    let of_grpc: Vec<_> = task
        .subtasks
        .iter()
        .map(|subtask| {
            let mut upstreams = subtask.upstreams.clone();
            upstreams.sort_unstable();
            (subtask.id, subtask.name.clone(), state(subtask.state()).to_owned(), upstreams)
        })
        .collect();
    assert_eq!(of_rest, of_grpc);

    let stream = rest.get(&format!("/api/v2/tasks/instances/{id}/events?lastEventId=0")).await.text;
    let seen: Vec<i64> = stream.lines().filter_map(|line| line.strip_prefix("id:")?.trim().parse().ok()).collect();
    for event in &events {
        assert!(seen.contains(&event.revision), "revision {} is not in {seen:?}", event.revision);
    }
    let page = rest.get("/api/v2/tasks/instances?page=1&size=5&sort=id,desc").await.data();
    assert_eq!((page["contents"][0]["id"].as_i64(), page["page"]["totalElements"].as_i64()), (Some(id), Some(1)));
    faces.end().await;
}

fn described(subtask: &Value) -> (i64, String, String, Vec<i64>) {
    let text = |key: &str| subtask[key].as_str().unwrap().to_owned();
    let mut upstreams: Vec<i64> =
        subtask["upstreams"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect();
    upstreams.sort_unstable();
    (subtask["id"].as_i64().unwrap(), text("name"), text("status"), upstreams)
}

fn state(state: v1::SubtaskState) -> &'static str {
    state.as_str_name().strip_prefix("SUBTASK_STATE_").unwrap()
}

#[tokio::test]
async fn an_access_key_signs_requests_and_nothing_else_passes() {
    let faces = Faces::new(&[("SEES_ALL", &["CLUSTER:*:READ", "TASK:*:READ"])], |_| {}).await;
    let made = faces.grpc("sees_all").admin.create_access_key(v1::CreateAccessKeyRequest::default()).await;
    let made = made.unwrap().into_inner();
    let (id, secret) = (made.access_key.unwrap().id, SecretString::from(made.secret));
    let path = "/api/v2/ob/clusters?size=5&status=STOPPED&status=RUNNING";
    let now = Clock::system().now();
    let signed = Signed { faces: &faces, id: &id, secret: &secret };
    assert_eq!(signed.get(path, path, &signature::date(now)).await.status, 200);
    let unsorted = "/api/v2/ob/clusters?status=RUNNING&status=STOPPED&size=5";
    assert_eq!(signed.get(path, unsorted, &signature::date(now)).await.status, 200, "order does not matter");
    // What is signed is not what is sent.
    for other in [
        "/api/v2/ob/clusters?size=6&status=STOPPED&status=RUNNING",
        "/api/v2/ob/clusters/1?size=5&status=STOPPED&status=RUNNING",
    ] {
        assert_eq!(signed.get(path, other, &signature::date(now)).await.status, 401, "{other}");
    }
    let minute = |minutes: u64| Duration::from_secs(60 * minutes);
    for (date, status) in [
        (now.minus(minute(14)), 200),
        (now.minus(minute(16)), 401),
        (now.plus(minute(14)), 200),
        (now.plus(minute(16)), 401),
    ] {
        assert_eq!(signed.get(path, path, &signature::date(date)).await.status, status, "{date}");
    }
    // The key has its user's rights and no more.
    let stop = faces.stop_path(faces.server(2).await);
    assert_eq!(signed.send(Method::POST, &stop, &stop, &signature::date(now), b"", b"").await.status, 403);
    let tampered = signed.send(Method::POST, &stop, &stop, &signature::date(now), b"{}", b"{\"force\": true}").await;
    assert_eq!(tampered.status, 401, "{}", tampered.text);
    let wrong = Signed { secret: &SecretString::from("another"), ..signed };
    assert_eq!(wrong.get(path, path, &signature::date(now)).await.status, 401);

    let rotated = faces
        .grpc("sees_all")
        .admin
        .rotate_access_key(v1::RotateAccessKeyRequest { id: id.clone(), ..Default::default() })
        .await;
    let secret = SecretString::from(rotated.unwrap().into_inner().secret);
    assert_eq!(signed.get(path, path, &signature::date(now)).await.status, 401, "the old secret");
    let signed = Signed { faces: &faces, id: &id, secret: &secret };
    assert_eq!(signed.get(path, path, &signature::date(now)).await.status, 200);
    let disable = v1::UpdateAccessKeyRequest { id: id.clone(), disabled: true, ..Default::default() };
    faces.grpc("sees_all").admin.update_access_key(disable).await.unwrap();
    assert_eq!(signed.get(path, path, &signature::date(now)).await.status, 401);
    faces.end().await;
}

#[derive(Clone, Copy)]
struct Signed<'a> {
    faces: &'a Faces,
    id: &'a str,
    secret: &'a SecretString,
}

impl Signed<'_> {
    async fn get(&self, signed: &str, sent: &str, date: &str) -> Answer {
        self.send(Method::GET, signed, sent, date, b"", b"").await
    }

    async fn send(
        &self,
        method: Method,
        signed: &str,
        sent: &str,
        date: &str,
        signed_body: &[u8],
        body: &[u8],
    ) -> Answer {
        let (path, query) = signed.split_once('?').map_or((signed, None), |(path, query)| (path, Some(query)));
        let host = self.faces.rest.to_string();
        let request = SignedRequest {
            method: method.as_str(),
            content_type: b"application/json",
            date: date.as_bytes(),
            host: host.as_bytes(),
            headers: Vec::new(),
            path,
            query,
            body: signed_body,
        };
        let authorization = format!("OCP-ACCESS-KEY-HMACSHA1 {}:{}", self.id, signature::sign(self.secret, &request));
        let headers = [("authorization", authorization.as_str()), ("date", date), ("content-type", "application/json")];
        RestClient::of(self.faces.rest).send(method, sent, &headers, body.to_vec()).await
    }
}

#[tokio::test]
async fn callers_see_only_what_they_may_and_their_watch_ends_with_the_right() {
    let roles: &[(&str, &[&str])] = &[("OTHER", &["CLUSTER:77:*"]), ("OWNER", &["CLUSTER:1:*"])];
    let faces = Faces::new(roles, |_| {}).await;
    assert_eq!(faces.cluster, 1);
    let server = faces.server(2).await;
    // The same to the byte for a cluster that is there and one that is not, but for its number and its trace.
    let told = |answer: &Answer, id: i64| {
        assert_eq!(answer.status, 403, "{}", answer.text);
        answer.json()["error"].to_string().replace(&format!(":{id}:"), ":N:")
    };
    let other = faces.rest("other");
    let there = other.get("/api/v2/ob/clusters/1").await;
    let not_there = other.get("/api/v2/ob/clusters/5").await;
    assert_eq!(told(&there, 1), told(&not_there, 5));

    let mut watch = faces.grpc("owner").tasks.watch_tasks(v1::WatchTasksRequest::default()).await.unwrap().into_inner();
    let mut blind = faces.grpc("other").tasks.watch_tasks(v1::WatchTasksRequest::default()).await.unwrap().into_inner();
    let bookmark = |message: Option<v1::WatchTasksResponse>| {
        matches!(message.unwrap().kind, Some(v1::watch_tasks_response::Kind::Bookmark(_)))
    };
    assert!(bookmark(watch.message().await.unwrap()) && bookmark(blind.message().await.unwrap()));
    let id = faces.rest("owner").post(&faces.stop_path(server)).await.data()["id"].as_i64().unwrap();
    let next = tokio::time::timeout(PATIENCE, watch.message()).await.unwrap().unwrap().unwrap();
    let Some(v1::watch_tasks_response::Kind::Event(event)) = next.kind else { panic!("{next:?}") };
    assert_eq!(event.task_id, id);
    let task = faces.grpc("owner").at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{:?}", task.error);
    assert_eq!(faces.grpc("other").list().await, []);
    assert_eq!(other.get("/api/v2/tasks/instances").await.data()["page"]["totalElements"], 0);
    let forbidden = faces.grpc("other").tasks.get_task(v1::GetTaskRequest { task_id: id }).await.unwrap_err();
    assert_eq!(forbidden.code(), Code::PermissionDenied);

    let disable = v1::UpdateUserRequest { name: "owner".to_owned(), disabled: Some(true), ..Default::default() };
    faces.grpc("admin").admin.update_user(disable).await.unwrap();
    let ended = async {
        loop {
            match watch.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the watch ended without a word"),
                Err(status) => break status,
            }
        }
    };
    // The next bookmark is at most 15 s away.
    let ended = tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert_eq!(ended.code(), Code::PermissionDenied);
    assert_eq!(faces.rest("owner").get("/api/v2/ob/clusters/1").await.status, 401);
    // Whoever may not see the task has heard nothing of it.
    let heard = tokio::time::timeout(Duration::ZERO, blind.message()).await;
    if let Ok(Ok(message)) = heard {
        assert!(bookmark(message));
    }
    faces.end().await;
}

/// Why something is asked stands wherever what was asked does, whichever face it came through.
#[tokio::test]
async fn why_it_is_asked_is_in_the_task_its_events_and_the_record() {
    let faces = Faces::new(&[], |_| {}).await;
    let (server, mut admin) = (faces.server(2).await, faces.grpc("admin"));
    let (rest, json) = (faces.rest("admin"), [("content-type", "application/json")]);
    let stop = async |query: &str, body: &str| {
        rest.send(Method::POST, &format!("{}{query}", faces.stop_path(server)), &json, body.as_bytes().to_vec()).await
    };
    for (query, body) in [
        ("", r#"{"reason": "two\nlines"}"#),
        ("", r#"{"reason": 7}"#),
        ("?reason=a", r#"{"reason": "b"}"#),
        ("?reason=%1b", ""),
    ] {
        let wrong = stop(query, body).await;
        assert!(wrong.status == 400 && wrong.text.contains("reason"), "{query} {body}: {}", wrong.text);
    }
    let id = stop("?reason=CHG-4711", r#"{"reason": "CHG-4711"}"#).await.data()["id"].as_i64().unwrap();
    assert_eq!(admin.at_rest(id).await.reason, "CHG-4711");
    let start = v1::StartServerRequest {
        cluster_id: faces.cluster,
        server_id: server,
        reason: "变更单 4712".to_owned(),
        ..Default::default()
    };
    let started = admin.servers.start_server(start).await.unwrap().into_inner().task.unwrap();
    assert_eq!(started.reason, "变更单 4712");
    admin.at_rest(started.id).await;
    let role = v1::CreateRoleRequest {
        name: "OPS".to_owned(),
        permissions: vec!["CLUSTER:*:READ".to_owned()],
        reason: "r".repeat(1000),
    };
    admin.admin.create_role(role.clone()).await.unwrap();
    let long = v1::CreateRoleRequest { name: "OPS2".to_owned(), reason: "r".repeat(1001), ..role };
    assert_eq!(admin.admin.create_role(long).await.unwrap_err().code(), Code::InvalidArgument);
    let backup = v1::BackupStoreRequest { reason: "nightly".to_owned() };
    admin.admin.backup_store(backup).await.unwrap();
    let records = admin.admin.list_audit_records(v1::ListAuditRecordsRequest::default()).await.unwrap().into_inner();
    let of = |operation: &str| {
        let own = records.records.iter().filter(|record| record.operation == operation);
        own.map(|record| (record.refusal.as_str(), record.reason.as_str())).collect::<Vec<_>>()
    };
    assert_eq!(of("STOP_OB_SERVER")[0], ("", "CHG-4711"));
    assert!(of("STOP_OB_SERVER")[1..].iter().all(|(refusal, _)| *refusal == "INVALID_ARGUMENT"));
    assert_eq!(of("START_OB_SERVER"), [("", "变更单 4712")]);
    assert_eq!(of("CREATE_ROLE"), [("INVALID_ARGUMENT", ""), ("", "r".repeat(1000).as_str())]);
    assert_eq!(of("BACKUP_STORE"), [("", "nightly")]);
    faces.end().await;
}

#[tokio::test]
async fn what_was_asked_is_on_record_and_no_secret_is_on_disk() {
    let faces = Faces::new(&[("LOOKS", &["CLUSTER:*:READ"])], |_| {}).await;
    let server = faces.server(2).await;
    let refused = faces.rest("looks").post(&faces.stop_path(server)).await;
    assert_eq!(refused.status, 403);
    let json = [("content-type", "application/json")];
    let bad = faces.rest("admin").send(Method::POST, &faces.stop_path(server), &json, b"{\"force\": 7}".to_vec()).await;
    assert_eq!(bad.status, 400, "{}", bad.text);
    let accepted = faces.rest("admin").post(&faces.stop_path(server)).await;
    let id = accepted.data()["id"].as_i64().unwrap();
    faces.grpc("admin").at_rest(id).await;
    // Who may only read is not told what a subtask is like, whatever it is like.
    let subtask = accepted.data()["tasks"][0]["id"].as_i64().unwrap();
    for (verb, operation) in [("retry", "RETRY_TASK"), ("skip", "SKIP_SUBTASK"), ("cancel", "CANCEL_TASK")] {
        let looks = faces.rest("looks");
        for subtask in [subtask, 7] {
            let path = format!("/api/v2/tasks/instances/{id}/subtasks/{subtask}/{verb}");
            assert_eq!(looks.post(&path).await.status, 403, "{verb} {subtask}");
        }
        let list = v1::ListAuditRecordsRequest { operation: operation.to_owned(), ..Default::default() };
        let records = faces.grpc("admin").admin.list_audit_records(list).await.unwrap().into_inner().records;
        let told: Vec<_> = records.iter().map(|record| (record.principal.as_str(), record.refusal.as_str())).collect();
        assert_eq!(told, [("looks", "PERMISSION_DENIED"); 2], "{verb}");
    }
    let key = faces.grpc("admin").admin.create_access_key(v1::CreateAccessKeyRequest::default()).await.unwrap();
    let secret = key.into_inner().secret;

    let list = v1::ListAuditRecordsRequest { operation: "STOP_OB_SERVER".to_owned(), ..Default::default() };
    let records = faces.grpc("admin").admin.list_audit_records(list).await.unwrap().into_inner().records;
    let told: Vec<_> = records.iter().map(|record| (record.principal.as_str(), record.refusal.as_str())).collect();
    assert_eq!(told, [("admin", ""), ("admin", "INVALID_ARGUMENT"), ("looks", "PERMISSION_DENIED")]);
    assert_eq!((records[0].task_id, records[0].result()), (Some(id), v1::AuditResult::Accepted));
    assert_eq!(records[0].trace_id, accepted.json()["traceId"].as_str().unwrap());
    assert_eq!(records[2].trace_id, refused.json()["traceId"].as_str().unwrap());
    assert!(records[2].address.starts_with("127.0.0.1:"), "{:?}", records[2]);
    let everything = v1::ListAuditRecordsRequest::default();
    let everything = faces.grpc("admin").admin.list_audit_records(everything).await.unwrap().into_inner().records;
    let everything = format!("{everything:?}");
    assert!(!everything.contains(PASSWORD) && !everything.contains(&secret));

    let directory = faces.end().await;
    let basic = STANDARD.encode(format!("admin:{PASSWORD}"));
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() || path.ends_with("password") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for hidden in [PASSWORD, secret.as_str(), basic.as_str()] {
            let found = bytes.windows(hidden.len()).any(|window| window == hidden.as_bytes());
            assert!(!found, "{hidden} stands in {}", path.display());
        }
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_in_the_documented_words() {
    let faces = Faces::new(&[("LOOKS", &["CLUSTER:*:READ"])], |config| {
        config.limits.requests_per_hour = 3;
        config.limits.login_failures = 2;
    })
    .await;
    let looks = faces.rest("looks");
    let mut last = looks.get("/api/v2/ob/clusters").await;
    for remaining in ["2", "1", "0"] {
        assert_eq!(last.status, 200);
        assert_eq!(last.headers["ratelimit-limit"], "3");
        assert_eq!(last.headers["ratelimit-remaining"], remaining);
        last = looks.get("/api/v2/ob/clusters").await;
    }
    assert_eq!(last.status, 429);
    let error = &last.json()["error"];
    assert_eq!(error["code"], 0);
    assert_eq!(error["message"], "请求次数过多，你已经超过当前流控窗口内的请求上限");
    assert!(last.headers.contains_key("ratelimit-reset"));
    let status = faces.grpc("looks").clusters.list_clusters(v1::ListClustersRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "one count for both faces");

    let guess = RestClient::of(faces.rest).user("admin", "a guess");
    assert_eq!(guess.get("/api/v2/ob/clusters").await.status, 401);
    assert_eq!(guess.get("/api/v2/ob/clusters").await.status, 401);
    let throttled = guess.get("/api/v2/ob/clusters").await;
    assert_eq!(throttled.status, 429, "{}", throttled.text);
    assert!(throttled.headers.contains_key("retry-after"));
    assert_eq!(RestClient::of(faces.rest).get("/api/v2/ob/clusters").await.status, 401, "nobody");
    faces.end().await;
}

#[tokio::test]
async fn events_resume_behind_the_last_one_that_was_seen() {
    let faces = Faces::new(&[], |_| {}).await;
    let rest = faces.rest("admin");
    let id = rest.post(&faces.stop_path(faces.server(2).await)).await.data()["id"].as_i64().unwrap();
    let path = format!("/api/v2/tasks/instances/{id}/events");
    let (status, headers, mut body) = rest.begin(Method::GET, &path, &[], Vec::new()).await;
    assert_eq!(status, 200);
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let mut seen = String::new();
    while !seen.contains("event:") {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
        seen.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
    }
    drop(body);
    faces.grpc("admin").at_rest(id).await;
    let whole = rest.send(Method::GET, &path, &[("last-event-id", "0")], Vec::new()).await.text;
    let tail = rest.send(Method::GET, &path, &[("last-event-id", "5")], Vec::new()).await.text;
    let ids = |text: &str| -> Vec<i64> {
        text.lines().filter_map(|line| line.strip_prefix("id:")?.trim().parse().ok()).collect()
    };
    let (whole, tail) = (ids(&whole), ids(&tail));
    let mut after: Vec<i64> = whole.iter().copied().filter(|revision| *revision > 5).collect();
    after.dedup();
    let mut resumed: Vec<i64> = tail.iter().copied().filter(|revision| *revision > 5).collect();
    resumed.dedup();
    assert_eq!(after, resumed);
    assert!(whole.contains(&1) && after.len() > 5, "{whole:?}");
    faces.end().await;
}
