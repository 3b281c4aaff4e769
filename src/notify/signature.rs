//! Signatures of webhooks, as Standard Webhooks has them (the `v1` of its symmetric scheme): HMAC-SHA256 over
//! `id.timestamp.body`. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{self, HMAC_SHA256};
use thiserror::Error;

pub const ID: &str = "webhook-id";
pub const TIMESTAMP: &str = "webhook-timestamp";
pub const SIGNATURE: &str = "webhook-signature";

/// What a secret begins with as it is written down.
const PREFIX: &str = "whsec_";
/// Bytes of a secret.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A text that is no secret. Does not show it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "is no secret of a webhook, which is whsec_ and 24 to 64 bytes in base64; `echo whsec_$(openssl rand -base64 32)` makes one"
)]
pub struct InvalidSecret;

#[derive(Debug)]
pub struct WebhookSecret(hmac::Key);

impl WebhookSecret {
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        if !LENGTHS.contains(&bytes.len()) {
            return Err(InvalidSecret);
        }
        Ok(Self(hmac::Key::new(HMAC_SHA256, &bytes)))
    }

    /// Value of the header [`SIGNATURE`]. `timestamp`: seconds since the Unix epoch, as in the header [`TIMESTAMP`].
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut signing = hmac::Context::with_key(&self.0);
        signing.update(format!("{id}.{timestamp}.").as_bytes());
        signing.update(body);
        format!("v1,{}", STANDARD.encode(signing.sign()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the reference libraries of Standard Webhooks.
    #[test]
    fn a_signature_is_that_of_the_reference() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_shown() {
        for wrong in
            ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all, is it"]
        {
            let error = WebhookSecret::parse(wrong).unwrap_err().to_string();
            assert!(wrong.is_empty() || !error.contains(wrong) || wrong == PREFIX, "{error}");
        }
        assert!(!format!("{:?}", WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).contains("MfKQ"));
    }
}
