//! Every row of the error table: its own rules, and how it comes out of the gRPC face. One sample of each refusal stands
//! here.

use std::collections::HashSet;

use obsteward::api::error_status::to_status;
use obsteward::api::error_table::{About, Retry, Row, row};
use obsteward::clock::Timestamp;
use obsteward::domain::event::{SubtaskState, TaskState, Verb};
use obsteward::domain::ids::{ClusterId, Principal, Revision, Seq, ServerId, SubtaskId, TaskId};
use obsteward::domain::permission::{Action, Domain, Need};
use obsteward::domain::refusal::{FieldViolation, Holder, Refusal, Unproven, Unskippable, Violations};
use obsteward::proto::v1;
use tonic::Code;
use tonic_types::StatusExt;

use crate::api::Fixture;

/// How many kinds of refusal there are.
const KINDS: usize = 54;

/// Names every kind: a new one does not compile until it is here, in [`KINDS`] and in [`every`].
const fn is_among(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::InvalidArgument(..)
        | Refusal::ClusterNotFound { .. }
        | Refusal::ServerNotFound { .. }
        | Refusal::ZoneNotFound { .. }
        | Refusal::TaskNotFound { .. }
        | Refusal::OperationInProgress { .. }
        | Refusal::ServerStateNotAdmitted { .. }
        | Refusal::SingleServerCluster { .. }
        | Refusal::ExpectedServerMismatch { .. }
        | Refusal::ServerReplaced { .. }
        | Refusal::RequestIdReused { .. }
        | Refusal::TaskMoved { .. }
        | Refusal::VerbNotAllowed { .. }
        | Refusal::EffectMayStillHappen { .. }
        | Refusal::SubtaskNotRunning { .. }
        | Refusal::SubtaskNotFailed { .. }
        | Refusal::SubtaskNotFound { .. }
        | Refusal::SubtaskNotSkippable { .. }
        | Refusal::RollbackUnfinished { .. }
        | Refusal::ExpireTimePassed { .. }
        | Refusal::RevisionAhead { .. }
        | Refusal::SeqAhead { .. }
        | Refusal::ClusterAlreadyRegistered { .. }
        | Refusal::IdTaken { .. }
        | Refusal::WrongCluster { .. }
        | Refusal::ClusterAuthFailed { .. }
        | Refusal::ClusterUnreachable { .. }
        | Refusal::ClusterRefuses { .. }
        | Refusal::ViewMissing { .. }
        | Refusal::ClusterHeld { .. }
        | Refusal::Unauthenticated { .. }
        | Refusal::LoginThrottled { .. }
        | Refusal::PermissionDenied { .. }
        | Refusal::RiskNotAcceptedHere { .. }
        | Refusal::RateLimited { .. }
        | Refusal::TooManyWatches { .. }
        | Refusal::UserNotFound { .. }
        | Refusal::AccessKeyNotFound { .. }
        | Refusal::RoleNotFound { .. }
        | Refusal::NameTaken { .. }
        | Refusal::RoleFixed { .. }
        | Refusal::LastAdministrator { .. }
        | Refusal::RouteNotFound { .. }
        | Refusal::MethodNotAllowed { .. }
        | Refusal::BodyTooLarge { .. }
        | Refusal::UnsupportedMediaType { .. }
        | Refusal::MethodNotFound { .. }
        | Refusal::CompressionUnsupported { .. }
        | Refusal::MessageTooLarge { .. }
        | Refusal::DeadlinePassed
        | Refusal::TooManyStrangers { .. }
        | Refusal::RequestTimeout { .. }
        | Refusal::Unavailable { .. }
        | Refusal::Internal { .. } => true,
    }
}

