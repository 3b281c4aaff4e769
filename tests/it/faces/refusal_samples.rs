//! One sample of each refusal, for the tests of both faces.

use obsteward::clock::Timestamp;
use obsteward::domain::approval::PlanDigest;
use obsteward::domain::change_freeze::{ChangeFreeze, FreezeScope};
use obsteward::domain::event::{SubtaskState, TaskState, Verb};
use obsteward::domain::ids::{ClusterId, ClusterKey, Principal, Revision, Seq, ServerAddr, ServerId, SubtaskId};
use obsteward::domain::maintenance::Closed;
use obsteward::domain::permission::{Action, Domain, RequiredPermission};
use obsteward::domain::reason::Reason;
use obsteward::domain::refusal::{AuthFailure, FieldViolation, LockHolder, NoUse, Refusal, SkipRefusal, Violations};

use crate::support::stored_tasks::{cluster_id, task_id};

/// The sample after another; from none the first, after the last none. A new refusal does not compile until it has a place.
fn next(after: Option<&Refusal>) -> Option<Refusal> {
    let cluster: ClusterId = cluster_id(1);
    let server = ServerId::new(2).unwrap();
    let task = task_id(3);
    let subtask = SubtaskId::new(9).unwrap();
    let addr: ServerAddr = "10.0.0.2:2882".parse().unwrap();
    let text = || "some {words}".to_owned();
    let until = Timestamp::from_micros(1_000_000);
    let principal = Principal::new("eve");
    let role = || "OPERATOR".parse().unwrap();
    let unskippable = |why| Refusal::SubtaskNotSkippable { task, subtask, name: text(), why };
    let useless = |verb, why| Refusal::NothingToDo { task, verb, why };
    let outside = |exclusion| {
        let closed = Closed { exclusion, next: Some(until) };
        Refusal::OutsideWindow { cluster: text(), from: until, closed }
    };
    let freeze = |scope| {
        let (by, reason) = (Principal::new("eve"), Reason::from_stored(text()));
        ChangeFreeze { scope, by, reason, since: until }
    };
    Some(match after {
        None => Refusal::InvalidArgument(Violations {
            shown: vec![FieldViolation { field: "id".to_owned(), description: text() }],
            omitted: 0,
        }),
        Some(Refusal::InvalidArgument(_)) => Refusal::ClusterNotFound { cluster: text() },
        Some(Refusal::ClusterNotFound { .. }) => Refusal::ServerNotFound { cluster, server },
        Some(Refusal::ServerNotFound { .. }) => Refusal::ZoneNotFound { cluster, zone: "zone9".parse().unwrap() },
        Some(Refusal::ZoneNotFound { .. }) => Refusal::TaskNotFound { task },
        Some(Refusal::TaskNotFound { .. }) => {
            let verbs = vec![Verb::Retry, Verb::GiveUp];
            let name = "Stop OB server".to_owned();
            let state = TaskState::Failed;
            let target = addr.to_string();
            let holder = LockHolder { task, name, state, since: until, by: principal, target, verbs };
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
        Some(Refusal::ServerStateNotAdmitted { .. }) => {
            let zone = "zone9".parse().unwrap();
            Refusal::ZoneStateNotAdmitted {
                cluster,
                zone,
                status: obsteward::domain::status::ZoneInnerStatus::Inactive,
                expected: text(),
            }
        }
        Some(Refusal::ZoneStateNotAdmitted { .. }) => {
            Refusal::ClusterStateNotAdmitted { cluster, name: text(), found: text(), expected: text() }
        }
        Some(Refusal::ClusterStateNotAdmitted { .. }) => Refusal::ServiceLossNotAccepted { cluster },
        Some(Refusal::ServiceLossNotAccepted { .. }) => {
            Refusal::ExpectedClusterMismatch { cluster, expected: text(), actual: text() }
        }
        Some(Refusal::ExpectedClusterMismatch { .. }) => Refusal::SingleServerCluster { cluster, server },
        Some(Refusal::SingleServerCluster { .. }) => {
            Refusal::ExpectedServerMismatch { server, expected: addr, actual: addr }
        }
        Some(Refusal::ExpectedServerMismatch { .. }) => Refusal::RequestIdReused { request_id: text(), task },
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
        Some(Refusal::SubtaskNotFound { .. }) => unskippable(SkipRefusal::NotFailed(SubtaskState::Pending)),
        // The three sentences of one kind.
        Some(Refusal::SubtaskNotSkippable { why: SkipRefusal::NotFailed(_), .. }) => unskippable(SkipRefusal::Checks),
        Some(Refusal::SubtaskNotSkippable { why: SkipRefusal::Checks, .. }) => unskippable(SkipRefusal::NotItsTurn),
        Some(Refusal::SubtaskNotSkippable { why: SkipRefusal::NotItsTurn, .. }) => Refusal::RollbackUnfinished { task },
        Some(Refusal::RollbackUnfinished { .. }) => useless(Verb::Retry, NoUse::PassedOver),
        Some(Refusal::NothingToDo { why: NoUse::PassedOver, .. }) => useless(Verb::CompleteHold, NoUse::NothingHeld),
        Some(Refusal::NothingToDo { why: NoUse::NothingHeld, .. }) => useless(Verb::Pause, NoUse::NoBatchAhead),
        Some(Refusal::NothingToDo { why: NoUse::NoBatchAhead, .. }) => useless(Verb::Resume, NoUse::NotPaused),
        Some(Refusal::NothingToDo { why: NoUse::NotPaused, .. }) => useless(Verb::Approve, NoUse::NoApprovalWanted),
        Some(Refusal::NothingToDo { why: NoUse::NoApprovalWanted, .. }) => {
            useless(Verb::WithdrawApproval, NoUse::NotApproved)
        }
        Some(Refusal::NothingToDo { why: NoUse::NotApproved, .. }) => Refusal::OwnTask { task, principal },
        Some(Refusal::OwnTask { .. }) => {
            let (approved, found) = (PlanDigest::new("2b"), PlanDigest::new("3c"));
            Refusal::PlanChanged { task, approved, found }
        }
        Some(Refusal::PlanChanged { .. }) => outside(None),
        // The two sentences of one kind.
        Some(Refusal::OutsideWindow { closed: Closed { exclusion: None, .. }, .. }) => {
            outside(Some("2026-12-24..2027-01-02".to_owned()))
        }
        Some(Refusal::OutsideWindow { .. }) => {
            Refusal::ChangesFrozen { cluster: text(), freeze: Box::new(freeze(FreezeScope::Everything)) }
        }
        Some(Refusal::ChangesFrozen { .. }) => {
            let scope = FreezeScope::Cluster(ClusterKey::from_stored("demo".to_owned()));
            Refusal::ChangesFrozenAlready { freeze: Box::new(freeze(scope)) }
        }
        Some(Refusal::ChangesFrozenAlready { .. }) => Refusal::ChangesNotFrozen { cluster: Some(cluster) },
        Some(Refusal::ChangesNotFrozen { .. }) => {
            Refusal::HoldTooLong { until, longest_seconds: 3000, permanent_offline_seconds: 3600 }
        }
        Some(Refusal::HoldTooLong { .. }) => Refusal::ExpireTimePassed { expire_time: until, now: until },
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
        Some(Refusal::ClusterHeld { .. }) => Refusal::Unauthenticated { why: AuthFailure::NoCredentials },
        Some(Refusal::Unauthenticated { .. }) => Refusal::LoginThrottled { retry_after_millis: 1500 },
        Some(Refusal::LoginThrottled { .. }) => {
            Refusal::PermissionDenied { principal, need: RequiredPermission::one(Domain::Cluster, 1, Action::Update) }
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
        Some(Refusal::DeadlinePassed) => Refusal::TooManyUnauthenticated { limit: 32 },
        Some(Refusal::TooManyUnauthenticated { .. }) => Refusal::RequestTimeout { seconds: 15 },
        Some(Refusal::RequestTimeout { .. }) => Refusal::Unavailable { why: text(), retry_after_millis: 1500 },
        Some(Refusal::Unavailable { .. }) => Refusal::Internal { what: text() },
        Some(Refusal::Internal { .. }) => return None,
    })
}

/// One of each, and of those kinds that have several sentences each sentence.
pub fn every() -> Vec<Refusal> {
    std::iter::successors(next(None), |last| next(Some(last))).collect()
}
