//! The machine as it is: a Linux host, seen through `/proc` and signalled through pidfds.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agent::candidate::PROGRAM;
use crate::agent::files::FileError;
use crate::agent::home;
use crate::agent::launcher::{LaunchError, LaunchSpec, Launcher};
use crate::agent::launches::{LIBRARY_PATH, Launch, LaunchStore};
use crate::agent::ledger_file::LedgerFile;
use crate::agent::limits;
use crate::agent::machine::Machine;
use crate::agent::new_process::LinuxProcess;
use crate::agent::proc_fs::{ProcError, ProcFs};
use crate::agent::process::{self, HostSettings, Outcome, Search};
use crate::agent::refusal::AgentRefusal;
use crate::agent::settings::AgentConfig;
use crate::agent::signal::{self, ProcessHandle};
use crate::agent::supervisor;
use crate::domain::host::{ObserverIdentity, ObserverTarget};
use crate::net::descriptors;

/// Pauses before a doubt is looked at again: on a busy host a process may take a while to end.
const LOOKS_AGAIN: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
/// File below the home that its standard output and error go to.
const OUTPUT: &str = "log/obsteward-start.log";
/// The variables that an observer gets from the agent: the others do not concern it, and some may be secret.
const ENVIRONMENT: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ"];

#[derive(Debug)]
pub struct Linux {
    proc: ProcFs,
    knowledge: HostSettings,
    ledger: LedgerFile,
    pub(super) launches: LaunchStore,
    homes: Vec<PathBuf>,
    launcher: Launcher,
}

impl Linux {
    /// Opens what is kept on disk; fails when another agent has it.
    pub fn open(config: AgentConfig) -> Result<Self, FileError> {
        // Before anything else: it keeps another agent out of the directory.
        let ledger = LedgerFile::open(&config.state_directory, config.clock)?;
        Ok(Self {
            proc: ProcFs::new(config.proc_root),
            knowledge: HostSettings { safe_units: config.safe_units, addresses: config.addresses },
            ledger,
            launches: LaunchStore::open(&config.state_directory)?,
            homes: config.homes,
            launcher: config.launcher,
        })
    }

    /// Remembers how a running observer was launched.
    pub(super) fn remember(&self, target: &ObserverTarget, launch: Option<Launch>) {
        let Some(launch) = launch else { return };
        if let Err(error) = self.launches.remember(target, launch) {
            tracing::warn!(target = %target.address, %error, "how the observer was launched could not be remembered");
        }
    }

    /// Refuses when it has to be started by a supervisor, or by whoever keeps it in the foreground.
    fn ensure_unsupervised(&self, launch: Option<&Launch>, home: &Path) -> Result<(), AgentRefusal> {
        let safe_units = &self.knowledge.safe_units;
        let refused = |supervisor: String, unit: String| Err(AgentRefusal::StartedBySupervisor { supervisor, unit });
        let around = supervisor::of_home(&self.proc, home, safe_units).map_err(unreadable)?;
        if let Some(keeper) = around.supervisors.into_iter().find(|keeper| !keeper.safe) {
            return refused(keeper.name, keeper.unit);
        }
        let Some(launch) = launch else { return Ok(()) };
        // An obshell keeps an observer only while it lives, and living ones were looked for just now. Remembered ones
        // say nothing: older agents noted every obshell.
        let mut keepers = launch.keepers.iter().filter(|keeper| keeper.unit != supervisor::OBSHELL);
        if let Some(keeper) = keepers.find(|keeper| !supervisor::is_safe(&keeper.unit, safe_units)) {
            return refused(keeper.name.clone(), keeper.unit.clone());
        }
        if launch.foreground && !supervisor::is_safe(supervisor::FOREGROUND, safe_units) {
            return refused("whoever started it with --nodaemon".to_owned(), supervisor::FOREGROUND.to_owned());
        }
        if launch.elsewhere {
            let reason = "the observer ran in a network or with files of its own, as in a container: start it there, or \
                          run an agent there";
            return Err(AgentRefusal::NotPermitted { reason: reason.to_owned() });
        }
        Ok(())
    }
}

impl Machine for Linux {
    type Ledger = LedgerFile;
    type Process = ProcessHandle;
    type Orders = LaunchSpec;
    type Launched = LinuxProcess;

    fn ledger(&self) -> &LedgerFile {
        &self.ledger
    }

