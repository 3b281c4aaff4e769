//! The short words in which the protocol's enumerations are read and shown: `RUNNING` for `TASK_STATE_RUNNING`. Pure.

use std::borrow::Cow;

use crate::domain::call::Call;
use crate::proto::v1;

macro_rules! words {
    ($($function:ident($enumeration:ident, $prefix:literal);)+) => {$(
        /// The short word; a number that this version does not know is shown as such.
        pub fn $function(number: i32) -> Cow<'static, str> {
            short(v1::$enumeration::try_from(number).ok().map(|value| value.as_str_name()), $prefix, number)
        }
    )+};
}

words! {
    task_state(TaskState, "TASK_STATE_");
    task_operation(TaskOperation, "TASK_OPERATION_");
    subtask_state(SubtaskState, "SUBTASK_STATE_");
    subtask_operation(SubtaskOperation, "SUBTASK_OPERATION_");
    effect(Effect, "EFFECT_");
    risk(Risk, "RISK_");
    verb(TaskVerb, "TASK_VERB_");
    stop_type(StopType, "STOP_TYPE_");
    verdict(Verdict, "VERDICT_");
    service_state(ServiceState, "SERVICE_STATE_");
    process_state(ProcessState, "PROCESS_STATE_");
    transport(HostTransport, "HOST_TRANSPORT_");
    intent_outcome(IntentOutcome, "INTENT_OUTCOME_");
    audit_result(AuditResult, "AUDIT_RESULT_");
    replica_state(ReplicaState, "REPLICA_STATE_");
    server_status(ServerStatus, "SERVER_STATUS_");
    server_inner_status(ServerInnerStatus, "SERVER_INNER_STATUS_");
    zone_status(ZoneStatus, "ZONE_STATUS_");
    zone_inner_status(ZoneInnerStatus, "ZONE_INNER_STATUS_");
    cluster_status(ClusterStatus, "CLUSTER_STATUS_");
}

fn short(name: Option<&'static str>, prefix: &str, number: i32) -> Cow<'static, str> {
    match name {
        Some(name) => Cow::Borrowed(name.strip_prefix(prefix).unwrap_or(name)),
        None => Cow::Owned(format!("UNKNOWN_{number}")),
    }
}

/// What overrode a check, as it was asked for.
pub const fn overridden_by(by: v1::OverriddenBy) -> &'static str {
    match by {
        v1::OverriddenBy::Unspecified => "nothing",
        v1::OverriddenBy::Force => "force",
        v1::OverriddenBy::QuorumLoss => "QUORUM_LOSS",
        v1::OverriddenBy::ClusterUnreachable => "CLUSTER_UNREACHABLE",
        v1::OverriddenBy::ForceAndQuorumLoss => "force and QUORUM_LOSS",
        v1::OverriddenBy::ServiceLoss => "SERVICE_LOSS",
    }
}

/// `quorum-loss`, `QUORUM_LOSS` and `Quorum_Loss` are one word.
fn normal(text: &str) -> String {
    text.trim().to_ascii_uppercase().replace('-', "_")
}

/// Reads a risk; any case, dashes or underscores.
pub fn parse_risk(text: &str) -> Result<v1::Risk, String> {
    match v1::Risk::from_str_name(&format!("RISK_{}", normal(text))) {
        Some(v1::Risk::Unspecified) | None => Err(format!(
            "{text:?} is not a risk, write QUORUM_LOSS or CLUSTER_UNREACHABLE, PERMANENT_OFFLINE for a hold, or SERVICE_LOSS for a \
             whole cluster"
        )),
        Some(risk) => Ok(risk),
    }
}

/// Reads an operation of the audit log; any case, dashes or underscores.
pub fn parse_operation(text: &str) -> Result<Call, String> {
    normal(text).parse::<Call>().ok().filter(|call| call.is_mutation()).ok_or_else(|| {
        let known = Call::ALL.iter().filter(|call| call.is_mutation()).map(|call| call.as_str());
        format!("{text:?} is not an operation that is recorded, write {}", known.collect::<Vec<_>>().join(", "))
    })
}

/// Reads a state of a task; any case.
pub fn parse_task_state(text: &str) -> Result<v1::TaskState, String> {
    match v1::TaskState::from_str_name(&format!("TASK_STATE_{}", normal(text))) {
        Some(v1::TaskState::Unspecified) | None => Err(format!(
            "{text:?} is not a state of a task, write RUNNING, CANCELING, FAILED, CANCELLED, SUCCESSFUL, ROLLED_BACK, \
             REFUSED or GIVEN_UP"
        )),
        Some(state) => Ok(state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_words() {
        assert_eq!(task_state(1), "RUNNING");
        assert_eq!(subtask_operation(5), "ROLLBACK_SKIP");
        assert_eq!(process_state(3), "HOST_UNREACHABLE");
        assert_eq!(task_state(99), "UNKNOWN_99");
    }

    #[test]
    fn risks_in_any_case_with_dashes() {
        assert_eq!(parse_risk("quorum-loss"), Ok(v1::Risk::QuorumLoss));
        assert_eq!(parse_risk("Cluster_Unreachable"), Ok(v1::Risk::ClusterUnreachable));
        assert!(parse_risk("unspecified").unwrap_err().contains("QUORUM_LOSS"));
        assert!(parse_risk("").is_err());
    }

    #[test]
    fn operations_are_those_that_are_recorded() {
        assert_eq!(parse_operation("stop-ob-server"), Ok(Call::StopServer));
        assert!(parse_operation("STOP_SERVER").unwrap_err().contains("STOP_OB_SERVER"));
        assert!(parse_operation("LIST_TASKS").is_err(), "reading is not recorded");
    }

    #[test]
    fn states_in_any_case() {
        assert_eq!(parse_task_state("given-up"), Ok(v1::TaskState::GivenUp));
        assert!(parse_task_state("unspecified").is_err());
        assert!(parse_task_state("done").is_err());
    }
}
