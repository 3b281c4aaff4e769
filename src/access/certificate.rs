//! Which user a client certificate stands for. Pure.

use crate::store::access::UserRow;

/// The user of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateUser {
    /// No user has one of its names.
    Nobody,
    /// One user has one; it may be disabled.
    One(Box<UserRow>),
    /// More than one has: it proves none of them.
    Several,
}

pub fn user_of(users: &[UserRow], names: &[String]) -> CertificateUser {
    let mut named = users.iter().filter(|user| user.certificate_names.iter().any(|name| names.contains(name)));
    match (named.next(), named.next()) {
        (None, _) => CertificateUser::Nobody,
        (Some(user), None) => CertificateUser::One(Box::new(user.clone())),
        (Some(_), Some(_)) => CertificateUser::Several,
    }
}
