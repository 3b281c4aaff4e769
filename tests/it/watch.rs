//! Promise 9: a watcher misses no transition, in order, once, resumable; a slow one is served from the log.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{Stream, StreamExt};
use obsteward::clock::Timestamp;
use obsteward::domain::decide::Input;
use obsteward::domain::event::Verb;
use obsteward::domain::ids::{Principal, Revision, Seq};
use obsteward::domain::refusal::Refusal;
use obsteward::proto::v1;
use obsteward::proto::v1::watch_task_response::Kind;
use obsteward::store::{Progress, Store};
use obsteward::watch::{Encoded, Hub, Permission, Until, WatchTask, WatchTasks, watch_task, watch_tasks};
use prost::Message;
use tokio_util::sync::CancellationToken;

use crate::fake_store::{FakeStore, cluster_id, subtask_id, task_id};

type Items = Pin<Box<dyn Stream<Item = Result<Encoded, Refusal>> + Send>>;

struct Fixture {
    store: Arc<FakeStore>,
    hub: Arc<Hub>,
    shutdown: CancellationToken,
}

impl Fixture {
    async fn new() -> Self {
        let (store, shutdown) = (Arc::new(FakeStore::new()), CancellationToken::new());
        let hub = Hub::start(Arc::clone(&store) as Arc<dyn Store>, shutdown.clone()).await.unwrap();
        Self { store, hub, shutdown }
    }

    async fn task(&self, after: Option<i64>, until: Until, progress: bool) -> Result<Items, Refusal> {
        let asked = WatchTask { task: task_id(1), after: after.map(Revision::new), until, progress };
        watch_task(&self.hub, asked, allowed()).await.map(|stream| Box::pin(stream) as Items)
    }

    async fn tasks(&self, cluster: Option<i64>, after: Option<i64>) -> Result<Items, Refusal> {
        let asked = WatchTasks { cluster: cluster.map(cluster_id), after: after.map(Seq::new), progress: true };
        watch_tasks(&self.hub, asked, allowed()).await.map(|stream| Box::pin(stream) as Items)
    }
}

fn allowed() -> Permission {
    Arc::new(|| Ok(()))
}

fn decoded(item: &Encoded) -> Kind {
    v1::WatchTaskResponse::decode(item.bytes().clone()).unwrap().kind.unwrap()
}

async fn next(items: &mut Items) -> Kind {
    let item = tokio::time::timeout(Duration::from_secs(10), items.next()).await.expect("nothing comes");
    decoded(&item.expect("the stream ended").expect("the stream failed"))
}

async fn all(items: Items) -> Vec<Kind> {
    items.map(|item| decoded(&item.unwrap())).collect().await
}

fn revisions(kinds: &[Kind]) -> Vec<i64> {
    kinds
        .iter()
        .filter_map(|kind| match kind {
            Kind::Event(event) => Some(event.revision),
            Kind::Snapshot(_) | Kind::Progress(_) | Kind::Bookmark(_) => None,
        })
        .collect()
}

fn seqs(kinds: &[Kind]) -> Vec<i64> {
    kinds
        .iter()
        .filter_map(|kind| match kind {
            Kind::Event(event) => Some(event.seq),
            Kind::Snapshot(_) | Kind::Progress(_) | Kind::Bookmark(_) => None,
        })
        .collect()
}

fn bookmark(kind: &Kind) -> &v1::Bookmark {
    match kind {
        Kind::Bookmark(bookmark) => bookmark,
        other => panic!("{other:?} where a bookmark was expected"),
    }
}

#[tokio::test]
async fn a_watch_begins_with_a_snapshot_and_ends_with_the_state() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    let items = fixture.task(None, Until::AtRest, false).await.unwrap();
    fixture.store.dispatch(task_id(1));
    (1..=3).for_each(|number| fixture.store.succeed(task_id(1), number));
    let kinds = all(items).await;
    let Kind::Snapshot(snapshot) = &kinds[0] else { panic!("{:?}", kinds[0]) };
    assert_eq!((snapshot.revision, snapshot.subtasks.len()), (2, 3));
    assert_eq!(snapshot.subtasks[1].upstreams, [101]);
    assert_eq!(snapshot.subtasks[1].downstreams, [103]);
    let head = fixture.store.log().last().unwrap().revision.get();
    assert_eq!(revisions(&kinds), (3..=head).collect::<Vec<_>>());
    let last = bookmark(kinds.last().unwrap());
    assert_eq!((last.revision, last.state()), (head, v1::TaskState::Successful));
    let named = kinds.iter().any(|kind| match kind {
        Kind::Event(v1::TaskEvent { kind: Some(v1::task_event::Kind::SubtaskTransition(moved)), .. }) => {
            moved.name == "Step 2" && moved.effect() == v1::Effect::AlreadySo
        }
        _ => false,
    });
    assert!(named, "transitions carry names and effects");
    assert_eq!(fixture.hub.watchers(), 0, "a watch that ended leaves the hub");
}

