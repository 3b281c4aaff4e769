//! Who acted when: effects as the cluster's own record and its agents tell of them, and as replicas let them go, against the fences
//! that the store gave. All of it is timed by the one clock that stands behind every other one of a world.
//!
//! * Whoever lets an effect go, behind the last look at the lease, is the owner of the task at that moment: nobody else has claimed it.
//! * An effect that was let go in time may come late, also when another replica has claimed the task since. It takes place
//!   within its horizon, and never once the task is closed, it was told as not done, or somebody has begun to take it back.

use std::collections::BTreeMap;

use obsteward::domain::attempt::RecordedIntent;
use obsteward::domain::event::{Direction, EventKind, IntentOutcome, Phase};
use obsteward::domain::ids::{Fence, ReplicaId, TaskId};
use obsteward::sim::{InProcessCluster, Kind};
use tokio::time::Instant;

use crate::disk::{Content, Disk};
use crate::sends::{Sends, What};
use crate::world::BEGINS;

/// An intent: its task, and its number there.
type Number = (TaskId, i32);

/// Microseconds of the world, by which the cluster's record is dated.
type Moment = i64;

pub struct Operators {
    began: Instant,
    log_read: usize,
    claims_read: usize,
    record_read: usize,
    claims: Vec<Claim>,
    recorded: BTreeMap<Number, Moment>,
    settled: BTreeMap<Number, (Moment, IntentOutcome)>,
    closed: BTreeMap<TaskId, Moment>,
    by_session: BTreeMap<i64, Number>,
    broken: Vec<String>,
}

#[derive(Clone, Copy)]
struct Claim {
    at: Moment,
    task: TaskId,
    fence: Fence,
    owner: Option<ReplicaId>,
}

impl Operators {
    /// A world that begins now.
    pub fn new(began: Instant) -> Self {
        Self {
            began,
            log_read: 0,
            claims_read: 0,
            record_read: 0,
            claims: Vec::new(),
            recorded: BTreeMap::new(),
            settled: BTreeMap::new(),
            closed: BTreeMap::new(),
            by_session: BTreeMap::new(),
            broken: Vec::new(),
        }
    }

    fn moment(&self, at: Instant) -> Moment {
        BEGINS + i64::try_from(at.duration_since(self.began).as_micros()).unwrap()
    }

    /// Takes in what is new, and returns what is broken by it.
    pub fn look(&mut self, disk: &Disk, cluster: &InProcessCluster, sends: &Sends) -> Vec<String> {
        let content = disk.lock();
        self.read_claims(&content, sends);
        self.read_log(&content);
        for effect in sends.take() {
            let number = number(&effect.token);
            let at = self.moment(effect.at);
            match effect.what {
                What::LetGo { life } => self.let_go(sends, at, number, effect.fence, life),
                What::DoneByAgent => self.took_place(&content, sends, at, number, "the call of an agent"),
            }
        }
        let new = cluster.look(|core, _| {
            let new = core.record[self.record_read..].to_vec();
            self.record_read = core.record.len();
            new
        });
        for line in new {
            let acts = match line.kind {
                Kind::MarkSet | Kind::MarkCleared | Kind::ZoneStopped | Kind::ZoneStarted | Kind::MinorFreeze => true,
                Kind::Statement
                | Kind::Answered
                | Kind::SessionOpened
                | Kind::SessionClosed
                | Kind::SessionKilled
                | Kind::LoginRefused
                | Kind::ConnectionCut
                | Kind::PrecheckRefused
                | Kind::LeaderMoved
                | Kind::RootServiceMoved
                | Kind::ArbitrationDegraded
                | Kind::MajorityLost
                | Kind::ParameterSet
                | Kind::ServerOffline
                | Kind::ServerOnline
                | Kind::ProcessStarted
                | Kind::ProcessEnded
                | Kind::Signal
                | Kind::FaultInjected
                | Kind::FaultUsed
                | Kind::FaultCleared => false,
            };
            let session = line.session.and_then(|session| i64::try_from(session).ok());
            let number = session.and_then(|session| self.by_session.get(&session)).copied();
            if let (true, Some(number)) = (acts, number) {
                self.took_place(&content, sends, line.at, number, &line.kind.name());
            }
        }
        std::mem::take(&mut self.broken)
    }

