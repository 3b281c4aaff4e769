//! Promise 11, permission: each call is allowed or refused as a table says that is written out here, what is missing and
//! what is forbidden cannot be told apart, and lists show only what the caller may read. Watches: `sights`.

use std::time::Duration;

use obsteward::api::error_status::to_status;
use obsteward::domain::approval::PlanDigest;
use obsteward::domain::beginning::BeginRequest;
use obsteward::domain::call::{Call, Subject, permits};
use obsteward::domain::ids::{AccessKeyId, ClusterId, Principal, ServerId};
use obsteward::domain::refusal::Refusal;
use obsteward::domain::rollout::RolloutAction;
use obsteward::domain::status::{ClusterStatus, Risk, StopType};
use obsteward::service::{
    ApproveTask, BackupStore, Caller, CancelSubtask, CancelTask, ClusterSelection, ClustersPage, CompleteHold,
    CreateAccessKey, CreateRole, CreateUser, DeleteRole, DeregisterCluster, EndSessions, Ended, FreezeChanges,
    FreezeServer, GetCluster, GetServer, GetTask, GiveUpTask, ListAccessKeys, ListAuditRecords, ListChangeFreezes,
    ListClusters, ListNotificationTargets, ListReplicas, ListRoles, ListServers, ListTasks, ListUsers, OnCluster,
    OnServer, OnZone, PauseRollout, PlanRollout, PlanStopCluster, PlanStopServer, PlanStopZone, PlanTask,
    RegisterCluster, RestartCluster, RestartServer, RestartZone, ResumeRollout, RetrySubtask, RetryTask, RollbackTask,
    RolloutOf, RolloutScope, RotateAccessKey, SetPassword, SkipSubtask, StartCluster, StartRollout, StartServer,
    StartZone, StopCluster, StopServer, StopZone, SubtaskLog, SyncCluster, TaskSelection, TasksPage, ThawChanges,
    UpdateAccessKey, UpdateCluster, UpdateUser, WithdrawApproval,
};
use obsteward::store::access::AuditFilter;
use obsteward::store::inventory::{ClusterOrder, DefaultHost};
use obsteward::store::{Page, TaskOrder};
use obsteward::watch::{ReadLog, Until, WatchTask, WatchTasks};
use secrecy::SecretString;
use tonic_types::StatusExt;

use crate::support::guarded::Fixture;
use crate::support::stored_tasks::{cluster_id, subtask_id, task_id};

/// Letters of the table's columns, with the permissions of each.
const COLUMNS: &[(char, &[&str])] = &[
    ('A', &["**"]),                                     // ADMIN
    ('M', &["CLUSTER:*:*", "TASK:*:*", "USER:*:READ"]), // CLUSTER_MANAGER
    ('V', &["CLUSTER:*:READ", "TASK:*:READ"]),          // CLUSTER_VIEWER
    ('T', &["TASK:*:*"]),                               // TASK_MANAGER
    ('W', &["TASK:*:READ"]),                            // TASK_VIEWER
    ('N', &[]),
    ('U', &["CLUSTER:1:UPDATE"]),
    ('C', &["CLUSTER:1:*"]),
    ('F', &["CLUSTER:1:*", "CLUSTER:1:FORCE"]),
    ('O', &["CLUSTER:2:*", "CLUSTER:2:FORCE"]),
    // May end all service of the cluster.
    ('E', &["CLUSTER:1:*", "CLUSTER:1:FORCE", "CLUSTER:1:SERVICE_LOSS"]),
    ('S', &["USER:*:*"]),
    ('L', &["AUDIT:*:READ"]),
    ('R', &["TASK:1:READ"]),
];

