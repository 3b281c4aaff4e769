//! The plan of a stop: what it would meet now, what blocks it first, and the form that asks for it, which wants the server's
//! address typed. What is chosen is in the query, so that a plan can be looked at again; the form repeats it.

use std::sync::Arc;
use std::time::Duration;

use maud::{Markup, html};
use uuid::Uuid;

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::fields::Fields;
use crate::api::console::text::{self, Text};
use crate::api::console::verbs::{reason_field, with_reason};
use crate::api::console::visit::Visit;
use crate::domain::beginning::BeginRequest;
use crate::domain::call::{Call, Subject};
use crate::domain::ids::ServerAddr;
use crate::domain::refusal::Refusal;
use crate::domain::status::{Risk, StopType};
use crate::service::views::{AssessedCheck, CheckVerdict, StopPlanView};
use crate::service::{PlanStopServer, RestartServer, StopServer};

/// What is done with the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    StopProcess,
    StopService,
    Restart,
}

impl Action {
    const ALL: [Self; 3] = [Self::StopProcess, Self::StopService, Self::Restart];

    const fn word(self) -> &'static str {
        match self {
            Self::StopProcess => "stop",
            Self::StopService => "service",
            Self::Restart => "restart",
        }
    }

    const fn text(self) -> Text {
        match self {
            Self::StopProcess => Text::StopProcess,
            Self::StopService => Text::StopService,
            Self::Restart => Text::Restart,
        }
    }

    const fn call(self) -> Call {
        match self {
            Self::StopProcess | Self::StopService => Call::StopServer,
            Self::Restart => Call::RestartServer,
        }
    }

    const fn stop_type(self) -> StopType {
        match self {
            Self::StopProcess | Self::Restart => StopType::Process,
            Self::StopService => StopType::Service,
        }
    }
}

/// What was chosen.
struct Chosen {
    action: Action,
    force: bool,
    risks: Vec<Risk>,
    freeze: bool,
}

impl Chosen {
    fn read(fields: &Fields, state: &ConsoleState) -> Result<Self, Refusal> {
        let word = fields.get("action").unwrap_or(Action::StopProcess.word());
        let action = Action::ALL.into_iter().find(|action| action.word() == word);
        let action = action.ok_or_else(|| Refusal::field("action", "is not known, choose one of the list"))?;
        let risk = |word: &str| {
            let risk = word.parse::<Risk>().map_err(|unknown| Refusal::field("risk", unknown.to_string()))?;
            let here = state.risks.contains(&risk);
            if here { Ok(risk) } else { Err(Refusal::RiskNotAcceptedHere { setting: "rest.accepted_risks" }) }
        };
        let mut risks = fields.all("risk").map(risk).collect::<Result<Vec<_>, _>>()?;
        risks.sort_unstable();
        risks.dedup();
        let freeze = fields.get("freeze").is_some() && action.stop_type() == StopType::Process;
        Ok(Self { action, force: fields.get("force").is_some(), risks, freeze })
    }
}

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let (cluster, server) = (visit.path.cluster("cluster")?, visit.path.server("server")?);
    let chosen = Chosen::read(&visit.query, &state)?;
    let call = PlanStopServer {
        cluster,
        server,
        force: chosen.force,
        accepted_risks: chosen.risks.clone(),
        stop_type: chosen.action.stop_type(),
        freeze_before_stop: chosen.freeze,
    };
    let plan = state.console.guarded.call(&visit.caller, call).await?;
    let addr = plan.server.map(|(_, addr)| addr.to_string()).unwrap_or_default();
    let body = html! {
        p { a href={ "/clusters/" (cluster) } { (visit.say(Text::Cluster)) " " (cluster) } }
        (choice(&state, &visit, &chosen))
        (verdict(&state, &visit, &plan))
        (checks(&visit, &plan.checks))
        (effects(&visit, &plan))
        @if plan.allowed && visit.may(chosen.action.call(), Subject::Cluster(cluster.get()), &chosen.risks) {
            (confirmation(&visit, &chosen, &addr))
        }
    };
    Answer::page(format!("{} {addr}", visit.say(Text::PlanOf)), body)
}

/// Records the task.
pub async fn stop(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let chosen = Chosen::read(&visit.form, &state)?;
    let typed = visit.form.parsed::<ServerAddr>("address", "an address, type ip:port of the server")?;
    let typed = typed.ok_or_else(|| Refusal::field("address", "is missing, type that of the server"))?;
    let asked = StopServer {
        cluster: visit.path.cluster("cluster")?,
        server: visit.path.server("server")?,
        force: chosen.force,
        accepted_risks: chosen.risks,
        stop_type: chosen.action.stop_type(),
        freeze_before_stop: chosen.freeze,
        hold_until: None,
        drain: Duration::ZERO,
        request_id: visit.form.parsed::<Uuid>("request_id", "a UUID")?,
        repeat_by_arguments: false,
        expected_server: Some(typed),
        expire_time: None,
        begin: BeginRequest { not_before: None, queue: visit.form.get("queue").is_some() },
    };
    let (caller, guarded) = (with_reason(&visit)?, &state.console.guarded);
    let stored = match chosen.action {
        Action::StopProcess | Action::StopService => guarded.call(&caller, asked).await?,
        Action::Restart => guarded.call(&caller, RestartServer(asked)).await?,
    };
    Ok(Answer::SeeOther(format!("/tasks/{}", stored.task.spec.id)))
}

fn choice(state: &ConsoleState, visit: &Visit, chosen: &Chosen) -> Markup {
    html! {
        form .filters method="get" {
            fieldset {
                legend { (visit.say(Text::WhatToDo)) }
                @for action in Action::ALL {
                    label {
                        input type="radio" name="action" value=(action.word()) checked[action == chosen.action];
                        (visit.say(action.text()))
                    }
                }
            }
            label { input type="checkbox" name="freeze" value="1" checked[chosen.freeze]; (visit.say(Text::FreezeFirst)) }
            label { input type="checkbox" name="force" value="1" checked[chosen.force]; (visit.say(Text::Force)) }
            @for risk in Risk::OF_PART.iter().filter(|risk| state.risks.contains(risk)) {
                label {
                    input type="checkbox" name="risk" value=(risk) checked[chosen.risks.contains(risk)];
                    (visit.say(Text::AcceptRisk)) " " code { (risk) }
                }
            }
            button { (visit.say(Text::PlanAgain)) }
        }
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
        }
    }
}

fn confirmation(visit: &Visit, chosen: &Chosen, addr: &str) -> Markup {
    html! {
        h2 { (visit.say(chosen.action.text())) }
        form .fields method="post" {
            (visit.form_field())
            // A form that is sent twice makes one task.
            input type="hidden" name="request_id" value=(Uuid::new_v4());
            input type="hidden" name="action" value=(chosen.action.word());
            @if chosen.force { input type="hidden" name="force" value="1"; }
            @if chosen.freeze { input type="hidden" name="freeze" value="1"; }
            @for risk in &chosen.risks { input type="hidden" name="risk" value=(risk); }
            label for="address" { (visit.say(Text::TypeAddress)) " " code { (addr) } }
            input #address name="address" required autocomplete="off" spellcheck="false";
            (reason_field(visit, "stop"))
            button .danger { (visit.say(chosen.action.text())) " " (addr) }
        }
    }
}
