use std::process::ExitCode;

use clap::Parser;
#[derive(Parser)]
enum Cli {
    Sim(obsteward::sim::command::SimArgs),
}
fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    if std::path::Path::new(&name).file_name().is_some_and(|name| name == "observer") {
        return obsteward::sim::observer::main();
    }
    let Cli::Sim(args) = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(obsteward::sim::command::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
            ExitCode::FAILURE
//! Starts the command line.
use obsteward::cli;
#[tokio::main]
async fn main() -> ExitCode {
    cli::run(cli::Cli::parse()).await
}
