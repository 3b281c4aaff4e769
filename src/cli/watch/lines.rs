//! Many tasks as lines that stay: a line for each event, JSON or YAML for programs.

use std::time::Duration;

use tonic::Status;

use super::many::{ManyTasks, Shown};
use crate::cli::client::Client;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::follow::over;
use crate::cli::lines::{event_line, progress_line, snapshot_line};
use crate::cli::output::{Format, Output};
use crate::cli::resume::{Message, Stopped, StreamOpening, interrupted, resume};
use crate::cli::view::TaskView;
use crate::cli::watch_line::WatchLine;
use crate::proto::json::Json;
use crate::proto::v1;

/// Follows many tasks until the time is over, somebody interrupts it or the server is gone for good. `again` is the command
/// that does the same.
pub async fn follow_all(
    client: &Client,
    output: &Output,
    open: impl FnMut(Option<i64>) -> StreamOpening<Message>,
    after_seq: Option<i64>,
    timeout: Option<Duration>,
    again: &str,
) -> Result<Exit, Failure> {
    let mut many = ManyTasks::new(Lines { output }, after_seq);
    let stopped = tokio::select! {
        ended = resume(&mut many, open) => ended,
        // A watch of many tasks has no outcome that could be unknown.
        () = over(timeout) => return Ok(Exit::Done),
        _ = tokio::signal::ctrl_c() => {
            let behind = many.position.map(|position| format!(" --after-seq {position}")).unwrap_or_default();
            output.note(&format!("the tasks go on without a watcher, go on where this ended with: {again}{behind}"));
            return Ok(Exit::Done);
        }
    };
    match stopped {
        Ok(()) => Ok(Exit::Done),
        Err(Stopped::Failure(failure)) => Err(failure),
        Err(Stopped::Left(why)) => Err(client.not_known(why.to_owned())),
        Err(Stopped::Status(status)) => {
            let go_on = many.position.map(|position| format!("go on where this ended with --after-seq {position}"));
            Err(client.failure("watch tasks", status).then(go_on))
        }
    }
}

/// A line for each of what comes.
pub struct Lines<'a> {
    pub output: &'a Output,
}

impl Shown for Lines<'_> {
    fn begin(&mut self, tasks: &[v1::Task]) -> Result<(), Failure> {
        if tasks.is_empty() {
            self.output.note("no task is open; waiting for the next one");
        }
        for task in tasks {
            match self.output.format {
                Format::Text => self.output.line(&format!("{}  {}", task.id, snapshot_line(task)))?,
                Format::Json => self.output.json_line(&WatchLine::Snapshot(Json(task)))?,
            }
        }
        Ok(())
    }

    fn event(&mut self, view: &TaskView, event: &v1::TaskEvent) -> Result<(), Failure> {
        match self.output.format {
            Format::Text => self.output.line(&format!("{}  {}", event.task_id, event_line(view, event))),
            Format::Json => self.output.json_line(&WatchLine::Event(Json(event))),
        }
    }

    fn progress(&mut self, view: Option<&TaskView>, progress: &v1::SubtaskProgress) -> Result<(), Failure> {
        match (self.output.format, view) {
            (Format::Json, _) => self.output.json_line(&WatchLine::Progress(Json(progress)))?,
            (Format::Text, Some(view)) => {
                self.output.note(&format!("{}  {}", progress.task_id, progress_line(view, progress)));
            }
            (Format::Text, None) => {}
        }
        Ok(())
    }

    fn closed(&mut self, _: TaskView) {}

    fn opened(&mut self) {}

    fn broken(&mut self, status: &Status, pause: Duration) {
        self.output.note(&interrupted("watch", status, pause));
    }
}
