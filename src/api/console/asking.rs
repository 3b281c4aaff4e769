//! How forms ask for something: with the reason that was given, and on record also when what was filled in is wrong. And the
//! values that forms of operations have in common.

use std::time::Duration;

use maud::{Markup, html};
use uuid::Uuid;

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::fields::Fields;
use crate::api::console::text::Text;
use crate::api::console::verbs::{reason_field, with_reason};
use crate::api::console::visit::Visit;
use crate::clock::Timestamp;
use crate::domain::refusal::Refusal;
use crate::service::ServiceCall;
use crate::store::StoredTask;

/// Longest time that is chosen from now on.
const LONGEST_AHEAD: Duration = Duration::from_secs(31 * 24 * 3600);

/// Makes a call, with the reason of the form. One whose arguments are wrong is on record too.
pub async fn made<C: ServiceCall>(
    state: &ConsoleState,
    visit: &Visit,
    asked: Result<C, Refusal>,
) -> Result<C::Output, Problem> {
    let guarded = &state.console.guarded;
    match with_reason(visit).and_then(|caller| Ok((caller, asked?))) {
        Ok((caller, call)) => Ok(guarded.call(&caller, call).await?),
        Err(refusal) => {
            guarded.refused::<C>(&visit.caller, &refusal).await;
            Err(refusal.into())
        }
    }
}

/// On to the task that was recorded.
pub fn to_task(stored: &StoredTask) -> Answer {
    Answer::SeeOther(format!("/tasks/{}", stored.task.spec.id))
}

/// The form that asks for an operation. `typed`: the field in which the name has to be typed first, for what takes something out
/// of service.
pub fn confirmation(visit: &Visit, what: Text, name: &str, hidden: &[(&str, String)], typed: Option<&str>) -> Markup {
    html! {
        form .fields method="post" {
            (visit.form_field())
            // A form that is sent twice makes one task.
            input type="hidden" name="request_id" value=(Uuid::new_v4());
            @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
            @if let Some(typed) = typed {
                label for=(typed) { (visit.say(Text::TypeName)) " " code { (name) } }
                input id=(typed) name=(typed) required autocomplete="off" spellcheck="false";
            }
            (reason_field(visit, "ask"))
            button .(if typed.is_some() { "danger" } else { "main" }) { (visit.say(what)) " " (name) }
        }
    }
}

/// A number that is given; nothing: it is not.
pub fn number(fields: &Fields, name: &str, most: u64) -> Result<Option<u64>, Refusal> {
    let number = fields.parsed::<u64>(name, "a whole number")?;
    match number.filter(|number| *number > most) {
        Some(number) => Err(Refusal::field(name, format!("{number} is too much, give {most} at most"))),
        None => Ok(number),
    }
}

pub fn seconds(fields: &Fields, name: &str, longest: Duration) -> Result<Option<Duration>, Refusal> {
    Ok(number(fields, name, longest.as_secs())?.map(Duration::from_secs))
}

/// A moment: of a form as it was shown, so that one that is sent twice means the same; of a query so many units from now.
pub fn moment(
    fields: &Fields,
    at: &str,
    ahead: &str,
    unit_seconds: u64,
    now: Timestamp,
) -> Result<Option<Timestamp>, Refusal> {
    if let Some(micros) = fields.parsed::<i64>(at, "a moment in microseconds")? {
        let given = Timestamp::from_micros(micros);
        let late = given > now.plus(LONGEST_AHEAD);
        let wrong = || Refusal::field(at, format!("is more than {} days ahead", LONGEST_AHEAD.as_secs() / 86_400));
        return if late { Err(wrong()) } else { Ok(Some(given)) };
    }
    let units = number(fields, ahead, LONGEST_AHEAD.as_secs() / unit_seconds)?;
    Ok(units.map(|units| now.plus(Duration::from_secs(units * unit_seconds))))
}

/// A number in a form, with what was chosen.
pub fn number_field(visit: &Visit, text: Text, name: &str, fields: &Fields) -> Markup {
    html! {
        label {
            (visit.say(text)) " "
            input type="number" name=(name) min="0" value=[fields.get(name)] inputmode="numeric";
        }
    }
}

pub fn checkbox(visit: &Visit, text: Text, name: &str, checked: bool) -> Markup {
    html! { label { input type="checkbox" name=(name) value="1" checked[checked]; (visit.say(text)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_chosen_from_now_on_and_repeated_as_it_was() {
        let now = Timestamp::from_micros(5_000_000);
        let of = |text: &str| moment(&Fields::read(text), "until", "minutes", 60, now);
        assert_eq!(of("minutes=2").unwrap(), Some(Timestamp::from_micros(125_000_000)));
        assert_eq!(of("minutes=2&until=7").unwrap(), Some(Timestamp::from_micros(7)));
        assert_eq!(of("minutes=").unwrap(), None);
        for wrong in ["minutes=-1", "minutes=1e3", "minutes=44641", "until=soon", "until=9223372036854775807"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
