//! The conformance suite: what `Store` promises, whatever is below.

use std::sync::Arc;

use obsteward::domain::blocker::Blockers;
use obsteward::domain::event::{SubtaskOperation, TaskState};
use obsteward::domain::ids::{ClusterId, Fence, Principal, Revision, Seq, SubtaskId};
use obsteward::store::replicas::OwnedTask;
use obsteward::store::{Author, CommitOutcome, LockRow, LogLine, Progress, StoreError, TaskFilter, Write};

use super::{Whole, append, at, audit, audits, closing, commit, creation, key, request, task_id};

pub async fn a_task_is_created_and_read_back(store: Arc<dyn Whole>) {
    let created = creation(100, 1);
    let outcome = commit(&*store, created.clone()).await;
    let last = created.events.len() as i64;
    let expected =
        CommitOutcome::Committed { revision: Revision::new(last), seq: Seq::new(last), fence: Fence::new(1) };
    assert_eq!(outcome, expected);
    let stored = store.task(task_id(100)).await.unwrap().unwrap();
    assert_eq!((stored.task.revision, stored.seq), (Revision::new(last), Seq::new(last)));
    let events = store.events(task_id(100), Revision::ZERO, 10).await.unwrap();
    assert_eq!(events.iter().map(|event| event.event.clone()).collect::<Vec<_>>(), created.events);
    assert!(events.iter().all(|event| event.fence == Fence::new(1)));
    assert_eq!(store.events(task_id(100), Revision::new(1), 10).await.unwrap(), events[1..]);
    assert_eq!(store.tail(Seq::new(1), 10).await.unwrap(), events[1..]);
    assert_eq!(store.tail(Seq::ZERO, 1).await.unwrap(), events[..1]);
    assert_eq!(store.head().await.unwrap(), Seq::new(last));
    assert_eq!(store.task(task_id(101)).await.unwrap(), None);
}

pub async fn an_append_behind_the_revision_is_stale(store: Arc<dyn Whole>) {
    commit(&*store, creation(100, 1)).await;
    assert!(matches!(commit(&*store, append(100, 2, 1, "a")).await, CommitOutcome::Committed { .. }));
    let stale = CommitOutcome::Stale { at: Revision::new(3) };
    assert_eq!(commit(&*store, append(100, 2, 1, "b")).await, stale);
    assert_eq!(commit(&*store, append(100, 5, 1, "b")).await, stale);
    let mut asked = append(100, 2, 1, "b");
    asked.author = request("x");
    assert_eq!(commit(&*store, asked).await, stale);
    assert_eq!(store.head().await.unwrap(), Seq::new(3));
}

pub async fn an_owner_with_another_fence_is_fenced(store: Arc<dyn Whole>) {
    commit(&*store, creation(100, 1)).await;
    let fenced = CommitOutcome::Fenced { by: Fence::new(1) };
    assert_eq!(commit(&*store, append(100, 2, 7, "a")).await, fenced);
    assert_eq!(commit(&*store, append(100, 0, 7, "a").with_creation()).await, fenced);
    assert_eq!(store.head().await.unwrap(), Seq::new(2));
}

trait WithCreation {
    fn with_creation(self) -> Self;
}

impl WithCreation for obsteward::store::Commit {
    fn with_creation(self) -> Self {
        Self { author: self.author, ..creation(100, 1) }
    }
}

