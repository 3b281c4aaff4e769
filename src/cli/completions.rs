//! `obsteward completions`: what a shell needs to complete the command line, made from its definition. Asks no server.

use clap::{Args, Command};
use clap_complete::Shell;

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell that they are for
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

pub fn run(args: CompletionsArgs, mut command: Command, output: &Output) -> Result<Exit, Failure> {
    let name = command.get_name().to_owned();
    // Into memory: it panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    output.as_it_is(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
