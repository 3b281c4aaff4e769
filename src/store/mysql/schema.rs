//! The tables of the shared store: made and brought up to date at start, also by several replicas at once. Forward only.
//!
//! Each step is run statement by statement, because the database ends a transaction at every change of a table. All statements of a
//! step can be run again, and the step counts once its row in `schema_version` is there.
//!
//! While replicas are replaced one by one, those of two versions run. A step that the older ones cannot work on waits until they have
//! ended, and one of them that comes back is refused.

use secrecy::{ExposeSecret, SecretString};

use super::connection::MysqlConnection;
use super::import::is_here;
use super::options::MysqlOptions;
use super::replicas::renewing;
use crate::store::StoreError;
use crate::store::key_source::KeySource;
use crate::store::replicas::LEASE;
use crate::store::sql::{SqlRow, SqlValue, damaged};
use crate::store::vault::{SecretLocation, Vault};

/// A step of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaStep {
    pub sql: &'static str,
    /// The oldest schema whose programs may work on this one too.
    pub readable_since: i64,
}

/// The steps that a program knows, oldest first; schema n is that of the nth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema(Vec<SchemaStep>);

impl Default for Schema {
    /// What this program knows.
    fn default() -> Self {
        Self(vec![
            SchemaStep { sql: include_str!("schema_v1.sql"), readable_since: 1 },
            SchemaStep { sql: include_str!("schema_v2.sql"), readable_since: 1 },
            SchemaStep { sql: include_str!("schema_v3.sql"), readable_since: 1 },
            // An older program does not know tasks that wait, and begins what is frozen.
            SchemaStep { sql: include_str!("schema_v4.sql"), readable_since: 4 },
        ])
    }
}

impl Schema {
    /// That of a later program.
    pub fn followed_by(mut self, step: SchemaStep) -> Self {
        self.0.push(step);
        self
    }

    /// The version that a program with it brings a store to.
    pub fn newest(&self) -> i64 {
        i64::try_from(self.0.len()).unwrap_or(i64::MAX)
    }
}

/// The schema of the database, and the oldest whose programs may work on it.
pub(super) const NEWEST: &str =
    "SELECT COALESCE(MAX(version), 0), COALESCE(MAX(readable_since), 0) FROM schema_version";
/// Plaintext of the check value.
const CHECK: &str = "obsteward";
/// How long a replica waits for another one that changes the tables, seconds.
const MIGRATION_WAIT: u32 = 60;

/// Makes or migrates the tables; returns the store's id and the vault for its secrets.
pub(super) async fn open(
    connection: &mut MysqlConnection,
    options: &MysqlOptions,
) -> Result<(String, Vault), StoreError> {
    if matches!(options.key, KeySource::BesideStore) {
        return Err(StoreError::Open(format!(
            "the store {options} needs store.key_file, or a key in {}: every replica has the same key, `openssl rand \
             -base64 32` makes one",
            crate::store::key_source::KEY_VARIABLE
        )));
    }
    migrate(connection, options).await?;
    is_here(connection, options).await?;
    let store_id = fact(connection, "store_id", uuid::Uuid::new_v4().to_string()).await?;
    let vault = vault(connection, options).await?;
    Ok((store_id, vault))
}

pub(super) async fn migrate(connection: &mut MysqlConnection, options: &MysqlOptions) -> Result<(), StoreError> {
    let table = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, readable_since BIGINT NOT NULL, \
                 written_by VARBINARY(128) NOT NULL)";
    connection.rows(table, Vec::new()).await.map_err(|error| cannot(options, &error))?;
    if check(connection, options).await? >= options.schema.newest() {
        return Ok(());
    }
    // One replica at a time. A database without such locks lets several run the same statements, which does no harm.
    let lock = format!("obsteward {}", options.database);
    let _ = connection.rows("SELECT GET_LOCK(?, ?)", vec![lock.as_str().into(), MIGRATION_WAIT.into()]).await;
    let migrated = apply(connection, options).await;
    if connection.is_open() {
        let _ = connection.rows("SELECT RELEASE_LOCK(?)", vec![lock.into()]).await;
    }
    migrated
}

