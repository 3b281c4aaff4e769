//! How we listen. Knows no service.

pub mod listener;
pub mod peer;
