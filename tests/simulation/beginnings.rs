//! When tasks begin: what people ask for besides the tasks themselves (approvals, change freezes), and whether each beginning was
//! allowed, from the log and from when changes were frozen.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use obsteward::clock::Timestamp;
use obsteward::domain::approval::PlanDigest;
use obsteward::domain::event::{EventKind, Phase, StoredEvent, TaskState};
use obsteward::domain::ids::TaskId;
use obsteward::domain::maintenance::{ApprovalRule, MaintenancePolicy};
use obsteward::domain::refusal::Refusal;
use obsteward::domain::status::Risk;
use obsteward::domain::task::Task;
use obsteward::service::{
    ApproveTask, CancelTask, FreezeChanges, PlanTask, ServiceCall, ThawChanges, WithdrawApproval,
};
use obsteward::store::StoredTask;

use crate::disk::{Content, Disk};
use crate::life::Dice;
use crate::service::caller;
use crate::world::World;

/// Who approves what `anna` asks for.
const SECOND: &str = "berta";
/// How long what waits for a window may wait in a world that is well.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 3600);

/// What somebody does who asks for no task.
#[derive(Clone, Copy, Debug)]
pub enum Second {
    /// Looks at the plan of the first task that waits, and approves it.
    Approve,
    /// Approves what they asked for themselves.
    ApproveOwn,
    Withdraw,
    Cancel,
    Freeze,
    Thaw,
}

/// The policies of walks. In their time zone the clock is set forward and back again within the first hour.
pub fn policy(dice: &Dice) -> MaintenancePolicy {
    let open = *dice.one_of(&[0, 0, 10, 20]);
    let halves = (0..24).flat_map(|hour| [0, 30].map(|from| (hour, from)));
    let halves = halves.map(|(hour, from)| format!("daily {hour:02}:{from:02}-{hour:02}:{:02}", from + open));
    let windows: Vec<_> = halves.map(|window| window.parse().unwrap()).collect();
    let approval = match dice.below(3) {
        0 => ApprovalRule::Never,
        1 => ApprovalRule::Risks(Risk::ALL.to_vec()),
        _ => ApprovalRule::Always,
    };
    MaintenancePolicy {
        time_zone: TimeZone::posix("SIM0SET,J318/22:40,J318/23:50").unwrap(),
        windows: if open == 0 { Vec::new() } else { windows },
        exclusions: Vec::new(),
        starts: dice.once_in(3),
        approval,
        approval_time: Duration::from_secs(60 + dice.below(1800)),
    }
}

/// The beginnings that were looked at.
#[derive(Default)]
pub struct Beginnings {
    read: usize,
}

impl Beginnings {
    /// What began and should not have.
    pub fn look(&mut self, disk: &Disk, policy: &MaintenancePolicy) -> Vec<String> {
        let content = disk.lock();
        let mut broken = Vec::new();
        for (place, stored) in content.log.iter().enumerate().skip(self.read) {
            let begins = match &stored.event.kind {
                EventKind::Created(spec) => spec.pending.is_none(),
                EventKind::TaskStateChanged { from: TaskState::Pending, to: TaskState::Running, .. } => true,
                _ => false,
            };
            if begins {
                broken.extend(wrong(&content, place, stored, policy));
            }
        }
        self.read = content.log.len();
        broken
    }
}

fn wrong(content: &Content, place: usize, begun: &StoredEvent, policy: &MaintenancePolicy) -> Vec<String> {
    let (task, at) = (begun.task, begun.event.at);
    // As it was behind this event.
    let events = content.tasks[&task].events.iter().filter(|event| event.seq <= begun.seq).map(|event| &event.event);
    let known = Task::fold(events).unwrap();
    let starts = obsteward::operations::definition::Definition::of_task(&known).unwrap().only_starts();
    let mut broken = Vec::new();
    if let Err(closed) = policy.admits(at, starts) {
        broken.push(format!("10: task {task} began at {at}, outside every window: {closed:?}"));
    }
    if known.spec.pending.as_ref().is_some_and(|pending| pending.not_before.is_some_and(|not_before| at < not_before)) {
        broken.push(format!("10: task {task} began at {at}, before its moment"));
    }
    // What begins at once may be recorded late by a slow store: it does nothing then that cannot be undone.
    if known.spec.pending.is_some() && at >= known.expire_time {
        broken.push(format!("10: task {task} began at {at}, behind its expire_time"));
    }
    let frozen = content.freezes.iter().rfind(|(since, _)| *since <= place).is_some_and(|(_, on)| *on);
    if frozen {
        broken.push(format!("10: task {task} began while changes were frozen"));
    }
    if policy.wants_approval(&known.spec.accepted_risks, starts) {
        match known.approval_at(at) {
            None => broken.push(format!("10: task {task} began without an approval")),
            Some(approval) if approval.by == known.spec.creator => {
                broken.push(format!("10: task {task} began with the approval of {}, who asked for it", approval.by));
            }
            Some(_) => {}
        }
    }
    broken
}

