//! Start server, and Start zone: `ALTER SYSTEM START SERVER` or `START ZONE`, when the mark is set, then a look until what was
//! stopped serves and its replicas have caught up, because only then may another zone be stopped.
//!
//! Repeating it is safe: the start of what is started does nothing, and it is sent only while the mark is set. Undo: STOP SERVER
//! or STOP ZONE, when the mark was set before and this task cleared it.

use std::time::Duration;

use async_trait::async_trait;

use super::StopService;
use super::statement::Prepared;
use crate::domain::admission::{ServiceState, service_state};
use crate::domain::attempt::RecordedIntent;
use crate::domain::blocker::Blocker;
use crate::domain::build_version::BuildVersion;
use crate::domain::catch_up::CatchUp;
use crate::domain::decide::StepOutput;
use crate::domain::event::{Direction, Failure, FailureKind, IntentOutcome};
use crate::domain::facts::{Moment, ProcessBefore};
use crate::domain::host::Finding;
use crate::domain::reading::ServerReading;
use crate::domain::status::ZoneInnerStatus;
use crate::domain::stop_target::StopTarget;
use crate::engine::{Observation, ProgressReport, Step, StepContext, TimeoutPolicy, Unresolved};
use crate::inventory::Target;
use crate::oceanbase::ClusterReader;
use crate::operations::definition::StepKind;
use crate::operations::server_or_zone::{Mark, Seen, ServerOrZone};
use crate::operations::{Deps, step_io};

/// How often the statement is sent in one execution when its outcome stays unknown.
const MOST_ATTEMPTS: usize = 6;
/// Wait for a server that is to serve again, while nothing moves (docs/ocp-v2.md#start-ob-server).
pub(super) const TIMEOUT: Duration = Duration::from_secs(300);
/// Between two looks while a stop may come late.
const LOOK: Duration = Duration::from_secs(1);
/// How far the clock of the root service, which dates the mark, may be from ours.
const CLOCKS_APART: Duration = Duration::from_secs(5);
/// Longest wait in all, while replicas catch up.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

pub struct StartService(pub Deps);

#[async_trait]
impl Step for StartService {
    async fn look(&self, context: &StepContext) -> Observation {
        bring_back(&self.0, context).await
    }

    /// A restart began with a server or a zone that served, and has nothing to undo here.
    async fn undo_look(&self, context: &StepContext) -> Observation {
        let zone = context.zone().map(|zone| context.task.facts.zone(zone));
        let was_marked = match context.server() {
            Some(_) => matches!(context.server_facts().stop_time_before, Some(Moment::At(_))),
            None => zone.is_some_and(|zone| zone.status_before == Some(ZoneInnerStatus::Inactive)),
        };
        if !was_marked || context.effects().next().is_none() {
            return Observation::nothing_to_undo(context);
        }
        StopService(self.0.clone()).look(context).await
    }

    /// Asked when the task is retried: the server must serve, the zone be ACTIVE.
    async fn still_holds(&self, context: &StepContext) -> Result<bool, Failure> {
        let subject = ServerOrZone::of(&self.0, context).await?;
        let seen = subject.look(&self.0, context).await;
        let (_, seen) = seen.map_err(|error| crate::operations::cluster_failure(&error))?;
        Ok(match subject.what() {
            StopTarget::Server(addr) => {
                let row = seen.servers.iter().find(|row| row.addr == *addr);
                row.is_some_and(|row| service_state(row) == ServiceState::Serving)
            }
            StopTarget::Zone(_) => matches!(seen.mark, Mark::NotSet),
        })
    }

    fn timeout_policy(&self) -> TimeoutPolicy {
        TimeoutPolicy::WithoutProgress { at_most: LONGEST_WAIT }
    }

    /// It waits for leaders, as a stop does.
    fn undo_timeout(&self, _timeout: Duration) -> Duration {
        self.0.timeouts.leader_wait
    }

    /// After the root service moved, or a session was lost, reads are repeated for as long as the cluster may need for
    /// an election.
    fn read_failure_timeout(&self) -> Duration {
        Duration::from_secs(120)
    }
}

/// The look of a server or a zone that is to serve again.
pub(super) async fn bring_back(deps: &Deps, context: &StepContext) -> Observation {
    let subject = match ServerOrZone::of(deps, context).await {
        Ok(subject) => subject,
        Err(failure) => return step_io::not_begun(failure),
    };
    let (mut reader, Seen { mark, servers }) = match subject.look(deps, context).await {
        Ok(looked) => looked,
        Err(error) => return step_io::unread(&error),
    };
    match mark {
        Mark::Set(_) => marked(deps, context, &subject, reader.as_mut(), &servers).await,
        Mark::NotSet => not_marked(deps, context, &subject, reader.as_mut(), &servers).await,
        Mark::Gone => step_io::gone(&subject),
    }
}

