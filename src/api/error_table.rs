//! The one table of refusals, for both faces: reason, gRPC code, HTTP status, OCP code, words in English and Chinese, and
//! every value that the words name. Messages are templates over those values, so no value can be in a message and not in
//! the metadata.

use std::time::Duration;

use tonic::Code;

use crate::api::{error_callers as callers, error_tasks as tasks};
use crate::clock::Timestamp;
use crate::domain::refusal::{FieldViolation, Refusal, Violations};

/// OCP's code of an error: the number of 4.0 and the name of 4.2. Where 4.0 had no number for the same case, the number of
/// the nearest general one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OcpCode {
    /// As in OCP 4.0.
    pub number: i32,
    /// As in OCP 4.2.
    pub name: &'static str,
}

pub(super) const fn ocp(number: i32, name: &'static str) -> OcpCode {
    OcpCode { number, name }
}

/// What a refusal is about, for the details of AIP-193.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// Nothing more than its values.
    Values,
    /// Fields of the request.
    Fields(Vec<FieldViolation>),
    /// A resource, by type and name.
    Resource(&'static str, String),
    /// A condition that does not hold: its kind and its subject.
    Condition(&'static str, String),
}

/// When asking again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not by itself.
    Never,
    /// After so long.
    After(Duration),
    /// From this moment on.
    At(Timestamp),
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// `UPPER_SNAKE`, unique, at most 63 characters.
    pub reason: &'static str,
    /// gRPC code.
    pub code: Code,
    /// HTTP status.
    pub http: u16,
    /// OCP code.
    pub ocp: OcpCode,
    /// English, with `{value}` for every value.
    pub en: &'static str,
    /// Chinese, with the same values.
    pub zh: &'static str,
    /// The values by name, `snake_case`.
    pub values: Vec<(&'static str, String)>,
    /// What it is about.
    pub about: About,
    /// When to ask again.
    pub retry: Retry,
}

impl Row {
    /// The message in English.
    pub fn message(&self) -> String {
        self.fill(self.en)
    }

    /// The message in Chinese.
    pub fn message_zh(&self) -> String {
        self.fill(self.zh)
    }

    /// One pass: a value that itself holds braces stays as it is.
    fn fill(&self, template: &str) -> String {
        let mut pieces = template.split('{');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (name, rest) = piece.split_once('}').unwrap_or((piece, ""));
            let value = self.values.iter().find(|(key, _)| *key == name);
            text.push_str(value.map_or("?", |(_, value)| value));
            text.push_str(rest);
        }
        text
    }
}

