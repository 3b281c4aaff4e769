//! Use cases that record what reaches them and answer from what a test has put in.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::Timestamp;
use obsteward::domain::call::Call;
use obsteward::domain::ids::{
    AccessKeyId, ClusterId, ClusterIdentity, Principal, RoleName, ServerId, SubtaskId, TaskId,
};
use obsteward::domain::permission::Permission;
use obsteward::domain::refusal::Refusal;
use obsteward::domain::status::{ClusterStatus, InnerStatus, OverriddenBy, ServerStatus, ZoneInnerStatus, ZoneStatus};
use obsteward::service::arguments::{
    AccessKeyView, Caller, ClusterName, ClusterSelection, ClusterView, CreateUser, ListServers, ListTasks, PageOf,
    PlanCheck, PlanStopServer, ProcessView, RegisterCluster, RestartServer, RoleView, ServerView, SkipSubtask,
    StartServer, StopPlanView, StopServer, TaskRequest, TaskSelection, UpdateCluster, UpdateUser, UserView, Verdict,
    WatchScope,
};
use obsteward::service::use_cases::{Synced, UseCases};
use obsteward::store::access::{AuditFilter, StoredAuditRecord};
use obsteward::store::backup::Backup;
use obsteward::store::inventory::{ClusterOrder, ClusterRow, DefaultHost, HostRoute, ServerRow, ZoneRow};
use obsteward::store::{LogLine, Page, Store, StoredTask, TaskOrder};
use obsteward::watch::Sight;
use secrecy::SecretString;

use crate::fake_store::{FakeStore, SeesAll, cluster_id, task_id};

pub struct FakeUseCases {
    pub store: Arc<FakeStore>,
    /// What the next calls are refused with.
    pub refusal: Mutex<Option<Refusal>>,
    /// Every call that came through validation, as debug text.
    pub calls: Mutex<Vec<String>>,
}

impl FakeUseCases {
    pub fn new(store: Arc<FakeStore>) -> Self {
        Self { store, refusal: Mutex::default(), calls: Mutex::default() }
    }

    fn admit(&self, caller: &Caller, call: String) -> Result<(), Refusal> {
        assert_eq!(caller.principal.as_str(), "anonymous");
        assert!(caller.address.starts_with("127.0.0.1:"), "{}", caller.address);
        self.calls.lock().unwrap().push(call);
        self.refusal.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    async fn task(&self, task: TaskId) -> Result<StoredTask, Refusal> {
        self.store.task(task).await.unwrap().ok_or(Refusal::TaskNotFound { task })
    }
}

pub fn server_view(id: i64) -> ServerView {
    ServerView {
        row: ServerRow {
            id: ServerId::new(id).unwrap(),
            cluster: cluster_id(1),
            addr: "10.0.0.2:2882".parse().unwrap(),
            ob_server_id: 1,
            zone: "zone1".parse().unwrap(),
            sql_port: 2881,
            managed_status: None,
            inner_status: InnerStatus::Active,
            stop_time: Some(Timestamp::from_micros(5_000_001)),
            start_service_time: Some(Timestamp::from_micros(1)),
            last_offline_time: None,
            with_rootserver: true,
            build_version: "4.2.1.8".to_owned(),
            observed_at: Timestamp::from_micros(6_000_000),
        },
        status: ServerStatus::Stopped,
        process: ProcessView::Running { pid: 77 },
        leaders: None,
        permanent_offline_at: None,
        not_safe_reason: Some("its process runs".to_owned()),
        operating_task: Some(task_id(4)),
    }
}

pub fn cluster_view(id: i64) -> ClusterView {
    let zone = ZoneRow {
        name: "zone1".parse().unwrap(),
        inner_status: ZoneInnerStatus::Active,
        region: "r".to_owned(),
        idc: "i".to_owned(),
        managed_status: None,
    };
    ClusterView {
        row: ClusterRow {
            id: cluster_id(id),
            identity: ClusterIdentity { name: "obtest".to_owned(), ob_cluster_id: 9, fingerprint: "f".to_owned() },
            endpoints: vec!["10.0.0.2:2881".to_owned()],
            username: "root@sys".to_owned(),
            password: SecretString::from("geheim"),
            default_host: DefaultHost::None,
            managed_status: None,
            observed_at: None,
            sync_error: String::new(),
            lease_time_micros: 0,
            permanent_offline_micros: 0,
        },
        status: ClusterStatus::Running,
        zones: vec![(zone, ZoneStatus::Running)],
        hosts: vec![("10.0.0.2".to_owned(), HostRoute::Grpc { address: "10.0.0.2:2890".to_owned() })],
        operating_task: None,
        server_count: 3,
        version: "4.2.1.8_108000022024072217-b4e5b2e(Jul 22 2024 17:36:02)".to_owned(),
    }
}

#[async_trait]
impl UseCases for FakeUseCases {
    async fn stop_server(&self, caller: &Caller, asked: StopServer) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        self.store.create(task_id(1), asked.cluster);
        self.task(task_id(1)).await
    }

