//! How callers reach us: authentication, validation, translation, and the words of a refusal. No decisions. This module may
//! use `service`, `watch`, `access`, the types of `store`, `domain`, `clock`, `proto`, `config`, `net` and `telemetry`.
//! The probes ask the store one question.

pub mod auth;
pub mod console;
mod error_row;
pub mod error_status;
pub mod error_table;
pub mod grpc;
mod headers;
pub mod host_words;
pub mod limits;
pub mod metrics;
pub mod probes;
pub mod rest;
mod trace;
