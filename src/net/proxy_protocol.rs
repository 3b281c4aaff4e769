//! The header of the PROXY protocol, version 2, with which a proxy begins a connection that it forwards: it says for
//! which client. Nothing behind it is read. (haproxy.org, proxy-protocol.txt, section 2.2.)

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest header behind its first 16 bytes: addresses, and extensions such as facts about TLS.
const LONGEST: usize = 4096;
/// Bytes of two IPv4 addresses with their ports, and of two IPv6 ones.
const IPV4: usize = 12;
const IPV6: usize = 36;

/// Reads the header. `None`: the proxy speaks for itself (a health check) or does not say for whom.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut fixed = [0; 16];
    stream.read_exact(&mut fixed).await?;
    let [.., version_and_command, family, high, low] = fixed;
    if !fixed.starts_with(SIGNATURE) {
        let what = if fixed.starts_with(b"PROXY ") { "with version 1" } else { "without a header" };
        return Err(wrong(&format!("it begins {what} of the PROXY protocol, let the proxy send version 2")));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err(wrong(&format!("its header of the PROXY protocol has {length} bytes, {LONGEST} are the most")));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    let passes_on = match version_and_command {
        0x20 => false,
        0x21 => true,
        other => return Err(wrong(&format!("version and command {other:#04x} of the PROXY protocol are not known"))),
    };
    match family {
        _ if !passes_on => Ok(None),
        // Unspecified, or a socket of the proxy's own machine.
        0x00 | 0x31 => Ok(None),
        0x11 => source(rest.get(..IPV4), |bytes: [u8; 4]| Ipv4Addr::from(bytes).into()).map(Some),
        0x21 => source(rest.get(..IPV6), |bytes: [u8; 16]| Ipv6Addr::from(bytes).to_canonical()).map(Some),
        other => Err(wrong(&format!("family {other:#04x} of the PROXY protocol is no stream over IP"))),
    }
}

/// Source address, destination address, source port, destination port.
fn source<const N: usize>(bytes: Option<&[u8]>, address: impl Fn([u8; N]) -> IpAddr) -> io::Result<SocketAddr> {
    let read = bytes.and_then(|bytes| {
        let (first, rest) = bytes.split_first_chunk::<N>()?;
        let port = rest.get(N..)?.first_chunk::<2>()?;
        Some(SocketAddr::new(address(*first), u16::from_be_bytes(*port)))
    });
    read.ok_or_else(|| wrong("its header of the PROXY protocol is too short for its addresses"))
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V4: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0xd4, 0x31, 0x1f, 0x90];

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, rest].concat()
    }

    /// The result of reading these bytes, and how many of them are left behind the header.
    async fn read_from(bytes: &[u8]) -> (Result<Option<SocketAddr>, String>, usize) {
        let mut stream = bytes;
        let read = read(&mut stream).await.map_err(|error| error.to_string());
        (read, stream.len())
    }

    #[tokio::test]
    async fn it_says_for_whom_and_takes_nothing_behind_it() {
        let v6 = [&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0; 16], &[0, 9, 0, 1]].concat();
        let with_more = [&V4[..], &[0x04, 0, 5, 1, 2, 3, 4, 5]].concat();
        let client = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
        for (header, expected) in [
            (header(0x21, 0x11, &V4), client("203.0.113.9:54321")),
            (header(0x21, 0x11, &with_more), client("203.0.113.9:54321")),
            (header(0x21, 0x21, &v6), client("[2001:db8::7]:9")),
            (header(0x20, 0x11, &V4), None),
            (header(0x20, 0x00, &[]), None),
            (header(0x21, 0x00, &[]), None),
            (header(0x21, 0x31, &[0; 216]), None),
        ] {
            let whole = [&header[..], b"GET /"].concat();
            assert_eq!(read_from(&whole).await, (Ok(expected), 5), "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_none_is_refused_with_its_reason() {
        for (bytes, said) in [
            (b"GET / HTTP/1.1\r\nhost".to_vec(), "without a header of the PROXY protocol"),
            (b"PROXY TCP4 1.2.3.4 5".to_vec(), "version 1 of the PROXY protocol"),
            (header(0x11, 0x11, &V4), "version and command 0x11"),
            (header(0x22, 0x11, &V4), "version and command 0x22"),
            (header(0x21, 0x12, &V4), "family 0x12"),
            (header(0x21, 0x11, &V4[..11]), "too short for its addresses"),
            (header(0x21, 0x21, &V4), "too short for its addresses"),
            (header(0x21, 0x11, &vec![0; 4097]), "has 4097 bytes"),
            (SIGNATURE.to_vec(), "early eof"),
        ] {
            let (read, _) = read_from(&bytes).await;
            assert!(read.as_ref().is_err_and(|error| error.contains(said)), "{said}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), command in 0x1f_u8..0x23, family in any::<u8>()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            _ = runtime.block_on(read_from(&bytes));
            _ = runtime.block_on(read_from(&header(command, family, &bytes)));
        }
    }
}
