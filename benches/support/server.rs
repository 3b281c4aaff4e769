//! Programs of their own that are measured over a wire: the service, and a bare tonic server beside it.
#![allow(dead_code, reason = "each measurement uses a part of it")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tonic::transport::{Channel, Endpoint};

/// Ends with this value.
pub struct Server {
    child: Child,
    pub address: String,
    /// Of its REST gateway, if it has one.
    rest: Option<String>,
}

impl Server {
    /// `obsteward serve` with this configuration.
    pub fn obsteward(directory: &Path, config: &str) -> Self {
        let file = directory.join(format!("{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&file, config).expect("a file below target");
        // Another build, to compare with.
        let program = std::env::var_os("OBSTEWARD_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_obsteward").into());
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(file).env("OBSTEWARD_LOG", "warn");
        Self::start(command, Stdio::null(), config.contains("[rest]"), |child| {
            Box::new(child.stderr.take().expect("it is piped"))
        })
    }

    /// This program with an argument; see [`bare_tonic`] and [`bare_axum`].
    pub fn bare(argument: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a program"));
        command.arg(argument);
        Self::start(command, Stdio::piped(), false, |child| Box::new(child.stdout.take().expect("it is piped")))
    }

    fn start(
        mut command: Command,
        stdout: Stdio,
        rest: bool,
        of: impl Fn(&mut Child) -> Box<dyn std::io::Read + Send>,
    ) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().expect("a process");
        let mut lines = BufReader::new(of(&mut child)).lines();
        let mut next = |prefix: &str| {
            let mut said = Vec::new();
            loop {
                let Some(Ok(line)) = lines.next() else { panic!("it did not start: {}", said.join("\n")) };
                if let Some(address) = line.strip_prefix(prefix) {
                    return address.to_owned();
                }
                said.push(line);
            }
        };
        let address = next("listening on ");
        let rest = rest.then(|| next("REST gateway on "));
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        Self { child, address, rest }
    }

    pub fn rest(&self) -> &str {
        self.rest.as_deref().expect("a REST gateway")
    }

    /// Memory in use, in MiB; processor time, in seconds.
    pub fn used(&self) -> (f64, f64) {
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("a process that runs")
        };
        let status = read("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of it");
        let kib: f64 = resident.trim().trim_end_matches(" kB").parse().expect("a number");
        let stat = read("stat");
        // Behind the name, which may hold anything: user and system time are the 12th and 13th field.
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        (kib / 1024.0, ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// As a crash ends it.
    pub fn kill(mut self) {
        self.child.kill().expect("a process that runs");
    }

    /// Connections of its own each.
    pub async fn channels(&self, count: usize) -> Vec<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address.trim_start_matches("http://")));
        let endpoint = endpoint.expect("an address").tcp_nodelay(true);
        let mut channels = Vec::new();
        for _ in 0..count {
            channels.push(endpoint.connect().await.expect("a connection"));
        }
        channels
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// With `--bare-axum` this program is an axum server that answers everything with nothing, and never returns.
pub fn bare_axum() {
    if !std::env::args().any(|argument| argument == "--bare-axum") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("listening on {}", listener.local_addr().expect("an address"));
        axum::serve(listener, axum::Router::new().fallback(async || "")).await.expect("it serves");
    });
}

/// With `--bare-tonic` this program is a tonic server that has only the health service, and never returns.
pub fn bare_tonic() {
    if !std::env::args().any(|argument| argument == "--bare-tonic") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("listening on {}", listener.local_addr().expect("an address"));
        let (_reporter, service) = tonic_health::server::health_reporter();
        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
        server.await.expect("it serves");
    });
}
