//! The log of a subtask.

use std::sync::Arc;

use maud::html;

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::text::Text;
use crate::api::console::visit::Visit;
use crate::service::SubtaskLog;

/// Most lines of a page: the last ones.
const LIMIT: usize = 5000;

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let (task, subtask) = (visit.path.task("task")?, visit.path.subtask("subtask")?);
    let lines = state.console.guarded.call(&visit.caller, SubtaskLog { task, subtask }).await?;
    let omitted = lines.len().saturating_sub(LIMIT);
    let body = html! {
        p { a href={ "/tasks/" (task) "#subtask-" (subtask) } { (visit.say(Text::Task)) " " (task) } }
        @if omitted > 0 { p .quiet { (visit.say(Text::Omitted)) " " (omitted) } }
        @if lines.is_empty() { p { (visit.say(Text::NoLines)) } }
        @else {
            table .log {
                tbody {
                    @for line in &lines[omitted..] {
                        tr { td { (state.moments.show(line.at)) } td { "×" (line.run_time) } td { pre { (line.text) } } }
                    }
                }
            }
        }
    };
    Answer::page(format!("{} {task} / {subtask}", visit.say(Text::Log)), body)
}
