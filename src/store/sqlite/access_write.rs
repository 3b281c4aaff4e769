//! Changes of users, keys and roles, each in the transaction of its batch and with its audit record: first every check, then
//! every write.

use rusqlite::{Connection, OptionalExtension, params};
use secrecy::SecretString;

use super::commit;
use super::inventory_write::{Changed, advance_counter, next_id};
use crate::clock::Timestamp;
use crate::domain::ids::{AccessKeyId, Principal, RoleName, UserId};
use crate::domain::permission::Permission;
use crate::store::access::{AccessChange, AccessChangeOutcome, NewUser};
use crate::store::vault::{SecretLocation, Vault};
use crate::store::{AuditRecord, StoreError};

/// The change happens at the time of its audit record.
pub(super) fn change(
    connection: &Connection,
    vault: &Vault,
    change: &AccessChange,
    record: &AuditRecord,
) -> Changed<AccessChangeOutcome> {
    let at = record.at;
    let changed = match change {
        AccessChange::CreateUser(new) => create_user(connection, new, at)?,
        AccessChange::UpdateUser { user, roles, certificate_names, disabled } => {
            update_user(connection, *user, roles.as_deref(), certificate_names.as_deref(), *disabled)?
        }
        AccessChange::SetPassword { user, password_hash } => done_if_there(
            connection
                .prepare_cached("UPDATE user SET password_hash = ?2, password_us = ?3 WHERE id = ?1")?
                .execute(params![user.get(), password_hash, at.as_micros()])?,
        ),
        AccessChange::CreateKey { id, user, secret } => match seal(vault, id, secret) {
            Ok(sealed) => create_key(connection, id, *user, &sealed, at)?,
            Err(error) => return Ok(Err(error)),
        },
        AccessChange::UpdateKey { id, disabled } => done_if_there(
            connection
                .prepare_cached("UPDATE access_key SET disabled = ?2 WHERE id = ?1")?
                .execute(params![id.as_str(), disabled])?,
        ),
        AccessChange::RotateKey { id, secret } => match seal(vault, id, secret) {
            Ok(sealed) => done_if_there(
                connection
                    .prepare_cached("UPDATE access_key SET secret = ?2, rotate_us = ?3 WHERE id = ?1")?
                    .execute(params![id.as_str(), sealed, at.as_micros()])?,
            ),
            Err(error) => return Ok(Err(error)),
        },
        AccessChange::CreateRole { name, permissions } => create_role(connection, name, permissions, at)?,
        AccessChange::DeleteRole { name } => delete_role(connection, name)?,
    };
    if changed == AccessChangeOutcome::Done {
        commit::audit(connection, record)?;
    }
    Ok(Ok(changed))
}

fn seal(vault: &Vault, key: &AccessKeyId, secret: &SecretString) -> Result<String, StoreError> {
    vault.seal(SecretLocation::AccessKeySecret(key), secret).map_err(|error| StoreError::Failed(error.to_string()))
}

/// For a statement that names one row by its key.
const fn done_if_there(rows: usize) -> AccessChangeOutcome {
    if rows == 0 { AccessChangeOutcome::NotFound } else { AccessChangeOutcome::Done }
}

fn taken(what: &'static str, name: impl ToString) -> AccessChangeOutcome {
    AccessChangeOutcome::Taken { what, name: name.to_string() }
}

fn create_user(connection: &Connection, new: &NewUser, at: Timestamp) -> rusqlite::Result<AccessChangeOutcome> {
    let mut same_name = connection.prepare_cached("SELECT 1 FROM user WHERE name = ?1")?;
    if same_name.exists([new.name.as_str()])? {
        return Ok(taken("user", &new.name));
    }
    if let Some(id) = new.id
        && user_exists(connection, id)?
    {
        return Ok(taken("user id", id));
    }
    if let Some(name) = taken_certificate(connection, &new.certificate_names, None)? {
        return Ok(taken("certificate name", name));
    }
    let id = match new.id {
        Some(id) => {
            advance_counter(connection, "user", id.get())?;
            id.get()
        }
        None => next_id(connection, "user")?,
    };
    connection
        .prepare_cached(
            "INSERT INTO user (id, name, password_hash, disabled, create_us, password_us) \
             VALUES (?1, ?2, ?3, 0, ?4, ?5)",
        )?
        .execute(params![
            id,
            new.name.as_str(),
            new.password_hash,
            at.as_micros(),
            new.password_hash.as_ref().map(|_| at.as_micros())
        ])?;
    write_roles(connection, id, &new.roles)?;
    write_certificates(connection, id, &new.certificate_names)?;
    Ok(AccessChangeOutcome::Done)
}

