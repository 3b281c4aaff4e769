//! Finds the process of one observer: examines every process that could be it (`candidate.rs`), then judges. Looks only.
//!
//! The judgement: exactly one process that proves everything, and no strong doubt, is RUNNING. ABSENT must be proven: nothing
//! matches, nothing is in doubt, `/proc` shows all processes and the address belongs to this host. All else is AMBIGUOUS.
//! An observer forks when it becomes a daemon, so where a process ended while it was looked at, they are listed again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use crate::agent::candidate::{self, Candidate, Doubt, Examined, ProcessMatch};
use crate::agent::listener::Listener;
use crate::agent::network::Network;
use crate::agent::proc_fs::{ProcError, ProcFs};
use crate::agent::supervisor::{self, Subject, Supervision};
use crate::domain::host::{ObserverIdentity, ObserverTarget};

/// How often processes are listed, until none of those that the last listing added ended while it was looked at.
const LISTINGS: usize = 10;

/// What is known of this host besides `/proc`.
#[derive(Clone, Debug, Default)]
pub struct HostSettings {
    /// Units whose supervision is harmless, by configuration.
    pub safe_units: Vec<String>,
    /// Addresses that lead to this host although no interface has them (NAT, service IPs), by configuration.
    pub addresses: Vec<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Running {
        identity: Box<ObserverIdentity>,
        around: Supervision,
    },
    /// Proven that there is none.
    Absent,
    Ambiguous,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub outcome: Outcome,
    pub evidence: String,
    /// Boot id of the host.
    pub boot_id: String,
    /// Whether any process listens on the RPC address.
    pub rpc_port_open: bool,
    /// Whether any process listens on the SQL address.
    pub sql_port_open: bool,
    /// Every observer of this host of which enough could be read, wanted or not.
    pub observers: Vec<FoundObserver>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundObserver {
    pub identity: ObserverIdentity,
    /// Whether it is the wanted observer, or could be: one that does not listen yet may still be it.
    pub may_be_wanted: bool,
}

/// Socket tables, read once per network namespace.
#[derive(Debug, Default)]
pub struct Networks(HashMap<(u64, u64), Network>);

impl Networks {
    /// With our own namespace, and its key.
    fn around(proc: &ProcFs, own_pid: u32) -> Result<(Self, (u64, u64)), ProcError> {
        let key = proc.network_key(own_pid)?;
        Ok((Self(HashMap::from([(key, Network::own(proc, own_pid)?)])), key))
    }

    /// The table of the namespace of `pid`, with the namespace's key.
    pub fn of(&mut self, proc: &ProcFs, pid: u32) -> Result<((u64, u64), &Network), ProcError> {
        let key = proc.network_key(pid)?;
        let network = match self.0.entry(key) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(empty) => empty.insert(Network::of(proc, pid)?),
        };
        Ok((key, network))
    }
}

pub fn find(proc: &ProcFs, target: &ObserverTarget, knowledge: &HostSettings) -> Result<Search, ProcError> {
    let boot_id = proc.boot_id()?;
    let own_pid = proc.own_pid()?;
    let (mut networks, own_key) = Networks::around(proc, own_pid)?;
    let Walk { candidates, obshells, looked_at, settled } = walk(proc, &mut networks, own_key, target, &boot_id)?;
    let matches = proven(&candidates);
    let mut doubts = doubts(&candidates, &matches);
    doubts.extend(unowned_listeners(&networks, own_key, &candidates, target));
    doubts.extend(visibility_gaps(proc, &networks, target, knowledge));
    if !settled {
        doubts.push(Doubt::weak("processes came and went all the while they were looked at".to_owned()));
    }

    let (port_key, found) = match matches.as_slice() {
        [only] => (only.network, Some(*only)),
        _ => (own_key, None),
    };
    let network = networks.0.get(&port_key);
    let open = |port| network.is_some_and(|network| network.serving(target.address.ip(), port).next().is_some());
    let mut lines = vec![format!("looked at {looked_at} processes for {} of {}", target.address, target.cluster_name)];
    lines.extend(matches.iter().map(|candidate| format!("matches: {}", candidate.words)));
    lines.extend(doubts.iter().map(|doubt| doubt.words.clone()));
    let strong = doubts.iter().any(|doubt| doubt.strong);
    let outcome = match (found.map(|found| (found.pid, &found.verdict)), matches.is_empty()) {
        (Some((pid, ProcessMatch::Match(proven))), _) if !strong => {
            let subject = Subject { pid, owner: proven.owner, declared: &proven.declared };
            let around = supervisor::find(proc, subject, own_pid, obshells, &knowledge.safe_units)?;
            lines.extend(around.beside.iter().cloned());
            Outcome::Running { identity: Box::new(proven.identity.clone()), around }
        }
        (None, true) if doubts.is_empty() => {
            lines.push("no process matches, also not in part, and nobody listens on its rpc address".to_owned());
            Outcome::Absent
        }
        _ => Outcome::Ambiguous,
    };
    Ok(Search {
        outcome,
        evidence: lines.join("; "),
        boot_id,
        rpc_port_open: open(target.address.rpc_port()),
        sql_port_open: open(target.sql_port),
        observers: candidates.into_iter().filter_map(seen).collect(),
    })
}

