//! A store in memory for tests of the layers above it: it folds what it is given and commits without disk.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::Timestamp;
use obsteward::domain::decide::{Input, StepOutput, create, decide};
use obsteward::domain::event::{
    Event, EventKind, Failure, FailureKind, Phase, StoredEvent, TaskCluster, TaskServer, TaskSpec, TaskTarget,
};
use obsteward::domain::graph::{Graph, OperationName, SubtaskSpec};
use obsteward::domain::ids::{ClusterId, ClusterKey, Fence, Principal, Revision, Seq, ServerId, SubtaskId, TaskId};
use obsteward::domain::reason::Reason;
use obsteward::domain::status::{Risk, StopType};
use obsteward::domain::task::Task;
use obsteward::store::{
    Commit, LockRow, LogLine, Page, PendingCommit, Progress, Store, StoreError, StoredTask, TaskFilter, TaskOrder,
};
use tokio::sync::{broadcast, watch};

pub fn task_id(id: i64) -> TaskId {
    TaskId::new(id).unwrap()
}

pub fn cluster_id(id: i64) -> ClusterId {
    ClusterId::new(id).unwrap()
}

pub fn subtask_id(task: TaskId, number: i64) -> SubtaskId {
    SubtaskId::new(task.get() * 100 + number).unwrap()
}

/// A task of three subtasks in a row on server 7 of a cluster.
pub fn spec(task: TaskId, cluster: ClusterId) -> TaskSpec {
    let subtasks = (1..=3).map(|number| SubtaskSpec {
        id: subtask_id(task, number),
        name: format!("Step {number}"),
        server: None,
        timeout: Duration::from_secs(60),
        upstreams: if number == 1 { Vec::new() } else { vec![subtask_id(task, number - 1)] },
        prohibit_skip: number == 1,
    });
    TaskSpec {
        id: task,
        cluster: TaskCluster {
            id: cluster,
            name: format!("ob{cluster}"),
            ob_cluster_id: 1,
            key: ClusterKey::from_stored(format!("ob{cluster}#1#x")),
        },
        target: TaskTarget::Server(TaskServer {
            id: ServerId::new(7).unwrap(),
            addr: "10.0.0.2:2882".parse().unwrap(),
            ob_server_id: 3,
            zone: "zone1".parse().unwrap(),
        }),
        creator: Principal::new("anonymous"),
        reason: Reason::default(),
        expire_time: Timestamp::from_micros(7_200_000_000),
        force: false,
        accepted_risks: Vec::new(),
        stop_type: Some(StopType::Process),
        freeze_before_stop: false,
        graph: Graph {
            operation: OperationName { name: "Stop OB server".to_owned(), version: 1 },
            subtasks: subtasks.collect(),
        },
        context: vec![("cluster_id".to_owned(), cluster.to_string())],
        lists: vec![("server_ids".to_owned(), vec!["7".to_owned()])],
    }
}

#[derive(Default)]
struct Inner {
    log: Vec<StoredEvent>,
    tasks: BTreeMap<TaskId, (Task, Seq)>,
    progress: Vec<Progress>,
}

pub struct FakeStore {
    inner: Mutex<Inner>,
    committed: watch::Sender<Seq>,
    progress: broadcast::Sender<Progress>,
    /// Reads of the log by `events` and `tail`.
    pub log_reads: AtomicUsize,
}

impl FakeStore {
    pub fn new() -> Self {
        Self {
            inner: Mutex::default(),
            committed: watch::Sender::new(Seq::ZERO),
            progress: broadcast::Sender::new(16),
            log_reads: AtomicUsize::new(0),
        }
    }

    pub fn append(&self, task: TaskId, kinds: Vec<EventKind>) {
        let mut inner = self.inner.lock().unwrap();
        for kind in kinds {
            // Positions have gaps, as those of a store that several replicas write.
            let seq = Seq::new(inner.log.last().map_or(0, |event| event.seq.get()) + 3);
            let event = Event { at: Timestamp::from_micros(seq.get() * 1000), kind };
            let folded = match inner.tasks.remove(&task) {
                None => Task::begin(&event).unwrap(),
                Some((mut folded, _)) => {
                    folded.apply(&event).unwrap();
                    folded
                }
            };
            let revision = folded.revision;
            inner.tasks.insert(task, (folded, seq));
            inner.log.push(StoredEvent { seq, task, revision, fence: Fence::new(1), event });
        }
        let head = inner.log.last().unwrap().seq;
        drop(inner);
        self.committed.send_replace(head);
    }

    pub fn create(&self, task: TaskId, cluster: ClusterId) {
        self.append(task, create(spec(task, cluster)));
    }

    pub fn create_with_risks(&self, task: TaskId, cluster: ClusterId) {
        let accepted_risks = vec![Risk::QuorumLoss];
        self.append(task, create(TaskSpec { accepted_risks, ..spec(task, cluster) }));
    }

    /// The first subtask of any task.
    pub fn succeed_first(&self, task: TaskId) {
        let subtask = self.inner.lock().unwrap().tasks[&task].0.in_execution_order()[0].spec.id;
        let output = StepOutput::default();
        self.decide(task, Input::StepSucceeded { subtask, already_so: true, output, executor: "me".to_owned() });
    }

