//! What a command can fail with, and how that is reported: on standard error, in words or as one JSON document.

use std::io;

use tonic::Status;
use tonic_types::StatusExt;

use super::error::ErrorDoc;
use super::exit::Exit;
use super::output::Format;
use super::table::flat;
use crate::domain::printable;

#[derive(serde::Serialize)]
struct FailureDocument<'a> {
    error: &'a ErrorDoc,
}

#[derive(Debug)]
pub enum Failure {
    /// The command line asks for something that cannot be, found only after it was parsed.
    Usage(String),
    /// Not done, and certainly not: what was named is not there, or the plan blocks.
    Refused(String),
    /// Not known how a change ended that was asked for; the text says how to find out.
    Unknown(String),
    /// What was to be read could not be; no change was asked for.
    NoAnswer(String),
    /// The server's answer, or no answer.
    Rpc {
        /// What was being done, for example `stop server`.
        doing: &'static str,
        server: String,
        status: Box<Status>,
        /// What to do next, when the command knows better than the server.
        hint: Option<String>,
        /// Whether the command had asked for a change.
        asked_to_change: bool,
    },
    /// Something on this machine is in the way of a program that runs here.
    Local(String),
    /// Standard output cannot be written: the result could not be reported.
    Output {
        error: io::Error,
        /// Whether the command is one that changes something.
        changes: bool,
    },
}

impl Failure {
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Refused(_) => Exit::Refused,
            Self::Local(_) => Exit::TaskFailed,
            Self::Unknown(_) => Exit::OutcomeUnknown,
            Self::NoAnswer(_) => Exit::NoAnswer,
            Self::Output { .. } if self.is_quiet() => Exit::Done,
            Self::Output { changes, .. } => if_asked(*changes, Exit::OutcomeUnknown),
            // The server says that it could not read the cluster: then it did nothing to it.
            Self::Rpc { status, .. } if reason(status).as_deref() == Some("CLUSTER_UNREACHABLE") => Exit::Refused,
            Self::Rpc { status, asked_to_change, .. } => if_asked(*asked_to_change, Exit::of_code(status.code())),
        }
    }

    /// Whether nothing is reported: whoever closes the output of a reading command has seen enough.
    pub fn is_quiet(&self) -> bool {
        matches!(self, Self::Output { error, changes: false } if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The same, with what to do behind the advice that the status brought.
    pub fn then(mut self, go_on: Option<String>) -> Self {
        if let (Self::Rpc { hint, .. }, Some(go_on)) = (&mut self, go_on) {
            *hint = Some(match hint.take() {
                Some(advice) => format!("{advice}; then {go_on}"),
                None => go_on,
            });
        }
        self
    }

    pub fn document(&self) -> ErrorDoc {
        match self {
            Self::Usage(message) => ErrorDoc::local("INVALID_ARGUMENT", message),
            Self::Refused(message) => ErrorDoc::local("FAILED_PRECONDITION", message),
            Self::Unknown(message) => ErrorDoc::local("UNKNOWN", message),
            Self::NoAnswer(message) => ErrorDoc::local("UNAVAILABLE", message),
            Self::Local(message) => ErrorDoc::local("INTERNAL", message),
            Self::Output { error, .. } => {
                ErrorDoc::local("UNKNOWN", &format!("cannot write to standard output: {error}"))
            }
            Self::Rpc { doing, server, status, hint, .. } => {
                let mut document = ErrorDoc::from_status(status);
                if let Some(cause) = deepest(status) {
                    document.message = format!("{doing}: no answer from {server}: {cause}");
                }
                document.hint.clone_from(hint);
                document
            }
        }
    }

    /// What goes to standard error.
    pub fn render(&self, format: Format) -> String {
        let document = self.document();
        match format {
            Format::Json => serde_json::to_string(&FailureDocument { error: &document })
                .map_or_else(|error| format!("cannot write the error as JSON: {error}"), printable::json),
            Format::Text => {
                let word = match self.exit() {
                    Exit::Done => "done",
                    Exit::TaskFailed => "failed",
                    Exit::Usage => "invalid",
                    Exit::Refused => "refused",
                    Exit::OutcomeUnknown => "outcome not known",
                    Exit::NoAnswer => "no answer",
                };
                let mut lines = vec![format!("{word}: {}", flat(&document.message))];
                lines.extend(document.detail_lines().iter().map(|line| format!("  {}", flat(line))));
                lines.join("\n")
            }
        }
    }
}

/// The outcome of a change is not known only where one was asked for.
fn if_asked(asked: bool, exit: Exit) -> Exit {
    if !asked && exit == Exit::OutcomeUnknown { Exit::NoAnswer } else { exit }
}

/// The reason that our server gave.
fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().filter(|info| info.domain == "obsteward").map(|info| info.reason)
}

