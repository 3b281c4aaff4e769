//! What people do with grpcurl: find out what there is, stop a server, follow the task, go on after a break.

use obsteward::sim::{Fault, FaultKind};
use serde_json::{Value, json};
use tokio::process::Command;
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::program::{Ended, Started, end_of, lasting_address};
use crate::support::{Stage, quick};

/// grpcurl against one server.
struct Grpcurl {
    address: String,
}

impl Grpcurl {
    fn command(&self, options: &[&str], words: &[&str]) -> Command {
        let program = std::env::var_os("GRPCURL")
            .expect("GRPCURL is not set: run the tests with scripts/test, which installs grpcurl and sets it");
        let mut command = Command::new(program);
        command.arg("-plaintext").args(options).arg(&self.address).args(words);
        command
    }

    async fn run(&self, options: &[&str], words: &[&str]) -> Ended {
        end_of(self.command(options, words)).await
    }

    /// The answer of a call.
    async fn call(&self, method: &str, request: &Value) -> Value {
        self.run(&["-d", &request.to_string()], &[method]).await.with(0).json()
    }

    /// Every message of a stream that ends.
    async fn stream(&self, method: &str, request: &Value) -> Vec<Value> {
        let ended = self.run(&["-d", &request.to_string()], &[method]).await.with(0);
        serde_json::Deserializer::from_str(&ended.out).into_iter().map(Result::unwrap).collect()
    }
}

fn revision(event: &Value) -> Option<i64> {
    event["event"]["revision"].as_str()?.parse().ok()
}

async fn stage() -> (Stage, Grpcurl) {
    let address = lasting_address();
    let stage = Stage::with(quick(), |config| config.server.listen = address).await;
    (stage, Grpcurl { address: address.to_string() })
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_can_be_found_out() {
    let (_stage, grpcurl) = stage().await;
    let listed = grpcurl.run(&[], &["list"]).await.with(0);
    let services: Vec<&str> = listed.out.lines().collect();
    for service in ["ObServerService", "TaskService", "ClusterService", "AdminService"] {
        assert!(services.contains(&format!("obsteward.v1.{service}").as_str()), "{services:?}");
    }
    assert!(services.contains(&"grpc.health.v1.Health"), "{services:?}");
    let described = grpcurl.run(&[], &["describe", "obsteward.v1.ObServerService"]).await.with(0);
    assert!(described.out.contains("// Records a durable task that stops a server"), "{described:?}");
    for (service, calls) in [
        ("ObServerService", ["StopServer", "StartServer", "RestartServer", "PlanStopServer"]),
        ("TaskService", ["RetryTask", "RollbackTask", "SkipSubtask", "CancelTask"]),
    ] {
        let described = grpcurl.run(&[], &["describe", &format!("obsteward.v1.{service}")]).await.with(0);
        for call in calls {
            assert!(described.out.contains(&format!("rpc {call} ")), "{call} is not in {described:?}");
        }
    }
    let described = grpcurl.run(&[], &["describe", "obsteward.v1.StopServerRequest"]).await.with(0);
    assert!(described.out.contains("// UUID of this request"), "{described:?}");
    let healthy = grpcurl.call("grpc.health.v1.Health/Check", &json!({ "service": "obsteward.v1.TaskService" })).await;
    assert_eq!(healthy["status"], "SERVING");

    // Older programs ask for reflection v1alpha, newer ones for v1.
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", grpcurl.address)).unwrap();
    let channel = channel.connect().await.unwrap();
    let ask = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(ask)).await.unwrap().into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap());
    assert!(answer.contains("obsteward.v1.TaskService"), "{answer}");
    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(tokio_stream::once(ask)).await.unwrap().into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap());
    assert!(answer.contains("obsteward.v1.TaskService"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_stopped_and_a_watcher_that_dropped_goes_on() {
    let (stage, grpcurl) = stage().await;
    // The leaders stay until the first watcher has gone.
    let fault = stage.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 2));
    let stop = json!({
        "cluster_id": stage.cluster_id,
        "server_id": stage.server(2).await.id,
        "expected_server": stage.info(2).address(),
        "request_id": "6a1b3c1e-52a7-4b6c-9f6b-0d4d0e0a8f11",
    });
    let task = grpcurl.call("obsteward.v1.ObServerService/StopServer", &stop).await["task"].clone();
    let again = grpcurl.call("obsteward.v1.ObServerService/StopServer", &stop).await["task"].clone();
    assert_eq!(task["id"], again["id"], "a repeated request is the same task");

    let watch = json!({ "task_id": task["id"], "after_revision": "0" });
    let mut first = Started::of(grpcurl.command(&["-d", &watch.to_string()], &["obsteward.v1.TaskService/WatchTask"]));
    let read = first.out_until(|line| line.contains("\"intentRecorded\"")).await.join("\n");
    drop(first);
    stage.sim.clear(fault);
    // Cut off in the middle of a message: what was whole counts.
    let seen: Vec<Value> = serde_json::Deserializer::from_str(&read).into_iter().map_while(Result::ok).collect();
    let seen: Vec<i64> = seen.iter().filter_map(revision).collect();
    assert!(seen.len() > 2, "{read}");

    let watch = json!({ "task_id": task["id"], "after_revision": seen.last() });
    let rest = grpcurl.stream("obsteward.v1.TaskService/WatchTask", &watch).await;
    let all: Vec<i64> = seen.iter().copied().chain(rest.iter().filter_map(revision)).collect();
    assert_eq!(all, (1..=*all.last().unwrap()).collect::<Vec<_>>(), "each event once, in order");
    assert_eq!(rest.last().unwrap()["bookmark"]["state"], "TASK_STATE_SUCCESSFUL", "{rest:?}");
    let task = grpcurl.call("obsteward.v1.TaskService/GetTask", &json!({ "task_id": task["id"] })).await;
    assert_eq!(task["task"]["state"], "TASK_STATE_SUCCESSFUL");

    // What is not at rest is not rolled back; a refusal is a status with its reason.
    let rollback = json!({ "task_id": task["task"]["id"] });
    let refused = grpcurl.run(&["-d", &rollback.to_string()], &["obsteward.v1.TaskService/RollbackTask"]).await;
    assert!(refused.code != Some(0) && refused.err.contains("VERB_NOT_ALLOWED"), "{refused:?}");
    let start = json!({ "cluster_id": stage.cluster_id, "server_id": stage.server(1).await.id });
    let refused = grpcurl.run(&["-d", &start.to_string()], &["obsteward.v1.ObServerService/StartServer"]).await;
    assert!(refused.code != Some(0) && refused.err.contains("SERVER_STATE_NOT_ADMITTED"), "{refused:?}");
    let stop = json!({ "cluster_id": stage.cluster_id, "server_id": 999 });
    let refused = grpcurl.run(&["-d", &stop.to_string()], &["obsteward.v1.ObServerService/StopServer"]).await;
    assert!(refused.code != Some(0) && refused.err.contains("NotFound"), "{refused:?}");
    assert!(refused.err.contains("SERVER_NOT_FOUND"), "the details are not shown: {refused:?}");
}
