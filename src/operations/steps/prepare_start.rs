//! Prepare start observer: proves the cluster, asks whether the server is one that can be started, and records what was.
//!
//! Repeating it is safe: it only reads; statuses are written with its success.

use std::time::Duration;

use async_trait::async_trait;

use super::prepare_stop::{process_before, recorded, times_before};
use crate::domain::admission::{Admission, Request, admit_observed};
use crate::domain::event::{Failure, FailureKind};
use crate::domain::host::Finding;
use crate::domain::status::{ClusterStatus, ServerStatus};
use crate::engine::{Look, Step, StepContext};
use crate::operations::assess::process_finding;
use crate::operations::{Deps, ways};
use crate::store::Write;

pub struct PrepareStart(pub Deps);

#[async_trait]
impl Step for PrepareStart {
    async fn look(&self, context: &StepContext) -> Look {
        let deps = &self.0;
        let target = match ways::target(deps, context).await {
            Ok(target) => target,
            Err(failure) => return ways::not_begun(failure),
        };
        let addr = target.server.addr;
        let read = async { ways::reader(deps, &target).await?.server(&addr).await };
        let (row, found) = tokio::join!(ways::bounded(deps, context, read), ways::find(deps, &target));
        let row = match row {
            Ok(Some(row)) => row,
            Ok(None) => return ways::server_gone(&target),
            Err(error) => return ways::unread(&error),
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
                return ways::refuse(failure.with("expected", expected));
            }
        }
        let mut learned = recorded(&target, context);
        learned.strings.push(process_before(&found, context));
        learned.strings.extend(times_before(&row));
        let spec = &context.task.spec;
        let writes = vec![
            Write::ServerStatus { server: spec.server().id, status: Some(ServerStatus::Starting) },
            Write::ClusterStatus { cluster: spec.cluster.id, status: Some(ClusterStatus::Operating) },
        ];
        Look::Reached { already_so: false, learned, writes }
    }

    /// The statuses of before are written with the end of the task.
    async fn undo_look(&self, context: &StepContext) -> Look {
        ways::synced(&self.0, context).await
    }

    fn read_patience(&self) -> Duration {
        Duration::from_secs(10)
    }
}