fn update_user(
    connection: &Connection,
    user: UserId,
    roles: Option<&[RoleName]>,
    certificate_names: Option<&[String]>,
    disabled: Option<bool>,
) -> rusqlite::Result<AccessChangeOutcome> {
    if !user_exists(connection, user)? {
        return Ok(AccessChangeOutcome::NotFound);
    }
    if let Some(name) = taken_certificate(connection, certificate_names.unwrap_or_default(), Some(user))? {
        return Ok(taken("certificate name", name));
    }
    if let Some(roles) = roles {
        connection.prepare_cached("DELETE FROM user_role WHERE user = ?1")?.execute([user.get()])?;
        write_roles(connection, user.get(), roles)?;
    }
    if let Some(names) = certificate_names {
        connection.prepare_cached("DELETE FROM user_certificate WHERE user = ?1")?.execute([user.get()])?;
        write_certificates(connection, user.get(), names)?;
    }
    if let Some(disabled) = disabled {
        connection
            .prepare_cached("UPDATE user SET disabled = ?2 WHERE id = ?1")?
            .execute(params![user.get(), disabled])?;
    }
    Ok(AccessChangeOutcome::Done)
}

fn user_exists(connection: &Connection, user: UserId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM user WHERE id = ?1")?.exists([user.get()])
}

/// The first certificate name that belongs to another user than `but`.
fn taken_certificate<'a>(
    connection: &Connection,
    names: &'a [String],
    but: Option<UserId>,
) -> rusqlite::Result<Option<&'a str>> {
    let mut owner = connection.prepare_cached("SELECT user FROM user_certificate WHERE name = ?1")?;
    for name in names {
        let owner: Option<i64> = owner.query_row([name], |row| row.get(0)).optional()?;
        if owner.is_some() && owner != but.map(UserId::get) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn write_roles(connection: &Connection, user: i64, roles: &[RoleName]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO user_role (user, role) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    roles.iter().try_for_each(|role| statement.execute(params![user, role.as_str()]).map(drop))
}

fn write_certificates(connection: &Connection, user: i64, names: &[String]) -> rusqlite::Result<()> {
    // A conflict can only be a repeat in this list: names of other users were found before.
    let sql = "INSERT INTO user_certificate (name, user) VALUES (?2, ?1) ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    names.iter().try_for_each(|name| statement.execute(params![user, name]).map(drop))
}

fn create_key(
    connection: &Connection,
    id: &AccessKeyId,
    user: UserId,
    sealed: &str,
    at: Timestamp,
) -> rusqlite::Result<AccessChangeOutcome> {
    if !user_exists(connection, user)? {
        return Ok(AccessChangeOutcome::NotFound);
    }
    let inserted = connection
        .prepare_cached(
            "INSERT INTO access_key (id, user, secret, disabled, create_us, rotate_us) \
             VALUES (?1, ?2, ?3, 0, ?4, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute(params![id.as_str(), user.get(), sealed, at.as_micros()])?;
    Ok(if inserted == 0 { taken("access key", id) } else { AccessChangeOutcome::Done })
}

fn create_role(
    connection: &Connection,
    name: &RoleName,
    permissions: &[Permission],
    at: Timestamp,
) -> rusqlite::Result<AccessChangeOutcome> {
    let mut permissions = permissions.to_vec();
    permissions.sort_unstable();
    permissions.dedup();
    let permissions: Vec<String> = permissions.iter().map(Permission::to_string).collect();
    let inserted = connection
        .prepare_cached("INSERT INTO role (name, permissions, create_us) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![name.as_str(), serde_json::json!(permissions).to_string(), at.as_micros()])?;
    Ok(if inserted == 0 { taken("role", name) } else { AccessChangeOutcome::Done })
}

fn delete_role(connection: &Connection, name: &RoleName) -> rusqlite::Result<AccessChangeOutcome> {
    if !connection.prepare_cached("SELECT 1 FROM role WHERE name = ?1")?.exists([name.as_str()])? {
        return Ok(AccessChangeOutcome::NotFound);
    }
    let user: Option<String> = connection
        .prepare_cached("SELECT name FROM user WHERE id = (SELECT min(user) FROM user_role WHERE role = ?1)")?
        .query_row([name.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(user) = user {
        return Ok(AccessChangeOutcome::RoleInUse { user: Principal::new(user) });
    }
    connection.prepare_cached("DELETE FROM role WHERE name = ?1")?.execute([name.as_str()])?;
    Ok(AccessChangeOutcome::Done)
}