/// The first cause of a status that was made here, not by the server: tonic's own words are only "transport error".
fn deepest(status: &Status) -> Option<String> {
    let mut cause = std::error::Error::source(status)?;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Some(cause.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;

    fn rpc(status: Status) -> Failure {
        asked(status, true)
    }

    fn asked(status: Status, asked_to_change: bool) -> Failure {
        let (server, status) = ("http://x".to_owned(), Box::new(status));
        Failure::Rpc { doing: "stop server", server, status, hint: None, asked_to_change }
    }

    #[test]
    fn an_outcome_is_not_known_only_of_what_was_asked_for() {
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Internal, Code::Cancelled, Code::DataLoss] {
            let read = asked(Status::new(code, "gone"), false);
            assert_eq!(
                (read.exit(), asked(Status::new(code, "gone"), true).exit()),
                (Exit::NoAnswer, Exit::OutcomeUnknown)
            );
            assert!(read.render(Format::Text).starts_with("no answer: "), "{}", read.render(Format::Text));
        }
        for code in [Code::NotFound, Code::InvalidArgument, Code::PermissionDenied] {
            let exits = [false, true].map(|change| asked(Status::new(code, "no"), change).exit());
            assert_eq!(exits[0], exits[1], "{code}");
        }
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure_of_a_reading_command() {
        let output = |kind: io::ErrorKind, changes| Failure::Output { error: kind.into(), changes };
        let closed = output(io::ErrorKind::BrokenPipe, false);
        assert!(closed.is_quiet() && closed.exit() == Exit::Done);
        let full = output(io::ErrorKind::StorageFull, false);
        assert!(!full.is_quiet() && full.exit() == Exit::NoAnswer);
        assert_eq!(output(io::ErrorKind::StorageFull, true).exit(), Exit::OutcomeUnknown);
    }

    #[test]
    fn text_of_others_turns_nothing_round() {
        let status = Status::new(Code::NotFound, "cluster \u{202e}gpj.ob\u{2066} \u{9b}31m is not registered");
        let failure = rpc(status);
        assert!(failure.render(Format::Text).contains("\\u{202e}gpj.ob\\u{2066} \\u{9b}31m"));
        let json = failure.render(Format::Json);
        assert!(json.contains("\\u202egpj.ob\\u2066 \\u009b31m"), "{json}");
    }

    #[test]
    fn a_refusal_shows_reason_metadata_and_remedy() {
        let metadata = HashMap::from([
            ("holder_task_id".to_owned(), "7".to_owned()),
            ("remedy".to_owned(), "wait for task 7".to_owned()),
        ]);
        let mut details = ErrorDetails::with_error_info("OPERATION_IN_PROGRESS", "obsteward", metadata);
        details.set_retry_info(Some(Duration::from_secs(5)));
        details.add_precondition_failure_violation("LOCK", "cluster 1", "held by task 7");
        let failure = rpc(Status::with_error_details(Code::Aborted, "cluster 1 is held by task 7", details));
        assert_eq!(failure.exit(), Exit::Refused);
        assert_eq!(
            failure.render(Format::Text),
            "refused: cluster 1 is held by task 7
  reason: OPERATION_IN_PROGRESS (ABORTED)
  holder_task_id: 7
  precondition LOCK, cluster 1: held by task 7
  retry after: 5.0s
  remedy: wait for task 7"
        );
    }

    #[test]
    fn an_unreadable_cluster_is_a_refusal_and_an_unavailable_server_is_not() {
        let of = |reason: &str| {
            let details = ErrorDetails::with_error_info(reason, "obsteward", HashMap::new());
            rpc(Status::with_error_details(Code::Unavailable, "no endpoint answers", details)).exit()
        };
        assert_eq!(of("CLUSTER_UNREACHABLE"), Exit::Refused);
        assert_eq!(of("UNAVAILABLE"), Exit::OutcomeUnknown);
    }

    #[test]
    fn a_bad_argument_names_the_field() {
        let details = ErrorDetails::with_bad_request_violation("request_id", "not a UUID");
        let failure = rpc(Status::with_error_details(Code::InvalidArgument, "invalid request", details));
        assert_eq!(failure.exit(), Exit::Usage);
        assert_eq!(
            failure.render(Format::Text),
            "invalid: invalid request\n  code: INVALID_ARGUMENT\n  field request_id: not a UUID"
        );
    }

    #[test]
    fn as_json_it_is_one_document() {
        let told = Failure::Unknown("time over".to_owned()).render(Format::Json);
        let document: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(document, serde_json::json!({ "error": { "code": "UNKNOWN", "message": "time over" } }));
    }

    #[test]
    fn a_lost_connection_names_server_and_cause() {
        let cause = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let failure = rpc(Status::from_error(Box::new(cause)));
        assert_eq!(failure.exit(), Exit::OutcomeUnknown);
        assert!(failure.render(Format::Text).contains("stop server: no answer from http://x: connection refused"));
    }
}
