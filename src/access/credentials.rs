//! What a request says of who sends it: in its `Authorization` header a user with its password, or an access key with its
//! signature; to the web console the token of a session. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use crate::access::signature::Signature;
use crate::domain::ids::AccessKeyId;

/// HTTP Basic (RFC 7617).
const BASIC: &str = "Basic";
/// OCP's only scheme for access keys (docs/ocp-v2.md#signature-with-an-access-key).
pub const ACCESS_KEY: &str = "OCP-ACCESS-KEY-HMACSHA1";

/// Credentials as sent, not yet verified.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A user and its password.
    Basic {
        /// As sent: it need not be a valid user name.
        user: String,
        /// As sent.
        password: SecretString,
    },
    /// A signature with an access key.
    AccessKey { key: AccessKeyId, signature: Signature },
    /// The token of a session, which no `Authorization` header carries: the web console takes it from its cookie.
    Session {
        /// As sent.
        token: SecretString,
    },
}

impl Credentials {
    /// Parses the value of an `Authorization` header. The name of the scheme may be in any case (RFC 9110, section
    /// 11.1). `None`: another scheme, or malformed.
    pub fn read(authorization: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(authorization).ok()?.trim_matches([' ', '\t']);
        let (scheme, rest) = text.split_once(' ')?;
        let rest = rest.trim_start_matches(' ');
        if scheme.eq_ignore_ascii_case(BASIC) {
            let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            let (user, password) = decoded.split_once(':')?;
            Some(Self::Basic { user: user.to_owned(), password: SecretString::from(password) })
        } else if scheme.eq_ignore_ascii_case(ACCESS_KEY) {
            let (key, signature) = rest.split_once(':')?;
            Some(Self::AccessKey { key: key.parse().ok()?, signature: Signature::read(signature)? })
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    fn basic(pair: &[u8]) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn basic_is_read_whatever_the_case_of_its_name() {
        for name in ["Basic", "basic", "BASIC"] {
            let Some(Credentials::Basic { user, password }) =
                Credentials::read(format!("{name} Zm9vOmJhcjpiYXo=").as_bytes())
            else {
                panic!("{name}")
            };
            assert_eq!((user.as_str(), password.expose_secret()), ("foo", "bar:baz"));
        }
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for wrong in [
            basic(b"nobody"),
            basic(b"\xff\xfe:x"),
            "Basic".to_owned(),
            "Basic ".to_owned(),
            "Basic Zm9v$".to_owned(),
            "Bearer abc".to_owned(),
            format!("{ACCESS_KEY} AKAKAKAK"),
            format!("{ACCESS_KEY} AK:XN8P+O+v3vUabB16ZCooq5wMJoY="),
            format!("{ACCESS_KEY} AKAKAKAK:XN8P"),
            String::new(),
        ] {
            assert!(Credentials::read(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let read = Credentials::read(basic(b"foo:hunter22").as_bytes());
        assert!(!format!("{read:?}").contains("hunter22"));
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), known in 0_usize..3) {
            let scheme: &[u8] = [b"".as_slice(), b"Basic ", b"OCP-ACCESS-KEY-HMACSHA1 "][known];
            _ = Credentials::read(&[scheme, &bytes].concat());
        }

        #[test]
        fn what_a_client_encodes_is_read(user in "[^:]{0,20}", secret in ".{0,20}") {
            let sent = basic(format!("{user}:{secret}").as_bytes());
            let Some(Credentials::Basic { user: read, password }) = Credentials::read(sent.as_bytes()) else {
                return Err(TestCaseError::fail("not read"));
            };
            prop_assert_eq!((read, password.expose_secret()), (user, secret.as_str()));
        }
    }
}
