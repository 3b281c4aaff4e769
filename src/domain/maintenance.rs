//! When tasks may begin on a cluster, and for which of them somebody else must agree: windows and exclusions, read as a person reads
//! a wall clock in the policy's time zone. Pure.
//!
//! A moment is inside a window when the clock on the wall shows a time of it. So an hour that does not exist is in no window, and one
//! that comes twice is in its window twice; [`MaintenancePolicy::odd_hours`] says where that happens.

mod exclusion;
#[cfg(test)]
mod tests;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::clock::Timestamp;
use crate::domain::status::Risk;

pub use exclusion::{Exclusion, InvalidExclusion};
pub use window::{InvalidWindow, Window};

/// How far ahead a next window is looked for.
const FORESIGHT_DAYS: i32 = 400;
/// How long an approval holds when the policy does not say.
pub const DEFAULT_APPROVAL_TIME: Duration = Duration::from_secs(24 * 3600);

/// Which requests wait for the approval of somebody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ApprovalRule {
    #[default]
    Never,
    /// Those that accept one of these.
    Risks(Vec<Risk>),
    Always,
}

impl ApprovalRule {
    /// Whether a request that accepts these risks waits.
    pub fn covers(&self, accepted: &[Risk]) -> bool {
        match self {
            Self::Never => false,
            Self::Risks(risks) => accepted.iter().any(|risk| risks.contains(risk)),
            Self::Always => true,
        }
    }
}

/// What holds for the tasks of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenancePolicy {
    pub time_zone: TimeZone,
    /// None: always.
    pub windows: Vec<Window>,
    /// Nothing begins in these, also inside a window.
    pub exclusions: Vec<Exclusion>,
    /// Whether it holds for tasks too that only bring something back into service.
    pub starts: bool,
    pub approval: ApprovalRule,
    /// How long an approval holds.
    pub approval_time: Duration,
}

impl Default for MaintenancePolicy {
    /// Of a cluster that no policy names: everything may begin.
    fn default() -> Self {
        Self {
            time_zone: TimeZone::UTC,
            windows: Vec::new(),
            exclusions: Vec::new(),
            starts: false,
            approval: ApprovalRule::Never,
            approval_time: DEFAULT_APPROVAL_TIME,
        }
    }
}

/// The policies of all clusters.
#[derive(Clone, Debug, Default)]
pub struct MaintenancePolicies {
    /// By the names of clusters.
    named: HashMap<String, Arc<MaintenancePolicy>>,
    /// Of every other.
    other: Arc<MaintenancePolicy>,
}

impl MaintenancePolicies {
    pub fn new(named: HashMap<String, MaintenancePolicy>, other: MaintenancePolicy) -> Self {
        let named = named.into_iter().map(|(cluster, policy)| (cluster, Arc::new(policy)));
        Self { named: named.collect(), other: Arc::new(other) }
    }

    pub fn of(&self, cluster: &str) -> &Arc<MaintenancePolicy> {
        self.named.get(cluster).unwrap_or(&self.other)
    }
}

/// Nothing may begin now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The exclusion that it is in; `None`: it is in no window.
    pub exclusion: Option<String>,
    /// When something may begin; `None`: not within 400 days.
    pub next: Option<Timestamp>,
}

impl MaintenancePolicy {
    /// Whether a task may begin at this moment. `starts`: it only brings something back into service.
    pub fn admits(&self, now: Timestamp, starts: bool) -> Result<(), Closed> {
        if starts && !self.starts {
            return Ok(());
        }
        // A clock beyond all calendars: nothing is known of its hours.
        let Some(shown) = self.wall_clock(now) else { return Err(Closed { exclusion: None, next: None }) };
        if self.is_open(shown) {
            return Ok(());
        }
        let exclusion = self.exclusions.iter().find(|exclusion| exclusion.contains(shown)).map(ToString::to_string);
        Err(Closed { exclusion, next: self.next_opening(now, shown.date()) })
    }

    /// Whether a task that accepts these risks waits for somebody else's approval.
    pub fn wants_approval(&self, accepted: &[Risk], starts: bool) -> bool {
        (self.starts || !starts) && self.approval.covers(accepted)
    }

    fn wall_clock(&self, at: Timestamp) -> Option<DateTime> {
        let at = jiff::Timestamp::from_microsecond(at.as_micros()).ok()?;
        Some(self.time_zone.to_datetime(at))
    }

