//! What each role may do over each face: every call that there is, as every role, compared with the one table of calls.
//! Nothing is registered, so that a call which is let through finds nothing and changes nothing.

use std::net::SocketAddr;

use http::Method;
use obsteward::app::App;
use obsteward::clock::Clock;
use obsteward::domain::call::{Call, Requirement, Subject, permits};
use obsteward::domain::permission::{Permission, Rights, builtin};
use obsteward::domain::status::Risk;
use obsteward::proto::v1;
use obsteward::proto::v1::get_cluster_request::By;
use obsteward::watch::encode;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::rest_client::RestClient;
use crate::support::{Clients, callers, config};

/// Roles that people made, with the boundaries that matter.
const CUSTOM: &[(&str, &[&str])] = &[
    ("STOPS_ONE", &["CLUSTER:1:UPDATE"]),
    ("OWNS_ONE", &["CLUSTER:1:*"]),
    ("OWNS_ANOTHER", &["CLUSTER:2:*", "CLUSTER:2:FORCE"]),
    ("TAKES_RISKS", &["CLUSTER:1:UPDATE", "CLUSTER:1:FORCE"]),
    ("ENDS_SERVICE", &["CLUSTER:1:UPDATE", "CLUSTER:1:FORCE", "CLUSTER:1:SERVICE_LOSS"]),
    ("SEES_A_TASK", &["TASK:100001:READ"]),
    ("RUNS_A_TASK", &["TASK:100001:UPDATE"]),
    ("KEEPS_USERS", &["USER:*:*"]),
    ("AUDITS", &["AUDIT:*:READ"]),
    ("NOTHING_MUCH", &["CLUSTER:3:READ"]),
];
const BUILTIN: &[&str] = &["ADMIN", "CLUSTER_MANAGER", "CLUSTER_VIEWER", "TASK_MANAGER", "TASK_VIEWER"];
const TASK: i64 = 100_001;
const SUBTASK: i64 = 100_002;
const NOBODY: &str = "nobody.there";

/// Whether a call with accepted risks is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Risks {
    None,
    Accepted,
}

/// The risks that a call is made with.
fn accepted(call: Call, risks: Risks) -> &'static [Risk] {
    match (risks, call) {
        (Risks::None, _) => &[],
        (Risks::Accepted, Call::StopCluster | Call::RestartCluster) => &[Risk::ServiceLoss],
        (Risks::Accepted, _) => &[Risk::QuorumLoss],
    }
}

/// The subject of a call as this test makes it. No task and no user of the name exists.
fn subject(call: Call) -> Subject {
    match call.requirement() {
        Requirement::Cluster(_) => Subject::Cluster(1),
        Requirement::Task(_) => Subject::Task { task: TASK, cluster: None },
        Requirement::OwnUser(_) | Requirement::User(_) => Subject::User { user: None, own: false },
        Requirement::EveryCluster(_)
        | Requirement::Filtered
        | Requirement::FilteredTasks
        | Requirement::FilteredUsers
        | Requirement::EveryUser(_)
        | Requirement::Audit
        | Requirement::Store => Subject::Nothing,
    }
}

