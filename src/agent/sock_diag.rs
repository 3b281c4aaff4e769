//! Which TCP sockets of our own network namespace listen, from the kernel's socket diagnostics (`sock_diag(7)`). The tables below
//! `/proc/net` say the same, but for them the kernel walks its whole table of connections, which takes milliseconds.

use std::io;
use std::net::SocketAddr;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

use crate::agent::listener::Listener;

/// The kernel fills messages of a dump up to this.
const MESSAGE: usize = 32 << 10;

/// Every listening TCP socket of both families. `Err`: this kernel does not say, or said only a part.
pub fn listeners() -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for (family, any) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        dump(family, any, &mut listeners)?;
    }
    Ok(listeners)
}

fn dump(family: u8, socket_id: SocketId, listeners: &mut Vec<Listener>) -> io::Result<()> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
    let (extensions, states) = (ExtensionFlags::empty(), StateFlags::LISTEN);
    let request = InetRequest { family, protocol: IPPROTO_TCP, extensions, states, socket_id };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    send(&socket, &bytes, SendFlags::empty())?;
    let mut buffer = vec![0; MESSAGE];
    loop {
        let (received, whole) = recv(&socket, buffer.as_mut_slice(), RecvFlags::TRUNC)?;
        let mut rest = buffer.get(..whole).filter(|_| received == whole).ok_or_else(|| partial("cut off"))?;
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
            if message.header.flags & NLM_F_DUMP_INTR != 0 {
                return Err(partial("interrupted by a change"));
            }
            // Each begins at a multiple of four bytes.
            let length = usize::try_from(message.header.length).map_or(rest.len(), |length| length.next_multiple_of(4));
            rest = rest.get(length..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    let (header, id) = (&response.header, &response.header.socket_id);
                    let address = SocketAddr::new(id.source_address.to_canonical(), id.source_port);
                    listeners.push(Listener { address, inode: header.inode.into(), uid: header.uid });
                }
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::Noop | NetlinkPayload::Overrun(_) | NetlinkPayload::InnerMessage(_) | _ => {
                    return Err(partial("not understood"));
                }
            }
        }
    }
}

fn partial(what: &str) -> io::Error {
    io::Error::other(format!("the kernel's list of sockets was {what}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::agent::network::Network;
    use crate::agent::proc_fs::ProcFs;

    /// The same as the tables say, for sockets that stay meanwhile.
    #[test]
    fn says_what_the_tables_say() {
        let sockets = ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"].map(TcpListener::bind);
        let sockets: Vec<TcpListener> = sockets.into_iter().flatten().collect();
        assert!(sockets.len() >= 2, "there is IPv4 at least");
        let proc = ProcFs::new("/proc");
        let tables = Network::of(&proc, proc.own_pid().unwrap()).unwrap();
        let said = listeners().unwrap();
        for socket in sockets {
            let address = socket.local_addr().unwrap();
            let own = |of: &[Listener]| of.iter().find(|it| it.address == address).copied();
            let found = own(&said);
            assert_eq!(found, own(tables.listeners()), "{address}");
            let uid = std::fs::metadata("/proc/self").unwrap().uid();
            assert_eq!(found.map(|it| it.uid), Some(uid), "{address}");
        }
    }
}
