//! Follows a stream across broken connections: opens it again where it broke, for as long as that makes sense. Knows
//! nothing of tasks; what is followed and shown is a `ResumableStream`.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use tonic::Status;

use super::failure::Failure;
use super::retry::{Backoff, is_lost};
use super::table::flat;
use super::times;
use crate::clock::monotonic_now;
use crate::proto::v1;
use crate::proto::v1::{watch_task_response, watch_tasks_response};

/// Longest wait for a stream to be opened.
const OPEN: Duration = Duration::from_secs(30);
/// A server sends a bookmark every 15 s; after four of them missing the connection is dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// After this long without any message another attempt helps nobody.
const GIVE_UP: Duration = Duration::from_secs(600);
/// Streams in a row that end well, or leave something out, without bringing anything new.
const MAX_EMPTY_STREAMS: u32 = 5;
/// How often a live list is redrawn.
const FRAME: Duration = Duration::from_millis(100);

/// The note to the user when a stream broke and is opened again.
pub fn interrupted(what: &str, status: &Status, pause: Duration) -> String {
    format!("{what} interrupted ({}), going on in {}", flat(status.message()), times::brief(pause))
}

/// A message of either watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    Event(Box<v1::TaskEvent>),
    Snapshot(Box<v1::Task>),
    Progress(v1::SubtaskProgress),
    Bookmark(v1::Bookmark),
    /// Something that this version does not know.
    Unknown,
}

impl From<v1::WatchTaskResponse> for Message {
    fn from(response: v1::WatchTaskResponse) -> Self {
        match response.kind {
            Some(watch_task_response::Kind::Event(event)) => Self::Event(Box::new(event)),
            Some(watch_task_response::Kind::Snapshot(task)) => Self::Snapshot(Box::new(task)),
            Some(watch_task_response::Kind::Progress(progress)) => Self::Progress(progress),
            Some(watch_task_response::Kind::Bookmark(bookmark)) => Self::Bookmark(bookmark),
            None => Self::Unknown,
        }
    }
}

impl From<v1::WatchTasksResponse> for Message {
    fn from(response: v1::WatchTasksResponse) -> Self {
        match response.kind {
            Some(watch_tasks_response::Kind::Event(event)) => Self::Event(Box::new(event)),
            Some(watch_tasks_response::Kind::Snapshot(task)) => Self::Snapshot(Box::new(task)),
            Some(watch_tasks_response::Kind::Progress(progress)) => Self::Progress(progress),
            Some(watch_tasks_response::Kind::Bookmark(bookmark)) => Self::Bookmark(bookmark),
            None => Self::Unknown,
        }
    }
}

pub type Messages<M> = BoxStream<'static, Result<M, Status>>;

/// A stream that is being opened. Boxed, because a future with an async closure in it could not be spawned.
pub type StreamOpening<M> = BoxFuture<'static, Result<Messages<M>, Status>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    Fits,
    /// Something before it is missing: the stream must be opened again.
    Gap,
}

pub trait ResumableStream {
    /// What its streams carry.
    type Message;
    /// Where to go on; absent: at the beginning.
    fn position(&self) -> Option<i64>;
    fn take(&mut self, message: Self::Message) -> Result<Continuity, Failure>;
    /// Whether a stream that ended without an error is complete.
    fn is_over(&self) -> bool;
    /// Whether nothing more is wanted, though the stream goes on.
    fn is_enough(&self) -> bool {
        false
    }
    fn opened(&mut self);
    /// A stream broke and is opened again after `pause`.
    fn broken(&mut self, status: &Status, pause: Duration);
    /// Called every `FRAME`, for redrawing.
    fn tick(&mut self);
}

/// Why following stopped before the end.
#[derive(Debug)]
pub enum Stopped {
    /// By the server's answer, or because the server did not come back.
    Status(Status),
    /// By an error on this side.
    Failure(Failure),
    /// By the user, or because the time was over; the text says which.
    Left(&'static str),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Follows to the end. Dropping the future stops it at any moment.
pub async fn resume<P: ResumableStream>(
    pursuit: &mut P,
    mut open: impl FnMut(Option<i64>) -> StreamOpening<P::Message>,
) -> Result<(), Stopped> {
    let mut backoff = Backoff::default();
    let mut heard = monotonic_now();
    let mut fruitless = 0;
    loop {
        let before = pursuit.position();
        let opening = timeout(OPEN, open(before));
        let status = match opening.await.unwrap_or_else(|_| Err(Status::unavailable("the watch could not be opened"))) {
            Err(status) => status,
            Ok(messages) => {
                pursuit.opened();
                match drain(pursuit, messages, &mut heard).await? {
                    Drained::Broken(status) => status,
                    Drained::Ended if pursuit.is_over() => return Ok(()),
                    Drained::Ended => {
                        fruitless += 1;
                        Status::unavailable("the watch ended before the task came to rest")
                    }
                    Drained::Gap => {
                        fruitless += 1;
                        Status::unavailable("the watch left something out")
                    }
                }
            }
        };
        if pursuit.position() != before {
            fruitless = 0;
            backoff.reset();
        }
        if fruitless >= MAX_EMPTY_STREAMS {
            return Err(Stopped::Status(Status::data_loss(format!(
                "{}, {fruitless} times in a row",
                status.message()
            ))));
        }
        if !is_lost(&status) || monotonic_now().duration_since(heard) > GIVE_UP {
            return Err(Stopped::Status(status));
        }
        let pause = backoff.pause(&status);
        pursuit.broken(&status, pause);
        tokio::time::sleep(pause).await;
    }
}

enum Drained {
    Ended,
    Gap,
    Broken(Status),
}

async fn drain<P: ResumableStream>(
    pursuit: &mut P,
    mut messages: Messages<P::Message>,
    heard: &mut tokio::time::Instant,
) -> Result<Drained, Stopped> {
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent_since = monotonic_now();
    loop {
        tokio::select! {
            biased;
            next = messages.next() => match next {
                None => {
                    *heard = monotonic_now();
                    return Ok(Drained::Ended);
                }
                Some(Err(status)) => return Ok(Drained::Broken(status)),
                Some(Ok(message)) => {
                    silent_since = monotonic_now();
                    *heard = silent_since;
                    match pursuit.take(message)? {
                        Continuity::Fits if pursuit.is_enough() => return Ok(Drained::Ended),
                        Continuity::Fits => {}
                        Continuity::Gap => return Ok(Drained::Gap),
                    }
                }
            },
            _ = frames.tick() => pursuit.tick(),
            () = sleep_until(silent_since + IDLE_TIMEOUT) => {
                let silence = format!("no message for {} s", IDLE_TIMEOUT.as_secs());
                return Ok(Drained::Broken(Status::unavailable(silence)));
            }
        }
    }
}
