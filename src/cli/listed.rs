//! Lists of messages: a table for people, and one JSON document for programs: `{"tasks":[…],"more":false}`.

use prost::{Message, Name};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::exit::Exit;
use super::failure::Failure;
use super::output::{Format, Output};
use super::table::Table;
use crate::proto::json::Json;

/// A list under its name.
#[derive(Debug)]
pub struct Listed<'a, M> {
    /// What is listed, as the protocol names the field.
    pub name: &'static str,
    pub messages: &'a [M],
    /// Whether there are more than were asked for; absent: all are here.
    pub more: Option<bool>,
}

impl<'a, M> Listed<'a, M> {
    /// A list of all that there are.
    pub const fn whole(name: &'static str, messages: &'a [M]) -> Self {
        Self { name, messages, more: None }
    }

    /// The first of a list, and whether there are more.
    pub const fn first(name: &'static str, messages: &'a [M], more: bool) -> Self {
        Self { name, messages, more: Some(more) }
    }
}

impl<M: Message + Name> Listed<'_, M> {
    pub fn show(&self, output: &Output, table: impl FnOnce(&[M]) -> Table) -> Result<Exit, Failure> {
        match output.format {
            Format::Text => {
                let table = table(self.messages);
                let wide = output.is_wide();
                output.lines(if wide { table.wide_lines(output.paint) } else { table.lines(output.paint) })?;
                if self.more == Some(true) {
                    let (number, name) = (self.messages.len(), self.name);
                    output.note(&format!("there are more than {number} {name}, see them with a larger --limit"));
                }
            }
            Format::Json => output.document(self)?,
        }
        Ok(Exit::Done)
    }
}

impl<M: Message + Name> Serialize for Listed<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_map(None)?;
        document.serialize_entry(self.name, &self.messages.iter().map(Json).collect::<Vec<_>>())?;
        if let Some(more) = self.more {
            document.serialize_entry("more", &more)?;
        }
        document.end()
    }
}
