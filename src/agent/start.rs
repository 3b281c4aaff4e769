//! Starting an observer. In this order, and any "no" before the launch is a refusal: token is new, fence is current, ticket is valid,
//! call recorded on disk, then one start at a time: a look that finds neither the observer nor anybody at its ports, a
//! home that proves itself, no supervisor that has to start it, fence still current, launch. Then the new process is
//! watched until it is the observer and listens, is gone, or the wait is over, and the answer is recorded. It runs to
//! its end even when its caller goes away.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::Instant;
use tracing::Instrument;

use crate::agent::answer::Answer;
use crate::agent::launcher::LaunchError;
use crate::agent::ledger::{Ledger, NewCall, Recorded};
use crate::agent::machine::{Machine, NewProcess};
use crate::agent::process::{Outcome, Search};
use crate::agent::refusal::AgentRefusal;
use crate::agent::service::{Agent, Inner, unanswered};
use crate::agent::spans;
use crate::clock;
use crate::domain::host::{CallerFence, ObserverIdentity, ObserverTarget, Ticket};
use crate::telemetry::traces;

/// Longest time that a new process is watched.
pub const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// How long nothing of a new process may be seen, its first process having ended, until it counts as gone.
const GONE: Duration = Duration::from_secs(1);
#[derive(Debug)]
pub struct StartRequest {
    pub target: ObserverTarget,
    /// Token of the call, chosen by the caller: a repeat gets the recorded answer.
    pub token: String,
    pub fence: CallerFence,
    /// How long the new process is watched until it listens.
    pub wait: Duration,
    /// Of the look that found it absent; `None`: of a caller that knows of none.
    pub ticket: Option<Ticket>,
}

