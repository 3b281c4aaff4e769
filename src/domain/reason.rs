//! Why something is asked for, in the caller's own words: free text for people, who find the ticket by it. Pure.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::domain::printable::is_invisible;

/// Longest reason, in characters.
pub const LONGEST_REASON: usize = 1000;

/// Why a text cannot be a reason.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidReason {
    #[error("has {0} characters, at most {LONGEST_REASON} are allowed")]
    TooLong(usize),
    /// Control characters, or others that act on the text around them.
    #[error("holds control characters or others that are not seen, remove them")]
    Unseen,
}

/// Empty when the caller gave no reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Without the checks: the text was checked before it was stored.
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = InvalidReason;

    fn from_str(text: &str) -> Result<Self, InvalidReason> {
        let length = text.chars().count();
        if length > LONGEST_REASON {
            return Err(InvalidReason::TooLong(length));
        }
        if text.contains(is_invisible) {
            return Err(InvalidReason::Unseen);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_words_that_are_seen_and_not_too_long() {
        for good in ["", "CHG-4711: kernel update", "变更单 4711"] {
            assert_eq!(good.parse::<Reason>().unwrap().as_str(), good);
        }
        assert!("é".repeat(LONGEST_REASON).parse::<Reason>().is_ok(), "characters count, not bytes");
        assert_eq!("é".repeat(1001).parse::<Reason>(), Err(InvalidReason::TooLong(1001)));
        for bad in ["a\nb", "a\u{1b}[2J", "a\u{202e}b", "\0"] {
            assert_eq!(bad.parse::<Reason>(), Err(InvalidReason::Unseen), "{bad:?}");
        }
    }
}
