//! The contract: a stop answers what its sample shows, key by key, and the other shapes say the same.

use axum::body::Body;
use http::Request;
use obsteward::clock::Timestamp;
use obsteward::config::TaskShape;
use obsteward::domain::call::Call;
use obsteward::domain::decide::{Input, StepOutput, VerbRequest};
use obsteward::domain::event::{Failure, FailureKind, SubtaskOperation};
use obsteward::domain::ids::SubtaskId;
use obsteward::operations;
use obsteward::store::{LogLine, Store};
use serde_json::{Value, json};

use super::sample_task::SAMPLE_TASK;
use super::{Answer, Fixture, STOP};
use crate::support::redacted::redacted;
use crate::support::stored_tasks::{asks, cluster_id, subtask_id, task_id};

/// The sample of the documented API (docs/ocp-v2.md#the-sample-of-the-stop), word by word.
const SAMPLE: &str = include_str!("sample.json");

pub fn sample() -> Value {
    serde_json::from_str(SAMPLE).unwrap()
}

/// The same keys, nesting and types; items of a list as the sample's first.
pub fn assert_same_shape(path: &str, is: &Value, sample: &Value) {
    match (is, sample) {
        (Value::Object(is), Value::Object(sample)) => {
            assert!(is.keys().eq(sample.keys()), "{path}: {:?} {:?}", is.keys(), sample.keys());
            is.iter().for_each(|(key, value)| assert_same_shape(&format!("{path}.{key}"), value, &sample[key]));
        }
        (Value::Array(is), Value::Array(sample)) => {
            for item in is {
                assert_same_shape(&format!("{path}[]"), item, sample.first().unwrap_or(item));
            }
        }
        (Value::Bool(_), Value::Bool(_)) | (Value::String(_), Value::String(_)) => {}
        (Value::Number(is), Value::Number(sample)) => assert_eq!(is.is_i64(), sample.is_i64(), "{path}"),
        (is, sample) => panic!("{path}: {is} where the sample has {sample}"),
    }
}

#[tokio::test]
async fn a_stop_answers_the_contracts_sample() {
    let fixture = Fixture::admin(|_| ()).await;
    fixture.accept(&operations::STOP_PROCESS).await;
    let response = fixture.send(Request::post(STOP).body(Body::empty()).unwrap()).await;
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    assert_same_shape("", &answer, &sample());
    // The same task, so the same words: only the moment of its start is this test's.
    assert_eq!(answer["data"]["startTime"], "1970-01-01T08:00:00.001+08:00");
    answer["data"]["startTime"] = sample()["data"]["startTime"].clone();
    assert_eq!(answer["data"], sample()["data"]);
    assert_eq!(answer["server"], sample()["server"]);
    // Keys are written in alphabetical order, as in the sample.
    assert_eq!(text.replace(char::is_whitespace, "").find("\"data\":{\"cluster\":{\"id\":20,"), Some(1), "{text}");
    insta::assert_json_snapshot!(redacted(&answer));
}

