//! A task as the fold of its events. `apply` is the only way from one state to the next, live and in recovery; it reads no
//! clock, configuration or code graph.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::clock::Timestamp;
use crate::domain::approval::{Approval, ApprovalEnd};
use crate::domain::attempt::RecordedIntent;
use crate::domain::edges::{begins_again, subtask_edge, task_edge};
use crate::domain::event::{
    Direction, Effect, Event, EventKind, Failure, IntentOutcome, OverriddenCheck, Phase, SubtaskOperation,
    SubtaskState, TaskOperation, TaskSpec, TaskState, Verb,
};
use crate::domain::facts::Facts;
use crate::domain::graph::{SubtaskRole, SubtaskSpec, TaskTarget};
use crate::domain::hold::HoldCompletion;
use crate::domain::ids::{Fence, Principal, Revision, SubtaskId};
use crate::domain::rollout::PauseRequest;

/// A log that does not fold: a bug, or a store that was changed by hand.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IllegalTransition {
    /// The first event is not the creation, or the creation is not the first.
    #[error("event {revision} of the task: {what}")]
    Misplaced { revision: Revision, what: &'static str },
    /// The task is in another state than the event says, or the edge is not in the table.
    #[error("task is {is}, which the event takes from {from} to {to} under {operation}")]
    Task { is: TaskState, from: TaskState, to: TaskState, operation: TaskOperation },
    /// The same for a subtask.
    #[error("subtask {subtask} is {is}, which the event takes from {from} to {to} under {operation}")]
    Subtask { subtask: SubtaskId, is: SubtaskState, from: SubtaskState, to: SubtaskState, operation: SubtaskOperation },
    #[error("subtask {0} is not in the task's graph")]
    UnknownSubtask(SubtaskId),
    /// Any other event that the state does not allow.
    #[error("{0}")]
    Unfit(String),
}

/// A subtask as folded from the task's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtask {
    /// Its node in the graph.
    pub spec: Arc<SubtaskSpec>,
    pub state: SubtaskState,
    pub operation: SubtaskOperation,
    /// Counts executions, from 1.
    pub run_time: i32,
    pub effect: Effect,
    /// `None`: its last execution did not fail.
    pub error: Option<Failure>,
    /// The process that ran it last; empty before.
    pub executor: String,
    /// Begin of its current or last execution.
    pub started_at: Option<Timestamp>,
    /// End of its last execution.
    pub finished_at: Option<Timestamp>,
}

/// Worth knowing, although the task continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub subtask: SubtaskId,
    /// `UPPER_SNAKE`, for programs.
    pub code: String,
    pub text: String,
}

/// A task as folded from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Shared: it never changes, and a task is cloned with each decision.
    pub spec: Arc<TaskSpec>,
    pub state: TaskState,
    pub operation: TaskOperation,
    /// Present direction, or the last one of a task at rest.
    pub direction: Direction,
    /// Number of its events.
    pub revision: Revision,
    /// Ascending by id.
    pub subtasks: Vec<Subtask>,
    /// What its steps recorded, for later steps and for people.
    pub facts: Facts,
    pub overrides: Vec<OverriddenCheck>,
    pub warnings: Vec<Warning>,
    /// Every effect that it tried, by number.
    pub intents: Vec<RecordedIntent>,
    pub error: Option<Failure>,
    /// `None`: nobody since it was last retried.
    pub cancelled_by: Option<Principal>,
    /// The last; `None`: nobody has completed a hold.
    pub hold_completion: Option<HoldCompletion>,
    /// `None`: nobody has paused the rollout since it was last resumed.
    pub pause_request: Option<PauseRequest>,
    /// Somebody resumed the rollout behind its first servers.
    pub canary_passed: bool,
    /// Perhaps expired; `None`: nobody agreed, or it does not hold any more.
    pub approval: Option<Approval>,
    /// How the last one ended; `None`: none did since the last one was given.
    pub approval_end: Option<(Principal, ApprovalEnd)>,
    pub create_time: Timestamp,
    pub start_time: Option<Timestamp>,
    pub finish_time: Option<Timestamp>,
    pub resting_since: Option<Timestamp>,
    /// An irreversible step never begins after this; a retry renews it.
    pub expire_time: Timestamp,
    /// Time of the last event that is not an adoption: a gap after it ends the consent to irreversible steps.
    pub last_progress_at: Timestamp,
    /// Longest time without any event before an adoption, since consent was last given: going on alone with harmless steps does
    /// not renew the consent to the others.
    pub longest_gap: Duration,
    /// Adoptions since the last progress.
    pub adoptions: u32,
    /// Highest fence seen in its events.
    pub fence: Fence,
}

