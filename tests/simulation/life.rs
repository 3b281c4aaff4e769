//! One life of the service, from its start to its end. Whatever the service reaches for (store, clusters, hosts) passes
//! through its life: there it takes its time, and there the life ends when a crash is planned. After that nothing of it is
//! answered any more, as nothing is answered to a process that is gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

/// Where a life can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A question to a cluster or a host is answered.
    Look,
    /// The permit is given, and its effect not sent yet.
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

    pub fn one_of<'a, T>(&self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

pub struct Life {
    over: AtomicBool,
    /// Notified when it ends.
    pub ended: Notify,
    crash: Mutex<Option<Crash>>,
    loss: Mutex<Option<Loss>>,
    pub dice: Dice,
}

impl Life {
    pub fn new(dice: Dice) -> Arc<Self> {
        Arc::new(Self {
            over: AtomicBool::new(false),
            ended: Notify::new(),
            crash: Mutex::default(),
            loss: Mutex::default(),
            dice,
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

    /// Counts that a point is reached; returns whether the life is over (now or since earlier).
    pub fn reaches(&self, point: Point) -> bool {
        let mut planned = self.crash.lock().unwrap();
        if let Some(crash) = planned.as_mut().filter(|crash| crash.at == point) {
            crash.left -= 1;
            if crash.left == 0 {
                *planned = None;
                drop(planned);
                self.end();
            }
        }
        self.is_over()
    }

    /// Passes a point after so long; never returns to a life that is over.
    pub async fn pass(&self, point: Point, takes: Duration) {
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        if self.reaches(point) {
            std::future::pending::<()>().await;
        }
    }
}
