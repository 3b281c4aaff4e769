//! One conformance suite for every store, and what only the embedded one promises about its file.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop where it is")]

mod access;
mod beginnings;
mod commits;
mod encode;
mod file;
mod inventory;
mod keys;
mod migration;
mod notifications;
mod pages;
mod shared;
mod speed;

use std::sync::Arc;
use std::time::Duration;

use obsteward::clock::Timestamp;
use obsteward::domain::decide::create;
use obsteward::domain::event::{Event, EventKind, TaskCluster, TaskOperation, TaskServer, TaskSpec, TaskState, Verb};
use obsteward::domain::facts::{ClusterFact, Fact};
use obsteward::domain::graph::{Graph, OperationName, SubtaskRole, SubtaskSpec, TaskTarget};
use obsteward::domain::ids::{ClusterIdentity, ClusterKey, Fence, Principal, Revision, ServerId, SubtaskId};
use obsteward::domain::reason::Reason;
use obsteward::domain::status::ClusterStatus;
use obsteward::domain::task::Task;
use obsteward::store::access::{AccessStore, AuditFilter};
use obsteward::store::change_freezes::ChangeFreezes;
use obsteward::store::inventory::InventoryStore;
use obsteward::store::notifications::NotificationStore;
use obsteward::store::replicas::Replicas;
use obsteward::store::sqlite::{SqliteOptions, SqliteStore};
use obsteward::store::{AuditRecord, Author, Commit, CommitOutcome, Store, TaskRow, Write};

use crate::support::stored_tasks::{self, cluster_id};

pub use crate::support::stored_tasks::task_id;

/// A promise of every store, tried over a new one.
struct Case {
    name: &'static str,
    run: fn(Arc<dyn Whole>) -> futures::future::BoxFuture<'static, ()>,
}

/// The suite: a test of its own each over the embedded store, and a list for those over a shared one.
macro_rules! conformance {
    ($($module:ident::$name:ident,)+) => {
        mod suite {
            $(
                #[tokio::test]
                async fn $name() {
                    let (_directory, store) = super::sqlite();
                    super::$module::$name(store).await;
                }
            )+
        }

        const CASES: &[Case] = &[$(Case { name: stringify!($name), run: |store| Box::pin($module::$name(store)) },)+];
    };
}

conformance! {
    commits::a_task_is_created_and_read_back,
    commits::an_append_behind_the_revision_is_stale,
    commits::an_owner_with_another_fence_is_fenced,
    beginnings::a_task_that_waits_holds_nothing_and_begins_once,
    beginnings::nothing_takes_a_lock_while_changes_are_frozen,
    commits::a_cluster_has_one_holder,
    commits::a_known_request_is_replayed_before_the_lock,
    commits::an_identical_commit_succeeds_again,
    commits::a_zombie_writes_nothing,
    commits::a_batch_holds_each_commit_apart,
    commits::a_dropped_pending_goes_on,
    commits::a_malformed_commit_is_refused,
    commits::ids_are_consecutive_and_never_given_twice,
    commits::reads_show_what_was_written,
    commits::progress_lasts_while_the_subtask_runs,
    commits::watchers_are_told_after_the_commit,
    pages::a_page_of_tasks_is_sorted_in_either_direction_and_counted,
    pages::lists_and_pages_of_tasks_show_what_the_filter_lets_through,
    pages::lists_and_pages_of_clusters_show_what_the_filter_lets_through,
    inventory::a_cluster_is_registered_once_with_ids_that_read_well,
    inventory::chosen_ids_are_kept_apart_from_counted_ones,
    inventory::an_observation_says_what_changed_and_leaves_managed_columns,
    inventory::a_held_cluster_is_not_forgotten_and_a_fence_never_goes_back,
    inventory::people_change_what_is_theirs,
    access::users_are_made_once_with_ids_from_1001,
    access::a_user_is_changed_in_part_and_a_certificate_proves_one_user,
    access::sessions_are_ended_one_by_one_and_all_at_once,
    access::a_user_that_is_disabled_has_no_session_left,
    access::a_key_is_made_for_a_user_disabled_and_rotated,
    access::a_role_is_removed_only_when_nobody_has_it,
    access::the_audit_log_is_read_by_every_filter_from_the_newest_on,
    notifications::where_a_target_stands_is_kept_and_never_goes_back,
    notifications::requests_that_were_refused_are_read_in_order,
    notifications::servers_that_tasks_have_are_listed_with_their_cluster,
}

/// All that a store promises.
pub trait Whole: Store + InventoryStore + AccessStore + NotificationStore + ChangeFreezes + Replicas {}

impl<T: Store + InventoryStore + AccessStore + NotificationStore + ChangeFreezes + Replicas> Whole for T {}

/// A store in a directory of its own.
pub fn sqlite() -> (tempfile::TempDir, Arc<SqliteStore>) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(directory.path().join("store.db"), SqliteOptions::default()).expect("a new store");
    (directory, store)
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_767_312_000_000_000 + seconds * 1_000_000)
}

pub fn identity(number: i64) -> ClusterIdentity {
    ClusterIdentity { name: format!("c{number}"), ob_cluster_id: number, fingerprint: "2026-01-02".to_owned() }
}

