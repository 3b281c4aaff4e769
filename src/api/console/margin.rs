//! What of a cluster may still fail, and what could be taken out now, as the picture of a cluster shows it. What is not known is
//! said to be.

use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::text::{self, Text};
use crate::api::console::visit::Visit;
use crate::domain::ids::{ServerAddr, ZoneName};
use crate::service::MarginView;
use crate::service::views::AssessedCheck;

/// Of the whole cluster: items of a list of facts.
pub fn of_cluster(state: &ConsoleState, visit: &Visit, margin: &MarginView) -> Markup {
    html! {
        dt { (visit.say(Text::MayFailNow)) }
        dd {
            @match margin {
                MarginView::Known(margin) => {
                    @match &margin.tolerance {
                        Ok(tolerance) => {
                            (visit.say(Text::Servers)) " " (tolerance.servers) ", " (visit.say(Text::Zones)) " " (tolerance.zones)
                        },
                        Err(why) => { (visit.say(Text::NotKnown)) ": " (why) },
                    }
                    " " small { (visit.say(Text::LastRead)) " " (state.moments.show(margin.observed_at)) }
                },
                MarginView::NotYet => { (visit.say(Text::NotKnown)) ": " (visit.say(Text::IsBeingRead)) },
                MarginView::Unread(why) => { (visit.say(Text::NotKnown)) ": " (why) },
            }
        }
    }
}

/// Of a server: items of a list of facts.
pub fn of_server(visit: &Visit, margin: &MarginView, addr: &ServerAddr) -> Markup {
    let why = known(margin).and_then(|margin| margin.server(addr));
    html! { dt { (visit.say(Text::TakeOut)) } dd { (verdict(visit, why)) } }
}

/// Of a zone.
pub fn of_zone(visit: &Visit, margin: &MarginView, zone: &ZoneName) -> Markup {
    let why = known(margin).and_then(|margin| margin.zone(zone));
    html! { p { (visit.say(Text::TakeOut)) ": " (verdict(visit, why)) } }
}

fn known(margin: &MarginView) -> Option<&crate::operations::margin::Margin> {
    match margin {
        MarginView::Known(margin) => Some(margin),
        MarginView::NotYet | MarginView::Unread(_) => None,
    }
}

fn verdict(visit: &Visit, why: Option<Option<&AssessedCheck>>) -> Markup {
    html! {
        @match why {
            None => { (visit.say(Text::NotKnown)) },
            Some(None) => { (text::badge("PASS", visit.say(Text::CouldGo))) },
            Some(Some(check)) => {
                (text::badge("BLOCK", visit.say(Text::CouldNotGo))) " "
                (check.words()) " " small { code { (check.name) } @if !check.remedy.is_empty() { " " (check.remedy) } }
            },
        }
    }
}
