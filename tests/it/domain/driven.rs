//! A task with its whole log, driven by inputs: after each of them what must hold of every task is checked.

use std::time::Duration;

use obsteward::clock::Timestamp;
use obsteward::domain::approval::PlanDigest;
use obsteward::domain::decide::{Input, StepOutput, TaskRefusal, VerbRequest, create, decide};
use obsteward::domain::effect::Intent;
use obsteward::domain::event::{
    Direction, Event, EventKind, Failure, FailureKind, IntentOutcome, Phase, SubtaskOperation, SubtaskState, TaskSpec,
    TaskState, Verb,
};
use obsteward::domain::graph::{SubtaskRole, SubtaskSpec, TaskTarget};
use obsteward::domain::ids::{Fence, Principal, SubtaskId};
use obsteward::domain::reason::Reason;
use obsteward::domain::task::{Subtask, Task};

use crate::store::{at, spec};

pub fn subtask(offset: usize) -> SubtaskId {
    SubtaskId::new(101 + offset as i64).expect("an id")
}

/// A task whose subtask `n` waits for the earlier ones whose bit is set in the nth number.
fn task(upstreams: &[u8]) -> Vec<Event> {
    let mut spec = spec(100, 1);
    spec.graph.subtasks = upstreams
        .iter()
        .enumerate()
        .map(|(index, bits)| SubtaskSpec {
            id: subtask(index),
            kind: "STEP".to_owned(),
            name: format!("step {index}"),
            target: TaskTarget::Cluster,
            timeout: Duration::from_secs(60),
            upstreams: (0..index).filter(|up| bits & (1 << up) != 0).map(subtask).collect(),
            prohibit_skip: index == 0,
            role: SubtaskRole::Step,
        })
        .collect();
    create(spec).into_iter().map(|kind| Event { at: at(0), kind }).collect()
}

/// A task with its whole log, driven by inputs.
pub struct Driven {
    pub log: Vec<Event>,
    pub task: Task,
    pub now: Timestamp,
}

impl Driven {
    pub fn new(upstreams: &[u8]) -> Self {
        Self::asked(upstreams, |_| {})
    }

    /// With something else in what was asked for.
    pub fn asked(upstreams: &[u8], change: impl Fn(&mut TaskSpec)) -> Self {
        let mut log = task(upstreams);
        for event in &mut log {
            if let EventKind::Created(spec) = &mut event.kind {
                change(spec);
            }
        }
        let task = Task::fold(&log).expect("a creation that folds");
        Self { log, task, now: at(0) }
    }

    pub fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    pub fn give(&mut self, input: Input) -> Result<usize, TaskRefusal> {
        let before = self.task.clone();
        let kinds = decide(&before, input.clone(), self.now)?;
        let count = kinds.len();
        for kind in kinds {
            let event = Event { at: self.now, kind };
            if let Err(error) = self.task.apply(&event) {
                panic!("{input:?} decides {event:?}, which does not fold: {error}");
            }
            self.log.push(event);
        }
        assert_eq!(self.task.revision.get(), before.revision.get() + count as i64);
        assert_eq!(Task::fold(&self.log).as_ref(), Ok(&self.task));
        self.check(&before, count);
        self.check_moves(&before, &input, count);
        Ok(count)
    }

    pub fn must(&mut self, input: Input) {
        self.give(input.clone()).unwrap_or_else(|refusal| panic!("{input:?} is refused: {refusal:?}"));
    }

