//! Reads of users, keys, roles and audit records. Each function runs inside one read transaction and writes nothing.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use rusqlite::{Connection, Row, params_from_iter};

use super::commit::{ACCEPTED, REFUSED};
use super::conditions::Conditions;
use crate::clock::Timestamp;
use crate::domain::ids::{AccessKeyId, ClusterId, Principal, TaskId, UserId};
use crate::domain::reason::Reason;
use crate::store::access::{AccessKeyRow, AccessRows, AuditFilter, RoleRow, StoredAuditRecord, UserRow};
use crate::store::vault::{SecretLocation, Vault};
use crate::store::{AuditOutcome, AuditRecord, StoreError};

pub(super) fn access(connection: &Connection, vault: &Vault) -> Result<AccessRows, StoreError> {
    Ok(AccessRows { users: users(connection)?, keys: keys(connection, vault)?, roles: roles(connection)? })
}

fn users(connection: &Connection) -> Result<Vec<UserRow>, StoreError> {
    let mut roles = names_by_user(connection, "SELECT user, role FROM user_role ORDER BY user, role")?;
    let mut certificates = names_by_user(connection, "SELECT user, name FROM user_certificate ORDER BY user, name")?;
    let mut statement = connection
        .prepare_cached("SELECT id, name, password_hash, disabled, create_us, password_us FROM user ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut users = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let roles = roles.remove(&id).unwrap_or_default();
        users.push(UserRow {
            id: UserId::new(id).map_err(damaged)?,
            name: Principal::new(row.get::<_, String>(1)?),
            password_hash: row.get(2)?,
            roles: roles.iter().map(|role| word(role)).collect::<Result<_, _>>()?,
            certificate_names: certificates.remove(&id).unwrap_or_default(),
            disabled: row.get(3)?,
            create_time: Timestamp::from_micros(row.get(4)?),
            password_time: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_micros),
        });
    }
    Ok(users)
}

fn names_by_user(connection: &Connection, sql: &str) -> rusqlite::Result<BTreeMap<i64, Vec<String>>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut names: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        names.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    Ok(names)
}

fn keys(connection: &Connection, vault: &Vault) -> Result<Vec<AccessKeyRow>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT id, user, secret, disabled, create_us, rotate_us FROM access_key ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let id: AccessKeyId = word(&row.get::<_, String>(0)?)?;
        let sealed: String = row.get(2)?;
        keys.push(AccessKeyRow {
            user: UserId::new(row.get(1)?).map_err(damaged)?,
            secret: vault.open(SecretLocation::AccessKeySecret(&id), &sealed).map_err(damaged)?,
            id,
            disabled: row.get(3)?,
            create_time: Timestamp::from_micros(row.get(4)?),
            rotate_time: Timestamp::from_micros(row.get(5)?),
        });
    }
    Ok(keys)
}

fn roles(connection: &Connection) -> Result<Vec<RoleRow>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT name, permissions, create_us FROM role ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut roles = Vec::new();
    while let Some(row) = rows.next()? {
        let permissions: Vec<String> = serde_json::from_str(&row.get::<_, String>(1)?).map_err(damaged)?;
        roles.push(RoleRow {
            name: word(&row.get::<_, String>(0)?)?,
            permissions: permissions.iter().map(|permission| word(permission)).collect::<Result<_, _>>()?,
            create_time: Timestamp::from_micros(row.get(2)?),
        });
    }
    Ok(roles)
}

pub(super) fn audit_records(
    connection: &Connection,
    filter: &AuditFilter,
    below: Option<i64>,
    limit: u32,
) -> Result<Vec<StoredAuditRecord>, StoreError> {
    let Conditions { text, mut values } = Conditions::of_audit_below(filter, below);
    values.push(i64::from(limit).into());
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, at_us, principal, address, operation, target, cluster, task, arguments, outcome, refusal, trace_id, reason \
         FROM audit WHERE {text} ORDER BY id DESC LIMIT ?"
    ))?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(StoredAuditRecord { id: row.get(0)?, record: record(row)? });
    }
    Ok(records)
}

fn record(row: &Row<'_>) -> Result<AuditRecord, StoreError> {
    let outcome: String = row.get(9)?;
    Ok(AuditRecord {
        at: Timestamp::from_micros(row.get(1)?),
        principal: Principal::new(row.get::<_, String>(2)?),
        address: row.get(3)?,
        call: word(&row.get::<_, String>(4)?)?,
        target: row.get(5)?,
        cluster: row.get::<_, Option<i64>>(6)?.map(ClusterId::new).transpose().map_err(damaged)?,
        task: row.get::<_, Option<i64>>(7)?.map(TaskId::new).transpose().map_err(damaged)?,
        arguments: row.get(8)?,
        outcome: match outcome.as_str() {
            ACCEPTED => AuditOutcome::Accepted,
            REFUSED => AuditOutcome::Refused { reason: row.get(10)? },
            _ => return Err(damaged(format!("{outcome:?} is not how a call ends"))),
        },
        trace_id: row.get(11)?,
        reason: Reason::from_stored(row.get(12)?),
    })
}

fn word<T>(text: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(damaged)
}

fn damaged(error: impl Display) -> StoreError {
    StoreError::Damaged(format!("users, keys, roles or the audit log: {error}"))
}
