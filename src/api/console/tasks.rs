//! The tasks that the caller may see, with filters.

use std::sync::Arc;

use futures::FutureExt;
use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::fields::{Fields, encoded};
use crate::api::console::live::{self, Region};
use crate::api::console::moments::duration;
use crate::api::console::text::{self, Text};
use crate::api::console::visit::Visit;
use crate::domain::event::TaskState;
use crate::domain::refusal::Refusal;
use crate::domain::task::Task;
use crate::service::{TaskSelection, TasksPage};
use crate::store::{Page, TaskOrder};
use crate::watch::{WatchTasks, watch_tasks};

/// Tasks of a page.
const LIMIT: u32 = 50;
/// The last page that can be asked for.
const LAST_PAGE: u32 = 1_000_000;

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let region = region(Arc::clone(&state), Arc::clone(&visit)).await?;
    let body = html! {
        (filters(&visit))
        div #live data-live=(live::source(&visit, "/tasks/live")) { (region.markup) }
    };
    Answer::page(visit.say(Text::Tasks), body)
}

/// Changes with every task that the caller may see.
pub async fn live(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let cluster = visit.query.get("cluster").map(|_| visit.query.cluster("cluster")).transpose()?;
    let watch = WatchTasks { cluster, after: None, progress: false };
    let authorizer = state.console.guarded.call(&visit.caller, watch.clone()).await?;
    let messages = watch_tasks(&state.console.hub, watch, authorizer).await?;
    live::stream(state, visit, messages, |state, visit| region(state, visit).boxed())
}

fn selection(query: &Fields) -> Result<TaskSelection, Refusal> {
    let state = |word: &str| {
        word.parse::<TaskState>()
            .map_err(|unknown| Refusal::field("state", format!("{unknown}; choose one of the list")))
    };
    Ok(TaskSelection {
        cluster: query.get("cluster").map(|_| query.cluster("cluster")).transpose()?,
        server: query.get("server").map(|_| query.server("server")).transpose()?,
        states: query.all("state").map(state).collect::<Result<_, _>>()?,
        name: query.get("name").map(str::to_owned),
    })
}

async fn region(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Region, Problem> {
    let number = visit.query.parsed::<u32>("page", "the number of a page")?.unwrap_or(1).clamp(1, LAST_PAGE);
    let offset = (number - 1).saturating_mul(LIMIT);
    let page = Page { order: TaskOrder::Id, descending: true, offset, limit: LIMIT };
    let call = TasksPage { selection: selection(&visit.query)?, page };
    let found = state.console.guarded.call(&visit.caller, call).await?;
    let pages = found.total.div_ceil(u64::from(LIMIT)).max(1);
    let markup = html! {
        p .quiet { (visit.say(Text::Found)) " " (found.total) }
        @if !found.items.is_empty() {
            div .wide tabindex="0" role="region" aria-label=(visit.say(Text::Tasks)) {
                table {
                    thead {
                        tr {
                            @for head in [
                                Text::Task, Text::Operation, Text::Target, Text::State, Text::Creator, Text::Created, Text::Took,
                            ] { th scope="col" { (visit.say(head)) } }
                        }
                    }
                    tbody { @for stored in &found.items { (line(&state, &visit, &stored.task)) } }
                }
            }
        }
        @if pages > 1 {
            nav .pages aria-label=(visit.say(Text::Pages)) {
                @if number > 1 { a rel="prev" href=(at(&visit.query, number - 1)) { (visit.say(Text::PreviousPage)) } }
                span { (number) " / " (pages) }
                @if u64::from(number) < pages { a rel="next" href=(at(&visit.query, number + 1)) { (visit.say(Text::NextPage)) } }
            }
        }
    };
    Ok(Region { markup, revision: None })
}

fn line(state: &ConsoleState, visit: &Visit, task: &Task) -> Markup {
    let spec = &task.spec;
    let end = task.finish_time.unwrap_or_else(|| state.console.clock.now());
    html! {
        tr {
            th scope="row" { a href={ "/tasks/" (spec.id) } { (spec.id) } }
            td { (spec.graph.operation.name) }
            td { a href={ "/clusters/" (spec.cluster.id) } { (spec.cluster.name) } " " (spec.describe_target()) }
            td { (text::badge(task.state.as_str(), text::task_state(visit.language, task.state))) }
            td { (spec.creator) }
            td { (state.moments.show(task.create_time)) }
            td { (duration(end.since(task.create_time))) }
        }
    }
}

fn filters(visit: &Visit) -> Markup {
    let chosen: Vec<&str> = visit.query.all("state").collect();
    html! {
        form .filters role="search" method="get" action="/tasks" {
            label for="name" { (visit.say(Text::Operation)) }
            input #name name="name" value=[visit.query.get("name")];
            label for="cluster" { (visit.say(Text::ClusterNumber)) }
            input #cluster name="cluster" inputmode="numeric" size="8" value=[visit.query.get("cluster")];
            fieldset {
                legend { (visit.say(Text::State)) }
                @for state in TaskState::ALL {
                    label {
                        input type="checkbox" name="state" value=(state) checked[chosen.contains(&state.as_str())];
                        (text::task_state(visit.language, *state))
                    }
                }
            }
            button { (visit.say(Text::Filter)) }
            a href="/tasks" { (visit.say(Text::AllTasks)) }
        }
    }
}

/// Another page of the same selection.
fn at(query: &Fields, page: u32) -> String {
    let kept = ["name", "cluster", "server", "state"]
        .into_iter()
        .flat_map(|name| query.all(name).map(move |value| format!("{name}={}&", encoded(value))).collect::<Vec<_>>());
    format!("/tasks?{}page={page}", kept.collect::<String>())
}
