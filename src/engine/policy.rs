//! What the execution of a step does next, forward or back, cancelled or not. Pure: it is told what is (the task, the
//! clocks, what a look found) and says what follows; the driver (`stepping`) looks, acts, commits and waits.
//!
//! A positive look ends an unknown at once. A negative one counts only after the horizon, which `decide` enforces: an end
//! that it refuses comes back here as [`Policy::end_refused`].

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::domain::decide::StepOutput;
use crate::domain::effect::Intent;
use crate::domain::event::{Direction, Failure, FailureKind, IntentOutcome};
use crate::engine::step::{Observation, PreparedEffect, ProgressReport, Unresolved};
use crate::engine::waiting::{UnreadableSince, Waiting};
use crate::store::Write;

/// Between looks while a request may still take effect.
const HORIZON_PAUSE: Duration = Duration::from_millis(500);
/// Before the look that follows an unknown outcome: what was lost on the way may just be arriving.
const UNKNOWN_PAUSE: Duration = Duration::from_millis(200);

/// The task and the clocks, as the policy is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// The clock that does not jump.
    pub at: Instant,
    /// Wall time.
    pub wall: Timestamp,
    /// Whether it is not known of something that this subtask tried in this direction whether it happened.
    pub effect_open: bool,
    /// Until when a request of this subtask may still take effect; absent: none can any more.
    pub horizon: Option<Timestamp>,
    /// Until when something that this subtask did on its way forward may still take effect; absent: nothing can any more.
    pub forward_horizon: Option<Timestamp>,
    /// Takes up to a quarter off a pause, so that tasks do not march in step: 0 nothing, 255 all of the quarter.
    pub jitter: u8,
}

/// Before a look.
pub(super) enum Turn {
    /// Look, and ask [`Policy::next`].
    Look {
        /// The wait is over: the step is told that nothing is begun behind this look.
        last: bool,
        /// Whether the look may be dropped when somebody asks something of the task: it only reads, unless something is
        /// not known without it.
        droppable: bool,
    },
    /// No look: this.
    Next(Next),
}

/// What the driver does next.
pub(super) enum Next {
    /// Send this effect; [`Policy::acted`] follows.
    Act { intent: Intent, output: StepOutput, effect: Box<dyn PreparedEffect> },
    /// Commit that the oldest open effect has happened, and look again.
    Settle { message: String },
    /// Commit the end. What `decide` refuses because of a horizon goes to [`Policy::end_refused`].
    End(Ending),
    /// Wait so long, or until somebody asks something of the task, and take another turn.
    Pause(Duration, Option<Note>),
}

impl Next {
    const AT_ONCE: Self = Self::Pause(Duration::ZERO, None);
}

/// How the execution ends.
pub(super) enum Ending {
    /// The look found that the step has reached what it should.
    Reached { already_so: bool, output: StepOutput, writes: Vec<Write> },
    /// It has not, and will not.
    Failed {
        failure: Failure,
        output: StepOutput,
        /// Whether the last look found what was tried not done.
        looked: bool,
    },
    /// It waited too long for this.
    TimedOut { waited_for: String },
    /// The task was cancelled while it waited for this.
    Cancelled { looked: bool, output: StepOutput, waited_for: String },
}

/// Progress that is shown while the driver waits.
pub(super) struct Note {
    pub progress: ProgressReport,
    pub deadline: Timestamp,
    /// When the wait last moved.
    pub stalled_since: Timestamp,
    /// What the rest of it may take.
    pub remaining: Option<Duration>,
}

/// How an attempt at an effect ended for the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acted {
    /// It was tried.
    Tried(IntentOutcome),
    /// The task was cancelled before it was tried.
    NotBegun,
    /// It may not be tried any more, and an earlier attempt is open.
    MayStillHappen,
}

