//! JSON as the command line writes it: the protocol's field names, enumerations as short words, moments as RFC 3339.
//! Written by hand, one file per kind, so that what programs read changes only on purpose. Pure.

pub mod access;
pub mod cluster;
pub mod diagnosis;
pub mod error;
pub mod event;
pub mod line;
pub mod log;
pub mod server;
pub mod task;
