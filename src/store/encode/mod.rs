//! Events and log lines to stored bytes and back. What is written here must be readable years later: nothing is left out, and
//! what does not decode is [`StoreError::Damaged`], never a default.

mod event;
mod fact;
mod progress;
mod spec;

use prost::Message;

pub use progress::{progress_from_bytes, progress_to_bytes};

use crate::clock::Timestamp;
use crate::domain::event::{Event, Failure};
use crate::domain::ids::SubtaskId;
use crate::proto::store_v1 as stored;
use crate::store::{LogLine, StoreError};

pub fn events_to_bytes(events: &[Event]) -> Vec<u8> {
    stored::Events { events: events.iter().map(event::to_stored).collect() }.encode_to_vec()
}

pub fn events_from_bytes(bytes: &[u8]) -> Result<Vec<Event>, StoreError> {
    let events = stored::Events::decode(bytes).map_err(|error| damaged(format!("events do not decode, {error}")))?;
    events.events.into_iter().map(event::from_stored).collect()
}

pub fn event_to_bytes(event: &Event) -> Vec<u8> {
    event::to_stored(event).encode_to_vec()
}

pub fn event_from_bytes(bytes: &[u8]) -> Result<Event, StoreError> {
    event::from_stored(
        stored::Event::decode(bytes).map_err(|error| damaged(format!("an event does not decode, {error}")))?,
    )
}

pub fn lines_to_bytes<'a>(lines: impl IntoIterator<Item = &'a LogLine>) -> Vec<u8> {
    let lines = lines.into_iter().map(|line| stored::LogLine {
        subtask: line.subtask.get(),
        run_time: line.run_time,
        at_us: line.at.as_micros(),
        text: line.text.clone(),
        operation: line.operation.map(|operation| operation.as_str().to_owned()).unwrap_or_default(),
    });
    stored::LogLines { lines: lines.collect() }.encode_to_vec()
}

pub fn lines_from_bytes(bytes: &[u8]) -> Result<Vec<LogLine>, StoreError> {
    let lines =
        stored::LogLines::decode(bytes).map_err(|error| damaged(format!("log lines do not decode, {error}")))?;
    lines
        .lines
        .into_iter()
        .map(|line| {
            Ok(LogLine {
                subtask: subtask_id(line.subtask)?,
                run_time: line.run_time,
                at: Timestamp::from_micros(line.at_us),
                operation: optional_word("log line", &line.operation)?,
                text: line.text,
            })
        })
        .collect()
}

fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged(what.into())
}

/// Names the stored value that its type rejects.
fn read<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> Result<T, StoreError> {
    result.map_err(|error| damaged(format!("{what}: {error}")))
}

/// Parses a word of an enumeration, or an id, address or name.
fn word<T>(what: &str, text: &str) -> Result<T, StoreError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    read(what, text.parse())
}

/// As [`word`]; an empty text is `None`.
fn optional_word<T>(what: &str, text: &str) -> Result<Option<T>, StoreError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    if text.is_empty() { Ok(None) } else { word(what, text).map(Some) }
}

fn needed<T>(what: &str, value: Option<T>) -> Result<T, StoreError> {
    value.ok_or_else(|| damaged(format!("{what} is missing")))
}

fn subtask_id(value: i64) -> Result<SubtaskId, StoreError> {
    read("subtask", SubtaskId::new(value))
}

type Pairs = Vec<(String, String)>;

fn pairs(values: &[(String, String)]) -> Vec<stored::Pair> {
    values.iter().map(|(key, value)| stored::Pair { key: key.clone(), value: value.clone() }).collect()
}

fn from_pairs(values: Vec<stored::Pair>) -> Pairs {
    values.into_iter().map(|pair| (pair.key, pair.value)).collect()
}

fn failure(failure: &Failure) -> stored::Failure {
    stored::Failure {
        kind: failure.kind.as_str().to_owned(),
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        metadata: pairs(&failure.metadata),
    }
}

fn from_failure(failure: stored::Failure) -> Result<Failure, StoreError> {
    Ok(Failure {
        kind: word("failure", &failure.kind)?,
        reason: failure.reason,
        message: failure.message,
        metadata: from_pairs(failure.metadata),
    })
}