impl Task {
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Self, IllegalTransition> {
        let mut events = events.into_iter();
        let none = IllegalTransition::Misplaced { revision: Revision::ZERO, what: "the task has no event" };
        let mut task = Self::begin(events.next().ok_or(none)?)?;
        for event in events {
            task.apply(event)?;
        }
        Ok(task)
    }

    pub fn begin(event: &Event) -> Result<Self, IllegalTransition> {
        let EventKind::Created(spec) = &event.kind else {
            return Err(IllegalTransition::Misplaced {
                revision: Revision::new(1),
                what: "a task's first event is its creation",
            });
        };
        if spec.graph.subtasks.is_empty() {
            return Err(IllegalTransition::Unfit("the task's graph has no subtask".to_owned()));
        }
        if spec.graph.execution_order().is_none() {
            return Err(IllegalTransition::Unfit("the task's graph has a circle or an edge to nowhere".to_owned()));
        }
        let mut targets = spec.graph.subtasks.iter().map(|subtask| &subtask.target).chain([&spec.target]);
        let unknown =
            |target: &&TaskTarget| matches!(target, TaskTarget::Server(server) if spec.server(*server).is_none());
        if let Some(unknown) = targets.find(unknown) {
            return Err(IllegalTransition::Unfit(format!("the task does not say what {unknown:?} is")));
        }
        let subtasks = spec.graph.subtasks.iter().map(|subtask| Subtask {
            spec: Arc::new(subtask.clone()),
            state: SubtaskState::Pending,
            operation: SubtaskOperation::Execute,
            run_time: 1,
            effect: Effect::None,
            error: None,
            executor: String::new(),
            started_at: None,
            finished_at: None,
        });
        Ok(Self {
            state: if spec.pending.is_some() { TaskState::Pending } else { TaskState::Running },
            operation: TaskOperation::Execute,
            direction: Direction::Forward,
            revision: Revision::new(1),
            subtasks: subtasks.collect(),
            facts: spec.facts.iter().cloned().collect(),
            overrides: Vec::new(),
            warnings: Vec::new(),
            intents: Vec::new(),
            error: None,
            cancelled_by: None,
            hold_completion: None,
            pause_request: None,
            canary_passed: false,
            approval: None,
            approval_end: None,
            create_time: event.at,
            start_time: None,
            finish_time: None,
            resting_since: None,
            expire_time: spec.expire_time,
            last_progress_at: event.at,
            longest_gap: Duration::ZERO,
            adoptions: 0,
            fence: Fence::ZERO,
            spec: Arc::new((**spec).clone()),
        })
    }

