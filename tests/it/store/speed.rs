//! Not part of the suite: how many commits a second the store takes, one at a time and from many callers.

use std::sync::Arc;

use obsteward::clock::monotonic_now;
use obsteward::store::{CommitOutcome, Store};

use super::{append, commit, creation, sqlite};

/// `cargo test --profile bench --test it -- --ignored --nocapture speed`
#[tokio::test]
#[ignore = "a measurement"]
async fn commits_per_second() {
    for callers in [1_i64, 16, 64] {
        let (_directory, store) = sqlite();
        let each = 20_000 / callers;
        for caller in 1..=callers {
            commit(&*store, creation(caller * 1000, caller)).await;
        }
        let begun = monotonic_now();
        let running = (1..=callers).map(|caller| {
            let store: Arc<dyn Store> = store.clone();
            tokio::spawn(async move {
                for after in 2..2 + each {
                    let outcome = commit(&*store, append(caller * 1000, after, 1, &"x".repeat(200))).await;
                    assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
                }
            })
        });
        for one in running.collect::<Vec<_>>() {
            one.await.unwrap();
        }
        let rate = (callers * each) as f64 / begun.elapsed().as_secs_f64();
        println!("{{\"figure\": \"store_commits\", \"callers\": {callers}, \"per_second\": {rate:.0}}}");
    }
}
