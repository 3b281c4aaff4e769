//! Who callers are: users, access keys and roles held in memory, and the proofs of identity — passwords, signatures, client
//! certificates. Decides nothing about what a caller may do (`domain::call` does) and knows no face. This module may use
//! `store`, `domain`, `clock` and `net::certificate`.

mod authenticator;
pub mod bootstrap;
pub mod certificate;
pub mod credentials;
mod directory;
mod keyed_queue;
pub mod password;
mod pool;
mod proof;
pub mod session;
pub mod signature;
pub mod throttle;

pub use authenticator::{Authenticator, LoginLimits, PresentedCredentials};
pub use directory::{Directory, Identity};
pub use proof::{AuthEvidence, Secret};
