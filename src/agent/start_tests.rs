//! Starts of shell scripts in the place of an observer; those of observers that go on to serve stand in
//! `tests/it/e2e/start_process.rs`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::agent::candidate::PROGRAM;
use crate::agent::launches::{Launch, SupervisorRecord};
use crate::agent::machine::HeldProcess;
use crate::agent::real_observer::{AtSigterm, RealObserver, agent, config};
use crate::agent::settings::{AgentConfig, Timing};
use crate::agent::signal;
use crate::domain::host::{Finding, ProcessReport};

/// Writes that it ran, speaks, and ends.
const DIES: &str = "echo \"$@\" >> runs; echo $LD_LIBRARY_PATH > libraries; echo to stderr >&2; echo to the log >> log/observer.log; exit 1";

fn request(observer: &RealObserver, token: &str) -> StartRequest {
    StartRequest {
        target: observer.target.clone(),
        token: token.to_owned(),
        fence: observer.fence(1),
        wait: Duration::from_secs(10),
        ticket: None,
    }
}

/// The arguments of every run of the script, one line each.
fn runs(observer: &RealObserver) -> Vec<String> {
    let runs = std::fs::read_to_string(observer.home().join("runs")).unwrap_or_default();
    runs.lines().map(str::to_owned).collect()
}

/// Where its last run looked for libraries.
fn libraries(observer: &RealObserver) -> String {
    std::fs::read_to_string(observer.home().join("libraries")).unwrap().trim_end().to_owned()
}

/// An observer that an agent saw running, and a script in its place.
async fn seen(agent: &Agent, script: &str) -> RealObserver {
    let mut observer = RealObserver::start(AtSigterm::Ends);
    observer.found(agent).await;
    observer.replace_by_script(script);
    observer
}

#[track_caller]
fn assert_refused(result: &Result<Started, AgentRefusal>, reason: &str) {
    assert!(matches!(result, Err(refusal) if refusal.reason() == reason), "{result:?}");
}

#[track_caller]
fn assert_died(result: &Result<Started, AgentRefusal>) -> &[String] {
    let Ok(Started::Died { last_log_lines, .. }) = result else { panic!("{result:?}") };
    last_log_lines
}

