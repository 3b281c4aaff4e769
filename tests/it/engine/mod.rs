//! The engine over the real store, with operations of its own: what it does with steps that run side by side, that break
//! down, that cannot look, and whose effects stay unknown.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::{BootClock, Clock};
use obsteward::domain::attempt::RecordedIntent;
use obsteward::domain::decide::{Input, StepOutput, VerbRequest};
use obsteward::domain::effect::{EffectOutcome, Intent, Permit};
use obsteward::domain::event::{
    Effect, Failure, FailureKind, IntentOutcome, Phase, SubtaskState, TaskCluster, TaskServer, TaskSpec, TaskState,
};
use obsteward::domain::graph::{Graph, OperationName, SubtaskRole, SubtaskSpec, TaskTarget};
use obsteward::domain::ids::{ClusterId, ClusterIdentity, Principal, ServerId, SubtaskId, TaskId};
use obsteward::domain::reason::Reason;
use obsteward::domain::status::StopType;
use obsteward::domain::task::Task;
use obsteward::engine::{
    Engine, EngineSettings, Observation, Operation, PreparedEffect, ProgressReport, Registry, Step, StepContext,
    Unresolved, WriteOutcome,
};
use obsteward::store::replicas::Replicas;
use obsteward::store::sqlite::{SqliteOptions, SqliteStore};
use obsteward::store::{Author, Store, Write};

use crate::support::PATIENCE;

mod cancel;
mod end;
pub mod kept_sessions;
pub mod load;
pub mod login_names;
pub mod oceanbase;
pub mod watch;
pub mod watch_load;
pub mod watch_sqlite;

type Looks = Arc<dyn Fn(&StepContext) -> Observation + Send + Sync>;

struct TestStep(Looks);

#[async_trait]
impl Step for TestStep {
    async fn look(&self, context: &StepContext) -> Observation {
        // A look takes a while, in which parallel subtasks go on.
        tokio::task::yield_now().await;
        (self.0)(context)
    }

    fn read_failure_timeout(&self) -> Duration {
        Duration::from_millis(200)
    }
}

#[derive(Default)]
struct TestOperation {
    steps: Mutex<HashMap<String, Looks>>,
}

impl TestOperation {
    fn with(self, name: &str, look: impl Fn(&StepContext) -> Observation + Send + Sync + 'static) -> Self {
        self.set(name, look);
        self
    }

    fn set(&self, name: &str, look: impl Fn(&StepContext) -> Observation + Send + Sync + 'static) {
        self.steps.lock().unwrap().insert(name.to_owned(), Arc::new(look));
    }
}

#[async_trait]
impl Operation for TestOperation {
    fn step(&self, subtask: &SubtaskSpec) -> Option<Arc<dyn Step>> {
        let look = self.steps.lock().unwrap().get(&*subtask.name).cloned()?;
        Some(Arc::new(TestStep(look)))
    }

    async fn take_over(&self, _: &StepContext, _: &RecordedIntent, _: Permit) -> Result<String, Failure> {
        Ok("gone".to_owned())
    }

    fn closing_writes(&self, _: &Task) -> Vec<Write> {
        Vec::new()
    }
}

/// An effect whose answer is decided beforehand.
struct Answer(EffectOutcome);

#[async_trait]
impl PreparedEffect for Answer {
    async fn send(self: Box<Self>, _: Permit) -> EffectOutcome {
        self.0
    }
}

fn reached() -> Observation {
    Observation::Reached { already_so: true, output: StepOutput::default(), writes: Vec::new() }
}

fn wait_for(what: &str) -> Observation {
    let progress = ProgressReport::uncounted(what);
    Observation::Wait { progress, again_in: Duration::from_millis(5) }
}

fn needed(context: &StepContext, horizon: Duration, outcome: EffectOutcome) -> Observation {
    let intent = Intent {
        description: "an effect".to_owned(),
        endpoint: "somewhere".to_owned(),
        connection_id: 0,
        horizon: context.clock.now().plus(horizon),
        irreversible: false,
    };
    Observation::Needed { intent, output: StepOutput::default(), effect: Box::new(Answer(outcome)) }
}

