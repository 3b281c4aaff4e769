//! Stop server: `ALTER SYSTEM STOP SERVER` on an effect session, then, whatever the answer, a look: is STOP_TIME set, are
//! leaders left? Waits for none with the same count that the root service waits for
//! (docs/oceanbase.md#waiting-for-leaders).
//!
//! Repeating it is safe: STOP SERVER of a stopped server does nothing, and it is sent only while STOP_TIME is not set. Undo:
//! START SERVER, when this task set the mark.

use std::time::Duration;

use async_trait::async_trait;

use super::start_service;
use super::statement::Prepared;
use crate::domain::decide::StepOutput;
use crate::domain::effect::{EffectOutcome, Permit};
use crate::domain::event::{Failure, FailureKind, IntentOutcome, OverriddenCheck};
use crate::domain::facts::{Fact, ServerFact, StopTimeState};
use crate::domain::precheck::unanswered::{self, NextStatement};
use crate::domain::precheck::{Check, CheckName, Precheck, precheck};
use crate::domain::reading::ServerReading;
use crate::domain::status::{OverriddenBy, Risk};
use crate::engine::{Observation, PreparedEffect, ProgressReport, Step, StepContext, TimeoutPolicy};
use crate::inventory::Target;
use crate::oceanbase::{ClusterError, ClusterReader, Statement};
use crate::operations::assess::{self, AssessedCheck};
use crate::operations::definition::StepKind;
use crate::operations::{Deps, cluster_failure, step_io};

/// How often the statement is sent in one execution when its outcome stays unknown.
const MOST_ATTEMPTS: usize = 6;
/// Between looks for the mark while the statement has not answered.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// Longest wait for leaders in all.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

pub struct StopService(pub Deps);

#[async_trait]
impl Step for StopService {
    async fn look(&self, context: &StepContext) -> Observation {
        let deps = &self.0;
        let target = match step_io::target(deps, context).await {
            Ok(target) => target,
            Err(failure) => return step_io::not_begun(failure),
        };
        let (mut reader, row) = match step_io::row(deps, context, &target).await {
            Ok(looked) => looked,
            Err(error) if step_io::goes_on_unread(context, &error) => return unknown_cluster(context, &error),
            Err(error) => return step_io::unread(&error),
        };
        let Some(row) = row else { return step_io::server_gone(&target) };
        match row.stop_time {
            Some(_) => self.marked(context, &target, reader.as_mut(), &row).await,
            None => self.not_marked(context, &target, reader.as_mut()).await,
        }
    }

    /// Only when this task set the mark: START SERVER, and in service again.
    async fn undo_look(&self, context: &StepContext) -> Observation {
        if context.effects().next().is_none() {
            return Observation::nothing_to_undo(context);
        }
        let mut found = start_service::bring_back(&self.0, context).await;
        // Nothing had to be cleared: what is not known of the stop was not done, or somebody else has cleared it.
        if let Observation::Reached { output, .. } = &mut found
            && context.task.attempts(context.subtask).next().is_none()
        {
            let open = context.effects().filter(|intent| intent.is_unresolved());
            output.outcomes.extend(open.map(|intent| (intent.number, IntentOutcome::Void)));
        }
        found
    }

    /// Asked when the task is retried: STOP_TIME must still be set.
    async fn still_holds(&self, context: &StepContext) -> Result<bool, Failure> {
        if context.server_facts().stop_time == Some(StopTimeState::Refused)
            || step_io::has_begun(context, StepKind::StartService)
        {
            return Ok(true);
        }
        let target = step_io::target(&self.0, context).await?;
        let read = async { step_io::reader(&self.0, &target).await?.server(&target.server.addr).await };
        let row = match step_io::bounded(&self.0, context, read).await {
            Ok(row) => row,
            Err(error) if step_io::goes_on_unread(context, &error) => return Ok(true),
            Err(error) => return Err(cluster_failure(&error)),
        };
        // A cluster that answers again is stopped as any other.
        Ok(row.is_some_and(|row| row.stop_time.is_some()))
    }

    fn timeout_policy(&self) -> TimeoutPolicy {
        TimeoutPolicy::WithoutProgress { at_most: LONGEST_WAIT }
    }

    /// How long leaders are waited for says nothing of how long a server needs to serve again.
    fn undo_timeout(&self, _timeout: Duration) -> Duration {
        start_service::TIMEOUT
    }

    /// After the root service moved, or a session was lost, reads are repeated for as long as the cluster may need for
    /// an election.
    fn read_failure_timeout(&self) -> Duration {
        Duration::from_secs(120)
    }
}

