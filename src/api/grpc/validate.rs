//! Requests about servers and tasks, translated into the service's arguments with everything that is wrong collected.

use std::time::Duration;

use uuid::Uuid;

use crate::api::grpc::fields::{Fields, LONGEST_NAME, shortened};
use crate::api::grpc::page::{Listing, Paging};
use crate::domain::approval::PlanDigest;
use crate::domain::beginning::BeginRequest;
use crate::domain::clients::LONGEST_DRAIN;
use crate::domain::event::TaskState;
use crate::domain::ids::{ClusterId, Principal, Revision, Seq, ServerId, SubtaskId, TaskId, ZoneName};
use crate::domain::refusal::Refusal;
use crate::domain::status::{Risk, StopType};
use crate::proto::v1;
use crate::service::{
    ApproveTask, CancelTask, CompleteHold, FreezeServer, GetServer, GetTask, GiveUpTask, ListServers, ListTasks,
    OnServer, PauseRollout, PlanStopServer, PlanTask, RestartServer, ResumeRollout, RetryTask, RollbackTask,
    SkipSubtask, StartServer, StopServer, WithdrawApproval,
};
use crate::watch::{ReadLog, Until, WatchTask, WatchTasks};

/// Length of a digest.
const DIGEST: usize = 64;

pub fn stop_server(request: v1::StopServerRequest) -> Result<StopServer, Refusal> {
    let of = if request.hold_until.is_some() { Risk::OF_SERVER } else { Risk::OF_PART };
    stop_arguments(request, of)
}

