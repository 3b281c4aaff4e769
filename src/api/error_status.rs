//! A refusal as a gRPC status: the table's row as AIP-193 wants it.

use std::time::Duration;

use tonic::Status;
use tonic_types::ErrorDetails;

use crate::api::error_table::{About, Retry, Row, row};
use crate::clock::{Clock, Timestamp};
use crate::domain::refusal::Refusal;
use crate::proto::rpc::ErrorInfo;
use crate::watch::encode::ERROR_DOMAIN;

/// The status of a refusal.
pub fn to_status(refusal: &Refusal) -> Status {
    status_of(row(refusal), Clock::system().now())
}

fn status_of(row: Row, now: Timestamp) -> Status {
    let message = row.message();
    let metadata = row.values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let info = ErrorInfo { reason: row.reason.to_owned(), domain: ERROR_DOMAIN.to_owned(), metadata };
    let mut details = ErrorDetails::new();
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
    info.status(row.code, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::refusal::{FieldViolation, Violations};

    #[test]
    fn an_error_has_one_encoding() {
        let refusal = Refusal::ServerStateNotAdmitted {
            server: crate::domain::ids::ServerId::new(2).unwrap(),
            addr: "10.0.0.2:2882".parse().unwrap(),
            service: "STOPPED".to_owned(),
            process: "ABSENT".to_owned(),
            expected: "SERVING".to_owned(),
            remedy: "start it".to_owned(),
        };
        let first = to_status(&refusal);
        for _ in 0..50 {
            assert_eq!(to_status(&refusal).details(), first.details());
        }
        let info = tonic_types::StatusExt::get_details_error_info(&first).unwrap();
        assert_eq!((info.reason.as_str(), info.metadata.len()), ("SERVER_STATE_NOT_ADMITTED", 6));
        assert!(tonic_types::StatusExt::get_details_precondition_failure(&first).is_some());
    }

    #[test]
    fn violations_that_are_not_told_are_counted() {
        let shown: Vec<_> = (0..12)
            .map(|number| FieldViolation { field: format!("hosts[{number}]"), description: "is wrong".to_owned() })
            .collect();
        let status = to_status(&Refusal::InvalidArgument(Violations { shown, omitted: 988 }));
        assert!(status.message().contains("not valid in 1000 field(s) (hosts[0], "), "{}", status.message());
        assert!(status.message().contains("hosts[11], +988); hosts[0]: is wrong"), "{}", status.message());
        let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
        assert_eq!(info.metadata["count"], "1000");
    }
}
