//! MINOR FREEZE of the target, so that it has less to replay when it comes back, verified by the checkpoints of its log streams:
//! a step of its own, or in a stop before the process is ended. There it has a budget of its own and comes before anything is
//! armed.
//!
//! Repeating it is safe: a server that is frozen once more writes out the little that came since.

use std::time::Duration;

use async_trait::async_trait;

use super::statement::Prepared;
use crate::domain::admission::{ServiceState, service_state};
use crate::domain::attempt::RecordedIntent;
use crate::domain::blocker::{Blocker, Blockers};
use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind, IntentOutcome, OverriddenCheck};
use crate::domain::facts::{Fact, ProcessBefore, ServerFact};
use crate::domain::freeze::{AppliedLogs, FreezeProgress, Replica};
use crate::domain::status::{InnerStatus, OverriddenBy, Risk};
use crate::engine::{Observation, ProgressReport, Step, StepContext};
use crate::inventory::Target;
use crate::oceanbase::{ClusterError, ErrorClass, Statement};
use crate::operations::{Deps, step_io};

/// Under which name it is overridden.
const CHECK: &str = "FREEZE";

/// How often the statement is sent in one execution when its outcome stays unknown.
const MOST_ATTEMPTS: usize = 3;

/// A freeze as a step. There is nothing to undo.
pub struct FreezeServer(pub Deps);

#[async_trait]
impl Step for FreezeServer {
    async fn look(&self, context: &StepContext) -> Observation {
        let target = match step_io::target(&self.0, context).await {
            Ok(target) => target,
            Err(failure) => return step_io::not_begun(failure),
        };
        let before_stop = context.task.spec.is_of_whole_cluster();
        if before_stop && matches!(context.server_facts().process_before, Some(ProcessBefore::NotSeen(_))) {
            return nothing_frozen(context, &target);
        }
        let freeze = match step_io::row(&self.0, context, &target).await {
            Ok((_, Some(row))) if !row.is_alive() && before_stop => return nothing_frozen(context, &target),
            Ok((_, Some(row))) if service_state(&row) == ServiceState::Lost => return lost(&target),
            Ok((_, Some(_))) => frozen(&self.0, context, &target).await,
            Ok((_, None)) => return step_io::server_gone(&target),
            Err(error) if before_stop => unread(context, &target, &error),
            Err(error) => return step_io::unread(&error),
        };
        match freeze {
            Freeze::Over { overrides, said } => {
                said.into_iter().for_each(|said| context.log(said));
                // What is gone on without is neither done nor undone: nobody can tell.
                let outcomes = step_io::not_known(context);
                let output = StepOutput { overrides, outcomes, ..StepOutput::default() };
                Observation::Reached { already_so: false, output, writes: Vec::new() }
            }
            Freeze::First(look) => *look,
        }
    }
}

/// A server that is gone writes nothing out, and shows nothing that could be waited for.
fn lost(target: &Target) -> Observation {
    let addr = target.server.addr;
    let message = format!("{addr} is {} and freezes nothing; start it, then retry", InnerStatus::Inactive);
    step_io::refuse(Failure::new(FailureKind::Interfered, "DOES_NOT_SERVE", message).with("address", addr))
}

/// A server that is down already keeps its cluster from being stopped as little as it could be frozen.
fn nothing_frozen(context: &StepContext, target: &Target) -> Observation {
    let message = format!("{} is not frozen before its process is ended: it is down already", target.server.addr);
    let warnings = vec![("NOT_FROZEN".to_owned(), message)];
    let output = StepOutput { warnings, outcomes: step_io::not_known(context), ..StepOutput::default() };
    Observation::Reached { already_so: true, output, writes: Vec::new() }
}

/// What a freeze means for what comes behind it.
pub(super) enum Freeze {
    /// Nothing is left to do: not asked for, done, or its failure is overridden.
    Over {
        /// What going on overrides.
        overrides: Vec<OverriddenCheck>,
        /// What became of it, for the log.
        said: Option<String>,
    },
    /// This comes first.
    First(Box<Observation>),
}

/// Longest time that a freeze of this task may add to the step.
pub(super) fn budget(deps: &Deps, context: &StepContext) -> Duration {
    if context.task.spec.freeze_before_stop { deps.timeouts.freeze } else { Duration::ZERO }
}

