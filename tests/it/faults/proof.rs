//! That the checks can fail: each promise is broken on purpose in the evidence of a good stop, and found.

use obsteward::proto::v1;
use obsteward::proto::v1::task_event::Kind as Event;
use obsteward::sim::{Kind, Recorded};

use crate::promises::Evidence;
use crate::support::Stage;

/// Breaks something.
type Break = fn(&mut Evidence);

fn recorded(evidence: &mut Evidence, number: i32) -> &mut v1::IntentRecorded {
    let events = evidence.tasks[0].events.iter_mut();
    events
        .filter_map(|event| match &mut event.kind {
            Some(Event::IntentRecorded(intent)) if intent.intent == number => Some(intent),
            _ => None,
        })
        .next()
        .unwrap()
}

fn settled(evidence: &mut Evidence, number: i32) -> &mut v1::IntentSettled {
    let events = evidence.tasks[0].events.iter_mut();
    events
        .filter_map(|event| match &mut event.kind {
            Some(Event::IntentSettled(intent)) if intent.intent == number => Some(intent),
            _ => None,
        })
        .next()
        .unwrap()
}

fn intent_late(evidence: &mut Evidence, number: i32) {
    let events = evidence.tasks[0].events.iter_mut();
    let is = |event: &&mut v1::TaskEvent| matches!(&event.kind, Some(Event::IntentRecorded(it)) if it.intent == number);
    events.filter(is).for_each(|event| event.event_time.as_mut().unwrap().seconds += 60);
}

fn forget(evidence: &mut Evidence, kind: Kind) {
    evidence.record.retain(|line| line.kind != kind);
}

/// What breaks, the promise, and words of what is found.
const BROKEN: &[(Break, &str)] = &[
    (|e| _ = e.tasks[0].events.remove(3), "1: the log of task"),
    (|e| e.tasks[0].events.swap(2, 3), "9: seq"),
    (|e| _ = e.tasks[0].events.pop(), "1: task"),
    (|e| e.tasks[0].shown.set_state(v1::TaskState::Failed), "is shown as its log does not say"),
    (|e| e.tasks[0].shown.subtasks[0].run_time = 2, "is shown as its log does not say"),
    (|e| e.handles[0].id = 1, "1: task 1 was returned and is not there"),
    (|e| e.handles[0].revision += 2, "1: task"),
    (|e| _ = e.watched[0].remove(2), "9: a watcher of task"),
    (|e| e.watched[0].swap(2, 3), "9: a watcher of task"),
    (|e| e.watched[0][2].seq += 1, "1: a watcher saw revision"),
    (|e| e.holder = e.tasks[0].shown.id, "and still holds the cluster"),
    (|e| e.tasks.insert(0, e.tasks[0].clone()), "2: task"),
    (|e| recorded(e, 2).fence = 0, "2: revision"),
    (|e| recorded(e, 1).connection_id = Some(recorded(e, 1).connection_id() + 1), "3: 0 intents stand behind"),
    (|e| recorded(e, 1).endpoint.push('0'), "3: 0 intents stand behind"),
    (|e| intent_late(e, 1), "5: intent 1"),
    (|e| intent_late(e, 2), "7: no intent stands behind"),
    (|e| recorded(e, 2).description = "end pid 1 (another)".to_owned(), "7: no intent stands behind"),
    (|e| settled(e, 1).set_outcome(v1::IntentOutcome::Refused), "5: intent 1"),
    (|e| settled(e, 2).set_outcome(v1::IntentOutcome::Void), "5: no intent says that it happened"),
    (|e| forget(e, Kind::MarkSet), "6: STOP_TIME was not set"),
    (|e| forget(e, Kind::MarkSet), "5: intent 1"),
    (
        |e| {
            let ended = e.record.iter().rfind(|line| line.kind == Kind::ProcessEnded).unwrap();
            let (kind, text) = (Kind::MajorityLost, "tenant 1 log stream 1, others 3 lost before 16000000".to_owned());
            e.record.push(Recorded { kind, text, sequence: ended.sequence + 1, ..ended.clone() });
        },
        "6: a majority was lost",
    ),
    (|e| forget(e, Kind::ProcessEnded), "5: intent 2"),
    (
        |e| {
            let statement = e.record.iter().find(|line| line.text.starts_with("ALTER SYSTEM")).unwrap().clone();
            e.record.push(statement);
        },
        "sent a second statement",
    ),
    (
        |e| {
            let other = e.record.iter_mut().find(|line| line.kind == Kind::MarkSet).unwrap();
            other.server = Some(1);
        },
        "7: no intent stands behind",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_promise_that_is_broken_is_found() {
    let stage = Stage::new().await;
    let request = stage.request(2).await;
    let handle = stage.clients.stop_with(request).await.unwrap();
    let (watched, ended) = stage.clients.events_until(handle.id, 0, |_| false).await;
    ended.unwrap();
    let mut evidence = Evidence::gather(&stage.clients, &stage.sim, stage.cluster_id).await;
    evidence.handles.push(handle);
    evidence.watched.push(watched);
    evidence.assert_promises();
    for (number, (break_it, words)) in BROKEN.iter().enumerate() {
        let mut evidence = evidence.clone();
        break_it(&mut evidence);
        let broken = evidence.broken();
        assert!(broken.iter().any(|found| found.contains(words)), "case {number}: {words:?} is not in {broken:#?}");
    }
}
