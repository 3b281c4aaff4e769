//! The rules of tasks: the edge tables against a list written independently, and random tasks under random inputs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::result_large_err, reason = "a test may stop where it is")]

use std::time::Duration;

use obsteward::clock::Timestamp;
use obsteward::domain::decide::{ADOPTIONS_WITHOUT_MOVING, Input, LONGEST_GAP, Learned, awaits_retry, create, decide};
use obsteward::domain::edges::{subtask_edge, task_edge};
use obsteward::domain::effect::Intent;
use obsteward::domain::event::{
    Effect, Event, EventKind, Failure, FailureKind, IntentOutcome, Phase, SubtaskOperation, SubtaskState,
    TaskOperation, TaskState, Verb,
};
use obsteward::domain::graph::SubtaskSpec;
use obsteward::domain::ids::{Fence, Principal, SubtaskId};
use obsteward::domain::refusal::Refusal;
use obsteward::domain::task::Task;
use proptest::prelude::*;

use crate::store::{at, spec};

mod cancel;

const TASK_EDGES: &str = "
    RUNNING CANCELING CANCEL
    RUNNING FAILED EXECUTE, RETRY, ROLLBACK
    RUNNING REFUSED EXECUTE, RETRY
    RUNNING ROLLED_BACK ROLLBACK
    RUNNING SUCCESSFUL EXECUTE, RETRY
    CANCELING CANCELLED CANCEL
    CANCELING FAILED CANCEL
    CANCELING REFUSED CANCEL
    CANCELING SUCCESSFUL CANCEL
    FAILED GIVEN_UP GIVE_UP
    FAILED RUNNING RETRY, ROLLBACK
    CANCELLED GIVEN_UP GIVE_UP
    CANCELLED RUNNING RETRY, ROLLBACK
";

const SUBTASK_EDGES: &str = "
    PENDING READY EXECUTE, RETRY
    READY RUNNING EXECUTE, RETRY, ROLLBACK, SKIP, ROLLBACK_SKIP
    RUNNING CANCELING CANCEL
    RUNNING FAILED EXECUTE, RETRY, ROLLBACK
    RUNNING PENDING ROLLBACK, ROLLBACK_SKIP
    RUNNING SUCCESSFUL EXECUTE, RETRY, SKIP
    CANCELING FAILED CANCEL
    CANCELING SUCCESSFUL CANCEL
    FAILED PENDING RETRY
    FAILED READY RETRY, ROLLBACK, SKIP, ROLLBACK_SKIP
    SUCCESSFUL PENDING RETRY
    SUCCESSFUL READY RETRY, ROLLBACK
";

fn listed(edges: &str, from: &str, to: &str, operation: &str) -> bool {
    edges.lines().filter_map(|line| line.trim().split_once(' ')).any(|(listed_from, rest)| {
        let (listed_to, operations) = rest.split_once(' ').expect("three columns");
        listed_from == from && listed_to == to && operations.split(", ").any(|listed| listed == operation)
    })
}

#[test]
fn the_edge_table_of_tasks_is_the_list() {
    for from in TaskState::ALL {
        for to in TaskState::ALL {
            for operation in TaskOperation::ALL {
                let expected = listed(TASK_EDGES, from.as_str(), to.as_str(), operation.as_str());
                assert_eq!(task_edge(*from, *to, *operation), expected, "{from} to {to} under {operation}");
            }
        }
    }
}

#[test]
fn the_edge_table_of_subtasks_is_the_list() {
    for from in SubtaskState::ALL {
        for to in SubtaskState::ALL {
            for operation in SubtaskOperation::ALL {
                let expected = listed(SUBTASK_EDGES, from.as_str(), to.as_str(), operation.as_str());
                assert_eq!(subtask_edge(*from, *to, *operation), expected, "{from} to {to} under {operation}");
            }
        }
    }
}

