//! All hosts of a simulated world: computers, the agents that run on them, the network to them, and what third parties do
//! there. It outlives the lives of the service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use obsteward::agent::{Agent, LedgerState, Timing};
use obsteward::domain::ids::ServerAddr;
use obsteward::sim::InProcessCluster;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::agent_run::AgentRun;
use crate::computer::Computer;
use crate::life::Dice;
use crate::process::Installation;

/// Shared and cheap to clone.
#[derive(Clone)]
pub struct DataCentre(Arc<Inner>);

struct Inner {
    /// By the addresses of their agents.
    hosts: Mutex<BTreeMap<String, Arc<SimulatedHost>>>,
    dice: Dice,
    timing: Timing,
}

/// One host.
pub struct SimulatedHost {
    pub computer: Arc<Computer>,
    timing: Timing,
    /// None: no agent runs.
    agent: Mutex<Option<RunningAgent>>,
    network: Mutex<Network>,
    backup: Mutex<LedgerState>,
}

#[derive(Clone)]
pub struct RunningAgent {
    pub agent: Agent<AgentRun>,
    /// Cancelled when it runs no more.
    pub over: CancellationToken,
}

/// What a caller meets on the way to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub way: Way,
    /// So many of the next answers to effects get lost.
    pub lost_answers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Open,
    /// Connections are refused at once.
    Refused,
    /// Nothing comes back.
    Silent,
}

impl DataCentre {
    /// `timing`: of all agents.
    pub fn new(dice: Dice, timing: Timing) -> Self {
        Self(Arc::new(Inner { hosts: Mutex::default(), dice, timing }))
    }

    /// Adds a host whose agent is reached at `address`.
    pub fn add(&self, address: &str) -> Arc<SimulatedHost> {
        let host = Arc::new(SimulatedHost {
            computer: Computer::new(address, self.0.dice.clone()),
            timing: self.0.timing,
            agent: Mutex::default(),
            network: Mutex::new(Network { way: Way::Open, lost_answers: 0 }),
            backup: Mutex::default(),
        });
        host.start_agent();
        self.0.hosts.lock().unwrap().insert(address.to_owned(), Arc::clone(&host));
        host
    }

    pub fn get(&self, address: &str) -> Option<Arc<SimulatedHost>> {
        self.0.hosts.lock().unwrap().get(address).cloned()
    }

    /// Every host, in the order of their addresses.
    pub fn hosts(&self) -> Vec<Arc<SimulatedHost>> {
        self.0.hosts.lock().unwrap().values().cloned().collect()
    }
}

impl SimulatedHost {
    /// Installs a server of a cluster, with the process that the cluster knows of it.
    pub fn install(&self, cluster: &InProcessCluster, server: i64) {
        let (installation, pid) = Installation::of(cluster, server);
        self.computer.install(installation, pid);
    }

    pub fn agent(&self) -> Option<RunningAgent> {
        self.agent.lock().unwrap().clone()
    }

    /// Ends the agent: its tickets are gone, and its calls get no answer any more.
    pub fn end_agent(&self) {
        if let Some(running) = self.agent.lock().unwrap().take() {
            running.over.cancel();
        }
    }

    /// Starts the agent, again if it runs.
    pub fn start_agent(&self) {
        self.end_agent();
        let over = CancellationToken::new();
        let run = AgentRun { computer: Arc::clone(&self.computer), over: over.clone() };
        *self.agent.lock().unwrap() = Some(RunningAgent { agent: Agent::on(run, self.timing), over });
    }

    /// Copies what the agent keeps on disk.
    pub fn back_up_ledger(&self) {
        *self.backup.lock().unwrap() = self.computer.lock().ledger.clone();
    }

    /// Puts the last copy in the place of the agent's ledger (none: an empty one), and starts the agent again.
    pub fn restore_ledger(&self) {
        self.end_agent();
        self.computer.lock().ledger = self.backup.lock().unwrap().clone();
        self.start_agent();
    }

    pub fn network(&self) -> Network {
        *self.network.lock().unwrap()
    }

    pub fn change_network(&self, change: impl FnOnce(&mut Network)) {
        change(&mut self.network.lock().unwrap());
    }

    /// Whether the answer that is about to be given gets lost.
    pub fn loses_answer(&self) -> bool {
        let mut network = self.network.lock().unwrap();
        let lost = network.lost_answers > 0;
        network.lost_answers -= u32::from(lost);
        lost || network.way != Way::Open
    }

    /// Somebody kills whatever runs of an observer.
    pub fn kill_observer(&self, observer: ServerAddr) {
        self.computer.end_by_others(Some(observer));
    }

    /// Somebody starts an observer, whether or not it runs.
    pub fn start_observer(&self, observer: ServerAddr) {
        self.computer.launch(observer);
    }

    /// Somebody sends SIGSTOP to whatever runs of an observer: it does nothing any more, and only SIGKILL ends it.
    pub fn freeze_observer(&self, observer: ServerAddr) {
        self.computer.freeze(observer);
    }

    /// Somebody sends SIGCONT to it.
    pub fn thaw_observer(&self, observer: ServerAddr) {
        self.computer.thaw(observer);
    }

    /// Everything on the host ends, and the agent alone comes up again after so long.
    pub fn reboot(self: &Arc<Self>, takes: Duration) {
        self.end_agent();
        self.computer.goes_down();
        let host = Arc::clone(self);
        tokio::spawn(async move {
            sleep(takes).await;
            host.computer.comes_up();
            host.start_agent();
        });
    }
}
