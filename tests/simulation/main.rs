//! The simulated world: the engine as it is over a store, clusters and agents that are values, in one process, under paused
//! time, everything random from one seed (docs/architecture.md#the-simulated-world). `scripts/simulate` runs it for people.
#![allow(clippy::unwrap_used, clippy::expect_used)]

/// A walk makes and drops many small things.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod agent_run;
mod asking;
mod beginnings;
mod beginnings_tests;
mod cases;
mod cluster;
mod cluster_effect;
mod cluster_reader;
mod cluster_readings;
mod cluster_session;
mod cluster_tests;
mod computer;
mod data_centre;
mod database;
mod disk;
mod doing;
mod frozen;
mod host;
mod life;
mod operators;
mod process;
#[path = "../promises/mod.rs"]
#[allow(dead_code, reason = "the harness of real processes uses the rest")]
mod promises;
mod proof;
mod replica;
mod replica_rows;
mod replica_trouble;
mod sends;
mod service;
mod simulate;
mod store;
mod store_home;
mod store_replicas;
mod store_writer;
mod story;
mod walk;
mod watchers;
mod witness;
mod world;

use std::time::Duration;

/// Seeds whose walks are repeated with every change.
const FIXED_SEEDS: u64 = 20;

/// The same over a shared store, which several replicas use.
const FIXED_SEEDS_OF_REPLICAS: u64 = 20;
const MOST_REPLICAS: u64 = 3;

/// Numbers that people give by the environment.
fn given<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[test]
fn a_seed_is_repeated_exactly() {
    for (seed, replicas) in [(0, 1), (1, 1), (2, 1), (0, MOST_REPLICAS)] {
        let (one, other) = (simulate::walk(seed, replicas, None, true), simulate::walk(seed, replicas, None, true));
        let differs = one.story.iter().zip(&other.story).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one.story.len(), other.story.len(), "seed {seed}");
    }
}

/// Of the operations on several servers and those that wait for a person, every so manyth case is tried with every change:
/// they are twice as many, and each is twice as dear. `FAULTS=all`: every case.
const SHARE_OF_WIDER: usize = 61;

/// The first of two stops sets the mark once more when the server already serves again, unless the start waits for it.
#[test]
fn a_stop_that_comes_late_does_not_outlive_a_restart() {
    use obsteward::sim::{Fault, FaultKind};
    use promises::cases::{Case, Injection};
    use promises::cluster_faults::{FaultCase, What};
    use promises::scenario::{Direction, Operation, Scenario};
    let what = What::Fault(Fault::from(FaultKind::LateMark { delay_ms: 700 }));
    let fault = FaultCase { step: "Stop observer process", what, interferes: false };
    let case = Case::new(Scenario::new(Operation::Rollout, Direction::Forward), Injection::Fault(fault));
    assert_eq!(cases::run(case).violations, Vec::<String>::new());
}

/// The same, while somebody sets the machine's clock forward: that brings the late stop no nearer.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forward_lets_no_start_come_before_a_late_stop() {
    use obsteward::domain::event::SubtaskState;
    use obsteward::sim::{Fault, FaultKind};
    let mut world = world::World::new(world::WorldOptions::new(1), story::Story::default()).await;
    world.cluster.inject(Fault::from(FaultKind::LateMark { delay_ms: 8_000 }));
    let ask = asking::Ask::of(promises::scenario::Operation::Restart, 2);
    assert!(matches!(world.ask_and_wait(&ask).await, Some(Ok(_))));
    let waits_for_it = |world: &world::World| {
        let starts = |task: &obsteward::store::StoredTask| {
            let mut subtasks = task.task.subtasks.iter();
            subtasks.any(|it| it.spec.name == "Start server" && it.state == SubtaskState::Running)
        };
        world.open_task().as_ref().is_some_and(starts)
    };
    world.until(Duration::from_secs(60), waits_for_it).await;
    assert!(waits_for_it(&world));
    world.jump_clock(0, 60_000_000);
    assert!(world.rests(Duration::from_secs(600)).await);
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(world.check(true), Vec::<String>::new());
}

