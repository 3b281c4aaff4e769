//! The computer under a simulated host: processes of observers, and what an agent keeps on its disk. It outlives agents and
//! lives of the service.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use obsteward::agent::{FoundObserver, LedgerState, Outcome, Search, Supervision, Supervisor, Trusted};
use obsteward::clock::{Clock, monotonic_now};
use obsteward::domain::host::{ObserverIdentity, ObserverTarget};
use obsteward::domain::ids::ServerAddr;
use obsteward::sim::Beginning;
use tokio::time::{Instant, sleep};

use crate::life::Dice;
use crate::process::{Installation, Process};

/// How long a process is up before it listens or knows that it cannot, in milliseconds.
const COMES_UP: std::ops::Range<u64> = 30..300;
/// How long a process takes to end when it obeys SIGTERM, in milliseconds.
const GOES_DOWN: std::ops::Range<u64> = 0..20;

pub struct Computer {
    name: String,
    state: Mutex<State>,
    dice: Dice,
    pub clock: Clock,
}

pub struct State {
    observers: Vec<Observer>,
    /// What its agent keeps on disk.
    pub ledger: LedgerState,
    pub ledger_writes: LedgerWrites,
    pub trusted: Trusted,
    /// How long its agent takes for a step, beyond what is usual.
    pub agent_takes: Duration,
    boots: u32,
    booted: Instant,
    /// Whether it is up: nothing is started while it is not.
    up: bool,
    next_pid: u32,
    signals: Vec<Signalled>,
    ended_by_others: Vec<Ended>,
}

/// Whether the agent's ledger can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerWrites {
    Succeed,
    /// The disk is full: LEDGER_WAITS.
    Wait,
    /// LEDGER_FAILED.
    Fail,
}

/// An observer of the computer.
pub struct Observer {
    pub installation: Installation,
    /// Those that have not ended.
    processes: Vec<Arc<Process>>,
    /// Whether the agent knows where and how it is launched: once it was seen running.
    pub home_known: bool,
    /// Whether a look cannot tell what runs.
    pub in_doubt: bool,
    pub supervisor: Option<Supervisor>,
}

/// A signal that was delivered by an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signalled {
    pub at: Instant,
    pub observer: ServerAddr,
    pub pid: u32,
    pub signal: SentSignal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentSignal {
    Term,
    Kill,
}

/// A process that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub observer: ServerAddr,
    pub pid: u32,
}

