//! Stop server, and Stop zone: `ALTER SYSTEM STOP SERVER` or `STOP ZONE` on an effect session, then, whatever the answer, a
//! look: is the mark set (STOP_TIME of the server, INACTIVE of the zone), are leaders left? Waits for none with the same count
//! that the root service waits for (docs/oceanbase.md#waiting-for-leaders).
//!
//! Repeating it is safe: the stop of what is stopped does nothing, and it is sent only while the mark is not set. Undo: START
//! SERVER or START ZONE, when this task set the mark.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use super::leaders::what_keeps_leaders;
use super::start_service;
use super::statement::{Prepared, UntilMarked};
use crate::domain::blocker::Blockers;
use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind, IntentOutcome, OverriddenCheck};
use crate::domain::facts::{Fact, ServerFact, StopTimeState, ZoneFact};
use crate::domain::gate::GateCode;
use crate::domain::ids::ServerAddr;
use crate::domain::precheck::unanswered::{self, NextStatement};
use crate::domain::precheck::{Check, CheckName, Precheck, precheck};
use crate::domain::reading::ServerReading;
use crate::domain::status::{OverriddenBy, Risk};
use crate::domain::stop_target::StopTarget;
use crate::engine::{Observation, ProgressReport, Step, StepContext, TimeoutPolicy};
use crate::inventory::Target;
use crate::oceanbase::{ClusterError, ClusterReader};
use crate::operations::assess::{self, AssessedCheck};
use crate::operations::definition::StepKind;
use crate::operations::server_or_zone::{Mark, ServerOrZone};
use crate::operations::{Deps, cluster_failure, step_io};

/// How often the statement is sent in one execution when its outcome stays unknown.
const MOST_ATTEMPTS: usize = 6;
/// Longest wait for leaders in all.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

pub struct StopService(pub Deps);

#[async_trait]
impl Step for StopService {
    async fn look(&self, context: &StepContext) -> Observation {
        let deps = &self.0;
        let subject = match ServerOrZone::of(deps, context).await {
            Ok(subject) => subject,
            Err(failure) => return step_io::not_begun(failure),
        };
        let (mut reader, seen) = match subject.look(deps, context).await {
            Ok(looked) => looked,
            Err(error) if step_io::goes_on_unread(context, &error) => {
                return unknown_cluster(context, &subject, &error);
            }
            Err(error) => return step_io::unread(&error),
        };
        match seen.mark {
            Mark::Set(how) => self.marked(context, &subject, reader.as_mut(), &seen.servers, how).await,
            Mark::NotSet => self.not_marked(context, &subject, reader.as_mut()).await,
            Mark::Gone => step_io::gone(&subject),
        }
    }

    /// Only when this task set the mark: START, and in service again.
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