/// The mark is set: was it set again, was the start refused, or is it to be sent?
async fn marked(
    deps: &Deps,
    context: &StepContext,
    subject: &ServerOrZone,
    reader: &mut dyn ClusterReader,
    servers: &[ServerReading],
) -> Observation {
    let set_again = set_again(context, subject, servers);
    let not_done = |failure| Observation::Refuse {
        failure,
        output: StepOutput { outcomes: set_again.clone(), ..StepOutput::default() },
        unresolved: Unresolved::NotDone,
    };
    let outcomes: Vec<Option<IntentOutcome>> = context.attempts().map(|intent| intent.outcome).collect();
    if outcomes.contains(&Some(IntentOutcome::Done)) {
        let message = format!(
            "{} was cleared and is set again: somebody stopped it; ask before starting it again",
            subject.mark_words()
        );
        let code = match subject.what() {
            StopTarget::Server(_) => "STOP_TIME_SET_AGAIN",
            StopTarget::Zone(_) => "ZONE_STOPPED_AGAIN",
        };
        return step_io::refuse(subject.named(Failure::new(FailureKind::Interfered, code, message)));
    }
    if let Some((code, words)) = &context.refused {
        let message = format!("the root service refused to start {subject}: {words}; remove the cause and try again");
        let failure = Failure::new(FailureKind::Refused, "REFUSED_BY_ROOT_SERVICE", message);
        let root_service = format!("-{code}: {words}");
        let failure = subject.named(failure).with("ob_errno", format!("-{code}"));
        return not_done(failure.with("root_service", root_service));
    }
    let unknown = outcomes.iter().filter(|outcome| matches!(outcome, None | Some(IntentOutcome::Unknown))).count();
    if unknown >= MOST_ATTEMPTS {
        let message = format!(
            "{} was sent {unknown} times to {subject} without a known outcome, and {} is still set; look at the root service",
            subject.start_words(),
            subject.mark_words()
        );
        let failure = Failure::new(FailureKind::Unreachable, "OUTCOME_UNKNOWN", message);
        return not_done(subject.named(failure).with("attempts", unknown));
    }
    if let Some(wait) = late_stop(context, subject) {
        return wait;
    }
    // For a version that is not known the stricter rule is assumed.
    let asks =
        |row: &ServerReading| BuildVersion::parse(&row.build_version).is_none_or(BuildVersion::start_asks_the_server);
    if let StopTarget::Server(addr) = subject.what()
        && let Some(row) = servers.iter().find(|row| row.addr == *addr && !row.is_alive() && asks(row))
    {
        return dead(deps, subject.way(), row).await;
    }
    let horizon = async {
        // Another zone stopped meanwhile is no reason to keep this one out: its replicas are missed all the more.
        if let Some(stopped) = reader.other_zone_stopped(subject.zone()).await? {
            context.log(format!("besides {subject} there is stopped: {stopped}"));
        }
        reader.horizon().await
    };
    let horizon = match step_io::bounded(deps, context, horizon).await {
        Ok(horizon) => horizon,
        Err(error) => return step_io::unread(&error),
    };
    match Prepared::open(deps, context, subject, subject.start()).await {
        Ok(prepared) => {
            let intent = prepared.intent(deps, horizon);
            let output = StepOutput { outcomes: set_again, ..StepOutput::default() };
            Observation::Needed { intent, output, effect: Box::new(prepared) }
        }
        Err(look) => *look,
    }
}

/// The statements of which a mark that is set does not tell that they did nothing: it may have been set again since, by a stop
/// that came late. Only a mark that was set before one was sent is the one that it should have cleared.
fn set_again(context: &StepContext, subject: &ServerOrZone, servers: &[ServerReading]) -> Vec<(i32, IntentOutcome)> {
    let set_at = match subject.what() {
        StopTarget::Server(addr) => servers.iter().find(|row| row.addr == *addr).and_then(|row| row.stop_time),
        StopTarget::Zone(_) => None,
    };
    let open = context.task.attempts(context.subtask).filter(|intent| intent.is_unresolved());
    let in_doubt = open.filter(|intent| set_at.is_none_or(|at| at.plus(CLOCKS_APART) >= intent.at));
    in_doubt.map(|intent| (intent.number, IntentOutcome::Unknown)).collect()
}

/// Of the stops that this task sent, the one that set the mark is not known where there are several, or where the only one was not
/// answered: somebody else may have set it. One that comes behind the start sets it once more: the start waits until none can.
fn late_stop(context: &StepContext, subject: &ServerOrZone) -> Option<Observation> {
    let (task, target) = (&context.task, &context.this()?.spec.target);
    let kinds = [StepKind::StopService, StepKind::StopZone].map(StepKind::as_str);
    let of_it = task.subtasks.iter().map(|subtask| &subtask.spec);
    let of_it = of_it.filter(|spec| spec.target == *target && kinds.contains(&spec.kind.as_str()));
    let stops: Vec<&RecordedIntent> = of_it.flat_map(|spec| task.effects(spec.id)).collect();
    let until = context.may_happen_until(stops.iter().copied())?;
    let sent = match stops.len() {
        0 => return None,
        1 => "once, without an answer,".to_owned(),
        more => format!("{more} times"),
    };
    (stops.len() > 1 || stops.iter().any(|stop| stop.unanswered)).then(|| {
        let message = format!(
            "{} was sent {sent} to {subject}, and may take effect until {until}; {} comes behind that",
            subject.stop_words(),
            subject.start_words()
        );
        let again_in = until.since(context.clock.now()).min(LOOK);
        Observation::Wait { progress: ProgressReport::uncounted(message), again_in }
    })
}

