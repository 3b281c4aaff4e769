//! Records of the audit log as they are written.

use super::database::{Change, Database};
use super::statement::Statement;
use crate::domain::ids::{ClusterId, TaskId};
use crate::store::{AuditOutcome, AuditRecord, StoreError};

/// [`AuditOutcome::Accepted`] as stored.
pub const ACCEPTED: &str = "ACCEPTED";
/// [`AuditOutcome::Refused`] as stored.
pub const REFUSED: &str = "REFUSED";

pub fn insertion(record: &AuditRecord) -> Statement {
    let (outcome, refusal) = match &record.outcome {
        AuditOutcome::Accepted => (ACCEPTED, ""),
        AuditOutcome::Refused { reason } => (REFUSED, reason.as_str()),
    };
    Statement::insert(
        "audit",
        [
            ("at_us", record.at.as_micros().into()),
            ("principal", record.principal.as_str().into()),
            ("address", record.address.as_str().into()),
            ("operation", record.call.as_str().into()),
            ("target", record.target.as_str().into()),
            ("arguments", record.arguments.as_str().into()),
            ("trace_id", record.trace_id.as_str().into()),
            ("outcome", outcome.into()),
            ("refusal", refusal.into()),
            ("cluster", record.cluster.map(ClusterId::get).into()),
            ("task", record.task.map(TaskId::get).into()),
            ("reason", record.reason.as_str().into()),
        ],
    )
}

/// A record alone.
pub async fn record(_: &mut Database, record: &AuditRecord) -> Result<Change<()>, StoreError> {
    Ok(Change::of((), vec![insertion(record)]))
}
