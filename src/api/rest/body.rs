//! The body of a request, bounded in bytes and time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::domain::refusal::Refusal;

/// All of it, at most `limit` bytes within so many seconds; what is declared to be too large is refused before it comes.
pub async fn read_body(limit: u64, seconds: u64, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(Refusal::BodyTooLarge { limit });
    }
    let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    let arrived = tokio::time::timeout(Duration::from_secs(seconds), limited.collect()).await;
    match arrived {
        Err(_) => Err(Refusal::RequestTimeout { seconds }),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge { limit }),
        Ok(Err(_)) => Err(Refusal::field("body", "broke off before its end, send it again")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}