/// What all processes together tell.
struct Walk {
    candidates: Vec<Candidate>,
    /// Those that are named so.
    obshells: Vec<u32>,
    looked_at: usize,
    /// Whether no process came meanwhile that was not looked at.
    settled: bool,
}

fn walk(
    proc: &ProcFs,
    networks: &mut Networks,
    own_key: (u64, u64),
    target: &ObserverTarget,
    boot_id: &str,
) -> Result<Walk, ProcError> {
    let (mut candidates, mut bystanders, mut obshells) = (Vec::new(), Vec::new(), Vec::new());
    let mut looked_at = BTreeSet::new();
    let mut settled = false;
    for _ in 0..LISTINGS {
        settled = true;
        for pid in proc.pids()? {
            if !looked_at.insert(pid) {
                continue;
            }
            let examined = proc.running(pid).and_then(|stat| {
                obshells.extend(supervisor::is_named_obshell(&stat).then_some(pid));
                candidate::examine(proc, networks, own_key, target, boot_id, (pid, stat))
            });
            match examined {
                Ok(Examined::Unrelated) => {}
                Ok(Examined::Bystander(process, executable)) => bystanders.push((process, executable)),
                Ok(Examined::Candidate(candidate)) => candidates.push(candidate),
                // It may have been the parent of a daemon, whose process this listing does not have yet.
                Err(ProcError::Gone(_)) => settled = false,
                Err(error) => return Err(error),
            }
        }
        // Where the observers found hold every socket of the address, others that do inherited them, which is no doubt.
        if unowned(networks, &proven(&candidates), target).next().is_some() {
            for (process, executable) in bystanders.drain(..) {
                match process.judged(executable, false, boot_id, target) {
                    Ok(Examined::Candidate(candidate)) => candidates.push(candidate),
                    Ok(Examined::Unrelated | Examined::Bystander(..)) => {}
                    Err(ProcError::Gone(_)) => settled = false,
                    Err(error) => return Err(error),
                }
            }
        }
        if settled {
            break;
        }
    }
    Ok(Walk { candidates, obshells, looked_at: looked_at.len(), settled })
}

fn seen(candidate: Candidate) -> Option<FoundObserver> {
    let (is_observer, may_be_wanted) = match candidate.verdict {
        ProcessMatch::Match(_) => (true, true),
        ProcessMatch::Doubtful { is_observer, may_be_wanted, .. } => (is_observer, may_be_wanted),
        ProcessMatch::Other { is_observer } => (is_observer, false),
    };
    candidate.identity.filter(|_| is_observer).map(|identity| FoundObserver { identity, may_be_wanted })
}

/// The process that listens on an address of `target` in our own network namespace, its RPC address first: the address,
/// and the process in words, where it is known.
pub fn holder(proc: &ProcFs, target: &ObserverTarget) -> Result<Option<(SocketAddr, Option<String>)>, ProcError> {
    let network = Network::own(proc, proc.own_pid()?)?;
    let mut listeners = [target.address.rpc_port(), target.sql_port]
        .into_iter()
        .flat_map(|port| network.serving(target.address.ip(), port));
    let Some(listener) = listeners.next() else { return Ok(None) };
    let holds = |pid: &u32| proc.socket_inodes(*pid).is_ok_and(|sockets| sockets.contains(&listener.inode));
    let who = proc.pids()?.into_iter().find(holds).map(|pid| match proc.stat(pid) {
        Ok(stat) => format!("pid {pid} ({})", stat.command),
        Err(_) => format!("pid {pid}"),
    });
    Ok(Some((listener.address, who)))
}

