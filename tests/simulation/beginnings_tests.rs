//! When tasks begin, and with whose consent: the stories that people tell of it, each in a world of its own.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use obsteward::domain::approval::{ApprovalEnd, PlanDigest};
use obsteward::domain::event::{Phase, TaskState, Verb};
use obsteward::domain::ids::TaskId;
use obsteward::domain::maintenance::{ApprovalRule, MaintenancePolicy};
use obsteward::domain::refusal::Refusal;

use crate::asking::Ask;
use crate::beginnings::{Second, moment};
use crate::promises::scenario::Operation;
use crate::simulate::in_paused_time;
use crate::story::Story;
use crate::world::{World, WorldOptions};

/// Worlds begin at 22:13:20: in half an hour the window opens.
const OPENS: &str = "2023-11-14T22:45:00Z";
const STOP: Ask = Ask::of(Operation::Stop, 2);

fn in_window() -> MaintenancePolicy {
    MaintenancePolicy { windows: vec!["daily 22:45-23:15".parse().unwrap()], ..MaintenancePolicy::default() }
}

fn approved() -> MaintenancePolicy {
    MaintenancePolicy { approval: ApprovalRule::Always, ..MaintenancePolicy::default() }
}

fn in_a_world<F: Future<Output = ()>>(policy: MaintenancePolicy, replicas: usize, story: impl FnOnce(World) -> F) {
    in_a_world_with(WorldOptions { policy: Arc::new(policy), replicas, ..WorldOptions::new(1) }, story);
}

fn in_a_world_with<F: Future<Output = ()>>(options: WorldOptions, story: impl FnOnce(World) -> F) {
    in_paused_time(async { story(World::new(options, Story::default()).await).await });
}

async fn accepted(world: &World, ask: &Ask) -> TaskId {
    let stored = world.ask_and_wait(ask).await.unwrap().unwrap();
    assert_eq!(stored.task.state.phase(), Phase::Pending, "{:?}", stored.task);
    stored.task.spec.id
}

fn state(world: &World, task: TaskId) -> TaskState {
    world.stored(task).task.state
}

/// Somebody else approves it: nothing else is in its way.
async fn succeeds_once_approved(world: &mut World, task: TaskId, plan: &PlanDigest) {
    world.approve_and_wait("berta", task, plan).await.unwrap();
    world.until(Duration::from_secs(10), |world| state(world, task) != TaskState::Pending).await;
    assert!(world.rests(Duration::from_secs(600)).await);
    assert_eq!(state(world, task), TaskState::Successful);
    assert_eq!(world.check(true), Vec::<String>::new());
}

/// What it is told to wait for.
async fn waits_for(world: &World, task: TaskId) -> String {
    let stored = world.asked().unwrap().store.task(task).await.unwrap().unwrap();
    stored.progress.into_iter().map(|progress| progress.message).collect()
}

#[test]
fn outside_its_windows_a_stop_is_refused_or_waits_and_begins_when_one_opens() {
    in_a_world(in_window(), 1, |mut world| async move {
        match world.ask_and_wait(&STOP).await.unwrap() {
            Err(Refusal::OutsideWindow { closed, .. }) => assert_eq!(closed.next, Some(moment(OPENS))),
            other => panic!("{other:?}"),
        }
        let task = accepted(&world, &Ask { queue: true, ..STOP }).await;
        // It holds nothing: another operation goes on meanwhile.
        assert!(world.ask_and_wait(&Ask::of(Operation::Start, 2)).await.unwrap().is_err(), "it runs");
        world.pass(Duration::from_secs(60)).await;
        assert_eq!(state(&world, task), TaskState::Pending);
        assert!(
            waits_for(&world, task).await.contains("a window of its cluster, the next opening is at 2023-11-14T22:45"),
            "{}",
            waits_for(&world, task).await
        );
        world.until(Duration::from_secs(3600), |world| state(world, task) != TaskState::Pending).await;
        let began = world.stored(task).task.start_time.unwrap();
        assert!(began >= moment(OPENS) && began < moment("2023-11-14T22:45:02Z"), "{began}");
        assert!(world.rests(Duration::from_secs(600)).await);
        assert_eq!(state(&world, task), TaskState::Successful);
        assert_eq!(world.check(true), Vec::<String>::new());
    });
}

