//! What happens to replicas of a shared store, and to their way to its database.

use std::time::Duration;

use obsteward::domain::event::Verb;

use crate::life::{Freeze, Point};
use crate::replica::Whom;
use crate::walk::{Action, Draw};
use crate::world::World;

/// What happens to one replica.
#[derive(Clone, Debug)]
pub enum Trouble {
    Kill,
    Terminate,
    /// It does nothing for so long.
    Freeze(Duration),
    /// Nothing comes from or to the database for so long.
    CutOff(Duration),
    /// So many answers of the database do not come.
    LoseAnswers(u32),
    /// Its wall clock, in milliseconds.
    JumpClock(i64),
}

impl Draw {
    /// What happens to replicas in a round, if there are several.
    pub fn replicas(&mut self) {
        if !self.shared {
            return;
        }
        for _ in 0..self.dice.below(4) {
            let action = match self.dice.below(10) {
                0 => Action::RestartDatabase(self.silence()),
                1 => Action::Unwatch,
                2 => Action::Resume,
                _ => {
                    let driver = !self.dice.once_in(3);
                    let whom = if driver { Whom::Driver } else { Whom::Any(self.dice.below(8)) };
                    Action::Replica(whom, self.trouble())
                }
            };
            let after = self.soon();
            self.step(after, action);
        }
    }

    /// Whether whoever drives what is asked next is going to freeze at a bad moment.
    pub fn freezes(&mut self) -> bool {
        let freezes = self.shared && self.dice.once_in(2);
        if freezes {
            let points = [Point::Permit, Point::Permit, Point::Lock, Point::Lock, Point::Look, Point::Answer];
            let stores = [Point::BeforeCommit, Point::AfterCommit];
            let at = *self.dice.one_of(if self.dice.once_in(4) { &stores[..] } else { &points });
            let most = match at {
                Point::Look => 60,
                Point::Lock | Point::Permit | Point::Answer => 3,
                Point::BeforeCommit | Point::AfterCommit => 30,
            };
            let left = 1 + u32::try_from(self.dice.below(most)).unwrap();
            let freeze = Freeze { at, left, lasts: self.silence() };
            self.step(Duration::ZERO, Action::FreezeAt(freeze));
        }
        freezes
    }

    /// Meanwhile another replica takes over, and somebody wants the task undone or done again.
    pub fn behind_a_freeze(&mut self, frozen: bool) {
        if frozen && self.dice.once_in(2) {
            for _ in 0..1 + self.dice.below(2) {
                let after = Duration::from_secs(8) + self.millis(20_000);
                let verb = *self.dice.one_of(&[Verb::Cancel, Verb::Cancel, Verb::Rollback, Verb::Retry, Verb::GiveUp]);
                self.step(after, Action::Verb(verb));
            }
        }
    }

    fn trouble(&self) -> Trouble {
        let dice = &self.dice;
        match dice.below(10) {
            0 | 1 => Trouble::Kill,
            2 => Trouble::Terminate,
            3 | 4 => Trouble::Freeze(self.silence()),
            5 | 6 => Trouble::CutOff(self.silence()),
            7 | 8 => Trouble::LoseAnswers(1 + u32::try_from(dice.below(4)).unwrap()),
            _ => {
                let by = i64::try_from(dice.below(*dice.one_of(&[5_000, 60_000, 600_000]))).unwrap();
                Trouble::JumpClock(if dice.once_in(2) { by } else { -by })
            }
        }
    }

    /// Shorter than a lease, or longer; now and then longer than anything that was begun.
    fn silence(&self) -> Duration {
        match self.dice.below(4) {
            0 => self.millis(9_000),
            1 | 2 => Duration::from_secs(9) + self.millis(12_000),
            _ => Duration::from_secs(20) + self.millis(90_000),
        }
    }
}

impl World {
    pub async fn trouble(&mut self, at: usize, trouble: &Trouble) {
        match trouble {
            Trouble::Kill => self.kill(at),
            Trouble::Terminate => self.end(at).await,
            Trouble::Freeze(lasts) => {
                if let Some(running) = self.replicas[at].up() {
                    running.life.freeze(*lasts);
                }
            }
            Trouble::CutOff(time) => {
                self.sends.count("cut off");
                self.replicas[at].link.cut(*time);
            }
            Trouble::LoseAnswers(count) => {
                self.sends.count("answers lost");
                self.replicas[at].link.lose_answers(*count);
            }
            Trouble::JumpClock(millis) => {
                self.sends.count("clock jumps");
                self.jump_clock(at, millis * 1000);
            }
        }
    }
}
