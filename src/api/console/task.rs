//! A task: what it is, its graph, what its nodes do and wait for, what happened, and what can be asked of it now.

use std::sync::Arc;

use futures::FutureExt;
use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::approval;
use crate::api::console::graph_svg::drawn;
use crate::api::console::live::{self, Region};
use crate::api::console::moments::duration;
use crate::api::console::story::story;
use crate::api::console::subtasks;
use crate::api::console::text::{self, Text};
use crate::api::console::verbs;
use crate::api::console::visit::Visit;
use crate::domain::event::{Phase, Verb};
use crate::domain::status::Risk;
use crate::domain::task::Task;
use crate::service::GetTask;
use crate::store::StoredTask;
use crate::watch::{Until, WatchTask, watch_task};

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let id = visit.path.task("task")?;
    let stored = state.console.guarded.call(&visit.caller, GetTask(id)).await?;
    let open = stored.task.state.phase() != Phase::Closed;
    let region = shown(&state, &visit, &stored).await?;
    let live =
        open.then(|| format!("{}&seen={}", live::source(&visit, &format!("/tasks/{id}/live")), stored.task.revision));
    let body = html! { div #live data-live=[live] { (region.markup) } };
    Answer::page(format!("{} {id}", visit.say(Text::Task)), body)
}

/// Changes with every event of the task, and with the progress of its subtasks.
pub async fn live(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let watch = WatchTask { task: visit.path.task("task")?, after: None, until: Until::Closed, progress: true };
    let authorizer = state.console.guarded.call(&visit.caller, watch.clone()).await?;
    let messages = watch_task(&state.console.hub, watch, authorizer).await?;
    live::stream(state, visit, messages, |state, visit| region(state, visit).boxed())
}

async fn region(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Region, Problem> {
    let stored = state.console.guarded.call(&visit.caller, GetTask(visit.path.task("task")?)).await?;
    shown(&state, &visit, &stored).await
}

async fn shown(state: &ConsoleState, visit: &Visit, stored: &StoredTask) -> Result<Region, Problem> {
    let (task, now) = (&stored.task, state.console.clock.now());
    let story = story(state, visit, task).await?;
    let markup = html! {
        (head(state, visit, stored))
        (troubles(visit, task))
        (asked(visit, task))
        div .flow {
            section { h2 { (visit.say(Text::Graph)) } (drawn(task, visit.language, now)) }
            section { h2 { (visit.say(Text::Steps)) } (subtasks::list(state, visit, stored)) }
        }
        h2 { (visit.say(Text::Story)) }
        (story)
    };
    Ok(Region { markup, revision: Some(task.revision.get()) })
}

fn head(state: &ConsoleState, visit: &Visit, stored: &StoredTask) -> Markup {
    let task = &stored.task;
    let (spec, moments) = (&task.spec, &state.moments);
    let end = task.finish_time.unwrap_or_else(|| state.console.clock.now());
    html! {
        dl .facts {
            dt { (visit.say(Text::State)) }
            dd aria-live="polite" { (text::badge(task.state.as_str(), text::task_state(visit.language, task.state))) }
            dt { (visit.say(Text::Operation)) } dd { (spec.graph.operation.name) }
            dt { (visit.say(Text::Target)) } dd { (spec.describe_target()) }
            dt { (visit.say(Text::Cluster)) } dd { a href={ "/clusters/" (spec.cluster.id) } { (spec.cluster.name) } }
            dt { (visit.say(Text::Creator)) } dd { (spec.creator) }
            @if !spec.reason.as_str().is_empty() { dt { (visit.say(Text::Reason)) } dd { (spec.reason.as_str()) } }
            dt { (visit.say(Text::Created)) } dd { (moments.show(task.create_time)) }
            dt { (visit.say(Text::Took)) } dd { (duration(end.since(task.create_time))) }
            @if let Some(at) = task.finish_time { dt { (visit.say(Text::Ended)) } dd { (moments.show(at)) } }
            @if task.state.phase() != Phase::Closed {
                dt { (visit.say(Text::ConsentUntil)) } dd { (moments.show(task.expire_time)) }
            }
            (approval::facts(state, visit, stored))
            @if let Some(trace) = spec.trace { dt { (visit.say(Text::Trace)) } dd { code { (trace.trace_id()) } } }
            @if spec.force { dt { (visit.say(Text::Force)) } dd { (visit.say(Text::Yes)) } }
            @if !spec.accepted_risks.is_empty() {
                dt { (visit.say(Text::AcceptedRisks)) } dd { (Risk::names(&spec.accepted_risks)) }
            }
            @for (subtask, until) in task.held() {
                dt { (visit.say(Text::HeldUntil)) }
                dd {
                    (moments.show(until))
                    @if let Some(at) = task.permanent_offline_at(subtask) {
                        ", " (visit.say(Text::GivenUpAt)) " " (moments.show(at))
                    }
                }
            }
        }
    }
}

fn troubles(visit: &Visit, task: &Task) -> Markup {
    html! {
        @if let Some(error) = &task.error {
            p .problem role="alert" { (error.message) " " code { (error.reason) } }
        }
        @for warning in &task.warnings { p .warning { (visit.say(Text::Warning)) ": " (warning.text) " " code { (warning.code) } } }
        @for check in &task.overrides {
            p .warning {
                (visit.say(Text::Overridden)) ": " code { (check.check) } " " (check.evidence) " ("
                (check.overridden_by) ", " (check.principal) ")"
            }
        }
    }
}

/// What can be asked of the whole task now, by this caller.
fn asked(visit: &Visit, task: &Task) -> Markup {
    // A skip is of one subtask, and stands there; an approval is of a plan, and stands under it.
    let verbs = task.allowed_verbs().into_iter().filter(|verb| !matches!(verb, Verb::SkipSubtask | Verb::Approve));
    html! {
        @if task.state.phase() == Phase::Pending {
            p { a href={ "/tasks/" (task.spec.id) "/plan" } { (visit.say(Text::ItsPlan)) } }
        }
        div .verbs { @for verb in verbs { (verbs::form(visit, task, verb, None)) } }
    }
}
