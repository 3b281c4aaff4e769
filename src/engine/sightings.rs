//! What a replica sees of the others, and what follows: which of them is buried, which tasks this one takes over, and who has a share
//! of work that is shared out. Pure: moments are those of the boot clock that the caller read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::ids::{Fence, ReplicaId, TaskId};
use crate::store::replicas::{LEASE, OwnedTask, ReplicaRow, ReplicaState};

/// Another replica is buried so long after its lease must have ended.
const BURY_MARGIN: Duration = Duration::from_millis(250);
/// Who could not look for so long has not seen what others did meanwhile, and begins to count anew: behind an outage of the
/// database nobody buries anybody who only could not renew either.
const LONGEST_GAP: Duration = Duration::from_secs(2);
/// A task without an owner may be just beginning: whoever began it gets so long to drive it.
const UNOWNED: Duration = Duration::from_secs(2);
/// Tasks of replicas that are gone are shared out among those that have fewest; what is left for so long anybody takes.
const LEFT_OVER: Duration = Duration::from_secs(1);

/// What was seen of others, by the boot clock.
#[derive(Default)]
pub(super) struct Sightings {
    /// When others were last looked at.
    looked: Duration,
    /// The last number of renewals, and when it was first seen.
    renewals: BTreeMap<ReplicaId, (i64, Duration)>,
    /// Those that renew their lease.
    pub(super) live: BTreeSet<ReplicaId>,
    /// Tasks that nobody drives: the fence, and when that was first seen.
    idle: BTreeMap<TaskId, (Fence, Duration)>,
}

impl Sightings {
    /// Replicas whose lease has ended, with their last renewal.
    pub(super) fn ended(&mut self, rows: &[ReplicaRow], me: ReplicaId, now: Duration) -> Vec<(ReplicaId, i64)> {
        self.live = rows.iter().filter(|row| row.state == ReplicaState::Live).map(|row| row.id).collect();
        if now.saturating_sub(std::mem::replace(&mut self.looked, now)) > LONGEST_GAP {
            self.renewals.clear();
        }
        let others = rows.iter().filter(|row| row.state == ReplicaState::Live && row.id != me);
        let seen: BTreeMap<_, _> = others
            .map(|row| {
                let known = self.renewals.get(&row.id).filter(|(renewals, _)| *renewals == row.renewals);
                (row.id, (row.renewals, known.map_or(now, |(_, since)| *since)))
            })
            .collect();
        self.renewals = seen;
        let ended = self.renewals.iter().filter(|(_, (_, since))| now.saturating_sub(*since) >= LEASE + BURY_MARGIN);
        ended.map(|(id, (renewals, _))| (*id, *renewals)).collect()
    }

    /// Tasks to take over. `at_once`: also those that have no owner, whoever may be beginning them.
    pub(super) fn orphans(
        &mut self,
        owned: Vec<OwnedTask>,
        situation: &Situation<'_>,
        at_once: bool,
    ) -> Vec<OwnedTask> {
        let Situation { live, me, running, now } = *situation;
        let total = owned.len();
        let idle: Vec<OwnedTask> = owned
            .into_iter()
            .filter(|task| !running.contains(&task.task))
            .filter(|task| task.owner.is_none_or(|owner| owner == me || !live.contains(&owner)))
            .collect();
        let seen: BTreeMap<TaskId, (Fence, Duration)> = idle
            .iter()
            .map(|task| {
                let known = self.idle.get(&task.task).filter(|(fence, _)| *fence == task.fence);
                (task.task, (task.fence, known.map_or(now, |(_, since)| *since)))
            })
            .collect();
        self.idle = seen;
        let mut room = total.div_ceil(live.len().max(1)).saturating_sub(running.len());
        idle.into_iter()
            .filter(|task| {
                let idle_for =
                    self.idle.get(&task.task).map(|(_, since)| now.saturating_sub(*since)).unwrap_or_default();
                let gone = task.owner.is_some_and(|owner| owner != me);
                let wanted = gone || at_once || idle_for >= UNOWNED;
                let takes = wanted && (room > 0 || idle_for >= LEFT_OVER);
                room = room.saturating_sub(usize::from(takes));
                takes
            })
            .collect()
    }
}

/// What a sweep knows.
#[derive(Clone, Copy)]
pub(super) struct Situation<'a> {
    pub live: &'a BTreeSet<ReplicaId>,
    pub me: ReplicaId,
    pub running: &'a BTreeSet<TaskId>,
    /// By the boot clock.
    pub now: Duration,
}

