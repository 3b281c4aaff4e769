//! Tasks in a store as tests want them: accepted and moved by what an engine or a person would have written, without either.

use std::time::Duration;

use obsteward::clock::Timestamp;
use obsteward::domain::decide::{Input, StepOutput, VerbRequest, create, decide};
use obsteward::domain::event::{
    Event, EventKind, Failure, FailureKind, Phase, StoredEvent, TaskCluster, TaskServer, TaskSpec,
};
use obsteward::domain::facts::{Fact, ProcessState, ServerFact};
use obsteward::domain::graph::{Graph, OperationName, SubtaskRole, SubtaskSpec, TaskTarget};
use obsteward::domain::ids::{ClusterId, Principal, Revision, Seq, ServerId, SubtaskId, TaskId};
use obsteward::domain::reason::Reason;
use obsteward::domain::status::{Risk, StopType};
use obsteward::domain::task::Task;
use obsteward::store::{Author, Commit, CommitOutcome, LogLine, Store, TaskRow, Write};

use crate::support::stored_rows::identity;
use crate::support::temporary_store::{TemporaryStore, block_on};

pub fn task_id(id: i64) -> TaskId {
    TaskId::new(id).unwrap()
}

pub fn cluster_id(id: i64) -> ClusterId {
    ClusterId::new(id).unwrap()
}

pub fn subtask_id(task: TaskId, number: i64) -> SubtaskId {
    SubtaskId::new(task.get() * 100 + number).unwrap()
}

/// A cluster as its tasks name it.
pub fn cluster(id: ClusterId) -> TaskCluster {
    let identity = identity(id);
    TaskCluster { id, key: identity.key(), name: identity.name, ob_cluster_id: identity.ob_cluster_id }
}

/// A task of three subtasks in a row on server 7 of a cluster.
pub fn spec(task: TaskId, cluster: ClusterId) -> TaskSpec {
    let subtasks = (1..=3).map(|number| SubtaskSpec {
        id: subtask_id(task, number),
        kind: "STEP".to_owned(),
        name: format!("Step {number}"),
        target: TaskTarget::Cluster,
        timeout: Duration::from_secs(60),
        upstreams: if number == 1 { Vec::new() } else { vec![subtask_id(task, number - 1)] },
        prohibit_skip: number == 1,
        role: SubtaskRole::Step,
    });
    TaskSpec {
        id: task,
        cluster: self::cluster(cluster),
        target: TaskTarget::Server(ServerId::new(7).unwrap()),
        servers: vec![TaskServer {
            id: ServerId::new(7).unwrap(),
            addr: "10.0.0.2:2882".parse().unwrap(),
            ob_server_id: 3,
            zone: "zone1".parse().unwrap(),
        }],
        creator: Principal::new("anonymous"),
        reason: Reason::default(),
        expire_time: Timestamp::from_micros(7_200_000_000),
        force: false,
        accepted_risks: Vec::new(),
        stop_type: Some(StopType::Process),
        freeze_before_stop: false,
        hold: None,
        rollout: None,
        drain: std::time::Duration::ZERO,
        pending: None,
        graph: Graph {
            operation: OperationName { name: "Stop OB server".to_owned(), version: 1 },
            subtasks: subtasks.collect(),
        },
        facts: Vec::new(),
        trace: None,
    }
}

/// What is asked of a task by `anna`, of whatever revision.
pub fn asks(asked: VerbRequest) -> Input {
    Input::Requested { asked, principal: Principal::new("anna"), reason: Reason::default(), if_revision: None }
}

impl TemporaryStore {
    /// Accepts a task, which then holds its cluster unless another does.
    pub fn create(&self, task: TaskId, cluster: ClusterId) {
        self.accept(spec(task, cluster));
    }

    pub fn create_with_risks(&self, task: TaskId, cluster: ClusterId) {
        self.accept(TaskSpec { accepted_risks: vec![Risk::QuorumLoss], ..spec(task, cluster) });
    }

    pub fn accept(&self, spec: TaskSpec) {
        let cluster = spec.cluster.key.clone();
        let held = block_on(self.real.lock(&cluster)).unwrap().is_some_and(|lock| lock.holder.is_some());
        let writes = if held { vec![] } else { vec![Write::AcquireLock { cluster }] };
        self.append(spec.id, None, create(spec), writes);
    }

