//! Lists and pages of tasks and clusters: filters, what a caller may see, order and totals. Part of the conformance suite.

use std::sync::Arc;

use obsteward::domain::event::TaskState;
use obsteward::domain::ids::{ClusterId, ClusterIdentity, Principal};
use obsteward::domain::permission::VisibleIds;
use obsteward::store::inventory::{ClusterFilter, ClusterOrder, NewCluster};
use obsteward::store::{Page, StoredTask, TaskFilter, TaskOrder, TaskVisibility};

use super::inventory::cluster;
use super::{Whole, at, audit, closing, commit, creation_of, identity, spec, task_id};

fn page<Order>(order: Order, descending: bool, offset: u32, limit: u32) -> Page<Order> {
    Page { order, descending, offset, limit }
}

fn ids(tasks: &[StoredTask]) -> Vec<i64> {
    tasks.iter().map(|stored| stored.task.spec.id.get()).collect()
}

/// Task 100 `b` on cluster 1, 200 `a` on 2, 300 `B_%` on 3, 400 `a` on 4; 100 and 300 are closed.
async fn tasks(store: &dyn Whole) {
    for (id, number, name) in [(100, 1, "b"), (200, 2, "a"), (300, 3, "B_%"), (400, 4, "a")] {
        let mut spec = spec(id, number);
        spec.graph.operation.name = name.to_owned();
        spec.creator = Principal::new(if id == 400 { "bob" } else { "anna" });
        // Accepted in the opposite order of their ids.
        let mut created = creation_of(spec);
        for event in &mut created.events {
            event.at = at(-id);
        }
        let folded = obsteward::domain::task::Task::fold(&created.events).unwrap();
        created.row = Some(obsteward::store::TaskRow::of(&folded));
        commit(store, created).await;
    }
    for id in [100, 300] {
        let task = store.task(task_id(id)).await.unwrap().unwrap().task;
        commit(store, closing(&task)).await;
    }
}

pub async fn a_page_of_tasks_is_sorted_in_either_direction_and_counted(store: Arc<dyn Whole>) {
    tasks(&*store).await;
    let orders = [
        (TaskOrder::Id, [100, 200, 300, 400]),
        (TaskOrder::Name, [300, 200, 400, 100]),
        (TaskOrder::State, [100, 300, 200, 400]),
        (TaskOrder::CreateTime, [400, 300, 200, 100]),
        (TaskOrder::FinishTime, [200, 400, 100, 300]),
    ];
    for (order, expected) in orders {
        for descending in [false, true] {
            let mut expected = expected.to_vec();
            if descending {
                expected.reverse();
            }
            for (offset, limit) in [(0, 10), (0, 3), (1, 2), (3, 10), (4, 10), (0, 0)] {
                let (found, total) =
                    store.page(&TaskFilter::default(), page(order, descending, offset, limit)).await.unwrap();
                let shown: Vec<i64> = expected.iter().skip(offset as usize).take(limit as usize).copied().collect();
                assert_eq!((ids(&found), total), (shown, 4), "{order:?} descending {descending} from {offset}");
            }
        }
    }
}

