//! Translates tasks, progress and failures to messages of `obsteward.v1`. Pure; events are in `encode_event.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::approval::{Approval, ApprovalEnd};
use crate::domain::beginning::Pending;
use crate::domain::blocker::Blocker;
use crate::domain::event::{
    Effect, Failure, FailureKind, OverriddenCheck, Phase, SubtaskOperation, SubtaskState, TaskOperation, TaskServer,
    TaskSpec, TaskState, Verb,
};
use crate::domain::facts::Context;
use crate::domain::graph::{SubtaskRole, TaskTarget};
use crate::domain::ids::{Principal, ServerId, ZoneName};
use crate::domain::reason::Reason;
use crate::domain::rollout::{Paused, Rollout, RolloutAction};
use crate::domain::status::{OverriddenBy, Risk, StopType};
use crate::domain::task::{Subtask, Task, Warning};
use crate::proto::rpc::ErrorInfo;
use crate::proto::v1;
use crate::store::{Progress, StoredTask};

/// Domain of every `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "obsteward";

pub fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let micros = at.as_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or_default();
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

pub fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// A task as committed, with the progress of its running subtasks.
pub fn task(stored: &StoredTask) -> v1::Task {
    let StoredTask { task, seq, progress: running } = stored;
    let mut message = of_task(task);
    message.seq = seq.get();
    if let Some(pending) = &mut message.pending
        && let Some(latest) = running.first()
    {
        (pending.waits_for, pending.next_look_time) = (latest.message.clone(), Some(timestamp(latest.deadline)));
    }
    for subtask in &mut message.subtasks {
        let runs = [v1::SubtaskState::Running, v1::SubtaskState::Canceling].contains(&subtask.state());
        let latest = running.iter().find(|latest| latest.subtask.get() == subtask.id);
        subtask.progress = latest.filter(|_| runs).map(progress);
    }
    message
}

/// Without the position in the global order, which the caller fills in.
pub(super) fn of_task(task: &Task) -> v1::Task {
    let spec = &task.spec;
    let mut subtasks: Vec<v1::Subtask> = task.subtasks.iter().map(|one| subtask(task, one)).collect();
    subtasks.sort_by_key(|subtask| subtask.id);
    v1::Task {
        id: spec.id.get(),
        name: spec.graph.operation.name.clone(),
        state: task_state(task.state).into(),
        operation: task_operation(task.operation).into(),
        cluster: Some(v1::TaskCluster {
            id: spec.cluster.id.get(),
            name: spec.cluster.name.clone(),
            ob_cluster_id: spec.cluster.ob_cluster_id,
        }),
        // `None` never happens: a task knows the server that it acts on.
        target: match &spec.target {
            TaskTarget::Server(id) => spec.server(*id).map(|server| v1::task::Target::Server(task_server(server))),
            TaskTarget::Zone(zone) => Some(v1::task::Target::Zone(task_zone(zone))),
            TaskTarget::Cluster => Some(v1::task::Target::WholeCluster(v1::WholeCluster {})),
        },
        creator: spec.creator.to_string(),
        reason: spec.reason.to_string(),
        create_time: Some(timestamp(task.create_time)),
        start_time: task.start_time.map(timestamp),
        finish_time: task.finish_time.map(timestamp),
        expire_time: Some(timestamp(task.expire_time)),
        revision: task.revision.get(),
        seq: 0,
        subtasks,
        context: context(task.context()),
        force: spec.force,
        accepted_risks: spec.accepted_risks.iter().map(|accepted| risk(*accepted).into()).collect(),
        overrides: task.overrides.iter().map(overridden).collect(),
        error: task.error.as_ref().map(failure),
        allowed_verbs: task.allowed_verbs().into_iter().map(|allowed| verb(allowed).into()).collect(),
        warnings: task.warnings.iter().map(warning).collect(),
        stop_type: spec.stop_type.map_or(v1::StopType::Unspecified, stop_type).into(),
        resting_since: task.resting_since.filter(|_| task.state.phase() == Phase::AtRest).map(timestamp),
        freeze_before_stop: spec.freeze_before_stop,
        drain: Some(spec.drain).filter(|drain| !drain.is_zero()).map(duration),
        held: task.held().filter_map(|(subtask, until)| held(spec, subtask, until)).collect(),
        rollout: spec.rollout.as_ref().and_then(|rollout| rollout_progress(task, rollout)),
        trace_id: spec.trace.map(|trace| trace.trace_id().to_string()).unwrap_or_default(),
        pending: spec.pending.as_ref().filter(|_| task.state.phase() == Phase::Pending).map(|it| pending(task, it)),
        approval: task.approval.as_ref().map(approval),
    }
}

