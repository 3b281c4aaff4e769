//! Start server: `ALTER SYSTEM START SERVER`, when the mark is set, then a look until the server serves and its replicas have
//! caught up, because only then may another zone be stopped.
//!
//! Repeating it is safe: START SERVER of a started server does nothing, and it is sent only while STOP_TIME is set. Undo: STOP
//! SERVER, when the mark was set before and this task cleared it.

use std::time::Duration;

use async_trait::async_trait;

use super::StopService;
use super::statement::Prepared;
use crate::domain::admission::{ServiceState, service_state};
use crate::domain::build_version::BuildVersion;
use crate::domain::catch_up::CatchUp;
use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind, IntentOutcome};
use crate::domain::facts::Moment;
use crate::domain::host::Finding;
use crate::domain::reading::ServerReading;
use crate::engine::{Observation, ProgressReport, Step, StepContext, TimeoutPolicy};
use crate::inventory::Target;
use crate::oceanbase::{ClusterReader, Statement};
use crate::operations::{Deps, step_io};

/// How often the statement is sent in one execution when its outcome stays unknown.
const MOST_ATTEMPTS: usize = 6;
/// Wait for a server that is to serve again, while nothing moves (docs/ocp-v2.md#start-ob-server).
pub(super) const TIMEOUT: Duration = Duration::from_secs(300);
/// Longest wait in all, while replicas catch up.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

pub struct StartService(pub Deps);

#[async_trait]
impl Step for StartService {
    async fn look(&self, context: &StepContext) -> Observation {
        bring_back(&self.0, context).await
    }

    /// A restart began with a server that served, and has nothing to undo here.
    async fn undo_look(&self, context: &StepContext) -> Observation {
        let was_marked = matches!(context.server_facts().stop_time_before, Some(Moment::At(_)));
        if !was_marked || context.effects().next().is_none() {
            return Observation::nothing_to_undo(context);
        }
        StopService(self.0.clone()).look(context).await
    }

