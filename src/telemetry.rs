//! The log: lines on standard error, filtered, as text or JSON. Nothing secret is ever given to it.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Starts the log of this process; a second call changes nothing. A filter that is not understood counts as `info`. What other
/// crates say below `INFO` is left out whatever the filter says: it may show what they carry, passwords among it.
pub fn start(config: &LogConfig) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = filter.and(filter_fn(|metadata| *metadata.level() <= Level::INFO || is_ours(metadata.target())));
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let started = match config.format {
        LogFormat::Text => tracing_subscriber::registry().with(lines.with_filter(filter)).try_init(),
        LogFormat::Json => tracing_subscriber::registry().with(lines.json().with_filter(filter)).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!("the log was started already: {error}");
    }
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
}