#[tokio::test]
async fn the_shape_of_version_4_is_a_setting() {
    let fixture = Fixture::admin(|config| config.task_shape = TaskShape::V4).await;
    fixture.accept(&operations::STOP_SERVICE).await;
    let answer = fixture.post_json(STOP, r#"{"type":"STOP_SERVICE","unknown":[1]}"#).await;
    assert_eq!(answer.body["data"]["context"]["listMap"], json!({"server_ids": ["3"]}));
    insta::assert_json_snapshot!(redacted(&answer.body["data"]));
}

#[tokio::test]
async fn a_task_on_its_own_shows_its_errors_and_the_stop_does_not() {
    let fixture = Fixture::admin(|_| ()).await;
    let stored = fixture.accept(&operations::STOP_PROCESS).await;
    let prepare = stored.task.subtasks.iter().find(|one| one.spec.name == "Prepare stop observer").unwrap();
    let failure = Failure::new(FailureKind::Expired, "EXPIRED", "consent ended");
    let warnings = vec![("LEFT_BEHIND".to_owned(), "STOP_TIME is set".to_owned())];
    let output = StepOutput { warnings, ..StepOutput::default() };
    let input = Input::StepFailed { subtask: prepare.spec.id, failure, output, looked: true };
    fixture.store.decide(task_id(SAMPLE_TASK), input);
    let by_path = fixture.get(&format!("/api/v2/tasks/instances/{SAMPLE_TASK}")).await;
    let by_alias = fixture.get(&format!("/api/v2/tasks/{SAMPLE_TASK}")).await;
    assert_eq!(by_path.body["data"], by_alias.body["data"]);
    let task = &by_path.body["data"];
    assert_eq!((&task["status"], &task["error"]["code"]), (&json!("FAILED"), &json!("EXPIRED")), "{task}");
    assert_eq!(task["cluster"], json!({"id": 20, "name": "ob_upgrade", "obClusterId": 20, "type": "PRIMARY"}));
    assert_eq!(task["creator"], json!({"id": 100, "name": "admin"}));
    assert!(task["finishTime"].is_string() && task["subtasks"][5]["error"]["message"] == "consent ended", "{task}");
    assert_eq!(task["warnings"], json!([{"code": "LEFT_BEHIND", "message": "STOP_TIME is set"}]));
    assert_eq!(task["allowedVerbs"], json!(["RETRY", "ROLLBACK", "GIVE_UP"]), "of this step nothing can be skipped");
    assert_eq!(task["subtasks"][5]["canSkip"], false, "{task}");
    let stopped = fixture.post(STOP).await;
    assert!(!stopped.body.to_string().contains("consent ended"));
}

#[tokio::test]
async fn a_subtask_is_run_again_with_its_task_and_only_when_it_failed() {
    let fixture = Fixture::admin(|_| ()).await;
    let stored = fixture.accept(&operations::STOP_PROCESS).await;
    let named = |name: &str| stored.task.subtasks.iter().find(|one| one.spec.name == name).unwrap().spec.id;
    let (prepare, stop) = (named("Prepare stop observer"), named("Stop server"));
    let retry = |id: SubtaskId| format!("/api/v2/tasks/instances/{SAMPLE_TASK}/subtasks/{id}/retry");
    let refused = fixture.post(&retry(prepare)).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (409, "SUBTASK_NOT_FAILED"));
    assert_eq!(refused.body["error"]["code"], 4007);
    assert_eq!(refused.body["error"]["target"], format!("tasks/{SAMPLE_TASK}/subtasks/{prepare}"));
    let failure = Failure::new(FailureKind::Expired, "EXPIRED", "consent ended");
    let input = Input::StepFailed { subtask: prepare, failure, output: StepOutput::default(), looked: true };
    fixture.store.decide(task_id(SAMPLE_TASK), input);
    assert_eq!(fixture.post(&retry(stop)).await.reason(), "SUBTASK_NOT_FAILED");
    // Nothing was asked of the task.
    assert_eq!(fixture.refused().last(), Some(&(Call::RetryTask, "SUBTASK_NOT_FAILED".to_owned())));
    assert_unknown(fixture.post(&retry(SubtaskId::new(7).unwrap())).await);
    let head = fixture.store.log().last().unwrap().revision;
    let answer = fixture.post(&retry(prepare)).await;
    assert_eq!((answer.status.as_u16(), &answer.body["data"]["id"]), (200, &json!(prepare.get())));
    assert_eq!(fixture.last_call(), format!("RETRY_TASK task {SAMPLE_TASK}: if_revision={head} expire_time="));
}

#[tokio::test]
async fn a_subtask_is_cancelled_with_its_task_and_only_while_it_runs() {
    let fixture = Fixture::admin(|_| ()).await;
    let stored = fixture.accept(&operations::STOP_PROCESS).await;
    let named = |name: &str| stored.task.subtasks.iter().find(|one| one.spec.name == name).unwrap().spec.id;
    let (prepare, stop) = (named("Prepare stop observer"), named("Stop server"));
    let cancel = |id: SubtaskId| format!("/api/v2/tasks/instances/{SAMPLE_TASK}/subtasks/{id}/cancel");
    let refused = fixture.post(&cancel(stop)).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (409, "SUBTASK_NOT_RUNNING"));
    assert_eq!(refused.body["error"]["code"], 4007);
    assert_eq!(
        fixture.refused(),
        [(Call::CancelTask, "SUBTASK_NOT_RUNNING".to_owned())],
        "nothing was asked of the task"
    );
    assert_unknown(fixture.post(&cancel(SubtaskId::new(7).unwrap())).await);
    let head = fixture.store.log().last().unwrap().revision;
    let answer = fixture.post(&cancel(prepare)).await;
    assert_eq!((answer.status.as_u16(), answer.body.get("data")), (200, None), "{}", answer.body);
    assert_eq!(fixture.last_call(), format!("CANCEL_TASK task {SAMPLE_TASK}: if_revision={head} expire_time="));
    assert_eq!(fixture.post(&cancel(prepare)).await.reason(), "SUBTASK_NOT_RUNNING", "it was told to end already");
}

