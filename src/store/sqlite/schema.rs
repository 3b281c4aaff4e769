//! The file of the embedded store: its creation, its schema and the check that it is intact. Knows no rows but those that
//! describe the file.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::file_lock::FileLock;
use super::secrets;
use super::shutdown_mark;
use super::sqlite_error::{damaged, unusable};
use crate::domain::ids::Seq;
use crate::store::StoreError;
use crate::store::encode;
use crate::store::key_source::KeySource;
use crate::store::vault::Vault;

const NEWEST: usize = 7;
/// The steps of the schema, oldest first; version n is the nth.
const VERSIONS: [&str; NEWEST] = [
    include_str!("schema_v1.sql"),
    include_str!("schema_v2.sql"),
    include_str!("schema_v3.sql"),
    include_str!("schema_v4.sql"),
    include_str!("schema_v5.sql"),
    include_str!("schema_v6.sql"),
    include_str!("schema_v7.sql"),
];
/// From this version on secrets are encrypted.
const ENCRYPTED_SINCE: usize = 2;
/// Before this version the stored bodies of events had another form, which this program cannot read.
const READABLE_SINCE: usize = 3;
/// `PRAGMA application_id` of our files: "obst".
const APPLICATION_ID: i64 = 0x6f62_7374;
/// Prepared statements that a connection keeps: more than the service has.
const STATEMENTS: usize = 256;
/// An SQLite file has at least one page.
const SMALLEST: u64 = 4096;
/// In bytes; a larger file is not read completely to check it at start.
const LARGEST_CHECKED: u64 = 64 << 20;

/// The writer's connection to a file in the newest schema, and the vault for its secrets; creates or migrates the file first.
/// The caller holds the lock.
pub(super) fn open_writer(path: &Path, key: &KeySource, lock: &FileLock) -> Result<(Connection, Vault), StoreError> {
    let exists = path.try_exists().map_err(|error| cannot_open(path, &error))?;
    if !exists {
        // The key comes first: a file whose secrets nobody can open must never exist.
        create(path, &key.vault_or_new(path)?)?;
        lock.acknowledge(Seq::ZERO);
    }
    let had_log = shutdown_mark::has_log(path);
    let mut connection = open_whole(path)?;
    let version = version(path, &connection)?;
    shutdown_mark::check(path, &connection, had_log, lock)?;
    let vault = if version < ENCRYPTED_SINCE { key.vault_or_new(path)? } else { key.vault(path)? };
    migrate(path, &mut connection, version, &vault)?;
    secrets::check_key(path, &connection, &vault)?;
    secrets::wipe(path, &connection)?;
    Ok((connection, vault))
}

/// A writing connection to a file that is ours, intact and writable. The caller holds the lock.
pub(super) fn open_whole(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // SQLite falls back to opening read-only, and the first write would end the process.
    if connection.is_readonly("main").map_err(|error| unusable(path, &error))? {
        let words = "it can only be read; make the file, its directory and its disk writable";
        return Err(StoreError::Open(format!("cannot open the store {}, {words}", path.display())));
    }
    check(path, &connection)?;
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; \
                    PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384;";
    connection.execute_batch(settings).map_err(|error| unusable(path, &error))?;
    Ok(connection)
}

pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection
        .execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4096;")
        .map_err(|error| unusable(path, &error))?;
    Ok(connection)
}

/// A connection to a file that no service uses, such as a copy.
pub(super) fn open_plain(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| unusable(path, &error))?;
    // There is no other writer; a person's sqlite3 or a backup may hold a lock for a moment.
    connection.busy_timeout(Duration::from_secs(5)).map_err(|error| unusable(path, &error))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Otherwise some statements are prepared anew whenever a value is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(|error| unusable(path, &error))?;
    Ok(connection)
}

/// Creates the file under a temporary name first: under its own name it is complete or absent.
pub(super) fn create(path: &Path, vault: &Vault) -> Result<(), StoreError> {
    let draft = beside(path, ".new");
    for leftover in [draft.clone(), beside(path, ".new-journal")] {
        match std::fs::remove_file(&leftover) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot_open(&leftover, &error)),
        }
    }
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft);
    drop(made.map_err(|error| cannot_open(path, &error))?);
    let mut connection = connect(&draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let filled = fill(&mut connection, vault);
    drop(connection);
    filled.map_err(|error| unusable(path, &error))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::rename(&draft, path)
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(|error| cannot_open(path, &error))
}

