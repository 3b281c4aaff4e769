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

    /// The token of the page behind an item of this name.
    fn token_of_name(self, name: &str) -> String {
        format!("{:016x}{name}", self.0)
    }

    /// The name in a token; `None` for the first page.
    fn name(self, fields: &mut Fields, token: &str) -> Option<String> {
        if token.is_empty() {
            return None;
        }
        let digest = token.split_at_checked(16).and_then(|(digest, name)| {
            let digits = digest.bytes().all(|digit| digit.is_ascii_hexdigit());
            Some((u64::from_str_radix(digest, 16).ok().filter(|_| digits && !name.is_empty())?, name))
        });
        let ours =
            digest.map(|(digest, name)| (digest == self.0 && token.len() <= LONGEST_PAGE_TOKEN, name.to_owned()));
        held(fields, ours)
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
        held(fields, parsed.map(|(position, digest)| (digest == self.0 && position > 0, position)))
    }
}

/// What stands in a page token, with whether the token is one of this list and these filters; `None`: it is no token.
fn held<T>(fields: &mut Fields, token: Option<(bool, T)>) -> Option<T> {
    let wrong = match token {
        Some((true, place)) => return Some(place),
        Some((false, _)) => "belongs to another list or other filters, repeat those or begin anew",
        None => "is not a page token, pass next_page_token as it was or begin anew",
    };
    fields.wrong("page_token", wrong);
    None
}

/// A page of a list that is there as a whole and whose items have names; with the token of the next page. Names ascend, but for
/// those that are never removed.
pub fn of_named<T>(
    fields: &mut Fields,
    listing: Listing,
    (size, token): (u32, &str),
    items: Vec<T>,
    name: impl Fn(&T) -> String,
) -> (Vec<T>, String) {
    let behind = listing.name(fields, token);
    let begin = behind.map_or(0, |behind| match items.iter().position(|item| name(item) == behind) {
        Some(there) => there + 1,
        None => items.iter().position(|item| name(item) > behind).unwrap_or(items.len()),
    });
    let mut page: Vec<T> = items.into_iter().skip(begin).take(size as usize + 1).collect();
    let more = cut(&mut page, size);
    let next = page.last().filter(|_| more).map(|last| listing.token_of_name(&name(last)));
    (page, next.unwrap_or_default())
}

/// Where a page of a list ends: the list is asked for one item more than the page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    pub listing: Listing,
    pub size: u32,
}

impl Paging {
    /// The page, and the token of the next one; empty: there is none.
    pub fn cut<T>(self, mut items: Vec<T>, position: impl Fn(&T) -> i64) -> (Vec<T>, String) {
        let more = cut(&mut items, self.size);
        let next = items.last().filter(|_| more).map(|last| self.listing.token(position(last)));
        (items, next.unwrap_or_default())
    }
}

/// Cuts a list of one more than the page to the page, and says whether there is another.
fn cut<T>(items: &mut Vec<T>, size: u32) -> bool {
    let more = items.len() > size as usize;
    items.truncate(size as usize);
    more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::refusal::Refusal;

    #[test]
    fn pages_of_names_go_on_where_one_ended_also_when_that_item_is_gone() {
        let page = |items: &[&str], size: u32, token: &str| {
            let mut fields = Fields::default();
            let items = items.iter().map(|item| (*item).to_owned()).collect();
            let page = of_named(&mut fields, Listing::new("roles", &[]), (size, token), items, String::clone);
            fields.finish(page)
        };
        let all = ["!Z", "!B", "A", "B", "C"];
        let (first, next) = page(&all, 2, "").unwrap();
        assert_eq!(first, ["!Z", "!B"]);
        let (second, next) = page(&all, 2, &next).unwrap();
        assert_eq!(second, ["A", "B"]);
        assert_eq!(page(&all, 2, &next).unwrap(), (vec!["C".to_owned()], String::new()));
        assert_eq!(page(&["!Z", "!B", "A", "C"], 2, &next).unwrap().0, ["C"], "B was removed meanwhile");
        assert_eq!(page(&all, 5, "").unwrap().1, "", "there is no page behind the last item");
        for foreign in [Listing::new("users", &[]).token_of_name("B").as_str(), "x", &next[..16], "é"] {
            assert!(page(&all, 2, foreign).is_err(), "{foreign}");
        }
    }

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
            assert_eq!(violations.shown[0].field, "page_token");
        }
    }
}
