//! Errors of the layers below as refusals of a request.

use crate::domain::refusal::Refusal;
use crate::inventory::InventoryError;
use crate::oceanbase::{ClusterError, ErrorClass};
use crate::store::StoreError;

/// The store's error: the caller can only try again, the log has the details.
pub(super) fn store_refusal(error: &StoreError) -> Refusal {
    tracing::error!("the store failed a request: {error}");
    match error {
        StoreError::Open(_) | StoreError::Failed(_) | StoreError::Closed => Refusal::Unavailable {
            why: "the store does not answer; whether the request was accepted is found by repeating it with the same request_id"
                .to_owned(),
            retry_after_millis: 1000,
        },
        StoreError::Damaged(what) => Refusal::Internal { what: what.clone() },
    }
}

/// A refusal from within a change of the directory, whose store may fail too.
pub(super) struct Refused(pub Refusal);

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self(store_refusal(&error))
    }
}

/// The inventory's error.
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

/// A cluster's error.
pub(super) fn cluster_refusal(cluster: &str, username: &str, error: &ClusterError) -> Refusal {
    match error.class {
        ErrorClass::AuthFailed => {
            Refusal::ClusterAuthFailed { endpoint: error.message.clone(), username: username.to_owned() }
        }
        ErrorClass::WrongCluster => Refusal::WrongCluster {
            endpoint: cluster.to_owned(),
            expected: "the registered cluster".to_owned(),
            found: error.message.clone(),
        },
        ErrorClass::Permanent
        | ErrorClass::Transient
        | ErrorClass::Unreachable
        | ErrorClass::Unreadable
        | ErrorClass::Unknown => {
            Refusal::ClusterUnreachable { cluster: cluster.to_owned(), why: error.message.clone() }
        }
    }
}