fn assert_unknown(answer: Answer) {
    assert_eq!((answer.status.as_u16(), answer.reason()), (404, "SUBTASK_NOT_FOUND"));
    assert_eq!((&answer.body["error"]["code"], &answer.body["error"]["target"]), (&json!(4001), &json!("subtasks/7")));
}

#[tokio::test]
async fn a_task_is_rolled_back_and_a_subtask_skipped_as_the_caller_asks() {
    let fixture = Fixture::admin(|_| ()).await;
    let ask = async |path: &str, call: &str| {
        let answer = fixture.post(&format!("/api/v2/tasks/instances/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let (id, verb) = path.split_once('/').unwrap();
        let shown = answer.body.get("data").map_or(String::new(), |task| task["id"].to_string());
        assert_eq!(shown, if verb.starts_with("subtasks") { "" } else { id }, "{path}");
        assert_eq!(fixture.last_call(), call);
    };
    let fails = |number: i64| {
        let id = task_id(number);
        fixture.store.create(id, cluster_id(number));
        fixture.store.dispatch(id);
        fixture.store.succeed(id, 1);
        fixture.store.fail(id, 2);
    };
    (1..=4).for_each(fails);
    // For one revision only: of another, nothing is done.
    for path in ["retry", "rollback", "cancel", "giveUp", "subtasks/102/skip"] {
        let of = |revision: &str| format!("/api/v2/tasks/instances/1/{path}?ifRevision={revision}");
        assert_eq!(fixture.post(&of("1")).await.reason(), "TASK_MOVED", "{path}");
        assert_eq!(fixture.post(&of("x")).await.reason(), "INVALID_ARGUMENT", "{path}");
    }
    let head = fixture.store.log().last().unwrap().revision;
    let retry = format!("RETRY_TASK task 1: if_revision={head} expire_time=");
    ask(&format!("1/retry?ifRevision={head}"), &retry).await;
    ask("2/subtasks/202/skip", "SKIP_SUBTASK task 2 subtask 202: if_revision=").await;
    fixture.store.dispatch(task_id(2));
    ask("2/cancel", "CANCEL_TASK task 2: if_revision= expire_time=").await;
    ask("4/rollback", "ROLLBACK_TASK task 4: if_revision= expire_time=").await;
    ask("3/giveUp", "GIVE_UP_TASK task 3: if_revision= expire_time=").await;
    // What is wrong with either is in the audit log.
    for (path, call) in [
        ("/api/v2/tasks/instances/0/rollback", Call::RollbackTask),
        ("/api/v2/tasks/instances/1/subtasks/x/skip", Call::SkipSubtask),
    ] {
        assert_eq!(fixture.post(path).await.reason(), "INVALID_ARGUMENT", "{path}");
        assert_eq!(fixture.refused().last(), Some(&(call, "INVALID_ARGUMENT".to_owned())));
    }
}

/// What can be asked of a task that failed, that is undone, and that is closed: programs look at these before they ask.
#[tokio::test]
async fn what_is_prohibited_is_never_possible() {
    let fixture = Fixture::admin(|config| config.task_shape = TaskShape::V4).await;
    let stored = fixture.accept(&operations::STOP_PROCESS).await;
    let prepare = stored.task.subtasks.iter().find(|one| one.spec.name == "Prepare stop observer").unwrap().spec.id;
    let prohibited = async || {
        let task = fixture.get(&format!("/api/v2/tasks/instances/{SAMPLE_TASK}")).await.body["data"].clone();
        let all = task["subtasks"].as_array().unwrap().clone();
        let of = move |key: &str| all.iter().filter(|one| one[key] == true).count();
        assert_eq!(of("prohibitRollback"), if task["prohibitRollback"] == true { 8 } else { 0 });
        (task["status"].clone(), task["operation"].clone(), task["prohibitRollback"].clone(), of("prohibitSkip"))
    };
    let shown = |status, operation, rollback: bool, skip| (json!(status), json!(operation), json!(rollback), skip);
    assert_eq!(prohibited().await, shown("RUNNING", "EXECUTE", false, 1));
    let failure = Failure::new(FailureKind::Expired, "EXPIRED", "consent ended");
    let failed = Input::StepFailed { subtask: prepare, failure, output: StepOutput::default(), looked: true };
    fixture.store.decide(task_id(SAMPLE_TASK), failed);
    assert_eq!(prohibited().await, shown("FAILED", "EXECUTE", false, 1));
    let asked = VerbRequest::Rollback { expire_time: None };
    fixture.store.decide(task_id(SAMPLE_TASK), asks(asked));
    fixture.store.dispatch(task_id(SAMPLE_TASK));
    assert_eq!(prohibited().await, shown("RUNNING", "ROLLBACK", false, 0));
    let (output, executor) = (StepOutput::default(), "ocp-1:4711".to_owned());
    fixture.store.decide(task_id(SAMPLE_TASK), Input::StepUndone { subtask: prepare, output, executor });
    assert_eq!(prohibited().await, shown("FAILED", "ROLLBACK", true, 8));
}

/// Name, id, upstream and timeout of every subtask, as in the samples of `…/start` and `…/restart`
/// (docs/ocp-v2.md#task-graphs).
#[tokio::test]
async fn a_start_and_a_restart_answer_the_documented_graphs_in_either_shape() {
    const START: &[(i64, &str, &[i64], u64)] = &[
        (133_858, "Prepare start observer", &[], 300),
        (133_851, "Start observer process", &[133_858], 1200),
        (133_855, "Wait observer active", &[133_851], 1800),
        (133_856, "Start ocp agent service", &[133_855], 1800),
        (133_854, "Start server", &[133_856], 300),
        (133_852, "Update observer status", &[133_854], 300),
        (133_853, "Update zone status", &[133_852], 1800),
        (133_859, "Sync cluster info", &[133_853], 30),
        (133_857, "Update OB cluster status", &[133_859], 30),
    ];
    // The sample's ids leave one out; their order is its.
    const RESTART: &[(i64, &str, &[i64], u64)] = &[
        (89_030_475, "Prepare restart observer", &[], 300),
        (89_030_481, "Stop server", &[89_030_475], 300),
        (89_030_476, "Stop observer process", &[89_030_481], 1200),
        (89_030_478, "Start observer process", &[89_030_476], 1200),
        (89_030_480, "Wait observer active", &[89_030_478], 1800),
        (89_030_472, "Start ocp agent service", &[89_030_480], 1800),
        (89_030_482, "Start server", &[89_030_472], 300),
        (89_030_473, "Update observer status", &[89_030_482], 300),
        (89_030_477, "Update zone status", &[89_030_473], 1800),
        (89_030_479, "Sync cluster info", &[89_030_477], 30),
        (89_030_474, "Update OB cluster status", &[89_030_479], 30),
    ];
    let operations = [
        ("start", &operations::START, 111_125, "Start OB server", START),
        ("restart", &operations::RESTART, 89_027_028, "Restart OB server", RESTART),
    ];
    for (operation, request, id, name, graph) in operations {
        let legacy = Fixture::admin(|_| ()).await;
        let v4 = Fixture::admin(|config| config.task_shape = TaskShape::V4).await;
        for fixture in [&legacy, &v4] {
            fixture.accept(request).await;
        }
        let path = format!("/api/v2/ob/clusters/20/servers/3/{operation}");
        let (old, new) = (legacy.post(&path).await.body["data"].clone(), v4.post(&path).await.body["data"].clone());
        // The keys of the stop's sample, which are those of the start's.
        assert!(old.as_object().unwrap().keys().eq(sample()["data"].as_object().unwrap().keys()), "{old}");
        for (task, key) in [(&old, "tasks"), (&new, "subtasks")] {
            assert_eq!((&task["id"], &task["name"], &task["status"]), (&json!(id), &json!(name), &json!("RUNNING")));
            let subtasks = task[key].as_array().unwrap();
            assert_eq!(subtasks.len(), graph.len());
            assert!(subtasks.is_sorted_by_key(|one| one["id"].as_i64()));
            for (id, name, upstreams, timeout) in graph {
                let found = subtasks.iter().find(|one| one["id"] == *id).unwrap_or_else(|| panic!("{id} in {task}"));
                assert_eq!((&found["name"], &found["upstreams"]), (&json!(name), &json!(upstreams)), "{found}");
                let leads: Vec<i64> = graph.iter().filter(|(_, _, of, _)| of.contains(id)).map(|one| one.0).collect();
                assert_eq!((&found["downstreams"], &found["operation"]), (&json!(leads), &json!("EXECUTE")), "{found}");
                if key == "subtasks" {
                    assert_eq!(found["timeout"], *timeout, "{found}");
                    assert_eq!(found["prohibitSkip"], upstreams.is_empty(), "{found}");
                }
            }
        }
    }
    let class = |name: &str| format!("com.alipay.ocp.service.task.business.server.{name}");
    let v4 = Fixture::admin(|config| config.task_shape = TaskShape::V4).await;
    v4.accept(&operations::RESTART).await;
    let restart = v4.post("/api/v2/ob/clusters/20/servers/3/restart").await;
    let classes: Vec<&Value> =
        restart.body["data"]["subtasks"].as_array().unwrap().iter().map(|one| &one["className"]).collect();
    for name in
        ["PrepareRestartObServerTask", "StartObServerProcessTask", "WaitObServerActiveTask", "StartObServerTask"]
    {
        assert!(classes.contains(&&json!(class(name))), "{name} {classes:?}");
    }
}

#[tokio::test]
async fn lists_have_contents_and_pages() {
    let fixture = Fixture::admin_of(1..=20, |_| ()).await;
    fixture.accept(&operations::STOP_PROCESS).await;
    (1..=20).for_each(|task| fixture.store.create(task_id(task), cluster_id(20)));
    fixture.store.create(task_id(21), cluster_id(1));
    fixture.store.run(task_id(22), cluster_id(20));
    let answer = fixture
        .get("/api/v2/tasks/instances?name=stop&status=RUNNING,FAILED&cluterName=ob_upgrade&page=3&size=5&sort=name,desc")
        .await;
    let page = json!({"number": 3, "size": 5, "totalElements": 21, "totalPages": 5});
    assert_eq!(answer.body["data"]["page"], page);
    assert_eq!(answer.body["data"]["contents"].as_array().map(Vec::len), Some(5));
    let last = fixture.get("/api/v2/tasks/instances?clusterId=20&status=RUNNING&size=30").await;
    let steps =
        last.body["data"]["contents"].as_array().unwrap().iter().find(|task| task["id"] == SAMPLE_TASK).unwrap();
    assert_eq!(steps["subtasks"].as_array().unwrap().len(), 8);
    for nothing in
        ["clusterName=nowhere", "type=SCHEDULED", "tenantId=7", "clusterName=ob1&clusterId=2", "name=restart"]
    {
        let answer = fixture.get(&format!("/api/v2/tasks/instances?{nothing}")).await;
        assert_eq!(answer.body["data"]["page"]["totalElements"], 0, "{nothing}");
    }
    let clusters = fixture.get("/api/v2/ob/clusters?name=ob1&status=RUNNING,CREATING").await;
    assert_eq!(clusters.body["data"]["page"]["totalPages"], 2);
    assert_eq!(clusters.body["data"]["page"]["totalElements"], 11, "ob1 and ob10 to ob19");
    assert!(!clusters.body.to_string().contains("geheim"));
    let none = fixture.get("/api/v2/ob/clusters?status=CREATING").await;
    assert_eq!(none.body["data"]["contents"], json!([]));
}

#[tokio::test]
async fn a_server_shows_when_it_was_stopped_and_what_can_be_asked() {
    let fixture = Fixture::admin(|_| ()).await;
    let server = fixture.get("/api/v2/ob/clusters/3/servers/27").await;
    insta::assert_json_snapshot!(server.body["data"]);
    for (path, count) in [
        ("/api/v2/ob/clusters/1/servers", 3),
        ("/api/v2/ob/clusters/1/servers?regionName=r&idcName=i", 3),
        ("/api/v2/ob/clusters/1/servers?regionName=elsewhere", 0),
        ("/api/v2/clusters/1/zones/zone1/servers", 3),
        ("/api/v2/ob/clusters/1/zones", 1),
    ] {
        let answer = fixture.get(path).await;
        assert_eq!(answer.body["data"]["contents"].as_array().map(Vec::len), Some(count), "{path}");
    }
}

#[tokio::test]
async fn a_log_is_one_text_with_a_head_for_each_execution_and_operation() {
    let fixture = Fixture::admin(|_| ()).await;
    fixture.store.create(task_id(1), cluster_id(1));
    let line = |run_time, operation, seconds: i64, text: &str| LogLine {
        subtask: subtask_id(task_id(1), 1),
        run_time,
        at: Timestamp::from_micros(seconds * 1_000_000),
        text: text.to_owned(),
        operation,
    };
    // The first two as a version wrote them that kept no operation.
    let lines = vec![
        line(1, None, 1, "looked"),
        line(1, None, 2, "failed"),
        line(2, None, 3, "looked again"),
        line(2, Some(SubtaskOperation::Retry), 4, "done"),
        line(2, Some(SubtaskOperation::Rollback), 5, "looked what is left"),
        line(2, Some(SubtaskOperation::RollbackSkip), 6, "counts as undone"),
    ];
    fixture.store.write_lines(task_id(1), lines);
    let answer = fixture.get("/api/v2/tasks/instances/1/subtasks/101/log").await;
    let expected = "############{EXECUTE}{1970-01-01T08:00:01.000+08:00}############\n\
                    1970-01-01T08:00:01.000+08:00 looked\n\
                    1970-01-01T08:00:02.000+08:00 failed\n\
                    ############{RETRY}{1970-01-01T08:00:03.000+08:00}############\n\
                    1970-01-01T08:00:03.000+08:00 looked again\n\
                    1970-01-01T08:00:04.000+08:00 done\n\
                    ############{ROLLBACK}{1970-01-01T08:00:05.000+08:00}############\n\
                    1970-01-01T08:00:05.000+08:00 looked what is left\n\
                    ############{SKIP}{1970-01-01T08:00:06.000+08:00}############\n\
                    1970-01-01T08:00:06.000+08:00 counts as undone";
    assert_eq!(answer.body["data"], json!({ "log": expected }));
    // From a line on, with the number of the one that comes next: a program asks for that.
    let count = expected.lines().filter(|line| !line.starts_with('#')).count();
    let path = "/api/v2/tasks/instances/1/subtasks/101/log?fromLine=";
    let last = fixture.get(&format!("{path}{count}")).await.body;
    assert_eq!(last["data"]["nextLine"], json!(count + 1));
    assert_eq!(last["data"]["log"].as_str().unwrap().lines().last(), expected.lines().last());
    let none = fixture.get(&format!("{path}{}", count + 1)).await.body;
    assert_eq!(none["data"], json!({ "log": "", "nextLine": count + 1 }));
}

#[tokio::test(start_paused = true)]
async fn a_stop_whose_client_goes_away_is_recorded_and_begun_all_the_same() {
    let fixture = Fixture::new().await;
    fixture.store.switches.held.send_replace(true);
    let request = Request::post(STOP).body(Body::empty()).unwrap();
    let left = tokio::time::timeout(std::time::Duration::from_secs(1), fixture.send(request)).await;
    assert!(left.is_err() && fixture.store.log().is_empty());
    let mut committed = fixture.store.committed();
    fixture.store.switches.held.send_replace(false);
    let recorded = committed.wait_for(|seq| seq.get() > 0);
    assert!(tokio::time::timeout(std::time::Duration::from_secs(10), recorded).await.is_ok());
}