/// What varies less than the rest: a row in the making.
pub(super) struct Base(pub &'static str, pub Code, pub u16, pub OcpCode);

impl Base {
    /// With its words, the values that they name, and what it is about.
    pub fn says(self, en: &'static str, zh: &'static str, values: Vec<(&'static str, String)>, about: About) -> Row {
        let Self(reason, code, http, ocp) = self;
        Row { reason, code, http, ocp, en, zh, values, about, retry: Retry::Never }
    }
}

impl Row {
    /// With the moment at which asking again may help.
    #[must_use]
    pub(super) fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
}

/// The values of a row by name.
macro_rules! values {
    ($($key:ident: $value:expr),* $(,)?) => { vec![$((stringify!($key), $value.to_string())),*] };
}
pub(super) use values;

/// The row of a refusal.
pub fn row(refusal: &Refusal) -> Row {
    match refusal {
        Refusal::InvalidArgument(violations) => invalid_argument(refusal.reason(), violations),
        Refusal::ClusterNotFound { cluster } => {
            Base(refusal.reason(), Code::NotFound, 404, ocp(11001, "OBE11001")).says(
                "cluster {cluster} is not registered; see ListClusters",
                "指定的集群 {cluster} 不存在，请通过集群列表确认",
                values!(cluster: cluster),
                About::Resource("obsteward.v1.Cluster", cluster.clone()),
            )
        }
        Refusal::ServerNotFound { cluster, server } => {
            Base(refusal.reason(), Code::NotFound, 404, ocp(13001, "OBE19001")).says(
                "server {server_id} is not in cluster {cluster_id}; see ListServers, or SyncCluster when it is new",
                "集群 {cluster_id} 中未找到 ID 为 {server_id} 的 OBServer，请查看服务器列表或先同步集群",
                values!(cluster_id: cluster, server_id: server),
                About::Resource("obsteward.v1.ObServer", server.to_string()),
            )
        }
        Refusal::ZoneNotFound { cluster, zone } => {
            Base(refusal.reason(), Code::NotFound, 404, ocp(12002, "OBE18002")).says(
                "zone {zone} is not in cluster {cluster_id}; see the zones of GetCluster, or SyncCluster when it is new",
                "集群 {cluster_id} 中未找到 Zone {zone}，请查看集群的 Zone 列表或先同步集群",
                values!(cluster_id: cluster, zone: zone),
                About::Resource("obsteward.v1.Zone", zone.to_string()),
            )
        }
        Refusal::TaskNotFound { task } => tasks::task_not_found(refusal.reason(), *task),
        Refusal::OperationInProgress { cluster, holder } => {
            tasks::operation_in_progress(refusal.reason(), *cluster, holder)
        }
        Refusal::ServerStateNotAdmitted { server, addr, service, process, expected, remedy } => {
            Base(refusal.reason(), Code::FailedPrecondition, 409, ocp(13003, "OBE19003")).says(
                "server {server_id} at {address} has service {service_state} and process {process_state}, expected {expected}; {remedy}",
                "OBServer {server_id}（{address}）当前服务状态为 {service_state}，进程状态为 {process_state}，不支持该操作，期望状态：{expected}；处理建议：{remedy}",
                values!(
                    server_id: server,
                    address: addr,
                    service_state: service,
                    process_state: process,
                    expected: expected,
                    remedy: remedy,
                ),
                About::Condition("SERVER_STATE", format!("servers/{server}")),
            )
        }
        Refusal::SingleServerCluster { cluster, server } => {
            Base(refusal.reason(), Code::FailedPrecondition, 409, ocp(13003, "OBE19020")).says(
                "server {server_id} is the only one of cluster {cluster_id}; stop the cluster instead",
                "OBServer {server_id} 是集群 {cluster_id} 的唯一节点，不能停止单节点集群的 observer 进程，请停止集群",
                values!(cluster_id: cluster, server_id: server),
                About::Condition("SERVER_COUNT", format!("clusters/{cluster}")),
            )
        }
        Refusal::ExpectedServerMismatch { server, expected, actual } => {
            Base(refusal.reason(), Code::FailedPrecondition, 409, ocp(1003, "COM10003")).says(
                "server {server_id} has address {actual}, the request expects {expected}; look it up by its address",
                "OBServer {server_id} 的地址是 {actual}，与请求期望的 {expected} 不一致，请按地址重新确认",
                values!(server_id: server, expected: expected, actual: actual),
                About::Condition("SERVER_ADDRESS", format!("servers/{server}")),
            )
        }
        Refusal::ServerReplaced { server, addr } => {
            Base(refusal.reason(), Code::FailedPrecondition, 409, ocp(13001, "OBE19001")).says(
                "server {server_id} at {address} is gone from the cluster or was added again; run SyncCluster and use its new id",
                "地址为 {address} 的 OBServer {server_id} 已从集群中删除或被重新添加，请同步集群后使用新的 ID",
                values!(server_id: server, address: addr),
                About::Condition("SERVER_IDENTITY", format!("servers/{server}")),
            )
        }
        Refusal::RequestIdReused { request_id, task } => {
            Base(refusal.reason(), Code::InvalidArgument, 400, ocp(1003, "COM10003")).says(
                "request_id {request_id} belongs to task {task_id}, which was asked for with other arguments; use a new UUID",
                "request_id {request_id} 已用于参数不同的任务 {task_id}，请使用新的 UUID",
                values!(request_id: request_id, task_id: task),
                About::Fields(field("request_id", "belongs to a request with other arguments, use a new UUID")),
            )
        }
        Refusal::TaskMoved { task, expected, revision, state } => {
            tasks::task_moved(refusal.reason(), *task, *expected, *revision, *state)
        }
        Refusal::VerbNotAllowed { task, verb, state, allowed_in } => {
            tasks::verb_not_allowed(refusal.reason(), *task, *verb, *state, allowed_in)
        }
        Refusal::EffectMayStillHappen { task, until } => {
            tasks::effect_may_still_happen(refusal.reason(), *task, *until)
        }
        Refusal::SubtaskNotRunning { task, subtask } => {
            tasks::subtask_not_running(refusal.reason(), *task, *subtask)
        }
        Refusal::SubtaskNotFailed { task, subtask, name, state } => {
            tasks::subtask_not_failed(refusal.reason(), *task, *subtask, name, *state)
        }
        Refusal::SubtaskNotFound { task, subtask } => tasks::subtask_not_found(refusal.reason(), *task, *subtask),
        Refusal::SubtaskNotSkippable { task, subtask, name, why } => {
            tasks::subtask_not_skippable(refusal.reason(), *task, *subtask, name, *why)
        }
        Refusal::RollbackUnfinished { task } => tasks::rollback_unfinished(refusal.reason(), *task),
        Refusal::ExpireTimePassed { expire_time, now } => {
            Base(refusal.reason(), Code::InvalidArgument, 400, ocp(1001, "COM10001")).says(
                "expire_time {expire_time} has passed, it is {now}; give a later one or none",
                "expire_time {expire_time} 已过期（当前时间 {now}），请指定更晚的时间或不指定",
                values!(expire_time: expire_time, now: now),
                About::Fields(field("expire_time", "has passed, give a later one or none")),
            )
        }
        Refusal::RevisionAhead { task, asked, head } => {
            Base(refusal.reason(), Code::OutOfRange, 400, ocp(1003, "COM10003")).says(
                "revision {after_revision} of task {task_id} is beyond its last, {head}; the store was restored: watch without after_revision",
                "任务 {task_id} 的版本 {after_revision} 超过最新版本 {head}，存储可能已被恢复，请重新获取快照",
                values!(task_id: task, after_revision: asked, head: head),
                About::Fields(field("after_revision", "is beyond the last, watch without it")),
            )
        }
        Refusal::SeqAhead { asked, head } => {
            Base(refusal.reason(), Code::OutOfRange, 400, ocp(1003, "COM10003")).says(
                "position {after_seq} is beyond the last, {head}; the store was restored: watch without after_seq",
                "位置 {after_seq} 超过最新位置 {head}，存储可能已被恢复，请重新获取快照",
                values!(after_seq: asked, head: head),
                About::Fields(field("after_seq", "is beyond the last, watch without it")),
            )
        }
        Refusal::ClusterAlreadyRegistered { cluster, name } => {
            Base(refusal.reason(), Code::AlreadyExists, 409, ocp(1005, "COM10005")).says(
                "the cluster {name} is registered already, under id {cluster_id}; use that, or UpdateCluster",
                "集群 {name} 已注册，ID 为 {cluster_id}，请直接使用或更新该集群",
                values!(cluster_id: cluster, name: name),
                About::Resource("obsteward.v1.Cluster", cluster.to_string()),
            )
        }
        Refusal::IdTaken { what, id } => Base(refusal.reason(), Code::AlreadyExists, 409, ocp(1005, "COM10005")).says(
            "the {kind} id {id} is taken; choose another, or none",
            "{kind} ID {id} 已被占用，请更换或不指定",
            values!(kind: what, id: id),
            About::Resource(if *what == "server" { "obsteward.v1.ObServer" } else { "obsteward.v1.Cluster" }, id.to_string()),
        ),
        Refusal::WrongCluster { endpoint, expected, found } => {
            Base(refusal.reason(), Code::FailedPrecondition, 409, ocp(11028, "OBE11028")).says(
                "{endpoint} answers as cluster {found}, expected {expected}; correct the endpoints",
                "{endpoint} 属于集群 {found}，与期望的集群 {expected} 不一致，请更正连接地址",
                values!(endpoint: endpoint, expected: expected, found: found),
                About::Condition("CLUSTER_IDENTITY", endpoint.clone()),
            )
        }
        Refusal::ClusterAuthFailed { endpoint, username } => {
            Base(refusal.reason(), Code::FailedPrecondition, 409, ocp(11028, "OBE11028")).says(
                "{endpoint} refused the login of {username}; correct the credentials with UpdateCluster",
                "{endpoint} 拒绝了用户 {username} 的登录，请更新集群的用户名和密码",
                values!(endpoint: endpoint, username: username),
                About::Condition("CLUSTER_CREDENTIALS", endpoint.clone()),
            )
        }
        Refusal::ClusterUnreachable { cluster, why } => {
            Base(refusal.reason(), Code::Unavailable, 503, ocp(11028, "OBE11028"))
                .says(
                    "cluster {cluster} cannot be read: {why}; check its endpoints and servers",
                    "集群 {cluster} 无法访问：{why}，请检查集群连接地址和节点状态",
                    values!(cluster: cluster, why: why),
                    About::Values,
                )
                .retry(Retry::After(Duration::from_secs(5)))
        }
        Refusal::ClusterRefuses { cluster, why } => {
            Base(refusal.reason(), Code::FailedPrecondition, 409, ocp(11028, "OBE11028")).says(
                "cluster {cluster} refuses to be read: {why}; it will until that is changed",
                "集群 {cluster} 拒绝访问：{why}，请先排除原因",
                values!(cluster: cluster, why: why),
                About::Condition("CLUSTER_READABLE", cluster.clone()),
            )
        }
        Refusal::ViewMissing { cluster, view, versions } => {
            Base(refusal.reason(), Code::FailedPrecondition, 409, ocp(11028, "OBE11028")).says(
                "cluster {cluster} has no view {view}; {versions} has it, in its sys tenant: log in there, or upgrade the cluster",
                "集群 {cluster} 没有视图 {view}，该视图存在于 {versions} 的 sys 租户中，请使用 sys 租户登录或升级集群",
                values!(cluster: cluster, view: view, versions: versions),
                About::Condition("CLUSTER_VERSION", cluster.clone()),
            )
        }
        Refusal::ClusterHeld { cluster, task } => {
            Base(refusal.reason(), Code::FailedPrecondition, 409, ocp(11020, "OBE11020")).says(
                "task {task_id} holds cluster {cluster_id}; wait for its end or give it up",
                "集群 {cluster_id} 的运维任务 {task_id} 尚未结束，请等待其结束或放弃该任务",
                values!(cluster_id: cluster, task_id: task),
                About::Condition("CLUSTER_LOCK", format!("clusters/{cluster}")),
            )
        }
        Refusal::Unauthenticated { why } => callers::unauthenticated(refusal.reason(), *why),
        Refusal::LoginThrottled { retry_after_millis } => {
            callers::login_throttled(refusal.reason(), *retry_after_millis)
        }
        Refusal::PermissionDenied { principal, need } => {
            callers::permission_denied(refusal.reason(), principal, *need)
        }
        Refusal::RiskNotAcceptedHere { setting } => callers::risk_not_accepted_here(refusal.reason(), setting),
        Refusal::RateLimited { limit, window_seconds, retry_after_millis } => {
            callers::rate_limited(refusal.reason(), *limit, *window_seconds, *retry_after_millis)
        }
        Refusal::TooManyWatches { principal, limit } => {
            callers::too_many_watches(refusal.reason(), principal, *limit)
        }
        Refusal::UserNotFound { user } => callers::user_not_found(refusal.reason(), user),
        Refusal::AccessKeyNotFound { key } => callers::access_key_not_found(refusal.reason(), key),
        Refusal::RoleNotFound { role } => callers::role_not_found(refusal.reason(), role),
        Refusal::NameTaken { what, name } => callers::name_taken(refusal.reason(), what, name),
        Refusal::RoleFixed { role, why } => callers::role_fixed(refusal.reason(), role, why),
        Refusal::LastAdministrator { user } => callers::last_administrator(refusal.reason(), user),
        Refusal::RouteNotFound { method, path } => callers::route_not_found(refusal.reason(), method, path),
        Refusal::MethodNotAllowed { method, path, allowed } => {
            callers::method_not_allowed(refusal.reason(), method, path, allowed)
        }
        Refusal::BodyTooLarge { limit } => callers::body_too_large(refusal.reason(), *limit),
        Refusal::UnsupportedMediaType { field, given } => {
            callers::unsupported_media_type(refusal.reason(), field, given)
        }
        Refusal::MethodNotFound { method } => callers::method_not_found(refusal.reason(), method),
        Refusal::CompressionUnsupported { encoding } => callers::compression_unsupported(refusal.reason(), encoding),
        Refusal::MessageTooLarge { limit } => callers::message_too_large(refusal.reason(), *limit),
        Refusal::DeadlinePassed => callers::deadline_passed(refusal.reason()),
        Refusal::TooManyStrangers { limit } => callers::too_many_strangers(refusal.reason(), *limit),
        Refusal::RequestTimeout { seconds } => callers::request_timeout(refusal.reason(), *seconds),
        Refusal::Unavailable { why, retry_after_millis } => {
            Base(refusal.reason(), Code::Unavailable, 503, ocp(1999, "COM10999"))
                .says(
                    "the service cannot answer now: {why}; ask again",
                    "服务暂时不可用：{why}，请稍后重试",
                    values!(why: why),
                    About::Values,
                )
                .retry(Retry::After(Duration::from_millis(u64::from(*retry_after_millis))))
        }
        Refusal::Internal { what } => Base(refusal.reason(), Code::Internal, 500, ocp(1999, "COM10999")).says(
            "internal error: {what}; the service's log has the details under this trace",
            "内部错误：{what}，详情请查看服务日志",
            values!(what: what),
            About::Values,
        ),
    }
}

fn field(field: &str, description: &str) -> Vec<FieldViolation> {
    vec![FieldViolation { field: field.to_owned(), description: description.to_owned() }]
}

fn invalid_argument(reason: &'static str, violations: &Violations) -> Row {
    let Violations { told, untold } = violations;
    let first = told.first().map(|one| format!("{}: {}", one.field, one.description)).unwrap_or_default();
    let mut fields: Vec<&str> = told.iter().map(|violation| violation.field.as_str()).collect();
    let more = format!("+{untold}");
    if *untold > 0 {
        fields.push(&more);
    }
    Base(reason, Code::InvalidArgument, 400, ocp(1001, "COM10001")).says(
        "the request is not valid in {count} field(s) ({fields}); {first}",
        "请求中有 {count} 个参数为空或非法（{fields}）；{first}",
        values!(count: told.len() + untold, fields: fields.join(", "), first: first),
        About::Fields(told.clone()),
    )
}
