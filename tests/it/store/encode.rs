//! The stored bytes of one event of each kind, as a file: what was written by an older version must be read for years.
//! A line is added for what is new; a line that changes is a store that can no longer be read.

use std::time::Duration;

use obsteward::domain::effect::Intent;
use obsteward::domain::event::{
    Effect, Event, EventKind, Failure, FailureKind, IntentOutcome, OverriddenCheck, SubtaskOperation, SubtaskState,
    TaskOperation, TaskState, Verb,
};
use obsteward::domain::facts::{
    ClusterFacts, ClusterState, Fact, Facts, Moment, ProcessBefore, ProcessState, ServerFact, ServerFacts,
    StopTimeState, ZoneFacts,
};
use obsteward::domain::freeze::{AppliedLog, AppliedLogs};
use obsteward::domain::host::ObserverIdentity;
use obsteward::domain::ids::{Fence, Principal, ServerId, SubtaskId, ZoneName};
use obsteward::domain::reason::Reason;
use obsteward::domain::status::{ClusterStatus, OverriddenBy, Risk, ServerStatus, ZoneStatus};
use obsteward::domain::task::Task;
use obsteward::domain::trace::TraceContext;
use obsteward::store::encode::{
    event_from_bytes, event_to_bytes, events_from_bytes, events_to_bytes, lines_from_bytes, lines_to_bytes,
};
use obsteward::store::{LogLine, StoreError};

use super::{at, spec};

const GOLDEN: &str = include_str!("golden/events.hex");
const GOLDEN_ROLLBACK: &str = include_str!("golden/rollback.hex");

fn subtask(number: i64) -> SubtaskId {
    SubtaskId::new(100 + number).unwrap()
}

fn reason() -> Reason {
    "CHG-4711: 内核".parse().unwrap()
}

fn failure() -> Failure {
    Failure::new(FailureKind::TimedOut, "SUBTASK_TIMEOUT", "it took too long")
        .with("timeout_seconds", 60)
        .with("a", "b")
}

fn moved(number: i64, from: SubtaskState, to: SubtaskState, effect: Effect, error: Option<Failure>) -> EventKind {
    let operation = SubtaskOperation::Execute;
    let executor = if to == SubtaskState::Ready { String::new() } else { "host:1:boot".to_owned() };
    EventKind::SubtaskStateChanged {
        subtask: subtask(number),
        from,
        to,
        operation,
        run_time: 1,
        effect,
        executor,
        error,
    }
}

/// One fact of each kind: a kind that is added does not compile before it is here.
fn one_of_each() -> Facts {
    let (zone, server): (ZoneName, ServerId) = ("zone1".parse().unwrap(), ServerId::new(1).unwrap());
    let identity = ObserverIdentity {
        boot_id: "1b4e28ba".to_owned(),
        pid: 4711,
        start_ticks: 123_456_789_012,
        executable: "/home/admin/observer/bin/observer".to_owned(),
        executable_inode: "64769:42".to_owned(),
        home: "/home/admin/observer".to_owned(),
        uid: 500,
        network_namespace: "net:[4026531840]".to_owned(),
        cluster_name: "c1".to_owned(),
    };
    let cluster = ClusterFacts {
        former_status: Some(ClusterStatus::Running),
        target_status: Some(ClusterStatus::Stopped),
        state: Some(ClusterState::Unknown),
        // It came later.
        inactive_before: None,
    };
    let of_zone = ZoneFacts {
        former_status: Some(ZoneStatus::Running),
        target_status: Some(ZoneStatus::Unavailable),
        // They came later.
        ..ZoneFacts::NONE
    };
    let of_server = ServerFacts {
        former_status: Some(ServerStatus::Running),
        stop_time_before: Some(Moment::NotSet),
        start_service_time_before: Some(Moment::At(at(7))),
        process_before: Some(ProcessBefore::Running(identity.clone())),
        leaders_before: Some(17),
        stop_time: Some(StopTimeState::Refused),
        process_state: Some(ProcessState::Absent),
        process_started: Some(ObserverIdentity { pid: 4712, ..identity }),
        // It came later.
        applied_at_freeze: None,
    };
    let of_zone = of_zone.iter().map(|fact| Fact::Zone(zone.clone(), fact));
    let of_server = of_server.iter().map(|fact| Fact::Server(server, fact));
    cluster.iter().map(Fact::Cluster).chain(of_zone).chain(of_server).collect()
}