/// `of`: risks that can be accepted.
fn stop_arguments(request: v1::StopServerRequest, of: &[Risk]) -> Result<StopServer, Refusal> {
    let mut fields = Fields::default();
    let cluster = fields.id("cluster_id", request.cluster_id, ClusterId::new);
    let server = fields.id("server_id", request.server_id, ServerId::new);
    let accepted_risks = risks(&mut fields, &request.accept_risks, of);
    let stop_type = stop_type(&mut fields, request.r#type);
    if request.freeze_before_stop && stop_type == StopType::Service {
        fields.wrong("freeze_before_stop", "needs a stop of the process, and type is STOP_TYPE_SERVICE: leave it out");
    }
    let hold_until = fields.moment("hold_until", request.hold_until);
    if hold_until.is_some() && stop_type == StopType::Service {
        fields.wrong("hold_until", "needs a stop of the process, and type is STOP_TYPE_SERVICE: leave it out");
    }
    let drain = drain(&mut fields, request.drain);
    if !drain.is_zero() && stop_type == StopType::Service {
        fields.wrong("drain", "needs a stop of the process, and type is STOP_TYPE_SERVICE: leave it out");
    }
    let request_id = request_id(&mut fields, &request.request_id);
    let expected_server = fields.optional("expected_server", &request.expected_server);
    let expire_time = fields.moment("expire_time", request.expire_time);
    let begin = begin(&mut fields, request.begin);
    let (Some(cluster), Some(server)) = (cluster, server) else { return Err(fields.refusal()) };
    let force = request.force;
    fields.finish(StopServer {
        cluster,
        server,
        force,
        accepted_risks,
        stop_type,
        freeze_before_stop: request.freeze_before_stop,
        hold_until,
        drain,
        request_id,
        repeat_by_arguments: false,
        expected_server,
        expire_time,
        begin,
    })
}

/// When it begins.
pub(super) fn begin(fields: &mut Fields, options: Option<v1::BeginOptions>) -> BeginRequest {
    let v1::BeginOptions { not_before, queue } = options.unwrap_or_default();
    BeginRequest { not_before: fields.moment("begin.not_before", not_before), queue }
}

/// The calls that ask for an operation by the server alone, and what each asks for.
macro_rules! on_server {
    ($($call:ident($request:ident) -> $asked:ident;)+) => {$(
        pub fn $call(request: v1::$request) -> Result<$asked, Refusal> {
            let v1::$request { cluster_id, server_id, request_id, expected_server, reason: _, begin } = request;
            on_server(cluster_id, server_id, &request_id, &expected_server, begin).map($asked)
        }
    )+};
}

on_server! {
    start_server(StartServerRequest) -> StartServer;
    freeze_server(FreezeServerRequest) -> FreezeServer;
}

fn on_server(
    cluster: i64,
    server: i64,
    request: &str,
    expected: &str,
    options: Option<v1::BeginOptions>,
) -> Result<OnServer, Refusal> {
    let mut fields = Fields::default();
    let begin = begin(&mut fields, options);
    let cluster = fields.id("cluster_id", cluster, ClusterId::new);
    let server = fields.id("server_id", server, ServerId::new);
    let request_id = request_id(&mut fields, request);
    let expected_server = fields.optional("expected_server", expected);
    let (Some(cluster), Some(server)) = (cluster, server) else { return Err(fields.refusal()) };
    fields.finish(OnServer { cluster, server, request_id, repeat_by_arguments: false, expected_server, begin })
}

/// RestartServer: asked as a stop of the process is.
pub fn restart_server(request: v1::RestartServerRequest) -> Result<RestartServer, Refusal> {
    let stop = stop_server(v1::StopServerRequest {
        cluster_id: request.cluster_id,
        server_id: request.server_id,
        request_id: request.request_id,
        expected_server: request.expected_server,
        reason: request.reason,
        expire_time: request.expire_time,
        force: request.force,
        accept_risks: request.accept_risks,
        freeze_before_stop: request.freeze_before_stop,
        drain: request.drain,
        r#type: v1::StopType::Process.into(),
        hold_until: None,
        begin: request.begin,
    });
    stop.map(RestartServer)
}

/// PlanStopServer: asked as the stop is, which may be one that holds.
pub fn plan_stop_server(request: v1::PlanStopServerRequest) -> Result<PlanStopServer, Refusal> {
    let asked = v1::StopServerRequest {
        cluster_id: request.cluster_id,
        server_id: request.server_id,
        r#type: request.r#type,
        force: request.force,
        accept_risks: request.accept_risks,
        freeze_before_stop: request.freeze_before_stop,
        ..v1::StopServerRequest::default()
    };
    let stop = stop_arguments(asked, Risk::OF_SERVER);
    let StopServer { cluster, server, force, accepted_risks, stop_type, freeze_before_stop, .. } = stop?;
    Ok(PlanStopServer { cluster, server, force, accepted_risks, stop_type, freeze_before_stop })
}

pub fn get_server(request: &v1::GetServerRequest) -> Result<GetServer, Refusal> {
    let mut fields = Fields::default();
    let cluster = fields.id("cluster_id", request.cluster_id, ClusterId::new);
    let server = fields.id("server_id", request.server_id, ServerId::new);
    let (Some(cluster), Some(server)) = (cluster, server) else { return Err(fields.refusal()) };
    fields.finish(GetServer { cluster, server })
}

/// ListServers; the limit is one more than the page.
pub fn list_servers(request: &v1::ListServersRequest) -> Result<(ListServers, Paging), Refusal> {
    let mut fields = Fields::default();
    let cluster = fields.id("cluster_id", request.cluster_id, ClusterId::new);
    let zone: Option<ZoneName> = fields.optional("zone", &request.zone);
    let size = fields.page_size(request.page_size, 100);
    let listing = Listing::new("servers", &[&request.cluster_id, &request.zone]);
    let above = listing.position(&mut fields, &request.page_token);
    let above = above.and_then(|above| fields.id("page_token", above, ServerId::new));
    let Some(cluster) = cluster else { return Err(fields.refusal()) };
    fields.finish((ListServers { cluster, zone, above, limit: size + 1 }, Paging { listing, size }))
}

pub fn get_task(request: &v1::GetTaskRequest) -> Result<GetTask, Refusal> {
    let mut fields = Fields::default();
    let task = fields.id("task_id", request.task_id, TaskId::new);
    task.map(GetTask).ok_or_else(|| fields.refusal())
}

/// ListTasks; the limit is one more than the page.
pub fn list_tasks(request: &v1::ListTasksRequest) -> Result<(ListTasks, Paging), Refusal> {
    let mut fields = Fields::default();
    let cluster = fields.optional_id("cluster_id", request.cluster_id, ClusterId::new);
    let server = fields.optional_id("server_id", request.server_id, ServerId::new);
    let mut states = Vec::new();
    let mut any = false;
    for (index, value) in request.states.iter().enumerate() {
        let known = fields.known(format!("states[{index}]"), *value);
        match known.map(task_state) {
            Some(Some(state)) => states.push(state),
            Some(None) => any = true,
            None => {}
        }
    }
    states.sort_unstable();
    states.dedup();
    if any {
        states.clear();
    }
    let creator = fields.text("creator", request.creator.clone(), LONGEST_NAME);
    let size = fields.page_size(request.page_size, 50);
    let listing = Listing::new("tasks", &[&request.cluster_id, &request.server_id, &states, &creator]);
    let below = listing.position(&mut fields, &request.page_token);
    let below = below.and_then(|below| fields.id("page_token", below, TaskId::new));
    let creator = (!creator.is_empty()).then(|| Principal::new(creator));
    fields.finish((ListTasks { cluster, server, states, creator, below, limit: size + 1 }, Paging { listing, size }))
}

pub fn watch_task(request: &v1::WatchTaskRequest) -> Result<WatchTask, Refusal> {
    let mut fields = Fields::default();
    let task = fields.id("task_id", request.task_id, TaskId::new);
    let after = request.after_revision.and_then(|after| fields.position("after_revision", after));
    let until = match fields.known("until", request.until) {
        Some(v1::WatchUntil::Closed) => Until::Closed,
        Some(v1::WatchUntil::Unspecified | v1::WatchUntil::AtRest) | None => Until::AtRest,
    };
    let Some(task) = task else { return Err(fields.refusal()) };
    fields.finish(WatchTask { task, after: after.map(Revision::new), until, progress: request.progress })
}

pub fn watch_tasks(request: &v1::WatchTasksRequest) -> Result<WatchTasks, Refusal> {
    let mut fields = Fields::default();
    let cluster = fields.optional_id("cluster_id", request.cluster_id, ClusterId::new);
    let after = request.after_seq.and_then(|after| fields.position("after_seq", after));
    fields.finish(WatchTasks { cluster, after: after.map(Seq::new), progress: request.progress })
}

pub fn get_subtask_log(request: &v1::GetSubtaskLogRequest) -> Result<ReadLog, Refusal> {
    let mut fields = Fields::default();
    let task = fields.id("task_id", request.task_id, TaskId::new);
    let subtask = fields.optional_id("subtask_id", request.subtask_id, SubtaskId::new);
    let from_line = fields.position("from_line", request.from_line).unwrap_or_default();
    let Some(task) = task else { return Err(fields.refusal()) };
    fields.finish(ReadLog { task, subtask, from_line, follow: request.follow })
}

pub fn retry_task(request: &v1::RetryTaskRequest) -> Result<RetryTask, Refusal> {
    let mut fields = Fields::default();
    let expire_time = fields.moment("expire_time", request.expire_time);
    let (task, if_revision) = verb(fields, request.task_id, request.if_revision)?;
    Ok(RetryTask { task, if_revision, expire_time })
}

pub fn rollback_task(request: &v1::RollbackTaskRequest) -> Result<RollbackTask, Refusal> {
    let mut fields = Fields::default();
    let expire_time = fields.moment("expire_time", request.expire_time);
    let (task, if_revision) = verb(fields, request.task_id, request.if_revision)?;
    Ok(RollbackTask { task, if_revision, expire_time })
}

pub fn skip_subtask(request: &v1::SkipSubtaskRequest) -> Result<SkipSubtask, Refusal> {
    let mut fields = Fields::default();
    let task = fields.id("task_id", request.task_id, TaskId::new);
    let subtask = fields.id("subtask_id", request.subtask_id, SubtaskId::new);
    let if_revision = if_revision(&mut fields, request.if_revision);
    let (Some(task), Some(subtask)) = (task, subtask) else { return Err(fields.refusal()) };
    fields.finish(SkipSubtask { task, subtask, if_revision })
}

/// The verbs that have no argument of their own.
macro_rules! of_task {
    ($($call:ident($request:ident) -> $asked:ident;)+) => {$(
        pub fn $call(request: &v1::$request) -> Result<$asked, Refusal> {
            let (task, if_revision) = verb(Fields::default(), request.task_id, request.if_revision)?;
            Ok($asked { task, if_revision })
        }
    )+};
}

of_task! {
    cancel_task(CancelTaskRequest) -> CancelTask;
    complete_hold(CompleteHoldRequest) -> CompleteHold;
    pause_rollout(PauseRolloutRequest) -> PauseRollout;
    resume_rollout(ResumeRolloutRequest) -> ResumeRollout;
    give_up_task(GiveUpTaskRequest) -> GiveUpTask;
    withdraw_approval(WithdrawApprovalRequest) -> WithdrawApproval;
}

pub fn approve_task(request: &v1::ApproveTaskRequest) -> Result<ApproveTask, Refusal> {
    let mut fields = Fields::default();
    let digest = fields.text("plan_digest", request.plan_digest.clone(), DIGEST);
    if digest.is_empty() {
        fields.wrong("plan_digest", "is missing; it is in the answer of PlanTask");
    }
    let (task, if_revision) = verb(fields, request.task_id, request.if_revision)?;
    Ok(ApproveTask { task, plan: PlanDigest::new(digest), if_revision })
}

pub fn plan_task(request: &v1::PlanTaskRequest) -> Result<PlanTask, Refusal> {
    let (task, _) = verb(Fields::default(), request.task_id, None)?;
    Ok(PlanTask(task))
}

fn verb(mut fields: Fields, task: i64, if_revision: Option<i64>) -> Result<(TaskId, Option<Revision>), Refusal> {
    let task = fields.id("task_id", task, TaskId::new);
    let if_revision = self::if_revision(&mut fields, if_revision);
    let Some(task) = task else { return Err(fields.refusal()) };
    fields.finish((task, if_revision))
}

fn if_revision(fields: &mut Fields, value: Option<i64>) -> Option<Revision> {
    let revision = fields.position("if_revision", value?)?;
    if revision == 0 {
        fields.wrong("if_revision", "0 is not the revision of a task, give 1 or more, or leave it out");
    }
    Some(Revision::new(revision))
}

/// Those that are accepted; `of`: those that can be for what is asked.
pub(super) fn risks(fields: &mut Fields, values: &[i32], of: &[Risk]) -> Vec<Risk> {
    let mut risks = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let field = format!("accept_risks[{index}]");
        let risk = match fields.known(field.clone(), *value) {
            Some(v1::Risk::QuorumLoss) => Risk::QuorumLoss,
            Some(v1::Risk::ClusterUnreachable) => Risk::ClusterUnreachable,
            Some(v1::Risk::PermanentOffline) => Risk::PermanentOffline,
            Some(v1::Risk::ServiceLoss) => Risk::ServiceLoss,
            Some(v1::Risk::Unspecified) => {
                fields.wrong(field, "RISK_UNSPECIFIED is not a risk, name the risks that are accepted");
                continue;
            }
            None => continue,
        };
        if !of.contains(&risk) {
            fields.wrong(field, format!("{risk} is no risk of this call, name only {}", Risk::names(of)));
        } else if risks.contains(&risk) {
            fields.wrong(field, format!("{risk} is named twice, name it once"));
        } else {
            risks.push(risk);
        }
    }
    risks.sort_unstable();
    risks
}

