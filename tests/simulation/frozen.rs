//! One replica drives a task and is frozen at each of its effects in turn, and at each moment around it; another one takes the task
//! over, and brings it to its end or back. What the first one does when it goes on comes to nothing.

use std::time::Duration;

use obsteward::domain::event::Verb;
use obsteward::engine::Failpoints;

use crate::asking::Ask;
use crate::life::{Freeze, Point};
use crate::promises::scenario::{Operation, SERVER};
use crate::simulate::{in_parallel, in_paused_time};
use crate::story::Story;
use crate::world::{World, WorldOptions};

/// How long a task may move.
const LONGEST_MOVE: Duration = Duration::from_secs(3600);
/// Before a frozen replica is buried, and once its tasks were taken over.
const ASKED_AFTER: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(12)];
/// A lease and a moment, and longer than anything that was begun.
const SILENCES: [Duration; 2] = [Duration::from_secs(13), Duration::from_secs(150)];
const POINTS: [Point; 3] = [Point::Lock, Point::Permit, Point::Answer];
/// What is asked of the task meanwhile.
const MEANWHILE: [&[Verb]; 3] = [&[], &[Verb::Cancel, Verb::GiveUp], &[Verb::Cancel, Verb::Rollback]];

#[derive(Clone, Copy, Debug)]
struct Case {
    operation: Operation,
    freeze: Freeze,
    /// After so long.
    asked: Duration,
    verbs: &'static [Verb],
}

/// With every change every so manyth is tried; `FAULTS=all`: every case.
const SHARE: usize = 7;

/// What is broken, and whether the freeze came.
fn run(case: Case) -> (Vec<String>, bool) {
    let told = std::env::var_os("FAULTS_STORY").is_some();
    let story = if told { Story::told() } else { Story::default() };
    let (broken, came) = in_paused_time(freeze(case, story.clone()));
    if !broken.is_empty() {
        story.lines().iter().for_each(|line| println!("{line}"));
    }
    (broken.into_iter().map(|broken| format!("{case:?}: {broken}")).collect(), came)
}

async fn freeze(case: Case, story: Story) -> (Vec<String>, bool) {
    let mut options = WorldOptions::new(1);
    (options.replicas, options.effect_timeout) = (2, Duration::from_secs(1));
    options.servers_per_zone = case.operation.servers_per_zone();
    let mut world = World::new(options, story.clone()).await;
    if let Some(needed) = case.operation.needs() {
        assert!(matches!(world.ask_and_wait(&Ask::of(needed, SERVER)).await, Some(Ok(_))), "the stage is not set");
        assert!(world.rests_with_help(LONGEST_MOVE).await, "the stage is not set");
    }
    world.freeze_plan.set(Some(case.freeze));
    world.ask(&Ask::of(case.operation, SERVER));
    world.until(LONGEST_MOVE, |world| world.has_frozen() || world.phase().is_some()).await;
    world.until(LONGEST_MOVE, |world| world.has_frozen() || world.phase().is_none()).await;
    let came = world.has_frozen();
    world.freeze_plan.set(None);
    if came {
        world.pass(case.asked).await;
        for verb in case.verbs {
            world.turn_to_another();
            world.ask_verb(*verb);
            world.pass(Duration::from_secs(1)).await;
            world.rests_with_help(LONGEST_MOVE).await;
        }
        world.rests_with_help(LONGEST_MOVE).await;
        world.pass(case.freeze.lasts + Duration::from_secs(60)).await;
    }
    let mut broken = world.check(true);
    story.also(world.witness.lines());
    broken.extend(world.finish().await);
    broken.extend(world.check(true));
    (broken, came)
}