/// Between the look at the window and the beginning, the clock is set behind the window's end: at once when it is asked for, and when it
/// waited for an approval.
#[test]
fn what_was_admitted_a_moment_before_its_window_was_over_does_not_begin() {
    let windows = vec!["daily 22:00-22:15".parse().unwrap()];
    let late = &Cell::new(0);
    for seed in 0..40 {
        for approval in [ApprovalRule::Never, ApprovalRule::Always] {
            let policy = MaintenancePolicy { approval, windows: windows.clone(), ..MaintenancePolicy::default() };
            let options = WorldOptions { policy: Arc::new(policy), ..WorldOptions::new(seed) };
            in_a_world_with(options, |mut world| async move {
                let ask = Ask { queue: true, ..STOP };
                if world.options.policy.approval == ApprovalRule::Always {
                    accepted(&world, &ask).await;
                    world.second(Second::Approve);
                    world.until(Duration::from_secs(5), |world| world.disk.lock().log.len() > 1).await;
                } else {
                    world.ask(&ask).unwrap();
                    world.pass(Duration::from_millis(1)).await;
                }
                world.jump_clock(0, 120_000_000);
                world.pass(Duration::from_secs(5)).await;
                assert_eq!(world.check(true), Vec::<String>::new(), "seed {seed}");
                late.set(late.get() + usize::from(world.pending().is_some()));
            });
        }
    }
    assert!(late.get() > 0, "none came too late");
}

#[test]
fn the_clock_may_be_set_and_the_service_may_die_while_it_waits() {
    in_a_world(in_window(), 1, |mut world| async move {
        let task = accepted(&world, &Ask { queue: true, ..STOP }).await;
        world.kill_service();
        world.start_service(None, obsteward::engine::Failpoints::default()).await;
        world.pass(Duration::from_secs(30)).await;
        world.jump_clock(0, -3_600_000_000);
        world.pass(Duration::from_secs(3600)).await;
        assert_eq!(state(&world, task), TaskState::Pending);
        world.jump_clock(0, 3_600_000_000);
        world.until(Duration::from_secs(30), |world| state(world, task) != TaskState::Pending).await;
        assert!(world.rests(Duration::from_secs(600)).await);
        assert_eq!(state(&world, task), TaskState::Successful);
        assert_eq!(world.check(true), Vec::<String>::new());
    });
}

#[test]
fn what_waits_begins_in_the_order_of_acceptance_and_refuses_itself_when_it_is_too_late() {
    in_a_world(in_window(), 3, |mut world| async move {
        let first = accepted(&world, &Ask { queue: true, ..STOP }).await;
        world.turn();
        let second = accepted(&world, &Ask { queue: true, ..Ask::of(Operation::Stop, 3) }).await;
        world.turn();
        let brief = Ask { queue: true, consent: Some(Duration::from_secs(32 * 60)), ..Ask::of(Operation::Restart, 1) };
        let brief = accepted(&world, &brief).await;
        // Whichever looks after it dies: it loses no place.
        world.kill(0);
        world.until(Duration::from_secs(3600), |world| state(world, first) != TaskState::Pending).await;
        assert_eq!((state(&world, first), state(&world, second)), (TaskState::Running, TaskState::Pending));
        world.until(Duration::from_secs(600), |world| state(world, first).phase() == Phase::Closed).await;
        assert_eq!(state(&world, first), TaskState::Successful);
        world.until(Duration::from_secs(600), |world| state(world, second) != TaskState::Pending).await;
        // With one server away it would cost a quorum: refused by its own precheck, which is not made before.
        world.until(Duration::from_secs(600), |world| state(world, second).phase() == Phase::Closed).await;
        assert_eq!(state(&world, second), TaskState::Refused);
        world.until(Duration::from_secs(600), |world| state(world, brief).phase() == Phase::Closed).await;
        let brief = world.stored(brief).task;
        assert_eq!(brief.state, TaskState::Refused);
        assert_eq!(world.check(true), Vec::<String>::new());
    });
}

#[test]
fn a_task_that_waits_for_somebody_else_begins_as_its_plan_was_shown() {
    in_a_world(approved(), 1, |mut world| async move {
        let task = accepted(&world, &STOP).await;
        world.pass(Duration::from_secs(5)).await;
        assert!(
            waits_for(&world, task).await.contains("the approval of somebody else"),
            "{}",
            waits_for(&world, task).await
        );
        let plan = world.plan_digest(task).await;
        let own = world.approve_and_wait("anna", task, &plan).await;
        assert!(matches!(own, Err(Refusal::OwnTask { .. })), "{own:?}");
        // The plan changes before it is approved.
        let server = world.host(3);
        server.kill_observer(world.address(3));
        world.pass(Duration::from_secs(30)).await;
        let other = world.approve_and_wait("berta", task, &plan).await;
        assert!(matches!(other, Err(Refusal::PlanChanged { .. })), "{other:?}");
        server.start_observer(world.address(3));
        world.until(Duration::from_secs(60), |world| world.is_well_but_for(&[])).await;
        world.pass(Duration::from_secs(30)).await;
        assert_eq!(world.plan_digest(task).await, plan);
        // Withdrawn as easily as given.
        world.second(Second::Freeze);
        world.until(Duration::from_secs(5), World::has_answered).await;
        let given = world.approve_and_wait("berta", task, &plan).await.unwrap();
        assert_eq!(given.task.approval.as_ref().map(|approval| approval.by.as_str()), Some("berta"));
        world.second(Second::Withdraw);
        world.until(Duration::from_secs(5), World::has_answered).await;
        world.second(Second::Thaw);
        world.pass(Duration::from_secs(10)).await;
        assert_eq!(state(&world, task), TaskState::Pending);
        succeeds_once_approved(&mut world, task, &plan).await;
    });
}

