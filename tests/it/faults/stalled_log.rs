//! A log that nobody reads any more costs its lines and nothing else, neither the service nor the agent, while they work or
//! when they end.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use obsteward::proto::v1;
use obsteward::sim::SimCluster;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Clients, PATIENCE, quick};

/// Far more than it takes to end, with what the last lines of the log may take.
const PROMPT: Duration = Duration::from_secs(3);

/// Empty lines that a pipe is filled with.
const FILLING: usize = 4 << 20;

/// A program whose standard error is a pipe that was read until it said where it listens, and is full since.
struct Stalled {
    child: Child,
    address: String,
    log: BufReader<std::io::PipeReader>,
}

impl Stalled {
    fn start(arguments: &[&str]) -> Self {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_obsteward"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(writer.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut log = BufReader::with_capacity(1, reader);
        let mut line = String::new();
        let address = loop {
            line.clear();
            log.read_line(&mut line).unwrap();
            match line.strip_prefix("listening on ") {
                Some(address) => break address.trim_end().to_owned(),
                None => assert!(!line.is_empty(), "it ended"),
            }
        };
        // More than a pipe holds: this waits for its reader for ever, and so does whoever writes behind it.
        std::thread::spawn(move || {
            let _ = writer.write_all(&vec![b'\n'; FILLING]);
        });
        while rustix::io::ioctl_fionread(log.get_ref()).unwrap() < 60_000 {
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { child, address, log }
    }

    /// Asks it to end, and waits; its exit code.
    async fn end(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let gone = async {
            loop {
                match self.child.try_wait().unwrap() {
                    Some(status) => return status.code(),
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        tokio::time::timeout(PROMPT, gone).await.expect("it waits for the reader of its log")
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_needs_nobody_who_reads_the_logs() {
    let sim = SimCluster::start(quick()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (store, record) = (directory.path().join("obsteward.db"), directory.path().join("agent"));
    std::fs::create_dir(&record).unwrap();
    let mut agent = Stalled::start(&["agent", "--listen", "127.0.0.1:0", "--state-directory", text(&record)]);
    let mut service = Stalled::start(&["serve", "--no-auth", "--listen", "127.0.0.1:0", "--store", text(&store)]);
    let clients = Clients::of(&service.address);
    let host = |svr_ip| v1::Host {
        svr_ip,
        transport: v1::HostTransport::Grpc.into(),
        agent_address: agent.address.clone(),
        ..Default::default()
    };
    let request = v1::RegisterClusterRequest {
        endpoints: sim.endpoints(),
        hosts: sim.servers().into_iter().map(|server| host(server.ip.to_string())).collect(),
        ..Default::default()
    };
    let stopped = async {
        let registered = clients.clusters.clone().register_cluster(request).await.unwrap();
        let cluster_id = registered.into_inner().cluster.unwrap().id;
        let ip = sim.server(2).unwrap().ip.to_string();
        let server_id = clients.list_servers(cluster_id).await.into_iter().find(|one| one.ip == ip).unwrap().id;
        let request = v1::StopServerRequest { cluster_id, server_id, ..Default::default() };
        let task = clients.stop_with(request).await.unwrap().id;
        clients.at_rest(task).await
    };
    let task = tokio::time::timeout(PATIENCE, stopped).await.expect("the stop waits for the reader of a log");
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(service.end().await, Some(0));
    assert_eq!(agent.end().await, Some(0));
}

/// The reader comes back, and the program ends: nothing was lost, so everything is there, to the last line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_comes_back_finds_every_line() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("obsteward.db");
    let mut service = Stalled::start(&["serve", "--no-auth", "--listen", "127.0.0.1:0", "--store", text(&store)]);
    let (mut said, mut read, mut piece) = (String::new(), 0, vec![0; 1 << 16]);
    while read < FILLING {
        let length = service.log.read(&mut piece).unwrap();
        assert_ne!(length, 0, "it ended");
        read += piece[..length].iter().filter(|byte| **byte == b'\n').count();
    }
    let pid = Pid::from_raw(i32::try_from(service.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    service.log.read_to_string(&mut said).unwrap();
    assert!(said.contains("ended in order"), "{}", said.trim());
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
}
