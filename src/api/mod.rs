//! How callers reach us: authentication, validation, translation, and the words of a refusal. No decisions. This module may
//! use `service`, `watch`, the types of `store`, `domain`, `clock`, `proto` and `net`.

pub mod auth;
pub mod error_status;
pub mod error_table;
pub mod grpc;
