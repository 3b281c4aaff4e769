//! The replicas of a shared store as one life of the service has them, and how it hears of what others write. An embedded store has
//! one replica, whose lease never ends.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::monotonic_now;
use obsteward::domain::ids::{Fence, ReplicaId, Seq};
use obsteward::store::StoreError;
use obsteward::store::replicas::{OwnedTask, ReplicaRow, ReplicaState, Replicas};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::store::LifeStore;

/// A renewal is not tried for longer; as of the real adapter, like the next three.
const RENEW_TIMEOUT: Duration = Duration::from_secs(2);
const TAIL_INTERVAL: Duration = Duration::from_millis(100);
/// Without open tasks the log is looked at less often, once it was quiet for so long.
const QUIET_AFTER: Duration = Duration::from_secs(30);
const QUIET_INTERVAL: Duration = Duration::from_millis(500);

#[async_trait]
impl Replicas for LifeStore {
    async fn join(&self) -> Result<ReplicaId, StoreError> {
        if !self.is_shared() {
            return Ok(ReplicaId::new(1).unwrap());
        }
        let (name, now, mut joined) = (self.name.clone(), self.clock.now(), None);
        // Sent again it is recognised by its nonce.
        let join = move |content: &mut crate::disk::Content, _| *joined.get_or_insert_with(|| content.join(&name, now));
        let id = self.change(join).await?;
        self.set_me(id);
        Ok(id)
    }

    async fn renew(&self, tasks: usize) -> Result<bool, StoreError> {
        let (Some(me), now) = (self.me(), self.clock.now()) else { return Ok(true) };
        let tried = async {
            self.life.goes_on().await;
            let renewed = self.link.call(|| self.disk.lock().renew(me, tasks, now)).await;
            self.life.goes_on().await;
            renewed
        };
        match timeout(RENEW_TIMEOUT, tried).await {
            Ok(Ok(renewed)) => Ok(renewed),
            Ok(Err(why)) => Err(StoreError::Failed(format!("the lease was not renewed: {why:?}"))),
            Err(_) => {
                self.life.goes_on().await;
                Err(StoreError::Failed("the lease was not renewed in time".to_owned()))
            }
        }
    }

    async fn replicas(&self) -> Result<Vec<ReplicaRow>, StoreError> {
        // Of those that have ended the engine asks nothing.
        let live = |row: &&ReplicaRow| row.state == ReplicaState::Live;
        self.read(move |content| content.replicas.iter().filter(live).cloned().collect()).await
    }

    async fn bury(&self, replica: ReplicaId, renewals: i64) -> Result<bool, StoreError> {
        let (now, mut buried) = (self.clock.now(), false);
        self.change(move |content, _| {
            buried = buried || content.bury(replica, renewals, now);
            buried
        })
        .await
    }

    async fn leave(&self) -> Result<(), StoreError> {
        let (Some(me), now) = (self.me(), self.clock.now()) else { return Ok(()) };
        self.change(move |content, _| content.end(me, ReplicaState::Left, now)).await.map(drop)
    }

    async fn owned_tasks(&self) -> Result<Vec<OwnedTask>, StoreError> {
        self.read(|content| content.moving()).await
    }

    async fn claim(&self, owned: &OwnedTask) -> Result<Option<Fence>, StoreError> {
        let owned = owned.clone();
        self.change(move |content, me| content.claim(&owned, me)).await
    }

    fn ownership(&self) -> watch::Receiver<i64> {
        self.ownership.follow()
    }

    fn is_shared(&self) -> bool {
        self.link.is_shared()
    }
}

/// Looks at what other replicas have written, until the store is dropped or its life is over. A look that would find nothing is left
/// out: it is waited for news, and then for as long as an interval would still have lasted.
pub async fn follow(store: Weak<LifeStore>, mut news: watch::Receiver<(Seq, i64)>) {
    let mut changed = monotonic_now();
    let (mut open, mut failed) = (true, false);
    loop {
        if !failed && news.changed().await.is_err() {
            return;
        }
        let Some(interval) = store.upgrade().filter(|store| !store.life.is_over()).map(|store| {
            let quiet = !open && monotonic_now().duration_since(changed) > QUIET_AFTER;
            store.life.dice.within(if quiet { QUIET_INTERVAL } else { TAIL_INTERVAL })
        }) else {
            return;
        };
        sleep(interval).await;
        let Some(store): Option<Arc<LifeStore>> = store.upgrade() else { return };
        let counters = |content: &mut crate::disk::Content| {
            news.mark_unchanged();
            let open = content.locks.values().any(|lock| lock.holder.is_some());
            (content.head(), content.ownership, open)
        };
        // Whoever asks meanwhile is told that the store failed.
        let found = store.read(counters).await;
        failed = found.is_err();
        let Ok((head, ownership, locked)) = found else { continue };
        open = locked;
        // Each is told, whatever the other is.
        if [store.committed.raise(head), store.ownership.raise(ownership)].contains(&true) {
            changed = monotonic_now();
        }
    }
}
