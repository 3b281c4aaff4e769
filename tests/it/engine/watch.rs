//! Promise 9: a watcher misses no transition, in order, once, resumable. Slow watchers and many of them: `watch_load`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{Stream, StreamExt};
use obsteward::clock::Timestamp;
use obsteward::domain::blocker::Blockers;
use obsteward::domain::decide::{Input, VerbRequest};
use obsteward::domain::ids::{ClusterId, Revision, Seq, TaskId};
use obsteward::domain::refusal::Refusal;
use obsteward::proto::v1;
use obsteward::proto::v1::watch_task_response::Kind;
use obsteward::store::{Progress, Store, TaskVisibility};
use obsteward::watch::{Encoded, Hub, Until, WatchAuthorizer, WatchTask, WatchTasks, watch_task, watch_tasks};
use prost::Message;
use tokio_util::sync::CancellationToken;

use crate::support::stored_tasks::{asks, cluster_id, subtask_id, task_id};
use crate::support::temporary_store::TemporaryStore;

pub type Items = Pin<Box<dyn Stream<Item = Result<Encoded, Refusal>> + Send>>;

pub struct Fixture {
    pub store: Arc<TemporaryStore>,
    pub hub: Arc<Hub>,
    shutdown: CancellationToken,
}

impl Fixture {
    pub async fn new() -> Self {
        let (store, shutdown) = (Arc::new(TemporaryStore::new()), CancellationToken::new());
        let hub = Hub::start(store.clone(), shutdown.clone()).await.unwrap();
        Self { store, hub, shutdown }
    }

    pub async fn task(&self, after: Option<i64>, until: Until, progress: bool) -> Result<Items, Refusal> {
        let asked = WatchTask { task: task_id(1), after: after.map(Revision::new), until, progress };
        watch_task(&self.hub, asked, allowed()).await.map(|stream| Box::pin(stream) as Items)
    }

    pub async fn tasks(&self, cluster: Option<i64>, after: Option<i64>) -> Result<Items, Refusal> {
        let asked = WatchTasks { cluster: cluster.map(cluster_id), after: after.map(Seq::new), progress: true };
        watch_tasks(&self.hub, asked, allowed()).await.map(|stream| Box::pin(stream) as Items)
    }
}

pub fn allowed() -> Arc<dyn WatchAuthorizer> {
    Arc::new(SeesAll)
}

pub fn decoded(item: &Encoded) -> Kind {
    v1::WatchTaskResponse::decode(item.bytes().clone()).unwrap().kind.unwrap()
}

pub async fn next(items: &mut Items) -> Kind {
    let item = tokio::time::timeout(Duration::from_secs(10), items.next()).await.expect("nothing comes");
    decoded(&item.expect("the stream ended").expect("the stream failed"))
}

pub async fn all(items: Items) -> Vec<Kind> {
    items.map(|item| decoded(&item.unwrap())).collect().await
}

pub fn revisions(kinds: &[Kind]) -> Vec<i64> {
    kinds
        .iter()
        .filter_map(|kind| match kind {
            Kind::Event(event) => Some(event.revision),
            Kind::Snapshot(_) | Kind::Progress(_) | Kind::Bookmark(_) => None,
        })
        .collect()
}

pub fn seqs(kinds: &[Kind]) -> Vec<i64> {
    kinds
        .iter()
        .filter_map(|kind| match kind {
            Kind::Event(event) => Some(event.seq),
            Kind::Snapshot(_) | Kind::Progress(_) | Kind::Bookmark(_) => None,
        })
        .collect()
}

pub fn bookmark(kind: &Kind) -> &v1::Bookmark {
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
    let first = *bookmark(&all(fixture.task(Some(3), Until::AtRest, false).await.unwrap()).await[0]);
    assert_eq!((first.seq, first.state()), (3, v1::TaskState::Running));
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

    fixture.store.decide(task_id(1), asks(VerbRequest::Retry { expire_time: None }));
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
    assert_eq!(
        task.allowed_verbs().collect::<Vec<_>>(),
        [v1::TaskVerb::Retry, v1::TaskVerb::Rollback, v1::TaskVerb::GiveUp]
    );
    assert!(task.resting_since.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_idle_watch_sends_bookmarks_and_asks_again_for_permission() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    let began = obsteward::clock::monotonic_now();
    let mut task = fixture.task(None, Until::AtRest, false).await.unwrap();
    let mut tasks = fixture.tasks(Some(1), None).await.unwrap();
    _ = (next(&mut task).await, next(&mut tasks).await, next(&mut tasks).await);
    for round in 1..=3 {
        let item = task.next().await.unwrap().unwrap();
        assert_eq!(bookmark(&decoded(&item)).revision, 2);
        assert_eq!(bookmark(&decoded(&item)).state(), v1::TaskState::Running);
        assert_eq!(began.elapsed().as_secs(), 15 * round);
        let item = tasks.next().await.unwrap().unwrap();
        assert_eq!(bookmark(&decoded(&item)).seq, 2);
    }
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let times = Arc::clone(&asked);
    let gone = Refusal::TaskNotFound { task: task_id(1) };
    let authorizer = Arc::new(SeesTwice(times));
    let asked = WatchTask { task: task_id(1), after: None, until: Until::AtRest, progress: false };
    let stream = watch_task(&fixture.hub, asked, authorizer).await.unwrap();
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
        stalled_since: Timestamp::from_micros(4),
        remaining: None,
        blockers: Blockers::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn progress_is_the_latest_only_and_only_for_who_asked() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    let mut asked = fixture.task(None, Until::AtRest, true).await.unwrap();
    let mut silent = fixture.task(None, Until::AtRest, false).await.unwrap();
    _ = (next(&mut asked).await, next(&mut silent).await);
    fixture.store.dispatch(task_id(1));
    // Read before there is progress: the event that a subtask begins with ends what was known of it.
    assert!(matches!((next(&mut asked).await, next(&mut silent).await), (Kind::Event(_), Kind::Event(_))));
    (1..=10).for_each(|done| fixture.store.note(progress(done)));
    match next(&mut asked).await {
        Kind::Progress(progress) => assert_eq!(progress.done, Some(10)),
        other => panic!("{other:?}"),
    }
    let mut late = fixture.task(None, Until::AtRest, true).await.unwrap();
    match next(&mut late).await {
        Kind::Snapshot(task) => assert_eq!(task.subtasks[0].progress.as_ref().unwrap().done, Some(10)),
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

/// Sees every task, as long as it wants.
struct SeesAll;

impl WatchAuthorizer for SeesAll {
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn sees(&self, _: TaskId, _: ClusterId) -> bool {
        true
    }

    fn visible(&self) -> TaskVisibility {
        TaskVisibility::All
    }
}

/// May watch for two looks.
struct SeesTwice(Arc<std::sync::atomic::AtomicUsize>);

impl WatchAuthorizer for SeesTwice {
    fn check(&self) -> Result<(), Refusal> {
        let before = self.0.fetch_add(1, Ordering::SeqCst);
        if before < 2 { Ok(()) } else { Err(Refusal::TaskNotFound { task: task_id(1) }) }
    }

    fn sees(&self, _: TaskId, _: ClusterId) -> bool {
        true
    }

    fn visible(&self) -> TaskVisibility {
        TaskVisibility::All
    }
}
