//! Exit codes, and the one mapping from gRPC statuses and task states to them. Pure: nothing here prints or calls.

use std::process::ExitCode;

use tonic::Code;

use crate::proto::v1;

/// How a command ended, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is so.
    Done = 0,
    /// The task ended, or rests, without having achieved it.
    TaskFailed = 1,
    /// The command line or an argument is wrong.
    Usage = 2,
    /// Refused; nothing was changed.
    Refused = 3,
    /// A change was asked for, and it is not known how that ended: connection lost, time over.
    OutcomeUnknown = 4,
    /// What was to be read could not be: connection lost, time over. No change was asked for.
    NoAnswer = 5,
}

/// Which end of a task counts as success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// It does what it is for.
    #[default]
    Reached,
    /// What it did is undone.
    Undone,
    /// A server is held out of service, or it does what it is for.
    Held,
}

/// The table for `--help`.
pub const HELP: &str = "Exit codes:
  0  done
  1  the task failed, was cancelled or given up, or was rolled back although that was not asked for
  2  wrong usage or an invalid argument
  3  refused: a check blocks, a conflict, not found, not logged in, no permission, too many
     requests; nothing was changed
  4  outcome not known: a change was asked for, and then connection lost, server unavailable, time over;
     look again before you act
  5  no answer: connection lost, server unavailable, time over; no change was asked for";

impl Exit {
    /// What a gRPC status means for the caller.
    pub const fn of_code(code: Code) -> Self {
        match code {
            Code::Ok => Self::Done,
            Code::InvalidArgument | Code::OutOfRange => Self::Usage,
            Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::ResourceExhausted
            | Code::Unimplemented => Self::Refused,
            // A server that broke down may have broken down after the commit.
            Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Self::OutcomeUnknown,
        }
    }

    /// What a task's state means for whoever waited for the task.
    pub const fn of_state(state: v1::TaskState, goal: Goal) -> Self {
        match (state, goal) {
            (v1::TaskState::Successful, Goal::Reached | Goal::Held) | (v1::TaskState::RolledBack, Goal::Undone) => {
                Self::Done
            }
            (v1::TaskState::Successful, Goal::Undone)
            | (v1::TaskState::RolledBack, Goal::Reached | Goal::Held)
            | (v1::TaskState::Failed | v1::TaskState::Cancelled | v1::TaskState::GivenUp, _) => Self::TaskFailed,
            (v1::TaskState::Refused, _) => Self::Refused,
            (
                v1::TaskState::Unspecified | v1::TaskState::Pending | v1::TaskState::Running | v1::TaskState::Canceling,
                _,
            ) => Self::OutcomeUnknown,
        }
    }

    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_neither_done_nor_refused() {
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Internal, Code::Unknown] {
            assert_eq!(Exit::of_code(code), Exit::OutcomeUnknown, "{code:?}");
        }
        for goal in [Goal::Reached, Goal::Undone] {
            assert_eq!(Exit::of_state(v1::TaskState::Running, goal), Exit::OutcomeUnknown);
        }
    }

    #[test]
    fn refusals_and_usage() {
        for code in [
            Code::FailedPrecondition,
            Code::Aborted,
            Code::NotFound,
            Code::PermissionDenied,
            Code::AlreadyExists,
            Code::Unauthenticated,
            Code::ResourceExhausted,
        ] {
            assert_eq!(Exit::of_code(code), Exit::Refused, "{code:?}");
        }
        assert_eq!(Exit::of_code(Code::InvalidArgument), Exit::Usage);
        assert_eq!(Exit::of_state(v1::TaskState::Refused, Goal::Reached), Exit::Refused);
    }

    #[test]
    fn only_what_was_asked_for_is_done() {
        for (goal, end) in [(Goal::Reached, v1::TaskState::Successful), (Goal::Undone, v1::TaskState::RolledBack)] {
            for number in 0..=8 {
                let state = v1::TaskState::try_from(number).unwrap();
                assert_eq!(Exit::of_state(state, goal) == Exit::Done, state == end, "{state:?} {goal:?}");
            }
        }
    }

    #[test]
    fn numbers_are_those_of_the_help() {
        let numbers = [Exit::Done, Exit::TaskFailed, Exit::Usage, Exit::Refused, Exit::OutcomeUnknown, Exit::NoAnswer];
        assert_eq!(numbers.map(Exit::code), [0, 1, 2, 3, 4, 5]);
    }
}
