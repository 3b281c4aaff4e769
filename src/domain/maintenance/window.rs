//! A weekly window, written `Mon-Fri 22:00-04:00`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use thiserror::Error;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Days of the week with a time of the day. One whose end is not behind its beginning ends on the next day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// From Monday on: whether it begins on that day.
    days: [bool; 7],
    begin: Time,
    end: End,
    /// As it was written.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    SameDay(Time),
    /// 24:00 is 00:00 of it.
    NextDay(Time),
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{text:?} is no window, {why}; write days and times such as \"Mon-Fri 22:00-04:00\", \"Sat,Sun 00:00-24:00\" or \"daily 01:00-05:00\""
)]
pub struct InvalidWindow {
    text: String,
    why: &'static str,
}

impl Window {
    /// Whether it is open when the clock on the wall shows this.
    pub fn contains(&self, shown: DateTime) -> bool {
        let (day, time) = (shown.date(), shown.time());
        match self.end {
            End::SameDay(end) => self.begins(day) && self.begin <= time && time < end,
            End::NextDay(end) => {
                let from_yesterday = day.yesterday().is_ok_and(|before| self.begins(before)) && time < end;
                (self.begins(day) && self.begin <= time) || from_yesterday
            }
        }
    }

    fn begins(&self, day: Date) -> bool {
        let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or_default();
        self.days.get(weekday).copied().unwrap_or_default()
    }

    /// What the clock shows at its beginning on this day.
    pub fn begins_on(&self, day: Date) -> Option<DateTime> {
        self.begins(day).then(|| day.to_datetime(self.begin))
    }

    /// What the clock shows at the end of the one that begins on this day.
    pub fn ends_of(&self, day: Date) -> Option<DateTime> {
        let ends = match self.end {
            End::SameDay(end) => Some(day.to_datetime(end)),
            End::NextDay(end) => day.tomorrow().ok().map(|next| next.to_datetime(end)),
        };
        ends.filter(|_| self.begins(day))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(formatter)
    }
}

impl FromStr for Window {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        let invalid = |why| InvalidWindow { text: text.chars().take(64).collect(), why };
        let mut words = text.split_whitespace();
        let (Some(days), Some(times), None) = (words.next(), words.next(), words.next()) else {
            return Err(invalid("it has not two words"));
        };
        let (begin, end) = times.split_once('-').ok_or(invalid("its times have no - between them"))?;
        let begin = time(begin).ok_or(invalid("its beginning is no time from 00:00 to 23:59"))?;
        let end = match end {
            "24:00" => End::NextDay(Time::midnight()),
            end => match time(end).ok_or(invalid("its end is no time from 00:00 to 24:00"))? {
                end if end > begin => End::SameDay(end),
                end => End::NextDay(end),
            },
        };
        let days = days_of(days).ok_or(invalid("its days are not Mon to Sun, a range or a list of them, or daily"))?;
        Ok(Self { days, begin, end, text: text.to_owned() })
    }
}

/// Two digits each.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn days_of(text: &str) -> Option<[bool; 7]> {
    if text == "daily" {
        return Some([true; 7]);
    }
    let place = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (place(first)?, place(last)?);
        // Sat-Mon goes over the end of the week.
        let length = (last + 7 - first) % 7;
        (first..=first + length).for_each(|day| {
            if let Some(day) = days.get_mut(day % 7) {
                *day = true;
            }
        });
    }
    Some(days)
}
