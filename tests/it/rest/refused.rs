//! Every refusal over this face: status, code, words in both languages, headers.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use axum::body::Body;
use http::Request;
use obsteward::clock::Timestamp;
use obsteward::config::ErrorCodes;
use obsteward::domain::event::{SubtaskState, TaskState, Verb};
use obsteward::domain::ids::{ClusterId, Principal, Revision, Seq, ServerId, SubtaskId};
use obsteward::domain::permission::{Action, Domain, Need};
use obsteward::domain::refusal::{FieldViolation, Holder, Refusal, Unproven, Unskippable, Violations};
use serde_json::json;

use super::{Answer, Fixture, STOP};
use crate::fake_store::{cluster_id, task_id};

/// The sample after another; from none the first, after the last none. A new refusal does not compile until it has a place.
fn next(after: Option<&Refusal>) -> Option<Refusal> {
    let cluster: ClusterId = cluster_id(1);
    let server = ServerId::new(2).unwrap();
    let task = task_id(3);
    let subtask = SubtaskId::new(9).unwrap();
    let addr = "10.0.0.2:2882".parse().unwrap();
    let text = || "some {words}".to_owned();
    let until = Timestamp::from_micros(1_000_000);
    let principal = Principal::new("eve");
    let role = || "OPERATOR".parse().unwrap();
    let unskippable = |why| Refusal::SubtaskNotSkippable { task, subtask, name: text(), why };
    Some(match after {
        None => Refusal::InvalidArgument(Violations {
            told: vec![FieldViolation { field: "id".to_owned(), description: text() }],
            untold: 0,
        }),
        Some(Refusal::InvalidArgument(_)) => Refusal::ClusterNotFound { cluster: text() },
        Some(Refusal::ClusterNotFound { .. }) => Refusal::ServerNotFound { cluster, server },
        Some(Refusal::ServerNotFound { .. }) => Refusal::ZoneNotFound { cluster, zone: "zone9".parse().unwrap() },
        Some(Refusal::ZoneNotFound { .. }) => Refusal::TaskNotFound { task },
        Some(Refusal::TaskNotFound { .. }) => {
            let verbs = vec![Verb::Retry, Verb::GiveUp];
            let name = "Stop OB server".to_owned();
            let state = TaskState::Failed;
            let holder = Holder { task, name, state, since: until, by: principal, server: addr, verbs };
            Refusal::OperationInProgress { cluster, holder: Box::new(holder) }
        }
        Some(Refusal::OperationInProgress { .. }) => Refusal::ServerStateNotAdmitted {
            server,
            addr,
            service: text(),
            process: text(),
            expected: text(),
            remedy: text(),
        },
        Some(Refusal::ServerStateNotAdmitted { .. }) => Refusal::SingleServerCluster { cluster, server },
        Some(Refusal::SingleServerCluster { .. }) => {
            Refusal::ExpectedServerMismatch { server, expected: addr, actual: addr }
        }
        Some(Refusal::ExpectedServerMismatch { .. }) => Refusal::ServerReplaced { server, addr },
        Some(Refusal::ServerReplaced { .. }) => Refusal::RequestIdReused { request_id: text(), task },
        Some(Refusal::RequestIdReused { .. }) => Refusal::TaskMoved {
            task,
            expected: Revision::new(4),
            revision: Revision::new(5),
            state: TaskState::Running,
        },
        Some(Refusal::TaskMoved { .. }) => Refusal::VerbNotAllowed {
            task,
            verb: Verb::Retry,
            state: TaskState::Running,
            allowed_in: &[TaskState::Failed],
        },
        Some(Refusal::VerbNotAllowed { .. }) => Refusal::EffectMayStillHappen { task, until },
        Some(Refusal::EffectMayStillHappen { .. }) => Refusal::SubtaskNotRunning { task, subtask },
        Some(Refusal::SubtaskNotRunning { .. }) => {
            Refusal::SubtaskNotFailed { task, subtask, name: text(), state: SubtaskState::Pending }
        }
        Some(Refusal::SubtaskNotFailed { .. }) => Refusal::SubtaskNotFound { task, subtask },
        Some(Refusal::SubtaskNotFound { .. }) => unskippable(Unskippable::NotFailed(SubtaskState::Pending)),
        // The three sentences of one kind.
        Some(Refusal::SubtaskNotSkippable { why: Unskippable::NotFailed(_), .. }) => unskippable(Unskippable::Checks),
        Some(Refusal::SubtaskNotSkippable { why: Unskippable::Checks, .. }) => unskippable(Unskippable::NotItsTurn),
        Some(Refusal::SubtaskNotSkippable { why: Unskippable::NotItsTurn, .. }) => Refusal::RollbackUnfinished { task },
        Some(Refusal::RollbackUnfinished { .. }) => Refusal::ExpireTimePassed { expire_time: until, now: until },
        Some(Refusal::ExpireTimePassed { .. }) => {
            Refusal::RevisionAhead { task, asked: Revision::new(9), head: Revision::new(8) }
        }
        Some(Refusal::RevisionAhead { .. }) => Refusal::SeqAhead { asked: Seq::new(9), head: Seq::new(8) },
        Some(Refusal::SeqAhead { .. }) => Refusal::ClusterAlreadyRegistered { cluster, name: text() },
        Some(Refusal::ClusterAlreadyRegistered { .. }) => Refusal::IdTaken { what: "server", id: 5 },
        Some(Refusal::IdTaken { .. }) => Refusal::WrongCluster { endpoint: text(), expected: text(), found: text() },
        Some(Refusal::WrongCluster { .. }) => Refusal::ClusterAuthFailed { endpoint: text(), username: text() },
        Some(Refusal::ClusterAuthFailed { .. }) => Refusal::ClusterUnreachable { cluster: text(), why: text() },
        Some(Refusal::ClusterUnreachable { .. }) => Refusal::ClusterRefuses { cluster: text(), why: text() },
        Some(Refusal::ClusterRefuses { .. }) => {
            Refusal::ViewMissing { cluster: text(), view: text(), versions: text() }
        }
        Some(Refusal::ViewMissing { .. }) => Refusal::ClusterHeld { cluster, task },
        Some(Refusal::ClusterHeld { .. }) => Refusal::Unauthenticated { why: Unproven::NoCredentials },
        Some(Refusal::Unauthenticated { .. }) => Refusal::LoginThrottled { retry_after_millis: 1500 },
        Some(Refusal::LoginThrottled { .. }) => {
            Refusal::PermissionDenied { principal, need: Need::one(Domain::Cluster, 1, Action::Update) }
        }
        Some(Refusal::PermissionDenied { .. }) => Refusal::RiskNotAcceptedHere { setting: "rest.accepted_risks" },
        Some(Refusal::RiskNotAcceptedHere { .. }) => {
            Refusal::RateLimited { limit: 10, window_seconds: 60, retry_after_millis: 100 }
        }
        Some(Refusal::RateLimited { .. }) => Refusal::TooManyWatches { principal, limit: 5 },
        Some(Refusal::TooManyWatches { .. }) => Refusal::UserNotFound { user: text() },
        Some(Refusal::UserNotFound { .. }) => Refusal::AccessKeyNotFound { key: "abcdefgh".parse().unwrap() },
        Some(Refusal::AccessKeyNotFound { .. }) => Refusal::RoleNotFound { role: role() },
        Some(Refusal::RoleNotFound { .. }) => Refusal::NameTaken { what: "user", name: text() },
        Some(Refusal::NameTaken { .. }) => Refusal::RoleFixed { role: role(), why: text() },
        Some(Refusal::RoleFixed { .. }) => Refusal::LastAdministrator { user: principal },
        Some(Refusal::LastAdministrator { .. }) => Refusal::RouteNotFound { method: text(), path: text() },
        Some(Refusal::RouteNotFound { .. }) => {
            Refusal::MethodNotAllowed { method: text(), path: text(), allowed: text() }
        }
        Some(Refusal::MethodNotAllowed { .. }) => Refusal::BodyTooLarge { limit: 65_536 },
        Some(Refusal::BodyTooLarge { .. }) => Refusal::UnsupportedMediaType { field: "body", given: text() },
        Some(Refusal::UnsupportedMediaType { .. }) => Refusal::MethodNotFound { method: text() },
        Some(Refusal::MethodNotFound { .. }) => Refusal::CompressionUnsupported { encoding: text() },
        Some(Refusal::CompressionUnsupported { .. }) => Refusal::MessageTooLarge { limit: 65_536 },
        Some(Refusal::MessageTooLarge { .. }) => Refusal::DeadlinePassed,
        Some(Refusal::DeadlinePassed) => Refusal::TooManyStrangers { limit: 32 },
        Some(Refusal::TooManyStrangers { .. }) => Refusal::RequestTimeout { seconds: 15 },
        Some(Refusal::RequestTimeout { .. }) => Refusal::Unavailable { why: text(), retry_after_millis: 1500 },
        Some(Refusal::Unavailable { .. }) => Refusal::Internal { what: text() },
        Some(Refusal::Internal { .. }) => return None,
    })
}

