//! Stop observer process: wait for clients (`drain`) and freeze when that was asked for, then arm, gate, fire (`arm_and_fire`).
//!
//! Repeating it is safe: it looks for the process first, and a token runs once on the agent. Undo: the process is started
//! again, when this task ended it.

use std::time::Duration;

use async_trait::async_trait;

use super::arm_and_fire::{ArmAndFire, GATE_UNREAD, GateRead, GateRules, read_gate};
use super::drain::{self, Drain};
use super::freeze::{self, Freeze};
use super::start_process;
use super::stop_service::mark_refused;
use crate::domain::blocker::{Blocker, Blockers};
use crate::domain::decide::StepOutput;
use crate::domain::effect::Intent;
use crate::domain::event::{Direction, Failure, FailureKind, IntentOutcome, OverriddenCheck};
use crate::domain::facts::{Fact, ProcessBefore, ProcessState, ServerFact};
use crate::domain::gate::{Gate, GateCode, Obstacle, StopTimeExpectation, WholeStop, gate};
use crate::domain::graph::TaskTarget;
use crate::domain::host::{CallerFence, Finding, HostCode, MaySignal, ObserverIdentity, ProcessReport};
use crate::domain::status::{InnerStatus, Risk};
use crate::engine::{Observation, ProgressReport, Step, StepContext, Unresolved};
use crate::inventory::Target;
use crate::oceanbase::ClusterError;
use crate::operations::definition::StepKind;
use crate::operations::{Deps, leaves_unknown, step_io};

/// Attempts to end the process in one execution, not counting refused ones: those did nothing.
const MOST_ATTEMPTS: usize = 4;
/// Attempts in one execution including refused ones: with pauses of [`REFUSED_RETRY_PAUSE`] they outlast the agent's minute between
/// two ends. What the agent recovers from is tried for as long as the subtask may take.
const MOST_TRIES: usize = 14;
/// Pause behind a refusal that only time changes.
const REFUSED_RETRY_PAUSE: Duration = Duration::from_secs(6);
/// Longest time in which a stop that was sent to an agent can still take effect: a ticket's life, the grace, the wait after
/// SIGKILL and a margin.
const HORIZON_BESIDE_GRACE: Duration = Duration::from_secs(5 + 30 + 10);

pub struct StopProcess(pub Deps);

#[async_trait]
impl Step for StopProcess {
    async fn look(&self, context: &StepContext) -> Observation {
        let deps = &self.0;
        let target = match step_io::target(deps, context).await {
            Ok(target) => target,
            Err(failure) => return step_io::not_begun(failure),
        };
        let found = match step_io::find_behind(deps, context, &target).await {
            Ok(found) => found,
            Err(lost) => return *lost,
        };
        match &found.finding {
            Finding::Absent { evidence } => {
                context.log(format!("no process: {evidence}"));
                let facts = vec![Fact::Server(target.server.id, ServerFact::ProcessState(ProcessState::Absent))];
                let warnings = freeze::not_frozen(context).into_iter().collect();
                let outcomes = freeze::not_known(context);
                let output = StepOutput { facts, warnings, outcomes, ..StepOutput::default() };
                Observation::Reached { already_so: !context.tried(), output, writes: Vec::new() }
            }
            Finding::HostUnreachable { reason } => self.host_unreachable(context, &target, reason).await,
            Finding::Ambiguous { evidence } => {
                let message = format!("the process is not proven, nothing is signalled: {evidence}; look at the host");
                step_io::refuse(Failure::new(FailureKind::Refused, "PROCESS_AMBIGUOUS", message))
            }
            Finding::Running(identity) => self.running(context, &target, &found, identity).await,
        }
    }

