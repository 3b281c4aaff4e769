//! What can be asked of a task: a form for each verb that it allows now and the caller may ask, which says what it will do.

use std::sync::Arc;

use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::text::Text;
use crate::api::console::visit::Visit;
use crate::domain::approval::PlanDigest;
use crate::domain::call::Call;
use crate::domain::event::{Phase, Verb};
use crate::domain::ids::Revision;
use crate::domain::reason::{LONGEST_REASON, Reason};
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;
use crate::domain::task::{Subtask, Task};
use crate::service::{
    ApproveTask, Caller, CancelTask, CompleteHold, FamilyCall, GiveUpTask, PauseRollout, ResumeRollout, RetryTask,
    RollbackTask, SkipSubtask, TaskRequest, WithdrawApproval,
};

/// The form of a verb; nothing when the caller may not ask it.
pub fn form(visit: &Visit, task: &Task, verb: Verb, subtask: Option<&Subtask>) -> Markup {
    let (call, risks) = call(verb, task);
    if !visit.may_on_task(call, task, risks) {
        return html! {};
    }
    let (name, effect) = words(verb, task.state.phase());
    let id = match subtask {
        Some(subtask) => format!("verb-{verb}-{}", subtask.spec.id),
        None => format!("verb-{verb}"),
    };
    html! {
        details .verb id=(id) {
            summary { (visit.say(name)) }
            form method="post" action={ "/tasks/" (task.spec.id) "/verbs" } {
                (visit.form_field())
                input type="hidden" name="verb" value=(verb);
                @if let Some(subtask) = subtask { input type="hidden" name="subtask" value=(subtask.spec.id); }
                // What was looked at is what is asked about; of a task that moves, everything may have moved on.
                @if task.state.phase() == Phase::AtRest { input type="hidden" name="revision" value=(task.revision); }
                p { (visit.say(effect)) }
                @if !risks.is_empty() { p .warning { (visit.say(Text::AcceptsAgain)) ": " (Risk::names(risks)) } }
                (reason_field(visit, &id))
                button .main { (visit.say(name)) }
            }
        }
    }
}

/// Why it is asked for, in the caller's own words.
pub fn reason_field(visit: &Visit, form: &str) -> Markup {
    html! {
        label for={ "reason-" (form) } { (visit.say(Text::Reason)) }
        input id={ "reason-" (form) } name="reason" maxlength=(LONGEST_REASON) autocomplete="off";
    }
}

/// The caller with the reason of the form.
pub fn with_reason(visit: &Visit) -> Result<Caller, Refusal> {
    let given = visit.form.get("reason").unwrap_or_default();
    let reason: Reason = given.parse().map_err(|wrong| Refusal::field("reason", format!("{wrong}")))?;
    Ok(Caller { reason, ..visit.caller.clone() })
}

/// Asks it.
pub async fn ask(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let task = visit.path.task("task")?;
    let wanted = "a verb of a task";
    let verb = visit.form.parsed::<Verb>("verb", wanted)?.ok_or_else(|| Refusal::field("verb", "is missing"))?;
    let if_revision = visit.form.parsed::<i64>("revision", "a revision")?.map(Revision::new);
    let expire_time = None;
    match verb {
        Verb::Retry => made(&state, &visit, RetryTask { task, if_revision, expire_time }).await?,
        Verb::Rollback => made(&state, &visit, RollbackTask { task, if_revision, expire_time }).await?,
        Verb::SkipSubtask => {
            let subtask = visit.form.subtask("subtask")?;
            made(&state, &visit, SkipSubtask { task, subtask, if_revision }).await?;
        }
        Verb::Cancel => made(&state, &visit, CancelTask { task, if_revision }).await?,
        Verb::GiveUp => made(&state, &visit, GiveUpTask { task, if_revision }).await?,
        Verb::CompleteHold => made(&state, &visit, CompleteHold { task, if_revision }).await?,
        Verb::Pause => made(&state, &visit, PauseRollout { task, if_revision }).await?,
        Verb::Resume => made(&state, &visit, ResumeRollout { task, if_revision }).await?,
        Verb::Approve => {
            let plan = visit.form.get("plan_digest").filter(|digest| !digest.is_empty());
            let plan = plan.ok_or_else(|| Refusal::field("plan_digest", "is missing; look at the plan of the task"))?;
            made(&state, &visit, ApproveTask { task, plan: PlanDigest::new(plan), if_revision }).await?;
        }
        Verb::WithdrawApproval => made(&state, &visit, WithdrawApproval { task, if_revision }).await?,
    }
    Ok(Answer::SeeOther(format!("/tasks/{task}")))
}

async fn made<C: FamilyCall<Family = TaskRequest>>(
    state: &ConsoleState,
    visit: &Visit,
    call: C,
) -> Result<(), Problem> {
    state.console.guarded.call(&with_reason(visit)?, call).await?;
    Ok(())
}

/// What it needs, and which risks it accepts anew.
fn call(verb: Verb, task: &Task) -> (Call, &[Risk]) {
    let risks = task.spec.accepted_risks.as_slice();
    match verb {
        Verb::Retry => (Call::RetryTask, risks),
        Verb::SkipSubtask => (Call::SkipSubtask, risks),
        Verb::Resume => (Call::ResumeRollout, risks),
        Verb::Rollback => (Call::RollbackTask, &[]),
        Verb::Cancel => (Call::CancelTask, &[]),
        Verb::GiveUp => (Call::GiveUpTask, &[]),
        Verb::CompleteHold => (Call::CompleteHold, &[]),
        Verb::Pause => (Call::PauseRollout, &[]),
        // An approval answers for the risks as the request does.
        Verb::Approve => (Call::ApproveTask, risks),
        Verb::WithdrawApproval => (Call::WithdrawApproval, &[]),
    }
}

/// What it is called, and what it will do.
const fn words(verb: Verb, phase: Phase) -> (Text, Text) {
    match verb {
        Verb::Retry => (Text::Retry, Text::RetryWill),
        Verb::Rollback => (Text::Rollback, Text::RollbackWill),
        Verb::SkipSubtask => (Text::Skip, Text::SkipWill),
        Verb::Cancel if matches!(phase, Phase::Pending) => (Text::Cancel, Text::CancelPendingWill),
        Verb::Cancel => (Text::Cancel, Text::CancelWill),
        Verb::GiveUp => (Text::GiveUp, Text::GiveUpWill),
        Verb::CompleteHold => (Text::CompleteHold, Text::CompleteHoldWill),
        Verb::Pause => (Text::Pause, Text::PauseWill),
        Verb::Resume => (Text::Resume, Text::ResumeWill),
        Verb::Approve => (Text::Approve, Text::ApproveWill),
        Verb::WithdrawApproval => (Text::WithdrawApproval, Text::WithdrawApprovalWill),
    }
}