/// The warning of a task that asked for a freeze and finds nothing that could be frozen.
pub(super) fn not_frozen(context: &StepContext) -> Option<(String, String)> {
    let asked = context.task.intents.iter().any(|intent| intent.subtask == context.subtask);
    let message = "the server was not frozen before its stop: no process of it was found running".to_owned();
    (context.task.spec.freeze_before_stop && !asked).then(|| ("NOT_FROZEN".to_owned(), message))
}

/// The outcomes of freezes that nobody has verified, at the end of a step that goes on without them: overridden, or the process
/// ended meanwhile.
pub(super) fn not_known(context: &StepContext) -> Vec<(i32, IntentOutcome)> {
    let of_this = || context.task.attempts(context.subtask);
    let overridden = context.task.overrides.iter().any(|overridden| overridden.check == CHECK);
    if !overridden && of_this().any(|intent| intent.intent.irreversible) {
        return Vec::new();
    }
    let open = of_this().filter(|intent| intent.is_unresolved() && !intent.intent.irreversible);
    open.map(|intent| (intent.number, IntentOutcome::Unknown)).collect()
}

/// Looks how far the freeze is that was asked for before the process is ended.
pub(super) async fn before_stop(deps: &Deps, context: &StepContext, target: &Target) -> Freeze {
    // An attempt to end the process came after the freeze, or after its failure was overridden.
    let ended = context.attempts().any(|intent| intent.intent.irreversible);
    if !context.task.spec.freeze_before_stop || ended {
        return Freeze::Over { overrides: Vec::new(), said: None };
    }
    frozen(deps, context, target).await
}

/// Looks how far the freeze is. Everything is found in the task and the cluster, so that a look after a crash finds the same.
async fn frozen(deps: &Deps, context: &StepContext, target: &Target) -> Freeze {
    let mine: Vec<&RecordedIntent> = context.attempts().collect();
    let read = async {
        let mut reader = step_io::reader(deps, target).await?;
        let replicas = reader.checkpoints(&target.server.addr).await?;
        Ok((reader, replicas))
    };
    let (mut reader, replicas) = match step_io::bounded(deps, context, read).await {
        Ok(read) => read,
        Err(error) => return unread(context, target, &error),
    };
    let now = deps.clock.now();
    let Some(last) = mine.last() else { return ask(deps, context, target, &replicas).await };
    let Some(first) = mine.iter().find(|intent| intent.may_have_happened()) else { return refused(context, target) };
    let progress = FreezeProgress::of(&replicas, context.server_facts().applied_at_freeze.as_ref());
    let words = format!("MINOR FREEZE of {}: {progress}", first.at);
    if progress.is_done() {
        return if mine.iter().any(|intent| intent.is_unresolved()) {
            Freeze::First(Box::new(Observation::Happened { message: words }))
        } else {
            Freeze::Over { overrides: Vec::new(), said: Some(words) }
        };
    }
    if now.since(first.at) >= deps.timeouts.freeze {
        let evidence = format!("after {} s {words}", now.since(first.at).as_secs());
        return failed(context, target, FailureKind::TimedOut, evidence);
    }
    match last.outcome {
        None | Some(IntentOutcome::Unknown) if mine.len() < MOST_ATTEMPTS => {
            ask(deps, context, target, &replicas).await
        }
        Some(IntentOutcome::Refused) => refused(context, target),
        None | Some(IntentOutcome::Unknown | IntentOutcome::Done | IntentOutcome::Void) => {
            let blockers = progress.blockers.clone().on(target.server.addr);
            let blockers = step_io::name_tenants(deps, context, reader.as_mut(), blockers).await;
            Freeze::First(Box::new(waiting(deps, &progress, words, blockers)))
        }
    }
}

fn waiting(deps: &Deps, progress: &FreezeProgress, message: String, blockers: Blockers) -> Observation {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let (done, total) = (count(progress.beyond), count(progress.total));
    let progress = ProgressReport::counted(message, done, total).held_by(blockers);
    Observation::Wait { progress, again_in: deps.timeouts.poll }
}

