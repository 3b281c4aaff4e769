//! Starts the command line. A simulated observer is this same program under the name `observer`, as a host agent expects.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Tasks are small things that one thread makes and another drops, where the system's allocator is slow (docs/performance.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    #[cfg(feature = "sim")]
    if is_observer() {
        return obsteward::sim::observer::main();
    }
    obsteward::cli::main()
}

/// Whether the program was started as a simulated cluster starts its observers: `bin/observer`.
#[cfg(feature = "sim")]
fn is_observer() -> bool {
    let name = std::env::args_os().next().unwrap_or_default();
    std::path::Path::new(&name).file_name().is_some_and(|name| name == "observer")
}
