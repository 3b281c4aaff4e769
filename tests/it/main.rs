//! The one test binary: a folder per kind of promise (CONTRIBUTING.md, Test). One binary, because each would link the whole program again.
//!
//! Run everything with `scripts/test`, one module with `scripts/test faults::crash::`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod console_browser;
mod domain;
mod e2e;
mod engine;
mod faces;
mod faults;
mod notify;
#[path = "../promises/mod.rs"]
mod promises;
mod repository;
mod security;
mod store;
mod support;