fn subtask(offset: usize) -> SubtaskId {
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
            name: format!("step {index}"),
            description: String::new(),
            timeout: Duration::from_secs(60),
            upstreams: (0..index).filter(|up| bits & (1 << up) != 0).map(subtask).collect(),
        })
        .collect();
    create(spec).into_iter().map(|kind| Event { at: at(0), kind }).collect()
}

/// A task with its whole log, driven by inputs.
struct Driven {
    log: Vec<Event>,
    task: Task,
    now: Timestamp,
}

impl Driven {
    fn new(upstreams: &[u8]) -> Self {
        let log = task(upstreams);
        let task = Task::fold(&log).expect("a creation that folds");
        Self { log, task, now: at(0) }
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    fn give(&mut self, input: Input) -> Result<usize, Refusal> {
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
        Ok(count)
    }

    fn must(&mut self, input: Input) {
        self.give(input.clone()).unwrap_or_else(|refusal| panic!("{input:?} is refused: {refusal:?}"));
    }

    fn check(&self, before: &Task, count: usize) {
        let Self { task, log, now } = self;
        let decided = &log[log.len() - count..];
        let moves = |event: &Event| matches!(event.kind, EventKind::TaskMoved { .. });
        let any = |states: &[SubtaskState]| task.subtasks.iter().any(|subtask| states.contains(&subtask.state));
        let moving = any(&[SubtaskState::Running, SubtaskState::Canceling]);
        if before.state.phase() == Phase::Closed {
            assert_eq!(count, 0, "a closed task has no further events");
            return;
        }
        if task.state != before.state {
            assert_eq!(decided.iter().filter(|event| moves(event)).count(), 1, "{decided:?}");
            assert!(decided.last().is_some_and(moves), "the end of a task is the end of its commit: {decided:?}");
        }
        let to_look_at = |failure: &Failure| matches!(failure.kind, FailureKind::Expired | FailureKind::CrashLoop);
        let someone_must_look = task.error.as_ref().is_some_and(to_look_at)
            || task.subtasks.iter().any(|subtask| subtask.error.as_ref().is_some_and(to_look_at));
        match task.state {
            TaskState::Refused => assert!(!task.has_effect() && !someone_must_look, "{task:?}"),
            TaskState::Cancelled => assert!(
                task.state == before.state || task.has_effect() || someone_must_look,
                "it rests with nothing to look at: {task:?}"
            ),
            TaskState::Failed => assert!(task.has_effect() || someone_must_look, "{task:?}"),
            TaskState::Successful => {
                assert!(task.subtasks.iter().all(|subtask| subtask.state == SubtaskState::Successful));
                assert!(task.horizon(None).is_none(), "nothing is open behind a success");
            }
            TaskState::Running | TaskState::Canceling | TaskState::RolledBack | TaskState::GivenUp => {}
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
            Phase::Moving => assert!(self.can_go_on(), "nothing can move {task:?}"),
        }
    }

    fn can_go_on(&self) -> bool {
        let later = self.now.plus(Duration::from_secs(1_000_000));
        let ids = || self.task.subtasks.iter().map(|subtask| subtask.spec.id);
        let executor = || "me".to_owned();
        let mut inputs = vec![Input::Dispatch { executor: executor() }];
        inputs.extend(ids().map(|subtask| Input::RetryFrom { subtask }));
        inputs.extend(ids().map(success));
        inputs.into_iter().any(|input| decide(&self.task, input, later).is_ok_and(|events| !events.is_empty()))
    }

    fn state(&self, offset: usize) -> SubtaskState {
        self.task.subtasks[offset].state
    }
}

fn success(subtask: SubtaskId) -> Input {
    Input::StepSucceeded { subtask, already_so: false, learned: Learned::default(), executor: "me".to_owned() }
}

fn failure(subtask: SubtaskId) -> Input {
    let failure = Failure::new(FailureKind::Refused, "NO", "no");
    Input::StepFailed { subtask, failure, learned: Learned::default(), looked: true }
}

fn wanted(driven: &Driven, subtask: SubtaskId, seconds: u64, irreversible: bool) -> Input {
    let horizon = driven.now.plus(Duration::from_secs(seconds));
    let (description, endpoint) = ("STOP SERVER".to_owned(), "10.0.0.1:2881".to_owned());
    let intent = Intent { description, endpoint, connection_id: 7, horizon, irreversible };
    Input::EffectWanted { subtask, intent, fence: Fence::new(1), overrides: Vec::new() }
}

fn ended(driven: &Driven, outcome: IntentOutcome) -> Input {
    let last = driven.task.intents.last().expect("an intent");
    Input::EffectEnded { subtask: last.subtask, number: last.number, outcome, message: String::new() }
}

fn adopted(driven: &Driven) -> Input {
    Input::Adopted { fence: driven.task.fence.next(), executor: "another".to_owned() }
}

fn asked(verb: Verb) -> Input {
    Input::Requested { verb, principal: Principal::new("anna"), if_revision: None, expire_time: None }
}

fn dispatch() -> Input {
    Input::Dispatch { executor: "me".to_owned() }
}

fn cancelled(subtask: SubtaskId, looked: bool) -> Input {
    Input::StepCancelled { subtask, looked, waited_for: "leaders".to_owned() }
}

/// Whether an event begins a step or an effect.
fn begins(event: &Event) -> bool {
    match event.kind {
        EventKind::SubtaskMoved { to, .. } => matches!(to, SubtaskState::Ready | SubtaskState::Running),
        EventKind::IntentRecorded { .. } => true,
        _ => false,
    }
}

/// One of the inputs, sensible or not.
fn any_input(driven: &Driven, kind: u8, which: u8, more: u8) -> Input {
    let subtask = subtask(usize::from(which) % (driven.task.subtasks.len() + 1));
    match kind % 17 {
        0 | 1 => dispatch(),
        2 | 3 => success(subtask),
        4 => Input::StepSucceeded { subtask, already_so: true, learned: Learned::default(), executor: String::new() },
        5 => failure(subtask),
        6 => Input::TimedOut { subtask, waited_for: "leaders".to_owned() },
        7 | 8 => wanted(driven, subtask, u64::from(more), more.is_multiple_of(3)),
        9 => {
            let outcome = IntentOutcome::ALL[usize::from(more) % IntentOutcome::ALL.len()];
            Input::EffectEnded { subtask, number: i32::from(which % 4), outcome, message: String::new() }
        }
        10 => adopted(driven),
        11 => asked(Verb::Retry),
        12 if more < 64 => asked(Verb::GiveUp),
        13 if more < 128 => asked(Verb::Cancel),
        14 | 15 => cancelled(subtask, more.is_multiple_of(2)),
        _ => Input::RetryFrom { subtask },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_decision_folds_and_no_task_is_stuck(
        upstreams in prop::collection::vec(any::<u8>(), 1..6),
        steps in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), 0_u8..40), 0..60),
    ) {
        let mut driven = Driven::new(&upstreams);
        for (kind, which, more, seconds) in steps {
            driven.wait(if seconds == 39 { 700 } else { u64::from(seconds) });
            let input = any_input(&driven, kind, which, more);
            // A refusal changes nothing, and what is decided is checked by `give`.
            let _ = driven.give(input);
        }
    }
}