/// Makes the call over gRPC, valid but about what is not there; `None`: this face does not have it.
async fn over_grpc(clients: &Clients, call: Call, risks: Risks) -> Option<Result<(), tonic::Status>> {
    let (mut servers, mut tasks, mut clusters) =
        (clients.servers.clone(), clients.tasks.clone(), clients.clusters.clone());
    let (mut admin, mut zones) = (clients.admin.clone(), clients.zones.clone());
    let mut rollouts = clients.rollouts.clone();
    let zone = || "zone1".to_owned();
    let all = || Some(v1::RolloutScope { scope: Some(v1::rollout_scope::Scope::All(v1::AllServers {})) });
    let accept_risks: Vec<i32> = accepted(call, risks).iter().map(|risk| i32::from(encode::risk(*risk))).collect();
    let nobody = || NOBODY.to_owned();
    let key = || "NOSUCHKEY1234567".to_owned();
    Some(match call {
        Call::StopServer => {
            let request = v1::StopServerRequest { cluster_id: 1, server_id: 1, accept_risks, ..Default::default() };
            servers.stop_server(request).await.map(drop)
        }
        Call::StartServer => {
            let request = v1::StartServerRequest { cluster_id: 1, server_id: 1, ..Default::default() };
            servers.start_server(request).await.map(drop)
        }
        Call::RestartServer => {
            let request = v1::RestartServerRequest { cluster_id: 1, server_id: 1, accept_risks, ..Default::default() };
            servers.restart_server(request).await.map(drop)
        }
        Call::FreezeServer => {
            let request = v1::FreezeServerRequest { cluster_id: 1, server_id: 1, ..Default::default() };
            servers.freeze_server(request).await.map(drop)
        }
        Call::PlanStopServer => {
            let request = v1::PlanStopServerRequest { cluster_id: 1, server_id: 1, ..Default::default() };
            servers.plan_stop_server(request).await.map(drop)
        }
        Call::StopZone => {
            let request = v1::StopZoneRequest { cluster_id: 1, zone: zone(), accept_risks, ..Default::default() };
            zones.stop_zone(request).await.map(drop)
        }
        Call::StartZone => {
            let request = v1::StartZoneRequest { cluster_id: 1, zone: zone(), ..Default::default() };
            zones.start_zone(request).await.map(drop)
        }
        Call::RestartZone => {
            let request = v1::RestartZoneRequest { cluster_id: 1, zone: zone(), accept_risks, ..Default::default() };
            zones.restart_zone(request).await.map(drop)
        }
        Call::PlanStopZone => {
            let request = v1::PlanStopZoneRequest { cluster_id: 1, zone: zone(), ..Default::default() };
            zones.plan_stop_zone(request).await.map(drop)
        }
        Call::StartRollout => {
            let action = v1::RolloutAction::Restart.into();
            let request =
                v1::StartRolloutRequest { cluster_id: 1, scope: all(), action, accept_risks, ..Default::default() };
            rollouts.start_rollout(request).await.map(drop)
        }
        Call::PlanRollout => {
            let action = v1::RolloutAction::Restart.into();
            let request = v1::PlanRolloutRequest { cluster_id: 1, scope: all(), action, ..Default::default() };
            rollouts.plan_rollout(request).await.map(drop)
        }
        Call::PauseRollout => {
            rollouts.pause_rollout(v1::PauseRolloutRequest { task_id: TASK, ..Default::default() }).await.map(drop)
        }
        Call::ResumeRollout => {
            rollouts.resume_rollout(v1::ResumeRolloutRequest { task_id: TASK, ..Default::default() }).await.map(drop)
        }
        Call::CompleteHold => {
            tasks.complete_hold(v1::CompleteHoldRequest { task_id: TASK, ..Default::default() }).await.map(drop)
        }
        Call::StopCluster => {
            let request = v1::StopClusterRequest { cluster_id: 1, accept_risks, ..Default::default() };
            clusters.stop_cluster(request).await.map(drop)
        }
        Call::StartCluster => {
            let request = v1::StartClusterRequest { cluster_id: 1, ..Default::default() };
            clusters.start_cluster(request).await.map(drop)
        }
        Call::RestartCluster => {
            let request = v1::RestartClusterRequest { cluster_id: 1, accept_risks, ..Default::default() };
            clusters.restart_cluster(request).await.map(drop)
        }
        Call::PlanStopCluster => {
            let request = v1::PlanStopClusterRequest { cluster_id: 1, ..Default::default() };
            clusters.plan_stop_cluster(request).await.map(drop)
        }
        Call::GetServer => servers.get_server(v1::GetServerRequest { cluster_id: 1, server_id: 1 }).await.map(drop),
        Call::ListServers => {
            servers.list_servers(v1::ListServersRequest { cluster_id: 1, ..Default::default() }).await.map(drop)
        }
        Call::GetTask => tasks.get_task(v1::GetTaskRequest { task_id: TASK }).await.map(drop),
        Call::ListTasks => tasks.list_tasks(v1::ListTasksRequest::default()).await.map(drop),
        Call::WatchTask => {
            tasks.watch_task(v1::WatchTaskRequest { task_id: TASK, ..Default::default() }).await.map(drop)
        }
        Call::WatchTasks => tasks.watch_tasks(v1::WatchTasksRequest::default()).await.map(drop),
        Call::GetSubtaskLog => {
            tasks.get_subtask_log(v1::GetSubtaskLogRequest { task_id: TASK, ..Default::default() }).await.map(drop)
        }
        Call::RetryTask => {
            tasks.retry_task(v1::RetryTaskRequest { task_id: TASK, ..Default::default() }).await.map(drop)
        }
        Call::RollbackTask => {
            tasks.rollback_task(v1::RollbackTaskRequest { task_id: TASK, ..Default::default() }).await.map(drop)
        }
        Call::SkipSubtask => {
            let request = v1::SkipSubtaskRequest { task_id: TASK, subtask_id: SUBTASK, ..Default::default() };
            tasks.skip_subtask(request).await.map(drop)
        }
        Call::CancelTask => {
            tasks.cancel_task(v1::CancelTaskRequest { task_id: TASK, ..Default::default() }).await.map(drop)
        }
        Call::GiveUpTask => {
            tasks.give_up_task(v1::GiveUpTaskRequest { task_id: TASK, ..Default::default() }).await.map(drop)
        }
        Call::RegisterCluster => {
            let request =
                v1::RegisterClusterRequest { endpoints: vec!["127.0.0.1:1".to_owned()], ..Default::default() };
            clusters.register_cluster(request).await.map(drop)
        }
        Call::UpdateCluster => {
            let request = v1::UpdateClusterRequest {
                cluster_id: 1,
                username: "root@sys".to_owned(),
                update_mask: Some(prost_types::FieldMask { paths: vec!["username".to_owned()] }),
                ..Default::default()
            };
            clusters.update_cluster(request).await.map(drop)
        }
        Call::DeregisterCluster => clusters
            .deregister_cluster(v1::DeregisterClusterRequest { cluster_id: 1, ..Default::default() })
            .await
            .map(drop),
        Call::SyncCluster => {
            clusters.sync_cluster(v1::SyncClusterRequest { cluster_id: 1, ..Default::default() }).await.map(drop)
        }
        Call::GetCluster => clusters.get_cluster(v1::GetClusterRequest { by: Some(By::ClusterId(1)) }).await.map(drop),
        Call::ListClusters => clusters.list_clusters(v1::ListClustersRequest::default()).await.map(drop),
        // Roles that are not there: who is let through hears so, and no user is made.
        Call::CreateUser => {
            let request =
                v1::CreateUserRequest { name: nobody(), roles: vec!["NO_SUCH".to_owned()], ..Default::default() };
            admin.create_user(request).await.map(drop)
        }
        Call::UpdateUser => {
            let request = v1::UpdateUserRequest { name: nobody(), disabled: Some(true), ..Default::default() };
            admin.update_user(request).await.map(drop)
        }
        // Sessions are of the web console.
        Call::EndSessions => return None,
        Call::SetPassword => {
            let request =
                v1::SetPasswordRequest { name: nobody(), password: "long enough".to_owned(), ..Default::default() };
            admin.set_password(request).await.map(drop)
        }
        Call::ListUsers => admin.list_users(v1::ListUsersRequest::default()).await.map(drop),
        Call::CreateAccessKey => {
            admin.create_access_key(v1::CreateAccessKeyRequest { user: nobody(), ..Default::default() }).await.map(drop)
        }
        Call::UpdateAccessKey => admin
            .update_access_key(v1::UpdateAccessKeyRequest { id: key(), disabled: true, ..Default::default() })
            .await
            .map(drop),
        Call::RotateAccessKey => {
            admin.rotate_access_key(v1::RotateAccessKeyRequest { id: key(), ..Default::default() }).await.map(drop)
        }
        Call::ListAccessKeys => admin.list_access_keys(v1::ListAccessKeysRequest::default()).await.map(drop),
        // The name of a role that is always there: who is let through hears so.
        Call::CreateRole => {
            let permissions = vec!["CLUSTER:9:READ".to_owned()];
            admin
                .create_role(v1::CreateRoleRequest { name: "ADMIN".to_owned(), permissions, ..Default::default() })
                .await
                .map(drop)
        }
        Call::DeleteRole => admin
            .delete_role(v1::DeleteRoleRequest { name: "NO_SUCH".to_owned(), ..Default::default() })
            .await
            .map(drop),
        Call::ListRoles => admin.list_roles(v1::ListRolesRequest::default()).await.map(drop),
        Call::ListAuditRecords => admin.list_audit_records(v1::ListAuditRecordsRequest::default()).await.map(drop),
        Call::ListReplicas => admin.list_replicas(v1::ListReplicasRequest::default()).await.map(drop),
        Call::ListNotificationTargets => {
            admin.list_notification_targets(v1::ListNotificationTargetsRequest::default()).await.map(drop)
        }
        Call::ApproveTask => {
            let request = v1::ApproveTaskRequest { task_id: TASK, plan_digest: "2b".to_owned(), ..Default::default() };
            tasks.approve_task(request).await.map(drop)
        }
        Call::WithdrawApproval => {
            let request = v1::WithdrawApprovalRequest { task_id: TASK, ..Default::default() };
            tasks.withdraw_approval(request).await.map(drop)
        }
        Call::PlanTask => tasks.plan_task(v1::PlanTaskRequest { task_id: TASK }).await.map(drop),
        Call::FreezeChanges => {
            let request = v1::FreezeChangesRequest { cluster_id: Some(1), reason: "incident".to_owned() };
            clusters.freeze_changes(request).await.map(drop)
        }
        Call::ThawChanges => {
            let request = v1::ThawChangesRequest { cluster_id: Some(1), reason: String::new() };
            clusters.thaw_changes(request).await.map(drop)
        }
        Call::ListChangeFreezes => clusters.list_change_freezes(v1::ListChangeFreezesRequest {}).await.map(drop),
        Call::BackupStore => admin.backup_store(v1::BackupStoreRequest::default()).await.map(drop),
    })
}

