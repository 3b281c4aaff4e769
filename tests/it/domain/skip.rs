//! Skipping: a failed subtask that a person answers for, forward and back, and never one that the others rely on.

use super::*;
use SubtaskState as S;

/// Whose second subtask has had its effect and still runs.
fn acted(upstreams: &[u8]) -> Driven {
    let mut driven = Driven::new(upstreams);
    driven.must(dispatch());
    driven.must(success(subtask(0)));
    driven.must(wanted(&driven, subtask(1), 30, false));
    driven.must(ended(&driven, IntentOutcome::Done));
    driven
}

/// A chain of three whose second failed with an effect.
fn failed() -> Driven {
    let mut driven = acted(&[0, 1, 2]);
    driven.must(failure(subtask(1)));
    assert_eq!(driven.task.state, TaskState::Failed);
    driven
}

fn unskippable(driven: &mut Driven, at: usize) -> SkipRefusal {
    match driven.give(skip(subtask(at))) {
        Err(Refusal::SubtaskNotSkippable { subtask: of, why, .. }) => {
            assert_eq!(of, subtask(at));
            why
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_skipped_subtask_counts_as_successful_and_the_task_goes_on_behind_it() {
    let mut driven = failed();
    driven.must(skip(subtask(1)));
    assert_eq!((driven.task.state, driven.task.operation), (TaskState::Running, TaskOperation::Retry));
    let skipped = &driven.task.subtasks[1];
    assert_eq!((skipped.state, skipped.operation), (S::Successful, SubtaskOperation::Skip));
    assert_eq!((skipped.effect, skipped.run_time, skipped.error.clone()), (Effect::Done, 1, None));
    let warning = driven.task.warnings.last().expect("a warning");
    assert_eq!((warning.subtask, warning.code.as_str()), (subtask(1), "SUBTASK_SKIPPED"));
    assert_eq!(warning.text, "step 1 counts as successful because anna said so; it had failed: no");
    assert!(!awaits_retry(&driven.task), "nothing that succeeded is looked at again");
    driven.must(dispatch());
    driven.must(success(subtask(2)));
    assert_eq!(driven.task.state, TaskState::Successful);
}

#[test]
fn the_skip_of_the_last_subtask_closes_the_task() {
    let mut driven = Driven::new(&[0, 1]);
    driven.must(dispatch());
    driven.must(wanted(&driven, subtask(0), 30, false));
    driven.must(ended(&driven, IntentOutcome::Done));
    driven.must(success(subtask(0)));
    driven.must(failure(subtask(1)));
    driven.must(skip(subtask(1)));
    assert_eq!((driven.task.state, driven.task.error.clone()), (TaskState::Successful, None));
}

#[test]
fn only_a_failed_subtask_of_a_task_at_rest_is_skipped_and_never_one_that_prepares() {
    let mut driven = Driven::new(&[0, 1]);
    driven.must(dispatch());
    let (task, verb) = (crate::store::task_id(100), Verb::SkipSubtask);
    let (state, allowed_in) = (TaskState::Running, &[TaskState::Failed, TaskState::Cancelled][..]);
    assert_eq!(driven.give(skip(subtask(0))), Err(Refusal::VerbNotAllowed { task, verb, state, allowed_in }));
    driven.must(wanted(&driven, subtask(0), 30, false));
    driven.must(ended(&driven, IntentOutcome::Done));
    driven.must(failure(subtask(0)));
    assert_eq!(driven.task.allowed_verbs(), [Verb::Retry, Verb::Rollback, Verb::GiveUp]);
    assert_eq!(unskippable(&mut driven, 0), SkipRefusal::Checks);
    assert_eq!(unskippable(&mut driven, 1), SkipRefusal::NotFailed(S::Pending));
    let nowhere = subtask(7);
    assert_eq!(driven.give(skip(nowhere)), Err(Refusal::SubtaskNotFound { task, subtask: nowhere }));
    assert_eq!(unskippable(&mut failed(), 0), SkipRefusal::NotFailed(S::Successful));
}

#[test]
fn what_may_still_happen_is_not_skipped() {
    let mut driven = Driven::new(&[0, 1]);
    driven.must(dispatch());
    driven.must(success(subtask(0)));
    driven.must(wanted(&driven, subtask(1), 30, false));
    let until = driven.now.plus(Duration::from_secs(30));
    for _ in 0..MAX_ADOPTIONS_WITHOUT_PROGRESS {
        driven.must(adopted(&driven));
    }
    let task = crate::store::task_id(100);
    assert_eq!(driven.give(skip(subtask(1))), Err(Refusal::EffectMayStillHappen { task, until }));
    driven.wait(30);
    driven.must(skip(subtask(1)));
    assert_eq!(driven.task.state, TaskState::Successful);
    assert!(driven.task.intents[0].is_unresolved(), "what nobody knows stays not known");
}

/// 0 before 1 and 2, which are before 3; both failed, and the first of them was skipped.
fn one_of_two_skipped() -> Driven {
    let mut driven = acted(&[0, 1, 1, 6]);
    driven.must(failure(subtask(1)));
    driven.must(failure(subtask(2)));
    driven.must(skip(subtask(1)));
    driven
}

#[test]
fn another_subtask_that_failed_keeps_the_task_at_rest() {
    let mut driven = one_of_two_skipped();
    assert_eq!(driven.task.state, TaskState::Failed);
    assert_eq!([1, 2, 3].map(|at| driven.state(at)), [S::Successful, S::Failed, S::Pending]);
    driven.must(skip(subtask(2)));
    assert_eq!((driven.task.state, driven.state(3)), (TaskState::Running, S::Ready));

    // Skipped, and retried for the other's sake: what a person answered for is not run again.
    let mut driven = one_of_two_skipped();
    driven.must(asked(Verb::Retry));
    driven.must(Input::RetryFrom { subtask: subtask(2) });
    assert_eq!([1, 2, 3].map(|at| driven.state(at)), [S::Successful, S::Ready, S::Pending]);
}

/// A cancellation leaves another branch where it stood; the skip takes that up too.
#[test]
fn a_task_goes_on_with_all_that_waits_for_nothing() {
    // Two chains: 0 before 1, 2 before 3.
    let mut driven = acted(&[0, 1, 0, 4]);
    driven.must(asked(Verb::Cancel));
    driven.must(success(subtask(2)));
    driven.must(cancelled(subtask(1), true));
    assert_eq!((driven.task.state, driven.state(3)), (TaskState::Cancelled, S::Pending));
    driven.must(skip(subtask(1)));
    assert_eq!((driven.task.state, driven.state(3)), (TaskState::Running, S::Ready));
    driven.must(dispatch());
    driven.must(success(subtask(3)));
    assert_eq!(driven.task.state, TaskState::Successful);
}

#[test]
fn a_subtask_whose_undo_failed_counts_as_undone_also_one_that_prepares() {
    let mut driven = failed();
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    driven.must(failure(subtask(1)));
    driven.must(skip(subtask(1)));
    assert_eq!((driven.task.state, driven.task.operation), (TaskState::Running, TaskOperation::Rollback));
    let skipped = &driven.task.subtasks[1];
    assert_eq!((skipped.state, skipped.operation), (S::Pending, SubtaskOperation::RollbackSkip));
    assert_eq!(skipped.effect, Effect::None);
    assert!(driven.task.warnings.last().expect("a warning").text.starts_with("step 1 counts as undone because anna"));
    driven.must(dispatch());
    driven.must(failure(subtask(0)));
    driven.must(skip(subtask(0)));
    assert_eq!(driven.task.state, TaskState::RolledBack);
}

#[test]
fn a_skip_does_not_undo_out_of_turn() {
    let mut driven = failed();
    driven.must(asked(Verb::Retry));
    driven.must(Input::RetryFrom { subtask: subtask(0) });
    driven.must(dispatch());
    driven.must(failure(subtask(0)));
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    // The second did something before the retry, and its undo fails: the first, which failed, is not next.
    driven.must(failure(subtask(1)));
    assert_eq!(driven.task.state, TaskState::Failed);
    assert_eq!(unskippable(&mut driven, 0), SkipRefusal::NotItsTurn);
    driven.must(skip(subtask(1)));
    driven.must(dispatch());
    assert_eq!([0, 1, 2].map(|at| driven.state(at)), [S::Running, S::Pending, S::Pending]);
    driven.must(undone(subtask(0)));
    assert_eq!(driven.task.state, TaskState::RolledBack);
}
