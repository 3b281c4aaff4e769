//! Promise 9 under load: a slow watcher is served from the log, many see the same, and who comes at any moment misses
//! nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use obsteward::domain::decide::{Input, VerbRequest};
use obsteward::domain::ids::Revision;
use obsteward::proto::v1;
use obsteward::proto::v1::watch_task_response::Kind;
use obsteward::store::Store;
use obsteward::watch::{Until, WatchTask, watch_task};

use crate::engine::watch::{Fixture, all, allowed, bookmark, decoded, next, revisions, seqs};
use crate::support::stored_tasks::{asks, cluster_id, fails, subtask_id, task_id};
use crate::support::temporary_store::TemporaryStore;

#[tokio::test]
async fn a_slow_watcher_is_served_from_the_log_and_slows_nobody() {
    let fixture = Fixture::new().await;
    let mut slow = fixture.tasks(None, None).await.unwrap();
    assert!(bookmark(&next(&mut slow).await).snapshots_end);
    fixture.store.create(task_id(1), cluster_id(1));
    let mut slow_task = fixture.task(None, Until::Closed, false).await.unwrap();
    assert!(matches!(next(&mut slow_task).await, Kind::Snapshot(_)));
    let mut fast = fixture.tasks(None, None).await.unwrap();
    _ = (next(&mut fast).await, next(&mut fast).await);
    let mut seen = Vec::new();
    let target = |store: &TemporaryStore| store.committed().borrow().get();
    let (mut task, first) = (fixture.store.folded(task_id(1)), subtask_id(task_id(1), 1));
    let dispatch = || Input::Dispatch { executor: "me".to_owned() };
    fixture.store.decide_all(&mut task, [dispatch()]);
    for round in 0..2_300 {
        let retry = asks(VerbRequest::Retry { expire_time: None });
        fixture.store.decide_all(&mut task, [fails(first), retry, Input::RetryFrom { subtask: first }, dispatch()]);
        while round % 50 == 0 && seen.last().copied().unwrap_or(0) < target(&fixture.store) {
            seen.extend(seqs(&[next(&mut fast).await]));
        }
    }
    (1..=3).for_each(|number| fixture.store.succeed(task_id(1), number));
    let log: Vec<i64> = fixture.store.log().iter().map(|event| event.seq.get()).collect();
    assert!(log.len() > 9000, "the ring is shorter than the log");
    while seen.last().copied().unwrap_or(0) < target(&fixture.store) {
        seen.extend(seqs(&[next(&mut fast).await]));
    }
    assert_eq!(seen, log[2..]);
    let reads = fixture.store.switches.log_reads.load(Ordering::SeqCst);
    let mut late = Vec::new();
    let head = target(&fixture.store);
    while late.last().copied().unwrap_or(0) < head {
        late.extend(seqs(&[next(&mut slow).await]));
    }
    assert_eq!(late, log);
    assert!(fixture.store.switches.log_reads.load(Ordering::SeqCst) > reads, "it was behind the ring");
    let kinds = all(slow_task).await;
    assert_eq!(seqs(&kinds), log[2..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_watchers_see_the_same() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    let mut watchers = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let items = fixture.task(Some(number % 3), Until::AtRest, number % 2 == 0).await.unwrap();
        watchers.spawn(async move { (number % 3, all(items).await) });
    }
    let store = Arc::clone(&fixture.store);
    let writer = tokio::spawn(async move {
        store.dispatch(task_id(1));
        for number in 1..=3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            store.succeed(task_id(1), number);
        }
    });
    writer.await.unwrap();
    let head = fixture.store.log().last().unwrap().revision.get();
    while let Some(done) = watchers.join_next().await {
        let (after, kinds) = done.unwrap();
        assert_eq!(revisions(&kinds), (after + 1..=head).collect::<Vec<_>>());
    }
    assert_eq!(fixture.hub.watchers(), 0);
}

/// Watchers come at any moment while tasks move on other threads: nobody has a hole or a repeat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_that_come_at_any_moment_miss_nothing() {
    let fixture = Arc::new(Fixture::new().await);
    let store = Arc::clone(&fixture.store);
    let writer = tokio::task::spawn_blocking(move || {
        for task in 1..=40 {
            store.run(task_id(task), cluster_id(task % 2 + 1));
        }
        // Stays open: the last of the watches below end with it.
        store.create(task_id(41), cluster_id(1));
    });
    let mut watchers = tokio::task::JoinSet::new();
    for number in 0..60_i64 {
        let fixture = Arc::clone(&fixture);
        watchers.spawn(async move {
            // One after the other, from before the first task was accepted until most are done.
            fixture.store.committed().wait_for(|seq| seq.get() >= number * 6).await.unwrap();
            if number % 3 == 0 {
                let task = task_id(number / 3 + 1);
                let after = (number % 2 == 0).then_some(Revision::ZERO);
                let asked = WatchTask { task, after, until: Until::AtRest, progress: true };
                let Ok(stream) = watch_task(&fixture.hub, asked, allowed()).await else { return };
                let kinds: Vec<Kind> = stream.map(|item| decoded(&item.unwrap())).collect().await;
                let first = match &kinds[0] {
                    Kind::Snapshot(task) => task.revision,
                    other => bookmark(other).revision,
                };
                let last = first + i64::try_from(revisions(&kinds).len()).unwrap();
                assert_eq!(revisions(&kinds), (first + 1..=last).collect::<Vec<_>>());
                let log = fixture.store.log();
                assert_eq!(last, log.iter().rfind(|event| event.task == task).unwrap().revision.get());
                return;
            }
            let cluster = (number % 3 == 1).then_some(1);
            let mut items = fixture.tasks(cluster, (number % 2 == 0).then_some(0)).await.unwrap();
            let (mut position, mut got) = (0, Vec::new());
            let end = |event: &v1::TaskEvent| event.task_id == 41 && event.revision == 2;
            loop {
                match next(&mut items).await {
                    Kind::Snapshot(task) if task.id == 41 => break,
                    Kind::Snapshot(_) | Kind::Progress(_) => {}
                    Kind::Bookmark(bookmark) => position = position.max(bookmark.seq),
                    Kind::Event(event) => {
                        got.push(event.seq);
                        if end(&event) {
                            break;
                        }
                    }
                }
            }
            if got.is_empty() {
                return;
            }
            let ours = |task: i64| cluster.is_none() || task == 41 || task % 2 == 0;
            let log = fixture.store.log();
            let from = if number % 2 == 0 { 0 } else { position };
            let expected = log.iter().filter(|event| ours(event.task.get()) && event.seq.get() > from);
            assert_eq!(got, expected.map(|event| event.seq.get()).collect::<Vec<_>>());
        });
    }
    while let Some(done) = watchers.join_next().await {
        done.unwrap();
    }
    writer.await.unwrap();
    assert_eq!(fixture.hub.watchers(), 0);
}