    /// Asked when the task is retried: the server must serve.
    async fn still_holds(&self, context: &StepContext) -> Result<bool, Failure> {
        let target = step_io::target(&self.0, context).await?;
        let read = async { step_io::reader(&self.0, &target).await?.server(&target.server.addr).await };
        let row = step_io::bounded(&self.0, context, read).await;
        let row = row.map_err(|error| crate::operations::cluster_failure(&error))?;
        Ok(row.is_some_and(|row| service_state(&row) == ServiceState::Serving))
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

/// The look of a server that is to serve again.
pub(super) async fn bring_back(deps: &Deps, context: &StepContext) -> Observation {
    let target = match step_io::target(deps, context).await {
        Ok(target) => target,
        Err(failure) => return step_io::not_begun(failure),
    };
    let (mut reader, row) = match step_io::row(deps, context, &target).await {
        Ok(looked) => looked,
        Err(error) => return step_io::unread(&error),
    };
    let Some(row) = row else { return step_io::server_gone(&target) };
    match row.stop_time {
        Some(_) => marked(deps, context, &target, reader.as_mut(), &row).await,
        None => not_marked(deps, context, &target, reader.as_mut(), &row).await,
    }
}

/// STOP_TIME is set: was it set again, was START SERVER refused, or is it to be sent?
async fn marked(
    deps: &Deps,
    context: &StepContext,
    target: &Target,
    reader: &mut dyn ClusterReader,
    row: &ServerReading,
) -> Observation {
    let addr = target.server.addr;
    let outcomes: Vec<Option<IntentOutcome>> = context.attempts().map(|intent| intent.outcome).collect();
    if outcomes.contains(&Some(IntentOutcome::Done)) {
        let message = format!(
            "STOP_TIME of {addr} was cleared and is set again: somebody stopped the server; ask before starting it again"
        );
        let failure = Failure::new(FailureKind::Interfered, "STOP_TIME_SET_AGAIN", message);
        return step_io::refuse(failure.with("address", addr));
    }
    if let Some((code, words)) = &context.refused {
        let message = format!("the root service refused to start {addr}: {words}; remove the cause and try again");
        let failure = Failure::new(FailureKind::Refused, "REFUSED_BY_ROOT_SERVICE", message);
        let root_service = format!("-{code}: {words}");
        let failure = failure.with("address", addr).with("ob_errno", format!("-{code}"));
        return step_io::refuse_not_done(failure.with("root_service", root_service));
    }
    let unknown = outcomes.iter().filter(|outcome| matches!(outcome, None | Some(IntentOutcome::Unknown))).count();
    if unknown >= MOST_ATTEMPTS {
        let message = format!(
            "START SERVER was sent {unknown} times to {addr} without a known outcome, and STOP_TIME is still set; look at the root service"
        );
        let failure = Failure::new(FailureKind::Unreachable, "OUTCOME_UNKNOWN", message);
        return step_io::refuse_not_done(failure.with("address", addr).with("attempts", unknown));
    }
    // For a version that is not known the stricter rule is assumed.
    if !row.is_alive() && BuildVersion::parse(&row.build_version).is_none_or(BuildVersion::start_asks_the_server) {
        return dead(deps, target, row).await;
    }
    let horizon = async {
        // Another zone stopped meanwhile is no reason to keep this server out: its replicas are missed all the more.
        if let Some(stopped) = reader.other_zone_stopped(&target.server.zone).await? {
            context.log(format!("besides this server there is stopped: {stopped}"));
        }
        reader.horizon().await
    };
    let horizon = match step_io::bounded(deps, context, horizon).await {
        Ok(horizon) => horizon,
        Err(error) => return step_io::unread(&error),
    };
    let statement = Statement::StartServer { addr, zone: target.server.zone.clone() };
    match Prepared::open(deps, context, target, statement).await {
        Ok(prepared) => {
            let intent = prepared.intent(deps, horizon);
            Observation::Needed { intent, output: StepOutput::default(), effect: Box::new(prepared) }
        }
        Err(look) => *look,
    }
}

/// START SERVER would ask a server that does not answer, fail, and leave STOP_TIME set: it is not sent before the server lives.
async fn dead(deps: &Deps, target: &Target, row: &ServerReading) -> Observation {
    let addr = target.server.addr;
    if let Finding::Absent { evidence } = step_io::find(deps, target).await.finding {
        let message = format!(
            "START SERVER of {addr} was not sent, the root service would ask the server itself, and its process is gone: {evidence}; start the process first"
        );
        let failure = Failure::new(FailureKind::Interfered, "PROCESS_GONE", message);
        return step_io::refuse_not_done(failure.with("address", addr));
    }
    let message = format!("waits for {addr} to live (STATUS {}), START SERVER asks it", row.status);
    Observation::Wait { progress: ProgressReport::uncounted(message), again_in: deps.timeouts.poll }
}

/// STOP_TIME is not set: wait until the server serves, and a while until its replicas have caught up.
async fn not_marked(
    deps: &Deps,
    context: &StepContext,
    target: &Target,
    reader: &mut dyn ClusterReader,
    row: &ServerReading,
) -> Observation {
    let addr = target.server.addr;
    if context.attempts().any(|intent| intent.is_unresolved()) {
        return Observation::Happened { message: format!("STOP_TIME of {addr} is not set") };
    }
    let state = service_state(row);
    if state == ServiceState::Lost
        && let Finding::Absent { evidence } = step_io::find(deps, target).await.finding
    {
        let message = format!("{addr} cannot serve, its process is gone: {evidence}; read its log, then start it");
        return step_io::refuse(Failure::new(FailureKind::Interfered, "PROCESS_GONE", message).with("address", addr));
    }
    if state != ServiceState::Serving {
        let progress = ProgressReport::uncounted(format!("waits for {addr} to serve (STATUS {}, {state})", row.status));
        return Observation::Wait { progress, again_in: deps.timeouts.poll };
    }
    let log_streams = match step_io::bounded(deps, context, reader.log_streams()).await {
        Ok(log_streams) => log_streams,
        Err(error) => return step_io::unread(&error),
    };
    let catch_up = CatchUp::of(&log_streams, &addr);
    let mut output = StepOutput::default();
    if !catch_up.is_done() {
        let waited = context.waited();
        if waited < deps.timeouts.catch_up && !context.last_look {
            let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
            let (done, total) = (count(catch_up.in_sync), count(catch_up.total));
            let progress = ProgressReport { message: format!("{catch_up} on {addr}"), done, total };
            return Observation::Wait { progress, again_in: deps.timeouts.poll };
        }
        let message = format!("{addr} serves, and {catch_up}: stop no other zone before all have");
        output.warnings.push(("NOT_CAUGHT_UP".to_owned(), message));
    }
    context.log(format!("{addr} serves, {catch_up}"));
    Observation::Reached { already_so: !context.tried(), output, writes: Vec::new() }
}