    /// Asked when the task is retried: the mark must still be set.
    async fn still_holds(&self, context: &StepContext) -> Result<bool, Failure> {
        let started = [StepKind::StartService, StepKind::StartZone].map(|kind| step_io::has_begun(context, kind));
        if mark_refused(context) || started.contains(&true) {
            return Ok(true);
        }
        let subject = ServerOrZone::of(&self.0, context).await?;
        match subject.look(&self.0, context).await {
            // A cluster that answers again is stopped as any other.
            Ok((_, seen)) => Ok(matches!(seen.mark, Mark::Set(_))),
            Err(error) if step_io::goes_on_unread(context, &error) => Ok(true),
            Err(error) => Err(cluster_failure(&error)),
        }
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

/// Whether the task goes on although the root service refused the stop.
pub(super) fn mark_refused(context: &StepContext) -> bool {
    let zone = context.zone().map(|zone| context.task.facts.zone(zone));
    let known = [context.server_facts().stop_time, zone.and_then(|zone| zone.stop_time)];
    known.contains(&Some(StopTimeState::Refused))
}

/// The caller accepted that the cluster cannot be read: the service is not stopped, and the task says so.
fn unknown_cluster(context: &StepContext, subject: &ServerOrZone, error: &ClusterError) -> Observation {
    let stop = subject.stop_words();
    let what = if context.tried() {
        format!("whether {stop} took effect is not known")
    } else {
        format!("{stop} was not sent")
    };
    let message = format!("{what}, the cluster does not answer: {}", error.message);
    let output = StepOutput {
        warnings: vec![("SERVICE_NOT_STOPPED".to_owned(), message)],
        outcomes: step_io::not_known(context),
        ..StepOutput::default()
    };
    Observation::Reached { already_so: false, output, writes: Vec::new() }
}

fn leaders_left(context: &StepContext, subject: &ServerOrZone, leaders: i64) -> ProgressReport {
    let of = |target: &Target| context.task.facts.server(target.server.id).leaders_before.unwrap_or_default();
    let before: i64 = subject.targets().map(|target| i64::from(of(target))).sum();
    let total = before.max(leaders);
    let message = format!("{leaders} of {total} leaders still on {}", subject.place());
    ProgressReport::counted(message, total - leaders, total)
}

fn evidence(precheck: &Precheck, name: CheckName) -> String {
    precheck.check(name).map(|check| check.evidence.clone()).unwrap_or_default()
}

/// Outcomes of what this execution of the subtask tried, oldest first.
fn attempts_of_this_run(context: &StepContext) -> Vec<Option<IntentOutcome>> {
    context.attempts().map(|intent| intent.outcome).collect()
}

impl StopService {
    /// The mark is set: wait for the leaders.
    async fn marked(
        &self,
        context: &StepContext,
        subject: &ServerOrZone,
        reader: &mut dyn ClusterReader,
        servers: &[ServerReading],
        how: String,
    ) -> Observation {
        let stopped: BTreeSet<ServerAddr> = subject.addresses().into_iter().collect();
        let left = match step_io::bounded(&self.0, context, reader.leaders_left(&subject.addresses())).await {
            Ok(left) => left,
            Err(error) => return step_io::unread(&error),
        };
        let leaders = i64::try_from(left.len()).unwrap_or(i64::MAX);
        // Set after our statement counts as set by it: whoever clears it from here on means to start the server.
        let attempts = attempts_of_this_run(context);
        let known = attempts.contains(&Some(IntentOutcome::Done));
        let open = attempts.iter().any(|outcome| matches!(outcome, None | Some(IntentOutcome::Unknown)));
        if leaders > 0 && open && !known {
            return Observation::Happened { message: how };
        }
        if leaders == 0 {
            context.log(format!("{how}, no leader is left"));
            return Observation::Reached {
                already_so: !context.tried(),
                output: StepOutput::default(),
                writes: Vec::new(),
            };
        }
        if context.last_look && context.task.spec.force {
            return self.leaders_stay(context, subject, reader, leaders).await;
        }
        let (blockers, looks) = what_keeps_leaders(&self.0, context, reader, (servers, &stopped), &left).await;
        let progress = leaders_left(context, subject, leaders).held_by(blockers);
        Observation::Wait { progress, again_in: self.0.timeouts.poll * looks }
    }

    /// The wait is over and leaders stay: `force` goes on only if every log stream keeps a synced majority without the
    /// what is stopped (docs/ocp-v2.md#what-stop-and-force-mean).
    async fn leaders_stay(
        &self,
        context: &StepContext,
        subject: &ServerOrZone,
        reader: &mut dyn ClusterReader,
        leaders: i64,
    ) -> Observation {
        let reading = match step_io::bounded(&self.0, context, reader.gate_reading()).await {
            Ok(reading) => reading,
            Err(error) => return step_io::unread(&error),
        };
        let precheck = precheck(&reading, subject.what(), &self.0.store.home().await, self.0.clock.now());
        let evidence = format!("{leaders} leaders still on {} at the end of the wait", subject.place());
        let accepted = step_io::accepts(context, Risk::QuorumLoss);
        if !precheck.keeps_synced_majority() && !accepted {
            let message = format!(
                "{evidence}, and not every log stream keeps a synced majority without it; look at them and retry"
            );
            let failure = Failure::new(FailureKind::TimedOut, "LEADERS_LEFT", message);
            return step_io::refuse(subject.named(failure).with("leaders", leaders));
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

    /// The mark is not set: was it cleared, was it refused, or is the statement to be sent?
    async fn not_marked(
        &self,
        context: &StepContext,
        subject: &ServerOrZone,
        reader: &mut dyn ClusterReader,
    ) -> Observation {
        let outcomes = attempts_of_this_run(context);
        if outcomes.contains(&Some(IntentOutcome::Done)) {
            let message = format!(
                "{} was set and is not any more: somebody started it; ask before stopping it again (retry)",
                subject.mark_words()
            );
            let code = match subject.what() {
                StopTarget::Server(_) => GateCode::StopTimeCleared,
                StopTarget::Zone(_) => GateCode::ZoneStarted,
            };
            return step_io::refuse(subject.named(Failure::new(FailureKind::Interfered, code.as_str(), message)));
        }
        if let Some((code, message)) = &context.refused {
            return self.refused(context, subject, code, message);
        }
        let unknown = outcomes.iter().filter(|outcome| matches!(outcome, None | Some(IntentOutcome::Unknown))).count();
        match unknown {
            0 => self.needed(context, subject, reader, None).await,
            attempts => self.unanswered(context, subject, reader, attempts).await,
        }
    }

    /// The statement was not answered and its mark is not seen: a reading tells what the root service would refuse.
    async fn unanswered(
        &self,
        context: &StepContext,
        subject: &ServerOrZone,
        reader: &mut dyn ClusterReader,
        attempts: usize,
    ) -> Observation {
        let stop = subject.stop_words();
        let reading = match step_io::bounded(&self.0, context, reader.gate_reading()).await {
            Ok(reading) => reading,
            Err(error) => return step_io::unread(&error),
        };
        let (store, now) = (self.0.store.home().await, self.0.clock.now());
        let precheck = precheck(&reading, subject.what(), &store, now);
        let open = context.task.intents.iter().filter(|one| one.subtask == context.subtask && one.is_unresolved());
        let horizon = context.may_happen_until(open);
        let force_stop = subject.force_stop().to_string();
        let forced = context.attempts().any(|intent| intent.intent.description == force_stop);
        match unanswered::next(&precheck, &step_io::consent(context), horizon.is_some(), forced) {
            NextStatement::SendAgain if attempts >= MOST_ATTEMPTS => {
                let message = format!(
                    "{stop} was sent {attempts} times to {subject} without a known outcome, {} is not set, and no check blocks it; look at the root service",
                    subject.mark_words()
                );
                let failure = Failure::new(FailureKind::Unreachable, "OUTCOME_UNKNOWN", message);
                step_io::refuse_not_done(subject.named(failure).with("attempts", attempts))
            }
            NextStatement::SendAgain => {
                let evidence = forced.then(|| evidence(&precheck, CheckName::LogInSync));
                self.needed(context, subject, reader, evidence).await
            }
            NextStatement::ForceStop(check) => {
                context.log(format!("{stop} had no answer, and only {} blocks it: {}", check.name, check.evidence));
                self.needed(context, subject, reader, Some(check.evidence.clone())).await
            }
            NextStatement::Wait(checks) => {
                let until = horizon.unwrap_or(now);
                let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
                let message = format!(
                    "{stop} had no answer, {} blocks it; waits until {until}, when it can no longer take effect",
                    names.join(", ")
                );
                // The wait has an end of its own: what passes of it is progress.
                let since = context.attempts().next_back().map_or(now, |intent| intent.at);
                let (done, total) = (now.since(since).as_secs(), until.since(since).as_secs());
                let count = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
                let mut blockers = Blockers::default();
                checks.iter().for_each(|check| blockers.append(&check.blockers));
                let progress = ProgressReport::counted(message, count(done), count(total)).held_by(blockers);
                // Never as long as the wait without progress may last.
                let again_in =
                    self.0.timeouts.between_readings().min(self.0.timeouts.leader_wait / 2).min(until.since(now));
                Observation::Wait { progress, again_in }
            }
            NextStatement::Refused(first, others) => self.blocked(context, subject, first, &others),
        }
    }

    /// The root service did not answer, and these checks tell why it would refuse.
    fn blocked(&self, context: &StepContext, subject: &ServerOrZone, first: &Check, others: &[&Check]) -> Observation {
        let others: Vec<AssessedCheck> = others.iter().map(|check| AssessedCheck::from(*check)).collect();
        let failure = assess::refusal(&AssessedCheck::from(first), others.iter());
        if step_io::accepts(context, Risk::QuorumLoss) {
            return self.without_mark(context, subject, &failure.message);
        }
        let stop = subject.stop_words();
        let message = format!("{stop} of {subject} had no answer and no effect: {}", failure.message);
        step_io::refuse_not_done(subject.named(Failure { message, ..failure }))
    }

    /// The stop goes on although the root service does not set the mark: its caller accepted that.
    fn without_mark(&self, context: &StepContext, subject: &ServerOrZone, why: &str) -> Observation {
        let overrides = vec![OverriddenCheck {
            check: "ROOT_SERVICE".to_owned(),
            evidence: format!("the root service refused to stop {subject}: {why}"),
            overridden_by: OverriddenBy::QuorumLoss,
            principal: context.task.spec.creator.clone(),
        }];
        let warning = format!("{} is not set, the root service refused it: {why}", subject.mark_words());
        let fact = match context.server() {
            Some(server) => Fact::Server(server.id, ServerFact::StopTime(StopTimeState::Refused)),
            None => Fact::Zone(subject.zone().clone(), ZoneFact::StopTime(StopTimeState::Refused)),
        };
        let output = StepOutput {
            facts: vec![fact],
            overrides,
            warnings: vec![("STOP_TIME_NOT_SET".to_owned(), warning)],
            outcomes: step_io::found_not_done(context),
        };
        Observation::Reached { already_so: false, output, writes: Vec::new() }
    }

    fn refused(&self, context: &StepContext, subject: &ServerOrZone, code: &str, message: &str) -> Observation {
        if step_io::accepts(context, Risk::QuorumLoss) {
            return self.without_mark(context, subject, &format!("{message} ({code})"));
        }
        let failure = Failure::new(
            FailureKind::Refused,
            "REFUSED_BY_ROOT_SERVICE",
            format!("the root service refused to stop {subject}: {message}; remove the cause and stop it again"),
        );
        // In the form in which the precheck predicts them.
        let words = format!("-{code}: {message}");
        let failure = subject.named(failure).with("ob_errno", format!("-{code}"));
        step_io::refuse_not_done(failure.with("root_service", words))
    }

    /// The statement is to be sent: FORCE STOP when this says how far the log is from being in sync.
    async fn needed(
        &self,
        context: &StepContext,
        subject: &ServerOrZone,
        reader: &mut dyn ClusterReader,
        log_not_in_sync: Option<String>,
    ) -> Observation {
        let deps = &self.0;
        let horizon = match step_io::bounded(deps, context, reader.horizon()).await {
            Ok(horizon) => horizon,
            Err(error) => return step_io::unread(&error),
        };
        let statement = match log_not_in_sync {
            Some(_) => subject.force_stop(),
            None => subject.stop(),
        };
        let prepared = match Prepared::open(deps, context, subject, statement).await {
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
        let effect = UntilMarked { deps: deps.clone(), subject: subject.clone(), prepared };
        Observation::Needed { intent, output, effect: Box::new(effect) }
    }
}
