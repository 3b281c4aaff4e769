//! The walk through a world: what is done in it, and when, drawn from the seed before it begins, so that a walk can be
//! repeated exactly and with some of its steps left out. `doing.rs` does it.

use std::sync::Arc;
use std::time::Duration;

use obsteward::domain::event::Verb;
use obsteward::domain::status::Risk;
use obsteward::sim::{Fault, FaultKind};

use crate::asking::{Ask, RolloutAsk};
use crate::beginnings::{Second, policy};
use crate::life::{Crash, Dice, Freeze, Loss, LostEffect, Point};
use crate::promises::scenario::Operation;
use crate::replica::Whom;
use crate::replica_trouble::Trouble;
use crate::world::WorldOptions;

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
    /// Somebody approves, freezes changes and the like.
    Second(Second),
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
    /// Of several replicas.
    Replica(Whom, Trouble),
    /// Whichever replica gets there does nothing from then on for a while.
    FreezeAt(Freeze),
    /// The shared database restarts, and serves again after so long.
    RestartDatabase(Duration),
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

impl Walk {
    /// `most_replicas`: 1 is one service over its own store, of more several share one.
    pub fn of(seed: u64, most_replicas: u64) -> Self {
        let dice = Dice::new(seed ^ 0x5eed_0f0b_57e1_1a2d);
        let mut options = WorldOptions::new(seed);
        if most_replicas > 1 {
            options.replicas = 2 + usize::try_from(dice.below(most_replicas - 1)).unwrap();
        }
        options.servers_per_zone = if dice.once_in(4) { 2 } else { 1 };
        options.arbitration = dice.once_in(2);
        options.quick = !dice.once_in(4);
        if !options.quick {
            options.timeouts.poll = Duration::from_secs(1);
        }
        if dice.once_in(2) {
            options.effect_timeout = Duration::from_secs(2);
        }
        let governed = dice.once_in(3);
        if governed {
            options.policy = Arc::new(policy(&dice));
        }
        let servers = 3 * u64::from(options.servers_per_zone);
        let shared = options.replicas > 1;
        let mut draw = Draw { dice, is_down: false, servers, shared, governed, steps: Vec::new() };
        for _ in 0..ROUNDS {
            draw.round();
        }
        draw.step(Duration::ZERO, Action::Finish);
        Self { options, steps: draw.steps }
    }
}

pub struct Draw {
    pub dice: Dice,
    /// Several replicas share the store.
    pub shared: bool,
    /// Not everything may begin at any time.
    governed: bool,
    /// A cluster was asked to stop, and is to be started again.
    is_down: bool,
    servers: u64,
    steps: Vec<Step>,
}

impl Draw {
    pub fn step(&mut self, after: Duration, action: Action) {
        self.steps.push(Step { after, action });
    }

    fn server(&self) -> i64 {
        1 + i64::try_from(self.dice.below(self.servers)).unwrap()
    }

    pub fn millis(&self, most: u64) -> Duration {
        Duration::from_millis(self.dice.below(most))
    }

    pub fn soon(&self) -> Duration {
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
        let frozen = self.freezes();
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
        if self.governed {
            for _ in 0..self.dice.below(4) {
                let action = self.second();
                self.step(self.soon(), action);
            }
        }
        self.person(operation, hold);
        self.behind_a_freeze(frozen);
        self.replicas();
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
            self.replicas();
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

    fn second(&self) -> Action {
        let second = *self.dice.one_of(&[
            Second::Approve,
            Second::Approve,
            Second::Approve,
            Second::ApproveOwn,
            Second::Withdraw,
            Second::Cancel,
            Second::Freeze,
            Second::Thaw,
        ]);
        match self.dice.below(4) {
            0 => self.behind(12, Action::Second(second)),
            // Into the next window.
            1 => Action::JumpClock(i64::try_from(self.dice.below(3_600_000)).unwrap()),
            _ => Action::Second(second),
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
            queue: self.governed && !dice.once_in(4),
            later: (self.governed && dice.once_in(6)).then(|| Duration::from_secs(dice.below(1200))),
            request: dice.once_in(3).then(|| u128::from(dice.below(u64::MAX))),
            ..Ask::of(operation, server)
        }
    }

    pub fn crash(&self) -> Crash {
        let points =
            [Point::Look, Point::Permit, Point::Answer, Point::BeforeCommit, Point::AfterCommit, Point::AfterCommit];
        let at = *self.dice.one_of(&points);
        let most = match at {
            Point::Look => 60,
            Point::Lock | Point::Permit | Point::Answer => 4,
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