/// The caller accepted that the cluster cannot be read: the service is not stopped, and the task says so.
fn unknown_cluster(context: &StepContext, error: &ClusterError) -> Observation {
    let what =
        if context.tried() { "whether STOP SERVER took effect is not known" } else { "STOP SERVER was not sent" };
    let message = format!("{what}, the cluster does not answer: {}", error.message);
    let output = StepOutput {
        warnings: vec![("SERVICE_NOT_STOPPED".to_owned(), message)],
        outcomes: step_io::not_known(context),
        ..StepOutput::default()
    };
    Observation::Reached { already_so: false, output, writes: Vec::new() }
}

fn leaders_left(context: &StepContext, target: &Target, leaders: i64) -> ProgressReport {
    let before = context.server_facts().leaders_before.unwrap_or_default();
    let total = i64::from(before).max(leaders);
    let message = format!("{leaders} of {total} leaders still on {} {}", target.server.zone, target.server.addr);
    ProgressReport { message, done: total - leaders, total }
}

fn evidence(precheck: &Precheck, name: CheckName) -> String {
    precheck.check(name).map(|check| check.evidence.clone()).unwrap_or_default()
}

/// Outcomes of what this execution of the subtask tried, oldest first.
fn attempts_of_this_run(context: &StepContext) -> Vec<Option<IntentOutcome>> {
    context.attempts().map(|intent| intent.outcome).collect()
}

impl StopService {
    /// STOP_TIME is set: wait for the leaders.
    async fn marked(
        &self,
        context: &StepContext,
        target: &Target,
        reader: &mut dyn ClusterReader,
        row: &ServerReading,
    ) -> Observation {
        let leaders = match step_io::bounded(&self.0, context, reader.leaders_left(&target.server.addr)).await {
            Ok(leaders) => leaders,
            Err(error) => return step_io::unread(&error),
        };
        let addr = target.server.addr;
        // Set after our statement counts as set by it: whoever clears it from here on means to start the server.
        let attempts = attempts_of_this_run(context);
        let known = attempts.contains(&Some(IntentOutcome::Done));
        let open = attempts.iter().any(|outcome| matches!(outcome, None | Some(IntentOutcome::Unknown)));
        if leaders > 0 && open && !known {
            return Observation::Happened { message: format!("STOP_TIME of {addr} is set") };
        }
        if leaders == 0 {
            let since = row.stop_time.map(|at| at.to_string()).unwrap_or_default();
            context.log(format!("STOP_TIME of {addr} is set since {since}, no leader is left"));
            return Observation::Reached {
                already_so: !context.tried(),
                output: StepOutput::default(),
                writes: Vec::new(),
            };
        }
        if context.last_look && context.task.spec.force {
            return self.leaders_stay(context, target, reader, leaders).await;
        }
        Observation::Wait { progress: leaders_left(context, target, leaders), again_in: self.0.timeouts.poll }
    }

    /// The wait is over and leaders stay: `force` goes on only if every log stream keeps a synced majority without the
    /// target (docs/ocp-v2.md#what-stop-and-force-mean).
    async fn leaders_stay(
        &self,
        context: &StepContext,
        target: &Target,
        reader: &mut dyn ClusterReader,
        leaders: i64,
    ) -> Observation {
        let reading = match step_io::bounded(&self.0, context, reader.gate_reading()).await {
            Ok(reading) => reading,
            Err(error) => return step_io::unread(&error),
        };
        let addr = target.server.addr;
        let precheck = precheck(&reading, &addr, self.0.clock.now());
        let evidence = format!("{leaders} leaders still on {addr} at the end of the wait");
        let accepted = step_io::accepts(context, Risk::QuorumLoss);
        if !precheck.keeps_synced_majority() && !accepted {
            let message = format!(
                "{evidence}, and not every log stream keeps a synced majority without it; look at them and retry"
            );
            let failure = Failure::new(FailureKind::TimedOut, "LEADERS_LEFT", message);
            return step_io::refuse(failure.with("address", addr).with("leaders", leaders));
        }
        let overridden_by = match precheck.keeps_synced_majority() {
            true => OverriddenBy::Force,
            false => OverriddenBy::ForceAndQuorumLoss,
        };
        let overrides = vec![OverriddenCheck {
            check: "LEADERS_LEFT".to_owned(),
            evidence,
            overridden_by,
            principal: context.task.spec.creator.clone(),
        }];
        let output = StepOutput { overrides, ..StepOutput::default() };
        Observation::Reached { already_so: !context.tried(), output, writes: Vec::new() }
    }

