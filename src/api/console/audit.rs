//! The audit log, with filters.

use std::sync::Arc;

use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::fields::{Fields, encoded};
use crate::api::console::text::{self, Text};
use crate::api::console::visit::Visit;
use crate::domain::call::Call;
use crate::domain::ids::Principal;
use crate::domain::refusal::Refusal;
use crate::service::ListAuditRecords;
use crate::store::AuditOutcome;
use crate::store::access::{AuditFilter, StoredAuditRecord};

/// Records of a page.
const LIMIT: u32 = 100;

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let below = visit.query.parsed::<i64>("below", "the number of a record")?;
    let call = ListAuditRecords { filter: filter(&visit.query)?, below, limit: LIMIT + 1 };
    let mut records = state.console.guarded.call(&visit.caller, call).await?;
    let more = records.len() > LIMIT as usize;
    records.truncate(LIMIT as usize);
    let last = records.last().filter(|_| more).map(|record| record.id);
    let body = html! {
        (filters(&visit))
        @if records.is_empty() { p { (visit.say(Text::NoRecords)) } }
        @else {
            div .wide tabindex="0" role="region" aria-label=(visit.say(Text::Audit)) {
                table {
                    thead {
                        tr {
                            @for head in [
                                Text::Moment, Text::User, Text::Call, Text::Target, Text::Result, Text::Reason, Text::Arguments,
                            ] { th scope="col" { (visit.say(head)) } }
                        }
                    }
                    tbody { @for record in &records { (line(&state, &visit, record)) } }
                }
            }
        }
        @if let Some(last) = last { p { a rel="next" href=(at(&visit.query, last)) { (visit.say(Text::NextPage)) } } }
    };
    Answer::page(visit.say(Text::Audit), body)
}

fn filter(query: &Fields) -> Result<AuditFilter, Refusal> {
    Ok(AuditFilter {
        principal: query.parsed::<Principal>("user", "a user name")?,
        call: query.parsed::<Call>("call", "a call, write for example STOP_OB_SERVER")?,
        task: query.get("task").map(|_| query.task("task")).transpose()?,
        cluster: query.get("cluster").map(|_| query.cluster("cluster")).transpose()?,
        refused: query.get("refused").map(|_| true),
        since: None,
    })
}

fn line(state: &ConsoleState, visit: &Visit, stored: &StoredAuditRecord) -> Markup {
    let record = &stored.record;
    let (word, result) = match &record.outcome {
        AuditOutcome::Accepted => ("SUCCESSFUL", visit.say(Text::Accepted)),
        AuditOutcome::Refused { reason } => ("FAILED", reason.as_str()),
    };
    html! {
        tr {
            td { (state.moments.show(record.at)) }
            td { (record.principal) " " small { (record.address) } }
            td { code { (record.call) } }
            td {
                (record.target)
                @if let Some(task) = record.task { " " a href={ "/tasks/" (task) } { (visit.say(Text::Task)) " " (task) } }
            }
            td { (text::badge(word, result)) }
            td { (record.reason.as_str()) }
            td { small { (record.arguments) } }
        }
    }
}

fn filters(visit: &Visit) -> Markup {
    let field = |name: &'static str, text: Text| {
        html! { label for=(name) { (visit.say(text)) } input id=(name) name=(name) size="12" value=[visit.query.get(name)]; }
    };
    html! {
        form .filters role="search" method="get" action="/audit" {
            (field("user", Text::User)) (field("task", Text::TaskNumber)) (field("cluster", Text::ClusterNumber))
            label for="call" { (visit.say(Text::Call)) }
            select #call name="call" {
                option value="" { "–" }
                @for call in Call::ALL.iter().filter(|call| call.is_mutation()) {
                    option value=(call) selected[visit.query.get("call") == Some(call.as_str())] { (call) }
                }
            }
            label { input type="checkbox" name="refused" value="1" checked[visit.query.get("refused").is_some()]; (visit.say(Text::OnlyRefused)) }
            button { (visit.say(Text::Filter)) }
        }
    }
}

/// What comes behind a record, of the same selection.
fn at(query: &Fields, below: i64) -> String {
    let kept = ["user", "task", "cluster", "call", "refused"].into_iter();
    let kept = kept.filter_map(|name| Some(format!("{name}={}&", encoded(query.get(name)?))));
    format!("/audit?{}below={below}", kept.collect::<String>())
}
