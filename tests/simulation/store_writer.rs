//! The writer of one life: what is written happens in the order of the calls and takes its time. Over a shared store a write whose
//! answer does not come is sent again as it was, as `src/store/mysql/writer.rs` does, until it is answered or given up.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use obsteward::clock::monotonic_now;
use obsteward::domain::ids::{ReplicaId, Seq};
use obsteward::store::StoreError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use crate::database::{Link, Unanswered};
use crate::disk::{Content, Disk};
use crate::life::{Life, Point};

/// How long a read or a write is tried; as of the real adapter, like the next.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(15);
/// Between two tries: from, to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The pauses between tries of one call.
pub struct Tries {
    until: Instant,
    pause: Duration,
}

impl Tries {
    pub fn begin() -> Self {
        Self { until: monotonic_now() + GIVE_UP_AFTER, pause: PAUSES.0 }
    }

    /// Waits before the next one; false: it was tried for long enough.
    pub async fn again(&mut self) -> bool {
        if monotonic_now() >= self.until {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        true
    }
}

pub fn gave_up(why: Unanswered) -> StoreError {
    StoreError::Failed(format!("{why:?}; whether it was written is unknown"))
}

/// A write that waits for its turn, with who waits for it.
trait Job: Send + Sync {
    /// Writes it, for this replica. More than once when an answer was lost; the last answer counts.
    fn write(&self, content: &mut Content, me: Option<ReplicaId>);

    fn answer(&self, written: Result<(), StoreError>);
}

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

struct Asked<T, W> {
    state: Mutex<AskedState<T, W>>,
}

struct AskedState<T, W> {
    work: W,
    came: Option<T>,
    answer: Option<Answer<T>>,
}

impl<T: Send, W: FnMut(&mut Content, Option<ReplicaId>) -> T + Send> Job for Asked<T, W> {
    fn write(&self, content: &mut Content, me: Option<ReplicaId>) {
        let mut state = self.state.lock().unwrap();
        let came = (state.work)(content, me);
        state.came = Some(came);
    }

    fn answer(&self, written: Result<(), StoreError>) {
        let mut state = self.state.lock().unwrap();
        let (came, answer) = (state.came.take(), state.answer.take());
        // A late copy of it may be written behind the answer; nobody hears of that.
        let answered = written.and_then(|()| came.ok_or(StoreError::Closed));
        if let Some(answer) = answer {
            let _ = answer.send(answered);
        }
    }
}

/// The way to the writer. Cheap to clone.
#[derive(Clone)]
pub struct Writer(mpsc::UnboundedSender<(Arc<dyn Job>, Tries)>);

impl Writer {
    /// Starts it on the current runtime. `me`: the replica for which it writes; zero: none.
    pub fn start(disk: Disk, life: Arc<Life>, link: Arc<Link>, me: Arc<AtomicI64>, committed: Arc<Told<Seq>>) -> Self {
        let (queue, jobs) = mpsc::unbounded_channel();
        let running = Running { disk, life, link, me, committed };
        tokio::spawn(running.run(jobs));
        Self(queue)
    }

    pub fn submit<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Content, Option<ReplicaId>) -> T + Send + 'static,
        answer: Answer<T>,
    ) {
        let state = Mutex::new(AskedState { work, came: None, answer: Some(answer) });
        let _ = self.0.send((Arc::new(Asked { state }), Tries::begin()));
    }

    pub async fn ask<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Content, Option<ReplicaId>) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.submit(work, answer);
        answered.await.unwrap_or(Err(StoreError::Closed))
    }
}

struct Running {
    disk: Disk,
    life: Arc<Life>,
    link: Arc<Link>,
    me: Arc<AtomicI64>,
    committed: Arc<Told<Seq>>,
}

impl Running {
    async fn run(self, mut jobs: mpsc::UnboundedReceiver<(Arc<dyn Job>, Tries)>) {
        // Nobody hears of these.
        let mut unanswered = Vec::new();
        while let Some((job, tries)) = jobs.recv().await {
            let takes = match self.life.dice.below(1000) {
                0..=599 => 0,
                600..=969 => 1 + self.life.dice.below(3),
                970..=997 => 10 + self.life.dice.below(200),
                _ => 1000 + self.life.dice.below(6000),
            };
            if takes > 0 {
                sleep(Duration::from_millis(takes)).await;
            }
            if self.life.reaches(Point::BeforeCommit) {
                unanswered.push(job);
                continue;
            }
            let written = self.write(&job, tries).await;
            if self.life.reaches(Point::AfterCommit) {
                unanswered.push(job);
                continue;
            }
            self.life.goes_on().await;
            match written {
                Ok(head) => {
                    job.answer(Ok(()));
                    self.committed.raise(head);
                }
                Err(error) => job.answer(Err(error)),
            }
        }
    }

    /// Position of the last event behind it.
    async fn write(&self, job: &Arc<dyn Job>, mut tries: Tries) -> Result<Seq, StoreError> {
        loop {
            self.life.goes_on().await;
            let me = ReplicaId::new(self.me.load(Ordering::SeqCst)).ok();
            let written = || {
                let mut content = self.disk.lock();
                job.write(&mut content, me);
                content.head()
            };
            match self.link.call(written).await {
                Ok(head) => return Ok(head),
                Err(why) => {
                    self.life.sends.count("writes without an answer");
                    if why == Unanswered::OnItsWay && self.life.dice.once_in(2) {
                        tokio::spawn(arrive(Arc::clone(&self.link), self.disk.clone(), Arc::clone(job), me));
                    }
                    if !tries.again().await {
                        return Err(gave_up(why));
                    }
                }
            }
        }
    }
}

/// A message that was given up comes there when the way is open again.
async fn arrive(link: Arc<Link>, disk: Disk, job: Arc<dyn Job>, me: Option<ReplicaId>) {
    if link.arrives_late().await {
        job.write(&mut disk.lock(), me);
    }
}

/// A number that only grows, told to whoever follows it. Each has a channel of its own: one channel would wake them in any order.
#[derive(Default)]
pub struct Told<T>(Mutex<(T, Vec<watch::Sender<T>>)>);

impl<T: Ord + Copy> Told<T> {
    pub const fn new(first: T) -> Self {
        Self(Mutex::new((first, Vec::new())))
    }

    pub fn follow(&self) -> watch::Receiver<T> {
        let mut told = self.0.lock().unwrap();
        let (sender, receiver) = watch::channel(told.0);
        told.1.push(sender);
        receiver
    }

    /// Whether it has grown.
    pub fn raise(&self, to: T) -> bool {
        let mut told = self.0.lock().unwrap();
        let newer = to > told.0;
        if newer {
            told.0 = to;
            told.1.retain(|sender| sender.send(to).is_ok());
        }
        newer
    }
}
