//! The watch of many tasks: those of one cluster, or all. Snapshots of the open tasks, a bookmark that ends them, then every
//! task's events in the store's global order. A watcher gets only tasks that it may see at that moment, and only positions of
//! events that it may see: the number of other events is not disclosed.

use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};

use crate::domain::ids::{ClusterId, Seq};
use crate::domain::refusal::Refusal;
use crate::proto::v1;
use crate::proto::v1::watch_task_response::Kind;
use crate::store::{TaskFilter, TaskVisibility};
use crate::watch::encode;
use crate::watch::encoded::Encoded;
use crate::watch::hub::{Hub, RANGE, Registration, entry_of, refusal};
use crate::watch::ring::Entry;
use crate::watch::watch_timer::{WakeReason, WatchAuthorizer, WatchTimer};

#[derive(Clone, Debug)]
pub struct WatchTasks {
    /// `None`: of all clusters.
    pub cluster: Option<ClusterId>,
    /// `None`: snapshots of the open tasks first. Otherwise the events after this position.
    pub after: Option<Seq>,
    /// Whether to send progress too.
    pub progress: bool,
}

/// Ends only with an error: the service shuts down, permission ends, or the log cannot be read.
pub async fn watch_tasks(
    hub: &Arc<Hub>,
    asked: WatchTasks,
    authorizer: Arc<dyn WatchAuthorizer>,
) -> Result<impl Stream<Item = Result<Encoded, Refusal>> + Send + use<>, Refusal> {
    authorizer.check()?;
    let registration = hub.register(None);
    let watch_timer = WatchTimer::new(&registration.channel, &hub.shutdown, authorizer, asked.progress);
    let seen = registration.channel.progress().version();
    let mut opening = Vec::new();
    let (position, last_sent) = match asked.after {
        None => {
            // Read before the tasks: the watch then has everything up to this position.
            let last = last_visible(hub, asked.cluster, &watch_timer).await?;
            let (tasks, head) = hub.read_open(asked.cluster).await?;
            let seen = tasks.iter().filter(|stored| watch_timer.sees(stored.task.spec.id, stored.task.spec.cluster.id));
            let mut last_sent = last.unwrap_or(head);
            for stored in seen {
                last_sent = last_sent.max(stored.seq);
                opening.push(Encoded::of(Kind::Snapshot(encode::task(stored))));
            }
            opening.push(bookmark(last_sent, true));
            (head, last_sent)
        }
        Some(after) => {
            let last = last_visible(hub, asked.cluster, &watch_timer).await?;
            let head = match last {
                Some(last) => last,
                None => hub.store.head().await.map_err(refusal)?,
            };
            if after > head && !is_in_log(hub, after, last.is_some().then_some(&watch_timer)).await? {
                return Err(Refusal::SeqAhead { asked: after, head });
            }
            opening.push(bookmark(after, false));
            (after, after)
        }
    };
    let watch = Watch {
        registration,
        watch_timer,
        cluster: asked.cluster,
        position,
        last_sent,
        progress: asked.progress.then_some(seen),
        opening,
        over: false,
    };
    let batches = stream::unfold(Box::new(watch), |mut watch| async move {
        let batch = watch.batch().await?;
        Some((stream::iter(batch), watch))
    });
    Ok(batches.flatten())
}

/// Position of the last event of the newest visible task, which is nearly that of the last visible event: at worst the events
/// after it are sent a second time. `None`: every event is visible.
async fn last_visible(hub: &Hub, cluster: Option<ClusterId>, watch_timer: &WatchTimer) -> Result<Option<Seq>, Refusal> {
    let visible = watch_timer.visible();
    if visible == TaskVisibility::All {
        return Ok(None);
    }
    let newest = hub.store.list(&TaskFilter { visible, cluster, ..TaskFilter::default() }, None, 1).await;
    Ok(Some(newest.map_err(refusal)?.first().map_or(Seq::ZERO, |newest| newest.seq)))
}

