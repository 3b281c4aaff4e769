//! Collects what is wrong with the fields of a request: all of it, so that a caller corrects a request once. Pure.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::ids::{InvalidName, LARGEST_ID};
use crate::domain::refusal::{FieldViolation, Refusal, Violations};

/// Longest name of anything, in bytes.
pub const LONGEST_NAME: usize = 128;
/// In bytes.
pub const LONGEST_USERNAME: usize = 128;
/// In bytes.
pub const LONGEST_PASSWORD: usize = 512;
/// In bytes.
pub const LONGEST_ENDPOINT: usize = 255;
/// Most endpoints of a cluster.
pub const MOST_ENDPOINTS: usize = 32;
/// Most hosts, and most server ids, of a cluster.
pub const MOST_HOSTS: usize = 1000;
/// In bytes.
pub const LONGEST_PAGE_TOKEN: usize = 256;
pub const LARGEST_PAGE: i32 = 1000;
/// Violations that are told: more do not fit into a status.
const MOST_VIOLATIONS: usize = 12;
/// Longest description, in characters; with the above, a status stays below the 8 KiB that clients take.
const LONGEST_DESCRIPTION: usize = 200;
/// Longest value that a violation repeats, in characters.
const LONGEST_REPEATED: usize = 64;
/// Moments of `google.protobuf.Timestamp`: the years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// What is wrong so far.
#[derive(Debug, Default)]
pub struct Fields {
    violations: Vec<FieldViolation>,
    omitted: usize,
}

impl Fields {
    /// One more thing that is wrong.
    pub fn wrong(&mut self, field: impl Into<String>, description: impl Into<String>) {
        if self.violations.len() < MOST_VIOLATIONS {
            let description = cut(&description.into(), LONGEST_DESCRIPTION);
            self.violations.push(FieldViolation { field: field.into(), description });
        } else {
            self.omitted += 1;
        }
    }

    /// The value, or all that is wrong with the request.
    pub fn finish<T>(self, value: T) -> Result<T, Refusal> {
        if self.violations.is_empty() { Ok(value) } else { Err(self.refusal()) }
    }

    /// All that is wrong with the request.
    pub fn refusal(self) -> Refusal {
        Refusal::InvalidArgument(Violations { shown: self.violations, omitted: self.omitted })
    }

    /// An id that must be given.
    pub fn id<T>(
        &mut self,
        field: impl Into<String>,
        value: i64,
        new: impl FnOnce(i64) -> Result<T, InvalidName>,
    ) -> Option<T> {
        if value == 0 {
            self.wrong(field, format!("is required, give an id from 1 to {LARGEST_ID}"));
            return None;
        }
        self.parsed(field, new(value))
    }

    /// An id that may be left out.
    pub fn optional_id<T>(
        &mut self,
        field: impl Into<String>,
        value: Option<i64>,
        new: impl FnOnce(i64) -> Result<T, InvalidName>,
    ) -> Option<T> {
        value.and_then(|value| self.parsed(field, new(value)))
    }

    /// A position that is 0 or more.
    pub fn position(&mut self, field: &str, value: i64) -> Option<i64> {
        if (0..=LARGEST_ID).contains(&value) {
            Some(value)
        } else {
            self.wrong(field, format!("{value} is not a position, give 0 to {LARGEST_ID}"));
            None
        }
    }