/// What it waits for in words is not known to the task.
fn pending(task: &Task, pending: &Pending) -> v1::PendingTask {
    v1::PendingTask {
        not_before: pending.not_before.map(timestamp),
        approval_wanted: pending.approval,
        last_approval_end: task.approval_end.as_ref().map(|(by, why)| approval_end(by, *why, &Reason::default())),
        waits_for: String::new(),
        next_look_time: None,
    }
}

pub(super) fn approval(approval: &Approval) -> v1::TaskApproval {
    v1::TaskApproval {
        principal: approval.by.to_string(),
        plan_digest: approval.plan.to_string(),
        approve_time: Some(timestamp(approval.at)),
        expire_time: Some(timestamp(approval.expire_time)),
    }
}

pub(super) fn approval_end(by: &Principal, why: ApprovalEnd, reason: &Reason) -> v1::ApprovalEnd {
    let why = match why {
        ApprovalEnd::Withdrawn => v1::ApprovalEndReason::Withdrawn,
        ApprovalEnd::PlanChanged => v1::ApprovalEndReason::PlanChanged,
        ApprovalEnd::ApproverNotPermitted => v1::ApprovalEndReason::ApproverNotPermitted,
        ApprovalEnd::Expired => v1::ApprovalEndReason::Expired,
    };
    v1::ApprovalEnd { principal: by.to_string(), why: why.into(), reason: reason.to_string() }
}

fn held(spec: &TaskSpec, subtask: &Subtask, until: Timestamp) -> Option<v1::HeldServer> {
    let TaskTarget::Server(server) = subtask.spec.target else { return None };
    Some(v1::HeldServer {
        server: spec.server(server).map(task_server),
        since: subtask.started_at.map(timestamp),
        until: Some(timestamp(until)),
    })
}

fn rollout_progress(task: &Task, rollout: &Rollout) -> Option<v1::RolloutProgress> {
    let progress = task.rollout_progress()?;
    let (paused_since, paused_by) = match task.paused() {
        Some(Paused::By(request)) => (Some(request.at), request.by.to_string()),
        Some(Paused::Canary { since, .. }) => (Some(since), String::new()),
        None => (None, String::new()),
    };
    let count = |servers: usize| i32::try_from(servers).unwrap_or(i32::MAX);
    let server = |id: &ServerId| task.spec.server(*id).map(task_server);
    let batch = |batch: &Vec<ServerId>| v1::RolloutBatch { servers: batch.iter().filter_map(server).collect() };
    Some(v1::RolloutProgress {
        action: rollout_action(rollout.action).into(),
        servers_done: count(progress.servers_done),
        servers_passed_over: count(progress.servers_passed_over),
        servers_total: count(progress.servers_total),
        zone: progress.zone.map(|zone| zone.to_string()).unwrap_or_default(),
        estimated_finish_time: progress.estimated_finish.map(timestamp),
        paused_since: paused_since.map(timestamp),
        paused_by,
        batches: rollout.batches.iter().map(batch).collect(),
    })
}

const fn rollout_action(action: RolloutAction) -> v1::RolloutAction {
    match action {
        RolloutAction::Restart => v1::RolloutAction::Restart,
        RolloutAction::Hold => v1::RolloutAction::Hold,
    }
}

/// The values under their keys.
pub(super) fn context(context: Context) -> BTreeMap<String, String> {
    context.into_iter().map(|(fact, value)| (fact.as_str().to_owned(), value)).collect()
}

pub fn task_server(server: &TaskServer) -> v1::TaskServer {
    v1::TaskServer { id: server.id.get(), address: server.addr.to_string(), zone: server.zone.to_string() }
}

fn task_zone(zone: &ZoneName) -> v1::TaskZone {
    v1::TaskZone { name: zone.to_string() }
}

pub(super) fn warning(warning: &Warning) -> v1::TaskWarning {
    v1::TaskWarning { subtask_id: warning.subtask.get(), code: warning.code.clone(), text: warning.text.clone() }
}

