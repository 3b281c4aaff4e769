//! Rows of the error table that are about who calls, how, and how often: authentication, permission, users, limits, and what
//! is wrong with a request before it is one of the service's calls.

use std::time::Duration;

use tonic::Code;

use crate::api::error_table::{About, Base, Retry, Row, ocp, values};
use crate::domain::ids::{AccessKeyId, Principal, RoleName};
use crate::domain::permission::Need;
use crate::domain::refusal::{FieldViolation, Unproven};

const fn millis(millis: u32) -> Retry {
    Retry::After(Duration::from_millis(millis as u64))
}

pub(super) fn unauthenticated(reason: &'static str, why: Unproven) -> Row {
    let base = Base(reason, Code::Unauthenticated, 401, ocp(3000, "IAM10000"));
    let (en, zh) = match why {
        Unproven::Repeated(header) => {
            return base.says(
                "the header {header} is given more than once; send it once",
                "请求头 {header} 重复，只能携带一次",
                values!(header: header),
                About::Values,
            );
        }
        Unproven::NoCredentials => (
            "the request names nobody; send Basic credentials, a signed request or a client certificate",
            "当前用户未登录，请提供用户名密码、签名或客户端证书",
        ),
        Unproven::Malformed => (
            "the authorization cannot be read; send 'Basic <base64 of user:password>', or over REST 'OCP-ACCESS-KEY-HMACSHA1 <key>:<signature>'",
            "无法解析 Authorization，请使用 Basic 认证或 OCP-ACCESS-KEY-HMACSHA1 签名",
        ),
        Unproven::Wrong => (
            "user, password, access key or signature is wrong, or disabled",
            "用户名、密码、AccessKey 或签名错误，或已被禁用",
        ),
        Unproven::DateMissing => (
            "a signed request needs a Date header in RFC 1123 form, for example Tue, 17 Jan 2023 09:13:57 GMT",
            "签名请求必须携带 RFC 1123 格式的 Date 请求头",
        ),
        Unproven::DateSkewed => (
            "the Date of the signed request is more than 15 minutes from now; set the clock and sign again",
            "签名请求的 Date 与服务端时间相差超过 15 分钟，请校准时钟后重新签名",
        ),
        Unproven::Ended => (
            "the password, access key or client certificate with which this was opened is not valid any more; prove yourself anew",
            "打开该订阅时使用的密码、AccessKey 或客户端证书已失效，请重新认证",
        ),
        Unproven::UnknownCertificate => (
            "the client certificate names no user; add one of its subject alternative names to a user",
            "客户端证书未对应任何用户，请为用户配置证书的主题备用名称",
        ),
    };
    base.says(en, zh, Vec::new(), About::Values)
}

pub(super) fn login_throttled(reason: &'static str, retry_after_millis: u32) -> Row {
    Base(reason, Code::ResourceExhausted, 429, ocp(3004, "IAM10004"))
        .says(
            "too many logins failed; wait {retry_after_millis} ms",
            "登录失败次数过多，请在 {retry_after_millis} 毫秒后重试",
            values!(retry_after_millis: retry_after_millis),
            About::Values,
        )
        .retry(millis(retry_after_millis))
}

pub(super) fn permission_denied(reason: &'static str, principal: &Principal, need: Need) -> Row {
    Base(reason, Code::PermissionDenied, 403, ocp(3100, "IAM11000")).says(
        "{principal} has no permission {permission}, or what it is about does not exist; ask an administrator for a role that has it",
        "用户 {principal} 没有 {permission} 权限，或目标不存在，请联系管理员授权",
        values!(principal: principal, permission: need),
        About::Values,
    )
}

pub(super) fn risk_not_accepted_here(reason: &'static str, setting: &'static str) -> Row {
    Base(reason, Code::PermissionDenied, 403, ocp(3100, "IAM11000")).says(
        "risks cannot be accepted over REST unless {setting} names them; use gRPC or the command line",
        "REST 接口不允许接受风险，除非 {setting} 中已列出，请使用 gRPC 或命令行",
        values!(setting: setting),
        About::Values,
    )
}

