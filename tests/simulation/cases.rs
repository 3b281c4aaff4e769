//! The cases of the harness (`promises::cases`), each in a world of its own.

use std::time::Duration;

use obsteward::domain::event::{Direction as TaskDirection, Phase, SubtaskState, TaskState, Verb};
use obsteward::domain::ids::TaskId;
use obsteward::domain::task::Task;
use obsteward::engine::Failpoints;
use obsteward::proto::v1;
use obsteward::store::StoredTask;
use obsteward::watch::encode;

use crate::asking::Ask;
use crate::life::{Crash, Point};
use crate::promises::cases::{Case, Injection, MOST_TRIES, Outcome};
use crate::promises::cluster_faults::{FaultCase, START_ZONE, STOP_ZONE, What, at_login};
use crate::promises::scenario::{Direction, Operation, SERVER, Scenario};
use crate::simulate::in_paused_time;
use crate::story::Story;
use crate::world::{World, WorldOptions};

/// How long a task may move in a case: a health gate waits for half an hour.
const LONGEST_MOVE: Duration = Duration::from_secs(3600);

impl Scenario {
    fn ask(self) -> Ask {
        // A restart stops without a freeze.
        let freeze = matches!(self.operation, Operation::Stop | Operation::StopZone);
        Ask { freeze, ..Ask::of(self.operation, SERVER) }
    }

    fn verb(self) -> Verb {
        match self.direction {
            Direction::Forward => Verb::Retry,
            Direction::Back => Verb::Rollback,
        }
    }
}

impl FaultCase {
    fn begin(&self, world: &World) {
        let address = format!("10.0.1.{SERVER}:2882");
        match &self.what {
            What::Fault(fault) => {
                world.cluster.inject(fault.clone());
                // Sessions that are open already would know nothing of it.
                if at_login(&fault.kind) {
                    world.cluster.cut_sessions();
                }
            }
            What::Killed => world.host(SERVER).kill_observer(world.address(SERVER)),
            What::FailOver => world.cluster.fail_over(),
            What::ThirdParty(statement) => world.cluster.third_party(&statement.replace("{server}", &address)),
        }
    }

    /// What a person would do before asking again.
    async fn heal(&self, world: &mut World) {
        world.cluster.clear(None);
        if matches!(self.what, What::ThirdParty(STOP_ZONE)) {
            world.cluster.third_party(START_ZONE);
        }
        // The cluster hears from every process that runs, and from no other.
        world.pass(Duration::from_secs(10)).await;
    }
}

/// Runs a case, in a runtime of its own under paused time. `FAULTS_STORY`: tells the story of one that breaks a promise.
pub fn run(case: Case) -> Outcome {
    let story = if std::env::var_os("FAULTS_STORY").is_some() { Story::told() } else { Story::default() };
    let outcome = in_paused_time(try_in_a_world(case, story.clone()));
    if !outcome.violations.is_empty() {
        story.lines().iter().for_each(|line| println!("{line}"));
    }
    outcome
}

async fn try_in_a_world(case: Case, story: Story) -> Outcome {
    let mut options = WorldOptions::new(1);
    options.arbitration = true;
    options.servers_per_zone = case.scenario.operation.servers_per_zone();
    options.effect_timeout = Duration::from_secs(1);
    options.timeouts.freeze = Duration::from_secs(3);
    options.timeouts.leader_wait = Duration::from_secs(3);
    options.timeouts.start_watch = Duration::from_secs(5);
    let mut world = World::new(options, story.clone()).await;
    world.kill_service();
    let before = set_the_stage(&mut world, &case).await;
    let base = before.as_ref().map_or(0, |stored| stored.task.revision.get());

    let (crash, failpoints) = armed(&case.injection);
    world.start_service(crash, failpoints).await;
    ask(&mut world, &case, before.is_some()).await;
    if let Injection::Fault(fault) = &case.injection {
        begins(&mut world, fault.step).await;
        fault.begin(&world);
    }
    world.watch(true);
    world.rests_with_help(LONGEST_MOVE).await;
    world.notice();
    if case.kills() && !world.is_up() {
        world.start_service(None, Failpoints::default()).await;
        let known = world.disk.lock().tasks.values().any(|stored| {
            let wanted = stored.task.spec.graph.operation.name == case.scenario.operation.definition().name;
            wanted && stored.task.revision.get() > base
        });
        if !known {
            ask(&mut world, &case, before.is_some()).await;
        }
        world.resume_watchers();
        world.rests_with_help(LONGEST_MOVE).await;
    }
    world.cluster.clear(None);
    let id = *world.disk.lock().tasks.keys().next_back().expect("a task that was asked for");
    let mut tries = 0;
    while matches!(state(&world, id), TaskState::Failed | TaskState::Cancelled) && tries < MOST_TRIES {
        tries += 1;
        if let Injection::Fault(fault) = &case.injection {
            fault.heal(&mut world).await;
        }
        let gone_on = world.ask_verb_and_wait(case.scenario.verb()).await;
        assert!(matches!(gone_on, Some(Ok(_))), "{case}: {gone_on:?}");
        world.rests_with_help(LONGEST_MOVE).await;
    }
    if state(&world, id) == TaskState::Failed && case.interferes() {
        // Somebody else's doing is not for the task to mend: a person closes it, and is told what stays.
        let given_up = world.ask_verb_and_wait(Verb::GiveUp).await;
        assert!(matches!(given_up, Some(Ok(_))), "{case}: {given_up:?}");
    }
    world.pass(Duration::from_secs(1)).await;
    let mut broken = world.check(true);
    broken.extend(world.watchers_left_behind());
    story.also(world.witness.lines());
    judge(&world, case, id, base, broken, tries)
}

