//! The policy as tables: what follows from each look in each state, and what comes before a look.

use std::fmt::Write as _;

use async_trait::async_trait;

use super::*;
use crate::domain::effect::{EffectOutcome, Permit};
use crate::engine::step::TimeoutPolicy;

/// The wall clock at second 0 of a test.
const BEGIN: Timestamp = Timestamp::from_micros(1_600_000_000_000_000);
const TIMEOUT: Duration = Duration::from_secs(60);
const READ_PATIENCE: Duration = Duration::from_secs(20);

/// An execution at second `at`. Nothing is open, unless a test says so.
struct Execution {
    policy: Policy,
    began: Instant,
    at: u64,
    effect_open: bool,
    horizon: Option<u64>,
    forward_horizon: Option<u64>,
}

impl Execution {
    fn new(direction: Direction, policy: TimeoutPolicy, tried: bool) -> Self {
        let began = crate::clock::monotonic_now();
        let policy = Policy::begin(direction, Waiting::new(policy, TIMEOUT, began, BEGIN), READ_PATIENCE, tried);
        Self { policy, began, at: 0, effect_open: false, horizon: None, forward_horizon: None }
    }

    fn situation(&self) -> Situation {
        let ahead = |second: Option<u64>| second.filter(|until| *until > self.at).map(moment);
        Situation {
            at: self.began + Duration::from_secs(self.at),
            wall: moment(self.at),
            effect_open: self.effect_open,
            horizon: ahead(self.horizon),
            forward_horizon: ahead(self.forward_horizon),
            jitter: 0,
        }
    }

    fn turn(&mut self) -> String {
        let situation = self.situation();
        match self.policy.turn(&situation) {
            Turn::Next(next) => words(next),
            Turn::Look { last, droppable } => {
                let last = if last { "last look" } else { "look" };
                format!("{last}{}", if droppable { "" } else { ", never dropped" })
            }
        }
    }

    fn found(&mut self, what: &str) -> String {
        let situation = self.situation();
        words(self.policy.next(observation(what), &situation))
    }

    /// A turn that looks, and finds this.
    fn look(&mut self, what: &str) -> String {
        let turn = self.turn();
        assert!(turn.contains("look"), "{turn}");
        self.found(what)
    }

    fn acted(&mut self, acted: Acted) -> String {
        let situation = self.situation();
        words(self.policy.acted(acted, &situation))
    }
}

fn moment(second: u64) -> Timestamp {
    BEGIN.plus(Duration::from_secs(second))
}

struct NeverSent;

#[async_trait]
impl PreparedEffect for NeverSent {
    async fn send(self: Box<Self>, _permit: Permit) -> EffectOutcome {
        unreachable!("the policy sends nothing")
    }
}

fn observation(what: &str) -> Observation {
    match what {
        "reached" => Observation::Reached { already_so: false, output: StepOutput::default(), writes: Vec::new() },
        "needed" => Observation::Needed {
            intent: Intent {
                description: "STOP SERVER".to_owned(),
                endpoint: "10.0.0.2:2881".to_owned(),
                connection_id: 7,
                horizon: moment(30),
                irreversible: false,
            },
            output: StepOutput::default(),
            effect: Box::new(NeverSent),
        },
        "happened" => Observation::Happened { message: "STOP_TIME is set".to_owned() },
        "wait" => waits(3),
        "refuse" => refuses(FailureKind::Refused),
        "interfered" => refuses(FailureKind::Interfered),
        // A refusal whose look did not see what was tried.
        "blind" => match refuses(FailureKind::Refused) {
            Observation::Refuse { failure, output, .. } => {
                Observation::Refuse { failure, output, unresolved: Unresolved::NotKnown }
            }
            _ => unreachable!(),
        },
        "unreadable" => Observation::Unreadable {
            failure: Failure::new(FailureKind::Unreachable, "CLUSTER_UNREACHABLE", "no answer"),
        },
        other => panic!("{other}"),
    }
}

fn waits(done: i64) -> Observation {
    let progress = ProgressReport::counted("leaders", done, 9);
    Observation::Wait { progress, again_in: Duration::from_secs(1) }
}

fn refuses(kind: FailureKind) -> Observation {
    let failure = Failure::new(kind, "REASON", "refused");
    Observation::Refuse { failure, output: StepOutput::default(), unresolved: Unresolved::NotDone }
}

