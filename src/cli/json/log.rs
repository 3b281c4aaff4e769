//! Lines of logs.

use serde::Serialize;

use crate::cli::{times, words};
use crate::proto::v1;

/// A line of a subtask's log, as it stands in the log that was asked for.
#[derive(Debug, Serialize)]
pub struct LogLineDoc {
    number: i64,
    task_id: i64,
    subtask_id: i64,
    subtask: String,
    run_time: i32,
    operation: Option<String>,
    time: Option<String>,
    text: String,
}

/// The word of what was done then; absent where the server did not keep it.
fn operation(line: &v1::SubtaskLogLine) -> Option<String> {
    let kept = line.operation != v1::SubtaskOperation::Unspecified as i32;
    kept.then(|| words::subtask_operation(line.operation).into_owned())
}

impl LogLineDoc {
    /// A line of a task's subtask of this name.
    pub fn new(task_id: i64, subtask: String, line: &v1::SubtaskLogLine) -> Self {
        Self {
            number: line.number,
            task_id,
            subtask_id: line.subtask_id,
            subtask,
            run_time: line.run_time,
            operation: operation(line),
            time: times::rfc3339(line.time.as_ref()),
            text: line.text.clone(),
        }
    }
}

/// The whole log of one subtask.
#[derive(Debug, Serialize)]
pub struct SubtaskLogDoc {
    subtask_id: i64,
    subtask: String,
    lines: Vec<ExecutionLineDoc>,
}

#[derive(Debug, Serialize)]
struct ExecutionLineDoc {
    run_time: i32,
    operation: Option<String>,
    time: Option<String>,
    text: String,
}

impl SubtaskLogDoc {
    /// The lines that are this subtask's.
    pub fn new(subtask: &v1::Subtask, lines: &[v1::SubtaskLogLine]) -> Self {
        let own = lines.iter().filter(|line| line.subtask_id == subtask.id);
        let lines = own.map(|line| ExecutionLineDoc {
            run_time: line.run_time,
            operation: operation(line),
            time: times::rfc3339(line.time.as_ref()),
            text: line.text.clone(),
        });
        Self { subtask_id: subtask.id, subtask: subtask.name.clone(), lines: lines.collect() }
    }
}
