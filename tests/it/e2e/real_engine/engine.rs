//! One process of the engine: started in a folder of its own on one loopback address, ended with its handle.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mysql_async::{Conn, OptsBuilder};
use obsteward::clock::monotonic_now;

use crate::support::PATIENCE;

/// Which release of the engine.
#[derive(Clone, Copy, Debug)]
pub enum Release {
    /// It still has what a cluster is built of.
    OfCluster,
    OfStore,
}

impl Release {
    /// Where its program is. Its libraries lie beside it.
    fn program(self) -> PathBuf {
        let name = match self {
            Self::OfCluster => "OBSTEWARD_SEEKDB",
            Self::OfStore => "OBSTEWARD_STORE_SEEKDB",
        };
        let path = std::env::var_os(name);
        path.unwrap_or_else(|| panic!("{name} names the program of the engine; scripts/test fetches it and sets it"))
            .into()
    }
}

/// The engine. Dropping it kills the process and removes its data.
pub struct Engine {
    child: Child,
    directory: tempfile::TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Engine {
    /// Starts one with a cluster name and waits until it lets root in. To be called on the test's own thread: the process
    /// ends with the thread that started it.
    pub async fn start(release: Release, ip: Ipv4Addr, cluster: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let library = directory.path().join("loopback.so");
        compile(include_str!("loopback.c"), &["-shared", "-fPIC"], &library);
        let address = SocketAddr::from((ip, 2881));
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let output = std::fs::File::create(directory.path().join("output")).unwrap();
        let mut command = Command::new(release.program());
        command
            .env("LD_PRELOAD", &library)
            .env("LOOPBACK_ADDRESS", ip.to_string())
            .args(["--nodaemon", "--log-level", "WARN", "--port", &address.port().to_string(), "--base-dir"])
            .arg(&data);
        let cluster = format!("cluster={cluster}");
        for parameter in ["datafile_size=32M", "log_disk_size=2G", "memory_limit=1G", "lease_time=1s", &cluster] {
            command.args(["--parameter", parameter]);
        }
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut engine = Self { child, directory, address };
        let deadline = monotonic_now() + PATIENCE;
        while let Err(error) = engine.log_in().await {
            let ended = engine.child.try_wait().unwrap();
            let said = || std::fs::read_to_string(engine.directory.path().join("output")).unwrap_or_default();
            assert!(ended.is_none(), "the engine ended, {ended:?}: {}", said());
            assert!(monotonic_now() < deadline, "the engine lets nobody in: {error}; {}", said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        engine
    }

    /// A session of root.
    pub async fn log_in(&self) -> mysql_async::Result<Conn> {
        log_in(self.address).await
    }

    /// Every socket that it listens on or receives datagrams at.
    pub fn listeners(&self) -> Vec<String> {
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let sockets: Vec<String> = std::fs::read_dir(proc.join("fd"))
            .unwrap()
            .filter_map(|entry| Some(std::fs::read_link(entry.ok()?.path()).ok()?.to_str()?.to_owned()))
            .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let mut found = Vec::new();
        for (table, waits) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
            let text = std::fs::read_to_string(proc.join("net").join(table)).unwrap();
            for columns in text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()) {
                if columns[3] == waits && sockets.iter().any(|inode| inode == columns[9]) {
                    found.push(format!("{table} {}", columns[1]));
                }
            }
        }
        found
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A session of root of the sys tenant, who looks and changes behind the service's back.
pub async fn log_in(address: SocketAddr) -> mysql_async::Result<Conn> {
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some("root@sys"))
        .db_name(Some("oceanbase"))
        .prefer_socket(false);
    Conn::new(options).await
}

/// Makes a program or library of C source.
pub fn compile(source: &str, arguments: &[&str], into: &Path) {
    let file = into.with_extension("c");
    std::fs::write(&file, source).unwrap();
    let mut compiler = Command::new("cc");
    compiler
        .args(["-O1", "-Wall", "-Werror"])
        .args(arguments)
        .arg("-o")
        .arg(into)
        .arg(&file)
        .args(["-ldl", "-lpthread"]);
    let made = compiler.output().unwrap_or_else(|error| panic!("cc: {error}"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
