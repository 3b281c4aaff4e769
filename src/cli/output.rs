//! Where output goes: data to standard output, everything else to standard error. The only writer of either besides the
//! live list.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::failure::Failure;
use super::style::Paint;

/// How data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one document, or one line per event of a watch.
    Json,
}

/// Writes data and notes.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// How data is written.
    pub format: Format,
    /// Colours of standard output.
    pub paint: Paint,
    /// Whether a list may be redrawn in place.
    pub live: bool,
}

impl Output {
    /// For this process's standard output.
    pub fn new(format: Format) -> Self {
        let terminal = io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR");
        Self {
            format,
            paint: Paint::choose(terminal, no_color.as_deref()),
            live: terminal && io::stderr().is_terminal() && format == Format::Text,
        }
    }

    /// Writes lines of data.
    pub fn lines(&self, lines: impl IntoIterator<Item = impl AsRef<str>>) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        for line in lines {
            writeln!(stdout, "{}", line.as_ref())?;
        }
        stdout.flush()?;
        Ok(())
    }

    /// Writes one line of data.
    pub fn line(&self, line: &str) -> Result<(), Failure> {
        self.lines([line])
    }

    /// Writes the one JSON document of a command.
    pub fn document(&self, document: &impl Serialize) -> Result<(), Failure> {
        self.line(&serde_json::to_string_pretty(document).map_err(io::Error::from)?)
    }

    /// Writes one of several JSON documents, as one line.
    pub fn json_line(&self, document: &impl Serialize) -> Result<(), Failure> {
        self.line(&serde_json::to_string(document).map_err(io::Error::from)?)
    }

    /// Tells a person something. A closed standard error stops nothing.
    pub fn note(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Colours for standard error.
    pub fn note_paint(&self) -> Paint {
        Paint::choose(io::stderr().is_terminal(), std::env::var_os("NO_COLOR").as_deref())
    }
}
