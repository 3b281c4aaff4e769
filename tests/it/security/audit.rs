//! Promise 11, record: every mutation that is asked for is in the audit log once, allowed or refused by whatever rule, and
//! no secret is.

use std::sync::atomic::Ordering;
use std::time::Duration;

use obsteward::clock::Timestamp;
use obsteward::domain::beginning::BeginRequest;
use obsteward::domain::event::{SubtaskState, TaskState};
use obsteward::domain::ids::{Principal, Revision, ServerId};
use obsteward::domain::refusal::Refusal;
use obsteward::domain::status::{Risk, StopType};
use obsteward::service::{
    CreateAccessKey, CreateUser, DeregisterCluster, GetTask, LONGEST_ARGUMENTS, ListServers, ListUsers, OnServer,
    RetryTask, RotateAccessKey, SetPassword, StartServer, StopServer, SyncCluster, UpdateCluster, UpdateUser,
};

use obsteward::store::Store;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::security::permissions::{self, cancel, give_up, register, retry};
use crate::support::guarded::Fixture;
use crate::support::stored_tasks::{cluster_id, task_id};

const USERS: &[(&str, &[&str])] =
    &[("admin", &["**"]), ("ops", &["CLUSTER:*:*", "TASK:*:*"]), ("viewer", &["CLUSTER:*:READ", "TASK:*:READ"])];

fn stop(server: i64) -> StopServer {
    StopServer { server: ServerId::new(server).unwrap(), ..permissions::stop(&[]) }
}

#[tokio::test]
async fn a_stop_is_recorded_once_allowed_or_refused() {
    let fixture = Fixture::empty(USERS, 3).await;
    let (ops, viewer, to) = (fixture.caller("ops"), fixture.caller("viewer"), &fixture.guarded);
    let request_id = Some(Uuid::from_u128(7));
    let asked = StopServer { request_id, ..stop(7) };
    let task = to.call(&ops, asked.clone()).await.unwrap().task.spec.id;
    assert_eq!(to.call(&ops, asked).await.unwrap().task.spec.id, task, "a repeat gets the same task");
    let reused = StopServer { request_id, force: true, ..stop(7) };
    assert_eq!(to.call(&ops, reused).await.unwrap_err().reason(), "REQUEST_ID_REUSED");
    assert_eq!(to.call(&ops, stop(8)).await.unwrap_err().reason(), "OPERATION_IN_PROGRESS");
    assert_eq!(to.call(&ops, stop(99)).await.unwrap_err().reason(), "SERVER_NOT_FOUND");
    assert_eq!(to.call(&viewer, stop(7)).await.unwrap_err().reason(), "PERMISSION_DENIED");
    let risks = StopServer { accepted_risks: vec![Risk::QuorumLoss], ..stop(7) };
    assert_eq!(to.call(&ops, risks).await.unwrap_err().reason(), "PERMISSION_DENIED");
    let expected = [
        "ops STOP_OB_SERVER cluster 1 server 7 (10.0.1.7:2882): ACCEPTED",
        "ops STOP_OB_SERVER cluster 1 server 7: REQUEST_ID_REUSED",
        "ops STOP_OB_SERVER cluster 1 server 8: OPERATION_IN_PROGRESS",
        "ops STOP_OB_SERVER cluster 1 server 99: SERVER_NOT_FOUND",
        "viewer STOP_OB_SERVER cluster 1 server 7: PERMISSION_DENIED",
        "ops STOP_OB_SERVER cluster 1 server 7: PERMISSION_DENIED",
    ];
    assert_eq!(fixture.store.told(), expected);
    let records = fixture.store.records();
    assert_eq!((records[0].task, records[0].cluster), (Some(task), Some(cluster_id(1))));
    assert_eq!((records[4].task, records[4].cluster), (None, Some(cluster_id(1))));
    assert!(records.iter().all(|record| record.address == "192.0.2.7:40000" && record.trace_id.len() == 32));
    assert!(records[0].arguments.contains("force=false accept_risks= type="), "{}", records[0].arguments);
    assert!(records[5].arguments.contains("accept_risks=QUORUM_LOSS"), "{}", records[5].arguments);
}

