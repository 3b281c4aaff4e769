//! What of a cluster could be taken out now, for whoever looks at all of it. One reading serves everybody who looks at about the
//! same time, and nobody waits long for it: a cluster that does not answer is shown without.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Service;
use super::call::{Caller, ServiceCall};
use super::refusals::inventory_refusal;
use crate::clock::monotonic_now;
use crate::domain::call::Call;
use crate::domain::graph::TaskTarget;
use crate::domain::ids::ClusterId;
use crate::domain::refusal::Refusal;
use crate::operations::margin::{Margin, read_margin};
use crate::operations::subject::Subject;

/// How long a reading stands for the next one that is asked for.
const FRESH: Duration = Duration::from_secs(10);
/// How long one that is older is shown while the next is made.
const SHOWN: Duration = Duration::from_secs(60);
/// How long a caller waits; the reading goes on for the next.
const PATIENCE: Duration = Duration::from_secs(1);
/// A reading that has not ended by then never will.
const LONGEST: Duration = Duration::from_secs(60);

/// What of a cluster could be taken out now. Changes nothing.
#[derive(Clone, Copy, Debug)]
pub struct GetMargin(pub ClusterId);

#[derive(Clone, Debug)]
pub enum MarginView {
    Known(Arc<Margin>),
    /// The cluster is being read.
    NotYet,
    /// Why it could not be read.
    Unread(String),
}

impl ServiceCall for GetMargin {
    /// It is what the plans of all its servers say.
    const CALL: Call = Call::PlanStopServer;
    type Subject = ClusterId;
    type Output = MarginView;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.0
    }

    async fn run(self, service: &Service, _: &Caller, _: ()) -> Result<MarginView, Refusal> {
        service.margin(self.0).await
    }
}

type Outcome = Result<Arc<Margin>, String>;

#[derive(Clone)]
struct Reading {
    begun: Instant,
    ended: watch::Receiver<Option<Outcome>>,
}

/// The last reading of each cluster that somebody looks at, and the one before while that is made.
#[derive(Default)]
pub(super) struct Margins(Mutex<BTreeMap<ClusterId, (Reading, Option<Outcome>)>>);

impl Margins {
    fn all(&self) -> MutexGuard<'_, BTreeMap<ClusterId, (Reading, Option<Outcome>)>> {
        // Every change is one call, so the map is consistent even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reading that stands, or one that `begin` begins; with what was known before.
    fn current(
        &self,
        cluster: ClusterId,
        now: Instant,
        begin: impl FnOnce() -> watch::Receiver<Option<Outcome>>,
    ) -> (Reading, Option<Outcome>) {
        let mut all = self.all();
        all.retain(|_, (reading, _)| now.duration_since(reading.begun) < SHOWN);
        let before = match all.get(&cluster) {
            Some((reading, before)) => {
                let ended = reading.ended.borrow().clone();
                let stands = if ended.is_some() { FRESH } else { LONGEST };
                if now.duration_since(reading.begun) < stands {
                    return (reading.clone(), before.clone());
                }
                ended
            }
            None => None,
        };
        let found = (Reading { begun: now, ended: begin() }, before);
        all.insert(cluster, found.clone());
        found
    }
}

impl Service {
    async fn margin(&self, cluster: ClusterId) -> Result<MarginView, Refusal> {
        let targets = self.deps.inventory.targets(cluster, |_| true).await;
        let targets = targets.map_err(|error| inventory_refusal(&error))?;
        let Some(subject) = Subject::new(TaskTarget::Cluster, targets) else {
            return Ok(MarginView::Unread("it has no servers".to_owned()));
        };
        let (mut reading, before) = self.margins.current(cluster, monotonic_now(), || self.begin_margin(subject));
        // A reading that broke down ends without an outcome.
        let ended = tokio::time::timeout(PATIENCE, reading.ended.wait_for(Option::is_some)).await;
        let outcome = ended.ok().and_then(|ended| ended.ok().and_then(|outcome| outcome.clone()));
        Ok(match outcome.or(before) {
            Some(Ok(margin)) => MarginView::Known(margin),
            Some(Err(why)) => MarginView::Unread(why),
            None => MarginView::NotYet,
        })
    }

    fn begin_margin(&self, subject: Subject) -> watch::Receiver<Option<Outcome>> {
        let (told, ended) = watch::channel(None);
        let deps = self.deps.clone();
        tokio::spawn(async move {
            let read = read_margin(&deps, &subject).await;
            // Nobody may wait any more: the next who asks finds it.
            told.send_replace(Some(read.map(Arc::new).map_err(|error| error.message)));
        });
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::sample::{NOW, cluster};
    use crate::domain::store_home::StoreHome;
    use crate::operations::margin::margin;

    #[tokio::test]
    async fn one_reading_serves_who_looks_meanwhile_and_is_shown_until_the_next_has_ended() {
        let (margins, id, start) = (Margins::default(), ClusterId::new(1).unwrap(), monotonic_now());
        let (told, ended) = watch::channel(None);
        let after = |seconds| start + Duration::from_secs(seconds);
        let begin = |at| margins.current(id, after(at), || ended.clone());
        let nobody = |at| margins.current(id, after(at), || unreachable!("it stands"));
        assert!(begin(0).1.is_none());
        nobody(30);
        told.send_replace(Some(Ok(Arc::new(margin(&cluster(3), &StoreHome::InNoCluster, NOW)))));
        nobody(9);
        let (_, next) = watch::channel(None);
        let (reading, before) = margins.current(id, after(10), || next.clone());
        assert!(reading.ended.borrow().is_none() && before.is_some_and(|before| before.is_ok()));
        assert!(nobody(20).1.is_some(), "still while that is made");
        let (_, late) = margins.current(id, after(10 + SHOWN.as_secs()), || next.clone());
        assert!(late.is_none(), "what is too old is not shown");
    }
}
