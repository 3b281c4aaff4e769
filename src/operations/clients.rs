//! What clients have on a server, as the plan of a stop shows it and a drain waits for it.

use crate::domain::clients::ServerClients;
use crate::domain::ids::ServerAddr;
use crate::domain::reading::{Fact, Unreadable};
use crate::inventory::Target;
use crate::oceanbase::ClusterError;
use crate::operations::{Deps, step_io};

pub(super) async fn read(deps: &Deps, target: &Target) -> Result<Fact<ServerClients>, ClusterError> {
    step_io::reader(deps, target).await?.clients(&target.server.addr).await
}

/// For a plan, which blocks nothing by it: what cannot be read is not known.
pub async fn outlook(deps: &Deps, target: &Target) -> (ServerAddr, Fact<ServerClients>) {
    let found = step_io::within(deps.timeouts.reading, &target.cluster.identity.name, read(deps, target)).await;
    (target.server.addr, found.unwrap_or_else(|error| Err(Unreadable::new(error.message))))
}
