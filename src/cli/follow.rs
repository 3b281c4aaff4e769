//! Follows one task to its end and shows it: a live list on a terminal, a line per event elsewhere, JSON lines for
//! programs. `stop --watch`, `watch`, `tasks rollback --watch` and the demo all end here.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tonic::Status;

use super::client::{Client, READ_TIMEOUT};
use super::exit::{Exit, Goal};
use super::failure::Failure;
use super::lines::{STALLED, event_line, next_steps, progress_line, result_line, snapshot_line, stalled_for};
use super::live::Live;
use super::output::{Format, Output};
use super::resume::{Continuity, Message, ResumableStream, Stopped, interrupted, resume};
use super::view::{Phase, TaskView, phase};
use super::watch_line::{Ended, WatchLine};
use super::{times, words};
use crate::clock::Timestamp;
use crate::proto::json::Json;
use crate::proto::v1;
use crate::proto::v1::task_event::Kind;

/// Where lines stay, a message that differs from the last one only in its numbers is printed this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Whether two messages differ in their numbers at most.
fn same_but_numbers(one: &str, other: &str) -> bool {
    let words = |text: &str| text.split(|c: char| c.is_ascii_digit()).filter(|w| !w.is_empty()).collect::<String>();
    words(one) == words(other)
}

#[derive(Clone, Debug, Default)]
pub struct FollowOptions {
    /// The task as an earlier answer had it: the live list starts with it.
    pub seed: Option<v1::Task>,
    /// Events after this revision are shown; absent: every event from the first (a live list: from where it stands).
    pub after_revision: Option<i64>,
    /// Whether to go on while the task rests, until it is closed.
    pub until_closed: bool,
    /// Whether progress is shown too.
    pub progress: bool,
    /// Longest wait in all.
    pub timeout: Option<Duration>,
    /// Which end counts as done.
    pub goal: Goal,
}

#[derive(Clone, Debug)]
pub struct Followed {
    pub exit: Exit,
    /// The task as of the last message.
    pub task: v1::Task,
}

/// Follows a task to its end and shows it. Ctrl-C ends the following, never the task.
pub async fn follow(
    client: &Client,
    output: &Output,
    task_id: i64,
    options: FollowOptions,
) -> Result<Followed, Failure> {
    let mut one = OneTask::begin(client, output, task_id, &options).await?;
    let until = if options.until_closed { v1::WatchUntil::Closed } else { v1::WatchUntil::AtRest };
    let (tasks, progress) = (client.tasks(), options.progress);
    let open = move |after_revision| {
        let mut tasks = tasks.clone();
        let request = v1::WatchTaskRequest { task_id, after_revision, until: until as i32, progress };
        async move {
            let stream = tasks.watch_task(request).await?.into_inner();
            Ok(stream.map(|message| message.map(Message::from)).boxed())
        }
        .boxed()
    };
    let stopped = tokio::select! {
        ended = resume(&mut one, open) => ended,
        () = over(options.timeout) => Err(Stopped::Left("time over")),
        _ = tokio::signal::ctrl_c() => Err(Stopped::Left("watch interrupted")),
    };
    if let Some(live) = &mut one.live {
        live.finish(&one.view);
    }
    match stopped {
        Ok(()) => one.end(client).await,
        Err(Stopped::Status(status)) => {
            let lost = Exit::of_code(status.code()) == Exit::OutcomeUnknown;
            let mut failure = client.failure("watch task", status);
            if let Failure::Rpc { hint, .. } = &mut failure
                && lost
            {
                *hint = Some(one.go_on());
            }
            Err(failure)
        }
        Err(Stopped::Left(why)) => {
            let state = match one.state {
                v1::TaskState::Unspecified => "nothing was heard of it".to_owned(),
                state => format!("it was {} when last heard of", words::task_state(state as i32)),
            };
            Err(client.not_known(format!("{why} for task {task_id}, {state}; {}", one.go_on())))
        }
        Err(Stopped::Failure(failure)) => Err(failure),
    }
}

/// The subtasks that hold a server now.
fn holding(task: &v1::Task) -> impl Iterator<Item = i64> {
    let holding = task.subtasks.iter().filter(|it| it.hold && it.state() == v1::SubtaskState::Running);
    holding.map(|subtask| subtask.id)
}

