//! Rows of the text protocol, columns by name. OceanBase adds columns between versions and writes NULL where MySQL would not:
//! every getter says which column of which view was missing, NULL or odd.

use mysql_async::{Row, Value};

use super::error::ClusterError;
use crate::clock::Timestamp;
use crate::domain::ids::ServerAddr;
use crate::domain::reading::{Fact, Unreadable};

#[derive(Debug)]
pub struct TextRow {
    view: &'static str,
    columns: Vec<(String, Option<String>)>,
}

impl From<Unreadable> for ClusterError {
    fn from(why: Unreadable) -> Self {
        Self::unreadable(why.0)
    }
}

impl TextRow {
    /// From the driver's row; `view` is for messages.
    pub fn new(view: &'static str, row: Row) -> Self {
        let names: Vec<String> = row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
        let values = row.unwrap().into_iter().map(text);
        Self { view, columns: names.into_iter().zip(values).collect() }
    }

    #[cfg(test)]
    pub fn of(columns: &[(&str, Option<&str>)]) -> Self {
        let columns = columns.iter().map(|(name, value)| ((*name).to_owned(), value.map(ToOwned::to_owned))).collect();
        Self { view: "a test", columns }
    }

    /// The column's text; `None`: NULL. An error when there is no such column.
    pub fn optional(&self, name: &str) -> Fact<Option<&str>> {
        let column = self.columns.iter().find(|(column, _)| column.eq_ignore_ascii_case(name));
        let (_, value) = column.ok_or_else(|| Unreadable::new(format!("{} has no column {name}", self.view)))?;
        Ok(value.as_deref())
    }

    /// The column's text; NULL is an error.
    pub fn text(&self, name: &str) -> Fact<&str> {
        self.optional(name)?.ok_or_else(|| Unreadable::new(format!("{name} of {} is NULL", self.view)))
    }

    /// The column's text; empty when it is NULL or not there. Only for what no rule depends on.
    pub fn text_or_empty(&self, name: &str) -> String {
        self.optional(name).ok().flatten().unwrap_or_default().to_owned()
    }

    /// The column as a number or another type that is read from text.
    pub fn parse<T: std::str::FromStr>(&self, name: &str) -> Fact<T> {
        let text = self.text(name)?;
        text.trim().parse().map_err(|_| Unreadable::new(format!("{name} of {} is {text:?}", self.view)))
    }

    /// A moment; `None`: NULL. The session's time zone is UTC.
    pub fn moment(&self, name: &str) -> Fact<Option<Timestamp>> {
        let Some(text) = self.optional(name)? else { return Ok(None) };
        moment(text).ok_or_else(|| Unreadable::new(format!("{name} of {} is {text:?}, not a time", self.view)))
    }

    /// [`TextRow::moment`] of a column that older versions do not have.
    pub fn moment_if_there(&self, name: &str) -> Fact<Option<Timestamp>> {
        match self.optional(name) {
            Ok(_) => self.moment(name),
            Err(_) => Ok(None),
        }
    }

    /// `SVR_IP` and `SVR_PORT`.
    pub fn addr(&self) -> Fact<ServerAddr> {
        let (ip, port) = (self.text("SVR_IP")?, self.text("SVR_PORT")?);
        let wrong = || Unreadable::new(format!("{ip:?} and {port:?} of {} are not an address", self.view));
        let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
        ServerAddr::new(bare.parse().map_err(|_| wrong())?, port.parse().map_err(|_| wrong())?).map_err(|_| wrong())
    }
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]` in UTC. OceanBase writes the zero time for "never"; it is the epoch or `0000-00-00`.
fn moment(text: &str) -> Option<Option<Timestamp>> {
    if text.starts_with("0000-00-00") {
        return Some(None);
    }
    let civil: jiff::civil::DateTime = text.trim().parse().ok()?;
    let micros = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?.as_microsecond();
    Some((micros > 0).then(|| Timestamp::from_micros(micros)))
}

/// The text protocol carries everything but NULL as bytes; other values come from servers that answer otherwise.
fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Double(number) => Some(number.to_string()),
        other @ (Value::Date(..) | Value::Time(..)) => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc() {
        let row = TextRow::of(&[
            ("a", Some("2026-01-02 03:04:05.678901")),
            ("b", Some("2026-01-02 03:04:05")),
            ("c", None),
            ("d", Some("1970-01-01 00:00:00.000000")),
            ("e", Some("soon")),
        ]);
        assert_eq!(row.moment("A").unwrap().unwrap().to_string(), "2026-01-02T03:04:05.678Z");
        assert_eq!(row.moment("b").unwrap().unwrap().as_micros() % 1_000_000, 0);
        assert_eq!(row.moment("c"), Ok(None));
        assert_eq!(row.moment("d"), Ok(None));
        assert!(row.moment("e").is_err());
        assert!(row.moment("f").is_err());
        assert_eq!(row.moment_if_there("f"), Ok(None));
        assert!(row.moment_if_there("e").is_err());
    }

    #[test]
    fn addresses_are_exact() {
        let row = TextRow::of(&[("svr_ip", Some("fd00::2")), ("svr_port", Some("2882"))]);
        assert_eq!(row.addr().unwrap().to_string(), "[fd00::2]:2882");
        assert!(TextRow::of(&[("svr_ip", None), ("svr_port", Some("2882"))]).addr().is_err());
    }
}
