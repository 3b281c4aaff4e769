//! Tells one webhook: follows the log of events behind the last that was delivered, posts what the target asked for, one message after
//! the other, and tries each until it is taken. The order is that of the log and nothing is left out; what was delivered and could not
//! be noted before the process ended comes again, under the same id.

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderValue, Method};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::clock::{Clock, monotonic_now};
use crate::config::NotifiedOf;
use crate::domain::event::{EventKind, StoredEvent, TaskSpec};
use crate::domain::ids::{Revision, Seq, TaskId};
use crate::notify::http_client::{Asked, HttpClient, SendError};
use crate::notify::message::{self, HoldTimes, Message};
use crate::notify::reminders::{HeldServers, due};
use crate::notify::signature::{self, WebhookSecret};
use crate::notify::standing::Standing;
use crate::notify::{Share, backoff, number_of};
use crate::store::notifications::NotificationStore;
use crate::store::{Store, StoreError};

/// Stands behind the name of a target whose place in the audit log is kept: no target has it in its name.
const REQUESTS: &str = "/requests";
/// Events of one read of the log.
const RANGE: u32 = 256;

/// A webhook, as the configuration has it.
pub struct Webhook {
    pub name: String,
    pub events: Vec<NotifiedOf>,
    /// Names; empty: all.
    pub clusters: Vec<String>,
    /// How long before its deadline a server is nearly given up.
    pub nearly: Duration,
    pub secret: WebhookSecret,
    pub client: HttpClient,
}

/// How fast a courier goes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks at a log that grows: under load events are read in ranges.
    pub gather: Duration,
    /// Between two looks at whether this replica is the one that tells the target, and at what a store does not answer.
    pub look_again: Duration,
    /// Between two looks at deadlines.
    pub remind: Duration,
    /// Between two looks at the audit log, which nobody tells of.
    pub refused: Duration,
    /// Behind a failure: shortest and longest.
    pub retry: (Duration, Duration),
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            gather: Duration::from_millis(200),
            look_again: Duration::from_secs(1),
            remind: Duration::from_secs(15),
            refused: Duration::from_secs(2),
            retry: backoff::PAUSES,
        }
    }
}

/// The task of one webhook.
pub struct Courier {
    pub webhook: Arc<Webhook>,
    pub log: Arc<dyn Store>,
    pub kept: Arc<dyn NotificationStore>,
    pub held: Arc<dyn HeldServers>,
    pub share: Share,
    pub clock: Clock,
    pub pace: Pace,
}

/// Where a target stands.
struct Standings {
    /// In the log of events, and how the target does.
    events: Standing,
    /// In the audit log; `None`: it is told of no request.
    requests: Option<Standing>,
}

/// Whether a message was delivered, or is another replica's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    Done,
    NotOurs,
}