    /// Only when this task ended the process, which a freeze before it does not: it is started again.
    async fn undo_look(&self, context: &StepContext) -> Observation {
        if !context.effects().any(|intent| intent.intent.irreversible) {
            return Observation::nothing_to_undo(context);
        }
        let mut found = start_process::bring_up_and_wait(&self.0, context).await;
        // That the process was ended is known by now; nothing was learned of the freezes before it.
        if let Observation::Reached { output, .. } = &mut found {
            let freezes = context.effects().filter(|intent| intent.is_unresolved() && !intent.intent.irreversible);
            output.outcomes.extend(freezes.map(|intent| (intent.number, IntentOutcome::Unknown)));
        }
        found
    }

    /// Asked when the task is retried: a process that is there again is ended again, which is what the retry consents to.
    async fn still_holds(&self, context: &StepContext) -> Result<bool, Failure> {
        if step_io::has_begun(context, StepKind::StartProcess) {
            return Ok(true);
        }
        let target = step_io::target(&self.0, context).await?;
        Ok(!matches!(step_io::find(&self.0, &target).await.finding, Finding::Running(_)))
    }
}

impl StopProcess {
    /// A dead server on a dead host: the mark is set, leaders cannot come back to it, and the state of the process is
    /// not known.
    async fn host_unreachable(&self, context: &StepContext, target: &Target, reason: &str) -> Observation {
        let unreachable = || {
            let message = format!("the host of {} does not answer: {reason}", target.server.addr);
            let failure = Failure::new(FailureKind::Unreachable, HostCode::HostUnreachable.as_str(), message);
            Observation::Unreadable { failure: failure.with("address", target.server.addr) }
        };
        let addr = target.server.addr;
        let (gate, so) = if context.task.spec.is_of_whole_cluster() {
            // Its cluster may not answer any more; that it was dead was seen in Prepare, or it would not have got here.
            let dead = context.server_facts().process_before == Some(ProcessBefore::NotSeen(ProcessState::Unknown));
            let open = Gate::Open { overridden: Vec::new() };
            (dead.then(|| (open, Blockers::default())), "it was INACTIVE before")
        } else {
            let read = step_io::bounded(&self.0, context, read_gate(&self.0, target)).await;
            let dead = |read: &GateRead| {
                read.reading.server(&addr).is_some_and(|server| server.status == InnerStatus::Inactive)
            };
            let (mark, consent, now) = (mark(context), step_io::consent(context), self.0.clock.now());
            let decided = |read: GateRead| {
                let gate = gate(&read.reading, &addr, &read.store, &read.leaders, mark, &consent, now);
                let blockers = gate.blockers(&read.reading, &addr);
                (gate, blockers)
            };
            (read.ok().filter(dead).map(decided), "it is INACTIVE and marked")
        };
        let Some((gate, blockers)) = gate else { return unreachable() };
        match gate {
            Gate::Open { overridden } => {
                let message =
                    format!("the host of {addr} does not answer, so its process is not known ({reason}); {so}");
                let output = StepOutput {
                    facts: vec![Fact::Server(target.server.id, ServerFact::ProcessState(ProcessState::Unknown))],
                    warnings: std::iter::once(("PROCESS_STATE_UNKNOWN".to_owned(), message))
                        .chain(freeze::not_frozen(context))
                        .collect(),
                    overrides: recorded(&overridden, context),
                    outcomes: step_io::not_known(context),
                };
                Observation::Reached { already_so: !context.tried(), output, writes: Vec::new() }
            }
            closed @ Gate::Closed { .. } => self.closed(context, closed, blockers, step_io::refuse),
        }
    }

