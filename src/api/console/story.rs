//! What happened to a task, event by event, the newest first: read from its watch, which everybody who may see the task has.

use futures::StreamExt;
use maud::{Markup, html};
use prost::Message;

use crate::api::console::ConsoleState;
use crate::api::console::answer::Problem;
use crate::api::console::text::Text;
use crate::api::console::visit::Visit;
use crate::clock::Timestamp;
use crate::domain::ids::{Revision, SubtaskId};
use crate::domain::task::Task;
use crate::proto::v1;
use crate::proto::v1::task_event::Kind;
use crate::proto::v1::watch_task_response::Kind as Carried;
use crate::watch::{Until, WatchTask, watch_task};

/// Most events that are told: the last ones.
const LIMIT: i64 = 200;

/// The events up to the revision that the task was read at.
pub async fn story(state: &ConsoleState, visit: &Visit, task: &Task) -> Result<Markup, Problem> {
    let head = task.revision.get();
    let after = Some(Revision::new((head - LIMIT).max(0)));
    let watch = WatchTask { task: task.spec.id, after, until: Until::Closed, progress: false };
    let authorizer = state.console.guarded.call(&visit.caller, watch.clone()).await?;
    let messages = watch_task(&state.console.hub, watch, authorizer).await?;
    futures::pin_mut!(messages);
    let mut events = Vec::new();
    // Everything up to the head is in the log: the watch has it at once, and is left before it would wait.
    while events.last().is_none_or(|event: &v1::TaskEvent| event.revision < head) {
        let Some(message) = messages.next().await else { break };
        match v1::WatchTaskResponse::decode(message?.bytes().clone()).map(|response| response.kind) {
            Ok(Some(Carried::Event(event))) => events.push(event),
            Ok(Some(Carried::Snapshot(_) | Carried::Progress(_) | Carried::Bookmark(_)) | None) | Err(_) => {}
        }
    }
    Ok(html! {
        @if head > LIMIT { p .quiet { (visit.say(Text::Omitted)) " " (head - LIMIT) } }
        div .wide tabindex="0" role="region" aria-label=(visit.say(Text::Story)) {
            table .story {
                tbody { @for event in events.iter().rev() { (line(state, visit, task, event)) } }
            }
        }
    })
}

fn line(state: &ConsoleState, visit: &Visit, task: &Task, event: &v1::TaskEvent) -> Markup {
    html! {
        tr {
            td { (event.revision) }
            td { @if let Some(at) = event.event_time { (state.moments.show(moment(at))) } }
            td { @if let Some(kind) = &event.kind { (what(visit, task, kind)) } }
        }
    }
}

fn moment(at: prost_types::Timestamp) -> Timestamp {
    Timestamp::from_micros(at.seconds.saturating_mul(1_000_000).saturating_add(i64::from(at.nanos) / 1000))
}

fn what(visit: &Visit, task: &Task, kind: &Kind) -> Markup {
    let step = |id: i64| {
        let subtask = SubtaskId::new(id).ok().and_then(|id| task.subtask(id).ok());
        subtask.map_or_else(|| id.to_string(), |subtask| subtask.spec.name.clone())
    };
    html! {
        @match kind {
            Kind::Created(_) => { (visit.say(Text::WasAccepted)) " (" (task.spec.creator) ")" },
            Kind::TaskTransition(moved) => {
                b { (visit.say(Text::Task)) ": " (task_state(moved.from)) " → " (task_state(moved.to)) }
                @if let Some(error) = &moved.error { ": " (error.message) }
            },
            Kind::SubtaskTransition(moved) => {
                (moved.name) ": " (subtask_state(moved.from)) " → " (subtask_state(moved.to))
                @if moved.run_time > 1 { " ×" (moved.run_time) }
                @if let Some(error) = &moved.error { ": " (error.message) }
            },
            Kind::IntentRecorded(tried) => {
                (step(tried.subtask_id)) ": " (visit.say(Text::Tries)) " " (tried.intent) ": " code { (tried.description) } " @ " (tried.endpoint)
            },
            Kind::IntentSettled(settled) => {
                (step(settled.subtask_id)) ": " (visit.say(Text::Tried)) " " (settled.intent) ": " (outcome(settled.outcome)) " " (settled.message)
            },
            Kind::ContextRecorded(learned) => {
                (step(learned.subtask_id)) ": " (visit.say(Text::Learned))
                @for (fact, value) in &learned.context { " " code { (fact) "=" (value) } }
            },
            Kind::Override(check) => {
                (visit.say(Text::Overridden)) ": " code { (check.check) } " " (check.evidence) " (" (check.principal) ")"
            },
            Kind::Adopted(adopted) => { (visit.say(Text::TakenOver)) " " (adopted.executor) },
            Kind::VerbRequested(asked) => {
                b { (asked.principal) " " (visit.say(Text::Asked)) " " (verb(asked.verb)) }
                @if let Some(subtask) = asked.subtask_id { " " (step(subtask)) }
                @if !asked.reason.is_empty() { ": " (asked.reason) }
            },
            Kind::Approved(approved) => {
                @if let Some(approval) = &approved.approval { b { (approval.principal) " " (visit.say(Text::HasApproved)) } }
                @if !approved.reason.is_empty() { ": " (approved.reason) }
            },
            Kind::ApprovalEnded(ended) => {
                b { (visit.say(Text::ApprovalOver)) ": " (approval_end(ended.why)) } " (" (ended.principal) ")"
                @if !ended.reason.is_empty() { ": " (ended.reason) }
            },
            Kind::Warning(warning) => { (visit.say(Text::Warning)) ": " (warning.text) " " code { (warning.code) } },
        }
    }
}

macro_rules! words {
    ($($function:ident($enumeration:ident, $prefix:literal);)+) => {$(
        fn $function(number: i32) -> &'static str {
            let name = v1::$enumeration::try_from(number).unwrap_or_default().as_str_name();
            name.strip_prefix($prefix).unwrap_or(name)
        }
    )+};
}

words! {
    task_state(TaskState, "TASK_STATE_");
    subtask_state(SubtaskState, "SUBTASK_STATE_");
    outcome(IntentOutcome, "INTENT_OUTCOME_");
    verb(TaskVerb, "TASK_VERB_");
    approval_end(ApprovalEndReason, "APPROVAL_END_REASON_");
}
