//! The use cases that every face shares: permission, admission, one commit. Nothing here knows gRPC, REST or a terminal.

pub mod arguments;
pub mod use_cases;
