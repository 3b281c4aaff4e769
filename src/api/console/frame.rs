//! The frame of every page: head, navigation, language; the pages that say why there is no other; and the headers that keep
//! what is not ours out of them.

use axum::body::Body;
use http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode, Uri};
use maud::{DOCTYPE, Markup, html};

use crate::api::console::answer::{Page, Problem};
use crate::api::console::fields::encoded;
use crate::api::console::text::Text;
use crate::api::console::visit::Visit;
use crate::api::error_table::{Retry, row};
use crate::api::rest::Language;
use crate::domain::refusal::Refusal;

/// Nothing but our own style, script, icon, streams and forms; no inline script or style at all.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                          form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What a frame is made for.
pub struct Frame<'a> {
    pub language: Language,
    /// `None`: nobody is proven.
    pub visit: Option<&'a Visit>,
    pub uri: &'a Uri,
}

impl Frame<'_> {
    const fn say(&self, text: Text) -> &'static str {
        text.in_language(self.language)
    }
}

/// A page in its frame.
pub fn page(frame: &Frame<'_>, status: StatusCode, page: Page) -> Response<Body> {
    let markup = html! {
        (DOCTYPE)
        html lang=(frame.language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (page.title) " · obsteward" }
                link rel="icon" href="/console.svg";
                link rel="stylesheet" href="/console.css";
                script src="/console.js" defer {}
            }
            body data-lost=(frame.say(Text::ConnectionLost)) data-ended=(frame.say(Text::SessionEnded)) {
                a .skip href="#content" { (frame.say(Text::SkipToContent)) }
                (top(frame))
                p #notice role="status" aria-live="polite" hidden {}
                main #content tabindex="-1" {
                    h1 { (page.title) }
                    (page.body)
                }
            }
        }
    };
    let mut response = Response::new(Body::from(markup.into_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(frame.language.tag()));
    response
}

fn top(frame: &Frame<'_>) -> Markup {
    let here = frame.uri.path();
    let is_in = |path: &str| here == path || here.starts_with(&format!("{path}/"));
    let places = [
        (Text::Clusters, "/", here == "/" || is_in("/clusters")),
        (Text::Tasks, "/tasks", is_in("/tasks")),
        (Text::Changes, "/changes", is_in("/changes")),
        (Text::Audit, "/audit", is_in("/audit")),
        (Text::Access, "/access", is_in("/access")),
    ];
    html! {
        header .top {
            a .name href="/" { "obsteward" }
            @if let Some(visit) = frame.visit {
                nav aria-label=(frame.say(Text::Places)) {
                    @for (text, path, current) in places {
                        a href=(path) aria-current=[current.then_some("page")] { (frame.say(text)) }
                    }
                }
                span .who { (visit.caller.principal) }
                @if visit.session.is_some() {
                    form method="post" action="/sign-out" { (visit.form_field()) button { (frame.say(Text::SignOut)) } }
                }
            }
            (languages(frame))
        }
    }
}

fn languages(frame: &Frame<'_>) -> Markup {
    let next = encoded(frame.uri.path_and_query().map_or("/", |here| here.as_str()));
    let (other, tag, name) = match frame.language {
        Language::Chinese => ("en", "en", "English"),
        Language::English => ("zh", "zh-CN", "中文"),
    };
    html! { a .language href={ "/language?to=" (other) "&next=" (next) } lang=(tag) hreflang=(tag) { (name) } }
}

/// The page that says why there is no other.
pub fn problem(frame: &Frame<'_>, problem: &Problem) -> Response<Body> {
    let (status, title, message, code) = match problem {
        Problem::NoPage => (StatusCode::NOT_FOUND, Text::NoPage, frame.say(Text::NoPageHere).to_owned(), None),
        Problem::ForeignForm => (StatusCode::FORBIDDEN, Text::NotDone, frame.say(Text::FormIsForeign).to_owned(), None),
        Problem::Refused(refusal) => {
            let row = row(refusal);
            let message = match frame.language {
                Language::Chinese => row.message_zh(),
                Language::English => row.message(),
            };
            let status = StatusCode::from_u16(row.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, Text::Refused, message, Some(row.reason))
        }
    };
    let body = html! {
        p .problem role="alert" { (message) @if let Some(code) = code { " " code { (code) } } }
        @if status == StatusCode::UNAUTHORIZED { p { a href="/sign-in" { (frame.say(Text::SignIn)) } } }
        p .actions { a href="/" { (frame.say(Text::ToClusters)) } a href="/tasks" { (frame.say(Text::ToTasks)) } }
    };
    let mut response = page(frame, status, Page { title: frame.say(title).to_owned(), body });
    if let Problem::Refused(refusal) = problem {
        response.headers_mut().extend(retry_after(refusal).map(|value| (RETRY_AFTER, value)));
    }
    response
}

fn retry_after(refusal: &Refusal) -> Option<HeaderValue> {
    match row(refusal).retry {
        Retry::After(wait) => Some(HeaderValue::from(wait.as_secs().max(1))),
        Retry::Never | Retry::At(_) => None,
    }
}

/// An answer of the console with the headers that all of them have.
pub async fn secured(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (VARY, "Cookie, Accept-Language"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
