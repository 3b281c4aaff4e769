//! Not part of the suite: how many commits a second a store takes, one at a time and from many callers; and how soon another replica
//! hears of one. The embedded store and the shared one beside each other.

use std::sync::Arc;
use std::time::Duration;

use obsteward::clock::{Clock, monotonic_now};
use obsteward::store::mysql::MysqlStore;
use obsteward::store::{CommitOutcome, Store, WholeStore};

use super::shared::options;
use super::{append, commit, creation, sqlite};
use crate::support::mariadb::Mariadb;

/// `cargo test --profile bench --test it -- --ignored --nocapture speed`
#[tokio::test]
#[ignore = "a measurement"]
async fn commits_per_second() {
    let (_directory, store) = sqlite();
    rates("sqlite", store).await;
    let (server, directory) = (Mariadb::start().await, tempfile::tempdir().unwrap());
    let options = options(&server.database("speed").await, directory.path());
    let store = MysqlStore::open(options.clone(), Clock::system()).await.unwrap();
    rates("mariadb", store.clone()).await;
    let other = MysqlStore::open(options, Clock::system()).await.unwrap();
    heard(&*store, &*other).await;
    other.close().await;
    store.close().await;
}

async fn rates(on: &str, store: Arc<dyn WholeStore>) {
    for callers in [1_i64, 16, 64] {
        let each = 8_000 / callers;
        let first = callers * 1_000_000;
        for caller in 1..=callers {
            commit(&*store, creation(first + caller * 1000, first + caller)).await;
        }
        let begun = monotonic_now();
        let running = (1..=callers).map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                for after in 2..2 + each {
                    let outcome = commit(&*store, append(first + caller * 1000, after, 1, &"x".repeat(200))).await;
                    assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
                }
            })
        });
        for one in running.collect::<Vec<_>>() {
            one.await.unwrap();
        }
        let rate = (callers * each) as f64 / begun.elapsed().as_secs_f64();
        println!(
            "{{\"figure\": \"store_commits\", \"store\": \"{on}\", \"callers\": {callers}, \"per_second\": {rate:.0}}}"
        );
    }
}

/// From the answer of a commit at one replica to its event at the other.
async fn heard(at: &dyn Store, by: &dyn Store) {
    commit(at, creation(9_000_000, 9_000_000)).await;
    let mut committed = by.committed();
    let mut lags = Vec::new();
    for after in 2..302 {
        let CommitOutcome::Committed { seq, .. } = commit(at, append(9_000_000, after, 1, "x")).await else {
            panic!("not committed")
        };
        let begun = monotonic_now();
        committed.wait_for(|position| *position >= seq).await.unwrap();
        lags.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    lags.sort_unstable();
    let millis = |share: usize| lags[lags.len() * share / 100].as_secs_f64() * 1000.0;
    println!(
        "{{\"figure\": \"heard_by_another_replica\", \"p50_ms\": {:.1}, \"p99_ms\": {:.1}}}",
        millis(50),
        millis(99)
    );
}
