//! The watch of one task: its state, then every later event, in order, once.
//!
//! A watch registers with the hub first and reads the state afterwards, so that nothing is missed in between; events that the
//! state includes are dropped by position. At each wake-up it takes everything new, from the ring, or from the log when it is
//! behind.

use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};

use crate::domain::event::{Phase, TaskState};
use crate::domain::ids::{Revision, Seq, TaskId};
use crate::domain::refusal::Refusal;
use crate::proto::v1;
use crate::proto::v1::watch_task_response::Kind;
use crate::store::StoredTask;
use crate::watch::encode;
use crate::watch::encode_event::{TaskFacts, state_after};
use crate::watch::encoded::Encoded;
use crate::watch::hub::{Hub, RANGE, Registration, entry_of, refusal};
use crate::watch::ring::Entry;
use crate::watch::watch_timer::{WakeReason, WatchAuthorizer, WatchTimer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When the task is at rest or closed. A rest that ended before the watch began does not count.
    AtRest,
    Closed,
}

#[derive(Clone, Debug)]
pub struct WatchTask {
    pub task: TaskId,
    /// `None`: a snapshot first. Otherwise the events after this revision.
    pub after: Option<Revision>,
    pub until: Until,
    /// Whether to send progress too.
    pub progress: bool,
}

/// The stream's last item before its end carries the state; an error ends it.
pub async fn watch_task(
    hub: &Arc<Hub>,
    asked: WatchTask,
    authorizer: Arc<dyn WatchAuthorizer>,
) -> Result<impl Stream<Item = Result<Encoded, Refusal>> + Send + use<>, Refusal> {
    authorizer.check()?;
    let registration = hub.register(Some(asked.task));
    let watch_timer = WatchTimer::new(&registration.channel, &hub.shutdown, authorizer, asked.progress);
    let seen = registration.channel.progress().version();
    let stored = hub.read(asked.task).await?.ok_or(Refusal::TaskNotFound { task: asked.task })?;
    let mut watch = Watch {
        facts: Arc::new(TaskFacts::of(&stored.task.spec)),
        revision: stored.task.revision,
        seq: stored.seq,
        state: Some(stored.task.state),
        head: stored.task.revision,
        // The state was read after the registration, so it includes everything up to the registration's position.
        position: stored.seq.max(registration.position),
        until: asked.until,
        progress: asked.progress.then_some(seen),
        task: asked.task,
        over: false,
        opening: Vec::new(),
        registration,
        watch_timer,
    };
    watch.open(asked.after, &stored).await?;
    let batches = stream::unfold(Box::new(watch), |mut watch| async move {
        let batch = watch.batch().await?;
        Some((stream::iter(batch), watch))
    });
    Ok(batches.flatten())
}

struct Watch {
    registration: Registration,
    watch_timer: WatchTimer,
    facts: Arc<TaskFacts>,
    task: TaskId,
    until: Until,
    /// Last revision that was sent or is included in the snapshot.
    revision: Revision,
    /// Position of that event.
    seq: Seq,
    /// State of the task at that revision.
    state: Option<TaskState>,
    /// Revision of the task when the watch began.
    head: Revision,
    /// Position up to which the ring was read.
    position: Seq,
    /// Version of the progress that was sent; `None`: not wanted.
    progress: Option<u64>,
    opening: Vec<Encoded>,
    over: bool,
}

impl Watch {
    async fn open(&mut self, after: Option<Revision>, stored: &StoredTask) -> Result<(), Refusal> {
        match after {
            None => self.opening.push(self.registration.snapshot(stored)),
            Some(asked) if asked > self.head => {
                return Err(Refusal::RevisionAhead { task: self.task, asked, head: self.head });
            }
            Some(asked) => {
                if asked < self.head {
                    (self.seq, self.state) = self.position_at(asked).await?;
                    self.revision = asked;
                }
                self.opening.push(self.bookmark());
                if self.progress.is_some() && asked == self.head && !self.has_ended() {
                    let latest = stored.progress.iter().map(|latest| Kind::Progress(encode::progress(latest)));
                    self.opening.extend(latest.map(Encoded::of));
                }
            }
        }
        Ok(())
    }

