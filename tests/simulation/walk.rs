//! The walk through a world: what is done in it, and when, drawn from the seed before it begins, so that a walk can be
//! repeated exactly and with some of its steps left out.

use std::time::Duration;

use obsteward::domain::event::{Phase, Verb};
use obsteward::domain::graph::TaskTarget;
use obsteward::domain::status::Risk;
use obsteward::engine::Failpoints;
use obsteward::sim::{Fault, FaultKind};

use crate::asking::{Ask, RolloutAsk};
use crate::computer::LedgerWrites;
use crate::data_centre::Way;
use crate::life::{Crash, Dice, Loss, LostEffect, Point};
use crate::promises::scenario::Operation;
use crate::world::{World, WorldOptions};

/// A step of a walk: after so long, this is done.
#[derive(Clone, Debug)]
pub struct Step {
    pub after: Duration,
    pub action: Action,
}

#[derive(Clone, Debug)]
pub enum Action {
    Ask(Ask),
    Verb(Verb),
    /// Does this once so many more commits were written.
    Behind(usize, Box<Action>),
    /// Waits until the task rests, at most so long.
    Rest(Duration),
    /// The service gets SIGKILL.
    Kill,
    /// The service is going to get it there.
    KillAt(Crash),
    /// The service gets SIGTERM.
    Terminate,
    /// It gets SIGKILL, and so many times dies behind its first commit when it is started again.
    CrashLoop(u32),
    LoseEffect(Loss),
    Fault(Fault),
    ClearFaults,
    /// Somebody runs this in the cluster.
    ThirdParty(String),
    FailOver,
    CutSessions,
    /// Somebody ends an observer.
    KillObserver(i64),
    StartObserver(i64),
    /// Its process does nothing for so long.
    FreezeObserver(i64, Duration),
    RebootHost(i64, Duration),
    /// The service's clock, in milliseconds.
    JumpClock(i64),
    /// A client comes to a server and stays so long.
    Client(i64, Duration),
    Agent(i64, AgentAction),
    Watch {
        from_the_beginning: bool,
    },
    Unwatch,
    Resume,
    /// Everything is mended, and what is open is brought to its end.
    Finish,
}

#[derive(Clone, Debug)]
pub enum AgentAction {
    Refuses,
    Silent,
    Back,
    Slow(Duration),
    Restarts,
    Ends,
    LosesAnswers(u32),
    /// Somebody makes a backup of what it keeps on disk.
    IsBackedUp,
    /// Its disk is restored from the last backup.
    IsRestored,
    DiskIsFull,
    DiskFails,
    DiskIsWell,
    /// It is in doubt which process is the observer.
    Doubts(bool),
}

pub struct Walk {
    pub options: WorldOptions,
    pub steps: Vec<Step>,
}

/// Tasks that a walk begins, about.
const ROUNDS: u64 = 18;
/// Every so many steps everything is checked, and at the end of an operation; in between only the logs.
const WHOLE_CHECK_EVERY: usize = 10;
/// How long a service lives that dies at its start.
const LOOP: Duration = Duration::from_millis(500);
/// How long an action that waits for commits waits for them.
const COMMITS: Duration = Duration::from_secs(10);
/// How long a task may take to come to rest once everything is mended.
const LONGEST_MOVE: Duration = Duration::from_secs(3 * 3600);

impl Walk {
    pub fn of(seed: u64) -> Self {
        let dice = Dice::new(seed ^ 0x5eed_0f0b_57e1_1a2d);
        let mut options = WorldOptions::new(seed);
        options.servers_per_zone = if dice.once_in(4) { 2 } else { 1 };
        options.arbitration = dice.once_in(2);
        options.quick = !dice.once_in(4);
        if !options.quick {
            options.timeouts.poll = Duration::from_secs(1);
        }
        if dice.once_in(2) {
            options.effect_timeout = Duration::from_secs(2);
        }
        let servers = 3 * u64::from(options.servers_per_zone);
        let mut draw = Draw { dice, is_down: false, servers, steps: Vec::new() };
        for _ in 0..ROUNDS {
            draw.round();
        }
        draw.step(Duration::ZERO, Action::Finish);
        Self { options, steps: draw.steps }
    }
}