fn words(next: Next) -> String {
    match next {
        Next::Act { intent, .. } => format!("send {}", intent.description),
        Next::Settle { message } => format!("settle: {message}"),
        Next::End(Ending::Reached { .. }) => "end: reached".to_owned(),
        Next::End(Ending::Failed { failure, looked, .. }) => {
            format!("end: failed, {}{}", failure.message, if looked { "" } else { ", not looked" })
        }
        Next::End(Ending::TimedOut { waited_for }) => format!("end: timed out, {waited_for}"),
        Next::End(Ending::Cancelled { looked, .. }) => {
            format!("end: cancelled{}", if looked { "" } else { ", not looked" })
        }
        Next::Pause(pause, None) if pause.is_zero() => "look again".to_owned(),
        Next::Pause(pause, note) => {
            let until = note.map(|note| format!(" (to {} s)", note.deadline.since(BEGIN).as_secs()));
            format!("pause {} s{}", pause.as_secs_f64(), until.unwrap_or_default())
        }
    }
}

const LOOKS: [&str; 7] = ["reached", "needed", "happened", "wait", "refuse", "blind", "unreadable"];

/// How an execution comes into each state.
type Scene = (&'static str, fn() -> Execution);

const STATES: [Scene; 7] = [
    ("trying", || Execution::new(Direction::Forward, TimeoutPolicy::Total, false)),
    ("the wait is over during the look", || {
        let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, false);
        execution.turn();
        execution.at = 60;
        execution
    }),
    ("the last look", || {
        let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, false);
        execution.look("wait");
        execution.at = 60;
        execution.turn();
        execution
    }),
    ("failing, refused", || {
        let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, false);
        execution.look("refuse");
        execution.turn();
        execution
    }),
    ("failing, interfered", || {
        let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, false);
        execution.look("interfered");
        execution.turn();
        execution
    }),
    ("cancelled, horizon ahead", || {
        let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, true);
        (execution.effect_open, execution.horizon) = (true, Some(30));
        execution.policy.cancel();
        execution.turn();
        execution
    }),
    ("cancelled, nothing ahead", || {
        let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, true);
        execution.policy.cancel();
        execution.turn();
        execution
    }),
];

#[test]
fn what_follows_from_each_look_in_each_state() {
    let mut table = String::new();
    for (state, make) in STATES {
        writeln!(table, "{state}").unwrap();
        for look in LOOKS {
            writeln!(table, "    {look:<11} {}", make().found(look)).unwrap();
        }
    }
    let expected = "\
trying
    reached     end: reached
    needed      send STOP SERVER
    happened    settle: STOP_TIME is set
    wait        pause 0.02 s (to 60 s)
    refuse      end: failed, refused
    blind       end: failed, refused, not looked
    unreadable  pause 0.1 s (to 60 s)
the wait is over during the look
    reached     end: reached
    needed      send STOP SERVER
    happened    settle: STOP_TIME is set
    wait        look again
    refuse      end: failed, refused
    blind       end: failed, refused, not looked
    unreadable  look again
the last look
    reached     end: reached
    needed      end: timed out, STOP SERVER
    happened    settle: STOP_TIME is set
    wait        end: timed out, leaders
    refuse      end: failed, refused
    blind       end: failed, refused, not looked
    unreadable  end: timed out, no answer
failing, refused
    reached     end: reached
    needed      send STOP SERVER
    happened    settle: STOP_TIME is set
    wait        pause 0.02 s (to 60 s)
    refuse      end: failed, refused
    blind       end: failed, refused, not looked
    unreadable  end: failed, refused, not looked
failing, interfered
    reached     end: reached
    needed      end: failed, refused
    happened    settle: STOP_TIME is set
    wait        pause 0.02 s (to 60 s)
    refuse      end: failed, refused
    blind       end: failed, refused, not looked
    unreadable  end: failed, refused, not looked
cancelled, horizon ahead
    reached     end: reached
    needed      pause 0.5 s (to 30 s)
    happened    settle: STOP_TIME is set
    wait        pause 0.5 s (to 30 s)
    refuse      pause 0.5 s (to 30 s)
    blind       pause 0.5 s (to 30 s)
    unreadable  pause 0.1 s (to 20 s)
cancelled, nothing ahead
    reached     end: reached
    needed      end: cancelled
    happened    settle: STOP_TIME is set
    wait        end: cancelled
    refuse      end: cancelled
    blind       end: cancelled, not looked
    unreadable  pause 0.1 s (to 20 s)
";
    assert_eq!(table, expected);
}

