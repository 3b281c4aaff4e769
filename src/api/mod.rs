//! How callers reach us: authentication, validation, translation, and the words of a refusal. No decisions. This module may
//! use `service`, `watch`, `access`, the types of `store`, `domain`, `clock`, `proto`, `config` and `net`.

pub mod auth;
mod error_callers;
pub mod error_status;
pub mod error_table;
mod error_tasks;
pub mod grpc;
mod headers;
pub mod limits;
pub mod rest;
