//! The one test binary: a module per promise or surface. One binary, because each would link the whole program again.
//!
//! Run everything with `scripts/test`, one module with `scripts/test layers::`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod api;
mod api_validation;
mod audit;
mod command_line;
mod crash;
mod dead_hosts;
mod demo;
mod dependencies;
mod domain;
mod engine;
mod fake_access;
mod fake_inventory;
mod fake_store;
mod fake_use_cases;
mod force;
mod grpcurl;
mod guarded;
mod layers;
mod oceanbase;
mod permissions;
mod refusals;
mod right_process;
mod sights;
mod sim;
mod stop_server;
mod store;
mod support;
mod unknown_outcomes;
mod watch;
mod watch_load;
mod watch_sqlite;
