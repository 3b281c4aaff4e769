//! Reads and writes of sessions that were ended before they expired. What has expired meanwhile goes with the next one of its user,
//! and all of a user are one row.

use super::access_change::{Decided, user_exists};
use super::database::Database;
use super::statement::{OnConflict, Statement};
use super::value::SqlRow;
use crate::clock::Timestamp;
use crate::domain::ids::UserId;
use crate::store::StoreError;
use crate::store::access::{AccessChangeOutcome, EndedSession};

const TABLE: &str = "ended_session";

/// Ascending by user and moment.
pub async fn every(database: &mut Database) -> Result<Vec<EndedSession>, StoreError> {
    let sql = "SELECT user, issued_us, expires_us FROM ended_session ORDER BY user, issued_us";
    let row = |row: &SqlRow| {
        let (user, issued) = (row.id(0, UserId::new)?, Timestamp::from_micros(row.int(1)?));
        Ok(EndedSession { user, issued, expires: row.moment(2)? })
    };
    database.rows(sql, Vec::new()).await?.iter().map(row).collect()
}

/// Ends one.
pub async fn one(
    database: &mut Database,
    user: UserId,
    issued: Timestamp,
    expires: Timestamp,
    now: Timestamp,
) -> Result<Decided, StoreError> {
    if !user_exists(database, user).await? {
        return Ok(Err(AccessChangeOutcome::NotFound));
    }
    let expired = "SELECT issued_us FROM ended_session WHERE user = ? AND expires_us <= ?";
    let expired = database.rows(expired, vec![user.get().into(), now.as_micros().into()]).await?;
    let mut statements = Vec::with_capacity(expired.len() + 1);
    for row in &expired {
        statements.push(Statement::delete(TABLE, [("user", user.get().into()), ("issued_us", row.int(0)?.into())]));
    }
    // One that has gone with all others is ended already.
    statements.push(insertion(user, issued, Some(expires)).on_conflict(OnConflict::Keep));
    Ok(Ok(statements))
}

/// Ends all that were issued up to then.
pub async fn all(database: &mut Database, user: UserId, issued_until: Timestamp) -> Result<Decided, StoreError> {
    if !user_exists(database, user).await? {
        return Ok(Err(AccessChangeOutcome::NotFound));
    }
    Ok(Ok(all_of(database, user, issued_until).await?))
}

/// The same of a user that is there.
pub async fn all_of(
    database: &mut Database,
    user: UserId,
    issued_until: Timestamp,
) -> Result<Vec<Statement>, StoreError> {
    // By the clock of another replica, others may have ended with a later one.
    let sql = "SELECT issued_us FROM ended_session WHERE user = ? ORDER BY issued_us DESC LIMIT 1";
    let last = database.row(sql, vec![user.get().into()]).await?;
    let last = last.map(|row| row.int(0)).transpose()?.map(Timestamp::from_micros);
    let until = last.map_or(issued_until, |last| last.max(issued_until));
    Ok(vec![Statement::delete(TABLE, [("user", user.get().into())]), insertion(user, until, None)])
}

fn insertion(user: UserId, issued: Timestamp, expires: Option<Timestamp>) -> Statement {
    Statement::insert(
        TABLE,
        [
            ("user", user.get().into()),
            ("issued_us", issued.as_micros().into()),
            ("expires_us", expires.map(|at| at.as_micros()).into()),
        ],
    )
}
