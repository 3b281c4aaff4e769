//! Cancelling: what it is for, how it ends, and that it begins nothing.

use super::*;

/// A chain of two whose first step runs.
fn running() -> Driven {
    let mut driven = Driven::new(&[0, 1]);
    driven.must(dispatch());
    driven
}

/// The same, with an effect that happened.
fn with_effect() -> Driven {
    let mut driven = running();
    driven.must(wanted(&driven, subtask(0), 30, false));
    driven.must(ended(&driven, IntentOutcome::Done));
    driven
}

fn error(driven: &Driven) -> &Failure {
    driven.task.error.as_ref().expect("an error")
}

#[test]
fn only_what_runs_is_cancelled() {
    let mut driven = Driven::new(&[0, 1]);
    let task = crate::store::task_id(100);
    assert_eq!(driven.give(asked(Verb::Cancel)), Err(TaskRefusal::SubtaskNotRunning { task, subtask: subtask(0) }));
    assert_eq!(driven.task.allowed_verbs(), []);
    driven.must(dispatch());
    assert_eq!(driven.task.allowed_verbs(), [Verb::Cancel]);
    driven.must(asked(Verb::Cancel));
    assert_eq!((driven.task.state, driven.state(0)), (TaskState::Canceling, SubtaskState::Canceling));
    assert_eq!(driven.task.allowed_verbs(), []);
    let refused = |driven: &mut Driven, state| {
        let (verb, allowed_in) = (Verb::Cancel, &[TaskState::Pending, TaskState::Running][..]);
        assert_eq!(
            driven.give(asked(Verb::Cancel)),
            Err(TaskRefusal::VerbNotAllowed { task, verb, state, allowed_in }),
        );
    };
    refused(&mut driven, TaskState::Canceling);
    driven.must(cancelled(subtask(0), true));
    refused(&mut driven, TaskState::Refused);

    // A step that nobody told to end does not end as cancelled.
    let mut driven = running();
    assert_eq!(
        driven.give(cancelled(subtask(0), true)),
        Err(TaskRefusal::SubtaskNotRunning { task, subtask: subtask(0) })
    );
}

#[test]
fn a_cancelled_task_rests_with_its_effect_and_closes_without_one() {
    let mut driven = with_effect();
    driven.must(asked(Verb::Cancel));
    driven.must(cancelled(subtask(0), true));
    assert_eq!((driven.task.state, driven.task.operation), (TaskState::Cancelled, TaskOperation::Cancel));
    let ended = &driven.task.subtasks[0];
    assert_eq!((ended.state, ended.operation), (SubtaskState::Failed, SubtaskOperation::Cancel));
    assert_eq!(ended.effect, Effect::Done);
    assert_eq!((error(&driven).kind, error(&driven).reason.as_str()), (FailureKind::Cancelled, "CANCELLED"));
    assert!(error(&driven).metadata.contains(&("principal".to_owned(), "anna".to_owned())));
    assert_eq!(driven.task.allowed_verbs(), [Verb::Retry, Verb::Rollback, Verb::GiveUp]);

    // It is run again as after a failure, and can be cancelled again.
    driven.must(asked(Verb::Retry));
    driven.must(Input::RetryFrom { subtask: subtask(0) });
    driven.must(dispatch());
    assert_eq!((driven.task.subtasks[0].run_time, driven.task.cancelled_by.clone()), (2, None));
    driven.must(success(subtask(0)));
    driven.must(success(subtask(1)));
    assert_eq!(driven.task.state, TaskState::Successful);

    let mut driven = running();
    driven.must(asked(Verb::Cancel));
    driven.must(cancelled(subtask(0), true));
    assert_eq!(driven.task.state, TaskState::Refused, "there is nothing to go on with");
}

