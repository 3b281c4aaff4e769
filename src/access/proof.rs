//! How a caller was authenticated, as it was then, and whether the same would still do. Pure.

use secrecy::{ExposeSecret, SecretString};

use crate::access::certificate::{self, CertificateUser};
use crate::domain::ids::{AccessKeyId, UserId};
use crate::store::access::AccessRows;

/// The credentials that authenticated a caller. Empty (authentication is off) always holds.
#[derive(Clone, Debug, Default)]
pub struct AuthEvidence {
    pub certificate: Option<Vec<String>>,
    /// The password or key that was sent besides.
    pub secret: Option<Secret>,
}

/// What the caller knew.
#[derive(Clone, Debug)]
pub enum Secret {
    /// The hash of the password that was right; a weak password can be guessed from it.
    Password(SecretString),
    /// The secret of an access key.
    Key(AccessKeyId, SecretString),
}

impl AuthEvidence {
    /// Whether it would still authenticate this user by these rows. Whether the user is disabled is another question.
    pub fn holds(&self, rows: &AccessRows, user: UserId) -> bool {
        let named = self.certificate.as_ref().is_none_or(
            |names| matches!(certificate::user_of(&rows.users, names), CertificateUser::One(named) if named.id == user),
        );
        let known = match &self.secret {
            None => true,
            Some(Secret::Password(hash)) => {
                let row = rows.users.iter().find(|row| row.id == user);
                row.is_some_and(|row| row.password_hash.as_deref() == Some(hash.expose_secret()))
            }
            Some(Secret::Key(id, secret)) => rows.keys.iter().find(|key| key.id == *id).is_some_and(|key| {
                key.user == user && !key.disabled && key.secret.expose_secret() == secret.expose_secret()
            }),
        };
        named && known
    }
}