impl Courier {
    /// Until `shutdown`, which ends it wherever it is: what is in flight is told again by the next start.
    pub async fn run(self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&self) {
        let mut committed = self.log.committed();
        let mut standing: Option<Standings> = None;
        let mut spec = None;
        let mut reminded_at = None;
        let pause = if self.wants_requests() { self.pace.refused.min(self.pace.remind) } else { self.pace.remind };
        loop {
            if !self.is_ours() {
                // Another replica goes on with it, and what is known here gets old.
                standing = None;
                tokio::time::sleep(self.pace.look_again).await;
                continue;
            }
            let remind = reminded_at.is_none_or(|at| monotonic_now() >= at + self.pace.remind);
            match self.round(&mut standing, &mut spec, remind).await {
                Ok(()) if remind => reminded_at = Some(monotonic_now()),
                Ok(()) => {}
                Err(error) => {
                    warn!(to = %self.webhook.name, "notifications wait for the store: {error}");
                    standing = None;
                    tokio::time::sleep(self.pace.look_again).await;
                    continue;
                }
            }
            tokio::select! {
                changed = committed.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
            tokio::time::sleep(self.pace.gather).await;
        }
    }

    fn wants_requests(&self) -> bool {
        self.webhook.events.contains(&NotifiedOf::Refused)
    }

    fn is_ours(&self) -> bool {
        (self.share)(number_of(&self.webhook.name))
    }

    /// Tells everything up to the head of the log.
    async fn round(
        &self,
        standing: &mut Option<Standings>,
        spec: &mut Option<Arc<TaskSpec>>,
        remind: bool,
    ) -> Result<(), StoreError> {
        let Standings { events: standing, requests } = match standing {
            Some(standing) => standing,
            None => standing.insert(self.standings().await?),
        };
        loop {
            let events = self.log.tail(standing.row.seq, RANGE).await?;
            for event in &events {
                match self.message(event, spec).await? {
                    None => standing.pass(event.seq).await?,
                    Some(message) => {
                        if self.deliver(&message, standing).await == Delivery::NotOurs {
                            return Ok(());
                        }
                        standing.row.seq = event.seq;
                        standing.delivered(self.clock.now()).await?;
                    }
                }
            }
            if events.len() < RANGE as usize {
                break;
            }
        }
        if let Some(requests) = requests
            && self.requests(standing, requests).await? == Delivery::NotOurs
        {
            return Ok(());
        }
        if remind && self.webhook.events.contains(&NotifiedOf::NearlyGivenUp) {
            self.remind(standing).await
        } else {
            Ok(())
        }
    }

    async fn standings(&self) -> Result<Standings, StoreError> {
        let (name, kept) = (&self.webhook.name, || Arc::clone(&self.kept));
        let events = Standing::of(name, self.log.head().await?, kept()).await?;
        let requests = match self.wants_requests() {
            true => {
                let head = Seq::new(self.kept.audit_head().await?);
                Some(Standing::of(&format!("{name}{REQUESTS}"), head, kept()).await?)
            }
            false => None,
        };
        Ok(Standings { events, requests })
    }

    /// Tells of requests that were refused before there was a task, up to the head of the audit log. `standing`: how the target does.
    async fn requests(&self, standing: &mut Standing, requests: &mut Standing) -> Result<Delivery, StoreError> {
        let head = self.kept.audit_head().await?;
        loop {
            let refused = self.kept.refused_requests(requests.row.seq.get(), head, RANGE).await?;
            for one in &refused {
                let place = Seq::new(one.id);
                let asked_for = |_: &Message| self.is_of_clusters(&one.cluster_name);
                match message::of_request(self.log.store_id(), one).filter(asked_for) {
                    None => requests.pass(place).await?,
                    Some(message) => {
                        if self.deliver(&message, standing).await == Delivery::NotOurs {
                            return Ok(Delivery::NotOurs);
                        }
                        requests.row.seq = place;
                        requests.keep().await?;
                        standing.delivered(self.clock.now()).await?;
                    }
                }
            }
            if refused.len() < RANGE as usize {
                requests.pass(Seq::new(head.max(requests.row.seq.get()))).await?;
                return Ok(Delivery::Done);
            }
        }
    }

    /// What the target is told of an event; `spec`: that of the last task, which often is that of the next event too.
    async fn message(
        &self,
        event: &StoredEvent,
        spec: &mut Option<Arc<TaskSpec>>,
    ) -> Result<Option<Message>, StoreError> {
        if !message::may_be_told(&event.event.kind) {
            return Ok(None);
        }
        let spec = match spec {
            Some(known) if known.id == event.task => known,
            Some(_) | None => match self.spec_of(event.task).await? {
                Some(read) => spec.insert(read),
                None => return Ok(None),
            },
        };
        let Some(told) = message::told(&event.event.kind, spec).filter(|told| self.asked_for(told.kinds, spec)) else {
            return Ok(None);
        };
        let times = match told.hold {
            None => HoldTimes::default(),
            Some(hold) => {
                let held = self.held.held_now().await.unwrap_or_default();
                let held = held.iter().find(|held| held.subtask == hold && held.spec.id == event.task);
                held.map(|held| held.times()).unwrap_or_default()
            }
        };
        Ok(Some(message::of_event(self.log.store_id(), event, spec, told, times)))
    }

    fn asked_for(&self, kinds: &[NotifiedOf], spec: &TaskSpec) -> bool {
        let events = &self.webhook.events;
        kinds.iter().any(|kind| events.contains(kind)) && self.is_of_clusters(&spec.cluster.name)
    }

    fn is_of_clusters(&self, name: &String) -> bool {
        let clusters = &self.webhook.clusters;
        clusters.is_empty() || clusters.contains(name)
    }

    /// `None`: the log of the task does not begin with its creation, and nothing can be said of it.
    async fn spec_of(&self, task: TaskId) -> Result<Option<Arc<TaskSpec>>, StoreError> {
        let first = self.log.events(task, Revision::ZERO, 1).await;
        match first.as_ref().map(|events| events.first().map(|event| &event.event.kind)) {
            Ok(Some(EventKind::Created(spec))) => Ok(Some(Arc::new((**spec).clone()))),
            Ok(Some(_) | None) | Err(StoreError::Damaged(_)) => {
                error!(to = %self.webhook.name, %task, "nobody is notified of a task whose log is damaged");
                Ok(None)
            }
            Err(error) => Err(error.clone()),
        }
    }

    async fn remind(&self, standing: &mut Standing) -> Result<(), StoreError> {
        let holds = match self.held.held_now().await {
            Ok(holds) => holds,
            Err(why) => {
                warn!(to = %self.webhook.name, "whether a server is nearly given up is not known now: {why}");
                return Ok(());
            }
        };
        let (due, lasting) = due(&holds, &standing.row.reminded, self.webhook.nearly, self.clock.now());
        let over = lasting.len() != standing.row.reminded.len();
        standing.row.reminded = lasting;
        for hold in due {
            if self.asked_for(&[NotifiedOf::NearlyGivenUp], &hold.spec) {
                let message = hold.message(self.log.store_id(), self.clock.now());
                if self.deliver(&message, standing).await == Delivery::NotOurs {
                    return Ok(());
                }
                standing.row.reminded.push(hold.key());
                standing.delivered(self.clock.now()).await?;
            }
        }
        if over { standing.keep().await } else { Ok(()) }
    }

    /// Until it is taken, or another replica is the one that tells the target.
    async fn deliver(&self, message: &Message, standing: &mut Standing) -> Delivery {
        let mut failures = 0;
        while self.is_ours() {
            match self.post(message).await {
                Ok(()) => return Delivery::Done,
                Err(error) => {
                    failures += 1;
                    standing.failed(self.clock.now(), &error.to_string()).await;
                    tokio::time::sleep(backoff::pause(failures, self.pace.retry)).await;
                }
            }
        }
        Delivery::NotOurs
    }

    async fn post(&self, message: &Message) -> Result<(), SendError> {
        let Message { id, kind, task, body } = message;
        let timestamp = self.clock.now().as_micros().div_euclid(1_000_000);
        let values = [
            (signature::ID, id.clone()),
            (signature::TIMESTAMP, timestamp.to_string()),
            (signature::SIGNATURE, self.webhook.secret.sign(id, timestamp, body)),
        ];
        // Digits, base64 and the id of a store: each is a value of a header.
        let header = |(name, value): (&'static str, String)| {
            Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
        };
        let headers = values.into_iter().filter_map(header).collect();
        let asked = Asked { method: Method::POST, path: String::new(), headers, body: body.clone(), largest_answer: 0 };
        self.webhook.client.send(asked).await?;
        let task = task.map(TaskId::get);
        tracing::debug!(to = %self.webhook.name, id, task, kind = kind.as_str(), "notified");
        Ok(())
    }
}