fn judge(world: &World, case: Case, id: TaskId, base: i64, mut broken: Vec<String>, tries: usize) -> Outcome {
    let content = world.disk.lock();
    let stored = &content.tasks[&id];
    if stored.task.state.phase() == Phase::Moving {
        broken.push(format!("8: task {id} still moves"));
    }
    let of_the_request = stored.events.iter().filter(|event| event.revision.get() > base);
    let is_intent = |event: &&obsteward::domain::event::StoredEvent| {
        matches!(event.event.kind, obsteward::domain::event::EventKind::IntentRecorded { .. })
    };
    let effects = of_the_request.clone().filter(is_intent).count();
    let commits = stored.commits_after(base);
    let whole = StoredTask { task: stored.task.clone(), seq: stored.seq(), progress: Vec::new() };
    let shown: v1::Task = encode::task(&whole);
    let serves = world.cluster.look(|core, _| case.scenario.serves(&core.cluster));
    let violations = case.violations(broken, &shown, tries, serves);
    Outcome { case, effects, commits, violations }
}

/// What is there before the request: for a start a server that was stopped, for an undo a task that failed in its last step.
/// The service that did it has ended.
async fn set_the_stage(world: &mut World, case: &Case) -> Option<StoredTask> {
    if let Some(needed) = case.scenario.operation.needs() {
        world.start_service(None, Failpoints::default()).await;
        let stop = Scenario::new(needed, Direction::Forward);
        let asked = world.ask_and_wait(&stop.ask()).await;
        assert!(matches!(asked, Some(Ok(_))), "{case}: the stage is not set: {asked:?}");
        let rests = world.rests_with_help(LONGEST_MOVE).await;
        let left = world.open_task().map(|open| open.task.error.clone());
        assert!(rests && left.is_none(), "{case}: the stage is not set: {left:?}");
        world.kill_service();
    }
    if case.scenario.direction == Direction::Forward {
        return None;
    }
    let failpoints = with(|failpoints| failpoints.fail_step = Some(case.scenario.operation.fails_at().to_owned()));
    world.start_service(None, failpoints).await;
    let asked = world.ask_and_wait(&case.scenario.ask()).await;
    assert!(matches!(asked, Some(Ok(_))), "{case}: the stage is not set: {asked:?}");
    assert!(world.rests_with_help(LONGEST_MOVE).await, "{case}: the stage is not set");
    world.kill_service();
    let failed = world.open_task().expect("a task that failed");
    assert_eq!(failed.task.state, TaskState::Failed, "{case}: the stage is not set");
    Some(failed)
}

fn with(change: impl FnOnce(&mut Failpoints)) -> Failpoints {
    let mut failpoints = Failpoints::default();
    change(&mut failpoints);
    failpoints
}

fn armed(injection: &Injection) -> (Option<Crash>, Failpoints) {
    let none = Failpoints::default;
    let number = |n: &usize| u64::try_from(*n).ok();
    let crash = |at, n: &usize| (Some(Crash { at, left: u32::try_from(*n).expect("a number") }), none());
    match injection {
        Injection::None | Injection::Fault(_) => (None, none()),
        Injection::Twice => (None, with(|failpoints| failpoints.steps_twice = true)),
        Injection::LostBefore(n) => (None, with(|failpoints| failpoints.lose_effect_before = number(n))),
        Injection::LostAfter(n) => (None, with(|failpoints| failpoints.lose_effect_after = number(n))),
        Injection::KilledAtPermit(n) => crash(Point::Permit, n),
        Injection::KilledBeforeCommit(n) => crash(Point::BeforeCommit, n),
        Injection::KilledAfterCommit(n) => crash(Point::AfterCommit, n),
    }
}

async fn ask(world: &mut World, case: &Case, before: bool) {
    let answered = if before {
        world.ask_verb_and_wait(case.scenario.verb()).await
    } else {
        world.ask_and_wait(&case.scenario.ask()).await
    };
    let lost = answered.is_none() && case.kills();
    assert!(lost || matches!(answered, Some(Ok(_))), "{case}: {answered:?}");
}

/// Waits until the step runs, in the task's present direction, or the task rests without it.
async fn begins(world: &mut World, step: &str) {
    let begun = |task: &Task| {
        let passed = match task.direction {
            TaskDirection::Back => SubtaskState::Pending,
            TaskDirection::Forward => SubtaskState::Successful,
        };
        let subtask = task.subtasks.iter().find(|subtask| subtask.spec.name == step);
        subtask.is_some_and(|subtask| subtask.state == SubtaskState::Running || subtask.state == passed)
    };
    let mut written = world.disk.lock().commits();
    loop {
        written.mark_unchanged();
        let waits = world.disk.lock().open().is_some_and(|task| task.state.phase() == Phase::Moving && !begun(task));
        if !waits {
            return;
        }
        world.help().await;
        world.a_commit(&mut written, Duration::from_secs(1)).await;
    }
}

fn state(world: &World, id: TaskId) -> TaskState {
    world.disk.lock().tasks[&id].task.state
}
