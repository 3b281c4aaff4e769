//! Prepare start observer: proves the cluster, asks whether the server is one that can be started, and records what was.
//!
//! Repeating it is safe: it only reads; statuses are written with its success.

use std::time::Duration;

use async_trait::async_trait;

use super::prepare_stop::{process_before, recorded, times_before};
use crate::domain::admission::{Admission, Request};
use crate::domain::decide::StepOutput;
use crate::domain::event::{Failure, FailureKind};
use crate::domain::host::Finding;
use crate::domain::status::{ClusterStatus, ServerStatus};
use crate::engine::{Observation, Step, StepContext};
use crate::operations::admission::admit_observed;
use crate::operations::assess::process_finding;
use crate::operations::{Deps, step_io};
use crate::store::Write;

pub struct PrepareStart(pub Deps);

#[async_trait]
impl Step for PrepareStart {
    async fn look(&self, context: &StepContext) -> Observation {
        let deps = &self.0;
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
        match admit_observed(&row, process_finding(&found), Request::Start) {
            Admission::Admit => {}
            Admission::Refuse { service, process, expected } => {
                let doubt = match &found.finding {
                    Finding::HostUnreachable { reason: words } | Finding::Ambiguous { evidence: words } => {
                        format!(" ({words})")
                    }
                    Finding::Running(_) | Finding::Absent { .. } => String::new(),
                };
                let message =
                    format!("{addr}: service {service}, process {process}, where a start needs {expected}{doubt}");
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
        let writes = vec![
            Write::ServerStatus { server: spec.server().id, status: Some(ServerStatus::Starting) },
            Write::ClusterStatus { cluster: spec.cluster.id, status: Some(ClusterStatus::Operating) },
        ];
        Observation::Reached { already_so: false, output, writes }
    }

    /// The former statuses are written when the task ends.
    async fn undo_look(&self, context: &StepContext) -> Observation {
        step_io::synced(&self.0, context).await
    }

    fn read_failure_timeout(&self) -> Duration {
        Duration::from_secs(10)
    }
}
