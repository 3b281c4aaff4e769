//! The watch of many tasks: those of one cluster, or all. Snapshots of the open tasks, a bookmark that ends them, then every
//! task's events in the store's global order. Of all three a watcher gets only what it may see at that moment, and of places
//! in that order only those of events that it may see: how many others there are is nobody's business.

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
use crate::watch::watch_timer::{WakeReason, WatchAuthorizer, WatchTimer, going_away};

/// What is asked of a watch of many tasks.
#[derive(Clone, Debug)]
pub struct WatchTasks {
    /// Of this cluster only.
    pub cluster: Option<ClusterId>,
    /// `None`: snapshots of the open tasks first. Otherwise the events after this.
    pub after: Option<Seq>,
    /// Whether progress is wanted too.
    pub progress: bool,
}

/// Watches many tasks. It ends only with an error: the service ends, permission ends, or the log cannot be read.
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
    let (position, told) = match asked.after {
        None => {
            // Before the tasks are read: its place is then one up to which the watch has everything.
            let last = last_visible(hub, asked.cluster, &watch_timer).await?;
            let (tasks, head) = hub.read_open(asked.cluster).await?;
            let seen = tasks.iter().filter(|stored| watch_timer.sees(stored.task.spec.id, stored.task.spec.cluster.id));
            let mut told = last.unwrap_or(head);
            for stored in seen {
                told = told.max(stored.seq);
                opening.push(Encoded::of(Kind::Snapshot(encode::task(stored))));
            }
            opening.push(bookmark(told, true));
            (head, told)
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
        told,
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

/// The place of the last event of the newest task that is seen, which is nearly that of the last event that is: what follows
/// it is told once more at worst. `None`: every event is seen.
async fn last_visible(hub: &Hub, cluster: Option<ClusterId>, watch_timer: &WatchTimer) -> Result<Option<Seq>, Refusal> {
    let visible = watch_timer.visible();
    if visible == TaskVisibility::All {
        return Ok(None);
    }
    let newest = hub.store.list(&TaskFilter { visible, cluster, ..TaskFilter::default() }, None, 1).await;
    Ok(Some(newest.map_err(refusal)?.first().map_or(Seq::ZERO, |newest| newest.seq)))
}

/// The head is told once the answer to a commit is out: a caller may know its event before the head does. Who does not see
/// every event is asked for one that he sees: otherwise he could find the head by trying.
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
    /// The last place that the watcher was told.
    told: Seq,
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
            if let Some(beat) = self.watch_timer.due() {
                self.beat(beat, &mut out);
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
                let beat = self.watch_timer.wait().await;
                self.beat(beat, &mut out);
            }
        }
        Some(out)
    }

    fn beat(&mut self, beat: WakeReason, out: &mut Vec<Result<Encoded, Refusal>>) {
        match beat {
            WakeReason::News => {}
            WakeReason::Bookmark => match self.watch_timer.at_bookmark() {
                Ok(()) => out.push(Ok(self.bookmark())),
                Err(refusal) => {
                    out.push(Err(refusal));
                    self.over = true;
                }
            },
            WakeReason::Shutdown => {
                out.push(Ok(self.bookmark()));
                out.push(Err(going_away()));
                self.over = true;
            }
        }
    }

    /// Takes what is new; true when the log has more behind it.
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
            self.told = entry.seq;
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
            self.told = self.position;
        }
        bookmark(self.told, false)
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
        // A range that is not full reaches the end of the log, which lies at or above the floor.
        let full = events.len() == RANGE as usize;
        self.position = if full { last } else { last.max(floor) };
        Ok((entries, full))
    }
}

fn bookmark(seq: Seq, snapshots_end: bool) -> Encoded {
    Encoded::of(Kind::Bookmark(v1::Bookmark { seq: seq.get(), snapshots_end, ..Default::default() }))
}
