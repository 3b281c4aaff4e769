//! The text inside `etc/observer.config.bin`. Pure.
//!
//! OceanBase writes a frame (version, then the length of the rest, both as integers of 7 bits a byte), a record header of
//! 32 bytes, a frame again, and `key=value` lines; programs of before 2.2 wrote neither frame. Integers of the header are
//! big-endian: magic 0xBCDE, its length, version, checksum (16 bits each), a time (64), length of the data, the same when
//! compressed (32 each; it never is), and a checksum of the data (64), which may end in a byte that looks like a letter of
//! the first key.

const HEADER: usize = 32;
const MAGIC: [u8; 2] = [0xBC, 0xDE];
/// Version of a frame and of the record.
const VERSION: u64 = 1;

/// The `key=value` lines of the file; `None`: it is no complete record.
pub fn text(bytes: &[u8]) -> Option<&[u8]> {
    let data = framed(bytes).and_then(record).or_else(|| record(bytes))?;
    Some(framed(data).unwrap_or(data))
}

/// The values of `key` in the lines that [`text`] returns.
pub fn value<'a>(text: &'a [u8], key: &str) -> impl Iterator<Item = &'a str> {
    text.split(|byte| *byte == b'\n').filter_map(move |line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once('=')?;
        (name.trim() == key).then(|| value.trim())
    })
}

fn framed(bytes: &[u8]) -> Option<&[u8]> {
    let (version, rest) = integer(bytes)?;
    let (length, rest) = integer(rest)?;
    (version == VERSION && usize::try_from(length) == Ok(rest.len())).then_some(rest)
}

/// Seven bits a byte, the lowest first; the last byte has no high bit.
fn integer(bytes: &[u8]) -> Option<(u64, &[u8])> {
    const LONGEST: usize = 9;
    let last = bytes.iter().take(LONGEST).position(|byte| byte & 0x80 == 0)?;
    let (digits, rest) = bytes.split_at(last + 1);
    Some((digits.iter().rev().fold(0, |value, digit| (value << 7) | u64::from(digit & 0x7f)), rest))
}

fn record(bytes: &[u8]) -> Option<&[u8]> {
    let (header, data) = bytes.split_at_checked(HEADER)?;
    let number = |at: usize, length: usize| {
        header[at..at + length].iter().fold(0, |value, byte| (value << 8) | u64::from(*byte))
    };
    let length = u64::try_from(data.len()).ok()?;
    let whole = header.starts_with(&MAGIC)
        && number(2, 2) == u64::try_from(HEADER).ok()?
        && number(4, 2) == VERSION
        && number(16, 4) == length
        && number(20, 4) == length;
    whole.then_some(data)
}

/// For tests: such a file. `framed`: as it is written since 2.2.
#[cfg(test)]
pub fn file(text: &str, framed: bool) -> Vec<u8> {
    let frame = |rest: Vec<u8>| {
        let length = rest.len();
        let digits = (0..4).map(|digit| 0x80 | u8::try_from((length >> (7 * digit)) & 0x7f).unwrap());
        [1].into_iter().chain(digits).chain([0]).chain(rest).collect::<Vec<u8>>()
    };
    let data = if framed { frame(text.as_bytes().to_vec()) } else { text.as_bytes().to_vec() };
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    let mut record = [&MAGIC[..], &[0, 32, 0, 1, 0x12, 0x34], &[0; 8], &length, &length, b"checksum"].concat();
    record.extend(data);
    if framed { frame(record) } else { record }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_behind_the_header_are_whole_in_both_forms() {
        let lines = "cluster=demo\nold_cluster=x\nzone = zone1\nlog=cluster=no\n";
        for framed in [true, false] {
            let file = file(lines, framed);
            let text = text(&file).unwrap();
            assert_eq!(text, lines.as_bytes());
            assert_eq!(value(text, "cluster").collect::<Vec<_>>(), ["demo"]);
            assert_eq!(value(text, "zone").collect::<Vec<_>>(), ["zone1"]);
        }
        let long = format!("cluster={}\n", "x".repeat(20_000));
        assert_eq!(text(&file(&long, true)).unwrap(), long.as_bytes());
    }

    #[test]
    fn what_is_no_whole_record_is_none() {
        let whole = file("cluster=demo\n", true);
        for length in 0..whole.len() {
            assert_eq!(text(&whole[..length]), None, "{length}");
        }
        assert_eq!(text(&[&whole[..], b"x"].concat()), None);
        assert_eq!(text(b"cluster=demo\nrpc_port=2882\nmore=text that is longer than a header\n"), None);
        assert_eq!(text(&[0xff; 64]), None);
    }
}
