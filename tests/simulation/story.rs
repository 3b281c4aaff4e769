//! The story of a world in words: what was done, and what came of it. Nobody pays for it until it is wanted.

use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use obsteward::clock::monotonic_now;
use tokio::time::Instant;

/// Shared and cheap to clone.
#[derive(Clone, Default)]
pub struct Story(Option<Arc<Mutex<Told>>>);

struct Told {
    began: Instant,
    lines: Vec<(Duration, String)>,
}

impl Story {
    /// One that is told; needs a runtime's clock.
    pub fn told() -> Self {
        Self(Some(Arc::new(Mutex::new(Told { began: monotonic_now(), lines: Vec::new() }))))
    }

    pub fn tell(&self, line: impl Display) {
        if let Some(told) = &self.0 {
            let mut told = told.lock().unwrap();
            let at = told.began.elapsed();
            told.lines.push((at, line.to_string()));
        }
    }

    /// Adds what happened at other times.
    pub fn also(&self, lines: impl IntoIterator<Item = (Duration, String)>) {
        if let Some(told) = &self.0 {
            told.lock().unwrap().lines.extend(lines);
        }
    }

    /// All lines, in the order of their times.
    pub fn lines(&self) -> Vec<String> {
        let Some(told) = &self.0 else { return Vec::new() };
        let mut lines = told.lock().unwrap().lines.clone();
        lines.sort_by_key(|(at, _)| *at);
        lines.into_iter().map(|(at, line)| format!("{:>10.3} s  {line}", at.as_secs_f64())).collect()
    }
}
