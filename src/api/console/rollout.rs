//! A rollout: servers of a cluster, batch by batch. Which, how, and what the stop of each would meet now; then the form that asks for
//! it. What is chosen is in the query, the form repeats it, and both are read as the request of the API is.

use std::sync::Arc;
use std::time::Duration;

use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::asking::{checkbox, confirmation, made, moment, number, number_field, to_task};
use crate::api::console::fields::Fields;
use crate::api::console::outage::accepted;
use crate::api::console::plan::consent;
use crate::api::console::text::{self, Text};
use crate::api::console::visit::Visit;
use crate::api::grpc::validate_rollout;
use crate::domain::call::{Call, Subject};
use crate::domain::ids::ClusterId;
use crate::domain::refusal::Refusal;
use crate::domain::rollout::RolloutAction;
use crate::domain::status::Risk;
use crate::proto::v1;
use crate::proto::v1::rollout_scope::Scope;
use crate::service::views::{ClusterView, ServerView};
use crate::service::{GetCluster, ListServers, PlanRollout, RolloutPlanView, StartRollout};
use crate::watch::encode::{duration, timestamp};

/// Servers that are offered to be chosen.
const LIMIT: u32 = 1000;
/// How long somebody waits for a plan: of a cluster that does not answer, that of every server takes as long as it may.
const LONGEST_PLAN: Duration = Duration::from_secs(30);
/// Fields that the form repeats.
const REPEATED: &[&str] = &[
    "action",
    "zone",
    "server",
    "max_parallel",
    "min_healthy_seconds",
    "stop_after",
    "pause_after",
    "hold_minutes",
    "drain_seconds",
    "freeze",
    "force",
    "risk",
];
const ACTIONS: [(RolloutAction, Text); 2] =
    [(RolloutAction::Restart, Text::Restart), (RolloutAction::Hold, Text::Hold)];

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let (id, guarded) = (visit.path.cluster("cluster")?, &state.console.guarded);
    let view = guarded.call(&visit.caller, GetCluster::Id(id)).await?;
    let servers = ListServers { cluster: id, zone: None, above: None, limit: LIMIT };
    let servers = guarded.call(&visit.caller, servers).await?;
    let fields = &visit.query;
    let asked = request(&state, id, fields).and_then(validate_rollout::start_rollout)?;
    // Every server is looked at: nothing that an opened page begins by itself.
    let plan = match fields.get("plan") {
        Some(_) => {
            let plan = guarded.call(&visit.caller, PlanRollout(asked.of.clone()));
            let late = |_| {
                let why = format!("the plan took longer than {} s, plan fewer servers at once", LONGEST_PLAN.as_secs());
                Refusal::ClusterUnreachable { cluster: view.row.identity.name.clone(), why }
            };
            Some(tokio::time::timeout(LONGEST_PLAN, plan).await.map_err(late)??)
        }
        None => None,
    };
    let may = visit.may(Call::StartRollout, Subject::Cluster(id.get()), &asked.of.accepted_risks);
    let name = &view.row.identity.name;
    let body = html! {
        p { a href={ "/clusters/" (id) } { (visit.say(Text::Cluster)) " " (id) } }
        p { (visit.say(Text::RolloutWill)) }
        (choice(&state, &visit, &view, &servers, &asked))
        @if let Some(plan) = &plan {
            (planned(&visit, plan))
            @if may {
                h2 { (visit.say(Text::Rollout)) }
                (confirmation(&visit, Text::Rollout, name, &hidden(fields, &asked), Some("name")))
            }
        }
    };
    Answer::page(format!("{} {name}", visit.say(Text::Rollout)), body)
}

/// Records the task.
pub async fn start(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let id = visit.path.cluster("cluster")?;
    let view = state.console.guarded.call(&visit.caller, GetCluster::Id(id)).await?;
    let typed = visit.form.get("name").unwrap_or_default();
    let asked = if typed == view.row.identity.name {
        request(&state, id, &visit.form).and_then(validate_rollout::start_rollout)
    } else {
        Err(Refusal::field("name", "is not the name of the cluster, type it as it is shown"))
    };
    let stored = made(&state, &visit, asked).await?;
    Ok(to_task(&stored))
}

/// As the API is asked.
fn request(state: &ConsoleState, cluster: ClusterId, fields: &Fields) -> Result<v1::StartRolloutRequest, Refusal> {
    let word = fields.get("action").unwrap_or(RolloutAction::Restart.as_str());
    let action = word.parse().map_err(|_| Refusal::field("action", "is not known, choose one of the list"))?;
    let action = match action {
        RolloutAction::Restart => v1::RolloutAction::Restart,
        RolloutAction::Hold => v1::RolloutAction::Hold,
    };
    let risks = accepted(fields, state, Risk::OF_SERVER)?.into_iter().map(|risk| match risk {
        Risk::QuorumLoss => v1::Risk::QuorumLoss.into(),
        Risk::ClusterUnreachable => v1::Risk::ClusterUnreachable.into(),
        Risk::PermanentOffline => v1::Risk::PermanentOffline.into(),
        Risk::ServiceLoss => v1::Risk::ServiceLoss.into(),
    });
    let count = |name: &str| {
        let count = number(fields, name, u64::from(u32::MAX >> 1))?.unwrap_or_default();
        Ok::<_, Refusal>(i32::try_from(count).unwrap_or(i32::MAX))
    };
    let time = |name: &str, unit: u64| {
        let count = number(fields, name, u64::from(u32::MAX))?;
        Ok::<_, Refusal>(count.map(|count| duration(Duration::from_secs(count * unit))))
    };
    let deadline = moment(fields, "deadline", "deadline_hours", 3600, state.console.clock.now())?;
    Ok(v1::StartRolloutRequest {
        cluster_id: cluster.get(),
        scope: Some(v1::RolloutScope { scope: Some(scope(fields)?) }),
        request_id: fields.get("request_id").unwrap_or_default().to_owned(),
        // It is read from the form for every call alike.
        reason: String::new(),
        deadline: deadline.map(timestamp),
        force: fields.get("force").is_some(),
        accept_risks: risks.collect(),
        freeze_before_stop: fields.get("freeze").is_some(),
        action: action.into(),
        max_parallel: count("max_parallel")?,
        min_healthy_time: time("min_healthy_seconds", 1)?,
        stop_after: count("stop_after")?,
        pause_after: count("pause_after")?,
        hold: time("hold_minutes", 60)?,
        drain: time("drain_seconds", 1)?,
        begin: fields.get("queue").map(|_| v1::BeginOptions { not_before: None, queue: true }),
    })
}

