//! The change freezes: what nothing begins on, and who may say so.

use std::sync::Arc;

use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::asking::made;
use crate::api::console::text::Text;
use crate::api::console::verbs::reason_field;
use crate::api::console::visit::Visit;
use crate::domain::call::{Call, Subject};
use crate::domain::change_freeze::FreezeScope;
use crate::domain::ids::ClusterId;
use crate::domain::refusal::Refusal;
use crate::service::{ChangeFreezeView, FreezeChanges, ListChangeFreezes, ListClusters, ThawChanges};

/// Clusters that can be chosen.
const MOST_CHOICES: u32 = 1000;

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let guarded = &state.console.guarded;
    let freezes = guarded.call(&visit.caller, ListChangeFreezes).await?;
    let clusters = ListClusters { name: None, above: None, limit: MOST_CHOICES };
    let clusters = guarded.call(&visit.caller, clusters).await?;
    let choices: Vec<(ClusterId, &str)> =
        clusters.iter().map(|view| (view.row.id, view.row.identity.name.as_str())).collect();
    let may = choices.iter().filter(|(id, _)| visit.may_on_cluster(Call::FreezeChanges, *id)).collect::<Vec<_>>();
    let body = html! {
        p { (visit.say(Text::ChangesAre)) }
        @if freezes.is_empty() { p .quiet { (visit.say(Text::NothingFrozen)) } }
        @for freeze in &freezes { (shown(&state, &visit, freeze)) }
        @if may_everything(&visit) || !may.is_empty() {
            h2 { (visit.say(Text::FreezeChanges)) }
            form .fields method="post" {
                (visit.form_field())
                input type="hidden" name="action" value="freeze";
                label for="cluster" { (visit.say(Text::Cluster)) }
                select #cluster name="cluster" {
                    @if may_everything(&visit) { option value="" { (visit.say(Text::EveryCluster)) } }
                    @for (id, name) in may { option value=(id) { (name) } }
                }
                (reason_field(&visit, "freeze"))
                button .danger { (visit.say(Text::FreezeChanges)) }
            }
        }
    };
    Answer::page(visit.say(Text::Changes), body)
}

/// Freezes or thaws.
pub async fn change(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let cluster = match visit.form.get("cluster").unwrap_or_default() {
        "" => Ok(None),
        _ => visit.form.cluster("cluster").map(Some),
    };
    match visit.form.get("action") {
        Some("freeze") => {
            let reason = visit.form.get("reason").is_some_and(|reason| !reason.trim().is_empty());
            let missing = || Refusal::field("reason", "is missing; everybody who is refused because of it reads it");
            let asked = cluster.and_then(|cluster| if reason { Ok(FreezeChanges(cluster)) } else { Err(missing()) });
            made(&state, &visit, asked).await?;
        }
        Some("thaw") => made(&state, &visit, cluster.map(ThawChanges)).await?,
        Some(_) | None => return Err(Refusal::field("action", "is not known, say freeze or thaw").into()),
    }
    Ok(Answer::SeeOther("/changes".to_owned()))
}

/// The freezes that cover a cluster, as its page warns of them.
pub async fn warning(state: &ConsoleState, visit: &Visit, cluster: ClusterId) -> Result<Markup, Refusal> {
    let freezes = state.console.guarded.call(&visit.caller, ListChangeFreezes).await?;
    let covers = |freeze: &&ChangeFreezeView| {
        freeze.freeze.scope == FreezeScope::Everything || freeze.cluster.as_ref().is_some_and(|(id, _)| *id == cluster)
    };
    Ok(html! {
        @for freeze in freezes.iter().filter(covers) {
            p .warning role="status" {
                a href="/changes" { (visit.say(Text::ChangesFrozen)) } " " (words(state, freeze))
            }
        }
    })
}

fn may_everything(visit: &Visit) -> bool {
    visit.may(Call::FreezeChanges, Subject::Nothing, &[])
}

fn words(state: &ConsoleState, view: &ChangeFreezeView) -> Markup {
    let freeze = &view.freeze;
    html! { (freeze.by) ", " (state.moments.show(freeze.since)) ": " (freeze.reason) }
}

fn shown(state: &ConsoleState, visit: &Visit, view: &ChangeFreezeView) -> Markup {
    let id = view.cluster.as_ref().map(|(id, _)| *id);
    let may = match (id, &view.freeze.scope) {
        (Some(id), _) => visit.may_on_cluster(Call::ThawChanges, id),
        (None, FreezeScope::Everything) => may_everything(visit),
        (None, FreezeScope::Cluster(_)) => false,
    };
    html! {
        section .card {
            h2 {
                @match (&view.cluster, &view.freeze.scope) {
                    (Some((id, name)), _) => { a href={ "/clusters/" (id) } { (name) } },
                    (None, FreezeScope::Everything) => { (visit.say(Text::EveryCluster)) },
                    (None, FreezeScope::Cluster(key)) => { code { (key.as_str()) } },
                }
            }
            p { (words(state, view)) }
            @if may {
                @let form = format!("thaw-{}", id.map_or(0, ClusterId::get));
                form .fields method="post" {
                    (visit.form_field())
                    input type="hidden" name="action" value="thaw";
                    @if let Some(id) = id { input type="hidden" name="cluster" value=(id); }
                    (reason_field(visit, &form))
                    button .main { (visit.say(Text::ThawChanges)) }
                }
            }
        }
    }
}