    /// STOP_TIME is not set: was it cleared, was it refused, or is the statement to be sent?
    async fn not_marked(&self, context: &StepContext, target: &Target, reader: &mut dyn ClusterReader) -> Observation {
        let outcomes = attempts_of_this_run(context);
        let addr = target.server.addr;
        if outcomes.contains(&Some(IntentOutcome::Done)) {
            let message = format!(
                "STOP_TIME of {addr} was set and is not any more: somebody started the server; ask before stopping it again (retry)"
            );
            let failure = Failure::new(FailureKind::Interfered, "STOP_TIME_CLEARED", message);
            return step_io::refuse(failure.with("address", addr));
        }
        if let Some((code, message)) = &context.refused {
            return self.refused(context, target, code, message);
        }
        let unknown = outcomes.iter().filter(|outcome| matches!(outcome, None | Some(IntentOutcome::Unknown))).count();
        match unknown {
            0 => self.needed(context, target, reader, None).await,
            attempts => self.unanswered(context, target, reader, attempts).await,
        }
    }

    /// The statement was not answered and its mark is not seen: a reading tells what the root service would refuse.
    async fn unanswered(
        &self,
        context: &StepContext,
        target: &Target,
        reader: &mut dyn ClusterReader,
        attempts: usize,
    ) -> Observation {
        let addr = target.server.addr;
        let reading = match step_io::bounded(&self.0, context, reader.gate_reading()).await {
            Ok(reading) => reading,
            Err(error) => return step_io::unread(&error),
        };
        let now = self.0.clock.now();
        let precheck = precheck(&reading, &addr, now);
        let horizon = context.task.horizon(Some(context.subtask)).filter(|until| *until > now);
        let force_stop = Statement::ForceStopServer { addr, zone: target.server.zone.clone() }.to_string();
        let forced = context.attempts().any(|intent| intent.intent.description == force_stop);
        match unanswered::next(&precheck, &step_io::consent(context), horizon.is_some(), forced) {
            NextStatement::SendAgain if attempts >= MOST_ATTEMPTS => {
                let message = format!(
                    "STOP SERVER was sent {attempts} times to {addr} without a known outcome, STOP_TIME is not set, and no check blocks it; look at the root service"
                );
                let failure = Failure::new(FailureKind::Unreachable, "OUTCOME_UNKNOWN", message);
                step_io::refuse_not_done(failure.with("address", addr).with("attempts", attempts))
            }
            NextStatement::SendAgain => {
                let evidence = forced.then(|| evidence(&precheck, CheckName::LogInSync));
                self.needed(context, target, reader, evidence).await
            }
            NextStatement::ForceStop(check) => {
                context
                    .log(format!("STOP SERVER had no answer, and only {} blocks it: {}", check.name, check.evidence));
                self.needed(context, target, reader, Some(check.evidence.clone())).await
            }
            NextStatement::Wait(checks) => {
                let until = horizon.unwrap_or(now);
                let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
                let message = format!(
                    "STOP SERVER had no answer, {} blocks it; waits until {until}, when it can no longer take effect",
                    names.join(", ")
                );
                // The wait has an end of its own: what passes of it is progress.
                let since = context.attempts().next_back().map_or(now, |intent| intent.at);
                let (done, total) = (now.since(since).as_secs(), until.since(since).as_secs());
                let count = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
                let progress = ProgressReport { message, done: count(done), total: count(total) };
                // Never as long as the wait without progress may last.
                let again_in =
                    self.0.timeouts.between_readings().min(self.0.timeouts.leader_wait / 2).min(until.since(now));
                Observation::Wait { progress, again_in }
            }
            NextStatement::Refused(first, others) => self.blocked(context, target, first, &others),
        }
    }

    /// The root service did not answer, and these checks tell why it would refuse.
    fn blocked(&self, context: &StepContext, target: &Target, first: &Check, others: &[&Check]) -> Observation {
        let addr = target.server.addr;
        let others: Vec<AssessedCheck> = others.iter().map(|check| AssessedCheck::from(*check)).collect();
        let failure = assess::refusal(&AssessedCheck::from(first), others.iter());
        if step_io::accepts(context, Risk::QuorumLoss) {
            return self.without_mark(context, target, &failure.message);
        }
        let message = format!("STOP SERVER of {addr} had no answer and no effect: {}", failure.message);
        step_io::refuse_not_done(Failure { message, ..failure }.with("address", addr))
    }

