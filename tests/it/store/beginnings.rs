//! The conformance suite: tasks that have not begun, and change freezes.

use std::sync::Arc;

use obsteward::domain::beginning::{Outlook, Pending, Rules, outlook};
use obsteward::domain::change_freeze::{ChangeFreeze, FreezeScope};
use obsteward::domain::decide::{Input, decide};
use obsteward::domain::event::{Event, TaskSpec, TaskState};
use obsteward::domain::ids::{Fence, Principal};
use obsteward::domain::maintenance::MaintenancePolicy;
use obsteward::domain::task::Task;
use obsteward::store::{Commit, CommitOutcome, TaskRow, Write};

use super::{Whole, at, audit, audits, commit, creation, creation_of, key, request, spec, task_id};

fn waiting(id: i64, cluster: i64) -> Commit {
    let pending = Pending { store_id: "s".to_owned(), not_before: None, approval: false, starts: false };
    let created = creation_of(TaskSpec { pending: Some(pending), ..spec(id, cluster) });
    Commit { writes: vec![Write::Audit(audit())], ..created }
}

/// The commit with which a task that waited takes its cluster.
fn beginning(task: &Task, nonce: &str) -> Commit {
    let input = Input::Begin { executor: "me".to_owned(), plan: None, policy: Arc::default() };
    let kinds = decide(task, input, at(30)).expect("it may begin");
    let events: Vec<Event> = kinds.into_iter().map(|kind| Event { at: at(30), kind }).collect();
    let mut begun = task.clone();
    events.iter().for_each(|event| begun.apply(event).expect("an event that folds"));
    Commit {
        task: task.spec.id,
        after: task.revision,
        author: request(nonce),
        events,
        row: Some(TaskRow::of(&begun)),
        writes: vec![Write::AcquireLock { cluster: task.spec.cluster.key.clone() }],
    }
}

async fn pending(store: &dyn Whole) -> Vec<i64> {
    store.pending_tasks().await.unwrap().iter().map(|stored| stored.task.spec.id.get()).collect()
}

pub async fn a_task_that_waits_holds_nothing_and_begins_once(store: Arc<dyn Whole>) {
    store.join().await.unwrap();
    assert!(matches!(commit(&*store, waiting(100, 1)).await, CommitOutcome::Committed { .. }));
    assert!(matches!(commit(&*store, waiting(200, 1)).await, CommitOutcome::Committed { .. }));
    assert_eq!(pending(&*store).await, [100, 200]);
    assert_eq!(store.lock(&key(1)).await.unwrap(), None);
    assert!(store.owned_tasks().await.unwrap().is_empty(), "nobody drives what waits");
    // Its cluster is free for others, and then it is not.
    assert!(matches!(commit(&*store, creation(300, 1)).await, CommitOutcome::Committed { .. }));
    let first = store.task(task_id(100)).await.unwrap().unwrap().task;
    let held = CommitOutcome::LockHeld { task: task_id(300) };
    assert_eq!(commit(&*store, beginning(&first, "a")).await, held);
    assert_eq!(pending(&*store).await, [100, 200]);
    let other = store.task(task_id(300)).await.unwrap().unwrap().task;
    commit(&*store, super::closing(&other)).await;
    let begins = beginning(&first, "a");
    let CommitOutcome::Committed { fence, revision, .. } = commit(&*store, begins.clone()).await else {
        panic!("the cluster is free")
    };
    assert_eq!((fence, pending(&*store).await), (Fence::new(2), vec![200]));
    // The same once more, and by somebody else.
    assert!(matches!(commit(&*store, begins).await, CommitOutcome::Committed { .. }));
    assert_eq!(commit(&*store, beginning(&first, "b")).await, CommitOutcome::Stale { at: revision });
    let begun = store.task(task_id(100)).await.unwrap().unwrap().task;
    assert_eq!(begun.state, TaskState::Running);
    let owned = store.owned_tasks().await.unwrap();
    assert_eq!(owned.iter().map(|owned| (owned.task, owned.fence)).collect::<Vec<_>>(), [(task_id(100), fence)]);
}

pub async fn nothing_takes_a_lock_while_changes_are_frozen(store: Arc<dyn Whole>) {
    let freeze = |scope: FreezeScope| {
        let reason = "incident 4711".parse().unwrap();
        ChangeFreeze { scope, by: Principal::new("eve"), reason, since: at(10) }
    };
    let one = freeze(FreezeScope::Cluster(key(1)));
    assert!(store.freeze_changes(one.clone(), audit()).await.unwrap());
    assert!(!store.freeze_changes(one.clone(), audit()).await.unwrap(), "it is frozen already");
    assert_eq!(store.change_freezes().await.unwrap(), std::slice::from_ref(&one));
    assert_eq!(commit(&*store, creation(100, 1)).await, CommitOutcome::Frozen);
    assert_eq!(store.task(task_id(100)).await.unwrap(), None);
    assert!(matches!(commit(&*store, creation(200, 2)).await, CommitOutcome::Committed { .. }));
    // What waits is recorded, and does not begin.
    commit(&*store, waiting(300, 1)).await;
    let waits = store.task(task_id(300)).await.unwrap().unwrap().task;
    assert_eq!(commit(&*store, beginning(&waits, "a")).await, CommitOutcome::Frozen);
    let all = freeze(FreezeScope::Everything);
    assert!(store.freeze_changes(all.clone(), audit()).await.unwrap());
    assert_eq!(store.change_freezes().await.unwrap(), [all, one]);
    assert!(store.thaw_changes(FreezeScope::Cluster(key(1)), audit()).await.unwrap());
    assert_eq!(commit(&*store, beginning(&waits, "a")).await, CommitOutcome::Frozen);
    assert_eq!(commit(&*store, creation(400, 3)).await, CommitOutcome::Frozen);
    // Whoever holds its cluster goes on.
    let held = super::append(200, 2, 1, "goes on");
    assert!(matches!(commit(&*store, held).await, CommitOutcome::Committed { .. }));
    assert!(store.thaw_changes(FreezeScope::Everything, audit()).await.unwrap());
    assert!(!store.thaw_changes(FreezeScope::Everything, audit()).await.unwrap(), "it is thawed already");
    assert!(matches!(commit(&*store, beginning(&waits, "a")).await, CommitOutcome::Committed { .. }));
    // Of each change that was one, and of each task.
    assert_eq!(audits(&*store).await.len(), 4 + 2);
}

/// It may have begun since the backup was made: nothing begins a second time.
#[test]
fn what_waited_in_a_store_that_was_restored_is_refused() {
    let (task, policy) = (Task::fold(&waiting(100, 1).events).unwrap(), MaintenancePolicy::default());
    let becomes =
        |store_id: &str| outlook(&task, &Rules { policy: &policy, freeze: None, store_id }, None, None, at(30));
    assert_eq!(becomes("s"), Outlook::Begin);
    let Outlook::Refuse(failure) = becomes("another") else { panic!("it would begin once more") };
    assert_eq!(failure.reason, "STORE_RESTORED");
}
