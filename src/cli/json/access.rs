//! Users, access keys, roles and audit records.

use serde::Serialize;

use crate::cli::{times, words};
use crate::proto::v1;

/// A user.
#[derive(Debug, Serialize)]
pub struct UserDoc {
    id: i64,
    name: String,
    roles: Vec<String>,
    certificate_names: Vec<String>,
    disabled: bool,
    has_password: bool,
    create_time: Option<String>,
    password_time: Option<String>,
    permissions: Vec<String>,
}

/// Every user.
#[derive(Debug, Serialize)]
pub struct UsersDoc {
    /// Ascending by id.
    pub users: Vec<UserDoc>,
}

/// An access key.
#[derive(Debug, Serialize)]
pub struct AccessKeyDoc {
    id: String,
    user: String,
    disabled: bool,
    create_time: Option<String>,
    rotate_time: Option<String>,
}

/// Access keys.
#[derive(Debug, Serialize)]
pub struct AccessKeysDoc {
    /// Ascending by id.
    pub access_keys: Vec<AccessKeyDoc>,
}

/// An access key with its secret, which is shown this once. No Debug: it would show it too.
#[derive(Serialize)]
pub struct NewSecretDoc<'a> {
    /// The key.
    pub access_key: AccessKeyDoc,
    /// Its secret.
    pub secret: &'a str,
}

/// A role.
#[derive(Debug, Serialize)]
pub struct RoleDoc {
    name: String,
    permissions: Vec<String>,
    builtin: bool,
    create_time: Option<String>,
}

/// Every role.
#[derive(Debug, Serialize)]
pub struct RolesDoc {
    /// Those that are always there first.
    pub roles: Vec<RoleDoc>,
}

/// A mutation that was asked for.
#[derive(Debug, Serialize)]
pub struct AuditDoc {
    id: i64,
    time: Option<String>,
    principal: String,
    address: String,
    operation: String,
    target: String,
    cluster_id: i64,
    task_id: i64,
    arguments: String,
    result: String,
    reason: String,
    trace_id: String,
}

/// Audit records.
#[derive(Debug, Serialize)]
pub struct AuditsDoc {
    /// Newest first.
    pub records: Vec<AuditDoc>,
    /// Whether there are more than the limit.
    pub more: bool,
}

impl From<&v1::User> for UserDoc {
    fn from(user: &v1::User) -> Self {
        Self {
            id: user.id,
            name: user.name.clone(),
            roles: user.roles.clone(),
            certificate_names: user.certificate_names.clone(),
            disabled: user.disabled,
            has_password: user.has_password,
            create_time: times::rfc3339(user.create_time.as_ref()),
            password_time: times::rfc3339(user.password_time.as_ref()),
            permissions: user.permissions.clone(),
        }
    }
}

impl From<&v1::AccessKey> for AccessKeyDoc {
    fn from(key: &v1::AccessKey) -> Self {
        Self {
            id: key.id.clone(),
            user: key.user.clone(),
            disabled: key.disabled,
            create_time: times::rfc3339(key.create_time.as_ref()),
            rotate_time: times::rfc3339(key.rotate_time.as_ref()),
        }
    }
}

impl From<&v1::Role> for RoleDoc {
    fn from(role: &v1::Role) -> Self {
        Self {
            name: role.name.clone(),
            permissions: role.permissions.clone(),
            builtin: role.builtin,
            create_time: times::rfc3339(role.create_time.as_ref()),
        }
    }
}

impl From<&v1::AuditRecord> for AuditDoc {
    fn from(record: &v1::AuditRecord) -> Self {
        Self {
            id: record.id,
            time: times::rfc3339(record.time.as_ref()),
            principal: record.principal.clone(),
            address: record.address.clone(),
            operation: record.operation.clone(),
            target: record.target.clone(),
            cluster_id: record.cluster_id,
            task_id: record.task_id,
            arguments: record.arguments.clone(),
            result: words::audit_result(record.result).into_owned(),
            reason: record.reason.clone(),
            trace_id: record.trace_id.clone(),
        }
    }
}
