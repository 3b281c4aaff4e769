//! The replicas of the service in a world: one over an embedded store, or several over a shared one, each with its own clock, its
//! own way to the database and its own lives.

use std::sync::Arc;
use std::time::Duration;

use obsteward::clock::{Clock, Timestamp, monotonic_now};
use obsteward::engine::Failpoints;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::database::{Database, Link};
use crate::life::{Crash, Dice, Life};
use crate::service::{RunningService, Surroundings};
use crate::world::{BEGINS, World};

/// Within this time somebody starts a replica again that has ended.
const STARTED_WITHIN_MS: u64 = 20_000;

pub struct Replica {
    pub clock: Clock,
    /// Where its clock stands besides what has passed, in microseconds.
    jumped: i64,
    pub link: Arc<Link>,
    pub running: Option<RunningService>,
    /// Calls that are under way there.
    pub requests: Vec<JoinHandle<()>>,
    /// When somebody starts it again, of several.
    again_at: Option<Instant>,
}

impl Replica {
    pub fn new(database: Option<Arc<Database>>, dice: Dice) -> Self {
        Self {
            clock: Clock::steady_from(Timestamp::from_micros(BEGINS)),
            jumped: 0,
            link: Link::new(database, dice),
            running: None,
            requests: Vec::new(),
            again_at: None,
        }
    }

    /// The service, if it runs.
    pub fn up(&self) -> Option<&RunningService> {
        self.running.as_ref().filter(|running| !running.life.is_over())
    }

    fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.life.end();
        }
        self.requests.drain(..).for_each(|request| request.abort());
    }
}

/// Which replica something is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The one that drives the open task, or that was asked last.
    Driver,
    /// Any, by a number.
    Any(u64),
}

impl World {
    /// Whether several replicas share the store.
    pub const fn is_shared(&self) -> bool {
        self.replicas.len() > 1
    }

    pub fn target(&self, whom: Whom) -> usize {
        match whom {
            Whom::Driver => self.driver().unwrap_or(self.at),
            Whom::Any(number) => usize::try_from(number).unwrap_or_default() % self.replicas.len(),
        }
    }

    /// The replica that drives the open task.
    fn driver(&self) -> Option<usize> {
        let owner = self.disk.lock().owners.values().next().copied()?;
        self.replicas.iter().position(|replica| replica.up().is_some_and(|up| up.engine.me() == Some(owner)))
    }

    /// The service that is asked now, if it runs.
    pub fn asked(&self) -> Option<&RunningService> {
        self.replicas[self.at].up()
    }

    /// Whether a replica does nothing just now.
    pub fn has_frozen(&self) -> bool {
        self.replicas.iter().filter_map(Replica::up).any(|up| up.life.is_frozen())
    }

    /// Whoever asks next asks a replica that runs and is not frozen.
    pub fn turn_to_another(&mut self) {
        let awake = |replica: &Replica| replica.up().is_some_and(|up| !up.life.is_frozen());
        self.at = self.replicas.iter().position(awake).unwrap_or(self.at);
    }

    /// Whoever asks next asks any replica that runs.
    pub fn turn(&mut self) {
        if self.is_shared() {
            let up: Vec<usize> = (0..self.replicas.len()).filter(|at| self.replicas[*at].up().is_some()).collect();
            if !up.is_empty() {
                self.at = *self.dice.one_of(&up);
            }
        }
    }

    /// Starts the service, if it does not run; `crash`: when that life is going to end.
    pub async fn start_service(&mut self, crash: Option<Crash>, failpoints: Failpoints) {
        self.start(self.at, crash, failpoints).await;
    }

