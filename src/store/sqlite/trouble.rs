//! What an error of SQLite means for whoever runs the service: whether the file is damaged, and what is to be done about it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Error, ErrorCode, ffi};

use crate::store::StoreError;

/// How a process ends whose last write has an unknown outcome: as the command line says "not known".
const OUTCOME_UNKNOWN: i32 = 4;
/// So long whoever waits for the store can still be told before the process ends.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

const NO_ROOM: &str = "make room on its disk";

/// Whether the file itself says so.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// What to do about an error that is not the file's own.
fn remedy(error: &Error) -> &'static str {
    if error.sqlite_extended_error_code() == Some(ffi::SQLITE_IOERR_SHMSIZE) {
        return NO_ROOM;
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => NO_ROOM,
        Some(ErrorCode::ReadOnly) => "make the file, its directory and its disk writable",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "end the other program that holds it (sqlite3, a backup)"
        }
        Some(ErrorCode::SystemIoFailure) => "look at its disk and at what the system says of it (dmesg)",
        // What SQLite can say besides is not ours to enumerate.
        _ => "check the path, its owner and its disk",
    }
}

/// Why a file cannot be opened.
pub(super) fn unusable(path: &Path, error: &Error) -> StoreError {
    if is_damage(error) {
        return damaged(path, error);
    }
    StoreError::Open(format!("cannot open the store {}, {}; {}", path.display(), said(error), remedy(error)))
}

/// A file that does not hold what was written.
pub(super) fn damaged(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Open(format!(
        "the store {} is damaged, {error}; keep a copy and restore a backup of it",
        path.display()
    ))
}

/// A transaction that failed, in words for whoever has to look at it.
pub(super) fn unknown(path: &str, error: &Error) -> String {
    let remedy = if is_damage(error) { "keep a copy and restore a backup of it" } else { remedy(error) };
    format!("a transaction of the store {path} failed and its outcome is unknown, {}: {remedy}", said(error))
}

/// The words of SQLite, and the number that says more than they do.
fn said(error: &Error) -> String {
    match (error.sqlite_extended_error_code(), error.sqlite_error()) {
        (Some(extended), Some(_)) if extended > 0xff => format!("{error} (SQLite code {extended})"),
        _ => error.to_string(),
    }
}

/// Says so and ends the process, for which nothing would be true any more. An exit, not an abort: a core would hold secrets.
pub(super) fn end_process(words: &str) {
    tracing::error!("{words}; the process ends, and the next start reads what is on disk");
    let end = || {
        std::thread::sleep(LAST_ANSWERS);
        std::process::exit(OUTCOME_UNKNOWN);
    };
    if std::thread::Builder::new().name("store-end".to_owned()).spawn(end).is_err() {
        std::process::exit(OUTCOME_UNKNOWN);
    }
}