    /// Position and state of the task at an earlier revision.
    async fn position_at(&self, asked: Revision) -> Result<(Seq, Option<TaskState>), Refusal> {
        let (mut seq, mut state, mut at) = (Seq::ZERO, None, Revision::ZERO);
        while at < asked {
            let limit = u32::try_from(asked.get() - at.get()).unwrap_or(RANGE).min(RANGE);
            let events = self.registration.hub.store.events(self.task, at, limit).await.map_err(refusal)?;
            let Some(last) = events.last() else { return Err(self.gap()) };
            (seq, at) = (last.seq, last.revision);
            state = events.iter().rev().find_map(state_after).or(state);
        }
        Ok((seq, state))
    }

    /// Everything to send now; `None` at the end.
    async fn batch(&mut self) -> Option<Vec<Result<Encoded, Refusal>>> {
        if self.over {
            return None;
        }
        let mut out: Vec<Result<Encoded, Refusal>> = std::mem::take(&mut self.opening).into_iter().map(Ok).collect();
        if !out.is_empty() {
            self.over = self.has_ended();
            return Some(out);
        }
        loop {
            match self.watch_timer.due() {
                Some(reason) => self.on_wake(reason, &mut out),
                None => match self.take(&mut out).await {
                    Ok(()) => {}
                    Err(refusal) => {
                        out.push(Err(refusal));
                        self.over = true;
                    }
                },
            }
            if !out.is_empty() {
                return Some(out);
            }
            let reason = self.watch_timer.wait().await;
            self.on_wake(reason, &mut out);
            if !out.is_empty() {
                return Some(out);
            }
        }
    }

    fn on_wake(&mut self, reason: WakeReason, out: &mut Vec<Result<Encoded, Refusal>>) {
        let (bookmark, end) = self.watch_timer.woken(reason);
        out.extend(bookmark.then(|| Ok(self.bookmark())));
        self.over |= end.is_some();
        out.extend(end.map(Err));
    }

    async fn take(&mut self, out: &mut Vec<Result<Encoded, Refusal>>) -> Result<(), Refusal> {
        let entries = if self.revision < self.head {
            self.read_log(self.position).await?
        } else {
            let taken = self.registration.channel.ring().after(self.position);
            match taken {
                Ok((entries, head)) => {
                    self.position = self.position.max(head);
                    entries
                }
                Err(floor) => self.read_log(floor).await?,
            }
        };
        for entry in entries {
            // The state that was read first includes some of the events in the ring.
            if entry.revision <= self.revision {
                continue;
            }
            if entry.revision != self.revision.next() {
                return Err(self.gap());
            }
            self.revision = entry.revision;
            self.seq = entry.seq;
            self.state = entry.state.or(self.state);
            out.push(Ok(entry.encoded));
            if self.has_ended() {
                out.push(Ok(self.bookmark()));
                self.over = true;
                return Ok(());
            }
        }
        if let Some(seen) = self.progress {
            let (news, seen) = self.registration.channel.progress().after(seen, |_, _| true);
            self.progress = Some(seen);
            out.extend(news.into_iter().map(Ok));
        }
        Ok(())
    }

    /// A range of the log. If it is the last, everything up to `covered` has been sent with it.
    async fn read_log(&mut self, covered: Seq) -> Result<Vec<Entry>, Refusal> {
        let store = &self.registration.hub.store;
        let events = store.events(self.task, self.revision, RANGE).await.map_err(refusal)?;
        if events.len() < RANGE as usize {
            self.position = self.position.max(covered);
            if events.last().map_or(self.revision, |event| event.revision) < self.head {
                return Err(self.gap());
            }
        }
        Ok(events.iter().map(|event| entry_of(event, &self.facts)).collect())
    }

    fn has_ended(&self) -> bool {
        let phase = self.state.map_or(Phase::Moving, TaskState::phase);
        self.revision >= self.head
            && match (phase, self.until) {
                (Phase::Closed, Until::AtRest | Until::Closed) | (Phase::AtRest, Until::AtRest) => true,
                (Phase::AtRest, Until::Closed) | (Phase::Pending | Phase::Moving, Until::AtRest | Until::Closed) => {
                    false
                }
            }
    }

    fn bookmark(&self) -> Encoded {
        Encoded::of(Kind::Bookmark(v1::Bookmark {
            seq: self.seq.get(),
            revision: self.revision.get(),
            state: self.state.map_or(v1::TaskState::Unspecified, encode::task_state).into(),
            snapshots_end: false,
        }))
    }

    fn gap(&self) -> Refusal {
        Refusal::Internal { what: format!("the log of task {} has a gap behind revision {}", self.task, self.revision) }
    }
}
