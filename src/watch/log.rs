//! Streams the log of a subtask or of a whole task: the existing lines, and with `follow` new ones until the task is at rest.
//!
//! Lines are committed together with events, so that whatever wakes a watch of the task wakes its log too. At each wake-up the
//! state is read first and the log afterwards: when the task rests, what is read then is complete. Lines are only ever
//! appended: a line's number is its position.

use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};

use crate::domain::event::{Phase, TaskState};
use crate::domain::ids::{SubtaskId, TaskId};
use crate::domain::refusal::Refusal;
use crate::proto::v1;
use crate::store::{LogLine, StoredTask};
use crate::watch::encode::{subtask_operation, timestamp};
use crate::watch::hub::{Hub, Registration};
use crate::watch::watch_timer::{WakeReason, WatchAuthorizer, WatchTimer, shutdown_refusal};

/// A message is full when its texts have so many bytes: by default clients accept 4 MiB.
const MESSAGE_BYTES: usize = 64 << 10;
/// Bytes that a line needs besides its text.
const LINE_BYTES: usize = 32;

#[derive(Clone, Debug)]
pub struct ReadLog {
    pub task: TaskId,
    /// `None`: of the whole task.
    pub subtask: Option<SubtaskId>,
    /// Number of the first line, from 1; 0 is the same as 1.
    pub from_line: i64,
    /// Whether to continue until the task is at rest.
    pub follow: bool,
}

/// Reads a log, or follows it. There is always a first message, which says how far the log is; an error ends the stream.
pub async fn read_log(
    hub: &Arc<Hub>,
    asked: ReadLog,
    authorizer: Arc<dyn WatchAuthorizer>,
) -> Result<impl Stream<Item = Result<v1::GetSubtaskLogResponse, Refusal>> + Send + use<>, Refusal> {
    authorizer.check()?;
    let registration = hub.register(Some(asked.task));
    let watch_timer = WatchTimer::new(&registration.channel, &hub.shutdown, authorizer, false);
    let next = asked.from_line.max(1);
    let mut reader = Reader { registration, watch_timer, asked, next, over: false };
    let stored = reader.task().await?;
    if let Some(subtask) = reader.asked.subtask
        && stored.task.subtask(subtask).is_err()
    {
        let task = reader.asked.task;
        let description = format!("{subtask} is no subtask of task {task}, name one of its subtasks or 0 for all");
        return Err(Refusal::field("subtask_id", description));
    }
    let mut opening = reader.take(stored.task.state).await?;
    if opening.is_empty() {
        opening.push(reader.position_message());
    }
    let batches = stream::unfold(Box::new(reader), |mut reader| async move {
        let batch = reader.batch().await?;
        Some((stream::iter(batch), reader))
    });
    Ok(stream::iter(opening.into_iter().map(Ok)).chain(batches.flatten()))
}

type Batch = Vec<Result<v1::GetSubtaskLogResponse, Refusal>>;

struct Reader {
    registration: Registration,
    watch_timer: WatchTimer,
    asked: ReadLog,
    /// Number of the next line.
    next: i64,
    over: bool,
}

impl Reader {
    /// The next messages, once there are any; `None` at the end.
    async fn batch(&mut self) -> Option<Batch> {
        if self.over {
            return None;
        }
        loop {
            let reason = match self.watch_timer.due() {
                Some(reason) => reason,
                None => self.watch_timer.wait().await,
            };
            let taken = match reason {
                WakeReason::News => self.new_messages().await,
                WakeReason::Bookmark => self.watch_timer.at_bookmark().map(|()| vec![self.position_message()]),
                WakeReason::Shutdown => Err(shutdown_refusal()),
            };
            match taken {
                Ok(messages) if messages.is_empty() && !self.over => {}
                Ok(messages) => return Some(messages.into_iter().map(Ok).collect()),
                Err(refusal) => {
                    self.over = true;
                    return Some(vec![Err(refusal)]);
                }
            }
        }
    }

    async fn new_messages(&mut self) -> Result<Vec<v1::GetSubtaskLogResponse>, Refusal> {
        let state = self.task().await?.task.state;
        self.take(state).await
    }

    async fn task(&self) -> Result<StoredTask, Refusal> {
        let task = self.asked.task;
        self.registration.hub.read(task).await?.ok_or(Refusal::TaskNotFound { task })
    }

    /// The new lines of a task whose `state` was read before them.
    async fn take(&mut self, state: TaskState) -> Result<Vec<v1::GetSubtaskLogResponse>, Refusal> {
        let lines = self.registration.hub.read_log(self.asked.task, self.asked.subtask).await?;
        self.over = match state.phase() {
            Phase::Pending | Phase::Moving => !self.asked.follow,
            Phase::AtRest | Phase::Closed => true,
        };
        let known = usize::try_from(self.next - 1).unwrap_or(usize::MAX);
        let (mut messages, mut lines_of_message, mut bytes) = (Vec::new(), Vec::new(), 0);
        for line in lines.into_iter().skip(known) {
            bytes += line.text.len() + LINE_BYTES;
            lines_of_message.push(message(self.next, line));
            self.next += 1;
            if bytes >= MESSAGE_BYTES {
                let lines = std::mem::take(&mut lines_of_message);
                messages.push(v1::GetSubtaskLogResponse { lines, next_line: self.next });
                bytes = 0;
            }
        }
        if !lines_of_message.is_empty() {
            messages.push(v1::GetSubtaskLogResponse { lines: lines_of_message, next_line: self.next });
        }
        Ok(messages)
    }

    fn position_message(&self) -> v1::GetSubtaskLogResponse {
        v1::GetSubtaskLogResponse { lines: Vec::new(), next_line: self.next }
    }
}

fn message(number: i64, line: LogLine) -> v1::SubtaskLogLine {
    let LogLine { subtask, run_time, operation, at, text } = line;
    let operation = operation.map_or(v1::SubtaskOperation::Unspecified, subtask_operation).into();
    v1::SubtaskLogLine { number, subtask_id: subtask.get(), run_time, time: Some(timestamp(at)), text, operation }
}