struct Draw {
    dice: Dice,
    /// A cluster was asked to stop, and is to be started again.
    is_down: bool,
    servers: u64,
    steps: Vec<Step>,
}

impl Draw {
    fn step(&mut self, after: Duration, action: Action) {
        self.steps.push(Step { after, action });
    }

    fn server(&self) -> i64 {
        1 + i64::try_from(self.dice.below(self.servers)).unwrap()
    }

    fn millis(&self, most: u64) -> Duration {
        Duration::from_millis(self.dice.below(most))
    }

    fn soon(&self) -> Duration {
        match self.dice.below(4) {
            0 => Duration::ZERO,
            1 => self.millis(50),
            2 => self.millis(2_000),
            _ => self.millis(12_000),
        }
    }

    /// One operation, with what happens around it.
    fn round(&mut self) {
        // Most is about one server, so that operations follow each other on it.
        let server = if self.dice.once_in(3) { self.server() } else { 2 };
        for _ in 0..self.dice.below(3) {
            let fault = self.fault(server);
            self.step(Duration::ZERO, Action::Fault(fault));
        }
        if self.dice.once_in(3) {
            let crash = self.crash();
            self.step(Duration::ZERO, Action::KillAt(crash));
        }
        if self.dice.once_in(6) {
            let effect = *self.dice.one_of(&[LostEffect::Before, LostEffect::After]);
            let left = 1 + u32::try_from(self.dice.below(4)).unwrap();
            self.step(Duration::ZERO, Action::LoseEffect(Loss { effect, left }));
        }
        let ask = self.ask(server);
        if !ask.drain.is_zero() {
            for _ in 0..self.dice.below(3) {
                let stays = self.millis(60_000);
                self.step(Duration::ZERO, Action::Client(server, stays));
            }
        }
        let (operation, hold) = (ask.operation, ask.hold);
        self.is_down = match operation {
            Operation::StopCluster => true,
            Operation::StartCluster => false,
            _ => self.is_down,
        };
        if self.dice.once_in(6) {
            self.step(Duration::ZERO, Action::Ask(ask.clone()));
        }
        self.step(Duration::ZERO, Action::Ask(ask));
        if self.dice.once_in(6) {
            let action = self.behind(24, Action::Verb(Verb::Cancel));
            self.step(Duration::ZERO, action);
        }
        if !self.dice.once_in(3) {
            let from_the_beginning = self.dice.once_in(2);
            self.step(self.millis(30), Action::Watch { from_the_beginning });
        }
        self.person(operation, hold);
        for _ in 0..self.dice.below(4) {
            let action = self.disturbance(server);
            self.step(self.soon(), action);
        }
        self.step(Duration::ZERO, Action::Rest(Duration::from_secs(60)));
        for _ in 0..self.dice.below(3) {
            if self.dice.once_in(2) {
                self.step(Duration::ZERO, Action::ClearFaults);
            }
            let verb = self.verb();
            self.step(self.soon(), Action::Verb(verb));
            if self.dice.once_in(4) {
                let action = if verb == Verb::Retry { Action::CrashLoop(3) } else { Action::Verb(Verb::Cancel) };
                let action = self.behind(if verb == Verb::Retry { 4 } else { 12 }, action);
                self.step(Duration::ZERO, action);
            }
            if self.dice.once_in(2) {
                let action = self.disturbance(server);
                self.step(self.soon(), action);
            }
            self.step(self.millis(20), Action::Rest(Duration::from_secs(60)));
        }
        if !self.dice.once_in(4) {
            self.step(Duration::ZERO, Action::Finish);
        }
    }

