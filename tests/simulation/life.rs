//! One life of the service, from its start to its end. Whatever the service reaches for (store, clusters, hosts) passes
//! through its life: there it takes its time, and there the life ends when a crash is planned. After that nothing of it is
//! answered any more, as nothing is answered to a process that is gone. There it freezes too, as with SIGSTOP or a machine that
//! sleeps: it sends nothing and hears nothing until it goes on, and then finds that time has passed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use obsteward::clock::monotonic_now;
use obsteward::domain::effect::Permit;
use obsteward::domain::ids::ReplicaId;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::sends::Sends;

/// Where a life can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A question to a cluster or a host is answered.
    Look,
    /// The owner of a task has asked who holds its lock, and not heard the answer yet.
    Lock,
    /// The permit is given and was looked at for the last time, and its effect not sent yet.
    Permit,
    /// The effect was sent, and its answer not heard yet.
    Answer,
    /// A commit is queued, and not written yet.
    BeforeCommit,
    /// It is written, and nobody knows.
    AfterCommit,
}

/// Where and when a life is going to end: at the `left`th time that the point is reached from now on, counted from 1.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    pub at: Point,
    pub left: u32,
}

/// Where, when and for how long a life is going to freeze; as a [`Crash`].
#[derive(Clone, Copy, Debug)]
pub struct Freeze {
    pub at: Point,
    pub left: u32,
    pub lasts: Duration,
}

/// The next freeze of a world's replicas. Shared and cheap to clone.
#[derive(Clone, Default)]
pub struct FreezePlan(Arc<Mutex<Option<Freeze>>>);

impl FreezePlan {
    /// `None`: nobody freezes.
    pub fn set(&self, freeze: Option<Freeze>) {
        *self.0.lock().unwrap() = freeze;
    }
}

/// How an effect on a cluster is lost: its outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostEffect {
    /// It is not sent.
    Before,
    /// It is sent, and the connection breaks before its answer comes.
    After,
}

/// Which effect on a cluster is lost: the `left`th from now on, counted from 1.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    pub effect: LostEffect,
    pub left: u32,
}

/// Random numbers of a world, all from its seed.
#[derive(Clone)]
pub struct Dice(Arc<Mutex<fastrand::Rng>>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// Below `end`; 0 when that is 0.
    pub fn below(&self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.0.lock().unwrap().u64(0..end) }
    }

    /// True once in so many times.
    pub fn once_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// How long a call takes on its way: a moment, and now and then half a second.
    pub fn latency(&self) -> Duration {
        let micros = if self.once_in(50) { 50_000 + self.below(450_000) } else { 200 + self.below(2_800) };
        Duration::from_micros(micros)
    }

    /// A moment of the next so long, and not now.
    pub fn within(&self, longest: Duration) -> Duration {
        Duration::from_micros(1 + self.below(u64::try_from(longest.as_micros()).unwrap()))
    }

    pub fn one_of<'a, T>(&self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

pub struct Life {
    number: u64,
    over: AtomicBool,
    /// Notified when it ends.
    pub ended: Notify,
    crash: Mutex<Option<Crash>>,
    loss: Mutex<Option<Loss>>,
    /// Of whichever replica gets there first.
    freeze: FreezePlan,
    /// Until when it is frozen, if it is.
    frozen_until: Mutex<Option<Instant>>,
    /// Notified when it goes on early; not a watch channel, which wakes whoever waits in any order.
    thawed: Notify,
    pub dice: Dice,
    pub sends: Sends,
}

impl Life {
    pub fn new(dice: Dice) -> Arc<Self> {
        Self::in_world(dice, Sends::default(), FreezePlan::default())
    }

    /// One whose effects are known to a world, and which may freeze there.
    pub fn in_world(dice: Dice, sends: Sends, freeze: FreezePlan) -> Arc<Self> {
        Arc::new(Self {
            number: sends.begins(),
            over: AtomicBool::new(false),
            ended: Notify::new(),
            crash: Mutex::default(),
            loss: Mutex::default(),
            freeze,
            frozen_until: Mutex::default(),
            thawed: Notify::new(),
            dice,
            sends,
        })
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Plans its end; `None`: it goes on.
    pub fn plan(&self, crash: Option<Crash>) {
        *self.crash.lock().unwrap() = crash;
    }

    /// Plans which effect is lost; `None`: none is.
    pub fn plan_loss(&self, loss: Option<Loss>) {
        *self.loss.lock().unwrap() = loss;
    }

    /// Freezes it now. What waited for the end of an earlier freeze goes on at that: an answer that is late.
    pub fn freeze(&self, lasts: Duration) {
        self.sends.count("frozen");
        *self.frozen_until.lock().unwrap() = Some(monotonic_now() + lasts);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        *self.frozen_until.lock().unwrap() = None;
        self.thawed.notify_waiters();
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen().is_some()
    }

    /// Until when it is frozen, if it is.
    fn frozen(&self) -> Option<Instant> {
        self.frozen_until.lock().unwrap().filter(|until| *until > monotonic_now())
    }

    /// Returns once the process goes on; never to one that is over.
    pub async fn goes_on(&self) {
        while let Some(until) = self.frozen() {
            let thawed = self.thawed.notified();
            tokio::select! {
                biased;
                () = thawed => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
        if self.is_over() {
            std::future::pending::<()>().await;
        }
    }

    /// It is this replica from now on.
    pub fn joined(&self, replica: ReplicaId) {
        self.sends.joined(self.number, replica);
    }

    /// Its permit was looked at for the last time.
    pub fn lets_go(&self, permit: &Permit) {
        // Of a process that is gone only its timers go on.
        if !self.is_over() {
            self.sends.let_go(self.number, permit);
        }
    }

    /// Counts an effect that is about to be sent, and says how it is lost.
    pub fn loses_effect(&self) -> Option<LostEffect> {
        let mut planned = self.loss.lock().unwrap();
        let loss = planned.as_mut()?;
        loss.left = loss.left.saturating_sub(1);
        if loss.left > 0 { None } else { planned.take().map(|loss| loss.effect) }
    }

    /// Ends it now.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.ended.notify_waiters();
    }

    /// What a future comes to, unless the life ends before.
    pub async fn while_it_lasts<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if self.is_over() {
            return None;
        }
        tokio::select! {
            biased;
            () = &mut ended => None,
            done = work => Some(done),
        }
    }

    /// Counts that a point is reached; returns whether the life is over (now or since earlier). It may be frozen behind it.
    pub fn reaches(&self, point: Point) -> bool {
        let mut planned = self.crash.lock().unwrap();
        if let Some(crash) = planned.as_mut().filter(|crash| crash.at == point) {
            crash.left -= 1;
            if crash.left == 0 {
                *planned = None;
                self.end();
            }
        }
        drop(planned);
        let mut planned = self.freeze.0.lock().unwrap();
        if let Some(freeze) = planned.as_mut().filter(|freeze| freeze.at == point && !self.is_over()) {
            freeze.left -= 1;
            if freeze.left == 0 {
                let lasts = freeze.lasts;
                *planned = None;
                self.freeze(lasts);
            }
        }
        self.is_over()
    }

    /// Passes a point after so long; never returns to a life that is over.
    pub async fn pass(&self, point: Point, takes: Duration) {
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        self.reaches(point);
        let frozen = self.is_frozen();
        self.goes_on().await;
        if frozen && point == Point::Permit {
            self.sends.count("effects sent behind a freeze");
        }
    }
}
