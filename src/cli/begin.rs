//! When what is asked for begins: now or refused, or later as a PENDING task.

use clap::Args;

use super::times::{self, Since};
use crate::clock::{Clock, Timestamp};
use crate::proto::v1;

/// Options of every command that asks for a task.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct BeginArgs {
    /// Wait as a PENDING task for what keeps it from beginning (a maintenance window, a change freeze, a task that holds the
    /// cluster), instead of being refused
    #[arg(long)]
    pub queue: bool,
    /// Do not begin before this: a moment such as 2026-01-02T22:00:00+01:00, or a time from now such as 6h
    #[arg(long, value_name = "WHEN", value_parser = times::parse_since)]
    not_before: Option<Since>,
}

/// Checks that say when something begins, and not what it would meet.
const OF_BEGINNING: [&str; 3] = ["CLUSTER_FREE", "MAINTENANCE_WINDOW", "CHANGE_FREEZE"];

impl BeginArgs {
    /// `None`: nothing was said.
    pub fn options(&self) -> Option<v1::BeginOptions> {
        let not_before = self.not_before.map(|at| times::to_proto(self.moment(at, Clock::system().now())));
        (self.queue || not_before.is_some()).then_some(v1::BeginOptions { not_before, queue: self.queue })
    }

    fn moment(&self, at: Since, now: Timestamp) -> Timestamp {
        match at {
            Since::Ago(from_now) => now.plus(from_now),
            Since::At(moment) => moment,
        }
    }

    /// Whether a check that blocks now is no reason not to ask: it will be looked at when the task begins.
    pub fn waits_for(&self, check: &v1::PlanCheck) -> bool {
        let later = self.queue || (self.not_before.is_some() && check.name == "MAINTENANCE_WINDOW");
        later && OF_BEGINNING.contains(&check.name.as_str())
    }
}
