//! The server's side of the MySQL protocol, as far as a simulated OBServer needs it: packets in and out, the handshake
//! with mysql_native_password, text result sets. Bytes only; it knows nothing of the cluster.

use std::io;

use mysql_common::scramble::scramble_native;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::answer::{Answer, Column, ColumnKind};

pub const VERSION: &str = "5.7.25-OceanBase_CE-v4.2.5.3";

pub const COM_QUIT: u8 = 0x01;
pub const COM_INIT_DB: u8 = 0x02;
pub const COM_QUERY: u8 = 0x03;
pub const COM_FIELD_LIST: u8 = 0x04;
pub const COM_PING: u8 = 0x0e;
pub const COM_RESET_CONNECTION: u8 = 0x1f;
pub const COM_SET_OPTION: u8 = 0x1b;

const AUTOCOMMIT: u16 = 0x0002;
const UTF8MB4: u8 = 45;
const PLUGIN: &str = "mysql_native_password";

const LONG_PASSWORD: u32 = 1;
const FOUND_ROWS: u32 = 1 << 1;
const LONG_FLAG: u32 = 1 << 2;
const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const INTERACTIVE: u32 = 1 << 10;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
const CAPABILITIES: u32 = LONG_PASSWORD
    | FOUND_ROWS
    | LONG_FLAG
    | CONNECT_WITH_DB
    | PROTOCOL_41
    | INTERACTIVE
    | TRANSACTIONS
    | SECURE_CONNECTION
    | PLUGIN_AUTH
    | PLUGIN_AUTH_LENENC;

/// Reads one packet, joined if it came in pieces of 16 MiB; None at the end of the stream.
pub async fn read_packet(from: &mut (impl AsyncRead + Unpin), sequence: &mut u8) -> io::Result<Option<Vec<u8>>> {
    let mut packet = Vec::new();
    loop {
        let mut head = [0_u8; 4];
        match from.read_exact(&mut head).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
        *sequence = head[3].wrapping_add(1);
        let start = packet.len();
        packet.resize(start + length, 0);
        from.read_exact(&mut packet[start..]).await?;
        if length < 0xff_ffff {
            return Ok(Some(packet));
        }
    }
}

/// Packets on their way out, sent together.
pub struct Output {
    bytes: Vec<u8>,
    sequence: u8,
}

impl Output {
    pub fn new(sequence: u8) -> Self {
        Self { bytes: Vec::new(), sequence }
    }

    pub async fn send(self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        to.write_all(&self.bytes).await?;
        to.flush().await
    }

    fn packet(&mut self, body: &[u8]) {
        let mut rest = body;
        loop {
            let (piece, tail) = rest.split_at(rest.len().min(0xff_ffff));
            self.bytes.extend_from_slice(&(piece.len() as u32).to_le_bytes()[..3]);
            self.bytes.push(self.sequence);
            self.sequence = self.sequence.wrapping_add(1);
            self.bytes.extend_from_slice(piece);
            rest = tail;
            if piece.len() < 0xff_ffff {
                return;
            }
        }
    }

    pub fn handshake(&mut self, session: u64, nonce: &[u8; 20]) {
        let mut body = vec![10];
        body.extend_from_slice(VERSION.as_bytes());
        body.push(0);
        body.extend_from_slice(&(session as u32).to_le_bytes());
        body.extend_from_slice(&nonce[..8]);
        body.push(0);
        body.extend_from_slice(&(CAPABILITIES as u16).to_le_bytes());
        body.push(UTF8MB4);
        body.extend_from_slice(&AUTOCOMMIT.to_le_bytes());
        body.extend_from_slice(&((CAPABILITIES >> 16) as u16).to_le_bytes());
        body.push(21);
        body.extend_from_slice(&[0; 10]);
        body.extend_from_slice(&nonce[8..]);
        body.push(0);
        body.extend_from_slice(PLUGIN.as_bytes());
        body.push(0);
        self.packet(&body);
    }

    /// Asks the client to answer with mysql_native_password after all.
    pub fn switch_plugin(&mut self, nonce: &[u8; 20]) {
        let mut body = vec![0xfe];
        body.extend_from_slice(PLUGIN.as_bytes());
        body.push(0);
        body.extend_from_slice(nonce);
        body.push(0);
        self.packet(&body);
    }

    pub fn ok(&mut self, affected: u64) {
        let mut body = vec![0];
        lenenc(&mut body, affected);
        body.push(0);
        body.extend_from_slice(&AUTOCOMMIT.to_le_bytes());
        body.extend_from_slice(&[0, 0]);
        self.packet(&body);
    }

    pub fn error(&mut self, number: u16, sqlstate: &str, text: &str) {
        let mut body = vec![0xff];
        body.extend_from_slice(&number.to_le_bytes());
        body.push(b'#');
        body.extend_from_slice(format!("{sqlstate:0<5}").get(..5).unwrap_or("HY000").as_bytes());
        body.extend_from_slice(text.as_bytes());
        self.packet(&body);
    }

