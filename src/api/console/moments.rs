//! Moments and durations as people read them. Pure.

use std::time::Duration;

use maud::{Markup, html};

use crate::api::rest::TimestampFormat;
use crate::clock::Timestamp;

/// Writes moments in the zone of the configuration.
pub struct Moments(TimestampFormat);

impl Moments {
    /// A zone that is not known is UTC, which the gateway has told.
    pub fn new(zone: &str) -> Self {
        Self(TimestampFormat::named(zone).unwrap_or_else(|_| TimestampFormat::utc()))
    }

    /// To the second, with the whole of it for programs.
    pub fn show(&self, at: Timestamp) -> Markup {
        let whole = self.0.text(at);
        let (date, time) = whole.split_once('T').unwrap_or((&whole, ""));
        let time = time.get(..8).unwrap_or(time);
        html! { time datetime=(whole) title=(whole) { (date) " " (time) } }
    }
}

/// Its two largest units: `1 h 2 min`, `45 s`, `3 d 0 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        let of = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!([of(0), of(59), of(60), of(3599)], ["0 s", "59 s", "1 min 0 s", "59 min 59 s"]);
        assert_eq!([of(3600), of(86_399), of(86_400)], ["1 h 0 min", "23 h 59 min", "1 d 0 h"]);
        let shown = Moments::new("+08:00").show(Timestamp::from_micros(0)).into_string();
        assert!(shown.ends_with(">1970-01-01 08:00:00</time>"), "{shown}");
    }
}
