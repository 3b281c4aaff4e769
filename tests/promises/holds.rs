//! Holds: a held server is brought back when somebody said that the work is done, when the time is over, or when somebody started
//! its process.

use std::collections::BTreeMap;
use std::time::Duration;

use obsteward::proto::v1;
use obsteward::proto::v1::task_event::Kind;

use super::log::micros;
use super::{TaskEvidence, graphs};

/// Every hold of a task that ended without a reason.
pub fn check(task: &TaskEvidence, set_back: Duration, broken: &mut Vec<String>) {
    let id = task.shown.id;
    let set_back = i64::try_from(set_back.as_micros()).unwrap();
    let at = |event: &v1::TaskEvent| event.event_time.as_ref().map_or(0, micros) + set_back;
    let told = |subtask: i64, since: i64| {
        task.events.iter().any(|event| match &event.kind {
            Some(Kind::VerbRequested(asked)) => asked.verb() == v1::TaskVerb::CompleteHold && at(event) >= since,
            Some(Kind::Warning(warning)) => {
                let over = ["HOLD_NOT_COMPLETED", "HOLD_ENDED_BY_OTHER"].contains(&warning.code.as_str());
                over && warning.subtask_id == subtask && at(event) >= since
            }
            _ => false,
        })
    };
    let mut began = BTreeMap::new();
    for event in &task.events {
        let Some(Kind::SubtaskTransition(moved)) = &event.kind else { continue };
        if moved.name != graphs::HOLD {
            continue;
        }
        let now = event.event_time.as_ref().map_or(0, micros);
        match moved.to() {
            v1::SubtaskState::Running => _ = began.insert(moved.subtask_id, now),
            v1::SubtaskState::Successful if moved.operation() != v1::SubtaskOperation::Skip => {
                let since = began.get(&moved.subtask_id).copied().unwrap_or(i64::MAX);
                if !told(moved.subtask_id, since) {
                    broken.push(format!("5: the hold of task {id} ended, nobody completed it, and nothing says why"));
                }
            }
            _ => {}
        }
    }
}
