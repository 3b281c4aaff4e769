//! Binds a listener, and refuses one that would be open to the network without protection.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::TcpListener;

/// Why there is no listener.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Nothing protects it.
    #[error("{address} is open to the network without TLS, listen on a loopback address or say --insecure-listen")]
    Unprotected {
        /// The address.
        address: SocketAddr,
    },
    /// The system said no.
    #[error("cannot listen on {address}: {error}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

/// Binds `address` without TLS: a loopback one, or any if the operator said so in as many words. Returns the bound address.
pub async fn bind_plaintext(address: SocketAddr, insecure: bool) -> Result<(TcpListener, SocketAddr), ListenError> {
    if !address.ip().to_canonical().is_loopback() && !insecure {
        return Err(ListenError::Unprotected { address });
    }
    let bind = async {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bind.await.map_err(|error| ListenError::Io { address, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_network_is_refused_unless_said() {
        let open: SocketAddr = "0.0.0.0:0".parse().unwrap();
        assert!(matches!(bind_plaintext(open, false).await, Err(ListenError::Unprotected { .. })));
        assert!(bind_plaintext(open, true).await.is_ok());
        let (_listener, bound) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        assert_ne!(bound.port(), 0);
    }
}
