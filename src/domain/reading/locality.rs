//! The locality of a tenant as `DBA_OB_TENANTS.LOCALITY` writes it, and the number of paxos replicas it asks for.

use super::{Fact, Unreadable};

/// Number of paxos replicas that a locality asks for, for example 3 for `FULL{1}@zone1, F@zone2, L{1},R{2}@zone3`. Only full,
/// log-only and encryption log-only replicas vote; read-only and column-store ones do not. What cannot be parsed is an error
/// and never guessed.
pub fn paxos_replica_number(locality: &str) -> Fact<i64> {
    let unreadable = |why: &str| Unreadable::new(format!("locality {locality:?} is not understood: {why}"));
    let mut rest = locality.trim();
    let mut number = 0_i64;
    while !rest.is_empty() {
        let word_end = rest.find(|character: char| !(character.is_ascii_alphabetic() || character == '_'));
        let (word, after_word) = rest.split_at(word_end.unwrap_or(rest.len()));
        let votes = votes(word).ok_or_else(|| unreadable(&format!("{word:?} is no replica type")))?;
        let (count, after_count) = count(after_word).ok_or_else(|| unreadable("a number of replicas is wrong"))?;
        if votes {
            let count = count.ok_or_else(|| unreadable("ALL_SERVER for a replica that votes"))?;
            number = number.checked_add(count).ok_or_else(|| unreadable("too many replicas"))?;
        }
        rest = after_place(after_count).ok_or_else(|| unreadable("a zone list is wrong"))?;
    }
    if number > 0 { Ok(number) } else { Err(unreadable("it has no replica that votes")) }
}

fn votes(word: &str) -> Option<bool> {
    match word.to_ascii_uppercase().as_str() {
        "FULL" | "F" | "LOGONLY" | "L" | "ENCRYPTION_LOGONLY" | "E" => Some(true),
        "READONLY" | "R" | "COLUMNSTORE" | "C" => Some(false),
        _ => None,
    }
}

/// `{n}`, `{ALL_SERVER}` (`None`) or nothing (1), and what follows.
fn count(text: &str) -> Option<(Option<i64>, &str)> {
    let text = text.trim_start();
    let Some(inner) = text.strip_prefix('{') else { return Some((Some(1), text)) };
    let (inner, rest) = inner.split_once('}')?;
    let inner = inner.trim();
    if inner.eq_ignore_ascii_case("ALL_SERVER") {
        return Some((None, rest));
    }
    let count: i64 = inner.parse().ok()?;
    (count > 0).then_some((Some(count), rest))
}

/// Skips `@zone` or `@[zone, zone]` if there, then a comma; what remains must begin another replica type.
fn after_place(text: &str) -> Option<&str> {
    let mut text = text.trim_start();
    if let Some(place) = text.strip_prefix('@') {
        let place = place.trim_start();
        text = match place.strip_prefix('[') {
            Some(list) => list.split_once(']')?.1,
            None => {
                let end = place.find(',').unwrap_or(place.len());
                (!place[..end].trim().is_empty()).then_some(&place[end..])?
            }
        };
    }
    let text = text.trim_start();
    if text.is_empty() {
        return Some(text);
    }
    let rest = text.strip_prefix(',')?.trim_start();
    (!rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voting_replicas_are_counted() {
        for (locality, number) in [
            ("FULL{1}@zone1, FULL{1}@zone2, FULL{1}@zone3", 3),
            ("F@z1,F@z2,F@z3", 3),
            ("FULL{1}@zone1", 1),
            ("full{2}@[zone1,zone2], logonly{1}@zone3", 3),
            ("FULL{1},READONLY{1}@zone1, FULL{1}@zone2", 2),
            ("FULL{1}@zone1, READONLY{ALL_SERVER}@zone2", 1),
            ("F{1}@zone1, R{2}@zone2, E{1}@zone3, C{1}@zone4", 2),
        ] {
            assert_eq!(paxos_replica_number(locality), Ok(number), "{locality}");
        }
    }

    #[test]
    fn what_is_not_understood_is_not_guessed() {
        for locality in [
            "",
            "READONLY{1}@zone1",
            "FULL{ALL_SERVER}@zone1",
            "FULL{0}@zone1",
            "FULL{x}@zone1",
            "FULL{1@zone1",
            "FULL{1}@",
            "FULL{1}@[zone1",
            "FULL{1}@zone1,",
            "HALF{1}@zone1",
            "FULL{1}zone1",
        ] {
            assert!(paxos_replica_number(locality).is_err(), "{locality}");
        }
    }
}
