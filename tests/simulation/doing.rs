//! What is done in a world, step by step, as a walk says.

use std::time::Duration;

use obsteward::domain::event::Verb;
use obsteward::domain::graph::TaskTarget;
use obsteward::engine::Failpoints;
use obsteward::store::StoredTask;

use crate::computer::LedgerWrites;
use crate::data_centre::Way;
use crate::life::{Crash, Point};
use crate::replica::Whom;
use crate::walk::{Action, AgentAction, Step};
use crate::world::World;

/// Every so many steps everything is checked, and at the end of an operation.
const WHOLE_CHECK_EVERY: usize = 10;
/// How long a service lives that dies at its start.
const LOOP: Duration = Duration::from_millis(500);
/// How long an action that waits for commits waits for them.
const COMMITS: Duration = Duration::from_secs(10);
/// How long a task may take to come to rest once everything is mended.
const LONGEST_MOVE: Duration = Duration::from_secs(3 * 3600);

impl World {
    /// Does one step; what is broken behind it.
    pub async fn step(&mut self, step: &Step) -> Vec<String> {
        if !step.after.is_zero() {
            self.pass(step.after).await;
        }
        self.notice();
        self.revive(false).await;
        if !self.is_up() {
            // Somebody starts it again, sooner or later.
            let later = Duration::from_millis(self.dice.below(3000));
            self.pass(later).await;
            self.start_service(None, Failpoints::default()).await;
        }
        let mut broken = self.act(&step.action).await;
        self.notice();
        self.steps += 1;
        let whole = matches!(step.action, Action::Finish) || self.steps.is_multiple_of(WHOLE_CHECK_EVERY);
        broken.extend(self.check(whole));
        broken
    }

