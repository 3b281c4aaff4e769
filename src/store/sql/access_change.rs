//! Changes of users, keys and roles, each with its audit record: first every check, then what is written.

use secrecy::SecretString;

use super::audit;
use super::database::{Change, Database};
use super::ended_session;
use super::ids::Ids;
use super::statement::{OnConflict, Statement};
use super::value::SqlValue;
use crate::clock::Timestamp;
use crate::domain::ids::{AccessKeyId, Principal, RoleName, UserId};
use crate::domain::permission::Permission;
use crate::store::access::{AccessChange, AccessChangeOutcome, NewUser};
use crate::store::vault::{SecretLocation, Vault};
use crate::store::{AuditRecord, StoreError};

/// What a change writes, or why it is refused.
pub(super) type Decided = Result<Vec<Statement>, AccessChangeOutcome>;

/// The change happens at the time of its audit record.
pub async fn change(
    database: &mut Database,
    (change, record): &(AccessChange, AuditRecord),
) -> Result<Change<AccessChangeOutcome>, StoreError> {
    let at = record.at;
    let decided = match change {
        AccessChange::CreateUser(new) => create_user(database, new, at).await?,
        AccessChange::UpdateUser { user, roles, certificate_names, disabled } => {
            update_user(database, *user, roles.as_deref(), certificate_names.as_deref(), *disabled, at).await?
        }
        AccessChange::SetPassword { user, password_hash } => {
            let set = vec![("password_hash", password_hash.as_str().into()), ("password_us", at.as_micros().into())];
            one_row(database, "user", ("id", user.get().into()), set).await?
        }
        AccessChange::EndSession { user, issued, expires } => {
            ended_session::one(database, *user, *issued, *expires, at).await?
        }
        AccessChange::EndSessions { user, issued_until } => ended_session::all(database, *user, *issued_until).await?,
        AccessChange::CreateKey { id, user, secret } => create_key(database, id, *user, secret, at).await?,
        AccessChange::UpdateKey { id, disabled } => {
            one_row(database, "access_key", ("id", id.as_str().into()), vec![("disabled", (*disabled).into())]).await?
        }
        AccessChange::RotateKey { id, secret } => {
            let sealed = seal(&database.vault, id, secret)?;
            let set = vec![("secret", sealed.into()), ("rotate_us", at.as_micros().into())];
            one_row(database, "access_key", ("id", id.as_str().into()), set).await?
        }
        AccessChange::CreateRole { name, permissions } => create_role(database, name, permissions, at).await?,
        AccessChange::DeleteRole { name } => delete_role(database, name).await?,
    };
    Ok(match decided {
        Ok(mut statements) => {
            statements.push(audit::insertion(record));
            Change::of(AccessChangeOutcome::Done, statements)
        }
        Err(refused) => Change::none(refused),
    })
}

fn seal(vault: &Vault, key: &AccessKeyId, secret: &SecretString) -> Result<String, StoreError> {
    vault.seal(SecretLocation::AccessKeySecret(key), secret).map_err(|error| StoreError::Failed(error.to_string()))
}

fn taken(what: &'static str, name: impl ToString) -> AccessChangeOutcome {
    AccessChangeOutcome::Taken { what, name: name.to_string() }
}

