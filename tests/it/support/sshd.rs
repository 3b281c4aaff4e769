//! A real sshd on a loopback port, with keys and files of its own; it and what it started end with it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use obsteward::config::SshConfig;
use obsteward::domain::ssh::SshDestination;
use obsteward::host::{SshClient, SshOptions};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::PATIENCE;
use super::program::{descendants, lasting_address};

/// See the module's head. Its folder holds `known_hosts`, `key` and `key.pub` of the one who may come in, and `state` for the
/// record of the agent.
pub struct Sshd {
    pub directory: tempfile::TempDir,
    pub address: SocketAddr,
    child: Option<Child>,
}

impl Sshd {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The port is chosen by the system; nobody else has the address.
        let ip = lasting_address().ip();
        let address = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
        let mut this = Self { directory, address, child: None };
        this.make_key("host_key").await;
        this.make_key("key").await;
        std::fs::copy(this.path("key.pub"), this.path("authorized_keys")).unwrap();
        std::fs::write(this.path("known_hosts"), this.known("host_key")).unwrap();
        let folder = this.directory.path().display();
        let config = format!(
            "ListenAddress {ip}\nPort {}\nHostKey {folder}/host_key\nPidFile {folder}/sshd.pid\n\
             AuthorizedKeysFile {folder}/authorized_keys\nUsePAM no\nStrictModes no\nUseDNS no\nMaxStartups 100\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n",
            address.port()
        );
        std::fs::write(this.path("sshd_config"), config).unwrap();
        this.start_again().await;
        this
    }

    /// Where it was.
    pub async fn start_again(&mut self) {
        if rustix::process::geteuid().is_root() {
            // Where it puts whoever has not logged in yet; Debian's package makes it when its service starts.
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let mut command = Command::new(program());
        command.args(["-D", "-e", "-f"]).arg(self.path("sshd_config"));
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let listens = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                said.push(line);
                if said.last().is_some_and(|line| line.contains("Server listening on")) {
                    return true;
                }
            }
            false
        };
        let listens = tokio::time::timeout(PATIENCE, listens).await;
        assert_eq!(listens, Ok(true), "sshd does not listen: {said:#?}");
        // Its log goes on; a full pipe must not stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.child = Some(child);
    }

    /// Ends the one that listens, at once. Connections go on.
    pub async fn stop_listening(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().await.unwrap();
    }

    /// Ends all of it at once, connections too, and nothing that runs over them.
    pub async fn kill(&mut self) {
        let sessions = self.sessions();
        self.stop_listening().await;
        sessions.into_iter().for_each(end);
    }

    fn sessions(&self) -> Vec<u32> {
        let listening = self.child.as_ref().and_then(Child::id);
        let below = listening.map(descendants).unwrap_or_default();
        // `sshd: root@notty`, or `sshd-session: …` since OpenSSH 9.8.
        below.into_iter().filter(|(_, line)| line.starts_with("sshd")).map(|(pid, _)| pid).collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A new key, `name` and `name.pub`.
    pub async fn make_key(&self, name: &str) {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(self.path(name));
        assert!(command.stdin(Stdio::null()).status().await.unwrap().success());
    }

    /// The line of known hosts that says that it has this key.
    pub fn known(&self, key: &str) -> String {
        let public = std::fs::read_to_string(self.path(key).with_extension("pub")).unwrap();
        format!("[{}]:{} {public}", self.address.ip(), self.address.port())
    }

    pub fn destination(&self) -> SshDestination {
        self.address.to_string().parse().unwrap()
    }

    /// What a service needs to come in, and to run an agent there.
    pub fn config(&self) -> SshConfig {
        let state = self.path("state").display().to_string();
        let words =
            [env!("CARGO_BIN_EXE_obsteward"), "agent", "--stdio", "--state-directory", &state, "--one-end-per", "0"];
        SshConfig {
            config_file: Some("/dev/null".into()),
            identity_file: Some(self.path("key")),
            known_hosts_file: Some(self.path("known_hosts")),
            agent_command: words.map(str::to_owned).to_vec(),
            ..SshConfig::default()
        }
    }

    /// Every ssh that goes there, and every agent that it started there.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let (port, state) = (format!(" -p {} ", self.address.port()), self.path("state").display().to_string());
        let ours = |line: &str| line.contains(&port) && line.contains(&self.address.ip().to_string());
        let agent = |line: &str| line.starts_with(env!("CARGO_BIN_EXE_obsteward")) && line.contains(&state);
        descendants(0).into_iter().filter(|(_, line)| ours(line) || agent(line)).collect()
    }

    /// Waits until no such process is there, not even one that has ended and was not waited for.
    pub async fn all_gone(&self, were: &[(u32, String)]) {
        let left = || were.iter().filter(|(pid, _)| Path::new(&format!("/proc/{pid}")).exists()).collect::<Vec<_>>();
        let gone = async {
            while !left().is_empty() || !self.processes().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let gone = tokio::time::timeout(PATIENCE, gone).await;
        assert!(gone.is_ok(), "still there: {:#?} {:#?}", left(), self.processes());
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.sessions().into_iter().for_each(end);
    }
}

/// A client with these settings, as the service makes it.
pub fn client(config: SshConfig) -> SshClient {
    let SshConfig { program, config_file, identity_file, known_hosts_file, connect_timeout_seconds, agent_command } =
        config;
    let connect_timeout = Duration::from_secs(connect_timeout_seconds);
    SshClient::new(SshOptions { program, config_file, identity_file, known_hosts_file, connect_timeout, agent_command })
        .unwrap()
}

fn end(pid: u32) {
    let _ = kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL);
}

/// sshd insists on being called by its whole path.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain(["/usr/sbin".into()]).map(|folder| folder.join("sshd"));
    found.into_iter().find(|program| program.exists()).expect("there is no sshd, scripts/test installs it")
}
