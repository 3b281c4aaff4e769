//! Examines one process: could it be the wanted observer, is it, or is it surely something else? Looks only.
//!
//! A candidate is an executable called `observer` (removed files too, and whatever `bin/observer` of its home leads to) or
//! a holder of the wanted RPC address. A process of another user, of which little can be read, is surely something else only
//! if nobody listens on the wanted address in its network namespace and it is not called `observer` either.

use std::path::Path;

use crate::agent::declared::{Declared, DeclaredValue};
use crate::agent::listener::Listener;
use crate::agent::proc_fs::{Executable, Owner, ProcError, ProcFs, Stat};
use crate::agent::process::Networks;
use crate::domain::host::{ObserverIdentity, ObserverTarget};

/// File name of the observer's executable, and name of its main thread.
const OBSERVER: &str = "observer";
/// Where its executable stands, below its home.
pub const PROGRAM: &str = "bin/observer";
/// Where an observer keeps its configuration, below its home.
pub const CONFIGURATION: &str = "etc/observer.config.bin";
/// More than any configuration has.
pub const CONFIGURATION_LIMIT: u64 = 4 << 20;

/// A reason why a process cannot be judged with certainty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub words: String,
    /// Whether it stands even when another process proves everything.
    pub strong: bool,
}

impl Doubt {
    pub const fn strong(words: String) -> Self {
        Self { words, strong: true }
    }

    pub const fn weak(words: String) -> Self {
        Self { words, strong: false }
    }
}

/// What a full match proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedProcess {
    pub identity: ObserverIdentity,
    pub owner: Owner,
    pub declared: Declared,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessMatch {
    /// It is the wanted observer.
    Match(Box<MatchedProcess>),
    Doubtful {
        doubt: Doubt,
        /// Whether its executable is an observer.
        is_observer: bool,
        /// Whether nothing that it says of itself speaks against being the wanted one.
        may_be_wanted: bool,
    },
    /// Provably something else, although it looked like one.
    Other { is_observer: bool },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub pid: u32,
    pub verdict: ProcessMatch,
    /// Its identity, when it could be read.
    pub identity: Option<ObserverIdentity>,
    /// Key of its network namespace, as `ProcFs::network_key` has it.
    pub network: (u64, u64),
    /// Inodes of its sockets that serve the wanted RPC address.
    pub sockets: Vec<u64>,
    pub words: String,
}

/// What a first look at a process tells.
pub enum Examined<'a> {
    /// It has nothing to do with observers.
    Unrelated,
    /// It is no observer. Whether it holds the wanted address its sockets tell, of which there may be many.
    Bystander(Process<'a>, Executable),
    Candidate(Candidate),
}

/// Looks at one process that runs. `Gone`: it has ended.
pub fn examine<'a>(
    proc: &'a ProcFs,
    networks: &mut Networks,
    own_network: (u64, u64),
    target: &ObserverTarget,
    boot_id: &str,
    (pid, stat): (u32, Stat),
) -> Result<Examined<'a>, ProcError> {
    if stat.kernel_thread {
        return Ok(Examined::Unrelated);
    }
    let (ip, port) = (target.address.ip(), target.address.rpc_port());
    let (network, wanted, same_port): (_, Vec<Listener>, Vec<Listener>) = match networks.of(proc, pid) {
        Ok((key, table)) => {
            let same_port = table.listeners().iter().filter(|listener| listener.address.port() == port);
            (key, table.serving(ip, port).copied().collect(), same_port.copied().collect())
        }
        // A process that is ending has left its network already.
        Err(ProcError::Gone(_)) => (own_network, Vec::new(), Vec::new()),
        Err(error) => return Err(error),
    };
    let process = Process { proc, pid, stat, network, wanted, same_port, other_network: network != own_network };
    let executable = match proc.executable(pid) {
        Ok(executable) => executable,
        Err(error) => return process.judge_unreadable(error, target),
    };
    let is_observer = executable.path.file_name().is_some_and(|name| name == OBSERVER)
        || proc.inode_below_home(pid, PROGRAM).is_some_and(|inode| inode == executable.inode);
    if is_observer {
        process.judged(executable, true, boot_id, target)
    } else if process.wanted.is_empty() {
        Ok(Examined::Unrelated)
    } else {
        Ok(Examined::Bystander(process, executable))
    }
}