#[test]
fn a_step_may_reach_its_end_before_the_cancellation_does() {
    let mut driven = with_effect();
    driven.must(asked(Verb::Cancel));
    driven.must(success(subtask(0)));
    let first = &driven.task.subtasks[0];
    assert_eq!((first.state, first.operation), (SubtaskState::Successful, SubtaskOperation::Cancel));
    assert_eq!((driven.task.state, driven.state(1)), (TaskState::Cancelled, SubtaskState::Pending));
    assert_eq!(error(&driven).reason, "CANCELLED");
    driven.must(asked(Verb::Retry));
    driven.must(Input::RetryFrom { subtask: subtask(1) });
    driven.must(dispatch());
    assert_eq!([driven.state(0), driven.state(1)], [SubtaskState::Successful, SubtaskState::Running]);
    // The last one: then everything that was asked for is reached.
    driven.must(asked(Verb::Cancel));
    driven.must(success(subtask(1)));
    assert_eq!((driven.task.state, driven.task.operation), (TaskState::Successful, TaskOperation::Cancel));

    let mut driven = running();
    driven.must(asked(Verb::Cancel));
    driven.must(success(subtask(0)));
    assert_eq!(driven.task.state, TaskState::Refused);
}

#[test]
fn what_may_still_happen_keeps_a_cancellation_from_ending() {
    for (looked, outcome, state) in
        [(true, Some(IntentOutcome::Void), TaskState::Refused), (false, None, TaskState::Cancelled)]
    {
        let mut driven = running();
        driven.must(wanted(&driven, subtask(0), 30, false));
        let until = driven.now.plus(Duration::from_secs(30));
        driven.must(asked(Verb::Cancel));
        let task = crate::store::task_id(100);
        assert_eq!(driven.give(cancelled(subtask(0), looked)), Err(TaskRefusal::EffectMayStillHappen { task, until }));
        driven.wait(30);
        driven.must(cancelled(subtask(0), looked));
        assert_eq!((driven.task.state, driven.task.intents[0].outcome), (state, outcome));
    }
}

#[test]
fn of_two_equal_effects_a_look_cannot_tell_which_was_done() {
    let mut driven = running();
    driven.must(wanted(&driven, subtask(0), 1, false));
    driven.wait(2);
    driven.must(wanted(&driven, subtask(0), 1, false));
    let (number, outcome) = (1, IntentOutcome::Done);
    driven.must(Input::EffectEnded { subtask: subtask(0), number, outcome, message: "found so".to_owned() });
    driven.must(asked(Verb::Cancel));
    driven.wait(2);
    driven.must(cancelled(subtask(0), true));
    let outcomes: Vec<_> = driven.task.intents.iter().map(|intent| intent.outcome).collect();
    assert_eq!(outcomes, [Some(IntentOutcome::Done), Some(IntentOutcome::Unknown)]);
}

#[test]
fn nothing_is_begun_once_the_task_is_told_to_end() {
    let mut driven = running();
    driven.must(asked(Verb::Cancel));
    let late = wanted(&driven, subtask(0), 30, true);
    assert_eq!(driven.give(late), Ok(0));
    assert_eq!(driven.give(dispatch()), Ok(0));
    // What was sent before and answers now is kept.
    let mut driven = running();
    driven.must(wanted(&driven, subtask(0), 30, false));
    driven.must(asked(Verb::Cancel));
    driven.must(ended(&driven, IntentOutcome::Done));
    driven.must(cancelled(subtask(0), true));
    assert_eq!(driven.task.state, TaskState::Cancelled);
}

#[test]
fn branches_that_run_side_by_side_end_one_by_one_and_the_last_ends_the_task() {
    let mut driven = Driven::new(&[0, 0, 3]);
    driven.must(dispatch());
    driven.must(wanted(&driven, subtask(0), 30, false));
    driven.must(ended(&driven, IntentOutcome::Done));
    driven.must(asked(Verb::Cancel));
    assert_eq!([driven.state(0), driven.state(1)], [SubtaskState::Canceling, SubtaskState::Canceling]);
    driven.must(success(subtask(0)));
    assert_eq!(driven.task.state, TaskState::Canceling);
    driven.must(cancelled(subtask(1), true));
    assert_eq!((driven.task.state, driven.state(2)), (TaskState::Cancelled, SubtaskState::Pending));
}

#[test]
fn a_crash_loop_ends_a_cancellation_too() {
    let mut driven = with_effect();
    driven.must(asked(Verb::Cancel));
    for _ in 0..MAX_ADOPTIONS_WITHOUT_PROGRESS {
        assert_eq!(driven.task.state, TaskState::Canceling);
        driven.must(adopted(&driven));
    }
    assert_eq!((driven.task.state, error(&driven).kind), (TaskState::Cancelled, FailureKind::CrashLoop));
}