pub async fn lists_and_pages_of_tasks_show_what_the_filter_lets_through(store: Arc<dyn Whole>) {
    tasks(&*store).await;
    let any = TaskFilter::default;
    let only = |clusters: &[i64], tasks: &[i64]| TaskFilter {
        visible: TaskVisibility::Only { clusters: clusters.to_vec(), tasks: tasks.to_vec() },
        ..any()
    };
    let named = |name: &str| TaskFilter { name: Some(name.to_owned()), ..any() };
    // More than SQLite binds one by one.
    let many: Vec<i64> = (1..=33_000).collect();
    let cases = [
        (any(), vec![400, 300, 200, 100]),
        (only(&[], &[]), vec![]),
        (only(&[2, 3], &[]), vec![300, 200]),
        (only(&[], &[100, 400]), vec![400, 100]),
        (only(&[3], &[300, 400]), vec![400, 300]),
        (only(&many, &[]), vec![400, 300, 200, 100]),
        (named(""), vec![400, 300, 200, 100]),
        (named("B"), vec![300, 100]),
        (named("_%"), vec![300]),
        (named("%"), vec![300]),
        (named("\\"), vec![]),
        (named(&"b".repeat(100_000)), vec![]),
        (TaskFilter { states: vec![TaskState::GivenUp, TaskState::Failed], ..any() }, vec![300, 100]),
        (TaskFilter { creator: Some(Principal::new("bob")), ..any() }, vec![400]),
        (TaskFilter { cluster: Some(ClusterId::new(2).unwrap()), ..any() }, vec![200]),
        // What is filtered by does not widen what is seen.
        (TaskFilter { cluster: Some(ClusterId::new(2).unwrap()), ..only(&[3], &[]) }, vec![]),
        (TaskFilter { name: Some("a".to_owned()), ..only(&[2], &[]) }, vec![200]),
    ];
    for (number, (filter, expected)) in cases.into_iter().enumerate() {
        assert_eq!(ids(&store.list(&filter, None, 10).await.unwrap()), expected, "list {number}");
        let below: Vec<i64> = expected.iter().copied().filter(|id| *id < 300).take(1).collect();
        assert_eq!(ids(&store.list(&filter, Some(task_id(300)), 1).await.unwrap()), below, "below, {number}");
        let (found, total) = store.page(&filter, page(TaskOrder::Id, true, 0, 1)).await.unwrap();
        let first: Vec<i64> = expected.iter().take(1).copied().collect();
        assert_eq!((ids(&found), total), (first, expected.len() as u64), "page {number}");
    }
}

pub async fn lists_and_pages_of_clusters_show_what_the_filter_lets_through(store: Arc<dyn Whole>) {
    for (number, name) in [(1, "prod_b"), (2, "Prod_A"), (3, "test"), (4, "test")] {
        let identity = ClusterIdentity { name: name.to_owned(), ..identity(number) };
        store.register(NewCluster { identity, ..cluster(number) }, audit()).await.unwrap();
    }
    let every = ClusterFilter::every;
    let only = |ids: &[i64]| ClusterFilter { visible: VisibleIds::Only(ids.to_vec()), ..every() };
    let part = |name: &str| ClusterFilter { name_part: Some(name.to_owned()), ..every() };
    let cases = [
        (every(), vec![1, 2, 3, 4]),
        (only(&[]), vec![]),
        (only(&[2, 4, 9]), vec![2, 4]),
        (part("PROD"), vec![1, 2]),
        (part("d_"), vec![1, 2]),
        (part("t_"), vec![]),
        (ClusterFilter { name: Some("test".to_owned()), ..every() }, vec![3, 4]),
        (ClusterFilter { name: Some("TEST".to_owned()), ..every() }, vec![]),
        (ClusterFilter { name: Some("test".to_owned()), ..only(&[1, 4]) }, vec![4]),
    ];
    let shown = |rows: Vec<obsteward::store::inventory::ClusterRow>| {
        rows.into_iter().map(|row| row.id.get()).collect::<Vec<_>>()
    };
    for (number, (filter, expected)) in cases.into_iter().enumerate() {
        assert_eq!(shown(store.clusters(&filter, None, 10).await.unwrap()), expected, "list {number}");
        let above: Vec<i64> = expected.iter().copied().filter(|id| *id > 1).take(2).collect();
        let found = store.clusters(&filter, Some(ClusterId::new(1).unwrap()), 2).await.unwrap();
        assert_eq!(shown(found), above, "above, {number}");
        let (found, total) = store.clusters_page(&filter, page(ClusterOrder::Id, true, 1, 10)).await.unwrap();
        let rest: Vec<i64> = expected.iter().rev().skip(1).copied().collect();
        assert_eq!((shown(found), total), (rest, expected.len() as u64), "page {number}");
    }
    for (descending, expected) in [(false, [2, 1, 3, 4]), (true, [4, 3, 1, 2])] {
        let (found, total) = store.clusters_page(&every(), page(ClusterOrder::Name, descending, 0, 10)).await.unwrap();
        assert_eq!((shown(found), total), (expected.to_vec(), 4));
    }
}
