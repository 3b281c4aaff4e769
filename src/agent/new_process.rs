//! A process that was launched to be an observer, and what is reported of it.

use std::path::Path;

use tokio::time::Instant;

use crate::agent::launcher::{self, LaunchError, LaunchSpec, Launched, Launcher};
use crate::agent::ledger::Answer;
use crate::agent::log_tail::{FilePosition, TailLimits};
use crate::clock;
use crate::domain::host::ObserverIdentity;

/// The observer's own log, below its home.
const LOG: &str = "log/observer.log";
/// How much of log and output is reported of a process that died: together at most 20 lines and 8 KiB.
const TOLD_OF_LOG: TailLimits = TailLimits { lines: 15, bytes: 6 << 10 };
const TOLD_OF_OUTPUT: TailLimits = TailLimits { lines: 5, bytes: 2 << 10 };

#[derive(Debug)]
pub struct NewProcess {
    orders: LaunchSpec,
    launched: Launched,
    log: FilePosition,
    at: Instant,
}

impl NewProcess {
    /// Launches one. `Err`: nothing was started.
    pub async fn launch(launcher: &Launcher, orders: LaunchSpec) -> Result<Self, LaunchError> {
        let log = FilePosition::of(&orders.home.join(LOG));
        let launched = launcher::launch(launcher, &orders).await?;
        Ok(Self { orders, launched, log, at: clock::monotonic_now() })
    }

    pub const fn at(&self) -> Instant {
        self.at
    }

    pub fn home(&self) -> &Path {
        &self.orders.home
    }

    /// The process that was launched; when the observer runs as a daemon, only its parent.
    pub const fn first(&self) -> u32 {
        self.launched.pid
    }

    /// How the first process ended, in words; `None` while it runs.
    pub fn end(&self) -> Option<String> {
        self.launched.end()
    }

    fn words(&self) -> String {
        let LaunchSpec { home, program, arguments, .. } = &self.orders;
        let line: Vec<String> =
            std::iter::once(program.display().to_string()).chain(arguments.iter().cloned()).collect();
        let after = clock::monotonic_now().duration_since(self.at);
        let notes = &self.launched.notes;
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        format!("{} was started in {}{notes}; {after:.1?} later ", line.join(" "), home.display())
    }

    /// The answer when the process is the observer.
    pub fn started(&self, identity: ObserverIdentity, listens: bool) -> Answer {
        let does = if listens { "listens" } else { "runs and does not listen yet" };
        Answer::Started { evidence: format!("{}{identity} {does}", self.words()), identity, listens }
    }

    /// The answer when nothing of the process is left.
    pub fn died(&self, end: &str) -> Answer {
        let evidence = format!("{}nothing of it runs any more, its first process ended with {end}", self.words());
        let mut last_log_lines = FilePosition::before(&self.orders.output).last_lines(TOLD_OF_OUTPUT);
        last_log_lines.extend(self.log.last_lines(TOLD_OF_LOG));
        Answer::Died { evidence, last_log_lines }
    }

    /// The answer when it could not be found out whether what runs is the observer.
    pub fn unclear(&self, why: &str) -> Answer {
        let pid = self.launched.pid;
        Answer::Unclear { evidence: format!("{}pid {pid} runs, but {why}: look again", self.words()) }
    }
}