/// The words and the code 0 are those of OCP's only documented error (docs/ocp-v2.md#errors).
pub(super) fn rate_limited(reason: &'static str, limit: u32, window_seconds: u32, retry_after_millis: u32) -> Row {
    Base(reason, Code::ResourceExhausted, 429, ocp(0, "COM10000"))
        .says(
            "more than {limit} requests in {window_seconds} s; wait {retry_after_millis} ms",
            "请求次数过多，你已经超过当前流控窗口内的请求上限",
            values!(limit: limit, window_seconds: window_seconds, retry_after_millis: retry_after_millis),
            About::Values,
        )
        .retry(millis(retry_after_millis))
}

pub(super) fn too_many_watches(reason: &'static str, principal: &Principal, limit: u32) -> Row {
    Base(reason, Code::ResourceExhausted, 429, ocp(0, "COM10000"))
        .says(
            "{principal} has {limit} watches, which is the most; end one, or watch many tasks with one WatchTasks",
            "用户 {principal} 的订阅数已达上限 {limit}，请先结束部分订阅",
            values!(principal: principal, limit: limit),
            About::Values,
        )
        .retry(millis(5000))
}

pub(super) fn user_not_found(reason: &'static str, user: &str) -> Row {
    Base(reason, Code::NotFound, 404, ocp(1002, "COM10002")).says(
        "user {user} does not exist; see ListUsers",
        "用户 {user} 不存在，请查看用户列表",
        values!(user: user),
        About::Resource("obsteward.v1.User", user.to_owned()),
    )
}

pub(super) fn access_key_not_found(reason: &'static str, key: &AccessKeyId) -> Row {
    Base(reason, Code::NotFound, 404, ocp(1002, "COM10002")).says(
        "access key {access_key} does not exist; see ListAccessKeys",
        "AccessKey {access_key} 不存在，请查看 AccessKey 列表",
        values!(access_key: key),
        About::Resource("obsteward.v1.AccessKey", key.to_string()),
    )
}

pub(super) fn role_not_found(reason: &'static str, role: &RoleName) -> Row {
    Base(reason, Code::NotFound, 404, ocp(1002, "COM10002")).says(
        "role {role} does not exist; see ListRoles",
        "角色 {role} 不存在，请查看角色列表",
        values!(role: role),
        About::Resource("obsteward.v1.Role", role.to_string()),
    )
}

pub(super) fn name_taken(reason: &'static str, what: &'static str, name: &str) -> Row {
    let kind = match what {
        "role" => "obsteward.v1.Role",
        "access key" => "obsteward.v1.AccessKey",
        _ => "obsteward.v1.User",
    };
    Base(reason, Code::AlreadyExists, 409, ocp(1005, "COM10005")).says(
        "there is a {kind} {name} already; choose another name",
        "{kind} {name} 已存在，请更换名称",
        values!(kind: what, name: name),
        About::Resource(kind, name.to_owned()),
    )
}

pub(super) fn role_fixed(reason: &'static str, role: &RoleName, why: &str) -> Row {
    Base(reason, Code::FailedPrecondition, 409, ocp(1003, "COM10003")).says(
        "role {role} stays: {why}",
        "角色 {role} 不能删除：{why}",
        values!(role: role, why: why),
        About::Condition("ROLE_IN_USE", format!("roles/{role}")),
    )
}

pub(super) fn last_administrator(reason: &'static str, user: &Principal) -> Row {
    Base(reason, Code::FailedPrecondition, 409, ocp(1003, "COM10003")).says(
        "{user} is the last user who may do everything; give another one the role ADMIN first",
        "{user} 是最后一个管理员，请先将 ADMIN 角色授予其他用户",
        values!(user: user),
        About::Condition("LAST_ADMINISTRATOR", format!("users/{user}")),
    )
}