impl Computer {
    pub fn new(name: &str, dice: Dice) -> Arc<Self> {
        // Unlike those of real hosts they are never the same on two, so that a number alone says whose it is.
        let number = name.split([':', '.']).nth(3).and_then(|number| number.parse::<u32>().ok()).unwrap_or_default();
        let first_pid = 2_000 + 100_000 * number;
        let state = State {
            observers: Vec::new(),
            ledger: LedgerState::default(),
            ledger_writes: LedgerWrites::Succeed,
            trusted: Trusted::default(),
            agent_takes: Duration::ZERO,
            boots: 1,
            booted: monotonic_now(),
            up: true,
            next_pid: first_pid,
            signals: Vec::new(),
            ended_by_others: Vec::new(),
        };
        Arc::new(Self { name: name.to_owned(), state: Mutex::new(state), dice, clock: Clock::steady() })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Installs an observer, which runs as process `pid` already, as far as its cluster knows.
    pub fn install(&self, installation: Installation, pid: Option<u32>) {
        let mut state = self.lock();
        let processes = pid.map(|pid| {
            let process = Process::new(state.identity(&self.name, &installation, pid));
            process.begins_to_listen();
            process
        });
        state.observers.push(Observer {
            installation,
            processes: processes.into_iter().collect(),
            home_known: pid.is_some(),
            in_doubt: false,
            supervisor: None,
        });
    }

    /// Changes what is known of an observer.
    pub fn change_observer(&self, address: ServerAddr, change: impl FnOnce(&mut Observer)) {
        if let Some(observer) = self.lock().observers.iter_mut().find(|found| found.is_at(address)) {
            change(observer);
        }
    }

    /// The first process of an observer.
    pub fn process(&self, address: ServerAddr) -> Option<Arc<Process>> {
        self.lock().observer(address)?.processes.first().cloned()
    }

    /// The process that has this number now.
    pub fn process_of_pid(&self, pid: u32) -> Option<Arc<Process>> {
        let state = self.lock();
        let mut processes = state.observers.iter().flat_map(|observer| &observer.processes);
        processes.find(|process| process.pid() == pid).cloned()
    }

    /// Whoever listens where an observer would.
    pub fn listener(&self, address: ServerAddr) -> Option<Arc<Process>> {
        self.lock().observer(address)?.processes.iter().find(|process| process.listens()).cloned()
    }

    /// Launches an observer, if it is one of this computer and that is up.
    pub fn launch(self: &Arc<Self>, address: ServerAddr) -> Option<Arc<Process>> {
        let (installation, process) = {
            let mut state = self.lock();
            if !state.up {
                return None;
            }
            let installation = state.observer(address)?.installation.clone();
            let pid = state.next_pid;
            state.next_pid += 1;
            let process = Process::new(state.identity(&self.name, &installation, pid));
            let observer = state.observers.iter_mut().find(|found| found.is_at(address))?;
            observer.processes.push(Arc::clone(&process));
            (installation, process)
        };
        let beginning = installation.cluster.process_begins(installation.server);
        let up_after = self.dice_millis(COMES_UP);
        let (computer, new) = (Arc::clone(self), Arc::clone(&process));
        tokio::spawn(async move {
            sleep(up_after).await;
            let serves = match beginning {
                Beginning::Dies => false,
                Beginning::ServesAfter(delay) => {
                    sleep(delay).await;
                    // Of two processes, the second one cannot bind.
                    !new.has_ended() && computer.listener(address).is_none()
                }
            };
            if serves {
                new.begins_to_listen();
            }
            if !serves || !installation.cluster.process_started(installation.server, new.pid()) {
                computer.ends(&new, "exit status: 1");
            }
        });
        Some(process)
    }

    /// SIGTERM for a process; false: it had ended.
    pub fn terminate(self: &Arc<Self>, process: &Arc<Process>) -> bool {
        let Some(installation) = self.signalled(process, SentSignal::Term) else { return false };
        if process.hears_sigterm() {
            self.obey_sigterm(&installation, process);
        }
        true
    }

    fn obey_sigterm(self: &Arc<Self>, installation: &Installation, process: &Arc<Process>) {
        if !process.listens() {
            self.ends(process, "signal: 15 (SIGTERM)");
            return;
        }
        let behaviour = installation.cluster.behaviour(installation.server);
        if behaviour.ignore_sigterm {
            installation.cluster.sigterm_ignored(installation.server);
            return;
        }
        let after = Duration::from_millis(behaviour.exit_after_ms) + self.dice_millis(GOES_DOWN);
        let (computer, process) = (Arc::clone(self), Arc::clone(process));
        tokio::spawn(async move {
            sleep(after).await;
            // As packaged observers do when SIGTERM comes.
            computer.ends(&process, "signal: 9 (SIGKILL)");
        });
    }

    /// Somebody sends SIGSTOP to whatever runs of an observer.
    pub fn freeze(&self, address: ServerAddr) {
        let state = self.lock();
        let Some(observer) = state.observer(address) else { return };
        observer.processes.iter().for_each(|process| process.stop());
        let Installation { cluster, server, .. } = observer.installation.clone();
        drop(state);
        cluster.freeze(server);
    }

    /// Somebody sends SIGCONT to it.
    pub fn thaw(self: &Arc<Self>, address: ServerAddr) {
        let state = self.lock();
        let Some(observer) = state.observer(address) else { return };
        let (installation, processes) = (observer.installation.clone(), observer.processes.clone());
        drop(state);
        installation.cluster.thaw(installation.server);
        for process in processes.iter().filter(|process| process.goes_on()) {
            self.obey_sigterm(&installation, process);
        }
    }

    /// SIGKILL for a process; false: it had ended.
    pub fn kill(self: &Arc<Self>, process: &Arc<Process>) -> bool {
        self.signalled(process, SentSignal::Kill).is_some() && self.ends(process, "signal: 9 (SIGKILL)")
    }

    /// Somebody else ends whatever runs of an observer, or of all.
    pub fn end_by_others(self: &Arc<Self>, only: Option<ServerAddr>) {
        let processes: Vec<Arc<Process>> = {
            let mut state = self.lock();
            let mut processes = Vec::new();
            let mut ended = Vec::new();
            for observer in state.observers.iter().filter(|observer| only.is_none_or(|only| observer.is_at(only))) {
                let address = observer.installation.target.address;
                ended.extend(observer.processes.iter().map(|process| Ended { observer: address, pid: process.pid() }));
                processes.extend(observer.processes.iter().cloned());
            }
            state.ended_by_others.extend(ended);
            processes
        };
        for process in processes {
            self.ends(&process, "signal: 9 (SIGKILL)");
        }
    }

    /// Everything that runs ends, and nothing begins until it is up again.
    pub fn goes_down(self: &Arc<Self>) {
        self.lock().up = false;
        self.end_by_others(None);
    }

    /// Another boot.
    pub fn comes_up(&self) {
        let mut state = self.lock();
        state.up = true;
        state.boots += 1;
        state.booted = monotonic_now();
    }

    /// The signals that agents delivered since the last call.
    pub fn take_signals(&self) -> Vec<Signalled> {
        std::mem::take(&mut self.lock().signals)
    }

    /// The processes that somebody else ended since the last call.
    pub fn take_ended_by_others(&self) -> Vec<Ended> {
        std::mem::take(&mut self.lock().ended_by_others)
    }

    /// What a look at its processes says, in the words of the real one.
    pub fn look(&self, target: &ObserverTarget) -> Search {
        let mut state = self.lock();
        let (boot_id, processes) = (state.boot_id(&self.name), state.processes());
        let mut lines =
            vec![format!("looked at {processes} processes for {} of {}", target.address, target.cluster_name)];
        let observer = state.observers.iter_mut().find(|found| found.is_at(target.address));
        let seen: Vec<Seen> = observer.iter().flat_map(|observer| observer.seen(target)).collect();
        lines.extend(seen.iter().map(Seen::words));
        let open = seen.iter().any(|seen| seen.process.listens());
        let outcome = match (seen.as_slice(), observer) {
            ([Seen { process, sight: Sight::Matches }], Some(observer)) if !observer.in_doubt => {
                observer.home_known = true;
                let supervisors = observer.supervisor.iter().cloned().collect();
                let around = Supervision { supervisors, beside: Vec::new() };
                Outcome::Running { identity: Box::new(process.identity.clone()), around }
            }
            (_, Some(observer)) if observer.in_doubt => {
                let holder = "held by a process that cannot be identified (socket 4711, opened by uid 0)";
                lines.push(format!("{} is {holder}", target.address));
                Outcome::Ambiguous
            }
            ([], _) => {
                lines.push("no process matches, also not in part, and nobody listens on its rpc address".to_owned());
                Outcome::Absent
            }
            _ => Outcome::Ambiguous,
        };
        let may_be_wanted = |seen: &Seen| seen.sight != Sight::OtherCluster;
        let observers = seen
            .iter()
            .map(|seen| FoundObserver { identity: seen.process.identity.clone(), may_be_wanted: may_be_wanted(seen) });
        Search {
            observers: observers.collect(),
            outcome,
            evidence: lines.join("; "),
            boot_id,
            rpc_port_open: open,
            sql_port_open: open,
        }
    }

    /// The process ends now; false: it had ended before.
    fn ends(self: &Arc<Self>, process: &Arc<Process>, how: &str) -> bool {
        if !process.ends(how) {
            return false;
        }
        let Some(installation) = self.lock().forget(process) else { return true };
        if !process.listens() {
            return true;
        }
        if let Some(again_after) = installation.cluster.process_ended(installation.server, process.pid()) {
            let (computer, address) = (Arc::clone(self), installation.target.address);
            tokio::spawn(async move {
                sleep(again_after).await;
                computer.launch(address);
            });
        }
        true
    }

    /// Notes a signal for a living process, and whose it is.
    fn signalled(&self, process: &Arc<Process>, signal: SentSignal) -> Option<Installation> {
        let mut state = self.lock();
        let observer = state.observers.iter().find(|observer| observer.has(process))?;
        let installation = observer.installation.clone();
        let (at, observer, pid) = (monotonic_now(), installation.target.address, process.pid());
        state.signals.push(Signalled { at, observer, pid, signal });
        Some(installation)
    }

    fn dice_millis(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.dice.below(range.end - range.start))
    }
}