/// The request of a call over REST; `None`: this face does not have it.
fn over_rest(call: Call, risks: Risks) -> Option<(Method, String, &'static str)> {
    let instance = format!("/api/v2/tasks/instances/{TASK}");
    let cluster = "/api/v2/ob/clusters/1";
    let body = match risks {
        Risks::None => "",
        Risks::Accepted if accepted(call, risks) == [Risk::ServiceLoss] => r#"{"acceptRisks": ["SERVICE_LOSS"]}"#,
        Risks::Accepted => r#"{"acceptRisks": ["QUORUM_LOSS"]}"#,
    };
    Some(match call {
        Call::StopServer => (Method::POST, format!("{cluster}/servers/1/stop"), body),
        Call::StartServer => (Method::POST, format!("{cluster}/servers/1/start"), ""),
        Call::RestartServer => (Method::POST, format!("{cluster}/servers/1/restart"), body),
        Call::FreezeServer => (Method::POST, format!("{cluster}/servers/1/freeze"), ""),
        Call::StopZone => (Method::POST, format!("{cluster}/zones/zone1/stop"), body),
        Call::StartZone => (Method::POST, format!("{cluster}/zones/zone1/start"), ""),
        Call::RestartZone => (Method::POST, format!("{cluster}/zones/zone1/restart"), body),
        Call::StopCluster => (Method::POST, format!("{cluster}/stop"), body),
        Call::StartCluster => (Method::POST, format!("{cluster}/start"), ""),
        Call::RestartCluster => (Method::POST, format!("{cluster}/restart"), body),
        Call::GetServer => (Method::GET, format!("{cluster}/servers/1"), ""),
        Call::ListServers => (Method::GET, format!("{cluster}/servers"), ""),
        Call::GetCluster => (Method::GET, cluster.to_owned(), ""),
        Call::ListClusters => (Method::GET, "/api/v2/ob/clusters".to_owned(), ""),
        Call::GetTask => (Method::GET, instance, ""),
        Call::ListTasks => (Method::GET, "/api/v2/tasks/instances".to_owned(), ""),
        Call::WatchTask => (Method::GET, format!("{instance}/events"), ""),
        Call::GetSubtaskLog => (Method::GET, format!("{instance}/subtasks/{SUBTASK}/log"), ""),
        Call::RetryTask => (Method::POST, format!("{instance}/retry"), ""),
        Call::RollbackTask => (Method::POST, format!("{instance}/rollback"), ""),
        Call::SkipSubtask => (Method::POST, format!("{instance}/subtasks/{SUBTASK}/skip"), ""),
        Call::CancelTask => (Method::POST, format!("{instance}/subtasks/{SUBTASK}/cancel"), ""),
        Call::GiveUpTask => (Method::POST, format!("{instance}/giveUp"), ""),
        Call::CompleteHold => (Method::POST, format!("{instance}/completeHold"), ""),
        Call::PauseRollout => (Method::POST, format!("{instance}/pause"), ""),
        Call::ResumeRollout => (Method::POST, format!("{instance}/resume"), ""),
        Call::PlanStopServer
        | Call::PlanStopZone
        | Call::StartRollout
        | Call::PlanRollout
        | Call::PlanStopCluster
        | Call::WatchTasks
        | Call::RegisterCluster
        | Call::UpdateCluster
        | Call::DeregisterCluster
        | Call::SyncCluster
        | Call::CreateUser
        | Call::UpdateUser
        | Call::SetPassword
        | Call::EndSessions
        | Call::ListUsers
        | Call::CreateAccessKey
        | Call::UpdateAccessKey
        | Call::RotateAccessKey
        | Call::ListAccessKeys
        | Call::CreateRole
        | Call::DeleteRole
        | Call::ListRoles
        | Call::ListAuditRecords
        | Call::BackupStore
        | Call::ListReplicas
        | Call::ApproveTask
        | Call::WithdrawApproval
        | Call::PlanTask
        | Call::FreezeChanges
        | Call::ThawChanges
        | Call::ListChangeFreezes
        | Call::ListNotificationTargets => return None,
    })
}

