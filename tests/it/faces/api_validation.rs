//! What is wrong with each field of a request, through the wire: the field is named, and nothing reaches the service.
// One macro breaks fields of every kind of request, `Copy` and default ones too.
#![allow(clippy::field_reassign_with_default, clippy::clone_on_copy)]

use obsteward::proto::v1;
use obsteward::proto::v1::get_cluster_request::By;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::faces::api::Fixture;

const TOO_LARGE: i64 = 1 << 53;

/// Fields that are wrong, or none.
fn fields<A>(answered: Result<A, Status>) -> Vec<String> {
    let Err(status) = answered else { return Vec::new() };
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "INVALID_ARGUMENT");
    assert!(status.details().len() < 6000, "a status fits into trailers");
    let bad = status.get_details_bad_request().unwrap();
    for violation in &bad.field_violations {
        assert!(!violation.description.is_empty() && !violation.description.ends_with('.'), "{violation:?}");
    }
    bad.field_violations.into_iter().map(|violation| violation.field).collect()
}

/// Each case breaks one field of a request that is otherwise good.
macro_rules! cases {
    ($fixture:ident.$client:ident().$rpc:ident($good:expr): $($field:literal <- |$request:ident| $break:expr;)+) => {
        $({
            let mut $request = $good;
            $break;
            let answered = $fixture.$client().$rpc($request.clone()).await;
            assert_eq!(fields(answered), [$field], "{:?}", $request);
        })+
    };
}

fn stop() -> v1::StopServerRequest {
    v1::StopServerRequest { cluster_id: 1, server_id: 7, ..Default::default() }
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn moment(seconds: i64, nanos: i32) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos })
}