/// Behind an effect nobody ends without a look, and a look that has to be made is not dropped for a request.
#[test]
fn what_comes_before_a_look() {
    let mut table = String::new();
    for (name, tried, effect_open) in
        [("nothing tried", false, false), ("tried before", true, false), ("tried, its outcome open", true, true)]
    {
        for (state, at, cancelled) in [("trying", 0, false), ("its time is over", 60, false), ("cancelled", 0, true)] {
            let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, tried);
            (execution.at, execution.effect_open) = (at, effect_open);
            if cancelled {
                execution.policy.cancel();
            }
            writeln!(table, "{:<40} {}", format!("{name}, {state}:"), execution.turn()).unwrap();
        }
    }
    let expected = "\
nothing tried, trying:                   look
nothing tried, its time is over:         last look
nothing tried, cancelled:                end: cancelled
tried before, trying:                    look, never dropped
tried before, its time is over:          last look, never dropped
tried before, cancelled:                 look, never dropped
tried, its outcome open, trying:         look, never dropped
tried, its outcome open, its time is over: last look, never dropped
tried, its outcome open, cancelled:      look, never dropped
";
    assert_eq!(table, expected);
}

/// A failure that waits for a horizon ends with what the last look saw of effects, and so does a cancellation.
#[test]
fn what_the_last_look_saw_of_effects_is_what_is_told() {
    let told = |number| {
        let failure = Failure::new(FailureKind::Refused, "REASON", "refused");
        let output = StepOutput { outcomes: vec![(number, IntentOutcome::Done)], ..StepOutput::default() };
        Observation::Refuse { failure, output, unresolved: Unresolved::NotDone }
    };
    let mut failing = Execution::new(Direction::Forward, TimeoutPolicy::Total, false);
    failing.look("blind");
    let mut cancelled = Execution::new(Direction::Forward, TimeoutPolicy::Total, true);
    cancelled.policy.cancel();
    for execution in [&mut failing, &mut cancelled] {
        execution.turn();
        let situation = execution.situation();
        let outcomes = match execution.policy.next(told(7), &situation) {
            Next::End(Ending::Failed { output, looked, .. } | Ending::Cancelled { output, looked, .. }) => {
                (output.outcomes, looked)
            }
            other => panic!("{}", words(other)),
        };
        assert_eq!(outcomes, (vec![(7, IntentOutcome::Done)], true));
    }
}

#[test]
fn after_an_effect_it_looks_at_once_or_waits_for_what_may_be_arriving() {
    for (acted, expected, then) in [
        (Acted::Tried(IntentOutcome::Done), "look again", "look, never dropped"),
        (Acted::Tried(IntentOutcome::Refused), "look again", "look, never dropped"),
        (Acted::Tried(IntentOutcome::Void), "look again", "look, never dropped"),
        (Acted::Tried(IntentOutcome::Unknown), "pause 0.2 s", "look, never dropped"),
        (Acted::NotBegun, "look again", "look"),
        (Acted::MayStillHappen, "pause 0.5 s", "look"),
    ] {
        let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, false);
        assert_eq!(execution.look("needed"), "send STOP SERVER");
        assert_eq!(execution.acted(acted), expected, "{acted:?}");
        assert_eq!(execution.turn(), then, "{acted:?}");
    }
}

#[test]
fn an_effect_that_was_tried_and_cancelled_is_looked_at_before_the_end() {
    let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, false);
    execution.look("needed");
    execution.acted(Acted::Tried(IntentOutcome::Refused));
    assert_eq!(execution.policy.cancel(), Some("STOP SERVER"));
    assert_eq!(execution.policy.cancel(), None);
    assert_eq!(execution.look("needed"), "end: cancelled");
    assert_eq!(execution.turn(), "end: cancelled");
}

#[test]
fn an_undo_begins_when_nothing_of_the_way_forward_can_happen() {
    let mut execution = Execution::new(Direction::Back, TimeoutPolicy::Total, false);
    execution.forward_horizon = Some(45);
    assert_eq!(execution.turn(), "pause 0.5 s (to 45 s)");
    execution.at = 44;
    assert_eq!(execution.turn(), "pause 0.5 s (to 45 s)");
    execution.at = 45;
    assert_eq!(execution.turn(), "look");
    // Its time counts from here.
    assert_eq!(execution.found("wait"), "pause 0.02 s (to 105 s)");
}

