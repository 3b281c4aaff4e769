//! A task as a watcher sees it: a snapshot with the events after it folded in. Pure: no clock, no output, no calls.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::proto::v1;
use crate::proto::v1::task_event::Kind;

/// What became of an event that was given to a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// It was the next one.
    Applied,
    /// The view had it already.
    Old,
    /// Events before it are missing; the view is as before.
    Gap,
}

/// A task with every event and progress received so far.
#[derive(Clone, Debug, Default)]
pub struct TaskView {
    task: v1::Task,
    /// Ids of the subtasks in execution order.
    order: Vec<i64>,
    /// What each subtask last tried, for subtasks that report no progress.
    notes: HashMap<i64, String>,
    /// What was done to undo each subtask, for undos whose events were received.
    undone: HashMap<i64, Vec<String>>,
}

impl TaskView {
    pub fn new(task: v1::Task) -> Self {
        let order = execution_order(&task.subtasks);
        Self { task, order, notes: HashMap::new(), undone: HashMap::new() }
    }

    /// The task as of its revision.
    pub fn task(&self) -> &v1::Task {
        &self.task
    }

    pub fn into_task(self) -> v1::Task {
        self.task
    }

    /// The subtasks in execution order.
    pub fn subtasks(&self) -> impl Iterator<Item = &v1::Subtask> {
        self.order.iter().filter_map(|id| self.subtask(*id))
    }

    pub fn subtask(&self, id: i64) -> Option<&v1::Subtask> {
        self.task.subtasks.iter().find(|subtask| subtask.id == id)
    }

    /// Name of a subtask, with its server or zone when it has a namesake of another; of the task for what concerns the whole.
    pub fn name(&self, subtask_id: i64) -> String {
        match self.subtask(subtask_id) {
            Some(subtask) => {
                let namesakes = self.task.subtasks.iter().filter(|other| other.name == subtask.name).count();
                let (server, zone) = (subtask.server.as_ref(), subtask.zone.as_ref());
                let of = server.map(|server| &server.address).or_else(|| zone.map(|zone| &zone.name));
                match of.filter(|_| namesakes > 1) {
                    Some(of) => format!("{} {of}", subtask.name),
                    None => subtask.name.clone(),
                }
            }
            None if subtask_id == 0 => self.task.name.clone(),
            None => format!("subtask {subtask_id}"),
        }
    }

    /// What a subtask last tried.
    pub fn note(&self, subtask_id: i64) -> Option<&str> {
        self.notes.get(&subtask_id).map(String::as_str)
    }

    /// What was done to undo a subtask; absent when no event of its undo was received.
    pub fn undone(&self, subtask_id: i64) -> Option<&[String]> {
        self.undone.get(&subtask_id).map(Vec::as_slice)
    }

    pub fn apply(&mut self, event: &v1::TaskEvent) -> ApplyOutcome {
        if event.revision <= self.task.revision {
            return ApplyOutcome::Old;
        }
        if event.revision > self.task.revision + 1 {
            return ApplyOutcome::Gap;
        }
        // The first event brings the whole task, so it goes before the position.
        if let Some(Kind::Created(created)) = &event.kind
            && let Some(task) = &created.task
        {
            *self = Self::new(task.clone());
        }
        self.task.revision = event.revision;
        self.task.seq = event.seq;
        self.task.id = event.task_id;
        match &event.kind {
            Some(Kind::TaskTransition(transition)) => self.task_moved(transition, event.event_time),
            Some(Kind::SubtaskTransition(transition)) => self.subtask_moved(transition, event.event_time),
            Some(Kind::IntentRecorded(intent)) => {
                self.notes.insert(intent.subtask_id, intent.description.clone());
            }
            Some(Kind::IntentSettled(intent)) => {
                let note = self.notes.remove(&intent.subtask_id);
                let done = intent.outcome() == v1::IntentOutcome::Done;
                if let (Some(undone), Some(note)) = (self.undone.get_mut(&intent.subtask_id), note.filter(|_| done)) {
                    undone.push(note);
                }
            }
            Some(Kind::ContextRecorded(recorded)) => {
                self.task.context.extend(recorded.context.clone());
            }
            Some(Kind::Override(item)) => self.task.overrides.push(item.clone()),
            Some(Kind::Warning(warning)) => self.task.warnings.push(warning.clone()),
            // These move nothing that is shown; a kind that this version does not know moves only the position.
            Some(Kind::Approved(approved)) => self.task.approval = approved.approval.clone(),
            Some(Kind::ApprovalEnded(ended)) => {
                self.task.approval = None;
                if let Some(pending) = &mut self.task.pending {
                    pending.last_approval_end = Some(ended.clone());
                }
            }
            Some(Kind::Created(_) | Kind::Adopted(_) | Kind::VerbRequested(_)) | None => {}
        }
        ApplyOutcome::Applied
    }

    /// Takes the latest progress; that of a subtask which runs no longer is dropped.
    pub fn progress(&mut self, progress: v1::SubtaskProgress) {
        let running = |subtask: &&mut v1::Subtask| {
            subtask.id == progress.subtask_id
                && !is_over(subtask.state())
                && subtask.state() != v1::SubtaskState::Pending
        };
        if let Some(subtask) = self.task.subtasks.iter_mut().find(running) {
            subtask.progress = Some(progress);
        }
    }

