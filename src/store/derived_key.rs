//! Keys for what is not stored: derived from the store's own key (HKDF, RFC 5869), so that every replica has the same and a
//! restart changes none. The store's key itself is never handed out, and none of these opens anything in the store.

use ring::{hkdf, hmac};

use super::StoreError;
use crate::store::vault::VaultError;

/// What a derived key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPurpose {
    /// Proves sessions of the web console.
    ConsoleSession,
    /// Proves that a form of the web console was made here.
    ConsoleForm,
}

impl KeyPurpose {
    /// Derived keys depend on these words: they must never change.
    const fn label(self) -> &'static [u8] {
        match self {
            Self::ConsoleSession => b"console/session",
            Self::ConsoleForm => b"console/form",
        }
    }
}

/// A store that hands out keys which its own key decides.
pub trait DerivedKeys: Send + Sync {
    fn derived_key(&self, purpose: KeyPurpose) -> Result<hmac::Key, StoreError>;
}

/// What keys are derived from.
pub(super) struct Root(hkdf::Prk);

impl Root {
    pub fn of(key: &[u8]) -> Self {
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, b"obsteward").extract(key))
    }

    pub fn derive(&self, purpose: KeyPurpose) -> Result<hmac::Key, VaultError> {
        let info = [purpose.label()];
        let derived = self.0.expand(&info, hmac::HMAC_SHA256).map_err(|_| VaultError::Derive)?;
        Ok(hmac::Key::from(derived))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_the_store_and_on_its_purpose_and_on_nothing_else() {
        let tag =
            |root: &[u8], purpose| hmac::sign(&Root::of(root).derive(purpose).unwrap(), b"message").as_ref().to_vec();
        let (here, there) = ([7_u8; 32], [8_u8; 32]);
        let session = tag(&here, KeyPurpose::ConsoleSession);
        assert_eq!(session, tag(&here, KeyPurpose::ConsoleSession));
        assert_ne!(session, tag(&here, KeyPurpose::ConsoleForm));
        assert_ne!(session, tag(&there, KeyPurpose::ConsoleSession));
        let own = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &here), b"message");
        assert_ne!(session, own.as_ref());
    }
}
