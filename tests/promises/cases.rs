//! The cases of the harness: an operation, forward or undone, and the one thing that goes wrong. Told apart from how a stage is
//! made of processes (`tests/it/faults`) or of values (`tests/simulation`), and judged alike on both.

use std::fmt;

use obsteward::proto::v1;

use super::cluster_faults::{self, FaultCase};
use super::scenario::{COURSES, Operation, Scenario};

/// How often a task that rests is asked to go on once the fault is over.
pub const MOST_TRIES: usize = 4;

#[derive(Clone, Debug)]
pub enum Injection {
    None,
    /// Every step is executed twice.
    Twice,
    /// The nth effect is not sent, and nobody knows.
    LostBefore(usize),
    /// The nth effect is sent, and its answer is lost.
    LostAfter(usize),
    /// SIGKILL between the nth intent and its effect.
    KilledAtPermit(usize),
    KilledBeforeCommit(usize),
    KilledAfterCommit(usize),
    Fault(FaultCase),
}

#[derive(Clone, Debug)]
pub struct Case {
    pub scenario: Scenario,
    pub injection: Injection,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, injection } = self;
        match injection {
            Injection::Fault(fault) => write!(formatter, "{scenario}, {fault}"),
            other => write!(formatter, "{scenario}, {other:?}"),
        }
    }
}

/// What came of a case.
#[derive(Debug)]
pub struct Outcome {
    pub case: Case,
    /// Effects that were tried, and commits that were made, from the request on.
    pub effects: usize,
    pub commits: usize,
    pub violations: Vec<String>,
}

impl Case {
    pub const fn new(scenario: Scenario, injection: Injection) -> Self {
        Self { scenario, injection }
    }

    /// A good run of each scenario of these operations, whose name holds `only`; it tells how many commits, permits and effects
    /// there are.
    pub fn good(operations: &[Operation], only: &str) -> Vec<Self> {
        let scenarios = operations
            .iter()
            .flat_map(|operation| COURSES.iter().map(|direction| Scenario::new(*operation, *direction)))
            .filter(|scenario| scenario.to_string().contains(only));
        scenarios.map(|scenario| Self::new(scenario, Injection::None)).collect()
    }

    /// Whether somebody else changes the server, so that how it ends is not the task's alone.
    pub const fn interferes(&self) -> bool {
        matches!(&self.injection, Injection::Fault(FaultCase { interferes: true, .. }))
    }

    pub const fn kills(&self) -> bool {
        matches!(
            self.injection,
            Injection::KilledAtPermit(_) | Injection::KilledBeforeCommit(_) | Injection::KilledAfterCommit(_)
        )
    }

    /// What is wrong, with what is broken of the promises, the task as it is in the end after so many tries, and whether the
    /// server serves.
    pub fn violations(
        &self,
        mut violations: Vec<String>,
        task: &v1::Task,
        tries: usize,
        serves: Result<bool, String>,
    ) -> Vec<String> {
        let good = task.state() == self.scenario.good_end();
        let refused = task.state() == v1::TaskState::Refused;
        let fault = matches!(self.injection, Injection::Fault(_));
        let given_up = task.state() == v1::TaskState::GivenUp;
        if !(good || fault && refused || self.interferes() && given_up) {
            violations.push(format!(
                "the task ended {} after {tries} tries: {:?}",
                task.state().as_str_name(),
                task.error
            ));
        }
        if !fault && tries > 0 {
            violations.push("the task came to rest".to_owned());
        }
        if !self.interferes() {
            match serves {
                Ok(serves) if serves == self.scenario.serves_after(task.state()) => {}
                Ok(serves) => {
                    violations.push(format!("{} and the server serves: {serves}", task.state().as_str_name()))
                }
                Err(words) => violations.push(format!("the server is in between: {words}")),
            }
        }
        violations.into_iter().map(|violation| format!("{self}: {violation}")).collect()
    }
}

/// Every case but the good ones, by what good runs have shown.
pub struct Cases {
    /// Steps executed twice, and effects lost.
    pub effects: Vec<Case>,
    /// In pairs: before a commit and after it.
    pub kills: Vec<Case>,
    pub faults: Vec<Case>,
}

impl Cases {
    pub fn of(good: &[Outcome]) -> Self {
        let (mut effects, mut kills, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for outcome in good {
            let case = |injection| Case::new(outcome.case.scenario, injection);
            effects.push(case(Injection::Twice));
            for n in 1..=outcome.effects {
                effects.push(case(Injection::LostBefore(n)));
                effects.push(case(Injection::LostAfter(n)));
                effects.push(case(Injection::KilledAtPermit(n)));
            }
            for n in 1..=outcome.commits {
                kills.push(case(Injection::KilledBeforeCommit(n)));
                kills.push(case(Injection::KilledAfterCommit(n)));
            }
            let all = cluster_faults::of(outcome.case.scenario).into_iter();
            faults.extend(all.map(|fault| case(Injection::Fault(fault))));
        }
        Self { effects, kills, faults }
    }
}
