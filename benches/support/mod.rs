//! What the measurements share: arguments, one JSON line per figure, percentiles, and the count of syncs to disk.
//!
//! A measurement is a plain program. `--quick` makes it short; otherwise it takes as long as a steady figure needs.
#![allow(dead_code, reason = "each measurement uses a part of it")]

pub mod syncs;

use std::time::Duration;

use mimalloc::MiMalloc;
use serde_json::{Map, Value};
use tokio::time::Instant;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How long a database may take to start.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn now() -> Instant {
    obsteward::clock::monotonic_now()
}

/// Whether figures are wanted at once, and may be rough.
pub fn quick() -> bool {
    std::env::args().any(|argument| argument == "--quick")
}

/// How much of something is measured.
pub fn amount(steady: usize, quickly: usize) -> usize {
    if quick() { quickly } else { steady }
}

/// One figure with its settings, as a line of JSON.
pub fn figure<'a>(name: &str, values: impl IntoIterator<Item = (&'a str, Value)>) {
    let mut line = Map::new();
    line.insert("figure".to_owned(), name.into());
    line.extend(values.into_iter().map(|(name, value)| (name.to_owned(), value)));
    println!("{}", Value::Object(line));
}

/// Per second, whole.
pub fn rate(count: usize, took: Duration) -> Value {
    ((count as f64 / took.as_secs_f64()).round() as u64).into()
}

/// With so many digits behind the point.
pub fn rounded(value: f64, digits: i32) -> Value {
    let scale = 10_f64.powi(digits);
    ((value * scale).round() / scale).into()
}

/// Milliseconds, to the microsecond.
pub fn millis(duration: Duration) -> Value {
    rounded(duration.as_secs_f64() * 1000.0, 3)
}

/// A share of the durations is not longer than this; sorts them.
pub fn percentile(durations: &mut [Duration], share: f64) -> Duration {
    durations.sort_unstable();
    let last = durations.len().saturating_sub(1);
    durations.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}