    /// On an error the state stays as it was.
    pub fn apply(&mut self, event: &Event) -> Result<(), IllegalTransition> {
        if self.state.phase() == Phase::Closed {
            return Err(IllegalTransition::Misplaced {
                revision: self.revision.next(),
                what: "a closed task has no further events",
            });
        }
        match &event.kind {
            EventKind::Created(_) => {
                return Err(IllegalTransition::Misplaced {
                    revision: self.revision.next(),
                    what: "the creation is a task's first event only",
                });
            }
            EventKind::TaskStateChanged { from, to, operation, error } => {
                if self.state != *from || !task_edge(*from, *to, *operation) {
                    return Err(IllegalTransition::Task {
                        is: self.state,
                        from: *from,
                        to: *to,
                        operation: *operation,
                    });
                }
                self.move_task(event.at, *to, *operation, error.clone());
            }
            EventKind::SubtaskStateChanged { subtask, .. } => self.move_subtask(*subtask, event)?,
            EventKind::IntentRecorded { subtask, number, intent, fence } => {
                let run_time = self.running(*subtask)?.run_time;
                if *number != self.next_intent() {
                    return Err(IllegalTransition::Unfit(format!(
                        "intent {number} is recorded where intent {} is next",
                        self.next_intent()
                    )));
                }
                self.intents.push(RecordedIntent {
                    subtask: *subtask,
                    number: *number,
                    run_time,
                    direction: self.direction,
                    intent: intent.clone(),
                    fence: *fence,
                    at: event.at,
                    lasts: intent.horizon.since(event.at),
                    outcome: None,
                    unanswered: false,
                });
                self.fence = self.fence.max(*fence);
            }
            EventKind::IntentSettled { number, outcome, .. } => {
                let intent = self.intents.iter_mut().find(|intent| intent.number == *number);
                match intent {
                    Some(intent) if intent.is_unresolved() => {
                        // An owner behind the one that sent it only looks.
                        intent.unanswered |= *outcome == IntentOutcome::Unknown || intent.fence < self.fence;
                        intent.outcome = Some(*outcome);
                    }
                    Some(_) | None => {
                        return Err(IllegalTransition::Unfit(format!("intent {number} is not open")));
                    }
                }
            }
            EventKind::FactsRecorded { subtask, facts } => {
                self.subtask(*subtask)?;
                self.facts.extend(facts.iter().cloned());
            }
            EventKind::Overridden(overridden) => self.overrides.push(overridden.clone()),
            EventKind::Adopted { fence, .. } => {
                if *fence <= self.fence {
                    return Err(IllegalTransition::Unfit(format!(
                        "the task is adopted under fence {fence}, which is not above {}",
                        self.fence
                    )));
                }
                self.fence = *fence;
                self.adoptions += 1;
                self.bound_horizons(event.at);
                // While it waits for a person nothing is to happen: that is no gap.
                let waits = self.held().next().is_some() || self.paused().is_some();
                let gap = if waits { Duration::ZERO } else { event.at.since(self.last_progress_at) };
                self.longest_gap = self.longest_gap.max(gap);
            }
            EventKind::VerbRequested { verb, principal, expire_time, subtask, .. } => {
                subtask.map(|subtask| self.subtask(subtask)).transpose()?;
                if !verb.allowed_in().contains(&self.state) {
                    return Err(IllegalTransition::Unfit(format!("{verb} is asked of a task that is {}", self.state)));
                }
                let (by, at) = (principal.clone(), event.at);
                match verb {
                    Verb::Cancel => self.cancelled_by = Some(by),
                    Verb::Retry => self.turn(Direction::Forward, at),
                    Verb::Rollback => self.turn(Direction::Back, at),
                    Verb::CompleteHold => self.hold_completion = Some(HoldCompletion { by, at }),
                    Verb::Pause => self.pause_request = Some(PauseRequest { by, at }),
                    Verb::Resume => {
                        self.canary_passed |= self.canary_gate().is_some_and(|it| it.state == SubtaskState::Running);
                        self.pause_request = None;
                    }
                    Verb::SkipSubtask | Verb::GiveUp | Verb::Approve | Verb::WithdrawApproval => {}
                }
                if let Some(expire_time) = expire_time {
                    self.expire_time = *expire_time;
                    self.longest_gap = Duration::ZERO;
                }
            }
            EventKind::Approved { approval, .. } => {
                self.is_pending("approved")?;
                (self.approval, self.approval_end) = (Some(approval.clone()), None);
            }
            EventKind::ApprovalEnded { by, why, .. } => {
                self.is_pending("without its approval")?;
                (self.approval, self.approval_end) = (None, Some((by.clone(), *why)));
            }
            EventKind::Warned { subtask, code, message } => {
                self.warnings.push(Warning { subtask: *subtask, code: code.clone(), text: message.clone() });
            }
        }
        if !matches!(event.kind, EventKind::Adopted { .. }) {
            self.last_progress_at = event.at;
        }
        self.revision = self.revision.next();
        Ok(())
    }

    fn is_pending(&self, what: &str) -> Result<(), IllegalTransition> {
        match self.state.phase() {
            Phase::Pending => Ok(()),
            Phase::Moving | Phase::AtRest | Phase::Closed => {
                Err(IllegalTransition::Unfit(format!("the task is {what} when it is {}", self.state)))
            }
        }
    }

    /// Who asks a task at rest to go on asks for all of it.
    fn turn(&mut self, direction: Direction, at: Timestamp) {
        (self.cancelled_by, self.pause_request, self.direction) = (None, None, direction);
        self.bound_horizons(at);
    }

    /// By the clock of whoever takes it on from now: what was recorded before cannot happen for longer than it could in all, however
    /// far behind the clock of its owner that one is.
    fn bound_horizons(&mut self, at: Timestamp) {
        for RecordedIntent { intent, lasts, .. } in &mut self.intents {
            intent.horizon = intent.horizon.min(at.plus(*lasts));
        }
    }

    fn move_task(&mut self, at: Timestamp, to: TaskState, operation: TaskOperation, error: Option<Failure>) {
        self.state = to;
        self.operation = operation;
        self.error = error;
        self.adoptions = 0;
        self.resting_since = (to.phase() == Phase::AtRest).then_some(at);
        self.finish_time = (to.phase() == Phase::Closed).then_some(at);
    }