#[tokio::test]
async fn one_that_dies_is_told_with_its_last_lines_and_a_repeat_starts_nothing() {
    let (directory, agent) = agent();
    let observer = seen(&agent, DIES).await;
    std::fs::write(observer.home().join("log/observer.log"), "of earlier days\n").unwrap();
    let first = agent.start(request(&observer, "t")).await;
    assert_eq!(assert_died(&first), ["to stderr", "to the log"]);
    assert_eq!(agent.start(request(&observer, "t")).await, first);
    drop(agent);
    let agent = Agent::new(config(directory.path())).unwrap();
    assert_eq!(agent.start(request(&observer, "t")).await, first, "the record outlives the agent");
    assert_eq!(runs(&observer).len(), 1);
    // What is known of its launch outlives a restart too: this agent has not seen it run.
    assert_died(&agent.start(request(&observer, "u")).await);
    assert_eq!(runs(&observer).len(), 2);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cut_the_start_off() {
    let (_directory, agent) = agent();
    let observer = seen(&agent, DIES).await;
    let short = tokio::time::timeout(Duration::from_millis(20), agent.start(request(&observer, "t"))).await;
    assert!(short.is_err());
    let answer = loop {
        match agent.start(request(&observer, "t")).await {
            Ok(Started::Unknown { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            answer => break answer,
        }
    };
    assert_died(&answer);
    assert_eq!(runs(&observer).len(), 1);
}

#[tokio::test]
async fn a_token_without_an_answer_is_unknown_and_starts_nothing() {
    let (directory, agent) = agent();
    let observer = seen(&agent, DIES).await;
    // As if the agent had died between the record and the launch.
    assert_eq!(agent.0.begin_start(&request(&observer, "t")), Ok(Recorded::New));
    drop(agent);
    let agent = Agent::new(config(directory.path())).unwrap();
    let result = agent.start(request(&observer, "t")).await;
    assert!(matches!(result, Ok(Started::Unknown { .. })), "{result:?}");
    assert_eq!(runs(&observer), [] as [&str; 0]);
}

#[tokio::test]
async fn an_old_fence_or_a_token_of_another_call_starts_nothing() {
    let (_directory, agent) = agent();
    let observer = seen(&agent, DIES).await;
    agent.arm(&observer.target, &observer.fence(2)).await.unwrap();
    assert_refused(&agent.start(request(&observer, "t")).await, "FENCED");
    let current = |token: &str| StartRequest { fence: observer.fence(2), ..request(&observer, token) };
    assert_died(&agent.start(current("u")).await);
    let other =
        ObserverTarget { ob_cluster_id: 9, address: "127.0.0.1:2882".parse().unwrap(), ..observer.target.clone() };
    assert_refused(&agent.start(StartRequest { target: other, ..current("u") }).await, "TOKEN_REUSED");
    assert_eq!(runs(&observer).len(), 1);
}

#[tokio::test]
async fn a_fence_that_is_lost_while_it_waits_for_its_turn_starts_nothing() {
    let (_directory, agent) = agent();
    let observer = seen(&agent, DIES).await;
    let turn = agent.0.launching.lock().await;
    let waiting = tokio::spawn({
        let (agent, request) = (agent.clone(), request(&observer, "t"));
        async move { agent.start(request).await }
    });
    // The call is recorded before it waits.
    let wants = request(&observer, "t").wants();
    while agent.0.ledger().recorded("store-a", "t", &wants) == Ok(Recorded::New) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    agent.arm(&observer.target, &observer.fence(2)).await.unwrap();
    drop(turn);
    assert_refused(&waiting.await.unwrap(), "FENCED");
    assert_eq!(runs(&observer), [] as [&str; 0]);
}

#[tokio::test]
async fn one_that_runs_is_not_started() {
    let (_directory, agent) = agent();
    let mut observer = RealObserver::start(AtSigterm::Ends);
    let identity = observer.found(&agent).await;
    let result = agent.start(request(&observer, "t")).await;
    assert!(matches!(&result, Ok(Started::AlreadyRunning { identity: found, .. }) if *found == identity), "{result:?}");
    assert!(observer.is_alive());
}

#[tokio::test]
async fn a_taken_port_is_named_with_who_has_it() {
    let (_directory, agent) = agent();
    let observer = seen(&agent, DIES).await;
    let ip = observer.target.address.ip();
    for port in [2881, 2882] {
        let _taken = TcpListener::bind((ip, port)).unwrap();
        let result = agent.start(request(&observer, &port.to_string())).await;
        let Err(AgentRefusal::Recorded { reason, message }) = &result else { panic!("{result:?}") };
        assert_eq!(reason, "PORT_TAKEN");
        let us = format!("pid {}", std::process::id());
        assert!(message.contains(&format!("{ip}:{port}")) && message.contains(&us), "{message}");
    }
    assert_eq!(runs(&observer), [] as [&str; 0]);
}

struct Stranger(Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn an_observer_that_may_be_it_or_is_in_its_home_starts_no_second_one() {
    let (_directory, agent) = agent();
    let observer = seen(&agent, DIES).await;
    let program = observer.home().join("observer");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let sleeping = Command::new(&program).arg("600").current_dir(observer.home()).stdin(Stdio::null()).spawn();
    let sleeping = Stranger(sleeping.unwrap());
    let does_not_listen = |found: &ProcessReport| found.evidence.contains("does not listen").then_some(());
    observer.until(&agent, does_not_listen).await;
    assert_refused(&agent.start(request(&observer, "1")).await, "AMBIGUOUS");
    drop(sleeping);

    // At another address it is another observer, and yet in this home.
    let elsewhere = observer.neighbour();
    let _neighbour = Stranger(observer.spawn_at(elsewhere));
    while std::net::TcpStream::connect((elsewhere, 2882)).is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    observer.until(&agent, |found| matches!(found.finding, Finding::Absent { .. }).then_some(())).await;
    let result = agent.start(request(&observer, "2")).await;
    assert_refused(&result, "AMBIGUOUS");
    assert!(result.unwrap_err().to_string().contains("in its home"));
    assert_eq!(runs(&observer), [] as [&str; 0]);
}

#[tokio::test]
async fn a_home_is_remembered_or_named_and_must_say_that_it_is_the_one() {
    let (directory, agent) = agent();
    let mut observer = seen(&agent, DIES).await;
    drop(agent);
    let other = tempfile::tempdir().unwrap();
    let forgetful = |homes: Vec<PathBuf>| {
        let directory = tempfile::tempdir().unwrap();
        let agent = Agent::new(AgentConfig { homes, ..config(directory.path()) }).unwrap();
        (directory, agent)
    };
    let (_unused, unknowing) = forgetful(vec![other.path().to_owned()]);
    assert_refused(&unknowing.start(request(&observer, "t")).await, "HOME_UNKNOWN");
    let (_unused, told) = forgetful(vec![other.path().to_owned(), observer.home().to_owned()]);
    assert_died(&told.start(request(&observer, "t")).await);
    assert_eq!(runs(&observer), [""], "arguments of which nobody knows");
    assert_eq!(libraries(&observer), "", "a home without libraries of its own");
    std::fs::create_dir(observer.home().join("lib")).unwrap();
    assert_died(&told.start(request(&observer, "u")).await);
    assert_eq!(Path::new(&libraries(&observer)), observer.home().join("lib"));

    let agent = Agent::new(config(directory.path())).unwrap();
    let file = observer.home().join("etc/observer.config.bin");
    let right = std::fs::read(&file).unwrap();
    std::fs::write(&file, "cluster=other\nrpc_port=2882\n").unwrap();
    let result = agent.start(request(&observer, "1")).await;
    assert_refused(&result, "HOME_MISMATCH");
    assert!(result.unwrap_err().to_string().contains("cluster other"));
    std::fs::write(&file, right).unwrap();
    std::fs::remove_file(observer.home().join("bin/observer")).unwrap();
    assert_refused(&agent.start(request(&observer, "2")).await, "PROGRAM_MISSING");
    assert!(!observer.is_alive());
}

#[tokio::test]
async fn what_it_was_launched_with_comes_again_and_nothing_else() {
    let (directory, agent) = agent();
    let observer = seen(&agent, DIES).await;
    let launch = agent.0.machine.launches.of(&observer.target).unwrap();
    assert!(launch.limits.contains_key("Max open files") && launch.uid == signal::own_uid() && !launch.elsewhere);
    assert_eq!((launch.executable.as_path(), launch.arguments().len()), (Path::new(PROGRAM), 0));
    let both = Launch { sql_port: Some(2881), local_ip: Some(observer.target.address.ip()), ..launch.clone() };
    agent.0.machine.remember(&observer.target, Some(both));
    assert_died(&agent.start(request(&observer, "1")).await);
    assert_eq!(runs(&observer), [format!("-p 2881 -I {}", observer.target.address.ip())]);
    assert_eq!(Path::new(&libraries(&observer)), observer.home().join("lib"), "as it had it");

    // Older agents noted every obshell as a keeper: what lives now decides, and none does.
    let obshell = SupervisorRecord { name: "obshell (pid 50)".to_owned(), unit: "obshell".to_owned() };
    agent.0.machine.remember(&observer.target, Some(Launch { keepers: vec![obshell], ..launch.clone() }));
    assert_died(&agent.start(request(&observer, "before")).await);

    // Either a supervisor has to start it, or we are not permitted to.
    let keeper =
        SupervisorRecord { name: "systemd unit oceanbase.service".to_owned(), unit: "oceanbase.service".to_owned() };
    for (token, launch, reason) in [
        ("2", Launch { foreground: true, ..launch.clone() }, "SUPERVISED"),
        ("3", Launch { keepers: vec![keeper.clone()], ..launch.clone() }, "SUPERVISED"),
        ("4", Launch { elsewhere: true, ..launch.clone() }, "NOT_PERMITTED"),
        ("5", Launch { uid: launch.uid + 1, ..launch.clone() }, "NOT_PERMITTED"),
    ] {
        agent.0.machine.remember(&observer.target, Some(launch));
        assert_refused(&agent.start(request(&observer, token)).await, reason);
    }
    assert_eq!(runs(&observer).len(), 2);
    drop(agent);

    let safe_units = vec!["nodaemon".to_owned(), "oceanbase".to_owned()];
    let agent = Agent::new(AgentConfig { safe_units, ..config(directory.path()) }).unwrap();
    agent.0.machine.remember(&observer.target, Some(Launch { foreground: true, keepers: vec![keeper], ..launch }));
    assert_died(&agent.start(request(&observer, "6")).await);
}

#[tokio::test]
async fn something_that_runs_and_is_no_observer_is_neither_started_nor_dead() {
    let directory = tempfile::tempdir().unwrap();
    let timing = Timing { seen_within: Duration::from_millis(300), ..Timing::default() };
    let soon = AgentConfig { timing, ..config(directory.path()) };
    let agent = Agent::new(soon).unwrap();
    let observer = seen(&agent, "echo $$ > runs; exec sleep 600").await;
    let patient = StartRequest { wait: Duration::ZERO, ..request(&observer, "t") };
    let result = agent.start(patient).await;
    let pid: u32 = runs(&observer)[0].parse().unwrap();
    assert!(matches!(&result, Ok(Started::Unknown { evidence }) if evidence.contains(&pid.to_string())), "{result:?}");
    let held = signal::ProcessHandle::open(pid).unwrap().unwrap();
    held.kill().unwrap();
    assert!(held.ended_within(Duration::from_secs(10)).await);
}
