//! What handlers see of a request: its proven caller, its parameters and its body.

use std::sync::Arc;

use axum::RequestExt;
use axum::extract::RawPathParams;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::api::rest::Rest;
use crate::api::rest::authentication::Authenticated;
use crate::api::rest::body::read_body;
use crate::api::rest::inputs::Inputs;
use crate::api::rest::request_meta::RequestMeta;
use crate::domain::refusal::Refusal;
use crate::service::Caller;

pub struct ParsedRequest {
    /// With the reason that the query gives, where the request changes something.
    pub caller: Caller,
    pub meta: Arc<RequestMeta>,
    /// Of path and query.
    pub inputs: Inputs,
    pub headers: HeaderMap,
    /// As it came: not every operation has one.
    pub body: Bytes,
}

impl ParsedRequest {
    /// Reads the body, which nobody has to send before the caller is proven. `changes`: whether it is about a mutation.
    pub async fn read(rest: &Rest, request: Authenticated, changes: bool) -> Result<Self, Refusal> {
        let (mut caller, meta, mut request) = request.into_parts();
        let path = match request.extract_parts::<RawPathParams>().await {
            Ok(params) => Some(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
            Err(_) => None,
        };
        let (parts, body) = request.into_parts();
        let body = read_body(rest.body_bytes, rest.arrival_seconds, &parts.headers, body).await?;
        let mut inputs = Inputs::new(path, parts.uri.query());
        if changes && foreign(&parts.headers) {
            let advice = "says that another site's page sends this with the credentials of your browser";
            inputs.wrong("Sec-Fetch-Site", Value::Null, advice);
        }
        if changes {
            caller.reason = inputs.query_reason();
        }
        Ok(Self { caller, meta, inputs, headers: parts.headers, body })
    }
}

/// Whether a browser says that a page of another site sends this: it would add the password that it remembers, unasked.
fn foreign(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-site").iter().any(|site| site == "cross-site" || site == "same-site")
}
