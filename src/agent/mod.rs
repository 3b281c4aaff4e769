//! What runs on a database host: finds the process of one observer, and ends it when everything is proven. It knows
//! nothing of the layers above; it uses `domain`, `clock`, `proto` and `net`, and is the only module that signals.

mod calls;
mod candidate;
pub mod clients;
pub mod command;
mod declared;
mod files;
pub mod grpc;
mod ledger;
mod network;
mod proc_fs;
mod process;
mod refusal;
mod service;
mod signal;
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
pub use refusal::Refusal;
pub use service::{Agent, AgentConfig, StopRequest, Stopped};