    async fn running(
        &self,
        context: &StepContext,
        target: &Target,
        found: &ProcessReport,
        identity: &ObserverIdentity,
    ) -> Observation {
        let deps = &self.0;
        let description = describe(identity, target);
        // A process that an attempt of any execution meant is gone if it is not this one.
        let outcomes = || {
            let open = context.task.attempts(context.subtask).filter(|intent| intent.is_unresolved());
            let ended = open.filter(|it| it.intent.irreversible && it.intent.description != description);
            ended.map(|intent| (intent.number, IntentOutcome::Done)).chain(freeze::not_known(context)).collect()
        };
        let still_runs = |failure| Observation::Refuse {
            failure,
            output: StepOutput { outcomes: outcomes(), ..StepOutput::default() },
            unresolved: Unresolved::NotDone,
        };
        let run_time = context.this().map_or(1, |subtask| subtask.run_time);
        // Undoing a start ends the process that was started, and no other, however often it is asked for.
        let known = context.server_facts();
        let (before, first) = match context.task.direction {
            Direction::Forward => (known.process_before.clone(), run_time == 1),
            Direction::Back => (known.process_started.clone().map(ProcessBefore::Running), true),
        };
        let mut mine = context.attempts();
        // The others are freezes.
        let attempts = mine.clone().filter(|intent| intent.intent.irreversible);
        let refused = context.refused.clone().filter(|_| mine.next_back().is_some_and(|last| last.intent.irreversible));
        // A retry is a person's consent to one process, the one that it found first; before that, to the one of Prepare.
        let another = attempts.clone().find(|intent| intent.intent.description != description);
        let meant = match another {
            Some(intent) => Some(intent.intent.description.clone()),
            None if !first || before == Some(ProcessBefore::Running(identity.clone())) => None,
            None => Some(before.map_or_else(|| "none that this task saw".to_owned(), |before| before.to_string())),
        };
        if let Some(meant) = meant {
            let message = format!(
                "the process is {identity}, this stop means another ({meant}): somebody restarted it; ask, then retry to end this one"
            );
            return still_runs(Failure::new(FailureKind::Interfered, "RESTARTED_BY_OTHER", message));
        }
        if let MaySignal::No { reason } = &found.may_signal {
            let code = if found.supervisor.is_some() { "SUPERVISED" } else { "SIGNAL_NOT_PERMITTED" };
            return still_runs(Failure::new(FailureKind::Refused, code, reason.clone()));
        }
        let not_drained = match drain::before_stop(deps, context, target).await {
            Drain::Over(warning) => warning,
            Drain::First(look) => return *look,
        };
        let (waived, frozen) = match freeze::before_stop(deps, context, target).await {
            Freeze::Over { overrides, said } => (overrides, said),
            Freeze::First(look) => return drain::warned(*look, not_drained),
        };
        let last_attempt = attempts.clone().next_back().map(|intent| intent.at);
        let tried: Vec<Option<IntentOutcome>> = attempts.map(|intent| intent.outcome).collect();
        let needs_time = refused.as_ref().is_some_and(|(code, _)| needs_time(code, tried.len()));
        if let (true, Some(at)) = (needs_time, last_attempt)
            && deps.clock.now().since(at) < REFUSED_RETRY_PAUSE
        {
            let words = refused.map(|(_, message)| message).unwrap_or_default();
            let held = Blocker::server(target.server.addr, format!("was not ended: {words}"));
            let progress = ProgressReport::uncounted(words).held_by(held);
            return Observation::Wait { progress, again_in: deps.timeouts.poll };
        }
        // Several servers of a whole cluster may be on one host, whose agent ends one a minute.
        let takes_turns =
            |code: &str| context.task.spec.is_of_whole_cluster() && code.parse() == Ok(HostCode::TooManyEnds);
        let recovers = refused.as_ref().is_some_and(|(code, _)| step_io::agent_recovers(code) || takes_turns(code));
        if is_spent(&tried, recovers) {
            let (code, message) = refused.unwrap_or_else(|| {
                ("PROCESS_STILL_THERE".to_owned(), format!("{identity} was signalled and is still there"))
            });
            let message = format!("{message}; tried {} times, look at the host and retry", tried.len());
            return still_runs(Failure::new(FailureKind::Refused, &code, message));
        }
        let unread_too_long =
            refused.as_ref().is_some_and(|(code, _)| code == GATE_UNREAD) && !self.within_gate(context);
        if let Some((code, message)) = &refused
            && (unread_too_long || !passes(code))
        {
            let failure = step_io::ownership_failure(context, code, message);
            return still_runs(failure.unwrap_or_else(|| Failure::new(FailureKind::Refused, code, message.clone())));
        }
        let rules = match rules(context) {
            Ok(rules) => rules,
            Err(closed) => return self.closed(context, closed, Blockers::default(), still_runs),
        };
        let overridden = match step_io::bounded(deps, context, rules.ask(deps, target)).await {
            Ok((Gate::Open { overridden }, _)) => overridden,
            Ok((closed @ Gate::Closed { .. }, blockers)) => return self.closed(context, closed, blockers, still_runs),
            Err(error) => match self.without_cluster(context, &error) {
                Some(overridden) => overridden,
                None => return step_io::unread(&error),
            },
        };
        if let Some(said) = frozen {
            context.log(said);
        }
        let grace = deps.timeouts.grace;
        let intent = Intent {
            description: description.clone(),
            endpoint: format!("host of {}", target.server.addr.ip()),
            connection_id: 0,
            horizon: deps.clock.now().plus(grace + HORIZON_BESIDE_GRACE),
            irreversible: true,
        };
        let effect = ArmAndFire {
            deps: deps.clone(),
            host: deps.hosts.host(&target.host),
            target: target.clone(),
            identity: identity.clone(),
            rules,
            unknown_cluster: may_go_without_cluster(context),
            fence: CallerFence {
                store_id: deps.store_id.clone(),
                cluster: context.task.spec.cluster.key.clone(),
                fence: context.fence,
            },
        };
        let overrides = waived.into_iter().chain(recorded(&overridden, context)).collect();
        let warnings = not_drained.into_iter().collect();
        let output = StepOutput { overrides, warnings, outcomes: outcomes(), ..StepOutput::default() };
        Observation::Needed { intent, output, effect: Box::new(effect) }
    }

