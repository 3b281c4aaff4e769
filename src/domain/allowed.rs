//! What people can request of a task now, and what its steps have tried: queries of a folded task that change nothing.

use crate::domain::attempt::RecordedIntent;
use crate::domain::event::{Direction, Effect, Phase, SubtaskOperation, SubtaskState, Verb};
use crate::domain::ids::SubtaskId;
use crate::domain::task::{Subtask, Task};

impl Task {
    /// Intents of a subtask in the task's present course.
    pub fn attempts(&self, id: SubtaskId) -> impl Iterator<Item = &RecordedIntent> + Clone {
        self.intents.iter().filter(move |intent| intent.subtask == id && intent.direction == self.direction)
    }

    /// Intents that happened, or may have, and that an undo may have to take back.
    pub fn effects(&self, id: SubtaskId) -> impl Iterator<Item = &RecordedIntent> + Clone {
        let done = |intent: &&RecordedIntent| intent.direction == Direction::Forward && intent.may_have_happened();
        self.intents.iter().filter(move |intent| intent.subtask == id).filter(done)
    }

    /// Statements that may still be on their way although what they do is found done: those that were not answered, because somebody
    /// else may have done it, and those that were sent more than once, because another of them may have. One that was answered has
    /// happened, and happens once at most.
    pub fn may_come_late(&self) -> impl Iterator<Item = &RecordedIntent> + Clone {
        let sent = |intent: &&RecordedIntent| intent.intent.connection_id != 0 && intent.may_have_happened();
        self.intents.iter().filter(sent).filter(move |one| {
            let same = |other: &&RecordedIntent| other.subtask == one.subtask && other.direction == one.direction;
            one.unanswered || self.intents.iter().filter(sent).filter(same).nth(1).is_some()
        })
    }

    /// Whether the task is over once this subtask is done, or undone.
    pub fn ends_with(&self, id: SubtaskId) -> bool {
        let mut others = self.subtasks.iter().filter(|subtask| subtask.spec.id != id);
        match self.direction {
            Direction::Forward => others.all(|subtask| subtask.state == SubtaskState::Successful),
            Direction::Back => others.all(|subtask| self.is_undone(subtask)),
        }
    }

    /// Whether the task changed anything, or may have.
    pub fn has_effect(&self) -> bool {
        self.subtasks.iter().any(|subtask| subtask.effect == Effect::Done)
            || self.intents.iter().any(RecordedIntent::may_have_happened)
    }

    pub fn in_execution_order(&self) -> Vec<&Subtask> {
        let order = self.spec.graph.execution_order().unwrap_or_default();
        order.iter().filter_map(|id| self.subtask(*id).ok()).collect()
    }

    /// What people can request of the task now.
    pub fn allowed_verbs(&self) -> Vec<Verb> {
        Verb::ALL.iter().copied().filter(|verb| self.allows(*verb)).collect()
    }

    pub fn allows(&self, verb: Verb) -> bool {
        let by_state = verb.allowed_in().contains(&self.state);
        by_state
            && match verb {
                // A half-undone task cannot be retried: its undo is finished first, or it is given up.
                Verb::Retry => self.direction == Direction::Forward && !self.is_done_but_for_some(),
                Verb::Rollback | Verb::GiveUp => true,
                // Between a request to continue and its first step nothing runs that could be ended.
                Verb::Cancel if self.state.phase() == Phase::Pending => true,
                Verb::Cancel => self.subtasks.iter().any(|subtask| subtask.state == SubtaskState::Running),
                Verb::SkipSubtask => self.subtasks.iter().any(|subtask| self.can_skip(subtask)),
                Verb::CompleteHold => self.held().next().is_some(),
                Verb::Pause => self.pause_request.is_none() && self.has_batches_ahead(),
                Verb::Resume => self.paused().is_some(),
                Verb::Approve => self.wants_approval(),
                Verb::WithdrawApproval => self.approval.is_some(),
            }
    }

    /// The verbs that concern this subtask: the one that names it, and those of the task that would run or end it.
    pub fn allowed_for(&self, subtask: &Subtask) -> Vec<Verb> {
        let allowed = Verb::ALL.iter().copied().filter(|verb| match verb {
            Verb::SkipSubtask => self.can_skip(subtask),
            Verb::Retry => subtask.state == SubtaskState::Failed && self.allows(Verb::Retry),
            Verb::Cancel => subtask.state == SubtaskState::Running && self.allows(Verb::Cancel),
            Verb::CompleteHold => self.held().any(|(held, _)| held.spec.id == subtask.spec.id),
            Verb::Rollback | Verb::GiveUp | Verb::Pause | Verb::Resume | Verb::Approve | Verb::WithdrawApproval => {
                false
            }
        });
        allowed.collect()
    }

    /// Whether a subtask can be marked now as successful, or as undone while the task is undone.
    pub fn can_skip(&self, subtask: &Subtask) -> bool {
        self.state.phase() == Phase::AtRest
            && subtask.state == SubtaskState::Failed
            && !self.is_sealed(subtask.spec.id)
            && !self.prohibits_skip(subtask)
    }

    /// Whether a failed subtask still may not be skipped.
    pub fn prohibits_skip(&self, subtask: &Subtask) -> bool {
        match self.direction {
            Direction::Forward => subtask.spec.prohibit_skip || !self.has_turn(subtask),
            Direction::Back => !self.has_turn(subtask),
        }
    }

    /// Whether those that come first are done: before it the subtasks that it waits for, and while the task is undone those behind it.
    fn has_turn(&self, subtask: &Subtask) -> bool {
        match self.direction {
            Direction::Forward => subtask.spec.upstreams.iter().all(|upstream| self.lets_pass(*upstream, subtask)),
            Direction::Back => self.undone_behind(subtask.spec.id, None),
        }
    }

    /// Whether nothing of a subtask is left to undo: it never did anything, was undone, or was marked as undone.
    pub fn is_undone(&self, subtask: &Subtask) -> bool {
        if self.is_sealed(subtask.spec.id) {
            return true;
        }
        match (subtask.state, subtask.operation) {
            (
                SubtaskState::Pending,
                SubtaskOperation::Rollback | SubtaskOperation::RollbackSkip | SubtaskOperation::Cancel,
            ) => true,
            // It waits to be run, perhaps again: a retry that reset it does not forget what it did before.
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
