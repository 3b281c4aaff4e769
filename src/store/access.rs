//! Users, access keys, roles and the audit log, as they are stored. Passwords are argon2id hashes; secrets of keys are
//! encrypted in the file and plain in these types.

use std::fmt;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::domain::ids::{AccessKeyId, Principal, RoleName, UserId};
use crate::domain::permission::Permission;
use crate::store::{AuditRecord, StoreError};

/// Stands for a password hash in logs: with the hash, passwords can be tried offline.
const HIDDEN: &str = "[REDACTED]";

/// A user: a person or a program. Users are disabled, never removed: tasks and audit records name them.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    pub id: UserId,
    pub name: Principal,
    /// PHC string of argon2id; `None`: the user cannot log in by password.
    pub password_hash: Option<String>,
    /// Ascending.
    pub roles: Vec<RoleName>,
    /// Subject alternative names of client certificates that prove it, ascending: `DNS:…`, `URI:…`, `EMAIL:…` or `IP:…`.
    pub certificate_names: Vec<String>,
    /// A disabled user cannot authenticate.
    pub disabled: bool,
    pub create_time: Timestamp,
    /// When its password was last set.
    pub password_time: Option<Timestamp>,
}

impl fmt::Debug for UserRow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, password_hash, roles, certificate_names, disabled, create_time, password_time } = self;
        formatter
            .debug_struct("UserRow")
            .field("id", id)
            .field("name", name)
            .field("password_hash", &password_hash.as_ref().map(|_| HIDDEN))
            .field("roles", roles)
            .field("certificate_names", certificate_names)
            .field("disabled", disabled)
            .field("create_time", create_time)
            .field("password_time", password_time)
            .finish()
    }
}

/// An access key: proves its user by signing requests, and has exactly its user's rights.
#[derive(Clone, Debug)]
pub struct AccessKeyRow {
    /// OCP's AK.
    pub id: AccessKeyId,
    pub user: UserId,
    /// OCP's SK.
    pub secret: SecretString,
    /// A disabled key authenticates nobody.
    pub disabled: bool,
    pub create_time: Timestamp,
    /// When its secret was last replaced.
    pub rotate_time: Timestamp,
}

/// Sessions of the web console that were ended before they expired. A session is known by its user and the moment at which it was
/// issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedSession {
    pub user: UserId,
    pub issued: Timestamp,
    /// `None`: with all that were issued before; otherwise no copy of it holds after this, and the row may go.
    pub expires: Option<Timestamp>,
}

/// A role that people made; the built-in ones are in `domain::permission`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRow {
    pub name: RoleName,
    /// Ascending.
    pub permissions: Vec<Permission>,
    pub create_time: Timestamp,
}

/// Everything about access at one moment.
#[derive(Clone, Debug, Default)]
pub struct AccessRows {
    /// Ascending by id.
    pub users: Vec<UserRow>,
    /// Ascending by id.
    pub keys: Vec<AccessKeyRow>,
    /// Ascending by name.
    pub roles: Vec<RoleRow>,
    /// Ascending by user and moment.
    pub ended_sessions: Vec<EndedSession>,
    /// How often any of this had changed.
    pub version: i64,
}

impl AccessRows {
    /// Whether the session of a user that was issued then was ended.
    pub fn is_ended(&self, user: UserId, issued: Timestamp) -> bool {
        let from = self.ended_sessions.partition_point(|ended| (ended.user, ended.issued) < (user, issued));
        let mut later = self.ended_sessions.iter().skip(from).take_while(|ended| ended.user == user);
        later.any(|ended| ended.issued == issued || ended.expires.is_none())
    }
}

#[derive(Clone)]
pub struct NewUser {
    /// `None`: the next free one above 1000.
    pub id: Option<UserId>,
    pub name: Principal,
    pub password_hash: Option<String>,
    pub roles: Vec<RoleName>,
    pub certificate_names: Vec<String>,
}

impl fmt::Debug for NewUser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, password_hash, roles, certificate_names } = self;
        formatter
            .debug_struct("NewUser")
            .field("id", id)
            .field("name", name)
            .field("password_hash", &password_hash.as_ref().map(|_| HIDDEN))
            .field("roles", roles)
            .field("certificate_names", certificate_names)
            .finish()
    }
}

