//! `obsteward tasks diagnose`, as people call it who hand the document on: it is whole, it holds no secret, and a part that
//! does not answer costs only itself.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use obsteward::app::{App, AppError};
use obsteward::clock::{Clock, monotonic_now};
use obsteward::proto::v1;
use obsteward::sim::{SimCluster, SimOptions};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::program::{Ended, Program};
use crate::support::{Clients, callers, config, in_order, quick};

const PASSWORD: &str = "correct-horse-battery";
const CLUSTER_PASSWORD: &str = "geheim-4711-cluster";

/// A service with users over a cluster with a password.
struct Place {
    sim: SimCluster,
    directory: TempDir,
    address: SocketAddr,
    cluster_id: i64,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), AppError>>,
}

impl Place {
    async fn new() -> Self {
        let options = SimOptions { password: CLUSTER_PASSWORD.to_owned(), ..quick() };
        let sim = SimCluster::start(options).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        let password_file = directory.path().join("password");
        std::fs::write(&password_file, format!("{PASSWORD}\n")).unwrap();
        config.auth.enabled = true;
        let user = |name: &str, role: &str| callers::user(name, role, &password_file);
        config.auth.users = vec![user("admin", "ADMIN"), user("viewer", "CLUSTER_VIEWER")];
        let app = App::build(&config, Clock::system()).await.unwrap();
        let address = app.address();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(app.run(shutdown.clone()));
        let request = v1::RegisterClusterRequest {
            endpoints: sim.endpoints(),
            username: "root@sys".to_owned(),
            password: CLUSTER_PASSWORD.to_owned(),
            default_host: Some(v1::DefaultHost { transport: v1::HostTransport::Local as i32, ..Default::default() }),
            ..Default::default()
        };
        let admin = Clients::user(address, "admin", PASSWORD);
        let cluster = admin.clusters.clone().register_cluster(request).await.unwrap().into_inner().cluster.unwrap();
        Self { sim, directory, address, cluster_id: cluster.id, shutdown, running }
    }

    async fn stopped(&self) -> v1::Task {
        let admin = Clients::user(self.address, "admin", PASSWORD);
        let ip = self.sim.server(2).unwrap().ip;
        let servers = admin.list_servers(self.cluster_id).await;
        let server_id = servers.into_iter().find(|server| server.ip == ip).unwrap().id;
        let request = v1::StopServerRequest { cluster_id: self.cluster_id, server_id, ..Default::default() };
        let task = admin.stop_with(request).await.unwrap();
        admin.at_rest(task.id).await
    }

    /// Runs the command as a user; whatever it wrote holds no password.
    async fn diagnose(&self, user: &str, line: &str) -> Ended {
        let password_file = self.directory.path().join("password");
        let login = format!("--user {user} --password-file {}", password_file.display());
        let ended = Program::of(self.address).run(&format!("tasks diagnose {line} {login}")).await;
        without_secrets(&ended.out);
        without_secrets(&ended.err);
        ended
    }
}

fn without_secrets(text: &str) {
    assert!(!text.contains(PASSWORD) && !text.contains(CLUSTER_PASSWORD), "a secret is in {text}");
}

fn parts_not_read(document: &Value) -> Vec<&str> {
    document["not_read"].as_array().unwrap().iter().map(|missing| missing["part"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diagnosis_is_whole_without_secrets_and_bounded() {
    let place = Place::new().await;
    let task = place.stopped().await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    let id = task.id;

    let whole = place.diagnose("admin", &id.to_string()).await.with(0).json();
    assert_eq!(parts_not_read(&whole), Vec::<&str>::new(), "{whole:#}");
    assert_eq!(
        (whole["task"]["id"].as_i64(), whole["task"]["state"].as_str()),
        (Some(id), Some("TASK_STATE_SUCCESSFUL"))
    );
    let events = whole["events"].as_array().unwrap();
    let revisions: Vec<i64> = events.iter().map(|event| event["revision"].as_i64().unwrap()).collect();
    assert_eq!(revisions, (1..=task.revision).collect::<Vec<_>>());
    let logs = whole["logs"].as_array().unwrap();
    let logged: Vec<_> = logs.iter().map(|log| log["subtask"].as_str().unwrap().to_owned()).collect();
    assert_eq!(logged, in_order(&task).into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    let said = |log: &Value| log["lines"].to_string();
    assert!(
        said(&logs[1]).contains("ALTER SYSTEM STOP SERVER") && !said(&logs[0]).contains("ALTER SYSTEM"),
        "{logs:?}"
    );
    assert_eq!(whole["cluster"]["id"].as_i64(), Some(place.cluster_id));
    assert_eq!(
        (whole["server"]["process_state"].as_str(), whole["server"]["safe_to_power_off"].as_bool()),
        (Some("PROCESS_STATE_ABSENT"), Some(true))
    );
    assert!(whole["plan"]["checks"].as_array().unwrap().len() > 5, "{whole:#}");
    let audit = whole["audit"]["records"].as_array().unwrap();
    assert!(audit.iter().any(|record| record["operation"] == "STOP_OB_SERVER"), "{audit:?}");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        (whole["versions"]["client"].as_str(), whole["versions"]["server"].as_str()),
        (Some(version), Some(version))
    );

    // Who may not read the audit log gets the rest, and is told.
    let viewed = place.diagnose("viewer", &id.to_string()).await.with(0);
    assert!(viewed.err.contains("could not read audit: PERMISSION_DENIED"), "{viewed:?}");
    let viewed = viewed.json();
    assert_eq!((parts_not_read(&viewed), &viewed["audit"]), (vec!["audit"], &Value::Null));
    assert_eq!((&viewed["events"], &viewed["logs"]), (&whole["events"], &whole["logs"]));

    // Observers that take connections and say nothing: what needs them is given up in time, and nothing else.
    let others: Vec<u32> = [1, 3].map(|server| place.sim.server(server).unwrap().pid.unwrap()).to_vec();
    let signal =
        |signal| others.iter().for_each(|pid| kill_process(Pid::from_raw(*pid as i32).unwrap(), signal).unwrap());
    signal(Signal::STOP);
    let file = place.directory.path().join("diagnosis.json");
    let began = monotonic_now();
    let silent = place.diagnose("admin", &format!("{id} --timeout 2s --file {}", file.display())).await.with(0);
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    signal(Signal::CONT);
    assert!(silent.out.is_empty() && silent.err.contains("diagnosis.json"), "{silent:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    without_secrets(&text);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let silent: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parts_not_read(&silent), ["server", "plan"]);
    assert!(
        silent["not_read"].as_array().unwrap().iter().all(|missing| missing["error"]["code"] == "DEADLINE_EXCEEDED")
    );
    for part in ["events", "logs", "cluster", "audit"] {
        assert_eq!(silent[part], whole[part], "{part}");
    }
    place.diagnose("admin", "999999").await.with(3);
    place.shutdown.cancel();
    place.running.await.unwrap().unwrap();
}
