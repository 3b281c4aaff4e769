//! The users, keys and roles that the configuration wants: created at start when they are missing. What exists already
//! stays as it is, even if the configuration differs: people have changed it in the store since.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::access::Directory;
use crate::access::password::{self, PasswordError};
use crate::clock::Clock;
use crate::domain::call::Call;
use crate::domain::ids::{AccessKeyId, InvalidName, Principal, RoleName, UserId};
use crate::domain::permission::{InvalidPermission, Permission, Rights, builtin};
use crate::domain::reason::Reason;
use crate::net::certificate::{InvalidCertificateName, certificate_name};
use crate::store::access::{AccessChange, AccessChangeOutcome, AccessRows, NewUser, UserRow};
use crate::store::{AuditOutcome, AuditRecord, StoreError};

/// The author in the audit log: OCP's name for what nobody asked for (docs/ocp-v2.md#users).
pub const SYSTEM: &str = "system";

/// Ids of OCP's first two users (docs/ocp-v2.md#users); others get the next free one above 1000.
const FIXED_IDS: &[(&str, i64)] = &[("admin", 100), (SYSTEM, 200)];

/// Shortest and longest secret of an access key, in bytes: shorter ones can be guessed.
const SECRET_LENGTHS: std::ops::RangeInclusive<usize> = 16..=512;

/// What the configuration wants, checked by [`bootstrap`].
#[derive(Clone, Debug, Default)]
pub struct Bootstrap {
    pub roles: Vec<WantedRole>,
    pub users: Vec<WantedUser>,
    pub keys: Vec<WantedKey>,
}

