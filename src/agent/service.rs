//! The agent itself, without a protocol: find, arm, stop. In-process callers and the gRPC server both use it.
//!
//! A stop runs in this order, and any "no" before the signal is a refusal: token not heard of, fence current, ticket good,
//! call recorded on disk, pidfd opened, **then** the process identified again and found to be the armed one, fence still
//! current, SIGTERM, grace, SIGKILL, bounded wait, answer recorded. It runs to its end when its caller goes away.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::files::FileError;
use crate::agent::ledger::{Answer, Ledger, NewCall, Recorded};
use crate::agent::proc_fs::{ProcError, ProcFs};
use crate::agent::process::{self, Knowledge, Outcome, Search};
use crate::agent::refusal::Refusal;
use crate::agent::signal::{self, Held, Sent};
use crate::agent::supervisor::Supervisor;
use crate::agent::ticket::Tickets;
use crate::clock::Clock;
use crate::domain::host::{CallerFence, Ended, Finding, Found, MaySignal, ObserverIdentity, ObserverTarget, Ticket};

/// Longest time between SIGTERM and SIGKILL.
pub const LONGEST_GRACE: Duration = Duration::from_secs(600);
/// How long a process may take to be gone after SIGKILL: it dumps no core, but frees its memory.
pub const KILL_WAIT: Duration = Duration::from_secs(10);

/// Pause before a second look at a doubt.
const SECOND_LOOK: Duration = Duration::from_millis(50);

/// How an agent is set up.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Where it keeps its record; its own, not shared.
    pub state_directory: PathBuf,
    /// Units (systemd, container ids, `obshell`) whose supervision of an observer is harmless.
    pub safe_units: Vec<String>,
    /// Addresses that lead to this host although none of its interfaces has them.
    pub addresses: Vec<IpAddr>,
    /// `/proc`, or a tree like it.
    pub proc_root: PathBuf,
    /// At most one observer of a cluster is ended in this time.
    pub one_end_per: Duration,
    /// How long to wait for the end after SIGKILL.
    pub kill_wait: Duration,
    /// Wall time, for the moments of ends.
    pub clock: Clock,
}

impl AgentConfig {
    /// The usual settings.
    pub fn new(state_directory: impl Into<PathBuf>) -> Self {
        Self {
            state_directory: state_directory.into(),
            safe_units: Vec::new(),
            addresses: Vec::new(),
            proc_root: PathBuf::from("/proc"),
            one_end_per: Duration::from_secs(60),
            kill_wait: KILL_WAIT,
            clock: Clock::system(),
        }
    }
}

/// A request to end a process.
#[derive(Debug)]
pub struct StopRequest {
    /// The observer.
    pub target: ObserverTarget,
    /// The process that was armed.
    pub identity: ObserverIdentity,
    /// The ticket of that.
    pub ticket: Ticket,
    /// Names the call.
    pub token: String,
    /// Who calls.
    pub fence: CallerFence,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
}

impl StopRequest {
    /// What a token stands for: a repeat wants the same end of the same process.
    fn wants(&self) -> String {
        let Self { target, identity: ObserverIdentity { boot_id, pid, start_ticks, .. }, fence, .. } = self;
        let cluster = fence.cluster.as_str();
        format!("{}@{} {cluster} {boot_id}/{pid}/{start_ticks}", target.cluster_name, target.address)
    }
}

/// What became of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It is gone.
    Ended {
        /// How.
        how: Ended,
        /// In words.
        evidence: String,
    },
    /// It was signalled and had not ended at the end of the wait.
    StillThere {
        /// In words.
        evidence: String,
    },
    /// An earlier call of this token began, and how it ended is not recorded.
    Unknown {
        /// In words.
        evidence: String,
    },
}

/// The agent; cheap to clone.
#[derive(Clone, Debug)]
pub struct Agent(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    proc: ProcFs,
    knowledge: Knowledge,
    tickets: Tickets,
    ledger: Ledger,
    one_end_per: Duration,
    kill_wait: Duration,
    /// Held from the look at a token to its record, so that of two calls with one token only one acts.
    beginning: tokio::sync::Mutex<()>,
}

impl Agent {
    /// Opens the record; fails when another agent has it.
    pub fn new(config: AgentConfig) -> Result<Self, FileError> {
        Ok(Self(Arc::new(Inner {
            proc: ProcFs::new(config.proc_root),
            knowledge: Knowledge { safe_units: config.safe_units, addresses: config.addresses },
            tickets: Tickets::default(),
            ledger: Ledger::open(&config.state_directory, config.clock)?,
            one_end_per: config.one_end_per,
            kill_wait: config.kill_wait,
            beginning: tokio::sync::Mutex::new(()),
        })))
    }

    /// Looks for the process of an observer.
    pub async fn find(&self, target: &ObserverTarget) -> Result<Found, Refusal> {
        let target = target.clone();
        self.blocking(move |inner| Ok(found(inner.search(&target)?))).await
    }