#[tokio::test]
async fn verbs_and_clusters_are_recorded_with_what_they_are_about() {
    let fixture = Fixture::new(USERS).await;
    let (ops, viewer, to) = (fixture.caller("ops"), fixture.caller("viewer"), &fixture.guarded);
    fixture.store.dispatch(task_id(1));
    fixture.store.fail(task_id(1), 1);
    to.call(&viewer, retry(1)).await.unwrap_err();
    to.call(&ops, RetryTask { if_revision: Some(Revision::new(1)), ..retry(1) }).await.unwrap_err();
    to.call(&ops, retry(1)).await.unwrap();
    to.call(&viewer, cancel(3)).await.unwrap_err();
    to.call(&ops, give_up(3)).await.unwrap_err();
    to.call(&ops, give_up(77)).await.unwrap_err();
    let hosts = UpdateCluster {
        cluster: cluster_id(1),
        endpoints: None,
        username: None,
        password: None,
        hosts: Some(Vec::new()),
        default_host: None,
    };
    to.call(&ops, hosts.clone()).await.unwrap();
    let password = Some(SecretString::from("geheim-of-cluster"));
    to.call(&ops, UpdateCluster { password, ..hosts }).await.unwrap_err();
    to.call(&viewer, SyncCluster(cluster_id(1))).await.unwrap_err();
    to.call(&ops, SyncCluster(cluster_id(1))).await.unwrap_err();
    to.call(&viewer, DeregisterCluster(cluster_id(3))).await.unwrap_err();
    to.call(&ops, DeregisterCluster(cluster_id(3))).await.unwrap();
    to.call(&ops, DeregisterCluster(cluster_id(3))).await.unwrap_err();
    let expected = [
        "viewer RETRY_TASK task 1: PERMISSION_DENIED",
        "ops RETRY_TASK task 1: TASK_MOVED",
        "ops RETRY_TASK task 1: ACCEPTED",
        "viewer CANCEL_TASK task 3: PERMISSION_DENIED",
        "ops GIVE_UP_TASK task 3: VERB_NOT_ALLOWED",
        "ops GIVE_UP_TASK task 77: TASK_NOT_FOUND",
        "ops UPDATE_OB_CLUSTER cluster 1: ACCEPTED",
        "ops UPDATE_OB_CLUSTER cluster 1: CLUSTER_UNREACHABLE",
        "viewer SYNC_OB_CLUSTER cluster 1: PERMISSION_DENIED",
        "ops SYNC_OB_CLUSTER cluster 1: CLUSTER_UNREACHABLE",
        "viewer DEREGISTER_OB_CLUSTER cluster 3: PERMISSION_DENIED",
        "ops DEREGISTER_OB_CLUSTER cluster 3: ACCEPTED",
        "ops DEREGISTER_OB_CLUSTER cluster 3: CLUSTER_NOT_FOUND",
    ];
    assert_eq!(fixture.store.told(), expected);
    let records = fixture.store.records();
    let about = [(0, 1, Some(1)), (1, 1, Some(1)), (2, 1, Some(1)), (3, 3, Some(2)), (4, 3, Some(2)), (5, 77, None)];
    for (index, task, cluster) in about {
        let cluster = cluster.map(cluster_id);
        assert_eq!((records[index].task, records[index].cluster), (Some(task_id(task)), cluster), "{index}");
    }
    assert_eq!(records[7].arguments, "changes=password,hosts");
}

#[tokio::test]
async fn reads_are_not_recorded() {
    let fixture = Fixture::new(USERS).await;
    let (viewer, to) = (fixture.caller("viewer"), &fixture.guarded);
    to.call(&viewer, GetTask(task_id(1))).await.unwrap();
    to.call(&viewer, GetTask(task_id(77))).await.unwrap_err();
    to.call(&viewer, ListUsers).await.unwrap_err();
    let refusal = Refusal::field("cluster_id", "is required");
    to.refused::<ListServers>(&viewer, &refusal).await;
    assert!(fixture.store.told().is_empty());
}

#[tokio::test]
async fn an_invalid_mutation_is_recorded_without_its_values() {
    let fixture = Fixture::new(USERS).await;
    let refusal = Refusal::field("password", "is shorter than 8 bytes");
    fixture.guarded.refused::<SetPassword>(&fixture.caller("viewer"), &refusal).await;
    assert_eq!(fixture.store.told(), ["viewer SET_PASSWORD : INVALID_ARGUMENT"]);
    assert_eq!(fixture.store.records()[0].arguments, "invalid_fields=password");
}

