//! The watches over the embedded store: what was acknowledged can be watched at once, from its position on.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use obsteward::domain::ids::{Revision, Seq};
use obsteward::proto::v1;
use obsteward::proto::v1::watch_task_response::Kind;
use obsteward::store::{CommitOutcome, Store};
use obsteward::watch::{Hub, Until, WatchTask, WatchTasks, watch_task, watch_tasks};
use tokio_util::sync::CancellationToken;

use crate::store::{append, creation, sqlite, task_id};
use crate::watch::{allowed, bookmark, decoded};

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