    /// Whether the gate may still be waited for.
    fn within_gate(&self, context: &StepContext) -> bool {
        context.waited() < self.0.timeouts.gate + freeze::budget(&self.0, context) + context.task.spec.drain
    }

    /// A closed gate that may open by itself is waited for, a while; `refuse`: then the step fails so.
    fn closed(
        &self,
        context: &StepContext,
        gate: Gate,
        blockers: Blockers,
        refuse: impl Fn(Failure) -> Observation,
    ) -> Observation {
        let Gate::Closed { code, reason, retriable, .. } = gate else {
            return Observation::Wait {
                progress: ProgressReport::uncounted("the gate"),
                again_in: self.0.timeouts.between_readings(),
            };
        };
        if retriable && self.within_gate(context) {
            let progress = ProgressReport::uncounted(format!("the gate is closed: {reason}")).held_by(blockers);
            return Observation::Wait { progress, again_in: self.0.timeouts.between_readings() };
        }
        if code == GateCode::StopTimeCleared && step_io::is_unread(context) {
            let message =
                "the cluster answers again, and STOP SERVER was not sent while it did not; stop the server anew";
            return refuse(Failure::new(FailureKind::Refused, "SERVICE_NOT_STOPPED", message));
        }
        let message = format!("the process is not ended, the gate is closed: {reason}");
        let kind = match code {
            GateCode::StopTimeCleared | GateCode::ZoneStarted => FailureKind::Interfered,
            GateCode::TargetUnknown
            | GateCode::ReadingTooOld
            | GateCode::NotStopped
            | GateCode::LeadersLeft
            | GateCode::NotDegraded
            | GateCode::PrecheckBlocks
            | GateCode::ServiceLossNotAccepted
            | GateCode::NotFrozen => FailureKind::Refused,
        };
        refuse(Failure::new(kind, code.as_str(), message))
    }

    fn without_cluster(&self, context: &StepContext, error: &ClusterError) -> Option<Vec<Obstacle>> {
        (may_go_without_cluster(context) && leaves_unknown(error.class)).then(|| {
            context.log(format!("the gate cannot be read, which was accepted: {}", error.message));
            Vec::new()
        })
    }
}

/// The description of an intent; it names the process, so that an attempt to end one is never taken for an attempt to
/// end another.
fn describe(identity: &ObserverIdentity, target: &Target) -> String {
    format!("end {identity} of {}", target.server.addr)
}