async fn apply(connection: &mut MysqlConnection, options: &MysqlOptions) -> Result<(), StoreError> {
    let from = check(connection, options).await?;
    for (version, step) in (1..).zip(&options.schema.0).filter(|(version, _)| *version > from) {
        let who = if from == 0 { None } else { renewing(connection, step.readable_since, LEASE).await? };
        if let Some(who) = who {
            return Err(StoreError::Open(format!(
                "the store {options} cannot be brought to schema {version} while {who} runs, which does not know schema {}; \
                 end the replicas of older versions first, `obsteward replicas` lists them",
                step.readable_since
            )));
        }
        for statement in statements(step.sql) {
            connection.rows(&statement, Vec::new()).await.map_err(|error| {
                StoreError::Open(format!(
                    "the store {options} could not be brought to schema {version}, {error}; its user needs CREATE, ALTER, \
                     INDEX, SELECT, INSERT, UPDATE and DELETE on the database"
                ))
            })?;
        }
        let row: Vec<SqlValue> =
            vec![version.into(), step.readable_since.into(), concat!("obsteward ", env!("CARGO_PKG_VERSION")).into()];
        let sql = "INSERT INTO schema_version (version, readable_since, written_by) VALUES (?, ?, ?) \
                   ON DUPLICATE KEY UPDATE schema_version.version = schema_version.version";
        connection.rows(sql, row).await.map_err(|error| cannot(options, &error))?;
    }
    Ok(())
}

/// Refuses a database without the tables that this version needs.
pub(super) async fn known(connection: &mut MysqlConnection, options: &MysqlOptions) -> Result<(), StoreError> {
    if check(connection, options).await? >= options.schema.newest() {
        return Ok(());
    }
    Err(StoreError::Open(format!(
        "the store {options} has not the schema of this version; start the service once, which makes or migrates it"
    )))
}

/// The version of the schema; refuses one that this program must not work on.
async fn check(connection: &mut MysqlConnection, options: &MysqlOptions) -> Result<i64, StoreError> {
    let rows = connection.rows(NEWEST, Vec::new()).await.map_err(|error| cannot(options, &error))?;
    work_on(&rows, options)
}

/// The same, of the rows of [`NEWEST`].
pub(super) fn work_on(rows: &[SqlRow], options: &MysqlOptions) -> Result<i64, StoreError> {
    let row = rows.first().ok_or_else(|| damaged("a count without a row"))?;
    let (version, readable_since) = (row.int(0)?, row.int(1)?);
    let known = options.schema.newest();
    if readable_since > known {
        return Err(StoreError::Outdated(format!(
            "the store {options} has schema {version}, which needs an obsteward that knows schema {readable_since}, this one \
             knows {known}; start the newer version again"
        )));
    }
    Ok(version)
}

/// The statements of a step. Comments, which may hold a semicolon, have lines of their own.
fn statements(sql: &str) -> impl Iterator<Item = String> {
    let lines: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    let parts: Vec<String> = lines.join("\n").split(';').map(|part| part.trim().to_owned()).collect();
    parts.into_iter().filter(|part| !part.is_empty())
}

/// A fact that the first replica decides.
async fn fact(connection: &mut MysqlConnection, name: &str, new: String) -> Result<String, StoreError> {
    let sql = "INSERT INTO meta (name, value) VALUES (?, ?) ON DUPLICATE KEY UPDATE meta.value = meta.value";
    connection.rows(sql, vec![name.into(), new.into()]).await?;
    let rows = connection.rows("SELECT value FROM meta WHERE name = ?", vec![name.into()]).await?;
    rows.first().ok_or_else(|| damaged(format!("the store has no {name}")))?.owned_text(0)
}

/// The vault of the key, which the first replica chooses. A missing key file is made together with the store.
async fn vault(connection: &mut MysqlConnection, options: &MysqlOptions) -> Result<Vault, StoreError> {
    let store = std::path::PathBuf::from(options.to_string());
    let known = connection.rows("SELECT 1 FROM meta WHERE name = 'key_check'", Vec::new()).await?;
    let vault = if known.is_empty() { options.key.vault_or_new(&store)? } else { options.key.vault(&store)? };
    let check = vault
        .seal(SecretLocation::KeyCheck, &SecretString::from(CHECK))
        .map_err(|error| StoreError::Failed(error.to_string()))?;
    let sealed = fact(connection, "key_check", check).await?;
    let opened = vault.open(SecretLocation::KeyCheck, &sealed).ok();
    if opened.is_some_and(|opened| opened.expose_secret() == CHECK) {
        return Ok(vault);
    }
    Err(StoreError::Open(format!(
        "the key is not that of the store {options}; give the key that the store was made with, in its key file or in {}",
        crate::store::key_source::KEY_VARIABLE
    )))
}

fn cannot(options: &MysqlOptions, error: &StoreError) -> StoreError {
    StoreError::Open(format!("cannot open the store {options}, {error}; check the address, the user and its rights"))
}
