//! Every open task of a watch, each with its events and progress folded in. How they are shown is a [`Shown`].

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::Status;

use crate::cli::failure::Failure;
use crate::cli::resume::{Continuity, Message, ResumableStream};
use crate::cli::view::{Phase, TaskView, phase};
use crate::proto::v1;

/// How many tasks are shown.
pub trait Shown {
    /// The tasks that are open where the watch begins; none: nothing is open.
    fn begin(&mut self, tasks: &[v1::Task]) -> Result<(), Failure>;
    /// An event, with the task as of behind it.
    fn event(&mut self, view: &TaskView, event: &v1::TaskEvent) -> Result<(), Failure>;
    /// Progress; of a task whose beginning was not seen nothing else is known.
    fn progress(&mut self, view: Option<&TaskView>, progress: &v1::SubtaskProgress) -> Result<(), Failure>;
    /// A task was closed, and is not among the open ones any more.
    fn closed(&mut self, view: TaskView);
    fn opened(&mut self);
    /// The stream broke, and is opened again after `pause`.
    fn broken(&mut self, status: &Status, pause: Duration);
}

pub struct ManyTasks<S> {
    pub shown: S,
    /// Position up to which everything was shown.
    pub position: Option<i64>,
    /// Snapshots of a beginning that is not complete: shown only when it is, because after a break in the middle a task
    /// could have closed that the next beginning does not tell of.
    beginning: Vec<v1::Task>,
    /// Open tasks. One whose beginning was not seen has no id.
    views: BTreeMap<i64, TaskView>,
}

impl<S: Shown> ManyTasks<S> {
    pub fn new(shown: S, position: Option<i64>) -> Self {
        Self { shown, position, beginning: Vec::new(), views: BTreeMap::new() }
    }

    /// The open tasks that are known, the oldest first.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskView> + Clone {
        self.views.values().filter(|view| view.task().id != 0)
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let tasks = std::mem::take(&mut self.beginning);
        self.shown.begin(&tasks)?;
        self.views.extend(tasks.into_iter().map(|task| (task.id, TaskView::new(task))));
        Ok(())
    }

    fn event(&mut self, event: &v1::TaskEvent) -> Result<(), Failure> {
        let view = self.views.entry(event.task_id).or_default();
        if view.task().revision >= event.revision {
            return Ok(());
        }
        // A watch that began in the middle has no snapshot of the tasks that were open then: names stay unknown.
        let _ = view.apply(event);
        self.shown.event(view, event)?;
        if phase(view.task().state()) == Phase::Closed
            && let Some(view) = self.views.remove(&event.task_id)
        {
            self.shown.closed(view);
        }
        Ok(())
    }
}

impl<S: Shown> ResumableStream for ManyTasks<S> {
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
            Message::Progress(progress) => {
                let view = self.views.get_mut(&progress.task_id);
                self.shown.progress(view.as_deref(), &progress)?;
                if let Some(view) = view {
                    view.progress(progress);
                }
            }
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
        self.shown.opened();
    }

    fn broken(&mut self, status: &Status, pause: Duration) {
        self.shown.broken(status, pause);
    }

    fn tick(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::super::lines::Lines;
    use super::*;
    use crate::cli::output::{Format, Output};
    use crate::cli::view::tests::{subtask_moves, task, task_moves};

    fn many(output: &Output) -> ManyTasks<Lines<'_>> {
        ManyTasks::new(Lines { output }, None)
    }

    fn take<S: Shown>(many: &mut ManyTasks<S>, message: Message) -> Continuity {
        many.take(message).unwrap()
    }

    #[test]
    fn a_beginning_counts_only_when_it_is_complete() {
        let output = Output::memory(Format::Text);
        let mut many = many(&output);
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
        let mut many = many(&output);
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
        let event = Message::Event(Box::new(task_moves(3, v1::TaskState::Refused)));
        assert_eq!(take(&mut many(&output), event), Continuity::Gap);
    }
}
