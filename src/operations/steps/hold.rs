//! Hold observer: the server is out of service for somebody who works on its host. It is brought back when that is completed,
//! or by itself when the hold is over (`domain::hold`), as soon as its host answers.
//!
//! Repeating it is safe: it only looks. There is nothing to undo.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::decide::StepOutput;
use crate::domain::hold::HoldState;
use crate::domain::host::Finding;
use crate::engine::{Observation, ProgressReport, Step, StepContext};
use crate::operations::{Deps, step_io};

/// Between looks at the host of a server that is held.
const LOOK: Duration = Duration::from_secs(5);

pub struct HoldObserver(pub Deps);

#[async_trait]
impl Step for HoldObserver {
    async fn look(&self, context: &StepContext) -> Observation {
        let deps = &self.0;
        let target = match step_io::target(deps, context).await {
            Ok(target) => target,
            Err(failure) => return step_io::not_begun(failure),
        };
        let addr = target.server.addr;
        let (since, until) = match context.this().and_then(|this| context.task.hold_state(this)) {
            Some(HoldState::Held { since, until }) => (since, until),
            Some(HoldState::Completed(completion)) => {
                context.log(format!("{} completed the hold of {addr}", completion.by));
                return reached(None);
            }
            Some(HoldState::Ahead | HoldState::Over) | None => {
                return step_io::refuse(step_io::misplaced(context));
            }
        };
        let now = deps.clock.now();
        let found = step_io::find(deps, &target).await;
        let host = match found.finding {
            Finding::Running(identity) => {
                let message = format!("{addr} was held until {until}, and somebody started {identity} before");
                return reached(Some(("HOLD_ENDED_BY_OTHER", message)));
            }
            Finding::HostUnreachable { reason } => Some(reason),
            Finding::Absent { .. } | Finding::Ambiguous { .. } => None,
        };
        let message = match host {
            None if now >= until => {
                let message =
                    format!("nobody completed the hold of {addr} until {until}: it is brought back by itself");
                return reached(Some(("HOLD_NOT_COMPLETED", message)));
            }
            Some(reason) if now >= until => format!(
                "the hold of {addr} is over since {until} and nobody completed it; it is started once its host answers ({reason})"
            ),
            Some(reason) => format!("held since {since} until {until}; its host does not answer ({reason})"),
            None => format!("held since {since} until {until}; complete it when the work is done"),
        };
        let again_in = if now < until { until.since(now).min(LOOK) } else { LOOK };
        Observation::Wait { progress: ProgressReport::uncounted(message), again_in }
    }
}

fn reached(warning: Option<(&str, String)>) -> Observation {
    let warnings = warning.map(|(code, message)| (code.to_owned(), message)).into_iter().collect();
    let output = StepOutput { warnings, ..StepOutput::default() };
    Observation::Reached { already_so: false, output, writes: Vec::new() }
}