/// START SERVER would ask a server that does not answer, fail, and leave STOP_TIME set: it is not sent before the server lives.
async fn dead(deps: &Deps, target: &Target, row: &ServerReading) -> Observation {
    let addr = target.server.addr;
    if let Finding::Absent { evidence } = step_io::find(deps, target).await.finding {
        let message = format!(
            "START SERVER of {addr} was not sent, the root service would ask the server itself, and its process is gone: {evidence}; start the process first"
        );
        let failure = Failure::new(FailureKind::Interfered, "PROCESS_GONE", message);
        return step_io::refuse(failure.with("address", addr));
    }
    let message = format!("waits for {addr} to live (STATUS {}), START SERVER asks it", row.status);
    let held = Blocker::server(addr, format!("is not alive (STATUS {})", row.status));
    Observation::Wait { progress: ProgressReport::uncounted(message).held_by(held), again_in: deps.timeouts.poll }
}

/// The mark is not set: wait until it serves, and a while until its replicas have caught up.
async fn not_marked(
    deps: &Deps,
    context: &StepContext,
    subject: &ServerOrZone,
    reader: &mut dyn ClusterReader,
    servers: &[ServerReading],
) -> Observation {
    if context.attempts().any(|intent| intent.is_unresolved()) {
        return Observation::Happened { message: format!("{} is not set", subject.mark_words()) };
    }
    let mut serving = Vec::new();
    for target in subject.targets() {
        let addr = target.server.addr;
        let Some(row) = servers.iter().find(|row| row.addr == addr) else { return step_io::server_gone(target) };
        let of_zone = matches!(subject.what(), StopTarget::Zone(_));
        if of_zone && row.stop_time.is_some() {
            context.log(format!("{addr} stays stopped on its own: its STOP_TIME is set"));
            continue;
        }
        // An undo brings back what the task has ended.
        let before = &context.task.facts.server(target.server.id).process_before;
        let was_not_seen = matches!(before, Some(ProcessBefore::NotSeen(_)));
        if of_zone && context.task.direction == Direction::Back && was_not_seen {
            context.log(format!("{addr} had no process before, and is not waited for"));
            continue;
        }
        if let Some(look) = does_not_serve(deps, target, row).await {
            return look;
        }
        serving.push(addr);
    }
    let log_streams = match step_io::bounded(deps, context, reader.log_streams()).await {
        Ok(log_streams) => log_streams,
        Err(error) => return step_io::unread(&error),
    };
    let mut output = StepOutput::default();
    for addr in serving {
        let catch_up = CatchUp::of(&log_streams, &addr);
        if !catch_up.is_done() {
            if context.waited() < deps.timeouts.catch_up && !context.last_look {
                let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
                let (done, total) = (count(catch_up.in_sync), count(catch_up.total));
                let progress = ProgressReport::counted(format!("{catch_up} on {addr}"), done, total);
                let blockers = step_io::name_tenants(deps, context, reader, catch_up.behind).await;
                let progress = progress.held_by(blockers);
                return Observation::Wait { progress, again_in: deps.timeouts.poll };
            }
            let message = format!("{addr} serves, and {catch_up}: stop no other zone before all have");
            output.warnings.push(("NOT_CAUGHT_UP".to_owned(), message));
        }
        context.log(format!("{addr} serves, {catch_up}"));
    }
    Observation::Reached { already_so: !context.tried(), output, writes: Vec::new() }
}

/// What keeps a server from serving; `None`: it serves.
async fn does_not_serve(deps: &Deps, target: &Target, row: &ServerReading) -> Option<Observation> {
    let (addr, state) = (target.server.addr, service_state(row));
    if state == ServiceState::Lost
        && let Finding::Absent { evidence } = step_io::find(deps, target).await.finding
    {
        let message = format!("{addr} cannot serve, its process is gone: {evidence}; read its log, then start it");
        let failure = Failure::new(FailureKind::Interfered, "PROCESS_GONE", message).with("address", addr);
        return Some(step_io::refuse(failure));
    }
    (state != ServiceState::Serving).then(|| {
        let held = Blocker::server(addr, format!("does not serve (STATUS {}, {state})", row.status));
        let message = format!("waits for {addr} to serve (STATUS {}, {state})", row.status);
        let progress = ProgressReport::uncounted(message).held_by(held);
        Observation::Wait { progress, again_in: deps.timeouts.poll }
    })
}
