//! The simulated cluster's only clock.
//!
//! Everything in `sim` counts microseconds since the epoch, as OceanBase does. Nothing else in `sim` may read a clock.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Microseconds since the epoch, the unit of every time in OceanBase's inner tables.
pub type Micros = i64;

/// Where a cluster takes its time from.
#[derive(Debug, Clone, Copy)]
pub enum SimClock {
    System,
    /// This moment, and what tokio's clock has counted since, so that a cluster lives under paused time.
    Simulated(Micros, Instant),
}

impl SimClock {
    /// Stands at `base` now.
    pub fn simulated(base: Micros) -> Self {
        Self::Simulated(base, Instant::now())
    }

    pub fn now(&self) -> Micros {
        match self {
            Self::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros),
            Self::Simulated(base, since) => base + micros(since.elapsed()),
        }
    }
}

pub fn micros(duration: Duration) -> Micros {
    duration.as_micros() as Micros
}

pub fn duration(micros: Micros) -> Duration {
    Duration::from_micros(micros.max(0) as u64)
}

/// `YYYY-MM-DD HH:MM:SS.ffffff` in the time zone that is `offset_seconds` east of Greenwich.
pub fn format(micros: Micros, offset_seconds: i64) -> String {
    let local = micros + offset_seconds * 1_000_000;
    let (days, of_day) = (local.div_euclid(86_400_000_000), local.rem_euclid(86_400_000_000));
    let (year, month, day) = civil(days);
    let seconds = of_day / 1_000_000;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:06}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        of_day % 1_000_000
    )
}

/// The inverse of [`format`]; the fraction and the time of day may be missing.
pub fn parse(text: &str, offset_seconds: i64) -> Option<Micros> {
    let (date, clock) = text.trim().split_once([' ', 'T']).unwrap_or((text.trim(), "00:00:00"));
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let fraction = format!("{fraction:0<6}").get(..6)?.parse::<i64>().ok()?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_seconds;
    Some(seconds * 1_000_000 + fraction)
}

/// Days since the epoch to a date (Howard Hinnant's algorithm).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// Reads OceanBase's durations: `10s`, `500ms`, `30m`, `1h`, `1d`, `200us`; a bare number is microseconds.
pub fn parse_duration(text: &str) -> Option<Micros> {
    let text = text.trim().to_ascii_lowercase();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: i64 = text[..split].parse().ok()?;
    let unit = match &text[split..] {
        "" | "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// The shortest spelling that [`parse_duration`] reads back.
pub fn show_duration(micros: Micros) -> String {
    match micros {
        m if m % 1_000_000 == 0 => format!("{}s", m / 1_000_000),
        m if m % 1_000 == 0 => format!("{}ms", m / 1_000),
        m => format!("{m}us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_back() {
        for (micros, text) in [(0, "1970-01-01 00:00:00.000000"), (1_709_210_096_123_456, "2024-02-29 12:34:56.123456")]
        {
            assert_eq!(format(micros, 0), text);
            assert_eq!(parse(text, 0), Some(micros));
            assert_eq!(parse(&format(micros, 28_800), 28_800), Some(micros));
        }
        assert_eq!(parse("2024-02-29", 0), Some(1_709_164_800_000_000));
        assert_eq!(parse("nonsense", 0), None);
    }

    #[test]
    fn durations_are_read_back() {
        for text in ["10s", "300ms", "7us"] {
            assert_eq!(parse_duration(text).map(show_duration).as_deref(), Some(text));
        }
        assert_eq!(parse_duration("5m"), Some(300_000_000));
        assert_eq!(parse_duration("x"), None);
    }
}