/// What is asked, as the table of calls names it, and who may: everything on cluster 1, its tasks 1 and 2 (which accepted
/// risks), the caller himself, or another user.
const TABLE: &[(&str, Call, Subject, &[Risk], &str)] = &[
    ("stop", Call::StopServer, ONE, NONE, "AMUCFE"),
    ("stop with risks", Call::StopServer, ONE, SOME, "AFE"),
    ("start", Call::StartServer, ONE, NONE, "AMUCFE"),
    ("restart", Call::RestartServer, ONE, NONE, "AMUCFE"),
    ("freeze", Call::FreezeServer, ONE, NONE, "AMUCFE"),
    ("restart with risks", Call::RestartServer, ONE, SOME, "AFE"),
    ("stop zone", Call::StopZone, ONE, NONE, "AMUCFE"),
    ("stop zone with risks", Call::StopZone, ONE, SOME, "AFE"),
    ("stop cluster", Call::StopCluster, ONE, NONE, "AMUCFE"),
    ("stop cluster with its risk", Call::StopCluster, ONE, LOSS, "AE"),
    ("start cluster", Call::StartCluster, ONE, NONE, "AMUCFE"),
    ("restart cluster with its risk", Call::RestartCluster, ONE, LOSS, "AE"),
    ("plan cluster with its risk", Call::PlanStopCluster, ONE, NONE, "AMVCFE"),
    ("start zone", Call::StartZone, ONE, NONE, "AMUCFE"),
    ("restart zone with risks", Call::RestartZone, ONE, SOME, "AFE"),
    ("plan zone with risks", Call::PlanStopZone, ONE, NONE, "AMVCFE"),
    ("plan with risks", Call::PlanStopServer, ONE, NONE, "AMVCFE"),
    ("server", Call::GetServer, ONE, NONE, "AMVCFE"),
    ("servers", Call::ListServers, ONE, NONE, "AMVCFE"),
    ("task", Call::GetTask, TASK, NONE, "AMVTWCFER"),
    ("tasks", Call::ListTasks, Subject::Nothing, NONE, EVERYBODY),
    ("tasks by page", Call::ListTasks, Subject::Nothing, NONE, EVERYBODY),
    ("watch task", Call::WatchTask, TASK, NONE, "AMVTWCFER"),
    ("follow log", Call::GetSubtaskLog, TASK, NONE, "AMVTWCFER"),
    ("watch tasks", Call::WatchTasks, Subject::Nothing, NONE, EVERYBODY),
    ("watch tasks of the cluster", Call::WatchTasks, ONE, NONE, "AMVTWCFE"),
    ("log", Call::GetSubtaskLog, TASK, NONE, "AMVTWCFER"),
    ("retry", Call::RetryTask, TASK, NONE, "AMTUCFE"),
    ("retry with risks", Call::RetryTask, RISKY_TASK, SOME, "AFE"),
    ("rollback", Call::RollbackTask, TASK, NONE, "AMTUCFE"),
    ("rollback with risks", Call::RollbackTask, RISKY_TASK, NONE, "AMTUCFE"),
    ("skip", Call::SkipSubtask, TASK, NONE, "AMTUCFE"),
    ("skip with risks", Call::SkipSubtask, RISKY_TASK, SOME, "AFE"),
    ("retry subtask", Call::RetryTask, TASK, NONE, "AMTUCFE"),
    ("retry subtask with risks", Call::RetryTask, RISKY_TASK, SOME, "AFE"),
    ("start rollout", Call::StartRollout, ONE, NONE, "AMUCFE"),
    ("start rollout with risks", Call::StartRollout, ONE, SOME, "AFE"),
    ("plan rollout with risks", Call::PlanRollout, ONE, NONE, "AMVCFE"),
    ("pause", Call::PauseRollout, TASK, NONE, "AMTUCFE"),
    ("resume", Call::ResumeRollout, TASK, NONE, "AMTUCFE"),
    ("resume with risks", Call::ResumeRollout, RISKY_TASK, SOME, "AFE"),
    ("complete hold with risks", Call::CompleteHold, RISKY_TASK, NONE, "AMTUCFE"),
    ("cancel subtask", Call::CancelTask, TASK, NONE, "AMTUCFE"),
    ("cancel", Call::CancelTask, TASK, NONE, "AMTUCFE"),
    ("cancel with risks", Call::CancelTask, RISKY_TASK, NONE, "AMTUCFE"),
    ("give up", Call::GiveUpTask, TASK, NONE, "AMTUCFE"),
    ("give up with risks", Call::GiveUpTask, RISKY_TASK, NONE, "AMTUCFE"),
    ("approve", Call::ApproveTask, TASK, NONE, "AMTUCFE"),
    ("approve with risks", Call::ApproveTask, RISKY_TASK, SOME, "AFE"),
    ("withdraw approval with risks", Call::WithdrawApproval, RISKY_TASK, NONE, "AMTUCFE"),
    ("plan task with risks", Call::PlanTask, RISKY_TASK, NONE, "AMVTWCFE"),
    ("freeze changes", Call::FreezeChanges, ONE, NONE, "AMUCFE"),
    ("freeze all changes", Call::FreezeChanges, Subject::Nothing, NONE, "AM"),
    ("thaw changes", Call::ThawChanges, ONE, NONE, "AMUCFE"),
    ("thaw all changes", Call::ThawChanges, Subject::Nothing, NONE, "AM"),
    ("change freezes", Call::ListChangeFreezes, Subject::Nothing, NONE, EVERYBODY),
    ("register", Call::RegisterCluster, Subject::Nothing, NONE, "AM"),
    ("update cluster", Call::UpdateCluster, ONE, NONE, "AMUCFE"),
    ("sync", Call::SyncCluster, ONE, NONE, "AMUCFE"),
    ("cluster", Call::GetCluster, ONE, NONE, "AMVCFE"),
    ("cluster by name", Call::GetCluster, ONE, NONE, "AMVCFE"),
    ("clusters", Call::ListClusters, Subject::Nothing, NONE, EVERYBODY),
    ("clusters by page", Call::ListClusters, Subject::Nothing, NONE, EVERYBODY),
    ("create user", Call::CreateUser, Subject::Nothing, NONE, "AS"),
    ("update user", Call::UpdateUser, OTHER, NONE, "AS"),
    ("update oneself", Call::UpdateUser, SELF, NONE, "AS"),
    ("set password", Call::SetPassword, OTHER, NONE, "AS"),
    ("set own password", Call::SetPassword, SELF, NONE, EVERYBODY),
    ("end sessions", Call::EndSessions, OTHER, NONE, "AS"),
    ("end own sessions", Call::EndSessions, SELF, NONE, EVERYBODY),
    ("users", Call::ListUsers, Subject::Nothing, NONE, "AMS"),
    ("create key", Call::CreateAccessKey, OTHER, NONE, "AS"),
    ("create own key", Call::CreateAccessKey, SELF, NONE, EVERYBODY),
    ("update key", Call::UpdateAccessKey, OTHER, NONE, "AS"),
    ("update own key", Call::UpdateAccessKey, SELF, NONE, EVERYBODY),
    ("rotate key", Call::RotateAccessKey, OTHER, NONE, "AS"),
    ("rotate own key", Call::RotateAccessKey, SELF, NONE, EVERYBODY),
    ("keys", Call::ListAccessKeys, Subject::Nothing, NONE, EVERYBODY),
    ("create role", Call::CreateRole, Subject::Nothing, NONE, "AS"),
    ("delete role", Call::DeleteRole, Subject::Nothing, NONE, "AS"),
    ("roles", Call::ListRoles, Subject::Nothing, NONE, "AMS"),
    ("audit", Call::ListAuditRecords, Subject::Nothing, NONE, "AL"),
    ("backup", Call::BackupStore, Subject::Nothing, NONE, "A"),
    ("replicas", Call::ListReplicas, Subject::Nothing, NONE, "A"),
    ("notification targets", Call::ListNotificationTargets, Subject::Nothing, NONE, "A"),
    ("deregister", Call::DeregisterCluster, ONE, NONE, "AMCFE"),
];

