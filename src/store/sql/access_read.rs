//! Reads of users, keys, roles and audit records.

use std::collections::BTreeMap;

use super::audit::{ACCEPTED, REFUSED};
use super::conditions::Conditions;
use super::database::Database;
use super::ended_session;
use super::value::{SqlRow, damaged};
use crate::clock::Timestamp;
use crate::domain::ids::{AccessKeyId, ClusterId, Principal, TaskId, UserId};
use crate::domain::reason::Reason;
use crate::store::access::{AccessKeyRow, AccessRows, AuditFilter, RoleRow, StoredAuditRecord, UserRow};
use crate::store::vault::SecretLocation;
use crate::store::{AuditOutcome, AuditRecord, StoreError};

/// Several queries: of one moment only while nothing changes.
pub async fn access(database: &mut Database, (): &()) -> Result<AccessRows, StoreError> {
    let (users, keys, roles) = (users(database).await?, keys(database).await?, roles(database).await?);
    let ended_sessions = ended_session::every(database).await?;
    Ok(AccessRows { users, keys, roles, ended_sessions, version: 0 })
}

async fn users(database: &mut Database) -> Result<Vec<UserRow>, StoreError> {
    let mut roles = names_by_user(database, "SELECT user, role FROM user_role ORDER BY user, role").await?;
    let certificates = "SELECT user, name FROM user_certificate ORDER BY user, name";
    let mut certificates = names_by_user(database, certificates).await?;
    let sql = "SELECT id, name, password_hash, disabled, create_us, password_us FROM `user` ORDER BY id";
    let user = |row: &SqlRow| {
        let id = row.int(0)?;
        let roles = roles.remove(&id).unwrap_or_default();
        Ok(UserRow {
            id: UserId::new(id).map_err(damaged)?,
            name: Principal::new(row.owned_text(1)?),
            password_hash: row.optional_text(2)?.map(ToOwned::to_owned),
            roles: roles.iter().map(|role| role.parse().map_err(damaged)).collect::<Result<_, _>>()?,
            certificate_names: certificates.remove(&id).unwrap_or_default(),
            disabled: row.int(3)? != 0,
            create_time: Timestamp::from_micros(row.int(4)?),
            password_time: row.moment(5)?,
        })
    };
    database.rows(sql, Vec::new()).await?.iter().map(user).collect()
}

async fn names_by_user(database: &mut Database, sql: &str) -> Result<BTreeMap<i64, Vec<String>>, StoreError> {
    let mut names: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for row in database.rows(sql, Vec::new()).await? {
        names.entry(row.int(0)?).or_default().push(row.owned_text(1)?);
    }
    Ok(names)
}

async fn keys(database: &mut Database) -> Result<Vec<AccessKeyRow>, StoreError> {
    let sql = "SELECT id, user, secret, disabled, create_us, rotate_us FROM access_key ORDER BY id";
    let rows = database.rows(sql, Vec::new()).await?;
    let key = |row: &SqlRow| {
        let id: AccessKeyId = row.word(0)?;
        let secret = database.vault.open(SecretLocation::AccessKeySecret(&id), row.text(2)?).map_err(damaged)?;
        Ok(AccessKeyRow {
            user: row.id(1, UserId::new)?,
            secret,
            id,
            disabled: row.int(3)? != 0,
            create_time: Timestamp::from_micros(row.int(4)?),
            rotate_time: Timestamp::from_micros(row.int(5)?),
        })
    };
    rows.iter().map(key).collect()
}

async fn roles(database: &mut Database) -> Result<Vec<RoleRow>, StoreError> {
    let role = |row: &SqlRow| {
        let permissions: Vec<String> = serde_json::from_str(row.text(1)?).map_err(damaged)?;
        Ok(RoleRow {
            name: row.word(0)?,
            permissions: permissions.iter().map(|one| one.parse().map_err(damaged)).collect::<Result<_, _>>()?,
            create_time: Timestamp::from_micros(row.int(2)?),
        })
    };
    let sql = "SELECT name, permissions, create_us FROM role ORDER BY name";
    database.rows(sql, Vec::new()).await?.iter().map(role).collect()
}

pub async fn audit_records(
    database: &mut Database,
    (filter, below, limit): &(AuditFilter, Option<i64>, u32),
) -> Result<Vec<StoredAuditRecord>, StoreError> {
    let Conditions { text, mut values } = Conditions::of_audit_below(filter, *below, database.dialect());
    values.push((*limit).into());
    let sql = format!(
        "SELECT id, at_us, principal, address, operation, target, cluster, task, arguments, outcome, refusal, trace_id, \
         reason FROM audit WHERE {text} ORDER BY id DESC LIMIT ?"
    );
    let rows = database.rows(&sql, values).await?;
    rows.iter().map(|row| Ok(StoredAuditRecord { id: row.int(0)?, record: record(row)? })).collect()
}

fn record(row: &SqlRow) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        at: Timestamp::from_micros(row.int(1)?),
        principal: Principal::new(row.owned_text(2)?),
        address: row.owned_text(3)?,
        call: row.word(4)?,
        target: row.owned_text(5)?,
        cluster: row.optional_int(6)?.map(ClusterId::new).transpose().map_err(damaged)?,
        task: row.optional_int(7)?.map(TaskId::new).transpose().map_err(damaged)?,
        arguments: row.owned_text(8)?,
        outcome: match row.text(9)? {
            ACCEPTED => AuditOutcome::Accepted,
            REFUSED => AuditOutcome::Refused { reason: row.owned_text(10)? },
            other => return Err(damaged(format!("{other:?} is not how a call ends"))),
        },
        trace_id: row.owned_text(11)?,
        reason: Reason::from_stored(row.owned_text(12)?),
    })
}
