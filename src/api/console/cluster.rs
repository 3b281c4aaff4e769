//! A cluster as a picture: its zones as columns, its servers as cards. As recorded, or after a look at every process and at
//! the leaders, when that is asked for.

use std::sync::Arc;

use futures::FutureExt;
use futures::stream::{self, StreamExt};
use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::live::{self, Region};
use crate::api::console::moments::duration;
use crate::api::console::text::{self, Text};
use crate::api::console::visit::Visit;
use crate::domain::call::Call;
use crate::domain::status::ZoneStatus;
use crate::service::views::{ClusterView, ProcessView, ServerView};
use crate::service::{GetCluster, GetServer, ListServers};
use crate::store::inventory::ZoneRow;
use crate::watch::{WatchTasks, watch_tasks};

/// Servers of a picture.
const LIMIT: u32 = 1000;
/// Servers that are looked at, at most, and how many at once: each look logs in to the cluster and asks a host.
const MOST_LOOKS: usize = 64;
const LOOKS_AT_ONCE: usize = 8;

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let id = visit.path.cluster("cluster")?;
    let view = state.console.guarded.call(&visit.caller, GetCluster::Id(id)).await?;
    let name = view.row.identity.name;
    let region = region(Arc::clone(&state), Arc::clone(&visit)).await?;
    let query = visit.head.uri.query().unwrap_or_default();
    let body = html! { div #live data-live={ "/clusters/" (id) "/live?" (query) } { (region.markup) } };
    Answer::page(format!("{} {name}", visit.say(Text::Cluster)), body)
}

/// Changes with the tasks of the cluster, and is looked at again from time to time.
pub async fn live(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let cluster = Some(visit.path.cluster("cluster")?);
    let watch = WatchTasks { cluster, after: None, progress: false };
    let authorizer = state.console.guarded.call(&visit.caller, watch.clone()).await?;
    let messages = watch_tasks(&state.console.hub, watch, authorizer).await?;
    live::stream(state, visit, messages, |state, visit| region(state, visit).boxed())
}