fn subtask(task: &Task, subtask: &Subtask) -> v1::Subtask {
    let spec = &subtask.spec;
    let ended = match subtask.state {
        SubtaskState::Successful | SubtaskState::Failed => true,
        SubtaskState::Pending | SubtaskState::Ready | SubtaskState::Running | SubtaskState::Canceling => false,
    };
    v1::Subtask {
        id: spec.id.get(),
        name: spec.name.clone(),
        server: match &spec.target {
            TaskTarget::Server(id) => task.spec.server(*id).map(task_server),
            TaskTarget::Zone(_) | TaskTarget::Cluster => None,
        },
        zone: match &spec.target {
            TaskTarget::Zone(zone) => Some(task_zone(zone)),
            TaskTarget::Server(_) | TaskTarget::Cluster => None,
        },
        state: subtask_state(subtask.state).into(),
        operation: subtask_operation(subtask.operation).into(),
        upstreams: spec.upstreams.iter().map(|id| id.get()).collect(),
        downstreams: task.spec.graph.downstreams(spec.id).iter().map(|id| id.get()).collect(),
        run_time: subtask.run_time,
        timeout: Some(duration(spec.timeout)),
        start_time: subtask.started_at.map(timestamp),
        finish_time: subtask.finished_at.map(timestamp),
        effect: effect_of(subtask.effect, ended).into(),
        error: subtask.error.as_ref().map(failure),
        executor: subtask.executor.clone(),
        hold: spec.role == SubtaskRole::Hold,
        progress: None,
        allowed_verbs: task.allowed_for(subtask).into_iter().map(|allowed| verb(allowed).into()).collect(),
    }
}

pub fn progress(progress: &Progress) -> v1::SubtaskProgress {
    v1::SubtaskProgress {
        task_id: progress.task.get(),
        subtask_id: progress.subtask.get(),
        message: progress.message.clone(),
        // What cannot be counted has no total, and so no count.
        done: (progress.total > 0).then_some(progress.done),
        total: (progress.total > 0).then_some(progress.total),
        update_time: Some(timestamp(progress.at)),
        deadline: Some(timestamp(progress.deadline)),
        stalled_since: Some(timestamp(progress.stalled_since)),
        remaining: progress.remaining.map(duration),
        blockers: progress.blockers.named().iter().map(blocker).collect(),
        blocker_count: i32::try_from(progress.blockers.count()).unwrap_or(i32::MAX),
    }
}

fn blocker(blocker: &Blocker) -> v1::ProgressBlocker {
    v1::ProgressBlocker {
        tenant_id: blocker.tenant_id,
        tenant_name: blocker.tenant_name.clone(),
        log_stream_id: blocker.log_stream,
        server_address: blocker.server.map(|server| server.to_string()).unwrap_or_default(),
        reason: blocker.reason.clone(),
    }
}

/// A failure as `google.rpc.Status` with its `ErrorInfo`.
pub fn failure(failure: &Failure) -> tonic_types::Status {
    let info = ErrorInfo {
        reason: failure.reason.clone(),
        domain: ERROR_DOMAIN.to_owned(),
        metadata: failure.metadata.iter().cloned().collect(),
    };
    tonic_types::Status {
        code: failure_code(failure.kind).into(),
        message: failure.message.clone(),
        details: vec![info.into_any()],
    }
}

/// The gRPC code of a failed step.
pub const fn failure_code(kind: FailureKind) -> tonic::Code {
    match kind {
        FailureKind::Refused | FailureKind::Expired => tonic::Code::FailedPrecondition,
        FailureKind::TimedOut => tonic::Code::DeadlineExceeded,
        FailureKind::Unreachable => tonic::Code::Unavailable,
        FailureKind::Interfered | FailureKind::CrashLoop => tonic::Code::Aborted,
        FailureKind::Cancelled => tonic::Code::Cancelled,
        FailureKind::Internal => tonic::Code::Internal,
    }
}

pub(super) fn overridden(value: &OverriddenCheck) -> v1::Override {
    v1::Override {
        check: value.check.clone(),
        evidence: value.evidence.clone(),
        overridden_by: overridden_by(value.overridden_by).into(),
        principal: value.principal.to_string(),
    }
}

pub const fn task_state(state: TaskState) -> v1::TaskState {
    match state {
        TaskState::Pending => v1::TaskState::Pending,
        TaskState::Running => v1::TaskState::Running,
        TaskState::Canceling => v1::TaskState::Canceling,
        TaskState::Failed => v1::TaskState::Failed,
        TaskState::Cancelled => v1::TaskState::Cancelled,
        TaskState::Successful => v1::TaskState::Successful,
        TaskState::RolledBack => v1::TaskState::RolledBack,
        TaskState::Refused => v1::TaskState::Refused,
        TaskState::GivenUp => v1::TaskState::GivenUp,
    }
}

