//! Where output goes: data to standard output, everything else to standard error. The only writer of either besides the
//! live list.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::failure::Failure;
use super::style::Paint;
use crate::domain::printable;

/// How data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one document, or one line per event of a watch.
    Json,
}

#[derive(Clone, Debug)]
pub enum Destination {
    Process,
    /// A string of data and one of notes.
    #[cfg(test)]
    Memory(std::sync::Arc<std::sync::Mutex<(String, String)>>),
}

#[derive(Clone, Debug)]
pub struct Output {
    destination: Destination,
    pub format: Format,
    /// Colours of standard output.
    pub paint: Paint,
    /// Whether a list may be redrawn in place.
    pub live: bool,
    /// Whether the command changes something: then it goes on to its own outcome when nobody reads any more.
    changes: bool,
}

impl Output {
    /// For this process's standard output, and a command that changes something or only reads.
    pub fn new(format: Format, changes: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR");
        Self {
            destination: Destination::Process,
            format,
            paint: Paint::choose(terminal, no_color.as_deref()),
            live: terminal && io::stderr().is_terminal() && format == Format::Text,
            changes,
        }
    }

    pub fn lines(&self, lines: impl IntoIterator<Item = impl AsRef<str>>) -> Result<(), Failure> {
        match &self.destination {
            Destination::Process => {
                // One write: a reader that has seen enough (`| grep -q`) must not make a document fail half-way.
                let mut text = String::new();
                for line in lines {
                    text.push_str(&self.shown(line.as_ref()));
                    text.push('\n');
                }
                let mut stdout = io::stdout().lock();
                match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.changes => {}
                    written => written.map_err(|error| self.failure(error))?,
                }
            }
            #[cfg(test)]
            Destination::Memory(written) => {
                for line in lines {
                    written.lock().unwrap().0.push_str(&format!("{}\n", self.shown(line.as_ref())));
                }
            }
        }
        Ok(())
    }

    pub fn line(&self, line: &str) -> Result<(), Failure> {
        self.lines([line])
    }

    /// Writes the one JSON document of a command.
    pub fn document(&self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(document).map_err(|error| self.failure(error.into()))?;
        self.line(&printable::json(text))
    }

    /// Writes one of several JSON documents, as one line.
    pub fn json_line(&self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(document).map_err(|error| self.failure(error.into()))?;
        self.line(&printable::json(text))
    }

    fn failure(&self, error: io::Error) -> Failure {
        Failure::Output { error, changes: self.changes }
    }

    /// Escapes everything in a line that acts on the terminal, except our own colours.
    fn shown<'a>(&self, line: &'a str) -> Cow<'a, str> {
        self.paint.only_colours(line)
    }

    /// Writes to a person on standard error. A closed standard error stops nothing.
    pub fn note(&self, text: &str) {
        match &self.destination {
            Destination::Process => {
                crate::telemetry::say(&self.note_paint().only_colours(text));
            }
            #[cfg(test)]
            Destination::Memory(written) => written.lock().unwrap().1.push_str(&format!("{text}\n")),
        }
    }

    /// Writes into memory, for tests.
    #[cfg(test)]
    pub(super) fn memory(format: Format) -> Self {
        Self {
            destination: Destination::Memory(Default::default()),
            format,
            paint: Paint::Plain,
            live: false,
            changes: false,
        }
    }

    /// What was written: data and notes.
    #[cfg(test)]
    pub(super) fn written(&self) -> (String, String) {
        match &self.destination {
            Destination::Process => Default::default(),
            Destination::Memory(written) => written.lock().unwrap().clone(),
        }
    }

    pub fn note_paint(&self) -> Paint {
        Paint::choose(io::stderr().is_terminal(), std::env::var_os("NO_COLOR").as_deref())
    }
}
