//! The simulated cluster: an OceanBase cluster that behaves as docs/oceanbase.md says, without OceanBase.
//!
//! A coordinator in this process holds the whole state and decides as the root service does; every simulated OBServer
//! is a real process on its own loopback address, which speaks the MySQL protocol and asks the coordinator about every
//! statement. So sessions, signals, ports and pids are real ([`SimCluster`]). The same cluster without processes is a value
//! for tests that simulate the rest of the world too ([`InProcessCluster`]). It shares no code with the rest of the crate, so
//! that each can catch the other's mistakes; only `cli` and tests may use it.
//!
//! From the state outwards:
//!
//! | module | holds |
//! |---|---|
//! | `state`, `bootstrap` | the cluster's state and how it begins |
//! | `rules`, `errors` | what the root service allows and marks, in its own words and numbers |
//! | `advance` | leases, elections, leader switch, catching up: what time does |
//! | `fault`, `record` | faults on request, and the cluster's own record of what happened |
//! | `views`, `view_rows`, `view_log_rows`, `view_session_rows`, `query`, `rewrite` | the catalog, and SELECT through SQLite |
//! | `lexer`, `statement`, `answer`, `show`, `execute`, `alter` | the statements |
//! | `core`, `sessions` | all of it behind one lock, and clients' sessions |
//! | `in_process` | [`InProcessCluster`] |
//! | `coordinator`, `process`, `link` | the coordinator, its observers, what they say to each other |
//! | `observer`, `observer_session`, `wire` | the observer process |
//! | `cluster`, `command`, `options`, `net` | [`SimCluster`], `obsteward sim`, what may be chosen |
//!
//! For people, through any client: `SIM FAULT '<json>'` (answers with the fault's id), `SIM FAULTS`, `SIM CLEAR [id]`,
//! `SIM RECORD`; [`fault::HELP`] lists the faults.

mod advance;
mod alter;
mod answer;
mod bootstrap;
mod cluster;
pub mod command;
mod coordinator;
mod core;
mod errors;
mod execute;
pub mod fault;
mod in_process;
mod lexer;
mod link;
mod net;
pub mod observer;
mod observer_session;
mod options;
mod process;
mod query;
pub mod record;
mod rewrite;
mod rules;
mod sessions;
mod show;
pub mod state;
mod statement;
pub mod time;
mod view_log_rows;
mod view_rows;
mod view_session_rows;
mod views;
mod wire;

pub use answer::{Answer, Column, ColumnKind};
pub use cluster::{SimCluster, SimServerInfo};
pub use core::{Beginning, Core};
pub use errors::SqlRefusal;
pub use execute::End;
pub use fault::{After, Behaviour, Fault, FaultId, FaultKind, Scope};
pub use in_process::{ClientSession, InProcessCluster, NotOpened};
pub use net::{NetChoice, NetClaim};
pub use options::{Durations, SimError, SimOptions, TenantOptions};
pub use record::{Kind, Recorded};
pub use rustix::process::Signal;
pub use sessions::{Session, Transaction};
pub use time::{Micros, SimClock};
