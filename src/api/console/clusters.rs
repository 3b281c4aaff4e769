//! The clusters that the caller may read.

use std::sync::Arc;

use futures::FutureExt;
use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::live::{self, Region};
use crate::api::console::registration;
use crate::api::console::text::{self, Text};
use crate::api::console::visit::Visit;
use crate::domain::ids::ClusterId;
use crate::service::ListClusters;
use crate::service::views::ClusterView;
use crate::watch::{WatchTasks, watch_tasks};

/// Clusters of a page.
const LIMIT: u32 = 100;

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let region = region(Arc::clone(&state), Arc::clone(&visit)).await?;
    let body = html! {
        div #live data-live=(live::source(&visit, "/clusters/live")) { (region.markup) }
        (registration::link(&visit))
    };
    Answer::page(visit.say(Text::Clusters), body)
}

/// Changes with tasks, and is looked at again from time to time.
pub async fn live(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let watch = WatchTasks { cluster: None, after: None, progress: false };
    let authorizer = state.console.guarded.call(&visit.caller, watch.clone()).await?;
    let messages = watch_tasks(&state.console.hub, watch, authorizer).await?;
    live::stream(state, visit, messages, |state, visit| region(state, visit).boxed())
}

async fn region(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Region, Problem> {
    let above = visit.query.get("above").map(|_| visit.query.cluster("above")).transpose()?;
    let call = ListClusters { name: None, above, limit: LIMIT + 1 };
    let mut clusters = state.console.guarded.call(&visit.caller, call).await?;
    let more = clusters.len() > LIMIT as usize;
    clusters.truncate(LIMIT as usize);
    let last: Option<ClusterId> = clusters.last().filter(|_| more).map(|view| view.row.id);
    let markup = html! {
        @if clusters.is_empty() { p { (visit.say(Text::NoClusters)) } }
        @else {
            div .wide tabindex="0" role="region" aria-label=(visit.say(Text::Clusters)) {
                table .clusters {
                    thead {
                        tr {
                            @for head in [
                                Text::Name, Text::Status, Text::Servers, Text::Zones, Text::Version, Text::Task, Text::LastRead,
                            ] { th scope="col" { (visit.say(head)) } }
                        }
                    }
                    tbody { @for view in &clusters { (line(&state, &visit, view)) } }
                }
            }
        }
        @if let Some(last) = last { p { a href={ "/?above=" (last) } { (visit.say(Text::NextPage)) } } }
    };
    Ok(Region { markup, revision: None })
}

fn line(state: &ConsoleState, visit: &Visit, view: &ClusterView) -> Markup {
    let status = view.status;
    html! {
        tr {
            th scope="row" { a href={ "/clusters/" (view.row.id) } { (view.row.identity.name) } " " small { "#" (view.row.id) } }
            td {
                (text::badge(status.as_str(), text::cluster_status(visit.language, status)))
                @if !view.row.sync_error.is_empty() { p .problem { (view.row.sync_error) } }
            }
            td { (view.server_count) }
            td { (view.zones.len()) }
            td { (view.version.split('_').next().unwrap_or_default()) }
            td { @if let Some(task) = view.operating_task { a href={ "/tasks/" (task) } { (task) } } @else { "–" } }
            td { @if let Some(at) = view.row.observed_at { (state.moments.show(at)) } @else { "–" } }
        }
    }
}