/// One change of users, keys or roles. It takes effect at the time of its audit record. Whether the roles of a user exist is
/// not checked here; lists are stored ascending and without repeats.
#[derive(Clone)]
pub enum AccessChange {
    /// Makes a user.
    CreateUser(NewUser),
    /// `None`: stays as it is.
    UpdateUser {
        user: UserId,
        roles: Option<Vec<RoleName>>,
        certificate_names: Option<Vec<String>>,
        disabled: Option<bool>,
    },
    /// Gives a user another password.
    SetPassword { user: UserId, password_hash: String },
    /// Ends one session of a user, of which no copy holds after `expires`.
    EndSession { user: UserId, issued: Timestamp, expires: Timestamp },
    /// Ends all sessions of a user that were issued up to then. Disabling a user does so too.
    EndSessions { user: UserId, issued_until: Timestamp },
    /// Makes a key.
    CreateKey { id: AccessKeyId, user: UserId, secret: SecretString },
    /// Disables or enables a key.
    UpdateKey { id: AccessKeyId, disabled: bool },
    /// Gives a key another secret.
    RotateKey { id: AccessKeyId, secret: SecretString },
    /// Makes a role.
    CreateRole { name: RoleName, permissions: Vec<Permission> },
    /// Removes a role that no user has.
    DeleteRole { name: RoleName },
}

impl fmt::Debug for AccessChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateUser(new) => formatter.debug_tuple("CreateUser").field(new).finish(),
            Self::UpdateUser { user, roles, certificate_names, disabled } => formatter
                .debug_struct("UpdateUser")
                .field("user", user)
                .field("roles", roles)
                .field("certificate_names", certificate_names)
                .field("disabled", disabled)
                .finish(),
            Self::SetPassword { user, password_hash: _ } => {
                formatter.debug_struct("SetPassword").field("user", user).finish_non_exhaustive()
            }
            Self::EndSession { user, issued, expires } => formatter
                .debug_struct("EndSession")
                .field("user", user)
                .field("issued", issued)
                .field("expires", expires)
                .finish(),
            Self::EndSessions { user, issued_until } => {
                formatter.debug_struct("EndSessions").field("user", user).field("issued_until", issued_until).finish()
            }
            Self::CreateKey { id, user, secret: _ } => {
                formatter.debug_struct("CreateKey").field("id", id).field("user", user).finish_non_exhaustive()
            }
            Self::UpdateKey { id, disabled } => {
                formatter.debug_struct("UpdateKey").field("id", id).field("disabled", disabled).finish()
            }
            Self::RotateKey { id, secret: _ } => {
                formatter.debug_struct("RotateKey").field("id", id).finish_non_exhaustive()
            }
            Self::CreateRole { name, permissions } => {
                formatter.debug_struct("CreateRole").field("name", name).field("permissions", permissions).finish()
            }
            Self::DeleteRole { name } => formatter.debug_struct("DeleteRole").field("name", name).finish(),
        }
    }
}

/// Outcome of a change. All but `Done` wrote nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessChangeOutcome {
    /// It is on disk.
    Done,
    /// The name, id or certificate name is in use. `what`: `user`, `user id`, `certificate name`, `access key` or `role`.
    Taken { what: &'static str, name: String },
    /// The object to change does not exist; for a new key: its user.
    NotFound,
    /// A user has the role.
    RoleInUse { user: Principal },
}

/// Which audit records a list shows; `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub principal: Option<Principal>,
    pub call: Option<crate::domain::call::Call>,
    pub task: Option<crate::domain::ids::TaskId>,
    pub cluster: Option<crate::domain::ids::ClusterId>,
    /// Only those refused (`true`) or allowed (`false`).
    pub refused: Option<bool>,
    /// At this time or later.
    pub since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAuditRecord {
    /// Grows with time.
    pub id: i64,
    pub record: AuditRecord,
}

/// The part of the store that holds users, keys, roles and the audit log.
#[async_trait]
pub trait AccessStore: Send + Sync {
    async fn access(&self) -> Result<AccessRows, StoreError>;

    /// Changes one thing, with its audit record in the same commit; the record is written only if the change is done. `None`:
    /// something has changed since this version, by which the change was decided.
    async fn change_access(
        &self,
        change: AccessChange,
        audit: AuditRecord,
        version: i64,
    ) -> Result<Option<AccessChangeOutcome>, StoreError>;

    /// Changes when another replica has changed something.
    fn access_changes(&self) -> watch::Receiver<i64>;

    /// Writes a record alone: a refused call changed nothing else.
    async fn record(&self, audit: AuditRecord) -> Result<(), StoreError>;

    /// Audit records with ids below `below`, newest first, at most `limit`.
    async fn audit_records(
        &self,
        filter: &AuditFilter,
        below: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredAuditRecord>, StoreError>;
}