    /// Looks, and gives a ticket when the process that was found may be signalled. From here on, callers with an older fence
    /// are refused.
    pub async fn arm(&self, target: &ObserverTarget, fence: &CallerFence) -> Result<(Found, Option<Ticket>), Refusal> {
        let (target, fence) = (target.clone(), fence.clone());
        self.blocking(move |inner| {
            inner.ledger.admit(&fence)?;
            let found = found(inner.search(&target)?);
            let ticket = match (&found.finding, &found.may_signal) {
                (Finding::Running(identity), MaySignal::Yes) => {
                    Some(inner.tickets.give(fence, target, identity.clone()))
                }
                _ => None,
            };
            Ok((found, ticket))
        })
        .await
    }

    /// Ends a process, once per token.
    pub async fn stop(&self, request: StopRequest) -> Result<Stopped, Refusal> {
        if request.grace > LONGEST_GRACE {
            let value = format!("{:?}", request.grace);
            return Err(Refusal::Invalid { field: "grace", value, wanted: "at most ten minutes" });
        }
        let agent = self.clone();
        // On a task of its own: a caller that goes away between SIGTERM and SIGKILL must not leave half a stop behind.
        match tokio::spawn(async move { agent.stop_to_the_end(request).await }).await {
            Ok(result) => result,
            Err(error) => Ok(Stopped::Unknown { evidence: format!("the stop was cut off ({error}), look again") }),
        }
    }

    async fn stop_to_the_end(&self, request: StopRequest) -> Result<Stopped, Refusal> {
        let request = Arc::new(request);
        let begun = {
            let _beginning = self.0.beginning.lock().await;
            let request = Arc::clone(&request);
            self.blocking(move |inner| inner.begin(&request)).await?
        };
        match begun {
            Recorded::Answered(answer) => return replay(answer),
            Recorded::WithoutAnswer => {
                let evidence = format!(
                    "a call with token {} began and has no recorded answer: it is still running or was cut off, look again",
                    request.token
                );
                return Ok(Stopped::Unknown { evidence });
            }
            Recorded::New => {}
        }
        let answer = self.act(&request).await.unwrap_or_else(|refusal| Answer::Refused {
            reason: refusal.reason().to_owned(),
            message: refusal.to_string(),
        });
        tracing::info!(token = request.token, target = %request.target.address, ?answer, "stop observer");
        let recorded = {
            let (request, answer) = (Arc::clone(&request), answer.clone());
            self.blocking(move |inner| inner.ledger.answer(&request.fence, &request.token, answer)).await
        };
        if let Err(error) = recorded {
            // The answer is still true; only a repeat will hear UNKNOWN instead.
            tracing::error!(token = request.token, %error, "the answer of a stop was not recorded");
        }
        replay(answer)
    }

    /// From the recorded call to the end of the process.
    async fn act(&self, request: &Arc<StopRequest>) -> Result<Answer, Refusal> {
        let held = Held::open(request.identity.pid).map_err(|error| Refusal::NotPermitted {
            reason: format!("pid {} cannot be held: {error}", request.identity.pid),
        })?;
        // After the pidfd was opened: what is identified now is what will be signalled.
        let verified = {
            let request = Arc::clone(request);
            self.blocking(move |inner| inner.verify(&request)).await?
        };
        let gone = || Answer::AlreadyGone {
            evidence: format!("pid {} had ended before a signal was sent", request.identity.pid),
        };
        let (Some(held), Verified::Running) = (held, verified) else { return Ok(gone()) };
        let refused = |error: std::io::Error| Refusal::NotPermitted {
            reason: format!("{} could not be signalled: {error}", request.identity),
        };
        match held.terminate().map_err(refused)? {
            Sent::Gone => return Ok(gone()),
            Sent::Sent => {}
        }
        if held.ended_within(request.grace).await {
            return Ok(Answer::Terminated { evidence: format!("pid {} ended after SIGTERM", request.identity.pid) });
        }
        let still_there = |why: String| Answer::StillThere { evidence: format!("{} {why}", request.identity) };
        match held.kill() {
            Err(error) => return Ok(still_there(format!("got SIGTERM, but SIGKILL could not be sent: {error}"))),
            Ok(Sent::Gone) => {
                return Ok(Answer::Terminated {
                    evidence: format!("pid {} ended after SIGTERM", request.identity.pid),
                });
            }
            Ok(Sent::Sent) => {}
        }
        let grace = request.grace;
        if held.ended_within(self.0.kill_wait).await {
            let evidence =
                format!("pid {} did not end within {grace:?} of SIGTERM and ended after SIGKILL", request.identity.pid);
            return Ok(Answer::Killed { evidence });
        }
        Ok(still_there(format!("got SIGTERM and SIGKILL and had not ended {:?} later", self.0.kill_wait)))
    }

    /// Runs what reads or writes files where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let inner = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(error) => Err(Refusal::HostUnreadable { problem: format!("the agent was cut off: {error}") }),
        }
    }
}

/// What the second look said of the armed process.
enum Verified {
    Running,
    Gone,
}