const EVERYBODY: &str = "AMVTWNUCFOESLR";
const NONE: &[Risk] = &[];
const SOME: &[Risk] = &[Risk::QuorumLoss];
const LOSS: &[Risk] = &[Risk::ServiceLoss];
const ONE: Subject = Subject::Cluster(1);
const TASK: Subject = Subject::Task { task: 1, cluster: Some(1) };
const RISKY_TASK: Subject = Subject::Task { task: 2, cluster: Some(1) };
const SELF: Subject = Subject::User { user: Some(1001), own: true };
const OTHER: Subject = Subject::User { user: Some(1002), own: false };

pub fn stop(risks: &[Risk]) -> StopServer {
    StopServer {
        cluster: cluster_id(1),
        server: ServerId::new(7).unwrap(),
        force: false,
        accepted_risks: risks.to_vec(),
        stop_type: StopType::Process,
        freeze_before_stop: false,
        hold_until: None,
        drain: std::time::Duration::ZERO,
        request_id: None,
        repeat_by_arguments: false,
        expected_server: None,
        expire_time: None,
        begin: BeginRequest::default(),
    }
}

fn on_server() -> OnServer {
    let StopServer { cluster, server, .. } = stop(&[]);
    OnServer {
        cluster,
        server,
        request_id: None,
        repeat_by_arguments: false,
        expected_server: None,
        begin: BeginRequest::default(),
    }
}

fn on_zone(risks: &[Risk]) -> OnZone {
    OnZone {
        cluster: cluster_id(1),
        zone: "zone1".parse().unwrap(),
        request_id: None,
        repeat_by_arguments: false,
        force: false,
        accepted_risks: risks.to_vec(),
        freeze_before_stop: false,
        drain: std::time::Duration::ZERO,
        expire_time: None,
        begin: BeginRequest::default(),
    }
}

