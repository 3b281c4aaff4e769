//! `obsteward demo` and `obsteward sim` as people run them, and that nothing of them is left, however they end.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use obsteward::sim::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::faces::rest::contract::{assert_same_shape, sample};
use crate::support::graphs;
use crate::support::program::{Ended, Started, all_gone, descendants, end_of, free_net, obsteward};
use crate::support::redacted::redacted;

/// A program that runs a simulated cluster on a network of its own, with a temporary folder of its own.
struct Playground {
    program: Started,
    net: Ipv4Addr,
    temporary: TempDir,
}

impl Playground {
    /// `line` gets `--net`; waits for the line that says that all is there, and returns what was written up to it.
    async fn start(line: &str, ready: &str) -> (Self, Vec<String>) {
        let (net, temporary) = (free_net(), tempfile::tempdir().unwrap());
        let mut command = obsteward(&format!("{line} --net {net}"));
        command.env("TMPDIR", temporary.path());
        let mut program = Started::of(command);
        let said = program.err_until(|line| line.contains(ready)).await;
        (Self { program, net, temporary }, said)
    }

    fn address(&self, number: u8, port: u16) -> SocketAddr {
        let [a, b, c, _] = self.net.octets();
        SocketAddr::from(([a, b, c, number], port))
    }

    /// Sends a signal and waits until every process that it had is gone, and its ports with them.
    async fn end(self, signal: Signal, code: Option<i32>) {
        let below = descendants(self.program.pid());
        assert!(below.len() >= 5, "it has no processes to leave behind: {below:?}");
        self.program.signal(signal);
        let addresses: Vec<_> =
            (1..=6).flat_map(|number| [2881, 2882, 62888].map(|port| self.address(number, port))).collect();
        let ended = self.program.ended().await;
        assert_eq!(ended.code, code, "{ended:?}");
        all_gone(&below).await;
        for address in addresses {
            assert!(TcpStream::connect(address).is_err(), "{address} is still listened on");
        }
        if code.is_some() {
            let left: Vec<_> =
                std::fs::read_dir(self.temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(left.is_empty(), "left behind: {left:?}");
        }
    }
}

fn grpcurl() -> String {
    std::env::var("GRPCURL")
        .expect("GRPCURL is not set: run the tests with scripts/test, which installs grpcurl and sets it")
}

/// A line as people paste it.
async fn shell(line: &str) -> Ended {
    let mut shell = Command::new("sh");
    shell.args(["-c", line.trim()]);
    end_of(shell).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_stops_a_server_and_ends() {
    let net = free_net();
    let ended = end_of(obsteward(&format!("demo --once --listen 127.0.0.1:0 --rest-listen 127.0.0.1:0 --net {net}")))
        .await
        .with(0);
    assert!(ended.err.contains("lease_time 2 s, a real one has 10 s"), "{ended:?}");
    let steps: Vec<&str> = ended
        .out
        .lines()
        .filter_map(|line| {
            line.split_once("  ")?.1.split_once("  ").filter(|(_, what)| what.contains("RUNNING -> SUCCESSFUL"))
        })
        .map(|(name, _)| name)
        .collect();
    let expected: Vec<&str> = graphs::STOP.iter().copied().chain(["Stop OB server"]).collect();
    assert_eq!(steps, expected, "{ended:?}");
    assert!(ended.err.contains("  zone1  RUNNING\n"), "{ended:?}");
    let stopped = "is STOPPED: STATUS INACTIVE, STOP_TIME set, process absent, safe to power off: yes";
    assert!(ended.err.contains(stopped), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_whose_port_is_taken_says_how_to_choose_another() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (line, option) in [
        (format!("demo --listen 127.0.0.1:0 --rest-listen {address}"), "--rest-listen"),
        (format!("demo --listen {address} --rest-listen 127.0.0.1:0"), "--listen"),
    ] {
        let ended = end_of(obsteward(&format!("{line} --net {}", free_net()))).await.with(1);
        assert!(ended.err.contains(&format!("cannot listen on {address}")), "{ended:?}");
        assert!(ended.err.contains(&format!(" {option} 127.0.0.1:0")), "{ended:?}");
        assert!(!ended.err.contains("starting a simulated cluster"), "it began all the same: {ended:?}");
    }
}

/// The whole body. Ids are counted from the task's, moments and traces are left out, and the first subtask may run already.
fn assert_snapshot_of(stopped: &Value, id: i64) {
    let mut shown = redacted(stopped);
    let relative = |value: &mut Value| {
        if let Some(own) = value.as_i64() {
            *value = format!("task + {}", own - id).into();
        }
    };
    relative(&mut shown["data"]["id"]);
    for task in shown["data"]["tasks"].as_array_mut().unwrap() {
        relative(&mut task["id"]);
        for near in ["upstreams", "downstreams"] {
            task[near].as_array_mut().unwrap().iter_mut().for_each(relative);
        }
        if matches!(task["status"].as_str(), Some("READY" | "RUNNING")) {
            task["status"] = "READY or RUNNING".into();
        }
    }
    shown["data"]["cluster"]["name"] = "[name]".into();
    insta::assert_json_snapshot!("the_stop_of_the_demo", shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_can_be_looked_around_in_and_leaves_nothing() {
    let (mut demo, _) = Playground::start("demo --listen 127.0.0.1:0 --rest-listen 127.0.0.1:0", "look around").await;
    let lines = demo.program.err_until(|line| line.contains("SIM FAULTS")).await;
    let paste = async |wanted: &str| {
        let line =
            lines.iter().find(|line| line.contains(wanted)).unwrap_or_else(|| panic!("no {wanted} in {lines:?}"));
        shell(&line.replacen("grpcurl", &grpcurl(), 1)).await
    };
    let servers = paste("ObServerService/ListServers").await.with(0).json();
    assert_eq!(servers["servers"].as_array().unwrap().len(), 6);
    let nameless = lines.iter().find(|line| line.contains("/ListServers")).unwrap();
    let nameless = nameless.replace("-H 'authorization: Basic YWRtaW46ZGVtbw=='", "");
    let nameless = shell(&nameless.replacen("grpcurl", &grpcurl(), 1)).await;
    assert!(nameless.code != Some(0) && nameless.err.contains("Unauthenticated"), "{nameless:?}");
    assert!(paste(" servers list 1").await.with(0).out.contains("STOPPED"));
    assert!(paste(" --plan").await.with(3).out.contains("OTHER_ZONE_STOPPED"));

    // The line of OCP's own programs, answered in OCP's shape.
    let stopped = paste("/ob/clusters/1/servers/2/stop").await.with(0).json();
    assert_eq!((&stopped["successful"], &stopped["data"]["name"]), (&true.into(), &"Stop OB server".into()));
    assert_same_shape("", &stopped, &sample());
    let id = stopped["data"]["id"].as_i64().unwrap();
    assert_snapshot_of(&stopped, id);
    let obsteward = lines.iter().find(|line| line.ends_with(" tasks list")).unwrap();
    let watched = shell(&obsteward.replace("tasks list", &format!("watch {id}"))).await;
    assert!(watched.with(0).out.contains("SUCCESSFUL"));
    let listed = paste("/tasks/instances").await.with(0).json();
    let listed = listed["data"]["contents"].as_array().unwrap();
    assert!(listed.iter().any(|task| task["id"] == id) && listed.len() == 2, "{listed:?}");
    let events = paste("/events").await.with(0).out;
    assert!(events.lines().any(|line| line.starts_with("data:")), "{events}");
    // Without the password nobody gets anything.
    let curl = lines.iter().find(|line| line.contains("/tasks/instances")).unwrap();
    assert_eq!(shell(&curl.replace("-u admin:demo", "-u admin:wrong")).await.with(0).json()["status"], 401);
    demo.end(Signal::INT, Some(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_killed_takes_its_observers_and_agents_along() {
    let (demo, _) =
        Playground::start("demo --no-stop --listen 127.0.0.1:0 --rest-listen 127.0.0.1:0", "look around").await;
    demo.end(Signal::KILL, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_cluster_is_there_for_any_client_and_leaves_nothing() {
    for (signal, code) in [(Signal::INT, Some(0)), (Signal::KILL, None)] {
        let (sim, _) =
            Playground::start("sim --zones 3 --servers-per-zone 2 --cluster-name played", "end with Ctrl-C").await;
        let mut mariadb = Command::new("mariadb");
        let address = sim.address(1, 2881);
        mariadb.args(["-h", &address.ip().to_string(), "-P", "2881", "-u", "root@sys", "oceanbase", "--batch", "-e"]);
        mariadb.arg("SELECT svr_ip, zone, status FROM DBA_OB_SERVERS ORDER BY id");
        let rows = end_of(mariadb).await.with(0);
        assert_eq!(rows.out.lines().count(), 7, "{rows:?}");
        assert_eq!(rows.out.matches("ACTIVE").count(), 6, "{rows:?}");
        sim.end(signal, code).await;
    }
}
