//! Rolling back: in reverse order, nothing forgotten, and at rest wherever an undo could not be made.

use super::*;
use SubtaskState as S;

fn states<const N: usize>(driven: &Driven) -> [SubtaskState; N] {
    std::array::from_fn(|at| driven.state(at))
}

/// Lets a step have an effect that happened.
fn acts(driven: &mut Driven, at: usize) {
    driven.must(wanted(driven, subtask(at), 30, false));
    driven.must(ended(driven, IntentOutcome::Done));
}

/// A chain of three whose first two succeeded with an effect and whose third failed.
fn failed() -> Driven {
    let mut driven = Driven::new(&[0, 1, 2]);
    driven.must(dispatch());
    for step in [0, 1] {
        acts(&mut driven, step);
        driven.must(success(subtask(step)));
    }
    driven.must(failure(subtask(2)));
    assert_eq!(driven.task.state, TaskState::Failed);
    driven
}

/// The same, being undone: the third is next.
fn going_back() -> Driven {
    let mut driven = failed();
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    driven
}

fn error(driven: &Driven) -> &Failure {
    driven.task.error.as_ref().expect("an error")
}

fn warned(driven: &Driven, code: &str) -> Vec<String> {
    let of_code = driven.task.warnings.iter().filter(|warning| warning.code == code);
    of_code.map(|warning| warning.text.clone()).collect()
}

#[test]
fn a_chain_is_undone_from_its_end_and_closes_rolled_back() {
    let mut driven = failed();
    assert_eq!(driven.task.allowed_verbs(), [Verb::Retry, Verb::Rollback, Verb::SkipSubtask, Verb::GiveUp]);
    driven.must(asked(Verb::Rollback));
    assert_eq!(
        (driven.task.state, driven.task.operation, driven.task.direction),
        (TaskState::Running, TaskOperation::Rollback, Direction::Back)
    );
    assert_eq!(states(&driven), [S::Successful, S::Successful, S::Ready]);
    driven.must(dispatch());
    for (step, left) in [(2, [S::Successful, S::Running, S::Pending]), (1, [S::Running, S::Pending, S::Pending])] {
        let again = &driven.task.subtasks[step];
        assert_eq!((again.operation, again.run_time), (SubtaskOperation::Rollback, 1));
        driven.must(undone(subtask(step)));
        assert_eq!(states(&driven), left);
    }
    driven.must(undone(subtask(0)));
    assert_eq!((driven.task.state, driven.task.operation), (TaskState::RolledBack, TaskOperation::Rollback));
    for ended in &driven.task.subtasks {
        assert_eq!((ended.effect, ended.operation), (Effect::None, SubtaskOperation::Rollback));
        assert_eq!(ended.finished_at, Some(driven.now), "the end of the undo is kept");
    }
    assert_eq!(driven.task.error, None);
}

#[test]
fn only_a_task_at_rest_is_rolled_back() {
    let mut driven = Driven::new(&[0, 1]);
    driven.must(dispatch());
    let task = crate::store::task_id(100);
    let refused = |driven: &mut Driven, state| {
        let (verb, allowed_in) = (Verb::Rollback, &[TaskState::Failed, TaskState::Cancelled][..]);
        assert_eq!(driven.give(asked(verb)), Err(TaskRefusal::VerbNotAllowed { task, verb, state, allowed_in }));
    };
    refused(&mut driven, TaskState::Running);
    driven.must(failure(subtask(0)));
    refused(&mut driven, TaskState::Refused);
    // And a step is undone only while its task is, and done only while it is not.
    let mut driven = Driven::new(&[0]);
    driven.must(dispatch());
    assert!(driven.give(undone(subtask(0))).is_err());
    assert!(going_back().give(success(subtask(2))).is_err());
}

