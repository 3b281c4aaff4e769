//! Starts the command line.

use std::process::ExitCode;

use clap::Parser;
use obsteward::cli;

#[tokio::main]
async fn main() -> ExitCode {
    cli::run(cli::Cli::parse()).await
}