#[test]
fn a_plan_that_has_changed_since_asks_again() {
    let policy = MaintenancePolicy { approval: ApprovalRule::Always, ..in_window() };
    in_a_world(policy, 1, |mut world| async move {
        let task = accepted(&world, &Ask { queue: true, ..STOP }).await;
        let plan = world.plan_digest(task).await;
        world.approve_and_wait("berta", task, &plan).await.unwrap();
        world.host(3).kill_observer(world.address(3));
        world.until(Duration::from_secs(3600), |world| world.stored(task).task.approval.is_none()).await;
        let asks_again = world.stored(task).task;
        assert_eq!(asks_again.state, TaskState::Pending);
        let (by, why) = asks_again.approval_end.unwrap();
        assert_eq!((by.as_str(), why), ("berta", ApprovalEnd::PlanChanged));
        world.second(Second::Cancel);
        world.until(Duration::from_secs(5), World::has_answered).await;
        let cancelled = world.stored(task).task;
        assert_eq!((cancelled.state, cancelled.start_time), (TaskState::Refused, None));
        assert_eq!(cancelled.error.unwrap().reason, "CANCELLED");
        assert_eq!(world.check(true), Vec::<String>::new());
    });
}

#[test]
fn an_approval_runs_out_before_the_window_opens_and_is_given_again() {
    let approval_time = Duration::from_secs(60);
    let policy = MaintenancePolicy { approval: ApprovalRule::Always, approval_time, ..in_window() };
    in_a_world(policy, 1, |mut world| async move {
        let task = accepted(&world, &Ask { queue: true, ..STOP }).await;
        let plan = world.plan_digest(task).await;
        let approved = world.approve_and_wait("berta", task, &plan).await.unwrap().task.approval.unwrap();
        world.until(Duration::from_secs(600), |world| world.stored(task).task.approval.is_none()).await;
        let (by, why) = world.stored(task).task.approval_end.unwrap();
        assert_eq!((by.as_str(), why), ("berta", ApprovalEnd::Expired));
        let late = world.clock().now().since(approved.expire_time);
        assert!(late < Duration::from_secs(1), "said {late:?} behind its end");
        world.until(Duration::from_secs(3600), |world| world.clock().now() >= moment(OPENS)).await;
        world.pass(Duration::from_secs(10)).await;
        assert_eq!(state(&world, task), TaskState::Pending);
        succeeds_once_approved(&mut world, task, &plan).await;
    });
}

#[test]
fn while_changes_are_frozen_nothing_begins_and_what_has_begun_goes_on() {
    in_a_world(MaintenancePolicy::default(), 1, |mut world| async move {
        let begun = world.ask_and_wait(&Ask::of(Operation::Hold, 2)).await.unwrap().unwrap().task.spec.id;
        world.second(Second::Freeze);
        world.until(Duration::from_secs(5), World::has_answered).await;
        let refused = world.ask_and_wait(&Ask::of(Operation::Start, 3)).await.unwrap();
        assert!(
            matches!(refused, Err(Refusal::ChangesFrozen { .. } | Refusal::ServerStateNotAdmitted { .. })),
            "{refused:?}"
        );
        let queued = accepted(&world, &Ask { queue: true, ..Ask::of(Operation::Stop, 3) }).await;
        let held = |world: &World| world.stored(begun).task.held().next().is_some();
        world.until(Duration::from_secs(60), held).await;
        assert!(held(&world));
        assert!(world.ask_verb_and_wait(Verb::CompleteHold).await.unwrap().is_ok());
        assert!(world.rests(Duration::from_secs(600)).await);
        assert_eq!(state(&world, begun), TaskState::Successful);
        world.pass(Duration::from_secs(30)).await;
        assert_eq!(state(&world, queued), TaskState::Pending);
        let refused = world.ask_and_wait(&STOP).await.unwrap();
        assert!(matches!(refused, Err(Refusal::ChangesFrozen { .. })), "{refused:?}");
        world.second(Second::Thaw);
        world.until(Duration::from_secs(10), |world| state(world, queued) != TaskState::Pending).await;
        assert!(world.rests(Duration::from_secs(600)).await);
        assert_eq!(state(&world, queued), TaskState::Successful);
        assert_eq!(world.check(true), Vec::<String>::new());
    });
}
