//! A socket that listens.

use std::net::{IpAddr, SocketAddr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    pub address: SocketAddr,
    /// Inode of the socket, which the descriptors of its owners point at.
    pub inode: u64,
    /// User who opened the socket.
    pub uid: u32,
}

impl Listener {
    /// Whether a connection to `ip:port` reaches it. `::` takes IPv4 too (unless IPV6_V6ONLY, which the table does not
    /// show; then it is wrongly taken for one, and the other proofs decide).
    pub fn serves(&self, ip: IpAddr, port: u16) -> bool {
        self.address.port() == port
            && match self.address.ip() {
                own if own == ip.to_canonical() => true,
                IpAddr::V4(own) => own.is_unspecified() && ip.to_canonical().is_ipv4(),
                IpAddr::V6(own) => own.is_unspecified(),
            }
    }

    pub fn is_wildcard(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}