    fn check(&self, before: &Task, count: usize) {
        let Self { task, log, now } = self;
        let decided = &log[log.len() - count..];
        let moves = |event: &Event| matches!(event.kind, EventKind::TaskStateChanged { .. });
        let any = |states: &[SubtaskState]| task.subtasks.iter().any(|subtask| states.contains(&subtask.state));
        let moving = any(&[SubtaskState::Running, SubtaskState::Canceling]);
        if before.state.phase() == Phase::Closed {
            assert_eq!(count, 0, "a closed task has no further events");
            return;
        }
        if task.state != before.state {
            // A person's word may close a task that rests, by way of RUNNING.
            let closes = before.state.phase() == Phase::AtRest && task.state.phase() == Phase::Closed;
            let most = if closes { 2 } else { 1 };
            assert!((1..=most).contains(&decided.iter().filter(|event| moves(event)).count()), "{decided:?}");
            let ends = task.state.phase() != Phase::Moving;
            assert!(!ends || decided.last().is_some_and(moves), "the end of a task ends its commit: {decided:?}");
        }
        let to_look_at = |failure: &Failure| matches!(failure.kind, FailureKind::Expired | FailureKind::CrashLoop);
        let someone_must_look = task.error.as_ref().is_some_and(to_look_at)
            || task.subtasks.iter().any(|subtask| subtask.error.as_ref().is_some_and(to_look_at));
        let going_back = task.direction == Direction::Back;
        match task.state {
            TaskState::Refused => {
                assert!(!task.has_effect() && !someone_must_look && !going_back, "{task:?}");
            }
            TaskState::Cancelled => assert!(
                task.state == before.state || task.has_effect() || someone_must_look || going_back,
                "it rests with nothing to look at: {task:?}"
            ),
            TaskState::Failed => {
                assert!(task.state == before.state || task.has_effect() || someone_must_look || going_back, "{task:?}")
            }
            TaskState::Successful => {
                assert!(task.subtasks.iter().all(|subtask| subtask.state == SubtaskState::Successful));
                let skipped = |subtask: &Subtask| subtask.operation == SubtaskOperation::Skip;
                let open = task.intents.iter().filter(|intent| intent.is_unresolved());
                let mut open = open.map(|intent| task.subtask(intent.subtask).expect("a subtask"));
                assert!(open.all(skipped), "only what somebody answers for is open behind a success: {task:?}");
            }
            TaskState::RolledBack => {
                use SubtaskOperation as O;
                let forgotten = |subtask: &Subtask| match subtask.operation {
                    O::Rollback | O::RollbackSkip | O::Cancel => false,
                    O::Execute | O::Retry | O::Skip => task.effects(subtask.spec.id).next().is_some(),
                };
                // What a health gate has behind it stays done.
                let mut undone = task.subtasks.iter().filter(|subtask| !task.is_sealed(subtask.spec.id));
                let forgets = |it: &Subtask| it.state != SubtaskState::Pending || forgotten(it);
                assert!(!undone.any(forgets), "{task:?}");
            }
            TaskState::Pending | TaskState::Running | TaskState::Canceling | TaskState::GivenUp => {}
        }
        if before.state == TaskState::Canceling {
            assert!(!decided.iter().any(begins), "a task that is told to end begins nothing: {decided:?}");
        }
        match task.state.phase() {
            Phase::Closed => {
                assert!(!moving, "{task:?}");
                assert!(task.horizon(None).is_none_or(|until| until <= *now), "a lock is freed before the horizon");
                assert_eq!((task.finish_time, task.resting_since), (Some(*now), None));
            }
            Phase::AtRest => {
                assert!(!moving, "{task:?}");
                assert!(task.resting_since.is_some() && task.finish_time.is_none());
                assert!(!task.allowed_verbs().is_empty());
            }
            Phase::Pending => assert!(!moving && task.allows(Verb::Cancel), "{task:?}"),
            Phase::Moving => assert!(self.can_go_on(), "nothing can move {task:?}"),
        }
    }

    /// What moved, and why it may.
    fn check_moves(&self, before: &Task, input: &Input, count: usize) {
        let decided = &self.log[self.log.len() - count..];
        let asked = match input {
            Input::Requested { asked, .. } => Some(asked),
            _ => None,
        };
        match asked {
            Some(VerbRequest::Retry { .. }) => {
                assert_eq!(before.direction, Direction::Forward, "half undone, and run forward")
            }
            Some(VerbRequest::SkipSubtask { subtask }) => {
                let skipped = before.subtask(*subtask).expect("a subtask");
                assert_eq!(skipped.state, SubtaskState::Failed, "skipped: {skipped:?}");
                assert!(!skipped.spec.prohibit_skip || before.direction == Direction::Back, "skipped: {skipped:?}");
            }
            Some(
                VerbRequest::Rollback { .. }
                | VerbRequest::Cancel
                | VerbRequest::CompleteHold
                | VerbRequest::Pause
                | VerbRequest::Resume
                | VerbRequest::Approve { .. }
                | VerbRequest::WithdrawApproval
                | VerbRequest::GiveUp { .. },
            )
            | None => {}
        }
        // Event by event, because several may follow from one input.
        let mut task = before.clone();
        for event in decided {
            match &event.kind {
                EventKind::SubtaskStateChanged { subtask, from, to, operation, .. } => {
                    let back = matches!(operation, SubtaskOperation::Rollback | SubtaskOperation::RollbackSkip);
                    if back && *to == SubtaskState::Ready {
                        let behind = task.spec.graph.downstreams(*subtask);
                        let mut behind = behind.into_iter().map(|id| task.subtask(id).expect("a subtask"));
                        let waits = |it: &Subtask| it.state == SubtaskState::Pending && task.is_undone(it);
                        assert!(behind.all(waits), "{subtask} is undone before what is behind it: {task:?}");
                    }
                    if *to == SubtaskState::Pending && back {
                        let undone = matches!(input, Input::StepUndone { subtask: of, .. } if of == subtask)
                            || matches!(asked, Some(VerbRequest::SkipSubtask { subtask: of }) if of == subtask);
                        let did = task.effects(*subtask).next().is_some();
                        assert!(undone || (*from == SubtaskState::Ready && !did), "forgotten: {subtask} of {task:?}");
                    }
                }
                // That something did not happen is said once it no longer can, or by its own answer.
                EventKind::IntentSettled { number, outcome: IntentOutcome::Void, .. } => {
                    let intent = task.intents.iter().find(|intent| intent.number == *number).expect("an intent");
                    let answered = matches!(input, Input::EffectEnded { .. });
                    assert!(answered || intent.intent.horizon <= self.now, "{intent:?} can still happen");
                }
                _ => {}
            }
            task.apply(event).expect("it folded before");
        }
    }