async fn region(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Region, Problem> {
    let id = visit.path.cluster("cluster")?;
    let guarded = &state.console.guarded;
    let view = guarded.call(&visit.caller, GetCluster::Id(id)).await?;
    let call = ListServers { cluster: id, zone: None, above: None, limit: LIMIT };
    let mut servers = guarded.call(&visit.caller, call).await?;
    let looks = visit.query.get("look").is_some() && servers.len() <= MOST_LOOKS;
    if looks {
        let looked = stream::iter(servers).map(async |recorded| {
            let call = GetServer { cluster: id, server: recorded.row.id };
            guarded.call(&visit.caller, call).await.unwrap_or(recorded)
        });
        servers = looked.buffered(LOOKS_AT_ONCE).collect().await;
    }
    let markup = html! {
        (summary(&state, &visit, &view, looks, servers.len() <= MOST_LOOKS))
        div .zones {
            @for (zone, status) in &view.zones { (column(&state, &visit, &view, zone, *status, &servers)) }
        }
    };
    Ok(Region { markup, revision: None })
}

fn summary(state: &ConsoleState, visit: &Visit, view: &ClusterView, looks: bool, can_look: bool) -> Markup {
    let path = format!("/clusters/{}", view.row.id);
    let (version, rest) = view.version.split_once('_').unwrap_or((&view.version, ""));
    let build = rest.split('-').next().unwrap_or_default();
    html! {
        dl .facts.of-cluster {
            dt { (visit.say(Text::Status)) }
            dd { (text::badge(view.status.as_str(), text::cluster_status(visit.language, view.status))) }
            dt { (visit.say(Text::Version)) } dd title=(view.version) { (version) " " small { (build) } }
            dt { (visit.say(Text::GivenUpAfter)) } dd { (duration(view.row.permanent_offline_time())) }
            dt { (visit.say(Text::LastRead)) }
            dd { @if let Some(at) = view.row.observed_at { (state.moments.show(at)) } @else { "–" } }
            @if let Some(task) = view.operating_task {
                dt { (visit.say(Text::Task)) } dd { a href={ "/tasks/" (task) } { (task) } }
            }
        }
        @if !view.row.sync_error.is_empty() { p .problem { (view.row.sync_error) } }
        p .actions {
            @if looks { a href=(path) { (visit.say(Text::AsRecorded)) } }
            @else if can_look { a href={ (path) "?look=now" } { (visit.say(Text::LookNow)) } }
            a href={ "/tasks?cluster=" (view.row.id) } { (visit.say(Text::TasksOfCluster)) }
        }
    }
}

fn column(
    state: &ConsoleState,
    visit: &Visit,
    view: &ClusterView,
    zone: &ZoneRow,
    status: ZoneStatus,
    servers: &[ServerView],
) -> Markup {
    html! {
        section .zone aria-label={ (visit.say(Text::Zone)) " " (zone.name) } {
            h2 { (zone.name) " " (text::badge(status.as_str(), text::zone_status(visit.language, status))) }
            p .quiet { (zone.region) " " (zone.idc) }
            @for server in servers.iter().filter(|server| server.row.zone == zone.name) {
                (card(state, visit, view, server))
            }
        }
    }
}

fn card(state: &ConsoleState, visit: &Visit, cluster: &ClusterView, server: &ServerView) -> Markup {
    let row = &server.row;
    let now = state.console.clock.now();
    html! {
        article .card aria-label={ (visit.say(Text::Server)) " " (row.addr) } {
            h3 {
                (row.addr) " " (text::badge(server.status.as_str(), text::server_status(visit.language, server.status)))
                @if row.with_rootserver { " " span .badge { (visit.say(Text::RootService)) } }
            }
            dl .facts {
                dt { (visit.say(Text::Service)) }
                dd {
                    (row.inner_status)
                    @if let Some(at) = row.stop_time { ", " (visit.say(Text::StoppedSince)) " " (state.moments.show(at)) }
                }
                dt { (visit.say(Text::Process)) } dd { (process(visit, &server.process)) }
                dt { (visit.say(Text::Leaders)) }
                dd { @if let Some(leaders) = server.leaders { (leaders) } @else { "–" } }
                @if let Some(at) = server.permanent_offline_at {
                    dt { (visit.say(Text::GivenUpAt)) }
                    dd .urgent {
                        (state.moments.show(at))
                        @if at > now { " (" (visit.say(Text::In)) " " (duration(at.since(now))) ")" }
                    }
                }
                @if let Some(until) = server.held_until {
                    dt { (visit.say(Text::HeldUntil)) } dd { (state.moments.show(until)) }
                }
                @if let (Some(why), true) = (&server.not_safe_reason, server.process != ProcessView::NotAsked) {
                    dt { (visit.say(Text::PowerOff)) } dd { (visit.say(Text::NotSafe)) ": " (why) }
                } @else if server.process == ProcessView::Absent {
                    dt { (visit.say(Text::PowerOff)) } dd { (visit.say(Text::Safe)) }
                }
            }
            (actions(visit, cluster, server))
        }
    }
}

fn process(visit: &Visit, process: &ProcessView) -> Markup {
    html! {
        @match process {
            ProcessView::NotAsked => { (visit.say(Text::NotLookedAt)) },
            ProcessView::Running { pid } => { (visit.say(Text::ProcessRuns)) " " (pid) },
            ProcessView::Absent => { (visit.say(Text::ProcessAbsent)) },
            ProcessView::HostUnreachable { reason } => { (visit.say(Text::HostUnreachable)) ": " (reason) },
            ProcessView::Ambiguous { evidence } => { (visit.say(Text::ProcessAmbiguous)) ": " (evidence) },
        }
    }
}

fn actions(visit: &Visit, cluster: &ClusterView, server: &ServerView) -> Markup {
    let (id, row) = (cluster.row.id, &server.row);
    let path = format!("/clusters/{id}/servers/{}", row.id);
    let free = cluster.operating_task.is_none();
    html! {
        p .actions {
            @if let Some(task) = server.operating_task { a href={ "/tasks/" (task) } { (visit.say(Text::Task)) " " (task) } }
            @if visit.may_on_cluster(Call::PlanStopServer, id) { a href={ (path) "/stop" } { (visit.say(Text::PlanStop)) } }
            @if free && visit.may_on_cluster(Call::StartServer, id) {
                a href={ (path) "/start" } { (visit.say(Text::StartAction)) }
            }
        }
    }
}
