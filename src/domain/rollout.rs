//! A rollout: the servers of a cluster are taken out of service and brought back, batch by batch, each batch of one zone, with
//! a health gate behind each. Pure.
//!
//! In the task's graph a batch is a branch for each of its servers, and a subtask in the role of
//! [`SubtaskRole::HealthGate`] at which they meet; the next batch comes behind that. What a gate that was passed has behind
//! it is finished for good: neither a retry nor a rollback goes back there.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::event::{Direction, Effect, SubtaskState};
use crate::domain::graph::{SubtaskRole, TaskTarget};
use crate::domain::ids::{Principal, ServerId, SubtaskId, ZoneName};
use crate::domain::task::{Subtask, Task};
use crate::domain::words::words;

words!(
    /// What is done with each server.
    RolloutAction, "rollout action", {
        Restart = "RESTART",
        /// Stopped, held for somebody, and brought back.
        Hold = "HOLD",
    }
);

/// What was asked for and decided at acceptance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    pub action: RolloutAction,
    /// In the order in which they are taken; each is of one zone.
    pub batches: Vec<Vec<ServerId>>,
    /// How long the cluster must be healthy without a break before the next batch begins.
    pub min_healthy: Duration,
    /// With how many failed servers it stops; at least 1. One that failed after it was taken out of service stops it anyway.
    pub stop_after: u32,
    /// Behind how many servers it pauses by itself, once.
    pub pause_after: Option<u32>,
}

/// Somebody paused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseRequest {
    pub by: Principal,
    pub at: Timestamp,
}

/// Why the next batch does not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paused {
    By(PauseRequest),
    /// The first servers are done, and somebody is to look at them.
    Canary {
        servers: usize,
        since: Timestamp,
    },
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutProgress {
    /// Behind whose batch the health gate was passed.
    pub servers_done: usize,
    /// Without an effect on them; the rollout went on.
    pub servers_passed_over: usize,
    pub servers_total: usize,
    /// Of the present batch, or of the next; `None`: every batch is done.
    pub zone: Option<ZoneName>,
    /// When the rest would be done at the pace of what is done; `None`: no batch is done yet, or none is left.
    pub estimated_finish: Option<Timestamp>,
}

impl Task {
    /// Health gates, each behind its batch, in order.
    fn gates(&self) -> impl Iterator<Item = &Subtask> {
        self.subtasks.iter().filter(|subtask| subtask.spec.role == SubtaskRole::HealthGate)
    }

    /// Whether the subtask is behind a health gate that was passed, or is that gate. Ids grow with the batches.
    pub fn is_sealed(&self, id: SubtaskId) -> bool {
        let passed = self.gates().filter(|gate| gate.state == SubtaskState::Successful);
        passed.map(|gate| gate.spec.id).max().is_some_and(|last| id <= last)
    }

    /// The servers that failed before anything was done to them, and without which the rollout goes on.
    pub fn passed_over(&self) -> BTreeSet<ServerId> {
        let Some(rollout) = &self.spec.rollout else { return BTreeSet::new() };
        let failed = self.subtasks.iter().filter(|subtask| subtask.state == SubtaskState::Failed);
        let servers: Option<BTreeSet<ServerId>> = failed
            .map(|subtask| match subtask.spec.target {
                TaskTarget::Server(server) if !self.was_touched(server) => Some(server),
                TaskTarget::Server(_) | TaskTarget::Zone(_) | TaskTarget::Cluster => None,
            })
            .collect();
        let stop_after = usize::try_from(rollout.stop_after).unwrap_or(usize::MAX);
        servers.filter(|servers| servers.len() < stop_after && self.direction == Direction::Forward).unwrap_or_default()
    }

    /// Whether the task did something to a server, or may have.
    fn was_touched(&self, server: ServerId) -> bool {
        let target = TaskTarget::Server(server);
        let of_it: Vec<&Subtask> = self.subtasks.iter().filter(|subtask| subtask.spec.target == target).collect();
        of_it.iter().any(|subtask| subtask.effect == Effect::Done)
            || self.intents.iter().any(|intent| {
                intent.may_have_happened() && of_it.iter().any(|subtask| subtask.spec.id == intent.subtask)
            })
    }

