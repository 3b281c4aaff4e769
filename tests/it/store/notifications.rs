//! What notifications keep: the part of the conformance suite.

use std::sync::Arc;

use obsteward::domain::ids::{Seq, ServerId};
use obsteward::domain::status::{InnerStatus, ServerStatus};
use obsteward::store::notifications::NotificationRow;
use obsteward::store::{AuditOutcome, AuditRecord, Write};

use super::{Whole, append, at, audit, commit, creation};
use crate::store::inventory::cluster;
use crate::support::stored_tasks::cluster_id;

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

pub async fn requests_that_were_refused_are_read_in_order(store: Arc<dyn Whole>) {
    assert_eq!((store.audit_head().await.unwrap(), store.refused_requests(0, 9, 9).await.unwrap()), (0, vec![]));
    store.register(cluster(1), audit()).await.unwrap();
    let refused = |reason: &str| AuditOutcome::Refused { reason: reason.to_owned() };
    let (known, unknown) = (Some(cluster_id(1)), Some(cluster_id(9)));
    for (cluster, outcome) in [
        (known, refused("PERMISSION_DENIED")),
        (known, AuditOutcome::Accepted),
        (unknown, refused("CLUSTER_NOT_FOUND")),
        (None, refused("INVALID_ARGUMENT")),
        (known, refused("SERVER_STATE")),
    ] {
        store.record(AuditRecord { cluster, outcome, ..audit() }).await.unwrap();
    }
    let head = store.audit_head().await.unwrap();
    let read = async |above, until, limit| {
        let found = store.refused_requests(above, until, limit).await.unwrap();
        found.into_iter().map(|one| (one.id, one.refusal)).collect::<Vec<_>>()
    };
    let all = read(0, head, 9).await;
    assert_eq!(
        all.iter().map(|(_, refusal)| refusal.as_str()).collect::<Vec<_>>(),
        ["PERMISSION_DENIED", "SERVER_STATE"]
    );
    assert_eq!(all[1].0, head);
    assert_eq!(read(0, head, 1).await, all[..1]);
    assert_eq!((read(all[0].0, head, 9).await, read(0, head - 1, 9).await), (all[1..].to_vec(), all[..1].to_vec()));
    let one = store.refused_requests(0, head, 1).await.unwrap().remove(0);
    assert_eq!((one.cluster_name.as_str(), one.at, one.principal), ("c1", audit().at, audit().principal));
    assert_eq!((one.call, one.target, one.trace_id), (audit().call, audit().target, audit().trace_id));
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
