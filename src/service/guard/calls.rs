//! Each use case with what it needs.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use super::Guarded;
use super::permitted::{denied, permit, permit_cluster};
use crate::domain::call::{Call, Subject};
use crate::domain::ids::{AccessKeyId, ClusterId, Principal, RoleName, ServerId, SubtaskId, TaskId};
use crate::domain::permission::{Action, Domain, Need, Permission};
use crate::domain::refusal::Refusal;
use crate::service::arguments::{
    AccessKeyView, Caller, ClusterName, ClusterSelection, ClusterView, CreateUser, ListServers, ListTasks, PageOf,
    PlanStopServer, RegisterCluster, RestartServer, RoleView, ServerView, SkipSubtask, StartServer, StopPlanView,
    StopServer, TaskRequest, TaskSelection, UpdateCluster, UpdateUser, UserView, WatchScope,
};
use crate::service::named;
use crate::service::sight::{Scope, SeesAll, UserSight};
use crate::service::use_cases::{Synced, UseCases};
use crate::store::access::{AuditFilter, StoredAuditRecord};
use crate::store::backup::Backup;
use crate::store::inventory::ClusterOrder;
use crate::store::{LogLine, Page, StoredTask, TaskOrder};
use crate::watch::Sight;

#[async_trait]
impl UseCases for Guarded {
    async fn stop_server(&self, caller: &Caller, asked: StopServer) -> Result<StoredTask, Refusal> {
        let named = named::stop_server(&asked);
        self.mutation(caller, Call::StopServer, named, |this, caller| async move {
            let (subject, risks) = (Subject::Cluster(asked.cluster.get()), !asked.accepted_risks.is_empty());
            permit(&caller, Call::StopServer, subject, risks)?;
            this.use_cases.stop_server(&caller, asked).await
        })
        .await
    }

    async fn start_server(&self, caller: &Caller, asked: StartServer) -> Result<StoredTask, Refusal> {
        let named = named::start_server(&asked);
        self.mutation(caller, Call::StartServer, named, |this, caller| async move {
            permit_cluster(&caller, Call::StartServer, asked.cluster)?;
            this.use_cases.start_server(&caller, asked).await
        })
        .await
    }

    async fn restart_server(&self, caller: &Caller, asked: RestartServer) -> Result<StoredTask, Refusal> {
        let named = named::restart_server(&asked);
        self.mutation(caller, Call::RestartServer, named, |this, caller| async move {
            let (subject, risks) = (Subject::Cluster(asked.cluster.get()), !asked.accepted_risks.is_empty());
            permit(&caller, Call::RestartServer, subject, risks)?;
            this.use_cases.restart_server(&caller, asked).await
        })
        .await
    }

    async fn plan_stop_server(&self, caller: &Caller, asked: PlanStopServer) -> Result<StopPlanView, Refusal> {
        permit_cluster(caller, Call::PlanStopServer, asked.cluster)?;
        self.use_cases.plan_stop_server(caller, asked).await
    }

    async fn get_server(&self, caller: &Caller, cluster: ClusterId, server: ServerId) -> Result<ServerView, Refusal> {
        permit_cluster(caller, Call::GetServer, cluster)?;
        self.use_cases.get_server(caller, cluster, server).await
    }

    async fn list_servers(&self, caller: &Caller, asked: ListServers) -> Result<Vec<ServerView>, Refusal> {
        permit_cluster(caller, Call::ListServers, asked.cluster)?;
        self.use_cases.list_servers(caller, asked).await
    }

    async fn get_task(&self, caller: &Caller, task: TaskId) -> Result<StoredTask, Refusal> {
        self.permit_task(caller, Call::GetTask, task).await
    }

    async fn task_for(&self, caller: &Caller, call: Call, task: TaskId) -> Result<StoredTask, Refusal> {
        let named = named::task(&TaskRequest { task, if_revision: None, expire_time: None });
        self.verb(caller, call, task, named, move |use_cases, caller| async move {
            use_cases.task_for(&caller, call, task).await
        })
        .await
    }

