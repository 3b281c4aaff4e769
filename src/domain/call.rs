//! The one table of calls: what each is named in the audit log, whether it changes anything, and what it needs. Both faces go
//! through it. Pure.

use crate::domain::permission::{Action, Domain, RequiredPermission, Rights};
use crate::domain::status::Risk;
use crate::domain::words::words;

words!(
    /// A call, through whichever face. The words are OCP's names of operations where OCP has one.
    Call, "call", {
        StopServer = "STOP_OB_SERVER",
        StartServer = "START_OB_SERVER",
        RestartServer = "RESTART_OB_SERVER",
        FreezeServer = "FREEZE_OB_SERVER",
        /// Every server of a zone.
        StopZone = "STOP_OB_ZONE",
        StartZone = "START_OB_ZONE",
        RestartZone = "RESTART_OB_ZONE",
        /// The precheck of its stop.
        PlanStopZone = "PLAN_STOP_OB_ZONE",
        /// Servers of a cluster, one batch after the other.
        StartRollout = "START_ROLLOUT",
        PlanRollout = "PLAN_ROLLOUT",
        PauseRollout = "PAUSE_ROLLOUT",
        ResumeRollout = "RESUME_ROLLOUT",
        /// Every server of a cluster.
        StopCluster = "STOP_OB_CLUSTER",
        StartCluster = "START_OB_CLUSTER",
        RestartCluster = "RESTART_OB_CLUSTER",
        /// What its stop would meet.
        PlanStopCluster = "PLAN_STOP_OB_CLUSTER",
        /// The precheck of a stop.
        PlanStopServer = "PLAN_STOP_OB_SERVER",
        GetServer = "GET_OB_SERVER",
        ListServers = "LIST_OB_SERVERS",
        GetTask = "GET_TASK",
        ListTasks = "LIST_TASKS",
        WatchTask = "WATCH_TASK",
        WatchTasks = "WATCH_TASKS",
        GetSubtaskLog = "GET_SUBTASK_LOG",
        RetryTask = "RETRY_TASK",
        /// Undoes what the task did.
        RollbackTask = "ROLLBACK_TASK",
        /// Marks a failed subtask as successful.
        SkipSubtask = "SKIP_SUBTASK",
        CancelTask = "CANCEL_TASK",
        /// Brings back what a task holds out of service.
        CompleteHold = "COMPLETE_HOLD",
        /// Agrees with a task that somebody else asked for.
        ApproveTask = "APPROVE_TASK",
        WithdrawApproval = "WITHDRAW_APPROVAL",
        /// What a task that has not begun would meet.
        PlanTask = "PLAN_TASK",
        /// Nothing begins on a cluster, or on any.
        FreezeChanges = "FREEZE_CHANGES",
        ThawChanges = "THAW_CHANGES",
        ListChangeFreezes = "LIST_CHANGE_FREEZES",
        /// Closes a task that is at rest, as it is.
        GiveUpTask = "GIVE_UP_TASK",
        RegisterCluster = "REGISTER_OB_CLUSTER",
        /// Changes what people decide about a cluster: endpoints, login, hosts.
        UpdateCluster = "UPDATE_OB_CLUSTER",
        /// Removes it from the inventory; its tasks stay.
        DeregisterCluster = "DEREGISTER_OB_CLUSTER",
        SyncCluster = "SYNC_OB_CLUSTER",
        GetCluster = "GET_OB_CLUSTER",
        ListClusters = "LIST_OB_CLUSTERS",
        CreateUser = "CREATE_USER",
        /// Changes a user's roles and certificate names, disables or enables it.
        UpdateUser = "UPDATE_USER",
        SetPassword = "SET_PASSWORD",
        /// Of the web console.
        EndSessions = "END_SESSIONS",
        ListUsers = "LIST_USERS",
        CreateAccessKey = "CREATE_ACCESS_KEY",
        UpdateAccessKey = "UPDATE_ACCESS_KEY",
        RotateAccessKey = "ROTATE_ACCESS_KEY",
        ListAccessKeys = "LIST_ACCESS_KEYS",
        CreateRole = "CREATE_ROLE",
        DeleteRole = "DELETE_ROLE",
        ListRoles = "LIST_ROLES",
        ListAuditRecords = "LIST_AUDIT_RECORDS",
        BackupStore = "BACKUP_STORE",
        ListReplicas = "LIST_REPLICAS",
        ListNotificationTargets = "LIST_NOTIFICATION_TARGETS",
    }
);

