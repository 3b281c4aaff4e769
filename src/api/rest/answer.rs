//! What a handler answers with: data for the envelope, or why not.

use axum::body::Body;
use http::Response;
use serde::Serialize;
use serde_json::Value;

use crate::domain::refusal::Refusal;

/// What a request is answered with when it is not refused.
pub enum Reply {
    /// In an envelope.
    Data(Value),
    /// An envelope without data.
    Done,
    /// As it is: a stream, or the description of the face.
    Whole(Response<Body>),
}

impl Reply {
    /// Data in an envelope.
    pub fn data(data: &impl Serialize) -> Result<Self, Failure> {
        let value = serde_json::to_value(data);
        let value =
            value.map_err(|error| Refusal::Internal { what: format!("an answer cannot be written: {error}") })?;
        Ok(Self::Data(value))
    }
}

/// Why a request is refused, with what was given for each field that is wrong.
#[derive(Debug)]
pub struct Failure {
    pub refusal: Refusal,
    /// What was given, in the order of the violations; none of it is secret.
    pub rejected: Vec<Value>,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, rejected: Vec::new() }
    }
}
