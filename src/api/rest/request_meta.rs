//! What the answer to one request needs to know of it.

use http::HeaderMap;
use tokio::time::Instant;

use crate::api::rest::language::Language;
use crate::clock::monotonic_now;
use crate::domain::trace::TraceContext;

/// Made when the request comes in, before anything of it is judged.
pub struct RequestMeta {
    /// Answers say how long they took.
    pub begun: Instant,
    pub trace: TraceContext,
    pub language: Language,
    /// The object that errors about parameters name.
    pub object: &'static str,
}

impl RequestMeta {
    /// Of a request that comes now.
    pub fn new(headers: &HeaderMap, object: &'static str, trace: TraceContext) -> Self {
        Self { begun: monotonic_now(), trace, language: Language::of(headers), object }
    }
}
