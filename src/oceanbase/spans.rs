//! What is sent to a cluster, as spans of the trace that it is sent for: OpenTelemetry's conventions for clients of databases. Of a
//! statement only what it does: no values, and no secrets.

use mysql_async::Error;
use tokio::time::error::Elapsed;
use tracing::{Instrument, Span, field, info_span};

use super::access::Endpoint;
use crate::telemetry::traces::SPAN;

/// Most words of a statement that say what it does: `ALTER SYSTEM FORCE STOP SERVER`.
const MOST_WORDS: usize = 5;

/// A query; `view` names what is read.
pub(super) fn of_query(endpoint: &Endpoint, view: &'static str) -> Span {
    info_span!(
        target: SPAN,
        "query",
        otel.name = %format_args!("SELECT {view}"),
        otel.kind = "client",
        otel.status_code = field::Empty,
        db.system.name = "oceanbase",
        db.operation.name = "SELECT",
        db.collection.name = view,
        db.response.status_code = field::Empty,
        "error.type" = field::Empty,
        server.address = endpoint.host.as_str(),
        server.port = endpoint.port,
    )
}

/// A statement without rows.
pub(super) fn of_command(endpoint: &Endpoint, sql: &str) -> Span {
    info_span!(
        target: SPAN,
        "command",
        otel.name = operation(sql),
        otel.kind = "client",
        otel.status_code = field::Empty,
        db.system.name = "oceanbase",
        db.operation.name = operation(sql),
        db.response.status_code = field::Empty,
        "error.type" = field::Empty,
        server.address = endpoint.host.as_str(),
        server.port = endpoint.port,
    )
}

/// Waits for an answer within its span, which says how it failed.
pub(super) async fn asked<T>(
    span: &Span,
    answer: impl Future<Output = Result<Result<T, Error>, Elapsed>>,
) -> Result<Result<T, Error>, Elapsed> {
    let answer = answer.instrument(span.clone()).await;
    if span.is_disabled() {
        return answer;
    }
    let failed = match &answer {
        Ok(Ok(_)) => return answer,
        Ok(Err(Error::Server(error))) => {
            span.record("db.response.status_code", field::display(error.code));
            "server"
        }
        Ok(Err(Error::Io(_))) => "connection",
        Ok(Err(_)) => "driver",
        Err(_) => "timeout",
    };
    span.record("error.type", failed);
    span.record("otel.status_code", "ERROR");
    answer
}

/// The capital words that a statement begins with: what stands behind them may be a value.
fn operation(sql: &str) -> &str {
    let mut end = 0;
    for word in sql.split(' ').take(MOST_WORDS) {
        if word.is_empty() || !word.bytes().all(|letter| letter.is_ascii_uppercase()) {
            break;
        }
        end += word.len() + usize::from(end > 0);
    }
    &sql[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_statement_only_what_it_does_is_told() {
        for (sql, told) in [
            ("ALTER SYSTEM STOP SERVER '10.0.0.1:2882'", "ALTER SYSTEM STOP SERVER"),
            ("ALTER SYSTEM FORCE STOP SERVER '10.0.0.1:2882'", "ALTER SYSTEM FORCE STOP SERVER"),
            ("ALTER SYSTEM MINOR FREEZE SERVER = ('10.0.0.1:2882')", "ALTER SYSTEM MINOR FREEZE SERVER"),
            ("SET ob_query_timeout = 5", "SET"),
            ("KILL 123", "KILL"),
            ("s3cret", ""),
            ("", ""),
        ] {
            assert_eq!(operation(sql), told);
        }
    }
}
