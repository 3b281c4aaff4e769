//! What a row of the table of refusals is.

use std::time::Duration;

use tonic::Code;

use crate::clock::Timestamp;
use crate::domain::refusal::FieldViolation;

/// OCP's code of an error: the number of 4.0 and the name of 4.2. Where 4.0 had no number for the same case, the number of
/// the nearest general one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OcpCode {
    /// As in OCP 4.0.
    pub number: i32,
    /// As in OCP 4.2.
    pub name: &'static str,
}

/// What a refusal is about, for the details of AIP-193.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// Nothing more than its values.
    Values,
    Fields(Vec<FieldViolation>),
    /// A resource, by type and name.
    Resource(&'static str, String),
    /// A condition that does not hold: its kind and its subject.
    Condition(&'static str, String),
}

/// When asking again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not by itself.
    Never,
    After(Duration),
    At(Timestamp),
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// `UPPER_SNAKE`, unique, at most 63 characters.
    pub reason: &'static str,
    pub code: Code,
    pub http: u16,
    pub ocp: OcpCode,
    /// English, with `{value}` for every value.
    pub en: &'static str,
    /// Chinese, with the same values.
    pub zh: &'static str,
    /// The values by name, `snake_case`.
    pub values: Vec<(&'static str, String)>,
    pub about: About,
    pub retry: Retry,
}

impl Row {
    pub fn message(&self) -> String {
        self.fill(self.en)
    }

    pub fn message_zh(&self) -> String {
        self.fill(self.zh)
    }

    /// One pass: a value that itself holds braces stays as it is.
    fn fill(&self, template: &str) -> String {
        let mut pieces = template.split('{');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (name, rest) = piece.split_once('}').unwrap_or((piece, ""));
            let value = self.values.iter().find(|(key, _)| *key == name);
            text.push_str(value.map_or("?", |(_, value)| value));
            text.push_str(rest);
        }
        text
    }
}

/// The row of a refusal, as a table: a refusal that has none does not compile.
macro_rules! rows {
    ($refusal:ident; $(
        $variant:ident $({ $($field:tt)* })? $(( $inner:ident ))? $(if $guard:expr)? => $code:ident, $http:literal, $number:literal, $name:literal;
        $en:literal, $zh:literal;
        $($key:ident: $value:expr),*;
        $about:expr $(, $retry:expr)?;
    )+) => {
        match $refusal {
            $(Refusal::$variant $({ $($field)* })? $(($inner))? $(if $guard)? => Row {
                reason: $refusal.reason(),
                code: tonic::Code::$code,
                http: $http,
                ocp: OcpCode { number: $number, name: $name },
                en: $en,
                zh: $zh,
                values: vec![$((stringify!($key), shown(&$value))),*],
                about: $about,
                retry: rows!(@retry $($retry)?),
            }),+
        }
    };
    (@retry) => { Retry::Never };
    (@retry $retry:expr) => { $retry };
}
pub(super) use rows;

/// Longest value that a message repeats, in bytes: a gRPC status travels in trailers, which clients take only up to 8 KiB or so.
const LONGEST_VALUE: usize = 500;

/// A value as it is repeated.
pub(super) fn shown(value: &impl std::fmt::Display) -> String {
    let mut value = value.to_string();
    if value.len() > LONGEST_VALUE {
        let end = (0..=LONGEST_VALUE).rev().find(|end| value.is_char_boundary(*end)).unwrap_or_default();
        value.truncate(end);
        value.push('…');
    }
    value
}

/// One field of the request that is wrong.
pub(super) fn field(field: &str, description: impl Into<String>) -> About {
    About::Fields(vec![FieldViolation { field: field.to_owned(), description: description.into() }])
}

/// A condition of one of a kind of things.
pub(super) fn condition(kind: &'static str, things: &str, id: &impl std::fmt::Display) -> About {
    About::Condition(kind, format!("{things}/{id}"))
}