    async fn act(&mut self, action: &Action) -> Vec<String> {
        if !matches!(action, Action::Ask(_) | Action::Verb(_) | Action::Behind(..)) {
            self.story.tell(format!("-- {action:?}"));
        }
        let driver = self.target(Whom::Driver);
        match action {
            Action::Ask(ask) => {
                self.turn();
                _ = self.ask(ask);
            }
            Action::Verb(verb) => {
                self.turn();
                self.ask_verb(*verb);
            }
            Action::Second(second) => {
                self.turn();
                self.second(*second);
            }
            Action::Behind(commits, action) => {
                let mut written = self.disk.lock().commits();
                let enough = *written.borrow() + commits;
                if self.is_up() {
                    let wait = tokio::time::timeout(COMMITS, written.wait_for(|count| *count >= enough));
                    _ = self.while_up(wait).await;
                }
                self.notice();
                return Box::pin(self.act(action)).await;
            }
            Action::Rest(within) => _ = self.rests(*within).await,
            Action::Kill => self.kill(driver),
            Action::KillAt(crash) => {
                if let Some(running) = self.replicas[driver].up() {
                    running.life.plan(Some(*crash));
                }
            }
            Action::Terminate => self.end(driver).await,
            Action::CrashLoop(times) => {
                self.kill(driver);
                for _ in 0..*times {
                    let crash = Crash { at: Point::AfterCommit, left: 1 };
                    self.start(driver, Some(crash), Failpoints::default()).await;
                    self.pass(LOOP).await;
                    self.kill(driver);
                }
            }
            Action::LoseEffect(loss) => {
                if let Some(running) = self.replicas[driver].up() {
                    running.life.plan_loss(Some(*loss));
                }
            }
            Action::Replica(whom, trouble) => self.trouble(self.target(*whom), trouble).await,
            Action::FreezeAt(freeze) => self.freeze_plan.set(Some(*freeze)),
            Action::RestartDatabase(takes) => {
                self.sends.count("database restarts");
                self.database.restart(*takes);
            }
            Action::Fault(fault) => _ = self.cluster.inject(fault.clone()),
            Action::ClearFaults => self.cluster.clear(None),
            Action::ThirdParty(sql) => self.cluster.third_party(sql),
            Action::FailOver => self.cluster.fail_over(),
            Action::CutSessions => self.cluster.cut_sessions(),
            Action::KillObserver(server) => self.host(*server).kill_observer(self.address(*server)),
            Action::StartObserver(server) => self.host(*server).start_observer(self.address(*server)),
            Action::FreezeObserver(server, time) => {
                let (computer, address, time) = (self.host(*server).computer.clone(), self.address(*server), *time);
                computer.freeze(address);
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    computer.thaw(address);
                });
            }
            Action::RebootHost(server, takes) => self.host(*server).reboot(*takes),
            Action::Client(server, stays) => self.client(*server, *stays),
            Action::JumpClock(millis) => self.jump_clock(driver, millis * 1000),
            Action::Agent(server, action) => self.agent(*server, action),
            Action::Watch { from_the_beginning } => self.watch(*from_the_beginning),
            Action::Unwatch => self.unwatch(),
            Action::Resume => self.resume_watchers(),
            Action::Finish => return self.finish().await,
        }
        Vec::new()
    }

    fn agent(&self, server: i64, action: &AgentAction) {
        let host = self.host(server);
        match action {
            AgentAction::Refuses => host.change_network(|network| network.way = Way::Refused),
            AgentAction::Silent => host.change_network(|network| network.way = Way::Silent),
            AgentAction::Back => {
                host.change_network(|network| network.way = Way::Open);
                if host.agent().is_none() {
                    host.start_agent();
                }
            }
            AgentAction::Slow(takes) => host.computer.lock().agent_takes = *takes,
            AgentAction::Restarts => host.start_agent(),
            AgentAction::Ends => host.end_agent(),
            AgentAction::IsBackedUp => host.back_up_ledger(),
            AgentAction::IsRestored => host.restore_ledger(),
            AgentAction::LosesAnswers(count) => host.change_network(|network| network.lost_answers = *count),
            AgentAction::DiskIsFull => host.computer.lock().ledger_writes = LedgerWrites::Wait,
            AgentAction::DiskFails => host.computer.lock().ledger_writes = LedgerWrites::Fail,
            AgentAction::DiskIsWell => host.computer.lock().ledger_writes = LedgerWrites::Succeed,
            AgentAction::Doubts(doubts) => {
                host.computer.change_observer(self.address(server), |observer| observer.in_doubt = *doubts);
            }
        }
    }

    /// What people do when all is over: the cluster, its hosts and the service are well again.
    pub async fn mend(&mut self) {
        self.cluster.clear(None);
        for server in self.servers() {
            for action in [
                AgentAction::Back,
                AgentAction::Slow(Duration::ZERO),
                AgentAction::LosesAnswers(0),
                AgentAction::DiskIsWell,
                AgentAction::Doubts(false),
            ] {
                self.agent(server, &action);
            }
            self.host(server).computer.thaw(self.address(server));
        }
        for zone in 1..=3 {
            // What obsteward has stopped stays so, or somebody starts it all the same.
            let ours = self.is_zone_stopped_by_us(zone) || self.is_operated(zone);
            if !ours || self.dice.once_in(2) {
                self.cluster.third_party(&format!("ALTER SYSTEM START ZONE zone{zone}"));
            }
        }
        self.mend_replicas().await;
        // Hosts boot, and what was frozen goes on.
        let boots = Duration::from_secs(31);
        self.until(boots, |world| world.data_centre.hosts().iter().all(|host| host.agent().is_some())).await;
        let busy = self.open_task();
        let busy = |addr| busy.as_ref().is_some_and(|open| open.task.spec.servers.iter().any(|one| one.addr == addr));
        for server in self.servers() {
            let address = self.address(server);
            if busy(address) || self.is_stopped_by_us(server) {
                continue;
            }
            if self.host(server).computer.process(address).is_none() {
                self.host(server).start_observer(address);
            }
        }
        let ours: Vec<i64> =
            self.servers().filter(|server| busy(self.address(*server)) || self.is_stopped_by_us(*server)).collect();
        self.until(Duration::from_secs(20), |world| world.is_well_but_for(&ours)).await;
        for server in self.servers().filter(|server| !ours.contains(server)) {
            let address = self.address(server);
            self.cluster.third_party(&format!("ALTER SYSTEM START SERVER '{address}'"));
        }
        self.pass(Duration::from_secs(1)).await;
    }

    /// Whether the open task acts on this zone as a whole.
    fn is_operated(&self, zone: i64) -> bool {
        let zone = format!("zone{zone}");
        let target = self.open_task().map(|open| open.task.spec.target.clone());
        matches!(target, Some(TaskTarget::Zone(name)) if name.as_str() == zone)
    }

    /// Mends everything, and brings what is open to its end: by retries, then by a rollback, then by giving up.
    pub async fn finish(&mut self) -> Vec<String> {
        self.mend().await;
        let mut broken = Vec::new();
        // What begins now may have to be brought to an end too.
        while broken.is_empty() {
            broken.extend(self.ends_open_task().await);
            if self.pending().is_none() {
                break;
            }
            broken.extend(self.let_all_begin().await);
        }
        if self.is_shared() {
            // Wherever they were, they go on at another replica.
            self.unwatch();
        }
        self.resume_watchers();
        self.pass(Duration::from_secs(1)).await;
        broken.extend(self.watchers_left_behind());
        broken
    }

    /// A replica whose clock was set forward puts a horizon far ahead for the others: whoever asks them is told until when, and waits.
    async fn outwait_horizons(&mut self) {
        let last = |open: StoredTask| open.task.intents.iter().map(|intent| intent.intent.horizon).max();
        if let Some(until) = self.open_task().and_then(last) {
            let ahead = until.since(self.clock().now());
            self.pass(ahead).await;
        }
    }

    /// By asking for what helps; what is broken when nothing does.
    async fn ends_open_task(&mut self) -> Vec<String> {
        let verbs =
            [Verb::Retry, Verb::Retry, Verb::Rollback, Verb::Rollback, Verb::GiveUp, Verb::GiveUp, Verb::GiveUp];
        for verb in verbs {
            if !self.rests_with_help(LONGEST_MOVE).await {
                let moving = self.open_task().map(|open| open.task.spec.id.get()).unwrap_or_default();
                return vec![format!("8: task {moving} still moves {} s after all was mended", LONGEST_MOVE.as_secs())];
            }
            match self.phase() {
                None => return Vec::new(),
                Some(_) => {
                    self.turn();
                    if matches!(verb, Verb::GiveUp) {
                        self.outwait_horizons().await;
                    }
                    self.ask_verb(verb);
                    self.until(Duration::from_secs(20), World::has_answered).await;
                }
            }
        }
        self.rests_with_help(LONGEST_MOVE).await;
        self.phase().map(|(task, _)| format!("8: task {task} could be brought to no end")).into_iter().collect()
    }
}
