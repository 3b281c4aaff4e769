//! `obsteward watch`: one task to its end, or every task of a cluster or of all.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use futures::{FutureExt, StreamExt};
use tonic::Status;

use super::client::Client;
use super::exit::Exit;
use super::failure::Failure;
use super::follow::{FollowOptions, follow};
use super::lines::{event_line, progress_line, snapshot_line};
use super::output::{Format, Output};
use super::resume::{Continuity, Message, ResumableStream, Stopped, interrupted, resume};
use super::view::{Phase, TaskView, phase};
use super::watch_line::WatchLine;
use super::{resolve, times};
use crate::proto::json::Json;
use crate::proto::v1;

/// Arguments of `watch`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["task", "cluster", "all"])))]
pub struct WatchArgs {
    /// Id of the task to follow
    #[arg(value_name = "TASK_ID")]
    task: Option<i64>,
    /// Follow every task of this cluster, by name or id
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// Follow every task that you may see
    #[arg(long)]
    all: bool,
    /// Show only the events after this revision of the task
    #[arg(long, value_name = "REVISION", requires = "task", value_parser = clap::value_parser!(i64).range(0..))]
    after_revision: Option<i64>,
    /// Show the events after this position instead of the open tasks first
    #[arg(long, value_name = "SEQ", conflicts_with = "task", value_parser = clap::value_parser!(i64).range(0..))]
    after_seq: Option<i64>,
    /// Go on while the task rests (failed or cancelled), until it is closed
    #[arg(long, requires = "task")]
    until_closed: bool,
    /// Leave out progress
    #[arg(long)]
    no_progress: bool,
    /// End after this time: with exit code 5 for a task, 0 for a cluster or all
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    timeout: Option<Duration>,
}

pub async fn run(args: WatchArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    if let Some(task_id) = args.task {
        let options = FollowOptions {
            seed: None,
            after_revision: args.after_revision,
            until_closed: args.until_closed,
            progress: !args.no_progress,
            timeout: args.timeout,
            ..FollowOptions::default()
        };
        return Ok(follow(client, output, task_id, options).await?.exit);
    }
    let cluster_id = match &args.cluster {
        Some(cluster) => Some(resolve::cluster(client, cluster).await?),
        None => None,
    };
    let mut many = ManyTasks::new(output, args.after_seq);
    let (tasks, progress) = (client.tasks(), !args.no_progress);
    let open = move |after_seq| {
        let mut tasks = tasks.clone();
        let request = v1::WatchTasksRequest { cluster_id, after_seq, progress };
        async move {
            let stream = tasks.watch_tasks(request).await?.into_inner();
            Ok(stream.map(|message| message.map(Message::from)).boxed())
        }
        .boxed()
    };
    let limit = args.timeout.unwrap_or(Duration::MAX);
    match tokio::time::timeout(limit, resume(&mut many, open)).await {
        // A watch of many tasks has no outcome that could be unknown.
        Err(_) | Ok(Ok(())) => Ok(Exit::Done),
        Ok(Err(Stopped::Failure(failure))) => Err(failure),
        Ok(Err(Stopped::Left(why))) => Err(client.not_known(why.to_owned())),
        Ok(Err(Stopped::Status(status))) => {
            let mut failure = client.failure("watch tasks", status);
            if let (Failure::Rpc { hint, .. }, Some(position)) = (&mut failure, many.position) {
                let go_on = format!("go on where this ended with --after-seq {position}");
                *hint = Some(hint.take().map_or(go_on.clone(), |advice| format!("{advice}; then {go_on}")));
            }
            Err(failure)
        }
    }
}

/// Every open task, and how it is shown.
struct ManyTasks<'a> {
    output: &'a Output,
    /// Position up to which everything was shown.
    position: Option<i64>,
    /// Snapshots of a beginning that is not complete: shown only when it is, because after a break in the middle a task
    /// could have closed that the next beginning does not tell of.
    beginning: Vec<v1::Task>,
    /// Open tasks, for the names.
    views: HashMap<i64, TaskView>,
}

impl<'a> ManyTasks<'a> {
    fn new(output: &'a Output, position: Option<i64>) -> Self {
        Self { output, position, beginning: Vec::new(), views: HashMap::new() }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        if self.beginning.is_empty() {
            self.output.note("no task is open; waiting for the next one");
        }
        for task in std::mem::take(&mut self.beginning) {
            match self.output.format {
                Format::Text => self.output.line(&format!("{}  {}", task.id, snapshot_line(&task)))?,
                Format::Json => self.output.json_line(&WatchLine::Snapshot(Json(&task)))?,
            }
            self.views.insert(task.id, TaskView::new(task));
        }
        Ok(())
    }

