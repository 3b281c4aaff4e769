//! The watches over the embedded store: what was acknowledged can be watched at once, from its position on.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use obsteward::domain::ids::{Revision, Seq};
use obsteward::proto::v1;
use obsteward::proto::v1::watch_task_response::Kind;
use obsteward::store::WholeStore;
use obsteward::store::sqlite::{SqliteOptions, SqliteStore};
use obsteward::store::{CommitOutcome, Store};
use obsteward::watch::{Hub, Until, WatchTask, WatchTasks, watch_task, watch_tasks};
use tokio_util::sync::CancellationToken;

use crate::engine::watch::{allowed, bookmark, decoded};
use crate::store::{append, creation, sqlite, task_id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_can_be_watched_at_once() {
    let (_directory, store) = sqlite();
    let hub = Hub::start(Arc::clone(&store) as Arc<dyn Store>, CancellationToken::new()).await.unwrap();
    let created = store.submit(creation(100, 1)).outcome().await.unwrap();
    let CommitOutcome::Committed { revision, seq, fence } = created else { panic!("{created:?}") };

    let asked = WatchTask { task: task_id(100), after: Some(revision), until: Until::AtRest, progress: false };
    let mut one = Box::pin(watch_task(&hub, asked, allowed()).await.unwrap());
    assert_eq!(bookmark(&decoded(&one.next().await.unwrap().unwrap())).state(), v1::TaskState::Running);
    let asked = WatchTasks { cluster: None, after: Some(Seq::ZERO), progress: false };
    let mut many = Box::pin(watch_tasks(&hub, asked, allowed()).await.unwrap());
    _ = many.next().await.unwrap().unwrap();
    for expected in 1..=seq.get() {
        let Kind::Event(event) = decoded(&many.next().await.unwrap().unwrap()) else { panic!("an event is next") };
        assert_eq!(event.seq, expected);
    }

    let mut at = revision;
    for number in 0..200 {
        let outcome = store.submit(append(100, at.get(), fence.get(), &number.to_string())).outcome().await.unwrap();
        let CommitOutcome::Committed { revision, seq, .. } = outcome else { panic!("{outcome:?}") };
        at = revision;
        // Its position is known to the caller now, so it is never ahead of the log.
        let asked = WatchTasks { cluster: None, after: Some(seq), progress: false };
        assert!(watch_tasks(&hub, asked, allowed()).await.is_ok(), "event {seq}");
        let asked = WatchTask { task: task_id(100), after: Some(at), until: Until::AtRest, progress: false };
        assert!(watch_task(&hub, asked, allowed()).await.is_ok(), "revision {at}");
    }
    let mut expected = revision;
    while expected < at {
        expected = expected.next();
        for item in [
            tokio::time::timeout(Duration::from_secs(5), one.next()).await,
            tokio::time::timeout(Duration::from_secs(5), many.next()).await,
        ] {
            let Kind::Event(event) = decoded(&item.unwrap().unwrap().unwrap()) else { panic!("an event is next") };
            assert_eq!(Revision::new(event.revision), expected);
        }
    }
}

/// Where a store lost its newest events and went on, as when it was restored, its places have a gap.
#[tokio::test]
async fn places_that_no_event_has_are_passed_over() {
    let (directory, store) = sqlite();
    let path = directory.path().join("store.db");
    let created = store.submit(creation(100, 1)).outcome().await.unwrap();
    let CommitOutcome::Committed { revision, seq: before, fence } = created else { panic!("{created:?}") };
    store.close().await;
    drop(store);
    let gap = "UPDATE counter SET value = value + 7 WHERE name = 'seq'";
    assert_eq!(rusqlite::Connection::open(&path).unwrap().execute(gap, []), Ok(1));

    let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
    let hub = Hub::start(Arc::clone(&store) as Arc<dyn Store>, CancellationToken::new()).await.unwrap();
    let appended = store.submit(append(100, revision.get(), fence.get(), "behind the gap")).outcome().await.unwrap();
    let CommitOutcome::Committed { seq: last, .. } = appended else { panic!("{appended:?}") };
    assert_eq!(last.get(), before.get() + 8);
    let places: Vec<i64> = (1..=before.get()).chain([last.get()]).collect();
    for after in 0..=last.get() {
        let asked = WatchTasks { cluster: None, after: Some(Seq::new(after)), progress: false };
        let mut watch = Box::pin(watch_tasks(&hub, asked, allowed()).await.unwrap());
        assert_eq!(bookmark(&decoded(&watch.next().await.unwrap().unwrap())).seq, after);
        for expected in places.iter().filter(|seq| **seq > after) {
            let item = tokio::time::timeout(Duration::from_secs(5), watch.next()).await.unwrap();
            let Kind::Event(event) = decoded(&item.unwrap().unwrap()) else { panic!("an event is next") };
            assert_eq!(event.seq, *expected, "after {after}");
        }
    }
}