    pub fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Done { affected } => self.ok(*affected),
            Answer::Error { number, sqlstate, text } => self.error(*number, sqlstate, text),
            Answer::Rows { columns, rows } => self.rows(columns, rows),
        }
    }

    pub fn eof(&mut self) {
        let [low, high] = AUTOCOMMIT.to_le_bytes();
        self.packet(&[0xfe, 0, 0, low, high]);
    }

    fn rows(&mut self, columns: &[Column], rows: &[Vec<Option<String>>]) {
        let mut body = Vec::new();
        lenenc(&mut body, columns.len() as u64);
        self.packet(&body);
        for column in columns {
            self.packet(&definition(column));
        }
        self.eof();
        for row in rows {
            let mut body = Vec::new();
            for cell in row {
                match cell {
                    None => body.push(0xfb),
                    Some(text) => text_lenenc(&mut body, text),
                }
            }
            self.packet(&body);
        }
        self.eof();
    }
}

fn definition(column: &Column) -> Vec<u8> {
    let (kind, length, decimals, flags, charset): (u8, u32, u8, u16, u16) = match column.kind {
        ColumnKind::Integer => (0x08, 20, 0, 0x8000, 63),
        ColumnKind::Real => (0x05, 22, 31, 0x8000, 63),
        ColumnKind::Text => (0xfd, 65_535, 31, 0, u16::from(UTF8MB4)),
        ColumnKind::Datetime => (0x0c, 26, 6, 0x80, 63),
    };
    let mut body = Vec::new();
    for text in ["def", "oceanbase", "", "", &column.name, &column.name] {
        text_lenenc(&mut body, text);
    }
    body.push(0x0c);
    body.extend_from_slice(&charset.to_le_bytes());
    body.extend_from_slice(&length.to_le_bytes());
    body.push(kind);
    body.extend_from_slice(&flags.to_le_bytes());
    body.push(decimals);
    body.extend_from_slice(&[0, 0]);
    body
}

fn lenenc(body: &mut Vec<u8>, number: u64) {
    match number {
        0..=250 => body.push(number as u8),
        251..=0xffff => {
            body.push(0xfc);
            body.extend_from_slice(&(number as u16).to_le_bytes());
        }
        0x1_0000..=0xff_ffff => {
            body.push(0xfd);
            body.extend_from_slice(&(number as u32).to_le_bytes()[..3]);
        }
        _ => {
            body.push(0xfe);
            body.extend_from_slice(&number.to_le_bytes());
        }
    }
}

fn text_lenenc(body: &mut Vec<u8>, text: &str) {
    lenenc(body, text.len() as u64);
    body.extend_from_slice(text.as_bytes());
}

/// What a client answers to the handshake.
#[derive(Debug, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub scramble: Vec<u8>,
    pub database: Option<String>,
    /// The scramble was made for another plugin: ask again.
    pub other_plugin: bool,
}

pub fn parse_login(packet: &[u8]) -> Option<Login> {
    let capabilities = u32::from_le_bytes(packet.get(..4)?.try_into().ok()?);
    if capabilities & PROTOCOL_41 == 0 {
        return None;
    }
    let mut rest = packet.get(32..)?;
    let user = zero_ended(&mut rest)?;
    // lengths above 250 do not occur in native scrambles, so one byte serves both encodings
    let length = usize::from(*rest.first()?);
    let scramble = rest.get(1..1 + length)?.to_vec();
    rest = rest.get(1 + length..)?;
    let database = if capabilities & CONNECT_WITH_DB != 0 { zero_ended(&mut rest) } else { None };
    let plugin = if capabilities & PLUGIN_AUTH != 0 { zero_ended(&mut rest) } else { None };
    let other_plugin = plugin.is_some_and(|plugin| !plugin.is_empty() && plugin != PLUGIN);
    Some(Login { user, scramble, database: database.filter(|name| !name.is_empty()), other_plugin })
}

fn zero_ended(rest: &mut &[u8]) -> Option<String> {
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let text = String::from_utf8_lossy(&rest[..end]).into_owned();
    *rest = rest.get(end + 1..).unwrap_or_default();
    Some(text)
}

pub fn password_right(scramble: &[u8], nonce: &[u8; 20], password: &str) -> bool {
    match scramble_native(nonce, password.as_bytes()) {
        None => scramble.is_empty(),
        Some(expected) => scramble == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_encoded_as_mysql_does() {
        let encoded = |number| {
            let mut body = Vec::new();
            lenenc(&mut body, number);
            body
        };
        assert_eq!(encoded(250), [250]);
        assert_eq!(encoded(251), [0xfc, 251, 0]);
        assert_eq!(encoded(0x1_0000), [0xfd, 0, 0, 1]);
        assert_eq!(encoded(0x100_0000).len(), 9);
    }

    #[test]
    fn empty_password_is_an_empty_scramble() {
        assert!(password_right(&[], &[7; 20], ""));
        assert!(!password_right(&[], &[7; 20], "secret"));
        let scramble = scramble_native(&[7; 20], b"secret").unwrap();
        assert!(password_right(&scramble, &[7; 20], "secret"));
        assert!(!password_right(&scramble, &[7; 20], "other"));
    }
}
