//! The change freezes: what nothing begins on until it is thawed.

use super::Service;
use super::audit_entry::AuditEntry;
use super::call::{Caller, ServiceCall};
use super::refusals::{inventory_refusal, store_refusal};
use crate::domain::call::Call;
use crate::domain::change_freeze::{ChangeFreeze, FreezeScope};
use crate::domain::ids::{ClusterId, ClusterKey};
use crate::domain::permission::{Action, Domain, RequiredPermission};
use crate::domain::refusal::Refusal;

/// A change freeze with its cluster.
#[derive(Clone, Debug)]
pub struct ChangeFreezeView {
    /// Id and name; `None`: of everything, or of a cluster that is not registered any more.
    pub cluster: Option<(ClusterId, String)>,
    pub freeze: ChangeFreeze,
}

/// Nothing begins on the cluster, or on any, until it is thawed. What has begun goes on.
#[derive(Clone, Copy, Debug)]
pub struct FreezeChanges(pub Option<ClusterId>);

impl ServiceCall for FreezeChanges {
    const CALL: Call = Call::FreezeChanges;
    type Subject = Option<ClusterId>;
    type Output = ChangeFreezeView;

    fn subject(&self, _: &Caller) -> Option<ClusterId> {
        self.0
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        entry(self.0)
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<ChangeFreezeView, Refusal> {
        let (scope, cluster) = service.freeze_scope(self.0).await?;
        let (by, since) = (caller.principal.clone(), service.deps.clock.now());
        let freeze = ChangeFreeze { scope: scope.clone(), by, reason: caller.reason.clone(), since };
        let audit = service.accepted(caller, Self::CALL, entry(self.0));
        let frozen = service.freezes.freeze_changes(freeze.clone(), audit).await;
        if frozen.map_err(|error| store_refusal(&error))? {
            return Ok(ChangeFreezeView { cluster, freeze });
        }
        let all = service.freezes.change_freezes().await.map_err(|error| store_refusal(&error))?;
        match all.into_iter().find(|freeze| freeze.scope == scope) {
            Some(freeze) => Err(Refusal::ChangesFrozenAlready { freeze: Box::new(freeze) }),
            None => Err(Refusal::ChangesNotFrozen { cluster: self.0 }),
        }
    }
}

/// Ends a change freeze: of the cluster, or that of everything.
#[derive(Clone, Copy, Debug)]
pub struct ThawChanges(pub Option<ClusterId>);

impl ServiceCall for ThawChanges {
    const CALL: Call = Call::ThawChanges;
    type Subject = Option<ClusterId>;
    type Output = ();

    fn subject(&self, _: &Caller) -> Option<ClusterId> {
        self.0
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        entry(self.0)
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<(), Refusal> {
        let (scope, _) = service.freeze_scope(self.0).await?;
        let audit = service.accepted(caller, Self::CALL, entry(self.0));
        let thawed = service.freezes.thaw_changes(scope, audit).await.map_err(|error| store_refusal(&error))?;
        if thawed { Ok(()) } else { Err(Refusal::ChangesNotFrozen { cluster: self.0 }) }
    }
}

/// The change freezes that are on: that of everything, and those of clusters that the caller may read.
#[derive(Clone, Copy, Debug)]
pub struct ListChangeFreezes;

impl ServiceCall for ListChangeFreezes {
    const CALL: Call = Call::ListChangeFreezes;
    type Subject = ();
    type Output = Vec<ChangeFreezeView>;

    fn subject(&self, _: &Caller) {}

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<Vec<ChangeFreezeView>, Refusal> {
        let mut shown = Vec::new();
        for freeze in service.freezes.change_freezes().await.map_err(|error| store_refusal(&error))? {
            let cluster = match &freeze.scope {
                FreezeScope::Everything => None,
                FreezeScope::Cluster(key) => {
                    let row = service.deps.inventory.store().cluster_of(key).await;
                    let row = row.map_err(|error| store_refusal(&error))?;
                    let need = match &row {
                        Some(row) => RequiredPermission::one(Domain::Cluster, row.id.get(), Action::Read),
                        None => RequiredPermission::all(Domain::Cluster, Action::Read),
                    };
                    if !caller.rights.allow(need) {
                        continue;
                    }
                    row.map(|row| (row.id, row.identity.name))
                }
            };
            shown.push(ChangeFreezeView { cluster, freeze });
        }
        Ok(shown)
    }
}

fn entry(cluster: Option<ClusterId>) -> AuditEntry {
    match cluster {
        Some(cluster) => AuditEntry::on(format!("cluster {cluster}")).in_cluster(cluster),
        None => AuditEntry::on("all clusters"),
    }
}

impl Service {
    async fn freeze_scope(
        &self,
        cluster: Option<ClusterId>,
    ) -> Result<(FreezeScope, Option<(ClusterId, String)>), Refusal> {
        let Some(cluster) = cluster else { return Ok((FreezeScope::Everything, None)) };
        let row = self.deps.inventory.cluster(cluster).await.map_err(|error| inventory_refusal(&error))?;
        Ok((FreezeScope::Cluster(row.identity.key()), Some((row.id, row.identity.name))))
    }

    /// The change freeze that covers a cluster; that of everything comes first.
    pub(super) async fn freeze_of(&self, cluster: &ClusterKey) -> Result<Option<ChangeFreeze>, Refusal> {
        let all = self.freezes.change_freezes().await.map_err(|error| store_refusal(&error))?;
        Ok(all.into_iter().find(|freeze| freeze.scope.covers(cluster)))
    }
}