/// What a call needs, before its subject is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The action on the cluster of the call. Accepting risks also needs [`Action::Force`] on it, and accepting the loss of all
    /// service [`Action::ServiceLoss`] besides.
    Cluster(Action),
    /// Each action on all clusters.
    EveryCluster(&'static [Action]),
    /// The action on the task, or on its cluster. Continuing with accepted risks needs on the cluster what accepting them does.
    Task(Action),
    /// Nothing: it shows what the caller may read.
    Filtered,
    /// As [`Requirement::Filtered`]; when it is about one cluster, reading that cluster or all tasks.
    FilteredTasks,
    /// As [`Requirement::Filtered`]; when it is about one user, reading that user, unless that is the caller.
    FilteredUsers,
    /// The action on all users.
    EveryUser(Action),
    /// The action on the user of the call, unless that is the caller.
    OwnUser(Action),
    /// The action on the user of the call, also when that is the caller: nobody gives themselves a role.
    User(Action),
    Audit,
    /// Taking away a copy of the store, or seeing who else is over it and who is told of what is in it.
    Store,
}

impl Call {
    pub const fn requirement(self) -> Requirement {
        match self {
            Self::StopServer
            | Self::StartServer
            | Self::RestartServer
            | Self::FreezeServer
            | Self::StopZone
            | Self::StartZone
            | Self::RestartZone
            | Self::StartRollout
            | Self::StopCluster
            | Self::StartCluster
            | Self::RestartCluster
            | Self::UpdateCluster
            | Self::FreezeChanges
            | Self::ThawChanges
            | Self::SyncCluster => Requirement::Cluster(Action::Update),
            Self::PlanStopServer
            | Self::PlanStopZone
            | Self::PlanStopCluster
            | Self::PlanRollout
            | Self::GetServer
            | Self::ListServers
            | Self::GetCluster => Requirement::Cluster(Action::Read),
            // Its answer says whether a cluster is registered already.
            Self::RegisterCluster => Requirement::EveryCluster(&[Action::Create, Action::Read]),
            Self::DeregisterCluster => Requirement::Cluster(Action::Delete),
            Self::GetTask | Self::WatchTask | Self::GetSubtaskLog | Self::PlanTask => Requirement::Task(Action::Read),
            Self::RetryTask
            | Self::RollbackTask
            | Self::SkipSubtask
            | Self::CancelTask
            | Self::CompleteHold
            | Self::PauseRollout
            | Self::ResumeRollout
            | Self::ApproveTask
            | Self::WithdrawApproval
            | Self::GiveUpTask => Requirement::Task(Action::Update),
            Self::ListTasks | Self::ListClusters | Self::ListChangeFreezes => Requirement::Filtered,
            Self::ListAccessKeys => Requirement::FilteredUsers,
            Self::WatchTasks => Requirement::FilteredTasks,
            Self::CreateUser => Requirement::EveryUser(Action::Create),
            Self::UpdateUser => Requirement::User(Action::Update),
            Self::SetPassword
            | Self::EndSessions
            | Self::CreateAccessKey
            | Self::UpdateAccessKey
            | Self::RotateAccessKey => Requirement::OwnUser(Action::Update),
            Self::ListUsers | Self::ListRoles => Requirement::EveryUser(Action::Read),
            Self::CreateRole => Requirement::EveryUser(Action::Create),
            Self::DeleteRole => Requirement::EveryUser(Action::Delete),
            Self::ListAuditRecords => Requirement::Audit,
            Self::BackupStore | Self::ListReplicas | Self::ListNotificationTargets => Requirement::Store,
        }
    }

    /// Whether its answer is a task that it begins.
    pub const fn begins_a_task(self) -> bool {
        match self {
            Self::StopServer
            | Self::StartServer
            | Self::RestartServer
            | Self::FreezeServer
            | Self::StopZone
            | Self::StartZone
            | Self::RestartZone
            | Self::StartRollout
            | Self::StopCluster
            | Self::StartCluster
            | Self::RestartCluster => true,
            Self::PauseRollout
            | Self::ResumeRollout
            | Self::CompleteHold
            | Self::RetryTask
            | Self::RollbackTask
            | Self::SkipSubtask
            | Self::CancelTask
            | Self::GiveUpTask
            | Self::ApproveTask
            | Self::WithdrawApproval
            | Self::PlanTask
            | Self::FreezeChanges
            | Self::ThawChanges
            | Self::ListChangeFreezes
            | Self::RegisterCluster
            | Self::UpdateCluster
            | Self::DeregisterCluster
            | Self::SyncCluster
            | Self::CreateUser
            | Self::UpdateUser
            | Self::SetPassword
            | Self::EndSessions
            | Self::CreateAccessKey
            | Self::UpdateAccessKey
            | Self::RotateAccessKey
            | Self::CreateRole
            | Self::DeleteRole
            | Self::BackupStore
            | Self::PlanStopServer
            | Self::PlanStopZone
            | Self::PlanRollout
            | Self::PlanStopCluster
            | Self::GetServer
            | Self::ListServers
            | Self::GetTask
            | Self::ListTasks
            | Self::WatchTask
            | Self::WatchTasks
            | Self::GetSubtaskLog
            | Self::GetCluster
            | Self::ListClusters
            | Self::ListUsers
            | Self::ListAccessKeys
            | Self::ListRoles
            | Self::ListReplicas
            | Self::ListNotificationTargets
            | Self::ListAuditRecords => false,
        }
    }

