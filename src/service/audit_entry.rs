//! What a mutation is about, in words for the audit log: the same words whether it is accepted or refused. Pure. No secret is
//! among them: of passwords and keys only that they were given. The words are for people; nothing is recognised by them.

use super::call::Caller;
use crate::clock::Timestamp;
use crate::domain::call::Call;
use crate::domain::ids::{ClusterId, TaskId};
use crate::domain::refusal::Refusal;
use crate::store::{AuditOutcome, AuditRecord};

/// Longest arguments of an audit record, in bytes.
pub const LONGEST_ARGUMENTS: usize = 1024;
/// Longest target of an audit record, in bytes.
const LONGEST_TARGET: usize = 256;

/// What a mutation is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEntry {
    target: String,
    cluster: Option<ClusterId>,
    task: Option<TaskId>,
    arguments: Vec<String>,
}

impl AuditEntry {
    /// About a target in words, for example `cluster 1 server 2`.
    pub(super) fn on(target: impl Into<String>) -> Self {
        Self { target: target.into(), ..Self::default() }
    }

    pub(super) fn in_cluster(self, cluster: ClusterId) -> Self {
        Self { cluster: Some(cluster), ..self }
    }

    pub(super) fn of_task(self, task: TaskId) -> Self {
        Self { task: Some(task), ..self }
    }

    /// On a task that the call itself made or moved, of a server whose address is known by now.
    pub(super) fn with_task(self, task: TaskId, addr: impl std::fmt::Display) -> Self {
        Self { target: format!("{} ({addr})", self.target), task: Some(task), ..self }
    }

    pub(super) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.arguments.push(format!("{name}={value}"));
        self
    }

    /// With an argument, when it is given.
    pub(super) fn with_some(self, name: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With an argument that is empty when it is not given.
    pub(super) fn with_or_empty(self, name: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self.with(name, ""),
        }
    }

    /// A request whose arguments are not valid: the fields that are wrong, without what they hold.
    pub(super) fn invalid(refusal: &Refusal) -> Self {
        let Refusal::InvalidArgument(violations) = refusal else { return Self::default() };
        let fields: Vec<&str> = violations.shown.iter().map(|violation| violation.field.as_str()).collect();
        Self::default().with("invalid_fields", fields.join(","))
    }

    /// As a record of the audit log.
    pub(super) fn record(self, caller: &Caller, call: Call, at: Timestamp, outcome: AuditOutcome) -> AuditRecord {
        AuditRecord {
            at,
            principal: caller.principal.clone(),
            address: caller.address.clone(),
            call,
            target: bounded(self.target, LONGEST_TARGET),
            cluster: self.cluster,
            task: self.task,
            arguments: bounded(self.arguments.join(" "), LONGEST_ARGUMENTS),
            outcome,
            trace_id: caller.trace.trace_id().to_string(),
            reason: caller.reason.clone(),
        }
    }
}

/// Cut so that it ends with `…` and is not longer than `longest` bytes.
fn bounded(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest - '…'.len_utf8()).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

/// Separated by commas.
pub(super) fn joined<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_where_a_letter_ends() {
        assert_eq!(bounded("short".to_owned(), 1024), "short");
        for letter in ["a", "é", "集"] {
            let cut = bounded(letter.repeat(2000), 1024);
            assert!(cut.len() <= 1024 && cut.len() > 1015 && cut.ends_with('…'), "{}", cut.len());
        }
    }
}
