//! Rollouts: what a health gate seals, what is passed over, and pauses; and random rollouts under random inputs.

use std::time::Duration;

use obsteward::domain::decide::{Input, TaskRefusal};
use obsteward::domain::event::{Effect, SubtaskState, TaskServer, TaskSpec, TaskState, Verb};
use obsteward::domain::graph::{SubtaskRole, SubtaskSpec, TaskTarget};
use obsteward::domain::ids::ServerId;
use obsteward::domain::refusal::SkipRefusal;
use obsteward::domain::rollout::{Paused, Rollout, RolloutAction};
use proptest::prelude::*;

use super::any_input;
use super::driven::{Driven, asked, cancelled, dispatch, failure, skip, subtask, success, undone, wanted};

/// Batches of so many servers, two steps each, with a gate behind each batch; before them and behind them one step.
fn rollout(batches: &[usize], stop_after: u32, pause_after: Option<u32>) -> Driven {
    let change = |spec: &mut TaskSpec| {
        let mut subtasks: Vec<SubtaskSpec> = spec.graph.subtasks.clone();
        let model = subtasks[0].clone();
        let add = |subtasks: &mut Vec<SubtaskSpec>, target, role, upstreams: Vec<usize>| {
            let id = subtasks.len();
            let upstreams = upstreams.into_iter().map(subtask).collect();
            let name = format!("step {id}");
            subtasks.push(SubtaskSpec {
                id: subtask(id),
                name,
                target,
                role,
                upstreams,
                prohibit_skip: false,
                ..model.clone()
            });
            id
        };
        let (mut before, mut number, mut ids) = (0, 0, Vec::new());
        spec.servers.clear();
        for size in batches {
            let mut ends = Vec::new();
            let mut batch = Vec::new();
            for _ in 0..*size {
                number += 1;
                let id = ServerId::new(number).unwrap();
                let addr = format!("10.0.0.{number}:2882").parse().unwrap();
                spec.servers.push(TaskServer { id, addr, ob_server_id: number, zone: "zone1".parse().unwrap() });
                batch.push(id);
                let first = add(&mut subtasks, TaskTarget::Server(id), SubtaskRole::Step, vec![before]);
                ends.push(add(&mut subtasks, TaskTarget::Server(id), SubtaskRole::Step, vec![first]));
            }
            before = add(&mut subtasks, TaskTarget::Cluster, SubtaskRole::HealthGate, ends);
            ids.push(batch);
        }
        add(&mut subtasks, TaskTarget::Cluster, SubtaskRole::Step, vec![before]);
        spec.target = TaskTarget::Cluster;
        spec.graph.subtasks = subtasks;
        let (action, min_healthy) = (RolloutAction::Restart, Duration::ZERO);
        spec.rollout = Some(Rollout { action, batches: ids, min_healthy, stop_after, pause_after });
    };
    let mut driven = Driven::asked(&[0], change);
    driven.must(dispatch());
    driven.must(success(subtask(0)));
    driven
}

/// The step has had an effect.
fn done(driven: &mut Driven, offset: usize) {
    driven.must(wanted(driven, subtask(offset), 1, false));
    driven.wait(2);
    driven.must(success(subtask(offset)));
}

/// A server that failed is answered for, so its steps are still to be run: the gate behind them is not skipped before.
#[test]
fn a_gate_is_not_skipped_before_its_batch_is_done() {
    // 0; 1 2 | 3; 4 5 | 6; 7 8 | 9; 10
    let mut driven = rollout(&[1, 1, 1], 2, None);
    for offset in [1, 2] {
        done(&mut driven, offset);
    }
    driven.must(success(subtask(3)));
    driven.must(failure(subtask(4)));
    driven.must(dispatch());
    driven.must(failure(subtask(6)));
    assert_eq!(driven.task.state, TaskState::Failed);
    driven.must(skip(subtask(4)));
    assert!(!driven.task.can_skip(&driven.task.subtasks[6]));
    match driven.give(skip(subtask(6))) {
        Err(TaskRefusal::SubtaskNotSkippable { why: SkipRefusal::NotItsTurn, .. }) => {}
        other => panic!("{other:?}"),
    }
    driven.must(asked(Verb::Retry));
    driven.must(Input::RetryFrom { subtask: subtask(5) });
    let waiting = [SubtaskState::Ready, SubtaskState::Pending, SubtaskState::Pending];
    assert_eq!([5, 6, 7].map(|at| driven.state(at)), waiting);
    driven.must(dispatch());
    driven.must(success(subtask(5)));
    driven.must(dispatch());
    driven.must(failure(subtask(6)));
    driven.must(skip(subtask(6)));
    assert_eq!(driven.state(7), SubtaskState::Ready);
}

