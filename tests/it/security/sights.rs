//! Promise 11, watches: they show only what the caller may read, also when that changes meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{join, join_all, join3};
use futures::stream::BoxStream;
use obsteward::access::{AuthEvidence, Secret};
use obsteward::api::error_status::to_status;
use obsteward::clock::{Timestamp, monotonic_now};
use obsteward::domain::blocker::Blockers;
use obsteward::domain::ids::{Principal, Seq};
use obsteward::domain::refusal::{AuthFailure, Refusal};
use obsteward::proto::v1::watch_task_response::Kind;
use obsteward::service::{Caller, UpdateUser};
use obsteward::store::access::AccessChange;
use obsteward::store::{Progress, Store, StoreError};
use obsteward::watch::{
    BOOKMARK_PERIOD, Hub, ReadLog, Until, WatchTask, WatchTasks, read_log, watch_task, watch_tasks,
};
use tokio_util::sync::CancellationToken;

use crate::engine::watch::{Items, decoded};
use crate::support::guarded::Fixture;
use crate::support::stored_rows::audit;
use crate::support::stored_tasks::{cluster_id, subtask_id, task_id};

async fn all_seen_by(fixture: &Fixture, hub: &Arc<Hub>, name: &str, after: Option<i64>) -> Items {
    let asked = WatchTasks { cluster: None, after: after.map(Seq::new), progress: true };
    let authorizer = fixture.guarded.call(&fixture.caller(name), asked.clone()).await.unwrap();
    Box::pin(watch_tasks(hub, asked, authorizer).await.unwrap())
}

/// What comes until the next periodic bookmark, ascending, each once; or until the watch is refused, and why. Watches that
/// are compared are read side by side: time passes only when all of them wait.
async fn told(items: &mut Items) -> (Vec<String>, Option<String>) {
    let (mut told, mut refused) = (Vec::new(), None);
    while let Some(item) = items.next().await {
        match item.map(|item| decoded(&item)) {
            Ok(Kind::Snapshot(task)) => told.push(format!("snapshot {}", task.id)),
            Ok(Kind::Event(event)) => told.push(format!("event {}", event.task_id)),
            Ok(Kind::Progress(progress)) => told.push(format!("progress {}", progress.task_id)),
            Ok(Kind::Bookmark(bookmark)) if bookmark.snapshots_end => {}
            Ok(Kind::Bookmark(_)) => break,
            Err(refusal) => {
                let status = to_status(&refusal);
                assert_eq!(status.code(), tonic::Code::PermissionDenied);
                assert!(items.next().await.is_none(), "a refusal ends a watch");
                refused = Some(status.message().to_owned());
                break;
            }
        }
    }
    told.sort_unstable();
    told.dedup();
    (told, refused)
}

fn only(told: &[&str]) -> (Vec<String>, Option<String>) {
    (told.iter().map(|text| (*text).to_owned()).collect(), None)
}