/// Those, and the values of some that have more than one form.
fn facts() -> Vec<Fact> {
    let server = ServerId::new(2).unwrap();
    let others = [
        ServerFact::StopTimeBefore(Moment::At(at(8))),
        ServerFact::ProcessBefore(ProcessBefore::NotSeen(ProcessState::Unknown)),
    ];
    one_of_each().iter().chain(others.map(|fact| Fact::Server(server, fact))).collect()
}

/// A log that folds and has every kind of event.
fn log() -> Vec<Event> {
    let mut created = spec(100, 1);
    created.force = true;
    created.accepted_risks = vec![Risk::QuorumLoss];
    let (first, second) = (subtask(1), subtask(2));
    let intent = Intent {
        description: "ALTER SYSTEM STOP SERVER '10.0.0.2:2882'".to_owned(),
        endpoint: "10.0.0.1:2881".to_owned(),
        connection_id: 3_221_487_617,
        horizon: at(90),
        irreversible: true,
    };
    let overridden = OverriddenCheck {
        check: "LOG_IN_SYNC".to_owned(),
        evidence: "ls 1001 is 7 s behind".to_owned(),
        overridden_by: OverriddenBy::Force,
        principal: Principal::new("anna"),
    };
    let task_moved = |from, to, operation, error| EventKind::TaskStateChanged { from, to, operation, error };
    let kinds = vec![
        EventKind::Created(Box::new(created)),
        moved(1, SubtaskState::Pending, SubtaskState::Ready, Effect::None, None),
        moved(1, SubtaskState::Ready, SubtaskState::Running, Effect::None, None),
        EventKind::FactsRecorded { subtask: first, facts: facts() },
        EventKind::Overridden(overridden),
        EventKind::Warned { subtask: first, code: "PROCESS_UNKNOWN".to_owned(), message: "über".to_owned() },
        moved(1, SubtaskState::Running, SubtaskState::Successful, Effect::AlreadySo, None),
        moved(2, SubtaskState::Pending, SubtaskState::Ready, Effect::None, None),
        moved(2, SubtaskState::Ready, SubtaskState::Running, Effect::None, None),
        EventKind::IntentRecorded { subtask: second, number: 1, intent, fence: Fence::new(3) },
        EventKind::Adopted { fence: Fence::new(4), executor: "host:2:boot".to_owned() },
        EventKind::IntentSettled { subtask: second, number: 1, outcome: IntentOutcome::Void, message: "no".to_owned() },
        moved(2, SubtaskState::Running, SubtaskState::Failed, Effect::Done, Some(failure())),
        task_moved(TaskState::Running, TaskState::Failed, TaskOperation::Execute, Some(failure())),
        EventKind::VerbRequested {
            verb: Verb::Retry,
            reason: reason(),
            principal: Principal::new("bob"),
            expire_time: Some(at(7200)),
            subtask: None,
        },
        EventKind::VerbRequested {
            verb: Verb::GiveUp,
            reason: reason(),
            principal: Principal::new("bob"),
            expire_time: None,
            subtask: None,
        },
        task_moved(TaskState::Failed, TaskState::GivenUp, TaskOperation::GiveUp, None),
    ];
    (0..).zip(kinds).map(|(second, kind)| Event { at: at(second), kind }).collect()
}

fn applied_at_freeze() -> Fact {
    let log = AppliedLog { tenant_id: 1002, ls_id: 1001, scn: 1_700_000_000_123_456_789 };
    Fact::Server(ServerId::new(1).unwrap(), ServerFact::AppliedAtFreeze(AppliedLogs(vec![log])))
}

/// What later versions added; it stands alone, so that the lines above it keep their moments.
fn added() -> Vec<Event> {
    let mut traced = spec(100, 1);
    traced.trace = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert!(traced.trace.is_some());
    let cancelled = Failure::new(FailureKind::Cancelled, "CANCELLED", "bob cancelled it").with("principal", "bob");
    let moved = |from, to, error| EventKind::SubtaskStateChanged {
        subtask: subtask(1),
        from,
        to,
        operation: SubtaskOperation::Cancel,
        run_time: 1,
        effect: Effect::None,
        executor: "host:1:boot".to_owned(),
        error,
    };
    let (from, to, operation) = (TaskState::Running, TaskState::Canceling, TaskOperation::Cancel);
    let kinds = vec![
        EventKind::VerbRequested {
            verb: Verb::Cancel,
            reason: reason(),
            principal: Principal::new("bob"),
            expire_time: None,
            subtask: None,
        },
        moved(SubtaskState::Running, SubtaskState::Canceling, None),
        EventKind::TaskStateChanged { from, to, operation, error: None },
        moved(SubtaskState::Canceling, SubtaskState::Failed, Some(cancelled.clone())),
        EventKind::TaskStateChanged { from: to, to: TaskState::Cancelled, operation, error: Some(cancelled) },
        EventKind::FactsRecorded { subtask: subtask(1), facts: vec![applied_at_freeze()] },
        EventKind::Created(Box::new(traced)),
    ];
    (100..).zip(kinds).map(|(second, kind)| Event { at: at(second), kind }).collect()
}

