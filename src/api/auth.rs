//! Who calls: the one place where a principal comes from, for both faces. A principal that the caller merely claims, in
//! `obsteward-principal` or anywhere else, is never believed.

use std::sync::Arc;

use http::HeaderMap;
use uuid::Uuid;

use crate::access::Directory;
use crate::domain::ids::Principal;
use crate::domain::permission::Rights;
use crate::domain::refusal::Refusal;
use crate::net::peer::Peer;
use crate::service::arguments::Caller;

/// Everybody's name while authentication is switched off.
pub const ANONYMOUS: &str = "anonymous";

/// The parts of an HTTP request that a signature is about, as they came over the wire.
#[derive(Clone, Copy, Debug)]
pub struct SignedParts<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path, still encoded.
    pub path: &'a str,
    /// Its query, still encoded, without `?`.
    pub query: Option<&'a str>,
    /// Host and port that it was sent to, as in `Host` or the authority.
    pub host: Option<&'a str>,
    /// Its body.
    pub body: &'a [u8],
}

/// How much of the caller's rate is left, for the headers `RateLimit-Limit`, `-Remaining` and `-Reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests in the window that is nearest to its end.
    pub limit: u32,
    /// Left of them.
    pub remaining: u32,
    /// Seconds until it begins anew.
    pub reset_seconds: u32,
}

/// A caller that may come in.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Who.
    pub caller: Caller,
    /// `None`: requests are not limited.
    pub rate: Option<Rate>,
}

/// A caller that may not.
#[derive(Clone, Debug)]
pub struct Denied {
    /// Why.
    pub refusal: Refusal,
    /// `None`: it is not known whose rate this is, or requests are not limited.
    pub rate: Option<Rate>,
}

/// A watch of a caller that goes on; dropping it ends the count.
#[derive(Debug)]
pub struct WatchPermit {
    _private: (),
}

/// Proves callers and counts what they ask.
pub struct Gatekeeper {
    /// `None`: authentication is off.
    directory: Option<Arc<Directory>>,
}

impl Gatekeeper {
    /// Everybody is `anonymous` and may do everything.
    pub const fn open() -> Self {
        Self { directory: None }
    }

    /// Proves a caller by what its request carries. `signed` is what an access key signs; gRPC has none.
    pub async fn admit(
        &self,
        _headers: &HeaderMap,
        _signed: Option<SignedParts<'_>>,
        peer: &Peer,
        trace_id: &str,
    ) -> Result<Admitted, Denied> {
        debug_assert!(self.directory.is_none());
        let caller = Caller {
            principal: Principal::new(ANONYMOUS),
            user: None,
            rights: Arc::new(Rights::everything()),
            address: peer.address.to_string(),
            trace_id: trace_id.to_owned(),
        };
        Ok(Admitted { caller, rate: None })
    }

    /// Counts a watch of a caller, or refuses one too many.
    pub fn watch(&self, _caller: &Caller) -> Result<WatchPermit, Refusal> {
        Ok(WatchPermit { _private: () })
    }
}

/// A new trace: 16 hex digits, as OCP writes them.
pub fn trace_id() -> String {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    // Both halves hold fixed bits; their sum does not.
    format!("{:016x}", high ^ low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_16_hex_digits_and_differ() {
        let (one, other) = (trace_id(), trace_id());
        assert_ne!(one, other);
        assert!(one.len() == 16 && one.chars().all(|digit| digit.is_ascii_hexdigit()));
    }
}