    fn read_claims(&mut self, content: &Content, sends: &Sends) {
        for claimed in &content.claims[self.claims_read..] {
            let claim =
                Claim { at: self.moment(claimed.at), task: claimed.task, fence: claimed.fence, owner: claimed.owner };
            let before = self.claims.last().filter(|before| before.task == claim.task);
            if before.is_some_and(|before| before.owner != claim.owner) {
                sends.count("taken over by another");
            }
            self.claims.push(claim);
        }
        self.claims_read = content.claims.len();
    }

    fn read_log(&mut self, content: &Content) {
        for (stored, written) in content.log.iter().zip(&content.written).skip(self.log_read) {
            let (at, task) = (self.moment(*written), stored.task);
            match &stored.event.kind {
                EventKind::IntentRecorded { number, intent, .. } => {
                    self.recorded.insert((task, *number), at);
                    if intent.connection_id != 0 {
                        self.by_session.insert(intent.connection_id, (task, *number));
                    }
                }
                EventKind::IntentSettled { number, outcome, .. } => {
                    self.settled.insert((task, *number), (at, *outcome));
                }
                EventKind::TaskStateChanged { to, .. } if to.phase() == Phase::Closed => {
                    self.closed.insert(task, at);
                }
                _ => {}
            }
        }
        self.log_read = content.log.len();
    }

    /// The last claim before a moment, of whichever task: there is one cluster.
    fn owner(&self, at: Moment) -> Option<&Claim> {
        self.claims.iter().rev().find(|claim| claim.at < at)
    }

    fn let_go(&mut self, sends: &Sends, at: Moment, number: Number, fence: Fence, life: u64) {
        let Some(owner) = self.owner(at) else { return };
        let is_another = owner.owner.is_some_and(|owner| sends.life_of(owner).is_some_and(|owners| owners != life));
        if owner.fence > fence || is_another {
            let Claim { fence: newer, task, owner, at: since } = *owner;
            let (task_of, intent) = number;
            let whose = owner.map_or(0, ReplicaId::get);
            let ago = at - since;
            self.broken.push(format!(
                "2: intent {intent} of task {task_of} was let go under fence {fence}, {ago} us after replica {whose} had \
                 task {task} under fence {newer}"
            ));
        }
    }

    fn took_place(&mut self, content: &Content, sends: &Sends, at: Moment, number: Number, what: &str) {
        let (task, intent) = number;
        let Some(known) = content.tasks.get(&task).map(|stored| &stored.task.intents) else { return };
        let Some(of_it) = known.iter().find(|known| known.number == intent) else { return };
        let fence = of_it.fence;
        let behind_a_claim = self.owner(at).is_some_and(|owner| owner.fence > fence);
        if behind_a_claim {
            sends.count("effects behind another's claim");
        }
        let mut wrong = |why: String| {
            let whose = if behind_a_claim { " of an owner that had lost it" } else { "" };
            self.broken.push(format!("2: {what} by intent {intent} of task {task}{whose} took place {why}"));
        };
        if let Some(recorded) = self.recorded.get(&number) {
            let until = recorded + i64::try_from(of_it.lasts.as_micros()).unwrap();
            if at > until {
                wrong(format!("{} us behind its horizon", at - until));
            }
        }
        if let Some(closed) = self.closed.get(&task).filter(|closed| **closed < at) {
            wrong(format!("{} us after the task was closed", at - closed));
        }
        if let Some((settled, outcome)) = self.settled.get(&number).filter(|(settled, _)| *settled < at)
            && matches!(outcome, IntentOutcome::Refused | IntentOutcome::Void)
        {
            wrong(format!("{} us after it was told as {outcome:?}", at - settled));
        }
        let takes_back = |other: &&RecordedIntent| {
            other.subtask == of_it.subtask
                && other.number > of_it.number
                && (of_it.direction, other.direction) == (Direction::Forward, Direction::Back)
                && self.recorded.get(&(task, other.number)).is_some_and(|recorded| *recorded < at)
        };
        if let Some(back) = known.iter().find(takes_back) {
            wrong(format!("after intent {} began to take it back", back.number));
        }
    }
}

/// What a token says: `task/subtask/run_time/intent`.
fn number(token: &str) -> Number {
    let parts: Vec<i64> = token.split('/').map(|part| part.parse().unwrap()).collect();
    (TaskId::new(parts[0]).unwrap(), i32::try_from(parts[3]).unwrap())
}
