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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::domain::event::{TaskState, Verb};
    use crate::domain::ids::{ClusterId, Principal, Revision, Seq, ServerId, SubtaskId, TaskId};
    use crate::domain::refusal::{FieldViolation, Holder};

    /// One of each; the match in the table has no catch-all, and the test below counts the reasons.
    fn every() -> Vec<Refusal> {
        let cluster = ClusterId::new(1).unwrap();
        let server = ServerId::new(2).unwrap();
        let task = TaskId::new(3).unwrap();
        let addr = "10.0.0.2:2882".parse().unwrap();
        let text = || "some {words}".to_owned();
        let until = Timestamp::from_micros(1_000_000);
        let holder = Holder {
            task,
            name: "Stop OB server".to_owned(),
            state: TaskState::Failed,
            since: until,
            by: Principal::new("eve"),
            server: addr,
            verbs: vec![Verb::Retry, Verb::GiveUp],
        };
        vec![
            Refusal::InvalidArgument(vec![FieldViolation { field: "server_id".to_owned(), description: text() }]),
            Refusal::ClusterNotFound { cluster: text() },
            Refusal::ServerNotFound { cluster, server },
            Refusal::TaskNotFound { task },
            Refusal::OperationInProgress { cluster, holder: Box::new(holder) },
            Refusal::ServerStateNotAdmitted {
                server,
                addr,
                service: text(),
                process: text(),
                expected: text(),
                remedy: text(),
            },
            Refusal::SingleServerCluster { cluster, server },
            Refusal::ExpectedServerMismatch { server, expected: addr, actual: addr },
            Refusal::ServerReplaced { server, addr },
            Refusal::RequestIdReused { request_id: text(), task },
            Refusal::TaskMoved {
                task,
                expected: Revision::new(4),
                revision: Revision::new(5),
                state: TaskState::Running,
            },
            Refusal::VerbNotAllowed {
                task,
                verb: Verb::Retry,
                state: TaskState::Running,
                allowed_in: &[TaskState::Failed],
            },
            Refusal::EffectMayStillHappen { task, until },
            Refusal::SubtaskNotRunning { task, subtask: SubtaskId::new(9).unwrap() },
            Refusal::ExpireTimePassed { expire_time: until, now: until },
            Refusal::RevisionAhead { task, asked: Revision::new(9), head: Revision::new(8) },
            Refusal::SeqAhead { asked: Seq::new(9), head: Seq::new(8) },
            Refusal::ClusterAlreadyRegistered { cluster, name: text() },
            Refusal::IdTaken { what: "server", id: 5 },
            Refusal::WrongCluster { endpoint: text(), expected: text(), found: text() },
            Refusal::ClusterAuthFailed { endpoint: text(), username: text() },
            Refusal::ClusterUnreachable { cluster: text(), why: text() },
            Refusal::ClusterHeld { cluster, task },
            Refusal::Unavailable { why: text(), retry_after_millis: 1500 },
            Refusal::Internal { what: text() },
        ]
    }

    /// Names of the values in a template.
    fn names(template: &str) -> HashSet<&str> {
        template.split('{').skip(1).map(|piece| piece.split_once('}').unwrap().0).collect()
    }

    #[test]
    fn reasons_are_unique_short_and_upper_snake() {
        let rows: Vec<Row> = every().iter().map(row).collect();
        let reasons: HashSet<&str> = rows.iter().map(|row| row.reason).collect();
        assert_eq!(reasons.len(), rows.len());
        for reason in reasons {
            let legal = |letter: char| letter.is_ascii_uppercase() || letter == '_';
            assert!(reason.len() <= 63 && reason.chars().all(legal), "{reason}");
        }
    }

    #[test]
    fn every_value_of_a_message_is_in_the_metadata_in_both_languages() {
        for refusal in every() {
            let row = row(&refusal);
            let keys: HashSet<&str> = row.values.iter().map(|(key, _)| *key).collect();
            assert!(names(row.en).is_subset(&keys), "{}", row.reason);
            assert_eq!(names(row.en), names(row.zh), "{}", row.reason);
            assert!(!row.message().contains('?'), "{}", row.message());
            assert!(row.zh.chars().any(|letter| letter > '\u{4e00}'), "{}", row.reason);
            assert!(row.message().starts_with(|first: char| !first.is_uppercase() || row.en.starts_with('{')));
            assert!(!row.en.ends_with('.'), "{}", row.reason);
        }
    }

    #[test]
    fn every_status_carries_error_info_and_what_applies() {
        for refusal in every() {
            let row = row(&refusal);
            let status = to_status(&refusal);
            assert_eq!(status.code(), row.code);
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (row.reason, "obsteward"));
            assert_eq!(info.metadata.len(), row.values.len());
            match row.about {
                About::Values => {}
                About::Fields(fields) => {
                    assert_eq!(details.bad_request().unwrap().field_violations.len(), fields.len());
                }
                About::Resource(kind, name) => {
                    let resource = details.resource_info().unwrap();
                    assert_eq!((resource.resource_type.as_str(), &resource.resource_name), (kind, &name));
                }
                About::Condition(kind, _) => {
                    assert_eq!(details.precondition_failure().unwrap().violations[0].r#type, kind);
                }
            }
            assert_eq!(details.retry_info().is_some(), row.retry != Retry::Never, "{}", row.reason);
        }
    }

    #[test]
    fn codes_agree_between_the_faces() {
        for refusal in every() {
            let row = row(&refusal);
            let http: &[u16] = match row.code {
                tonic::Code::InvalidArgument | tonic::Code::OutOfRange => &[400],
                tonic::Code::NotFound => &[404],
                tonic::Code::Aborted | tonic::Code::FailedPrecondition | tonic::Code::AlreadyExists => &[409],
                tonic::Code::Unavailable => &[503],
                _ => &[500],
            };
            assert!(http.contains(&row.http), "{}", row.reason);
        }
    }

    #[test]
    fn a_lock_conflict_names_its_holder_and_the_way_out() {
        let refusal = &every()[4];
        let status = to_status(refusal);
        assert_eq!(
            status.message(),
            "task 3 (Stop OB server on 10.0.0.2:2882, by eve) is FAILED and holds cluster 1 since 1970-01-01T00:00:01.000Z; free it with RetryTask, GiveUpTask"
        );
    }

    #[test]
    fn long_values_are_cut() {
        let status = to_status(&Refusal::Internal { what: "é".repeat(100_000) });
        assert!(status.message().len() < 700 && status.details().len() < 2000);
    }
}
