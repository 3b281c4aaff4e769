//! Where what is measured is kept: a file, or with `--replicas N` a MariaDB of our own that so many replicas share.
#![allow(dead_code, reason = "each measurement uses a part of it")]

use std::sync::Arc;

use obsteward::clock::Clock;
use obsteward::store::WholeStore;
use obsteward::store::key_source::KeySource;
use obsteward::store::mysql::{MysqlOptions, MysqlStore};
use obsteward::store::sqlite::{SqliteOptions, SqliteStore};
use serde_json::Value;
use tempfile::TempDir;

use crate::mariadb::Mariadb;

/// How many replicas share a database; `None`: there is one process and its file.
pub fn replicas() -> Option<usize> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--replicas").skip(1);
    arguments.next().map(|number| number.parse().expect("--replicas takes a number"))
}

/// How much is measured: less on a shared store, where everything takes longer.
pub fn amount(steady: usize, quickly: usize) -> usize {
    let amount = super::support::amount(steady, quickly);
    if replicas().is_some() { amount.div_ceil(5) } else { amount }
}

pub struct Stores {
    pub directory: TempDir,
    database: Option<(Mariadb, String)>,
    replicas: usize,
}

impl Stores {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder below target");
        let (mut database, replicas) = (None, replicas());
        if replicas.is_some() {
            let server = Mariadb::start().await;
            let url = server.database("obsteward").await;
            database = Some((server, url));
        }
        Self { directory, database, replicas: replicas.unwrap_or(1) }
    }

    /// The store as each replica opens it.
    pub async fn open(&self) -> Vec<Arc<dyn WholeStore>> {
        let mut opened: Vec<Arc<dyn WholeStore>> = Vec::new();
        for _ in 0..self.replicas {
            opened.push(self.open_one().await);
        }
        opened
    }

    pub async fn open_one(&self) -> Arc<dyn WholeStore> {
        let path = self.directory.path();
        match &self.database {
            None => SqliteStore::open(path.join("store.db"), SqliteOptions::default()).expect("a store"),
            Some((_, url)) => {
                let mut options = MysqlOptions::from_url(url).expect("options");
                options.key = KeySource::File(path.join("store.key"));
                MysqlStore::open(options, Clock::system()).await.expect("a store")
            }
        }
    }

    /// The section of the configuration of a service on it, for each replica.
    pub fn config(&self) -> Vec<String> {
        let path = self.directory.path();
        let config = match &self.database {
            None => format!("[store]\npath = {:?}\n", path.join("store.db")),
            Some((_, url)) => format!("[store]\nurl = {url:?}\nkey_file = {:?}\n", path.join("store.key")),
        };
        vec![config; self.replicas]
    }

    /// What every figure says of it.
    pub fn settings(&self) -> [(&'static str, Value); 2] {
        let store = if self.database.is_some() { "mariadb" } else { "sqlite" };
        [("store", store.into()), ("replicas", self.replicas.into())]
    }
}
