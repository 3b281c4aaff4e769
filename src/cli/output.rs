//! Where output goes: data to standard output, everything else to standard error. The only writer of either besides the
//! live list and the screen of `watch`.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::failure::Failure;
use super::style::Paint;
use super::yaml;
use crate::domain::printable;

/// How results are written, as it is asked for (`--output`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Tables and sentences, for people; also called text
    #[value(alias = "text")]
    Table,
    /// The same, with more columns in the lists that have more
    Wide,
    /// For programs: one document, or one line for each message of a watch
    Json,
    /// The same as json, written as YAML; a watch is a stream of documents
    Yaml,
}

/// For whom data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: what is JSON, in [`Output::document`]'s notation.
    Json,
}

impl Form {
    const fn format(self) -> Format {
        match self {
            Self::Table | Self::Wide => Format::Text,
            Self::Json | Self::Yaml => Format::Json,
        }
    }
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
    form: Form,
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
    pub fn new(form: Form, changes: bool) -> Self {
        let format = form.format();
        let terminal = io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR");
        Self {
            destination: Destination::Process,
            form,
            format,
            paint: Paint::choose(terminal, no_color.as_deref()),
            live: terminal && io::stderr().is_terminal() && format == Format::Text,
            changes,
        }
    }

    /// Whether lists show their wide columns too.
    pub fn is_wide(&self) -> bool {
        self.form == Form::Wide
    }

    pub fn lines(&self, lines: impl IntoIterator<Item = impl AsRef<str>>) -> Result<(), Failure> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&self.shown(line.as_ref()));
            text.push('\n');
        }
        self.as_it_is(&text)
    }

    /// Writes what this program alone has made, such as a script or a manual page: nothing in it is escaped.
    pub fn as_it_is(&self, text: &str) -> Result<(), Failure> {
        match &self.destination {
            // One write: a reader that has seen enough (`| grep -q`) must not make a document fail half-way.
            Destination::Process => {
                let mut stdout = io::stdout().lock();
                match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.changes => {}
                    written => written.map_err(|error| self.failure(error))?,
                }
            }
            #[cfg(test)]
            Destination::Memory(written) => written.lock().unwrap().0.push_str(text),
        }
        Ok(())
    }

    pub fn line(&self, line: &str) -> Result<(), Failure> {
        self.lines([line])
    }

    /// Writes the one document of a command, as JSON or YAML.
    pub fn document(&self, document: &impl Serialize) -> Result<(), Failure> {
        match self.form {
            Form::Table | Form::Wide | Form::Json => {
                let text = serde_json::to_string_pretty(document).map_err(|error| self.failure(error.into()))?;
                self.line(&printable::json(text))
            }
            Form::Yaml => self.line(&self.yaml(document)?),
        }
    }

    /// Writes one of several documents: as one line of JSON, or as a YAML document behind its mark.
    pub fn json_line(&self, document: &impl Serialize) -> Result<(), Failure> {
        match self.form {
            Form::Table | Form::Wide | Form::Json => {
                let text = serde_json::to_string(document).map_err(|error| self.failure(error.into()))?;
                self.line(&printable::json(text))
            }
            Form::Yaml => self.line(&format!("---\n{}", self.yaml(document)?)),
        }
    }

    fn yaml(&self, document: &impl Serialize) -> Result<String, Failure> {
        let value = serde_json::to_value(document).map_err(|error| self.failure(error.into()))?;
        Ok(yaml::document(&value))
    }

    pub(super) fn failure(&self, error: io::Error) -> Failure {
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
        let form = match format {
            Format::Text => Form::Table,
            Format::Json => Form::Json,
        };
        Self::memory_of(form)
    }

    #[cfg(test)]
    pub(super) fn memory_of(form: Form) -> Self {
        Self {
            destination: Destination::Memory(Default::default()),
            form,
            format: form.format(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_is_the_same_document_as_json() {
        let document = serde_json::json!({ "tasks": [{ "id": 7, "reason": "a: b\u{202e}" }], "more": false });
        let written = |form, several: bool| {
            let output = Output::memory_of(form);
            for _ in 0..if several { 2 } else { 1 } {
                if several { output.json_line(&document).unwrap() } else { output.document(&document).unwrap() }
            }
            output.written().0
        };
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written(Form::Json, false)).unwrap(), document);
        assert_eq!(serde_yaml_ng::from_str::<serde_json::Value>(&written(Form::Yaml, false)).unwrap(), document);
        let several = written(Form::Yaml, true);
        let read = serde_yaml_ng::Deserializer::from_str(&several);
        let read: Vec<serde_json::Value> = read.map(|one| serde::Deserialize::deserialize(one).unwrap()).collect();
        assert_eq!(read, [document.clone(), document]);
    }
}
