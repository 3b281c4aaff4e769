//! Runs tasks: look, commit, check ownership, act, look again. Knows steps only by their trait, so that operations are a value
//! passed in. The one place that commits and folds is `commit.rs`, for the owner and for requests alike.

mod acting;
mod canceling;
mod commit;
mod executor;
mod failpoints;
mod scheduler;
mod step;
mod stepping;
mod waiting;

pub use commit::{Committer, WriteOutcome};
pub use scheduler::{Engine, EngineSettings};
pub use step::{Observation, Operation, PreparedEffect, ProgressReport, Registry, Step, StepContext, TimeoutPolicy};