/// The head is published after the answer to a commit: a caller may know its event before the head does. A caller who may not
/// see every event must name one that is visible: otherwise the head could be found by trial.
async fn is_in_log(hub: &Hub, seq: Seq, seen_by: Option<&WatchTimer>) -> Result<bool, Refusal> {
    let before = Seq::new(seq.get().saturating_sub(1));
    let events = hub.store.tail(before, 1).await.map_err(refusal)?;
    match (events.first(), seen_by) {
        (None, _) => Ok(false),
        (Some(_), None) => Ok(true),
        (Some(event), Some(watch_timer)) => {
            let cluster = hub.facts(event.task, Some(event)).await.map_err(refusal)?.cluster;
            Ok(event.seq == seq && watch_timer.sees(event.task, cluster))
        }
    }
}

struct Watch {
    registration: Registration,
    watch_timer: WatchTimer,
    cluster: Option<ClusterId>,
    /// Every event up to here was sent or does not concern the watch.
    position: Seq,
    /// The last position that the watcher has received.
    last_sent: Seq,
    progress: Option<u64>,
    opening: Vec<Encoded>,
    over: bool,
}

impl Watch {
    async fn batch(&mut self) -> Option<Vec<Result<Encoded, Refusal>>> {
        if self.over {
            return None;
        }
        let mut out: Vec<Result<Encoded, Refusal>> = std::mem::take(&mut self.opening).into_iter().map(Ok).collect();
        while out.is_empty() {
            if let Some(reason) = self.watch_timer.due() {
                self.on_wake(reason, &mut out);
                continue;
            }
            match self.take(&mut out).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(refusal) => {
                    out.push(Err(refusal));
                    self.over = true;
                }
            }
            if out.is_empty() {
                let reason = self.watch_timer.wait().await;
                self.on_wake(reason, &mut out);
            }
        }
        Some(out)
    }

    fn on_wake(&mut self, reason: WakeReason, out: &mut Vec<Result<Encoded, Refusal>>) {
        let (bookmark, end) = self.watch_timer.woken(reason);
        out.extend(bookmark.then(|| Ok(self.bookmark())));
        self.over |= end.is_some();
        out.extend(end.map(Err));
    }

    /// Takes the new events; true when the log has more after them.
    async fn take(&mut self, out: &mut Vec<Result<Encoded, Refusal>>) -> Result<bool, Refusal> {
        let taken = self.registration.channel.ring().after(self.position);
        let (entries, more) = match taken {
            Ok((entries, head)) => {
                self.position = self.position.max(head);
                (entries, false)
            }
            Err(floor) => self.read_log(floor).await?,
        };
        let (watch_timer, cluster) = (&self.watch_timer, self.cluster);
        let wanted = |task, of| cluster.is_none_or(|cluster| cluster == of) && watch_timer.sees(task, of);
        for entry in entries.into_iter().filter(|entry| wanted(entry.task, entry.cluster)) {
            self.last_sent = entry.seq;
            out.push(Ok(entry.encoded));
        }
        if more {
            return Ok(true);
        }
        if let Some(seen) = self.progress {
            let (news, seen) = self.registration.channel.progress().after(seen, wanted);
            self.progress = Some(seen);
            out.extend(news.into_iter().map(Ok));
        }
        Ok(false)
    }

    fn bookmark(&mut self) -> Encoded {
        if self.watch_timer.visible() == TaskVisibility::All {
            self.last_sent = self.position;
        }
        bookmark(self.last_sent, false)
    }

    /// A range of the log for a watch that is behind the ring, whose floor was `floor` before the range was read.
    async fn read_log(&mut self, floor: Seq) -> Result<(Vec<Entry>, bool), Refusal> {
        let hub = &self.registration.hub;
        let events = hub.store.tail(self.position, RANGE).await.map_err(refusal)?;
        let mut entries = Vec::with_capacity(events.len());
        for event in &events {
            let facts = hub.facts(event.task, Some(event)).await.map_err(refusal)?;
            entries.push(entry_of(event, &facts));
        }
        let last = events.last().map_or(self.position, |event| event.seq);
        // A range that is not full reaches the end of the log, which is at or above the floor.
        let full = events.len() == RANGE as usize;
        self.position = if full { last } else { last.max(floor) };
        Ok((entries, full))
    }
}

fn bookmark(seq: Seq, snapshots_end: bool) -> Encoded {
    Encoded::of(Kind::Bookmark(v1::Bookmark { seq: seq.get(), snapshots_end, ..Default::default() }))
}
