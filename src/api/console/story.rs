//! What happened to a task, event by event, the newest first: read from its watch, which everybody who may see the task has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use maud::{Markup, PreEscaped, html};
use prost::Message;

use crate::api::console::ConsoleState;
use crate::api::console::answer::Problem;
use crate::api::console::text::{self, Text};
use crate::api::console::visit::Visit;
use crate::api::rest::Language;
use crate::clock::Timestamp;
use crate::domain::call::Call;
use crate::domain::ids::{Revision, SubtaskId, TaskId};
use crate::domain::task::Task;
use crate::proto::v1;
use crate::proto::v1::task_event::Kind;
use crate::proto::v1::watch_task_response::Kind as Carried;
use crate::watch::{Until, WatchTask, watch_task};

/// Most events that are told: the last ones.
const LIMIT: i64 = 200;

/// Stories that are kept: of tasks that several look at. One has up to 100 KB.
const KEPT: usize = 64;

/// The last story of a task in each language, as it was told at a revision: whoever looks at the same task is told the same.
#[derive(Default)]
pub struct Stories(Mutex<HashMap<(TaskId, Language), Told>>);

struct Told {
    at: Revision,
    story: Arc<str>,
}

impl Stories {
    fn told(&self, task: &Task, language: Language) -> Option<Markup> {
        let stories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Told { at, story } = stories.get(&(task.spec.id, language))?;
        (*at == task.revision).then(|| PreEscaped(story.to_string()))
    }

    fn keep(&self, task: &Task, language: Language, story: &Markup) {
        let (mut stories, key) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), (task.spec.id, language));
        // Any of them: it is told again from the log.
        if stories.len() >= KEPT
            && !stories.contains_key(&key)
            && let Some(any) = stories.keys().next().copied()
        {
            stories.remove(&any);
        }
        stories.insert(key, Told { at: task.revision, story: story.0.as_str().into() });
    }
}

/// The events up to the revision that the task was read at.
pub async fn story(state: &ConsoleState, visit: &Visit, task: &Task) -> Result<Markup, Problem> {
    // Who may not watch it is refused below.
    if visit.may_on_task(Call::WatchTask, task, &[])
        && let Some(told) = state.stories.told(task, visit.language)
    {
        return Ok(told);
    }
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
    let story = html! {
        @if head > LIMIT { p .quiet { (visit.say(Text::Omitted)) " " (head - LIMIT) } }
        div .wide tabindex="0" role="region" aria-label=(visit.say(Text::Story)) {
            table .story {
                tbody { @for event in events.iter().rev() { (line(state, visit, task, event)) } }
            }
        }
    };
    state.stories.keep(task, visit.language, &story);
    Ok(story)
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
    // In the words of the badges; what is not known here is said as it came.
    let of_task = |number: i32| {
        let word = task_state(number);
        word.parse().map_or(word, |state| text::task_state(visit.language, state))
    };
    let of_step = |number: i32| {
        let word = subtask_state(number);
        word.parse().map_or(word, |state| text::subtask_state(visit.language, state))
    };
    html! {
        @match kind {
            Kind::Created(_) => { (visit.say(Text::WasAccepted)) " (" (task.spec.creator) ")" },
            Kind::TaskTransition(moved) => {
                b { (visit.say(Text::Task)) ": " (of_task(moved.from)) " → " (of_task(moved.to)) }
                @if let Some(error) = &moved.error { ": " (error.message) }
            },
            Kind::SubtaskTransition(moved) => {
                (moved.name) ": " (of_step(moved.from)) " → " (of_step(moved.to))
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