pub(super) const fn task_operation(operation: TaskOperation) -> v1::TaskOperation {
    match operation {
        TaskOperation::Execute => v1::TaskOperation::Execute,
        TaskOperation::Retry => v1::TaskOperation::Retry,
        TaskOperation::Rollback => v1::TaskOperation::Rollback,
        TaskOperation::Cancel => v1::TaskOperation::Cancel,
        TaskOperation::GiveUp => v1::TaskOperation::GiveUp,
    }
}

pub(super) const fn subtask_state(state: SubtaskState) -> v1::SubtaskState {
    match state {
        SubtaskState::Pending => v1::SubtaskState::Pending,
        SubtaskState::Ready => v1::SubtaskState::Ready,
        SubtaskState::Running => v1::SubtaskState::Running,
        SubtaskState::Canceling => v1::SubtaskState::Canceling,
        SubtaskState::Failed => v1::SubtaskState::Failed,
        SubtaskState::Successful => v1::SubtaskState::Successful,
    }
}

pub(super) const fn subtask_operation(operation: SubtaskOperation) -> v1::SubtaskOperation {
    match operation {
        SubtaskOperation::Execute => v1::SubtaskOperation::Execute,
        SubtaskOperation::Retry => v1::SubtaskOperation::Retry,
        SubtaskOperation::Rollback => v1::SubtaskOperation::Rollback,
        SubtaskOperation::Skip => v1::SubtaskOperation::Skip,
        SubtaskOperation::RollbackSkip => v1::SubtaskOperation::RollbackSkip,
        SubtaskOperation::Cancel => v1::SubtaskOperation::Cancel,
    }
}

/// The effect of a subtask is known, and shown, only once it has ended.
pub(super) const fn effect_of(effect: Effect, ended: bool) -> v1::Effect {
    match (ended, effect) {
        (false, Effect::None | Effect::Done | Effect::AlreadySo) => v1::Effect::Unspecified,
        (true, Effect::None) => v1::Effect::None,
        (true, Effect::Done) => v1::Effect::Done,
        (true, Effect::AlreadySo) => v1::Effect::AlreadySo,
    }
}

pub const fn overridden_by(by: OverriddenBy) -> v1::OverriddenBy {
    match by {
        OverriddenBy::Force => v1::OverriddenBy::Force,
        OverriddenBy::QuorumLoss => v1::OverriddenBy::QuorumLoss,
        OverriddenBy::ClusterUnreachable => v1::OverriddenBy::ClusterUnreachable,
        OverriddenBy::ForceAndQuorumLoss => v1::OverriddenBy::ForceAndQuorumLoss,
        OverriddenBy::ServiceLoss => v1::OverriddenBy::ServiceLoss,
    }
}

pub const fn risk(risk: Risk) -> v1::Risk {
    match risk {
        Risk::QuorumLoss => v1::Risk::QuorumLoss,
        Risk::ClusterUnreachable => v1::Risk::ClusterUnreachable,
        Risk::PermanentOffline => v1::Risk::PermanentOffline,
        Risk::ServiceLoss => v1::Risk::ServiceLoss,
    }
}

pub const fn verb(verb: Verb) -> v1::TaskVerb {
    match verb {
        Verb::Retry => v1::TaskVerb::Retry,
        Verb::Rollback => v1::TaskVerb::Rollback,
        Verb::SkipSubtask => v1::TaskVerb::SkipSubtask,
        Verb::Cancel => v1::TaskVerb::Cancel,
        Verb::GiveUp => v1::TaskVerb::GiveUp,
        Verb::CompleteHold => v1::TaskVerb::CompleteHold,
        Verb::Pause => v1::TaskVerb::Pause,
        Verb::Resume => v1::TaskVerb::Resume,
        Verb::Approve => v1::TaskVerb::Approve,
        Verb::WithdrawApproval => v1::TaskVerb::WithdrawApproval,
    }
}

pub(super) const fn stop_type(stop_type: StopType) -> v1::StopType {
    match stop_type {
        StopType::Process => v1::StopType::Process,
        StopType::Service => v1::StopType::Service,
    }
}
