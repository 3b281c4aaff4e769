//! A line of the log as one JSON object: `time`, `level`, `target`, `message`, `fields`, the `spans` that it was said in, `trace_id`
//! when it belongs to a trace, and `span_id` when spans are sent.

use std::fmt::{self, Debug};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;
use crate::telemetry::traces;

/// The name of the field in which spans and events say their trace.
const TRACE_ID: &str = "trace_id";

pub(super) struct JsonLines;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { message, mut fields } = fields;
        let mut spans = Vec::new();
        let mut trace = None;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let formatted = span.extensions();
            let formatted = formatted.get::<FormattedFields<JsonFields>>().map(|it| it.fields.as_str());
            let mut said: Map<String, Value> =
                formatted.and_then(|fields| serde_json::from_str(fields).ok()).unwrap_or_default();
            // The innermost knows best.
            trace = said.remove(TRACE_ID).or(trace);
            said.insert("name".to_owned(), span.name().into());
            spans.push(Value::Object(said));
        }
        let ids = traces::ids();
        let trace = fields.remove(TRACE_ID).or(trace).or_else(|| ids.as_ref().map(|(trace, _)| trace.clone().into()));
        let mut line = line(metadata.level().as_str(), metadata.target(), &message);
        line.insert("fields".to_owned(), fields.into());
        line.insert("spans".to_owned(), spans.into());
        line.extend(trace.map(|trace| (TRACE_ID.to_owned(), trace)));
        line.extend(ids.map(|(_, span)| ("span_id".to_owned(), span.into())));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// What every line has.
pub(super) fn line(level: &str, target: &str, message: &str) -> Map<String, Value> {
    let time = Clock::system().now().to_string();
    let facts = [("time", time.as_str()), ("level", level), ("target", target), ("message", message)];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// What an event says: its message, and everything else by its name.
#[derive(Default)]
struct Fields {
    message: String,
    fields: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        let name = field.name();
        self.fields.insert(name.strip_prefix("r#").unwrap_or(name).to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" { self.message = text } else { self.add(field, text) }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { value.clone_into(&mut self.message) } else { self.add(field, value) }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_object_with_what_was_said_and_the_trace_around_it() {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let layer = layer.fmt_fields(JsonFields::new()).event_format(JsonLines);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(count = 3_u64, ratio = 0.5, yes = true, "alone \"quoted\"\nand on");
            let call = tracing::error_span!("call", rpc = "Stop", trace_id = "abc", principal = tracing::field::Empty);
            call.in_scope(|| {
                call.record("principal", "ops");
                tracing::error_span!("subtask", id = 7).in_scope(|| tracing::info!(why = ?Some(1), "said"));
                tracing::info!(trace_id = "def", "of another");
            });
        });
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [alone, said, another] = &lines[..] else { panic!("{written}") };
        assert_eq!((&alone["message"], &alone["level"]), (&"alone \"quoted\"\nand on".into(), &"WARN".into()));
        assert_eq!(alone["fields"], serde_json::json!({"count": 3, "ratio": 0.5, "yes": true}));
        assert!(alone.get("trace_id").is_none() && alone.get("span_id").is_none());
        assert!(alone["time"].as_str().unwrap().ends_with('Z') && alone["target"] == module_path!(), "{alone}");
        assert_eq!((&said["trace_id"], &said["fields"]), (&"abc".into(), &serde_json::json!({"why": "Some(1)"})));
        let spans =
            serde_json::json!([{"name": "call", "rpc": "Stop", "principal": "ops"}, {"name": "subtask", "id": 7}]);
        assert_eq!(said["spans"], spans);
        assert_eq!(another["trace_id"], "def");
    }
}
