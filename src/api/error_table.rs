//! The one table of refusals, for both faces. A row: the refusal (where it has several sentences, one row for each), its gRPC code,
//! HTTP status and code of OCP, English, Chinese, every value that the words name, what it is about, and when to ask again if
//! that may help. Words are templates over the values, so no value can be in a message and not in the metadata.

use std::time::Duration;

pub use crate::api::error_row::{About, OcpCode, Retry, Row};
use crate::api::error_row::{condition, field, rows, shown};
use crate::clock::Timestamp;
use crate::domain::change_freeze::{ChangeFreeze, FreezeScope};
use crate::domain::event::{Phase, TaskState, Verb};
use crate::domain::ids::{SubtaskId, TaskId};
use crate::domain::maintenance::Closed;
use crate::domain::refusal::{AuthFailure, FieldViolation, LockHolder, NoUse, Refusal, SkipRefusal, Violations};

/// The row of a refusal.
pub fn row(refusal: &Refusal) -> Row {
    use About::{Condition, Fields, Resource, Values};
    rows! { refusal;
    // What is asked for.
    InvalidArgument(wrong) => InvalidArgument, 400, 1001, "COM10001";
        "the request is not valid in {count} field(s) ({fields}); {first}",
        "请求中有 {count} 个参数为空或非法（{fields}）；{first}";
        count: wrong.shown.len() + wrong.omitted, fields: names(wrong), first: first(wrong);
        Fields(wrong.shown.clone());
    RequestIdReused { request_id, task } => InvalidArgument, 400, 1003, "COM10003";
        "request_id {request_id} belongs to task {task_id}, which was asked for with other arguments; use a new UUID",
        "request_id {request_id} 已用于参数不同的任务 {task_id}，请使用新的 UUID";
        request_id: request_id, task_id: task;
        field("request_id", "belongs to a request with other arguments, use a new UUID");
    ExpireTimePassed { expire_time, now } => InvalidArgument, 400, 1001, "COM10001";
        "expire_time {expire_time} has passed, it is {now}; give a later one or none",
        "expire_time {expire_time} 已过期（当前时间 {now}），请指定更晚的时间或不指定";
        expire_time: expire_time, now: now;
        field("expire_time", "has passed, give a later one or none");
    RevisionAhead { task, asked, head } => OutOfRange, 400, 1003, "COM10003";
        "revision {after_revision} of task {task_id} is beyond its last, {head}; the store was restored: watch without after_revision",
        "任务 {task_id} 的版本 {after_revision} 超过最新版本 {head}，存储可能已被恢复，请重新获取快照";
        task_id: task, after_revision: asked, head: head;
        field("after_revision", "is beyond the last, watch without it");
    SeqAhead { asked, head } => OutOfRange, 400, 1003, "COM10003";
        "position {after_seq} is beyond the last, {head}; the store was restored: watch without after_seq",
        "位置 {after_seq} 超过最新位置 {head}，存储可能已被恢复，请重新获取快照";
        after_seq: asked, head: head;
        field("after_seq", "is beyond the last, watch without it");

    // Clusters and servers.
    ClusterNotFound { cluster } => NotFound, 404, 11001, "OBE11001";
        "cluster {cluster} is not registered; see ListClusters",
        "指定的集群 {cluster} 不存在，请通过集群列表确认";
        cluster: cluster;
        Resource("obsteward.v1.Cluster", cluster.clone());
    ServerNotFound { cluster, server } => NotFound, 404, 13001, "OBE19001";
        "server {server_id} is not in cluster {cluster_id}; see ListServers, or SyncCluster when it is new",
        "集群 {cluster_id} 中未找到 ID 为 {server_id} 的 OBServer，请查看服务器列表或先同步集群";
        cluster_id: cluster, server_id: server;
        Resource("obsteward.v1.ObServer", server.to_string());
    ZoneNotFound { cluster, zone } => NotFound, 404, 12002, "OBE18002";
        "zone {zone} is not in cluster {cluster_id}; see the zones of GetCluster, or SyncCluster when it is new",
        "集群 {cluster_id} 中未找到 Zone {zone}，请查看集群的 Zone 列表或先同步集群";
        cluster_id: cluster, zone: zone;
        Resource("obsteward.v1.Zone", zone.to_string());
    ServerStateNotAdmitted { server, addr, service, process, expected, remedy } => FailedPrecondition, 409, 13003, "OBE19003";
        "server {server_id} at {address} has service {service_state} and process {process_state}, expected {expected}; {remedy}",
        "OBServer {server_id}（{address}）当前服务状态为 {service_state}，进程状态为 {process_state}，不支持该操作，期望状态：{expected}；处理建议：{remedy}";
        server_id: server, address: addr, service_state: service, process_state: process, expected: expected, remedy: remedy;
        condition("SERVER_STATE", "servers", server);
    ZoneStateNotAdmitted { cluster, zone, status, expected } => FailedPrecondition, 409, 12004, "OBE18004";
        "zone {zone} of cluster {cluster_id} is {status}, expected {expected}; look at its servers with ListServers",
        "集群 {cluster_id} 的 Zone {zone} 当前状态为 {status}，不支持该操作，期望状态：{expected}；请查看该 Zone 的 OBServer";
        cluster_id: cluster, zone: zone, status: status, expected: expected;
        condition("ZONE_STATE", "zones", zone);
    ClusterStateNotAdmitted { cluster, name, found, expected } => FailedPrecondition, 409, 11007, "OBE11007";
        "cluster {name} ({cluster_id}): {found}, expected {expected}; look at its servers with GetServer",
        "集群 {name}（{cluster_id}）当前状态为 {found}，不支持该操作，期望状态：{expected}；请查看集群的 OBServer";
        cluster_id: cluster, name: name, found: found, expected: expected;
        condition("CLUSTER_STATE", "clusters", cluster);
    ServiceLossNotAccepted { cluster } => FailedPrecondition, 409, 1003, "COM10003";
        "stopping or restarting cluster {cluster_id} ends service for every tenant and every client of it: accept the risk {risk} by name if that is meant",
        "停止或重启集群 {cluster_id} 会使该集群的所有租户和客户端中断服务，如确认需要，请显式接受风险 {risk}";
        cluster_id: cluster, risk: "SERVICE_LOSS";
        condition("ACCEPTED_RISKS", "clusters", cluster);
    ExpectedClusterMismatch { cluster, expected, actual } => FailedPrecondition, 409, 1003, "COM10003";
        "cluster {cluster_id} has the name {actual}, the request expects {expected}; look it up by its name",
        "集群 {cluster_id} 的名称是 {actual}，与请求期望的 {expected} 不一致，请按名称重新确认";
        cluster_id: cluster, expected: expected, actual: actual;
        condition("CLUSTER_NAME", "clusters", cluster);
    SingleServerCluster { cluster, server } => FailedPrecondition, 409, 13003, "OBE19020";
        "server {server_id} is the only one of cluster {cluster_id}; stop the cluster instead",
        "OBServer {server_id} 是集群 {cluster_id} 的唯一节点，不能停止单节点集群的 observer 进程，请停止集群";
        cluster_id: cluster, server_id: server;
        condition("SERVER_COUNT", "clusters", cluster);
    ExpectedServerMismatch { server, expected, actual } => FailedPrecondition, 409, 1003, "COM10003";
        "server {server_id} has address {actual}, the request expects {expected}; look it up by its address",
        "OBServer {server_id} 的地址是 {actual}，与请求期望的 {expected} 不一致，请按地址重新确认";
        server_id: server, expected: expected, actual: actual;
        condition("SERVER_ADDRESS", "servers", server);
    ClusterAlreadyRegistered { cluster, name } => AlreadyExists, 409, 1005, "COM10005";
        "the cluster {name} is registered already, under id {cluster_id}; use that, or UpdateCluster",
        "集群 {name} 已注册，ID 为 {cluster_id}，请直接使用或更新该集群";
        cluster_id: cluster, name: name;
        Resource("obsteward.v1.Cluster", cluster.to_string());
    IdTaken { what, id } => AlreadyExists, 409, 1005, "COM10005";
        "the {kind} id {id} is taken; choose another, or none",
        "{kind} ID {id} 已被占用，请更换或不指定";
        kind: what, id: id;
        Resource(kind(what), id.to_string());
    WrongCluster { endpoint, expected, found } => FailedPrecondition, 409, 11028, "OBE11028";
        "{endpoint} answers as cluster {found}, expected {expected}; correct the endpoints",
        "{endpoint} 属于集群 {found}，与期望的集群 {expected} 不一致，请更正连接地址";
        endpoint: endpoint, expected: expected, found: found;
        Condition("CLUSTER_IDENTITY", endpoint.clone());
    ClusterAuthFailed { endpoint, username } => FailedPrecondition, 409, 11028, "OBE11028";
        "{endpoint} refused the login of {username}; correct the credentials with UpdateCluster",
        "{endpoint} 拒绝了用户 {username} 的登录，请更新集群的用户名和密码";
        endpoint: endpoint, username: username;
        Condition("CLUSTER_CREDENTIALS", endpoint.clone());
    ClusterUnreachable { cluster, why } => Unavailable, 503, 11028, "OBE11028";
        "cluster {cluster} cannot be read: {why}; check its endpoints and servers",
        "集群 {cluster} 无法访问：{why}，请检查集群连接地址和节点状态";
        cluster: cluster, why: why;
        Values, after(5_000);
    ClusterRefuses { cluster, why } => FailedPrecondition, 409, 11028, "OBE11028";
        "cluster {cluster} refuses to be read: {why}; it will until that is changed",
        "集群 {cluster} 拒绝访问：{why}，请先排除原因";
        cluster: cluster, why: why;
        Condition("CLUSTER_READABLE", cluster.clone());
    ViewMissing { cluster, view, versions } => FailedPrecondition, 409, 11028, "OBE11028";
        "cluster {cluster} has no view {view}; {versions} has it, in its sys tenant: log in there, or upgrade the cluster",
        "集群 {cluster} 没有视图 {view}，该视图存在于 {versions} 的 sys 租户中，请使用 sys 租户登录或升级集群";
        cluster: cluster, view: view, versions: versions;
        Condition("CLUSTER_VERSION", cluster.clone());
    ClusterHeld { cluster, task } => FailedPrecondition, 409, 11020, "OBE11020";
        "task {task_id} holds cluster {cluster_id}; wait for its end or give it up",
        "集群 {cluster_id} 的运维任务 {task_id} 尚未结束，请等待其结束或放弃该任务";
        cluster_id: cluster, task_id: task;
        condition("CLUSTER_LOCK", "clusters", cluster);

    // Tasks.
    TaskNotFound { task } => NotFound, 404, 4001, "TSK10001";
        "task {task_id} does not exist; see ListTasks",
        "任务 {task_id} 不存在，请查看任务列表";
        task_id: task;
        Resource("obsteward.v1.Task", task.to_string());
    SubtaskNotFound { task, subtask } => NotFound, 404, 4001, "TSK10001";
        "subtask {subtask_id} is not in task {task_id}; read the task",
        "任务 {task_id} 中不存在子任务 {subtask_id}，请重新读取任务";
        task_id: task, subtask_id: subtask;
        Resource("obsteward.v1.Subtask", subtask.to_string());
    OperationInProgress { cluster, holder } if holder.verbs.is_empty() => Aborted, 409, 11020, "OBE11020";
        "task {task_id} ({task_name} on {target}, by {principal}) is {state} and holds cluster {cluster_id} since {since}; watch it until it ends",
        "集群 {cluster_id} 自 {since} 起被任务 {task_id}（{task_name}，对象 {target}，发起人 {principal}，状态 {state}）占用，上一个运维任务尚未结束，请等待其结束";
        cluster_id: cluster, task_id: holder.task, task_name: holder.name, state: holder.state, since: holder.since, principal: holder.by, target: holder.target, verbs: "";
        Resource("obsteward.v1.Task", holder.task.to_string()), until_it_rests(holder.state);
    OperationInProgress { cluster, holder } => Aborted, 409, 11020, "OBE11020";
        "task {task_id} ({task_name} on {target}, by {principal}) is {state} and holds cluster {cluster_id} since {since}; free it with {verbs}",
        "集群 {cluster_id} 自 {since} 起被任务 {task_id}（{task_name}，对象 {target}，发起人 {principal}，状态 {state}）占用，上一个运维任务尚未结束，可通过 {verbs} 释放";
        cluster_id: cluster, task_id: holder.task, task_name: holder.name, state: holder.state, since: holder.since, principal: holder.by, target: holder.target, verbs: ways_out(holder);
        Resource("obsteward.v1.Task", holder.task.to_string()), until_it_rests(holder.state);
    TaskMoved { task, expected, revision, state } => Aborted, 409, 1005, "COM10005";
        "task {task_id} is {state} at revision {revision}, the request expects revision {expected_revision}; read the task and decide again",
        "任务 {task_id} 当前状态为 {state}，版本为 {revision}，与请求期望的版本 {expected_revision} 不一致，请重新读取任务";
        task_id: task, expected_revision: expected, revision: revision, state: state;
        condition("TASK_REVISION", "tasks", task);
    VerbNotAllowed { task, verb, state, allowed_in } => FailedPrecondition, 409, 4007, "TSK10007";
        "{verb} is not possible for task {task_id}, which is {state}; it is possible in {allowed_states}",
        "任务 {task_id} 在 {state} 状态下不支持 {verb} 操作，仅支持的状态：{allowed_states}";
        task_id: task, verb: verb, state: state, allowed_states: states(allowed_in);
        condition("TASK_STATE", "tasks", task);
    EffectMayStillHappen { task, until } => FailedPrecondition, 409, 4007, "TSK10007";
        "an effect that task {task_id} tried may still happen until {until}; ask again after that",
        "任务 {task_id} 已发起的操作在 {until} 之前仍可能生效，请在此之后重试";
        task_id: task, until: until;
        condition("EFFECT_HORIZON", "tasks", task), Retry::At(*until);
    RollbackUnfinished { task } => FailedPrecondition, 409, 4007, "TSK10007";
        "task {task_id} is half rolled back and cannot be run forward again; go on with RollbackTask, or give it up",
        "任务 {task_id} 的回滚尚未完成，不能重新执行，请继续回滚或放弃任务";
        task_id: task;
        condition("TASK_STATE", "tasks", task);
    NothingToDo { task, verb, why: NoUse::PassedOver } => FailedPrecondition, 409, 4007, "TSK10007";
        "{verb} of task {task_id} would do nothing: all is done but for the servers that were passed over; give it up and roll out to them anew",
        "任务 {task_id} 除被跳过的节点外均已完成，{verb} 无事可做，请放弃该任务并对这些节点重新发起滚动操作";
        task_id: task, verb: verb;
        condition("TASK_STATE", "tasks", task);
    NothingToDo { task, verb, why: NoUse::NothingHeld } => FailedPrecondition, 409, 4007, "TSK10007";
        "{verb} of task {task_id} would do nothing: it holds no server now; read the task",
        "任务 {task_id} 当前没有保持停机的节点，{verb} 无事可做，请重新读取任务";
        task_id: task, verb: verb;
        condition("TASK_STATE", "tasks", task);
    NothingToDo { task, verb, why: NoUse::NoBatchAhead } => FailedPrecondition, 409, 4007, "TSK10007";
        "{verb} of task {task_id} would do nothing: it is no rollout, is paused already, or has no batch ahead; read the task",
        "任务 {task_id} 不是滚动任务、已暂停或没有后续批次，{verb} 无事可做，请重新读取任务";
        task_id: task, verb: verb;
        condition("TASK_STATE", "tasks", task);
    NothingToDo { task, verb, why: NoUse::NotPaused } => FailedPrecondition, 409, 4007, "TSK10007";
        "{verb} of task {task_id} would do nothing: it is not paused; read the task",
        "任务 {task_id} 未暂停，{verb} 无事可做，请重新读取任务";
        task_id: task, verb: verb;
        condition("TASK_STATE", "tasks", task);
    NothingToDo { task, verb, why: NoUse::NoApprovalWanted } => FailedPrecondition, 409, 4007, "TSK10007";
        "{verb} of task {task_id} would do nothing: it needs nobody's approval; read the task",
        "任务 {task_id} 无需审批，{verb} 无事可做，请重新读取任务";
        task_id: task, verb: verb;
        condition("TASK_STATE", "tasks", task);
    NothingToDo { task, verb, why: NoUse::NotApproved } => FailedPrecondition, 409, 4007, "TSK10007";
        "{verb} of task {task_id} would do nothing: nobody has approved it; read the task",
        "任务 {task_id} 尚未被审批，{verb} 无事可做，请重新读取任务";
        task_id: task, verb: verb;
        condition("TASK_STATE", "tasks", task);
    OwnTask { task, principal } => FailedPrecondition, 409, 4007, "TSK10007";
        "task {task_id} was asked for by {principal}, who cannot approve it too; let somebody else approve it",
        "任务 {task_id} 由 {principal} 发起，不能由其本人审批，请由其他人审批";
        task_id: task, principal: principal;
        condition("SECOND_PERSON", "tasks", task);
    PlanChanged { task, approved, found } => Aborted, 409, 1005, "COM10005";
        "the plan of task {task_id} has the digest {found_digest} now, the approval is of {approved_digest}; look at the plan again and decide again",
        "任务 {task_id} 的计划已变化（当前摘要 {found_digest}，审批摘要 {approved_digest}），请重新查看计划后再审批";
        task_id: task, approved_digest: approved, found_digest: found;
        condition("PLAN_DIGEST", "tasks", task);
    OutsideWindow { cluster, from, closed: Closed { exclusion: None, next } } => FailedPrecondition, 409, 1003, "COM10003";
        "nothing begins on cluster {cluster} at {from}, which is outside its maintenance windows; the next opening is {next}: ask again then, or say queue to wait for it",
        "{from} 不在集群 {cluster} 的运维窗口内，下一个窗口：{next}，请届时重试，或指定 queue 排队等待";
        cluster: cluster, from: from, next: opening(*next);
        Condition("MAINTENANCE_WINDOW", cluster.clone()), at_opening(*next);
    OutsideWindow { cluster, from, closed: Closed { exclusion: Some(exclusion), next } } => FailedPrecondition, 409, 1003, "COM10003";
        "nothing begins on cluster {cluster} at {from}, which is in the exclusion {exclusion}; the next opening is {next}: ask again then, or say queue to wait for it",
        "{from} 处于集群 {cluster} 的禁止变更时段 {exclusion}，下一个窗口：{next}，请届时重试，或指定 queue 排队等待";
        cluster: cluster, from: from, exclusion: exclusion, next: opening(*next);
        Condition("MAINTENANCE_WINDOW", cluster.clone()), at_opening(*next);
    ChangesFrozen { cluster, freeze } => FailedPrecondition, 409, 1003, "COM10003";
        "nothing begins on cluster {cluster}: {principal} froze changes {scope} at {since} ({reason}); ask again when they are thawed, or say queue to wait for it",
        "集群 {cluster} 已冻结变更（{principal} 于 {since} 冻结，范围：{scope}，原因：{reason}），请在解冻后重试，或指定 queue 排队等待";
        cluster: cluster, principal: freeze.by, scope: frozen(freeze), since: freeze.since, reason: freeze.reason;
        Condition("CHANGE_FREEZE", cluster.clone());
    ChangesFrozenAlready { freeze } => AlreadyExists, 409, 1005, "COM10005";
        "changes are frozen {scope} already, by {principal} at {since} ({reason}); thaw them first to say it anew",
        "变更已被 {principal} 于 {since} 冻结（范围：{scope}，原因：{reason}），如需重新冻结请先解冻";
        scope: frozen(freeze), principal: freeze.by, since: freeze.since, reason: freeze.reason;
        Condition("CHANGE_FREEZE", freeze.by.to_string());
    ChangesNotFrozen { cluster } => NotFound, 404, 1003, "COM10003";
        "no change freeze is on of {what}; see ListChangeFreezes, a freeze of everything is thawed without a cluster",
        "{what} 未被冻结变更，请查看冻结列表（全局冻结请不指定集群解冻）";
        what: cluster.map_or_else(|| "everything".to_owned(), |cluster| format!("cluster {cluster}"));
        Condition("CHANGE_FREEZE", cluster.map_or_else(|| "everything".to_owned(), |cluster| cluster.to_string()));
    HoldTooLong { until, longest_seconds, permanent_offline_seconds } => FailedPrecondition, 409, 1003, "COM10003";
        "a hold until {until} outlives the server's replicas: the cluster gives them up after {permanent_offline_seconds} s (server_permanent_offline_time), and a start takes its time; hold for at most {longest_seconds} s, raise the parameter and sync the cluster, or accept the risk PERMANENT_OFFLINE",
        "保持停机至 {until} 将超过副本的永久下线时间 {permanent_offline_seconds} 秒（server_permanent_offline_time），最长 {longest_seconds} 秒，请缩短时间、调大参数后同步集群，或接受风险 PERMANENT_OFFLINE";
        until: until, longest_seconds: longest_seconds, permanent_offline_seconds: permanent_offline_seconds;
        Condition("PERMANENT_OFFLINE", "server_permanent_offline_time".to_owned());
    SubtaskNotRunning { task, subtask } => FailedPrecondition, 409, 4007, "TSK10007";
        "subtask {subtask_id} of task {task_id} does not run; read the task",
        "任务 {task_id} 的子任务 {subtask_id} 未在运行，请重新读取任务";
        task_id: task, subtask_id: subtask;
        subtask_state(*task, *subtask);
    SubtaskNotFailed { task, subtask, name, state } => FailedPrecondition, 409, 4007, "TSK10007";
        "subtask {subtask_id} ({name}) of task {task_id} is {state}, only a FAILED one can be run again; read the task",
        "任务 {task_id} 的子任务 {subtask_id}（{name}）当前状态为 {state}，仅失败（FAILED）的子任务可以重新执行，请重新读取任务";
        task_id: task, subtask_id: subtask, name: name, state: state;
        subtask_state(*task, *subtask);
    SubtaskNotSkippable { task, subtask, name, why: SkipRefusal::NotFailed(state) } => FailedPrecondition, 409, 4010, "TSK10010";
        "subtask {subtask_id} ({name}) of task {task_id} is {state}, only a FAILED one can be skipped; read the task",
        "任务 {task_id} 的子任务 {subtask_id}（{name}）当前状态为 {state}，仅失败（FAILED）的子任务可以跳过，请重新读取任务";
        task_id: task, subtask_id: subtask, name: name, state: state;
        subtask_state(*task, *subtask);
    SubtaskNotSkippable { task, subtask, name, why: SkipRefusal::Checks } => FailedPrecondition, 409, 4010, "TSK10010";
        "subtask {subtask_id} ({name}) of task {task_id} makes the checks that the others rely on and cannot be skipped; retry the task, roll it back or give it up",
        "任务 {task_id} 的子任务 {subtask_id}（{name}）负责后续步骤所依赖的检查，不允许跳过，请重试、回滚或放弃任务";
        task_id: task, subtask_id: subtask, name: name;
        subtask_state(*task, *subtask);
    SubtaskNotSkippable { task, subtask, name, why: SkipRefusal::NotItsTurn } => FailedPrecondition, 409, 4010, "TSK10010";
        "other subtasks of task {task_id} come before subtask {subtask_id} ({name}) and are not done yet; let the task go on, by a retry or, while it is undone, a rollback",
        "任务 {task_id} 的子任务 {subtask_id}（{name}）须等待其他子任务先完成，不允许跳过，请重试任务；若任务正在回滚，请继续回滚";
        task_id: task, subtask_id: subtask, name: name;
        subtask_state(*task, *subtask);

    // Who calls, how, and how often.
    Unauthenticated { why: AuthFailure::Repeated(header) } => Unauthenticated, 401, 3000, "IAM10000";
        "the header {header} is given more than once; send it once",
        "请求头 {header} 重复，只能携带一次";
        header: header;
        Values;
    Unauthenticated { why: AuthFailure::NoCredentials } => Unauthenticated, 401, 3000, "IAM10000";
        "the request names nobody; send Basic credentials, a signed request or a client certificate",
        "当前用户未登录，请提供用户名密码、签名或客户端证书";
        ; Values;
    Unauthenticated { why: AuthFailure::Malformed } => Unauthenticated, 401, 3000, "IAM10000";
        "the authorization cannot be read; send 'Basic <base64 of user:password>', or over REST 'OCP-ACCESS-KEY-HMACSHA1 <key>:<signature>'",
        "无法解析 Authorization，请使用 Basic 认证或 OCP-ACCESS-KEY-HMACSHA1 签名";
        ; Values;
    Unauthenticated { why: AuthFailure::Wrong } => Unauthenticated, 401, 3000, "IAM10000";
        "user, password, access key or signature is wrong, or disabled",
        "用户名、密码、AccessKey 或签名错误，或已被禁用";
        ; Values;
    Unauthenticated { why: AuthFailure::DateMissing } => Unauthenticated, 401, 3000, "IAM10000";
        "a signed request needs a Date header in RFC 1123 form, for example Tue, 17 Jan 2023 09:13:57 GMT",
        "签名请求必须携带 RFC 1123 格式的 Date 请求头";
        ; Values;
    Unauthenticated { why: AuthFailure::DateSkewed } => Unauthenticated, 401, 3000, "IAM10000";
        "the Date of the signed request is more than 15 minutes from now; set the clock and sign again",
        "签名请求的 Date 与服务端时间相差超过 15 分钟，请校准时钟后重新签名";
        ; Values;
    Unauthenticated { why: AuthFailure::Ended } => Unauthenticated, 401, 3000, "IAM10000";
        "the password, access key or client certificate with which this was opened is not valid any more; prove yourself anew",
        "打开该订阅时使用的密码、AccessKey 或客户端证书已失效，请重新认证";
        ; Values;
    Unauthenticated { why: AuthFailure::UnknownCertificate } => Unauthenticated, 401, 3000, "IAM10000";
        "the client certificate names no user; add one of its subject alternative names to a user",
        "客户端证书未对应任何用户，请为用户配置证书的主题备用名称";
        ; Values;
    LoginThrottled { retry_after_millis } => ResourceExhausted, 429, 3004, "IAM10004";
        "too many logins failed; wait {retry_after_millis} ms",
        "登录失败次数过多，请在 {retry_after_millis} 毫秒后重试";
        retry_after_millis: retry_after_millis;
        Values, after(*retry_after_millis);
    PermissionDenied { principal, need } => PermissionDenied, 403, 3100, "IAM11000";
        "{principal} has no permission {permission}, or what it is about does not exist; ask an administrator for a role that has it",
        "用户 {principal} 没有 {permission} 权限，或目标不存在，请联系管理员授权";
        principal: principal, permission: need;
        Values;
    RiskNotAcceptedHere { setting } => PermissionDenied, 403, 3100, "IAM11000";
        "risks cannot be accepted over REST unless {setting} names them; use gRPC or the command line",
        "REST 接口不允许接受风险，除非 {setting} 中已列出，请使用 gRPC 或命令行";
        setting: setting;
        Values;
    // The Chinese words and the code 0 are those of OCP's only documented error (docs/ocp-v2.md#errors).
    RateLimited { limit, window_seconds, retry_after_millis } => ResourceExhausted, 429, 0, "COM10000";
        "more than {limit} requests in {window_seconds} s; wait {retry_after_millis} ms",
        "请求次数过多，你已经超过当前流控窗口内的请求上限";
        limit: limit, window_seconds: window_seconds, retry_after_millis: retry_after_millis;
        Values, after(*retry_after_millis);
    TooManyWatches { principal, limit } => ResourceExhausted, 429, 0, "COM10000";
        "{principal} has {limit} watches, which is the most; end one, or watch many tasks with one WatchTasks",
        "用户 {principal} 的订阅数已达上限 {limit}，请先结束部分订阅";
        principal: principal, limit: limit;
        Values, after(5_000);
    TooManyUnauthenticated { limit } => ResourceExhausted, 429, 0, "COM10000";
        "{limit} requests whose caller is not authenticated are open already; take their answers or send credentials",
        "未认证的请求已达上限 {limit} 个，请先读取其响应或提供认证信息";
        limit: limit;
        Values, after(1_000);

    // Users, keys and roles.
    UserNotFound { user } => NotFound, 404, 1002, "COM10002";
        "user {user} does not exist; see ListUsers",
        "用户 {user} 不存在，请查看用户列表";
        user: user;
        Resource("obsteward.v1.User", user.clone());
    AccessKeyNotFound { key } => NotFound, 404, 1002, "COM10002";
        "access key {access_key} does not exist; see ListAccessKeys",
        "AccessKey {access_key} 不存在，请查看 AccessKey 列表";
        access_key: key;
        Resource("obsteward.v1.AccessKey", key.to_string());
    RoleNotFound { role } => NotFound, 404, 1002, "COM10002";
        "role {role} does not exist; see ListRoles",
        "角色 {role} 不存在，请查看角色列表";
        role: role;
        Resource("obsteward.v1.Role", role.to_string());
    NameTaken { what, name } => AlreadyExists, 409, 1005, "COM10005";
        "there is a {kind} {name} already; choose another name",
        "{kind} {name} 已存在，请更换名称";
        kind: what, name: name;
        Resource(kind(what), name.clone());
    RoleFixed { role, why } => FailedPrecondition, 409, 1003, "COM10003";
        "role {role} stays: {why}",
        "角色 {role} 不能删除：{why}";
        role: role, why: why;
        condition("ROLE_IN_USE", "roles", role);
    LastAdministrator { user } => FailedPrecondition, 409, 1003, "COM10003";
        "{user} is the last user who may do everything; give another one the role ADMIN first",
        "{user} 是最后一个管理员，请先将 ADMIN 角色授予其他用户";
        user: user;
        condition("LAST_ADMINISTRATOR", "users", user);

    // What is wrong with a request before it is one of the service's calls.
    RouteNotFound { method, path } => Unimplemented, 404, 1003, "COM10003";
        "there is no {method} {path}; see /openapi.yaml",
        "接口 {method} {path} 不存在，请查看 /openapi.yaml";
        method: method, path: path;
        Values;
    MethodNotAllowed { method, path, allowed } => Unimplemented, 405, 1003, "COM10003";
        "{path} does not take {method}, but {allowed}",
        "接口 {path} 不支持 {method}，仅支持 {allowed}";
        method: method, path: path, allowed: allowed;
        Values;
    BodyTooLarge { limit } => InvalidArgument, 413, 1003, "COM10003";
        "the body has more than {limit} bytes, which is the most",
        "请求体超过上限 {limit} 字节";
        limit: limit;
        Values;
    UnsupportedMediaType { field: header, given } => InvalidArgument, 415, 1003, "COM10003";
        "{field}: a body of {given} is not understood; send application/json in UTF-8 without Content-Encoding",
        "{field}：不支持的请求体 {given}，请使用 UTF-8 编码且未压缩的 application/json";
        field: header, given: given;
        field(header, format!("{given} is not understood, send application/json in UTF-8 without Content-Encoding"));
    MethodNotFound { method } => Unimplemented, 404, 1003, "COM10003";
        "there is no method {method}; ask reflection for those that there are",
        "方法 {method} 不存在，请通过反射服务查看可用方法";
        method: method;
        Values;
    CompressionUnsupported { encoding } => Unimplemented, 415, 1003, "COM10003";
        "compression is not supported, and the call comes with {encoding}; send its message as it is",
        "不支持压缩（{encoding}），请发送未压缩的消息";
        encoding: encoding;
        Values;
    MessageTooLarge { limit } => ResourceExhausted, 413, 1003, "COM10003";
        "the message has more than {limit} bytes, which is the most",
        "消息超过上限 {limit} 字节";
        limit: limit;
        Values;
    DeadlinePassed => DeadlineExceeded, 504, 1004, "COM10004";
        "the time that the caller gave the call is over; what it began goes on, ask for it or give the call more time",
        "调用方指定的时间已到，已开始的操作会继续执行，请查询结果或延长超时时间";
        ; Values;
    RequestTimeout { seconds } => DeadlineExceeded, 408, 1004, "COM10004";
        "the request did not arrive within {seconds} s; send it again",
        "请求未在 {seconds} 秒内发送完成，请重新发送";
        seconds: seconds;
        Values;

    // The service itself.
    Unavailable { why, retry_after_millis } => Unavailable, 503, 1999, "COM10999";
        "the service cannot answer now: {why}; ask again",
        "服务暂时不可用：{why}，请稍后重试";
        why: why;
        Values, after(*retry_after_millis);
    Internal { what } => Internal, 500, 1999, "COM10999";
        "internal error: {what}; the service's log has the details under this trace",
        "内部错误：{what}，详情请查看服务日志";
        what: what;
        Values;
    }
}

