//! Which rows a caller's lists show, from its rights. Pure.

use crate::domain::permission::{Domain, Rights, Visible};
use crate::store::TaskVisibility;

/// A task is seen by itself or by its cluster.
pub(super) fn of_tasks(rights: &Rights) -> TaskVisibility {
    match (rights.visible(Domain::Cluster), rights.visible(Domain::Task)) {
        (Visible::All, _) | (_, Visible::All) => TaskVisibility::All,
        (Visible::Only(clusters), Visible::Only(tasks)) => TaskVisibility::Only { clusters, tasks },
    }
}