#[tokio::test]
async fn each_role_may_do_over_each_face_what_the_table_says() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.auth.enabled = true;
    config.rest.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    // The gateway lets these risks be named; whether the caller may is the caller's permission.
    config.rest.accepted_risks = vec!["QUORUM_LOSS".to_owned(), "SERVICE_LOSS".to_owned()];
    let password_file = directory.path().join("password");
    std::fs::write(&password_file, "correct horse\n").unwrap();
    let names: Vec<&str> = BUILTIN.iter().copied().chain(CUSTOM.iter().map(|(name, _)| *name)).collect();
    config.auth.roles = callers::roles(CUSTOM);
    let user = |role: &&str| callers::user(&format!("user.{role}"), role, &password_file);
    config.auth.users = names.iter().map(user).collect();
    let app = App::build(&config, Clock::system()).await.unwrap();
    let (grpc, rest) = (app.address(), app.rest_address().unwrap());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(app.run(shutdown.clone()));
    let mut refused = 0;
    for role in names {
        let permissions = CUSTOM.iter().find(|(name, _)| *name == role).map(|(_, permissions)| {
            permissions.iter().map(|permission| permission.parse::<Permission>().unwrap()).collect()
        });
        let rights = Rights::new(permissions.unwrap_or_else(|| builtin(role).unwrap()));
        let user = format!("user.{role}");
        let clients = Clients::user(grpc, &user, "correct horse");
        let http = RestClient::of(rest).user(&user, "correct horse");
        for (call, risks) in Call::ALL.iter().map(|call| (*call, Risks::None)).chain(
            [
                Call::StopServer,
                Call::RestartServer,
                Call::StopZone,
                Call::RestartZone,
                Call::StopCluster,
                Call::RestartCluster,
            ]
            .map(|call| (call, Risks::Accepted)),
        ) {
            let expected = permits(&rights, call, subject(call), accepted(call, risks));
            refused += usize::from(expected.is_err());
            if let Some(answer) = over_grpc(&clients, call, risks).await {
                assert_grpc(role, call, risks, expected.err().map(|need| need.to_string()), answer);
            }
            let Some((method, path, body)) = over_rest(call, risks) else { continue };
            let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
            let answer = http.send(method, &path, headers, body.as_bytes().to_vec()).await;
            assert_ne!(answer.status, 401, "{role} {call} {}", answer.text);
            assert_eq!(answer.status == 403, expected.is_err(), "{role} {call} {risks:?} {}", answer.text);
        }
    }
    assert!(refused > 100, "the roles differ in little: {refused}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

fn assert_grpc(role: &str, call: Call, risks: Risks, missing: Option<String>, answer: Result<(), tonic::Status>) {
    match (missing, answer) {
        (Some(need), Err(status)) => {
            assert_eq!(status.code(), Code::PermissionDenied, "{role} {call} {risks:?} {status:?}");
            let named = status.get_details_error_info().unwrap().metadata["permission"].clone();
            assert_eq!(named, need, "{role} {call} {risks:?}");
        }
        (Some(need), Ok(())) => panic!("{role} may not {call} {risks:?}, it has no {need}"),
        (None, Err(status)) => {
            assert!(
                !matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented),
                "{role} may {call} {risks:?}: {status:?}"
            );
        }
        (None, Ok(())) => {}
    }
}
