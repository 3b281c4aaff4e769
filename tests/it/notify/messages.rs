//! What becomes a notification, and what it says.

use std::sync::Arc;
use std::time::Duration;

use obsteward::clock::Timestamp;
use obsteward::config::NotifiedOf;
use obsteward::domain::event::{
    Effect, Event, EventKind, Failure, FailureKind, StoredEvent, SubtaskOperation, SubtaskState, TaskOperation,
    TaskServer, TaskSpec, TaskState,
};
use obsteward::domain::graph::{SubtaskRole, TaskTarget};
use obsteward::domain::hold::{Hold, HoldUntil};
use obsteward::domain::ids::{Fence, Revision, Seq, ServerId};
use obsteward::notify::message::{HoldTimes, may_be_told, of_event, told};
use obsteward::notify::reminders::{self, due};
use serde_json::json;

use crate::support::stored_tasks::{cluster_id, spec, subtask_id, task_id};

const NOW: i64 = 1_767_323_045_000_000;

fn moved(to: TaskState, error: Option<Failure>) -> EventKind {
    EventKind::TaskStateChanged { from: TaskState::Running, to, operation: TaskOperation::Execute, error }
}

fn began(number: i64, operation: SubtaskOperation, to: SubtaskState) -> EventKind {
    EventKind::SubtaskStateChanged {
        subtask: subtask_id(task_id(1), number),
        from: SubtaskState::Ready,
        to,
        operation,
        run_time: 1,
        effect: Effect::None,
        executor: "me".to_owned(),
        error: None,
    }
}

/// On two servers, of which the second subtask holds the second.
fn holding() -> TaskSpec {
    let mut spec = spec(task_id(1), cluster_id(1));
    let second =
        TaskServer { id: ServerId::new(8).unwrap(), addr: "10.0.0.3:2882".parse().unwrap(), ..spec.servers[0].clone() };
    spec.graph.subtasks[1].role = SubtaskRole::Hold;
    spec.graph.subtasks[1].target = TaskTarget::Server(second.id);
    spec.servers.push(second);
    spec.reason = "INC-7".parse().unwrap();
    let until = HoldUntil::For(Duration::from_secs(1800));
    spec.hold = Some(Hold { until, permanent_offline: Duration::from_secs(3600) });
    spec
}

fn stored(kind: EventKind) -> StoredEvent {
    StoredEvent {
        seq: Seq::new(42),
        task: task_id(1),
        revision: Revision::new(7),
        fence: Fence::new(1),
        event: Event { at: Timestamp::from_micros(NOW), kind },
    }
}

#[test]
fn what_people_wait_for_is_told_and_nothing_else() {
    use NotifiedOf::{Done, Failed, Held, Refused, Resting};
    let spec = holding();
    for (kind, expected) in [
        (moved(TaskState::Refused, None), &[Refused][..]),
        (moved(TaskState::Failed, None), &[Failed, Resting]),
        (moved(TaskState::Cancelled, None), &[Resting]),
        (moved(TaskState::Successful, None), &[Done]),
        (moved(TaskState::RolledBack, None), &[Done]),
        (moved(TaskState::GivenUp, None), &[Done]),
        (moved(TaskState::Running, None), &[]),
        (moved(TaskState::Canceling, None), &[]),
        (began(2, SubtaskOperation::Execute, SubtaskState::Running), &[Held]),
        (began(2, SubtaskOperation::Retry, SubtaskState::Running), &[Held]),
        (began(2, SubtaskOperation::Rollback, SubtaskState::Running), &[]),
        (began(2, SubtaskOperation::Execute, SubtaskState::Ready), &[]),
        (began(1, SubtaskOperation::Execute, SubtaskState::Running), &[]),
        (EventKind::Created(Box::new(spec.clone())), &[]),
        (EventKind::Adopted { fence: Fence::new(2), executor: "me".to_owned() }, &[]),
    ] {
        let kinds = told(&kind, &spec).map_or(&[][..], |told| told.kinds);
        assert_eq!(kinds, expected, "{kind:?}");
        assert!(may_be_told(&kind) || kinds.is_empty(), "its spec would not be read: {kind:?}");
    }
    let no_hold = TaskSpec { hold: None, ..spec };
    assert_eq!(told(&began(2, SubtaskOperation::Execute, SubtaskState::Running), &no_hold), None);
}

