//! How observers were launched, remembered while they run, because a process that is gone cannot be asked any more. On disk,
//! so that it outlives agent and boot; forgetting it costs a question to the operator (`--home`), nothing else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::agent::candidate::PROGRAM;
use crate::agent::declared::{Argument, said};
use crate::agent::files::{self, FileError};
use crate::agent::limits::{self, Limits};
use crate::agent::proc_fs::{ProcError, ProcFs};
use crate::agent::supervisor::Supervisor;
use crate::domain::host::{ObserverIdentity, ObserverTarget};

const FILE: &str = "launches.json";
/// Where packages and deployers have the dynamic loader find the observer's own libraries.
pub const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    pub home: PathBuf,
    /// Its executable, below the home.
    pub executable: PathBuf,
    /// The name by which it was called (its argument 0).
    pub name: String,
    /// `-p`, if it was given.
    pub sql_port: Option<u16>,
    /// `-I`, if it was given.
    pub local_ip: Option<IpAddr>,
    /// Whether it ran in the foreground (`--nodaemon`), for whoever started it.
    pub foreground: bool,
    /// The supervisors that were seen with it.
    pub keepers: Vec<SupervisorRecord>,
    /// Whether it had a network or files of its own, as in a container.
    pub elsewhere: bool,
    pub uid: u32,
    /// Its `LD_LIBRARY_PATH`.
    pub library_path: Option<String>,
    pub limits: Limits,
}

/// Who watched over an observer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorRecord {
    pub name: String,
    /// What the operator lists as a safe unit to have it counted as harmless.
    pub unit: String,
}

impl Launch {
    /// The launch of a running process that was identified; `None`: its executable is not below its home.
    pub fn of(
        proc: &ProcFs,
        identity: &ObserverIdentity,
        supervisors: &[Supervisor],
    ) -> Result<Option<Self>, ProcError> {
        let pid = identity.pid;
        let Some(executable) = executable(proc, identity) else { return Ok(None) };
        let arguments = proc.arguments(pid)?;
        let own = proc.own_pid()?;
        let elsewhere = proc.network_namespace(pid)? != proc.network_namespace(own)?
            || proc.mount_namespace(pid)? != proc.mount_namespace(own)?;
        let mut launch = Self {
            home: PathBuf::from(&identity.home),
            executable,
            name: arguments.first().cloned().unwrap_or_default(),
            sql_port: None,
            local_ip: None,
            foreground: false,
            keepers: supervisors
                .iter()
                .map(|Supervisor { name, unit, .. }| SupervisorRecord { name: name.clone(), unit: unit.clone() })
                .collect(),
            elsewhere,
            uid: identity.uid,
            library_path: proc.variable(pid, LIBRARY_PATH)?,
            limits: limits::parse(&proc.limits(pid)?),
        };
        for said in said(&arguments) {
            match said {
                Argument::SqlPort(port) => launch.sql_port = Some(port),
                Argument::LocalIp(ip) => launch.local_ip = Some(ip),
                Argument::Foreground => launch.foreground = true,
                Argument::Cluster(_) | Argument::ClusterId(_) | Argument::RpcPort(_) => {}
            }
        }
        // All of this was read of one process only if it still is the same one.
        let again = proc.stat(pid)?;
        if again.start_ticks != identity.start_ticks || again.has_ended() {
            return Err(ProcError::Gone(PathBuf::from(&identity.executable)));
        }
        Ok(Some(launch))
    }

    /// The arguments that it is started with again. Never `-o` or `-r`, which would revert parameters.
    pub fn arguments(&self) -> Vec<String> {
        let port = self.sql_port.into_iter().flat_map(|port| ["-p".to_owned(), port.to_string()]);
        let ip = self.local_ip.into_iter().flat_map(|ip| ["-I".to_owned(), ip.to_string()]);
        port.chain(ip).collect()
    }
}

fn executable(proc: &ProcFs, identity: &ObserverIdentity) -> Option<PathBuf> {
    if let Ok(below) = Path::new(&identity.executable).strip_prefix(&identity.home) {
        return below.components().all(|part| matches!(part, Component::Normal(_))).then(|| below.to_owned());
    }
    let linked = proc.inode_below_home(identity.pid, PROGRAM).is_some_and(|inode| inode == identity.executable_inode);
    linked.then(|| PathBuf::from(PROGRAM))
}

#[derive(Debug)]
pub struct LaunchStore {
    directory: PathBuf,
    known: Mutex<BTreeMap<String, Launch>>,
}

impl LaunchStore {
    pub fn open(directory: &Path) -> Result<Self, FileError> {
        let known = files::read(directory, FILE)?.unwrap_or_default();
        Ok(Self { directory: directory.to_owned(), known: Mutex::new(known) })
    }

    /// The last launch of an observer.
    pub fn of(&self, target: &ObserverTarget) -> Option<Launch> {
        self.lock().get(&key(target)).cloned()
    }

    /// Remembers a launch. On return it is on disk; one that is known already costs nothing.
    pub fn remember(&self, target: &ObserverTarget, launch: Launch) -> Result<(), FileError> {
        let mut known = self.lock();
        if known.get(&key(target)) == Some(&launch) {
            return Ok(());
        }
        let mut next = known.clone();
        next.insert(key(target), launch);
        files::replace(&self.directory, FILE, &next)?;
        *known = next;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Launch>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(target: &ObserverTarget) -> String {
    format!("{}#{}@{}", target.cluster_name, target.ob_cluster_id, target.address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::fake_proc;

    fn launch() -> Launch {
        Launch {
            home: "/home/ob".into(),
            executable: PROGRAM.into(),
            name: PROGRAM.to_owned(),
            sql_port: None,
            local_ip: None,
            foreground: false,
            keepers: Vec::new(),
            elsewhere: false,
            uid: 1000,
            library_path: None,
            limits: Limits::new(),
        }
    }

    #[test]
    fn only_ports_and_addresses_that_were_there_are_given_again() {
        assert_eq!(launch().arguments(), [] as [&str; 0]);
        let both = Launch { sql_port: Some(2881), local_ip: Some("fd00::2".parse().unwrap()), ..launch() };
        assert_eq!(both.arguments(), ["-p", "2881", "-I", "fd00::2"]);
    }

    #[test]
    fn it_outlives_the_agent_and_is_written_only_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        let target = fake_proc::target();
        let launches = LaunchStore::open(directory.path()).unwrap();
        launches.remember(&target, launch()).unwrap();
        std::fs::remove_file(&file).unwrap();
        launches.remember(&target, launch()).unwrap();
        assert!(!file.exists(), "what was known was written again");
        let changed = Launch { sql_port: Some(2881), ..launch() };
        launches.remember(&target, changed.clone()).unwrap();

        let launches = LaunchStore::open(directory.path()).unwrap();
        assert_eq!(launches.of(&target), Some(changed));
        assert_eq!(launches.of(&ObserverTarget { ob_cluster_id: 2, ..target }), None);
    }
}
