//! The agent itself, without a protocol: find, arm, stop (start stands in `start.rs`), as rules over any [`Machine`].
//! In-process callers and the gRPC server both use it.
//!
//! A stop runs in this order, and any "no" before the signal is a refusal: token is new, fence is current, ticket is valid,
//! call recorded on disk, pidfd opened, **then** the process identified again and found to be the armed one, fence still
//! current, SIGTERM, grace, SIGKILL, bounded wait, answer recorded. It runs to its end even when its caller goes away.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::answer::Answer;
use crate::agent::files::{FileError, passes};
use crate::agent::ledger::{Ledger, NewCall, NewEnd, Recorded};
use crate::agent::linux::Linux;
use crate::agent::machine::{HeldProcess, Machine};
use crate::agent::process::{Outcome, Search};
use crate::agent::refusal::AgentRefusal;
use crate::agent::settings::{AgentConfig, Timing};
use crate::agent::signal::SignalOutcome;
use crate::agent::spans;
use crate::agent::supervisor::Supervisor;
use crate::agent::ticket::Tickets;
use crate::domain::host::{
    CallerFence, Ended, Finding, MaySignal, ObserverIdentity, ObserverTarget, ProcessReport, Ticket,
};
use crate::telemetry::traces;

/// Longest time between SIGTERM and SIGKILL.
pub const LONGEST_GRACE: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub struct StopRequest {
    pub target: ObserverTarget,
    /// The process for which the ticket was given.
    pub identity: ObserverIdentity,
    pub ticket: Ticket,
    /// Token of the call, chosen by the caller: a repeat gets the recorded answer.
    pub token: String,
    pub fence: CallerFence,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
}

impl StopRequest {
    /// What a token stands for: a repeat must ask for the same end of the same process.
    fn wants(&self) -> String {
        let Self { target, identity: ObserverIdentity { boot_id, pid, start_ticks, .. }, fence, .. } = self;
        let cluster = fence.cluster.as_str();
        format!("{}@{} {cluster} {boot_id}/{pid}/{start_ticks}", target.cluster_name, target.address)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    Ended {
        how: Ended,
        evidence: String,
    },
    /// It was signalled and had not ended at the end of the wait.
    StillThere {
        evidence: String,
    },
    /// An earlier call of this token began, and how it ended is not recorded.
    Unknown {
        evidence: String,
    },
}

/// The agent of a machine; cheap to clone.
#[derive(Debug)]
pub struct Agent<M = Linux>(pub(super) Arc<Inner<M>>);

#[derive(Debug)]
pub(super) struct Inner<M> {
    pub(super) machine: M,
    pub(super) tickets: Tickets,
    pub(super) timing: Timing,
    /// Held from the check of a token until it is recorded, so that of two calls with one token only one acts.
    beginning: tokio::sync::Mutex<()>,
    /// Held from the look before a launch until the new process is seen, so that of two starts only one launches.
    pub(super) launching: tokio::sync::Mutex<()>,
}

impl<M> Clone for Agent<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Agent {
    /// Opens the record; fails when another agent has it.
    pub fn new(config: AgentConfig) -> Result<Self, FileError> {
        let timing = config.timing;
        Ok(Self::on(Linux::open(config)?, timing))
    }
}

impl<M: Machine> Agent<M> {
    /// The agent of a machine, which has given out no ticket yet.
    pub fn on(machine: M, timing: Timing) -> Self {
        Self(Arc::new(Inner {
            machine,
            tickets: Tickets::default(),
            timing,
            beginning: tokio::sync::Mutex::new(()),
            launching: tokio::sync::Mutex::new(()),
        }))
    }

    pub async fn find(&self, target: &ObserverTarget) -> Result<ProcessReport, AgentRefusal> {
        let target = target.clone();
        self.blocking(move |inner| inner.report(&target)).await
    }

    /// Whether this fence is current. From here on, callers with an older fence are refused.
    pub async fn admit(&self, fence: &CallerFence) -> Result<(), AgentRefusal> {
        let fence = fence.clone();
        self.blocking(move |inner| inner.ledger().admit(&fence)).await
    }

    /// Looks, and gives a ticket when the process that was found may be signalled, or there is none. From here on, callers with an older fence
    /// are refused.
    pub async fn arm(
        &self,
        target: &ObserverTarget,
        fence: &CallerFence,
    ) -> Result<(ProcessReport, Option<Ticket>), AgentRefusal> {
        let (target, fence) = (target.clone(), fence.clone());
        self.blocking(move |inner| {
            inner.ledger().admit(&fence)?;
            let found = inner.report(&target)?;
            let ticket = match (&found.finding, &found.may_signal) {
                (Finding::Running(identity), MaySignal::Yes) => {
                    Some(inner.tickets.give(fence, target, Some(identity.clone())))
                }
                (Finding::Absent { .. }, _) => Some(inner.tickets.give(fence, target, None)),
                (Finding::Running(_), MaySignal::No { .. })
                | (Finding::Ambiguous { .. } | Finding::HostUnreachable { .. }, _) => None,
            };
            Ok((found, ticket))
        })
        .await
    }