#[test]
fn a_cancelled_undo_does_not_wait_to_begin() {
    let mut execution = Execution::new(Direction::Back, TimeoutPolicy::Total, false);
    execution.forward_horizon = Some(45);
    execution.turn();
    execution.policy.cancel();
    assert_eq!(execution.turn(), "end: cancelled");
}

#[test]
fn an_end_that_a_horizon_holds_back_is_told_and_tried_again() {
    let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, false);
    assert_eq!(execution.look("refuse"), "end: failed, refused");
    assert_eq!(words(execution.policy.end_refused(moment(30))), "pause 0.5 s (to 30 s)");
    assert_eq!(execution.look("refuse"), "end: failed, refused");
    // Passed while it was waited for: the time begins anew, and the step goes on.
    execution.at = 20;
    assert_eq!(execution.look("wait"), "pause 0.02 s (to 80 s)");
    assert_eq!(execution.look("needed"), "send STOP SERVER");
}

/// What somebody else changed back is not the task's to judge; what nobody could reach may be.
#[test]
fn which_failures_pass() {
    for (kind, passes) in [
        (FailureKind::Refused, true),
        (FailureKind::Unreachable, true),
        (FailureKind::TimedOut, false),
        (FailureKind::Interfered, false),
        (FailureKind::Expired, false),
        (FailureKind::Cancelled, false),
        (FailureKind::CrashLoop, false),
        (FailureKind::Internal, false),
    ] {
        let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, false);
        execution.turn();
        let situation = execution.situation();
        execution.policy.next(refuses(kind), &situation);
        assert_eq!(execution.look("needed") == "send STOP SERVER", passes, "{kind:?}");
    }
}

#[test]
fn looks_that_cannot_be_made_pause_longer_and_end_the_step_when_they_last() {
    let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, false);
    let pauses: Vec<String> = (0..6).map(|_| execution.look("unreadable").replace(" (to 60 s)", "")).collect();
    assert_eq!(pauses, ["pause 0.1 s", "pause 0.2 s", "pause 0.4 s", "pause 0.8 s", "pause 1.6 s", "pause 2 s"]);
    execution.at = 20;
    assert_eq!(execution.look("unreadable"), "pause 2 s (to 60 s)");
    execution.at = 21;
    assert_eq!(execution.look("unreadable"), "end: failed, no answer, not looked");

    let mut cancelled = Execution::new(Direction::Forward, TimeoutPolicy::Total, true);
    cancelled.policy.cancel();
    assert_eq!(cancelled.look("unreadable"), "pause 0.1 s (to 20 s)");
    cancelled.at = 21;
    assert_eq!(cancelled.look("unreadable"), "end: cancelled, not looked");

    // One look that is made ends the series.
    let mut seen = Execution::new(Direction::Forward, TimeoutPolicy::Total, false);
    seen.look("unreadable");
    seen.at = 15;
    seen.look("wait");
    assert_eq!(seen.look("unreadable"), "pause 0.1 s (to 60 s)");
    seen.at = 30;
    assert_eq!(seen.look("unreadable"), "pause 0.2 s (to 60 s)");
}

#[test]
fn jitter_takes_up_to_a_quarter_off() {
    let mut execution = Execution::new(Direction::Forward, TimeoutPolicy::Total, false);
    execution.turn();
    let situation = Situation { jitter: 255, ..execution.situation() };
    assert_eq!(words(execution.policy.next(observation("unreadable"), &situation)), "pause 0.075 s (to 60 s)");
}

#[test]
fn progress_lengthens_a_wait_up_to_its_bound() {
    let policy = TimeoutPolicy::WithoutProgress { at_most: Duration::from_secs(100) };
    let mut execution = Execution::new(Direction::Forward, policy, false);
    for (at, done, expected) in [
        (0, 1, "pause 0.02 s (to 60 s)"),
        (30, 1, "pause 1 s (to 60 s)"),
        (50, 2, "pause 1 s (to 100 s)"),
        (99, 3, "pause 1 s (to 100 s)"),
    ] {
        execution.at = at;
        execution.turn();
        let situation = execution.situation();
        assert_eq!(words(execution.policy.next(waits(done), &situation)), expected, "at {at}");
    }
    execution.at = 100;
    assert_eq!(execution.turn(), "last look");
}