/// A stop whose answer is lost is sent again, and the second is answered: the first may still come, and its task stays open for that
/// long. Otherwise whoever starts the zone behind the task would see it stopped once more, by nobody.
#[tokio::test(start_paused = true)]
async fn a_stop_that_may_still_come_keeps_its_task_open() {
    use obsteward::sim::{Fault, FaultKind};
    let mut options = world::WorldOptions::new(1);
    options.effect_timeout = Duration::from_secs(2);
    let mut world = world::World::new(options, story::Story::default()).await;
    world.cluster.inject(Fault::from(FaultKind::LateMark { delay_ms: 2_900 }).times(1));
    let ask = asking::Ask::of(promises::scenario::Operation::StopZone, 2);
    assert!(matches!(world.ask_and_wait(&ask).await, Some(Ok(_))));
    assert!(world.rests(Duration::from_secs(600)).await);
    world.cluster.third_party("ALTER SYSTEM START ZONE zone2");
    world.pass(Duration::from_secs(20)).await;
    assert_eq!(world.check(true), Vec::<String>::new());
    let tries = world.disk.lock().tasks.values().map(|stored| stored.task.intents.len()).sum::<usize>();
    assert!(tries >= 3, "the stop was not sent twice");
}

/// The answer of the first is lost, and the consent to go on behind the second has ended.
async fn at_rest_behind_a_stop_that_was_sent_twice() -> world::World {
    use obsteward::sim::{Fault, FaultKind};
    let mut world = world::World::new(world::WorldOptions::new(1), story::Story::default()).await;
    world.cluster.inject(Fault::from(FaultKind::LateMark { delay_ms: 2_900 }).times(1));
    let consent = Some(Duration::from_millis(100));
    let ask = asking::Ask { consent, ..asking::Ask::of(promises::scenario::Operation::StopZone, 2) };
    assert!(matches!(world.ask_and_wait(&ask).await, Some(Ok(_))));
    assert!(world.rests(Duration::from_secs(600)).await);
    let tries = world.open_task().map_or(0, |stored| stored.task.intents.len());
    assert_eq!(tries, 2, "the stop was not sent twice, or more was done");
    world
}

/// The same when the task fails behind it, and somebody gives it up at a service whose clock was set forward, by which nothing may come
/// any more: a task comes to rest no sooner.
#[tokio::test(start_paused = true)]
async fn a_stop_that_may_still_come_keeps_its_task_from_rest() {
    let mut world = at_rest_behind_a_stop_that_was_sent_twice().await;
    world.jump_clock(0, 60_000_000);
    assert!(matches!(world.ask_verb_and_wait(obsteward::domain::event::Verb::GiveUp).await, Some(Ok(_))));
    world.cluster.third_party("ALTER SYSTEM START ZONE zone2");
    world.pass(Duration::from_secs(20)).await;
    assert_eq!(world.check(true), Vec::<String>::new());
}

/// Nothing that a task at rest has sent may still come: whoever rolls it back then waits for nothing that was waited for already.
#[tokio::test(start_paused = true)]
async fn a_task_at_rest_goes_on_without_waiting_anew() {
    let mut world = at_rest_behind_a_stop_that_was_sent_twice().await;
    let began = obsteward::clock::monotonic_now();
    assert!(matches!(world.ask_verb_and_wait(obsteward::domain::event::Verb::Rollback).await, Some(Ok(_))));
    assert!(world.rests(Duration::from_secs(600)).await);
    assert!(world.open_task().is_none(), "{:#?}", world.open_task());
    let took = obsteward::clock::monotonic_now() - began;
    assert!(took < Duration::from_secs(5), "rolled back in {took:?}");
    assert_eq!(world.check(true), Vec::<String>::new());
}

/// A stop is lost on its way, and somebody else stops the server meanwhile: what is found done is not what was sent, which comes late.
/// Otherwise the start would come before it, and the server be stopped once more behind a restart that is told as done.
#[tokio::test(start_paused = true)]
async fn a_restart_waits_for_a_stop_that_somebody_else_has_made_unnecessary() {
    use obsteward::sim::{Fault, FaultKind};
    let mut world = world::World::new(world::WorldOptions::new(1), story::Story::default()).await;
    world.cluster.inject(Fault::from(FaultKind::LateMark { delay_ms: 3_100 }).times(1));
    let ask = asking::Ask::of(promises::scenario::Operation::Restart, 2);
    assert!(matches!(world.ask_and_wait(&ask).await, Some(Ok(_))));
    let sent = |world: &world::World| world.open_task().is_some_and(|open| !open.task.intents.is_empty());
    world.until(Duration::from_secs(10), sent).await;
    world.pass(Duration::from_millis(20)).await;
    let address = world.address(2);
    world.cluster.third_party(&format!("ALTER SYSTEM FORCE STOP SERVER '{address}'"));
    assert!(world.rests(Duration::from_secs(600)).await);
    assert!(world.open_task().is_none(), "{:#?}", world.open_task());
    world.pass(Duration::from_secs(20)).await;
    assert!(world.is_well_but_for(&[]), "it was stopped once more");
    assert_eq!(world.check(true), Vec::<String>::new());
}