/// A start that was skipped forward and then undone: what the version added that brought rollback and skip.
fn undone() -> Vec<Event> {
    use SubtaskState as S;
    let mut created = spec(100, 1);
    created.stop_type = None;
    created.reason = reason();
    created.graph.subtasks[0].prohibit_skip = true;
    created.graph.subtasks[1].target = created.target.clone();
    let moved = |number, from, to, operation, effect, error| EventKind::SubtaskStateChanged {
        subtask: subtask(number),
        from,
        to,
        operation,
        run_time: 1,
        effect,
        executor: "host:1:boot".to_owned(),
        error,
    };
    let task_moved = |from, to, operation, error| EventKind::TaskStateChanged { from, to, operation, error };
    let asked = |verb, expire_time, subtask| {
        let principal = Principal::new("bob");
        EventKind::VerbRequested { verb, principal, reason: reason(), expire_time, subtask }
    };
    let (done, none) = (Effect::Done, Effect::None);
    let (execute, skip) = (SubtaskOperation::Execute, SubtaskOperation::Skip);
    let (back, back_skip) = (SubtaskOperation::Rollback, SubtaskOperation::RollbackSkip);
    let (running, failed) = (TaskState::Running, TaskState::Failed);
    let kinds = vec![
        EventKind::Created(Box::new(created)),
        moved(1, S::Pending, S::Ready, execute, none, None),
        moved(1, S::Ready, S::Running, execute, none, None),
        moved(1, S::Running, S::Successful, execute, done, None),
        moved(2, S::Pending, S::Ready, execute, none, None),
        moved(2, S::Ready, S::Running, execute, none, None),
        moved(2, S::Running, S::Failed, execute, none, Some(failure())),
        task_moved(running, failed, TaskOperation::Execute, Some(failure())),
        asked(Verb::SkipSubtask, None, Some(subtask(2))),
        moved(2, S::Failed, S::Ready, skip, none, None),
        moved(2, S::Ready, S::Running, skip, none, None),
        moved(2, S::Running, S::Successful, skip, none, None),
        asked(Verb::Rollback, Some(at(7200)), None),
        task_moved(failed, running, TaskOperation::Rollback, None),
        moved(2, S::Successful, S::Ready, back, none, None),
        moved(2, S::Ready, S::Running, back, none, None),
        moved(2, S::Running, S::Failed, back, none, Some(failure())),
        moved(2, S::Failed, S::Ready, back_skip, none, None),
        moved(2, S::Ready, S::Running, back_skip, none, None),
        moved(2, S::Running, S::Pending, back_skip, none, None),
        moved(1, S::Successful, S::Ready, back, done, None),
        moved(1, S::Ready, S::Running, back, done, None),
        moved(1, S::Running, S::Pending, back, none, None),
        task_moved(running, TaskState::RolledBack, TaskOperation::Rollback, None),
    ];
    (0..).zip(kinds).map(|(second, kind)| Event { at: at(second), kind }).collect()
}