/// What one execution has come to.
#[derive(Debug)]
enum State {
    /// An undo that has not looked yet, because something of the way forward may still happen: it could find nothing to undo,
    /// and be wrong a moment later. Its time counts from its first look.
    BeforeUndo,
    /// Going on.
    Trying,
    /// A failure is about to be declared: a horizon holds it back. A look may find that it has passed.
    Failing(Failure, StepOutput),
    /// The task is being cancelled: nothing is begun any more, and what was tried is looked at first, as at any other end. A step
    /// that is found to have reached its end has won the race.
    Cancelled { waited_for: String },
}

/// Whether the step was looked at since its last effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookState {
    /// It was, or there was none.
    Current,
    /// A look is still to come: behind a statement or a signal no step ends without one.
    Due,
}

/// The policy of one execution of a step.
#[derive(Debug)]
pub(super) struct Policy {
    state: State,
    look: LookState,
    wait: Waiting,
    /// The look that was asked for is the last.
    last: bool,
    /// A series of looks that could not be made.
    unreadable: Option<UnreadableSince>,
    /// What the last look saw of effects whose outcome is not known.
    unresolved: Unresolved,
    /// Whether nothing could happen any more when the last look began.
    behind_horizon: bool,
    read_failure_timeout: Duration,
}

impl Policy {
    /// Begins. `tried`: something that was tried in this execution, maybe by an earlier owner, may stand. `read_failure_timeout`: how
    /// long a look may fail before the step does.
    pub(super) fn begin(direction: Direction, wait: Waiting, read_failure_timeout: Duration, tried: bool) -> Self {
        let state = match direction {
            Direction::Forward => State::Trying,
            Direction::Back => State::BeforeUndo,
        };
        let look = if tried { LookState::Due } else { LookState::Current };
        Self {
            state,
            look,
            wait,
            last: false,
            unreadable: None,
            unresolved: Unresolved::NotKnown,
            behind_horizon: true,
            read_failure_timeout,
        }
    }

    /// Whether nothing was said yet of what is waited for.
    pub(super) fn is_silent(&self) -> bool {
        self.wait.is_silent()
    }