    fn is_open(&self, shown: DateTime) -> bool {
        let inside = self.windows.is_empty() || self.windows.iter().any(|window| window.contains(shown));
        inside && !self.exclusions.iter().any(|exclusion| exclusion.contains(shown))
    }

    /// Looked for near by first: it is asked for with every look at what waits.
    fn next_opening(&self, now: Timestamp, today: Date) -> Option<Timestamp> {
        [3, 10]
            .into_iter()
            .find_map(|days| {
                // What begins on the days behind these is later than this, however the clock on the wall is set.
                let sure = now.plus(Duration::from_secs((days - 2) * 24 * 3600));
                let days = i32::try_from(days).ok()?;
                self.next_opening_within(now, today, days).filter(|found| *found <= sure)
            })
            .or_else(|| self.next_opening_within(now, today, FORESIGHT_DAYS))
    }

    /// It can open only where a window begins, an exclusion ends, or the clock on the wall is set.
    fn next_opening_within(&self, now: Timestamp, today: Date, days: i32) -> Option<Timestamp> {
        let mut moments = self.exclusions.iter().flat_map(|one| self.moments_of(one.end())).collect::<Vec<_>>();
        let mut day = today.yesterday().ok()?;
        for _ in 0..=days {
            let begins = self.windows.iter().filter_map(|window| window.begins_on(day));
            moments.extend(begins.flat_map(|begins| self.moments_of(begins)));
            day = day.tomorrow().ok()?;
        }
        let last = moments.iter().max().copied()?;
        let from = jiff::Timestamp::from_microsecond(now.as_micros()).ok()?;
        let set = self.time_zone.following(from).map(|transition| transition.timestamp());
        moments.extend(set.take_while(|at| *at <= last));
        moments.sort_unstable();
        let later = moments.into_iter().filter(|at| *at > from);
        let mut open = later.filter(|at| self.is_open(self.time_zone.to_datetime(*at)));
        open.next().map(|at| Timestamp::from_micros(at.as_microsecond()))
    }

    /// The moments at which the clock on the wall comes to show this: one, two where the hour comes twice; where it does not exist, the
    /// moment at which the clock jumps over it.
    fn moments_of(&self, shown: DateTime) -> Vec<jiff::Timestamp> {
        let ambiguous = self.time_zone.to_ambiguous_timestamp(shown);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => ambiguous.compatible().into_iter().collect(),
            AmbiguousOffset::Fold { .. } => {
                [ambiguous.earlier(), ambiguous.later()].into_iter().filter_map(Result::ok).collect()
            }
            AmbiguousOffset::Gap { .. } => {
                let before = ambiguous.earlier().ok();
                let jump = before.and_then(|before| self.time_zone.following(before).next());
                jump.map(|jump| jump.timestamp()).into_iter().collect()
            }
        }
    }

    /// Where windows begin or end, within the next 400 days, at a time that does not exist or comes twice, in words.
    pub fn odd_hours(&self, now: Timestamp) -> Vec<String> {
        let Some(today) = self.wall_clock(now).map(DateTime::date) else { return Vec::new() };
        let mut found = Vec::new();
        let mut day = today;
        for _ in 0..FORESIGHT_DAYS {
            for window in &self.windows {
                let ends = [("begins", window.begins_on(day)), ("ends", window.ends_of(day))];
                for (what, shown) in ends.into_iter().filter_map(|(what, shown)| Some((what, shown?))) {
                    found.extend(self.odd(window, what, shown));
                }
            }
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        found
    }

    fn odd(&self, window: &Window, what: &str, shown: DateTime) -> Option<String> {
        let zone = self.time_zone.iana_name().unwrap_or("its time zone");
        let (date, time) = (shown.date(), shown.time().strftime("%H:%M"));
        match self.time_zone.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { .. } => None,
            AmbiguousOffset::Gap { .. } => Some(format!(
                "window {window} {what} at {time}, which does not exist on {date} in {zone}: the clock jumps over it, and so \
                 does what is left of the window"
            )),
            AmbiguousOffset::Fold { .. } => Some(format!(
                "window {window} {what} at {time}, which comes twice on {date} in {zone}: the window is open both times"
            )),
        }
    }
}