/// A whole cluster is stopped with force although none of its freezes was ever answered: none is told as done.
#[tokio::test(start_paused = true)]
async fn a_freeze_that_is_gone_on_without_is_not_told_as_done() {
    use obsteward::proto::v1;
    use obsteward::sim::{Fault, FaultKind};
    let mut options = world::WorldOptions::new(1);
    options.effect_timeout = Duration::from_secs(2);
    let mut world = world::World::new(options, story::Story::default()).await;
    world.cluster.inject(Fault::from(FaultKind::Slow { delay_ms: 5_000 }).for_statement("ALTER SYSTEM"));
    let ask = asking::Ask { force: true, ..asking::Ask::of(promises::scenario::Operation::StopCluster, 1) };
    assert!(matches!(world.ask_and_wait(&ask).await, Some(Ok(_))));
    assert!(world.rests(Duration::from_secs(600)).await);
    assert_eq!(world.check(true), Vec::<String>::new());
    let task = &world.witness.evidence().tasks[0].shown;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    assert_eq!(task.overrides.iter().filter(|check| check.check == "FREEZE").count(), 3, "{task:#?}");
}

/// What the harness of real processes tries at leisure.
#[test]
fn every_case_keeps_the_promises() {
    use promises::cases::{Case, Cases};
    use promises::scenario::{OPERATIONS, WIDER_OPERATIONS};
    let share = if std::env::var("FAULTS").as_deref() == Ok("all") { 1 } else { SHARE_OF_WIDER };
    let only = std::env::var("FAULTS_ONLY").unwrap_or_default();
    let wanted = std::env::var("FAULTS_CASES").unwrap_or_default();
    let (mut good, mut cases) = (Vec::new(), Vec::new());
    for (operations, share) in [(&OPERATIONS[..], 1), (&WIDER_OPERATIONS, share)] {
        let run = simulate::in_parallel(Case::good(operations, &only), cases::run);
        let Cases { effects, kills, faults } = Cases::of(&run);
        cases.extend([effects, kills, faults].concat().into_iter().step_by(share));
        good.extend(run);
    }
    cases.retain(|case: &Case| case.to_string().contains(&wanted));
    let outcomes: Vec<_> = good.into_iter().chain(simulate::in_parallel(cases, cases::run)).collect();
    let violations: Vec<&String> = outcomes.iter().flat_map(|outcome| &outcome.violations).collect();
    println!("simulated: {} cases run, {} violations found", outcomes.len(), violations.len());
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn fixed_seeds_keep_the_promises() {
    let summary = simulate::run(0, FIXED_SEEDS, 1, Duration::MAX, 1);
    simulate::tell(&summary);
    assert!(summary.failed.is_empty(), "a promise was broken: scripts/simulate --seeds {FIXED_SEEDS}");
}

#[test]
fn fixed_seeds_of_several_replicas_keep_the_promises() {
    let summary = simulate::run(0, FIXED_SEEDS_OF_REPLICAS, MOST_REPLICAS, Duration::MAX, 1);
    simulate::tell(&summary);
    let again = format!("scripts/simulate --replicas {MOST_REPLICAS} --seeds {FIXED_SEEDS_OF_REPLICAS}");
    assert!(summary.failed.is_empty(), "a promise was broken: {again}");
}

/// `scripts/simulate`.
#[test]
#[ignore = "as long as you like: scripts/simulate"]
fn simulate() {
    let first = given("SIMULATE_FIRST_SEED").unwrap_or(0);
    let replicas = given("SIMULATE_REPLICAS").unwrap_or(1);
    if let Ok(steps) = std::env::var("SIMULATE_STEPS") {
        let steps: Vec<usize> = steps.split(',').filter_map(|step| step.trim().parse().ok()).collect();
        let told = simulate::walk(first, replicas, (!steps.is_empty()).then_some(&steps[..]), true);
        told.story.iter().for_each(|line| println!("{line}"));
        println!("simulate: seed {first}, tasks: {:?}, broken: {:?}", told.tasks, told.broken);
        assert!(told.broken.is_empty(), "a promise was broken");
        return;
    }
    let count = given("SIMULATE_SEEDS").unwrap_or(1000);
    let within = given::<u64>("SIMULATE_MINUTES").map_or(Duration::MAX, |minutes| Duration::from_secs(60 * minutes));
    let summary = simulate::run(first, count, replicas, within, given("SIMULATE_FAILURES").unwrap_or(1));
    simulate::tell(&summary);
    assert!(summary.failed.is_empty(), "a promise was broken");
}