fn progress(task: i64) -> Progress {
    let (task, subtask) = (task_id(task), subtask_id(task_id(task), 1));
    let at = Timestamp::from_micros(1);
    let (message, blockers) = ("waits".to_owned(), Blockers::default());
    Progress {
        task,
        subtask,
        message,
        done: 0,
        total: 0,
        at,
        deadline: at,
        stalled_since: at,
        remaining: None,
        blockers,
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_many_shows_what_its_caller_may_read() {
    let fixture = Fixture::new(&[("one", &["CLUSTER:1:READ"]), ("two", &["TASK:3:READ"]), ("none", &[])]).await;
    let hub = fixture.hub(&CancellationToken::new()).await;
    let mut one = all_seen_by(&fixture, &hub, "one", None).await;
    let mut two = all_seen_by(&fixture, &hub, "two", None).await;
    let mut none = all_seen_by(&fixture, &hub, "none", None).await;
    let first = join3(told(&mut one), told(&mut two), told(&mut none)).await;
    assert_eq!(first, (only(&["snapshot 1", "snapshot 2"]), only(&["snapshot 3"]), only(&[])));
    fixture.store.dispatch(task_id(1));
    fixture.store.dispatch(task_id(3));
    let second = join3(told(&mut one), told(&mut two), told(&mut none)).await;
    assert_eq!(second, (only(&["event 1"]), only(&["event 3"]), only(&[])));
    // Later: an event that is read after the progress of its subtask ends it.
    fixture.store.note(progress(1));
    fixture.store.note(progress(3));
    let third = join3(told(&mut one), told(&mut two), told(&mut none)).await;
    assert_eq!(third, (only(&["progress 1"]), only(&["progress 3"]), only(&[])));
    // From the log, for who comes back: a bookmark says where the watch stands, and another comes 15 s later.
    let mut two = all_seen_by(&fixture, &hub, "two", Some(0)).await;
    let mut none = all_seen_by(&fixture, &hub, "none", Some(0)).await;
    assert_eq!(join(told(&mut two), told(&mut none)).await, (only(&[]), only(&[])));
    assert_eq!(join(told(&mut two), told(&mut none)).await, (only(&["event 3"]), only(&[])));
}

/// Places that a watch tells until its next periodic bookmark, that one included.
async fn places(items: &mut Items) -> Vec<i64> {
    let mut places = Vec::new();
    loop {
        match decoded(&items.next().await.unwrap().unwrap()) {
            Kind::Event(event) => places.push(event.seq),
            Kind::Bookmark(bookmark) => {
                places.push(bookmark.seq);
                if !bookmark.snapshots_end {
                    return places;
                }
            }
            Kind::Snapshot(_) | Kind::Progress(_) => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_many_tells_no_places_of_what_its_caller_may_not_read() {
    let fixture = Fixture::new(&[("all", &["TASK:*:READ"]), ("two", &["TASK:3:READ"]), ("none", &[])]).await;
    let hub = fixture.hub(&CancellationToken::new()).await;
    let last_of = |task: i64| {
        let log = fixture.store.log();
        log.iter().rev().find(|event| event.task == task_id(task)).unwrap().seq.get()
    };
    let mut all = all_seen_by(&fixture, &hub, "all", None).await;
    let mut two = all_seen_by(&fixture, &hub, "two", None).await;
    let mut none = all_seen_by(&fixture, &hub, "none", None).await;
    let (at_first, head) = (last_of(3), fixture.store.log().last().unwrap().seq.get());
    let first = join3(places(&mut all), places(&mut two), places(&mut none)).await;
    assert_eq!(first, (vec![head; 2], vec![at_first; 2], vec![0; 2]));
    fixture.store.dispatch(task_id(3));
    let seen_by_two = last_of(3);
    fixture.store.dispatch(task_id(1));
    fixture.store.dispatch(task_id(2));
    let head = last_of(2);
    let second = join3(places(&mut all), places(&mut two), places(&mut none)).await;
    assert_eq!(second.0.last(), Some(&head), "who sees everything is told of everything");
    assert_eq!((second.1.last(), second.2), (Some(&seen_by_two), vec![0]));

    // Whoever comes back with the position that they were told misses nothing.
    let mut two = all_seen_by(&fixture, &hub, "two", Some(at_first)).await;
    assert_eq!(places(&mut two).await, [at_first], "where the watch stands");
    let log = fixture.store.log().into_iter().filter(|event| event.task == task_id(3));
    let since = log.map(|event| event.seq.get()).filter(|seq| *seq > at_first);
    assert_eq!(places(&mut two).await, since.chain([seen_by_two]).collect::<Vec<_>>());

    // Nor is the head found by trying: every place that is not one's own is as far beyond as any.
    for (name, after, told) in [("none", 1, 0), ("none", head, 0), ("none", head + 9, 0), ("two", head, seen_by_two)] {
        let asked = WatchTasks { cluster: None, after: Some(Seq::new(after)), progress: false };
        let authorizer = fixture.guarded.call(&fixture.caller(name), asked.clone()).await.unwrap();
        let refused = watch_tasks(&hub, asked, authorizer).await.err();
        assert_eq!(refused, Some(Refusal::SeqAhead { asked: Seq::new(after), head: Seq::new(told) }), "{name} {after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_changed_ends_what_was_opened_with_it() {
    let fixture = Fixture::new(&[("reader", &["CLUSTER:1:READ"]), ("admin", &["**"])]).await;
    let hub = fixture.hub(&CancellationToken::new()).await;
    let user = fixture.directory.user(&Principal::new("reader")).unwrap().id;
    let set_password =
        |password_hash: &str| AccessChange::SetPassword { user, password_hash: password_hash.to_owned() };
    let secret = Some(Secret::Password("first".into()));
    let proof = Arc::new(AuthEvidence { certificate: None, secret });
    let caller = Caller { proof, ..fixture.caller("reader") };
    fixture.directory.change::<StoreError>(|_| Ok((set_password("first"), audit("admin")))).await.unwrap();
    let asked = WatchTask { task: task_id(1), after: None, until: Until::Closed, progress: false };
    let of_task = watch_task(&hub, asked.clone(), fixture.guarded.call(&caller, asked).await.unwrap()).await.unwrap();
    let asked = WatchTasks { cluster: None, after: None, progress: false };
    let of_tasks = watch_tasks(&hub, asked.clone(), fixture.guarded.call(&caller, asked).await.unwrap()).await.unwrap();
    let asked = ReadLog { task: task_id(1), subtask: None, from_line: 0, follow: true };
    let of_log = read_log(&hub, asked.clone(), fixture.guarded.call(&caller, asked).await.unwrap()).await.unwrap();
    // What the stream says is not the point: whether it is refused, and when.
    let mut streams: Vec<BoxStream<'_, Result<(), Refusal>>> = vec![
        of_task.map(|item| item.map(|_| ())).boxed(),
        of_tasks.map(|item| item.map(|_| ())).boxed(),
        of_log.map(|item| item.map(|_| ())).boxed(),
    ];
    let alive = join_all(streams.iter_mut().map(|stream| stream.next())).await;
    assert!(alive.iter().all(|item| *item == Some(Ok(()))), "{alive:?}");
    fixture.directory.change::<StoreError>(|_| Ok((set_password("second"), audit("admin")))).await.unwrap();
    let began = monotonic_now();
    let ends = streams.iter_mut().map(|stream| async move {
        while let Some(item) = stream.next().await {
            if let Err(refusal) = item {
                return (refusal, stream.next().await.is_none());
            }
        }
        panic!("it ended without a word")
    });
    let ended = Refusal::Unauthenticated { why: AuthFailure::Ended };
    assert_eq!(join_all(ends).await, vec![(ended, true); 3]);
    assert!(began.elapsed() <= BOOKMARK_PERIOD + Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn rights_that_are_taken_away_end_a_watch_at_the_next_bookmark() {
    let fixture = Fixture::new(&[
        ("admin", &["**"]),
        ("disabled", &["CLUSTER:1:READ"]),
        ("demoted", &["CLUSTER:1:READ"]),
        ("stays", &["CLUSTER:1:READ"]),
    ])
    .await;
    let hub = fixture.hub(&CancellationToken::new()).await;
    let mut watches = Vec::new();
    for name in ["disabled", "demoted", "stays"] {
        let caller = fixture.caller(name);
        let asked = WatchTask { task: task_id(1), after: None, until: Until::Closed, progress: false };
        let authorizer = fixture.guarded.call(&caller, asked.clone()).await.unwrap();
        let task: Items = Box::pin(watch_task(&hub, asked, authorizer).await.unwrap());
        let cluster = Some(cluster_id(1));
        let asked = WatchTasks { cluster, after: None, progress: false };
        let authorizer = fixture.guarded.call(&caller, asked.clone()).await.unwrap();
        let tasks: Items = Box::pin(watch_tasks(&hub, asked, authorizer).await.unwrap());
        watches.extend([task, tasks, all_seen_by(&fixture, &hub, name, None).await]);
    }
    let before = join_all(watches.iter_mut().map(told)).await;
    for of_one in before.chunks(3) {
        let both = only(&["snapshot 1", "snapshot 2"]);
        assert_eq!(of_one, [only(&["snapshot 1"]), both.clone(), both]);
    }
    let change =
        |name: &str| UpdateUser { name: Principal::new(name), roles: None, certificate_names: None, disabled: None };
    let admin = fixture.caller("admin");
    let disable = UpdateUser { disabled: Some(true), ..change("disabled") };
    fixture.guarded.call(&admin, disable).await.unwrap();
    let demote = UpdateUser { roles: Some(Vec::new()), ..change("demoted") };
    fixture.guarded.call(&admin, demote).await.unwrap();
    fixture.store.dispatch(task_id(1));
    let began = monotonic_now();
    let after = join_all(watches.iter_mut().map(told)).await;
    assert!(began.elapsed() <= BOOKMARK_PERIOD + Duration::from_secs(1), "{:?}", began.elapsed());
    let refused = |answer: &(Vec<String>, Option<String>), words: &str| {
        answer.1.as_ref().is_some_and(|said| said.starts_with(&format!("{words}, or what it is about")))
    };
    for (name, of_one) in ["disabled", "demoted"].into_iter().zip(after.chunks(3)) {
        // A watch of one task was allowed that task until it is asked again; the others look at each event.
        assert!(refused(&of_one[0], &format!("{name} has no permission TASK:1:READ")), "{of_one:?}");
        assert!(refused(&of_one[1], &format!("{name} has no permission CLUSTER:1:READ")), "{of_one:?}");
        assert!(of_one[1].0.is_empty() && of_one[2].0.is_empty(), "{of_one:?}");
    }
    assert!(refused(&after[2], "disabled has no permission TASK:*:READ"), "{after:?}");
    assert_eq!(after[5], only(&[]), "who has no rights left sees nothing, and may wait for some");
    assert!(after[6..].iter().all(|answer| *answer == only(&["event 1"])), "{after:?}");
}
