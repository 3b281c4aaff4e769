//! Failpoints: places at which a test makes a run go wrong. A process takes them from its environment, under
//! `debug_assertions` only; a test of the engine sets them as a value. In a release build nobody asks for any.
//!
//! | variable | what happens |
//! |---|---|
//! | `OBSTEWARD_CRASH_AT_PERMIT=n` | the process ends at the nth permit, between an intent and its effect |
//! | `OBSTEWARD_FREEZE_AT_EFFECT=n` | the process stops itself (SIGSTOP) between the last look at its lease and the nth effect |
//! | `OBSTEWARD_LOSE_EFFECT_BEFORE=n` | the nth effect is not sent, and its outcome is not known |
//! | `OBSTEWARD_LOSE_EFFECT_AFTER=n` | the nth effect is sent, and its answer is lost |
//! | `OBSTEWARD_FAIL_STEP=name` | the first look of the step of this name fails; `undo name`: of its undo |
//! | `OBSTEWARD_STEPS_TWICE=1` | every step is executed a second time, from its first look, before its end is committed |

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::domain::event::Direction;

/// How an effect is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LostEffect {
    Before,
    /// It is sent, but its answer is dropped.
    After,
}

/// What is to go wrong; by default nothing is. Counts are from 1.
#[derive(Debug, Default)]
pub struct Failpoints {
    /// The process ends at this permit. Under `debug_assertions` only.
    pub crash_at_permit: Option<u64>,
    /// The process stops itself directly before this effect. Under `debug_assertions` only.
    pub freeze_at_effect: Option<u64>,
    pub lose_effect_before: Option<u64>,
    pub lose_effect_after: Option<u64>,
    /// The step whose first look fails.
    pub fail_step: Option<String>,
    pub steps_twice: bool,
    permits: AtomicU64,
    checks: AtomicU64,
    effects: AtomicU64,
    failed: AtomicBool,
}

impl Failpoints {
    /// Those of this process.
    #[cfg(debug_assertions)]
    pub fn from_environment() -> Self {
        let count = |variable| std::env::var(variable).ok().and_then(|text| text.parse().ok());
        Self {
            crash_at_permit: count("OBSTEWARD_CRASH_AT_PERMIT"),
            freeze_at_effect: count("OBSTEWARD_FREEZE_AT_EFFECT"),
            lose_effect_before: count("OBSTEWARD_LOSE_EFFECT_BEFORE"),
            lose_effect_after: count("OBSTEWARD_LOSE_EFFECT_AFTER"),
            fail_step: std::env::var("OBSTEWARD_FAIL_STEP").ok(),
            steps_twice: std::env::var_os("OBSTEWARD_STEPS_TWICE").is_some(),
            ..Self::default()
        }
    }

    /// None.
    #[cfg(not(debug_assertions))]
    pub fn from_environment() -> Self {
        Self::default()
    }

    /// Ends the process between an intent and its effect.
    pub(super) fn at_permit(&self) {
        #[cfg(debug_assertions)]
        if is_nth(self.crash_at_permit, &self.permits) {
            crate::store::death::die();
        }
        #[cfg(not(debug_assertions))]
        self.permits.fetch_add(1, Ordering::SeqCst);
    }

    /// Stops the process between the last look at its lease and its effect, until somebody lets it go on.
    pub(super) fn at_last_check(&self) {
        #[cfg(debug_assertions)]
        if is_nth(self.freeze_at_effect, &self.checks) {
            crate::store::death::freeze();
        }
        #[cfg(not(debug_assertions))]
        self.checks.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether the effect that is about to be sent is lost.
    pub(super) fn at_effect(&self) -> Option<LostEffect> {
        let number = self.effects.fetch_add(1, Ordering::SeqCst) + 1;
        if self.lose_effect_before == Some(number) {
            Some(LostEffect::Before)
        } else {
            (self.lose_effect_after == Some(number)).then_some(LostEffect::After)
        }
    }

    /// Whether the look of this step must fail now.
    pub(super) fn at_look(&self, step: &str, direction: Direction) -> bool {
        let Some(wanted) = &self.fail_step else { return false };
        let is_it = match direction {
            Direction::Forward => wanted == step,
            Direction::Back => wanted.strip_prefix("undo ") == Some(step),
        };
        is_it && !self.failed.swap(true, Ordering::SeqCst)
    }
}

/// Whether this is the call with the wanted number.
#[cfg(debug_assertions)]
fn is_nth(wanted: Option<u64>, count: &AtomicU64) -> bool {
    let number = count.fetch_add(1, Ordering::SeqCst) + 1;
    wanted == Some(number)
}