/// Sets columns of the row with this key.
async fn one_row(
    database: &mut Database,
    table: &'static str,
    (column, key): (&'static str, SqlValue),
    set: Vec<(&'static str, SqlValue)>,
) -> Result<Decided, StoreError> {
    let there = database.exists(&format!("SELECT 1 FROM `{table}` WHERE {column} = ?"), vec![key.clone()]).await?;
    if !there {
        return Ok(Err(AccessChangeOutcome::NotFound));
    }
    Ok(Ok(vec![Statement::update(table, set, vec![(column, key)])]))
}

async fn create_user(database: &mut Database, new: &NewUser, at: Timestamp) -> Result<Decided, StoreError> {
    if database.exists("SELECT 1 FROM `user` WHERE name = ?", vec![new.name.as_str().into()]).await? {
        return Ok(Err(taken("user", &new.name)));
    }
    if let Some(id) = new.id
        && user_exists(database, id).await?
    {
        return Ok(Err(taken("user id", id)));
    }
    if let Some(name) = taken_certificate(database, &new.certificate_names, None).await? {
        return Ok(Err(taken("certificate name", name)));
    }
    let mut ids = Ids::read(database, "user").await?;
    let id = match new.id {
        Some(id) => {
            ids.choose(id.get());
            id.get()
        }
        None => ids.next(database).await?,
    };
    let user = Statement::insert(
        "user",
        [
            ("id", id.into()),
            ("name", new.name.as_str().into()),
            ("password_hash", new.password_hash.as_deref().into()),
            ("disabled", false.into()),
            ("create_us", at.as_micros().into()),
            ("password_us", new.password_hash.as_ref().map(|_| at.as_micros()).into()),
        ],
    );
    let rows = roles_of(id, &new.roles).chain(certificates_of(id, &new.certificate_names));
    Ok(Ok(std::iter::once(user).chain(rows).chain(ids.statements()).collect()))
}

async fn update_user(
    database: &mut Database,
    user: UserId,
    roles: Option<&[RoleName]>,
    certificate_names: Option<&[String]>,
    disabled: Option<bool>,
    at: Timestamp,
) -> Result<Decided, StoreError> {
    if !user_exists(database, user).await? {
        return Ok(Err(AccessChangeOutcome::NotFound));
    }
    if let Some(name) = taken_certificate(database, certificate_names.unwrap_or_default(), Some(user)).await? {
        return Ok(Err(taken("certificate name", name)));
    }
    let mut statements = Vec::new();
    let id = user.get();
    if let Some(roles) = roles {
        statements.push(Statement::delete("user_role", [("user", id.into())]));
        statements.extend(roles_of(id, roles));
    }
    if let Some(names) = certificate_names {
        statements.push(Statement::delete("user_certificate", [("user", id.into())]));
        statements.extend(certificates_of(id, names));
    }
    if let Some(disabled) = disabled {
        statements.push(Statement::update("user", vec![("disabled", disabled.into())], vec![("id", id.into())]));
        if disabled {
            // Otherwise those that it had would hold again once it is enabled.
            statements.extend(ended_session::all_of(database, user, at).await?);
        }
    }
    Ok(Ok(statements))
}

pub(super) async fn user_exists(database: &mut Database, user: UserId) -> Result<bool, StoreError> {
    database.exists("SELECT 1 FROM `user` WHERE id = ?", vec![user.get().into()]).await
}

/// The first certificate name that belongs to another user than `but`.
async fn taken_certificate<'a>(
    database: &mut Database,
    names: &'a [String],
    but: Option<UserId>,
) -> Result<Option<&'a str>, StoreError> {
    for name in names {
        let owner =
            database.row("SELECT user FROM user_certificate WHERE name = ?", vec![name.as_str().into()]).await?;
        let owner = owner.map(|row| row.int(0)).transpose()?;
        if owner.is_some() && owner != but.map(UserId::get) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn roles_of(user: i64, roles: &[RoleName]) -> impl Iterator<Item = Statement> {
    roles.iter().map(move |role| {
        let row = [("user", user.into()), ("role", role.as_str().into())];
        Statement::insert("user_role", row).on_conflict(OnConflict::Keep)
    })
}

fn certificates_of(user: i64, names: &[String]) -> impl Iterator<Item = Statement> {
    names.iter().map(move |name| {
        // A conflict can only be a repeat in this list: names of other users were found before.
        let row = [("name", name.as_str().into()), ("user", user.into())];
        Statement::insert("user_certificate", row).on_conflict(OnConflict::Keep)
    })
}

async fn create_key(
    database: &mut Database,
    id: &AccessKeyId,
    user: UserId,
    secret: &SecretString,
    at: Timestamp,
) -> Result<Decided, StoreError> {
    if !user_exists(database, user).await? {
        return Ok(Err(AccessChangeOutcome::NotFound));
    }
    if database.exists("SELECT 1 FROM access_key WHERE id = ?", vec![id.as_str().into()]).await? {
        return Ok(Err(taken("access key", id)));
    }
    let row = [
        ("id", id.as_str().into()),
        ("user", user.get().into()),
        ("secret", seal(&database.vault, id, secret)?.into()),
        ("disabled", false.into()),
        ("create_us", at.as_micros().into()),
        ("rotate_us", at.as_micros().into()),
    ];
    Ok(Ok(vec![Statement::insert("access_key", row)]))
}

async fn create_role(
    database: &mut Database,
    name: &RoleName,
    permissions: &[Permission],
    at: Timestamp,
) -> Result<Decided, StoreError> {
    if role_exists(database, name).await? {
        return Ok(Err(taken("role", name)));
    }
    let mut permissions = permissions.to_vec();
    permissions.sort_unstable();
    permissions.dedup();
    let permissions: Vec<String> = permissions.iter().map(Permission::to_string).collect();
    let row = [
        ("name", name.as_str().into()),
        ("permissions", serde_json::json!(permissions).to_string().into()),
        ("create_us", at.as_micros().into()),
    ];
    Ok(Ok(vec![Statement::insert("role", row)]))
}

async fn role_exists(database: &mut Database, name: &RoleName) -> Result<bool, StoreError> {
    database.exists("SELECT 1 FROM role WHERE name = ?", vec![name.as_str().into()]).await
}

async fn delete_role(database: &mut Database, name: &RoleName) -> Result<Decided, StoreError> {
    if !role_exists(database, name).await? {
        return Ok(Err(AccessChangeOutcome::NotFound));
    }
    let sql = "SELECT name FROM `user` WHERE id = (SELECT min(user) FROM user_role WHERE role = ?)";
    if let Some(row) = database.row(sql, vec![name.as_str().into()]).await? {
        return Ok(Err(AccessChangeOutcome::RoleInUse { user: Principal::new(row.owned_text(0)?) }));
    }
    Ok(Ok(vec![Statement::delete("role", [("name", name.as_str().into())])]))
}
