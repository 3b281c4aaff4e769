//! A refusal as a gRPC status: the table's row as AIP-193 wants it. Sizes are bounded, because all of this travels in
//! trailers, which clients take only up to 8 KiB or so.

use std::time::Duration;

use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::api::error_table::{About, Retry, Row, row};
use crate::clock::{Clock, Timestamp};
use crate::domain::refusal::Refusal;
use crate::watch::encode::ERROR_DOMAIN;

/// Longest value in a status, in bytes.
const LONGEST_VALUE: usize = 500;

/// The status of a refusal.
pub fn to_status(refusal: &Refusal) -> Status {
    status_of(row(refusal), Clock::system().now())
}

fn status_of(mut row: Row, now: Timestamp) -> Status {
    for (_, value) in &mut row.values {
        truncate(value);
    }
    let message = row.message();
    let metadata = row.values.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    let mut details =
        ErrorDetails::with_error_info(row.reason, ERROR_DOMAIN, metadata.collect::<std::collections::HashMap<_, _>>());
    match row.about {
        About::Values => {}
        About::Fields(violations) => {
            for violation in violations {
                details.add_bad_request_violation(violation.field, violation.description);
            }
        }
        About::Resource(kind, name) => _ = details.set_resource_info(kind, name, "", message.clone()),
        About::Condition(kind, subject) => {
            _ = details.add_precondition_failure_violation(kind, subject, message.clone())
        }
    }
    match row.retry {
        Retry::Never => {}
        Retry::After(delay) => _ = details.set_retry_info(Some(delay)),
        Retry::At(moment) => {
            let delay = moment.since(now).max(Duration::from_secs(1));
            details.set_retry_info(Some(delay));
        }
    }
    Status::with_error_details(row.code, message, details)
}

fn truncate(value: &mut String) {
    if value.len() > LONGEST_VALUE {
        let end = (0..=LONGEST_VALUE).rev().find(|end| value.is_char_boundary(*end)).unwrap_or_default();
        value.truncate(end);
        value.push('…');
    }
}
