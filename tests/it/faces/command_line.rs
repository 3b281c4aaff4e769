//! The command line as users meet it: the real program against a service over a simulated cluster. What counts is the exit
//! code, what is on standard output (data, nothing else), and that standard error says what to do next.

use std::time::Duration;

use obsteward::config::Config;
use obsteward::sim::{Fault, FaultKind};
use serde_json::Value;

use crate::support::program::{Program, lasting_address};
use crate::support::{Stage, graphs, quick};

async fn stage() -> (Stage, Program) {
    stage_of(quick()).await
}

async fn stage_of(options: obsteward::sim::SimOptions) -> (Stage, Program) {
    let address = lasting_address();
    let name = options.cluster_name.clone();
    let stage = Stage::with(options, |config: &mut Config| config.server.listen = address).await;
    (stage, Program::of(address).with_cluster(&name))
}

/// Every path of a document.
fn keys(document: &Value) -> Vec<String> {
    match document {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| keys(value).into_iter().map(move |inner| format!("{key}.{inner}")))
            .collect(),
        Value::Array(items) => items.iter().flat_map(keys).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![String::new()],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_and_servers_are_registered_shown_and_forgotten() {
    let (stage, obsteward) = stage().await;
    obsteward.run("clusters deregister demo").await.with(0);
    assert_eq!(obsteward.run("clusters list --output json").await.with(0).json()["clusters"], serde_json::json!([]));

    let endpoint = stage.info(1).endpoint();
    let wrong =
        obsteward.run(&format!("clusters register --endpoint {endpoint} --no-password --name other")).await.with(3);
    assert!(wrong.err.contains("demo") && wrong.out.is_empty(), "{wrong:?}");
    let unreachable = obsteward.run("clusters register --endpoint 127.0.0.1:1 --no-password").await.with(3);
    assert!(
        unreachable.err.contains("refused: ") && unreachable.err.contains("CLUSTER_UNREACHABLE"),
        "{unreachable:?}"
    );

    let register = format!("clusters register --endpoint {endpoint} --no-password --cluster-id 7 --default-host local");
    let registered = obsteward.run(&register).await.with(0);
    assert!(
        registered.out.contains("7 demo") && registered.out.contains("local, in the obsteward server"),
        "{registered:?}"
    );
    assert!(obsteward.run(&register).await.with(3).err.contains("CLUSTER_ALREADY_REGISTERED"));

    let synced = obsteward.run("clusters sync demo").await.with(0);
    assert!(synced.out.contains("nothing has changed"), "{synced:?}");
    let updated = obsteward.run("clusters update demo --default-host grpc:62888").await.with(0);
    assert!(updated.out.contains("grpc, port 62888"), "{updated:?}");
    obsteward.run("clusters update demo --default-host local").await.with(0);

    let shown = obsteward.run("servers list demo").await.with(0);
    assert_eq!(shown.out.lines().count(), 4, "{shown:?}");
    assert_eq!(shown.out.matches("SERVING").count(), 3, "{shown:?}");
    let address = stage.info(2).address();
    let shown = obsteward.run(&format!("servers show demo {address}")).await.with(0);
    assert!(shown.out.contains("RUNNING") && shown.out.contains("power off:"), "{shown:?}");
    assert!(obsteward.run("servers show demo 10.9.9.9:2882").await.with(3).err.contains("obsteward servers list"));

    // The same as data: one document each, also of what goes wrong.
    for line in ["clusters list", "clusters show 7", "clusters sync 7", "servers list 7", "tasks list"] {
        let json = obsteward.run(&format!("{line} --output json")).await.with(0).json();
        let yaml = obsteward.run(&format!("{line} --output yaml")).await.with(0).out;
        let yaml: Value = serde_yaml_ng::from_str(&yaml).unwrap();
        // What was read again in between is newer.
        assert_eq!(keys(&yaml), keys(&json), "{line}");
    }
    for (form, last) in [("text", "TASK"), ("table", "TASK"), ("wide", "VERSION")] {
        let list = obsteward.run(&format!("servers list 7 --output {form}")).await.with(0);
        assert!(list.out.lines().next().unwrap().ends_with(last), "{list:?}");
    }
    let server = obsteward.run(&format!("servers show 7 {address} --output json")).await.with(0).json();
    assert_eq!(
        (server["process_state"].as_str(), server["safe_to_power_off"].as_bool()),
        (Some("PROCESS_STATE_RUNNING"), Some(false))
    );
    let refused = obsteward.run("clusters show 8 --output json").await.with(3);
    let error: Value = serde_json::from_str(&refused.err).unwrap();
    assert_eq!(error["error"]["code"], "NOT_FOUND");

    for line in ["stop demo db-2", "stop demo 1 --timeout 1s", "watch x", "tasks retry x", "tasks list --state done"] {
        assert!(!obsteward.run(line).await.with(2).err.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_planned_stopped_and_followed() {
    let (stage, obsteward) = stage().await;
    let (two, three) = (stage.info(2).address(), stage.info(3).address());
    let plan = obsteward.run(&format!("stop demo {two} --plan")).await.with(0);
    assert!(
        plan.out.contains("LOG_IN_SYNC") && plan.out.contains("verdict: the stop would be let through"),
        "{plan:?}"
    );
    let plan = obsteward.run(&format!("stop demo {two} --plan --output json")).await.with(0).json();
    assert_eq!(plan["plan"]["allowed"], true);

    let line = format!("stop demo {two} --request-id 6a1b3c1e-52a7-4b6c-9f6b-0d4d0e0a8f11");
    let stop = obsteward.run(&format!("{line} --watch")).await.with(0);
    let lines: Vec<&str> = stop.out.lines().collect();
    assert!(lines[0].starts_with("task ") && lines.last().unwrap().contains(" SUCCESSFUL: Stop OB server"), "{stop:?}");
    let ends = lines.iter().filter(|line| line.contains("RUNNING -> SUCCESSFUL"));
    let ended: Vec<&str> =
        ends.filter_map(|line| graphs::STOP.iter().copied().find(|step| line.contains(step))).collect();
    assert_eq!(ended, *graphs::STOP, "{stop:?}");
    // Events and nothing else: every other line begins with a moment.
    for line in &lines[1..lines.len() - 1] {
        assert!(line.starts_with("20") && &line[10..11] == "T", "{line}");
    }
    // After a lost answer the same request is asked again: the same task, although the plan blocks by now.
    let id = lines[0].split_whitespace().nth(1).unwrap();
    let again = obsteward.run(&format!("{line} --output json")).await.with(0).json();
    assert_eq!((again["task"]["id"].to_string().as_str(), &again["plan"]["allowed"]), (id, &Value::Bool(false)));

    let shown = obsteward.run(&format!("servers show demo {two}")).await.with(0);
    assert!(
        shown.out.contains("power off:") && shown.out.contains("safe") && shown.out.contains("ABSENT"),
        "{shown:?}"
    );

    // Another zone must not follow: the plan says so, a stop is refused, nothing is changed.
    for line in [format!("stop demo {three} --plan"), format!("stop demo {three}")] {
        let refused = obsteward.run(&line).await.with(3);
        assert!(format!("{}{}", refused.out, refused.err).contains("OTHER_ZONE_STOPPED"), "{refused:?}");
    }
    let refused = obsteward.run(&format!("stop demo {three} --watch --output json")).await.with(3);
    assert_eq!(refused.json()["plan"]["allowed"], false);
    serde_json::from_str::<Value>(&refused.err).unwrap();
    assert!(stage.is_free().await);

    let tasks = obsteward.run("tasks list --state successful --output json").await.with(0).json();
    let task = &tasks["tasks"][0];
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 1);
    let id = task["id"].as_i64().unwrap();
    let shown = obsteward.run(&format!("tasks show {id}")).await.with(0);
    assert!(graphs::STOP.iter().all(|step| shown.out.contains(step)), "{shown:?}");
    obsteward.run(&format!("tasks show {id} --output json")).await.with(0).json();

    // A watch that begins late has exactly the rest.
    let head = task["revision"].as_i64().unwrap();
    let rest =
        obsteward.run(&format!("watch {id} --after-revision {} --output json", head - 3)).await.with(0).json_lines();
    let revisions: Vec<_> = rest.iter().filter_map(|line| line["event"]["revision"].as_i64()).collect();
    assert_eq!(revisions, [head - 2, head - 1, head]);
    assert!(rest.last().unwrap()["result"].is_object(), "{rest:?}");
    obsteward.run("tasks show 9999999").await.with(3);
    let all =
        obsteward.run("watch --cluster demo --after-seq 0 --timeout 500ms --output json").await.with(0).json_lines();
    assert_eq!(all.iter().filter(|line| line["event"].is_object()).count() as i64, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_task_is_retried_and_given_up() {
    let (stage, obsteward) = stage().await;
    let two = stage.info(2).address();
    stage.sim.inject(Fault::on(FaultKind::RestartAfterExit { delay_ms: 800 }, 2));
    let failed = obsteward.run(&format!("stop demo {two} --watch")).await.with(1);
    // Seen by whichever step looks first.
    let result = failed.out.lines().last().unwrap();
    assert!(result.contains(" FAILED: ") && result.contains("RESTARTED_BY_OTHER"), "{failed:?}");
    let id = failed.out.split_whitespace().nth(1).unwrap();
    for verb in ["retry", "rollback", "give-up"] {
        assert!(failed.err.contains(&format!("obsteward tasks {verb} {id}")), "{failed:?}");
    }

    // It holds its cluster until somebody decides.
    let held = obsteward.run(&format!("stop demo {}", stage.info(3).address())).await.with(3);
    assert!(held.err.contains("CLUSTER_FREE") && held.err.contains(&format!("task {id} ")), "{held:?}");
    let shown = obsteward.run("clusters show demo").await.with(0);
    let held = shown.out.lines().find(|line| line.starts_with("held by task:")).unwrap_or_else(|| panic!("{shown:?}"));
    assert!(held.ends_with(id), "{held}");
    assert!(obsteward.run(&format!("tasks retry {id} --if-revision 3")).await.with(3).err.contains("TASK_MOVED"));

    // A retry consents to ending what was started meanwhile; here somebody starts it again.
    stage.sim.inject(Fault::on(FaultKind::RestartAfterExit { delay_ms: 800 }, 2));
    let retried = obsteward.run(&format!("tasks retry {id} --watch --output json")).await.with(1).json_lines();
    assert!(retried.iter().any(|line| line["event"]["verb_requested"].is_object()), "{retried:?}");
    let ended = |line: &&Value| line["event"]["intent_settled"]["outcome"] == "INTENT_OUTCOME_DONE";
    assert_eq!(retried.iter().filter(ended).count(), 1, "{retried:?}");
    let given_up = obsteward.run(&format!("tasks give-up {id}")).await.with(0);
    assert!(given_up.out.contains("GIVEN_UP"), "{given_up:?}");
    let left = given_up.err.lines().filter_map(|line| line.strip_prefix("left behind: "));
    assert!(left.clone().any(|fact| fact.starts_with(&format!("STOP_TIME of {two} is set"))), "{given_up:?}");
    assert!(left.clone().any(|fact| fact.starts_with(&format!("the process of {two} runs"))), "{given_up:?}");
    assert!(stage.is_free().await);
    assert!(obsteward.run(&format!("tasks retry {id}")).await.with(3).err.contains("VERB_NOT_ALLOWED"));
    obsteward.run(&format!("watch {id}")).await.with(1);

    // What was left behind is stopped by a new task: marked already, the process runs again.
    let stopped = obsteward.run(&format!("stop demo {two} --watch")).await.with(0);
    assert!(stopped.out.contains("Stop server                 RUNNING -> SUCCESSFUL  (was so already)"), "{stopped:?}");
}

/// A stop that waits for leaders in vain is cancelled, and its mark taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_stop_is_rolled_back_and_each_way_back_says_what_it_did() {
    let (stage, obsteward) = stage().await;
    let two = stage.info(2).address();
    let cancelled_stop = async || {
        let stop = obsteward.run(&format!("stop demo {two} --freeze --output json")).await.with(0).json();
        let id = stop["task"]["id"].as_i64().unwrap();
        let allowed = stop["task"]["allowed_verbs"].as_array().unwrap();
        assert!(allowed.iter().all(|verb| verb == "TASK_VERB_CANCEL"), "{stop}");
        stage.clients.waits_for(id, "leaders still on zone2").await;
        obsteward.run(&format!("tasks cancel {id}")).await.with(0);
        obsteward.run(&format!("watch {id}")).await.with(1);
        id
    };
    let stuck = stage.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 2));
    let id = cancelled_stop().await;
    let shown = obsteward.run(&format!("tasks show {id}")).await.with(0);
    assert!(shown.out.contains("FAILED (CANCEL)"), "{shown:?}");
    let steps: Vec<&str> = shown.out.lines().filter(|line| line.starts_with("  obsteward tasks ")).collect();
    let verbs = steps.iter().map(|step| step.split_whitespace().nth(2).unwrap());
    assert_eq!(verbs.collect::<Vec<_>>(), ["retry", "rollback", "skip", "give-up"], "{shown:?}");
    let task = obsteward.run(&format!("tasks show {id} --output json")).await.with(0).json();
    let subtasks = task["subtasks"].as_array().unwrap();
    let of = |name: &str| subtasks.iter().find(|one| one["name"] == name).unwrap().clone();
    let (prepare, stop) = (of("Prepare stop observer"), of("Stop server"));
    assert_eq!(prepare["allowed_verbs"], serde_json::json!([]));
    assert_eq!(stop["allowed_verbs"], serde_json::json!(["TASK_VERB_RETRY", "TASK_VERB_SKIP_SUBTASK"]));
    let refused = obsteward.run(&format!("tasks skip {id} {}", prepare["id"])).await.with(3);
    assert!(refused.err.contains("is SUCCESSFUL, only a FAILED one can be skipped"), "{refused:?}");
    assert!(obsteward.run(&format!("tasks skip {id} nothing")).await.with(3).err.contains("it has "), "names");
    let moved = obsteward.run(&format!("tasks rollback {id} --if-revision 3")).await.with(3);
    assert!(moved.err.contains("TASK_MOVED"), "{moved:?}");

    let back = obsteward.run(&format!("tasks rollback {id} --watch")).await.with(0);
    let lines: Vec<&str> = back.out.lines().collect();
    assert!(lines[0].contains(&format!(" is being rolled back: {two} (zone2) of cluster demo")), "{back:?}");
    assert!(lines[1].contains("ROLLBACK asked for by"), "{back:?}");
    let undone = |step: &str| format!("{step:26}  RUNNING -> PENDING  (ROLLBACK)");
    for step in ["Stop server", "Prepare stop observer"] {
        assert_eq!(back.out.matches(&undone(step)).count(), 1, "{back:?}");
    }
    assert!(lines.last().unwrap().contains(" ROLLED_BACK: Stop OB server"), "{back:?}");
    assert!(stage.is_free().await);
    let server = obsteward.run(&format!("servers show demo {two}")).await.with(0);
    assert!(server.out.contains("SERVING") && server.out.contains("RUNNING"), "{server:?}");
    // Whoever only watches it did not ask for that end.
    obsteward.run(&format!("watch {id}")).await.with(1);
    let log = obsteward.run(&format!("tasks log {id}")).await.with(0);
    assert!(log.out.contains("{ROLLBACK}") && log.out.contains("{EXECUTE}"), "{log:?}");
    for verb in ["retry", "rollback", "skip", "cancel", "give-up"] {
        let subtask = if verb == "skip" { stop["id"].to_string() } else { String::new() };
        let refused = obsteward.run(&format!("tasks {verb} {id} {subtask}")).await.with(3);
        assert!(refused.err.contains("VERB_NOT_ALLOWED"), "{refused:?}");
    }

    // A start is the same, when a task that stopped the server is in its way; then there is nothing to start.
    let id = cancelled_stop().await;
    let started = obsteward.run(&format!("start demo {two} --watch --output json")).await.with(0).json_lines();
    assert_eq!((&started[0]["task"]["id"], started[0].get("plan")), (&id.into(), None));
    assert_eq!(started.last().unwrap()["result"]["state"], "TASK_STATE_ROLLED_BACK");
    stage.sim.clear(stuck);
    let refused = obsteward.run(&format!("start demo {two}")).await.with(3);
    assert!(refused.err.contains("SERVER_STATE_NOT_ADMITTED"), "{refused:?}");
    let refused = obsteward.run("start demo 1 --expect 10.0.0.9:2882").await.with(3);
    assert!(refused.err.contains("EXPECTED_SERVER_MISMATCH"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_shows_the_plan_of_its_stop_first() {
    let (stage, obsteward) = stage().await;
    let (two, three) = (stage.info(2).address(), stage.info(3).address());
    let plan = obsteward.run(&format!("restart demo {two} --freeze --plan")).await.with(0);
    assert!(plan.out.starts_with(&format!("plan: freeze and restart {two} (zone2), ")), "{plan:?}");
    obsteward.run(&format!("stop demo {two} --type service --watch")).await.with(0);
    let refused = obsteward.run(&format!("restart demo {three}")).await.with(3);
    assert!(refused.err.contains(&format!("the restart of {three} is blocked by OTHER_ZONE_STOPPED")), "{refused:?}");
    // What the plan of a stop lets through and a restart does not: a server that does not serve.
    let refused = obsteward.run(&format!("restart demo {two}")).await.with(3);
    assert!(refused.err.contains("SERVER_STATE_NOT_ADMITTED"), "{refused:?}");
    assert!(stage.is_free().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn not_known_is_neither_done_nor_refused() {
    let (stage, obsteward) = stage().await;
    let fault = stage.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 2));
    let over = obsteward.run(&format!("stop demo {} --watch --timeout 1s", stage.info(2).address())).await.with(4);
    let hint = over.err.lines().last().unwrap().split("obsteward watch ").nth(1).unwrap_or_else(|| panic!("{over:?}"));
    stage.sim.clear(fault);
    let rest = obsteward.run(&format!("watch {hint}")).await.with(0);
    // The two together are the whole, once.
    let both = format!("{}{}", over.out, rest.out);
    for step in &*graphs::STOP {
        assert_eq!(both.matches(&format!("{step:26}  READY -> RUNNING")).count(), 1, "{step} in {both}");
    }
    let nobody = Program::of("127.0.0.1:1").run("clusters list").await.with(5);
    assert!(nobody.err.contains("no answer from http://127.0.0.1:1") && nobody.out.is_empty(), "{nobody:?}");
    // A stop that could not even ask for its plan has asked for nothing; a key that was asked for may be there.
    let nobody = Program::of("127.0.0.1:1");
    assert!(nobody.run("stop 1 2").await.with(5).err.starts_with("no answer: plan stop server: "));
    assert!(nobody.run("watch 7 --timeout 1s").await.with(5).err.contains("\nno answer: time over for task 7, "));
    assert!(nobody.run("key create").await.with(4).err.starts_with("outcome not known: create access key: "));
}

/// Who has read enough (`| head -1`) ends a reading command quietly, and takes no outcome from one that changes something.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_the_end_of_reading_and_of_nothing_else() {
    let (stage, obsteward) = stage().await;
    let (two, three) = (stage.info(2).address(), stage.info(3).address());
    let stopped = obsteward.unread(&format!("stop demo {two} --type service --watch")).await.with(0);
    assert!(!stopped.err.contains("cannot write"), "{stopped:?}");
    let task = obsteward.run("tasks list --output json").await.with(0).json()["tasks"][0].clone();
    assert_eq!(
        (task["name"].as_str(), task["state"].as_str()),
        (Some("Stop OB server"), Some("TASK_STATE_SUCCESSFUL")),
        "{task}"
    );
    let id = &task["id"];
    for line in [
        "clusters list".to_owned(),
        "clusters show demo --output json".to_owned(),
        "servers list demo".to_owned(),
        format!("servers show demo {two}"),
        "tasks list".to_owned(),
        "tasks list --output json".to_owned(),
        format!("tasks show {id}"),
        format!("tasks log {id} --follow"),
        format!("watch {id} --after-revision 0"),
        format!("stop demo {two} --plan"),
    ] {
        let ended = obsteward.unread(&line).await.with(0);
        assert_eq!(ended.err, "", "{line}");
    }
    let blocked = obsteward.unread(&format!("stop demo {three}")).await.with(3);
    assert!(blocked.err.contains("OTHER_ZONE_STOPPED"), "{blocked:?}");
    obsteward.unread(&format!("tasks cancel {id}")).await.with(3);
}

/// The watcher of a service that ends and comes back at the same address sees each event once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_where_it_was_when_the_service_comes_back() {
    let mut options = quick();
    options.durations.lease_time = Duration::from_secs(3);
    let (mut stage, obsteward) = stage_of(options).await;
    let mut watch = obsteward.start(&format!("stop demo {} --watch --output json", stage.info(2).address()));
    let running = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let moved = &line["event"]["subtask_transition"];
        moved["name"] == "Wait observer stop" && moved["to"] == "SUBTASK_STATE_RUNNING"
    };
    let before = watch.out_until(running).await;
    stage.restart().await;
    let ended = watch.ended().await.with(0);
    assert!(ended.err.contains("watch interrupted"), "{ended:?}");
    let after = ended.json_lines();
    let read = |line: &String| serde_json::from_str(line).unwrap();
    let lines: Vec<Value> = before.iter().map(read).chain(after).collect();
    let revisions: Vec<i64> = lines.iter().filter_map(|line| line["event"]["revision"].as_i64()).collect();
    let head = *revisions.last().unwrap();
    assert_eq!(revisions, (1..=head).collect::<Vec<_>>());
    assert!(lines.iter().any(|line| line["event"]["adopted"].is_object()), "nobody took the task over");
    assert_eq!(lines.last().unwrap()["result"]["state"], "TASK_STATE_SUCCESSFUL");
}