#[tokio::test]
async fn no_secret_is_recorded_and_no_text_is_long() {
    let fixture = Fixture::new(USERS).await;
    let (admin, viewer, to) = (fixture.caller("admin"), fixture.caller("viewer"), &fixture.guarded);
    let secret = || SecretString::from("geheim-geheim");
    let mut shown = Vec::new();
    for caller in [&admin, &viewer] {
        let new = CreateUser {
            name: Principal::new(format!("by-{}", caller.principal)),
            password: Some(secret()),
            roles: Vec::new(),
            certificate_names: (0..100).map(|number| format!("DNS:host-{number:0>40}.example.com")).collect(),
        };
        _ = to.call(caller, new).await;
        _ = to.call(caller, SetPassword { name: Principal::new("ops"), password: secret() }).await;
        let key = to.call(caller, CreateAccessKey { user: None }).await.unwrap().row;
        shown.push(key.secret.expose_secret().to_owned());
        let rotated = to.call(caller, RotateAccessKey(key.id)).await.unwrap().row;
        shown.push(rotated.secret.expose_secret().to_owned());
        to.call(caller, register(secret())).await.unwrap_err();
    }
    let records = fixture.store.records();
    assert_eq!(records.len(), 10);
    shown.extend(["geheim".to_owned(), "hashed".to_owned()]);
    for record in records.iter() {
        let text = format!("{record:?}");
        assert!(shown.iter().all(|secret| !text.contains(secret)), "{text}");
        assert!(record.arguments.len() <= LONGEST_ARGUMENTS, "{}", record.arguments.len());
    }
    assert!(records[0].arguments.ends_with('…') && records[0].arguments.len() > 1000);
}