#[test]
fn what_a_frozen_replica_sends_when_it_goes_on_comes_to_nothing() {
    let mut cases = Vec::new();
    for operation in [Operation::Stop, Operation::Start, Operation::Restart, Operation::StopZone, Operation::StartZone]
    {
        for (at, lasts) in POINTS.into_iter().flat_map(|at| SILENCES.map(|lasts| (at, lasts))) {
            for (left, asked) in (1..=3).flat_map(|left| ASKED_AFTER.map(|asked| (left, asked))) {
                let freeze = Freeze { at, left, lasts };
                cases.extend(MEANWHILE.map(|verbs| Case { operation, freeze, asked, verbs }));
            }
        }
    }
    let share = if std::env::var("FAULTS").as_deref() == Ok("all") { 1 } else { SHARE };
    let outcomes = in_parallel(cases.into_iter().step_by(share).collect(), run);
    let frozen = outcomes.iter().filter(|(_, came)| *came).count();
    let broken: Vec<&String> = outcomes.iter().flat_map(|(broken, _)| broken).collect();
    println!("frozen: {frozen} of {} cases, {} violations found", outcomes.len(), broken.len());
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Nobody is there to take its task over, so that it still owns it: what it sends then is refused for its age, and tried again.
#[tokio::test(start_paused = true)]
async fn a_start_that_is_sent_long_behind_its_horizon_starts_nothing_and_is_tried_again() {
    let mut options = WorldOptions::new(1);
    options.replicas = 2;
    let mut world = World::new(options, Story::default()).await;
    assert!(matches!(world.ask_and_wait(&Ask::of(Operation::Stop, SERVER)).await, Some(Ok(_))));
    assert!(world.rests(LONGEST_MOVE).await);
    let other = 1 - world.at;
    world.end(other).await;
    world.freeze_plan.set(Some(Freeze { at: Point::Permit, left: 1, lasts: SILENCES[1] }));
    world.ask(&Ask::of(Operation::Start, SERVER));
    world.until(LONGEST_MOVE, World::has_frozen).await;
    assert!(world.has_frozen());
    world.pass(SILENCES[1]).await;
    assert!(world.rests(LONGEST_MOVE).await);
    assert_eq!(world.check(true), Vec::<String>::new());
    assert!(world.is_well_but_for(&[]));
}

/// A rollback's replica is frozen between its commit and its claim of the task, for less than a lease. Another one, which drives the
/// task by then, is frozen just before its effect when the first one goes on: that must not take the task from it.
#[test]
fn a_replica_that_comes_late_takes_no_task_from_its_owner() {
    let silences = |range: std::ops::Range<u64>| range.map(|halves| Duration::from_millis(500 * halves));
    let cases = silences(7..16).flat_map(|late| silences(2..12).map(move |owner| (late, owner)));
    let outcomes = in_parallel(cases.collect(), |(late, owner)| in_paused_time(late_claim(late, owner)));
    let broken: Vec<&String> = outcomes.iter().flatten().collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

/// `late`: how long the replica that was asked is frozen; `owner`: how long the one that drives the task meanwhile.
async fn late_claim(late: Duration, owner: Duration) -> Vec<String> {
    let mut options = WorldOptions::new(1);
    (options.replicas, options.effect_timeout) = (2, Duration::from_secs(1));
    let mut world = World::new(options, Story::default()).await;
    for at in 0..world.replicas.len() {
        world.kill(at);
        let mut failpoints = Failpoints::default();
        failpoints.fail_step = Some(Operation::Stop.fails_at().to_owned());
        world.start(at, None, failpoints).await;
    }
    assert!(matches!(world.ask_and_wait(&Ask::of(Operation::Stop, SERVER)).await, Some(Ok(_))));
    assert!(world.rests(LONGEST_MOVE).await);
    world.freeze_plan.set(Some(Freeze { at: Point::AfterCommit, left: 1, lasts: late }));
    world.ask_verb(Verb::Rollback);
    world.until(LONGEST_MOVE, World::has_frozen).await;
    world.freeze_plan.set(Some(Freeze { at: Point::Lock, left: 1, lasts: owner }));
    world.pass(Duration::from_secs(15)).await;
    assert!(world.rests(LONGEST_MOVE).await);
    let mut broken = world.check(true);
    broken.extend(world.finish().await);
    broken.iter().map(|broken| format!("{late:?}, {owner:?}: {broken}")).collect()
}
