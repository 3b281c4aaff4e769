//! What notifications keep: the part of the conformance suite.

use std::sync::Arc;

use obsteward::domain::ids::{Seq, ServerId};
use obsteward::domain::status::{InnerStatus, ServerStatus};
use obsteward::store::Write;
use obsteward::store::notifications::NotificationRow;

use super::{Whole, append, at, audit, commit, creation};
use crate::store::inventory::cluster;

pub async fn where_a_target_stands_is_kept_and_never_goes_back(store: Arc<dyn Whole>) {
    assert_eq!(store.notification_rows().await.unwrap(), []);
    let row = |target: &str, seq: i64| NotificationRow {
        target: target.to_owned(),
        seq: Seq::new(seq),
        ..NotificationRow::default()
    };
    let failing = NotificationRow {
        reminded: vec!["1-102-1".to_owned(), "2-202-1".to_owned()],
        delivered_at: Some(at(1)),
        failing_since: Some(at(2)),
        error: "it's \"down\" \\ 停".to_owned(),
        ..row("ops", 7)
    };
    for kept in [row("second", 3), row("ops", 5), failing.clone()] {
        store.keep_notification_row(kept).await.unwrap();
    }
    assert_eq!(store.notification_rows().await.unwrap(), [failing, row("second", 3)]);
    // Of a replica that had its share before.
    store.keep_notification_row(row("ops", 6)).await.unwrap();
    assert_eq!(store.notification_rows().await.unwrap()[0], row("ops", 7));
}

pub async fn servers_that_tasks_have_are_listed_with_their_cluster(store: Arc<dyn Whole>) {
    store.register(cluster(1), audit()).await.unwrap();
    assert_eq!(store.managed_servers().await.unwrap(), []);
    commit(&*store, creation(100, 1)).await;
    let mut managed = append(100, 2, 1, "a");
    let server = ServerId::new(1).unwrap();
    managed.writes = vec![Write::ServerStatus { server, status: Some(ServerStatus::Stopping) }];
    commit(&*store, managed).await;
    let [one] = &store.managed_servers().await.unwrap()[..] else { panic!("one server is managed") };
    assert_eq!((one.cluster.get(), one.cluster_name.as_str(), one.cluster_status), (1, "c1", None));
    assert_eq!((one.addr.to_string().as_str(), one.managed_status), ("10.0.0.1:2882", ServerStatus::Stopping));
    assert!(!one.observation_holds, "a task holds the cluster");
    assert_eq!((one.inner_status, one.stop_time, one.start_service_time), (InnerStatus::Active, None, Some(at(-60))));
}