#[test]
fn branches_are_undone_side_by_side_and_what_is_before_both_last() {
    // 0 before 1 and 2, which are before 3.
    let mut driven = Driven::new(&[0, 1, 1, 6]);
    driven.must(dispatch());
    acts(&mut driven, 0);
    for step in [0, 1, 2] {
        driven.must(success(subtask(step)));
    }
    driven.must(failure(subtask(3)));
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    driven.must(undone(subtask(3)));
    assert_eq!(states(&driven), [S::Successful, S::Running, S::Running, S::Pending]);
    driven.must(undone(subtask(2)));
    assert_eq!(states(&driven), [S::Successful, S::Running, S::Pending, S::Pending]);
    driven.must(undone(subtask(1)));
    assert_eq!(states(&driven), [S::Running, S::Pending, S::Pending, S::Pending]);
    driven.must(undone(subtask(0)));
    assert_eq!(driven.task.state, TaskState::RolledBack);
}

#[test]
fn an_undo_that_fails_rests_and_the_rollback_goes_on_there() {
    let mut driven = going_back();
    driven.must(undone(subtask(2)));
    driven.must(failure(subtask(1)));
    assert_eq!((driven.task.state, driven.task.operation), (TaskState::Failed, TaskOperation::Rollback));
    assert_eq!(states(&driven), [S::Successful, S::Failed, S::Pending]);
    assert_eq!(driven.task.subtasks[1].effect, Effect::Done, "it is still to be undone");
    assert_eq!(driven.task.allowed_verbs(), [Verb::Rollback, Verb::SkipSubtask, Verb::GiveUp]);
    let task = crate::store::task_id(100);
    assert_eq!(driven.give(asked(Verb::Retry)), Err(TaskRefusal::RollbackUnfinished { task }));

    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    assert_eq!(states(&driven), [S::Successful, S::Running, S::Pending]);
    driven.must(undone(subtask(1)));
    driven.must(undone(subtask(0)));
    assert_eq!(driven.task.state, TaskState::RolledBack);
}

/// Also one that would be refused, had it gone forward: a person asked for the undo and is to hear how far it came.
#[test]
fn an_undo_that_fails_where_nothing_was_done_rests_too() {
    let mut driven = Driven::new(&[0]);
    driven.must(dispatch());
    for _ in 0..MAX_ADOPTIONS_WITHOUT_PROGRESS {
        driven.must(adopted(&driven));
    }
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    driven.must(failure(subtask(0)));
    assert_eq!(driven.task.state, TaskState::Failed);
}

#[test]
fn while_one_branch_cannot_be_undone_the_other_is_and_nothing_before_them() {
    let mut driven = Driven::new(&[0, 1, 1]);
    driven.must(dispatch());
    driven.must(success(subtask(0)));
    acts(&mut driven, 1);
    driven.must(success(subtask(1)));
    driven.must(failure(subtask(2)));
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    driven.must(failure(subtask(1)));
    assert_eq!(driven.task.state, TaskState::Running);
    driven.must(undone(subtask(2)));
    assert_eq!(driven.task.state, TaskState::Failed);
    assert_eq!(states(&driven), [S::Successful, S::Failed, S::Pending]);
}

#[test]
fn a_rollback_can_be_cancelled_and_asked_for_again() {
    let mut driven = going_back();
    driven.must(undone(subtask(2)));
    assert_eq!(driven.task.allowed_verbs(), [Verb::Cancel]);
    driven.must(asked(Verb::Cancel));
    assert_eq!((driven.task.state, driven.state(1)), (TaskState::Canceling, S::Canceling));
    driven.must(cancelled(subtask(1), true));
    assert_eq!((driven.task.state, driven.task.direction), (TaskState::Cancelled, Direction::Back));
    assert!(
        error(&driven).message.starts_with("the undo of step 1 was cancelled by anna"),
        "{}",
        error(&driven).message
    );
    assert_eq!(driven.task.allowed_verbs(), [Verb::Rollback, Verb::SkipSubtask, Verb::GiveUp]);
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());

    // The undo may win the race; then nothing before it is begun.
    driven.must(asked(Verb::Cancel));
    driven.must(undone(subtask(1)));
    assert_eq!((driven.task.state, driven.state(0)), (TaskState::Cancelled, S::Successful));
    let raced = &driven.task.subtasks[1];
    assert_eq!((raced.state, raced.operation), (S::Pending, SubtaskOperation::Cancel));
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    assert_eq!(states(&driven), [S::Running, S::Pending, S::Pending], "what was undone is not undone again");
    // The last one: then everything is.
    driven.must(asked(Verb::Cancel));
    driven.must(undone(subtask(0)));
    assert_eq!((driven.task.state, driven.task.operation), (TaskState::RolledBack, TaskOperation::Cancel));
}

