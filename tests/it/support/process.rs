//! The service as a process of its own, to be killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use obsteward::config::{Config, LogFormat, StartConfig, StopConfig, TracesProtocol};

use super::Clients;

/// `obsteward serve` on a loopback port that the system chose.
pub struct ServeProcess {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    listening: Option<std::thread::JoinHandle<()>>,
    pub clients: Clients,
    pub address: String,
}

impl ServeProcess {
    /// Starts it on the store of a configuration, with more environment, and waits until it listens.
    pub fn start(config: &Config, directory: &Path, environment: &[(&str, &str)]) -> Self {
        match Self::try_start(config, directory, environment) {
            Ok(this) => this,
            Err((_, said)) => panic!("the service did not start: {said}"),
        }
    }

    /// The same; exit status and standard error when it ends instead of listening.
    pub fn try_start(
        config: &Config,
        directory: &Path,
        environment: &[(&str, &str)],
    ) -> Result<Self, (ExitStatus, String)> {
        Self::try_start_by(Command::new(env!("CARGO_BIN_EXE_obsteward")), config, directory, environment)
    }

    /// The same with so many files that it may open, soft and hard.
    pub fn start_with_files(config: &Config, directory: &Path, files: u32) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_obsteward")]);
        Self::try_start_by(shell, config, directory, &[]).unwrap_or_else(|(_, said)| panic!("it did not start: {said}"))
    }

    fn try_start_by(
        mut program: Command,
        config: &Config,
        directory: &Path,
        environment: &[(&str, &str)],
    ) -> Result<Self, (ExitStatus, String)> {
        let file = directory.join("serve.toml");
        // Taken apart, so that a time that is added is written too.
        let StopConfig {
            poll_millis,
            precheck_seconds,
            gate_seconds,
            grace_seconds,
            leader_wait_seconds,
            reading_seconds,
            freeze_seconds,
            effect_timeout_seconds,
        } = &config.stop;
        let StartConfig { watch_seconds, catch_up_seconds } = &config.start;
        // Replicas on one machine have no agent of their own: it would be one for each.
        let one_end_per_seconds = config.local_agent.one_end_per_seconds;
        let agent = config.local_agent.state_directory.as_ref().map(|agent| {
            format!("[local_agent]\nstate_directory = {agent:?}\none_end_per_seconds = {one_end_per_seconds}\n")
        });
        let agent = agent.unwrap_or_default();
        let filter = &config.log.filter;
        let format = match config.log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let protocol = match config.traces.protocol {
            TracesProtocol::Grpc => "grpc",
            TracesProtocol::HttpProtobuf => "http/protobuf",
        };
        let traces = config.traces.endpoint.as_ref();
        let traces = traces.map(|endpoint| format!("[traces]\nendpoint = {endpoint:?}\nprotocol = {protocol:?}\n"));
        let traces = traces.unwrap_or_default();
        let store = match &config.store.url {
            Some(url) => format!("url = {:?}\nkey_file = {:?}", url.expose(), config.store.key_file.as_ref().unwrap()),
            None => format!("path = {:?}", config.store.path),
        };
        let text = format!(
            r#"
            [server]
            listen = "127.0.0.1:0"
            [auth]
            enabled = false
            [store]
            {store}
            {agent}
            [stop]
            poll_millis = {poll_millis}
            precheck_seconds = {precheck_seconds}
            gate_seconds = {gate_seconds}
            grace_seconds = {grace_seconds}
            leader_wait_seconds = {leader_wait_seconds}
            reading_seconds = {reading_seconds}
            freeze_seconds = {freeze_seconds}
            effect_timeout_seconds = {effect_timeout_seconds}
            [start]
            watch_seconds = {watch_seconds}
            catch_up_seconds = {catch_up_seconds}
            [limits]
            requests_per_10_seconds = 0
            [sync]
            enabled = false
            [log]
            filter = {filter:?}
            format = {format:?}
            {traces}
            "#
        );
        std::fs::write(&file, text).unwrap();
        let mut child = program
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut first = Vec::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                return Err((child.wait().unwrap(), first.join("\n")));
            };
            if let Some(address) = text_of(&line).strip_prefix("listening on ") {
                break address.to_owned();
            }
            first.push(line);
        };
        let said = Arc::new(Mutex::new(first));
        // Its log goes on; a full pipe must not stop it.
        let heard = Arc::clone(&said);
        let listening = std::thread::spawn(move || {
            let log = std::env::var_os("OBSTEWARD_TEST_LOG").is_some();
            for line in lines.map_while(Result::ok) {
                if log {
                    eprintln!("serve: {line}");
                }
                heard.lock().unwrap().push(line);
            }
        });
        let clients = Clients::of(&address);
        Ok(Self { child, said, listening: Some(listening), clients, address })
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ended by itself, at most as long as anything in a test may take; `None`: it did not.
    pub async fn ended(&mut self) -> Option<ExitStatus> {
        let gone = async {
            loop {
                match self.child.try_wait().unwrap() {
                    Some(status) => return status,
                    None => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
                }
            }
        };
        tokio::time::timeout(super::PATIENCE, gone).await.ok()
    }

    /// Its exit code and everything that it said, once it ended by itself.
    pub async fn last_words(mut self) -> (Option<i32>, String) {
        let status = self.ended().await.unwrap_or_else(|| panic!("it does not end: {}", self.said()));
        self.listening.take().map(std::thread::JoinHandle::join).transpose().unwrap();
        (status.code(), self.said())
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// The same, for as long as a case that expects it may wait for it.
    pub async fn ended_within(&mut self, limit: std::time::Duration) -> Option<ExitStatus> {
        tokio::time::timeout(limit, self.ended()).await.ok().flatten()
    }

    /// Asks it to end, as a service manager does.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a line says, in either form of the log.
pub fn text_of(line: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(line).ok();
    let message = json.and_then(|line| line["message"].as_str().map(str::to_owned));
    message.unwrap_or_else(|| line.to_owned())
}