/// The cluster could not be read in Prepare, and the caller accepted that by name.
fn may_go_without_cluster(context: &StepContext) -> bool {
    step_io::is_unread(context) && step_io::accepts(context, Risk::ClusterUnreachable)
}

/// `Err`: the gate, closed.
fn rules(context: &StepContext) -> Result<GateRules, Gate> {
    if context.task.spec.is_of_whole_cluster() {
        return WholeStop::of(&context.task, StepKind::Freeze.as_str()).map(GateRules::OfWhole);
    }
    Ok(GateRules::OfPart { mark: mark(context), consent: step_io::consent(context) })
}

fn mark(context: &StepContext) -> StopTimeExpectation {
    if mark_refused(context) {
        StopTimeExpectation::RefusedByRootService
    } else {
        match context.task.spec.target {
            TaskTarget::Zone(_) => StopTimeExpectation::ZoneIsStopped,
            TaskTarget::Server(_) | TaskTarget::Cluster => StopTimeExpectation::MustBeSet,
        }
    }
}

/// Whether it was tried often enough. `recovers`: the last refusal was one that the agent recovers from.
fn is_spent(outcomes: &[Option<IntentOutcome>], recovers: bool) -> bool {
    let refused = outcomes.iter().filter(|outcome| **outcome == Some(IntentOutcome::Refused)).count();
    outcomes.len() - refused >= MOST_ATTEMPTS || (outcomes.len() >= MOST_TRIES && !recovers)
}

/// Whether a refusal of the agent or the gate may pass, so that another look is worth it. An agent that was lost before
/// the call received nothing; the next look waits for it.
fn passes(code: &str) -> bool {
    matches!(code, "READING_TOO_OLD" | "LEADERS_LEFT" | "NOT_DEGRADED" | GATE_UNREAD)
        || code.parse() == Ok(HostCode::TicketExpired)
        || needs_time(code, 1)
}

/// Whether it needs a pause before the next attempt: the agent's minute between two ends, a lost agent, or one whose
/// disk is full or that has no file descriptor left. A gate that could not be read once is read again at once.
fn needs_time(code: &str, tried: usize) -> bool {
    matches!(code.parse(), Ok(HostCode::TooManyEnds | HostCode::HostUnreachable))
        || step_io::agent_recovers(code)
        || (code == GATE_UNREAD && tried > 1)
}

fn recorded(obstacles: &[Obstacle], context: &StepContext) -> Vec<OverriddenCheck> {
    let new = obstacles.iter().filter_map(|obstacle| {
        Some(OverriddenCheck {
            check: format!("GATE_{}", obstacle.code),
            evidence: obstacle.evidence.clone(),
            overridden_by: obstacle.overridden_by?,
            principal: context.task.spec.creator.clone(),
        })
    });
    new.filter(|new| !context.task.overrides.contains(new)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_wait_for_ones_turn_uses_up_no_attempt() {
        let (refused, unknown) = (Some(IntentOutcome::Refused), Some(IntentOutcome::Unknown));
        assert!(!is_spent(&[refused; MOST_ATTEMPTS], false), "an agent that is lost just then is looked for");
        assert!(!is_spent(&[refused, refused, refused, unknown, refused, unknown, None], false));
        assert!(is_spent(&[unknown, refused, unknown, None, Some(IntentOutcome::Done)], true));
        assert!(is_spent(&[refused; MOST_TRIES], false), "longer than a minute is nobody's turn");
        assert!(
            !is_spent(&[refused; 2 * MOST_TRIES], true),
            "a full disk is waited for as long as the subtask may take"
        );
        assert!(REFUSED_RETRY_PAUSE * u32::try_from(MOST_TRIES).unwrap() > Duration::from_secs(60));
        assert!(!needs_time(GATE_UNREAD, 1) && needs_time(GATE_UNREAD, 2) && passes(GATE_UNREAD));
    }
}