#[test]
fn a_task_that_was_cancelled_is_rolled_back_like_one_that_failed() {
    let mut driven = Driven::new(&[0, 1]);
    driven.must(dispatch());
    acts(&mut driven, 0);
    driven.must(asked(Verb::Cancel));
    driven.must(cancelled(subtask(0), true));
    driven.must(asked(Verb::Rollback));
    assert_eq!(driven.task.cancelled_by, None);
    driven.must(dispatch());
    driven.must(undone(subtask(0)));
    assert_eq!(driven.task.state, TaskState::RolledBack);
}

#[test]
fn a_crash_loop_ends_a_rollback_which_then_goes_on_with_all_that_it_had_begun() {
    let mut driven = Driven::new(&[0, 0]);
    driven.must(dispatch());
    acts(&mut driven, 0);
    driven.must(success(subtask(0)));
    driven.must(failure(subtask(1)));
    driven.must(asked(Verb::Rollback));
    // Nothing was dispatched yet: both are ready to be undone.
    for _ in 0..MAX_ADOPTIONS_WITHOUT_PROGRESS {
        driven.must(adopted(&driven));
    }
    assert_eq!((driven.task.state, error(&driven).kind), (TaskState::Failed, FailureKind::CrashLoop));
    assert!(error(&driven).message.contains("roll the task back again"), "{}", error(&driven).message);
    assert_eq!(states(&driven), [S::Ready, S::Ready]);
    driven.must(asked(Verb::Rollback));
    assert_eq!(driven.task.state, TaskState::Running, "what is ready to be undone is not undone");
    driven.must(dispatch());
    driven.must(undone(subtask(0)));
    driven.must(undone(subtask(1)));
    assert_eq!(driven.task.state, TaskState::RolledBack);

    let mut driven = going_back();
    for _ in 0..MAX_ADOPTIONS_WITHOUT_PROGRESS {
        driven.must(adopted(&driven));
    }
    assert_eq!((driven.task.state, driven.state(2)), (TaskState::Failed, S::Failed));
}

#[test]
fn what_was_ready_and_never_ran_waits_again() {
    let mut driven = Driven::new(&[0, 1]);
    for _ in 0..MAX_ADOPTIONS_WITHOUT_PROGRESS {
        driven.must(adopted(&driven));
    }
    assert_eq!(states(&driven), [S::Ready, S::Pending]);
    driven.must(asked(Verb::Rollback));
    assert_eq!((driven.task.state, driven.state(0)), (TaskState::RolledBack, S::Pending));
}

/// A retry goes back to the first step whose result no longer holds. What was done behind that is ours all the same.
#[test]
fn what_a_retry_put_back_is_undone_too() {
    let mut driven = failed();
    driven.must(asked(Verb::Retry));
    driven.must(Input::RetryFrom { subtask: subtask(0) });
    driven.must(dispatch());
    driven.must(failure(subtask(0)));
    assert_eq!((driven.task.state, states(&driven)), (TaskState::Failed, [S::Failed, S::Pending, S::Pending]));
    driven.must(asked(Verb::Rollback));
    assert_eq!(states(&driven), [S::Failed, S::Ready, S::Pending], "the third did nothing, the second did");
    driven.must(dispatch());
    driven.must(undone(subtask(1)));
    assert_eq!(states(&driven), [S::Running, S::Pending, S::Pending]);
    driven.must(undone(subtask(0)));
    assert_eq!(driven.task.state, TaskState::RolledBack);

    // Also where it was ready already, and when the task is given up half-way.
    let mut driven = failed();
    driven.must(asked(Verb::Retry));
    driven.must(Input::RetryFrom { subtask: subtask(1) });
    for _ in 0..MAX_ADOPTIONS_WITHOUT_PROGRESS {
        driven.must(adopted(&driven));
    }
    assert_eq!(states(&driven), [S::Successful, S::Ready, S::Pending]);
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    assert_eq!(states(&driven), [S::Successful, S::Running, S::Pending]);
    driven.must(failure(subtask(1)));
    driven.must(asked(Verb::GiveUp));
    assert_eq!(warned(&driven, "EFFECT_STAYS").len(), 2);
}