impl State {
    fn observer(&self, address: ServerAddr) -> Option<&Observer> {
        self.observers.iter().find(|observer| observer.is_at(address))
    }

    /// Whether an agent may launch an observer: it knows where, and nobody else has to.
    pub fn known(&self, address: ServerAddr) -> Option<&Observer> {
        self.observer(address).filter(|observer| observer.home_known)
    }

    /// Takes out a process that ended; returns whose it was.
    fn forget(&mut self, process: &Arc<Process>) -> Option<Installation> {
        let observer = self.observers.iter_mut().find(|observer| observer.has(process))?;
        observer.processes.retain(|found| !Arc::ptr_eq(found, process));
        Some(observer.installation.clone())
    }

    fn boot_id(&self, name: &str) -> String {
        format!("{name}-boot-{}", self.boots)
    }

    /// How many run, with those that are not observers.
    fn processes(&self) -> usize {
        100 + self.observers.iter().map(|observer| observer.processes.len()).sum::<usize>()
    }

    fn identity(&self, name: &str, installation: &Installation, pid: u32) -> ObserverIdentity {
        let Installation { target, home, .. } = installation;
        let ticks = monotonic_now().duration_since(self.booted).as_millis() / 10;
        ObserverIdentity {
            boot_id: self.boot_id(name),
            pid,
            start_ticks: 100 + u64::try_from(ticks).unwrap_or(u64::MAX),
            executable: format!("{home}/bin/observer"),
            executable_inode: "8:1".to_owned(),
            home: home.clone(),
            uid: 1000,
            network_namespace: "net:[4026531840]".to_owned(),
            cluster_name: target.cluster_name.clone(),
        }
    }
}

