//! The ledger on disk: one small file, replaced whole. What is in memory is never ahead of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::agent::files::{self, FileError};
use crate::agent::ledger::{Changed, Ledger, LedgerState, ReadTrusted};
use crate::agent::refusal::AgentRefusal;
use crate::agent::trust::Trusted;
use crate::clock::{Clock, Timestamp};

const FILE: &str = "ledger.json";
const LOCK: &str = "ledger.lock";

/// The record, open and locked.
#[derive(Debug)]
pub struct LedgerFile {
    directory: PathBuf,
    clock: Clock,
    state: Mutex<LedgerState>,
    _lock: File,
}

impl LedgerFile {
    /// Opens or begins the record in `directory`. A damaged one is an error: forgetting it could end a process twice.
    pub fn open(directory: &Path, clock: Clock) -> Result<Self, FileError> {
        files::make_directory(directory)?;
        let lock = files::lock(directory, LOCK, false)?;
        let state = files::read(directory, FILE)?.unwrap_or_default();
        Ok(Self { directory: directory.to_owned(), clock, state: Mutex::new(state), _lock: lock })
    }

    fn trusted(&self) -> Result<Trusted, AgentRefusal> {
        Trusted::read(&self.directory).map_err(failed)
    }

    fn lock(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for LedgerFile {
    fn read<T>(
        &self,
        question: impl FnOnce(&LedgerState, ReadTrusted<'_>) -> Result<T, AgentRefusal>,
    ) -> Result<T, AgentRefusal> {
        question(&self.lock(), &|| self.trusted())
    }

    fn change(
        &self,
        rule: impl FnOnce(&mut LedgerState, Timestamp, ReadTrusted<'_>) -> Result<Changed, AgentRefusal>,
    ) -> Result<(), AgentRefusal> {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut next = state.clone();
        match rule(&mut next, now, &|| self.trusted())? {
            Changed::No => {}
            Changed::Yes => {
                files::replace(&self.directory, FILE, &next).map_err(failed)?;
                *state = next;
            }
        }
        Ok(())
    }
}

fn failed(error: FileError) -> AgentRefusal {
    AgentRefusal::LedgerFailed { passes: error.passes(), problem: error.to_string() }
}

#[cfg(test)]
#[path = "ledger_file_tests.rs"]
mod tests;