#[test]
fn that_there_is_nothing_to_undo_is_true_only_when_nothing_can_come_any_more() {
    let mut driven = Driven::new(&[0]);
    driven.must(dispatch());
    driven.must(wanted(&driven, subtask(0), 30, false));
    let until = driven.now.plus(Duration::from_secs(30));
    for _ in 0..MAX_ADOPTIONS_WITHOUT_PROGRESS {
        driven.must(adopted(&driven));
    }
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    let task = crate::store::task_id(100);
    assert_eq!(driven.give(undone(subtask(0))), Err(TaskRefusal::EffectMayStillHappen { task, until }));
    driven.wait(30);
    driven.must(undone(subtask(0)));
    // Its step did not say what it saw.
    assert_eq!(driven.task.intents[0].outcome, Some(IntentOutcome::Unknown));
    assert_eq!(driven.task.state, TaskState::RolledBack);
}

#[test]
fn what_had_to_be_undone_had_happened() {
    let mut driven = Driven::new(&[0]);
    driven.must(dispatch());
    driven.must(wanted(&driven, subtask(0), 30, false));
    driven.must(ended(&driven, IntentOutcome::Unknown));
    driven.wait(60);
    driven.must(Input::TimedOut { subtask: subtask(0), waited_for: "leaders".to_owned() });
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    driven.must(wanted(&driven, subtask(0), 30, false));
    driven.must(ended(&driven, IntentOutcome::Done));
    driven.must(undone(subtask(0)));
    let outcomes: Vec<_> = driven.task.intents.iter().map(|intent| (intent.direction, intent.outcome)).collect();
    let done = Some(IntentOutcome::Done);
    assert_eq!(outcomes, [(Direction::Forward, done), (Direction::Back, done)]);
}

#[test]
fn a_rollback_is_a_consent_of_its_own() {
    let mut driven = going_back();
    driven.wait(7201);
    driven.must(wanted(&driven, subtask(2), 30, true));
    assert_eq!((driven.task.state, error(&driven).kind), (TaskState::Failed, FailureKind::Expired));
    assert!(error(&driven).message.contains("roll the task back again to consent anew"));
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    driven.must(wanted(&driven, subtask(2), 30, true));
    assert_eq!(driven.task.state, TaskState::Running);
    let now = driven.now;
    let expire_time = Some(now);
    driven.must(ended(&driven, IntentOutcome::Done));
    driven.must(failure(subtask(2)));
    let asked = request(VerbRequest::Rollback { expire_time });
    assert_eq!(driven.give(asked), Err(TaskRefusal::ExpireTimePassed { expire_time: now, now }));
}

#[test]
fn what_is_given_up_half_undone_names_only_what_stays() {
    let named = |driven: &mut Driven| {
        driven.must(asked(Verb::GiveUp));
        assert_eq!(driven.task.state, TaskState::GivenUp);
        let of = driven.log.iter().filter_map(|event| match &event.kind {
            EventKind::Warned { subtask, code, .. } if code == "EFFECT_STAYS" => Some(*subtask),
            _ => None,
        });
        of.collect::<Vec<_>>()
    };
    assert_eq!(named(&mut failed()), [subtask(0), subtask(1)]);

    let mut driven = going_back();
    driven.must(undone(subtask(2)));
    driven.must(undone(subtask(1)));
    driven.must(failure(subtask(0)));
    assert_eq!(named(&mut driven), [subtask(0)]);

    // What only counts as undone stays; so does what its undo did.
    let mut driven = going_back();
    driven.must(undone(subtask(2)));
    acts(&mut driven, 1);
    driven.must(failure(subtask(1)));
    driven.must(skip(subtask(1)));
    driven.must(dispatch());
    driven.must(failure(subtask(0)));
    assert_eq!(named(&mut driven), [subtask(0), subtask(1), subtask(1)]);
}
