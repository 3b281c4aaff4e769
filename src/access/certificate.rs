//! Whom the names of a client certificate prove. Pure.

use crate::store::access::UserRow;

/// Whom a certificate proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateUser {
    /// No user has one of its names.
    Nobody,
    /// One has; maybe a disabled one.
    One(Box<UserRow>),
    /// More than one has: it proves none of them.
    Several,
}

/// Whom the names of a certificate prove.
pub fn user_of(users: &[UserRow], names: &[String]) -> CertificateUser {
    let mut named = users.iter().filter(|user| user.certificate_names.iter().any(|name| names.contains(name)));
    match (named.next(), named.next()) {
        (None, _) => CertificateUser::Nobody,
        (Some(user), None) => CertificateUser::One(Box::new(user.clone())),
        (Some(_), Some(_)) => CertificateUser::Several,
    }
}