    /// The first subtask of any task.
    pub fn succeed_first(&self, task: TaskId) {
        let subtask = self.folded(task).in_execution_order()[0].spec.id;
        let output = StepOutput::default();
        self.decide(task, Input::StepSucceeded { subtask, already_so: true, output, executor: "me".to_owned() });
    }

    pub fn decide(&self, task: TaskId, input: Input) {
        self.decide_all(&mut self.folded(task), [input]);
    }

    /// One thing after the other, on a task as it is now.
    pub fn decide_all(&self, task: &mut Task, inputs: impl IntoIterator<Item = Input>) {
        for input in inputs {
            let kinds = decide(task, input, task.last_progress_at).unwrap();
            if !kinds.is_empty() {
                *task = self.append(task.spec.id, Some(task), kinds, Vec::new());
            }
        }
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
                    facts: vec![Fact::Server(
                        ServerId::new(7).unwrap(),
                        ServerFact::ProcessState(ProcessState::Absent),
                    )],
                    ..StepOutput::default()
                },
                executor: "me".to_owned(),
            },
        );
    }

    /// To rest: an expired consent is what a person must look at.
    pub fn fail(&self, task: TaskId, number: i64) {
        self.decide(task, fails(subtask_id(task, number)));
    }

    /// From creation to success.
    pub fn run(&self, task: TaskId, cluster: ClusterId) {
        self.create(task, cluster);
        self.dispatch(task);
        (1..=3).for_each(|number| self.succeed(task, number));
    }

    /// Lines of a task's log, with an event that says nothing else.
    pub fn write_lines(&self, task: TaskId, lines: Vec<LogLine>) {
        let (subtask, code, message) = (subtask_id(task, 1), "LINES".to_owned(), "a test wrote lines".to_owned());
        let event = EventKind::Warned { subtask, code, message };
        self.append(task, Some(&self.folded(task)), vec![event], vec![Write::Log(lines)]);
    }

    /// Every event, in order.
    pub fn log(&self) -> Vec<StoredEvent> {
        block_on(self.real.tail(Seq::ZERO, u32::MAX)).unwrap()
    }

    pub fn folded(&self, task: TaskId) -> Task {
        block_on(self.real.task(task)).unwrap().unwrap().task
    }

    /// The task with what happened to it. Moments are as small as places.
    fn append(&self, id: TaskId, before: Option<&Task>, kinds: Vec<EventKind>, mut writes: Vec<Write>) -> Task {
        let head = block_on(self.real.head()).unwrap().get();
        let moments = (head + 1..).map(|seq| Timestamp::from_micros(seq * 1000));
        let events: Vec<Event> = moments.zip(kinds).map(|(at, kind)| Event { at, kind }).collect();
        let mut events_left = events.iter();
        let mut task = before.cloned().unwrap_or_else(|| Task::begin(events_left.next().unwrap()).unwrap());
        events_left.for_each(|event| task.apply(event).unwrap());
        let cluster = task.spec.cluster.key.clone();
        let holds = || block_on(self.real.lock(&cluster)).unwrap().is_some_and(|lock| lock.holder == Some(id));
        if task.state.phase() == Phase::Closed && holds() {
            writes.push(Write::ReleaseLock { cluster: cluster.clone() });
        }
        let author = Author::Request { principal: Principal::new("test"), nonce: String::new() };
        let (after, row) = (before.map_or(Revision::ZERO, |task| task.revision), Some(TaskRow::of(&task)));
        let outcome = self.outcome(self.real.submit(Commit { task: id, after, author, events, row, writes }));
        assert!(matches!(outcome, Ok(CommitOutcome::Committed { .. })), "{outcome:?}");
        task
    }
}

/// To rest, as [`TemporaryStore::fail`].
pub fn fails(subtask: SubtaskId) -> Input {
    let failure = Failure::new(FailureKind::Expired, "EXPIRED", "consent ended").with("gap_seconds", 700);
    Input::StepFailed { subtask, failure, output: StepOutput::default(), looked: true }
}
