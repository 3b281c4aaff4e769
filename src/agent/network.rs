//! Which addresses the sockets of a network namespace listen on: of our own as the kernel lists them, of another one from the tables
//! below `/proc/PID/net`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::agent::listener::Listener;
use crate::agent::proc_fs::{ProcError, ProcFs};
use crate::agent::sock_diag;

/// State of a listening socket in the kernel's tables.
const LISTEN: &str = "0A";
/// Of a connection that is not accepted yet: before Linux 4.4 they stand between the listening sockets.
const SYN_RECV: &str = "03";

#[derive(Clone, Debug, Default)]
pub struct Network {
    listeners: Vec<Listener>,
    addresses: Vec<IpAddr>,
}

impl Network {
    /// The network namespace that the process `pid` sees.
    pub fn of(proc: &ProcFs, pid: u32) -> Result<Self, ProcError> {
        let mut listeners = Vec::new();
        for table in ["tcp", "tcp6"] {
            // Listening sockets come first, and of a database host's connections there may be a hundred thousand.
            proc.network_table_while(pid, table, |line| take_listener(line, &mut listeners))?;
        }
        Self::with(listeners, proc, pid)
    }

    /// Our own, `pid` being ourselves.
    pub fn own(proc: &ProcFs, pid: u32) -> Result<Self, ProcError> {
        match proc.is_this_machine().then(sock_diag::listeners) {
            Some(Ok(listeners)) => Self::with(listeners, proc, pid),
            // A kernel without it, or one whose sockets change all the while.
            Some(Err(_)) | None => Self::of(proc, pid),
        }
    }

    fn with(listeners: Vec<Listener>, proc: &ProcFs, pid: u32) -> Result<Self, ProcError> {
        let mut addresses = parse_fib_trie(&proc.network_table(pid, "fib_trie")?);
        addresses.extend(parse_if_inet6(&proc.network_table(pid, "if_inet6")?));
        Ok(Self { listeners, addresses })
    }

    /// The sockets that a connection to `ip:port` may reach.
    pub fn serving(&self, ip: IpAddr, port: u16) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().filter(move |listener| listener.serves(ip, port))
    }

    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Whether `ip` is an address of this namespace. All of 127.0.0.0/8 is.
    pub fn has_address(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_loopback() || self.addresses.contains(&ip)
    }
}

/// Takes the socket of a line if it listens; whether listening sockets may follow. The head of a table is such a line too.
///
/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`
fn take_listener(line: &str, listeners: &mut Vec<Listener>) -> bool {
    let mut fields = line.split_ascii_whitespace();
    let (local, state) = (fields.nth(1), fields.nth(1));
    match state {
        Some(LISTEN) => {
            let rest = [fields.nth(3), fields.nth(1)];
            listeners.extend(local.and_then(|local| listener(local, rest)));
            true
        }
        None | Some(SYN_RECV | "st") => true,
        Some(_) => false,
    }
}

/// `rest`: its user and its inode.
fn listener(local: &str, [uid, inode]: [Option<&str>; 2]) -> Option<Listener> {
    let (ip, port) = local.split_once(':')?;
    Some(Listener {
        address: SocketAddr::new(parse_ip(ip)?, u16::from_str_radix(port, 16).ok()?),
        uid: uid?.parse().ok()?,
        inode: inode?.parse().ok()?,
    })
}

/// The kernel writes each 32-bit word of the address as a number of the machine's byte order.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut octets = [0; 16];
            for at in 0..4 {
                octets[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
        }
        _ => None,
    }
}

/// A local address is a `|-- address` followed by its `/32 host LOCAL`.
fn parse_fib_trie(table: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    let mut last = None;
    for line in table.lines().map(str::trim_ascii) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<IpAddr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            addresses.extend(last);
        }
    }
    addresses
}

fn parse_if_inet6(table: &str) -> Vec<IpAddr> {
    let address = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok();
    table.lines().filter_map(address).map(|bits| IpAddr::V6(Ipv6Addr::from(bits))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_addresses_of_both_families() {
        let table = "head\n\
            0: 0101007F:0B42 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 4711 1 0 100\n\
            1: 00000000:0B41 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4712 1 0 100\n\
            2: 0101007F:0B42 0101007F:9999 03 00000000:00000000 00:00000000 00000000 0 0 4713 1 0 100\n\
            3: 000000FD000000000000000002000000:0B42 0:0 0A 0:0 00:0 0 0 0 4714 1 0 100\n\
            4: 0000000000000000FFFF00000200000A:0B42 0:0 0A 0:0 00:0 0 0 0 4715 1 0 100\n\
            5: 00000000000000000000000000000000:0B40 0:0 0A 0:0 00:0 0 0 0 4716 1 0 100\n\
            6: 0101007F:0B42 0101007F:9999 06 00000000:00000000 00:00000000 00000000 0 0 4717 1 0 100\n\
            7: 0101007F:0B43 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4718 1 0 100\n";
        let mut listeners = Vec::new();
        let read = table.lines().take_while(|line| take_listener(line, &mut listeners)).count();
        assert_eq!(read, 7, "no line behind the first connection is read");
        let addresses: Vec<String> = listeners.iter().map(|listener| listener.address.to_string()).collect();
        assert_eq!(addresses, ["127.0.1.1:2882", "0.0.0.0:2881", "[fd00::2]:2882", "10.0.0.2:2882", "[::]:2880"]);
        assert_eq!((listeners[0].inode, listeners[0].uid), (4711, 1000));
    }

    #[test]
    fn a_wildcard_serves_its_family_and_an_address_itself_only() {
        let at = |address: &str| Listener { address: address.parse().unwrap(), inode: 1, uid: 0 };
        assert!(at("127.0.1.1:2882").serves(ip("127.0.1.1"), 2882));
        assert!(!at("127.0.1.1:2882").serves(ip("127.0.1.2"), 2882));
        assert!(!at("127.0.1.1:2882").serves(ip("127.0.1.1"), 2881));
        assert!(at("0.0.0.0:2882").serves(ip("10.0.0.1"), 2882));
        assert!(!at("0.0.0.0:2882").serves(ip("fd00::1"), 2882));
        assert!(at("[::]:2882").serves(ip("10.0.0.1"), 2882));
        assert!(at("[::]:2882").serves(ip("fd00::1"), 2882));
    }

    #[test]
    fn local_addresses() {
        let trie = "Local:\n  |-- 10.0.0.2\n     /32 host LOCAL\n  |-- 10.0.0.255\n     /32 link BROADCAST\n";
        assert_eq!(parse_fib_trie(trie), [ip("10.0.0.2")]);
        let inet6 = "fd000000000000000000000000000002 04 40 00 82     eth0\n";
        let network = Network { listeners: Vec::new(), addresses: parse_if_inet6(inet6) };
        assert!(network.has_address(ip("fd00::2")) && network.has_address(ip("127.3.2.1")));
        assert!(!network.has_address(ip("10.0.0.3")));
    }
}