fn start_rollout(risks: &[Risk]) -> StartRollout {
    StartRollout {
        of: RolloutOf {
            cluster: cluster_id(1),
            scope: RolloutScope::All,
            action: RolloutAction::Restart,
            max_parallel: 1,
            force: false,
            accepted_risks: risks.to_vec(),
        },
        min_healthy: Duration::ZERO,
        stop_after: 1,
        pause_after: None,
        freeze_before_stop: false,
        drain: Duration::ZERO,
        hold: None,
        deadline: None,
        request_id: None,
        begin: BeginRequest::default(),
    }
}

fn on_cluster(risks: &[Risk]) -> OnCluster {
    OnCluster {
        cluster: cluster_id(1),
        expected_name: None,
        request_id: None,
        repeat_by_arguments: false,
        force: false,
        accepted_risks: risks.to_vec(),
        expire_time: None,
        begin: BeginRequest::default(),
    }
}

fn restart(risks: &[Risk]) -> RestartServer {
    RestartServer(stop(risks))
}

fn skip(task: i64) -> SkipSubtask {
    let task = task_id(task);
    SkipSubtask { task, subtask: subtask_id(task, 2), if_revision: None }
}

pub fn retry(task: i64) -> RetryTask {
    RetryTask { task: task_id(task), if_revision: None, expire_time: None }
}

fn rollback(task: i64) -> RollbackTask {
    RollbackTask { task: task_id(task), if_revision: None, expire_time: None }
}

pub fn cancel(task: i64) -> CancelTask {
    CancelTask { task: task_id(task), if_revision: None }
}

/// Where nobody is.
pub fn register(password: SecretString) -> RegisterCluster {
    RegisterCluster {
        endpoints: vec!["127.0.0.1:1".to_owned()],
        username: "root@sys".to_owned(),
        password,
        expected_name: None,
        cluster: None,
        server_ids: Vec::new(),
        hosts: Vec::new(),
        default_host: DefaultHost::None,
    }
}

pub fn give_up(task: i64) -> GiveUpTask {
    GiveUpTask { task: task_id(task), if_revision: None }
}

fn approve(task: i64) -> ApproveTask {
    ApproveTask { task: task_id(task), plan: PlanDigest::new("anything"), if_revision: None }
}

fn watch_task() -> WatchTask {
    WatchTask { task: task_id(1), after: None, until: Until::AtRest, progress: false }
}

fn follow_log() -> ReadLog {
    ReadLog { task: task_id(1), subtask: None, from_line: 0, follow: true }
}

fn watch_tasks(cluster: Option<ClusterId>) -> WatchTasks {
    WatchTasks { cluster, after: None, progress: false }
}

fn update(name: &str) -> UpdateUser {
    UpdateUser { name: Principal::new(name), roles: None, certificate_names: None, disabled: Some(false) }
}

/// Every task, on one page.
fn list() -> ListTasks {
    ListTasks { cluster: None, server: None, states: Vec::new(), creator: None, below: None, limit: 100 }
}

fn page<Order: Default>() -> Page<Order> {
    Page { order: Order::default(), descending: false, offset: 0, limit: 100 }
}

/// Keys: `k…` of a user, made beforehand by himself.
async fn key_of(fixture: &Fixture, name: &str) -> AccessKeyId {
    let known =
        fixture.guarded.call(&fixture.caller(name), ListAccessKeys { user: Some(Principal::new(name)) }).await.unwrap();
    match known.first() {
        Some(view) => view.row.id.clone(),
        None => fixture.guarded.call(&fixture.caller(name), CreateAccessKey { user: None }).await.unwrap().row.id,
    }
}

