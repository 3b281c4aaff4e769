//! Errors of the layers below, and missing permissions, as refusals of a request.

use super::call::Caller;
use crate::domain::permission::RequiredPermission;
use crate::domain::refusal::Refusal;
use crate::engine::EngineError;
use crate::inventory::InventoryError;
use crate::oceanbase::{ClusterError, ErrorClass, ErrorDetail};
use crate::store::StoreError;

/// The store's error: the caller can only try again, the log has the details.
pub(super) fn store_refusal(error: &StoreError) -> Refusal {
    tracing::error!("the store failed a request: {error}");
    match error {
        StoreError::Open(_) | StoreError::Outdated(_) | StoreError::Failed(_) | StoreError::Closed => Refusal::Unavailable {
            why: "the store does not answer; a request for a change may have been accepted, repeat it with the same request_id"
                .to_owned(),
            retry_after_millis: 1000,
        },
        StoreError::Damaged(what) => Refusal::Internal { what: what.clone() },
    }
}

/// The engine's error: its store's, or a defect that the caller can only report.
pub(super) fn engine_refusal(error: &EngineError) -> Refusal {
    match error {
        EngineError::Store(error) => store_refusal(error),
        EngineError::Broken(_) => {
            tracing::error!("{error}");
            Refusal::Internal { what: error.to_string() }
        }
    }
}

/// What the caller may not do.
pub(super) fn permission_denied(caller: &Caller, need: RequiredPermission) -> Refusal {
    Refusal::PermissionDenied { principal: caller.principal.clone(), need }
}

/// A refusal from within a change of the directory, whose store may fail too.
pub(super) struct Refused(pub Refusal);

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self(store_refusal(&error))
    }
}

pub(super) fn inventory_refusal(error: &InventoryError) -> Refusal {
    match error {
        InventoryError::ClusterNotFound(cluster) => Refusal::ClusterNotFound { cluster: cluster.to_string() },
        InventoryError::ServerNotFound { cluster, server } => {
            Refusal::ServerNotFound { cluster: *cluster, server: *server }
        }
        InventoryError::Store(error) => store_refusal(error),
        InventoryError::Cluster(error) => cluster_refusal("the cluster", "", error),
    }
}

/// A cluster's error. What will fail again until a person has changed something is no cluster that cannot be reached: nobody
/// is to try it again.
pub(super) fn cluster_refusal(cluster: &str, username: &str, error: &ClusterError) -> Refusal {
    let (cluster, why) = (cluster.to_owned(), error.message.clone());
    let endpoint = error.endpoint.clone().unwrap_or_else(|| cluster.clone());
    match (error.class, error.about.as_deref()) {
        (ErrorClass::AuthFailed, _) => Refusal::ClusterAuthFailed { endpoint, username: username.to_owned() },
        (ErrorClass::WrongCluster, Some(ErrorDetail::OtherCluster { expected, found })) => {
            Refusal::WrongCluster { endpoint, expected: expected.clone(), found: found.clone() }
        }
        (_, Some(ErrorDetail::MissingView { view, versions })) => {
            Refusal::ViewMissing { cluster, view: view.clone(), versions: (*versions).to_owned() }
        }
        (ErrorClass::Permanent | ErrorClass::WrongCluster, _) => Refusal::ClusterRefuses { cluster, why },
        (ErrorClass::Transient | ErrorClass::Unreachable | ErrorClass::Unreadable | ErrorClass::Unknown, _) => {
            Refusal::ClusterUnreachable { cluster, why }
        }
    }
}