/// Whether the caller accepted that the cluster is not read, which it was not with this error.
pub(super) fn unread_is_accepted(context: &StepContext, error: &ClusterError) -> bool {
    step_io::goes_on_unread(context, error) && step_io::accepts(context, Risk::ClusterUnreachable)
}

/// The checkpoints could not be read. When the version lacks a view the freeze cannot be verified; every other error is
/// the cluster's, and the gate behind it would meet the same.
fn unread(context: &StepContext, target: &Target, error: &ClusterError) -> Freeze {
    if unread_is_accepted(context, error) {
        let evidence = format!("MINOR FREEZE was not sent, the cluster does not answer: {}", error.message);
        return overridden(context, evidence, OverriddenBy::ClusterUnreachable);
    }
    match error.class {
        ErrorClass::Permanent => {
            let evidence = format!("its checkpoints cannot be read: {}", error.message);
            failed(context, target, FailureKind::Unreachable, evidence)
        }
        ErrorClass::Transient
        | ErrorClass::Unreadable
        | ErrorClass::Unreachable
        | ErrorClass::Unknown
        | ErrorClass::AuthFailed
        | ErrorClass::WrongCluster => Freeze::First(Box::new(step_io::unread(error))),
    }
}

fn refused(context: &StepContext, target: &Target) -> Freeze {
    // After a crash the answer is only in the task's log.
    let words = context.refused.as_ref().map(|(code, message)| format!(" ({code}): {message}"));
    let evidence = format!("MINOR FREEZE was refused{}", words.unwrap_or_default());
    failed(context, target, FailureKind::Refused, evidence)
}

fn failed(context: &StepContext, target: &Target, kind: FailureKind, evidence: String) -> Freeze {
    if context.task.spec.force {
        return overridden(context, evidence, OverriddenBy::Force);
    }
    let addr = target.server.addr;
    let (so, or) = if context.task.spec.freeze_before_stop {
        (", and its process is not ended", ", or give the task up and stop the server without a freeze or with force")
    } else if context.task.spec.is_of_whole_cluster() {
        (", and no process is ended", ", or give the task up and stop the cluster with force")
    } else {
        ("", "")
    };
    let message = format!("{addr} was not frozen{so}: {evidence}; look at its compactions and retry{or}");
    let failure = Failure::new(kind, "FREEZE_FAILED", message).with("address", addr).with("waited_for", evidence);
    Freeze::First(Box::new(step_io::refuse(failure)))
}

fn overridden(context: &StepContext, evidence: String, overridden_by: OverriddenBy) -> Freeze {
    let said = Some(format!("goes on without the freeze, overridden by {overridden_by}: {evidence}"));
    let overrides = vec![OverriddenCheck {
        check: CHECK.to_owned(),
        evidence,
        overridden_by,
        principal: context.task.spec.creator.clone(),
    }];
    Freeze::Over { overrides, said }
}

async fn ask(deps: &Deps, context: &StepContext, target: &Target, replicas: &[Replica]) -> Freeze {
    // A freeze that may have happened is verified by what was applied at the first that may have.
    let first = !context.attempts().any(RecordedIntent::may_have_happened);
    let facts = match AppliedLogs::of(replicas) {
        _ if !first => Vec::new(),
        Ok(applied) => vec![Fact::Server(target.server.id, ServerFact::AppliedAtFreeze(applied))],
        Err(evidence) if context.task.spec.force => return failed(context, target, FailureKind::TimedOut, evidence),
        Err(message) => {
            let held = Blocker::server(target.server.addr, "does not show how far its log streams are");
            let progress = ProgressReport::uncounted(message).held_by(held);
            return Freeze::First(Box::new(Observation::Wait { progress, again_in: deps.timeouts.poll }));
        }
    };
    let statement = Statement::MinorFreeze { addr: target.server.addr };
    Freeze::First(match Prepared::open(deps, context, &target.clone().into(), statement).await {
        Ok(prepared) => {
            let intent = prepared.intent(deps, Duration::ZERO);
            let output = StepOutput { facts, ..StepOutput::default() };
            Box::new(Observation::Needed { intent, output, effect: Box::new(prepared) })
        }
        Err(look) => look,
    })
}
