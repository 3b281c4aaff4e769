//! `obsteward man`: the manual pages, made from the definition of the command line. Asks no server.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;
use serde_json::json;

use super::exit::Exit;
use super::failure::Failure;
use super::output::{Format, Output};

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for each command into this directory, which is made when it is not there
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl ManArgs {
    pub const fn writes_files(&self) -> bool {
        self.directory.is_some()
    }
}

pub fn run(args: ManArgs, command: Command, output: &Output) -> Result<Exit, Failure> {
    let failed = |to: &str, error: io::Error| Failure::Local(format!("cannot write the manual to {to}: {error}"));
    // `help` repeats every command, and says what the pages say.
    let command = command.disable_help_subcommand(true);
    let Some(directory) = args.directory else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(|error| failed("memory", error))?;
        output.as_it_is(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Done);
    };
    write(command, &directory)
        .map_err(|error| failed(&format!("{}, name a directory that you may write to", directory.display()), error))?;
    match output.format {
        Format::Text => output.line(&format!("the manual pages are in {}", directory.display()))?,
        Format::Json => output.document(&json!({ "directory": directory.display().to_string() }))?,
    }
    Ok(Exit::Done)
}

fn write(command: Command, directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command, directory)
}