    async fn start_server(&self, caller: &Caller, asked: StartServer) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        self.store.create(task_id(1), asked.cluster);
        self.task(task_id(1)).await
    }

    async fn restart_server(&self, caller: &Caller, asked: RestartServer) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        self.store.create(task_id(1), asked.cluster);
        self.task(task_id(1)).await
    }

    async fn plan_stop_server(&self, caller: &Caller, asked: PlanStopServer) -> Result<StopPlanView, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        Ok(StopPlanView {
            cluster: asked.cluster,
            server: asked.server,
            addr: "10.0.0.2:2882".parse().unwrap(),
            zone: "zone1".parse().unwrap(),
            allowed: false,
            checks: vec![PlanCheck {
                name: "LOG_IN_SYNC".to_owned(),
                verdict: Verdict::Block,
                evidence: "replica lags".to_owned(),
                remedy: "wait".to_owned(),
                overridden_by: Some(OverriddenBy::Force),
                overridden: false,
            }],
            leader_moves: vec![(1002, "t1".to_owned(), 4)],
            failures_tolerated_after: Some(0),
            observed_at: Timestamp::from_micros(1),
        })
    }

    async fn get_server(&self, caller: &Caller, _: ClusterId, server: ServerId) -> Result<ServerView, Refusal> {
        self.admit(caller, format!("get_server {server}"))?;
        Ok(server_view(server.get()))
    }

    async fn list_servers(&self, caller: &Caller, asked: ListServers) -> Result<Vec<ServerView>, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        let above = asked.above.map_or(0, |above| above.get());
        Ok((above + 1..=5).take(asked.limit as usize).map(server_view).collect())
    }

    async fn get_task(&self, caller: &Caller, task: TaskId) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("get_task {task}"))?;
        self.task(task).await
    }

    async fn task_for(&self, caller: &Caller, call: Call, task: TaskId) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("task_for {call} {task}"))?;
        self.task(task).await
    }

    async fn list_tasks(&self, caller: &Caller, asked: ListTasks) -> Result<Vec<StoredTask>, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        let mut tasks = self.store.open_tasks(None).await.unwrap().0;
        tasks.reverse();
        tasks.retain(|task| asked.below.is_none_or(|below| task.task.spec.id < below));
        tasks.truncate(asked.limit as usize);
        Ok(tasks)
    }

    async fn retry_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        self.task(asked.task).await
    }

    async fn rollback_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("rollback {asked:?}"))?;
        self.task(asked.task).await
    }

    async fn skip_subtask(&self, caller: &Caller, asked: SkipSubtask) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        self.task(asked.task).await
    }

    async fn cancel_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        self.task(asked.task).await
    }

    async fn give_up_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        self.task(asked.task).await
    }

    async fn register_cluster(&self, caller: &Caller, asked: RegisterCluster) -> Result<ClusterView, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        Ok(cluster_view(1))
    }

    async fn update_cluster(&self, caller: &Caller, asked: UpdateCluster) -> Result<ClusterView, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        Ok(cluster_view(1))
    }

    async fn get_cluster(&self, caller: &Caller, name: ClusterName) -> Result<ClusterView, Refusal> {
        self.admit(caller, format!("{name:?}"))?;
        Ok(cluster_view(1))
    }

    async fn list_clusters(
        &self,
        caller: &Caller,
        name: Option<String>,
        above: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<ClusterView>, Refusal> {
        self.admit(caller, format!("list_clusters {name:?} {above:?} {limit}"))?;
        let above = above.map_or(0, |above| above.get());
        Ok((above + 1..=5).take(limit as usize).map(cluster_view).collect())
    }

    async fn sync_cluster(&self, caller: &Caller, cluster: ClusterId) -> Result<Synced, Refusal> {
        self.admit(caller, format!("sync_cluster {cluster}"))?;
        Ok((cluster_view(1), vec!["server added".to_owned()], Duration::from_millis(1500)))
    }

    async fn deregister_cluster(&self, caller: &Caller, cluster: ClusterId) -> Result<(), Refusal> {
        self.admit(caller, format!("deregister_cluster {cluster}"))
    }

    async fn tasks_page(
        &self,
        _caller: &Caller,
        _asked: TaskSelection,
        _page: Page<TaskOrder>,
    ) -> Result<PageOf<StoredTask>, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn clusters_page(
        &self,
        _caller: &Caller,
        _asked: ClusterSelection,
        _page: Page<ClusterOrder>,
    ) -> Result<PageOf<ClusterView>, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn subtask_log(&self, _caller: &Caller, _task: TaskId, _subtask: SubtaskId) -> Result<Vec<LogLine>, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn sight(&self, _caller: &Caller, _scope: WatchScope) -> Result<Arc<dyn Sight>, Refusal> {
        Ok(Arc::new(SeesAll))
    }

    async fn refused(&self, _caller: &Caller, _call: Call, _refusal: &Refusal) {}

    async fn create_user(&self, _caller: &Caller, _asked: CreateUser) -> Result<UserView, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn update_user(&self, _caller: &Caller, _asked: UpdateUser) -> Result<UserView, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn set_password(&self, _caller: &Caller, _user: Principal, _password: SecretString) -> Result<(), Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn list_users(&self, _caller: &Caller) -> Result<Vec<UserView>, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn create_access_key(&self, _caller: &Caller, _user: Option<Principal>) -> Result<AccessKeyView, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn update_access_key(
        &self,
        _caller: &Caller,
        _key: AccessKeyId,
        _disabled: bool,
    ) -> Result<AccessKeyView, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn rotate_access_key(&self, _caller: &Caller, _key: AccessKeyId) -> Result<AccessKeyView, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn list_access_keys(
        &self,
        _caller: &Caller,
        _user: Option<Principal>,
    ) -> Result<Vec<AccessKeyView>, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn create_role(
        &self,
        _caller: &Caller,
        _name: RoleName,
        _permissions: Vec<Permission>,
    ) -> Result<RoleView, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn delete_role(&self, _caller: &Caller, _name: RoleName) -> Result<(), Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn list_roles(&self, _caller: &Caller) -> Result<Vec<RoleView>, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn list_audit_records(
        &self,
        _caller: &Caller,
        _filter: AuditFilter,
        _below: Option<i64>,
        _limit: u32,
    ) -> Result<Vec<StoredAuditRecord>, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    async fn backup_store(&self, _caller: &Caller) -> Result<Backup, Refusal> {
        Err(Refusal::Internal { what: "not of this test".to_owned() })
    }

    fn user_id(&self, _name: &Principal) -> i64 {
        0
    }
}
