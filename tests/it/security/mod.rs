//! Who may come in, who may do what, what is recorded of it, and that no secret leaves (docs/promises.md, promise 11).

pub mod access;
pub mod access_bootstrap;
pub mod access_grpc;
pub mod admin;
pub mod administration;
pub mod agent_tls;
pub mod audit;
pub mod credentials;
pub mod directory;
pub mod permissions;
pub mod roles;
pub mod secrets;
pub mod sights;
pub mod tls;