    /// Whether it changes anything, and is therefore in the audit log, allowed or refused. Syncing a cluster changes the
    /// inventory: servers get ids, and removed servers lose theirs.
    pub const fn is_mutation(self) -> bool {
        match self {
            Self::StopServer
            | Self::StartServer
            | Self::RestartServer
            | Self::FreezeServer
            | Self::StopZone
            | Self::StartZone
            | Self::RestartZone
            | Self::StartRollout
            | Self::PauseRollout
            | Self::ResumeRollout
            | Self::CompleteHold
            | Self::ApproveTask
            | Self::WithdrawApproval
            | Self::FreezeChanges
            | Self::ThawChanges
            | Self::StopCluster
            | Self::StartCluster
            | Self::RestartCluster
            | Self::RetryTask
            | Self::RollbackTask
            | Self::SkipSubtask
            | Self::CancelTask
            | Self::GiveUpTask
            | Self::RegisterCluster
            | Self::UpdateCluster
            | Self::DeregisterCluster
            | Self::SyncCluster
            | Self::CreateUser
            | Self::UpdateUser
            | Self::SetPassword
            | Self::EndSessions
            | Self::CreateAccessKey
            | Self::UpdateAccessKey
            | Self::RotateAccessKey
            | Self::CreateRole
            | Self::DeleteRole
            // It changes nothing, but the copy holds everything: who took it is on record.
            | Self::BackupStore => true,
            Self::PlanStopServer
            | Self::PlanStopZone
            | Self::PlanRollout
            | Self::PlanStopCluster
            | Self::GetServer
            | Self::ListServers
            | Self::GetTask
            | Self::ListTasks
            | Self::WatchTask
            | Self::WatchTasks
            | Self::GetSubtaskLog
            | Self::PlanTask
            | Self::ListChangeFreezes
            | Self::GetCluster
            | Self::ListClusters
            | Self::ListUsers
            | Self::ListAccessKeys
            | Self::ListRoles
            | Self::ListReplicas
            | Self::ListNotificationTargets
            | Self::ListAuditRecords => false,
        }
    }
}

/// What a call is about, as far as permissions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Nothing, or everything.
    Nothing,
    /// By our id; the cluster need not exist.
    Cluster(i64),
    /// A task with its cluster.
    Task {
        task: i64,
        /// `None`: the task does not exist.
        cluster: Option<i64>,
    },
    /// A user. Calls name users, so what is missing never mentions an id: the answer is the same for a user that does not
    /// exist.
    User {
        /// `None`: the user does not exist.
        user: Option<i64>,
        /// Whether the user is the caller.
        own: bool,
    },
}

