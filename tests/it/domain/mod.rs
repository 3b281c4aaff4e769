//! The rules of tasks: random tasks under random inputs, and what follows from single ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::result_large_err, reason = "a test may stop where it is")]

use std::time::Duration;

use obsteward::domain::decide::{
    Input, LONGEST_GAP, MAX_ADOPTIONS_WITHOUT_PROGRESS, StepOutput, TaskRefusal, VerbRequest, awaits_retry,
};
use obsteward::domain::event::{
    Direction, Effect, EventKind, Failure, FailureKind, IntentOutcome, SubtaskOperation, SubtaskState, TaskOperation,
    TaskState, Verb,
};
use obsteward::domain::refusal::SkipRefusal;
use obsteward::domain::task::Subtask;
use proptest::prelude::*;

use driven::{
    Driven, adopted, asked, cancelled, dispatch, ended, failure, request, skip, subtask, success, undone, wanted,
};

mod cancel;
mod driven;
mod edges;
pub mod parsers;
mod rollback;
mod rollout;
mod skip;

const HOUR: Duration = Duration::from_secs(3600);

/// One of the inputs, sensible or not.
fn any_input(driven: &Driven, kind: u8, which: u8, more: u8) -> Input {
    let anyone = subtask(usize::from(which) % (driven.task.subtasks.len() + 1));
    // Mostly one that runs, so that tasks get somewhere.
    let runs = |it: &&Subtask| matches!(it.state, SubtaskState::Running | SubtaskState::Canceling);
    let mut running =
        driven.task.subtasks.iter().filter(runs).map(|it| it.spec.id).cycle().skip(usize::from(which % 4));
    let subtask = running.next().filter(|_| which < 192).unwrap_or(anyone);
    match kind % 22 {
        0 | 1 => dispatch(),
        2 | 3 => success(subtask),
        4 => Input::StepSucceeded { subtask, already_so: true, output: StepOutput::default(), executor: String::new() },
        5 => failure(subtask),
        6 => Input::TimedOut { subtask, waited_for: "leaders".to_owned() },
        7 | 8 => wanted(driven, subtask, u64::from(more), more.is_multiple_of(3)),
        9 => {
            let outcome = IntentOutcome::ALL[usize::from(more) % IntentOutcome::ALL.len()];
            Input::EffectEnded { subtask, number: i32::from(which % 4), outcome, message: String::new() }
        }
        10 if more < 96 => adopted(driven),
        11 => asked(Verb::Retry),
        12 if more < 64 => asked(Verb::GiveUp),
        13 if more < 128 => asked(Verb::Cancel),
        14 | 15 => cancelled(subtask, more.is_multiple_of(2)),
        16 if more < 128 => asked(Verb::Rollback),
        17 => skip(anyone),
        18..=20 => undone(subtask),
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
    driven.must(Input::StepFailed { subtask: subtask(0), failure, output: StepOutput::default(), looked: false });
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
    let refused = |outcome: Result<usize, TaskRefusal>| {
        assert_eq!(outcome, Err(TaskRefusal::EffectMayStillHappen { task: crate::store::task_id(100), until }));
    };
    refused(driven.give(failure(subtask(0))));
    refused(driven.give(Input::TimedOut { subtask: subtask(0), waited_for: "leaders".to_owned() }));
    for _ in 0..MAX_ADOPTIONS_WITHOUT_PROGRESS {
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
    for _ in 0..MAX_ADOPTIONS_WITHOUT_PROGRESS {
        driven.must(adopted(&driven));
    }
    driven.must(asked(Verb::Retry));
    driven.must(Input::RetryFrom { subtask: subtask(0) });
    driven.must(dispatch());
    driven.must(failure(subtask(0)));
    assert_eq!(driven.task.state, TaskState::Failed);
}

#[test]
fn whoever_takes_a_task_on_by_a_clock_that_is_behind_waits_for_no_horizon_longer_than_it_lasts() {
    let mut driven = Driven::new(&[0]);
    driven.must(dispatch());
    driven.must(wanted(&driven, subtask(0), 30, false));
    let recorded = driven.now;
    driven.wait(10);
    driven.must(adopted(&driven));
    assert_eq!(driven.task.horizon(None), Some(recorded.plus(Duration::from_secs(30))), "it is not put off");
    driven.now = recorded.minus(HOUR);
    let (task, until) = (driven.task.spec.id, driven.now.plus(Duration::from_secs(30)));
    driven.must(adopted(&driven));
    driven.wait(29);
    assert_eq!(driven.give(failure(subtask(0))), Err(TaskRefusal::EffectMayStillHappen { task, until }));
    driven.wait(1);
    driven.must(failure(subtask(0)));
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
    for _ in 1..MAX_ADOPTIONS_WITHOUT_PROGRESS {
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
    // To wait for clients was asked for, and is no gap.
    for (more, state) in [(0, TaskState::Running), (1, TaskState::Failed)] {
        let mut driven = Driven::asked(&[0], |spec| spec.drain = Duration::from_secs(1800));
        driven.must(dispatch());
        driven.wait(LONGEST_GAP.as_secs() + 1800 + more);
        driven.must(wanted(&driven, subtask(0), 30, true));
        assert_eq!(driven.task.state, state);
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
