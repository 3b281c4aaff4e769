//! Start observer process: the agent starts `bin/observer` in the observer's home, and watches it for a while. What it is
//! started with only the agent knows.
//!
//! Repeating it is safe: it looks for the process first, so does the agent, and a token runs once there. Undo: the process is
//! ended behind the gate, when there was none before and this task started it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{StopProcess, wait_accessible, wait_active};
use crate::domain::blocker::Blocker;
use crate::domain::decide::StepOutput;
use crate::domain::effect::{EffectOutcome, Intent, Permit};
use crate::domain::event::{Failure, FailureKind, IntentOutcome};
use crate::domain::facts::{Fact, ProcessBefore, ProcessState, ServerFact};
use crate::domain::host::{CallerFence, Finding, HostCode, ObserverIdentity, ProcessReport, StartResult};
use crate::engine::{Observation, PreparedEffect, ProgressReport, Step, StepContext};
use crate::host::{Host, HostError};
use crate::inventory::Target;
use crate::operations::{Deps, step_io};

/// How often the agent is asked in one execution when its answer is lost.
const MOST_ATTEMPTS: usize = 3;
/// How often it is asked when the connection was lost before the call, so that nothing was sent.
const MOST_TRIES: usize = 14;
/// Pause before each further try of a call that was not sent, or was refused because the agent lacked a resource just
/// then; the latter is tried for as long as the subtask may take.
const AGAIN: Duration = Duration::from_secs(6);
/// Longest time in which a start that was sent to an agent can still take effect, beside its watch: the launcher's bounded
/// wait and a margin.
const HORIZON_BESIDE_WATCH: Duration = Duration::from_secs(40);

pub struct StartProcess(pub Deps);

#[async_trait]
impl Step for StartProcess {
    async fn look(&self, context: &StepContext) -> Observation {
        match bring_up(&self.0, context).await {
            Up::Runs(identity) => {
                context.log(format!("the process is {identity}"));
                let started = ServerFact::ProcessStarted(identity);
                let facts = context.server().map(|server| Fact::Server(server.id, started)).into_iter().collect();
                let output = StepOutput { facts, ..StepOutput::default() };
                Observation::Reached { already_so: !context.tried(), output, writes: Vec::new() }
            }
            Up::NotYet(look) => *look,
        }
    }

    /// A restart began with a running process, so its undo leaves one running.
    async fn undo_look(&self, context: &StepContext) -> Observation {
        if context.task.spec.is_of_whole_cluster() {
            // Nobody accepted that service ends for everybody once more.
            context.log("the process stays: StopCluster ends the processes of a whole cluster");
            return Observation::nothing_to_undo(context);
        }
        let was_absent = context.server_facts().process_before == Some(ProcessBefore::NotSeen(ProcessState::Absent));
        if !was_absent || context.effects().next().is_none() {
            return Observation::nothing_to_undo(context);
        }
        StopProcess(self.0.clone()).look(context).await
    }

    /// Asked when the task is retried: the process must still be there.
    async fn still_holds(&self, context: &StepContext) -> Result<bool, Failure> {
        let target = step_io::target(&self.0, context).await?;
        Ok(matches!(step_io::find(&self.0, &target).await.finding, Finding::Running(_)))
    }
}

/// The undo of an ended process: it runs, and the cluster sees it.
pub(super) async fn bring_up_and_wait(deps: &Deps, context: &StepContext) -> Observation {
    match bring_up(deps, context).await {
        // What the others see of it is seen when they are up as well.
        Up::Runs(_) if context.task.spec.is_of_whole_cluster() => wait_accessible::accessible(deps, context).await,
        Up::Runs(_) => wait_active::active(deps, context).await,
        Up::NotYet(look) => *look,
    }
}

/// Whether the process runs.
enum Up {
    Runs(ObserverIdentity),
    NotYet(Box<Observation>),
}

async fn bring_up(deps: &Deps, context: &StepContext) -> Up {
    let not_yet = |look: Observation| Up::NotYet(Box::new(look));
    let target = match step_io::target(deps, context).await {
        Ok(target) => target,
        Err(failure) => return not_yet(step_io::not_begun(failure)),
    };
    let addr = target.server.addr;
    let found = match step_io::find_behind(deps, context, &target).await {
        Ok(found) => found,
        Err(lost) => return Up::NotYet(lost),
    };
    match found.finding {
        Finding::Running(identity) => Up::Runs(identity),
        Finding::HostUnreachable { reason } => {
            let message = format!("the host of {addr} does not answer: {reason}");
            let failure = Failure::new(FailureKind::Unreachable, HostCode::HostUnreachable.as_str(), message);
            not_yet(Observation::Unreadable { failure: failure.with("address", addr) })
        }
        Finding::Ambiguous { evidence } => {
            let message = format!("whether the process of {addr} runs is not proven: {evidence}; look at the host");
            not_yet(step_io::refuse(Failure::new(FailureKind::Refused, "PROCESS_AMBIGUOUS", message)))
        }
        Finding::Absent { evidence } => not_yet(absent(deps, context, &target, &evidence)),
    }
}

