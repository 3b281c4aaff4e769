//! The nodes of a task, one after the other: state, attempt, time, how far it is or what it waits for and since when, why it
//! failed, and what can be asked of it.

use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::graph_svg::elapsed;
use crate::api::console::moments::duration;
use crate::api::console::text::{self, Text};
use crate::api::console::verbs;
use crate::api::console::visit::Visit;
use crate::domain::call::Call;
use crate::domain::event::{Effect, SubtaskOperation, Verb};
use crate::domain::graph::TaskTarget;
use crate::domain::task::{Subtask, Task};
use crate::store::{Progress, StoredTask};

/// In the order in which they are run.
pub fn list(state: &ConsoleState, visit: &Visit, stored: &StoredTask) -> Markup {
    let task = &stored.task;
    html! {
        ol .steps {
            @for subtask in task.in_execution_order() {
                @let progress = stored.progress.iter().find(|progress| progress.subtask == subtask.spec.id);
                (item(state, visit, task, subtask, progress))
            }
        }
    }
}

fn item(state: &ConsoleState, visit: &Visit, task: &Task, subtask: &Subtask, progress: Option<&Progress>) -> Markup {
    let id = subtask.spec.id;
    let now = state.console.clock.now();
    html! {
        li .{ "state-" (subtask.state) } id={ "subtask-" (id) } tabindex="-1" {
            h3 {
                (subtask.spec.name) " "
                (text::badge(subtask.state.as_str(), text::subtask_state(visit.language, subtask.state)))
            }
            p .quiet {
                (target(task, subtask))
                // What is common to nearly all of them is not said of each.
                @if subtask.operation != SubtaskOperation::Execute { " · " (subtask.operation) }
                @if subtask.run_time > 1 { " · " (visit.say(Text::Attempt)) " " (subtask.run_time) }
                @if let Some(elapsed) = elapsed(subtask, now) { " · " (elapsed) }
                @if subtask.effect != Effect::None { " · " (visit.say(Text::Effect)) " " (subtask.effect) }
                @if visit.may_on_task(Call::GetSubtaskLog, task, &[]) {
                    " · " a href={ "/tasks/" (task.spec.id) "/subtasks/" (id) "/log" } { (visit.say(Text::Log)) }
                }
            }
            @if let Some(progress) = progress { (waits(state, visit, progress)) }
            @if let Some(error) = &subtask.error { p .problem { (error.message) " " code { (error.reason) } } }
            @for verb in task.allowed_for(subtask) {
                @if verb == Verb::SkipSubtask { (verbs::form(visit, task, verb, Some(subtask))) }
            }
        }
    }
}

fn target(task: &Task, subtask: &Subtask) -> String {
    match &subtask.spec.target {
        TaskTarget::Server(id) => task.spec.server(*id).map(|server| server.addr.to_string()).unwrap_or_default(),
        TaskTarget::Zone(zone) => zone.to_string(),
        TaskTarget::Cluster => task.spec.cluster.name.clone(),
    }
}

fn waits(state: &ConsoleState, visit: &Visit, progress: &Progress) -> Markup {
    let counted = progress.total > 0;
    html! {
        div .waits {
            p {
                (visit.say(Text::WaitsFor)) ": " (progress.message)
                @if counted { " (" (progress.done) " / " (progress.total) ")" }
            }
            @if counted {
                progress max=(progress.total) value=(progress.done) aria-label=(visit.say(Text::Progress)) {
                    (progress.done) " / " (progress.total)
                }
            }
            p .quiet {
                (visit.say(Text::NotMovedSince)) " " (state.moments.show(progress.stalled_since)) " · "
                (visit.say(Text::AtTheLatest)) " " (state.moments.show(progress.deadline))
                @if let Some(remaining) = progress.remaining { " · " (visit.say(Text::Remaining)) " " (duration(remaining)) }
            }
            @if progress.blockers.count() > 0 {
                ul {
                    @for blocker in progress.blockers.named() { li { (blocker) } }
                    @if progress.blockers.count() > progress.blockers.named().len() {
                        li { "… " (progress.blockers.count()) }
                    }
                }
            }
        }
    }
}
