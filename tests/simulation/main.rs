//! The simulated world: the engine as it is over a store, clusters and agents that are values, in one process, under paused
//! time, everything random from one seed (docs/architecture.md#the-simulated-world). `scripts/simulate` runs it for people.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code, reason = "who lives by it comes next")]
mod life;