/// A process as a first look found it.
pub struct Process<'a> {
    proc: &'a ProcFs,
    pid: u32,
    stat: Stat,
    network: (u64, u64),
    /// Listeners of its namespace on the wanted address, whoever holds them.
    wanted: Vec<Listener>,
    /// Listeners of its namespace on the wanted port at any address.
    same_port: Vec<Listener>,
    other_network: bool,
}

struct Facts {
    identity: ObserverIdentity,
    deleted: bool,
    owner: Owner,
    declared: Declared,
    is_observer: bool,
    holds: Vec<Listener>,
    /// Holds the wanted port at another address only.
    elsewhere: bool,
}

impl<'a> Process<'a> {
    /// Reads the rest of it; a bystander's `executable` is that of its first look.
    pub fn judged(
        &self,
        executable: Executable,
        is_observer: bool,
        boot_id: &str,
        target: &ObserverTarget,
    ) -> Result<Examined<'a>, ProcError> {
        match self.read(executable, is_observer, boot_id) {
            Ok(None) => Ok(Examined::Unrelated),
            Ok(Some(facts)) => Ok(Examined::Candidate(self.judge(facts, target))),
            Err(error) => self.judge_unreadable(error, target),
        }
    }

    /// Reads all there is to know of it; `None`: neither an observer nor a holder of the address.
    fn read(&self, executable: Executable, is_observer: bool, boot_id: &str) -> Result<Option<Facts>, ProcError> {
        let (proc, pid) = (self.proc, self.pid);
        let sockets = proc.socket_inodes(pid)?;
        let holds: Vec<Listener> =
            self.wanted.iter().filter(|listener| sockets.contains(&listener.inode)).copied().collect();
        if !is_observer && holds.is_empty() {
            return Ok(None);
        }
        let mut declared = Declared::default();
        declared.add_arguments(&proc.arguments(pid)?);
        match proc.read_below_home(pid, CONFIGURATION, CONFIGURATION_LIMIT) {
            Ok(bytes) => declared.add_configuration(&bytes),
            // First start, or not an observer.
            Err(ProcError::Gone(_)) => {}
            Err(error) => return Err(error),
        }
        let owner = proc.owner(pid)?;
        let cluster_name = match &declared.cluster {
            DeclaredValue::Value(name) => name.clone(),
            DeclaredValue::Missing | DeclaredValue::Conflicting => String::new(),
        };
        let identity = ObserverIdentity {
            boot_id: boot_id.to_owned(),
            pid,
            start_ticks: self.stat.start_ticks,
            executable: text(&executable.path),
            executable_inode: executable.inode,
            home: text(&proc.home(pid)?),
            uid: owner.uid,
            network_namespace: proc.network_namespace(pid)?,
            cluster_name,
        };
        // Everything above was read of one process only if it still is the same one.
        let again = proc.stat(pid)?;
        if again.start_ticks != self.stat.start_ticks || again.has_ended() {
            return Err(ProcError::Gone(proc.path(pid, "stat")));
        }
        let elsewhere = holds.is_empty() && self.same_port.iter().any(|listener| sockets.contains(&listener.inode));
        Ok(Some(Facts { identity, deleted: executable.deleted, owner, declared, is_observer, holds, elsewhere }))
    }

    fn judge(&self, facts: Facts, target: &ObserverTarget) -> Candidate {
        let verdict = self.verdict(&facts, target);
        let Facts { identity, deleted, declared, holds, .. } = &facts;
        let listens: Vec<String> = holds.iter().map(|listener| listener.address.to_string()).collect();
        let mut words = identity.to_string();
        if *deleted {
            words.push_str(", its executable was removed or replaced");
        }
        if !listens.is_empty() {
            words.push_str(&format!(", listens on {}", listens.join(" and ")));
        }
        if declared.cluster == DeclaredValue::Conflicting {
            words.push_str(", its arguments and configuration name different clusters");
        }
        Candidate {
            pid: self.pid,
            verdict,
            network: self.network,
            sockets: holds.iter().map(|listener| listener.inode).collect(),
            identity: Some(facts.identity),
            words,
        }
    }

    fn verdict(&self, facts: &Facts, target: &ObserverTarget) -> ProcessMatch {
        let Facts { declared, is_observer, holds, elsewhere, .. } = facts;
        let is_observer = *is_observer;
        let same_cluster = declared.cluster.equals(&target.cluster_name);
        let other_cluster = declared.is_of_another_cluster(target);
        let other_address = declared.is_at_another_address(target);
        let may_be_wanted = is_observer && !other_cluster && !other_address;
        let doubtful = |doubt| ProcessMatch::Doubtful { doubt, is_observer, may_be_wanted };
        if holds.is_empty() {
            return if other_cluster || other_address || *elsewhere {
                ProcessMatch::Other { is_observer }
            } else if same_cluster {
                doubtful(Doubt::strong(
                    "an observer of the cluster that does not listen (yet, or no longer)".to_owned(),
                ))
            } else {
                doubtful(Doubt::weak("an observer that neither listens nor says of which cluster it is".to_owned()))
            };
        }
        if is_observer && same_cluster && !other_cluster && !other_address {
            return ProcessMatch::Match(Box::new(MatchedProcess {
                identity: facts.identity.clone(),
                owner: facts.owner,
                declared: declared.clone(),
            }));
        }
        // Another pod's observer: in a network of its own `0.0.0.0` is not the wanted address.
        if (other_cluster || other_address) && self.other_network && holds.iter().all(Listener::is_wildcard) {
            return ProcessMatch::Other { is_observer };
        }
        let words = if !is_observer {
            "listens on the rpc address but is no observer"
        } else if other_cluster {
            "listens on the rpc address but is of another cluster"
        } else if other_address {
            "listens on the rpc address but was configured for another"
        } else {
            "listens on the rpc address but does not say of which cluster it is"
        };
        doubtful(Doubt::strong(words.to_owned()))
    }

    /// A process of which the decisive facts may not be read, or which is ending.
    fn judge_unreadable(&self, error: ProcError, target: &ObserverTarget) -> Result<Examined<'a>, ProcError> {
        if let ProcError::Unreadable { .. } = error {
            return Err(error);
        }
        let (proc, pid) = (self.proc, self.pid);
        let arguments = proc.arguments(pid)?;
        let again = proc.stat(pid)?;
        if again.start_ticks != self.stat.start_ticks || again.has_ended() {
            return Err(ProcError::Gone(proc.path(pid, "stat")));
        }
        let called = arguments.first().and_then(|name| Path::new(name).file_name());
        let is_observer = self.stat.command == OBSERVER || called.is_some_and(|name| name == OBSERVER);
        if !is_observer {
            // If it holds the wanted address, the listener is left without an owner, which raises the doubt.
            return Ok(Examined::Unrelated);
        }
        let mut declared = Declared::default();
        declared.add_arguments(&arguments);
        if declared.is_of_another(target) {
            return Ok(Examined::Unrelated);
        }
        let words = format!("pid {pid}, called {}", self.stat.command);
        let doubt = Doubt::weak(format!("an observer of which too little can be read ({error})"));
        let verdict = ProcessMatch::Doubtful { doubt, is_observer, may_be_wanted: true };
        let (network, sockets) = (self.network, Vec::new());
        Ok(Examined::Candidate(Candidate { pid, verdict, identity: None, network, sockets, words }))
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