/// One line of a log under each operation, and one that was written before operations were kept.
fn logged() -> Vec<LogLine> {
    let line =
        |operation| LogLine { subtask: subtask(1), run_time: 2, at: at(3), text: "17 of 40".to_owned(), operation };
    std::iter::once(None).chain(SubtaskOperation::ALL.iter().copied().map(Some)).map(line).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |index| u8::from_str_radix(&hex[index..index + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[test]
fn stored_events_keep_their_bytes_and_their_meaning() {
    let (log, added) = (log(), added());
    let written: String = log.iter().chain(&added).map(|event| hex(&event_to_bytes(event)) + "\n").collect();
    if std::env::var_os("OBSTEWARD_WRITE_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/store/golden/events.hex"), &written).unwrap();
        return;
    }
    assert_eq!(written, GOLDEN);
    let read: Vec<Event> = GOLDEN.lines().map(|line| event_from_bytes(&bytes(line)).unwrap()).collect();
    let (known, new) = read.split_at(log.len());
    assert_eq!((known, new), (&*log, &*added));
    let task = Task::fold(known).unwrap();
    assert_eq!((task.state, task.revision.get()), (TaskState::GivenUp, 17));
    assert_eq!(task.facts.server(ServerId::new(1).unwrap()), one_of_each().server(ServerId::new(1).unwrap()));
    assert_eq!(events_from_bytes(&events_to_bytes(&log)).unwrap(), log);
}

#[test]
fn what_came_with_rollback_and_skip_keeps_its_bytes_and_its_meaning() {
    let (events, lines) = (undone(), logged());
    let written: String = events.iter().map(|event| hex(&event_to_bytes(event)) + "\n").collect();
    let written = written + &hex(&lines_to_bytes(&lines)) + "\n";
    if std::env::var_os("OBSTEWARD_WRITE_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/store/golden/rollback.hex"), &written).unwrap();
        return;
    }
    assert_eq!(written, GOLDEN_ROLLBACK);
    let golden: Vec<&str> = GOLDEN_ROLLBACK.lines().collect();
    let (last, golden) = golden.split_last().unwrap();
    let read: Vec<Event> = golden.iter().map(|line| event_from_bytes(&bytes(line)).unwrap()).collect();
    assert_eq!(read, events);
    assert_eq!(lines_from_bytes(&bytes(last)).unwrap(), lines);
    let task = Task::fold(&read).unwrap();
    assert_eq!((task.state, task.spec.stop_type), (TaskState::RolledBack, None));
    assert!(task.subtasks[0].spec.prohibit_skip && !task.subtasks[1].spec.prohibit_skip);
}

/// The golden bytes are of a version that knew neither, and fold to a task without.
#[test]
fn a_freeze_and_a_drain_before_the_stop_are_kept() {
    let mut created = spec(100, 1);
    created.freeze_before_stop = true;
    created.drain = Duration::from_millis(1500);
    let event = Event { at: at(0), kind: EventKind::Created(Box::new(created)) };
    assert_eq!(event_from_bytes(&event_to_bytes(&event)).unwrap(), event);
    let before = Task::fold(&[log()[0].clone()]).unwrap().spec;
    assert!(!before.freeze_before_stop && before.drain.is_zero());
}

/// The golden bytes are of a version that found its steps by name.
#[test]
fn the_kind_of_a_step_is_kept() {
    let mut created = spec(100, 1);
    created.graph.subtasks[0].kind = "PREPARE_STOP".to_owned();
    let event = Event { at: at(0), kind: EventKind::Created(Box::new(created)) };
    assert_eq!(event_from_bytes(&event_to_bytes(&event)).unwrap(), event);
}

#[test]
fn what_does_not_decode_is_damage_and_never_a_default() {
    let damaged = |bytes: &[u8], part: &str| match event_from_bytes(bytes) {
        Err(StoreError::Damaged(words)) => assert!(words.contains(part), "{words}"),
        outcome => panic!("{outcome:?}"),
    };
    damaged(&[0xff], "does not decode");
    // Field 1, a moment, alone: the kind is one that a newer version added, or none.
    damaged(&[0x08, 0x01], "newer version");
    // A kind of number 99.
    damaged(&[0x08, 0x01, 0x9a, 0x06, 0x00], "newer version");
    // A subtask that moved to nowhere.
    damaged(&[0x22, 0x02, 0x08, 0x65], "subtask moved");
    damaged(&[0x12, 0x00], "specification of a task");
    // A fact of a kind that a newer version added, about a server.
    damaged(&[0x62, 0x08, 0x08, 0x65, 0x12, 0x04, 0x1a, 0x02, 0x08, 0x01], "fact about a server");
}

#[test]
fn log_lines_come_back_as_they_were() {
    let line = LogLine { text: String::new(), ..logged()[0].clone() };
    assert_eq!(lines_from_bytes(&lines_to_bytes([&line])).unwrap(), [line]);
    assert!(lines_from_bytes(&[0xff]).is_err());
    // An operation of a newer version: `LogLines { lines { subtask: 101, operation: "X" } }`.
    assert!(matches!(lines_from_bytes(&[0x0a, 0x05, 0x08, 0x65, 0x2a, 0x01, b'X']), Err(StoreError::Damaged(_))));
}