#[derive(Clone, Debug)]
pub struct WantedRole {
    pub name: String,
    /// Its permissions, `DOMAIN:id:ACTION`.
    pub permissions: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct WantedUser {
    pub name: String,
    /// Names of its roles: built-in ones, existing ones, or ones that are wanted too.
    pub roles: Vec<String>,
    /// `None`: it cannot log in by password.
    pub password: Option<WantedPassword>,
    /// Subject alternative names of its client certificates.
    pub certificate_names: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum WantedPassword {
    /// In plaintext, 1 to 512 bytes.
    Plain(SecretString),
    /// As a PHC string of argon2id.
    Hash(String),
}

#[derive(Clone, Debug)]
pub struct WantedKey {
    pub id: String,
    /// Name of the user it belongs to.
    pub user: String,
    /// Its secret, 16 to 512 bytes.
    pub secret: SecretString,
}

/// The result: `role NAME`, `user NAME` or `access key ID` each, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Created now.
    pub made: Vec<String>,
    /// Existed already, and left as it was.
    pub kept: Vec<String>,
}

/// Why the service does not start. Nothing was created, unless the store failed or a name was taken in between.
#[derive(Debug, Error)]
pub enum BootstrapError {
    #[error("{entry}: {error}")]
    Name { entry: String, error: InvalidName },
    #[error("{entry}: {error}")]
    Permission { entry: String, error: InvalidPermission },
    #[error("{entry}: {error}")]
    CertificateName { entry: String, error: InvalidCertificateName },
    #[error("{entry}: {error}")]
    Password { entry: String, error: PasswordError },
    #[error("{entry}: its secret has {length} bytes; give it 16 to 512")]
    Secret {
        entry: String,
        /// In bytes.
        length: usize,
    },
    /// Two entries of one name.
    #[error("{entry} is wanted twice; remove one")]
    Twice { entry: String },
    /// The name of a role that is built in.
    #[error("{entry} is always there and cannot be made; choose another name")]
    Builtin { entry: String },
    /// An entry names a role or user that neither exists nor is wanted.
    #[error("{entry}: there is no {missing}; name one that is there, or add it")]
    Missing { entry: String, missing: String },
    /// The certificate name belongs to another user.
    #[error("{entry}: the {what} {name} is taken; choose another one")]
    Taken { entry: String, what: &'static str, name: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

struct Valid {
    roles: Vec<(RoleName, Vec<Permission>)>,
    users: Vec<(NewUser, Option<WantedPassword>)>,
    keys: Vec<(AccessKeyId, Principal, SecretString)>,
}

/// Creates what is missing. Every entry is checked before anything is created.
pub async fn bootstrap(directory: &Directory, wanted: Bootstrap, clock: &Clock) -> Result<Report, BootstrapError> {
    let Valid { roles, users, keys } = validate(wanted, &directory.rows())?;
    let mut making = Making { directory, clock, report: Report::default() };
    for (name, permissions) in roles {
        let entry = format!("role {name}");
        let is_there = directory.role(&name).is_some();
        making
            .make(entry, is_there, Call::CreateRole, |_| {
                let (name, permissions) = (name.clone(), permissions.clone());
                Some(AccessChange::CreateRole { name, permissions })
            })
            .await?;
    }
    for (mut user, password) in users {
        let entry = format!("user {}", user.name);
        let is_there = directory.user(&user.name).is_some();
        if !is_there {
            user.password_hash = hashed(&entry, password).await?;
        }
        making.make(entry, is_there, Call::CreateUser, |_| Some(AccessChange::CreateUser(user.clone()))).await?;
    }
    for (id, owner, secret) in keys {
        let entry = format!("access key {id}");
        let is_there = directory.rows().keys.iter().any(|key| key.id == id);
        let change = |rows: &AccessRows| {
            let user = rows.users.iter().find(|user| user.name == owner)?.id;
            Some(AccessChange::CreateKey { id: id.clone(), user, secret: secret.clone() })
        };
        making.make(entry, is_there, Call::CreateAccessKey, change).await?;
    }
    Ok(making.report)
}

struct Making<'a> {
    directory: &'a Directory,
    clock: &'a Clock,
    report: Report,
}

impl Making<'_> {
    async fn make(
        &mut self,
        entry: String,
        is_there: bool,
        call: Call,
        change: impl Fn(&AccessRows) -> Option<AccessChange> + Send + Sync,
    ) -> Result<(), BootstrapError> {
        if is_there {
            self.report.kept.push(entry);
            return Ok(());
        }
        let audit = AuditRecord {
            at: self.clock.now(),
            principal: Principal::new(SYSTEM),
            address: String::new(),
            call,
            target: entry.clone(),
            cluster: None,
            task: None,
            arguments: "from the configuration".to_owned(),
            reason: Reason::default(),
            outcome: AuditOutcome::Accepted,
            trace_id: String::new(),
        };
        let missing = || BootstrapError::Missing { entry: entry.clone(), missing: "user of it".to_owned() };
        let changed =
            self.directory.change(|rows| change(rows).map(|change| (change, audit.clone())).ok_or_else(missing));
        match changed.await? {
            AccessChangeOutcome::Done => self.report.made.push(entry),
            // Another replica that starts at the same time has made it meanwhile.
            AccessChangeOutcome::Taken { what: "user" | "role" | "access key", .. } => self.report.kept.push(entry),
            AccessChangeOutcome::Taken { what, name } => return Err(BootstrapError::Taken { entry, what, name }),
            AccessChangeOutcome::NotFound => return Err(missing()),
            // Only removing a role ends in this.
            AccessChangeOutcome::RoleInUse { .. } => return Err(BootstrapError::Twice { entry }),
        }
        Ok(())
    }
}

async fn hashed(entry: &str, password: Option<WantedPassword>) -> Result<Option<String>, BootstrapError> {
    match password {
        None => Ok(None),
        Some(WantedPassword::Hash(hash)) => Ok(Some(hash)),
        Some(WantedPassword::Plain(plain)) => {
            let error = |error| BootstrapError::Password { entry: entry.to_owned(), error };
            password::hash(plain).await.map(Some).map_err(error)
        }
    }
}

fn validate(wanted: Bootstrap, rows: &AccessRows) -> Result<Valid, BootstrapError> {
    let roles: Vec<_> = wanted.roles.into_iter().map(role).collect::<Result<_, _>>()?;
    once(roles.iter().map(|(name, _)| format!("role {name}")))?;
    let users: Vec<_> = wanted.users.into_iter().map(user).collect::<Result<_, _>>()?;
    once(users.iter().map(|(user, _)| format!("user {}", user.name)))?;
    let keys: Vec<_> = wanted.keys.into_iter().map(key).collect::<Result<_, _>>()?;
    once(keys.iter().map(|(id, ..)| format!("access key {id}")))?;

    let is_role = |name: &RoleName| {
        let wanted = roles.iter().any(|(role, _)| role == name);
        wanted || builtin(name.as_str()).is_some() || rows.roles.iter().any(|role| role.name == *name)
    };
    for (user, _) in &users {
        if let Some(missing) = user.roles.iter().find(|name| !is_role(name)) {
            return Err(BootstrapError::Missing {
                entry: format!("user {}", user.name),
                missing: format!("role {missing}"),
            });
        }
    }
    let is_user = |name: &Principal| {
        users.iter().any(|(user, _)| user.name == *name) || rows.users.iter().any(|user| user.name == *name)
    };
    if let Some((id, user, _)) = keys.iter().find(|(_, user, _)| !is_user(user)) {
        let missing = format!("user {user}");
        return Err(BootstrapError::Missing { entry: format!("access key {id}"), missing });
    }
    Ok(Valid { roles, users, keys })
}

fn once(entries: impl Iterator<Item = String>) -> Result<(), BootstrapError> {
    let mut seen = BTreeSet::new();
    for entry in entries {
        if !seen.insert(entry.clone()) {
            return Err(BootstrapError::Twice { entry });
        }
    }
    Ok(())
}

fn named<T: std::str::FromStr<Err = InvalidName>>(entry: &str, name: &str) -> Result<T, BootstrapError> {
    name.parse().map_err(|error| BootstrapError::Name { entry: entry.to_owned(), error })
}

fn role(wanted: WantedRole) -> Result<(RoleName, Vec<Permission>), BootstrapError> {
    let entry = format!("role {:?}", wanted.name);
    let name: RoleName = named(&entry, &wanted.name)?;
    if builtin(name.as_str()).is_some() {
        return Err(BootstrapError::Builtin { entry: format!("role {name}") });
    }
    let permission =
        |text: &String| text.parse().map_err(|error| BootstrapError::Permission { entry: entry.clone(), error });
    let mut permissions: Vec<Permission> = wanted.permissions.iter().map(permission).collect::<Result<_, _>>()?;
    permissions.sort_unstable();
    permissions.dedup();
    Ok((name, permissions))
}

fn user(wanted: WantedUser) -> Result<(NewUser, Option<WantedPassword>), BootstrapError> {
    let entry = format!("user {:?}", wanted.name);
    let name: Principal = named(&entry, &wanted.name)?;
    let mut roles: Vec<RoleName> =
        wanted.roles.iter().map(|role| named(&entry, role)).collect::<Result<_, BootstrapError>>()?;
    roles.sort_unstable();
    roles.dedup();
    let certificate = |name: &String| {
        certificate_name(name).map_err(|error| BootstrapError::CertificateName { entry: entry.clone(), error })
    };
    let mut certificate_names: Vec<String> =
        wanted.certificate_names.iter().map(certificate).collect::<Result<_, _>>()?;
    certificate_names.sort_unstable();
    certificate_names.dedup();
    let length = |plain: &SecretString| plain.expose_secret().len();
    let checked = match &wanted.password {
        None => Ok(()),
        Some(WantedPassword::Hash(hash)) => password::check_hash(hash),
        Some(WantedPassword::Plain(plain)) if (1..=password::LONGEST).contains(&length(plain)) => Ok(()),
        Some(WantedPassword::Plain(plain)) => Err(PasswordError::LengthAtStart(length(plain))),
    };
    checked.map_err(|error| BootstrapError::Password { entry: entry.clone(), error })?;
    let fixed = FIXED_IDS.iter().find(|(fixed, _)| *fixed == name.as_str());
    let id =
        fixed.map(|(_, id)| UserId::new(*id).map_err(|error| BootstrapError::Name { entry, error })).transpose()?;
    Ok((NewUser { id, name, password_hash: None, roles, certificate_names }, wanted.password))
}

fn key(wanted: WantedKey) -> Result<(AccessKeyId, Principal, SecretString), BootstrapError> {
    let entry = format!("access key {:?}", wanted.id);
    let length = wanted.secret.expose_secret().len();
    let (id, user) = (named(&entry, &wanted.id)?, named(&entry, &wanted.user)?);
    if SECRET_LENGTHS.contains(&length) {
        Ok((id, user, wanted.secret))
    } else {
        Err(BootstrapError::Secret { entry, length })
    }
}

/// Whether somebody can log in with all permissions: an enabled user with `**` and a password, a certificate name or an
/// enabled key.
pub fn has_administrator(directory: &Directory) -> bool {
    let rows = directory.rows();
    let can_prove_it = |user: &UserRow| {
        let has_key = || rows.keys.iter().any(|key| key.user == user.id && !key.disabled);
        user.password_hash.is_some() || !user.certificate_names.is_empty() || has_key()
    };
    let may_do_everything = |user: &UserRow| directory.rights_of(&user.roles).cover(&Rights::everything());
    rows.users.iter().any(|user| !user.disabled && may_do_everything(user) && can_prove_it(user))
}
