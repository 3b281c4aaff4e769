//! Binds a listener, and refuses one that would be open to the network without protection.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::TcpListener;

/// What protects a listener that is open to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// Connections are encrypted.
    pub tls: bool,
    /// Callers must prove who they are.
    pub authentication: bool,
}

impl Protection {
    pub const NONE: Self = Self { tls: false, authentication: false };

    const fn is_whole(self) -> bool {
        self.tls && self.authentication
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match (self.tls, self.authentication) {
            (false, false) => "without TLS and with nothing that authenticates callers",
            (false, true) => "without TLS",
            (true, false) => "with nothing that authenticates callers",
            (true, true) => "with TLS and authentication",
        })
    }
}

/// The operator's explicit statement that a listener may be open to the network although something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InsecureOverride {
    /// Whether the operator states it.
    pub said: bool,
    /// The setting or flag that states it, for the error message.
    pub setting: &'static str,
}

#[derive(Debug, Error)]
pub enum ListenError {
    /// It would be open to the network with too little protection.
    #[error(
        "{address} is open to the network {protection}, add what is missing, listen on a loopback address or say {setting}"
    )]
    Unprotected { address: SocketAddr, protection: Protection, setting: &'static str },
    #[error("cannot listen on {address}: {error}")]
    Io { address: SocketAddr, error: io::Error },
}

/// Binds `address`: a loopback one, or any if it is protected or the operator explicitly allowed it. Returns the bound
/// address.
pub async fn bind(
    address: SocketAddr,
    protection: Protection,
    insecure: InsecureOverride,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    if !may_listen(address, protection, insecure.said) {
        return Err(ListenError::Unprotected { address, protection, setting: insecure.setting });
    }
    let bind = async {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bind.await.map_err(|error| ListenError::Io { address, error })
}

/// Binds `address` for a server that has neither TLS nor authentication.
pub async fn bind_plaintext(address: SocketAddr, insecure: bool) -> Result<(TcpListener, SocketAddr), ListenError> {
    bind(address, Protection::NONE, InsecureOverride { said: insecure, setting: "--insecure-listen" }).await
}

fn may_listen(address: SocketAddr, protection: Protection, insecure: bool) -> bool {
    address.ip().to_canonical().is_loopback() || protection.is_whole() || insecure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_needs_tls_and_authentication_or_a_word() {
        for tls in [false, true] {
            for authentication in [false, true] {
                let protection = Protection { tls, authentication };
                for address in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
                    assert!(may_listen(address.parse().unwrap(), protection, false), "{address} {protection:?}");
                }
                for address in ["0.0.0.0:0", "[::]:0", "10.0.0.1:1", "[fd00::1]:1", "[::ffff:10.0.0.1]:1"] {
                    let address = address.parse().unwrap();
                    assert_eq!(may_listen(address, protection, false), tls && authentication, "{address}");
                    assert!(may_listen(address, protection, true), "{address} {protection:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn an_error_says_what_is_missing_and_where_to_say_otherwise() {
        let open: SocketAddr = "0.0.0.0:0".parse().unwrap();
        let refused = |tls, authentication| async move {
            let insecure = InsecureOverride { said: false, setting: "rest.insecure_listen = true" };
            bind(open, Protection { tls, authentication }, insecure).await.unwrap_err().to_string()
        };
        assert_eq!(
            refused(false, true).await,
            "0.0.0.0:0 is open to the network without TLS, add what is missing, listen on a loopback address or say \
             rest.insecure_listen = true"
        );
        assert!(refused(true, false).await.contains("with nothing that authenticates callers"));
        assert!(refused(false, false).await.contains("without TLS and with nothing that authenticates callers"));
        assert!(bind_plaintext(open, true).await.is_ok());
        let (_listener, bound) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        assert_ne!(bound.port(), 0);
        let taken = bind_plaintext(bound, false).await.unwrap_err().to_string();
        assert!(taken.starts_with(&format!("cannot listen on {bound}: ")), "{taken}");
    }
}
