//! The one test binary: a module per promise or surface. One binary, because each would link the whole program again.
//!
//! Run everything with `scripts/test`, one module with `scripts/test layers::`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod administration;
mod api;
mod api_validation;
mod command_line;
mod crash;
mod credentials;
mod dead_hosts;
mod demo;
mod dependencies;
mod domain;
mod engine;
mod fake_store;
mod fake_use_cases;
mod force;
mod grpcurl;
mod layers;
mod oceanbase;
mod refusals;
mod right_process;
mod serve;
mod sim;
mod slow_clients;
mod stop_server;
mod store;
mod support;
mod tls;
mod unknown_outcomes;
mod watch;
mod watch_load;
mod watch_sqlite;
