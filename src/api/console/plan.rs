//! The plan of a stop, a restart or a hold: what it would meet now, what blocks it first, and the form that asks for it, which
//! wants its name typed. What is chosen is in the query, so that a plan can be looked at again; the form repeats it.

use std::sync::Arc;

use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::asking::{checkbox, confirmation, number_field, to_task};
use crate::api::console::outage::{self, Chosen, Outage, risks_of};
use crate::api::console::target::Target;
use crate::api::console::text::{self, Text};
use crate::api::console::visit::Visit;
use crate::domain::call::Subject;
use crate::domain::status::Risk;
use crate::service::views::{AssessedCheck, CheckVerdict, StopPlanView};

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let target = Target::read(&visit.path)?;
    let chosen = Chosen::read(&visit.query, &state, &target)?;
    let name = target.name(&state, &visit).await?;
    let plan = outage::plan(&state, &visit, &target, &chosen).await?;
    let cluster = target.cluster();
    let may = visit.may(chosen.outage.call(&target), Subject::Cluster(cluster.get()), &chosen.risks);
    let lacks_end = chosen.outage == Outage::Hold && chosen.hold_until.is_none();
    let waits = waits(&plan);
    let mut hidden = chosen.hidden();
    hidden.extend(waits.then(|| ("queue", "1".to_owned())));
    let body = html! {
        p { a href={ "/clusters/" (cluster) } { (visit.say(Text::Cluster)) " " (cluster) } }
        (choice(&state, &visit, &target, &chosen))
        (shown(&state, &visit, &plan))
        @if !plan.allowed && waits && may { p .warning { (visit.say(Text::WouldWait)) } }
        @if (plan.allowed || waits) && may {
            h2 { (visit.say(chosen.outage.text())) }
            @if lacks_end { p .warning { (visit.say(Text::HoldLacksEnd)) } }
            @else {
                @if let Some(until) = chosen.hold_until { p { (visit.say(Text::HeldUntil)) " " (state.moments.show(until)) } }
                (confirmation(&visit, chosen.outage.text(), &name, &hidden, Some(target.typed_field())))
            }
        }
    };
    Answer::page(format!("{} {name}", visit.say(Text::PlanOf)), body)
}

/// Records the task.
pub async fn stop(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let target = Target::read(&visit.path)?;
    let chosen = Chosen::read(&visit.form, &state, &target);
    let typed = visit.form.get(target.typed_field()).unwrap_or_default().to_owned();
    let stored = outage::begin(&state, &visit, target, chosen, typed).await?;
    Ok(to_task(&stored))
}

fn choice(state: &ConsoleState, visit: &Visit, target: &Target, chosen: &Chosen) -> Markup {
    html! {
        form .filters method="get" {
            fieldset {
                legend { (visit.say(Text::WhatToDo)) }
                @for outage in Outage::of(target) {
                    label {
                        input type="radio" name="action" value=(outage.word()) checked[outage == chosen.outage];
                        (visit.say(outage.text()))
                    }
                }
            }
            @match target {
                Target::Server(..) | Target::Zone(..) => {
                    (checkbox(visit, Text::FreezeFirst, "freeze", chosen.freeze))
                    (number_field(visit, Text::DrainSeconds, "drain_seconds", &visit.query))
                },
                Target::Cluster(_) => {},
            }
            @if matches!(target, Target::Server(..)) {
                (number_field(visit, Text::HoldMinutes, "hold_minutes", &visit.query))
            }
            (consent(visit, chosen.force, &chosen.risks, risks_of(state, target)))
            button { (visit.say(Text::PlanAgain)) }
        }
    }
}

/// Force, and the risks that may be accepted.
pub fn consent(visit: &Visit, force: bool, accepted: &[Risk], risks: impl Iterator<Item = Risk>) -> Markup {
    html! {
        (checkbox(visit, Text::Force, "force", force))
        @for risk in risks {
            label {
                input type="checkbox" name="risk" value=(risk) checked[accepted.contains(&risk)];
                (visit.say(Text::AcceptRisk)) " " code { (risk) }
            }
        }
    }
}

/// Whether only what says when something begins stands against it: that can be waited for.
fn waits(plan: &StopPlanView) -> bool {
    let of_beginning =
        |check: &&AssessedCheck| ["CLUSTER_FREE", "MAINTENANCE_WINDOW", "CHANGE_FREEZE"].contains(&check.name.as_str());
    let mut refusing = plan.checks.iter().filter(|check| check.refuses()).peekable();
    refusing.peek().is_some() && refusing.all(|check| of_beginning(&check))
}

/// A plan: its verdict, its checks and what it would do.
pub fn shown(state: &ConsoleState, visit: &Visit, plan: &StopPlanView) -> Markup {
    html! {
        (verdict(state, visit, plan))
        (checks(visit, &plan.checks))
        (effects(visit, plan))
    }
}

fn verdict(state: &ConsoleState, visit: &Visit, plan: &StopPlanView) -> Markup {
    let (class, text) = match plan.allowed {
        true => ("good", Text::WouldPass),
        false => ("problem", Text::WouldBeRefused),
    };
    html! {
        p .(class) role="status" { (visit.say(text)) }
        p .quiet { (visit.say(Text::LastRead)) " " (state.moments.show(plan.observed_at)) }
    }
}

fn checks(visit: &Visit, checks: &[AssessedCheck]) -> Markup {
    let mut ordered: Vec<&AssessedCheck> = checks.iter().collect();
    ordered.sort_by_key(|check| match check.verdict {
        CheckVerdict::Block if check.refuses() => 0,
        CheckVerdict::Block => 1,
        CheckVerdict::Warn => 2,
        CheckVerdict::Info => 3,
        CheckVerdict::Pass => 4,
    });
    html! {
        h2 { (visit.say(Text::Checks)) }
        div .wide tabindex="0" role="region" aria-label=(visit.say(Text::Checks)) {
            table {
                thead {
                    tr {
                        @for head in [Text::Check, Text::Verdict, Text::Evidence, Text::Remedy] { th scope="col" { (visit.say(head)) } }
                    }
                }
                tbody {
                    @for check in ordered {
                        tr {
                            th scope="row" { (check.name) }
                            td {
                                (text::verdict_badge(visit.language, check.verdict))
                                @if check.overridden { " " (visit.say(Text::Overridden)) }
                            }
                            td { (check.words()) }
                            td {
                                (check.remedy)
                                @if let Some(by) = check.overridden_by { " " small { (visit.say(Text::CanBeOverridden)) " " (by) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn effects(visit: &Visit, plan: &StopPlanView) -> Markup {
    html! {
        dl .facts {
            dt { (visit.say(Text::MayStillFail)) }
            dd { @if let Some(count) = plan.failures_tolerated_after { (count) } @else { "–" } }
            dt { (visit.say(Text::LeadersMove)) }
            dd {
                @if plan.leader_moves.is_empty() { "–" }
                @for (id, name, leaders) in &plan.leader_moves { (leaders) " " (name) " (" (id) ") " }
            }
            dt { (visit.say(Text::Clients)) }
            dd {
                @if plan.clients.is_empty() { "–" }
                @for (addr, clients) in &plan.clients {
                    p {
                        (addr) ": "
                        @match clients {
                            Ok(clients) => { (clients) },
                            Err(why) => { (visit.say(Text::NotKnown)) ": " (why) },
                        }
                    }
                }
            }
        }
    }
}
