//! Encrypted values in the file: the migration from a file with plain secrets to one without, and the check that a key belongs
//! to the file.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use secrecy::{ExposeSecret, SecretString};

use crate::domain::ids::ClusterId;
use crate::store::StoreError;
use crate::store::vault::{SecretLocation, Vault};

/// Plaintext of the check value.
const CHECK: &str = "obsteward";
/// Row of `meta` that exists until no plain secret is left in the file or its log.
const WIPE_PENDING: &str = "wipe_pending";

/// Encrypts what version 1 stored in plain, and stores the value by which the key is checked. Runs in the migration's
/// transaction.
pub(super) fn encrypt(transaction: &Connection, vault: &Vault) -> rusqlite::Result<()> {
    let seal = |place: SecretLocation<'_>, value: &SecretString| {
        vault.seal(place, value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    };
    let mut passwords = transaction.prepare("SELECT id, password FROM cluster")?;
    let passwords = passwords
        .query_map([], |row| Ok((row.get::<_, i64>(0)?, SecretString::from(row.get::<_, String>(1)?))))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for (id, password) in &passwords {
        let cluster = ClusterId::new(*id).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let sealed = seal(SecretLocation::ClusterPassword(cluster), password)?;
        transaction.execute("UPDATE cluster SET password = ?2 WHERE id = ?1", params![id, sealed])?;
    }
    let check = seal(SecretLocation::KeyCheck, &SecretString::from(CHECK))?;
    transaction.execute("INSERT INTO meta (name, value) VALUES ('key_check', ?1)", [check])?;
    if !passwords.is_empty() {
        transaction.execute("INSERT INTO meta (name, value) VALUES (?1, '')", [WIPE_PENDING])?;
    }
    Ok(())
}

/// Fails for a key that does not belong to the file.
pub(super) fn check_key(path: &Path, connection: &Connection, vault: &Vault) -> Result<(), StoreError> {
    let sealed: Option<String> =
        connection.query_row("SELECT value FROM meta WHERE name = 'key_check'", [], |row| row.get(0)).optional()?;
    let opened = sealed.and_then(|sealed| vault.open(SecretLocation::KeyCheck, &sealed).ok());
    if opened.is_some_and(|opened| opened.expose_secret() == CHECK) {
        return Ok(());
    }
    Err(StoreError::Open(format!(
        "the key is not that of the store {}; give the key that the store was made with, in its key file or in {}",
        path.display(),
        crate::store::key_source::KEY_VARIABLE
    )))
}

/// Leaves no plain secret of version 1 in the file or its log: both are rewritten. Continues where an earlier start was
/// interrupted.
pub(super) fn wipe(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let wiped = || -> rusqlite::Result<()> {
        let pending = connection.prepare("SELECT 1 FROM meta WHERE name = ?1")?.exists([WIPE_PENDING])?;
        if !pending {
            return connection.execute_batch("PRAGMA secure_delete = OFF");
        }
        connection.execute_batch("PRAGMA secure_delete = ON; VACUUM;")?;
        let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy != 0 {
            tracing::warn!(
                "the passwords in the store {} are encrypted, and old ones may still stand in its log because another \
                 program reads the file; end that program, then start again",
                path.display()
            );
            return Ok(());
        }
        connection.execute("DELETE FROM meta WHERE name = ?1", [WIPE_PENDING])?;
        connection.execute_batch("PRAGMA secure_delete = OFF")
    };
    wiped().map_err(|error| {
        StoreError::Open(format!(
            "the passwords in the store {} are encrypted, and old ones could not be wiped from the file, {error}; give \
             its disk as much free space as the file has and start again",
            path.display()
        ))
    })
}
