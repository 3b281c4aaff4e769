//! The watch of many tasks: those of one cluster, or all. Snapshots of the open tasks, a bookmark that ends them, then every
//! task's events in the store's global order. Of all three a watcher gets only what it may see at that moment.

use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};

use crate::domain::ids::{ClusterId, Seq};
use crate::domain::refusal::Refusal;
use crate::proto::v1;
use crate::proto::v1::watch_task_response::Kind;
use crate::watch::encode;
use crate::watch::encoded::Encoded;
use crate::watch::hub::{Hub, RANGE, Registration, entry_of, refusal};
use crate::watch::pulse::{Beat, Pulse, Sight, going_away};
use crate::watch::ring::Entry;

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
    sight: Arc<dyn Sight>,
) -> Result<impl Stream<Item = Result<Encoded, Refusal>> + Send + use<>, Refusal> {
    sight.check()?;
    let registration = hub.register(None);
    let pulse = Pulse::new(&registration.channel, &hub.shutdown, sight, asked.progress);
    let seen = registration.channel.progress().version();
    let mut opening = Vec::new();
    let position = match asked.after {
        None => {
            let (tasks, head) = hub.read_open(asked.cluster).await?;
            let seen = tasks.iter().filter(|stored| pulse.sees(stored.task.spec.id, stored.task.spec.cluster.id));
            opening.extend(seen.map(|stored| Encoded::of(Kind::Snapshot(encode::task(stored)))));
            opening.push(bookmark(head, true));
            head
        }
        Some(after) => {
            let head = hub.store.head().await.map_err(refusal)?;
            if after > head && !is_in_log(hub, after).await? {
                return Err(Refusal::SeqAhead { asked: after, head });
            }
            opening.push(bookmark(after, false));
            after
        }
    };
    let watch = Watch {
        registration,
        pulse,
        cluster: asked.cluster,
        position,
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

/// The head is told once the answer to a commit is out: a caller may know its event before the head does.
async fn is_in_log(hub: &Hub, seq: Seq) -> Result<bool, Refusal> {
    let before = Seq::new(seq.get().saturating_sub(1));
    hub.store.tail(before, 1).await.map(|events| !events.is_empty()).map_err(refusal)
}

struct Watch {
    registration: Registration,
    pulse: Pulse,
    cluster: Option<ClusterId>,
    /// Every event up to here was sent or does not concern the watch.
    position: Seq,
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
            if let Some(beat) = self.pulse.due() {
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
                let beat = self.pulse.wait().await;
                self.beat(beat, &mut out);
            }
        }
        Some(out)
    }

    fn beat(&mut self, beat: Beat, out: &mut Vec<Result<Encoded, Refusal>>) {
        match beat {
            Beat::News => {}
            Beat::Bookmark => match self.pulse.at_bookmark() {
                Ok(()) => out.push(Ok(bookmark(self.position, false))),
                Err(refusal) => {
                    out.push(Err(refusal));
                    self.over = true;
                }
            },
            Beat::Shutdown => {
                out.push(Ok(bookmark(self.position, false)));
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
        let (pulse, cluster) = (&self.pulse, self.cluster);
        let wanted = |task, of| cluster.is_none_or(|cluster| cluster == of) && pulse.sees(task, of);
        let shown = entries.into_iter().filter(|entry| wanted(entry.task, entry.cluster));
        out.extend(shown.map(|entry| Ok(entry.encoded)));
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
