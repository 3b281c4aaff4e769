//! Which holds are admitted, and how long their subtask may take.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::gate::Consent;
use crate::domain::hold::{Hold, HoldUntil, TIME_TO_START, longest_hold};
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;
use crate::store::inventory::ClusterRow;

/// A hold that is over before the cluster gives up the replicas of the server, or of which the caller accepted that it may not
/// be.
pub(super) fn admitted(
    until: HoldUntil,
    cluster: &ClusterRow,
    consent: &Consent,
    now: Timestamp,
) -> Result<Hold, Refusal> {
    let permanent_offline = cluster.permanent_offline_time();
    let (end, time) = match until {
        HoldUntil::Deadline(end) if end <= now => {
            let what = format!("{end} has passed, it is {now}; hold until a later moment");
            return Err(Refusal::field("hold_until", what));
        }
        HoldUntil::Deadline(end) => (end, end.since(now)),
        HoldUntil::For(time) => (now.plus(time), time),
    };
    let longest = longest_hold(permanent_offline);
    // Where no hold fits at all, the longest is none.
    if (time > longest || longest.is_zero()) && !consent.accepts(Risk::PermanentOffline) {
        let (longest_seconds, permanent_offline_seconds) = (longest.as_secs(), permanent_offline.as_secs());
        return Err(Refusal::HoldTooLong { until: end, longest_seconds, permanent_offline_seconds });
    }
    Ok(Hold { until, permanent_offline })
}

/// A host that does not answer at the end of its hold is waited for.
pub(super) fn longest_of_subtask(hold: &Hold, now: Timestamp) -> Duration {
    let asked = match hold.until {
        HoldUntil::Deadline(until) => until.since(now),
        HoldUntil::For(time) => time,
    };
    asked + hold.permanent_offline.max(TIME_TO_START)
}
