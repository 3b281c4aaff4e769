//! [`Replicas`] over the shared database: a row each, and a counter that tells everybody that one has gone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::MysqlStore;
use super::batch::PreparedChange;
use super::connection::MysqlConnection;
use super::literal::with_values;
use super::options::MysqlOptions;
use super::schema;
use super::writer::Job;
use crate::clock::{self, Timestamp};
use crate::domain::ids::{Fence, ReplicaId};
use crate::store::StoreError;
use crate::store::replicas::{OwnedTask, ReplicaRow, ReplicaState, Replicas};
use crate::store::sql::{Database, SqlRow, SqlValue, damaged, task_read};

/// Limit for one try to renew a lease: several fit into it.
const RENEW_TIMEOUT: Duration = Duration::from_secs(2);
/// How often it is looked whether another replica renews its lease.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long replicas that have ended are listed.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// How long their rows are kept at all, and what recognises changes that are sent twice.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

#[async_trait]
impl Replicas for MysqlStore {
    async fn join(&self) -> Result<ReplicaId, StoreError> {
        loop {
            self.work_on_schema().await?;
            let (last, now) = (self.version("replica").await?, self.clock.now());
            let id = ReplicaId::new(last + 1).map_err(damaged)?;
            let name = &self.options.replica;
            let row: Vec<SqlValue> = vec![
                id.get().into(),
                name.name.as_str().into(),
                name.address.as_str().into(),
                env!("CARGO_PKG_VERSION").into(),
                self.options.schema.newest().into(),
                now.as_micros().into(),
                ReplicaState::Live.as_str().into(),
                now.as_micros().into(),
            ];
            let sql = "INSERT INTO replica (id, name, address, version, newest_schema, start_us, state, renewals, renewed_us, \
                       tasks) SELECT ?, ?, ?, ?, ?, ?, ?, 1, ?, 0 FROM DUAL WHERE @ok";
            let old = [now.minus(KEPT).as_micros().into()];
            let statements = vec![
                with_values(sql, &row),
                with_values("DELETE FROM replica WHERE end_us < ? AND @ok", &old),
                with_values("DELETE FROM written_change WHERE at_us < ? AND @ok", &old),
            ];
            // The counter of replicas counts the changes of it, and so gives each id once.
            let conditions = vec![self.fits()];
            if self.written(PreparedChange::of(Some(("replica", last)), conditions, statements, now)).await? {
                self.set_me(id);
                return Ok(id);
            }
        }
    }

