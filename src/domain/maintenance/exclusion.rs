//! Days or hours in which nothing begins, written `2026-12-24..2027-01-02`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use thiserror::Error;

/// From one moment of the clock on the wall up to another. Days are whole: the last one is part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    begin: DateTime,
    end: DateTime,
    /// As it was written.
    text: String,
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{text:?} is no exclusion, {why}; write days such as \"2026-12-24..2027-01-02\", or moments such as \"2026-12-31T12:00..2027-01-01T06:00\""
)]
pub struct InvalidExclusion {
    text: String,
    why: &'static str,
}

impl Exclusion {
    /// Whether it is on when the clock on the wall shows this.
    pub fn contains(&self, shown: DateTime) -> bool {
        self.begin <= shown && shown < self.end
    }

    /// What the clock shows when it is over.
    pub const fn end(&self) -> DateTime {
        self.end
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(formatter)
    }
}

/// A whole day, or a moment of one.
enum Edge {
    Day(Date),
    Moment(DateTime),
}

impl FromStr for Exclusion {
    type Err = InvalidExclusion;

    fn from_str(text: &str) -> Result<Self, InvalidExclusion> {
        let invalid = |why| InvalidExclusion { text: text.chars().take(64).collect(), why };
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let begin = match edge(first).ok_or(invalid("its beginning is no day and no moment"))? {
            Edge::Day(day) => day.to_datetime(Time::midnight()),
            Edge::Moment(moment) => moment,
        };
        let end = match edge(last).ok_or(invalid("its end is no day and no moment"))? {
            Edge::Day(day) => {
                day.tomorrow().map_err(|_| invalid("its end is the last of all days"))?.to_datetime(Time::midnight())
            }
            Edge::Moment(moment) => moment,
        };
        if begin >= end {
            return Err(invalid("its end is not behind its beginning"));
        }
        Ok(Self { begin, end, text: text.to_owned() })
    }
}

fn edge(text: &str) -> Option<Edge> {
    let text = text.trim();
    match text.len() {
        10 => text.parse().ok().map(Edge::Day),
        16 => text.parse().ok().map(Edge::Moment),
        _ => None,
    }
}
