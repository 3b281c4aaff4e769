//! Use cases for the REST face: they keep what reaches them, and answer from a store in memory.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::Timestamp;
use obsteward::domain::admission;
use obsteward::domain::call::Call;
use obsteward::domain::decide::{Input, create};
use obsteward::domain::event::{SubtaskOperation, TaskCluster, TaskServer, TaskSpec, TaskTarget};
use obsteward::domain::ids::{AccessKeyId, ClusterId, ClusterKey, Principal, RoleName, ServerId, SubtaskId, TaskId};
use obsteward::domain::permission::Permission;
use obsteward::domain::refusal::Refusal;
use obsteward::domain::status::StopType;
use obsteward::operations::graph;
use obsteward::service::arguments::{
    AccessKeyView, Caller, ClusterName, ClusterSelection, ClusterView, CreateUser, ListServers, ListTasks, PageOf,
    PlanStopServer, RegisterCluster, RestartServer, RoleView, ServerView, SkipSubtask, StartServer, StopPlanView,
    StopServer, TaskRequest, TaskSelection, UpdateCluster, UpdateUser, UserView, WatchScope,
};
use obsteward::service::use_cases::{Synced, UseCases};
use obsteward::store::access::{AuditFilter, StoredAuditRecord};
use obsteward::store::backup::Backup;
use obsteward::store::inventory::ClusterOrder;
use obsteward::store::{LogLine, Page, Store, StoredTask, TaskOrder, TaskVisibility};
use obsteward::watch::Sight;
use secrecy::SecretString;

use crate::fake_store::{FakeStore, task_id};
use crate::fake_use_cases::{cluster_view, server_view};

/// The task of the contract's sample.
pub const SAMPLE_TASK: i64 = 111_102;
/// The first of its subtasks.
pub const SAMPLE_SUBTASK: i64 = 133_815;

pub struct RestUseCases {
    pub store: Arc<FakeStore>,
    /// What the next calls are refused with.
    pub refusal: Mutex<Option<Refusal>>,
    /// Every call that came through validation, as debug text.
    pub calls: Mutex<Vec<String>>,
    /// Mutations that were refused before their use case.
    pub refused: Mutex<Vec<(Call, &'static str)>>,
    /// Whether the next call panics.
    pub panics: AtomicBool,
    /// Whether a stop waits before it is recorded.
    pub held: tokio::sync::watch::Sender<bool>,
    /// How often a watch may still go on.
    pub beats: Arc<AtomicU32>,
}

/// A sight that ends.
struct Counted(Arc<AtomicU32>);

impl Sight for Counted {
    fn check(&self) -> Result<(), Refusal> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(|_| ()).map_err(|_| Refusal::TaskNotFound { task: task_id(1) })
    }

    fn sees(&self, _: TaskId, _: ClusterId) -> bool {
        true
    }

    fn visible(&self) -> TaskVisibility {
        TaskVisibility::All
    }
}

/// Ids of the documented sample of an operation: of its task, and of the first of its subtasks.
const fn sample_ids(request: admission::Request) -> (i64, i64) {
    match request {
        admission::Request::StopProcess | admission::Request::StopService => (SAMPLE_TASK, SAMPLE_SUBTASK),
        admission::Request::Start => (111_125, 133_851),
        admission::Request::Restart => (89_027_028, 89_030_472),
    }
}

/// What the sample's task was accepted with.
fn sample_spec(request: admission::Request) -> TaskSpec {
    let second = Duration::from_secs(1);
    let (task, first) = sample_ids(request);
    let stop_type = match request {
        admission::Request::StopProcess | admission::Request::Restart => Some(StopType::Process),
        admission::Request::StopService => Some(StopType::Service),
        admission::Request::Start => None,
    };
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    TaskSpec {
        id: task_id(task),
        cluster: TaskCluster {
            id: ClusterId::new(20).unwrap(),
            name: "ob_upgrade".to_owned(),
            ob_cluster_id: 20,
            key: ClusterKey::from_stored("ob_upgrade#20#x".to_owned()),
        },
        target: TaskTarget::Server(TaskServer {
            id: ServerId::new(3).unwrap(),
            addr: "10.0.0.3:2882".parse().unwrap(),
            ob_server_id: 3,
            zone: "zone2".parse().unwrap(),
        }),
        creator: Principal::new("admin"),
        expire_time: Timestamp::from_micros(7_200_000_000),
        force: false,
        accepted_risks: Vec::new(),
        stop_type,
        freeze_before_stop: false,
        graph: graph(request, first, ServerId::new(3).unwrap(), second * 10, second * 300).unwrap(),
        context: vec![
            text("cluster_id", "20"),
            text("former_cluster_status", "RUNNING"),
            text("former_zone_status", "RUNNING"),
            text("server_id", "3"),
            text("target_cluster_status", "RUNNING"),
            text("target_zone_status", "RUNNING"),
            text("zone_name", "zone2"),
        ],
        lists: vec![("server_ids".to_owned(), vec!["3".to_owned()])],
    }
}

impl RestUseCases {
    pub fn new(store: Arc<FakeStore>) -> Self {
        let beats = Arc::new(AtomicU32::new(u32::MAX));
        let panics = AtomicBool::new(false);
        let held = tokio::sync::watch::Sender::new(false);
        Self {
            store,
            refusal: Mutex::default(),
            calls: Mutex::default(),
            refused: Mutex::default(),
            panics,
            held,
            beats,
        }
    }