    fn task_moved(&mut self, transition: &v1::TaskTransition, at: Option<prost_types::Timestamp>) {
        let task = &mut self.task;
        task.state = transition.to;
        task.operation = transition.operation;
        task.error.clone_from(&transition.error);
        task.resting_since = None;
        task.finish_time = None;
        // Which verbs are allowed is the server's to say, with its next answer.
        task.allowed_verbs.clear();
        match phase(task.state()) {
            Phase::Open => {}
            Phase::AtRest => task.resting_since = at,
            Phase::Closed => task.finish_time = at,
        }
    }

    fn subtask_moved(&mut self, transition: &v1::SubtaskTransition, at: Option<prost_types::Timestamp>) {
        self.notes.remove(&transition.subtask_id);
        let Some(subtask) = self.task.subtasks.iter_mut().find(|subtask| subtask.id == transition.subtask_id) else {
            return;
        };
        if transition.to() == v1::SubtaskState::Running {
            // Undoing again goes on with what was undone before.
            match transition.operation() {
                v1::SubtaskOperation::Rollback => _ = self.undone.entry(subtask.id).or_default(),
                v1::SubtaskOperation::Unspecified
                | v1::SubtaskOperation::Execute
                | v1::SubtaskOperation::Retry
                | v1::SubtaskOperation::Skip
                | v1::SubtaskOperation::RollbackSkip
                | v1::SubtaskOperation::Cancel => _ = self.undone.remove(&subtask.id),
            }
        }
        subtask.state = transition.to;
        subtask.operation = transition.operation;
        subtask.run_time = transition.run_time;
        subtask.effect = transition.effect;
        subtask.error.clone_from(&transition.error);
        if !transition.executor.is_empty() {
            subtask.executor.clone_from(&transition.executor);
        }
        match transition.to() {
            v1::SubtaskState::Running => {
                subtask.start_time = at;
                subtask.finish_time = None;
                subtask.progress = None;
                self.task.start_time = self.task.start_time.or(at);
            }
            v1::SubtaskState::Failed | v1::SubtaskState::Successful => {
                subtask.finish_time = at;
                subtask.progress = None;
            }
            v1::SubtaskState::Pending => {
                subtask.progress = None;
                if matches!(transition.from(), v1::SubtaskState::Running | v1::SubtaskState::Canceling) {
                    subtask.finish_time = at;
                }
            }
            v1::SubtaskState::Ready | v1::SubtaskState::Unspecified => subtask.progress = None,
            v1::SubtaskState::Canceling => {}
        }
    }
}

/// How settled a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It runs.
    Open,
    /// It holds its cluster until a person decides.
    AtRest,
    /// It is over.
    Closed,
}

/// The phase of a state; what this version does not know counts as open, so that nobody stops watching too early.
pub const fn phase(state: v1::TaskState) -> Phase {
    match state {
        v1::TaskState::Unspecified | v1::TaskState::Pending | v1::TaskState::Running | v1::TaskState::Canceling => {
            Phase::Open
        }
        v1::TaskState::Failed | v1::TaskState::Cancelled => Phase::AtRest,
        v1::TaskState::Successful | v1::TaskState::RolledBack | v1::TaskState::Refused | v1::TaskState::GivenUp => {
            Phase::Closed
        }
    }
}

const fn is_over(state: v1::SubtaskState) -> bool {
    match state {
        v1::SubtaskState::Failed | v1::SubtaskState::Successful => true,
        v1::SubtaskState::Unspecified
        | v1::SubtaskState::Pending
        | v1::SubtaskState::Ready
        | v1::SubtaskState::Running
        | v1::SubtaskState::Canceling => false,
    }
}

/// Ids in an order in which every subtask stands after its upstreams; lower ids first where that leaves a choice.
pub fn execution_order(subtasks: &[v1::Subtask]) -> Vec<i64> {
    let ids: BTreeSet<i64> = subtasks.iter().map(|subtask| subtask.id).collect();
    // Either end of an edge is enough: the graph is data from elsewhere.
    let mut waits: BTreeMap<i64, BTreeSet<i64>> = ids.iter().map(|id| (*id, BTreeSet::new())).collect();
    for subtask in subtasks {
        for upstream in subtask.upstreams.iter().filter(|id| ids.contains(id)) {
            waits.entry(subtask.id).or_default().insert(*upstream);
        }
        for downstream in subtask.downstreams.iter().filter(|id| ids.contains(id)) {
            waits.entry(*downstream).or_default().insert(subtask.id);
        }
    }
    let mut order = Vec::with_capacity(ids.len());
    while let Some(next) = waits.iter().find(|(_, upstreams)| upstreams.is_empty()).map(|(id, _)| *id) {
        waits.remove(&next);
        for upstreams in waits.values_mut() {
            upstreams.remove(&next);
        }
        order.push(next);
    }
    // What is left waits for itself; showing it anywhere is better than hiding it.
    order.extend(waits.into_keys());
    order
}

#[cfg(test)]
#[path = "view_tests.rs"]
pub(super) mod tests;
