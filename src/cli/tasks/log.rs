//! `obsteward tasks log`: what the subtasks of a task logged, in OCP's form: each execution, and what was done in it, under a
//! head of its own.

use std::time::Duration;

use clap::Args;
use futures::{FutureExt, StreamExt};
use serde::Serialize;
use tonic::{Response, Status};

use super::show::get;
use crate::cli::client::{Client, READ_TIMEOUT};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::cli::resume::{Continuity, ResumableStream, Stopped, interrupted, resume};
use crate::cli::retry::is_lost;
use crate::cli::table::flat;
use crate::cli::times;
use crate::cli::view::TaskView;
use crate::cli::words;
use crate::proto::json::Json;
use crate::proto::v1;

/// A line, with the subtask that wrote it.
#[derive(Serialize)]
struct LineDocument<'a> {
    task_id: i64,
    subtask: String,
    #[serde(flatten)]
    line: Json<'a, v1::SubtaskLogLine>,
}

/// Arguments of `tasks log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Id of the task
    #[arg(value_name = "TASK_ID")]
    task: i64,
    /// Only the log of this subtask, by id or name [default: of all, in execution order]
    #[arg(value_name = "SUBTASK")]
    subtask: Option<String>,
    /// Go on with what comes, until the task is at rest or closed
    #[arg(long)]
    follow: bool,
    /// Number of the first line to show
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    from_line: i64,
}

/// The exit code is about showing the log, not about the task.
pub async fn run(args: LogArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let view = TaskView::new(get(client, args.task).await?);
    let subtask_id = match &args.subtask {
        Some(named) => Some(one_subtask(&view, named)?),
        None => None,
    };
    let mut log = Log { output, view, of_all: subtask_id.is_none(), next: args.from_line, execution: None };
    let request = v1::GetSubtaskLogRequest { task_id: args.task, subtask_id, from_line: args.from_line, follow: false };
    if !args.follow {
        let (lines, failure) = read(client, request, READ_TIMEOUT).await;
        log.show(&lines)?;
        return failure.map_or(Ok(Exit::Done), Err);
    }
    let tasks = client.tasks();
    let open = move |next: Option<i64>| {
        let mut tasks = tasks.clone();
        let request = v1::GetSubtaskLogRequest { from_line: next.unwrap_or_default(), follow: true, ..request };
        async move { Ok(tasks.get_subtask_log(request).await?.into_inner().boxed()) }.boxed()
    };
    match resume(&mut log, open).await {
        Ok(()) => Ok(Exit::Done),
        Err(Stopped::Failure(failure)) => Err(failure),
        Err(Stopped::Left(why)) => Err(client.not_known(why.to_owned())),
        Err(Stopped::Status(status)) => {
            let lost = is_lost(&status);
            let mut failure = client.failure("follow log", status);
            if let Failure::Rpc { hint, .. } = &mut failure
                && lost
            {
                *hint = Some(format!("go on where this ended with --from-line {}", log.next));
            }
            Err(failure)
        }
    }
}

/// The lines that are there now; when reading them failed, those that came before, and why.
pub async fn read(
    client: &Client,
    request: v1::GetSubtaskLogRequest,
    limit: Duration,
) -> (Vec<v1::SubtaskLogLine>, Option<Failure>) {
    let mut lines = Vec::new();
    let mut tasks = client.tasks();
    let whole = async {
        let mut messages = tasks.get_subtask_log(request).await?.into_inner();
        while let Some(message) = messages.message().await? {
            lines.extend(message.lines);
        }
        Ok(Response::new(()))
    };
    let ended = client.call("read log", limit, whole).await;
    (lines, ended.err())
}

