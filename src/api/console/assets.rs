//! The style sheet, the script and the icon, as they are in the program. Anybody may have them.

use axum::body::Body;
use axum::extract::Request;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Response, StatusCode};
use ring::digest;

/// How everything looks.
pub const STYLE: &str = include_str!("console.css");
/// What makes pages live; they work without it.
pub const SCRIPT: &str = include_str!("console.js");
const ICON: &str = concat!(
    r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#1d5fb8"/>"##,
    r##"<path d="M4 8.5l3 3 5-7" fill="none" stroke="#fff" stroke-width="2"/></svg>"##
);

#[derive(Clone, Copy)]
pub enum Asset {
    Style,
    Script,
    Icon,
}

/// The whole of it, or that it is as the browser has it.
pub fn answer(asset: Asset, request: &Request) -> Response<Body> {
    let (text, kind) = match asset {
        Asset::Style => (STYLE, "text/css; charset=utf-8"),
        Asset::Script => (SCRIPT, "text/javascript; charset=utf-8"),
        Asset::Icon => (ICON, "image/svg+xml"),
    };
    let tag: String = digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{tag}\"");
    let known = request.headers().get(IF_NONE_MATCH).is_some_and(|known| known == tag.as_str());
    let mut response = Response::new(if known { Body::empty() } else { Body::from(text) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}