    /// What whoever asked does meanwhile, where that is waited for: completes holds or forgets them, pauses and resumes.
    fn person(&mut self, operation: Operation, hold: Duration) {
        if operation.holds() {
            for _ in 0..1 + self.dice.below(2) {
                let action = match self.dice.below(4) {
                    0 | 1 => Action::Verb(Verb::CompleteHold),
                    2 => Action::JumpClock(i64::try_from(hold.as_millis()).unwrap() + 1000),
                    _ => self.behind(8, Action::Verb(Verb::CompleteHold)),
                };
                self.step(self.millis(40_000), action);
            }
        }
        if operation.is_rollout() {
            for _ in 0..self.dice.below(3) {
                let verb = *self.dice.one_of(&[Verb::Pause, Verb::Resume, Verb::Resume]);
                let action =
                    if self.dice.once_in(2) { self.behind(40, Action::Verb(verb)) } else { Action::Verb(verb) };
                self.step(self.millis(40_000), action);
            }
        }
    }

    fn verb(&self) -> Verb {
        *self.dice.one_of(&[
            Verb::Retry,
            Verb::Retry,
            Verb::Rollback,
            Verb::Rollback,
            Verb::SkipSubtask,
            Verb::GiveUp,
            Verb::Cancel,
        ])
    }

    fn ask(&self, server: i64) -> Ask {
        use Operation::{
            Freeze, Hold, HoldRollout, Restart, RestartCluster, RestartZone, Rollout, Start, StartCluster, StartZone,
            Stop, StopCluster, StopZone,
        };
        let dice = &self.dice;
        let operation = *match dice.below(12) {
            // Nothing else is admitted, but is asked for all the same now and then.
            _ if self.is_down && !dice.once_in(6) => &StartCluster,
            0 => dice.one_of(&[StopCluster, StopCluster, RestartCluster, StartCluster]),
            1..=8 => dice.one_of(&[Stop, Stop, Stop, Start, Start, Restart, Restart, Freeze]),
            _ => {
                dice.one_of(&[StopZone, StopZone, StartZone, StartZone, RestartZone, Hold, Hold, Rollout, HoldRollout])
            }
        };
        let risks = if dice.once_in(6) { vec![*dice.one_of(Risk::ALL)] } else { Vec::new() };
        Ask {
            hold: Duration::from_secs(10 + dice.below(*dice.one_of(&[60, 900]))),
            drain: if dice.once_in(6) { self.millis(40_000) } else { Duration::ZERO },
            rollout: RolloutAsk {
                all: dice.once_in(3),
                max_parallel: 1 + u32::try_from(dice.below(2)).unwrap(),
                min_healthy: if dice.once_in(3) { self.millis(10_000) } else { Duration::ZERO },
                stop_after: 1 + u32::try_from(dice.below(3)).unwrap(),
                pause_after: dice.once_in(3).then_some(1),
            },
            force: dice.once_in(6),
            risks,
            service_only: operation == Stop && dice.once_in(4),
            freeze: dice.once_in(2),
            consent: dice.once_in(5).then(|| Duration::from_millis(50 + dice.below(20_000))),
            request: dice.once_in(3).then(|| u128::from(dice.below(u64::MAX))),
            ..Ask::of(operation, server)
        }
    }

    fn crash(&self) -> Crash {
        let points =
            [Point::Look, Point::Permit, Point::Answer, Point::BeforeCommit, Point::AfterCommit, Point::AfterCommit];
        let at = *self.dice.one_of(&points);
        let most = match at {
            Point::Look => 60,
            Point::Permit | Point::Answer => 4,
            Point::BeforeCommit | Point::AfterCommit => 30,
        };
        Crash { at, left: 1 + u32::try_from(self.dice.below(most)).unwrap() }
    }

