//! Member lists as OceanBase writes them: `ip:port:timestamp` joined by commas, IPv6 with or without brackets.

use super::{Fact, Unreadable};
use crate::domain::ids::ServerAddr;

/// The addresses of a member list. One member that cannot be parsed, or that is listed twice, makes the whole list unreadable:
/// a list with a gap would be counted wrongly. An empty text is an empty list.
pub fn parse(text: &str) -> Fact<Vec<ServerAddr>> {
    let mut members = Vec::new();
    for part in text.split(',').map(str::trim) {
        if part.is_empty() && text.trim().is_empty() {
            break;
        }
        let member =
            member(part).ok_or_else(|| Unreadable::new(format!("member {part:?} of {text:?} is not ip:port:time")))?;
        if members.contains(&member) {
            return Err(Unreadable::new(format!("member {member} stands twice in {text:?}")));
        }
        members.push(member);
    }
    Ok(members)
}

/// Taken apart from the right, because an IPv6 address may come without brackets.
fn member(part: &str) -> Option<ServerAddr> {
    let (address, time) = part.rsplit_once(':')?;
    let _: i64 = time.parse().ok()?;
    let (ip, port) = address.rsplit_once(':')?;
    let ip = match ip.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']')?,
        None => ip,
    };
    ServerAddr::new(ip.parse().ok()?, port.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ip_versions_are_read() {
        let members = parse("10.0.0.1:2882:1,[fd00::2]:2882:1700000000000000,fd00::3:2882:-1").unwrap();
        let words: Vec<String> = members.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["10.0.0.1:2882", "[fd00::2]:2882", "[fd00::3]:2882"]);
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn one_bad_member_spoils_the_list() {
        for text in ["10.0.0.1:2882", "10.0.0.1:2882:1,", "10.0.0.1:2882:x", "a:2882:1", ",", "10.0.0.1:0:1", "NULL"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("10.0.0.1:2882:1,10.0.0.1:2882:2").is_err());
    }
}