fn fill(connection: &mut Connection, vault: &Vault) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction
        .execute_batch("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, written_by TEXT NOT NULL);")?;
    apply_from(&transaction, 0, vault)?;
    let store_id = uuid::Uuid::new_v4().to_string();
    transaction.execute("INSERT INTO meta (name, value) VALUES ('store_id', ?1)", [store_id])?;
    transaction.commit()
}

fn apply_from(transaction: &rusqlite::Transaction<'_>, version: usize, vault: &Vault) -> rusqlite::Result<()> {
    for (index, sql) in VERSIONS.iter().enumerate().skip(version) {
        transaction.execute_batch(sql)?;
        if index + 1 == ENCRYPTED_SINCE {
            secrets::encrypt(transaction, vault)?;
        }
        transaction.execute(
            "INSERT INTO schema_version (version, written_by) VALUES (?1, ?2)",
            (as_stored(index + 1), concat!("obsteward ", env!("CARGO_PKG_VERSION"))),
        )?;
    }
    Ok(())
}

fn as_stored(version: usize) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// Refuses a file whose schema is not the newest: a service has to migrate it first.
pub(super) fn newest(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let version = version(path, connection)?;
    if version == NEWEST {
        return Ok(());
    }
    Err(StoreError::Open(format!(
        "the store {} has schema {version} and not {NEWEST}; start the service of this version once, which migrates it",
        path.display()
    )))
}

/// The schema version of a file; fails when this program does not know it.
pub(super) fn version(path: &Path, connection: &Connection) -> Result<usize, StoreError> {
    let stored: i64 = connection
        .query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0))
        .map_err(|error| unusable(path, &error))?;
    let version = usize::try_from(stored).map_err(|_| damaged(path, &format!("its schema is {stored}")))?;
    if version > NEWEST {
        return Err(StoreError::Open(format!(
            "the store {} has schema {version}, this obsteward knows {}; start the newer version again",
            path.display(),
            NEWEST
        )));
    }
    Ok(version)
}

fn migrate(path: &Path, connection: &mut Connection, version: usize, vault: &Vault) -> Result<(), StoreError> {
    if version == NEWEST {
        return Ok(());
    }
    if version < READABLE_SINCE && !can_be_read(connection).map_err(|error| unusable(path, &error))? {
        return Err(StoreError::Open(format!(
            "the store {} has schema {version} and tasks in a form that obsteward knows no more; name another file and \
             register the clusters anew, this one stays as it was",
            path.display()
        )));
    }
    let migrated = connection.transaction().and_then(|transaction| {
        if version < ENCRYPTED_SINCE {
            // Bytes that are overwritten with their encrypted form are zeroed in the page at once.
            transaction.execute_batch("PRAGMA secure_delete = ON")?;
        }
        apply_from(&transaction, version, vault)?;
        transaction.commit()
    });
    migrated.map_err(|error| {
        StoreError::Open(format!(
            "the store {} could not be brought from schema {version} to {}, {error}; it stays as it was",
            path.display(),
            NEWEST
        ))
    })
}

/// Whether the first event of a file has the present form. All events of a file have the same form.
fn can_be_read(connection: &Connection) -> rusqlite::Result<bool> {
    let first = connection.query_row("SELECT bodies FROM task_event ORDER BY seq LIMIT 1", [], |row| row.get(0));
    let first: Option<Vec<u8>> = first.optional()?;
    Ok(first.is_none_or(|bodies| encode::events_from_bytes(&bodies).is_ok()))
}

/// Whether the file is ours and intact, as far as that is visible without reading gigabytes.
fn check(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let length = std::fs::metadata(path).map_err(|error| cannot_open(path, &error))?.len();
    // SQLite takes a file without a whole page for a new one.
    if length < SMALLEST {
        return Err(damaged(path, &format!("it has only {length} bytes")));
    }
    let application: i64 =
        connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(|error| unusable(path, &error))?;
    if application != APPLICATION_ID {
        return Err(StoreError::Open(format!(
            "{} is not a store of obsteward (application id {application:#x}); name another file",
            path.display()
        )));
    }
    if length > LARGEST_CHECKED {
        return Ok(());
    }
    let found: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|error| unusable(path, &error))?;
    if found == "ok" { Ok(()) } else { Err(damaged(path, &found)) }
}

/// The path with a suffix appended to the file name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn cannot_open(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Open(format!(
        "cannot open the store {}, {error}; check the path, its owner and its disk",
        path.display()
    ))
}