/// Asks one row of the table.
async fn ask(fixture: &Fixture, caller: &Caller, what: &str) -> Result<(), Refusal> {
    let (to, one, me) = (&fixture.guarded, cluster_id(1), caller.principal.clone());
    let (server, other) = (ServerId::new(7).unwrap(), Principal::new("other"));
    let password = || SecretString::from("geheim99");
    match what {
        "stop" => to.call(caller, stop(&[])).await.map(drop),
        "stop with risks" => to.call(caller, stop(&[Risk::QuorumLoss])).await.map(drop),
        "start" => to.call(caller, StartServer(on_server())).await.map(drop),
        "freeze" => to.call(caller, FreezeServer(on_server())).await.map(drop),
        "restart" => to.call(caller, restart(&[])).await.map(drop),
        "restart with risks" => to.call(caller, restart(&[Risk::QuorumLoss])).await.map(drop),
        "stop zone" => to.call(caller, StopZone(on_zone(&[]))).await.map(drop),
        "stop zone with risks" => to.call(caller, StopZone(on_zone(&[Risk::QuorumLoss]))).await.map(drop),
        "start zone" => to.call(caller, StartZone(on_zone(&[]))).await.map(drop),
        "restart zone with risks" => to.call(caller, RestartZone(on_zone(&[Risk::QuorumLoss]))).await.map(drop),
        "stop cluster" => to.call(caller, StopCluster(on_cluster(NONE))).await.map(drop),
        "stop cluster with its risk" => to.call(caller, StopCluster(on_cluster(LOSS))).await.map(drop),
        "start cluster" => to.call(caller, StartCluster(on_cluster(NONE))).await.map(drop),
        "restart cluster with its risk" => to.call(caller, RestartCluster(on_cluster(LOSS))).await.map(drop),
        "plan cluster with its risk" => {
            let asked = PlanStopCluster { cluster: one, force: false, accepted_risks: LOSS.to_vec() };
            to.call(caller, asked).await.map(drop)
        }
        "plan zone with risks" => {
            let OnZone { cluster, zone, force, accepted_risks, freeze_before_stop, .. } = on_zone(&[Risk::QuorumLoss]);
            let asked = PlanStopZone { cluster, zone, force, accepted_risks, freeze_before_stop };
            to.call(caller, asked).await.map(drop)
        }
        "plan with risks" => {
            let StopServer { cluster, server, force, stop_type, .. } = stop(&[]);
            let accepted_risks = vec![Risk::QuorumLoss];
            let freeze_before_stop = false;
            let asked = PlanStopServer { cluster, server, force, accepted_risks, stop_type, freeze_before_stop };
            to.call(caller, asked).await.map(drop)
        }
        "server" => to.call(caller, GetServer { cluster: one, server }).await.map(drop),
        "servers" => to.call(caller, ListServers { cluster: one, zone: None, above: None, limit: 9 }).await.map(drop),
        "task" => to.call(caller, GetTask(task_id(1))).await.map(drop),
        "tasks" => to.call(caller, list()).await.map(drop),
        "tasks by page" => {
            to.call(caller, TasksPage { selection: TaskSelection::default(), page: page() }).await.map(drop)
        }
        "watch task" => to.call(caller, watch_task()).await.map(drop),
        "follow log" => to.call(caller, follow_log()).await.map(drop),
        "watch tasks" => to.call(caller, watch_tasks(None)).await.map(drop),
        "watch tasks of the cluster" => to.call(caller, watch_tasks(Some(one))).await.map(drop),
        "log" => to.call(caller, SubtaskLog { task: task_id(1), subtask: subtask_id(task_id(1), 1) }).await.map(drop),
        "retry" => to.call(caller, retry(1)).await.map(drop),
        "retry with risks" => to.call(caller, retry(2)).await.map(drop),
        "rollback" => to.call(caller, rollback(1)).await.map(drop),
        "rollback with risks" => to.call(caller, rollback(2)).await.map(drop),
        "skip" => to.call(caller, skip(1)).await.map(drop),
        "skip with risks" => to.call(caller, skip(2)).await.map(drop),
        "retry subtask" => {
            to.call(caller, RetrySubtask { task: task_id(1), subtask: subtask_id(task_id(1), 2) }).await.map(drop)
        }
        "retry subtask with risks" => {
            let (task, subtask) = (task_id(2), subtask_id(task_id(2), 2));
            to.call(caller, RetrySubtask { task, subtask }).await.map(drop)
        }
        "cancel subtask" => {
            to.call(caller, CancelSubtask { task: task_id(1), subtask: subtask_id(task_id(1), 2) }).await.map(drop)
        }
        "start rollout" => to.call(caller, start_rollout(&[])).await.map(drop),
        "start rollout with risks" => to.call(caller, start_rollout(&[Risk::QuorumLoss])).await.map(drop),
        "plan rollout with risks" => {
            to.call(caller, PlanRollout(start_rollout(&[Risk::QuorumLoss]).of)).await.map(drop)
        }
        "pause" => to.call(caller, PauseRollout { task: task_id(1), if_revision: None }).await.map(drop),
        "resume" => to.call(caller, ResumeRollout { task: task_id(1), if_revision: None }).await.map(drop),
        "resume with risks" => to.call(caller, ResumeRollout { task: task_id(2), if_revision: None }).await.map(drop),
        "complete hold with risks" => {
            to.call(caller, CompleteHold { task: task_id(2), if_revision: None }).await.map(drop)
        }
        "cancel" => to.call(caller, cancel(1)).await.map(drop),
        "cancel with risks" => to.call(caller, cancel(2)).await.map(drop),
        "give up" => to.call(caller, give_up(1)).await.map(drop),
        "give up with risks" => to.call(caller, give_up(2)).await.map(drop),
        "approve" => to.call(caller, approve(1)).await.map(drop),
        "approve with risks" => to.call(caller, approve(2)).await.map(drop),
        "withdraw approval with risks" => {
            to.call(caller, WithdrawApproval { task: task_id(2), if_revision: None }).await.map(drop)
        }
        "plan task with risks" => to.call(caller, PlanTask(task_id(2))).await.map(drop),
        "freeze changes" => to.call(caller, FreezeChanges(Some(one))).await.map(drop),
        "freeze all changes" => to.call(caller, FreezeChanges(None)).await.map(drop),
        "thaw changes" => to.call(caller, ThawChanges(Some(one))).await,
        "thaw all changes" => to.call(caller, ThawChanges(None)).await,
        "change freezes" => to.call(caller, ListChangeFreezes).await.map(drop),
        "register" => to.call(caller, register(password())).await.map(drop),
        "update cluster" => {
            let (endpoints, username, hosts) = (None, None, Some(Vec::new()));
            let asked = UpdateCluster { cluster: one, endpoints, username, password: None, hosts, default_host: None };
            to.call(caller, asked).await.map(drop)
        }
        "sync" => to.call(caller, SyncCluster(one)).await.map(drop),
        "cluster" => to.call(caller, GetCluster::Id(one)).await.map(drop),
        "cluster by name" => to.call(caller, GetCluster::Name("ob1".to_owned())).await.map(drop),
        "clusters" => to.call(caller, ListClusters { name: None, above: None, limit: 9 }).await.map(drop),
        "clusters by page" => {
            to.call(caller, ClustersPage { selection: ClusterSelection::default(), page: page() }).await.map(drop)
        }
        "create user" => {
            let asked = CreateUser {
                name: Principal::new("new"),
                password: Some(password()),
                roles: Vec::new(),
                certificate_names: Vec::new(),
            };
            to.call(caller, asked).await.map(drop)
        }
        "update user" => to.call(caller, update("other")).await.map(drop),
        "update oneself" => to.call(caller, update(me.as_str())).await.map(drop),
        "set password" => to.call(caller, SetPassword { name: other, password: password() }).await,
        "end sessions" => to.call(caller, EndSessions { name: other, ended: Ended::All }).await,
        "end own sessions" => to.call(caller, EndSessions { name: me, ended: Ended::All }).await,
        "set own password" => to.call(caller, SetPassword { name: me, password: password() }).await,
        "users" => to.call(caller, ListUsers).await.map(drop),
        "create key" => to.call(caller, CreateAccessKey { user: Some(other) }).await.map(drop),
        "create own key" => to.call(caller, CreateAccessKey { user: None }).await.map(drop),
        "update key" => {
            to.call(caller, UpdateAccessKey { id: key_of(fixture, "other").await, disabled: true }).await.map(drop)
        }
        "update own key" => {
            to.call(caller, UpdateAccessKey { id: key_of(fixture, me.as_str()).await, disabled: true }).await.map(drop)
        }
        "rotate key" => to.call(caller, RotateAccessKey(key_of(fixture, "other").await)).await.map(drop),
        "rotate own key" => to.call(caller, RotateAccessKey(key_of(fixture, me.as_str()).await)).await.map(drop),
        "keys" => to.call(caller, ListAccessKeys { user: None }).await.map(drop),
        "create role" => {
            let permissions = vec!["USER:*:READ".parse().unwrap()];
            to.call(caller, CreateRole { name: "NEW".parse().unwrap(), permissions }).await.map(drop)
        }
        "delete role" => to.call(caller, DeleteRole("NEW".parse().unwrap())).await,
        "roles" => to.call(caller, ListRoles).await.map(drop),
        "backup" => to.call(caller, BackupStore).await.map(drop),
        "replicas" => to.call(caller, ListReplicas).await.map(drop),
        "notification targets" => to.call(caller, ListNotificationTargets).await.map(drop),
        "audit" => {
            to.call(caller, ListAuditRecords { filter: AuditFilter::default(), below: None, limit: 9 }).await.map(drop)
        }
        "deregister" => to.call(caller, DeregisterCluster(one)).await,
        other => panic!("{other}"),
    }
}