#[test]
fn behind_a_gate_nothing_is_run_again_or_undone() {
    // 0; 1 2 | 3; 4 5 | 6; 7
    let mut driven = rollout(&[1, 1], 1, None);
    for offset in [1, 2] {
        done(&mut driven, offset);
    }
    driven.must(success(subtask(3)));
    done(&mut driven, 4);
    driven.must(failure(subtask(5)));
    assert_eq!(driven.task.state, TaskState::Failed);
    assert!([1, 2, 3].into_iter().all(|offset| driven.task.is_sealed(subtask(offset))));
    driven.must(asked(Verb::Rollback));
    driven.must(dispatch());
    driven.must(undone(subtask(5)));
    driven.must(undone(subtask(4)));
    assert_eq!(driven.task.state, TaskState::RolledBack);
    assert_eq!([1, 2, 3].map(|offset| driven.state(offset)), [SubtaskState::Successful; 3]);
    assert_eq!(driven.task.subtask(subtask(1)).unwrap().effect, Effect::Done);
}

#[test]
fn a_server_that_nothing_was_done_to_is_passed_over_and_one_that_was_touched_is_not() {
    let mut driven = rollout(&[2, 1], 2, None);
    driven.must(failure(subtask(1)));
    assert_eq!(driven.task.state, TaskState::Running);
    for offset in [3, 4] {
        done(&mut driven, offset);
    }
    assert_eq!((driven.state(5), driven.state(2)), (SubtaskState::Running, SubtaskState::Pending));
    driven.must(success(subtask(5)));
    for offset in [6, 7] {
        done(&mut driven, offset);
    }
    driven.must(success(subtask(8)));
    driven.must(success(subtask(9)));
    let progress = driven.task.rollout_progress().unwrap();
    assert_eq!((progress.servers_done, progress.servers_passed_over, progress.servers_total), (2, 1, 3));
    let error = driven.task.error.clone().unwrap();
    assert_eq!((driven.task.state, error.reason.as_str()), (TaskState::Failed, "SERVERS_PASSED_OVER"));
    assert_eq!(driven.task.allowed_verbs(), [Verb::Rollback, Verb::GiveUp]);

    let mut driven = rollout(&[1, 1], 2, None);
    done(&mut driven, 1);
    driven.must(failure(subtask(2)));
    assert_eq!(driven.task.state, TaskState::Failed, "it was taken out already");
}

#[test]
fn a_skipped_step_brings_its_server_back_into_the_rollout() {
    let mut driven = rollout(&[2, 1], 3, None);
    driven.must(failure(subtask(1)));
    for offset in [3, 4] {
        done(&mut driven, offset);
    }
    driven.must(success(subtask(5)));
    driven.must(asked(Verb::Cancel));
    driven.must(cancelled(subtask(6), false));
    assert_eq!((driven.task.state, driven.state(6)), (TaskState::Cancelled, SubtaskState::Failed));
    driven.must(skip(subtask(6)));
    let states = [6, 7, 8].map(|offset| driven.state(offset));
    assert_eq!(states, [SubtaskState::Successful, SubtaskState::Ready, SubtaskState::Pending]);
}

#[test]
fn a_pause_is_asked_for_or_comes_behind_the_first_servers() {
    let mut driven = rollout(&[1, 1, 1], 1, Some(1));
    assert_eq!(driven.task.paused(), None);
    driven.must(asked(Verb::Pause));
    assert!(matches!(driven.task.paused(), Some(Paused::By(_))));
    // That is not the pause at the gate, which nobody has seen yet.
    driven.must(asked(Verb::Resume));
    for offset in [1, 2] {
        driven.must(success(subtask(offset)));
    }
    assert!(matches!(driven.task.paused(), Some(Paused::Canary { servers: 1, .. })));
    driven.must(asked(Verb::Resume));
    assert_eq!(driven.task.paused(), None);
    assert!(driven.give(asked(Verb::Resume)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 700, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_decision_of_a_rollout_folds_and_none_is_stuck(
        batches in prop::collection::vec(1_usize..3, 1..4),
        stop_after in 1_u32..4,
        steps in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), 0_u8..40), 0..90),
    ) {
        let mut driven = rollout(&batches, stop_after, (stop_after == 2).then_some(1));
        for (kind, which, more, seconds) in steps {
            driven.wait(u64::from(seconds));
            let input: Input = match kind % 40 {
                0 => asked(Verb::Pause),
                1 => asked(Verb::Resume),
                2 => asked(Verb::CompleteHold),
                // Mostly forward, or no gate would ever be passed.
                3..=16 => any_input(&driven, 2, which, more),
                _ => any_input(&driven, kind, which, more),
            };
            let _ = driven.give(input);
        }
    }
}