impl Observer {
    fn is_at(&self, address: ServerAddr) -> bool {
        self.installation.target.address == address
    }

    /// What is seen of it by who looks for `target`, which may be of another cluster.
    fn seen(&self, target: &ObserverTarget) -> impl Iterator<Item = Seen> {
        let own = &self.installation.target;
        let same = (&own.cluster_name, own.ob_cluster_id) == (&target.cluster_name, target.ob_cluster_id);
        self.processes.iter().filter_map(move |process| {
            let sight = match (process.listens(), same) {
                (true, true) => Sight::Matches,
                (false, true) => Sight::DoesNotListen,
                (true, false) => Sight::OtherCluster,
                // Surely another one.
                (false, false) => return None,
            };
            Some(Seen { process: Arc::clone(process), sight })
        })
    }

    fn has(&self, process: &Arc<Process>) -> bool {
        self.processes.iter().any(|found| Arc::ptr_eq(found, process))
    }
}

/// A process that a look sees where an observer is wanted.
struct Seen {
    process: Arc<Process>,
    sight: Sight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Matches,
    DoesNotListen,
    /// It listens there, and is of another cluster than the wanted one.
    OtherCluster,
}

impl Seen {
    fn words(&self) -> String {
        let words = match self.sight {
            Sight::Matches => "matches",
            Sight::DoesNotListen => "an observer of the cluster that does not listen (yet, or no longer)",
            Sight::OtherCluster => "listens on the rpc address but is of another cluster",
        };
        format!("{words}: {}", self.process.identity)
    }
}
