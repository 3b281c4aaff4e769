//! obsteward takes OceanBase servers out of service safely.
//!
//! The layers, top to bottom, stand in `tests/it/repository/layers.rs`, which also keeps them: each module may use only those
//! below it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod access;
pub mod agent;
pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod host;
pub mod inventory;
pub mod net;
pub mod notify;
pub mod oceanbase;
pub mod operations;
pub mod proto;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod watch;

#[cfg(feature = "sim")]
pub mod sim;
