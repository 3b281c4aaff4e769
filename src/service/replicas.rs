//! ListReplicas.

use super::Service;
use super::call::{Caller, ServiceCall};
use super::refusals::store_refusal;
use crate::domain::call::Call;
use crate::domain::refusal::Refusal;
use crate::store::replicas::ReplicaRow;

/// Replicas of the service over its store, ascending by id.
#[derive(Clone, Copy, Debug)]
pub struct ListReplicas;

/// A replica, as the one that answers sees it.
#[derive(Clone, Debug)]
pub struct ReplicaView {
    pub row: ReplicaRow,
    /// Whether it is the one that answers.
    pub answering: bool,
    /// Whether its lease can end.
    pub has_lease: bool,
}

impl ServiceCall for ListReplicas {
    const CALL: Call = Call::ListReplicas;
    type Subject = ();
    type Output = Vec<ReplicaView>;

    fn subject(&self, _: &Caller) {}

    async fn run(self, service: &Service, _: &Caller, _: ()) -> Result<Vec<ReplicaView>, Refusal> {
        let replicas = service.engine.replicas();
        let rows = replicas.replicas().await.map_err(|error| store_refusal(&error))?;
        let (me, has_lease) = (service.engine.me(), replicas.is_shared());
        Ok(rows.into_iter().map(|row| ReplicaView { answering: Some(row.id) == me, has_lease, row }).collect())
    }
}