fn absent(deps: &Deps, context: &StepContext, target: &Target, evidence: &str) -> Observation {
    let addr = target.server.addr;
    let attempts: Vec<Option<IntentOutcome>> = context.attempts().map(|intent| intent.outcome).collect();
    let asked = attempts.iter().filter(|outcome| **outcome != Some(IntentOutcome::Refused)).count();
    let recovers = context.refused.as_ref().is_some_and(|(code, _)| step_io::agent_recovers(code));
    let passing = [HostCode::HostUnreachable, HostCode::TicketExpired];
    let is_passing = |code: &str| code.parse().is_ok_and(|code| passing.contains(&code));
    let passes = recovers || context.refused.as_ref().is_some_and(|(code, _)| is_passing(code));
    if let Some((code, message)) = &context.refused
        && (!passes || (attempts.len() >= MOST_TRIES && !recovers))
    {
        return step_io::refuse(Failure::new(FailureKind::Refused, code, message.clone()).with("address", addr));
    }
    if let (true, Some(last)) = (passes, context.attempts().next_back())
        && deps.clock.now().since(last.at) < AGAIN
    {
        let words = context.refused.as_ref().map(|(_, message)| message.clone()).unwrap_or_default();
        let progress = ProgressReport::uncounted(words.clone())
            .held_by(Blocker::server(addr, format!("was not started: {words}")));
        return Observation::Wait { progress, again_in: deps.timeouts.poll };
    }
    if !passes && attempts.contains(&Some(IntentOutcome::Refused)) {
        let message = format!("{addr} was not started, the task's log says why; remove the cause and try again");
        return step_io::refuse(Failure::new(FailureKind::Refused, "NOT_STARTED", message).with("address", addr));
    }
    if attempts.contains(&Some(IntentOutcome::Done)) || asked >= MOST_ATTEMPTS {
        let message =
            format!("the observer of {addr} was started and is gone: {evidence}; read its log, then try again");
        return step_io::refuse(Failure::new(FailureKind::Interfered, "PROCESS_GONE", message).with("address", addr));
    }
    let intent = Intent {
        description: format!("start the process of {addr}"),
        endpoint: format!("host of {}", addr.ip()),
        connection_id: 0,
        horizon: deps.clock.now().plus(deps.timeouts.start_watch + HORIZON_BESIDE_WATCH),
        irreversible: false,
    };
    let effect = StartIt {
        host: deps.hosts.host(&target.host),
        target: target.clone(),
        store_id: deps.store_id.clone(),
        watch: deps.timeouts.start_watch,
    };
    Observation::Needed { intent, output: StepOutput::default(), effect: Box::new(effect) }
}

struct StartIt {
    host: Arc<dyn Host>,
    target: Target,
    store_id: String,
    watch: Duration,
}

#[async_trait]
impl PreparedEffect for StartIt {
    async fn send(self: Box<Self>, permit: Permit) -> EffectOutcome {
        let refused = |code: &str, message: String| EffectOutcome::Refused { code: code.to_owned(), message };
        let observer = self.target.observer();
        let (store_id, cluster) = (self.store_id.clone(), permit.cluster().clone());
        let fence = CallerFence { store_id, cluster, fence: permit.fence() };
        let ticket = match self.host.arm(&observer, &fence).await {
            Ok((ProcessReport { finding: Finding::Absent { .. }, .. }, ticket)) => ticket,
            Ok((ProcessReport { finding: Finding::HostUnreachable { reason }, .. }, _)) => {
                return refused(HostCode::HostUnreachable.as_str(), reason);
            }
            Ok((found, _)) => {
                return refused("NOT_ARMED", format!("it was absent and is not any more: {}", found.evidence));
            }
            Err(HostError::Refused { code, message }) => return refused(&code, message),
            Err(error @ HostError::Protocol { .. }) => return refused("NOT_ARMED", error.to_string()),
        };
        // Behind the ticket, which lives for seconds: a replica that is frozen from here on comes too late.
        if !permit.is_valid_for(self.watch) {
            return EffectOutcome::too_late();
        }
        match self.host.start(permit, &observer, ticket, &self.store_id, self.watch).await {
            StartResult::Started { evidence, .. } => EffectOutcome::Done { message: evidence },
            // Somebody else started it, and an undo leaves it alone.
            StartResult::AlreadyRunning { evidence, .. } => refused("ALREADY_RUNNING", evidence),
            StartResult::Died { evidence, last_log_lines } => {
                let lines = last_log_lines.join(" | ");
                let said =
                    if lines.is_empty() { "it logged nothing".to_owned() } else { format!("its last words: {lines}") };
                let addr = self.target.server.addr;
                let message = format!("the observer of {addr} died at once ({evidence}); {said}");
                refused("OBSERVER_DIED", message)
            }
            StartResult::Refused { code, message } => refused(&code, message),
            StartResult::Unknown { message } => EffectOutcome::Unknown { message },
        }
    }
}
