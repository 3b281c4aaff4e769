//! The log: lines on standard error, filtered, as text or JSON. Nothing secret is ever passed to it. A stalled reader costs
//! lines and nothing else: see `log_writer`. What is counted and measured is declared in `metrics`, what goes into traces is sent by
//! `traces`. May use `config`, `clock` and `net`.

mod json_lines;
mod log_writer;
pub mod metrics;
pub mod traces;

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tracing::{Level, Metadata};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::Clock;
use crate::config::{LogConfig, LogFormat, TracesConfig};
use json_lines::JsonLines;
use log_writer::LogWriter;
use traces::TracesError;

/// Time for the reader to take the last lines when the process ends.
const LAST_LINES: Duration = Duration::from_millis(200);

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Set once the log of this process was started.
static LINES: OnceLock<(LogWriter, LogFormat)> = OnceLock::new();

/// Starts the log of this process, and its traces under the name of a service; a second call changes nothing. A filter that cannot be
/// parsed counts as `info`. Messages of other crates below `INFO` are dropped whatever the filter says: they may contain what the
/// crates transport, passwords included. Panics are logged from then on. Call it within a runtime, which sends the spans of traces.
pub fn start(config: &LogConfig, traces: &TracesConfig, service: &'static str) -> Result<(), TracesError> {
    if LINES.get().is_some() {
        return Ok(());
    }
    let traces = traces::layer(traces, service)?;
    let lost = match config.format {
        LogFormat::Text => lost_as_text,
        LogFormat::Json => lost_as_json,
    };
    let log_writer = match LogWriter::start(std::io::stderr(), lost) {
        Ok(log_writer) => &LINES.get_or_init(|| (log_writer, config.format)).0,
        Err(error) => {
            say(&format!("there is no log, its thread cannot be started: {error}"));
            return Ok(());
        }
    };
    let registry = tracing_subscriber::registry().with(layers(config, traces, move || log_writer));
    if let Err(error) = registry.try_init() {
        tracing::debug!("the log was started already: {error}");
    }
    // The default hook writes to standard error directly, and would wait for its reader.
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        tracing::error!("thread {:?}: {panic}{backtrace}", thread.name().unwrap_or("unnamed"));
    }));
    Ok(())
}

/// Those that listen, each with a filter of its own: one without would have every span of every crate made, though it is nowhere told.
fn layers(
    config: &LogConfig,
    traces: Option<BoxedLayer>,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> Vec<BoxedLayer> {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let is_told = |metadata: &Metadata<'_>| {
        (*metadata.level() <= Level::INFO || is_ours(metadata.target())) && !traces::is_span(metadata)
    };
    // What the filter lets through is known by its level first, which costs next to nothing where it is not told.
    let filter = filter.and(filter_fn(is_told).with_max_level_hint(LevelFilter::TRACE));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(std::io::stderr().is_terminal());
    let lines = match config.format {
        LogFormat::Text => layer.with_filter(filter).boxed(),
        LogFormat::Json => layer.fmt_fields(JsonFields::new()).event_format(JsonLines).with_filter(filter).boxed(),
    };
    traces.into_iter().chain([lines]).collect()
}

/// Prints a line that is no event, such as where a program listens: through the log once that was started, so that nothing
/// waits for its reader. A closed standard error is ignored.
pub fn say(line: &str) {
    match LINES.get() {
        Some((log_writer, LogFormat::Text)) => log_writer.push(format!("{line}\n").into_bytes()),
        Some((log_writer, LogFormat::Json)) => log_writer.push(as_json("INFO", line, []).into_bytes()),
        None => _ = writeln!(std::io::stderr().lock(), "{line}"),
    }
}

/// Waits a moment at most for the reader to take what was logged. Call it before the process ends.
pub fn flush() {
    if let Some((log_writer, _)) = LINES.get() {
        log_writer.flush(LAST_LINES);
    }
}

fn lost_words(lost: u64) -> String {
    format!("{lost} lines of the log were lost here, nobody read them in time")
}

fn lost_as_text(lost: u64) -> String {
    format!("{}  WARN {}: {}\n", Clock::system().now(), module_path!(), lost_words(lost))
}

fn lost_as_json(lost: u64) -> String {
    as_json("WARN", &lost_words(lost), [("lost".to_owned(), lost.into())])
}

fn as_json(level: &str, message: &str, fields: impl IntoIterator<Item = (String, Value)>) -> String {
    let mut line = json_lines::line(level, module_path!(), message);
    line.insert("fields".to_owned(), Value::Object(fields.into_iter().collect()));
    format!("{}\n", Value::Object(line))
}

fn is_ours(target: &str) -> bool {
    target.split("::").next() == Some(env!("CARGO_CRATE_NAME"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_what_this_crate_says() {
        assert!(is_ours(module_path!()) && is_ours("obsteward"));
        assert!(!is_ours("h2::codec") && !is_ours("obstewardish::x"));
    }

    /// Libraries have spans at every frame and call.
    #[test]
    fn spans_that_nobody_is_told_of_are_not_made() {
        let silent = tracing_subscriber::registry().with(layers(&LogConfig::default(), None, std::io::sink));
        assert_eq!(tracing::Subscriber::max_level_hint(&silent), Some(LevelFilter::INFO));
        tracing::subscriber::with_default(silent, || {
            assert!(tracing::trace_span!(target: "h2", "frame").is_disabled());
            assert!(tracing::info_span!(target: traces::SPAN, "call").is_disabled());
            assert!(!tracing::info_span!("task").is_disabled());
        });
    }

    #[test]
    fn a_loss_is_told_in_the_form_of_the_log() {
        assert!(
            lost_as_text(3)
                .ends_with(" WARN obsteward::telemetry: 3 lines of the log were lost here, nobody read them in time\n")
        );
        let line: serde_json::Value = serde_json::from_str(&lost_as_json(3)).unwrap();
        assert_eq!((&line["fields"]["lost"], &line["level"]), (&serde_json::json!(3), &serde_json::json!("WARN")));
    }
}