    fn fault(&self, server: i64) -> Fault {
        let any = self.server();
        let dice = &self.dice;
        let refused = |statement: &str, number: u16| {
            let kind = FaultKind::Refused { number, text: "refused by a fault".to_owned() };
            Fault::from(kind).for_statement(statement).times(1 + u32::try_from(dice.below(3)).unwrap())
        };
        let (stop, start) = match dice.below(3) {
            0 => ("ALTER SYSTEM STOP ZONE", "ALTER SYSTEM START ZONE"),
            _ => ("ALTER SYSTEM STOP SERVER", "ALTER SYSTEM START SERVER"),
        };
        match dice.below(30) {
            0 => FaultKind::CutBeforeMark.into(),
            1 => FaultKind::CutAfterMark.into(),
            // Never behind its horizon: the kernel's own timeouts see to that.
            2 => FaultKind::LateMark { delay_ms: dice.below(3_500) }.into(),
            3 => FaultKind::TimeoutAfterMark.into(),
            4 => FaultKind::LeaderWaitTimeout.into(),
            5 => FaultKind::RootServiceFailover { number: Some(4638), marked: dice.once_in(2) }.into(),
            6 => FaultKind::RootServiceFailover { number: None, marked: dice.once_in(2) }.into(),
            7 => Fault::from(FaultKind::Hang).for_statement(stop),
            8 => Fault::from(FaultKind::Hang).for_statement(start),
            9 => Fault::from(FaultKind::Hang).for_statement("SELECT"),
            10 => Fault::from(FaultKind::Slow { delay_ms: dice.below(3000) }).for_statement("SELECT"),
            11 => refused(stop, 4660),
            12 => refused(start, 4179),
            13 => refused("SELECT", 4012),
            14 => Fault::on(FaultKind::IgnoreSigterm, server),
            15 => Fault::on(FaultKind::ExitSlowly { delay_ms: dice.below(6000) }, server),
            16 => Fault::on(FaultKind::RestartAfterExit { delay_ms: dice.below(3000) }, server),
            17 => Fault::on(FaultKind::DiesAtStart, server),
            18 => Fault::on(FaultKind::StartsSlowly { delay_ms: dice.below(12_000) }, server),
            19 => Fault::on(FaultKind::ClientLossUnnoticed, any),
            20 => Fault::on(FaultKind::RefuseConnections, any),
            21 => Fault::on(FaultKind::LoginRefused, any),
            22 => Fault::on(FaultKind::TenantNotInServer, any),
            23 => Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, any),
            24 => Fault::on(FaultKind::WrongIdentity { cluster_name: "other".to_owned(), cluster_id: 77 }, any),
            25 => Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, server),
            26 => FaultKind::ArbitrationStuck.into(),
            27 => Fault::on(FaultKind::CheckpointStuck, server),
            28 => FaultKind::UnknownMember { address: "10.9.9.9:2882".to_owned(), tenant: None, ls: None }.into(),
            _ => Fault::from(FaultKind::Slow { delay_ms: dice.below(9000) }).for_statement("ALTER SYSTEM"),
        }
    }

    fn behind(&self, most: u64, action: Action) -> Action {
        Action::Behind(usize::try_from(self.dice.below(most)).unwrap(), Box::new(action))
    }

    fn third_party(&self, server: i64) -> Action {
        let address = format!("10.0.1.{}:2882", if self.dice.once_in(4) { self.server() } else { server });
        let zone = 1 + self.dice.below(3);
        Action::ThirdParty(match self.dice.below(7) {
            0 | 1 => format!("ALTER SYSTEM START SERVER '{address}'"),
            2 => format!("ALTER SYSTEM STOP SERVER '{address}'"),
            3 => format!("ALTER SYSTEM FORCE STOP SERVER '{address}'"),
            4 => format!("ALTER SYSTEM ISOLATE SERVER '{address}'"),
            5 => format!("ALTER SYSTEM STOP ZONE zone{zone}"),
            _ => format!("ALTER SYSTEM START ZONE zone{zone}"),
        })
    }

    fn disturbance(&self, server: i64) -> Action {
        let dice = &self.dice;
        let any = if dice.once_in(3) { self.server() } else { server };
        match dice.below(42) {
            0..=2 => Action::Kill,
            3 => Action::Terminate,
            40 => Action::CrashLoop(1 + u32::try_from(dice.below(3)).unwrap()),
            41 => self.behind(6, Action::Verb(self.verb())),
            4..=7 => Action::KillAt(self.crash()),
            8..=12 => Action::Fault(self.fault(server)),
            13 => Action::ClearFaults,
            14..=16 => self.third_party(server),
            17 => Action::FailOver,
            18 => Action::CutSessions,
            19 => Action::KillObserver(any),
            20 => Action::StartObserver(any),
            21 => Action::FreezeObserver(any, self.millis(20_000)),
            22 => Action::RebootHost(any, self.millis(30_000)),
            23 | 24 => {
                let far = [200, 5_000, 60_000, 600_000];
                let by = i64::try_from(dice.below(*dice.one_of(&far))).unwrap();
                Action::JumpClock(if dice.once_in(2) { by } else { -by })
            }
            25..=29 => Action::Agent(any, self.agent()),
            30 | 31 => Action::Unwatch,
            32 | 33 => Action::Resume,
            34 => Action::Watch { from_the_beginning: dice.once_in(2) },
            35 => Action::Verb(Verb::Cancel),
            36 | 37 => self.behind(24, Action::Verb(Verb::Cancel)),
            _ => Action::Verb(*dice.one_of(&[Verb::Retry, Verb::Rollback, Verb::SkipSubtask, Verb::GiveUp])),
        }
    }

    fn agent(&self) -> AgentAction {
        let dice = &self.dice;
        match dice.below(14) {
            12 => AgentAction::IsBackedUp,
            13 => AgentAction::IsRestored,
            0 => AgentAction::Refuses,
            1 => AgentAction::Silent,
            2 | 3 => AgentAction::Back,
            4 => AgentAction::Slow(self.millis(8_000)),
            5 => AgentAction::Restarts,
            6 => AgentAction::Ends,
            7 | 8 => AgentAction::LosesAnswers(1 + u32::try_from(dice.below(3)).unwrap()),
            9 => AgentAction::DiskIsFull,
            10 => AgentAction::DiskFails,
            _ => AgentAction::Doubts(dice.once_in(2)),
        }
    }
}

