//! How passwords become what is stored. A trait, so that tests need not spend what a good hash costs.

use argon2::password_hash::{PasswordHasher as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};

use crate::domain::refusal::Refusal;

/// Makes what is stored of a password.
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// A PHC string with a salt of its own.
    async fn hash(&self, password: &SecretString) -> Result<String, Refusal>;
}

/// Argon2id with the parameters that OWASP names first (19 MiB, 2 passes), off the threads that answer calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Argon2id;

#[async_trait]
impl PasswordHasher for Argon2id {
    async fn hash(&self, password: &SecretString) -> Result<String, Refusal> {
        let password = password.clone();
        let hashed = tokio::task::spawn_blocking(move || hash(&password)).await;
        let what = "a password could not be hashed";
        hashed.ok().flatten().ok_or_else(|| Refusal::Internal { what: what.to_owned() })
    }
}

fn hash(password: &SecretString) -> Option<String> {
    let mut salt = [0; 16];
    SystemRandom::new().fill(&mut salt).ok()?;
    let salt = SaltString::encode_b64(&salt).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default());
    Some(argon2.hash_password(password.expose_secret().as_bytes(), &salt).ok()?.to_string())
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;
    use argon2::password_hash::PasswordHash;

    use super::*;

    #[tokio::test]
    async fn the_same_password_is_stored_differently_each_time_and_verifies() {
        let password = SecretString::from("correct horse");
        let (one, other) = (Argon2id.hash(&password).await.unwrap(), Argon2id.hash(&password).await.unwrap());
        assert_ne!(one, other);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        let parsed = PasswordHash::new(&one).unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", &parsed).is_ok());
        assert!(Argon2::default().verify_password(b"correct horsf", &parsed).is_err());
    }
}
