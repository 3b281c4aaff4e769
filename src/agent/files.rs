//! Files of the agent's state directory: read whole, and replaced whole so that a crash leaves the old or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum FileError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{path} is not a record of this agent ({error}), restore it or move it away knowingly")]
    Damaged { path: PathBuf, error: serde_json::Error },
    /// Another process holds it.
    #[error("{path} is locked by another agent, give each agent a --state-directory of its own")]
    Locked { path: PathBuf },
}

impl FileError {
    /// Whether it passes by itself, or once somebody freed what was lacking: disk space, file descriptors, memory.
    pub fn passes(&self) -> bool {
        match self {
            Self::Io { error, .. } => passes(error),
            Self::Damaged { .. } | Self::Locked { .. } => false,
        }
    }
}

/// Whether the system only lacked a resource at that moment.
pub fn passes(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::NOBUFS,
        Errno::AGAIN,
        Errno::INTR,
    ];
    error.raw_os_error().is_some_and(|number| passing.iter().any(|errno| errno.raw_os_error() == number))
}

/// Makes the directory, readable by its owner only.
pub fn make_directory(directory: &Path) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
    builder.create(directory).map_err(|error| FileError::Io { path: directory.to_owned(), error })
}

/// Locks `name` for as long as the result lives; `wait`: until it is free.
pub fn lock(directory: &Path, name: &str, wait: bool) -> Result<File, FileError> {
    let path = directory.join(name);
    let open = || OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = open().map_err(|error| FileError::Io { path: path.clone(), error })?;
    let operation = if wait { FlockOperation::LockExclusive } else { FlockOperation::NonBlockingLockExclusive };
    match flock(&file, operation) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(FileError::Locked { path }),
        Err(error) => Err(FileError::Io { path, error: error.into() }),
    }
}

/// Reads `name`; `None`: there is none.
pub fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<Option<T>, FileError> {
    let path = directory.join(name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::Io { path, error }),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| FileError::Damaged { path, error })
}

/// Replaces `name`: on return it is on disk.
pub fn replace<T: Serialize>(directory: &Path, name: &str, value: &T) -> Result<(), FileError> {
    let path = directory.join(name);
    let temporary = directory.join(format!("{name}.new"));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| FileError::Io { path: path.clone(), error })
}