    async fn renew(&self, tasks: usize) -> Result<bool, StoreError> {
        let mut kept = self.renewal.lock().await;
        let tried = async {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => MysqlConnection::open(&self.options).await?,
            };
            let (me, live) = (self.me(), ReplicaState::Live.as_str());
            let now = self.clock.now().as_micros();
            let tasks = i64::try_from(tasks).unwrap_or(i64::MAX);
            // Nothing ever brings a row back to LIVE, or the schema back: what the second statement sees was so for the first.
            let mine = format!("id = {me} AND state = '{live}' AND {}", self.fits());
            let rows = connection
                .all_rows(&format!(
                    "UPDATE replica SET renewals = renewals + 1, renewed_us = {now}, tasks = {tasks} WHERE {mine};\n\
                     SELECT 1 FROM replica WHERE {mine}"
                ))
                .await?;
            *kept = Some(connection);
            Ok(!rows.is_empty())
        };
        let late = || StoreError::Failed(format!("the lease was not renewed within {} s", RENEW_TIMEOUT.as_secs()));
        tokio::time::timeout(RENEW_TIMEOUT, tried).await.unwrap_or_else(|_| Err(late()))
    }

    async fn replicas(&self) -> Result<Vec<ReplicaRow>, StoreError> {
        self.read(replicas, self.clock.now().minus(REMEMBERED)).await
    }

    async fn bury(&self, replica: ReplicaId, renewals: i64) -> Result<bool, StoreError> {
        let (live, buried) = (ReplicaState::Live.as_str(), ReplicaState::Buried.as_str());
        let unchanged = format!(
            "EXISTS (SELECT 1 FROM replica WHERE id = {replica} AND renewals = {renewals} AND state = '{live}')"
        );
        self.end(replica, buried, vec![unchanged]).await
    }

    async fn leave(&self) -> Result<(), StoreError> {
        let me = ReplicaId::new(self.me()).map_err(damaged)?;
        self.end(me, ReplicaState::Left.as_str(), Vec::new()).await.map(drop)
    }

    async fn owned_tasks(&self) -> Result<Vec<OwnedTask>, StoreError> {
        self.read(task_read::owned, ()).await
    }

    async fn claim(&self, owned: &OwnedTask) -> Result<Option<Fence>, StoreError> {
        self.writer.ask(|answer| Job::Claim(owned.clone(), answer)).await
    }

    fn ownership(&self) -> watch::Receiver<i64> {
        self.shared.ownership.subscribe()
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// A replica that renews its lease within this time and does not know this schema, in words.
pub(super) async fn renewing(
    connection: &mut MysqlConnection,
    schema: i64,
    within: Duration,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT id, name, version, renewals FROM replica WHERE state = ? AND newest_schema < ?";
    let mut first = None;
    let until = clock::monotonic_now() + within;
    loop {
        let rows = connection.rows(sql, vec![ReplicaState::Live.as_str().into(), schema.into()]).await?;
        let live = rows.iter().map(|row| {
            let (id, name, version) = (row.int(0)?, row.text(1)?, row.text(2)?);
            Ok((format!("replica {id} ({name}, version {version})"), row.int(3)?))
        });
        let live = live.collect::<Result<Vec<_>, StoreError>>()?;
        let first: &Vec<_> = first.get_or_insert_with(|| live.clone());
        if let Some((who, _)) = live.iter().find(|one| !first.contains(one)) {
            return Ok(Some(who.clone()));
        }
        if live.is_empty() || clock::monotonic_now() >= until {
            return Ok(None);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

impl MysqlStore {
    /// Refuses a store that a newer program has taken to a schema that this one must not work on.
    async fn work_on_schema(&self) -> Result<(), StoreError> {
        let read = async |database: &mut Database, options: &Arc<MysqlOptions>| {
            schema::work_on(&database.rows(schema::NEWEST, Vec::new()).await?, options).map(drop)
        };
        self.read(read, Arc::clone(&self.options)).await
    }

    /// The same as a condition.
    fn fits(&self) -> String {
        let newest = self.options.schema.newest();
        format!("NOT EXISTS (SELECT 1 FROM schema_version WHERE readable_since > {newest})")
    }

    /// Ends a replica under these conditions: what it owned has no owner, and everybody is told.
    async fn end(&self, replica: ReplicaId, state: &str, conditions: Vec<String>) -> Result<bool, StoreError> {
        let (now, live) = (self.clock.now(), ReplicaState::Live.as_str());
        let at = now.as_micros();
        let statements = vec![
            format!("UPDATE cluster_lock SET owner = NULL WHERE owner = {replica} AND @ok"),
            format!(
                "UPDATE replica SET state = '{state}', end_us = {at} WHERE id = {replica} AND state = '{live}' AND @ok"
            ),
            "UPDATE counter SET value = value + 1 WHERE name = 'ownership' AND @ok".to_owned(),
        ];
        self.written(PreparedChange::of(None, conditions, statements, now)).await
    }
}

async fn replicas(database: &mut Database, ended_since: &Timestamp) -> Result<Vec<ReplicaRow>, StoreError> {
    let sql = "SELECT id, name, address, version, start_us, end_us, state, renewals, renewed_us, tasks FROM replica \
               WHERE end_us IS NULL OR end_us > ? ORDER BY id";
    let replica = |row: &SqlRow| {
        Ok(ReplicaRow {
            id: row.id(0, ReplicaId::new)?,
            name: row.owned_text(1)?,
            address: row.owned_text(2)?,
            version: row.owned_text(3)?,
            start_time: Timestamp::from_micros(row.int(4)?),
            end_time: row.moment(5)?,
            state: row.word(6)?,
            renewals: row.int(7)?,
            renew_time: Timestamp::from_micros(row.int(8)?),
            tasks: u32::try_from(row.int(9)?).unwrap_or(u32::MAX),
        })
    };
    database.rows(sql, vec![ended_since.as_micros().into()]).await?.iter().map(replica).collect()
}