/// Which of these replicas has a share of what is numbered so: the one for which both numbers mix to most. When one goes, only its
/// shares move.
pub(super) fn has_share(live: &BTreeSet<ReplicaId>, me: ReplicaId, number: i64) -> bool {
    let mixed = |replica: &ReplicaId| mix(mix(replica.get().cast_unsigned()) ^ number.cast_unsigned());
    live.iter().max_by_key(|replica| (mixed(replica), **replica)).is_none_or(|first| *first == me)
}

/// The finalizer of SplitMix64: the same in every version of the program, which several replicas may run.
const fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::ids::ClusterKey;

    fn replica(id: i64) -> ReplicaId {
        ReplicaId::new(id).unwrap()
    }

    fn row(id: i64, renewals: i64, state: ReplicaState) -> ReplicaRow {
        let at = Timestamp::default();
        ReplicaRow {
            id: replica(id),
            name: String::new(),
            address: String::new(),
            version: String::new(),
            start_time: at,
            end_time: None,
            state,
            renewals,
            renew_time: at,
            tasks: 0,
        }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_who_does_not_renew_for_a_whole_lease_is_buried() {
        let mut sightings = Sightings::default();
        let rows = |second, third| {
            [row(1, 1, ReplicaState::Live), row(2, second, ReplicaState::Live), row(3, third, ReplicaState::Live)]
        };
        // Looked at all the while, with these numbers of renewals.
        let mut look = |from: u64, to: u64, rows: &[ReplicaRow]| {
            (from..to).fold(Vec::new(), |_, second| sightings.ended(rows, replica(1), secs(second)))
        };
        assert_eq!(look(100, 105, &rows(5, 5)), []);
        assert_eq!(look(105, 110, &rows(5, 6)), []);
        assert_eq!(look(110, 112, &rows(5, 6)), [(replica(2), 5)]);
        // It has come back in time: somebody was slow to look.
        assert_eq!(look(112, 118, &rows(6, 7)), []);
        let mut gone = rows(6, 7);
        gone[1].state = ReplicaState::Left;
        assert_eq!(look(118, 124, &gone), [(replica(3), 7)]);
        // Nobody saw what was in between.
        assert_eq!(look(140, 150, &rows(8, 7)), []);
        assert_eq!(look(150, 152, &rows(8, 7)), [(replica(2), 8), (replica(3), 7)]);
    }

    #[test]
    fn every_share_has_one_replica_and_stays_there() {
        let three: BTreeSet<_> = [1, 2, 3].map(replica).into();
        let two: BTreeSet<_> = [1, 3].map(replica).into();
        let mut counts = [0; 3];
        for number in 1..=3000 {
            let who = |live: &BTreeSet<_>| {
                let all: Vec<_> = live.iter().filter(|one| has_share(live, **one, number)).copied().collect();
                assert_eq!(all.len(), 1, "{number}");
                all[0]
            };
            let (with, without) = (who(&three), who(&two));
            assert!(with == without || with == replica(2), "{number} moved from a replica that is there");
            counts[usize::try_from(with.get() - 1).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert!(has_share(&BTreeSet::new(), replica(1), 7), "nobody is seen yet");
    }

    #[test]
    fn what_nobody_drives_is_shared_out_and_what_begins_is_left_alone() {
        let task = |id: i64, owner: Option<i64>| OwnedTask {
            task: TaskId::new(id).unwrap(),
            cluster: ClusterKey::from_stored(id.to_string()),
            fence: Fence::new(1),
            owner: owner.map(replica),
        };
        let live: BTreeSet<_> = [1, 2].map(replica).into();
        let (running, mut sightings) = (BTreeSet::from([TaskId::new(9).unwrap()]), Sightings::default());
        let all = || vec![task(1, Some(3)), task(2, Some(3)), task(3, Some(2)), task(4, None), task(9, Some(1))];
        let mut sweep = |seconds, at_once| {
            let situation = Situation { live: &live, me: replica(1), running: &running, now: secs(seconds) };
            let orphans = sightings.orphans(all(), &situation, at_once);
            orphans.into_iter().map(|owned| owned.task.get()).collect::<Vec<_>>()
        };
        // Five tasks on two replicas: three each, and one runs here already. The fourth may be just beginning.
        assert_eq!(sweep(10, false), [1, 2]);
        assert_eq!(sweep(12, false), [1, 2, 4]);
        assert_eq!(sweep(12, true), [1, 2, 4]);
    }
}