/// The id of a subtask that was named by id or by name, whatever the case.
pub fn one_subtask(view: &TaskView, named: &str) -> Result<i64, Failure> {
    let number: Option<i64> = named.parse().ok();
    let is_named = |subtask: &&v1::Subtask| match number {
        Some(id) => subtask.id == id,
        // In a task on several servers a name may need the server's address behind it.
        None => [&subtask.name, &view.name(subtask.id)].iter().any(|name| name.eq_ignore_ascii_case(named.trim())),
    };
    let found: Vec<&v1::Subtask> = view.subtasks().filter(is_named).collect();
    let listed = |subtasks: &mut dyn Iterator<Item = &v1::Subtask>| {
        let names: Vec<_> = subtasks.map(|it| format!("{} {:?}", it.id, view.name(it.id))).collect();
        names.join(", ")
    };
    let task = view.task().id;
    match found.as_slice() {
        [one] => Ok(one.id),
        [] => {
            let there = listed(&mut view.subtasks());
            Err(Failure::Refused(format!("task {task} has no subtask {named:?}, it has {there}")))
        }
        several => {
            let there = listed(&mut several.iter().copied());
            Err(Failure::Refused(format!("task {task} has more than one subtask {named:?}, name one of {there}")))
        }
    }
}

struct Log<'a> {
    output: &'a Output,
    view: TaskView,
    /// Whether the lines of all subtasks come, so that each head must say whose they are.
    of_all: bool,
    /// Number of the line that comes next.
    next: i64,
    /// Subtask, execution and operation of the last line.
    execution: Option<(i64, i32, v1::SubtaskOperation)>,
}

impl Log<'_> {
    fn show(&mut self, lines: &[v1::SubtaskLogLine]) -> Result<(), Failure> {
        for line in lines {
            match self.output.format {
                Format::Text => {
                    let text = self.text(line);
                    self.output.lines(text)?;
                }
                Format::Json => {
                    let (task_id, subtask) = (self.view.task().id, self.view.name(line.subtask_id));
                    self.output.json_line(&LineDocument { task_id, subtask, line: Json(line) })?;
                }
            }
            self.next = line.number + 1;
        }
        Ok(())
    }

    /// A line, under the head of its execution and operation when it is the first of that; its own line breaks stay.
    fn text(&mut self, line: &v1::SubtaskLogLine) -> Vec<String> {
        let at = times::shown(line.time.as_ref());
        let mut text = Vec::new();
        let operation = match (line.operation(), line.run_time > 1) {
            // A server that does not record the operation has only these two.
            (v1::SubtaskOperation::Unspecified, true) => v1::SubtaskOperation::Retry,
            (v1::SubtaskOperation::Unspecified, false) => v1::SubtaskOperation::Execute,
            (kept, _) => kept,
        };
        let execution = Some((line.subtask_id, line.run_time, operation));
        if self.execution != execution {
            self.execution = execution;
            let operation = words::subtask_operation(operation as i32);
            let name = self.view.name(line.subtask_id);
            let whose = if self.of_all { format!(" {} {}", line.subtask_id, flat(&name)) } else { String::new() };
            text.push(format!("############{{{operation}}}{{{at}}}############{whose}"));
        }
        let mut parts = line.text.lines().map(flat);
        text.push(format!("{at} {}", parts.next().unwrap_or_default()));
        text.extend(parts.map(|part| format!("  {part}")));
        text
    }
}