    /// Whether the subtask is of a server without which the rollout goes on.
    pub fn is_passed_over(&self, subtask: &Subtask) -> bool {
        match subtask.spec.target {
            TaskTarget::Server(server) => self.spec.rollout.is_some() && self.passed_over().contains(&server),
            TaskTarget::Zone(_) | TaskTarget::Cluster => false,
        }
    }

    /// Whether everything is done but for servers that were passed over.
    pub fn is_done_but_for_some(&self) -> bool {
        let left = || self.subtasks.iter().filter(|subtask| subtask.state != SubtaskState::Successful);
        left().next().is_some() && left().all(|subtask| self.is_passed_over(subtask))
    }

    /// Whether a batch is left that a pause could hold back.
    pub fn has_batches_ahead(&self) -> bool {
        let open = self.gates().filter(|gate| gate.state != SubtaskState::Successful).count();
        open > 1 && self.direction == Direction::Forward
    }

    /// Why the next batch does not begin, or will not when the present one is done.
    pub fn paused(&self) -> Option<Paused> {
        if let Some(request) = &self.pause_request {
            return Some(Paused::By(request.clone()));
        }
        let gate = self.canary_gate().filter(|_| !self.canary_passed)?;
        let since = gate.started_at.filter(|_| gate.state == SubtaskState::Running)?;
        Some(Paused::Canary { servers: self.servers_up_to(gate), since })
    }

    /// The gate at which the rollout pauses by itself.
    pub fn canary_gate(&self) -> Option<&Subtask> {
        let after = usize::try_from(self.spec.rollout.as_ref()?.pause_after?).unwrap_or(usize::MAX);
        self.gates().find(|gate| self.servers_up_to(gate) >= after)
    }

    fn servers_up_to(&self, gate: &Subtask) -> usize {
        let batches = self.spec.rollout.iter().flat_map(|rollout| &rollout.batches);
        let batch = self.gates().position(|other| other.spec.id == gate.spec.id);
        batches.take(batch.map_or(0, |batch| batch + 1)).map(Vec::len).sum()
    }

    /// The batch that a health gate is behind.
    pub fn batch_of(&self, gate: SubtaskId) -> &[ServerId] {
        let batch = self.gates().position(|other| other.spec.id == gate);
        let rollout = self.spec.rollout.as_ref();
        batch.and_then(|batch| rollout?.batches.get(batch)).map(Vec::as_slice).unwrap_or_default()
    }

    /// `None`: it is no rollout.
    pub fn rollout_progress(&self) -> Option<RolloutProgress> {
        let rollout = self.spec.rollout.as_ref()?;
        let passed: Vec<&Subtask> = self.gates().take_while(|gate| gate.state == SubtaskState::Successful).collect();
        let over = self.passed_over();
        let done = rollout.batches.iter().take(passed.len()).flatten().filter(|server| !over.contains(server)).count();
        let next = rollout.batches.get(passed.len());
        let zone = next.and_then(|batch| self.spec.server(*batch.first()?)).map(|server| server.zone.clone());
        let last = passed.last().and_then(|gate| gate.finished_at);
        let pace = last.zip(self.start_time).and_then(|(last, began)| {
            let batches = u32::try_from(passed.len()).ok().filter(|batches| *batches > 0)?;
            Some((last, last.since(began) / batches))
        });
        let left = u32::try_from(rollout.batches.len() - passed.len()).unwrap_or(u32::MAX);
        Some(RolloutProgress {
            servers_done: done,
            servers_passed_over: over.len(),
            servers_total: rollout.batches.iter().map(Vec::len).sum(),
            zone,
            estimated_finish: pace.filter(|_| left > 0).map(|(last, pace)| last.plus(pace.saturating_mul(left))),
        })
    }
}
