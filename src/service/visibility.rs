//! Which rows a caller's lists show, from its rights. Pure.

use crate::domain::permission::{Domain, Rights, VisibleIds};
use crate::store::TaskVisibility;

/// A task is seen by itself or by its cluster.
pub(super) fn of_tasks(rights: &Rights) -> TaskVisibility {
    match (rights.visible(Domain::Cluster), rights.visible(Domain::Task)) {
        (VisibleIds::All, _) | (_, VisibleIds::All) => TaskVisibility::All,
        (VisibleIds::Only(clusters), VisibleIds::Only(tasks)) => TaskVisibility::Only { clusters, tasks },
    }
}