impl Inner {
    /// A doubt gets a second look, because some pass at once: a child between fork and exec looks like its observer, and a
    /// process that is ending like one that hides. The answer is the second look's alone.
    fn search(&self, target: &ObserverTarget) -> Result<Search, Refusal> {
        let look = || process::find(&self.proc, target, &self.knowledge).map_err(unreadable);
        let first = look()?;
        match first.outcome {
            Outcome::Running { .. } | Outcome::Absent => Ok(first),
            Outcome::Ambiguous => {
                std::thread::sleep(SECOND_LOOK);
                look()
            }
        }
    }

    /// Everything before the act that ends in a record of it.
    fn begin(&self, request: &StopRequest) -> Result<Recorded, Refusal> {
        let StopRequest { target, identity, ticket, token, fence, .. } = request;
        let process = format!("{}/{}/{}", identity.boot_id, identity.pid, identity.start_ticks);
        let wants = request.wants();
        let recorded = self.ledger.recorded(&fence.store_id, token, &wants)?;
        if recorded != Recorded::New {
            return Ok(recorded);
        }
        self.ledger.still_current(fence)?;
        self.tickets.take(ticket.as_str(), fence, target, identity)?;
        let one_end_per = self.one_end_per;
        self.ledger.begin(&NewCall { fence, token, wants: &wants, process: &process, one_end_per })?;
        Ok(Recorded::New)
    }

    /// The second look, with the pidfd open.
    fn verify(&self, request: &StopRequest) -> Result<Verified, Refusal> {
        let search = self.search(&request.target)?;
        let armed = &request.identity;
        let changed = |found: String| Refusal::IdentityChanged { armed: armed.to_string(), found };
        match search.outcome {
            Outcome::Running { identity, supervisor } if *identity == *armed => {
                may_signal(&identity, supervisor.as_ref())?;
                self.ledger.still_current(&request.fence)?;
                Ok(Verified::Running)
            }
            Outcome::Running { identity, .. } => Err(changed(identity.to_string())),
            Outcome::Ambiguous => Err(Refusal::Ambiguous { evidence: search.evidence }),
            Outcome::Absent if self.is_there(armed, &search.boot_id) => {
                Err(changed("no observer at this address".into()))
            }
            Outcome::Absent => Ok(Verified::Gone),
        }
    }

    fn is_there(&self, identity: &ObserverIdentity, boot_id: &str) -> bool {
        let same = |stat: crate::agent::proc_fs::Stat| stat.start_ticks == identity.start_ticks && !stat.has_ended();
        identity.boot_id == boot_id && self.proc.stat(identity.pid).is_ok_and(same)
    }
}

fn unreadable(error: ProcError) -> Refusal {
    Refusal::HostUnreadable { problem: error.to_string() }
}

fn found(search: Search) -> Found {
    let Search { outcome, evidence, boot_id, rpc_port_open, sql_port_open } = search;
    let nobody = || MaySignal::No { reason: "there is no process that is known for sure".to_owned() };
    let (finding, supervisor, may_signal) = match outcome {
        Outcome::Running { identity, supervisor } => {
            let may = match may_signal(&identity, supervisor.as_ref()) {
                Ok(()) => MaySignal::Yes,
                Err(refusal) => MaySignal::No { reason: refusal.to_string() },
            };
            (Finding::Running(*identity), supervisor.map(|supervisor| supervisor.name), may)
        }
        Outcome::Absent => (Finding::Absent { evidence: evidence.clone() }, None, nobody()),
        Outcome::Ambiguous => (Finding::Ambiguous { evidence: evidence.clone() }, None, nobody()),
    };
    Found { finding, evidence, supervisor, may_signal, boot_id, rpc_port_open, sql_port_open }
}

fn may_signal(identity: &ObserverIdentity, supervisor: Option<&Supervisor>) -> Result<(), Refusal> {
    if let Some(Supervisor { name, unit, safe: false }) = supervisor {
        return Err(Refusal::Supervised { supervisor: name.clone(), unit: unit.clone() });
    }
    let own = signal::own_uid();
    if own != 0 && own != identity.uid {
        let reason = format!(
            "the observer runs as uid {} and the agent as uid {own}: run the agent as the observer's user",
            identity.uid
        );
        return Err(Refusal::NotPermitted { reason });
    }
    signal::permitted(identity.pid).map_err(|error| Refusal::NotPermitted {
        reason: format!("the system does not let the agent signal pid {}: {error}", identity.pid),
    })
}

fn replay(answer: Answer) -> Result<Stopped, Refusal> {
    let ended = |how, evidence| Ok(Stopped::Ended { how, evidence });
    match answer {
        Answer::Terminated { evidence } => ended(Ended::Terminated, evidence),
        Answer::Killed { evidence } => ended(Ended::Killed, evidence),
        Answer::AlreadyGone { evidence } => ended(Ended::AlreadyGone, evidence),
        Answer::StillThere { evidence } => Ok(Stopped::StillThere { evidence }),
        Answer::Refused { reason, message } => Err(Refusal::Recorded { reason, message }),
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