struct Fixture {
    store: Arc<SqliteStore>,
    engine: Arc<Engine>,
    operation: Arc<TestOperation>,
    _directory: tempfile::TempDir,
}

fn operation_name() -> OperationName {
    OperationName { name: "Test".to_owned(), version: 1 }
}

impl Fixture {
    fn new(operation: TestOperation) -> Self {
        let operation = Arc::new(operation);
        Self { operation: operation.clone(), ..Self::over(operation) }
    }

    fn over(operation: Arc<dyn Operation>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("store.db"), SqliteOptions::default()).unwrap();
        let registry = Registry::default().with(operation_name(), operation);
        let settings = EngineSettings {
            executor: "test".to_owned(),
            clock: Clock::system(),
            boot_clock: BootClock::System,
            failpoints: Arc::default(),
            metrics: Default::default(),
        };
        let engine = Engine::new(store.clone(), store.clone(), registry, settings, tokio::runtime::Handle::current());
        Self { store, engine, operation: Arc::default(), _directory: directory }
    }

    /// Records a task over this graph (name, names of its upstreams) and runs it.
    async fn begin(&self, nodes: &[(&str, &[&str])]) -> TaskId {
        let first = self.store.reserve_ids(u32::try_from(nodes.len()).unwrap() + 1).await.unwrap();
        let id_of = |name: &str| {
            let index = nodes.iter().position(|(node, _)| *node == name).unwrap();
            SubtaskId::new(first + 1 + i64::try_from(index).unwrap()).unwrap()
        };
        let subtasks = nodes.iter().map(|(name, upstreams)| SubtaskSpec {
            id: id_of(name),
            kind: "STEP".to_owned(),
            name: (*name).to_owned(),
            target: TaskTarget::Cluster,
            timeout: Duration::from_secs(30),
            upstreams: upstreams.iter().map(|upstream| id_of(upstream)).collect(),
            prohibit_skip: false,
            role: SubtaskRole::Step,
        });
        let identity = ClusterIdentity { name: "c".to_owned(), ob_cluster_id: 1, fingerprint: "f".to_owned() };
        let spec = TaskSpec {
            id: TaskId::new(first).unwrap(),
            cluster: TaskCluster {
                id: ClusterId::new(1).unwrap(),
                name: "c".to_owned(),
                ob_cluster_id: 1,
                key: identity.key(),
            },
            target: TaskTarget::Server(ServerId::new(1).unwrap()),
            servers: vec![TaskServer {
                id: ServerId::new(1).unwrap(),
                addr: "127.0.0.1:2882".parse().unwrap(),
                ob_server_id: 1,
                zone: "z".parse().unwrap(),
            }],
            creator: Principal::new("tester"),
            reason: Reason::default(),
            expire_time: Clock::system().now().plus(Duration::from_secs(3600)),
            force: false,
            accepted_risks: Vec::new(),
            stop_type: Some(StopType::Process),
            freeze_before_stop: false,
            hold: None,
            rollout: None,
            drain: std::time::Duration::ZERO,
            pending: None,
            graph: Graph { operation: operation_name(), subtasks: subtasks.collect() },
            facts: Vec::new(),
            trace: None,
        };
        let id = spec.id;
        let writes = vec![Write::AcquireLock { cluster: spec.cluster.key.clone() }];
        let author = Author::Request { principal: Principal::new("tester"), nonce: "1".to_owned() };
        let lease = self.engine.lease();
        match self.engine.create(Clock::system().now(), spec, author, writes).await.unwrap() {
            WriteOutcome::Done { task, fence, .. } => self.engine.begin(task, fence, lease),
            other => panic!("{other:?}"),
        }
        id
    }

    async fn at_rest(&self, id: TaskId) -> Task {
        self.until(id, |task| task.state.phase() != Phase::Moving).await
    }

    /// Waits until the task as committed is as wanted.
    async fn until(&self, id: TaskId, wanted: impl Fn(&Task) -> bool) -> Task {
        let found = async {
            let mut committed = self.store.committed();
            loop {
                let task = self.store.task(id).await.unwrap().unwrap().task;
                if wanted(&task) {
                    return task;
                }
                committed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("the task did not get there")
    }

    async fn retry(&self, task: Task) -> Task {
        let id = task.spec.id;
        let principal = Principal::new("tester");
        let input = Input::Requested {
            asked: VerbRequest::Retry { expire_time: None },
            principal: principal.clone(),
            reason: Reason::default(),
            if_revision: None,
        };
        let author = Author::Request { principal, nonce: "2".to_owned() };
        match self.engine.committer().write(&Arc::new(task), input, author, |_| Vec::new()).await.unwrap() {
            WriteOutcome::Done { task, fence, .. } => self.engine.resume(task, fence).await.unwrap(),
            other => panic!("{other:?}"),
        }
        self.at_rest(id).await
    }
}

fn state(task: &Task, name: &str) -> (SubtaskState, Effect) {
    let subtask = task.subtasks.iter().find(|subtask| subtask.spec.name == name).unwrap();
    (subtask.state, subtask.effect)
}

/// Two branches meet only if they run at the same time; what joins them runs after both.
#[tokio::test]
async fn what_is_ready_runs_side_by_side() {
    let arrived: Arc<Mutex<HashSet<SubtaskId>>> = Arc::default();
    let meet = |arrived: Arc<Mutex<HashSet<SubtaskId>>>| {
        move |context: &StepContext| {
            let mut arrived = arrived.lock().unwrap();
            arrived.insert(context.subtask);
            if arrived.len() == 2 { reached() } else { wait_for("the other branch") }
        }
    };
    let operation = TestOperation::default()
        .with("start", |_| reached())
        .with("left", meet(arrived.clone()))
        .with("right", meet(arrived.clone()))
        .with("join", |_| reached());
    let fixture = Fixture::new(operation);
    let nodes: [(&str, &[&str]); 4] =
        [("start", &[]), ("left", &["start"]), ("right", &["start"]), ("join", &["left", "right"])];
    let id = fixture.begin(&nodes).await;
    let task = fixture.at_rest(id).await;
    assert_eq!(task.state, TaskState::Successful);
    assert_eq!(fixture.store.lock(&task.spec.cluster.key).await.unwrap().unwrap().holder, None);
}

/// Branches that end at the same moment wait for each other's commits, and whoever dispatches what follows for them.
#[tokio::test]
async fn branches_that_end_at_once_do_not_hold_each_other() {
    let names: Vec<String> = (0..8).map(|number| format!("branch {number}")).collect();
    let mut operation = TestOperation::default().with("join", |_| reached());
    let mut nodes: Vec<(&str, &[&str])> = Vec::new();
    let branches: Vec<&str> = names.iter().map(String::as_str).collect();
    for branch in &branches {
        operation = operation.with(branch, |_| reached());
        nodes.push((branch, &[]));
    }
    nodes.push(("join", &branches));
    let fixture = Fixture::new(operation);
    let id = fixture.begin(&nodes).await;
    assert_eq!(fixture.at_rest(id).await.state, TaskState::Successful);
}

/// Each has a number of its own, and its outcome is told of no other; nothing breaks down.
#[tokio::test]
async fn parallel_branches_try_effects_at_once() {
    let tries = |context: &StepContext| match context.tried() {
        true => reached(),
        false => needed(context, Duration::ZERO, EffectOutcome::Done { message: "so".to_owned() }),
    };
    let operation = TestOperation::default().with("left", tries).with("right", tries);
    let fixture = Fixture::new(operation);
    let id = fixture.begin(&[("left", &[]), ("right", &[])]).await;
    let task = fixture.at_rest(id).await;
    assert_eq!((task.state, task.fence.get()), (TaskState::Successful, 1), "{task:#?}");
    let tried = task.intents.iter().map(|intent| (intent.number, intent.outcome)).collect::<Vec<_>>();
    assert_eq!(tried, [(1, Some(IntentOutcome::Done)), (2, Some(IntentOutcome::Done))]);
    assert_ne!(task.intents[0].subtask, task.intents[1].subtask);
}

/// A step that breaks its executor down every time does not leave its task without a word.
#[tokio::test]
async fn a_step_that_breaks_down_rests_as_crash_loop_and_can_be_retried() {
    let fixture = Fixture::new(TestOperation::default().with("only", |_| panic!("a bug")));
    let id = fixture.begin(&[("only", &[])]).await;
    let task = fixture.at_rest(id).await;
    assert_eq!(task.state, TaskState::Failed);
    assert_eq!(task.error.as_ref().unwrap().kind, FailureKind::CrashLoop);
    assert_eq!(fixture.store.lock(&task.spec.cluster.key).await.unwrap().unwrap().holder, Some(id));
    fixture.operation.set("only", |_| reached());
    assert_eq!(fixture.retry(task).await.state, TaskState::Successful);
}

/// A negative look counts only once the request can no longer take effect.
#[tokio::test]
async fn an_unknown_effect_fails_only_behind_its_horizon() {
    let horizon = Duration::from_millis(900);
    let operation = TestOperation::default().with("only", move |context| {
        let tried = context.task.intents.iter().any(|intent| intent.outcome == Some(IntentOutcome::Unknown));
        if tried {
            let failure = Failure::new(FailureKind::Refused, "NOT_SO", "it is not so");
            return Observation::Refuse { failure, output: StepOutput::default(), unresolved: Unresolved::NotDone };
        }
        needed(context, horizon, EffectOutcome::Unknown { message: "lost".to_owned() })
    });
    let fixture = Fixture::new(operation);
    let id = fixture.begin(&[("only", &[])]).await;
    let task = fixture.at_rest(id).await;
    assert_eq!((task.state, task.intents[0].outcome), (TaskState::Refused, Some(IntentOutcome::Void)));
    assert!(task.finish_time.unwrap() >= task.intents[0].intent.horizon, "failed before the horizon");
}

/// A positive look ends the unknown at once, also when the step was about to fail.
#[tokio::test]
async fn a_late_effect_is_found() {
    let looks = AtomicUsize::new(0);
    let operation = TestOperation::default().with("only", move |context| {
        if context.task.intents.is_empty() {
            let long = Duration::from_secs(3600);
            return needed(context, long, EffectOutcome::Unknown { message: "lost".to_owned() });
        }
        match looks.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => {
                let failure = Failure::new(FailureKind::Refused, "NOT_SO", "it is not so");
                Observation::Refuse { failure, output: StepOutput::default(), unresolved: Unresolved::NotDone }
            }
            _ => reached(),
        }
    });
    let fixture = Fixture::new(operation);
    let id = fixture.begin(&[("only", &[])]).await;
    let task = fixture.at_rest(id).await;
    assert_eq!(task.state, TaskState::Successful);
    assert_eq!(state(&task, "only"), (SubtaskState::Successful, Effect::Done));
    assert_eq!(task.intents[0].outcome, Some(IntentOutcome::Done));
}