    fn can_go_on(&self) -> bool {
        let later = self.now.plus(Duration::from_secs(1_000_000));
        let ids = || self.task.subtasks.iter().map(|subtask| subtask.spec.id);
        let executor = || "me".to_owned();
        let mut inputs = vec![Input::Dispatch { executor: executor() }];
        inputs.extend(ids().map(|subtask| Input::RetryFrom { subtask }));
        inputs.extend(ids().map(success));
        inputs.extend(ids().map(undone));
        inputs.into_iter().any(|input| decide(&self.task, input, later).is_ok_and(|events| !events.is_empty()))
    }

    pub fn state(&self, offset: usize) -> SubtaskState {
        self.task.subtasks[offset].state
    }
}

pub fn success(subtask: SubtaskId) -> Input {
    Input::StepSucceeded { subtask, already_so: false, output: StepOutput::default(), executor: "me".to_owned() }
}

pub fn undone(subtask: SubtaskId) -> Input {
    Input::StepUndone { subtask, output: StepOutput::default(), executor: "me".to_owned() }
}

pub fn failure(subtask: SubtaskId) -> Input {
    let failure = Failure::new(FailureKind::Refused, "NO", "no");
    Input::StepFailed { subtask, failure, output: StepOutput::default(), looked: true }
}

pub fn wanted(driven: &Driven, subtask: SubtaskId, seconds: u64, irreversible: bool) -> Input {
    let horizon = driven.now.plus(Duration::from_secs(seconds));
    let (description, endpoint) = ("STOP SERVER".to_owned(), "10.0.0.1:2881".to_owned());
    let intent = Intent { description, endpoint, connection_id: 7, horizon, irreversible };
    Input::EffectWanted { subtask, intent, fence: Fence::new(1), output: StepOutput::default() }
}

pub fn ended(driven: &Driven, outcome: IntentOutcome) -> Input {
    let last = driven.task.intents.last().expect("an intent");
    Input::EffectEnded { subtask: last.subtask, number: last.number, outcome, message: String::new() }
}

pub fn adopted(driven: &Driven) -> Input {
    Input::Adopted { fence: driven.task.fence.next(), executor: "another".to_owned() }
}

pub fn asked(verb: Verb) -> Input {
    request(match verb {
        Verb::Retry => VerbRequest::Retry { expire_time: None },
        Verb::Rollback => VerbRequest::Rollback { expire_time: None },
        Verb::SkipSubtask => VerbRequest::SkipSubtask { subtask: subtask(0) },
        Verb::Cancel => VerbRequest::Cancel,
        Verb::CompleteHold => VerbRequest::CompleteHold,
        Verb::Pause => VerbRequest::Pause,
        Verb::Resume => VerbRequest::Resume,
        Verb::GiveUp => VerbRequest::GiveUp { found: Vec::new() },
        Verb::Approve => {
            VerbRequest::Approve { plan: PlanDigest::new("2b"), expire_time: Timestamp::from_micros(i64::MAX) }
        }
        Verb::WithdrawApproval => VerbRequest::WithdrawApproval,
    })
}

pub fn skip(subtask: SubtaskId) -> Input {
    request(VerbRequest::SkipSubtask { subtask })
}

pub fn request(asked: VerbRequest) -> Input {
    Input::Requested { asked, principal: Principal::new("anna"), reason: Reason::default(), if_revision: None }
}

pub fn dispatch() -> Input {
    Input::Dispatch { executor: "me".to_owned() }
}

pub fn cancelled(subtask: SubtaskId, looked: bool) -> Input {
    Input::StepCancelled { subtask, looked, output: StepOutput::default(), waited_for: "leaders".to_owned() }
}

/// Whether an event begins a step or an effect.
fn begins(event: &Event) -> bool {
    match event.kind {
        EventKind::SubtaskStateChanged { to, .. } => matches!(to, SubtaskState::Ready | SubtaskState::Running),
        EventKind::IntentRecorded { .. } => true,
        _ => false,
    }
}