/// The candidates' doubts, once the matches are known: one process of the match's home is always a strong one, and a
/// process that holds the match's very socket (a child that inherited it) is none.
fn doubts(candidates: &[Candidate], matches: &[&Candidate]) -> Vec<Doubt> {
    let home = |candidate: &Candidate| candidate.identity.as_ref().map(|identity| identity.home.clone());
    let homes: HashSet<String> = matches.iter().filter_map(|candidate| home(candidate)).collect();
    let sockets: HashSet<u64> = matches.iter().flat_map(|candidate| candidate.sockets.iter().copied()).collect();
    let mut doubts = Vec::new();
    for candidate in candidates {
        let same_home = home(candidate).is_some_and(|home| homes.contains(&home));
        match &candidate.verdict {
            ProcessMatch::Match(_) => {}
            ProcessMatch::Other { is_observer } => {
                if same_home && *is_observer {
                    doubts.push(Doubt::strong(format!("a second observer of the same home: {}", candidate.words)));
                }
            }
            ProcessMatch::Doubtful { doubt, is_observer, .. } => {
                let inherited = !is_observer
                    && !candidate.sockets.is_empty()
                    && candidate.sockets.iter().all(|socket| sockets.contains(socket));
                if same_home && *is_observer {
                    let words = format!("a second observer of the same home, {}: {}", doubt.words, candidate.words);
                    doubts.push(Doubt::strong(words));
                } else if !inherited {
                    let words = format!("{}: {}", doubt.words, candidate.words);
                    doubts.push(Doubt { words, strong: doubt.strong });
                }
            }
        }
    }
    doubts
}

/// Those that prove everything.
fn proven(candidates: &[Candidate]) -> Vec<&Candidate> {
    candidates.iter().filter(|candidate| matches!(candidate.verdict, ProcessMatch::Match(_))).collect()
}

/// Listening sockets on the wanted address that none of these holds, with the key of their namespace.
fn unowned<'a>(
    networks: &'a Networks,
    holders: &[&Candidate],
    target: &ObserverTarget,
) -> impl Iterator<Item = ((u64, u64), &'a Listener)> {
    let owned: HashSet<u64> = holders.iter().flat_map(|candidate| candidate.sockets.iter().copied()).collect();
    let (ip, port) = (target.address.ip(), target.address.rpc_port());
    let all = networks.0.iter().flat_map(move |(key, network)| network.serving(ip, port).map(|it| (*key, it)));
    all.filter(move |(_, listener)| !owned.contains(&listener.inode))
}

/// Listening sockets on the wanted address that no process we could read holds.
fn unowned_listeners(
    networks: &Networks,
    own_key: (u64, u64),
    candidates: &[Candidate],
    target: &ObserverTarget,
) -> Vec<Doubt> {
    let matched: HashSet<(u64, u64)> = proven(candidates).iter().map(|candidate| candidate.network).collect();
    let holders: Vec<&Candidate> = candidates.iter().collect();
    let doubt = |(key, listener): ((u64, u64), &Listener)| Doubt {
        words: format!(
            "{} is held by a process that cannot be identified (socket {}, opened by uid {})",
            listener.address, listener.inode, listener.uid
        ),
        strong: key == own_key || matched.contains(&key),
    };
    unowned(networks, &holders, target).map(doubt).collect()
}

/// Reasons why finding nothing would not prove that there is nothing.
fn visibility_gaps(
    proc: &ProcFs,
    networks: &Networks,
    target: &ObserverTarget,
    knowledge: &HostSettings,
) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    if proc.stat(1).is_err() {
        doubts.push(Doubt::weak(
            "process 1 cannot be seen, so /proc hides processes of other users (hidepid)".to_owned(),
        ));
    }
    let ip = target.address.ip();
    let ours = knowledge.addresses.contains(&ip) || networks.0.values().any(|network| network.has_address(ip));
    if !ours {
        doubts.push(Doubt::weak(format!(
            "{ip} is no address of this host, so its observer may run elsewhere (if it does lead here: --address {ip})"
        )));
    }
    doubts
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