/// What cannot be read is looked at again, for as long as the step's patience; then it is a refusal, never a pass.
#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let operation = TestOperation::default().with("only", |_| Observation::Unreadable {
        failure: Failure::new(FailureKind::Unreachable, "NOT_THERE", "nobody answers"),
    });
    let fixture = Fixture::new(operation);
    let id = fixture.begin(&[("only", &[])]).await;
    let task = fixture.at_rest(id).await;
    assert_eq!(task.state, TaskState::Refused);
    assert_eq!(task.error.unwrap().reason, "NOT_THERE");
}

/// An owner whose fence was overtaken writes nothing more and lets go.
#[tokio::test]
async fn a_fenced_owner_lets_go() {
    let overtaken = Arc::new(AtomicBool::new(false));
    let seen = overtaken.clone();
    let operation = TestOperation::default()
        .with("only", move |_| if seen.load(Ordering::SeqCst) { reached() } else { wait_for("the test") });
    let fixture = Fixture::new(operation);
    let id = fixture.begin(&[("only", &[])]).await;
    let task = fixture.until(id, |task| task.subtasks[0].state == SubtaskState::Running).await;
    let owned = fixture.store.owned_tasks().await.unwrap().remove(0);
    assert!(fixture.store.claim(&owned).await.unwrap().is_some());
    overtaken.store(true, Ordering::SeqCst);
    let let_go = async {
        while fixture.engine.running() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, let_go).await.expect("the stale owner held on");
    let after = fixture.store.task(id).await.unwrap().unwrap().task;
    assert_eq!((after.state, after.revision), (TaskState::Running, task.revision));
}