pub(super) fn route_not_found(reason: &'static str, method: &str, path: &str) -> Row {
    Base(reason, Code::Unimplemented, 404, ocp(1003, "COM10003")).says(
        "there is no {method} {path}; see /openapi.yaml",
        "接口 {method} {path} 不存在，请查看 /openapi.yaml",
        values!(method: method, path: path),
        About::Values,
    )
}

pub(super) fn method_not_allowed(reason: &'static str, method: &str, path: &str, allowed: &str) -> Row {
    Base(reason, Code::Unimplemented, 405, ocp(1003, "COM10003")).says(
        "{path} does not take {method}, but {allowed}",
        "接口 {path} 不支持 {method}，仅支持 {allowed}",
        values!(method: method, path: path, allowed: allowed),
        About::Values,
    )
}

pub(super) fn body_too_large(reason: &'static str, limit: u64) -> Row {
    Base(reason, Code::InvalidArgument, 413, ocp(1003, "COM10003")).says(
        "the body has more than {limit} bytes, which is the most",
        "请求体超过上限 {limit} 字节",
        values!(limit: limit),
        About::Values,
    )
}

pub(super) fn unsupported_media_type(reason: &'static str, field: &'static str, given: &str) -> Row {
    let description = format!("{given} is not understood, send application/json in UTF-8 without Content-Encoding");
    let violation = FieldViolation { field: field.to_owned(), description };
    Base(reason, Code::InvalidArgument, 415, ocp(1003, "COM10003")).says(
        "{field}: a body of {given} is not understood; send application/json in UTF-8 without Content-Encoding",
        "{field}：不支持的请求体 {given}，请使用 UTF-8 编码且未压缩的 application/json",
        values!(field: field, given: given),
        About::Fields(vec![violation]),
    )
}

pub(super) fn method_not_found(reason: &'static str, method: &str) -> Row {
    Base(reason, Code::Unimplemented, 404, ocp(1003, "COM10003")).says(
        "there is no method {method}; ask reflection for those that there are",
        "方法 {method} 不存在，请通过反射服务查看可用方法",
        values!(method: method),
        About::Values,
    )
}

pub(super) fn compression_unsupported(reason: &'static str, encoding: &str) -> Row {
    Base(reason, Code::Unimplemented, 415, ocp(1003, "COM10003")).says(
        "compression is not supported, and the call comes with {encoding}; send its message as it is",
        "不支持压缩（{encoding}），请发送未压缩的消息",
        values!(encoding: encoding),
        About::Values,
    )
}

pub(super) fn message_too_large(reason: &'static str, limit: u32) -> Row {
    Base(reason, Code::ResourceExhausted, 413, ocp(1003, "COM10003")).says(
        "the message has more than {limit} bytes, which is the most",
        "消息超过上限 {limit} 字节",
        values!(limit: limit),
        About::Values,
    )
}

pub(super) fn deadline_passed(reason: &'static str) -> Row {
    Base(reason, Code::DeadlineExceeded, 504, ocp(1004, "COM10004")).says(
        "the time that the caller gave the call is over; what it began goes on, ask for it or give the call more time",
        "调用方指定的时间已到，已开始的操作会继续执行，请查询结果或延长超时时间",
        Vec::new(),
        About::Values,
    )
}

pub(super) fn too_many_strangers(reason: &'static str, limit: u32) -> Row {
    Base(reason, Code::ResourceExhausted, 429, ocp(0, "COM10000"))
        .says(
            "{limit} requests that nobody has proven to be his are open already; take their answers or send credentials",
            "未认证的请求已达上限 {limit} 个，请先读取其响应或提供认证信息",
            values!(limit: limit),
            About::Values,
        )
        .retry(millis(1000))
}

pub(super) fn request_timeout(reason: &'static str, seconds: u64) -> Row {
    Base(reason, Code::DeadlineExceeded, 408, ocp(1004, "COM10004")).says(
        "the request did not arrive within {seconds} s; send it again",
        "请求未在 {seconds} 秒内发送完成，请重新发送",
        values!(seconds: seconds),
        About::Values,
    )
}
