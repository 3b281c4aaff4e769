//! Answers to somebody that is not proven.

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::Request;
use http::Response;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;

use crate::api::auth::peer;
use crate::api::rest::request_meta::RequestMeta;
use crate::api::rest::response_format::ResponseFormat;
use crate::domain::refusal::Refusal;
use crate::net::unauthenticated::ConnectionGuard;

/// Who sent a request, as long as that is not proven.
pub struct Stranger {
    /// `None`: this listener counts nobody.
    guard: Option<ConnectionGuard>,
    client: IpAddr,
}

impl Stranger {
    pub fn of(request: &Request) -> Self {
        let client = peer(request.extensions()).client(request.headers()).ip();
        Self { guard: request.extensions().get().cloned(), client }
    }

    /// The answer counts until it is taken; `Err`: the limit that is reached.
    pub fn held(self, response: Response<Body>) -> Result<Response<Body>, u32> {
        let Some(guard) = self.guard else { return Ok(response) };
        let stay = guard.stay(self.client)?;
        Ok(response.map(|body| {
            // Of what holds on to something, this leaves the body its length.
            Body::new(body.map_err(move |error| {
                let _counted = &stay;
                error
            }))
        }))
    }

    /// The answer counts until it is taken; who takes none gets the next ones without a body, which no window holds back.
    pub fn answered(self, format: &ResponseFormat, meta: &RequestMeta, response: Response<Body>) -> Response<Body> {
        match self.held(response) {
            Ok(response) => response,
            Err(limit) => {
                let refusal = Refusal::TooManyUnauthenticated { limit };
                let mut response = format.response(meta, Err(refusal.into()), None);
                response.headers_mut().remove(CONTENT_TYPE);
                response.map(|_| Body::empty())
            }
        }
    }
}
