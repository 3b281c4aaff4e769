//! Secrets at rest. Passwords of clusters and secrets of access keys are encrypted under one key (AES-256-GCM), each bound to
//! its place, so that a value moved to another row does not decrypt there. Pure but for randomness; `key_source` provides the
//! key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::domain::ids::{AccessKeyId, ClusterId};
use crate::store::StoreError;
use crate::store::derived_key::{KeyPurpose, Root};

/// Length of a key before base64.
pub const KEY_BYTES: usize = 32;
/// Prefix of every encrypted value, followed by base64 of nonce, ciphertext and tag.
const VERSION: &str = "v1:";

/// Where an encrypted value is stored; its associated data.
#[derive(Clone, Copy, Debug)]
pub enum SecretLocation<'a> {
    /// Of our login to the cluster.
    ClusterPassword(ClusterId),
    AccessKeySecret(&'a AccessKeyId),
    /// The value by which a key is checked.
    KeyCheck,
}

impl fmt::Display for SecretLocation<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Stored values are bound to these words: they must never change.
        match self {
            Self::ClusterPassword(cluster) => write!(formatter, "cluster/{cluster}/password"),
            Self::AccessKeySecret(key) => write!(formatter, "access_key/{key}/secret"),
            Self::KeyCheck => formatter.write_str("meta/key_check"),
        }
    }
}

/// Why a key is invalid, or a value cannot be encrypted or decrypted. Reveals nothing of the key or the value.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum VaultError {
    /// Not a key.
    #[error("the key is not base64 of 32 bytes; `openssl rand -base64 32` makes one")]
    Key,
    #[error("the system gives no random bytes")]
    Random,
    #[error("no key can be derived from the store's key")]
    Derive,
    /// The value is longer than the cipher allows.
    #[error("the value for {place} is too long to be encrypted")]
    TooLong { place: String },
    /// Not a value that this version wrote.
    #[error("the value at {place} is not one that this version encrypted")]
    Form { place: String },
    /// The key, the place or the value differs from when it was encrypted.
    #[error("the value at {place} does not open with this key; it was changed, moved, or encrypted under another key")]
    Closed { place: String },
}

pub struct Vault {
    key: LessSafeKey,
    root: Root,
    random: SystemRandom,
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Vault(..)")
    }
}

impl Vault {
    /// The key is base64 of 32 bytes; white space around it is ignored.
    pub fn new(key: &SecretString) -> Result<Self, VaultError> {
        let bytes = Zeroizing::new(STANDARD.decode(key.expose_secret().trim()).map_err(|_| VaultError::Key)?);
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| VaultError::Key)?;
        Ok(Self { key: LessSafeKey::new(key), root: Root::of(&bytes), random: SystemRandom::new() })
    }

    /// Under a key that nobody has, for what is never opened.
    pub fn random() -> Result<Self, StoreError> {
        let key = new_key().and_then(|key| Self::new(&key));
        key.map_err(|error| StoreError::Failed(error.to_string()))
    }

    /// A key of its own for something that is not stored.
    pub fn derive(&self, purpose: KeyPurpose) -> Result<hmac::Key, VaultError> {
        self.root.derive(purpose)
    }

    /// Encrypts a value for a place.
    pub fn seal(&self, place: SecretLocation<'_>, value: &SecretString) -> Result<String, VaultError> {
        // Random nonces of 96 bits are safe for 2^32 values under one key; a store has thousands.
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| VaultError::Random)?;
        let value = value.expose_secret().as_bytes();
        // With room for the tag, so that growing leaves no copy of the value in freed memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(value.len() + AES_256_GCM.tag_len()));
        bytes.extend_from_slice(value);
        let place = place.to_string();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&place), &mut *bytes)
            .map_err(|_| VaultError::TooLong { place })?;
        Ok(format!("{VERSION}{}", STANDARD.encode([nonce.as_slice(), &bytes].concat())))
    }

    /// Decrypts the value of a place.
    pub fn open(&self, place: SecretLocation<'_>, sealed: &str) -> Result<SecretString, VaultError> {
        let form = || VaultError::Form { place: place.to_string() };
        let encoded = sealed.strip_prefix(VERSION).ok_or_else(form)?;
        let mut bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| form())?);
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN).ok_or_else(form)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| form())?;
        let closed = || VaultError::Closed { place: place.to_string() };
        let value = self.key.open_in_place(nonce, Aad::from(place.to_string()), sealed).map_err(|_| closed())?;
        std::str::from_utf8(value).map(SecretString::from).map_err(|_| form())
    }
}

