//! Runs tasks: look, commit, check ownership, act, look again. Knows steps only by their trait, so that operations are a value
//! passed in. The one place that commits and folds is `commit.rs`, for the owner and for requests alike.

mod acting;
mod commit;
mod driven;
mod error;
mod executor;
mod failpoints;
mod horizons;
mod lease;
mod look_rate;
mod measuring;
mod ownership;
mod pace;
mod policy;
mod requests;
mod scheduler;
mod sightings;
mod spans;
mod step;
mod stepping;
mod waiting;

pub use commit::{Committer, WriteOutcome};
pub use error::{BrokenInvariant, EngineError};
pub use failpoints::Failpoints;
pub use scheduler::{Engine, EngineSettings};
pub use step::{
    Observation, Operation, PreparedEffect, ProgressReport, Registry, Step, StepContext, TimeoutPolicy, Unresolved,
};