/// How long clients are waited for; absent: not at all.
pub(super) fn drain(fields: &mut Fields, value: Option<prost_types::Duration>) -> Duration {
    let Some(value) = value else { return Duration::ZERO };
    let drain = Duration::try_from(value).ok().filter(|drain| *drain <= LONGEST_DRAIN);
    drain.and_then(|drain| u64::try_from(drain.as_micros()).ok()).map(Duration::from_micros).unwrap_or_else(|| {
        fields.wrong("drain", format!("{value} is not possible, give 0s to {}s", LONGEST_DRAIN.as_secs()));
        Duration::ZERO
    })
}

fn stop_type(fields: &mut Fields, value: i32) -> StopType {
    match fields.known("type", value) {
        Some(v1::StopType::Service) => StopType::Service,
        Some(v1::StopType::Unspecified | v1::StopType::Process) | None => StopType::Process,
    }
}

pub(super) fn request_id(fields: &mut Fields, value: &str) -> Option<Uuid> {
    if value.is_empty() {
        return None;
    }
    // Hyphenated only: one id has one spelling.
    let parsed = (value.len() == 36).then(|| Uuid::parse_str(value).ok()).flatten().filter(|id| !id.is_nil());
    if parsed.is_none() {
        let value = shortened(value);
        fields.wrong(
            "request_id",
            format!("{value:?} is not a UUID, write one as 123e4567-e89b-42d3-a456-426614174000 or leave it empty"),
        );
    }
    parsed
}

const fn task_state(state: v1::TaskState) -> Option<TaskState> {
    match state {
        v1::TaskState::Unspecified => None,
        v1::TaskState::Pending => Some(TaskState::Pending),
        v1::TaskState::Running => Some(TaskState::Running),
        v1::TaskState::Canceling => Some(TaskState::Canceling),
        v1::TaskState::Failed => Some(TaskState::Failed),
        v1::TaskState::Cancelled => Some(TaskState::Cancelled),
        v1::TaskState::Successful => Some(TaskState::Successful),
        v1::TaskState::RolledBack => Some(TaskState::RolledBack),
        v1::TaskState::Refused => Some(TaskState::Refused),
        v1::TaskState::GivenUp => Some(TaskState::GivenUp),
    }
}
