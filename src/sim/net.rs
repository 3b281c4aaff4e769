//! Which loopback addresses a run may use: one /24 each, claimed for as long as the run lives.
//!
//! A claim is a name in Linux's abstract socket space, which belongs to the network namespace as the addresses do and
//! which the kernel gives back however the holder ends: a lock file would outlive a SIGKILL.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::SimError;

/// A claimed network; dropping it gives the addresses back.
pub struct NetClaim {
    net: [u8; 3],
    _name: UnixListener,
}

/// Which network a run asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NetChoice {
    /// Any free one: what tests want.
    #[default]
    Any,
    /// `127.A.B.0`: what people want, who type addresses.
    Exact(Ipv4Addr),
}

impl NetChoice {
    pub fn claim(&self) -> Result<NetClaim, SimError> {
        match self {
            Self::Any => NetClaim::any(),
            Self::Exact(net) => NetClaim::exact(*net),
        }
    }
}

impl NetClaim {
    /// Claims the first free network from 127.20.0.0 on.
    pub fn any() -> Result<Self, SimError> {
        // processes start looking at different places, so that they seldom meet
        let start = std::process::id() as usize;
        for i in 0..(231 * 256) {
            let index = (start * 7 + i) % (231 * 256);
            let net = [127, 20 + (index / 256) as u8, (index % 256) as u8];
            if let Some(name) = claim(net)? {
                return Ok(Self { net, _name: name });
            }
        }
        Err(SimError::Net("every loopback network from 127.20.0.0 to 127.250.255.0 is in use".into()))
    }

    /// Claims the network of `net`, whose last octet must be 0.
    pub fn exact(net: Ipv4Addr) -> Result<Self, SimError> {
        let [a, b, c, d] = net.octets();
        if a != 127 || d != 0 {
            return Err(SimError::Net(format!("{net} is not a loopback network: it must read 127.A.B.0")));
        }
        match claim([a, b, c])? {
            Some(name) => Ok(Self { net: [a, b, c], _name: name }),
            None => Err(SimError::Net(format!("{net} is in use by another simulated cluster; choose another --net"))),
        }
    }

    /// The address of the server with this number, from 1.
    pub fn address(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.net[0], self.net[1], self.net[2], number)
    }

    pub fn network(&self) -> Ipv4Addr {
        self.address(0)
    }

    /// Fails in words when something else listens where a server of ours would.
    pub fn check_port(&self, number: u8, port: u16) -> Result<(), SimError> {
        let address = self.address(number);
        match TcpListener::bind((address, port)) {
            Ok(_) => Ok(()),
            Err(error) => Err(SimError::Net(format!("cannot listen on {address}:{port}: {error}"))),
        }
    }
}

fn claim(net: [u8; 3]) -> Result<Option<UnixListener>, SimError> {
    let name = format!("obsteward-sim-net-127.{}.{}.0", net[1], net[2]);
    let address = SocketAddr::from_abstract_name(name).map_err(SimError::io("name a network claim"))?;
    match UnixListener::bind_addr(&address) {
        Ok(name) => Ok(Some(name)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(SimError::io("claim a loopback network")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_claimed_once() {
        let first = NetClaim::any().unwrap();
        let refusal = NetClaim::exact(first.network()).err().unwrap().to_string();
        assert!(refusal.contains("in use by another simulated cluster"), "{refusal}");
        assert_ne!(NetClaim::any().unwrap().network(), first.network());
        let net = first.network();
        drop(first);
        NetClaim::exact(net).unwrap();
        assert!(NetClaim::exact(Ipv4Addr::new(10, 0, 0, 0)).is_err());
    }
}
