//! A task that has not begun: what it waits for, and its plan, with which somebody else agrees.

use std::sync::Arc;

use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::plan::shown as plan_shown;
use crate::api::console::text::Text;
use crate::api::console::verbs::reason_field;
use crate::api::console::visit::Visit;
use crate::domain::approval::ApprovalEnd;
use crate::domain::call::Call;
use crate::domain::event::{Phase, Verb};
use crate::service::PlanTask;
use crate::store::StoredTask;

/// The plan of a task as it would meet it now, and the form that approves exactly that.
pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let planned = state.console.guarded.call(&visit.caller, PlanTask(visit.path.task("task")?)).await?;
    let task = &planned.task.task;
    let spec = &task.spec;
    let own = visit.caller.principal == spec.creator;
    let may = task.allows(Verb::Approve) && visit.may_on_task(Call::ApproveTask, task, &spec.accepted_risks);
    let body = html! {
        p {
            a href={ "/tasks/" (spec.id) } { (visit.say(Text::Task)) " " (spec.id) } ": "
            (spec.graph.operation.name) ", " (spec.describe_target()) ", " (visit.say(Text::Creator)) " " (spec.creator)
            @if !spec.reason.as_str().is_empty() { ": " (spec.reason.as_str()) }
        }
        @for plan in &planned.plans { (plan_shown(&state, &visit, plan)) }
        p .quiet { (visit.say(Text::PlanDigest)) " " code { (planned.digest) } }
        @if own && task.allows(Verb::Approve) { p .warning { (visit.say(Text::NotYourOwn)) } }
        @if may && !own {
            h2 { (visit.say(Text::Approve)) }
            form .fields method="post" action={ "/tasks/" (spec.id) "/verbs" } {
                (visit.form_field())
                input type="hidden" name="verb" value=(Verb::Approve);
                input type="hidden" name="plan_digest" value=(planned.digest);
                p { (visit.say(Text::ApproveWill)) }
                (reason_field(&visit, "approve"))
                button .main { (visit.say(Text::Approve)) }
            }
        }
    };
    Answer::page(format!("{} {}", visit.say(Text::PlanOf), spec.describe_target()), body)
}

/// What a task waits for, and who agreed; rows of its facts.
pub fn facts(state: &ConsoleState, visit: &Visit, stored: &StoredTask) -> Markup {
    let (task, moments) = (&stored.task, &state.moments);
    let pending = task.state.phase() == Phase::Pending;
    html! {
        @if pending && let Some(latest) = stored.progress.first() {
            dt { (visit.say(Text::WaitsFor)) }
            dd { (latest.message) ", " (visit.say(Text::LookedAtAgain)) " " (moments.show(latest.deadline)) }
        }
        @if let Some(approval) = &task.approval {
            dt { (visit.say(Text::ApprovedBy)) }
            dd { (approval.by) ", " (moments.show(approval.at)) @if pending { ", " (visit.say(Text::AtTheLatest)) " " (moments.show(approval.expire_time)) } }
        }
        @if pending && let Some((by, why)) = &task.approval_end {
            dt { (visit.say(Text::ApprovalOver)) }
            dd {
                (by) ": "
                @match why {
                    ApprovalEnd::Withdrawn => { (visit.say(Text::WasWithdrawn)) },
                    ApprovalEnd::PlanChanged => { (visit.say(Text::PlanHasChanged)) },
                    ApprovalEnd::ApproverNotPermitted => { (visit.say(Text::ApproverMayNot)) },
                    ApprovalEnd::Expired => { (visit.say(Text::ApprovalRanOut)) },
                }
            }
        }
    }
}
