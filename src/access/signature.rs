//! `OCP-ACCESS-KEY-HMACSHA1`: what an access key signs, and whether it did
//! (docs/ocp-v2.md#signature-with-an-access-key). Pure.
//!
//! The message is about what a request means, not about how it is escaped: the query is decoded and written again, sorted. It
//! is decoded as our routes read it, so that nobody can make a signed request mean something else: `+` is a space there, and
//! a space is `%20` in the message (RFC 3986); a plus is `%2B` in both. The path goes in as it came.
//!
//! OCP's rule has no number that is used once: an attacker that sees a whole request can send it again for 15 minutes. What
//! it asks is then what was asked before; use TLS where others can listen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Timestamp;
use crate::domain::refusal::AuthFailure;

/// How far the `Date` of a request may be from now: less than this, both ways.
pub const LARGEST_SKEW: Duration = Duration::from_secs(15 * 60);

/// Bytes of an HMAC-SHA1.
const LENGTH: usize = 20;

/// What RFC 3986 leaves as it is: letters, digits and `-._~`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Prefix of the headers that are signed besides the named ones.
pub const HEADER_PREFIX: &str = "x-ocp-";

/// A signature as sent. Not secret: it tells nothing about its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature([u8; LENGTH]);

impl Signature {
    /// From base64; `None`: not 20 bytes of it.
    pub fn read(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

/// The parts of a request that are signed, as they were sent.
#[derive(Clone, Debug, Default)]
pub struct SignedRequest<'a> {
    pub method: &'a str,
    /// Still percent-encoded.
    pub path: &'a str,
    /// Still percent-encoded, without `?`.
    pub query: Option<&'a str>,
    /// With the port if that was sent.
    pub host: &'a [u8],
    /// Empty without one.
    pub content_type: &'a [u8],
    pub date: &'a [u8],
    /// The headers `x-ocp-*`: names in lower case, values in the order of their lines.
    pub headers: Vec<(&'a str, &'a [u8])>,
    pub body: &'a [u8],
}

impl SignedRequest<'_> {
    pub fn message(&self) -> Vec<u8> {
        let digest = if self.body.is_empty() { String::new() } else { digest(self.body) };
        let (headers, query) = (self.canonical_headers(), canonical_query(self.query.unwrap_or_default()));
        let method = self.method.to_ascii_uppercase();
        let mut message = [
            method.as_bytes(),
            digest.as_bytes(),
            self.content_type.trim_ascii(),
            self.date.trim_ascii(),
            self.host.trim_ascii(),
            &headers,
            self.path.as_bytes(),
        ]
        .join(&b'\n');
        if !query.is_empty() {
            message.push(b'?');
            message.extend_from_slice(query.as_bytes());
        }
        message
    }

    /// `name:value,value`, a line each, sorted by name.
    fn canonical_headers(&self) -> Vec<u8> {
        let mut lines: BTreeMap<String, Vec<&[u8]>> = BTreeMap::new();
        for (name, value) in &self.headers {
            lines.entry(name.to_ascii_lowercase()).or_default().push(value.trim_ascii());
        }
        let line = |(name, values): (String, Vec<&[u8]>)| [name.as_bytes(), &values.join(&b',')].join(&b':');
        lines.into_iter().map(line).collect::<Vec<_>>().join(&b'\n')
    }
}

/// `name=value,value`, sorted by name and value and joined by `&`; each name and value escaped by itself, so that a comma in a
/// value is not one between values.
fn canonical_query(query: &str) -> String {
    let decode = |text: &str| -> Vec<u8> { percent_decode(text.replace('+', " ").as_bytes()).collect() };
    let mut parameters: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        parameters.entry(decode(name)).or_default().push(decode(value));
    }
    let escape = |bytes: &[u8]| percent_encode(bytes, ESCAPED).to_string();
    let one = |(name, mut values): (Vec<u8>, Vec<Vec<u8>>)| {
        values.sort_unstable();
        let values: Vec<String> = values.iter().map(|value| escape(value)).collect();
        format!("{}={}", escape(&name), values.join(","))
    };
    parameters.into_iter().map(one).collect::<Vec<_>>().join("&")
}

/// MD5 in upper-case hex.
fn digest(body: &[u8]) -> String {
    Md5::digest(body).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        _ = write!(text, "{byte:02X}");
        text
    })
}

/// Whether a `Content-MD5` is that of the body: base64, as HTTP has it, or hex, as OCP writes the same digest.
pub fn content_digest_matches(sent: &[u8], body: &[u8]) -> bool {
    let sent = sent.trim_ascii();
    sent.eq_ignore_ascii_case(digest(body).as_bytes()) || sent == STANDARD.encode(Md5::digest(body)).as_bytes()
}

fn key(secret: &SecretString) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose_secret().as_bytes())
}

/// Signs a request; the result goes behind `OCP-ACCESS-KEY-HMACSHA1 <key>:`.
pub fn sign(secret: &SecretString, request: &SignedRequest<'_>) -> String {
    STANDARD.encode(hmac::sign(&key(secret), &request.message()))
}

/// Whether the request was signed with this secret. Takes the same time whatever byte is wrong.
pub fn verify(secret: &SecretString, request: &SignedRequest<'_>, signature: Signature) -> bool {
    hmac::verify(&key(secret), &request.message(), &signature.0).is_ok()
}

/// Whether a `Date` is of RFC 1123, in GMT, and less than [`LARGEST_SKEW`] from now, past or future.
pub fn check_date(date: &[u8], now: Timestamp) -> Result<(), AuthFailure> {
    let date = date.trim_ascii();
    if !date.ends_with(b" GMT") {
        return Err(AuthFailure::DateMissing);
    }
    let parsed =
        jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).map_err(|_| AuthFailure::DateMissing)?;
    let then = Timestamp::from_micros(parsed.as_microsecond());
    let skew = now.since(then).max(then.since(now));
    if skew < LARGEST_SKEW { Ok(()) } else { Err(AuthFailure::DateSkewed) }
}

/// A moment in the form of a `Date` header.
pub fn date(moment: Timestamp) -> String {
    let moment = jiff::Timestamp::from_microsecond(moment.as_micros()).unwrap_or_default();
    // Fails only before the year 0.
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).unwrap_or_default()
}

#[cfg(test)]
#[path = "signature_test.rs"]
mod tests;
