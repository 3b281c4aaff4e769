//! Starts the command line. A simulated observer is this same program under the name `observer`, as a host agent expects.

use std::process::ExitCode;

use obsteward::cli;

fn main() -> ExitCode {
    #[cfg(feature = "sim")]
    if is_observer() {
        return obsteward::sim::observer::main();
    }
    let cli = cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let exit = runtime.block_on(cli::run(cli));
            // A thread that looks up a name or hashes a password is not waited for.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            eprintln!("the runtime could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the program was started as a simulated cluster starts its observers: `bin/observer`.
#[cfg(feature = "sim")]
fn is_observer() -> bool {
    let name = std::env::args_os().next().unwrap_or_default();
    std::path::Path::new(&name).file_name().is_some_and(|name| name == "observer")
}
