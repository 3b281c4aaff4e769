//! What can be asked of a task now, and what its steps have tried: questions to a folded task that change nothing.

use crate::domain::attempt::RecordedIntent;
use crate::domain::event::{Direction, Effect, Phase, SubtaskOperation, SubtaskState, Verb};
use crate::domain::ids::SubtaskId;
use crate::domain::task::{Subtask, Task};

impl Task {
    /// What was tried for a subtask on the task's present course.
    pub fn attempts(&self, id: SubtaskId) -> impl Iterator<Item = &RecordedIntent> + Clone {
        self.intents.iter().filter(move |intent| intent.subtask == id && intent.direction == self.direction)
    }

    /// What a subtask did, or may have done, and an undo may have to take back.
    pub fn effects(&self, id: SubtaskId) -> impl Iterator<Item = &RecordedIntent> + Clone {
        let done = |intent: &&RecordedIntent| intent.direction == Direction::Forward && intent.may_stand();
        self.intents.iter().filter(move |intent| intent.subtask == id).filter(done)
    }

    /// Whether the task changed anything, or may have.
    pub fn has_effect(&self) -> bool {
        self.subtasks.iter().any(|subtask| subtask.effect == Effect::Done)
            || self.intents.iter().any(RecordedIntent::may_stand)
    }

    /// The subtasks in execution order.
    pub fn in_execution_order(&self) -> Vec<&Subtask> {
        let order = self.spec.graph.execution_order().unwrap_or_default();
        order.iter().filter_map(|id| self.subtask(*id).ok()).collect()
    }

    /// What a person can ask of the task now.
    pub fn allowed_verbs(&self) -> Vec<Verb> {
        Verb::ALL.iter().copied().filter(|verb| self.allows(*verb)).collect()
    }

    /// Whether a person can ask this of the task now.
    pub fn allows(&self, verb: Verb) -> bool {
        let by_state = verb.allowed_in().contains(&self.state);
        by_state
            && match verb {
                // What is half undone is no ground to go on from: its undo is finished first, or it is left as it is.
                Verb::Retry => self.direction == Direction::Forward,
                Verb::Rollback | Verb::GiveUp => true,
                // Between a request to go on and its first step there is nothing that could be ended.
                Verb::Cancel => self.subtasks.iter().any(|subtask| subtask.state == SubtaskState::Running),
                Verb::SkipSubtask => self.subtasks.iter().any(|subtask| self.can_skip(subtask)),
            }
    }

    /// What of it reaches this subtask: the verb that names it, and those of the task that would run or end it.
    pub fn allowed_for(&self, subtask: &Subtask) -> Vec<Verb> {
        let allowed = Verb::ALL.iter().copied().filter(|verb| match verb {
            Verb::SkipSubtask => self.can_skip(subtask),
            Verb::Retry => subtask.state == SubtaskState::Failed && self.allows(Verb::Retry),
            Verb::Cancel => subtask.state == SubtaskState::Running && self.allows(Verb::Cancel),
            Verb::Rollback | Verb::GiveUp => false,
        });
        allowed.collect()
    }

    /// Whether a subtask can be marked successful now; while the task is undone: undone.
    pub fn can_skip(&self, subtask: &Subtask) -> bool {
        self.state.phase() == Phase::AtRest && subtask.state == SubtaskState::Failed && !self.prohibits_skip(subtask)
    }

    /// Whether a subtask that failed may not be skipped all the same.
    pub fn prohibits_skip(&self, subtask: &Subtask) -> bool {
        match self.direction {
            Direction::Forward => subtask.spec.prohibit_skip,
            // What is behind it is undone first.
            Direction::Back => !self.undone_behind(subtask.spec.id, None),
        }
    }

    /// Whether nothing of a subtask is left to undo: it never did anything, or it was undone, or counts as undone.
    pub fn is_undone(&self, subtask: &Subtask) -> bool {
        match (subtask.state, subtask.operation) {
            (
                SubtaskState::Pending,
                SubtaskOperation::Rollback | SubtaskOperation::RollbackSkip | SubtaskOperation::Cancel,
            ) => true,
            // It waits to be done, perhaps again: a retry that went back before it forgets nothing that it did.
            (
                SubtaskState::Pending | SubtaskState::Ready,
                SubtaskOperation::Execute | SubtaskOperation::Retry | SubtaskOperation::Skip,
            ) => self.effects(subtask.spec.id).next().is_none(),
            (
                SubtaskState::Ready,
                SubtaskOperation::Rollback | SubtaskOperation::RollbackSkip | SubtaskOperation::Cancel,
            )
            | (
                SubtaskState::Running | SubtaskState::Canceling | SubtaskState::Failed | SubtaskState::Successful,
                SubtaskOperation::Execute
                | SubtaskOperation::Retry
                | SubtaskOperation::Rollback
                | SubtaskOperation::Skip
                | SubtaskOperation::RollbackSkip
                | SubtaskOperation::Cancel,
            ) => false,
        }
    }

    /// Whether everything behind a subtask is undone, `just` included.
    pub fn undone_behind(&self, id: SubtaskId, just: Option<SubtaskId>) -> bool {
        let behind = self.spec.graph.downstreams(id);
        behind.into_iter().all(|id| just == Some(id) || self.subtask(id).is_ok_and(|subtask| self.is_undone(subtask)))
    }
}