/// Whether rights are enough for a call on a subject; if not, what is missing. `risks`: those that the call accepts, or with which
/// it continues.
pub fn permits(rights: &Rights, call: Call, subject: Subject, risks: &[Risk]) -> Result<(), RequiredPermission> {
    let must = |need: RequiredPermission| if rights.allow(need) { Ok(()) } else { Err(need) };
    let force = |cluster: i64| {
        let on_cluster = |action| must(RequiredPermission::one(Domain::Cluster, cluster, action));
        if !risks.is_empty() {
            on_cluster(Action::Force)?;
        }
        if risks.contains(&Risk::ServiceLoss) { on_cluster(Action::ServiceLoss) } else { Ok(()) }
    };
    // The same error whether the user exists or not.
    let on_user = |user: Option<i64>, action: Action| {
        let one = user.is_some_and(|user| rights.allow(RequiredPermission::one(Domain::User, user, action)));
        if one { Ok(()) } else { must(RequiredPermission::all(Domain::User, action)) }
    };
    match (call.requirement(), subject) {
        (Requirement::Filtered, _) => Ok(()),
        (Requirement::FilteredTasks, Subject::Cluster(cluster)) => {
            if rights.allow(RequiredPermission::all(Domain::Task, Action::Read)) {
                return Ok(());
            }
            must(RequiredPermission::one(Domain::Cluster, cluster, Action::Read))
        }
        (Requirement::FilteredTasks, _) => Ok(()),
        (Requirement::Cluster(action), Subject::Cluster(cluster)) => {
            must(RequiredPermission::one(Domain::Cluster, cluster, action))?;
            force(cluster)
        }
        (Requirement::Cluster(action), _) => must(RequiredPermission::all(Domain::Cluster, action)),
        (Requirement::EveryCluster(actions), _) => {
            actions.iter().try_for_each(|action| must(RequiredPermission::all(Domain::Cluster, *action)))
        }
        (Requirement::Task(action), Subject::Task { task, cluster }) => {
            let need = RequiredPermission::one(Domain::Task, task, action);
            let by_cluster =
                cluster.is_some_and(|cluster| rights.allow(RequiredPermission::one(Domain::Cluster, cluster, action)));
            if !by_cluster {
                must(need)?;
            }
            cluster.map_or(Ok(()), force)
        }
        (Requirement::Task(action), _) => must(RequiredPermission::all(Domain::Task, action)),
        (Requirement::OwnUser(_) | Requirement::FilteredUsers, Subject::User { own: true, .. }) => Ok(()),
        (Requirement::FilteredUsers, Subject::User { user, .. }) => on_user(user, Action::Read),
        (Requirement::FilteredUsers, _) => Ok(()),
        (Requirement::OwnUser(action) | Requirement::User(action), Subject::User { user, .. }) => on_user(user, action),
        (Requirement::OwnUser(action) | Requirement::User(action) | Requirement::EveryUser(action), _) => {
            must(RequiredPermission::all(Domain::User, action))
        }
        (Requirement::Audit, _) => must(RequiredPermission::all(Domain::Audit, Action::Read)),
        (Requirement::Store, _) => must(RequiredPermission::all(Domain::Store, Action::Read)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::permission::Permission;

    const SOME: &[Risk] = &[Risk::QuorumLoss];

    fn rights(permissions: &[&str]) -> Rights {
        Rights::new(permissions.iter().map(|permission| permission.parse::<Permission>().unwrap()))
    }

    #[test]
    fn a_stop_needs_update_and_risks_need_force() {
        let seven = Subject::Cluster(7);
        let update = rights(&["CLUSTER:7:UPDATE"]);
        assert_eq!(permits(&update, Call::StopServer, seven, &[]), Ok(()));
        let force = RequiredPermission::one(Domain::Cluster, 7, Action::Force);
        assert_eq!(permits(&update, Call::StopServer, seven, SOME), Err(force));
        let both = rights(&["CLUSTER:7:UPDATE", "CLUSTER:7:FORCE"]);
        assert_eq!(permits(&both, Call::StopServer, seven, SOME), Ok(()));
        let missing = RequiredPermission::one(Domain::Cluster, 8, Action::Update);
        assert_eq!(permits(&both, Call::StopServer, Subject::Cluster(8), &[]), Err(missing));
    }

    #[test]
    fn to_end_all_service_needs_more_than_force() {
        let stop = |permissions: &[&str], risks: &[Risk]| {
            permits(&rights(permissions), Call::StopCluster, Subject::Cluster(7), risks)
                .map_err(|need| need.to_string())
        };
        let risks = &[Risk::ServiceLoss];
        assert_eq!(stop(&["CLUSTER:*:*"], &[]), Ok(()), "it is refused for want of the risk, not of the right");
        assert_eq!(stop(&["CLUSTER:*:*"], risks), Err("CLUSTER:7:FORCE".to_owned()));
        assert_eq!(stop(&["CLUSTER:*:*", "CLUSTER:*:FORCE"], risks), Err("CLUSTER:7:SERVICE_LOSS".to_owned()));
        assert_eq!(stop(&["CLUSTER:7:*", "CLUSTER:7:SERVICE_LOSS"], risks), Err("CLUSTER:7:FORCE".to_owned()));
        assert_eq!(stop(&["CLUSTER:7:*", "CLUSTER:7:FORCE", "CLUSTER:7:SERVICE_LOSS"], risks), Ok(()));
        assert_eq!(stop(&["**"], risks), Ok(()));
        let task = Subject::Task { task: 100_001, cluster: Some(7) };
        let need = RequiredPermission::one(Domain::Cluster, 7, Action::ServiceLoss);
        assert_eq!(permits(&rights(&["TASK:*:*", "CLUSTER:7:FORCE"]), Call::RetryTask, task, risks), Err(need));
    }

    #[test]
    fn a_task_is_reached_by_itself_or_by_its_cluster() {
        let task = Subject::Task { task: 100_001, cluster: Some(7) };
        for enough in ["TASK:*:READ", "TASK:100001:READ", "CLUSTER:7:READ"] {
            assert_eq!(permits(&rights(&[enough]), Call::GetTask, task, &[]), Ok(()), "{enough}");
        }
        // The same error whether the task exists or not.
        let need = RequiredPermission::one(Domain::Task, 100_001, Action::Read);
        let other = rights(&["CLUSTER:8:READ"]);
        let gone = Subject::Task { task: 100_001, cluster: None };
        assert_eq!(permits(&other, Call::GetTask, task, &[]), Err(need));
        assert_eq!(permits(&other, Call::GetTask, gone, &[]), Err(need));
    }

    #[test]
    fn a_retry_with_accepted_risks_accepts_them_anew() {
        let task = Subject::Task { task: 100_001, cluster: Some(7) };
        let manager = rights(&["TASK:*:*"]);
        assert_eq!(permits(&manager, Call::RetryTask, task, &[]), Ok(()));
        assert_eq!(
            permits(&manager, Call::RetryTask, task, SOME),
            Err(RequiredPermission::one(Domain::Cluster, 7, Action::Force))
        );
    }

    #[test]
    fn own_keys_need_no_permission_and_own_roles_do() {
        let own = Subject::User { user: Some(1001), own: true };
        assert_eq!(permits(&Rights::default(), Call::RotateAccessKey, own, &[]), Ok(()));
        assert_eq!(permits(&Rights::default(), Call::SetPassword, own, &[]), Ok(()));
        assert!(permits(&Rights::default(), Call::UpdateUser, own, &[]).is_err());
        let other = Subject::User { user: Some(1002), own: false };
        assert!(permits(&Rights::default(), Call::RotateAccessKey, other, &[]).is_err());
        let some = rights(&["USER:1001:UPDATE"]);
        assert_eq!(permits(&some, Call::UpdateUser, own, &[]), Ok(()));
        let gone = Subject::User { user: None, own: false };
        let need = RequiredPermission::all(Domain::User, Action::Update);
        assert_eq!(permits(&some, Call::UpdateUser, other, &[]), Err(need));
        assert_eq!(permits(&some, Call::UpdateUser, gone, &[]), Err(need));
    }

    #[test]
    fn keys_of_a_user_are_shown_to_it_and_to_who_may_read_it() {
        let keys = |permissions: &[&str], subject| permits(&rights(permissions), Call::ListAccessKeys, subject, &[]);
        let user = |user, own| Subject::User { user, own };
        assert_eq!(keys(&[], Subject::Nothing), Ok(()));
        assert_eq!(keys(&[], user(Some(1001), true)), Ok(()));
        assert_eq!(keys(&["USER:1002:READ"], user(Some(1002), false)), Ok(()));
        let need = RequiredPermission::all(Domain::User, Action::Read);
        for other in [Some(1003), None] {
            assert_eq!(keys(&["USER:1002:READ"], user(other, false)), Err(need), "{other:?}");
            assert_eq!(keys(&["USER:*:READ"], user(other, false)), Ok(()), "{other:?}");
        }
    }

    #[test]
    fn a_watch_of_a_cluster_needs_that_cluster_or_all_tasks() {
        let one = Subject::Cluster(7);
        for enough in ["CLUSTER:7:READ", "CLUSTER:*:READ", "TASK:*:READ", "**"] {
            assert_eq!(permits(&rights(&[enough]), Call::WatchTasks, one, &[]), Ok(()), "{enough}");
        }
        for little in ["CLUSTER:8:READ", "CLUSTER:7:UPDATE", "TASK:100001:READ"] {
            let need = RequiredPermission::one(Domain::Cluster, 7, Action::Read);
            assert_eq!(permits(&rights(&[little]), Call::WatchTasks, one, &[]), Err(need), "{little}");
        }
        assert_eq!(permits(&Rights::default(), Call::WatchTasks, Subject::Nothing, &[]), Ok(()));
    }
}