/// Ends when the time does; never, without a limit.
pub async fn over(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// One task and how it is shown.
struct OneTask<'a> {
    output: &'a Output,
    task_id: i64,
    view: TaskView,
    /// Revision of the last event that was shown. The view may be ahead of it.
    position: Option<i64>,
    /// State after the last message.
    state: v1::TaskState,
    until_closed: bool,
    goal: Goal,
    /// Subtasks that held a server when the following began: they are not waited for.
    held_before: BTreeSet<i64>,
    live: Option<Live>,
    last_progress: Option<(Timestamp, String)>,
}

impl<'a> OneTask<'a> {
    async fn begin(
        client: &Client,
        output: &'a Output,
        task_id: i64,
        options: &FollowOptions,
    ) -> Result<Self, Failure> {
        let live = output.live.then(|| Live::new(output.note_paint()));
        let position = match (options.after_revision, &live, &options.seed) {
            (Some(after), _, _) => Some(after),
            (None, Some(_), Some(seed)) => Some(seed.revision),
            // The stream's own snapshot is the beginning.
            (None, Some(_), None) => None,
            (None, None, _) => Some(0),
        };
        let seed = match (&options.seed, position) {
            (Some(seed), _) => Some(seed.clone()),
            // Without the events before it, only the whole task knows the names.
            (None, Some(after)) if after > 0 => {
                let request = v1::GetTaskRequest { task_id };
                client.call("get task", READ_TIMEOUT, client.tasks().get_task(request)).await?.task
            }
            (None, Some(_) | None) => None,
        };
        let held_before = seed.iter().flat_map(holding).collect();
        let state = seed.as_ref().map_or(v1::TaskState::Unspecified, v1::Task::state);
        Ok(Self {
            output,
            task_id,
            view: seed.map(TaskView::new).unwrap_or_default(),
            position,
            state,
            until_closed: options.until_closed,
            goal: options.goal,
            held_before,
            live,
            last_progress: None,
        })
    }

    /// Whether a server is held, when that is what is waited for.
    fn is_held(&self) -> bool {
        self.goal == Goal::Held && holding(self.view.task()).any(|subtask| !self.held_before.contains(&subtask))
    }

    fn go_on(&self) -> String {
        let after = match self.position {
            Some(position) if position > 0 && self.live.is_none() => format!(" --after-revision {position}"),
            Some(_) | None => String::new(),
        };
        format!("the task goes on without a watcher, follow it again with: obsteward watch {}{after}", self.task_id)
    }

    fn note(&self, text: &str) {
        match &self.live {
            Some(live) => live.above(text),
            None => self.output.note(text),
        }
    }

    fn show_event(&self, event: &v1::TaskEvent) -> Result<(), Failure> {
        if let Some(live) = &self.live {
            // Transitions are in the list; what a person must not miss stays above it.
            if matches!(event.kind, Some(Kind::Warning(_) | Kind::Override(_) | Kind::Adopted(_))) {
                live.above(&event_line(&self.view, event));
            }
            return Ok(());
        }
        match self.output.format {
            Format::Text => self.output.line(&event_line(&self.view, event)),
            Format::Json => self.output.json_line(&WatchLine::Event(Json(event))),
        }
    }

    fn show_progress(&mut self, progress: &v1::SubtaskProgress) -> Result<(), Failure> {
        if self.live.is_some() {
            return Ok(());
        }
        match self.output.format {
            Format::Json => self.output.json_line(&WatchLine::Progress(Json(progress))),
            Format::Text => {
                let at = times::moment(progress.update_time.as_ref()).unwrap_or_default();
                let due = self.last_progress.as_ref().is_none_or(|(before, words)| {
                    let (changed, age) = (*words != progress.message, at.since(*before));
                    let stands_still = stalled_for(progress, at).is_some() && age >= STALLED;
                    stands_still || changed && (age >= PROGRESS_EVERY || !same_but_numbers(words, &progress.message))
                });
                if due {
                    self.output.note(&progress_line(&self.view, progress));
                    self.last_progress = Some((at, progress.message.clone()));
                }
                Ok(())
            }
        }
    }