/// One of each; [`is_among`] does not compile when one is missing there, and a test compares the numbers.
pub fn every() -> Vec<Refusal> {
    let cluster = ClusterId::new(1).unwrap();
    let server = ServerId::new(2).unwrap();
    let task = TaskId::new(3).unwrap();
    let subtask = SubtaskId::new(9).unwrap();
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
        Refusal::InvalidArgument(Violations {
            told: vec![FieldViolation { field: "server_id".to_owned(), description: text() }],
            untold: 0,
        }),
        Refusal::ClusterNotFound { cluster: text() },
        Refusal::ServerNotFound { cluster, server },
        Refusal::ZoneNotFound { cluster, zone: "zone9".parse().unwrap() },
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
        Refusal::TaskMoved { task, expected: Revision::new(4), revision: Revision::new(5), state: TaskState::Running },
        Refusal::VerbNotAllowed {
            task,
            verb: Verb::Retry,
            state: TaskState::Running,
            allowed_in: &[TaskState::Failed],
        },
        Refusal::EffectMayStillHappen { task, until },
        Refusal::SubtaskNotRunning { task, subtask },
        Refusal::SubtaskNotFailed { task, subtask, name: text(), state: SubtaskState::Pending },
        Refusal::SubtaskNotFound { task, subtask },
        Refusal::SubtaskNotSkippable { task, subtask, name: text(), why: Unskippable::Checks },
        Refusal::RollbackUnfinished { task },
        Refusal::ExpireTimePassed { expire_time: until, now: until },
        Refusal::RevisionAhead { task, asked: Revision::new(9), head: Revision::new(8) },
        Refusal::SeqAhead { asked: Seq::new(9), head: Seq::new(8) },
        Refusal::ClusterAlreadyRegistered { cluster, name: text() },
        Refusal::IdTaken { what: "server", id: 5 },
        Refusal::WrongCluster { endpoint: text(), expected: text(), found: text() },
        Refusal::ClusterAuthFailed { endpoint: text(), username: text() },
        Refusal::ClusterUnreachable { cluster: text(), why: text() },
        Refusal::ClusterRefuses { cluster: text(), why: text() },
        Refusal::ViewMissing { cluster: text(), view: text(), versions: text() },
        Refusal::ClusterHeld { cluster, task },
        Refusal::Unauthenticated { why: Unproven::NoCredentials },
        Refusal::LoginThrottled { retry_after_millis: 2500 },
        Refusal::PermissionDenied {
            principal: Principal::new("eve"),
            need: Need::one(Domain::Cluster, 7, Action::Update),
        },
        Refusal::RiskNotAcceptedHere { setting: "rest.accepted_risks" },
        Refusal::RateLimited { limit: 10, window_seconds: 60, retry_after_millis: 1500 },
        Refusal::TooManyWatches { principal: Principal::new("eve"), limit: 3 },
        Refusal::UserNotFound { user: text() },
        Refusal::AccessKeyNotFound { key: "AK12345678".parse().unwrap() },
        Refusal::RoleNotFound { role: "NIGHT_SHIFT".parse().unwrap() },
        Refusal::NameTaken { what: "role", name: text() },
        Refusal::RoleFixed { role: "ADMIN".parse().unwrap(), why: text() },
        Refusal::LastAdministrator { user: Principal::new("admin") },
        Refusal::RouteNotFound { method: "GET".to_owned(), path: "/x".to_owned() },
        Refusal::MethodNotAllowed { method: "PUT".to_owned(), path: "/x".to_owned(), allowed: "GET".to_owned() },
        Refusal::BodyTooLarge { limit: 65_536 },
        Refusal::UnsupportedMediaType { field: "Content-Type", given: "text/plain".to_owned() },
        Refusal::MethodNotFound { method: "/a.B/C".to_owned() },
        Refusal::CompressionUnsupported { encoding: "gzip".to_owned() },
        Refusal::MessageTooLarge { limit: 1 },
        Refusal::DeadlinePassed,
        Refusal::TooManyStrangers { limit: 32 },
        Refusal::RequestTimeout { seconds: 15 },
        Refusal::Unavailable { why: text(), retry_after_millis: 1500 },
        Refusal::Internal { what: text() },
    ]
}

/// Other sentences of kinds that have several.
fn other_sentences() -> Vec<Refusal> {
    let (task, subtask) = (TaskId::new(3).unwrap(), SubtaskId::new(9).unwrap());
    [Unskippable::NotFailed(SubtaskState::Pending), Unskippable::NotItsTurn]
        .map(|why| Refusal::SubtaskNotSkippable { task, subtask, name: "Stop server".to_owned(), why })
        .into()
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
    let refusal = &every()[5];
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

#[test]
fn there_is_a_sample_of_every_kind() {
    let kinds: HashSet<_> = every().iter().filter(|refusal| is_among(refusal)).map(std::mem::discriminant).collect();
    assert_eq!(kinds.len(), KINDS);
}

#[tokio::test]
async fn every_refusal_comes_out_of_the_grpc_face() {
    let fixture = Fixture::new().await;
    for refusal in every() {
        let row = row(&refusal);
        fixture.refuse(refusal);
        let status = fixture.tasks().get_task(v1::GetTaskRequest { task_id: 1 }).await.unwrap_err();
        assert_eq!(status.code(), row.code, "{}", row.reason);
        assert_eq!(status.message(), row.message());
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata.len()), (row.reason, row.values.len()));
    }
}
