//! For tests: a real process that passes for an observer. It is this test executable under the name `bin/observer`, told
//! to run the one ignored test below, which listens and waits.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::agent::launcher::tests::{launcher, script};
use crate::agent::{Agent, AgentConfig};
use crate::domain::host::{CallerFence, Finding, ObserverIdentity, ObserverTarget, ProcessReport};
use crate::domain::ids::{ClusterKey, Fence, ServerAddr};

const IP: &str = "OBSTEWARD_TEST_OBSERVER_IP";
const STUBBORN: &str = "OBSTEWARD_TEST_OBSERVER_STUBBORN";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtSigterm {
    Ends,
    Ignores,
}

/// A process that is ended when this value is dropped.
pub struct RealObserver {
    pub target: ObserverTarget,
    home: Option<tempfile::TempDir>,
    child: Child,
    behaviour: AtSigterm,
}

impl RealObserver {
    /// Starts one at an address (below 127.20, where simulated clusters begin) and of a cluster of its own. The caller
    /// has to wait until it listens.
    pub fn start(behaviour: AtSigterm) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = IpAddr::V4(Ipv4Addr::new(127, 1 + high % 19, low, NEXT.fetch_add(1, Ordering::SeqCst)));
        let target = ObserverTarget {
            address: ServerAddr::new(ip, 2882).unwrap(),
            sql_port: 2881,
            cluster_name: format!("demo-{ip}"),
            ob_cluster_id: 1,
        };
        let program = std::env::current_exe().unwrap();
        let home = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        std::fs::create_dir(home.path().join("bin")).unwrap();
        std::fs::create_dir(home.path().join("etc")).unwrap();
        std::fs::hard_link(&program, home.path().join("bin/observer")).unwrap();
        let configuration = format!("cluster={}\ncluster_id=1\nrpc_port=2882\nlocal_ip={ip}\n", target.cluster_name);
        let configuration = crate::agent::configuration::file(&configuration, true);
        std::fs::write(home.path().join("etc/observer.config.bin"), configuration).unwrap();
        let child = spawn(&home.path().join("bin/observer"), home.path(), ip, behaviour);
        Self { target, home: Some(home), child, behaviour }
    }

    /// Ends it at once and starts another in its place.
    pub fn replace(&mut self) {
        self.end();
        let program = self.home().join("bin/observer");
        self.child = spawn(&program, self.home(), self.target.address.ip(), self.behaviour);
    }

    pub fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it, and puts a shell script where its executable was.
    pub fn replace_by_script(&mut self, text: &str) {
        self.end();
        let program = self.home().join("bin/observer");
        std::fs::remove_file(&program).unwrap();
        std::fs::create_dir_all(self.home().join("log")).unwrap();
        script(&program, text);
    }

    /// An address that nobody else has.
    pub fn neighbour(&self) -> IpAddr {
        let IpAddr::V4(own) = self.target.address.ip() else { panic!("observers of tests are at 127.0.0.0/8") };
        let [a, b, c, d] = own.octets();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d + 128))
    }

    /// Another process of its home, which listens at another address.
    pub fn spawn_at(&self, ip: IpAddr) -> Child {
        let program = self.home().join("other/observer");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::hard_link(std::env::current_exe().unwrap(), &program).unwrap();
        spawn(&program, self.home(), ip, self.behaviour)
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until the agent finds it.
    pub async fn found(&self, agent: &Agent) -> ObserverIdentity {
        self.until(agent, |found| match &found.finding {
            Finding::Running(identity) if identity.pid == self.child.id() => Some(identity.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until the agent's finding is one that `wanted` accepts.
    pub async fn until<T>(&self, agent: &Agent, wanted: impl Fn(&ProcessReport) -> Option<T>) -> T {
        let mut last = None;
        for _ in 0..2_000 {
            let found = agent.find(&self.target).await.unwrap();
            if let Some(value) = wanted(&found) {
                return value;
            }
            last = Some(found);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("not found as wanted within 20 s: {last:?}");
    }

    /// Its caller, of store `store-a`.
    pub fn fence(&self, fence: i64) -> CallerFence {
        CallerFence {
            store_id: "store-a".to_owned(),
            cluster: ClusterKey::from_stored(format!("{}#1#x", self.target.cluster_name)),
            fence: Fence::new(fence),
        }
    }

    pub fn home(&self) -> &Path {
        self.home.as_ref().unwrap().path()
    }
}

impl Drop for RealObserver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An agent with a record of its own, in a directory that lives as long as the first value.
pub fn agent() -> (tempfile::TempDir, Agent) {
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::new(config(directory.path())).unwrap();
    (directory, agent)
}

/// Settings under which a test's own unit or container is no obstacle, and this test executable launches.
pub fn config(directory: &Path) -> AgentConfig {
    AgentConfig { launcher: launcher(), ..AgentConfig::new(PathBuf::from(directory)) }
}

fn spawn(program: &Path, home: &Path, ip: IpAddr, behaviour: AtSigterm) -> Child {
    Command::new(program)
        .args(["--exact", "agent::real_observer::be_an_observer", "--ignored", "--nocapture"])
        .current_dir(home)
        .env(IP, ip.to_string())
        .env("LD_LIBRARY_PATH", home.join("lib"))
        .env(STUBBORN, if behaviour == AtSigterm::Ignores { "yes" } else { "no" })
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test: what the child process runs. Run by hand with `--ignored`, it does nothing.
#[test]
#[ignore = "is run by other tests as a process of its own"]
fn be_an_observer() {
    let Ok(ip) = std::env::var(IP) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    // A process that listens to a signal is not ended by it.
    let _stubborn = (std::env::var(STUBBORN).as_deref() == Ok("yes"))
        .then(|| tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap());
    let _sql = TcpListener::bind((ip.as_str(), 2881)).unwrap();
    let _rpc = TcpListener::bind((ip.as_str(), 2882)).unwrap();
    // Ends with the test that started it.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