    /// The stop goes on although the root service does not mark the server: its caller accepted that.
    fn without_mark(&self, context: &StepContext, target: &Target, why: &str) -> Observation {
        let addr = target.server.addr;
        let overrides = vec![OverriddenCheck {
            check: "ROOT_SERVICE".to_owned(),
            evidence: format!("the root service refused to stop {addr}: {why}"),
            overridden_by: OverriddenBy::QuorumLoss,
            principal: context.task.spec.creator.clone(),
        }];
        let warning = format!("STOP_TIME of {addr} is not set, the root service refused it: {why}");
        let output = StepOutput {
            facts: vec![Fact::Server(target.server.id, ServerFact::StopTime(StopTimeState::Refused))],
            overrides,
            warnings: vec![("STOP_TIME_NOT_SET".to_owned(), warning)],
            outcomes: step_io::found_not_done(context, self.0.clock.now()),
        };
        Observation::Reached { already_so: false, output, writes: Vec::new() }
    }

    fn refused(&self, context: &StepContext, target: &Target, code: &str, message: &str) -> Observation {
        let addr = target.server.addr;
        if step_io::accepts(context, Risk::QuorumLoss) {
            return self.without_mark(context, target, &format!("{message} ({code})"));
        }
        let failure = Failure::new(
            FailureKind::Refused,
            "REFUSED_BY_ROOT_SERVICE",
            format!("the root service refused to stop {addr}: {message}; remove the cause and stop it again"),
        );
        // In the form in which the precheck predicts them.
        let words = format!("-{code}: {message}");
        let failure = failure.with("address", addr).with("ob_errno", format!("-{code}"));
        step_io::refuse_not_done(failure.with("root_service", words))
    }

    /// The statement is to be sent: FORCE STOP SERVER when this says how far the log is from being in sync.
    async fn needed(
        &self,
        context: &StepContext,
        target: &Target,
        reader: &mut dyn ClusterReader,
        log_not_in_sync: Option<String>,
    ) -> Observation {
        let deps = &self.0;
        let horizon = match step_io::bounded(deps, context, reader.horizon()).await {
            Ok(horizon) => horizon,
            Err(error) => return step_io::unread(&error),
        };
        let (addr, zone) = (target.server.addr, target.server.zone.clone());
        let statement = match log_not_in_sync {
            Some(_) => Statement::ForceStopServer { addr, zone },
            None => Statement::StopServer { addr, zone },
        };
        let prepared = match Prepared::open(deps, context, target, statement).await {
            Ok(prepared) => prepared,
            Err(look) => return *look,
        };
        let overrides = log_not_in_sync.map(|evidence| OverriddenCheck {
            check: CheckName::LogInSync.as_str().to_owned(),
            evidence,
            overridden_by: OverriddenBy::Force,
            principal: context.task.spec.creator.clone(),
        });
        let output = StepOutput { overrides: overrides.into_iter().collect(), ..StepOutput::default() };
        let intent = prepared.intent(deps, horizon);
        let effect = UntilMarked { deps: deps.clone(), target: target.clone(), prepared };
        Observation::Needed { intent, output, effect: Box::new(effect) }
    }
}

/// STOP SERVER, awaited no longer than until its mark is seen.
struct UntilMarked {
    deps: Deps,
    target: Target,
    prepared: Prepared,
}

#[async_trait]
impl PreparedEffect for UntilMarked {
    /// The statement answers only when the last leader has left (docs/oceanbase.md#waiting-for-leaders), which would be
    /// a silent wait: as soon as its mark is seen it has done what it was sent for, and the step waits with progress
    /// itself.
    async fn send(self: Box<Self>, permit: Permit) -> EffectOutcome {
        let Self { deps, target, prepared } = *self;
        tokio::select! {
            biased;
            outcome = Box::new(prepared).send(permit) => outcome,
            message = mark_seen(&deps, &target) => EffectOutcome::Done { message },
        }
    }
}

/// Returns once STOP_TIME is set.
async fn mark_seen(deps: &Deps, target: &Target) -> String {
    let addr = target.server.addr;
    loop {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        let read = async { step_io::reader(deps, target).await?.server(&addr).await };
        // What cannot be read is not seen: the statement's own answer is still awaited.
        let read = step_io::within(deps.timeouts.reading, &target.cluster.identity.name, read);
        let Ok(Some(row)) = read.await else { continue };
        if let Some(since) = row.stop_time {
            return format!("STOP_TIME of {addr} is set since {since}, leaders are still leaving");
        }
    }
}
