//! The rules, as pure functions over plain types. Nothing here does I/O, reads a clock or knows a protocol.

pub mod effect;
pub mod host;
pub mod ids;
pub mod status;
