//! The faces as their callers meet them: gRPC, REST and the command line; what they take, answer and refuse.

pub mod api;
pub mod api_validation;
pub mod both_faces;
pub mod command_line;
pub mod console;
pub mod error_table;
pub mod framework_errors;
pub mod grpcurl;
pub mod metrics;
pub mod proxies;
pub mod refusal_samples;
pub mod required_fields;
pub mod rest;
pub mod slow_clients;
pub mod task_log;
pub mod terminal;