/// Servers before zones; without either, all.
fn scope(fields: &Fields) -> Result<Scope, Refusal> {
    let names: Vec<String> = fields.all("zone").map(str::to_owned).collect();
    let server =
        |text: &str| text.parse::<i64>().map_err(|_| Refusal::field("server", format!("{text:?} is not an id")));
    let ids = fields.all("server").map(server).collect::<Result<Vec<_>, _>>()?;
    Ok(match (ids.is_empty(), names.is_empty()) {
        (false, _) => Scope::Servers(v1::ServerIds { ids }),
        (true, false) => Scope::Zones(v1::ZoneNames { names }),
        (true, true) => Scope::All(v1::AllServers {}),
    })
}

fn hidden<'a>(fields: &Fields, asked: &StartRollout) -> Vec<(&'a str, String)> {
    let repeated = |name: &&'a str| fields.all(name).map(|value| (*name, value.to_owned())).collect::<Vec<_>>();
    let mut hidden: Vec<(&str, String)> = REPEATED.iter().flat_map(repeated).collect();
    // Counted from when it was chosen.
    hidden.extend(asked.deadline.map(|at| ("deadline", at.as_micros().to_string())));
    hidden
}

fn choice(
    state: &ConsoleState,
    visit: &Visit,
    view: &ClusterView,
    servers: &[ServerView],
    asked: &StartRollout,
) -> Markup {
    let fields = &visit.query;
    let chosen = |name: &str, value: &str| fields.all(name).any(|given| given == value);
    let risks = state.risks.iter().copied().filter(|risk| Risk::OF_SERVER.contains(risk));
    html! {
        form .filters method="get" {
            fieldset {
                legend { (visit.say(Text::WhatToDo)) }
                @for (action, text) in ACTIONS {
                    label {
                        input type="radio" name="action" value=(action) checked[action == asked.of.action];
                        (visit.say(text))
                    }
                }
            }
            fieldset {
                legend { (visit.say(Text::OnlyZones)) }
                @for (zone, _) in &view.zones {
                    label {
                        input type="checkbox" name="zone" value=(zone.name) checked[chosen("zone", zone.name.as_str())];
                        (zone.name)
                    }
                }
            }
            details #only-servers open[fields.get("server").is_some()] {
                summary { (visit.say(Text::OnlyServers)) }
                @for server in servers {
                    label {
                        input type="checkbox" name="server" value=(server.row.id) checked[chosen("server", &server.row.id.to_string())];
                        (server.row.addr)
                    }
                    " "
                }
            }
            (number_field(visit, Text::MaxParallel, "max_parallel", fields))
            (number_field(visit, Text::MinHealthySeconds, "min_healthy_seconds", fields))
            (number_field(visit, Text::StopAfter, "stop_after", fields))
            (number_field(visit, Text::PauseAfter, "pause_after", fields))
            (number_field(visit, Text::HoldMinutes, "hold_minutes", fields))
            (number_field(visit, Text::DrainSeconds, "drain_seconds", fields))
            (number_field(visit, Text::DeadlineHours, "deadline_hours", fields))
            (checkbox(visit, Text::FreezeFirst, "freeze", asked.freeze_before_stop))
            (consent(visit, asked.of.force, &asked.of.accepted_risks, risks))
            button name="plan" value="1" { (visit.say(Text::PlanAgain)) }
        }
    }
}

fn planned(visit: &Visit, plan: &RolloutPlanView) -> Markup {
    let first = |addr| {
        let of_it = plan.plans.iter().find(|plan| plan.server.is_some_and(|(_, of)| of == addr));
        of_it.and_then(|plan| plan.checks.iter().find(|check| check.refuses()))
    };
    html! {
        p .(if plan.allowed() { "good" } else { "problem" }) role="status" {
            (visit.say(if plan.allowed() { Text::EachWouldPass } else { Text::SomeWouldBeRefused }))
        }
        div .wide tabindex="0" role="region" aria-label=(visit.say(Text::Checks)) {
            table {
                thead {
                    tr {
                        @for head in [Text::Batch, Text::Zone, Text::Server, Text::Verdict, Text::Evidence, Text::Remedy] {
                            th scope="col" { (visit.say(head)) }
                        }
                    }
                }
                tbody {
                    @for (number, server) in plan.batches.iter().enumerate().flat_map(|(number, batch)| batch.iter().map(move |server| (number, server))) {
                        @let check = first(server.addr);
                        tr {
                            td { (number + 1) }
                            td { (server.zone) }
                            th scope="row" { (server.addr) }
                            td { (text::verdict_badge(visit.language, check.map_or(crate::service::views::CheckVerdict::Pass, |check| check.verdict))) }
                            td { @if let Some(check) = check { (check.words()) } }
                            td { @if let Some(check) = check { (check.remedy) } }
                        }
                    }
                }
            }
        }
    }
}
