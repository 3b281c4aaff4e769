//! The simulated world: the engine as it is over a store, clusters and agents that are values, in one process, under paused
//! time, everything random from one seed (docs/architecture.md#the-simulated-world). `scripts/simulate` runs it for people.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(dead_code, reason = "what uses all of it comes next")]

mod agent_run;
mod computer;
mod data_centre;
mod host;
mod life;
mod process;
