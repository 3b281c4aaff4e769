//! What a subtask logged, as one text.

use serde::Serialize;

use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::state::RestState;
use crate::api::rest::task_words::subtask_operation;
use crate::domain::event::SubtaskOperation;
use crate::store::LogLine;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogBody {
    log: String,
    /// Number of the line that comes next; only for who asked from a line on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_line: Option<i64>,
}

/// Lines of a log, those from number `from` on (0 and 1: all); what was done in one execution stands under a head as OCP
/// writes it.
pub fn log(state: &RestState, lines: &[LogLine], from: Option<i64>) -> Result<Reply, Failure> {
    let known = usize::try_from(from.unwrap_or(1).max(1) - 1).unwrap_or(usize::MAX).min(lines.len());
    let next_line = from.map(|_| i64::try_from(lines.len() + 1).unwrap_or(i64::MAX));
    let lines = &lines[known..];
    let mut text: Vec<String> = Vec::with_capacity(lines.len() + 1);
    let mut execution = None;
    for line in lines {
        let at = state.format.timestamps.text(line.at);
        // A version that kept no operation knew these two.
        let usual = if line.run_time > 1 { SubtaskOperation::Retry } else { SubtaskOperation::Execute };
        let operation = line.operation.unwrap_or(usual);
        if execution != Some((line.run_time, operation)) {
            execution = Some((line.run_time, operation));
            let operation = subtask_operation(operation);
            text.push(format!("############{{{operation}}}{{{at}}}############"));
        }
        text.push(format!("{at} {}", line.text));
    }
    Reply::data(&LogBody { log: text.join("\n"), next_line })
}
