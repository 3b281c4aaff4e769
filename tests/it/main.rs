//! The integration tests: one binary, a module per promise or surface.

mod fake_store;
mod watch;
