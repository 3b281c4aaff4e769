//! Which language a message is in, by `Accept-Language`. Chinese unless English is wanted more: OCP's programs expect it.

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Chinese; also when nothing is asked for, or only languages that we do not have.
    Chinese,
    English,
}

/// How much a language is wanted; the place in the header decides between equals, earlier first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wish {
    thousandths: u32,
    place: usize,
}

impl Language {
    /// The one that a request wants most (RFC 9110, section 12.5.4).
    pub fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
        let ranges: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
        let chinese = wish(&ranges, "zh");
        let english = wish(&ranges, "en");
        match (chinese, english) {
            (Some(chinese), Some(english)) if prefers(english, chinese) => Self::English,
            (None, Some(_)) => Self::English,
            (Some(_), Some(_)) | (Some(_) | None, None) => Self::Chinese,
        }
    }

    /// For `Content-Language`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::English => "en",
        }
    }
}

fn prefers(one: Wish, other: Wish) -> bool {
    one.thousandths > other.thousandths || (one.thousandths == other.thousandths && one.place < other.place)
}

/// `None`: not wanted, or ruled out with `q=0`.
fn wish(ranges: &[&str], language: &str) -> Option<Wish> {
    let named = ranges.iter().enumerate().filter_map(|(place, range)| {
        let mut parts = range.split(';').map(str::trim);
        let tag = parts.next().unwrap_or_default();
        let primary = tag.split('-').next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let thousandths = quality.map_or(Some(1000), thousandths)?;
        let specific = primary.eq_ignore_ascii_case(language);
        (specific || tag == "*").then_some((specific, Wish { thousandths, place }))
    });
    let found: Vec<(bool, Wish)> = named.collect();
    let specific = found.iter().any(|(specific, _)| *specific);
    let best = found.into_iter().filter(|(this, _)| *this == specific).map(|(_, wish)| wish);
    let best = best.reduce(|best, wish| if prefers(wish, best) { wish } else { best });
    best.filter(|wish| wish.thousandths > 0)
}

/// `0.8` as 800; `None`: not a quality.
fn thousandths(text: &str) -> Option<u32> {
    let quality: f64 = text.trim().parse().ok()?;
    // Bounded just before: the cast cannot lose anything.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (0.0..=1.0).contains(&quality).then(|| (quality * 1000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_that_is_wanted_most_is_spoken() {
        for (header, language) in [
            (None, Language::Chinese),
            (Some(""), Language::Chinese),
            (Some("fr, de;q=0.9"), Language::Chinese),
            (Some("en"), Language::English),
            (Some("EN-us,zh;q=0.9"), Language::English),
            (Some("en;q=0.3, zh-CN;q=0.8"), Language::Chinese),
            (Some("zh;q=0.8,en;q=0.8"), Language::Chinese),
            (Some("en;q=0.8,zh;q=0.8"), Language::English),
            (Some("zh;q=0, *"), Language::English),
            (Some("en;q=0"), Language::Chinese),
            (Some("*;q=0.5, en;q=0.1"), Language::Chinese),
            (Some("en;q=seven, zh;q=0.1"), Language::Chinese),
            (Some("en;q=NaN"), Language::Chinese),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(ACCEPT_LANGUAGE, header.parse().unwrap());
            }
            assert_eq!(Language::of(&headers), language, "{header:?}");
        }
    }
}