/// Names of the fields that are told, and how many more there are.
fn names(wrong: &Violations) -> String {
    let mut names: Vec<&str> = wrong.shown.iter().map(|violation| violation.field.as_str()).collect();
    let more = format!("+{}", wrong.omitted);
    if wrong.omitted > 0 {
        names.push(&more);
    }
    names.join(", ")
}

fn first(wrong: &Violations) -> String {
    wrong
        .shown
        .first()
        .map(|FieldViolation { field, description }| format!("{field}: {description}"))
        .unwrap_or_default()
}

/// The message of the API that is named so.
fn kind(what: &str) -> &'static str {
    match what {
        "server" => "obsteward.v1.ObServer",
        "cluster" => "obsteward.v1.Cluster",
        "role" => "obsteward.v1.Role",
        "access key" => "obsteward.v1.AccessKey",
        _ => "obsteward.v1.User",
    }
}

fn subtask_state(task: TaskId, subtask: SubtaskId) -> About {
    About::Condition("SUBTASK_STATE", format!("tasks/{task}/subtasks/{subtask}"))
}

fn states(states: &[TaskState]) -> String {
    states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ")
}

/// The calls that free the cluster of a holder now.
fn ways_out(holder: &LockHolder) -> String {
    let call = |verb: &Verb| match verb {
        Verb::Retry => "RetryTask",
        Verb::Rollback => "RollbackTask",
        Verb::SkipSubtask => "SkipSubtask",
        Verb::Cancel => "CancelTask",
        Verb::GiveUp => "GiveUpTask",
        Verb::CompleteHold => "CompleteHold",
        Verb::Pause => "PauseRollout",
        Verb::Resume => "ResumeRollout",
        Verb::Approve => "ApproveTask",
        Verb::WithdrawApproval => "WithdrawApproval",
    };
    holder.verbs.iter().map(call).collect::<Vec<_>>().join(", ")
}

/// A holder that moves may be gone soon; one at rest waits for a person.
fn until_it_rests(state: TaskState) -> Retry {
    match state.phase() {
        Phase::Pending | Phase::Moving => after(10_000),
        Phase::AtRest | Phase::Closed => Retry::Never,
    }
}

fn opening(next: Option<Timestamp>) -> String {
    next.map_or_else(|| "not in sight".to_owned(), |next| next.to_string())
}

fn at_opening(next: Option<Timestamp>) -> Retry {
    next.map_or(Retry::Never, Retry::At)
}

const fn frozen(freeze: &ChangeFreeze) -> &'static str {
    match freeze.scope {
        FreezeScope::Everything => "everywhere",
        FreezeScope::Cluster(_) => "of it",
    }
}

const fn after(millis: u32) -> Retry {
    Retry::After(Duration::from_millis(millis as u64))
}
