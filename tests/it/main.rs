//! The integration tests: one binary, a module per promise or surface.

mod api;
mod api_validation;
mod fake_store;
mod fake_use_cases;
mod watch;
