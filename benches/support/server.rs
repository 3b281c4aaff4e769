//! Programs of their own that are measured over a wire: the service, and a bare tonic server beside it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tonic::transport::{Channel, Endpoint};

/// Ends with this value.
pub struct Server {
    child: Child,
    pub address: String,
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
        Self::start(command, Stdio::null(), |child| Box::new(child.stderr.take().expect("it is piped")))
    }

    /// This program with an argument; see [`bare_tonic`].
    pub fn bare() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a program"));
        command.arg("--bare-tonic");
        Self::start(command, Stdio::piped(), |child| Box::new(child.stdout.take().expect("it is piped")))
    }

    fn start(mut command: Command, stdout: Stdio, of: impl Fn(&mut Child) -> Box<dyn std::io::Read + Send>) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().expect("a process");
        let mut lines = BufReader::new(of(&mut child)).lines();
        let mut said = Vec::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { panic!("it did not start: {}", said.join("\n")) };
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.to_owned();
            }
            said.push(line);
        };
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        Self { child, address }
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
