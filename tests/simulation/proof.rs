//! That the checks of zones, rollouts and holds can fail: each is broken on purpose in the evidence of a good run, and found. As
//! `tests/it/faults/proof.rs` does for the stop of a server.

use std::time::Duration;

use obsteward::proto::v1;
use obsteward::proto::v1::task_event::Kind as Event;
use obsteward::sim::{Kind, Recorded};

use crate::asking::Ask;
use crate::promises::Evidence;
use crate::promises::graphs;
use crate::promises::scenario::{Operation, SERVER};
use crate::simulate::in_paused_time;
use crate::story::Story;
use crate::world::{World, WorldOptions};

/// Breaks something.
type Break = fn(&mut Evidence);

const LONGEST: Duration = Duration::from_secs(600);

fn good(operation: Operation) -> Evidence {
    in_paused_time(async {
        let mut options = WorldOptions::new(1);
        options.servers_per_zone = operation.servers_per_zone();
        let mut world = World::new(options, Story::default()).await;
        assert!(matches!(world.ask_and_wait(&Ask::of(operation, SERVER)).await, Some(Ok(_))));
        assert!(world.rests_with_help(LONGEST).await);
        assert_eq!(world.check(true), Vec::<String>::new(), "{operation:?}");
        let evidence = world.witness.evidence().clone();
        assert_eq!(evidence.tasks[0].shown.state(), v1::TaskState::Successful, "{operation:?}");
        evidence
    })
}

fn forget(evidence: &mut Evidence, kind: Kind) {
    evidence.record.retain(|line| line.kind != kind);
}

fn first(evidence: &mut Evidence, kind: Kind) -> &mut Recorded {
    evidence.record.iter_mut().find(|line| line.kind == kind).unwrap()
}

/// Subtask of this name as it first ended well, and the place behind that.
fn ended(evidence: &Evidence, name: &str) -> (v1::TaskEvent, usize) {
    let events = &evidence.tasks[0].events;
    let is = |event: &v1::TaskEvent| matches!(&event.kind, Some(Event::SubtaskTransition(moved)) if moved.name == name && moved.to() == v1::SubtaskState::Successful);
    let at = events.iter().position(is).unwrap();
    (events[at].clone(), at + 1)
}

fn insert(evidence: &mut Evidence, at: usize, event: v1::TaskEvent) {
    let events = &mut evidence.tasks[0].events;
    events.insert(at, event);
    (1..).zip(events).for_each(|(revision, event)| event.revision = revision);
}

/// What breaks in which operation, and words of what is found.
const BROKEN: &[(Operation, Break, &str)] = &[
    (Operation::StopZone, |e| forget(e, Kind::ZoneStopped), "6: STOP_TIME was not set"),
    (Operation::StopZone, |e| forget(e, Kind::ZoneStopped), "5: intent 1"),
    (Operation::StopZone, |e| first(e, Kind::ZoneStopped).text = "zone3".to_owned(), "7: no intent stands behind"),
    (
        Operation::StopZone,
        |e| {
            // Somebody started it a minute before the end.
            let mut started = first(e, Kind::ZoneStopped).clone();
            (started.kind, started.session) = (Kind::ZoneStarted, None);
            let at = e.record.iter().position(|line| line.kind == Kind::ZoneStopped).unwrap() + 1;
            started.sequence += 1;
            e.record
                .iter_mut()
                .skip(at)
                .for_each(|line| (line.sequence, line.at) = (line.sequence + 1, line.at + 60_000_000));
            e.record.insert(at, started);
        },
        "6: STOP_TIME was not set",
    ),
    (Operation::StopCluster, |e| e.tasks[0].shown.accepted_risks.clear(), "6: nobody accepted SERVICE_LOSS"),
    (
        Operation::StopCluster,
        |e| {
            // One server was frozen only behind the first end.
            let end = first(e, Kind::ProcessEnded).sequence;
            let freeze = first(e, Kind::MinorFreeze);
            freeze.sequence = end;
            e.record.sort_by_key(|line| line.sequence);
        },
        "was not done before",
    ),
    (
        Operation::StopCluster,
        |e| {
            let frozen = |event: &&mut v1::TaskEvent| matches!(&event.kind, Some(Event::SubtaskTransition(moved)) if moved.name == graphs::FREEZE && moved.to() == v1::SubtaskState::Successful);
            let event = e.tasks[0].events.iter_mut().find(frozen).unwrap();
            let Some(Event::SubtaskTransition(moved)) = &mut event.kind else { unreachable!() };
            moved.set_operation(v1::SubtaskOperation::Skip);
        },
        "ends a process of the cluster, and freeze",
    ),
    (Operation::RestartZone, |e| forget(e, Kind::ZoneStarted), "and the cluster knows of no ZoneStarted"),
    (
        Operation::Rollout,
        |e| {
            let (mut event, at) = ended(e, graphs::GATE);
            let (before, _) = ended(e, "Update observer status");
            let (Some(Event::SubtaskTransition(again)), Some(Event::SubtaskTransition(of))) =
                (&mut event.kind, &before.kind)
            else {
                unreachable!()
            };
            (again.subtask_id, again.name) = (of.subtask_id, of.name.clone());
            again.set_from(v1::SubtaskState::Successful);
            again.set_to(v1::SubtaskState::Ready);
            again.set_operation(v1::SubtaskOperation::Rollback);
            insert(e, at, event);
        },
        "which was passed",
    ),
    (
        Operation::Rollout,
        |e| {
            let second = e.record.iter().filter(|line| line.kind == Kind::MarkSet).nth(1).unwrap().sequence;
            e.record.retain(|line| line.kind != Kind::ProcessStarted || line.sequence > second);
        },
        "is still out by task",
    ),
    (
        Operation::Hold,
        |e| {
            let events = &mut e.tasks[0].events;
            events.retain(|event| !matches!(event.kind, Some(Event::VerbRequested(_))));
        },
        "nobody completed it",
    ),
    (
        Operation::Hold,
        |e| {
            let (held, at) = ended(e, graphs::HOLD);
            let Some(Event::SubtaskTransition(of)) = &held.kind else { unreachable!() };
            let subtask = of.subtask_id;
            let is = |event: &&v1::TaskEvent| matches!(event.kind, Some(Event::IntentRecorded(_)));
            let mut intent = e.tasks[0].events.iter().find(is).unwrap().clone();
            let Some(Event::IntentRecorded(acts)) = &mut intent.kind else { unreachable!() };
            (acts.subtask_id, acts.intent) = (subtask, 3);
            insert(e, at - 1, intent);
        },
        "which only looks",
    ),
];

#[test]
fn each_promise_of_zones_and_rollouts_that_is_broken_is_found() {
    let operations =
        [Operation::StopZone, Operation::StopCluster, Operation::RestartZone, Operation::Rollout, Operation::Hold];
    for operation in operations {
        let evidence = good(operation);
        for (number, (_, break_it, words)) in BROKEN.iter().enumerate().filter(|(_, (of, ..))| *of == operation) {
            let mut evidence = evidence.clone();
            break_it(&mut evidence);
            let broken = evidence.broken();
            assert!(broken.iter().any(|found| found.contains(words)), "case {number}: {words:?} is not in {broken:#?}");
        }
    }
}