    /// On a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AgentRefusal> + Send + 'static,
    ) -> Result<T, AgentRefusal> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(AgentRefusal::HostUnreadable { problem: format!("the agent was cut off: {error}") }),
        }
    }

    /// How a surely identified process was launched is remembered.
    fn look(&self, target: &ObserverTarget) -> Result<Search, AgentRefusal> {
        let search = process::find(&self.proc, target, &self.knowledge).map_err(unreadable)?;
        if let Outcome::Running { identity, around } = &search.outcome {
            match Launch::of(&self.proc, identity, &around.supervisors) {
                Ok(launch) => self.remember(target, launch),
                // The finding is valid without it.
                Err(error) => {
                    tracing::debug!(target = %target.address, %error, "how it was launched is not remembered")
                }
            }
        }
        Ok(search)
    }

    /// A doubt is looked at again, because some pass at once: a child between fork and exec looks like its observer, and a
    /// process that is ending like one that hides. The answer is the last look's alone.
    fn search(&self, target: &ObserverTarget) -> Result<Search, AgentRefusal> {
        let mut search = self.look(target)?;
        for pause in LOOKS_AGAIN {
            match search.outcome {
                Outcome::Running { .. } | Outcome::Absent => break,
                Outcome::Ambiguous => {
                    std::thread::sleep(pause);
                    search = self.look(target)?;
                }
            }
        }
        Ok(search)
    }

    fn is_there(&self, pid: u32, start_ticks: u64) -> bool {
        self.proc.stat(pid).is_ok_and(|stat| stat.start_ticks == start_ticks && !stat.has_ended())
    }

    fn permitted(&self, identity: &ObserverIdentity) -> Result<(), AgentRefusal> {
        let own = signal::own_uid();
        if own != 0 && own != identity.uid {
            let reason = format!(
                "the observer runs as uid {} and the agent as uid {own}: run the agent as the observer's user",
                identity.uid
            );
            return Err(AgentRefusal::NotPermitted { reason });
        }
        signal::permitted(identity.pid).map_err(|error| AgentRefusal::NotPermitted {
            reason: format!("the system does not let the agent signal pid {}: {error}", identity.pid),
        })
    }

    fn hold(&self, pid: u32) -> io::Result<Option<ProcessHandle>> {
        ProcessHandle::open(pid)
    }

    fn holder(&self, target: &ObserverTarget) -> Result<Option<(SocketAddr, Option<String>)>, AgentRefusal> {
        process::holder(&self.proc, target).map_err(unreadable)
    }

    /// In a home that proves itself, that no other observer has, and unless a supervisor or another user has to start it.
    fn orders(&self, target: &ObserverTarget, search: &Search) -> Result<LaunchSpec, AgentRefusal> {
        let launch = self.launches.of(target);
        let home = home::choose(launch.as_ref(), &self.homes, target)?;
        if let Some(seen) = search.observers.iter().find(|seen| Path::new(&seen.identity.home) == home) {
            let evidence = format!("an observer runs in its home already: {}", seen.identity);
            return Err(AgentRefusal::Ambiguous { evidence });
        }
        self.ensure_unsupervised(launch.as_ref(), &home)?;
        let own = signal::own_uid();
        if let Some(launch) = launch.as_ref().filter(|launch| launch.uid != own) {
            let reason = format!(
                "the observer ran as uid {} and the agent runs as uid {own}: run the agent as the observer's user",
                launch.uid
            );
            return Err(AgentRefusal::NotPermitted { reason });
        }
        let executable = launch.as_ref().map_or_else(|| PathBuf::from(PROGRAM), |launch| launch.executable.clone());
        home::usable(&home, &executable, own)?;
        Ok(orders(launch, home, executable))
    }

    async fn launch(&self, orders: LaunchSpec) -> Result<LinuxProcess, LaunchError> {
        LinuxProcess::launch(&self.launcher, orders).await
    }
}

fn unreadable(error: ProcError) -> AgentRefusal {
    AgentRefusal::HostUnreadable { problem: error.to_string() }
}

/// The equivalent of `cd home && bin/observer`, as it was launched before.
fn orders(launch: Option<Launch>, home: PathBuf, executable: PathBuf) -> LaunchSpec {
    let own = ENVIRONMENT.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let mut environment: BTreeMap<String, String> = own.collect();
    let libraries = match &launch {
        Some(launch) => launch.library_path.clone(),
        // Where packages and deployers put them.
        None => Some(home.join("lib")).filter(|lib| lib.is_dir()).map(|lib| lib.display().to_string()),
    };
    environment.extend(libraries.map(|path| (LIBRARY_PATH.to_owned(), path)));
    let usual = executable.display().to_string();
    let (name, arguments, limits) = match launch {
        Some(launch) => {
            let arguments = launch.arguments();
            (Some(launch.name).filter(|name| !name.is_empty()).unwrap_or(usual), arguments, launch.limits)
        }
        // This agent's own, but of open files those that it was started with.
        None => (usual, Vec::new(), limits::of_files(descriptors::started_with())),
    };
    let output = home.join(OUTPUT);
    LaunchSpec { home, program: executable, name, arguments, environment, output, limits }
}
