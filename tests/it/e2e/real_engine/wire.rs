//! As much of the MySQL protocol as one who stands between needs: packets whole with their heads, and where an answer ends.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A packet with its head: three octets of length, one of sequence.
pub type Packet = Vec<u8>;

pub const COM_QUIT: u8 = 0x01;
pub const COM_QUERY: u8 = 0x03;
pub const COM_PING: u8 = 0x0e;

const DEPRECATE_EOF: u32 = 1 << 24;
const LONGEST: usize = 0xff_ffff;

/// The next packet; `None`: the stream has ended.
pub async fn read(from: &mut TcpStream) -> Option<Packet> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet).await.ok()?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
    assert!(length < LONGEST, "a packet in pieces");
    packet.resize(4 + length, 0);
    from.read_exact(&mut packet[4..]).await.ok()?;
    Some(packet)
}

/// `None`: the other side is gone.
pub async fn write(to: &mut TcpStream, packets: &[Packet]) -> Option<()> {
    to.write_all(&packets.concat()).await.ok()
}

/// A statement of one's own.
pub fn query(sql: &str) -> Packet {
    framed(0, &[&[COM_QUERY], sql.as_bytes()].concat())
}

fn framed(sequence: u8, body: &[u8]) -> Packet {
    let mut packet = (body.len() as u32).to_le_bytes()[..3].to_vec();
    packet.push(sequence);
    packet.extend_from_slice(body);
    packet
}

/// The answer to a statement that has no rows.
pub fn ok() -> Packet {
    framed(1, &[0, 0, 0, 2, 0, 0, 0])
}

/// A refusal.
pub fn error(number: u16, words: &str) -> Packet {
    framed(1, &[&[0xff], &number.to_le_bytes()[..], b"#HY000", words.as_bytes()].concat())
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer(pub Vec<Packet>);

impl Answer {
    /// The error that it is: number and words.
    pub fn refusal(&self) -> Option<(u16, String)> {
        let body = self.0.last()?.get(4..)?;
        let [0xff, low, high, rest @ ..] = body else { return None };
        let words = rest.get(6..).unwrap_or_default();
        Some((u16::from_le_bytes([*low, *high]), String::from_utf8_lossy(words).into_owned()))
    }

    /// The first cell of the first row, of fewer than 251 octets.
    pub fn cell(&self) -> Option<String> {
        let columns = usize::from(*self.0.first()?.get(4)?);
        let rows = self.0.get(1 + columns..)?;
        let row = rows.iter().map(|packet| &packet[4..]).find(|body| body.first() != Some(&0xfe))?;
        let (length, rest) = row.split_first()?;
        Some(String::from_utf8_lossy(rest.get(..usize::from(*length))?).into_owned())
    }
}

/// What both sides agreed on at the login.
#[derive(Clone, Copy)]
pub struct Agreed {
    no_eof: bool,
}

impl Agreed {
    /// Of the greeting and the client's answer to it.
    pub fn of(greeting: &[u8], login: &[u8]) -> Self {
        let rest = &greeting[5..];
        let caps = &rest[rest.iter().position(|octet| *octet == 0).unwrap() + 1 + 4 + 8 + 1..];
        let offered = u32::from_le_bytes([caps[0], caps[1], caps[5], caps[6]]);
        let taken = u32::from_le_bytes([login[4], login[5], login[6], login[7]]);
        Self { no_eof: offered & taken & DEPRECATE_EOF != 0 }
    }

    /// Reads an answer to its end; `None`: the session is gone.
    pub async fn answer(self, from: &mut TcpStream) -> Option<Answer> {
        let mut packets = vec![read(from).await?];
        let columns = match packets[0].get(4)? {
            0 | 0xff | 0xfe => return Some(Answer(packets)),
            0xfb => panic!("the engine asks for a file"),
            columns => usize::from(*columns),
        };
        assert!(columns < 0xfb, "more columns than one octet counts");
        for _ in 0..columns {
            packets.push(read(from).await?);
        }
        if !self.no_eof {
            packets.push(read(from).await?);
        }
        loop {
            let packet = read(from).await?;
            let last = packet[4] == 0xff || (packet[4] == 0xfe && (self.no_eof || packet.len() < 4 + 9));
            packets.push(packet);
            if last {
                return Some(Answer(packets));
            }
        }
    }
}

/// The session's number in the greeting.
pub fn session_id(greeting: &[u8]) -> u32 {
    let rest = &greeting[5..];
    let at = rest.iter().position(|octet| *octet == 0).unwrap() + 1;
    u32::from_le_bytes(rest[at..at + 4].try_into().unwrap())
}