#[test]
fn without_an_effect_a_task_is_refused_and_with_one_it_rests() {
    let mut driven = Driven::new(&[0, 1]);
    driven.must(dispatch());
    driven.must(failure(subtask(0)));
    assert_eq!(driven.task.state, TaskState::Refused);

    for (outcome, state) in [
        (IntentOutcome::Done, TaskState::Failed),
        (IntentOutcome::Refused, TaskState::Refused),
        (IntentOutcome::Void, TaskState::Refused),
        // A negative look behind the horizon resolves it.
        (IntentOutcome::Unknown, TaskState::Refused),
    ] {
        let mut driven = Driven::new(&[0, 1]);
        driven.must(dispatch());
        driven.must(wanted(&driven, subtask(0), 30, false));
        driven.must(ended(&driven, outcome));
        driven.wait(31);
        driven.must(failure(subtask(0)));
        assert_eq!(driven.task.state, state, "{outcome}");
    }
}

#[test]
fn what_nobody_could_look_at_is_not_reported_as_not_done() {
    let mut driven = Driven::new(&[0, 1]);
    driven.must(dispatch());
    driven.must(wanted(&driven, subtask(0), 30, false));
    driven.must(ended(&driven, IntentOutcome::Unknown));
    driven.wait(31);
    let failure = Failure::new(FailureKind::Unreachable, "CLUSTER_UNREACHABLE", "no answer");
    driven.must(Input::StepFailed { subtask: subtask(0), failure, learned: Learned::default(), looked: false });
    assert_eq!(driven.task.state, TaskState::Failed, "it rests, with its lock: somebody must look");
    assert_eq!(driven.task.intents[0].outcome, Some(IntentOutcome::Unknown));
}