impl World {
    /// Does one step; what is broken behind it.
    pub async fn step(&mut self, step: &Step) -> Vec<String> {
        if !step.after.is_zero() {
            self.pass(step.after).await;
        }
        self.notice();
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
        match action {
            Action::Ask(ask) => _ = self.ask(ask),
            Action::Verb(verb) => self.ask_verb(*verb),
            Action::Behind(commits, action) => {
                let mut written = self.disk.lock().commits();
                let enough = *written.borrow() + commits;
                if let Some(running) = &self.running {
                    let wait = tokio::time::timeout(COMMITS, written.wait_for(|count| *count >= enough));
                    running.life.while_it_lasts(wait).await;
                }
                self.notice();
                return Box::pin(self.act(action)).await;
            }
            Action::Rest(within) => _ = self.rests(*within).await,
            Action::Kill => self.kill_service(),
            Action::KillAt(crash) => self.plan(*crash),
            Action::Terminate => self.end_service().await,
            Action::CrashLoop(times) => {
                self.kill_service();
                for _ in 0..*times {
                    self.start_service(Some(Crash { at: Point::AfterCommit, left: 1 }), Failpoints::default()).await;
                    self.pass(LOOP).await;
                    self.kill_service();
                }
            }
            Action::LoseEffect(loss) => {
                if let Some(running) = &self.running {
                    running.life.plan_loss(Some(*loss));
                }
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
            Action::JumpClock(millis) => self.jump_clock(millis * 1000),
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
        if let Some(running) = &self.running {
            running.life.plan(None);
            running.life.plan_loss(None);
        }
        self.start_service(None, Failpoints::default()).await;
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
        let verbs =
            [Verb::Retry, Verb::Retry, Verb::Rollback, Verb::Rollback, Verb::GiveUp, Verb::GiveUp, Verb::GiveUp];
        for verb in verbs {
            if !self.rests_with_help(LONGEST_MOVE).await {
                let moving = self.open_task().map(|open| open.task.spec.id.get()).unwrap_or_default();
                broken.push(format!("8: task {moving} still moves {} s after all was mended", LONGEST_MOVE.as_secs()));
                return broken;
            }
            match self.phase() {
                None => break,
                Some(_) => {
                    self.ask_verb(verb);
                    self.until(Duration::from_secs(20), World::has_answered).await;
                }
            }
        }
        self.rests_with_help(LONGEST_MOVE).await;
        if let Some((task, Phase::Moving | Phase::AtRest)) = self.phase() {
            broken.push(format!("8: task {task} could be brought to no end"));
        }
        self.resume_watchers();
        self.pass(Duration::from_secs(1)).await;
        broken.extend(self.watchers_left_behind());
        broken
    }
}
