//! Starts an observer as a process of its own. A child of ours must have its limits before it becomes the observer, which
//! only the child itself can see to, and code between fork and exec would be unsafe. So the child is this program again
//! (`obsteward agent launch`, hidden): it reads its orders from standard input, leaves our session, sets the limits and
//! becomes the observer. From then on the observer is independent: it outlives the agent.
//!
//! What the child says on standard error is its report. [`LAUNCHED`] last and nothing behind it: the pipe was closed by a
//! successful exec.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::watch;

use crate::agent::files;
use crate::agent::limits::{self, Limits};

/// Name of the hidden subcommand of `obsteward agent`.
pub const SUBCOMMAND: &str = "launch";
/// Last line of the report of a child that is about to become the observer.
const LAUNCHED: &str = "launched\n";
/// Longest time until a child has become the observer.
const EXEC_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest time until a child that was killed has ended.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// No report is longer.
const REPORT_LIMIT: u64 = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// Working directory of the observer.
    pub home: PathBuf,
    /// The executable, below the home.
    pub program: PathBuf,
    /// The name by which it is called (its argument 0).
    pub name: String,
    /// The arguments behind argument 0.
    pub arguments: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub environment: BTreeMap<String, String>,
    /// File of its standard output and error, made anew.
    pub output: PathBuf,
    /// Its resource limits; those that are not named stay ours.
    pub limits: Limits,
}

/// The program that carries out orders.
#[derive(Clone, Debug)]
pub struct Launcher {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Launcher {
    /// This very program, also after its file was replaced.
    pub fn own() -> Self {
        Self::obsteward("/proc/self/exe")
    }

    /// Another `obsteward`, for an agent in a program that is none.
    pub fn obsteward(program: impl Into<PathBuf>) -> Self {
        Self::new(program, ["agent", SUBCOMMAND])
    }

    /// Any program that ends in [`exec_child`].
    pub fn new<T: Into<OsString>>(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = T>) -> Self {
        Self { program: program.into(), arguments: arguments.into_iter().map(Into::into).collect() }
    }
}

/// A child that became the observer, or its first process, if that is a daemon.
#[derive(Debug)]
pub struct Launched {
    pub pid: u32,
    /// What could not be done as ordered.
    pub notes: Vec<String>,
    ended: watch::Receiver<Option<String>>,
}

impl Launched {
    /// How it ended, in words; `None` while it runs.
    pub fn end(&self) -> Option<String> {
        self.ended.borrow().clone()
    }
}

/// Why a child did not become the observer. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchError {
    /// This host lacks something just now: file descriptors, memory, processes.
    Exhausted(String),
    Failed(String),
}

impl LaunchError {
    fn of(program: &Path, error: &io::Error) -> Self {
        let problem = format!("{}: {error}", program.display());
        if files::passes(error) { Self::Exhausted(problem) } else { Self::Failed(problem) }
    }
}

/// Starts a child and waits until it is the observer.
pub async fn launch(launcher: &Launcher, orders: &LaunchSpec) -> Result<Launched, LaunchError> {
    let failed = |error: io::Error| LaunchError::of(&launcher.program, &error);
    let text = serde_json::to_vec(orders)
        .map_err(|error| LaunchError::Failed(format!("the orders cannot be written: {error}")))?;
    let mut command = Command::new(&launcher.program);
    command.arg0("obsteward").args(&launcher.arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(command).spawn().map_err(failed)?;
    let pid = child.id().ok_or_else(|| LaunchError::Failed("the child ended before it was started".to_owned()))?;
    let report = match tokio::time::timeout(EXEC_TIMEOUT, converse(&mut child, &text)).await {
        Ok(report) => report,
        Err(_) => cut_off(&mut child).await,
    };
    if let Some(notes) = report.strip_suffix(LAUNCHED) {
        let notes = notes.lines().map(str::to_owned).collect();
        return Ok(Launched { pid, notes, ended: reap(child) });
    }
    // The child is about to end, and has to be reaped.
    reap(child);
    let report = report.replace(LAUNCHED, "").trim().replace('\n', "; ");
    Err(LaunchError::Failed(if report.is_empty() { "the child ended without a word".to_owned() } else { report }))
}

/// Writes the orders and reads the report to its end.
async fn converse(child: &mut Child, orders: &[u8]) -> String {
    if let Some(mut stdin) = child.stdin.take() {
        // A child that did not read its orders says why in its report.
        let _ = stdin.write_all(orders).await;
    }
    report(child).await
}

async fn report(child: &mut Child) -> String {
    let mut bytes = Vec::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = stderr.take(REPORT_LIMIT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Kills a child that neither became the observer nor reported a failure. It surely has not become the observer: its
/// report pipe is still open.
async fn cut_off(child: &mut Child) -> String {
    let _ = child.start_kill();
    let _ = tokio::time::timeout(KILL_TIMEOUT, child.wait()).await;
    format!("the child did not become the observer within {EXEC_TIMEOUT:?} and was ended")
}

/// Waits for the end of a child, however long that takes, so that it is not left a zombie.
fn reap(mut child: Child) -> watch::Receiver<Option<String>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let end = child.wait().await.map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string());
        let _ = sender.send(Some(end));
    });
    receiver
}

/// The child's side: reads orders from standard input and becomes the observer, or says why not and ends.
pub fn exec_child() -> ! {
    let mut report = match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => File::from(descriptor),
        Err(_) => std::process::exit(1),
    };
    let failure = become_observer(&mut report);
    let _ = writeln!(report, "{failure}");
    std::process::exit(1)
}

/// Returns only when it failed, with the reason.
fn become_observer(report: &mut File) -> String {
    let prepared = prepare(report);
    let (orders, output, errors) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return failure,
    };
    let error = Command::new(&orders.program)
        .arg0(&orders.name)
        .args(&orders.arguments)
        .env_clear()
        .envs(&orders.environment)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .exec();
    format!("{} cannot be executed: {error}", orders.home.join(&orders.program).display())
}

fn prepare(report: &mut File) -> Result<(LaunchSpec, File, File), String> {
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text).map_err(|error| format!("the orders cannot be read: {error}"))?;
    let orders: LaunchSpec =
        serde_json::from_slice(&text).map_err(|error| format!("the orders are not understood: {error}"))?;
    rustix::process::setsid().map_err(|error| format!("the agent's session cannot be left: {error}"))?;
    let output = OpenOptions::new().create(true).append(true).mode(0o640).open(&orders.output);
    let made = output.and_then(|output| {
        // Drops what an earlier start wrote.
        output.set_len(0)?;
        Ok((output.try_clone()?, output))
    });
    let (output, errors) = made.map_err(|error| format!("{} cannot be written: {error}", orders.output.display()))?;
    std::env::set_current_dir(&orders.home)
        .map_err(|error| format!("{} cannot be entered: {error}", orders.home.display()))?;
    let notes = limits::set(&orders.limits)?;
    let mut said: String = notes.iter().map(|note| format!("{note}\n")).collect();
    said.push_str(LAUNCHED);
    report.write_all(said.as_bytes()).map_err(|error| format!("the agent does not listen: {error}"))?;
    Ok((orders, output, errors))
}

#[cfg(test)]
#[path = "launcher_tests.rs"]
pub(crate) mod tests;
