//! One run of an agent on a simulated host: the agent's own rules over a [`Computer`]. When the run is over, nothing of it
//! goes on: a call that it had begun stays without an answer.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use obsteward::agent::{
    AgentRefusal, Changed, HeldProcess, LaunchError, Ledger, LedgerState, Machine, NewProcess, ReadTrusted, Search,
    SignalOutcome, Supervisor,
};
use obsteward::clock::{Timestamp, monotonic_now};
use obsteward::domain::host::{ObserverIdentity, ObserverTarget};
use obsteward::domain::ids::ServerAddr;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::computer::{Computer, LedgerWrites, State};
use crate::process::Process;

/// From the decision to launch to a process, as fork and exec take.
const LAUNCH: Duration = Duration::from_millis(5);
/// Less than of a real ledger, because every call is looked for in them: a token is repeated within minutes.
const CALLS_KEPT: usize = 100;

#[derive(Clone)]
pub struct AgentRun {
    pub computer: Arc<Computer>,
    pub over: CancellationToken,
}

impl AgentRun {
    /// Goes on, unless the run is over.
    async fn goes_on(&self) {
        if self.over.is_cancelled() {
            std::future::pending::<()>().await;
        }
    }
}

impl Machine for AgentRun {
    type Ledger = Self;
    type Process = Held;
    type Orders = ServerAddr;
    type Launched = Launched;

    fn ledger(&self) -> &Self {
        self
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AgentRefusal> + Send + 'static,
    ) -> Result<T, AgentRefusal> {
        let takes = self.computer.lock().agent_takes;
        if !takes.is_zero() {
            sleep(takes).await;
        }
        self.goes_on().await;
        work()
    }

    fn look(&self, target: &ObserverTarget) -> Result<Search, AgentRefusal> {
        Ok(self.computer.look(target))
    }

    fn search(&self, target: &ObserverTarget) -> Result<Search, AgentRefusal> {
        self.look(target)
    }

    fn is_there(&self, pid: u32, start_ticks: u64) -> bool {
        self.computer.process_of_pid(pid).is_some_and(|process| process.identity.start_ticks == start_ticks)
    }

    fn permitted(&self, _: &ObserverIdentity) -> Result<(), AgentRefusal> {
        Ok(())
    }

    fn hold(&self, pid: u32) -> io::Result<Option<Held>> {
        Ok(self.computer.process_of_pid(pid).map(|process| Held { run: self.clone(), process }))
    }

    fn holder(&self, target: &ObserverTarget) -> Result<Option<(SocketAddr, Option<String>)>, AgentRefusal> {
        let listener = self.computer.listener(target.address);
        Ok(listener.map(|process| {
            let address = SocketAddr::new(target.address.ip(), target.address.rpc_port());
            (address, Some(format!("pid {} (observer)", process.pid())))
        }))
    }

    fn orders(&self, target: &ObserverTarget, _: &Search) -> Result<ServerAddr, AgentRefusal> {
        let state = self.computer.lock();
        let Some(observer) = state.known(target.address) else {
            let target = format!("{} of cluster {}", target.address, target.cluster_name);
            return Err(AgentRefusal::HomeUnknown { target, looked_at: String::new() });
        };
        match &observer.supervisor {
            Some(Supervisor { name, unit, safe: false }) => {
                Err(AgentRefusal::StartedBySupervisor { supervisor: name.clone(), unit: unit.clone() })
            }
            Some(Supervisor { safe: true, .. }) | None => Ok(target.address),
        }
    }

    async fn launch(&self, address: ServerAddr) -> Result<Launched, LaunchError> {
        sleep(LAUNCH).await;
        self.goes_on().await;
        let process = self.computer.launch(address);
        let process = process.ok_or_else(|| LaunchError::Failed("the child ended without a word".to_owned()))?;
        let home = PathBuf::from(&process.identity.home);
        Ok(Launched { at: monotonic_now(), home, process })
    }
}

impl Ledger for AgentRun {
    fn read<T>(
        &self,
        question: impl FnOnce(&LedgerState, ReadTrusted<'_>) -> Result<T, AgentRefusal>,
    ) -> Result<T, AgentRefusal> {
        let state = self.computer.lock();
        question(&state.ledger, &|| Ok(state.trusted.clone()))
    }

    fn change(
        &self,
        rule: impl FnOnce(&mut LedgerState, Timestamp, ReadTrusted<'_>) -> Result<Changed, AgentRefusal>,
    ) -> Result<(), AgentRefusal> {
        let now = self.computer.clock.now();
        let mut state = self.computer.lock();
        let State { ledger, trusted, ledger_writes, .. } = &mut *state;
        let trusted = || Ok(trusted.clone());
        let passes = match ledger_writes {
            LedgerWrites::Succeed => {
                rule(ledger, now, &trusted)?;
                ledger.keep_calls(CALLS_KEPT);
                return Ok(());
            }
            LedgerWrites::Wait => true,
            LedgerWrites::Fail => false,
        };
        match rule(&mut ledger.clone(), now, &trusted)? {
            Changed::No => Ok(()),
            Changed::Yes => {
                Err(AgentRefusal::LedgerFailed { passes, problem: "ledger.json: cannot be written".to_owned() })
            }
        }
    }
}

/// A process that an agent holds to signal it.
pub struct Held {
    run: AgentRun,
    process: Arc<Process>,
}

impl Held {
    fn delivered(delivered: bool) -> io::Result<SignalOutcome> {
        Ok(if delivered { SignalOutcome::Delivered } else { SignalOutcome::Gone })
    }
}

impl HeldProcess for Held {
    fn terminate(&self) -> io::Result<SignalOutcome> {
        Self::delivered(self.run.computer.terminate(&self.process))
    }

    fn kill(&self) -> io::Result<SignalOutcome> {
        Self::delivered(self.run.computer.kill(&self.process))
    }

    async fn ended_within(&self, limit: Duration) -> bool {
        let ended = timeout(limit, self.process.ended()).await.is_ok();
        self.run.goes_on().await;
        ended
    }
}

/// A process that an agent launched.
pub struct Launched {
    at: Instant,
    home: PathBuf,
    process: Arc<Process>,
}

impl NewProcess for Launched {
    fn at(&self) -> Instant {
        self.at
    }

    fn home(&self) -> &Path {
        &self.home
    }

    fn first(&self) -> u32 {
        self.process.pid()
    }

    fn end(&self) -> Option<String> {
        self.process.end()
    }

    fn words(&self) -> String {
        format!("bin/observer was started in {}", self.home.display())
    }

    fn last_log_lines(&self) -> Vec<String> {
        vec!["[SERVER] observer init fail, ret=-4184".to_owned()]
    }
}
