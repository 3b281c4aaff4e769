//! The JSON lines of a watch: `{"event":{…}}`, as the protocol has them, and how it began and ended.

use serde::Serialize;
use serde::ser::{Error, Serializer};
use serde_json::{Map, Value, json};

use super::exit::Exit;
use crate::proto::json::{Json, value};
use crate::proto::v1;

/// One line of a watch; its one key says what it is.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchLine<'a> {
    /// A task that a verb was asked for.
    Task(Json<'a, v1::Task>),
    /// A whole task, where the watch begins.
    Snapshot(Json<'a, v1::Task>),
    Event(Json<'a, v1::TaskEvent>),
    Progress(Json<'a, v1::SubtaskProgress>),
    /// How it ended: the last line.
    Result(Ended<'a>),
}

pub struct Ended<'a> {
    pub task: &'a v1::Task,
    pub exit: Exit,
}

impl Serialize for Ended<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut task = value(self.task).map_err(S::Error::custom)?;
        let told = ["state", "revision", "error", "allowed_verbs"].into_iter();
        let mut result: Map<String, Value> =
            told.filter_map(|key| Some((key.to_owned(), task.get_mut(key)?.take()))).collect();
        result.insert("task_id".to_owned(), json!(self.task.id));
        result.insert("exit_code".to_owned(), json!(self.exit.code()));
        result.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::view::tests::task;

    #[test]
    fn the_last_line_says_how_it_ended_and_what_can_be_done() {
        let mut task = task();
        task.set_state(v1::TaskState::Failed);
        task.allowed_verbs = vec![v1::TaskVerb::Retry as i32];
        task.error = Some(tonic_types::Status { code: 4, message: "too late".to_owned(), details: Vec::new() });
        let line = WatchLine::Result(Ended { task: &task, exit: Exit::TaskFailed });
        assert_eq!(
            serde_json::to_value(line).unwrap(),
            json!({"result": {
                "task_id": 12345, "state": "TASK_STATE_FAILED", "revision": 1, "exit_code": 1,
                "error": {"code": 4, "message": "too late", "details": []}, "allowed_verbs": ["TASK_VERB_RETRY"]
            }})
        );
    }
}