    pub fn decide(&self, task: TaskId, input: Input) {
        let folded = self.inner.lock().unwrap().tasks[&task].0.clone();
        let now = folded.last_progress_at;
        self.append(task, decide(&folded, input, now).unwrap());
    }

    pub fn dispatch(&self, task: TaskId) {
        self.decide(task, Input::Dispatch { executor: "me".to_owned() });
    }

    pub fn succeed(&self, task: TaskId, number: i64) {
        self.decide(
            task,
            Input::StepSucceeded {
                subtask: subtask_id(task, number),
                already_so: true,
                output: StepOutput {
                    strings: vec![("learned".to_owned(), number.to_string())],
                    ..StepOutput::default()
                },
                executor: "me".to_owned(),
            },
        );
    }

    /// To rest: an expired consent is what a person must look at.
    pub fn fail(&self, task: TaskId, number: i64) {
        let failure = Failure::new(FailureKind::Expired, "EXPIRED", "consent ended").with("gap_seconds", 700);
        let subtask = subtask_id(task, number);
        self.decide(task, Input::StepFailed { subtask, failure, output: StepOutput::default(), looked: true });
    }

    /// From creation to success.
    pub fn run(&self, task: TaskId, cluster: ClusterId) {
        self.create(task, cluster);
        self.dispatch(task);
        (1..=3).for_each(|number| self.succeed(task, number));
    }

    pub fn log(&self) -> Vec<StoredEvent> {
        self.inner.lock().unwrap().log.clone()
    }

    fn stored(inner: &Inner, task: TaskId) -> Option<StoredTask> {
        let (folded, seq) = inner.tasks.get(&task)?;
        let progress = inner.progress.iter().filter(|progress| progress.task == task).cloned().collect();
        Some(StoredTask { task: folded.clone(), seq: *seq, progress })
    }
}

#[async_trait]
impl Store for FakeStore {
    fn submit(&self, _commit: Commit) -> PendingCommit {
        PendingCommit::new().1
    }

    fn store_id(&self) -> &str {
        "fake"
    }

    async fn reserve_ids(&self, _count: u32) -> Result<i64, StoreError> {
        Err(StoreError::Closed)
    }

    async fn task(&self, task: TaskId) -> Result<Option<StoredTask>, StoreError> {
        Ok(Self::stored(&self.inner.lock().unwrap(), task))
    }

    async fn events(&self, task: TaskId, after: Revision, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.log_reads.fetch_add(1, Ordering::SeqCst);
        let log = self.log();
        let events = log.into_iter().filter(|event| event.task == task && event.revision > after);
        Ok(events.take(limit as usize).collect())
    }

    async fn tail(&self, after: Seq, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.log_reads.fetch_add(1, Ordering::SeqCst);
        Ok(self.log().into_iter().filter(|event| event.seq > after).take(limit as usize).collect())
    }

    async fn head(&self) -> Result<Seq, StoreError> {
        Ok(self.inner.lock().unwrap().log.last().map_or(Seq::ZERO, |event| event.seq))
    }

    async fn list(
        &self,
        _filter: &TaskFilter,
        _below: Option<TaskId>,
        _limit: u32,
    ) -> Result<Vec<StoredTask>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn open_tasks(&self, cluster: Option<ClusterId>) -> Result<(Vec<StoredTask>, Seq), StoreError> {
        let inner = self.inner.lock().unwrap();
        let open = inner.tasks.values().filter(|(task, _)| task.state.phase() != Phase::Closed);
        let open = open.filter(|(task, _)| cluster.is_none_or(|id| id == task.spec.cluster.id));
        let tasks = open.filter_map(|(task, _)| Self::stored(&inner, task.spec.id)).collect();
        Ok((tasks, inner.log.last().map_or(Seq::ZERO, |event| event.seq)))
    }

    async fn request(&self, _: &Principal, _: &str) -> Result<Option<(TaskId, String)>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn lock(&self, _: &ClusterKey) -> Result<Option<LockRow>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn claim(&self, _: TaskId, _: &ClusterKey) -> Result<Option<Fence>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn log(&self, _: TaskId, _: Option<SubtaskId>) -> Result<Vec<LogLine>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn page(&self, _: &TaskFilter, _: Page<TaskOrder>) -> Result<(Vec<StoredTask>, u64), StoreError> {
        Err(StoreError::Closed)
    }

    fn note(&self, progress: Progress) {
        let mut inner = self.inner.lock().unwrap();
        inner.progress.retain(|one| one.subtask != progress.subtask);
        inner.progress.push(progress.clone());
        drop(inner);
        _ = self.progress.send(progress);
    }

    fn committed(&self) -> watch::Receiver<Seq> {
        self.committed.subscribe()
    }

    fn subscribe_progress(&self) -> broadcast::Receiver<Progress> {
        self.progress.subscribe()
    }
}

/// Sees every task, as long as it wants.
pub struct SeesAll;

impl obsteward::watch::WatchAuthorizer for SeesAll {
    fn check(&self) -> Result<(), obsteward::domain::refusal::Refusal> {
        Ok(())
    }

    fn sees(&self, _: TaskId, _: ClusterId) -> bool {
        true
    }

    fn visible(&self) -> obsteward::store::TaskVisibility {
        obsteward::store::TaskVisibility::All
    }
}
