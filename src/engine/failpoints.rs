//! Failpoints: places at which a test makes a run go wrong, by environment variables of the process. Compiled under
//! `debug_assertions` only; in a release build each is nothing.
//!
//! | variable | what happens |
//! |---|---|
//! | `OBSTEWARD_CRASH_AT_PERMIT=n` | the process ends at the nth permit, between an intent and its effect |
//! | `OBSTEWARD_LOSE_EFFECT_BEFORE=n` | the nth effect is not sent, and its outcome is not known |
//! | `OBSTEWARD_LOSE_EFFECT_AFTER=n` | the nth effect is sent, and its answer is lost |
//! | `OBSTEWARD_FAIL_STEP=name` | the first look of the step of this name fails; `undo name`: of its undo |
//! | `OBSTEWARD_STEPS_TWICE=1` | every step is executed a second time, from its first look, before its end is committed |

use crate::domain::event::Direction;

/// How an effect is lost.
#[cfg_attr(not(debug_assertions), allow(dead_code, reason = "a release build loses no effect"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LostEffect {
    Before,
    /// It is sent, but its answer is dropped.
    After,
}

/// Ends the process between an intent and its effect.
pub(super) fn at_permit() {
    #[cfg(debug_assertions)]
    {
        use std::sync::atomic::AtomicU64;
        static PERMITS: AtomicU64 = AtomicU64::new(0);
        if asked::nth("OBSTEWARD_CRASH_AT_PERMIT", &PERMITS) {
            crate::store::death::die();
        }
    }
}

/// Whether the effect that is about to be sent is lost.
pub(super) fn at_effect() -> Option<LostEffect> {
    #[cfg(debug_assertions)]
    {
        use std::sync::atomic::AtomicU64;
        static BEFORE: AtomicU64 = AtomicU64::new(0);
        static AFTER: AtomicU64 = AtomicU64::new(0);
        if asked::nth("OBSTEWARD_LOSE_EFFECT_BEFORE", &BEFORE) {
            return Some(LostEffect::Before);
        }
        if asked::nth("OBSTEWARD_LOSE_EFFECT_AFTER", &AFTER) {
            return Some(LostEffect::After);
        }
    }
    None
}

/// Whether the look of this step must fail now.
#[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "nothing is asked of a release build"))]
pub(super) fn at_look(step: &str, direction: Direction) -> bool {
    #[cfg(debug_assertions)]
    {
        use std::sync::atomic::{AtomicBool, Ordering};
        static FAILED: AtomicBool = AtomicBool::new(false);
        let name = match direction {
            Direction::Forward => step.to_owned(),
            Direction::Back => format!("undo {step}"),
        };
        let wanted = std::env::var("OBSTEWARD_FAIL_STEP").is_ok_and(|wanted| wanted == name);
        wanted && !FAILED.swap(true, Ordering::SeqCst)
    }
    #[cfg(not(debug_assertions))]
    false
}

/// Whether every step is executed twice.
pub(super) fn steps_twice() -> bool {
    #[cfg(debug_assertions)]
    {
        std::env::var_os("OBSTEWARD_STEPS_TWICE").is_some()
    }
    #[cfg(not(debug_assertions))]
    false
}

#[cfg(debug_assertions)]
mod asked {
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Whether this is the call that the variable numbers, from 1.
    pub(super) fn nth(variable: &str, count: &AtomicU64) -> bool {
        let wanted = std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
        wanted.is_some_and(|wanted| count.fetch_add(1, Ordering::SeqCst) + 1 == wanted)
    }
}