    fn admit(&self, caller: &Caller, call: String) -> Result<(), Refusal> {
        assert_eq!((caller.principal.as_str(), caller.address.as_str()), ("anonymous", "127.0.0.1:4711"));
        assert!(!self.panics.swap(false, Ordering::SeqCst), "a panic of the test's making");
        self.calls.lock().unwrap().push(call);
        self.refusal.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    async fn task(&self, task: TaskId) -> Result<StoredTask, Refusal> {
        self.store.task(task).await.unwrap().ok_or(Refusal::TaskNotFound { task })
    }

    /// The sample's task as it is just after its acceptance.
    pub async fn accept(&self, request: admission::Request) -> StoredTask {
        let task = task_id(sample_ids(request).0);
        if self.store.task(task).await.unwrap().is_none() {
            self.store.append(task, create(sample_spec(request)));
            self.store.decide(task, Input::Dispatch { executor: "ocp-1:4711".to_owned() });
        }
        self.task(task).await.unwrap()
    }
}

#[async_trait]
impl UseCases for RestUseCases {
    async fn stop_server(&self, caller: &Caller, asked: StopServer) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        self.held.subscribe().wait_for(|held| !held).await.unwrap();
        Ok(self
            .accept(match asked.stop_type {
                StopType::Process => admission::Request::StopProcess,
                StopType::Service => admission::Request::StopService,
            })
            .await)
    }

    async fn start_server(&self, caller: &Caller, asked: StartServer) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        Ok(self.accept(admission::Request::Start).await)
    }

    async fn restart_server(&self, caller: &Caller, asked: RestartServer) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("{asked:?}"))?;
        Ok(self.accept(admission::Request::Restart).await)
    }

    async fn plan_stop_server(&self, _: &Caller, _: PlanStopServer) -> Result<StopPlanView, Refusal> {
        Err(Refusal::Internal { what: "not of this face".to_owned() })
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

    async fn list_tasks(&self, _: &Caller, _: ListTasks) -> Result<Vec<StoredTask>, Refusal> {
        Err(Refusal::Internal { what: "not of this face".to_owned() })
    }

    async fn retry_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("retry {asked:?}"))?;
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
        self.admit(caller, format!("cancel {asked:?}"))?;
        self.task(asked.task).await
    }

    async fn give_up_task(&self, caller: &Caller, asked: TaskRequest) -> Result<StoredTask, Refusal> {
        self.admit(caller, format!("give up {asked:?}"))?;
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
        match name {
            ClusterName::Name(name) if name != "obtest" => Err(Refusal::ClusterNotFound { cluster: name }),
            ClusterName::Name(_) => Ok(cluster_view(1)),
            ClusterName::Id(id) => Ok(cluster_view(id.get())),
        }
    }

    async fn list_clusters(
        &self,
        _: &Caller,
        _: Option<String>,
        _: Option<ClusterId>,
        _: u32,
    ) -> Result<Vec<ClusterView>, Refusal> {
        Err(Refusal::Internal { what: "not of this face".to_owned() })
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
        caller: &Caller,
        asked: TaskSelection,
        page: Page<TaskOrder>,
    ) -> Result<PageOf<StoredTask>, Refusal> {
        self.admit(caller, format!("{asked:?} {page:?}"))?;
        let items = self.store.open_tasks(None).await.unwrap().0;
        Ok(PageOf { items, total: 21 })
    }

    async fn clusters_page(
        &self,
        caller: &Caller,
        asked: ClusterSelection,
        page: Page<ClusterOrder>,
    ) -> Result<PageOf<ClusterView>, Refusal> {
        self.admit(caller, format!("{asked:?} {page:?}"))?;
        Ok(PageOf { items: vec![cluster_view(1), cluster_view(2)], total: 2 })
    }

    async fn subtask_log(&self, caller: &Caller, task: TaskId, subtask: SubtaskId) -> Result<Vec<LogLine>, Refusal> {
        self.admit(caller, format!("subtask_log {task} {subtask}"))?;
        let line = |run_time, operation, seconds: i64, text: &str| LogLine {
            subtask,
            run_time,
            at: Timestamp::from_micros(seconds * 1_000_000),
            text: text.to_owned(),
            operation,
        };
        // The first two as a version wrote them that kept no operation.
        Ok(vec![
            line(1, None, 1, "looked"),
            line(1, None, 2, "failed"),
            line(2, None, 3, "looked again"),
            line(2, Some(SubtaskOperation::Retry), 4, "done"),
            line(2, Some(SubtaskOperation::Rollback), 5, "looked what is left"),
            line(2, Some(SubtaskOperation::RollbackSkip), 6, "counts as undone"),
        ])
    }

    async fn sight(&self, caller: &Caller, scope: WatchScope) -> Result<Arc<dyn Sight>, Refusal> {
        self.admit(caller, format!("sight {scope:?}"))?;
        Ok(Arc::new(Counted(Arc::clone(&self.beats))))
    }

    async fn refused(&self, _: &Caller, call: Call, refusal: &Refusal) {
        self.refused.lock().unwrap().push((call, refusal.reason()));
    }

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

    fn user_id(&self, name: &Principal) -> i64 {
        if name.as_str() == "admin" { 100 } else { 0 }
    }
}