    fn event(&mut self, event: &v1::TaskEvent) -> Result<(), Failure> {
        let view = self.views.entry(event.task_id).or_default();
        if view.task().revision >= event.revision {
            return Ok(());
        }
        // A watch that began in the middle has no snapshot of the tasks that were open then: names stay unknown.
        let _ = view.apply(event);
        match self.output.format {
            Format::Text => self.output.line(&format!("{}  {}", event.task_id, event_line(view, event)))?,
            Format::Json => self.output.json_line(&WatchLine::Event(Json(event)))?,
        }
        if phase(view.task().state()) == Phase::Closed {
            self.views.remove(&event.task_id);
        }
        Ok(())
    }
}

impl ResumableStream for ManyTasks<'_> {
    type Message = Message;

    fn position(&self) -> Option<i64> {
        self.position
    }

    fn take(&mut self, message: Message) -> Result<Continuity, Failure> {
        match message {
            Message::Snapshot(task) => {
                if self.position.is_none() {
                    self.beginning.push(*task);
                }
            }
            Message::Event(event) => match self.position {
                None => return Ok(Continuity::Gap),
                Some(position) if event.seq <= position => {}
                Some(_) => {
                    self.event(&event)?;
                    self.position = Some(event.seq);
                }
            },
            Message::Progress(progress) => match (self.output.format, self.views.get_mut(&progress.task_id)) {
                (Format::Json, _) => self.output.json_line(&WatchLine::Progress(Json(&progress)))?,
                (Format::Text, Some(view)) => {
                    self.output.note(&format!("{}  {}", progress.task_id, progress_line(view, &progress)));
                }
                (Format::Text, None) => {}
            },
            Message::Bookmark(bookmark) => {
                if self.position.is_none() && bookmark.snapshots_end {
                    self.begin()?;
                    self.position = Some(bookmark.seq);
                } else if self.position.is_some_and(|position| bookmark.seq > position) {
                    self.position = Some(bookmark.seq);
                }
            }
            Message::Unknown => {}
        }
        Ok(Continuity::Fits)
    }

    fn is_over(&self) -> bool {
        false
    }

    fn opened(&mut self) {
        self.beginning.clear();
    }

    fn broken(&mut self, status: &Status, pause: Duration) {
        self.output.note(&interrupted("watch", status, pause));
    }

    fn tick(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::view::tests::{subtask_moves, task, task_moves};

    fn take(many: &mut ManyTasks<'_>, message: Message) -> Continuity {
        many.take(message).unwrap()
    }

    #[test]
    fn a_beginning_counts_only_when_it_is_complete() {
        let output = Output::memory(Format::Text);
        let mut many = ManyTasks::new(&output, None);
        take(&mut many, Message::Snapshot(Box::new(task())));
        assert!(many.views.is_empty() && many.position().is_none());
        many.opened();
        assert!(many.beginning.is_empty());
        take(&mut many, Message::Snapshot(Box::new(task())));
        take(&mut many, Message::Bookmark(v1::Bookmark { seq: 101, snapshots_end: true, ..Default::default() }));
        assert_eq!((many.views.len(), many.position()), (1, Some(101)));
    }

    #[test]
    fn events_move_the_position_once_and_closed_tasks_are_forgotten() {
        let output = Output::memory(Format::Text);
        let mut many = ManyTasks::new(&output, None);
        take(&mut many, Message::Snapshot(Box::new(task())));
        take(&mut many, Message::Bookmark(v1::Bookmark { seq: 101, snapshots_end: true, ..Default::default() }));
        let begin = subtask_moves(2, 30, v1::SubtaskState::Ready, v1::SubtaskState::Running);
        take(&mut many, Message::Event(Box::new(begin.clone())));
        take(&mut many, Message::Event(Box::new(begin)));
        assert_eq!((many.position(), many.views[&12345].task().revision), (Some(102), 2));
        take(&mut many, Message::Event(Box::new(task_moves(3, v1::TaskState::Refused))));
        assert!(many.views.is_empty());
        let lines: Vec<_> = output.written().0.lines().map(|line| line[33..].trim_start().to_owned()).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[1].ends_with("READY -> RUNNING") && lines[2].ends_with("RUNNING -> REFUSED"), "{lines:?}");
    }

    #[test]
    fn an_event_before_the_beginning_is_a_gap() {
        let output = Output::memory(Format::Text);
        let mut many = ManyTasks::new(&output, None);
        let event = Message::Event(Box::new(task_moves(3, v1::TaskState::Refused)));
        assert_eq!(take(&mut many, event), Continuity::Gap);
    }
}
