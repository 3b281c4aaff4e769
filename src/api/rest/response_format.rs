//! What every answer looks like: the envelope of OCP (docs/ocp-v2.md#envelope), errors in it, and the headers beside
//! it.

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use crate::api::auth::Rate;
use crate::api::error_table::{About, Retry, Row, row};
use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::language::Language;
use crate::api::rest::request_meta::RequestMeta;
use crate::api::rest::timestamp_format::TimestampFormat;
use crate::clock::{Clock, Timestamp, monotonic_now};
use crate::config::ErrorCodes;
use crate::domain::refusal::FieldViolation;

/// Header that names the trace of a request, as `traceId` in the body: streams have no body to name it in.
pub const TRACE_ID: &str = "obsteward-trace-id";
/// Header that names the reason of a refusal as gRPC does: OCP's codes are coarser.
pub const REASON: &str = "obsteward-reason";
/// Who asks a browser for a password.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"obsteward\"");

/// How a process writes its answers.
pub struct ResponseFormat {
    pub timestamps: TimestampFormat,
    /// Name of the server in every envelope.
    pub server: String,
    pub codes: ErrorCodes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    duration: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
    server: &'a str,
    status: u16,
    successful: bool,
    timestamp: String,
    trace_id: String,
}

/// An error of OCP: `ApiError`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    code: Code,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sub_errors: Vec<SubError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Code {
    Number(i32),
    Name(&'static str),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SubError {
    field: String,
    message: String,
    object: &'static str,
    rejected_value: Value,
}

impl ResponseFormat {
    /// A refusal as the object in `error`.
    pub fn error(&self, meta: &RequestMeta, row: &Row, rejected: Vec<Value>) -> ErrorBody {
        let message = match meta.language {
            Language::Chinese => row.message_zh(),
            Language::English => row.message(),
        };
        let code = match self.codes {
            ErrorCodes::Numeric => Code::Number(row.ocp.number),
            // A client that reads strings cannot read a number, the documented 0 of a rate limit neither.
            ErrorCodes::Prefixed if row.ocp.number == 0 => Code::Name("0"),
            ErrorCodes::Prefixed => Code::Name(row.ocp.name),
        };
        let (target, sub_errors) = match &row.about {
            About::Values => (None, Vec::new()),
            About::Fields(violations) => (None, sub_errors(meta.object, violations, rejected)),
            About::Resource(kind, name) => (Some(resource(kind, name)), Vec::new()),
            About::Condition(_, subject) => (Some(subject.clone()), Vec::new()),
        };
        ErrorBody { code, message, sub_errors, target }
    }

    pub fn response(&self, meta: &RequestMeta, outcome: Result<Reply, Failure>, rate: Option<Rate>) -> Response<Body> {
        let now = Clock::system().now();
        let mut response = match outcome {
            Ok(Reply::Whole(response)) => response,
            Ok(Reply::Done) => self.enveloped(meta, now, StatusCode::OK, None, None),
            Ok(Reply::Data(data)) => self.enveloped(meta, now, StatusCode::OK, Some(data), None),
            Err(Failure { refusal, rejected }) => {
                let row = row(&refusal);
                let status = StatusCode::from_u16(row.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let error = self.error(meta, &row, rejected);
                let mut response = self.enveloped(meta, now, status, None, Some(error));
                let headers = response.headers_mut();
                headers.insert(HeaderName::from_static(REASON), HeaderValue::from_static(row.reason));
                headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(meta.language.tag()));
                if status == StatusCode::UNAUTHORIZED {
                    headers.insert(WWW_AUTHENTICATE, CHALLENGE);
                }
                if let Some(seconds) = retry_after(&row.retry, now) {
                    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
                }
                response
            }
        };
        let headers = response.headers_mut();
        if let Ok(trace) = HeaderValue::from_str(&meta.trace.trace_id().to_string()) {
            headers.insert(HeaderName::from_static(TRACE_ID), trace);
        }
        if let Some(rate) = rate {
            headers.insert(HeaderName::from_static("ratelimit-limit"), HeaderValue::from(rate.limit));
            headers.insert(HeaderName::from_static("ratelimit-remaining"), HeaderValue::from(rate.remaining));
            headers.insert(HeaderName::from_static("ratelimit-reset"), HeaderValue::from(rate.reset_seconds));
        }
        response
    }