    pub async fn start(&mut self, at: usize, crash: Option<Crash>, failpoints: Failpoints) {
        if self.replicas[at].up().is_some() {
            return;
        }
        let life = Life::in_world(self.dice.clone(), self.sends.clone(), self.freeze_plan.clone());
        life.plan(crash);
        self.story.tell(format!("the service starts{}", self.called(at)));
        let replica = &self.replicas[at];
        let running = RunningService::start(Surroundings {
            life: Arc::clone(&life),
            name: format!("simulated-{at}"),
            link: &replica.link,
            disk: &self.disk,
            clusters: &self.clusters,
            data_centre: &self.data_centre,
            clock: &replica.clock,
            timeouts: &self.options.timeouts,
            effect_timeout: self.options.effect_timeout,
            failpoints,
            policy: &self.options.policy,
        })
        .await;
        if running.is_none() {
            life.end();
            self.story.tell("its life ends before it serves");
            self.replicas[at].again_at = Some(monotonic_now() + Duration::from_secs(1));
        }
        self.replicas[at].running = running;
    }

    fn called(&self, at: usize) -> String {
        if self.is_shared() { format!(" (replica {at})") } else { String::new() }
    }

    pub fn is_up(&self) -> bool {
        self.replicas.iter().any(|replica| replica.up().is_some())
    }

    /// SIGKILL.
    pub fn kill_service(&mut self) {
        self.kill(self.at);
    }

    pub fn kill(&mut self, at: usize) {
        if self.is_shared() {
            self.sends.count("killed or ended");
            let later = Duration::from_millis(self.dice.below(STARTED_WITHIN_MS));
            self.replicas[at].again_at = Some(monotonic_now() + later);
        }
        self.replicas[at].kill();
        self.unwatch_at(at);
    }

    /// SIGTERM: as `app` ends.
    pub async fn end(&mut self, at: usize) {
        if let Some(running) = &self.replicas[at].running {
            running.shutdown.cancel();
            running.life.while_it_lasts(running.engine.shut_down()).await;
        }
        self.kill(at);
    }

    /// Notices that the service has ended by itself.
    pub fn notice(&mut self) {
        for at in 0..self.replicas.len() {
            if self.replicas[at].running.is_some() && self.replicas[at].up().is_none() {
                self.story.tell(format!("the service has crashed{}", self.called(at)));
                self.kill(at);
            }
        }
    }

    /// Of several replicas: starts those whose time has come, or everyone.
    pub async fn revive(&mut self, everyone: bool) {
        for at in 0..self.replicas.len() {
            let is_due = everyone || self.replicas[at].again_at.is_none_or(|again| again <= monotonic_now());
            if self.is_shared() && self.replicas[at].up().is_none() && is_due {
                self.start(at, None, Failpoints::default()).await;
            }
        }
    }

    /// What comes of something, unless the only service ends meanwhile.
    pub async fn while_up<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.replicas[0].up() {
            Some(running) if !self.is_shared() => running.life.while_it_lasts(work).await,
            _ => Some(work.await),
        }
    }

    /// Lets so much time pass, or less when the only service ends meanwhile.
    pub async fn pass(&mut self, time: Duration) {
        self.while_up(tokio::time::sleep(time)).await;
        self.notice();
        self.revive(false).await;
    }

    /// Waits for the next commit, at most so long, or until the only service has ended.
    pub async fn a_commit(&mut self, written: &mut watch::Receiver<usize>, within: Duration) {
        if self.is_up() {
            _ = self.while_up(tokio::time::timeout(within, written.changed())).await;
        }
        self.notice();
    }

    pub fn jump_clock(&mut self, at: usize, micros: i64) {
        let several = self.is_shared();
        let replica = &mut self.replicas[at];
        replica.clock.jump(micros);
        replica.jumped += micros;
        // Whoever takes over has another clock: what one is set forward, time goes back with the next.
        let back = if several { micros.abs() } else { -micros };
        self.witness.clock_was_set(back, replica.jumped);
    }

    /// Every replica runs, and nothing stands between it and its database.
    pub async fn mend_replicas(&mut self) {
        self.database.is_well();
        self.freeze_plan.set(None);
        for replica in &self.replicas {
            replica.link.is_well();
            if let Some(running) = replica.up() {
                running.life.plan(None);
                running.life.plan_loss(None);
                running.life.thaw();
            }
        }
        if !self.is_up() {
            self.start_service(None, Failpoints::default()).await;
        }
        self.revive(true).await;
    }
}