pub async fn a_cluster_has_one_holder(store: Arc<dyn Whole>) {
    assert_eq!(store.lock(&key(1)).await.unwrap(), None);
    commit(&*store, creation(100, 1)).await;
    assert_eq!(commit(&*store, creation(200, 1)).await, CommitOutcome::LockHeld { task: task_id(100) });
    assert_eq!(store.task(task_id(200)).await.unwrap(), None);
    assert_eq!(audits(&*store).await.len(), 1);
    assert!(matches!(commit(&*store, creation(300, 2)).await, CommitOutcome::Committed { .. }));

    let first = store.task(task_id(100)).await.unwrap().unwrap().task;
    assert!(matches!(commit(&*store, closing(&first)).await, CommitOutcome::Committed { .. }));
    assert_eq!(store.lock(&key(1)).await.unwrap(), Some(LockRow { holder: None, fence: Fence::new(1) }));
    let CommitOutcome::Committed { fence, .. } = commit(&*store, creation(200, 1)).await else {
        panic!("the cluster is free")
    };
    assert_eq!(fence, Fence::new(2));
    let lock = LockRow { holder: Some(task_id(200)), fence };
    assert_eq!(store.lock(&key(1)).await.unwrap(), Some(lock));
    // Only the holder frees it.
    let mut thief = append(300, 2, 1, "thief");
    thief.writes = vec![Write::ReleaseLock { cluster: key(1) }];
    assert_eq!(commit(&*store, thief).await, CommitOutcome::Fenced { by: Fence::new(2) });
}

pub async fn a_known_request_is_replayed_before_the_lock(store: Arc<dyn Whole>) {
    let remember = |id: i64, digest: &str| {
        let mut created = creation(id, 1);
        created.writes.push(Write::Request {
            principal: Principal::new("anna"),
            request_id: "r1".to_owned(),
            digest: digest.to_owned(),
        });
        created
    };
    assert!(matches!(commit(&*store, remember(100, "d")).await, CommitOutcome::Committed { .. }));
    let replayed = CommitOutcome::Replayed { task: task_id(100), digest: "d".to_owned() };
    assert_eq!(commit(&*store, remember(200, "other")).await, replayed);
    let known = store.request(&Principal::new("anna"), "r1").await.unwrap();
    assert_eq!(known, Some((task_id(100), "d".to_owned())));
    assert_eq!(store.request(&Principal::new("bob"), "r1").await.unwrap(), None);
}

pub async fn an_identical_commit_succeeds_again(store: Arc<dyn Whole>) {
    let first = commit(&*store, creation(100, 1)).await;
    assert_eq!(commit(&*store, creation(100, 1)).await, first);
    let appended = commit(&*store, append(100, 2, 1, "a")).await;
    commit(&*store, append(100, 3, 1, "b")).await;
    assert_eq!(commit(&*store, append(100, 2, 1, "a")).await, appended);
    // Also once another owner has the task: what was written was written.
    store.claim(&owned(100, 1, 1)).await.unwrap();
    assert_eq!(commit(&*store, append(100, 2, 1, "a")).await, appended);
    assert_eq!(commit(&*store, append(100, 3, 1, "c")).await, CommitOutcome::Fenced { by: Fence::new(2) });
    assert_eq!(store.head().await.unwrap(), Seq::new(4));
    assert_eq!(audits(&*store).await.len(), 1);
}

fn owned(task: i64, cluster: i64, fence: i64) -> OwnedTask {
    OwnedTask { task: task_id(task), cluster: key(cluster), fence: Fence::new(fence), owner: None }
}

pub async fn a_zombie_writes_nothing(store: Arc<dyn Whole>) {
    commit(&*store, creation(100, 1)).await;
    assert_eq!(store.claim(&owned(100, 1, 1)).await.unwrap(), Some(Fence::new(2)));
    for other in [owned(200, 1, 2), owned(100, 2, 2), owned(100, 1, 3)] {
        assert_eq!(store.claim(&other).await.unwrap(), None, "{other:?}");
    }
    assert_eq!(commit(&*store, append(100, 2, 1, "old")).await, CommitOutcome::Fenced { by: Fence::new(2) });
    assert!(matches!(commit(&*store, append(100, 2, 2, "new")).await, CommitOutcome::Committed { .. }));
    let task = store.task(task_id(100)).await.unwrap().unwrap().task;
    commit(&*store, closing(&task)).await;
    assert_eq!(store.claim(&owned(100, 1, 2)).await.unwrap(), None);
    let after = task.revision.get() + 3;
    assert_eq!(commit(&*store, append(100, after, 2, "late")).await, CommitOutcome::Fenced { by: Fence::new(2) });
}