    /// The result: the verbs that are allowed now are the server's to say.
    async fn end(self, client: &Client) -> Result<Followed, Failure> {
        let (held, goal) = (self.is_held(), self.goal);
        let request = v1::GetTaskRequest { task_id: self.task_id };
        let fresh =
            client.call("get task", READ_TIMEOUT, client.tasks().get_task(request)).await.ok().and_then(|got| got.task);
        let task = match fresh {
            // A newer revision may belong to a retry already: what was watched is what is reported.
            Some(fresh) if fresh.revision == self.view.task().revision => fresh,
            Some(_) | None => {
                let mut task = self.view.into_task();
                task.set_state(self.state);
                task
            }
        };
        let exit = if held { Exit::Done } else { Exit::of_state(task.state(), goal) };
        match self.output.format {
            Format::Json => self.output.json_line(&WatchLine::Result(Ended { task: &task, exit }))?,
            Format::Text => self.output.line(&result_line(&task))?,
        }
        if self.output.format == Format::Text {
            for warning in &task.warnings {
                self.output.note(&format!("warning: {}", super::lines::warning(warning)));
            }
            for step in next_steps(&task) {
                self.output.note(&step);
            }
        }
        Ok(Followed { exit, task })
    }
}

impl ResumableStream for OneTask<'_> {
    type Message = Message;

    fn position(&self) -> Option<i64> {
        self.position
    }

    fn take(&mut self, message: Message) -> Result<Continuity, Failure> {
        match message {
            Message::Event(event) => {
                let Some(position) = self.position else { return Ok(Continuity::Gap) };
                if event.revision <= position {
                    return Ok(Continuity::Fits);
                }
                if event.revision > position + 1 {
                    return Ok(Continuity::Gap);
                }
                match &event.kind {
                    Some(Kind::TaskTransition(transition)) => self.state = transition.to(),
                    Some(Kind::Created(created)) => {
                        self.state = created.task.as_ref().map_or(self.state, v1::Task::state);
                    }
                    Some(
                        Kind::SubtaskTransition(_)
                        | Kind::IntentRecorded(_)
                        | Kind::IntentSettled(_)
                        | Kind::ContextRecorded(_)
                        | Kind::Override(_)
                        | Kind::Adopted(_)
                        | Kind::VerbRequested(_)
                        | Kind::Approved(_)
                        | Kind::ApprovalEnded(_)
                        | Kind::Warning(_),
                    )
                    | None => {}
                }
                // A view that is ahead says Old, which changes nothing; it cannot be behind the position.
                let _ = self.view.apply(&event);
                self.show_event(&event)?;
                self.position = Some(event.revision);
            }
            Message::Snapshot(task) => {
                if self.position.is_none() {
                    self.position = Some(task.revision);
                    self.state = task.state();
                    if self.live.is_none() {
                        match self.output.format {
                            Format::Text => self.output.line(&snapshot_line(&task))?,
                            Format::Json => self.output.json_line(&WatchLine::Snapshot(Json(task.as_ref())))?,
                        }
                    }
                }
                if task.revision >= self.view.task().revision {
                    self.view = TaskView::new(*task);
                }
            }
            Message::Progress(progress) => {
                self.show_progress(&progress)?;
                self.view.progress(progress);
            }
            Message::Bookmark(bookmark) => {
                let current = self.position.is_some_and(|position| bookmark.revision >= position);
                if current && bookmark.state() != v1::TaskState::Unspecified {
                    self.state = bookmark.state();
                }
            }
            Message::Unknown => {}
        }
        Ok(Continuity::Fits)
    }

    fn is_over(&self) -> bool {
        match phase(self.state) {
            Phase::Open => self.is_held(),
            Phase::AtRest => !self.until_closed,
            Phase::Closed => true,
        }
    }

    fn is_enough(&self) -> bool {
        self.is_held()
    }

    fn opened(&mut self) {}

    fn broken(&mut self, status: &Status, pause: Duration) {
        self.note(&interrupted("watch", status, pause));
    }

    fn tick(&mut self) {
        if let Some(live) = &mut self.live
            && self.view.task().id != 0
        {
            live.draw(&self.view);
        }
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