    fn move_subtask(&mut self, id: SubtaskId, event: &Event) -> Result<(), IllegalTransition> {
        let EventKind::SubtaskStateChanged { from, to, operation, run_time, effect, executor, error, .. } = &event.kind
        else {
            return Ok(());
        };
        let waits = self.waits_for_upstream(id)?;
        let subtask = self.subtasks.iter_mut().find(|subtask| subtask.spec.id == id);
        let subtask = subtask.ok_or(IllegalTransition::UnknownSubtask(id))?;
        if subtask.state != *from || !subtask_edge(*from, *to, *operation) {
            let (is, from, to, operation) = (subtask.state, *from, *to, *operation);
            return Err(IllegalTransition::Subtask { subtask: id, is, from, to, operation });
        }
        let forward = *operation != SubtaskOperation::Rollback;
        if *from == SubtaskState::Pending && *to == SubtaskState::Ready && waits && forward {
            return Err(IllegalTransition::Unfit(format!("subtask {id} is made ready before its upstreams succeeded")));
        }
        if *from == SubtaskState::Ready && *to == SubtaskState::Running && *operation != subtask.operation {
            return Err(IllegalTransition::Unfit(format!(
                "subtask {id} was made ready under {} and is begun under {operation}",
                subtask.operation
            )));
        }
        let expected = subtask.run_time + i32::from(begins_again(*from, *to, *operation));
        if *run_time != expected {
            return Err(IllegalTransition::Unfit(format!(
                "subtask {id} has run_time {run_time} where {expected} is next"
            )));
        }
        subtask.state = *to;
        subtask.operation = *operation;
        subtask.run_time = *run_time;
        subtask.effect = *effect;
        subtask.error = error.clone();
        match to {
            SubtaskState::Running => {
                subtask.started_at = Some(event.at);
                subtask.finished_at = None;
                subtask.executor = executor.clone();
                self.start_time = self.start_time.or(Some(event.at));
            }
            SubtaskState::Successful | SubtaskState::Failed => subtask.finished_at = Some(event.at),
            // Its undo has ended.
            SubtaskState::Pending if matches!(from, SubtaskState::Running | SubtaskState::Canceling) => {
                subtask.finished_at = Some(event.at);
            }
            SubtaskState::Pending | SubtaskState::Ready | SubtaskState::Canceling => {}
        }
        self.adoptions = 0;
        Ok(())
    }

    pub fn subtask(&self, id: SubtaskId) -> Result<&Subtask, IllegalTransition> {
        let found = self.subtasks.iter().find(|subtask| subtask.spec.id == id);
        found.ok_or(IllegalTransition::UnknownSubtask(id))
    }

    /// With which the task begins; `None` never happens.
    pub fn first_subtask(&self) -> Option<SubtaskId> {
        let first = self.subtasks.iter().find(|subtask| subtask.spec.upstreams.is_empty());
        first.map(|subtask| subtask.spec.id)
    }

    fn running(&self, id: SubtaskId) -> Result<&Subtask, IllegalTransition> {
        let subtask = self.subtask(id)?;
        match subtask.state {
            SubtaskState::Running | SubtaskState::Canceling => Ok(subtask),
            SubtaskState::Pending | SubtaskState::Ready | SubtaskState::Failed | SubtaskState::Successful => {
                Err(IllegalTransition::Unfit(format!("subtask {id} is {}, it cannot try an effect", subtask.state)))
            }
        }
    }

    fn waits_for_upstream(&self, id: SubtaskId) -> Result<bool, IllegalTransition> {
        let subtask = self.subtask(id)?;
        Ok(!subtask.spec.upstreams.iter().all(|upstream| self.lets_pass(*upstream, subtask)))
    }

    /// Whether `waiting` need not wait for this upstream any more. A health gate does not wait for a server that is passed over.
    pub fn lets_pass(&self, upstream: SubtaskId, waiting: &Subtask) -> bool {
        let Ok(upstream) = self.subtask(upstream) else { return false };
        upstream.state == SubtaskState::Successful
            || (waiting.spec.role == SubtaskRole::HealthGate && self.is_passed_over(upstream))
    }

    pub fn next_intent(&self) -> i32 {
        i32::try_from(self.intents.len()).unwrap_or(i32::MAX).saturating_add(1)
    }

    /// Latest moment at which an unresolved effect of `subtask` (`None`: of any subtask) can still happen.
    pub fn horizon(&self, subtask: Option<SubtaskId>) -> Option<Timestamp> {
        let open = self.intents.iter().filter(|intent| intent.is_unresolved());
        open.filter(|intent| subtask.is_none_or(|id| intent.subtask == id)).map(|intent| intent.intent.horizon).max()
    }
}
