//! What a subtask logged, as one text.

use serde::Serialize;

use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::call::Face;
use crate::api::rest::task_words::subtask_operation;
use crate::domain::event::SubtaskOperation;
use crate::store::LogLine;

#[derive(Serialize)]
struct LogBody {
    log: String,
}

/// Lines of a log; what was done in one execution stands under a head as OCP writes it.
pub fn log(face: &Face, lines: &[LogLine]) -> Result<Reply, Failure> {
    let mut text: Vec<String> = Vec::with_capacity(lines.len() + 1);
    let mut execution = None;
    for line in lines {
        let at = face.manner.moments.text(line.at);
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
    Reply::data(&LogBody { log: text.join("\n") })
}
