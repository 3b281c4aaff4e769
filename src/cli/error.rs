//! Errors: a gRPC status, or a `google.rpc.Status` inside a task, with everything its details say, for the eye; and as the
//! document that a command ends with when it fails.

use std::collections::BTreeMap;

use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, RpcStatusExt, StatusExt};

use super::times;
use crate::telemetry::metrics::code_word;

#[derive(Clone, Debug, Default, Serialize)]
pub struct ErrorDoc {
    /// Name of the gRPC code, for example `NOT_FOUND`.
    pub code: &'static str,
    pub message: String,
    /// `ErrorInfo.reason`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// `ErrorInfo.domain`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// `ErrorInfo.metadata`, without `remedy`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// `BadRequest.field_violations`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub field_violations: Vec<FieldDoc>,
    /// `PreconditionFailure.violations`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub precondition_violations: Vec<PreconditionDoc>,
    /// `ResourceInfo`: type and name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// `RetryInfo.retry_delay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What to do: the metadata's `remedy`, or the texts of `Help`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remedy: Vec<String>,
    /// What the command line itself advises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct FieldDoc {
    /// Path of the field.
    pub field: String,
    pub description: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct PreconditionDoc {
    pub r#type: String,
    pub subject: String,
    pub description: String,
}

impl ErrorDoc {
    /// An error that the command line found by itself.
    pub fn local(code: &'static str, message: &str) -> Self {
        Self { code, message: message.to_owned(), ..Self::default() }
    }

    pub fn from_status(status: &Status) -> Self {
        Self::new(status.code(), status.message(), &status.get_error_details())
    }

    /// From the error that a task or subtask keeps.
    pub fn from_kept(status: &tonic_types::pb::Status) -> Self {
        Self::new(Code::from_i32(status.code), &status.message, &status.get_error_details())
    }

    fn new(code: Code, message: &str, details: &ErrorDetails) -> Self {
        let mut document = Self::local(code_word(code), message);
        if document.message.is_empty() {
            code.description().clone_into(&mut document.message);
        }
        if let Some(info) = details.error_info() {
            document.reason.clone_from(&info.reason);
            document.domain.clone_from(&info.domain);
            document.metadata = info.metadata.clone().into_iter().collect();
            document.remedy.extend(document.metadata.remove("remedy"));
        }
        if let Some(bad) = details.bad_request() {
            document.field_violations = bad
                .field_violations
                .iter()
                .map(|violation| FieldDoc {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                })
                .collect();
        }
        if let Some(failure) = details.precondition_failure() {
            document.precondition_violations = failure
                .violations
                .iter()
                .map(|violation| PreconditionDoc {
                    r#type: violation.r#type.clone(),
                    subject: violation.subject.clone(),
                    description: violation.description.clone(),
                })
                .collect();
        }
        if let Some(resource) = details.resource_info() {
            document.resource = Some(format!("{} {}", resource.resource_type, resource.resource_name));
        }
        if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
            document.retry_after_ms = Some(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        }
        if let Some(help) = details.help() {
            document
                .remedy
                .extend(help.links.iter().map(|link| format!("{} {}", link.description, link.url).trim().to_owned()));
        }
        document
    }

    /// Reason and message in one line; the code where there is no reason.
    pub fn line(&self) -> String {
        let name = if self.reason.is_empty() { self.code } else { &self.reason };
        format!("{name}: {}", self.message)
    }

    pub fn detail_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let local = self.domain.is_empty() && self.reason.is_empty();
        if !self.reason.is_empty() {
            lines.push(format!("reason: {} ({})", self.reason, self.code));
        } else if !self.field_violations.is_empty() || !local {
            lines.push(format!("code: {}", self.code));
        }
        lines.extend(self.metadata.iter().map(|(key, value)| format!("{key}: {value}")));
        lines.extend(
            self.field_violations
                .iter()
                .map(|violation| format!("field {}: {}", violation.field, violation.description)),
        );
        lines.extend(self.precondition_violations.iter().map(|violation| {
            format!("precondition {}, {}: {}", violation.r#type, violation.subject, violation.description)
        }));
        lines.extend(self.resource.iter().map(|resource| format!("resource: {resource}")));
        lines.extend(
            self.retry_after_ms
                .map(|millis| format!("retry after: {}", times::brief(std::time::Duration::from_millis(millis)))),
        );
        lines.extend(self.remedy.iter().map(|remedy| format!("remedy: {remedy}")));
        lines.extend(self.hint.iter().map(|hint| format!("next: {hint}")));
        lines
    }
}
