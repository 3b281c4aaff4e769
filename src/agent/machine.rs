//! What the rules of the agent ask of the machine that it runs on: to look, to signal, to launch, and to keep the ledger.
//! [`Linux`](crate::agent::linux::Linux) is the real one; in a test it can be a value.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::agent::answer::Answer;
use crate::agent::launcher::LaunchError;
use crate::agent::ledger::Ledger;
use crate::agent::process::Search;
use crate::agent::refusal::AgentRefusal;
use crate::agent::signal::SignalOutcome;
use crate::clock;
use crate::domain::host::{ObserverIdentity, ObserverTarget};

/// A machine. Whatever looks at it may block, and is called within [`Machine::blocking`] only.
pub trait Machine: Send + Sync + 'static {
    type Ledger: Ledger;
    type Process: HeldProcess;
    /// How an observer is launched.
    type Orders: Send + 'static;
    type Launched: NewProcess;

    /// Between looks at a new process.
    const POLL: Duration = Duration::from_millis(100);

    fn ledger(&self) -> &Self::Ledger;

    /// Runs what may block where that holds nobody up.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AgentRefusal> + Send + 'static,
    ) -> impl Future<Output = Result<T, AgentRefusal>> + Send;

    /// Looks for an observer once.
    fn look(&self, target: &ObserverTarget) -> Result<Search, AgentRefusal>;

    /// Looks, and once more when in doubt.
    fn search(&self, target: &ObserverTarget) -> Result<Search, AgentRefusal>;

    /// Whether a process runs, whatever it is.
    fn is_there(&self, pid: u32, start_ticks: u64) -> bool;

    /// Refuses when the system would not let the agent signal a process.
    fn permitted(&self, identity: &ObserverIdentity) -> Result<(), AgentRefusal>;

    /// Holds the process that has this number now; `None`: there is none. Identify it after this, not before.
    fn hold(&self, pid: u32) -> io::Result<Option<Self::Process>>;

    /// Who listens on an address of `target`, its RPC address first: the address, and the process in words, where it is known.
    fn holder(&self, target: &ObserverTarget) -> Result<Option<(SocketAddr, Option<String>)>, AgentRefusal>;

    /// How an observer that does not run is launched; refuses when it may not be. `search` is the look that did not find it.
    fn orders(&self, target: &ObserverTarget, search: &Search) -> Result<Self::Orders, AgentRefusal>;

    /// Launches it. `Err`: nothing was started.
    fn launch(&self, orders: Self::Orders) -> impl Future<Output = Result<Self::Launched, LaunchError>> + Send;
}

/// A process that can be signalled: its number may be given to another process, this does not follow.
pub trait HeldProcess: Send + Sync {
    /// Sends SIGTERM.
    fn terminate(&self) -> io::Result<SignalOutcome>;

    /// Sends SIGKILL.
    fn kill(&self) -> io::Result<SignalOutcome>;

    /// Waits for its end, at most `limit`, and returns whether it ended. A zombie has ended.
    fn ended_within(&self, limit: Duration) -> impl Future<Output = bool> + Send;
}

/// A process that was launched to be an observer, and what is reported of it.
pub trait NewProcess: Send + Sync {
    /// When it was launched.
    fn at(&self) -> Instant;

    /// An observer that runs here is it.
    fn home(&self) -> &Path;

    /// The process that was launched; when the observer runs as a daemon, only its parent.
    fn first(&self) -> u32;

    /// How the first process ended, in words; `None` while it runs.
    fn end(&self) -> Option<String>;

    /// What was started and where, in words.
    fn words(&self) -> String;

    /// The end of its output and of its log.
    fn last_log_lines(&self) -> Vec<String>;

    /// The answer when the process is the observer.
    fn started(&self, identity: ObserverIdentity, listens: bool) -> Answer {
        let does = if listens { "listens" } else { "runs and does not listen yet" };
        Answer::Started { evidence: format!("{} {identity} {does}", later(self)), identity, listens }
    }

    /// The answer when nothing of the process is left.
    fn died(&self, end: &str) -> Answer {
        let evidence = format!("{} nothing of it runs any more, its first process ended with {end}", later(self));
        Answer::Died { evidence, last_log_lines: self.last_log_lines() }
    }

    /// The answer when it could not be found out whether what runs is the observer.
    fn unclear(&self, why: &str) -> Answer {
        Answer::Unclear { evidence: format!("{} pid {} runs, but {why}: look again", later(self), self.first()) }
    }
}

fn later(new: &(impl NewProcess + ?Sized)) -> String {
    let after = clock::monotonic_now().duration_since(new.at());
    format!("{}; {after:.1?} later", new.words())
}
