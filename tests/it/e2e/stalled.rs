//! What a wait says of itself while it does not move: since when, and what holds it, down to tenant, log stream and server.

use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind};

use crate::support::{Stage, quick};

/// The one blocker of a log stream of the tenant that people made.
fn of_tenant<'a>(progress: &'a v1::SubtaskProgress, tenant: &str) -> Option<&'a v1::ProgressBlocker> {
    progress.blockers.iter().find(|blocker| blocker.tenant_name == tenant)
}

/// Leaders stay, because no other replica is in sync.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_leader_is_named_with_its_reason() {
    // Looks are far enough apart that the replicas lag before anybody looks why leaders stay.
    let stage = Stage::with(quick(), |config| config.stop.poll_millis = 200).await;
    let stuck = stage.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 2));
    let id = stage.clients.stop_with(stage.request(2).await).await.unwrap().id;
    let first = stage.wait_progress(id, "leaders still on zone2").await;
    let lagging =
        [1, 3].map(|server| stage.sim.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, server)));
    let left = stage.sim.look(|cluster| cluster.log_streams.iter().filter(|ls| ls.leader == Some(2)).count());
    assert_eq!(usize::try_from(first.blocker_count).unwrap(), left, "{first:?}");

    let says_why = |progress: &v1::SubtaskProgress| {
        progress.blockers.iter().any(|blocker| blocker.reason == "has no other replica in sync")
    };
    let stalled = stage.wait_progress_where(id, says_why).await;
    let (tenant, ls, name) = stage.sim.look(|cluster| {
        let ls =
            cluster.log_streams.iter().filter(|ls| ls.leader == Some(2)).max_by_key(|ls| (ls.tenant, ls.id)).unwrap();
        let tenant = cluster.tenants.iter().find(|tenant| tenant.id == ls.tenant).unwrap();
        (ls.tenant, ls.id, tenant.name.clone())
    });
    let expected = v1::ProgressBlocker {
        tenant_id: Some(tenant),
        tenant_name: name,
        log_stream_id: Some(ls),
        server_address: stage.info(2).address(),
        reason: "has no other replica in sync".to_owned(),
    };
    assert!(stalled.blockers.contains(&expected), "{expected:?}\n{stalled:?}");
    assert_eq!(stalled.blocker_count, first.blocker_count);
    // Nothing has moved since the leaders were first counted, while looks went on; so there is no rate.
    assert_eq!((stalled.done, stalled.stalled_since), (first.done, first.stalled_since));
    assert!(stalled.update_time.unwrap().seconds >= first.update_time.unwrap().seconds);
    assert_ne!(stalled.update_time, first.update_time);
    assert_eq!(stalled.remaining, None);
    // GetTask says the same.
    let task = stage.clients.task(id).await;
    let shown = task.subtasks.iter().find_map(|subtask| subtask.progress.clone()).unwrap();
    assert_eq!((shown.stalled_since, shown.blockers), (stalled.stalled_since, stalled.blockers));

    lagging.into_iter().chain([stuck]).for_each(|fault| stage.sim.clear(fault));
    // An uncounted wait names the server.
    let ends = stage.wait_progress(id, "STATUS INACTIVE").await;
    assert!(ends.stalled_since.is_some() && ends.done.is_none() && ends.remaining.is_none(), "{ends:?}");
    let held = |blocker: &v1::ProgressBlocker| {
        blocker.reason == "has STATUS ACTIVE" && blocker.server_address == stage.info(2).address()
    };
    assert!(ends.blockers.iter().any(held), "{ends:?}");
    assert_eq!(stage.clients.at_rest(id).await.state(), v1::TaskState::Successful);
}

/// A server that comes back names the replicas that are behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lags_is_named() {
    let stage = Stage::new().await;
    let request = v1::StopServerRequest { r#type: v1::StopType::Service as i32, ..stage.request(2).await };
    let v1::StopServerRequest { cluster_id, server_id, .. } = request;
    assert_eq!(stage.stop_as(request).await.state(), v1::TaskState::Successful);
    let lagging = stage.sim.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 2));
    let request = v1::StartServerRequest { cluster_id, server_id, ..Default::default() };
    let id = stage.clients.servers.clone().start_server(request).await.unwrap().into_inner().task.unwrap().id;
    let progress = stage.wait_progress(id, "replicas caught up").await;
    assert_eq!(i64::from(progress.blocker_count), progress.total() - progress.done(), "{progress:?}");
    assert_eq!(progress.blockers.len(), usize::try_from(progress.blocker_count).unwrap().min(20));
    let sys = of_tenant(&progress, "sys").unwrap();
    assert_eq!((sys.tenant_id, sys.log_stream_id), (Some(1), Some(1)));
    assert_eq!(sys.server_address, stage.info(2).address());
    assert_eq!(sys.reason, "is more than 5 s behind its leader");
    stage.sim.clear(lagging);
    assert_eq!(stage.clients.at_rest(id).await.state(), v1::TaskState::Successful);
}
