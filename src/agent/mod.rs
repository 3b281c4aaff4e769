//! What runs on a database host: finds the process of one observer, ends it when everything is proven, and starts it again.
//! It knows nothing of the layers above; it uses `domain`, `clock`, `proto`, `net` and `telemetry`, and is the only module that signals
//! and starts observers.

mod answer;
mod calls;
mod candidate;
pub mod clients;
pub mod command;
mod configuration;
mod declared;
mod files;
pub mod grpc;
mod home;
mod launcher;
mod launches;
mod ledger;
mod ledger_file;
mod limits;
mod linux;
mod listener;
mod log_tail;
mod machine;
mod network;
mod new_process;
mod proc_fs;
mod process;
mod refusal;
mod service;
mod settings;
mod signal;
mod sock_diag;
mod spans;
mod start;
mod stdio;
mod supervisor;
mod ticket;
mod trust;
pub mod wire;

#[cfg(test)]
mod fake_proc;
#[cfg(test)]
pub(crate) mod real_observer;

pub use clients::Clients;
pub use command::{AgentArgs, AgentError, run};
pub use launcher::{LaunchError, Launcher};
pub use ledger::{Changed, Ledger, LedgerState, ReadTrusted};
pub use linux::Linux;
pub use machine::{HeldProcess, Machine, NewProcess};
pub use process::{FoundObserver, Outcome, Search};
pub use refusal::AgentRefusal;
pub use service::{Agent, StopRequest, Stopped};
pub use settings::{AgentConfig, Timing};
pub use signal::SignalOutcome;
pub use start::{StartRequest, Started};
pub use supervisor::{Supervision, Supervisor};
pub use trust::Trusted;
