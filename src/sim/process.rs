//! Observer processes, seen from the coordinator: their homes on disk, starting and reaping them.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::process::{Child, Command};

use super::SimError;
use super::coordinator::Run;
use super::link::{FOREGROUND, SIM_JSON, SimJson};
use super::state::Server;
use super::time;

/// Makes the home of a server as an installation leaves it.
pub fn install(run: &Run, server: &Server) -> Result<(), SimError> {
    let home = &server.home;
    let failed = |path: &Path| SimError::io(format!("write {}", path.display()));
    for directory in ["bin", "etc", "run", "log", "store"] {
        std::fs::create_dir_all(home.join(directory)).map_err(failed(home))?;
    }
    let program = home.join("bin/observer");
    let _ = std::fs::remove_file(&program);
    let executable = &run.options.observer_executable;
    if std::fs::hard_link(executable, &program).is_err() {
        std::fs::copy(executable, &program).map_err(failed(&program))?;
    }
    let config = SimJson {
        coordinator: run.socket.clone(),
        token: run.token.clone(),
        server_id: server.id,
        ip: server.ip.clone(),
        cluster_name: run.options.cluster_name.clone(),
        cluster_id: run.options.cluster_id,
        zone: server.zone.clone(),
        sql_port: server.sql_port,
        rpc_port: server.rpc_port,
        password: run.options.password.clone(),
        heartbeat_ms: time::micros(run.options.durations.heartbeat_interval) as u64 / 1000,
        temporary: run.temporary.then(|| run.directory.clone()),
    };
    let text = serde_json::to_vec_pretty(&config).map_err(|error| SimError::Options(error.to_string()))?;
    let path = home.join(SIM_JSON);
    std::fs::write(&path, text).map_err(failed(&path))
}

/// Starts `bin/observer` as a real one is started for the first time, and reaps it when it ends.
pub fn spawn(run: &Arc<Run>, server: i64) -> Result<(), SimError> {
    let found = run.shared.with(|core, _| core.cluster.server(server).cloned());
    let server = found.ok_or(SimError::NoSuchServer(server))?;
    let log = server.home.join("log/observer.log");
    let failed = || SimError::io(format!("start {}", server.home.join("bin/observer").display()));
    let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log).map_err(failed())?;
    let mut store = server.home.as_os_str().as_bytes().to_vec();
    store.extend_from_slice(b"/store");
    let mut command = Command::new(server.home.join("bin/observer"));
    command
        .arg0("bin/observer")
        .args(["-p", &server.sql_port.to_string(), "-P", &server.rpc_port.to_string(), "-I", &server.ip])
        .args(["-z", &server.zone])
        .args(["-n", &run.options.cluster_name, "-c", &run.options.cluster_id.to_string(), "-d"])
        .arg(std::ffi::OsStr::from_bytes(&store))
        .env(FOREGROUND, "1")
        .current_dir(&server.home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        // a Ctrl-C at the terminal is for the coordinator
        .process_group(0)
        .kill_on_drop(true);
    let mut child = start(&mut command).map_err(failed())?;
    run.tasks.spawn(async move {
        let _ = child.wait().await;
    });
    Ok(())
}

/// A copied program is "busy" while another thread's fork still holds the file that was written.
fn start(command: &mut Command) -> std::io::Result<Child> {
    for _ in 0..50 {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            started => return started,
        }
    }
    command.spawn()
}

/// The process is no more, or a zombie that waits to be reaped: either way its ports are closed.
pub fn gone(pid: u32) -> bool {
    matches!(state(pid).as_str(), "" | "Z" | "X")
}

/// The process is there and nobody stopped it with SIGSTOP: if it is silent, this machine is busy.
pub fn runs(pid: u32) -> bool {
    !matches!(state(pid).as_str(), "" | "Z" | "X" | "T" | "t")
}

/// The letter in /proc; nothing when there is no such process.
fn state(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).unwrap_or_default().to_owned()
}

/// The last words of a process that did not come up.
pub fn last_words(home: &Path) -> String {
    let log = std::fs::read_to_string(home.join("log/observer.log")).unwrap_or_default();
    log.lines().last().unwrap_or("it wrote nothing").to_owned()
}
