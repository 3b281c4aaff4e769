//! The lines of a watch, and the lists of documents: `{"event":{…}}`, `{"tasks":[…]}`.

use serde::Serialize;

use super::error::ResultDoc;
use super::event::EventDoc;
use super::task::{ProgressDoc, TaskDoc};

/// One line of a watch; its one key says what it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineDoc {
    /// A task that a verb was asked for.
    Task(Box<TaskDoc>),
    /// A whole task, where the watch begins.
    Snapshot(Box<TaskDoc>),
    /// Something that happened.
    Event(Box<EventDoc>),
    /// How far a subtask is.
    Progress(ProgressDoc),
    /// How it ended: the last line.
    Result(Box<ResultDoc>),
}

/// Tasks, newest first.
#[derive(Debug, Serialize)]
pub struct TasksDoc {
    /// The tasks.
    pub tasks: Vec<TaskDoc>,
    /// Whether there are more than the limit.
    pub more: bool,
}
