//! From one place to another: files and shared databases.

use std::fmt;
use std::path::PathBuf;

use super::check::{Report, check};
use super::copy::copy;
use super::restored::StoreIdChange;
use crate::store::StoreError;
use crate::store::mysql::MysqlOptions;
use crate::store::mysql::import::{self, MysqlRows, mark_moved, nobody_uses, snapshot};
use crate::store::sql::Database;
use crate::store::sqlite;
use crate::store::sqlite::import::{IdleFile, SqliteRows, reader};

/// Where a store is.
#[derive(Clone, Debug)]
pub enum Place {
    File(PathBuf),
    Shared(Box<MysqlOptions>),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Shared(options) => options.fmt(formatter),
        }
    }
}

/// Moves a store that no service uses into a file that is not there or a database that is empty. It stays the same store: agents
/// trust it, and its secrets have the same key. The place that it leaves starts no more.
pub async fn migrate(from: &Place, to: &Place) -> Result<u64, StoreError> {
    match from {
        Place::File(path) => {
            let file = IdleFile::open(path)?;
            let copied = copy_into(&mut file.database()?, to).await?;
            file.mark_moved(&to.to_string())?;
            Ok(copied)
        }
        Place::Shared(options) => {
            nobody_uses(options).await?;
            let copied = copy_into(&mut snapshot(options).await?, to).await?;
            mark_moved(options, &to.to_string()).await?;
            Ok(copied)
        }
    }
}

async fn copy_into(from: &mut Database, to: &Place) -> Result<u64, StoreError> {
    match to {
        Place::File(path) => {
            let mut rows = SqliteRows::create(path)?;
            let copied = copy(from, &mut rows).await?;
            rows.finish(None)?;
            Ok(copied)
        }
        Place::Shared(options) => {
            let mut rows = MysqlRows::create(options).await?;
            let copied = copy(from, &mut rows).await?;
            rows.finish().await?;
            Ok(copied)
        }
    }
}

/// Whether what a store holds fits together, also while a service uses it.
pub async fn check_store(place: &Place) -> Result<Report, StoreError> {
    match place {
        Place::File(path) => check(&mut reader(path)?).await,
        Place::Shared(options) => check(&mut snapshot(options).await?).await,
    }
}

/// Gives a store that was restored from a backup a new id. No service may be using it.
pub async fn restored(place: &Place) -> Result<StoreIdChange, StoreError> {
    match place {
        Place::File(path) => sqlite::restored(path),
        Place::Shared(options) => {
            nobody_uses(options).await?;
            import::restored(options).await
        }
    }
}
