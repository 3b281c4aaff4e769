//! The rules, as pure functions over plain types. Nothing here does I/O, reads a clock or knows a protocol.

pub mod admission;
pub mod effect;
pub mod gate;
pub mod ids;
pub mod precheck;
pub mod reading;
pub mod status;