pub async fn a_batch_holds_each_commit_apart(store: Arc<dyn Whole>) {
    // All are queued before the first is waited for, so that some share a transaction.
    let mut asked = append(100, 2, 1, "asked");
    asked.author = request("x");
    let mut pending = vec![store.submit(creation(100, 1)), store.submit(creation(200, 1))];
    pending.push(store.submit(append(100, 2, 1, "owner")));
    pending.push(store.submit(asked));
    pending.push(store.submit(append(100, 3, 9, "fenced")));
    pending.push(store.submit(append(100, 3, 1, "owner again")));
    pending.push(store.submit(append(100, 2, 1, "owner")));
    let mut outcomes = Vec::new();
    for one in pending {
        outcomes.push(one.outcome().await.unwrap());
    }
    let committed = |revision, seq| CommitOutcome::Committed {
        revision: Revision::new(revision),
        seq: Seq::new(seq),
        fence: Fence::new(1),
    };
    let expected = [
        committed(2, 2),
        CommitOutcome::LockHeld { task: task_id(100) },
        committed(3, 3),
        CommitOutcome::Stale { at: Revision::new(3) },
        CommitOutcome::Fenced { by: Fence::new(1) },
        committed(4, 4),
        committed(3, 3),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(store.tail(Seq::ZERO, 10).await.unwrap().len(), 4);
}

pub async fn a_dropped_pending_goes_on(store: Arc<dyn Whole>) {
    drop(store.submit(creation(100, 1)));
    assert!(matches!(commit(&*store, append(100, 2, 1, "a")).await, CommitOutcome::Committed { .. }));
}

pub async fn a_malformed_commit_is_refused(store: Arc<dyn Whole>) {
    let mut empty = creation(100, 1);
    empty.events.clear();
    let mut rowless = creation(100, 1);
    rowless.row = None;
    for bad in [empty, rowless, append(100, 0, 1, "first")] {
        let outcome = store.submit(bad).outcome().await;
        assert!(matches!(&outcome, Err(StoreError::Failed(words)) if words.contains("task 100")), "{outcome:?}");
    }
    assert!(matches!(commit(&*store, creation(100, 1)).await, CommitOutcome::Committed { .. }));
}

pub async fn ids_are_consecutive_and_never_given_twice(store: Arc<dyn Whole>) {
    assert_eq!(store.reserve_ids(9).await.unwrap(), 100_001);
    assert_eq!(store.reserve_ids(9).await.unwrap(), 100_010);
    let mut next = 100_019;
    for count in [1, 1000, 5000, 9, 1] {
        let first = store.reserve_ids(count).await.unwrap();
        assert!(first >= next, "{first} is given twice");
        next = first + i64::from(count);
    }
}

pub async fn reads_show_what_was_written(store: Arc<dyn Whole>) {
    for (id, cluster) in [(100, 1), (200, 2), (300, 3)] {
        commit(&*store, creation(id, cluster)).await;
    }
    let subtask = SubtaskId::new(101).unwrap();
    let line = |number: i64, text: &str| LogLine {
        subtask: SubtaskId::new(number).unwrap(),
        run_time: 1,
        at: at(1),
        text: text.to_owned(),
        operation: Some(SubtaskOperation::Execute),
    };
    let mut logged = append(100, 2, 1, "a");
    logged.writes = vec![Write::Log(vec![line(101, "one"), line(102, "two")]), Write::Log(vec![line(101, "three")])];
    commit(&*store, logged).await;
    let texts = |lines: Vec<LogLine>| lines.into_iter().map(|line| line.text).collect::<Vec<_>>();
    assert_eq!(texts(store.log(task_id(100), None).await.unwrap()), ["one", "two", "three"]);
    assert_eq!(texts(store.log(task_id(100), Some(subtask)).await.unwrap()), ["one", "three"]);
    assert_eq!(audits(&*store).await, [audit(), audit(), audit()]);

    let task = store.task(task_id(200)).await.unwrap().unwrap().task;
    commit(&*store, closing(&task)).await;
    let ids = |tasks: Vec<obsteward::store::StoredTask>| {
        tasks.into_iter().map(|stored| stored.task.spec.id.get()).collect::<Vec<_>>()
    };
    let any = TaskFilter::default();
    assert_eq!(ids(store.list(&any, None, 10).await.unwrap()), [300, 200, 100]);
    assert_eq!(ids(store.list(&any, Some(task_id(300)), 1).await.unwrap()), [200]);
    let running = TaskFilter { states: vec![TaskState::Running, TaskState::Failed], ..TaskFilter::default() };
    assert_eq!(ids(store.list(&running, None, 10).await.unwrap()), [300, 100]);
    let of_cluster = TaskFilter { cluster: Some(ClusterId::new(2).unwrap()), ..TaskFilter::default() };
    assert_eq!(ids(store.list(&of_cluster, None, 10).await.unwrap()), [200]);
    let of_bob = TaskFilter { creator: Some(Principal::new("bob")), ..TaskFilter::default() };
    assert!(store.list(&of_bob, None, 10).await.unwrap().is_empty());
    let (open, head) = store.open_tasks(None).await.unwrap();
    assert_eq!((ids(open), head), (vec![100, 300], store.head().await.unwrap()));
    assert_eq!(ids(store.open_tasks(Some(ClusterId::new(3).unwrap())).await.unwrap().0), [300]);
}

pub async fn progress_lasts_while_the_subtask_runs(store: Arc<dyn Whole>) {
    commit(&*store, creation(100, 1)).await;
    let subtask = SubtaskId::new(101).unwrap();
    let progress = |done| Progress {
        task: task_id(100),
        subtask,
        message: "leaders".to_owned(),
        done,
        total: 40,
        at: at(1),
        deadline: at(300),
        stalled_since: at(1),
        remaining: None,
        blockers: Blockers::default(),
    };
    let mut changes = store.subscribe_progress();
    let of_task = || async { store.task(task_id(100)).await.unwrap().unwrap() };
    let step = |task: &obsteward::domain::task::Task, input| {
        let events = obsteward::domain::decide::decide(task, input, at(1)).unwrap();
        let mut next = append(100, task.revision.get(), 1, "");
        next.events = events.into_iter().map(|kind| obsteward::domain::event::Event { at: at(1), kind }).collect();
        next
    };
    use obsteward::domain::decide::{Input, StepOutput};
    let run = step(&of_task().await.task, Input::Dispatch { executor: "me".to_owned() });
    commit(&*store, run).await;
    store.note(progress(16));
    store.note(progress(17));
    assert_eq!(of_task().await.progress, [progress(17)]);
    assert_eq!((changes.recv().await.unwrap().done, changes.recv().await.unwrap().done), (16, 17));
    let (output, executor) = (StepOutput::default(), "me".to_owned());
    let ended = Input::StepSucceeded { subtask, already_so: false, output, executor };
    let end = step(&of_task().await.task, ended);
    commit(&*store, end).await;
    assert_eq!(of_task().await.progress, []);
}

pub async fn watchers_are_told_after_the_commit(store: Arc<dyn Whole>) {
    let mut committed = store.committed();
    assert_eq!(*committed.borrow_and_update(), Seq::ZERO);
    commit(&*store, creation(100, 1)).await;
    committed.changed().await.unwrap();
    assert_eq!(*committed.borrow_and_update(), Seq::new(2));
    let refused = append(100, 2, 5, "a");
    assert!(matches!(refused.author, Author::Owner { .. }));
    commit(&*store, refused).await;
    assert!(!committed.has_changed().unwrap());
}