#[test]
fn a_message_says_what_a_program_needs() {
    let spec = holding();
    let failure = Failure::new(FailureKind::Refused, "LOG_NOT_IN_SYNC", "the log of 10.0.0.3 lags").with("lag", 7);
    let event = stored(moved(TaskState::Failed, Some(failure)));
    let message = of_event("store-1", &event, &spec, told(&event.event.kind, &spec).unwrap(), HoldTimes::default());
    assert_eq!((message.id.as_str(), message.kind), ("store-1-42", NotifiedOf::Failed));
    let cluster = json!({"id": 1, "name": spec.cluster.name});
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&message.body).unwrap(),
        json!({
            "type": "failed",
            "time": "2026-01-02T03:04:05.000Z",
            "seq": 42,
            "task": {"id": 1, "name": "Stop OB server", "state": "FAILED", "target": "10.0.0.2:2882", "creator": "anonymous"},
            "cluster": cluster,
            "servers": ["10.0.0.2:2882", "10.0.0.3:2882"],
            "reason": "INC-7",
            "error": {"kind": "REFUSED", "reason": "LOG_NOT_IN_SYNC", "message": "the log of 10.0.0.3 lags"},
        })
    );
    let event = stored(began(2, SubtaskOperation::Execute, SubtaskState::Running));
    let at = |seconds: i64| Some(Timestamp::from_micros(NOW + seconds * 1_000_000));
    let times = HoldTimes { until: at(60), permanent_offline_at: at(120) };
    let message = of_event("store-1", &event, &spec, told(&event.event.kind, &spec).unwrap(), times);
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&message.body).unwrap(),
        json!({
            "type": "held",
            "time": "2026-01-02T03:04:05.000Z",
            "seq": 42,
            "task": {"id": 1, "name": "Stop OB server", "state": "RUNNING", "target": "10.0.0.2:2882", "creator": "anonymous"},
            "cluster": cluster,
            "servers": ["10.0.0.3:2882"],
            "reason": "INC-7",
            "held_until": "2026-01-02T03:05:05.000Z",
            "permanent_offline_time": "2026-01-02T03:06:05.000Z",
        })
    );
}

#[test]
fn each_hold_is_reminded_of_once_when_its_deadline_is_near() {
    let at = |seconds: i64| Timestamp::from_micros(NOW + seconds * 1_000_000);
    let spec = Arc::new(holding());
    let hold = |run_time, offline: Option<i64>| reminders::Hold {
        spec: Arc::clone(&spec),
        subtask: subtask_id(task_id(1), 2),
        run_time,
        until: at(0),
        permanent_offline_at: offline.map(at),
    };
    let holds = [hold(1, Some(601)), hold(2, Some(600)), hold(3, None), hold(4, Some(-5)), hold(5, Some(5))];
    let reminded = ["1-102-5".to_owned(), "1-102-9".to_owned()];
    let (near, lasting) = due(&holds, &reminded, Duration::from_secs(600), at(0));
    assert_eq!(near.iter().map(|hold| hold.run_time).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(lasting, ["1-102-5"], "what is over is forgotten");
    let message = near[0].message("store-1", at(0));
    let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
    assert_eq!((message.id.as_str(), &body["type"]), ("store-1-1-102-2", &json!("nearly_given_up")));
    assert_eq!(body["permanent_offline_time"], "2026-01-02T03:14:05.000Z");
    assert_eq!((body.get("seq"), &body["servers"]), (None, &json!(["10.0.0.3:2882"])));
}