pub fn key(number: i64) -> ClusterKey {
    identity(number).key()
}

pub fn spec(id: i64, cluster: i64) -> TaskSpec {
    let subtask = |offset: i64, upstreams: Vec<SubtaskId>| SubtaskSpec {
        id: SubtaskId::new(id + offset).expect("an id"),
        kind: String::new(),
        name: format!("step {offset}"),
        target: TaskTarget::Cluster,
        timeout: Duration::from_secs(60),
        upstreams,
        prohibit_skip: false,
        role: SubtaskRole::Step,
    };
    let first = SubtaskId::new(id + 1).expect("an id");
    TaskSpec {
        id: task_id(id),
        cluster: TaskCluster {
            id: cluster_id(cluster),
            name: format!("c{cluster}"),
            ob_cluster_id: cluster,
            key: key(cluster),
        },
        target: TaskTarget::Server(ServerId::new(cluster).expect("an id")),
        servers: vec![TaskServer {
            id: ServerId::new(cluster).expect("an id"),
            addr: "10.0.0.2:2882".parse().expect("an address"),
            ob_server_id: 2,
            zone: "zone1".parse().expect("a zone"),
        }],
        creator: Principal::new("anna"),
        expire_time: at(7200),
        graph: Graph {
            operation: OperationName { name: "Stop OB server".to_owned(), version: 1 },
            subtasks: vec![subtask(1, vec![]), subtask(2, vec![first])],
        },
        facts: vec![Fact::Cluster(ClusterFact::FormerStatus(ClusterStatus::Running))],
        trace: None,
        ..stored_tasks::spec(task_id(id), cluster_id(cluster))
    }
}

pub fn request(nonce: &str) -> Author {
    Author::Request { principal: Principal::new("anna"), nonce: nonce.to_owned() }
}

pub fn audit() -> AuditRecord {
    AuditRecord {
        at: at(0),
        principal: Principal::new("anna"),
        address: "10.1.1.1:4711".to_owned(),
        call: obsteward::domain::call::Call::StopServer,
        cluster: None,
        task: None,
        outcome: obsteward::store::AuditOutcome::Accepted,
        target: "cluster 1 server 2".to_owned(),
        arguments: "force=false".to_owned(),
        reason: Reason::default(),
        trace_id: "t".to_owned(),
    }
}

/// Everything in the audit log, newest first.
pub async fn audits(store: &dyn AccessStore) -> Vec<AuditRecord> {
    let records = store.audit_records(&AuditFilter::default(), None, 1000).await.expect("the audit log");
    records.into_iter().map(|stored| stored.record).collect()
}

/// The commit that accepts a task and takes its cluster.
pub fn creation(id: i64, cluster: i64) -> Commit {
    creation_of(spec(id, cluster))
}

/// As [`creation`], of a task of one's own.
pub fn creation_of(spec: TaskSpec) -> Commit {
    let (id, cluster) = (spec.id, spec.cluster.key.clone());
    let events: Vec<Event> = create(spec).into_iter().map(|kind| Event { at: at(0), kind }).collect();
    let task = Task::fold(&events).expect("a task");
    Commit {
        task: id,
        after: Revision::ZERO,
        author: request(&format!("create-{id}")),
        events,
        row: Some(TaskRow::of(&task)),
        writes: vec![Write::AcquireLock { cluster }, Write::Audit(audit())],
    }
}

/// The owner's append of one warning.
pub fn append(id: i64, after: i64, fence: i64, text: &str) -> Commit {
    let subtask = SubtaskId::new(id + 1).expect("an id");
    Commit {
        task: task_id(id),
        after: Revision::new(after),
        author: Author::Owner { fence: Fence::new(fence) },
        events: vec![Event {
            at: at(after),
            kind: EventKind::Warned { subtask, code: "TEST".to_owned(), message: text.to_owned() },
        }],
        row: None,
        writes: Vec::new(),
    }
}

/// Ends the task at rest, then gives it up: the lock is free.
pub fn closing(task: &Task) -> Commit {
    let mut folded = task.clone();
    let kinds = [
        EventKind::TaskStateChanged {
            from: TaskState::Running,
            to: TaskState::Failed,
            operation: TaskOperation::Execute,
            error: None,
        },
        EventKind::VerbRequested {
            verb: Verb::GiveUp,
            reason: Reason::default(),
            principal: Principal::new("anna"),
            expire_time: None,
            subtask: None,
        },
        EventKind::TaskStateChanged {
            from: TaskState::Failed,
            to: TaskState::GivenUp,
            operation: TaskOperation::GiveUp,
            error: None,
        },
    ];
    let events: Vec<Event> = kinds.into_iter().map(|kind| Event { at: at(60), kind }).collect();
    for event in &events {
        folded.apply(event).expect("an event that folds");
    }
    Commit {
        task: task.spec.id,
        after: task.revision,
        author: request("give-up"),
        events,
        row: Some(TaskRow::of(&folded)),
        writes: vec![Write::ReleaseLock { cluster: task.spec.cluster.key.clone() }],
    }
}

pub async fn commit(store: &dyn Store, commit: Commit) -> CommitOutcome {
    store.submit(commit).outcome().await.expect("an outcome")
}
