//! Moments and durations between the protocol, the command line and the eye. Pure: "now" is always an argument.

use std::time::Duration;

use crate::clock::Timestamp;

/// A moment of the protocol; absent stays absent.
pub fn moment(timestamp: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    let timestamp = timestamp?;
    Some(Timestamp::from_micros(
        timestamp.seconds.saturating_mul(1_000_000).saturating_add(i64::from(timestamp.nanos) / 1_000),
    ))
}

/// RFC 3339; absent stays absent.
pub fn rfc3339(timestamp: Option<&prost_types::Timestamp>) -> Option<String> {
    moment(timestamp).map(|moment| moment.to_string())
}

/// RFC 3339, or `-` when absent.
pub fn shown(timestamp: Option<&prost_types::Timestamp>) -> String {
    rfc3339(timestamp).unwrap_or_else(|| "-".to_owned())
}

pub fn to_proto(moment: Timestamp) -> prost_types::Timestamp {
    let micros = moment.as_micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0),
    }
}

/// A duration as a person reads it: `850ms`, `12.3s`, `4m07s`, `2h05m`.
pub fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 1 {
        format!("{}ms", duration.as_millis())
    } else if seconds < 60 {
        format!("{seconds}.{}s", duration.subsec_millis() / 100)
    } else if seconds < 3600 {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    } else {
        format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60)
    }
}

/// A duration as one says it, when its parts do not matter: `45 s`, `2 min`, `3 h`.
pub fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..90 => format!("{seconds} s"),
        90..5400 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h", (seconds + 1800) / 3600),
    }
}

/// Older than this, what the service read last is stale: it reads a cluster every minute.
const STALE: Duration = Duration::from_secs(180);

/// How old a reading is: `12s ago`, and whether that is too old to act upon.
pub fn age(observed: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    let Some(observed) = moment(observed) else { return "never".to_owned() };
    let age = now.since(observed);
    let stale = if age > STALE { ", stale" } else { "" };
    let (days, whole) = (age.as_secs() / 86_400, Duration::from_secs(age.as_secs()));
    match age.as_secs() {
        seconds @ 0..60 => format!("{seconds}s ago"),
        60..172_800 => format!("{} ago{stale}", brief(whole)),
        _ => format!("{days} days ago{stale}"),
    }
}

/// Reads a duration as a person writes it: `90s`, `2h`, `1h 30m`; not zero, not negative.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration above zero, write for example 30s, 10m or 2h");
    let duration: jiff::SignedDuration = text.trim().parse().map_err(|_| wrong())?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

/// The beginning of a time range, as a person writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So long before now.
    Ago(Duration),
    /// At a moment.
    At(Timestamp),
}

impl Since {
    pub fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(duration) => now.minus(duration),
            Self::At(moment) => moment,
        }
    }
}

/// Reads a duration before now or a moment in RFC 3339.
pub fn parse_since(text: &str) -> Result<Since, String> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(Since::At(Timestamp::from_micros(moment.as_microsecond())));
    }
    parse_duration(text).map(Since::Ago).map_err(|_| {
        format!("{text:?} is neither a duration nor a moment, write for example 2h or 2026-01-02T03:04:05Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_says_how_old_it_is() {
        let now = Timestamp::from_micros(1_000_000_000_000);
        for (seconds, said) in [
            (0, "0s ago"),
            (12, "12s ago"),
            (61, "1m01s ago"),
            (180, "3m00s ago"),
            (181, "3m01s ago, stale"),
            (7500, "2h05m ago, stale"),
            (200_000, "2 days ago, stale"),
        ] {
            let observed = to_proto(now.minus(Duration::from_secs(seconds)));
            assert_eq!(age(Some(&observed), now), said);
        }
        assert_eq!(age(None, now), "never");
        assert_eq!(age(Some(&to_proto(now.plus(Duration::from_secs(9)))), now), "0s ago", "of a clock that is ahead");
    }

    #[test]
    fn moments_keep_milliseconds_both_ways() {
        let proto = prost_types::Timestamp { seconds: 1_767_323_045, nanos: 678_000_000 };
        assert_eq!(shown(Some(&proto)), "2026-01-02T03:04:05.678Z");
        assert_eq!(to_proto(moment(Some(&proto)).unwrap()), proto);
        assert_eq!(shown(None), "-");
        assert_eq!(to_proto(Timestamp::from_micros(-1)).nanos, 999_999_000);
    }

    #[test]
    fn durations_are_read_as_written() {
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "2", "0s", "-1h", "soon"] {
            assert!(parse_duration(wrong).unwrap_err().contains("2h"), "{wrong}");
        }
    }

    #[test]
    fn a_beginning_is_a_moment_or_so_long_ago() {
        let now = Timestamp::from_micros(1_767_323_045_678_000);
        let since = |text| parse_since(text).map(|since| since.moment(now).to_string());
        assert_eq!(since("1h"), Ok("2026-01-02T02:04:05.678Z".to_owned()));
        assert_eq!(since("2026-01-02T03:04:05+08:00"), Ok("2026-01-01T19:04:05.000Z".to_owned()));
        assert!(since("yesterday").unwrap_err().contains("2h"));
        assert!(since("0s").is_err());
    }

    #[test]
    fn brief_durations() {
        let brief_of = |millis| brief(Duration::from_millis(millis));
        assert_eq!(brief_of(850), "850ms");
        assert_eq!(brief_of(12_345), "12.3s");
        assert_eq!(brief_of(247_000), "4m07s");
        assert_eq!(brief_of(7_500_000), "2h05m");
        let said = [89, 90, 150, 5_399, 5_400].map(|seconds| rough(Duration::from_secs(seconds)));
        assert_eq!(said, ["89 s", "2 min", "3 min", "90 min", "2 h"]);
    }
}
