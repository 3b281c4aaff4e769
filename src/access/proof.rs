//! What proved somebody, as it was then, and whether it would still prove him. Pure.

use secrecy::{ExposeSecret, SecretString};

use crate::access::certificate::{self, CertificateUser};
use crate::domain::ids::{AccessKeyId, UserId};
use crate::store::access::AccessRows;

/// See the module's head. Nothing (authentication is off) always holds.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// Names of the client certificate that was shown.
    pub certificate: Option<Vec<String>>,
    /// What was sent besides.
    pub secret: Option<Secret>,
}

/// What somebody knew.
#[derive(Clone, Debug)]
pub enum Secret {
    /// The password of this hash, from which a weak one can be guessed.
    Password(SecretString),
    /// The secret of an access key.
    Key(AccessKeyId, SecretString),
}

impl Proof {
    /// Whether it would prove this user by what is known now. Whether the user is disabled is another question.
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