fn every() -> Vec<Refusal> {
    std::iter::successors(next(None), |last| next(Some(last))).collect()
}

async fn ask(fixture: &Fixture, refusal: &Refusal, language: &str) -> Answer {
    *fixture.use_cases.refusal.lock().unwrap() = Some(refusal.clone());
    let request = Request::get("/api/v2/tasks/instances/7").header("accept-language", language);
    fixture.ask(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn every_refusal_is_an_error_of_ocp_in_both_languages() {
    let numeric = Fixture::new().await;
    let prefixed = Fixture::with(|config| config.error_codes = ErrorCodes::Prefixed).await;
    let mut table = String::new();
    let refusals = every();
    assert_eq!(refusals.len(), 56);
    for refusal in refusals {
        let zh = ask(&numeric, &refusal, "zh-CN").await;
        let en = ask(&prefixed, &refusal, "en-US, zh;q=0.5").await;
        assert_eq!((zh.status, zh.reason(), en.reason()), (en.status, refusal.reason(), refusal.reason()));
        assert_eq!(zh.headers["content-language"], "zh-CN");
        assert_eq!(en.headers["content-language"], "en");
        let (zh_error, en_error) = (&zh.body["error"], &en.body["error"]);
        // A typed client reads one of them: no answer mixes them.
        assert!(zh_error["code"].is_i64() && en_error["code"].is_string(), "{zh_error} {en_error}");
        let words = zh_error["message"].as_str().unwrap();
        assert!(words.chars().any(|letter| letter > '\u{4e00}'), "{words}");
        assert_eq!(zh_error.get("subErrors"), en_error.get("subErrors"));
        let retry = zh.headers.get("retry-after").map_or("-", |seconds| seconds.to_str().unwrap());
        let target = zh_error.get("target").map_or("-", |target| target.as_str().unwrap());
        let _ = writeln!(
            table,
            "{} {} {} {} target={target} retry={retry}\n  {}\n  {words}",
            refusal.reason(),
            zh.status.as_u16(),
            zh_error["code"],
            en_error["code"],
            en_error["message"].as_str().unwrap(),
        );
    }
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn a_rate_that_is_used_up_is_told_as_documented() {
    let fixture = Fixture::new().await;
    let refusal = Refusal::RateLimited { limit: 10, window_seconds: 60, retry_after_millis: 100 };
    let answer = ask(&fixture, &refusal, "").await;
    let words = "请求次数过多，你已经超过当前流控窗口内的请求上限";
    assert_eq!((answer.status.as_u16(), &answer.body["error"]), (429, &json!({"code": 0, "message": words})));
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn who_is_not_known_is_asked_for_a_password() {
    let fixture = Fixture::new().await;
    let answer = ask(&fixture, &Refusal::Unauthenticated { why: Unproven::NoCredentials }, "").await;
    assert_eq!((answer.status.as_u16(), &answer.body["error"]["code"]), (401, &json!(3000)));
    assert_eq!(answer.headers["www-authenticate"], "Basic realm=\"obsteward\"");
}

#[tokio::test]
async fn a_lock_conflict_names_its_holder() {
    let fixture = Fixture::new().await;
    *fixture.use_cases.refusal.lock().unwrap() =
        every().into_iter().find(|refusal| refusal.reason() == "OPERATION_IN_PROGRESS");
    let answer = fixture.post(STOP).await;
    assert_eq!((answer.status.as_u16(), &answer.body["error"]["target"]), (409, &json!("tasks/3")));
    assert_eq!(answer.body["error"]["code"], 11020);
}

#[tokio::test]
async fn a_panic_is_an_error_like_others() {
    let fixture = Fixture::new().await;
    fixture.use_cases.panics.store(true, Ordering::SeqCst);
    let answer = fixture.get("/api/v2/tasks/instances/7").await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (500, "INTERNAL"));
    assert!(!answer.body.to_string().contains("of the test's making"), "{answer:?}");
    assert_eq!(fixture.get("/api/v2/tasks/instances/7").await.reason(), "TASK_NOT_FOUND", "the face goes on");
}
