//! Page tokens: the position behind a page and a digest of what was listed, opaque to callers. A token of another list, or
//! of the same with other filters, is refused rather than silently giving another page.

use crate::api::grpc::fields::{Fields, LONGEST_PAGE_TOKEN};

/// What a list shows: its name and filters, digested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing(u64);

impl Listing {
    /// From the list's name and its filters, in a fixed order.
    pub fn new(name: &str, filters: &[&dyn std::fmt::Debug]) -> Self {
        let text = format!("{name} {filters:?}");
        // FNV-1a: the same on every replica and in every version of the standard library.
        let digest = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(digest)
    }

    /// The token of the page behind `position`.
    pub fn token(self, position: i64) -> String {
        format!("{position:016x}{:016x}", self.0)
    }

    /// The position in a token; `None` for the first page.
    pub fn position(self, fields: &mut Fields, token: &str) -> Option<i64> {
        if token.is_empty() {
            return None;
        }
        if token.len() > LONGEST_PAGE_TOKEN {
            fields.wrong("page_token", format!("has {} bytes, at most {LONGEST_PAGE_TOKEN} are allowed", token.len()));
            return None;
        }
        let parts = token.is_ascii().then(|| token.split_at_checked(16)).flatten();
        let parsed = parts.and_then(|(position, digest)| {
            let hex = |text: &str| text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
            (hex(position) && hex(digest)).then_some(())?;
            Some((i64::from_str_radix(position, 16).ok()?, u64::from_str_radix(digest, 16).ok()?))
        });
        match parsed {
            Some((position, digest)) if digest == self.0 && position > 0 => Some(position),
            Some(_) => {
                fields.wrong("page_token", "belongs to another list or other filters, repeat those or begin anew");
                None
            }
            None => {
                fields.wrong("page_token", "is not a page token, pass next_page_token as it was or begin anew");
                None
            }
        }
    }
}

/// Cuts a list of one more than the page to the page, and says whether there is another.
pub fn cut<T>(items: &mut Vec<T>, size: u32) -> bool {
    let more = items.len() > size as usize;
    items.truncate(size as usize);
    more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::refusal::Refusal;

    #[test]
    fn a_token_comes_back_only_under_the_same_filters() {
        let listing = Listing::new("tasks", &[&Some(1), &"a"]);
        let mut fields = Fields::default();
        assert_eq!(listing.position(&mut fields, ""), None);
        assert_eq!(listing.position(&mut fields, &listing.token(77)), Some(77));
        fields.finish(()).unwrap();
        let other = Listing::new("tasks", &[&Some(2), &"a"]).token(77);
        let cut = &listing.token(77)[..31];
        for foreign in [other.as_str(), cut, "x", &"0".repeat(300), "+000000000000001ffffffffffffffff", "é"] {
            let mut fields = Fields::default();
            assert_eq!(listing.position(&mut fields, foreign), None, "{foreign}");
            let Err(Refusal::InvalidArgument(violations)) = fields.finish(()) else { panic!("{foreign}") };
            assert_eq!(violations.told[0].field, "page_token");
        }
    }
}