impl ResumableStream for Log<'_> {
    type Message = v1::GetSubtaskLogResponse;

    fn position(&self) -> Option<i64> {
        Some(self.next)
    }

    fn take(&mut self, message: v1::GetSubtaskLogResponse) -> Result<Continuity, Failure> {
        let new: Vec<_> = message.lines.into_iter().filter(|line| line.number >= self.next).collect();
        if new.first().is_some_and(|line| line.number > self.next) {
            return Ok(Continuity::Gap);
        }
        self.show(&new)?;
        Ok(Continuity::Fits)
    }

    /// The server ends a log well only when there is nothing to follow any more.
    fn is_over(&self) -> bool {
        true
    }

    fn opened(&mut self) {}

    fn broken(&mut self, status: &Status, pause: Duration) {
        self.output.note(&interrupted("log", status, pause));
    }

    fn tick(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::view::tests::{at, task};

    /// As written by a server that does not record the operation.
    fn line(number: i64, subtask_id: i64, run_time: i32, text: &str) -> v1::SubtaskLogLine {
        let time = at(number);
        v1::SubtaskLogLine { number, subtask_id, run_time, time, text: text.to_owned(), operation: 0 }
    }

    fn shown(of_all: bool, format: Format) -> String {
        let output = Output::memory(format);
        let mut log = Log { output: &output, view: TaskView::new(task()), of_all, next: 1, execution: None };
        let begun = vec![line(1, 10, 1, "looks"), line(2, 10, 1, "refused:\n\u{1b}[31m-4660")];
        let message = |lines| v1::GetSubtaskLogResponse { lines, next_line: 0 };
        assert_eq!(log.take(message(begun)).unwrap(), Continuity::Fits);
        assert_eq!(log.take(message(vec![line(4, 10, 2, "left out")])).unwrap(), Continuity::Gap);
        // Taken up again from a line that was shown already.
        assert_eq!(log.take(message(vec![line(2, 10, 1, "again"), line(3, 10, 2, "done")])).unwrap(), Continuity::Fits);
        assert_eq!(log.position(), Some(4));
        output.written().0
    }

    #[test]
    fn each_execution_has_a_head_and_each_line_comes_once() {
        let text = "############{EXECUTE}{2026-01-02T03:04:06.678Z}############
2026-01-02T03:04:06.678Z looks
2026-01-02T03:04:07.678Z refused:
  \\u{1b}[31m-4660
############{RETRY}{2026-01-02T03:04:08.678Z}############
2026-01-02T03:04:08.678Z done
";
        assert_eq!(shown(false, Format::Text), text);
        assert_eq!(shown(true, Format::Text), text.replace("}############\n", "}############ 10 Stop server\n"));
    }

    #[test]
    fn what_is_done_within_an_execution_has_a_head_of_its_own() {
        let output = Output::memory(Format::Text);
        let mut log = Log { output: &output, view: TaskView::new(task()), of_all: true, next: 1, execution: None };
        let of = |number, operation: v1::SubtaskOperation, text| v1::SubtaskLogLine {
            operation: operation as i32,
            ..line(number, 10, 1, text)
        };
        use v1::SubtaskOperation::{Execute, Rollback};
        log.show(&[of(1, Execute, "stops"), of(2, Rollback, "looks what is left"), of(3, Rollback, "starts")]).unwrap();
        assert_eq!(
            output.written().0,
            "############{EXECUTE}{2026-01-02T03:04:06.678Z}############ 10 Stop server
2026-01-02T03:04:06.678Z stops
############{ROLLBACK}{2026-01-02T03:04:07.678Z}############ 10 Stop server
2026-01-02T03:04:07.678Z looks what is left
2026-01-02T03:04:08.678Z starts
"
        );
        let output = Output::memory(Format::Json);
        let mut log = Log { output: &output, view: TaskView::new(task()), of_all: true, next: 1, execution: None };
        log.show(&[of(1, Rollback, "x")]).unwrap();
        assert!(output.written().0.contains(r#""operation":"SUBTASK_OPERATION_ROLLBACK""#), "{:?}", output.written());
    }

    #[test]
    fn as_json_each_line_says_whose_it_is() {
        let json = shown(true, Format::Json);
        let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
        assert_eq!(
            last,
            serde_json::json!({
                "number": 3, "task_id": 12345, "subtask_id": 10, "subtask": "Stop server", "run_time": 2,
                "operation": "SUBTASK_OPERATION_UNSPECIFIED",
                "time": "2026-01-02T03:04:08.678Z", "text": "done"
            })
        );
        assert_eq!(json.lines().count(), 3);
    }

    #[test]
    fn a_subtask_is_named_by_id_or_name() {
        let view = TaskView::new(task());
        assert_eq!(one_subtask(&view, "10").unwrap(), 10);
        assert_eq!(one_subtask(&view, "stop SERVER").unwrap(), 10);
        for wrong in ["31", "Stop"] {
            let failure = one_subtask(&view, wrong).unwrap_err();
            assert!(failure.exit() == Exit::Refused && failure.render(Format::Text).contains("10 \"Stop server\""));
        }
    }
}
