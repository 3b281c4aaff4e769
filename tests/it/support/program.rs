//! The command line as a program of its own, and what is left of programs that ended.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::PATIENCE;

/// How a program ended and what it wrote.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Fails with everything that was written unless the program ended with this code.
    #[track_caller]
    pub fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {:?}", self.out))
    }

    /// Standard output as one JSON document a line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        self.out.lines().map(line).collect()
    }
}

/// `obsteward` for one server.
#[derive(Clone)]
pub struct Program {
    server: String,
    cluster: String,
}

impl Program {
    pub fn of(address: impl std::fmt::Display) -> Self {
        Self { server: format!("http://{address}"), cluster: "demo".to_owned() }
    }

    /// Lines may say `demo` for this cluster.
    pub fn with_cluster(self, name: &str) -> Self {
        Self { cluster: name.to_owned(), ..self }
    }

    /// A line that is to be run in some other way.
    pub fn line(&self, line: &str) -> Command {
        let words = line.split_whitespace().map(|word| if word == "demo" { self.cluster.as_str() } else { word });
        let mut command = obsteward(&words.collect::<Vec<_>>().join(" "));
        command.args(["--server", &self.server]);
        command
    }

    /// Runs a line (split at blanks) to its end.
    pub async fn run(&self, line: &str) -> Ended {
        end_of(self.line(line)).await
    }

    /// Runs a line whose output nobody reads any more, to its end.
    pub async fn unread(&self, line: &str) -> Ended {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = self.line(line);
        let child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).kill_on_drop(true).spawn();
        let output = tokio::time::timeout(PATIENCE, child.unwrap().wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("{line} does not end")).unwrap();
        Ended { code: output.status.code(), out: String::new(), err: String::from_utf8(output.stderr).unwrap() }
    }

    /// Starts a line and leaves it running.
    pub fn start(&self, line: &str) -> Started {
        Started::of(self.line(line))
    }
}

/// The real program with these arguments (split at blanks).
pub fn obsteward(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_obsteward"));
    command.args(line.split_whitespace());
    // What the caller's own environment says is about another server.
    for variable in ["SERVER", "USER", "PASSWORD", "PASSWORD_FILE", "NEW_PASSWORD", "CLUSTER_PASSWORD"] {
        command.env_remove(format!("OBSTEWARD_{variable}"));
    }
    command
}

/// Runs a program to its end.
pub async fn end_of(mut command: Command) -> Ended {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, output).await.unwrap_or_else(|_| panic!("{command:?} does not end"));
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A program that runs; killed when dropped.
pub struct Started {
    child: Child,
    pub out: Lines<BufReader<ChildStdout>>,
    pub err: Lines<BufReader<ChildStderr>>,
}

impl Started {
    pub fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, out, err }
    }

    /// Lines of standard output until one that is wanted; that is the last.
    pub async fn out_until(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        lines_until(&mut self.out, wanted).await
    }

    /// Lines of standard error until one that is wanted; that is the last.
    pub async fn err_until(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        lines_until(&mut self.err, wanted).await
    }

    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid() as i32).unwrap(), signal).unwrap();
    }

    /// Its end, and what it wrote that was not read before.
    pub async fn ended(mut self) -> Ended {
        let (mut out, mut err) = (String::new(), String::new());
        let (mut from_out, mut from_err) = (self.out.into_inner(), self.err.into_inner());
        let whole = async {
            let (read_out, read_err, status) =
                tokio::join!(from_out.read_to_string(&mut out), from_err.read_to_string(&mut err), self.child.wait());
            read_out.unwrap();
            read_err.unwrap();
            status.unwrap().code()
        };
        let code = tokio::time::timeout(PATIENCE, whole).await.expect("the program does not end");
        Ended { code, out, err }
    }
}

async fn lines_until<R: tokio::io::AsyncBufRead + Unpin>(
    lines: &mut Lines<R>,
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut read = Vec::new();
    let reading = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let last = wanted(&line);
            read.push(line);
            if last {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(PATIENCE, reading).await;
    assert_eq!(found, Ok(true), "the line did not come, only: {read:#?}");
    read
}

/// An address for a service that is started again where it was: a loopback address that no other test has, so that
/// nobody can take its port meanwhile.
pub fn lasting_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let number = u16::try_from(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap();
    SocketAddr::from(([127, 251, high, low], 50051 + number))
}

/// A loopback network, 127.A.B.0, that no simulated cluster uses now and that other tests do not choose.
pub fn free_net() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() * 61;
    let nets = (0..1024_u32).map(|_| (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 1024);
    let nets = nets.map(|index| Ipv4Addr::new(127, 251 + (index / 256) as u8, (index % 256) as u8, 0));
    let free = |net: &Ipv4Addr| {
        let name = std::os::unix::net::SocketAddr::from_abstract_name(format!("obsteward-sim-net-{net}")).unwrap();
        std::os::unix::net::UnixListener::bind_addr(&name).is_ok()
    };
    nets.into_iter().find(free).unwrap()
}

/// The processes below a process, itself not among them: pid and command line.
pub fn descendants(of: u32) -> Vec<(u32, String)> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()?))
        })
        .collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, its)| *its == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.into_iter().skip(1).map(|pid| (pid, command_line(pid))).collect()
}

fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Waits until these processes are no more. A reused pid has another command line.
pub async fn all_gone(processes: &[(u32, String)]) {
    let gone = async {
        while processes.iter().any(|(pid, line)| command_line(*pid) == *line) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let left = || processes.iter().filter(|(pid, line)| command_line(*pid) == *line).collect::<Vec<_>>();
    assert!(tokio::time::timeout(PATIENCE, gone).await.is_ok(), "still there: {:#?}", left());
}