    /// A value that may be empty for none.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, field: impl Into<String>, value: &str) -> Option<T> {
        if value.is_empty() { None } else { self.parse(field, value) }
    }

    /// A value that must be given.
    pub fn parse<T: FromStr<Err: Display>>(&mut self, field: impl Into<String>, value: &str) -> Option<T> {
        if value.len() > LONGEST_ENDPOINT {
            self.wrong(field, too_long(value, LONGEST_ENDPOINT));
            return None;
        }
        self.parsed(field, value.parse())
    }

    fn parsed<T, E: Display>(&mut self, field: impl Into<String>, parsed: Result<T, E>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(field, error.to_string());
                None
            }
        }
    }

    /// Free text: at most so many bytes, no control characters.
    pub fn text(&mut self, field: impl Into<String>, value: String, longest: usize) -> String {
        if value.len() > longest {
            self.wrong(field, too_long(&value, longest));
        } else if value.chars().any(char::is_control) {
            self.wrong(field, "holds control characters, remove them");
        }
        value
    }

    /// A secret: as [`Fields::text`], and what is wrong never repeats it.
    pub fn secret(&mut self, field: &str, value: String) -> String {
        if value.len() > LONGEST_PASSWORD {
            self.wrong(field, format!("is longer than {LONGEST_PASSWORD} bytes"));
        } else if value.contains('\0') {
            self.wrong(field, "holds a NUL character, remove it");
        }
        value
    }

    /// `host:port`, IPv6 in brackets.
    pub fn endpoint(&mut self, field: impl Into<String>, value: &str) {
        if value.len() > LONGEST_ENDPOINT {
            return self.wrong(field, too_long(value, LONGEST_ENDPOINT));
        }
        if !is_endpoint(value) {
            let value = shortened(value);
            self.wrong(field, format!("{value:?} is not host:port, write for example 10.0.0.2:2881 or [fd00::2]:2881"));
        }
    }

    /// A value of an enumeration, unspecified too.
    pub fn known<T: TryFrom<i32>>(&mut self, field: impl Into<String>, value: i32) -> Option<T> {
        let known = T::try_from(value).ok();
        if known.is_none() {
            self.wrong(field, format!("{value} is not a value that this version knows"));
        }
        known
    }

    pub fn moment(&mut self, field: &str, value: Option<prost_types::Timestamp>) -> Option<Timestamp> {
        let prost_types::Timestamp { seconds, nanos } = value?;
        if SECONDS.contains(&seconds) && (0..1_000_000_000).contains(&nanos) {
            return Some(Timestamp::from_micros(seconds * 1_000_000 + i64::from(nanos / 1000)));
        }
        self.wrong(field, format!("{seconds} s and {nanos} ns is not a moment of the years 1 to 9999"));
        None
    }

    /// A time of at most `longest`.
    pub fn time(&mut self, field: &str, value: Option<prost_types::Duration>, longest: Duration) -> Option<Duration> {
        let value = value?;
        let time = Duration::try_from(value).ok().filter(|time| *time <= longest);
        if time.is_none() {
            let longest = longest.as_secs();
            let given = format!("{} s and {} ns", value.seconds, value.nanos);
            self.wrong(field, format!("{given} is not a time from 0 to {longest} s"));
        }
        time
    }

    /// Size of a page; 0 asks for the default.
    pub fn page_size(&mut self, value: i32, default: u32) -> u32 {
        if !(0..=LARGEST_PAGE).contains(&value) {
            self.wrong(
                "page_size",
                format!("{value} is not a page size, give 1 to {LARGEST_PAGE}, or 0 for {default}"),
            );
        }
        u32::try_from(value).ok().filter(|size| *size > 0).unwrap_or(default)
    }
}

fn too_long(value: &str, longest: usize) -> String {
    format!("has {} bytes, at most {longest} are allowed", value.len())
}

/// As much of a value as a violation may repeat.
pub fn shortened(value: &str) -> String {
    cut(value, LONGEST_REPEATED)
}

fn cut(value: &str, longest: usize) -> String {
    match value.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

fn is_endpoint(value: &str) -> bool {
    let Some((host, port)) = value.rsplit_once(':') else { return false };
    let port_is_given =
        port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let host_is_given = match host.strip_prefix('[') {
        Some(rest) => {
            rest.strip_suffix(']').is_some_and(|ip| ip.parse::<IpAddr>().is_ok_and(|ip: IpAddr| ip.is_ipv6()))
        }
        None => {
            let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
            !host.is_empty() && host.chars().all(allowed)
        }
    };
    port_is_given && host_is_given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for good in ["10.0.0.2:2881", "db-1.example.com:1", "[fd00::2]:65535", "localhost:2881"] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in ["", "10.0.0.2", ":2881", "a:0", "a:65536", "a:+1", "fd00::2:2881", "[10.0.0.1]:1", "a b:1", "u@h:1"]
        {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }

    #[test]
    fn violations_are_bounded_and_say_so() {
        let mut fields = Fields::default();
        (0..100).for_each(|number| fields.wrong(format!("a[{number}]"), "is wrong"));
        let Refusal::InvalidArgument(violations) = fields.refusal() else { panic!() };
        assert_eq!((violations.shown.len(), violations.omitted), (MOST_VIOLATIONS, 88));
    }
}