    fn enveloped(
        &self,
        meta: &RequestMeta,
        now: Timestamp,
        status: StatusCode,
        data: Option<Value>,
        error: Option<ErrorBody>,
    ) -> Response<Body> {
        let duration = monotonic_now().saturating_duration_since(meta.begun).as_millis();
        let envelope = Envelope {
            data,
            duration: u64::try_from(duration).unwrap_or(u64::MAX),
            error,
            server: &self.server,
            status: status.as_u16(),
            successful: status.is_success(),
            timestamp: self.timestamps.text(now),
            trace_id: meta.trace.trace_id().to_string(),
        };
        // Strings, numbers and their maps and lists: nothing in it can fail to be written.
        let body = serde_json::to_vec(&envelope).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

fn sub_errors(object: &'static str, violations: &[FieldViolation], rejected: Vec<Value>) -> Vec<SubError> {
    let rejected = rejected.into_iter().chain(std::iter::repeat(Value::Null));
    let told = violations.iter().zip(rejected).map(|(violation, rejected_value)| SubError {
        field: violation.field.clone(),
        message: violation.description.clone(),
        object,
        rejected_value,
    });
    told.collect()
}

/// `tasks/100001`: what the table names by the type of a message, as it names conditions.
fn resource(kind: &str, name: &str) -> String {
    let collection = match kind {
        "obsteward.v1.Task" => "tasks",
        "obsteward.v1.Subtask" => "subtasks",
        "obsteward.v1.Cluster" => "clusters",
        "obsteward.v1.ObServer" => "servers",
        "obsteward.v1.Zone" => "zones",
        "obsteward.v1.User" => "users",
        "obsteward.v1.AccessKey" => "accessKeys",
        "obsteward.v1.Role" => "roles",
        other => other,
    };
    format!("{collection}/{name}")
}

/// Whole seconds, so that whoever waits them does not come too early.
fn retry_after(retry: &Retry, now: Timestamp) -> Option<u64> {
    let delay = match retry {
        Retry::Never => return None,
        Retry::After(delay) => *delay,
        Retry::At(moment) => moment.since(now),
    };
    Some((delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).max(1))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::domain::refusal::Refusal;

    #[test]
    fn a_rate_is_told_in_the_documented_headers() {
        let format =
            ResponseFormat { timestamps: TimestampFormat::utc(), server: String::new(), codes: ErrorCodes::Numeric };
        let meta = RequestMeta::new(&HeaderMap::new(), "request", crate::api::trace::new());
        let rate = Some(Rate { limit: 10, remaining: 0, reset_seconds: 7 });
        let refusal = Refusal::RateLimited { limit: 10, window_seconds: 10, retry_after_millis: 6_500 };
        for outcome in [Ok(Reply::Data(Value::Null)), Err(refusal.into())] {
            let refused = outcome.is_err();
            let response = format.response(&meta, outcome, rate);
            for (name, value) in [("RateLimit-Limit", "10"), ("RateLimit-Remaining", "0"), ("RateLimit-Reset", "7")] {
                assert_eq!(response.headers()[name], value);
            }
            assert_eq!(response.headers().get(RETRY_AFTER).map(HeaderValue::as_bytes), refused.then_some(&b"7"[..]));
        }
    }

    #[test]
    fn waits_are_whole_seconds_and_never_too_short() {
        let now = Timestamp::from_micros(1_000_000);
        let after = |millis| Retry::After(std::time::Duration::from_millis(millis));
        assert_eq!(retry_after(&Retry::Never, now), None);
        assert_eq!(retry_after(&after(0), now), Some(1));
        assert_eq!(retry_after(&after(1500), now), Some(2));
        assert_eq!(retry_after(&Retry::At(Timestamp::from_micros(4_200_000)), now), Some(4));
        assert_eq!(retry_after(&Retry::At(Timestamp::from_micros(5)), now), Some(1));
    }
}