#[test]
fn parallel_branches_that_all_fail_without_effect_are_refused_together() {
    let mut driven = Driven::new(&[0, 0, 2]);
    driven.must(dispatch());
    driven.must(failure(subtask(0)));
    assert_eq!(driven.task.state, TaskState::Running);
    driven.must(success(subtask(1)));
    assert_eq!(driven.task.state, TaskState::Refused);
    assert_eq!(driven.state(2), SubtaskState::Pending, "nothing new begins after a failure");
}

#[test]
fn a_horizon_keeps_a_task_from_failing_and_from_being_given_up() {
    let mut driven = Driven::new(&[0]);
    driven.must(dispatch());
    driven.must(wanted(&driven, subtask(0), 30, false));
    let until = driven.now.plus(Duration::from_secs(30));
    let refused = |outcome: Result<usize, Refusal>| {
        assert_eq!(outcome, Err(Refusal::EffectMayStillHappen { task: crate::store::task_id(100), until }));
    };
    refused(driven.give(failure(subtask(0))));
    refused(driven.give(Input::TimedOut { subtask: subtask(0), waited_for: "leaders".to_owned() }));
    for _ in 0..ADOPTIONS_WITHOUT_MOVING {
        driven.must(adopted(&driven));
    }
    assert_eq!(driven.task.state, TaskState::Failed);
    refused(driven.give(asked(Verb::GiveUp)));
    driven.wait(30);
    driven.must(asked(Verb::GiveUp));
    assert_eq!(driven.task.state, TaskState::GivenUp);
}

#[test]
fn a_task_never_closes_over_an_open_effect_of_another_subtask() {
    let mut driven = Driven::new(&[0, 1]);
    driven.must(dispatch());
    driven.must(success(subtask(0)));
    driven.must(wanted(&driven, subtask(1), 30, false));
    for _ in 0..ADOPTIONS_WITHOUT_MOVING {
        driven.must(adopted(&driven));
    }
    driven.must(asked(Verb::Retry));
    driven.must(Input::RetryFrom { subtask: subtask(0) });
    driven.must(dispatch());
    driven.must(failure(subtask(0)));
    assert_eq!(driven.task.state, TaskState::Failed);
}

#[test]
fn a_timeout_leaves_open_what_nobody_looked_at() {
    let mut driven = Driven::new(&[0]);
    driven.must(dispatch());
    driven.must(wanted(&driven, subtask(0), 30, false));
    driven.wait(60);
    driven.must(Input::TimedOut { subtask: subtask(0), waited_for: "leaders".to_owned() });
    assert_eq!(driven.task.state, TaskState::Failed);
    assert_eq!(driven.task.subtasks[0].effect, Effect::Done);
    assert!(driven.task.intents[0].is_unresolved());
}