    async fn list_tasks(&self, caller: &Caller, asked: ListTasks) -> Result<Vec<StoredTask>, Refusal> {
        permit(caller, Call::ListTasks, Subject::Nothing, false)?;
        self.use_cases.list_tasks(caller, asked).await
    }

    async fn retry_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        let (task, named) = (asked.task, named::task(&asked));
        self.verb(caller, Call::RetryTask, task, named, |use_cases, caller| async move {
            use_cases.retry_task(&caller, asked).await
        })
        .await
    }

    async fn rollback_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        let (task, named) = (asked.task, named::task(&asked));
        self.verb(caller, Call::RollbackTask, task, named, |use_cases, caller| async move {
            use_cases.rollback_task(&caller, asked).await
        })
        .await
    }

    async fn skip_subtask(&self, caller: &Caller, asked: SkipSubtask) -> Result<StoredTask, Refusal> {
        let (task, named) = (asked.task, named::skip_subtask(&asked));
        self.verb(caller, Call::SkipSubtask, task, named, |use_cases, caller| async move {
            use_cases.skip_subtask(&caller, asked).await
        })
        .await
    }

    async fn cancel_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        let (task, named) = (asked.task, named::task(&asked));
        self.verb(caller, Call::CancelTask, task, named, |use_cases, caller| async move {
            use_cases.cancel_task(&caller, asked).await
        })
        .await
    }

    async fn give_up_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        let (task, named) = (asked.task, named::task(&asked));
        self.verb(caller, Call::GiveUpTask, task, named, |use_cases, caller| async move {
            use_cases.give_up_task(&caller, asked).await
        })
        .await
    }

    async fn register_cluster(&self, caller: &Caller, asked: RegisterCluster) -> Result<ClusterView, Refusal> {
        let named = named::register_cluster(&asked, None);
        self.mutation(caller, Call::RegisterCluster, named, |this, caller| async move {
            permit(&caller, Call::RegisterCluster, Subject::Nothing, false)?;
            this.use_cases.register_cluster(&caller, asked).await
        })
        .await
    }

    async fn update_cluster(&self, caller: &Caller, asked: UpdateCluster) -> Result<ClusterView, Refusal> {
        let named = named::update_cluster(&asked);
        self.mutation(caller, Call::UpdateCluster, named, |this, caller| async move {
            permit_cluster(&caller, Call::UpdateCluster, asked.cluster)?;
            this.use_cases.update_cluster(&caller, asked).await
        })
        .await
    }

    async fn get_cluster(&self, caller: &Caller, name: ClusterName) -> Result<ClusterView, Refusal> {
        match name {
            ClusterName::Id(cluster) => {
                permit_cluster(caller, Call::GetCluster, cluster)?;
                self.use_cases.get_cluster(caller, name).await
            }
            // Found only among the clusters that the caller may read; who may not read all is not told which are there.
            ClusterName::Name(_) => match self.use_cases.get_cluster(caller, name).await {
                Ok(view) if permit_cluster(caller, Call::GetCluster, view.row.id).is_ok() => Ok(view),
                Ok(_) => Err(denied(caller, Need::all(Domain::Cluster, Action::Read))),
                Err(refusal @ Refusal::ClusterNotFound { .. }) => {
                    permit(caller, Call::GetCluster, Subject::Nothing, false)?;
                    Err(refusal)
                }
                Err(refusal) => Err(refusal),
            },
        }
    }

    async fn list_clusters(
        &self,
        caller: &Caller,
        name: Option<String>,
        above: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<ClusterView>, Refusal> {
        permit(caller, Call::ListClusters, Subject::Nothing, false)?;
        self.use_cases.list_clusters(caller, name, above, limit).await
    }

    async fn sync_cluster(&self, caller: &Caller, cluster: ClusterId) -> Result<Synced, Refusal> {
        self.mutation(caller, Call::SyncCluster, named::cluster(cluster), move |this, caller| async move {
            permit_cluster(&caller, Call::SyncCluster, cluster)?;
            this.use_cases.sync_cluster(&caller, cluster).await
        })
        .await
    }

    async fn deregister_cluster(&self, caller: &Caller, cluster: ClusterId) -> Result<(), Refusal> {
        self.mutation(caller, Call::DeregisterCluster, named::cluster(cluster), move |this, caller| async move {
            permit_cluster(&caller, Call::DeregisterCluster, cluster)?;
            this.use_cases.deregister_cluster(&caller, cluster).await
        })
        .await
    }

    async fn tasks_page(
        &self,
        caller: &Caller,
        asked: TaskSelection,
        page: Page<TaskOrder>,
    ) -> Result<PageOf<StoredTask>, Refusal> {
        permit(caller, Call::ListTasks, Subject::Nothing, false)?;
        self.use_cases.tasks_page(caller, asked, page).await
    }

    async fn clusters_page(
        &self,
        caller: &Caller,
        asked: ClusterSelection,
        page: Page<ClusterOrder>,
    ) -> Result<PageOf<ClusterView>, Refusal> {
        permit(caller, Call::ListClusters, Subject::Nothing, false)?;
        self.use_cases.clusters_page(caller, asked, page).await
    }

    async fn subtask_log(&self, caller: &Caller, task: TaskId, subtask: SubtaskId) -> Result<Vec<LogLine>, Refusal> {
        self.permit_task(caller, Call::GetSubtaskLog, task).await?;
        self.use_cases.subtask_log(caller, task, subtask).await
    }

    async fn sight(&self, caller: &Caller, scope: WatchScope) -> Result<Arc<dyn Sight>, Refusal> {
        let scope = match scope {
            WatchScope::Task(task) => {
                let stored = self.permit_task(caller, Call::WatchTask, task).await?;
                Scope::Task(task, stored.task.spec.cluster.id)
            }
            WatchScope::Log(task) => {
                let stored = self.permit_task(caller, Call::GetSubtaskLog, task).await?;
                Scope::Log(task, stored.task.spec.cluster.id)
            }
            WatchScope::Tasks(Some(cluster)) => {
                permit_cluster(caller, Call::WatchTasks, cluster)?;
                Scope::Cluster(cluster)
            }
            WatchScope::Tasks(None) => {
                permit(caller, Call::WatchTasks, Subject::Nothing, false)?;
                Scope::Visible
            }
        };
        Ok(match caller.user {
            None => Arc::new(SeesAll),
            Some(user) => Arc::new(UserSight::new(Arc::clone(&self.directory), user, caller, scope)),
        })
    }

    async fn refused(&self, caller: &Caller, call: Call, refusal: &Refusal) {
        if call.is_mutation() {
            self.recorder.refused(caller, call, named::invalid(refusal), refusal).await;
        }
    }

    async fn create_user(&self, caller: &Caller, asked: CreateUser) -> Result<UserView, Refusal> {
        self.mutation(caller, Call::CreateUser, named::create_user(&asked), |this, caller| async move {
            permit(&caller, Call::CreateUser, Subject::Nothing, false)?;
            this.use_cases.create_user(&caller, asked).await
        })
        .await
    }

    async fn update_user(&self, caller: &Caller, asked: UpdateUser) -> Result<UserView, Refusal> {
        self.mutation(caller, Call::UpdateUser, named::update_user(&asked), |this, caller| async move {
            this.permit_user(&caller, Call::UpdateUser, &asked.name)?;
            this.use_cases.update_user(&caller, asked).await
        })
        .await
    }

    async fn set_password(&self, caller: &Caller, user: Principal, password: SecretString) -> Result<(), Refusal> {
        self.mutation(caller, Call::SetPassword, named::user(&user), |this, caller| async move {
            this.permit_user(&caller, Call::SetPassword, &user)?;
            this.use_cases.set_password(&caller, user, password).await
        })
        .await
    }

    async fn list_users(&self, caller: &Caller) -> Result<Vec<UserView>, Refusal> {
        permit(caller, Call::ListUsers, Subject::Nothing, false)?;
        self.use_cases.list_users(caller).await
    }

    async fn create_access_key(&self, caller: &Caller, user: Option<Principal>) -> Result<AccessKeyView, Refusal> {
        let name = user.as_ref().unwrap_or(&caller.principal).clone();
        self.mutation(caller, Call::CreateAccessKey, named::user(&name), |this, caller| async move {
            this.permit_user(&caller, Call::CreateAccessKey, &name)?;
            this.use_cases.create_access_key(&caller, user).await
        })
        .await
    }

    async fn update_access_key(
        &self,
        caller: &Caller,
        key: AccessKeyId,
        disabled: bool,
    ) -> Result<AccessKeyView, Refusal> {
        let named = named::access_key(&key, Some(disabled));
        self.mutation(caller, Call::UpdateAccessKey, named, move |this, caller| async move {
            this.permit_key(&caller, Call::UpdateAccessKey, &key)?;
            this.use_cases.update_access_key(&caller, key, disabled).await
        })
        .await
    }

    async fn rotate_access_key(&self, caller: &Caller, key: AccessKeyId) -> Result<AccessKeyView, Refusal> {
        self.mutation(caller, Call::RotateAccessKey, named::access_key(&key, None), |this, caller| async move {
            this.permit_key(&caller, Call::RotateAccessKey, &key)?;
            this.use_cases.rotate_access_key(&caller, key).await
        })
        .await
    }

    async fn list_access_keys(&self, caller: &Caller, user: Option<Principal>) -> Result<Vec<AccessKeyView>, Refusal> {
        permit(caller, Call::ListAccessKeys, Subject::Nothing, false)?;
        if let Some(name) = &user {
            let asked = self.directory.user(name).map(|user| user.id);
            let read = |user: crate::domain::ids::UserId| {
                caller.user == Some(user) || caller.rights.allow(Need::one(Domain::User, user.get(), Action::Read))
            };
            let every = Need::all(Domain::User, Action::Read);
            if !caller.rights.allow(every) && !asked.is_some_and(read) {
                return Err(denied(caller, every));
            }
        }
        self.use_cases.list_access_keys(caller, user).await
    }

    async fn create_role(
        &self,
        caller: &Caller,
        name: RoleName,
        permissions: Vec<Permission>,
    ) -> Result<RoleView, Refusal> {
        let named = named::create_role(&name, &permissions);
        self.mutation(caller, Call::CreateRole, named, |this, caller| async move {
            permit(&caller, Call::CreateRole, Subject::Nothing, false)?;
            this.use_cases.create_role(&caller, name, permissions).await
        })
        .await
    }

    async fn delete_role(&self, caller: &Caller, name: RoleName) -> Result<(), Refusal> {
        self.mutation(caller, Call::DeleteRole, named::role(&name), |this, caller| async move {
            permit(&caller, Call::DeleteRole, Subject::Nothing, false)?;
            this.use_cases.delete_role(&caller, name).await
        })
        .await
    }

    async fn list_roles(&self, caller: &Caller) -> Result<Vec<RoleView>, Refusal> {
        permit(caller, Call::ListRoles, Subject::Nothing, false)?;
        self.use_cases.list_roles(caller).await
    }

    async fn list_audit_records(
        &self,
        caller: &Caller,
        filter: AuditFilter,
        below: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredAuditRecord>, Refusal> {
        permit(caller, Call::ListAuditRecords, Subject::Nothing, false)?;
        self.use_cases.list_audit_records(caller, filter, below, limit).await
    }

    async fn backup_store(&self, caller: &Caller) -> Result<Backup, Refusal> {
        self.mutation(caller, Call::BackupStore, named::store(), |this, caller| async move {
            permit(&caller, Call::BackupStore, Subject::Nothing, false)?;
            this.use_cases.backup_store(&caller).await
        })
        .await
    }

    fn user_id(&self, name: &Principal) -> i64 {
        self.use_cases.user_id(name)
    }
}
