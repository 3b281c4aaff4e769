//! TimestampFormat as OCP writes them: milliseconds and the offset of a zone, `2021-03-02T16:11:11.327+08:00`.

use jiff::tz::{Offset, TimeZone};
use thiserror::Error;

use crate::clock::Timestamp;

/// A zone that is not known on this machine.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a time zone that this machine knows, write for example Asia/Shanghai or +08:00")]
pub struct UnknownTimeZone(String);

/// Writes moments in one zone.
#[derive(Clone, Debug)]
pub struct TimestampFormat(TimeZone);

impl TimestampFormat {
    /// Of a zone by its IANA name or by an offset such as `+08:00`; empty: the machine's.
    pub fn named(name: &str) -> Result<Self, UnknownTimeZone> {
        if name.is_empty() {
            return Ok(Self(TimeZone::system()));
        }
        if let Some(offset) = offset(name) {
            return Ok(Self(TimeZone::fixed(offset)));
        }
        TimeZone::get(name).map(Self).map_err(|_| UnknownTimeZone(name.to_owned()))
    }

    /// UTC, written `+00:00`.
    pub const fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    pub fn text(&self, at: Timestamp) -> String {
        match jiff::Timestamp::from_microsecond(at.as_micros()) {
            Ok(moment) => moment.to_zoned_datetime(self.0.clone()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
            // Beyond the years that can be written.
            Err(_) => at.to_string(),
        }
    }
}

/// `+08:00` or `-03:30`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        (_, _) => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str, most: i32| {
        let two = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_digit());
        Some(text).filter(|_| two)?.parse::<i32>().ok().filter(|number| *number <= most)
    };
    Offset::from_seconds(sign * (number(hours, 23)? * 3600 + number(minutes, 59)? * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_carry_milliseconds_and_the_offset() {
        let at = Timestamp::from_micros(1_614_672_671_327_999);
        let text = |zone: &str| TimestampFormat::named(zone).unwrap().text(at);
        assert_eq!(text("+08:00"), "2021-03-02T16:11:11.327+08:00");
        assert_eq!(text("-03:30"), "2021-03-02T04:41:11.327-03:30");
        assert_eq!(TimestampFormat::utc().text(at), "2021-03-02T08:11:11.327+00:00");
        assert_eq!(TimestampFormat::utc().text(Timestamp::from_micros(0)), "1970-01-01T00:00:00.000+00:00");
        assert!(TimestampFormat::named("").is_ok());
        // Without the system's files too.
        let bundled = jiff::tz::TimeZoneDatabase::bundled().get("Asia/Shanghai").unwrap();
        assert_eq!(TimestampFormat(bundled).text(at), "2021-03-02T16:11:11.327+08:00");
        for wrong in ["Nowhere/AtAll", "+8", "+08:60", "+24:00", "8", "+0a:00"] {
            assert!(TimestampFormat::named(wrong).is_err(), "{wrong}");
        }
    }
}