    /// Ends a process, once per token.
    pub async fn stop(&self, request: StopRequest) -> Result<Stopped, AgentRefusal> {
        if request.grace > LONGEST_GRACE {
            let value = format!("{:?}", request.grace);
            return Err(AgentRefusal::Invalid { field: "grace", value, wanted: "at most ten minutes" });
        }
        let agent = self.clone();
        // On a task of its own: a caller that goes away between SIGTERM and SIGKILL must not leave half a stop behind.
        match tokio::spawn(traces::carried(async move { agent.run_stop(request).await })).await {
            Ok(result) => result,
            Err(error) => Ok(Stopped::Unknown { evidence: format!("the stop was cut off ({error}), look again") }),
        }
    }

    async fn run_stop(&self, request: StopRequest) -> Result<Stopped, AgentRefusal> {
        let request = Arc::new(request);
        let begin = {
            let request = Arc::clone(&request);
            move |inner: &Inner<M>| inner.begin(&request)
        };
        match self.run_idempotent("stop observer", &request.fence, &request.token, begin, self.act(&request)).await? {
            Some(answer) => replay(answer, &request.token),
            None => Ok(Stopped::Unknown { evidence: unanswered(&request.token) }),
        }
    }

    /// Runs a call once per token: `begin` records it, `act` acts, and the answer is recorded. `None`: an earlier call of
    /// this token began and has no recorded answer.
    pub(super) async fn run_idempotent(
        &self,
        what: &'static str,
        fence: &CallerFence,
        token: &str,
        begin: impl FnOnce(&Inner<M>) -> Result<Recorded, AgentRefusal> + Send + 'static,
        act: impl Future<Output = Result<Answer, AgentRefusal>> + Send,
    ) -> Result<Option<Answer>, AgentRefusal> {
        let begun = {
            let _beginning = self.0.beginning.lock().await;
            self.blocking(begin).await?
        };
        match begun {
            Recorded::Answered(answer) => return Ok(Some(answer)),
            Recorded::WithoutAnswer => return Ok(None),
            Recorded::New => {}
        }
        let answer = act.await.unwrap_or_else(|refusal| Answer::Refused {
            reason: refusal.reason().to_owned(),
            message: refusal.to_string(),
        });
        tracing::info!(token, cluster = fence.cluster.as_str(), %answer, "{what}");
        let recorded = {
            let (fence, token, answer) = (fence.clone(), token.to_owned(), answer.clone());
            self.blocking(move |inner| inner.ledger().answer(&fence, &token, answer)).await
        };
        if let Err(error) = recorded {
            // The answer is still true; only a repeat will be told UNKNOWN instead.
            tracing::error!(token, %error, "{what}: the answer was not recorded");
        }
        Ok(Some(answer))
    }

    /// From the recorded call to the end of the process.
    async fn act(&self, request: &Arc<StopRequest>) -> Result<Answer, AgentRefusal> {
        let held = self.0.machine.hold(request.identity.pid).map_err(|error| {
            let problem = format!("pid {} cannot be held: {error}", request.identity.pid);
            if passes(&error) {
                AgentRefusal::HostUnreadable { problem }
            } else {
                AgentRefusal::NotPermitted { reason: problem }
            }
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
        let refused = |error: std::io::Error| AgentRefusal::NotPermitted {
            reason: format!("{} could not be signalled: {error}", request.identity),
        };
        let pid = request.identity.pid;
        let terminating = async {
            match held.terminate().map_err(refused)? {
                SignalOutcome::Gone => Ok(None),
                SignalOutcome::Delivered => Ok(Some(held.ended_within(request.grace).await)),
            }
        };
        match spans::signal("SIGTERM", pid, terminating).await? {
            None => return Ok(gone()),
            Some(true) => return Ok(Answer::Terminated { evidence: format!("pid {pid} ended after SIGTERM") }),
            Some(false) => {}
        }
        let still_there = |why: String| Answer::StillThere { evidence: format!("{} {why}", request.identity) };
        let killing = async {
            match held.kill()? {
                SignalOutcome::Gone => Ok(None),
                SignalOutcome::Delivered => Ok(Some(held.ended_within(self.0.timing.kill_wait).await)),
            }
        };
        let killed: std::io::Result<_> = spans::signal("SIGKILL", pid, killing).await;
        match killed {
            Err(error) => return Ok(still_there(format!("got SIGTERM, but SIGKILL could not be sent: {error}"))),
            Ok(None) => return Ok(Answer::Terminated { evidence: format!("pid {pid} ended after SIGTERM") }),
            Ok(Some(true)) => {
                let grace = request.grace;
                let evidence = format!("pid {pid} did not end within {grace:?} of SIGTERM and ended after SIGKILL");
                return Ok(Answer::Killed { evidence });
            }
            Ok(Some(false)) => {}
        }
        Ok(still_there(format!("got SIGTERM and SIGKILL and had not ended {:?} later", self.0.timing.kill_wait)))
    }

    /// Runs what may block, as the machine does that.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner<M>) -> Result<T, AgentRefusal> + Send + 'static,
    ) -> Result<T, AgentRefusal> {
        let inner = Arc::clone(&self.0);
        self.0.machine.blocking(move || work(&inner)).await
    }
}

/// What the second look said of the armed process.
enum Verified {
    Running,
    Gone,
}

impl<M: Machine> Inner<M> {
    pub(super) fn ledger(&self) -> &M::Ledger {
        self.machine.ledger()
    }

