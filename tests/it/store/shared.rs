//! The suite over the shared store: every case in a database of its own, on a server of our own.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use obsteward::clock::{Clock, monotonic_now};
use obsteward::store::WholeStore;
use obsteward::store::key_source::KeySource;
use obsteward::store::mysql::{MysqlOptions, MysqlStore};

use super::CASES;

/// Options for the store of this URL; its key lies in the directory.
pub fn options(url: &str, directory: &std::path::Path) -> MysqlOptions {
    let mut options = MysqlOptions::from_url(url).unwrap();
    options.key = KeySource::File(directory.join("store.key"));
    options
}

async fn conforms(on: &str, database: impl AsyncFn(&str) -> String) {
    let mut failed = Vec::new();
    let begun = monotonic_now();
    for case in CASES {
        let directory = tempfile::tempdir().unwrap();
        // The name of a database has at most 64 characters.
        let url = database(&case.name.chars().take(60).collect::<String>()).await;
        let began = monotonic_now();
        let run = async {
            let store = MysqlStore::open(options(&url, directory.path()), Clock::system()).await.expect("a new store");
            let opened = began.elapsed();
            (case.run)(store.clone()).await;
            store.close().await;
            opened
        };
        match AssertUnwindSafe(run).catch_unwind().await {
            Ok(opened) => {
                let millis = (began.elapsed() - opened).as_millis();
                println!("{on}: {} in {millis} ms ({} ms to make its tables)", case.name, opened.as_millis());
            }
            Err(_) => failed.push(case.name),
        }
    }
    println!("{on}: {} cases in {} ms", CASES.len(), begun.elapsed().as_millis());
    assert!(failed.is_empty(), "{on}: {failed:?}");
}

mod mariadb {
    use super::conforms;
    use crate::support::mariadb::Mariadb;

    #[tokio::test]
    #[ignore = "a lane of scripts/test runs it"]
    async fn the_suite_holds() {
        let server = Mariadb::start().await;
        conforms("MariaDB", async |name| server.database(name).await).await;
    }
}

mod oceanbase {
    use obsteward::sim::NetClaim;

    use super::conforms;
    use crate::e2e::real_engine::engine::{Engine, Release};
    use crate::support::mariadb::create_database;

    #[tokio::test]
    #[ignore = "needs a real OceanBase engine; a lane of scripts/test runs it"]
    async fn the_suite_holds() {
        let net = NetClaim::any().unwrap();
        let engine = Engine::start(Release::OfStore, net.address(250), "store").await;
        conforms("OceanBase", async |name| create_database(engine.address, name).await).await;
    }
}
