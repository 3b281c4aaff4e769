//! SQLite's online backup. Its own reader holds one moment of the store while pages are copied, so that writes neither wait nor
//! make the copy start over; the copy is checked against that moment before it is handed out.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::Backup as Copying;

use super::schema::{self, beside};
use super::{commit, shutdown_mark};
use crate::clock::Timestamp;
use crate::domain::ids::Seq;
use crate::store::StoreError;
use crate::store::backup::Backup;

/// Pages per step, and the pause after it: copying at full speed from and to one disk would slow the writer's syncs.
const PAGES: i32 = 256;
const STEP_PAUSE: Duration = Duration::from_millis(2);

/// Suffix of the store's name while a copy is being made.
const TEMP_SUFFIX: &str = ".copy-";

/// Counts that a copy must share with the moment that it copies.
#[derive(Debug, PartialEq, Eq)]
struct RowCounts {
    counters: Vec<(String, i64)>,
    rows: i64,
}

/// Blocks until the copy is complete and checked.
pub(super) fn copy(path: &Path, at: Timestamp) -> Result<Backup, StoreError> {
    let draft = TempFile(beside(path, &format!("{TEMP_SUFFIX}{}", uuid::Uuid::new_v4())));
    let failed = |error: &dyn std::fmt::Display| {
        let (path, draft) = (path.display(), draft.0.display());
        StoreError::Failed(format!(
            "the store {path} was not copied to {draft}, {error}; the store itself is as it was"
        ))
    };
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft.0);
    drop(made.map_err(|error| failed(&error))?);
    let (store_id, head) = copied(path, &draft.0, at).map_err(|error| failed(&error))?;
    let file = OpenOptions::new().read(true).open(&draft.0).map_err(|error| failed(&error))?;
    let bytes = file.metadata().map_err(|error| failed(&error))?.len();
    Ok(Backup { file, bytes, store_id, head, at })
}

fn copied(path: &Path, draft: &Path, at: Timestamp) -> Result<(String, Seq), StoreError> {
    let source = schema::open_reader(path)?;
    // The first read of the transaction fixes the moment that it sees until it ends.
    let moment = source.unchecked_transaction()?;
    let counted = count(&moment)?;
    let mut copy = schema::open_plain(draft)?;
    Copying::new(&source, &mut copy)?.run_to_completion(PAGES, STEP_PAUSE, None)?;
    shutdown_mark::make_backup(&copy, at)?;
    drop(moment);
    let facts = whole(&copy)?;
    if count(&copy)? != counted {
        return Err(StoreError::Damaged("the copy has not what was copied".to_owned()));
    }
    copy.close().map_err(|(_, error)| error)?;
    Ok(facts)
}

/// Store id and last event's position of a copy in which SQLite finds no damage.
fn whole(copy: &Connection) -> Result<(String, Seq), StoreError> {
    let found: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(StoreError::Damaged(format!("the copy is damaged, {found}")));
    }
    let store_id = copy.query_row("SELECT value FROM meta WHERE name = 'store_id'", [], |row| row.get(0))?;
    Ok((store_id, commit::head(copy)?))
}

/// Whether a file is an intact backup of this store up to this event. Blocks, and needs no key.
pub fn check(path: &Path, store_id: &str, head: i64) -> Result<(), StoreError> {
    let found = whole(&schema::open_reader(path)?)?;
    if found == (store_id.to_owned(), Seq::new(head)) {
        return Ok(());
    }
    Err(StoreError::Damaged(format!("the copy is of store {} up to event {}", found.0, found.1)))
}

/// Whether a file is a backup of any store, and not a store or another file. Blocks.
pub fn is_backup(path: &Path) -> bool {
    schema::open_reader(path).is_ok_and(|file| shutdown_mark::is_backup(&file))
}

/// Removes unfinished copies that a killed process left. The caller holds the store's lock.
pub(super) fn sweep(path: &Path) {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let prefix = [name.as_encoded_bytes(), TEMP_SUFFIX.as_bytes()].concat();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(&prefix) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn count(connection: &Connection) -> rusqlite::Result<RowCounts> {
    let mut counters = connection.prepare("SELECT name, value FROM counter ORDER BY name")?;
    let counters = counters.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let rows = connection.query_row("SELECT count(*) FROM task_event", [], |row| row.get(0))?;
    Ok(RowCounts { counters, rows })
}

/// A file that is unlinked in any case.
struct TempFile(PathBuf);

impl Drop for TempFile {
    fn drop(&mut self) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&self.0, suffix));
        }
    }
}