    /// Everything before the signal, up to the record of the call.
    fn begin(&self, request: &StopRequest) -> Result<Recorded, AgentRefusal> {
        let StopRequest { target, identity, ticket, token, fence, .. } = request;
        let process = format!("{}/{}/{}", identity.boot_id, identity.pid, identity.start_ticks);
        let wants = request.wants();
        let recorded = self.ledger().recorded(&fence.store_id, token, &wants)?;
        if recorded != Recorded::New {
            return Ok(recorded);
        }
        self.ledger().still_current(fence)?;
        self.tickets.take(ticket.as_str(), fence, target, Some(identity))?;
        let end = Some(NewEnd { process: &process, one_end_per: self.timing.one_end_per });
        self.ledger().begin(&NewCall { fence, token, wants: &wants, end })?;
        Ok(Recorded::New)
    }

    /// The second look, with the pidfd open.
    fn verify(&self, request: &StopRequest) -> Result<Verified, AgentRefusal> {
        let search = self.machine.search(&request.target)?;
        let armed = &request.identity;
        let changed = |found: String| AgentRefusal::IdentityChanged { armed: armed.to_string(), found };
        match search.outcome {
            Outcome::Running { identity, around } if *identity == *armed => {
                self.may_signal(&identity, around.supervisors.first())?;
                self.ledger().still_current(&request.fence)?;
                Ok(Verified::Running)
            }
            Outcome::Running { identity, .. } => Err(changed(identity.to_string())),
            Outcome::Ambiguous => Err(AgentRefusal::Ambiguous { evidence: search.evidence }),
            Outcome::Absent
                if armed.boot_id == search.boot_id && self.machine.is_there(armed.pid, armed.start_ticks) =>
            {
                Err(changed("no observer at this address".into()))
            }
            Outcome::Absent => Ok(Verified::Gone),
        }
    }

    /// What is found, as it is told.
    fn report(&self, target: &ObserverTarget) -> Result<ProcessReport, AgentRefusal> {
        let Search { outcome, evidence, boot_id, rpc_port_open, sql_port_open, observers: _ } =
            self.machine.search(target)?;
        let nobody = || MaySignal::No { reason: "there is no process that is known for sure".to_owned() };
        let mut beside = Vec::new();
        let (finding, supervisor, may_signal) = match outcome {
            Outcome::Running { identity, around } => {
                beside = around.beside;
                let supervisors = around.supervisors;
                let may = match self.may_signal(&identity, supervisors.first()) {
                    Ok(()) => MaySignal::Yes,
                    Err(refusal) => MaySignal::No { reason: refusal.to_string() },
                };
                (Finding::Running(*identity), supervisors.into_iter().next().map(|supervisor| supervisor.name), may)
            }
            Outcome::Absent => (Finding::Absent { evidence: evidence.clone() }, None, nobody()),
            Outcome::Ambiguous => (Finding::Ambiguous { evidence: evidence.clone() }, None, nobody()),
        };
        Ok(ProcessReport { finding, evidence, supervisor, beside, may_signal, boot_id, rpc_port_open, sql_port_open })
    }

    fn may_signal(&self, identity: &ObserverIdentity, supervisor: Option<&Supervisor>) -> Result<(), AgentRefusal> {
        match supervisor {
            Some(Supervisor { name, unit, safe: false }) => {
                Err(AgentRefusal::Supervised { supervisor: name.clone(), unit: unit.clone() })
            }
            Some(Supervisor { safe: true, .. }) | None => self.machine.permitted(identity),
        }
    }
}

/// What a repeated call is told when the first one has no recorded answer.
pub(super) fn unanswered(token: &str) -> String {
    format!(
        "a call with token {token} began and has no recorded answer: it is still running or was cut off, look again"
    )
}

fn replay(answer: Answer, token: &str) -> Result<Stopped, AgentRefusal> {
    let ended = |how, evidence| Ok(Stopped::Ended { how, evidence });
    match answer {
        Answer::Terminated { evidence } => ended(Ended::Terminated, evidence),
        Answer::Killed { evidence } => ended(Ended::Killed, evidence),
        Answer::AlreadyGone { evidence } => ended(Ended::AlreadyGone, evidence),
        Answer::StillThere { evidence } => Ok(Stopped::StillThere { evidence }),
        Answer::Refused { reason, message } => Err(AgentRefusal::Recorded { reason, message }),
        Answer::Started { .. } | Answer::AlreadyRunning { .. } | Answer::Died { .. } | Answer::Unclear { .. } => {
            Err(AgentRefusal::TokenReused { token: token.to_owned() })
        }
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