/// A new random key, as base64.
pub fn new_key() -> Result<SecretString, VaultError> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| VaultError::Random)?;
    Ok(SecretString::from(STANDARD.encode(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::new(&new_key().unwrap()).unwrap()
    }

    fn cluster(id: i64) -> SecretLocation<'static> {
        SecretLocation::ClusterPassword(ClusterId::new(id).unwrap())
    }

    fn open(vault: &Vault, place: SecretLocation<'_>, sealed: &str) -> Result<String, VaultError> {
        vault.open(place, sealed).map(|value| value.expose_secret().to_owned())
    }

    #[test]
    fn a_value_opens_where_it_was_sealed_and_nowhere_else() {
        let vault = vault();
        for value in ["s3cret", "", "密码 with spaces"] {
            let sealed = vault.seal(cluster(7), &SecretString::from(value)).unwrap();
            assert_eq!(open(&vault, cluster(7), &sealed).unwrap(), value);
            let moved = Err(VaultError::Closed { place: "cluster/8/password".to_owned() });
            assert_eq!(open(&vault, cluster(8), &sealed), moved);
        }
        let key: AccessKeyId = "AK12345678".parse().unwrap();
        let sealed = vault.seal(SecretLocation::AccessKeySecret(&key), &SecretString::from("s")).unwrap();
        assert!(sealed.starts_with("v1:"));
        assert_eq!(open(&vault, SecretLocation::AccessKeySecret(&key), &sealed).unwrap(), "s");
        assert!(open(&vault, SecretLocation::KeyCheck, &sealed).is_err());
    }

    #[test]
    fn equal_values_are_written_differently() {
        let vault = vault();
        let seal = || vault.seal(cluster(7), &SecretString::from("s3cret")).unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_changed_value_does_not_open_whatever_the_change() {
        let vault = vault();
        let sealed = vault.seal(cluster(7), &SecretString::from("s3cret")).unwrap();
        let bytes = STANDARD.decode(&sealed[3..]).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert!(open(&vault, cluster(7), &format!("v1:{}", STANDARD.encode(changed))).is_err(), "byte {index}");
        }
        for cut in 0..bytes.len() {
            let cut = format!("v1:{}", STANDARD.encode(&bytes[..cut]));
            assert!(open(&vault, cluster(7), &cut).is_err(), "{cut}");
        }
        for other in ["", "s3cret", "v1:", "v1:%", &sealed[3..], &sealed.replace("v1:", "v2:")] {
            let form = Err(VaultError::Form { place: "cluster/7/password".to_owned() });
            assert_eq!(open(&vault, cluster(7), other), form, "{other}");
        }
    }

    #[test]
    fn another_key_opens_nothing_and_a_bad_one_is_refused_unsaid() {
        let sealed = vault().seal(cluster(7), &SecretString::from("s3cret")).unwrap();
        assert!(open(&vault(), cluster(7), &sealed).is_err());
        let long = STANDARD.encode([7; KEY_BYTES + 1]);
        for text in ["", "c2hvcnQ=", "not base64 at all", long.as_str()] {
            let error = Vault::new(&SecretString::from(text)).unwrap_err();
            assert_eq!(error, VaultError::Key);
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
        let key = new_key().unwrap();
        let line = SecretString::from(format!("{}\n", key.expose_secret()));
        let vault = Vault::new(&line).unwrap();
        assert_eq!(format!("{vault:?}"), "Vault(..)");
        assert!(!format!("{key:?}").contains(key.expose_secret()));
    }
}
