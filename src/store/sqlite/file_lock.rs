//! `<file>.lock`: the lock of a store's file, and the mark of what was acknowledged from it. A file whose log ends before the
//! mark was restored from a backup or cut short, which SQLite cannot detect: it keeps the intact part and drops the rest.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;

use super::schema::beside;
use crate::domain::ids::Seq;
use crate::store::StoreError;

/// Digits of a mark.
const WIDTH: usize = 19;

/// The lock of a file: held until the process ends or this is dropped.
#[derive(Debug)]
pub(super) struct FileLock(File);

impl FileLock {
    /// Fails with the holder when another process has it.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let lock = beside(path, ".lock");
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).read(true).write(true).mode(0o600).open(&lock);
        let file = file.map_err(|error| {
            StoreError::Open(format!(
                "cannot open the lock file {}, {error}; check the directory and its owner",
                lock.display()
            ))
        })?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Open(format!(
                "the store {} is in use by another obsteward; stop that one first or give this one a file of its own",
                path.display()
            ))),
            Err(error) => Err(StoreError::Open(format!(
                "cannot lock {}, {error}; the store needs a file system with flock",
                lock.display()
            ))),
        }
    }

    /// Releases the file before the process ends or this is dropped.
    pub(super) fn release(&self) {
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }

    /// Everything up to here is on disk and may be acknowledged. Never synced and never waited for: if the machine loses the
    /// mark, only the check becomes weaker.
    pub(super) fn acknowledge(&self, seq: Seq) {
        let _ = self.0.write_all_at(format!("{:0WIDTH$}\n", seq.get()).as_bytes(), 0);
    }

    /// Refuses a store that ends before what was acknowledged from it.
    pub(super) fn check(&self, path: &Path, head: Seq) -> Result<(), StoreError> {
        let acknowledged = self.acknowledged();
        if acknowledged <= head {
            return Ok(());
        }
        Err(StoreError::Open(format!(
            "the store {} ends at event {head}, and events up to {acknowledged} were acknowledged from it: a backup was \
             restored or its log was cut short; if nothing newer is left and no other service runs, run `obsteward store \
             restored`, then start again",
            path.display()
        )))
    }

    /// Zero when there is no mark, or none that can be parsed.
    pub(super) fn acknowledged(&self) -> Seq {
        let mut digits = [0; WIDTH];
        let read = self.0.read_exact_at(&mut digits, 0).ok();
        let mark = read.and_then(|()| std::str::from_utf8(&digits).ok()?.parse().ok());
        mark.map_or(Seq::ZERO, Seq::new)
    }
}