fn denied(answer: &Result<(), Refusal>) -> bool {
    matches!(answer, Err(Refusal::PermissionDenied { .. }))
}

#[tokio::test]
async fn each_call_is_allowed_or_refused_as_the_table_says() {
    let mut wrong = Vec::new();
    for (column, permissions) in COLUMNS {
        let fixture = Fixture::new(&[("me", permissions), ("other", &[])]).await;
        let caller = fixture.caller("me");
        for (what, call, subject, risks, allowed) in TABLE {
            let expected = allowed.contains(*column);
            let answer = ask(&fixture, &caller, what).await;
            if denied(&answer) == expected {
                wrong.push(format!("{what} with {permissions:?}: {answer:?}"));
            }
            if permits(&caller.rights, *call, *subject, risks).is_ok() != expected {
                wrong.push(format!("the table of calls says otherwise of {what} with {permissions:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let asked: Vec<Call> = TABLE.iter().map(|(_, call, ..)| *call).collect();
    let missing: Vec<&Call> = Call::ALL.iter().filter(|call| !asked.contains(call)).collect();
    assert!(missing.is_empty(), "calls that no row asks: {missing:?}");
}

#[tokio::test]
async fn a_role_of_the_table_is_what_is_always_there() {
    for (column, name) in
        [('A', "ADMIN"), ('M', "CLUSTER_MANAGER"), ('V', "CLUSTER_VIEWER"), ('T', "TASK_MANAGER"), ('W', "TASK_VIEWER")]
    {
        let (_, permissions) = COLUMNS.iter().find(|(letter, _)| *letter == column).unwrap();
        let always = obsteward::domain::permission::builtin(name).unwrap();
        let texts: Vec<String> = always.iter().map(ToString::to_string).collect();
        assert_eq!(texts, *permissions, "{name}");
    }
}

#[tokio::test]
async fn without_authentication_everybody_may_do_everything() {
    let fixture = Fixture::new(&[("other", &[])]).await;
    let own = [
        "update oneself",
        "set own password",
        "end own sessions",
        "create own key",
        "update own key",
        "rotate own key",
    ];
    for (what, ..) in TABLE.iter().filter(|(what, ..)| !own.contains(what)) {
        let answer = ask(&fixture, &Fixture::anonymous(), what).await;
        assert!(!denied(&answer), "{what}: {answer:?}");
    }
}

/// All that a caller is shown of a refusal. (The order of the metadata is by chance.)
fn shown(refusal: &Refusal) -> (tonic::Code, String, String) {
    let status = to_status(refusal);
    let metadata = status.get_details_error_info().unwrap().metadata;
    let mut metadata: Vec<_> = metadata.into_iter().collect();
    metadata.sort_unstable();
    assert_eq!(status.code(), tonic::Code::PermissionDenied, "{refusal:?}");
    assert_eq!(status.get_error_details_vec().len(), 1, "{refusal:?}");
    (status.code(), status.message().to_owned(), format!("{metadata:?}"))
}

/// What is there in one service and missing in another is refused the same way to who may not read it.
#[tokio::test]
async fn what_is_missing_and_what_is_forbidden_cannot_be_told_apart() {
    let mut compared = 0;
    for (column, permissions) in COLUMNS {
        let there = Fixture::new(&[("me", permissions), ("other", &[])]).await;
        let gone = Fixture::empty(&[("me", permissions)], 0).await;
        let key = key_of(&there, "other").await;
        for (what, .., allowed) in TABLE.iter().filter(|(.., allowed)| !allowed.contains(*column)) {
            let forbidden = ask(&there, &there.caller("me"), what).await.unwrap_err();
            let missing = match *what {
                "update key" => gone
                    .guarded
                    .call(&gone.caller("me"), UpdateAccessKey { id: key.clone(), disabled: true })
                    .await
                    .map(drop),
                "rotate key" => gone.guarded.call(&gone.caller("me"), RotateAccessKey(key.clone())).await.map(drop),
                // Whether risks were accepted is known of a task that exists: TASK:*:* may change it, and only then hears
                // that risks need more.
                "retry with risks"
                | "retry subtask with risks"
                | "skip with risks"
                | "resume with risks"
                | "approve with risks"
                    if "MTUC".contains(*column) =>
                {
                    continue;
                }
                _ => ask(&gone, &gone.caller("me"), what).await,
            };
            let answers = (shown(&forbidden), shown(&missing.unwrap_err()));
            assert_eq!(answers.0, answers.1, "{what} with {permissions:?}, allowed: {allowed}");
            compared += 1;
        }
        let absent =
            there.guarded.call(&there.caller("me"), ListAccessKeys { user: Some(Principal::new("nobody")) }).await;
        let other =
            there.guarded.call(&there.caller("me"), ListAccessKeys { user: Some(Principal::new("other")) }).await;
        match other {
            Ok(_) => assert!("AMS".contains(*column), "{column}"),
            Err(refused) => assert_eq!(shown(&refused), shown(&absent.unwrap_err()), "{column}"),
        }
    }
    assert!(compared > 200, "{compared}");
}

#[tokio::test]
async fn who_may_read_is_told_that_it_is_missing() {
    let fixture = Fixture::empty(&[("me", &["CLUSTER:*:*", "TASK:*:*", "USER:*:*"])], 0).await;
    let caller = fixture.caller("me");
    for (what, reason) in [
        ("stop", "CLUSTER_NOT_FOUND"),
        ("cluster by name", "CLUSTER_NOT_FOUND"),
        ("task", "TASK_NOT_FOUND"),
        ("retry", "TASK_NOT_FOUND"),
        ("set password", "USER_NOT_FOUND"),
    ] {
        assert_eq!(ask(&fixture, &caller, what).await.unwrap_err().reason(), reason, "{what}");
    }
    let key: AccessKeyId = "NoSuchKey99".parse().unwrap();
    let refused = fixture.guarded.call(&caller, RotateAccessKey(key)).await.unwrap_err();
    assert_eq!(refused.reason(), "ACCESS_KEY_NOT_FOUND");
}

#[tokio::test]
async fn a_log_is_of_a_subtask_of_the_task() {
    let fixture = Fixture::new(&[("me", &["TASK:1:READ"])]).await;
    let (caller, to) = (fixture.caller("me"), &fixture.guarded);
    assert!(
        to.call(&caller, SubtaskLog { task: task_id(1), subtask: subtask_id(task_id(1), 2) }).await.unwrap().is_empty()
    );
    match to.call(&caller, SubtaskLog { task: task_id(1), subtask: subtask_id(task_id(3), 2) }).await {
        Err(Refusal::SubtaskNotFound { task, .. }) => assert_eq!(task, task_id(1)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn lists_show_what_the_caller_may_read() {
    let some: &[(&str, &[i64], &[i64])] = &[
        ("CLUSTER:1:READ", &[1, 2], &[1]),
        ("CLUSTER:2:*", &[3], &[2]),
        ("TASK:2:READ", &[2], &[]),
        ("TASK:*:READ", &[1, 2, 3], &[]),
        ("CLUSTER:*:READ", &[1, 2, 3], &[1, 2, 3]),
        ("CLUSTER:1:UPDATE", &[], &[]),
    ];
    for (permission, tasks, clusters) in some {
        let fixture = Fixture::new(&[("me", &[*permission])]).await;
        let (caller, to) = (fixture.caller("me"), &fixture.guarded);
        let ids = |tasks: Vec<obsteward::store::StoredTask>| {
            let mut ids: Vec<i64> = tasks.iter().map(|stored| stored.task.spec.id.get()).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(ids(to.call(&caller, list()).await.unwrap()), *tasks, "{permission}");
        let all = to
            .call(&caller, TasksPage { selection: TaskSelection::default(), page: page::<TaskOrder>() })
            .await
            .unwrap();
        assert_eq!((all.total, ids(all.items)), (tasks.len() as u64, tasks.to_vec()), "{permission}");
        let of_two = to.call(&caller, ListTasks { cluster: Some(cluster_id(2)), ..list() }).await.unwrap();
        assert_eq!(ids(of_two), if tasks.contains(&3) { vec![3] } else { vec![] }, "{permission}");
        let shown = to.call(&caller, ListClusters { name: None, above: None, limit: 9 }).await.unwrap();
        assert_eq!(shown.iter().map(|view| view.row.id.get()).collect::<Vec<_>>(), *clusters, "{permission}");
        let paged = to
            .call(&caller, ClustersPage { selection: ClusterSelection::default(), page: page::<ClusterOrder>() })
            .await
            .unwrap();
        assert_eq!((paged.total, paged.items.len()), (clusters.len() as u64, clusters.len()), "{permission}");
    }
}

#[tokio::test]
async fn a_page_of_clusters_is_of_the_statuses_asked_for() {
    let fixture = Fixture::new(&[("me", &["CLUSTER:*:READ"])]).await;
    let (caller, to) = (fixture.caller("me"), &fixture.guarded);
    let every = to
        .call(&caller, ClustersPage { selection: ClusterSelection::default(), page: page::<ClusterOrder>() })
        .await
        .unwrap()
        .items;
    let (running, stopped) = (every[0].status, every[2].status);
    assert_eq!((running, stopped == running), (ClusterStatus::Running, false), "cluster 3 has no server that serves");
    let asked = |status, offset| {
        let page = Page::<ClusterOrder> { offset, limit: 1, ..page() };
        to.call(&caller, ClustersPage { selection: ClusterSelection { name_part: None, statuses: vec![status] }, page })
    };
    let second = asked(running, 1).await.unwrap();
    assert_eq!((second.total, second.items[0].row.id.get()), (2, 2));
    let only = asked(stopped, 0).await.unwrap();
    assert_eq!((only.total, only.items[0].row.id.get()), (1, 3));
    assert!(asked(running, 2).await.unwrap().items.is_empty());
}
