//! Clients first: a stop waits for the clients of its server, after its leaders have left and before anything is done to its
//! process; and what becomes of a stop whose clients stay.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, Kind};

use crate::support::{Stage, assert_unbroken};

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

async fn client(stage: &Stage, user: &str, statements: &[&str]) -> Conn {
    let server = stage.info(2);
    let options = OptsBuilder::default().ip_or_hostname(server.ip).tcp_port(server.sql_port);
    let mut client = Conn::new(options.user(Some(user)).prefer_socket(false)).await.unwrap();
    for statement in statements {
        client.query_drop(*statement).await.unwrap();
    }
    client
}

/// That is longer than any test: a drain that ends did not wait for its end.
async fn draining(stage: &Stage) -> v1::StopServerRequest {
    v1::StopServerRequest { drain: HALF_AN_HOUR.try_into().ok(), ..stage.request(2).await }
}

async fn plan(stage: &Stage) -> v1::StopPlan {
    let v1::StopServerRequest { cluster_id, server_id, .. } = stage.request(2).await;
    let request = v1::PlanStopServerRequest { cluster_id, server_id, ..Default::default() };
    stage.clients.servers.clone().plan_stop_server(request).await.unwrap().into_inner().plan.unwrap()
}

/// When the first of a kind happened at server 2, and how often it did.
fn first(stage: &Stage, kind: Kind) -> (Option<u64>, usize) {
    let recorded = stage.sim.recorded(kind);
    let mut here = recorded.iter().filter(|one| one.server == Some(2)).map(|one| one.sequence);
    (here.next(), here.count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_until_its_clients_have_gone() {
    let stage = Stage::new().await;
    // the service's own user in the tenant sys is the service
    let _own = client(&stage, "root@sys", &["BEGIN"]).await;
    let mut client = client(&stage, "root@app", &["BEGIN", "INSERT INTO t VALUES (1)"]).await;
    let counted = |tenant: &str, sessions, open_transactions| v1::TenantClients {
        tenant: tenant.to_owned(),
        sessions,
        active_sessions: 0,
        open_transactions,
    };
    let plan = plan(&stage).await;
    assert!(plan.allowed, "{plan:#?}");
    let address = stage.info(2).address();
    let not_known_reason = String::new();
    assert_eq!(
        plan.clients,
        [v1::ServerClients { address: address.clone(), tenants: vec![counted("app", 1, 1)], not_known_reason }]
    );

    let pid = stage.info(2).pid;
    let request = v1::StopServerRequest { freeze_before_stop: true, ..draining(&stage).await };
    let id = stage.clients.stop_with(request).await.unwrap().id;
    let words = format!("drains {address}: 1 session and 1 open transaction of tenant app; 17");
    let progress = stage.wait_progress(id, &words).await;
    assert_eq!((progress.total, progress.blockers.len()), (None, 1), "{progress:?}");
    assert_eq!(stage.sim.look(|cluster| cluster.leaders_on(&[2])), 0, "the leaders leave before");
    client.query_drop("COMMIT").await.unwrap();
    stage.wait_progress(id, ": 1 session of tenant app; ").await;
    let untouched = [Kind::MinorFreeze, Kind::Signal].map(|kind| first(&stage, kind).0);
    assert_eq!((untouched, stage.info(2).pid), ([None, None], pid));

    let left = stage.sim.recorded(Kind::Statement).last().unwrap().sequence;
    client.disconnect().await.unwrap();
    let task = stage.closed(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!((task.warnings.len(), task.drain.map(|drain| drain.seconds)), (0, Some(1800)), "{task:#?}");
    assert!(first(&stage, Kind::MinorFreeze).0.unwrap() > left, "clients first, then the freeze");
    assert_unbroken(&stage.clients.events(id).await);
}

/// The drain began with the step and not with the process that goes on with it.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stay_are_a_warning_also_when_the_service_was_away_meanwhile() {
    let mut stage = Stage::new().await;
    let _client = client(&stage, "root@app", &["BEGIN"]).await;
    let _other = client(&stage, "root@billing", &[]).await;
    let id = stage.clients.stop_with(draining(&stage).await).await.unwrap().id;
    stage.wait_progress(id, "of tenant app, 1 session of tenant billing; ").await;
    stage.end_service().await;
    stage.clock.advance(HALF_AN_HOUR);
    stage.restart().await;
    let task = stage.closed(id).await;
    assert_eq!((task.state(), task.warnings.len()), (v1::TaskState::Successful, 1), "{task:#?}");
    let v1::TaskWarning { code, text, .. } = &task.warnings[0];
    let words =
        "were not waited for any longer: 1 session and 1 open transaction of tenant app, 1 session of tenant billing";
    assert!(code == "NOT_DRAINED" && text.starts_with("after 1800 s clients of") && text.ends_with(words), "{text}");
    assert_eq!(first(&stage, Kind::ProcessEnded).1, 0, "it is ended once");
}

/// What cannot be seen blocks no plan, may be there for as long as the drain lasts, and is a warning then. A cancelled drain ends
/// at once; a retry drains anew.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_cannot_be_seen_are_waited_for() {
    let stage = Stage::new().await;
    let missing = FaultKind::Refused {
        number: 5019,
        text: "Table 'oceanbase.GV$OB_TRANSACTION_PARTICIPANTS' doesn't exist".to_owned(),
    };
    stage.sim.inject(Fault::from(missing).times(u32::MAX).for_statement("SELECT DISTINCT TENANT_ID, TX_ID"));
    let plan = plan(&stage).await;
    assert!(plan.allowed && plan.clients[0].not_known_reason.contains("GV$OB_TRANSACTION_PARTICIPANTS"), "{plan:#?}");
    let pid = stage.info(2).pid;
    let id = stage.clients.stop_with(draining(&stage).await).await.unwrap().id;
    stage.wait_progress(id, ": sessions that are not known (").await;
    let cancel = v1::CancelTaskRequest { task_id: id, ..Default::default() };
    stage.clients.tasks.clone().cancel_task(cancel).await.unwrap();
    let task = stage.clients.at_rest(id).await;
    assert_eq!((task.state(), stage.info(2).pid), (v1::TaskState::Cancelled, pid), "{task:#?}");

    stage.clock.advance(HALF_AN_HOUR);
    stage.retry(id).await.unwrap();
    stage.wait_progress(id, ": sessions that are not known (").await;
    stage.clock.advance(HALF_AN_HOUR);
    let task = stage.closed(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert!(task.warnings.iter().any(|warning| warning.code == "NOT_DRAINED" && warning.text.contains("not known")));
}
