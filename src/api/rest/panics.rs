//! A request that makes a handler panic is answered like any other.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tracing::error;

use crate::domain::refusal::Refusal;

/// The outcome of the work, or a refusal when it panics.
pub async fn caught<T, E: From<Refusal>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        // What it says went to standard error with its place; it may hold anything, so callers do not see it.
        error!("the handler of the request panicked");
        Err(Refusal::Internal { what: "the request could not be handled".to_owned() }.into())
    })
}