#[tokio::test]
async fn servers() {
    let fixture = Fixture::new().await;
    cases!(fixture.servers().stop_server(stop()):
        "cluster_id" <- |request| request.cluster_id = 0;
        "cluster_id" <- |request| request.cluster_id = -1;
        "cluster_id" <- |request| request.cluster_id = TOO_LARGE;
        "server_id" <- |request| request.server_id = 0;
        "server_id" <- |request| request.server_id = i64::MIN;
        "accept_risks[0]" <- |request| request.accept_risks = vec![0];
        "accept_risks[0]" <- |request| request.accept_risks = vec![9];
        "accept_risks[1]" <- |request| request.accept_risks = vec![1, 1];
        "type" <- |request| request.r#type = 3;
        "type" <- |request| request.r#type = -1;
        "freeze_before_stop" <- |request| (request.freeze_before_stop, request.r#type) = (true, 2);
        "drain" <- |request| request.drain = seconds(3601);
        "drain" <- |request| request.drain = seconds(-1);
        "drain" <- |request| (request.drain, request.r#type) = (seconds(1), 2);
        "request_id" <- |request| request.request_id = "x".to_owned();
        "request_id" <- |request| request.request_id = "123e4567e89b42d3a456426614174000".to_owned();
        "request_id" <- |request| request.request_id = "00000000-0000-0000-0000-000000000000".to_owned();
        "request_id" <- |request| request.request_id = "y".repeat(100_000);
        "expected_server" <- |request| request.expected_server = "10.0.0.2".to_owned();
        "expected_server" <- |request| request.expected_server = "host:2882".to_owned();
        "expected_server" <- |request| request.expected_server = "10.0.0.2:0".to_owned();
        "expected_server" <- |request| request.expected_server = "é".repeat(1000);
        "expire_time" <- |request| request.expire_time = moment(253_402_300_800, 0);
        "expire_time" <- |request| request.expire_time = moment(i64::MIN, 0);
        "expire_time" <- |request| request.expire_time = moment(0, -1);
        "expire_time" <- |request| request.expire_time = moment(0, 1_000_000_000);
    );
    let start = v1::StartServerRequest { cluster_id: 1, server_id: 7, ..Default::default() };
    cases!(fixture.servers().start_server(start.clone()):
        "cluster_id" <- |request| request.cluster_id = 0;
        "server_id" <- |request| request.server_id = -1;
        "request_id" <- |request| request.request_id = "x".to_owned();
        "expected_server" <- |request| request.expected_server = "10.0.0.2".to_owned();
    );
    let freeze = v1::FreezeServerRequest { cluster_id: 1, server_id: 7, ..Default::default() };
    cases!(fixture.servers().freeze_server(freeze.clone()):
        "server_id" <- |request| request.server_id = 0;
        "request_id" <- |request| request.request_id = "7".to_owned();
    );
    let restart = v1::RestartServerRequest { cluster_id: 1, server_id: 7, ..Default::default() };
    cases!(fixture.servers().restart_server(restart.clone()):
        "reason" <- |request| request.reason = "r".repeat(1001);
        "cluster_id" <- |request| request.cluster_id = -1;
        "server_id" <- |request| request.server_id = 0;
        "accept_risks[1]" <- |request| request.accept_risks = vec![1, 1];
        "drain" <- |request| request.drain = seconds(i64::MAX);
        "request_id" <- |request| request.request_id = "x".to_owned();
        "expected_server" <- |request| request.expected_server = "10.0.0.2:0".to_owned();
        "expire_time" <- |request| request.expire_time = moment(0, -1);
    );
    let plan = v1::PlanStopServerRequest { cluster_id: 1, server_id: 7, ..Default::default() };
    cases!(fixture.servers().plan_stop_server(plan.clone()):
        "freeze_before_stop" <- |request| (request.freeze_before_stop, request.r#type) = (true, 2);
        "cluster_id" <- |request| request.cluster_id = 0;
        "server_id" <- |request| request.server_id = -7;
        "accept_risks[1]" <- |request| request.accept_risks = vec![1, 0];
        "type" <- |request| request.r#type = 7;
    );
    cases!(fixture.servers().get_server(v1::GetServerRequest { cluster_id: 1, server_id: 7 }):
        "cluster_id" <- |request| request.cluster_id = 0;
        "server_id" <- |request| request.server_id = 0;
    );
    let list = v1::ListServersRequest { cluster_id: 1, ..Default::default() };
    cases!(fixture.servers().list_servers(list.clone()):
        "cluster_id" <- |request| request.cluster_id = 0;
        "zone" <- |request| request.zone = "zone 1'".to_owned();
        "zone" <- |request| request.zone = "z".repeat(129);
        "zone" <- |request| request.zone = "z".repeat(10_000);
        "page_size" <- |request| request.page_size = -1;
        "page_size" <- |request| request.page_size = 1001;
        "page_token" <- |request| request.page_token = "x".to_owned();
        "page_token" <- |request| request.page_token = "0".repeat(257);
    );
    assert!(fixture.service.nothing_reached(), "nothing reached the service");
    let mut every = stop();
    (every.cluster_id, every.server_id, every.r#type, every.accept_risks) = (0, -1, 9, vec![0, 1, 1]);
    (every.request_id, every.expected_server, every.expire_time) = ("x".into(), "y".into(), moment(0, -1));
    every.reason = "r\0".into();
    let wrong = fields(fixture.servers().stop_server(every).await);
    let all = ["cluster_id", "server_id", "accept_risks[0]", "accept_risks[2]", "type", "request_id"];
    assert_eq!(wrong[..6], all);
    assert_eq!(wrong[6..], ["expected_server", "expire_time", "reason"]);
}

#[tokio::test]
async fn tasks() {
    let fixture = Fixture::new().await;
    cases!(fixture.tasks().get_task(v1::GetTaskRequest { task_id: 1 }):
        "task_id" <- |request| request.task_id = 0;
        "task_id" <- |request| request.task_id = -1;
        "task_id" <- |request| request.task_id = TOO_LARGE;
    );
    cases!(fixture.tasks().list_tasks(v1::ListTasksRequest::default()):
        "cluster_id" <- |request| request.cluster_id = Some(0);
        "server_id" <- |request| request.server_id = Some(TOO_LARGE);
        "states[1]" <- |request| request.states = vec![1, 99];
        "creator" <- |request| request.creator = "c".repeat(129);
        "creator" <- |request| request.creator = "c\u{0}".to_owned();
        "page_size" <- |request| request.page_size = 1001;
        "page_token" <- |request| request.page_token = "zz".to_owned();
    );
    let watch = v1::WatchTaskRequest { task_id: 1, ..Default::default() };
    cases!(fixture.tasks().watch_task(watch.clone()):
        "task_id" <- |request| request.task_id = 0;
        "after_revision" <- |request| request.after_revision = Some(-1);
        "after_revision" <- |request| request.after_revision = Some(i64::MAX);
        "until" <- |request| request.until = 3;
    );
    cases!(fixture.tasks().get_subtask_log(v1::GetSubtaskLogRequest { task_id: 1, ..Default::default() }):
        "task_id" <- |request| request.task_id = 0;
        "subtask_id" <- |request| request.subtask_id = Some(0);
        "from_line" <- |request| request.from_line = -1;
        "from_line" <- |request| request.from_line = TOO_LARGE;
    );
    cases!(fixture.tasks().watch_tasks(v1::WatchTasksRequest::default()):
        "cluster_id" <- |request| request.cluster_id = Some(-1);
        "after_seq" <- |request| request.after_seq = Some(-1);
    );
    let retry = v1::RetryTaskRequest { task_id: 1, ..Default::default() };
    cases!(fixture.tasks().retry_task(retry.clone()):
        "reason" <- |request| request.reason = "r\u{1b}[2J".to_owned();
        "task_id" <- |request| request.task_id = 0;
        "if_revision" <- |request| request.if_revision = Some(0);
        "expire_time" <- |request| request.expire_time = moment(i64::MAX, 0);
    );
    let cancel = v1::CancelTaskRequest { task_id: 1, ..Default::default() };
    cases!(fixture.tasks().cancel_task(cancel.clone()):
        "task_id" <- |request| request.task_id = 0;
        "if_revision" <- |request| request.if_revision = Some(0);
    );
    let rollback = v1::RollbackTaskRequest { task_id: 1, ..Default::default() };
    cases!(fixture.tasks().rollback_task(rollback.clone()):
        "task_id" <- |request| request.task_id = 0;
        "if_revision" <- |request| request.if_revision = Some(0);
        "expire_time" <- |request| request.expire_time = moment(i64::MAX, 0);
    );
    let skip = v1::SkipSubtaskRequest { task_id: 1, subtask_id: 2, ..Default::default() };
    cases!(fixture.tasks().skip_subtask(skip.clone()):
        "task_id" <- |request| request.task_id = 0;
        "subtask_id" <- |request| request.subtask_id = 0;
        "subtask_id" <- |request| request.subtask_id = TOO_LARGE;
        "if_revision" <- |request| request.if_revision = Some(0);
    );
    let give_up = v1::GiveUpTaskRequest { task_id: 1, ..Default::default() };
    cases!(fixture.tasks().give_up_task(give_up.clone()):
        "reason" <- |request| request.reason = "r\n".to_owned();
        "task_id" <- |request| request.task_id = 0;
        "if_revision" <- |request| request.if_revision = Some(i64::MIN);
    );
    assert!(fixture.service.nothing_reached(), "nothing reached the service");
}

fn host(transport: i32, agent_address: &str) -> v1::Host {
    let agent_address = agent_address.to_owned();
    v1::Host { svr_ip: "10.0.0.2".to_owned(), transport, agent_address, ..Default::default() }
}

fn ssh_host(transport: i32, ssh_destination: &str) -> v1::Host {
    v1::Host { ssh_destination: ssh_destination.to_owned(), ..host(transport, "") }
}

fn default_host(
    transport: i32,
    agent_port: Option<i32>,
    ssh_user: &str,
    ssh_port: Option<i32>,
) -> Option<v1::DefaultHost> {
    Some(v1::DefaultHost { transport, agent_port, ssh_user: ssh_user.to_owned(), ssh_port })
}

fn assignment(address: &str, server_id: i64) -> v1::ServerIdAssignment {
    v1::ServerIdAssignment { address: address.to_owned(), server_id }
}

#[tokio::test]
async fn clusters() {
    let fixture = Fixture::new().await;
    let register = v1::RegisterClusterRequest { endpoints: vec!["10.0.0.2:2881".to_owned()], ..Default::default() };
    cases!(fixture.clusters().register_cluster(register.clone()):
        "endpoints" <- |request| request.endpoints.clear();
        "endpoints" <- |request| request.endpoints = (1..=33).map(|port| format!("a:{port}")).collect();
        "endpoints[1]" <- |request| request.endpoints.push("10.0.0.3".to_owned());
        "endpoints[1]" <- |request| request.endpoints.push("10.0.0.2:2881".to_owned());
        "endpoints[0]" <- |request| request.endpoints = vec![format!("{}:1", "a".repeat(255))];
        "username" <- |request| request.username = "u".repeat(129);
        "username" <- |request| request.username = "u\n".to_owned();
        "password" <- |request| request.password = "p".repeat(513);
        "expected_name" <- |request| request.expected_name = "n".repeat(129);
        "cluster_id" <- |request| request.cluster_id = Some(0);
        "cluster_id" <- |request| request.cluster_id = Some(TOO_LARGE);
        "server_ids[0].address" <- |request| request.server_ids = vec![assignment("x", 1)];
        "server_ids[0].server_id" <- |request| request.server_ids = vec![assignment("10.0.0.2:2882", 0)];
        "server_ids[1].address" <- |request| request.server_ids =
            vec![assignment("10.0.0.2:2882", 1), assignment("10.0.0.2:2882", 2)];
        "server_ids[1].server_id" <- |request| request.server_ids =
            vec![assignment("10.0.0.2:2882", 1), assignment("10.0.0.3:2882", 1)];
        "hosts" <- |request| request.hosts = vec![host(1, ""); 1001];
        "hosts[0].svr_ip" <- |request| request.hosts = vec![v1::Host { svr_ip: "h".to_owned(), ..host(1, "") }];
        "hosts[1].svr_ip" <- |request| request.hosts = vec![host(1, ""), host(1, "")];
        "hosts[0].transport" <- |request| request.hosts = vec![host(7, "")];
        "hosts[0].agent_address" <- |request| request.hosts = vec![host(2, "")];
        "hosts[0].agent_address" <- |request| request.hosts = vec![host(2, "h")];
        "hosts[0].agent_address" <- |request| request.hosts = vec![host(1, "h:1")];
        "hosts[0].agent_address" <- |request| request.hosts =
            vec![v1::Host { agent_address: "h:1".to_owned(), ..ssh_host(3, "h") }];
        "hosts[0].ssh_destination" <- |request| request.hosts = vec![ssh_host(3, "")];
        "hosts[0].ssh_destination" <- |request| request.hosts = vec![ssh_host(3, "-oProxyCommand=reboot")];
        "hosts[0].ssh_destination" <- |request| request.hosts = vec![ssh_host(3, "u@h:0")];
        "hosts[0].ssh_destination" <- |request| request.hosts = vec![ssh_host(3, &"h".repeat(254))];
        "hosts[0].ssh_destination" <- |request| request.hosts = vec![ssh_host(1, "h")];
        "default_host.transport" <- |request| request.default_host = default_host(9, Some(1), "", None);
        "default_host.agent_port" <- |request| request.default_host = default_host(2, Some(0), "", None);
        "default_host.agent_port" <- |request| request.default_host = default_host(2, None, "", None);
        "default_host.agent_port" <- |request| request.default_host = default_host(2, Some(65536), "", None);
        "default_host.agent_port" <- |request| request.default_host = default_host(1, Some(1), "", None);
        "default_host.agent_port" <- |request| request.default_host = default_host(3, Some(1), "", None);
        "default_host.ssh_user" <- |request| request.default_host = default_host(3, None, "-l", None);
        "default_host.ssh_user" <- |request| request.default_host = default_host(1, None, "u", None);
        "default_host.ssh_port" <- |request| request.default_host = default_host(3, None, "u", Some(65536));
        "default_host.ssh_port" <- |request| request.default_host = default_host(3, None, "u", Some(-1));
        "default_host.ssh_port" <- |request| request.default_host = default_host(2, Some(1), "", Some(22));
    );
    let mask =
        |paths: &[&str]| Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
    let update = v1::UpdateClusterRequest {
        cluster_id: 1,
        password: "p".to_owned(),
        update_mask: mask(&["password"]),
        ..Default::default()
    };
    cases!(fixture.clusters().update_cluster(update.clone()):
        "cluster_id" <- |request| request.cluster_id = 0;
        "update_mask" <- |request| request.update_mask = None;
        "update_mask" <- |request| request.update_mask = mask(&[]);
        "update_mask.paths[1]" <- |request| request.update_mask = mask(&["password", "name"]);
        "endpoints" <- |request| request.update_mask = mask(&["endpoints"]);
        "username" <- |request| request.update_mask = mask(&["username"]);
        "password" <- |request| request.password = "p".repeat(513);
        "hosts[0].svr_ip" <- |request| {
            request.update_mask = mask(&["hosts"]);
            request.hosts = vec![v1::Host::default()];
        };
    );
    cases!(fixture.clusters().get_cluster(v1::GetClusterRequest::default()):
        "cluster_id" <- |request| request.by = None;
        "cluster_id" <- |request| request.by = Some(By::Name(String::new()));
        "cluster_id" <- |request| request.by = Some(By::ClusterId(-1));
        "name" <- |request| request.by = Some(By::Name("n".repeat(129)));
    );
    cases!(fixture.clusters().list_clusters(v1::ListClustersRequest::default()):
        "page_size" <- |request| request.page_size = -1;
        "page_token" <- |request| request.page_token = "?".to_owned();
        "name" <- |request| request.name = "n".repeat(129);
    );
    cases!(fixture.clusters().sync_cluster(v1::SyncClusterRequest { cluster_id: 1, ..Default::default() }):
        "reason" <- |request| request.reason = "r".repeat(1001);
        "cluster_id" <- |request| request.cluster_id = 0;
    );
    cases!(fixture.clusters().deregister_cluster(v1::DeregisterClusterRequest::default()):
        "cluster_id" <- |request| request.cluster_id = -5;
    );
    assert!(fixture.service.nothing_reached(), "nothing reached the service");

    let secret = "geheim\u{0}";
    let request = v1::RegisterClusterRequest { password: secret.to_owned(), ..register.clone() };
    let status = fixture.clusters().register_cluster(request).await.unwrap_err();
    assert!(!format!("{status:?}").contains("geheim"), "a password is never repeated");
    let endpoints = (1..=32).map(|number| format!("{}{number}", "x".repeat(250))).collect();
    let request = v1::RegisterClusterRequest { endpoints, ..register };
    assert_eq!(fields(fixture.clusters().register_cluster(request).await).len(), 12, "the rest is counted");
}
