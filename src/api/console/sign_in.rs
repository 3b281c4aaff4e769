//! Signing in by password, and out; and the choice of a language. Passwords go the throttled way that those of Basic go.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use http::header::SET_COOKIE;
use http::{Response, StatusCode};
use maud::{Markup, html};
use secrecy::SecretString;

use crate::access::Secret;
use crate::access::credentials::Credentials;
use crate::api::auth::Denied;
use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Page, Problem};
use crate::api::console::cookies;
use crate::api::console::exchange::{Arrival, see_other};
use crate::api::console::fields::Fields;
use crate::api::console::frame::{self, Frame};
use crate::api::console::text::Text;
use crate::api::console::visit::Visit;
use crate::api::headers::for_one_host;
use crate::api::rest::Language;
use crate::domain::refusal::Refusal;
use crate::service::{Caller, EndSessions, Ended};

/// The form; with authentication off there is nothing to sign in to.
pub async fn form(state: Arc<ConsoleState>, request: Request) -> Response<Body> {
    let (arrival, _) = Arrival::of(&state, request);
    let query = Fields::read(arrival.head.uri.query().unwrap_or_default());
    let next = next(&query).to_owned();
    let response = match state.console.gatekeeper.asks_for_proof() {
        true => {
            let frame = arrival.frame();
            let body = form_body(frame.language, &next, None);
            frame::page(&frame, StatusCode::OK, titled(frame.language, body))
        }
        false => see_other(&next),
    };
    arrival.for_stranger(response)
}

/// What was filled in.
pub async fn submit(state: Arc<ConsoleState>, request: Request) -> Response<Body> {
    let (arrival, body) = Arrival::of(&state, request);
    let form = match arrival.form(&state, body).await {
        Ok(form) => form,
        Err(problem) => {
            let response = frame::problem(&arrival.frame(), &problem);
            return arrival.for_stranger(response);
        }
    };
    let next = next(&form).to_owned();
    match proven(&state, &arrival, &form).await {
        Ok(caller) => signed_in(&state, &arrival, &caller, &next),
        Err(Denied { refusal, .. }) => {
            let frame = arrival.frame();
            let response = if matches!(refusal, Refusal::Unauthenticated { .. }) {
                let body = form_body(frame.language, &next, Some(Text::SignInWrong));
                frame::page(&frame, StatusCode::UNAUTHORIZED, titled(frame.language, body))
            } else {
                frame::problem(&frame, &Problem::Refused(refusal))
            };
            arrival.for_stranger(response)
        }
    }
}

/// Ends the session, here and wherever a copy of it is. When that cannot be kept, it ends at this browser, and that is said.
pub async fn out(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let mut response = match visit.session {
        None => see_other("/sign-in"),
        Some(session) => {
            let ended = Ended::One { issued: session.issued, expires: state.console.sessions.latest_end(session) };
            let call = EndSessions { name: visit.caller.principal.clone(), ended };
            match state.console.guarded.call(&visit.caller, call).await {
                Ok(()) => see_other("/sign-in"),
                Err(refusal) => {
                    let frame = Frame { language: visit.language, visit: None, uri: &visit.head.uri };
                    frame::problem(&frame, &Problem::Refused(refusal))
                }
            }
        }
    };
    // Both, so that none is left behind by a listener that got TLS since.
    for cookie in [true, false].into_iter().filter_map(cookies::clear_session) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    tracing::info!(principal = %visit.caller.principal, "signed out of the console");
    Ok(Answer::Whole(response))
}

/// Keeps the language that was chosen.
pub async fn language(state: Arc<ConsoleState>, request: Request) -> Response<Body> {
    let (arrival, _) = Arrival::of(&state, request);
    let query = Fields::read(arrival.head.uri.query().unwrap_or_default());
    let language = match query.get("to") {
        Some("en") => Language::English,
        Some(_) | None => Language::Chinese,
    };
    let mut response = see_other(next(&query));
    let cookie = cookies::set_language(language, arrival.secure);
    response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    arrival.for_stranger(response)
}

async fn proven(state: &ConsoleState, arrival: &Arrival, form: &Fields) -> Result<Caller, Denied> {
    for_one_host(arrival.head.version, &arrival.head.uri, &arrival.head.headers)?;
    let user = form.get("user").unwrap_or_default().to_owned();
    let password = SecretString::from(form.exact("password").unwrap_or_default());
    let presented = Credentials::Basic { user, password };
    state.console.gatekeeper.admit_visitor(&arrival.head, Some(presented), arrival.trace).await
}

fn signed_in(state: &ConsoleState, arrival: &Arrival, caller: &Caller, next: &str) -> Response<Body> {
    let mut response = see_other(next);
    if let (Some(user), Some(Secret::Password(hash))) = (caller.user, &caller.proof.secret) {
        let sessions = &state.console.sessions;
        let token = sessions.issue(user, hash, state.console.clock.now());
        let cookie = cookies::set_session(&token, sessions.lifetime().as_secs(), arrival.secure);
        response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
        tracing::info!(principal = %caller.principal, address = %caller.address, "signed in to the console");
    }
    response
}

/// Where the way goes on: a page of ours, whatever was given.
fn next(fields: &Fields) -> &str {
    let ours = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    fields.get("next").filter(ours).unwrap_or("/")
}

fn titled(language: Language, body: Markup) -> Page {
    Page { title: Text::SignIn.in_language(language).to_owned(), body }
}

fn form_body(language: Language, next: &str, wrong: Option<Text>) -> Markup {
    let say = |text: Text| text.in_language(language);
    html! {
        @if let Some(wrong) = wrong { p .problem role="alert" { (say(wrong)) } }
        form .fields method="post" action="/sign-in" {
            input type="hidden" name="next" value=(next);
            label for="user" { (say(Text::User)) }
            input #user name="user" autocomplete="username" autocapitalize="none" required autofocus;
            label for="password" { (say(Text::Password)) }
            input #password name="password" type="password" autocomplete="current-password" required;
            button .main { (say(Text::SignIn)) }
        }
        // Who comes from a link elsewhere is signed in and not recognised: the cookie is not sent on that way.
        @if next != "/" { p { a href=(next) { (say(Text::GoOnSignedIn)) } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_goes_on_to_our_own_pages_only() {
        let of = |value: &str| next(&Fields::of([("next".to_owned(), value.to_owned())])).to_owned();
        assert_eq!(of("/tasks/7?x=1"), "/tasks/7?x=1");
        for foreign in ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", "tasks", ""] {
            assert_eq!(of(foreign), "/", "{foreign}");
        }
    }
}