impl World {
    /// The first task that has not begun.
    pub fn pending(&self) -> Option<StoredTask> {
        let content = self.disk.lock();
        let first = content.tasks.values().find(|stored| stored.task.state.phase() == Phase::Pending);
        first.map(|stored| StoredTask { task: stored.task.clone(), seq: stored.seq(), progress: Vec::new() })
    }

    /// Sends it on its way.
    pub fn second(&mut self, what: Second) {
        match what {
            Second::Freeze => self.say(FreezeChanges(None)),
            Second::Thaw => self.say(ThawChanges(None)),
            Second::Approve | Second::ApproveOwn | Second::Withdraw | Second::Cancel => {
                let Some(found) = self.pending() else { return };
                let task = found.task.spec.id;
                match what {
                    Second::Withdraw => self.send(WithdrawApproval { task, if_revision: None }, found),
                    Second::Cancel => self.send(CancelTask { task, if_revision: None }, found),
                    Second::ApproveOwn => self.approve("anna", found),
                    Second::Approve | Second::Freeze | Second::Thaw => self.approve(SECOND, found),
                }
            }
        }
    }

    fn say<C>(&mut self, call: C)
    where
        C: ServiceCall + std::fmt::Debug,
        C::Subject: obsteward::service::CallSubject<Found = ()>,
    {
        let Some(running) = self.asked() else { return };
        let (service, story) = (running.service.clone(), self.story.clone());
        story.tell(format!("says {call:?}"));
        self.replicas[self.at].requests.push(tokio::spawn(async move {
            let answer = call.run(&service, &caller(SECOND), ()).await;
            story.tell(format!("is answered {:?}", answer.map(drop)));
        }));
    }

    /// As its plan is shown.
    fn approve(&mut self, who: &'static str, found: StoredTask) {
        let Some(running) = self.asked() else { return };
        let (service, story) = (running.service.clone(), self.story.clone());
        let task = found.task.spec.id;
        self.replicas[self.at].requests.push(tokio::spawn(async move {
            let shown = PlanTask(task).run(&service, &caller(who), found.clone()).await;
            let approved = match shown {
                Ok(shown) => {
                    let call = ApproveTask { task, plan: shown.digest, if_revision: None };
                    call.run(&service, &caller(who), found).await
                }
                Err(refusal) => Err(refusal),
            };
            assert!(approved.is_err() || who == SECOND, "{who} has approved their own task {task}");
            story.tell(format!("{who} approves task {task}: {:?}", approved.map(|stored| stored.task.state)));
        }));
    }

    /// Asks for an approval by its digest, and waits for the answer.
    pub async fn approve_and_wait(&self, who: &str, task: TaskId, plan: &PlanDigest) -> Result<StoredTask, Refusal> {
        let found = self.stored(task);
        let call = ApproveTask { task, plan: plan.clone(), if_revision: None };
        call.run(&self.asked().unwrap().service, &caller(who), found).await
    }

    /// The digest of its plan now.
    pub async fn plan_digest(&self, task: TaskId) -> PlanDigest {
        let running = self.asked().unwrap();
        PlanTask(task).run(&running.service, &caller(SECOND), self.stored(task)).await.unwrap().digest
    }

    pub fn stored(&self, task: TaskId) -> StoredTask {
        let content = self.disk.lock();
        let stored = &content.tasks[&task];
        StoredTask { task: stored.task.clone(), seq: stored.seq(), progress: Vec::new() }
    }

    /// Somebody agrees with everything that waits, until nothing does; what is broken when something waits for ever.
    pub async fn let_all_begin(&mut self) -> Vec<String> {
        // A moment that one replica named by its clock comes for the others later by as much as that was set forward.
        let mut left = LONGEST_WAIT + self.witness.evidence().clock_ahead;
        while let Some(found) = self.pending() {
            self.turn();
            if self.disk.lock().is_frozen() {
                self.second(Second::Thaw);
            } else if found.task.wants_approval() && found.task.approval_at(self.clock().now()).is_none() {
                self.second(Second::Approve);
            }
            let step = Duration::from_secs(20);
            self.pass(step).await;
            self.notice();
            if !self.rests_with_help(LONGEST_WAIT).await || matches!(self.phase(), Some((_, Phase::AtRest))) {
                return Vec::new();
            }
            left = left.saturating_sub(step);
            if left.is_zero() {
                return vec![format!("8: task {} never begins, although nothing is in its way", found.task.spec.id)];
            }
        }
        Vec::new()
    }
}

/// The policy of a world in which everything may begin.
pub fn free() -> Arc<MaintenancePolicy> {
    Arc::default()
}

/// A moment of a world.
pub fn moment(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}