#[tokio::test]
async fn a_watch_of_a_closed_task_is_its_snapshot() {
    let fixture = Fixture::new().await;
    fixture.store.run(task_id(1), cluster_id(1));
    let kinds = all(fixture.task(None, Until::Closed, true).await.unwrap()).await;
    assert!(matches!(&kinds[..], [Kind::Snapshot(task)] if task.state() == v1::TaskState::Successful));
}

#[tokio::test]
async fn resuming_at_every_revision_gives_exactly_the_rest() {
    let fixture = Fixture::new().await;
    fixture.store.run(task_id(1), cluster_id(1));
    let head = fixture.store.log().last().unwrap().revision.get();
    for after in 0..=head {
        let kinds = all(fixture.task(Some(after), Until::AtRest, false).await.unwrap()).await;
        assert_eq!(bookmark(&kinds[0]).revision, after);
        assert_eq!(revisions(&kinds), (after + 1..=head).collect::<Vec<_>>());
        assert_eq!(bookmark(kinds.last().unwrap()).state(), v1::TaskState::Successful);
    }
    let first = bookmark(&all(fixture.task(Some(3), Until::AtRest, false).await.unwrap()).await[0]).clone();
    assert_eq!((first.seq, first.state()), (9, v1::TaskState::Running));
    match fixture.task(Some(head + 1), Until::AtRest, false).await {
        Err(Refusal::RevisionAhead { asked, head: at, .. }) => assert_eq!((asked.get(), at.get()), (head + 1, head)),
        other => panic!("{:?}", other.err()),
    }
}

