//! Who calls. The one place where a principal comes from: until callers can prove one (client certificate, Basic, access
//! key), everybody is `anonymous`. A principal that the caller merely claims, in `obsteward-principal` or anywhere else, is
//! never believed.

use std::net::SocketAddr;

use uuid::Uuid;

use crate::domain::ids::Principal;
use crate::service::arguments::Caller;

/// Everybody's name while authentication is switched off.
pub const ANONYMOUS: &str = "anonymous";

/// The caller of one call, under a trace of its own.
pub fn caller(address: Option<SocketAddr>) -> Caller {
    Caller {
        principal: Principal::new(ANONYMOUS),
        address: address.map(|address| address.to_string()).unwrap_or_default(),
        trace_id: trace_id(),
    }
}

/// 16 hex digits, as OCP writes traces.
fn trace_id() -> String {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    // Both halves hold fixed bits; their sum does not.
    format!("{:016x}", high ^ low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_16_hex_digits_and_differ() {
        let (one, other) = (caller(None), caller(None));
        assert_ne!(one.trace_id, other.trace_id);
        assert!(one.trace_id.len() == 16 && one.trace_id.chars().all(|digit| digit.is_ascii_hexdigit()));
    }
}