#[tokio::test]
async fn a_refusal_that_cannot_be_kept_is_answered_all_the_same() {
    let fixture = Fixture::new(USERS).await;
    fixture.store.switches.records_fail.store(true, Ordering::SeqCst);
    let refused = fixture.guarded.call(&fixture.caller("viewer"), stop(7)).await.unwrap_err();
    assert_eq!(refused.reason(), "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_caller_that_hangs_up_tears_neither_the_change_nor_its_record() {
    let fixture = Fixture::new(USERS).await;
    let admin = fixture.caller("admin");
    let disable =
        UpdateUser { name: Principal::new("ops"), roles: None, certificate_names: None, disabled: Some(true) };
    {
        let hangs_up = fixture.guarded.call(&admin, disable);
        futures::pin_mut!(hangs_up);
        assert!(futures::poll!(hangs_up).is_pending(), "it was dropped before it ended");
    }
    let done = async {
        while fixture.directory.rights(&Principal::new("ops")).is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, done).await.unwrap();
    assert_eq!(fixture.store.told(), ["admin UPDATE_USER user ops: ACCEPTED"]);
}

#[tokio::test]
async fn a_stop_answers_the_task_as_committed_and_an_equal_request_the_open_task() {
    let fixture = Fixture::empty(USERS, 3).await;
    let (ops, admin, to) = (fixture.caller("ops"), fixture.caller("admin"), &fixture.guarded);
    fixture.store.switches.moves_on.store(true, Ordering::SeqCst);
    let first = to.call(&ops, stop(7)).await.unwrap();
    let id = first.task.spec.id;
    let now = to.call(&ops, GetTask(id)).await.unwrap();
    assert!(now.task.revision > first.task.revision && now.seq > first.seq, "it has gone on since");
    let log = fixture.store.log();
    let committed = log.iter().find(|event| event.revision == first.task.revision).unwrap();
    assert_eq!(first.seq, committed.seq, "its events follow from here");
    let states: Vec<SubtaskState> = first.task.subtasks.iter().map(|subtask| subtask.state).collect();
    assert_eq!(states.iter().filter(|state| **state == SubtaskState::Running).count(), 1);
    assert_eq!(states.iter().filter(|state| **state == SubtaskState::Pending).count(), states.len() - 1);

    let repeat = || StopServer { repeat_by_arguments: true, ..stop(7) };
    assert_eq!(to.call(&ops, repeat()).await.unwrap().task.spec.id, id);
    let others = [
        StopServer { force: true, ..repeat() },
        StopServer { stop_type: StopType::Service, ..repeat() },
        StopServer { freeze_before_stop: true, ..repeat() },
        StopServer { drain: Duration::from_secs(1), ..repeat() },
        StopServer { server: ServerId::new(8).unwrap(), ..repeat() },
        StopServer { repeat_by_arguments: false, ..repeat() },
        StopServer { request_id: Some(Uuid::from_u128(9)), ..repeat() },
    ];
    for other in others {
        let refused = to.call(&ops, other.clone()).await.unwrap_err();
        assert_eq!(refused.reason(), "OPERATION_IN_PROGRESS", "{other:?}");
    }
    assert_eq!(to.call(&admin, repeat()).await.unwrap_err().reason(), "OPERATION_IN_PROGRESS");
    // Who would wait is not to wait for a task of its own, and does not wait twice.
    fixture.store.switches.moves_on.store(false, Ordering::SeqCst);
    let begin = BeginRequest { not_before: None, queue: true };
    let waits = |server| StopServer { server: ServerId::new(server).unwrap(), begin, ..repeat() };
    assert_eq!(to.call(&ops, waits(7)).await.unwrap().task.spec.id, id);
    let pending = to.call(&ops, waits(8)).await.unwrap().task;
    assert_eq!(pending.state, TaskState::Pending);
    assert_eq!(to.call(&ops, waits(8)).await.unwrap().task.spec.id, pending.spec.id);
    let accepted = fixture.store.told().into_iter().filter(|told| told.ends_with("ACCEPTED")).count();
    assert_eq!(accepted, 2, "a repeat is not recorded again");
}

/// A repeat is recognised by what was asked for: how the audit log words it does not matter.
#[tokio::test]
async fn a_repeat_by_request_id_is_recognised_by_its_arguments_and_not_by_the_words_of_the_audit_log() {
    let fixture = Fixture::empty(USERS, 3).await;
    let (ops, to) = (fixture.caller("ops"), &fixture.guarded);
    let request_id = Some(Uuid::from_u128(7));
    let asked = StopServer { request_id, ..stop(7) };
    let task = to.call(&ops, asked.clone()).await.unwrap().task.spec.id;
    let digest = fixture.store.request(&ops.principal, &Uuid::from_u128(7).to_string()).await.unwrap().unwrap().1;
    assert!(digest.len() == 64 && digest.bytes().all(|digit| digit.is_ascii_hexdigit()), "{digest}");
    let file = rusqlite::Connection::open(fixture.store.path()).unwrap();
    assert_eq!(file.execute("UPDATE audit SET arguments = 'in other words' WHERE arguments <> ''", []), Ok(1));
    for same in [asked.clone(), StopServer { repeat_by_arguments: true, ..asked.clone() }] {
        assert_eq!(to.call(&ops, same).await.unwrap().task.spec.id, task);
    }
    let others = [
        StopServer { server: ServerId::new(8).unwrap(), ..asked.clone() },
        StopServer { cluster: cluster_id(2), ..asked.clone() },
        StopServer { force: true, ..asked.clone() },
        StopServer { stop_type: StopType::Service, ..asked.clone() },
        StopServer { freeze_before_stop: true, ..asked.clone() },
        StopServer { drain: Duration::from_secs(1), ..asked.clone() },
        StopServer { expected_server: Some("10.0.1.7:2882".parse().unwrap()), ..asked.clone() },
        StopServer { expire_time: Some(Timestamp::from_micros(i64::MAX / 2)), ..asked.clone() },
    ];
    for other in others {
        let refused = to.call(&ops, other.clone()).await.unwrap_err();
        assert_eq!(refused.reason(), "REQUEST_ID_REUSED", "{other:?}");
    }
    let StopServer { cluster, server, expected_server, repeat_by_arguments, begin, .. } = asked;
    let start = StartServer(OnServer { cluster, server, request_id, repeat_by_arguments, expected_server, begin });
    assert_eq!(to.call(&ops, start).await.unwrap_err().reason(), "REQUEST_ID_REUSED", "another call");
}