#[tokio::test]
async fn resuming_while_it_runs_has_no_hole_and_no_repeat() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    fixture.store.dispatch(task_id(1));
    let mut streams = Vec::new();
    for after in 0..=3 {
        streams.push((after, fixture.task(Some(after), Until::AtRest, false).await.unwrap()));
    }
    let store = Arc::clone(&fixture.store);
    tokio::spawn(async move {
        for number in 1..=3 {
            store.succeed(task_id(1), number);
            tokio::task::yield_now().await;
        }
    });
    for (after, items) in streams {
        let kinds = all(items).await;
        let last = bookmark(kinds.last().unwrap()).revision;
        assert_eq!(revisions(&kinds), (after + 1..=last).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_task_that_is_not_known_is_refused() {
    let fixture = Fixture::new().await;
    let refused = fixture.task(None, Until::AtRest, false).await.err();
    assert_eq!(refused, Some(Refusal::TaskNotFound { task: task_id(1) }));
    assert_eq!(fixture.hub.watchers(), 0);
    assert!(matches!(fixture.tasks(None, Some(1)).await.err(), Some(Refusal::SeqAhead { .. })));
}

#[tokio::test]
async fn a_watch_ends_at_rest_or_at_the_close_as_asked() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    fixture.store.dispatch(task_id(1));
    let at_rest = fixture.task(None, Until::AtRest, false).await.unwrap();
    let mut closed = fixture.task(None, Until::Closed, false).await.unwrap();
    fixture.store.fail(task_id(1), 1);
    let kinds = all(at_rest).await;
    let failed = bookmark(kinds.last().unwrap());
    assert_eq!(failed.state(), v1::TaskState::Failed);
    assert!(matches!(next(&mut closed).await, Kind::Snapshot(_)));

    let principal = Principal::new("anonymous");
    let retry = Input::Requested { verb: Verb::Retry, principal, if_revision: None, expire_time: None };
    fixture.store.decide(task_id(1), retry);
    fixture.store.decide(task_id(1), Input::RetryFrom { subtask: subtask_id(task_id(1), 1) });
    // The rest was left before this watch began.
    let mut again = fixture.task(Some(0), Until::AtRest, false).await.unwrap();
    assert_eq!(bookmark(&next(&mut again).await).revision, 0);
    fixture.store.dispatch(task_id(1));
    (1..=3).for_each(|number| fixture.store.succeed(task_id(1), number));
    let head = fixture.store.log().last().unwrap().revision.get();
    let kinds = all(again).await;
    assert_eq!(revisions(&kinds), (1..=head).collect::<Vec<_>>());
    let kinds = all(closed).await;
    assert_eq!(revisions(&kinds), (4..=head).collect::<Vec<_>>());
    assert_eq!(bookmark(kinds.last().unwrap()).state(), v1::TaskState::Successful);
}

#[tokio::test]
async fn a_failure_carries_its_error_info() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    fixture.store.dispatch(task_id(1));
    fixture.store.fail(task_id(1), 1);
    let kinds = all(fixture.task(None, Until::AtRest, false).await.unwrap()).await;
    let Kind::Snapshot(task) = &kinds[0] else { panic!("{:?}", kinds[0]) };
    let error = task.error.as_ref().unwrap();
    assert_eq!((error.code, error.message.as_str()), (9, "consent ended"));
    let info = tonic_types::pb::ErrorInfo::decode(error.details[0].value.as_slice()).unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("EXPIRED", "obsteward"));
    assert_eq!(info.metadata["gap_seconds"], "700");
    assert_eq!(task.allowed_verbs().collect::<Vec<_>>(), [v1::TaskVerb::Retry, v1::TaskVerb::GiveUp]);
    assert!(task.resting_since.is_some());
}

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
    let target = |store: &FakeStore| store.log().last().unwrap().seq.get();
    fixture.store.dispatch(task_id(1));
    for round in 0..400 {
        fixture.store.fail(task_id(1), 1);
        let principal = Principal::new("anonymous");
        let retry = Input::Requested { verb: Verb::Retry, principal, if_revision: None, expire_time: None };
        fixture.store.decide(task_id(1), retry);
        fixture.store.decide(task_id(1), Input::RetryFrom { subtask: subtask_id(task_id(1), 1) });
        fixture.store.dispatch(task_id(1));
        while round % 50 == 0 && seen.last().copied().unwrap_or(0) < target(&fixture.store) {
            seen.extend(seqs(&[next(&mut fast).await]));
        }
    }
    (1..=3).for_each(|number| fixture.store.succeed(task_id(1), number));
    let log: Vec<i64> = fixture.store.log().iter().map(|event| event.seq.get()).collect();
    assert!(log.len() > 1500, "the ring is shorter than the log");
    while seen.last().copied().unwrap_or(0) < target(&fixture.store) {
        seen.extend(seqs(&[next(&mut fast).await]));
    }
    assert_eq!(seen, log[2..]);
    let reads = fixture.store.log_reads.load(Ordering::SeqCst);
    let mut late = Vec::new();
    let head = target(&fixture.store);
    while late.last().copied().unwrap_or(0) < head {
        late.extend(seqs(&[next(&mut slow).await]));
    }
    assert_eq!(late, log);
    assert!(fixture.store.log_reads.load(Ordering::SeqCst) > reads, "it was behind the ring");
    let kinds = all(slow_task).await;
    assert_eq!(seqs(&kinds), log[2..]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_watch_sends_bookmarks_and_asks_again_for_permission() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    let began = tokio::time::Instant::now();
    let mut task = fixture.task(None, Until::AtRest, false).await.unwrap();
    let mut tasks = fixture.tasks(Some(1), None).await.unwrap();
    _ = (next(&mut task).await, next(&mut tasks).await, next(&mut tasks).await);
    for round in 1..=3 {
        let item = task.next().await.unwrap().unwrap();
        assert_eq!(bookmark(&decoded(&item)).revision, 2);
        assert_eq!(bookmark(&decoded(&item)).state(), v1::TaskState::Running);
        assert_eq!(began.elapsed().as_secs(), 15 * round);
        let item = tasks.next().await.unwrap().unwrap();
        assert_eq!(bookmark(&decoded(&item)).seq, 6);
    }
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let times = Arc::clone(&asked);
    let gone = Refusal::TaskNotFound { task: task_id(1) };
    let permission: Permission = Arc::new(move || {
        let before = times.fetch_add(1, Ordering::SeqCst);
        if before < 2 { Ok(()) } else { Err(Refusal::TaskNotFound { task: task_id(1) }) }
    });
    let asked = WatchTask { task: task_id(1), after: None, until: Until::AtRest, progress: false };
    let stream = watch_task(&fixture.hub, asked, permission).await.unwrap();
    let items: Vec<_> = stream.collect().await;
    assert_eq!(items.len(), 3, "a snapshot, a bookmark, the end of the permission");
    assert_eq!(items[2].as_ref().err(), Some(&gone));
}

