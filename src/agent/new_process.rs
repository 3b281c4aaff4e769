//! A process that was launched on Linux to be an observer.

use std::path::Path;

use tokio::time::Instant;

use crate::agent::launcher::{self, LaunchError, LaunchSpec, Launched, Launcher};
use crate::agent::log_tail::{FilePosition, TailLimits};
use crate::agent::machine::NewProcess;
use crate::clock;

/// The observer's own log, below its home.
const LOG: &str = "log/observer.log";
/// How much of log and output is reported of a process that died: together at most 20 lines and 8 KiB.
const TOLD_OF_LOG: TailLimits = TailLimits { lines: 15, bytes: 6 << 10 };
const TOLD_OF_OUTPUT: TailLimits = TailLimits { lines: 5, bytes: 2 << 10 };

#[derive(Debug)]
pub struct LinuxProcess {
    orders: LaunchSpec,
    launched: Launched,
    log: FilePosition,
    at: Instant,
}

impl LinuxProcess {
    /// Launches one. `Err`: nothing was started.
    pub async fn launch(launcher: &Launcher, orders: LaunchSpec) -> Result<Self, LaunchError> {
        let log = FilePosition::of(&orders.home.join(LOG));
        let launched = launcher::launch(launcher, &orders).await?;
        Ok(Self { orders, launched, log, at: clock::monotonic_now() })
    }
}

impl NewProcess for LinuxProcess {
    fn at(&self) -> Instant {
        self.at
    }

    fn home(&self) -> &Path {
        &self.orders.home
    }

    fn first(&self) -> u32 {
        self.launched.pid
    }

    fn end(&self) -> Option<String> {
        self.launched.end()
    }

    fn words(&self) -> String {
        let LaunchSpec { home, program, arguments, .. } = &self.orders;
        let line: Vec<String> =
            std::iter::once(program.display().to_string()).chain(arguments.iter().cloned()).collect();
        let notes = &self.launched.notes;
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        format!("{} was started in {}{notes}", line.join(" "), home.display())
    }

    fn last_log_lines(&self) -> Vec<String> {
        let mut lines = FilePosition::before(&self.orders.output).last_lines(TOLD_OF_OUTPUT);
        lines.extend(self.log.last_lines(TOLD_OF_LOG));
        lines
    }
}