impl StartRequest {
    /// What a token stands for: a repeat must ask for the same start.
    fn wants(&self) -> String {
        let Self { target, fence, .. } = self;
        format!("start {}@{} {}", target.cluster_name, target.address, fence.cluster.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    Started {
        identity: ObserverIdentity,
        /// Whether it listens on its RPC address already.
        listens: bool,
        evidence: String,
    },
    /// It ran before.
    AlreadyRunning { identity: ObserverIdentity, evidence: String },
    Died {
        evidence: String,
        /// The end of its log and of its output.
        last_log_lines: Vec<String>,
    },
    /// An earlier call of this token has no recorded answer, or what became of this one could not be found out.
    Unknown { evidence: String },
}

enum Plan<O> {
    Launch(O),
    Nothing(Answer),
}

/// What is seen of a new process.
enum ProcessSighting {
    Listens(ObserverIdentity),
    Runs(ObserverIdentity),
    Nothing,
}

impl<M: Machine> Agent<M> {
    /// Starts an observer, once per token.
    pub async fn start(&self, request: StartRequest) -> Result<Started, AgentRefusal> {
        if request.wait > LONGEST_WAIT {
            let value = format!("{:?}", request.wait);
            return Err(AgentRefusal::Invalid { field: "wait", value, wanted: "at most ten minutes" });
        }
        let agent = self.clone();
        // On a task of its own: a caller that goes away must not leave a start behind of which nothing is recorded.
        match tokio::spawn(traces::carried(async move { agent.run_start(request).await })).await {
            Ok(result) => result,
            Err(error) => Ok(Started::Unknown { evidence: format!("the start was cut off ({error}), look again") }),
        }
    }

    async fn run_start(&self, request: StartRequest) -> Result<Started, AgentRefusal> {
        let request = Arc::new(request);
        let begin = {
            let request = Arc::clone(&request);
            move |inner: &Inner<M>| inner.begin_start(&request)
        };
        match self
            .run_idempotent("start observer", &request.fence, &request.token, begin, self.launch(&request))
            .await?
        {
            Some(answer) => replay(answer, &request.token),
            None => Ok(Started::Unknown { evidence: unanswered(&request.token) }),
        }
    }

    /// From the recorded call to what became of the process.
    async fn launch(&self, request: &Arc<StartRequest>) -> Result<Answer, AgentRefusal> {
        let turn = self.0.launching.lock().await;
        let planned = {
            let request = Arc::clone(request);
            self.blocking(move |inner| inner.plan(&request)).await?
        };
        let orders = match planned {
            Plan::Launch(orders) => orders,
            Plan::Nothing(answer) => return Ok(answer),
        };
        let launching = async {
            let launched = self.0.machine.launch(orders).await;
            let new = launched.map_err(|error| match error {
                LaunchError::Exhausted(problem) => AgentRefusal::HostExhausted { problem },
                LaunchError::Failed(problem) => AgentRefusal::LaunchFailed { problem },
            })?;
            // From here on nothing may be called a refusal.
            Ok(self.watch(request, &new, turn).await)
        };
        launching.instrument(spans::of_launch()).await
    }

    /// Watches until the new process listens, is gone, or the wait is over.
    async fn watch(&self, request: &StartRequest, new: &M::Launched, turn: MutexGuard<'_, ()>) -> Answer {
        let mut turn = Some(turn);
        let seen_within = self.0.timing.seen_within;
        let mut unseen_since: Option<Instant> = None;
        loop {
            let sight = {
                let (target, home, first) = (request.target.clone(), new.home().to_owned(), new.first());
                self.blocking(move |inner| inner.sight(&target, &home, first)).await
            };
            let now = clock::monotonic_now();
            let over = now.duration_since(new.at()) >= request.wait;
            match sight {
                Ok(ProcessSighting::Listens(identity)) => return new.started(identity, true),
                Ok(ProcessSighting::Runs(identity)) => {
                    // It is seen now: another start finds it too.
                    drop(turn.take());
                    unseen_since = None;
                    if over {
                        return new.started(identity, false);
                    }
                }
                Ok(ProcessSighting::Nothing) => {
                    let unseen = now.duration_since(*unseen_since.get_or_insert(now));
                    match new.end() {
                        Some(end) if unseen >= GONE => return new.died(&end),
                        None if unseen >= seen_within && over => {
                            return new.unclear("no observer of this home is seen");
                        }
                        Some(_) | None => {}
                    }
                }
                Err(refusal) if over && now.duration_since(new.at()) >= seen_within => {
                    return new.unclear(&refusal.to_string());
                }
                Err(_) => {}
            }
            tokio::time::sleep(M::POLL).await;
        }
    }
}

impl<M: Machine> Inner<M> {
    /// Everything before the launch, up to the record of the call.
    fn begin_start(&self, request: &StartRequest) -> Result<Recorded, AgentRefusal> {
        let StartRequest { target, token, fence, ticket, .. } = request;
        let wants = request.wants();
        let recorded = self.ledger().recorded(&fence.store_id, token, &wants)?;
        if recorded == Recorded::New {
            if let Some(ticket) = ticket {
                self.ledger().still_current(fence)?;
                self.tickets.take(ticket.as_str(), fence, target, None)?;
            }
            self.ledger().begin(&NewCall { fence, token, wants: &wants, end: None })?;
        }
        Ok(recorded)
    }

    /// What is to be launched, if anything. The last check before the launch.
    fn plan(&self, request: &StartRequest) -> Result<Plan<M::Orders>, AgentRefusal> {
        let target = &request.target;
        let search = self.machine.search(target)?;
        if let Outcome::Running { identity, .. } = search.outcome {
            let evidence = format!("{identity} runs and listens on {}, nothing was started", target.address);
            return Ok(Plan::Nothing(Answer::AlreadyRunning { identity: *identity, evidence }));
        }
        self.ensure_not_running(target, &search)?;
        let orders = self.machine.orders(target, &search)?;
        self.ledger().still_current(&request.fence)?;
        Ok(Plan::Launch(orders))
    }

    /// Refuses while a process may be the observer, or listens where it would.
    fn ensure_not_running(&self, target: &ObserverTarget, search: &Search) -> Result<(), AgentRefusal> {
        let absent = search.outcome == Outcome::Absent;
        if !search.observers.iter().any(|seen| seen.may_be_wanted) {
            let taken = |address: std::net::SocketAddr, holder| {
                Err(AgentRefusal::PortTaken { address: address.to_string(), holder })
            };
            match self.machine.holder(target)? {
                Some((address, Some(holder))) => return taken(address, holder),
                Some((address, None)) if absent => {
                    return taken(address, "a process that this agent cannot identify".to_owned());
                }
                Some((_, None)) | None => {}
            }
        }
        if absent { Ok(()) } else { Err(AgentRefusal::Ambiguous { evidence: search.evidence.clone() }) }
    }

    /// What is seen of a process that was launched in `home`; `first` is the one that may only be the parent of a daemon.
    fn sight(&self, target: &ObserverTarget, home: &Path, first: u32) -> Result<ProcessSighting, AgentRefusal> {
        let search = self.machine.look(target)?;
        let ours = |identity: &ObserverIdentity| Path::new(&identity.home) == home;
        if let Outcome::Running { identity, .. } = search.outcome
            && ours(&identity)
        {
            return Ok(ProcessSighting::Listens(*identity));
        }
        let mut seen: Vec<ObserverIdentity> =
            search.observers.into_iter().map(|seen| seen.identity).filter(ours).collect();
        seen.sort_by_key(|identity| identity.pid == first);
        Ok(seen.into_iter().next().map_or(ProcessSighting::Nothing, ProcessSighting::Runs))
    }
}

fn replay(answer: Answer, token: &str) -> Result<Started, AgentRefusal> {
    match answer {
        Answer::Started { identity, listens, evidence } => Ok(Started::Started { identity, listens, evidence }),
        Answer::AlreadyRunning { identity, evidence } => Ok(Started::AlreadyRunning { identity, evidence }),
        Answer::Died { evidence, last_log_lines } => Ok(Started::Died { evidence, last_log_lines }),
        Answer::Unclear { evidence } => Ok(Started::Unknown { evidence }),
        Answer::Refused { reason, message } => Err(AgentRefusal::Recorded { reason, message }),
        Answer::Terminated { .. } | Answer::Killed { .. } | Answer::AlreadyGone { .. } | Answer::StillThere { .. } => {
            Err(AgentRefusal::TokenReused { token: token.to_owned() })
        }
    }
}

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
