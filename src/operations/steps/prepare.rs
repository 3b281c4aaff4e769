//! Prepare, of an operation that stops nothing: proves the cluster, asks whether the server is in a state that admits the
//! operation, and records what was.
//!
//! Repeating it is safe: it only reads; statuses are written with its success.

use std::time::Duration;

use async_trait::async_trait;

use super::prepare_stop::{begun, process_before, recorded, times_before};
use crate::domain::admission::Admission;
use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind};
use crate::domain::host::Finding;
use crate::engine::{Observation, Step, StepContext};
use crate::operations::admission::admit_observed;
use crate::operations::assess::process_finding;
use crate::operations::definition::Definition;
use crate::operations::{Deps, step_io};

pub struct Prepare(pub Deps);

#[async_trait]
impl Step for Prepare {
    async fn look(&self, context: &StepContext) -> Observation {
        let deps = &self.0;
        let Some(operation) = Definition::of_task(&context.task) else {
            let message = "the steps of this task are not those of its operation in this version; ask for it anew";
            return step_io::refuse(Failure::new(FailureKind::Internal, "OPERATION_CHANGED", message));
        };
        let target = match step_io::target(deps, context).await {
            Ok(target) => target,
            Err(failure) => return step_io::not_begun(failure),
        };
        let addr = target.server.addr;
        let read = async { step_io::reader(deps, &target).await?.server(&addr).await };
        let (row, found) = tokio::join!(step_io::bounded(deps, context, read), step_io::find(deps, &target));
        let row = match row {
            Ok(Some(row)) => row,
            Ok(None) => return step_io::server_gone(&target),
            Err(error) => return step_io::unread(&error),
        };
        match admit_observed(&row, process_finding(&found), operation) {
            Admission::Admit => {}
            Admission::Refuse { service, process, expected } => {
                let doubt = match &found.finding {
                    Finding::HostUnreachable { reason: words } | Finding::Ambiguous { evidence: words } => {
                        format!(" ({words})")
                    }
                    Finding::Running(_) | Finding::Absent { .. } => String::new(),
                };
                let needs = format!("where a {} needs {expected}{doubt}", operation.noun());
                let message = format!("{addr}: service {service}, process {process}, {needs}");
                let failure = Failure::new(FailureKind::Refused, "SERVER_STATE", message);
                let failure = failure.with("address", addr).with("service", service).with("process", process);
                return step_io::refuse(failure.with("expected", expected));
            }
        }
        let mut facts = recorded(&target);
        facts.push(process_before(&target, &found, context));
        facts.extend(times_before(&target, &row));
        let output = StepOutput { facts, ..StepOutput::default() };
        let spec = &context.task.spec;
        Observation::Reached { already_so: false, output, writes: begun(operation, spec, target.server.id) }
    }

    /// The former statuses are written when the task ends.
    async fn undo_look(&self, context: &StepContext) -> Observation {
        step_io::synced(&self.0, context).await
    }

    fn read_failure_timeout(&self) -> Duration {
        Duration::from_secs(10)
    }
}
