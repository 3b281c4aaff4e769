//! Wait observer stop: one look, at least `lease_time` after the end of the process, that finds the process gone, its ports
//! closed and STATUS INACTIVE together (STATUS follows the process only after the lease,
//! docs/oceanbase.md#status-follows-the-lease).
//!
//! Repeating it is safe: it only looks. A new process of the same home is somebody else's: it is not ended again.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind, OverriddenCheck};
use crate::domain::facts::{ClusterFact, ClusterState, Fact, ProcessState};
use crate::domain::host::{Finding, ProcessReport};
use crate::domain::precheck::CheckName;
use crate::domain::status::{InnerStatus, OverriddenBy};
use crate::engine::{Observation, Step, StepContext};
use crate::inventory::Target;
use crate::oceanbase::ClusterError;
use crate::operations::definition::StepKind;
use crate::operations::{Deps, leaves_unknown, step_io};

pub struct WaitObserverStop(pub Deps);

#[async_trait]
impl Step for WaitObserverStop {
    async fn look(&self, context: &StepContext) -> Observation {
        let deps = &self.0;
        let target = match step_io::target(deps, context).await {
            Ok(target) => target,
            Err(failure) => return step_io::not_begun(failure),
        };
        let lease = target.cluster.lease_time();
        let since_end = step_io::since_own_effect(deps, context, StepKind::StopProcess);
        let read = async { step_io::gate_reader(deps, &target).await?.server(&target.server.addr).await };
        let (found, read) = tokio::join!(step_io::find(deps, &target), step_io::bounded(deps, context, read));
        let host_known = match self.process(context, &target, &found) {
            Ok(waits_for) => waits_for,
            Err(failure) => return step_io::refuse(failure),
        };
        let status = match read {
            Ok(Some(row)) => row.status,
            Ok(None) => return step_io::server_gone(&target),
            Err(error)
                if host_known.is_none()
                    && (step_io::goes_on_unread(context, &error) || self.majority_is_gone(context, lease, &error)) =>
            {
                let message = format!("STATUS was not seen, the cluster does not answer: {}", error.message);
                let output = StepOutput {
                    facts: vec![Fact::Cluster(ClusterFact::State(ClusterState::Unknown))],
                    warnings: vec![("CLUSTER_STATE_UNKNOWN".to_owned(), message)],
                    ..StepOutput::default()
                };
                return Observation::Reached { already_so: false, output, writes: Vec::new() };
            }
            Err(error) => return step_io::unread(&error),
        };
        // What is waited for, and what is said of the server until then.
        let mut waits_for: Vec<(String, String)> = host_known.into_iter().collect();
        if status != InnerStatus::Inactive {
            waits_for.push((format!("STATUS INACTIVE (it is {status})"), format!("has STATUS {status}")));
        }
        let left = since_end.and_then(|since| lease.checked_sub(since)).filter(|left| !left.is_zero());
        if let Some(left) = left {
            let end = format!("the end of lease_time ({:.1} s left)", left.as_secs_f64());
            waits_for.push((end, "is within lease_time of the end of its process".to_owned()));
        }
        if waits_for.is_empty() {
            context.log(format!("{}; STATUS {status}", found.evidence));
            return Observation::Reached { already_so: false, output: StepOutput::default(), writes: Vec::new() };
        }
        // Its end is known, and the server is INACTIVE about then.
        let again_in = left.map_or(deps.timeouts.poll, |left| deps.timeouts.poll.min(left));
        Observation::Wait { progress: step_io::waits_for(&target, waits_for), again_in }
    }
}

impl WaitObserverStop {
    /// Whether the cluster does not answer because this stop took its majority, as its caller accepted: then no STATUS will
    /// ever be seen. An election is waited for first.
    fn majority_is_gone(&self, context: &StepContext, lease: Duration, error: &ClusterError) -> bool {
        let taken = |entry: &OverriddenCheck| {
            entry.overridden_by == OverriddenBy::QuorumLoss && entry.check == CheckName::MemberMajority.as_str()
        };
        let waited = context.waited();
        leaves_unknown(error.class)
            && context.task.overrides.iter().any(taken)
            && waited >= lease.saturating_add(self.0.timeouts.reading)
    }

    /// What is still waited for on the host, or why the step fails.
    pub(super) fn process(
        &self,
        context: &StepContext,
        target: &Target,
        found: &ProcessReport,
    ) -> Result<Option<(String, String)>, Failure> {
        match &found.finding {
            Finding::Absent { .. } => {
                let open: Vec<&str> = [(found.rpc_port_open, "RPC"), (found.sql_port_open, "SQL")]
                    .into_iter()
                    .filter_map(|(open, port)| open.then_some(port))
                    .collect();
                let open = open.join(" and ");
                let waits_for = || (format!("the {open} port to close"), format!("has its {open} port open"));
                Ok((!open.is_empty()).then(waits_for))
            }
            Finding::Running(identity) => {
                let message = format!(
                    "{identity} of {} runs again: somebody started it; it is not ended a second time, ask, then retry",
                    target.server.addr
                );
                Err(Failure::new(FailureKind::Interfered, "RESTARTED_BY_OTHER", message))
            }
            Finding::Ambiguous { evidence } => Ok(Some(step_io::unclear(evidence))),
            // The process step ended without an answer of the host: then there is none to wait for here either.
            Finding::HostUnreachable { reason } => match context.server_facts().process_state {
                Some(ProcessState::Unknown) => Ok(None),
                Some(ProcessState::Absent) | None => Ok(Some(step_io::silent(reason))),
            },
        }
    }
}
