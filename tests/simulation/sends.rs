//! What services of a world let go: each effect at the moment at which its permit was looked at for the last time, and each
//! call of an agent as it came there. From this, the log and the clusters' own records `operators` judges who acted when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use obsteward::clock::monotonic_now;
use obsteward::domain::effect::Permit;
use obsteward::domain::ids::{Fence, ReplicaId};
use tokio::time::Instant;

/// Shared and cheap to clone.
#[derive(Clone, Default)]
pub struct Sends(Arc<Mutex<Sent>>);

#[derive(Default)]
struct Sent {
    effects: Vec<Effect>,
    /// How many lives there were, and which of them joined as these replicas.
    lives: u64,
    joined: BTreeMap<ReplicaId, u64>,
    counts: BTreeMap<&'static str, usize>,
}

/// An effect that was let go, or that came to an agent and was done there.
#[derive(Clone, Debug)]
pub struct Effect {
    pub at: Instant,
    pub what: What,
    /// `task/subtask/run_time/intent`, as the agent knows it too.
    pub token: String,
    pub fence: Fence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The service in this life has looked at its lease, and sends it.
    LetGo { life: u64 },
    /// An agent took it up and did it.
    DoneByAgent,
}

impl Sends {
    /// A number for a life that begins.
    pub fn begins(&self) -> u64 {
        let mut sent = self.0.lock().unwrap();
        sent.lives += 1;
        sent.lives
    }

    pub fn joined(&self, life: u64, replica: ReplicaId) {
        self.0.lock().unwrap().joined.insert(replica, life);
    }

    /// The life that is or was this replica.
    pub fn life_of(&self, replica: ReplicaId) -> Option<u64> {
        self.0.lock().unwrap().joined.get(&replica).copied()
    }

    pub fn let_go(&self, life: u64, permit: &Permit) {
        self.add(monotonic_now(), What::LetGo { life }, permit.token(), permit.fence());
    }

    /// `came`: when the agent heard of it.
    pub fn done_by_agent(&self, came: Instant, token: String, fence: Fence) {
        self.add(came, What::DoneByAgent, token, fence);
    }

    fn add(&self, at: Instant, what: What, token: String, fence: Fence) {
        self.0.lock().unwrap().effects.push(Effect { at, what, token, fence });
    }

    /// Counts what is told at the end of a walk.
    pub fn count(&self, what: &'static str) {
        *self.0.lock().unwrap().counts.entry(what).or_default() += 1;
    }

    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.0.lock().unwrap().counts.clone()
    }

    /// The effects since the last call.
    pub fn take(&self) -> Vec<Effect> {
        std::mem::take(&mut self.0.lock().unwrap().effects)
    }
}