#[tokio::test]
async fn many_tasks_come_in_global_order_and_by_cluster() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    fixture.store.run(task_id(2), cluster_id(2));
    fixture.store.create(task_id(3), cluster_id(2));
    let mut every = fixture.tasks(None, None).await.unwrap();
    let snapshots = [next(&mut every).await, next(&mut every).await];
    let ids = snapshots.map(|kind| match kind {
        Kind::Snapshot(task) => task.id,
        other => panic!("{other:?}"),
    });
    assert_eq!(ids, [1, 3], "open tasks only");
    let end = next(&mut every).await;
    assert!(bookmark(&end).snapshots_end);
    let log_at_start = fixture.store.log();
    assert_eq!(bookmark(&end).seq, log_at_start.last().unwrap().seq.get());
    let mut second = fixture.tasks(Some(2), Some(0)).await.unwrap();
    for task in [1, 3] {
        fixture.store.dispatch(task_id(task));
    }
    for number in 1..=3 {
        fixture.store.succeed(task_id(1), number);
        fixture.store.succeed(task_id(3), number);
    }
    let log = fixture.store.log();
    let news: Vec<i64> = log[log_at_start.len()..].iter().map(|event| event.seq.get()).collect();
    let mut got = Vec::new();
    while got.len() < news.len() {
        got.extend(seqs(&[next(&mut every).await]));
    }
    assert_eq!(got, news);
    let of_second: Vec<i64> =
        log.iter().filter(|event| event.task != task_id(1)).map(|event| event.seq.get()).collect();
    let mut got = Vec::new();
    while got.len() < of_second.len() {
        got.extend(seqs(&[next(&mut second).await]));
    }
    assert_eq!(got, of_second);
    for after in 0..=log.last().unwrap().seq.get() {
        let mut resumed = fixture.tasks(None, Some(after)).await.unwrap();
        assert_eq!(bookmark(&next(&mut resumed).await).seq, after);
        let rest: Vec<i64> = log.iter().map(|event| event.seq.get()).filter(|seq| *seq > after).collect();
        let mut got = Vec::new();
        while got.len() < rest.len() {
            got.extend(seqs(&[next(&mut resumed).await]));
        }
        assert_eq!(got, rest);
    }
}

fn progress(done: i64) -> Progress {
    Progress {
        task: task_id(1),
        subtask: subtask_id(task_id(1), 1),
        message: format!("{done} of 40 leaders still there"),
        done,
        total: 40,
        at: Timestamp::from_micros(5),
        deadline: Timestamp::from_micros(9),
    }
}

#[tokio::test(start_paused = true)]
async fn progress_is_the_latest_only_and_only_for_who_asked() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    fixture.store.dispatch(task_id(1));
    let mut asked = fixture.task(None, Until::AtRest, true).await.unwrap();
    let mut silent = fixture.task(None, Until::AtRest, false).await.unwrap();
    _ = (next(&mut asked).await, next(&mut silent).await);
    (1..=10).for_each(|done| fixture.store.note(progress(done)));
    match next(&mut asked).await {
        Kind::Progress(progress) => assert_eq!(progress.done, 10),
        other => panic!("{other:?}"),
    }
    let mut late = fixture.task(None, Until::AtRest, true).await.unwrap();
    match next(&mut late).await {
        Kind::Snapshot(task) => assert_eq!(task.subtasks[0].progress.as_ref().unwrap().done, 10),
        other => panic!("{other:?}"),
    }
    fixture.store.succeed(task_id(1), 1);
    assert!(matches!(next(&mut late).await, Kind::Event(_)), "progress that was in the snapshot is not repeated");
    assert!(matches!(next(&mut silent).await, Kind::Event(_)));
}

#[tokio::test]
async fn the_end_of_the_service_is_a_bookmark_and_when_to_come_back() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    let task = fixture.task(None, Until::AtRest, true).await.unwrap();
    let tasks = fixture.tasks(None, Some(0)).await.unwrap();
    fixture.shutdown.cancel();
    for items in [task, tasks] {
        let items: Vec<_> = items.collect().await;
        let [.., last, end] = &items[..] else { panic!("{items:?}") };
        _ = bookmark(&decoded(last.as_ref().unwrap()));
        assert!(matches!(end, Err(Refusal::Unavailable { retry_after_millis: 100..=2100, .. })), "{end:?}");
    }
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
            std::thread::sleep(Duration::from_micros(300));
        }
        // Stays open: the last of the watches below end with it.
        store.create(task_id(41), cluster_id(1));
    });
    let mut watchers = tokio::task::JoinSet::new();
    for number in 0..60_i64 {
        let fixture = Arc::clone(&fixture);
        watchers.spawn(async move {
            tokio::time::sleep(Duration::from_micros(300 * u64::try_from(number).unwrap())).await;
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
