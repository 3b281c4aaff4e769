//! Parameters of a request: of its path, its query and its JSON body, with everything that is wrong collected, so that a
//! caller corrects a request once. Pure.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::api::grpc::fields::{LONGEST_NAME, shortened};
use crate::api::rest::answer::Failure;
use crate::api::rest::json;
use crate::domain::ids::{InvalidName, LARGEST_ID};
use crate::domain::reason::{InvalidReason, Reason};
use crate::domain::refusal::{FieldViolation, Refusal, Violations};
use crate::store::Page;

const REASON: &str = "reason";

/// Largest page (docs/ocp-v2.md#paging).
pub const LARGEST_PAGE: u32 = 2000;
/// Page when none is asked for.
const USUAL_PAGE: u32 = 10;
const MOST_VIOLATIONS: usize = 20;

#[derive(Debug, Default)]
pub struct Inputs {
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Map<String, Value>,
    wrong: Vec<(FieldViolation, Value)>,
    omitted: usize,
}

impl Inputs {
    /// From what a request came with. `path` is decoded already, or `None` when it cannot be.
    pub fn new(path: Option<Vec<(String, String)>>, query: Option<&str>) -> Self {
        let mut inputs = Self::default();
        match path {
            Some(path) => inputs.path = path,
            None => inputs.wrong("path", Value::Null, "is not UTF-8 after percent-decoding, encode it as UTF-8"),
        }
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decoded(name), decoded(value)) {
                (Some(name), Some(value)) => inputs.query.push((name, value)),
                (None, _) => {
                    inputs.wrong("query", shown(name), "holds a name that is not UTF-8 after percent-decoding");
                }
                (Some(name), None) => {
                    inputs.wrong(name, shown(value), "is not UTF-8 after percent-decoding, encode it as UTF-8");
                }
            }
        }
        inputs
    }

    /// Reads the body, a JSON object; none, blanks and `null` are as good as `{}`. What is not asked for is ignored.
    pub fn read_body(&mut self, body: &Bytes) {
        if body.trim_ascii().is_empty() {
            return;
        }
        let read = json::read(body).map(|(value, twice)| {
            for name in twice {
                self.wrong(name, Value::Null, "is given more than once in the body, give it once");
            }
            value
        });
        match read {
            Ok(Value::Object(body)) => self.body = body,
            Ok(Value::Null) => {}
            Ok(other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_))) => {
                self.wrong("body", Value::Null, format!("is {}, send a JSON object", kind(&other)));
            }
            // The words of the parser name line and column, and nothing of the text.
            Err(error) => self.wrong("body", Value::Null, format!("is not JSON: {error}; send a JSON object")),
        }
    }

    /// One more thing that is wrong.
    pub fn wrong(&mut self, field: impl Into<String>, rejected: Value, description: impl Into<String>) {
        if self.wrong.len() < MOST_VIOLATIONS {
            let field = shortened(&field.into());
            self.wrong.push((FieldViolation { field, description: description.into() }, rejected));
        } else {
            self.omitted += 1;
        }
    }

    /// The value, or all that is wrong with the request.
    pub fn finish<T>(self, value: T) -> Result<T, Failure> {
        if self.wrong.is_empty() { Ok(value) } else { Err(self.failure()) }
    }

    /// All that is wrong with the request.
    pub fn failure(self) -> Failure {
        let (shown, rejected) = self.wrong.into_iter().unzip();
        Failure { refusal: Refusal::InvalidArgument(Violations { shown, omitted: self.omitted }), rejected }
    }

    /// An id in the path.
    pub fn path_id<T>(&mut self, name: &str, new: impl FnOnce(i64) -> Result<T, InvalidName>) -> Option<T> {
        let text = self.path_text(name)?;
        self.id_of(name, &text, new)
    }

    /// A value in the path.
    pub fn path_text(&self, name: &str) -> Option<String> {
        self.path.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    /// An id in the query.
    pub fn query_id<T>(&mut self, name: &str, new: impl FnOnce(i64) -> Result<T, InvalidName>) -> Option<T> {
        let text = self.query_text(name)?;
        self.id_of(name, &text, new)
    }

    fn id_of<T>(&mut self, name: &str, text: &str, new: impl FnOnce(i64) -> Result<T, InvalidName>) -> Option<T> {
        let id = number(text).and_then(|id| new(id).ok());
        if id.is_none() {
            let given = shortened(text);
            self.wrong(name, shown(text), format!("{given:?} is not an id, give 1 to {LARGEST_ID}"));
        }
        id
    }

    /// A position, from 0.
    pub fn position(&mut self, name: &str, text: &str) -> Option<i64> {
        let position = number(text).filter(|position| *position <= LARGEST_ID);
        if position.is_none() {
            let given = shortened(text);
            self.wrong(name, shown(text), format!("{given:?} is not a position, give 0 to {LARGEST_ID}"));
        }
        position
    }

    /// A value of the query that may be given once; empty is as good as none.
    pub fn query_text(&mut self, name: &str) -> Option<String> {
        let mut values = self.query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone());
        let first = values.next();
        if let Some(second) = values.next() {
            self.wrong(name, shown(&second), "is given more than once, give it once");
            return None;
        }
        first.filter(|value| !value.is_empty())
    }

    /// Free text of the query: bounded, without control characters.
    pub fn query_name(&mut self, name: &str) -> Option<String> {
        let text = self.query_text(name)?;
        if text.len() > LONGEST_NAME {
            let length = text.len();
            self.wrong(name, shown(&text), format!("has {length} bytes, at most {LONGEST_NAME} are allowed"));
            return None;
        }
        if text.chars().any(char::is_control) {
            self.wrong(name, Value::Null, "holds control characters, remove them");
            return None;
        }
        Some(text)
    }

    /// A list of the query: given once with commas, several times, or both.
    pub fn query_list(&self, name: &str) -> Vec<String> {
        let values = self.query.iter().filter(|(key, _)| key == name).flat_map(|(_, value)| value.split(','));
        values.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect()
    }

    /// The words of a list of the query, each by `word`; `None` from it: not a word.
    pub fn query_words<T>(&mut self, name: &str, known: &str, word: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let mut words = Vec::new();
        for text in self.query_list(name) {
            match word(&text) {
                Some(word) => words.push(word),
                None => {
                    let given = shortened(&text);
                    self.wrong(name, shown(&text), format!("{given:?} is not known, give some of {known}"));
                }
            }
        }
        words
    }

    /// A yes or no in the query or the body; both only when they say the same.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        let query = self.query_flag(name);
        let body = match self.body.get(name).cloned() {
            None | Some(Value::Null) => None,
            Some(Value::Bool(flag)) => Some(flag),
            Some(other) => {
                let description = format!("is {}, give true or false", kind(&other));
                self.wrong(name, bounded(other), description);
                None
            }
        };
        self.same(name, query, body)
    }

    /// Whole seconds in the query or the body; both only when they say the same.
    pub fn seconds(&mut self, name: &str, most: Duration) -> Option<Duration> {
        let query = self.query_text(name).map(|text| (number(&text), shown(&text)));
        let body = match self.body.get(name).cloned() {
            None | Some(Value::Null) => None,
            Some(given) => Some((given.as_i64(), bounded(given))),
        };
        let mut read = |(seconds, given): (Option<i64>, Value)| {
            let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
            let seconds = seconds.filter(|seconds| *seconds <= most);
            if seconds.is_none() {
                self.wrong(name, given, format!("is not possible, give whole seconds from 0 to {}", most.as_secs()));
            }
            seconds
        };
        let (query, body) = (query.and_then(&mut read), body.and_then(&mut read));
        self.same(name, query, body)
    }

    /// A yes or no in the query.
    pub fn query_flag(&mut self, name: &str) -> Option<bool> {
        let text = self.query_text(name)?;
        match text.as_str() {
            _ if text.eq_ignore_ascii_case("true") => Some(true),
            _ if text.eq_ignore_ascii_case("false") => Some(false),
            _ => {
                let given = shortened(&text);
                self.wrong(name, shown(&text), format!("{given:?} is neither true nor false, give one of them"));
                None
            }
        }
    }

    /// A word in the query or the body; both only when they say the same.
    pub fn word<T: PartialEq>(&mut self, name: &str, known: &str, word: impl Fn(&str) -> Option<T>) -> Option<T> {
        let query = self.query_text(name);
        let body = match self.body.get(name).cloned() {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(other) => {
                let description = format!("is {}, give one of {known}", kind(&other));
                self.wrong(name, bounded(other), description);
                None
            }
        };
        let mut read = |text: Option<String>| {
            let text = text?;
            let found = word(&text);
            if found.is_none() {
                let given = shortened(&text);
                self.wrong(name, shown(&text), format!("{given:?} is not known, give one of {known}"));
            }
            found
        };
        let (query, body) = (read(query), read(body));
        self.same(name, query, body)
    }

    /// Why something is asked for, in the query.
    pub fn query_reason(&mut self) -> Reason {
        let text = self.query_text(REASON).unwrap_or_default();
        self.reason_of(&text)
    }

    /// Why something is asked for, in the body, or in the query as read before; both only when they say the same.
    pub fn body_reason(&mut self, query: Reason) -> Reason {
        let body = match self.body.get(REASON).cloned() {
            None | Some(Value::Null) => return query,
            Some(Value::String(text)) => self.reason_of(&text),
            Some(other) => {
                let description = format!("is {}, give words", kind(&other));
                self.wrong(REASON, bounded(other), description);
                return query;
            }
        };
        let query = Some(query).filter(|query| !query.as_str().is_empty());
        self.same(REASON, query, Some(body)).unwrap_or_default()
    }

    fn reason_of(&mut self, text: &str) -> Reason {
        let parsed = text.parse();
        parsed.unwrap_or_else(|error: InvalidReason| {
            self.wrong(REASON, Value::Null, error.to_string());
            Reason::default()
        })
    }

    /// A list of words in the query or the body; both only when they say the same. Without repeats, ascending.
    pub fn words<T: Ord>(&mut self, name: &str, known: &str, word: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        let given = self.query.iter().any(|(key, _)| key == name);
        let query = given.then(|| self.query_words(name, known, &word));
        let body = match self.body.get(name).cloned() {
            None | Some(Value::Null) => None,
            Some(Value::Array(items)) => Some(self.items(name, known, items, &word)),
            Some(other) => {
                let description = format!("is {}, give a list of {known}", kind(&other));
                self.wrong(name, bounded(other), description);
                None
            }
        };
        let in_order = |words: Option<Vec<T>>| {
            words.map(|mut words| {
                words.sort_unstable();
                words.dedup();
                words
            })
        };
        self.same(name, in_order(query), in_order(body))
    }

    fn items<T>(&mut self, name: &str, known: &str, items: Vec<Value>, word: &impl Fn(&str) -> Option<T>) -> Vec<T> {
        let mut words = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            match item.as_str().and_then(word) {
                Some(word) => words.push(word),
                None => {
                    self.wrong(format!("{name}[{index}]"), bounded(item), format!("is not known, give some of {known}"))
                }
            }
        }
        words
    }

    fn same<T: PartialEq>(&mut self, name: &str, query: Option<T>, body: Option<T>) -> Option<T> {
        match (query, body) {
            (Some(query), Some(body)) if query != body => {
                self.wrong(name, Value::Null, "differs between query and body, give it once");
                None
            }
            (query, body) => query.or(body),
        }
    }

    /// Page, size and sort (docs/ocp-v2.md#paging), with the page's number and size as they are answered.
    pub fn page<Order: Copy>(&mut self, orders: &[(&str, Order)], usual: (Order, bool)) -> (Page<Order>, u32, u32) {
        let number = self.count("page", 1, u32::MAX);
        let size = self.count("size", USUAL_PAGE, LARGEST_PAGE);
        let offset = number.saturating_sub(1).checked_mul(size);
        if offset.is_none() {
            self.wrong("page", Value::from(number), "is too far, there are no such pages");
        }
        let (order, descending) = self.sort(orders, usual);
        (Page { order, descending, offset: offset.unwrap_or_default(), limit: size }, number, size)
    }

    fn count(&mut self, name: &str, usual: u32, most: u32) -> u32 {
        let Some(text) = self.query_text(name) else { return usual };
        let count = number(&text).and_then(|count| u32::try_from(count).ok());
        count.filter(|count| (1..=most).contains(count)).unwrap_or_else(|| {
            let given = shortened(&text);
            self.wrong(name, shown(&text), format!("{given:?} is not possible, give 1 to {most}"));
            usual
        })
    }

    fn sort<Order: Copy>(&mut self, orders: &[(&str, Order)], usual: (Order, bool)) -> (Order, bool) {
        let Some(text) = self.query_text("sort") else { return usual };
        let (name, direction) = text.split_once(',').unwrap_or((&text, "asc"));
        let order = orders.iter().find(|(known, _)| *known == name.trim()).map(|(_, order)| *order);
        let descending = match direction.trim() {
            direction if direction.eq_ignore_ascii_case("asc") => Some(false),
            direction if direction.eq_ignore_ascii_case("desc") => Some(true),
            _ => None,
        };
        let (Some(order), Some(descending)) = (order, descending) else {
            let names: Vec<&str> = orders.iter().map(|(name, _)| *name).collect();
            let (given, names) = (shortened(&text), names.join(", "));
            let description = format!("{given:?} is not an order, give one of {names} with ,asc or ,desc behind it");
            self.wrong("sort", shown(&text), description);
            return usual;
        };
        (order, descending)
    }

    /// A value that its type reads.
    pub fn parsed<T, E: Display>(&mut self, name: &str, text: &str, parsed: Result<T, E>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(name, shown(text), error.to_string());
                None
            }
        }
    }
}

/// Digits only: no sign, no blanks, no zero before others; one number has one spelling.
fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let short = text == "0" || !text.starts_with('0');
    Some(text).filter(|_| digits && short).and_then(|text| text.parse().ok())
}

/// As forms are encoded: `+` is a blank.
fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// As much of a text as an error repeats.
pub fn shown(text: &str) -> Value {
    Value::from(shortened(text))
}

fn bounded(value: Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
        Value::String(text) => shown(&text),
        Value::Array(_) | Value::Object(_) => Value::Null,
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
