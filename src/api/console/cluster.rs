//! A cluster as a picture: its zones as columns, its servers as cards, with what may still fail. As recorded, or after a look at
//! every process and at the leaders, when that is asked for.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{self, StreamExt};
use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::changes;
use crate::api::console::live::{self, Region};
use crate::api::console::margin;
use crate::api::console::moments::duration;
use crate::api::console::target::Target;
use crate::api::console::text::{self, Text};
use crate::api::console::visit::Visit;
use crate::clock::monotonic_now;
use crate::domain::call::Call;
use crate::domain::status::ZoneStatus;
use crate::service::views::{ClusterView, ProcessView, ServerView};
use crate::service::{GetCluster, GetMargin, GetServer, ListServers, MarginView};
use crate::store::inventory::ZoneRow;
use crate::watch::{WatchTasks, watch_tasks};

/// Servers of a picture.
const LIMIT: u32 = 1000;
/// Servers that are looked at, at most, and how many at once: each look logs in to the cluster and asks a host.
const MOST_LOOKS: usize = 64;
const LOOKS_AT_ONCE: usize = 8;
/// For all of them together: longer than one that is not answered, and shorter than a row of those.
const LONGEST_LOOKS: Duration = Duration::from_secs(6);

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let id = visit.path.cluster("cluster")?;
    let view = state.console.guarded.call(&visit.caller, GetCluster::Id(id)).await?;
    let name = view.row.identity.name;
    let region = region(Arc::clone(&state), Arc::clone(&visit)).await?;
    let source = live::source(&visit, &format!("/clusters/{id}/live"));
    let body = html! { div #live data-live=(source) { (region.markup) } };
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
    let servers = guarded.call(&visit.caller, call).await?;
    let looks = visit.query.get("look").is_some() && servers.len() <= MOST_LOOKS;
    let margin = guarded.call(&visit.caller, GetMargin(id));
    let looked = async {
        if !looks {
            return servers;
        }
        let until = monotonic_now() + LONGEST_LOOKS;
        let looked = stream::iter(servers).map(async |recorded| {
            let call = GetServer { cluster: id, server: recorded.row.id };
            match tokio::time::timeout_at(until, guarded.call(&visit.caller, call)).await {
                Ok(Ok(looked)) => looked,
                Ok(Err(_)) | Err(_) => recorded,
            }
        });
        looked.buffered(LOOKS_AT_ONCE).collect().await
    };
    let (margin, servers) = tokio::join!(margin, looked);
    let shown = Shown { state: &state, visit: &visit, cluster: &view, margin: &margin?, servers: &servers };
    let frozen = changes::warning(&state, &visit, id).await?;
    let markup = html! {
        (frozen)
        (summary(&shown, looks, servers.len() <= MOST_LOOKS))
        div .zones { @for (zone, status) in &view.zones { (column(&shown, zone, *status)) } }
    };
    Ok(Region { markup, revision: None })
}

/// What the picture is made of.
struct Shown<'a> {
    state: &'a ConsoleState,
    visit: &'a Visit,
    cluster: &'a ClusterView,
    margin: &'a MarginView,
    servers: &'a [ServerView],
}

fn summary(shown: &Shown<'_>, looks: bool, can_look: bool) -> Markup {
    let Shown { state, visit, cluster: view, margin, .. } = *shown;
    let path = format!("/clusters/{}", view.row.id);
    let may = |call: Call| visit.may_on_cluster(call, view.row.id);
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
            (margin::of_cluster(state, visit, margin))
            @if let Some(task) = view.operating_task {
                dt { (visit.say(Text::Task)) } dd { a href={ "/tasks/" (task) } { (task) } }
            }
        }
        @if !view.row.sync_error.is_empty() { p .problem { (view.row.sync_error) } }
        p .actions {
            @if looks { a href=(path) { (visit.say(Text::AsRecorded)) } }
            @else if can_look { a href={ (path) "?look=now" } { (visit.say(Text::LookNow)) } }
            a href={ "/tasks?cluster=" (view.row.id) } { (visit.say(Text::TasksOfCluster)) }
            (actions(visit, &Target::Cluster(view.row.id), view.operating_task.is_none()))
            @if may(Call::PlanRollout) { a href={ (path) "/rollout" } { (visit.say(Text::Rollout)) "…" } }
            @if may(Call::UpdateCluster) || may(Call::DeregisterCluster) { a href={ (path) "/settings" } { (visit.say(Text::SettingsLink)) } }
        }
    }
}

fn column(shown: &Shown<'_>, zone: &ZoneRow, status: ZoneStatus) -> Markup {
    let Shown { visit, cluster, .. } = *shown;
    html! {
        section .zone aria-label={ (visit.say(Text::Zone)) " " (zone.name) } {
            h2 { (zone.name) " " (text::badge(status.as_str(), text::zone_status(visit.language, status))) }
            p .quiet { (zone.region) " " (zone.idc) }
            (margin::of_zone(visit, shown.margin, &zone.name))
            p .actions { (actions(visit, &Target::Zone(cluster.row.id, zone.name.clone()), cluster.operating_task.is_none())) }
            @for server in shown.servers.iter().filter(|server| server.row.zone == zone.name) { (card(shown, server)) }
        }
    }
}

fn card(shown: &Shown<'_>, server: &ServerView) -> Markup {
    let Shown { state, visit, cluster, margin, .. } = *shown;
    let (row, now) = (&server.row, state.console.clock.now());
    let (target, free) = (Target::Server(cluster.row.id, row.id), cluster.operating_task.is_none());
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
                (margin::of_server(visit, margin, &row.addr))
                @if let Some(until) = server.held_until {
                    dt { (visit.say(Text::HeldUntil)) } dd { (state.moments.show(until)) }
                }
                @if let (Some(why), true) = (&server.not_safe_reason, server.process != ProcessView::NotAsked) {
                    dt { (visit.say(Text::PowerOff)) } dd { (visit.say(Text::NotSafe)) ": " (why) }
                } @else if server.process == ProcessView::Absent {
                    dt { (visit.say(Text::PowerOff)) } dd { (visit.say(Text::Safe)) }
                }
            }
            p .actions {
                @if let Some(task) = server.operating_task { a href={ "/tasks/" (task) } { (visit.say(Text::Task)) " " (task) } }
                (actions(visit, &target, free))
                @if free && visit.may_on_cluster(Call::FreezeServer, cluster.row.id) {
                    a href={ (target.path()) "/freeze" } { (visit.say(Text::FreezeAction)) }
                }
            }
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

/// What can be asked for of it, by this caller.
fn actions(visit: &Visit, target: &Target, free: bool) -> Markup {
    let (id, path) = (target.cluster(), target.path());
    html! {
        @if visit.may_on_cluster(target.plan(), id) { a href={ (path) "/stop" } { (visit.say(Text::PlanStop)) } }
        @if free && visit.may_on_cluster(target.start(), id) { a href={ (path) "/start" } { (visit.say(Text::StartAction)) } }
    }
}
