//! `obsteward check-config`: whether a service could start with a configuration, and what a person should know of it; starts nothing.

use crate::app;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::serve::ServeArgs;
use crate::clock::Clock;

pub fn run(args: ServeArgs, output: &Output) -> Result<Exit, Failure> {
    let config = args.config()?;
    let notes = app::check(&config, Clock::system().now()).map_err(|error| Failure::Usage(error.to_string()))?;
    for note in notes {
        output.note(&format!("note: {note}"));
    }
    output.line("the configuration is valid")?;
    Ok(Exit::Done)
}
