//! How passwords become what is stored. A trait, so that tests need not spend what a good hash costs.

use async_trait::async_trait;
use secrecy::SecretString;

use crate::access::password;
use crate::domain::refusal::Refusal;

/// Makes what is stored of a password.
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// A PHC string with a salt of its own.
    async fn hash(&self, password: &SecretString) -> Result<String, Refusal>;
}

/// Argon2id, off the threads that answer calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Argon2id;

#[async_trait]
impl PasswordHasher for Argon2id {
    async fn hash(&self, password: &SecretString) -> Result<String, Refusal> {
        password::check(password).map_err(|error| Refusal::field("password", error.to_string()))?;
        password::hash(password.clone()).await.map_err(|error| Refusal::Internal { what: error.to_string() })
    }
}
