//! Every row of the error table: its own rules, and how it comes out of the gRPC face.

use std::collections::HashSet;

use obsteward::api::error_status::to_status;
use obsteward::api::error_table::{About, Retry, row};
use obsteward::domain::refusal::{AuthFailure, Refusal};
use tonic::Code;
use tonic_types::StatusExt;

use crate::faces::refusal_samples::every;

/// Other sentences of why nobody is named; which one a request meets says nothing about which users there are.
const UNPROVEN: [AuthFailure; 7] = [
    AuthFailure::Malformed,
    AuthFailure::Repeated("date"),
    AuthFailure::Wrong,
    AuthFailure::DateMissing,
    AuthFailure::DateSkewed,
    AuthFailure::Ended,
    AuthFailure::UnknownCertificate,
];

/// Those, and that of a lock whose holder cannot be asked for anything.
fn other_sentences() -> Vec<Refusal> {
    let unproven = UNPROVEN.map(|why| Refusal::Unauthenticated { why });
    let held = every().into_iter().filter_map(|refusal| match refusal {
        Refusal::OperationInProgress { cluster, mut holder } => {
            holder.verbs.clear();
            Some(Refusal::OperationInProgress { cluster, holder })
        }
        _ => None,
    });
    held.chain(unproven).collect()
}

/// Names of the values in a template.
fn names(template: &str) -> HashSet<&str> {
    template.split('{').skip(1).map(|piece| piece.split_once('}').unwrap().0).collect()
}

#[test]
fn reasons_are_unique_short_and_upper_snake() {
    let kinds: HashSet<_> = every().iter().map(std::mem::discriminant).collect();
    let reasons: HashSet<&str> = every().iter().map(|refusal| row(refusal).reason).collect();
    assert_eq!(reasons.len(), kinds.len());
    for reason in reasons {
        let legal = |letter: char| letter.is_ascii_uppercase() || letter == '_';
        assert!(reason.len() <= 63 && reason.chars().all(legal), "{reason}");
    }
}

#[test]
fn every_value_of_a_message_is_in_the_metadata_in_both_languages() {
    for refusal in every().into_iter().chain(other_sentences()) {
        let row = row(&refusal);
        let keys: HashSet<&str> = row.values.iter().map(|(key, _)| *key).collect();
        assert!(names(row.en).is_subset(&keys), "{}", row.reason);
        // OCP's own words of 429 name no value.
        if row.reason != "RATE_LIMITED" {
            assert_eq!(names(row.en), names(row.zh), "{}", row.reason);
        }
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
            Code::InvalidArgument | Code::OutOfRange => &[400, 413, 415],
            Code::Unauthenticated => &[401],
            Code::PermissionDenied => &[403],
            Code::NotFound => &[404],
            Code::Unimplemented => &[404, 405, 415],
            Code::DeadlineExceeded => &[408, 504],
            Code::Aborted | Code::FailedPrecondition | Code::AlreadyExists => &[409],
            Code::ResourceExhausted => &[413, 429],
            Code::Unavailable => &[503],
            _ => &[500],
        };
        assert!(http.contains(&row.http), "{}", row.reason);
    }
}

#[test]
fn a_lock_conflict_names_its_holder_and_the_way_out() {
    let held = every().into_iter().find(|refusal| refusal.reason() == "OPERATION_IN_PROGRESS").unwrap();
    let status = to_status(&held);
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

#[test]
fn every_refusal_goes_through_the_headers_of_the_grpc_face() {
    for refusal in every() {
        let row = row(&refusal);
        let answer = to_status(&refusal).into_http::<()>();
        let status = tonic::Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), row.code, "{}", row.reason);
        assert_eq!(status.message(), row.message());
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata.len()), (row.reason, row.values.len()));
    }
}