#[test]
fn a_task_that_is_adopted_three_times_without_moving_rests() {
    let mut driven = Driven::new(&[0, 0, 3]);
    driven.must(dispatch());
    driven.must(adopted(&driven));
    driven.must(adopted(&driven));
    driven.must(success(subtask(0)));
    for _ in 1..ADOPTIONS_WITHOUT_MOVING {
        driven.must(adopted(&driven));
        assert_eq!(driven.task.state, TaskState::Running);
    }
    driven.must(adopted(&driven));
    assert_eq!(driven.task.state, TaskState::Failed);
    assert_eq!(driven.task.error.as_ref().map(|error| error.kind), Some(FailureKind::CrashLoop));
    let old = Input::Adopted { fence: driven.task.fence, executor: String::new() };
    assert!(driven.give(old).is_err(), "a fence that is not new adopts nothing");
}

#[test]
fn consent_to_the_irreversible_ends_with_its_time_and_with_a_gap() {
    let expired = |driven: &Driven| driven.task.error.as_ref().map(|error| error.kind) == Some(FailureKind::Expired);
    // The specification's consent ends 7200 s after acceptance.
    for (wait, state) in [(LONGEST_GAP.as_secs(), TaskState::Running), (LONGEST_GAP.as_secs() + 1, TaskState::Failed)] {
        let mut driven = Driven::new(&[0]);
        driven.must(dispatch());
        driven.wait(wait);
        // An adoption is not a move: it does not close the gap.
        driven.must(adopted(&driven));
        driven.must(wanted(&driven, subtask(0), 30, true));
        assert_eq!((driven.task.state, expired(&driven)), (state, state == TaskState::Failed));
    }
    let mut driven = Driven::new(&[0]);
    driven.must(dispatch());
    driven.wait(7201);
    driven.must(wanted(&driven, subtask(0), 30, false));
    driven.must(ended(&driven, IntentOutcome::Void));
    driven.must(wanted(&driven, subtask(0), 30, true));
    assert!(driven.task.state == TaskState::Failed && expired(&driven));
    // A person's retry is the new consent.
    driven.must(asked(Verb::Retry));
    driven.must(Input::RetryFrom { subtask: subtask(0) });
    driven.must(dispatch());
    driven.must(wanted(&driven, subtask(0), 30, true));
    assert_eq!(driven.task.state, TaskState::Running);
}

#[test]
fn a_retry_goes_back_as_told() {
    // 0 -> 1 -> 3, 2 beside them and before 3.
    let mut driven = Driven::new(&[0, 1, 0, 6]);
    driven.must(dispatch());
    driven.must(wanted(&driven, subtask(0), 30, false));
    driven.must(ended(&driven, IntentOutcome::Done));
    driven.must(success(subtask(0)));
    driven.must(success(subtask(2)));
    driven.must(failure(subtask(1)));
    assert_eq!(driven.task.state, TaskState::Failed);
    driven.must(asked(Verb::Retry));
    assert!(awaits_retry(&driven.task));
    driven.must(Input::RetryFrom { subtask: subtask(0) });
    assert!(!awaits_retry(&driven.task));
    use SubtaskState as S;
    assert_eq!([0, 1, 2, 3].map(|at| driven.state(at)), [S::Ready, S::Pending, S::Successful, S::Pending]);
    assert_eq!([0, 1, 2, 3].map(|at| driven.task.subtasks[at].run_time), [2, 2, 1, 1]);
    for step in [0, 1, 3] {
        driven.must(dispatch());
        driven.must(success(subtask(step)));
    }
    assert_eq!((driven.task.state, driven.task.operation), (TaskState::Successful, TaskOperation::Retry));
    assert_eq!(driven.task.subtasks[0].effect, Effect::Done, "what was done before the retry is still ours");
}