    /// Whether the last look could not be made.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.unreadable.is_some()
    }

    /// Until when the execution may wait, as things stand.
    pub(super) fn deadline(&self, now: &Situation) -> Timestamp {
        now.wall.plus(self.wait.end().saturating_duration_since(now.at))
    }

    /// For how long the wait has not moved.
    pub(super) fn unmoved(&self, now: &Situation) -> Duration {
        self.wait.pace().unmoved(now.at)
    }

    fn note(&self, progress: ProgressReport, deadline: Timestamp) -> Note {
        Note { progress, deadline, stalled_since: self.wait.pace().moved_at(), remaining: None }
    }

    /// What the execution waits for, in words.
    pub(super) fn waits_for(&self) -> &str {
        match &self.state {
            State::BeforeUndo | State::Trying => self.wait.waits_for(),
            State::Failing(failure, _) => &failure.message,
            State::Cancelled { waited_for } => waited_for,
        }
    }

    /// The task is being cancelled. What was waited for, when this is the first time that it is said.
    pub(super) fn cancel(&mut self) -> Option<&str> {
        if let State::Cancelled { .. } = self.state {
            return None;
        }
        self.state = State::Cancelled { waited_for: self.waits_for().to_owned() };
        self.unreadable = None;
        Some(self.waits_for())
    }

    /// What comes before a look.
    pub(super) fn turn(&mut self, now: &Situation) -> Turn {
        if let State::BeforeUndo = self.state {
            if let Some(until) = now.forward_horizon {
                return Turn::Next(self.end_refused(until));
            }
            self.state = State::Trying;
            self.wait.restart(now.at, now.wall);
        }
        let must_look = self.look == LookState::Due || now.effect_open;
        self.behind_horizon = now.horizon.is_none();
        match &self.state {
            State::Cancelled { .. } if !must_look => Turn::Next(self.cancelled(true, StepOutput::default())),
            State::Cancelled { .. } => Turn::Look { last: false, droppable: false },
            State::BeforeUndo | State::Trying | State::Failing(..) => {
                self.last = self.wait.is_over(now.at);
                Turn::Look { last: self.last, droppable: !must_look }
            }
        }
    }

    /// What follows from the look that [`Policy::turn`] asked for.
    pub(super) fn next(&mut self, found: Observation, now: &Situation) -> Next {
        if !matches!(found, Observation::Unreadable { .. }) {
            self.look = LookState::Current;
            self.unreadable = None;
        }
        let cancelled = matches!(self.state, State::Cancelled { .. });
        self.unresolved = match &found {
            Observation::Refuse { unresolved, .. } => *unresolved,
            Observation::Unreadable { .. } => Unresolved::NotKnown,
            Observation::Reached { .. }
            | Observation::Needed { .. }
            | Observation::Happened { .. }
            | Observation::Wait { .. } => Unresolved::NotDone,
        };
        match found {
            Observation::Reached { already_so, output, writes } => {
                Next::End(Ending::Reached { already_so, output, writes })
            }
            Observation::Happened { message } => Next::Settle { message },
            Observation::Unreadable { .. } if cancelled => {
                let (lasted, pause) = self.unreadable(now);
                if lasted > self.read_failure_timeout {
                    self.look = LookState::Current;
                    return self.cancelled(false, StepOutput::default());
                }
                let progress = ProgressReport::uncounted("cancelled, waits for a look at what was sent");
                Next::Pause(pause, Some(self.note(progress, now.wall.plus(self.read_failure_timeout))))
            }
            // Only what is seen behind the horizon stays as it is seen.
            Observation::Refuse { output, .. } if cancelled => self.cancelled_behind_horizon(output, now),
            // Nothing is begun: of what it would record, only what became of earlier effects is so.
            Observation::Needed { output: StepOutput { outcomes, .. }, .. } if cancelled => {
                self.cancelled_behind_horizon(StepOutput { outcomes, ..StepOutput::default() }, now)
            }
            Observation::Wait { .. } if cancelled => self.cancelled_behind_horizon(StepOutput::default(), now),
            Observation::Needed { intent, output, effect } => {
                self.wait.for_what(&intent.description);
                // Going forward needs no horizon: a refusal that has passed while it was waited for is no reason to fail.
                if !self.last && self.may_go_on() {
                    self.state = State::Trying;
                    return Next::Act { intent, output, effect };
                }
                self.or_end(HORIZON_PAUSE, None, now)
            }
            Observation::Wait { progress, again_in } => {
                // Something moves: a failure that was about to be declared no longer describes what is.
                if matches!(self.state, State::Failing(..)) {
                    self.state = State::Trying;
                    self.wait.restart(now.at, now.wall);
                }
                self.wait.progressed(&progress, now.at, now.wall);
                let remaining = self.wait.pace().remaining(now.at);
                let note = Note { remaining, ..self.note(progress, self.deadline(now)) };
                self.or_end(self.wait.pause(again_in, now.at), Some(note), now)
            }
            Observation::Refuse { failure, output, .. } => {
                self.fail(failure, output);
                self.or_end(HORIZON_PAUSE, None, now)
            }
            Observation::Unreadable { failure } => {
                self.wait.for_what(&failure.message);
                let (lasted, pause) = self.unreadable(now);
                let progress = ProgressReport::uncounted(failure.message.clone());
                if lasted > self.read_failure_timeout {
                    self.fail(failure, StepOutput::default());
                }
                let note = self.note(progress, self.deadline(now));
                self.or_end(pause, Some(note), now)
            }
        }
    }

    /// What follows from an attempt at an effect. What follows from an effect begins with its end, however long its answer took.
    pub(super) fn acted(&mut self, acted: Acted, now: &Situation) -> Next {
        self.wait.restart_progress(now.at, now.wall);
        match acted {
            Acted::Tried(outcome) => {
                self.look = LookState::Due;
                match outcome {
                    IntentOutcome::Unknown => Next::Pause(UNKNOWN_PAUSE, None),
                    IntentOutcome::Done | IntentOutcome::Refused | IntentOutcome::Void => Next::AT_ONCE,
                }
            }
            Acted::NotBegun => Next::AT_ONCE,
            Acted::MayStillHappen => self.or_end(HORIZON_PAUSE, None, now),
        }
    }

    /// The end cannot be committed before `until`: a request that was sent may take effect until then.
    pub(super) fn end_refused(&self, until: Timestamp) -> Next {
        let horizon = format!("until {until}, when a request that was sent can no longer take effect");
        let message = match &self.state {
            State::BeforeUndo => format!("waiting {horizon}"),
            State::Trying | State::Failing(..) => format!("waiting {horizon} ({})", self.waits_for()),
            State::Cancelled { .. } => format!("cancelled, waits {horizon}"),
        };
        Next::Pause(HORIZON_PAUSE, Some(self.note(ProgressReport::uncounted(message), until)))
    }

    /// The end of a cancelled execution, as the last look saw it.
    fn cancelled_behind_horizon(&self, output: StepOutput, now: &Situation) -> Next {
        match now.horizon {
            None if !self.behind_horizon => Next::AT_ONCE,
            None => self.cancelled(self.unresolved == Unresolved::NotDone, output),
            Some(until) => self.end_refused(until),
        }
    }

    /// What could not be looked at stays open, only it can no longer happen later.
    fn cancelled(&self, looked: bool, output: StepOutput) -> Next {
        Next::End(Ending::Cancelled { looked, output, waited_for: self.waits_for().to_owned() })
    }

    /// The pause, unless the execution is at its end. A wait that ended during this look gets one more, which knows that it is
    /// the last.
    fn or_end(&self, pause: Duration, note: Option<Note>, now: &Situation) -> Next {
        match &self.state {
            // What was seen before the horizon is looked at once more behind it.
            State::Failing(..) if now.horizon.is_none() && !self.behind_horizon => Next::AT_ONCE,
            State::Failing(failure, output) => Next::End(Ending::Failed {
                failure: failure.clone(),
                output: output.clone(),
                looked: self.unresolved == Unresolved::NotDone,
            }),
            State::BeforeUndo | State::Trying | State::Cancelled { .. } if self.last => {
                Next::End(Ending::TimedOut { waited_for: self.waits_for().to_owned() })
            }
            State::BeforeUndo | State::Trying | State::Cancelled { .. } if self.wait.is_over(now.at) => Next::AT_ONCE,
            State::BeforeUndo | State::Trying | State::Cancelled { .. } => Next::Pause(pause, note),
        }
    }

    /// The first failure is the one that is declared, with what the last look saw of effects.
    fn fail(&mut self, failure: Failure, output: StepOutput) {
        match &mut self.state {
            State::Trying => self.state = State::Failing(failure, output),
            State::Failing(_, known) => known.outcomes = output.outcomes,
            State::BeforeUndo | State::Cancelled { .. } => {}
        }
    }

    fn unreadable(&mut self, now: &Situation) -> (Duration, Duration) {
        let since = self.unreadable.get_or_insert_with(|| UnreadableSince::begin(now.at));
        (since.lasted(now.at), since.next_pause(now.jitter))
    }

    /// Whether a failure that waits for a horizon may be forgotten when a look finds its step possible again. Not when somebody
    /// interfered: that this too has changed back is not for the task to judge.
    fn may_go_on(&self) -> bool {
        let State::Failing(failure, _) = &self.state else { return true };
        match failure.kind {
            FailureKind::Refused | FailureKind::Unreachable => true,
            FailureKind::TimedOut
            | FailureKind::Interfered
            | FailureKind::Expired
            | FailureKind::Cancelled
            | FailureKind::CrashLoop
            | FailureKind::Internal => false,
        }
    }
}

#[cfg(test)]
mod tests;
