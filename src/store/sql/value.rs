//! Values and rows as both databases know them.

use std::fmt::Display;

use crate::clock::Timestamp;
use crate::store::StoreError;

/// A value that is written or compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlValue {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for SqlValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for SqlValue {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<bool> for SqlValue {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<&str> for SqlValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for SqlValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for SqlValue {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row that was read, columns by their position. Every getter says which column was odd.
#[derive(Clone, Debug)]
pub struct SqlRow(Vec<SqlValue>);

impl SqlRow {
    pub const fn new(values: Vec<SqlValue>) -> Self {
        Self(values)
    }

    fn value(&self, column: usize) -> &SqlValue {
        self.0.get(column).unwrap_or(&SqlValue::Null)
    }

    fn odd(&self, column: usize, wanted: &str) -> StoreError {
        StoreError::Damaged(format!("column {column} of a row is no {wanted}"))
    }

    pub fn is_null(&self, column: usize) -> bool {
        *self.value(column) == SqlValue::Null
    }

    /// A whole number; MySQL's text protocol brings it as digits.
    pub fn int(&self, column: usize) -> Result<i64, StoreError> {
        let digits = match self.value(column) {
            SqlValue::Int(value) => return Ok(*value),
            SqlValue::Text(digits) => digits.parse().ok(),
            SqlValue::Bytes(digits) => std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()),
            SqlValue::Null => None,
        };
        digits.ok_or_else(|| self.odd(column, "number"))
    }

    pub fn optional_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        if self.is_null(column) { Ok(None) } else { self.int(column).map(Some) }
    }

    /// A moment, in microseconds since the Unix epoch.
    pub fn moment(&self, column: usize) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional_int(column)?.map(Timestamp::from_micros))
    }

    pub fn text(&self, column: usize) -> Result<&str, StoreError> {
        let text = match self.value(column) {
            SqlValue::Text(text) => Some(text.as_str()),
            SqlValue::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            SqlValue::Int(_) | SqlValue::Null => None,
        };
        text.ok_or_else(|| self.odd(column, "text"))
    }

    pub fn owned_text(&self, column: usize) -> Result<String, StoreError> {
        self.text(column).map(ToOwned::to_owned)
    }

    pub fn optional_text(&self, column: usize) -> Result<Option<&str>, StoreError> {
        if self.is_null(column) { Ok(None) } else { self.text(column).map(Some) }
    }

    pub fn bytes(&self, column: usize) -> Result<&[u8], StoreError> {
        match self.value(column) {
            SqlValue::Bytes(bytes) => Ok(bytes),
            SqlValue::Text(text) => Ok(text.as_bytes()),
            SqlValue::Int(_) | SqlValue::Null => Err(self.odd(column, "bytes")),
        }
    }

    /// A text that is parsed: an id, a name or a word.
    pub fn word<T>(&self, column: usize) -> Result<T, StoreError>
    where
        T: std::str::FromStr,
        T::Err: Display,
    {
        self.text(column)?.parse().map_err(damaged)
    }

    pub fn optional_word<T>(&self, column: usize) -> Result<Option<T>, StoreError>
    where
        T: std::str::FromStr,
        T::Err: Display,
    {
        if self.is_null(column) { Ok(None) } else { self.word(column).map(Some) }
    }

    /// An id, by its constructor.
    pub fn id<T, E: Display>(&self, column: usize, new: impl Fn(i64) -> Result<T, E>) -> Result<T, StoreError> {
        new(self.int(column)?).map_err(damaged)
    }
}

pub fn damaged(error: impl Display) -> StoreError {
    StoreError::Damaged(error.to_string())
}
