//! The one test binary: a module per promise or surface. One binary, because each would link the whole program again.
//!
//! Run everything with `scripts/test`, one module with `scripts/test layers::`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod access_bootstrap;
mod access_grpc;
mod admin;
mod api;
mod api_validation;
mod audit;
mod both_faces;
mod command_line;
mod crash;
mod dead_hosts;
mod demo;
mod dependencies;
mod domain;
mod engine;
mod error_table;
mod fake_access;
mod fake_inventory;
mod fake_rights;
mod fake_store;
mod fake_use_cases;
mod force;
mod grpcurl;
mod guarded;
mod layers;
mod oceanbase;
mod permissions;
mod refusals;
mod rest;
mod right_process;
mod roles;
mod serve;
mod sights;
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
