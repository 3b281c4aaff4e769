//! What an error of SQLite means for the operator: whether the file is damaged, and what to do about it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Error, ErrorCode, ffi};

use crate::store::StoreError;

/// Exit code of a process whose last write has an unknown outcome: the command line's code for "not known".
const OUTCOME_UNKNOWN: i32 = 4;
/// Time for pending callers to be answered before the process ends.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

const NO_ROOM: &str = "make room on its disk";

/// Whether the error says that the file is damaged.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// What to do about an error that is not damage of the file.
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
        // Other errors of SQLite are not ours to enumerate.
        _ => "check the path, its owner and its disk",
    }
}

pub(super) fn unusable(path: &Path, error: &Error) -> StoreError {
    if is_damage(error) {
        return damaged(path, error);
    }
    StoreError::Open(format!("cannot open the store {}, {}; {}", path.display(), said(error), remedy(error)))
}

/// For a file that does not hold what was written.
pub(super) fn damaged(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Open(format!(
        "the store {} is damaged, {error}; keep a copy and restore a backup of it",
        path.display()
    ))
}

/// For a transaction that failed, for the operator.
pub(super) fn unknown(path: &str, error: &Error) -> String {
    let remedy = if is_damage(error) { "keep a copy and restore a backup of it" } else { remedy(error) };
    format!("a transaction of the store {path} failed and its outcome is unknown, {}: {remedy}", said(error))
}

/// SQLite's message with its extended error code, which says more.
fn said(error: &Error) -> String {
    match (error.sqlite_extended_error_code(), error.sqlite_error()) {
        (Some(extended), Some(_)) if extended > 0xff => format!("{error} (SQLite code {extended})"),
        _ => error.to_string(),
    }
}

/// Prints the words and ends the process, whose state is no longer trustworthy. An exit, not an abort: a core dump would hold
/// secrets.
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
