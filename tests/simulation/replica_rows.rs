//! The replicas as rows of the shared store: what `src/store/mysql/replicas.rs` says in SQL. Each function is one statement: it
//! compares and sets at one moment.

use obsteward::clock::Timestamp;
use obsteward::domain::ids::ReplicaId;
use obsteward::store::replicas::{ReplicaRow, ReplicaState};

use crate::disk::Content;

impl Content {
    /// A new replica.
    pub fn join(&mut self, name: &str, at: Timestamp) -> ReplicaId {
        let last = self.replicas.last().map_or(0, |row| row.id.get());
        let id = ReplicaId::new(last + 1).unwrap();
        self.replicas.push(ReplicaRow {
            id,
            name: name.to_owned(),
            address: String::new(),
            version: String::new(),
            start_time: at,
            end_time: None,
            state: ReplicaState::Live,
            renewals: 1,
            renew_time: at,
            tasks: 0,
        });
        id
    }

    /// False: it is live no more.
    pub fn renew(&mut self, replica: ReplicaId, tasks: usize, at: Timestamp) -> bool {
        let Some(row) = self.live(replica) else { return false };
        row.renewals += 1;
        row.renew_time = at;
        row.tasks = u32::try_from(tasks).unwrap();
        true
    }

    /// If its last renewal is still this one.
    pub fn bury(&mut self, replica: ReplicaId, renewals: i64, at: Timestamp) -> bool {
        self.live(replica).is_some_and(|row| row.renewals == renewals) && self.end(replica, ReplicaState::Buried, at)
    }

    /// Whatever it owned has no owner.
    pub fn end(&mut self, replica: ReplicaId, state: ReplicaState, at: Timestamp) -> bool {
        if let Some(row) = self.live(replica) {
            row.state = state;
            row.end_time = Some(at);
        }
        self.owners.retain(|_, owner| *owner != replica);
        self.ownership += 1;
        self.tell_news();
        true
    }

    fn live(&mut self, replica: ReplicaId) -> Option<&mut ReplicaRow> {
        self.replicas.iter_mut().find(|row| row.id == replica && row.state == ReplicaState::Live)
    }
}
