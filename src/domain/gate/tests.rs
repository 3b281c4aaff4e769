//! The gate's table, and the property that matters: an open gate without consent means a majority in sync and no leader.

use proptest::prelude::*;

use super::*;
use crate::domain::reading::sample::{NOW, addr, cluster, log_stream, tenant};
use crate::domain::reading::{ArbitrationReading, Role};

/// Server 2 of 3 is stopped and leads nothing.
fn stopped() -> ClusterReading {
    let mut reading = cluster(3);
    reading.servers[1].stop_time = Some(NOW);
    reading
}

const NONE: LeaderCount = LeaderCount { locations: 0, log_stat: 0, observed_at: NOW };

fn ask(
    reading: &ClusterReading,
    leaders: &LeaderCount,
    mark: StopTimeExpectation,
    force: bool,
    accepted: &[Risk],
) -> Gate {
    let consent = Consent { force, accepted: accepted.to_vec() };
    gate(reading, &addr(2), &StoreHome::InNoCluster, leaders, mark, &consent, NOW.plus(Duration::from_secs(1)))
}

fn code(gate: &Gate) -> Option<GateCode> {
    match gate {
        Gate::Open { .. } => None,
        Gate::Closed { code, .. } => Some(*code),
    }
}

#[test]
fn it_opens_when_all_is_well() {
    assert_eq!(ask(&stopped(), &NONE, StopTimeExpectation::MustBeSet, false, &[]), Gate::Open { overridden: vec![] });
}

#[test]
fn a_cleared_stop_time_closes_it_whatever_is_accepted() {
    let gate = ask(&cluster(3), &NONE, StopTimeExpectation::MustBeSet, true, Risk::ALL);
    assert_eq!(code(&gate), Some(GateCode::StopTimeCleared));
}

#[test]
fn a_mark_that_was_refused_needs_quorum_loss() {
    let ask =
        |accepted: &[Risk]| code(&ask(&cluster(3), &NONE, StopTimeExpectation::RefusedByRootService, true, accepted));
    assert_eq!(ask(&[]), Some(GateCode::NotStopped));
    assert_eq!(ask(&[Risk::QuorumLoss]), None);
}

#[test]
fn an_old_reading_or_count_closes_it_whatever_is_accepted() {
    let old = NOW.minus(Duration::from_secs(5));
    let mut reading = stopped();
    reading.observed_at = old;
    assert_eq!(
        code(&ask(&reading, &NONE, StopTimeExpectation::MustBeSet, true, Risk::ALL)),
        Some(GateCode::ReadingTooOld)
    );
    let count = LeaderCount { observed_at: old, ..NONE };
    assert_eq!(
        code(&ask(&stopped(), &count, StopTimeExpectation::MustBeSet, true, Risk::ALL)),
        Some(GateCode::ReadingTooOld)
    );
    let mut future = stopped();
    future.observed_at = NOW.plus(Duration::from_secs(60));
    assert_eq!(
        code(&ask(&future, &NONE, StopTimeExpectation::MustBeSet, true, Risk::ALL)),
        Some(GateCode::ReadingTooOld)
    );
}

#[test]
fn leaders_close_it_in_any_view() {
    for count in [
        LeaderCount { locations: 1, ..NONE },
        LeaderCount { log_stat: 1, ..NONE },
        LeaderCount { locations: -1, ..NONE },
    ] {
        assert_eq!(
            code(&ask(&stopped(), &count, StopTimeExpectation::MustBeSet, false, Risk::ALL)),
            Some(GateCode::LeadersLeft)
        );
        // The other two are in sync: force goes on.
        assert_eq!(code(&ask(&stopped(), &count, StopTimeExpectation::MustBeSet, true, &[])), None);
    }
    let mut reading = stopped();
    reading.log_streams[0].replicas[0].role = Ok(Role::Follower);
    reading.log_streams[0].replicas[1].role = Ok(Role::Leader);
    let members = reading.log_streams[0].replicas[0].member_list.clone();
    reading.log_streams[0].replicas[1].member_list = members;
    assert_eq!(code(&ask(&reading, &NONE, StopTimeExpectation::MustBeSet, false, &[])), Some(GateCode::LeadersLeft));
}

#[test]
fn force_does_not_pass_leaders_without_a_synced_majority() {
    let mut reading = stopped();
    reading.log_streams[0].replicas[2].end_scn = Ok(0);
    let count = LeaderCount { locations: 1, ..NONE };
    assert_eq!(code(&ask(&reading, &count, StopTimeExpectation::MustBeSet, true, &[])), Some(GateCode::LeadersLeft));
    // Without leaders force passes a log that is not in sync.
    assert_eq!(code(&ask(&reading, &NONE, StopTimeExpectation::MustBeSet, true, &[])), None);
    let lags = ask(&reading, &NONE, StopTimeExpectation::MustBeSet, false, &[]);
    assert!(matches!(lags, Gate::Closed { code: GateCode::PrecheckBlocks, retriable: true, .. }), "{lags:?}");
    // A majority that is lost does not come back by waiting.
    reading.log_streams[0].replicas[2].end_scn = reading.log_streams[0].replicas[0].end_scn.clone();
    reading.servers[2].last_offline_time = Some(NOW);
    let lost = ask(&reading, &NONE, StopTimeExpectation::MustBeSet, true, &[]);
    assert!(matches!(lost, Gate::Closed { code: GateCode::PrecheckBlocks, retriable: false, .. }), "{lost:?}");
}

#[test]
fn a_closed_gate_names_what_holds_it() {
    let held = |reading: &ClusterReading, leaders: &LeaderCount| {
        let gate = ask(reading, leaders, StopTimeExpectation::MustBeSet, false, &[]);
        gate.blockers(reading, &addr(2)).named().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(held(&stopped(), &NONE), Vec::<String>::new());
    let named = "LS 1 of tenant tenant1004 on 127.0.1.2:2882 has not degraded it";
    assert_eq!(held(&two_replicas(), &NONE), [named]);
    let mut reading = stopped();
    reading.log_streams[3].replicas[2].end_scn = Ok(0);
    let lags = "fails LOG_IN_SYNC: 1 of 3 replicas stay within 5 s of the leader, 2 are needed";
    assert_eq!(held(&reading, &NONE), [format!("LS 1001 of tenant tenant1002 {lags}")]);
    reading.log_streams[3].replicas.swap(0, 1);
    (reading.log_streams[3].replicas[0].role, reading.log_streams[3].replicas[1].role) =
        (Ok(Role::Leader), Ok(Role::Follower));
    let stays = "has not handed its leader over, 127.0.1.1:2882 is in sync";
    assert_eq!(held(&reading, &NONE)[0], format!("LS 1001 of tenant tenant1002 on 127.0.1.2:2882 {stays}"));
    let old = LeaderCount { observed_at: NOW.minus(READING_AGE), ..NONE };
    assert_eq!(held(&stopped(), &old), ["127.0.1.2:2882 closes the gate (READING_TOO_OLD)"]);
}

#[test]
fn a_single_replica_needs_both_words() {
    let mut reading = stopped();
    reading.tenants.push(tenant(1004, 1));
    reading.log_streams.push(log_stream(1004, 1, &[2]));
    let count = LeaderCount { locations: 1, log_stat: 1, observed_at: NOW };
    assert!(code(&ask(&reading, &count, StopTimeExpectation::MustBeSet, true, &[])).is_some());
    assert!(code(&ask(&reading, &count, StopTimeExpectation::MustBeSet, false, &[Risk::QuorumLoss])).is_some());
    let Gate::Open { overridden } = ask(&reading, &count, StopTimeExpectation::MustBeSet, true, &[Risk::QuorumLoss])
    else {
        panic!("closed although both were given")
    };
    assert!(overridden.iter().all(|obstacle| obstacle.overridden_by.is_some()));
    assert!(overridden.iter().any(|obstacle| obstacle.code == GateCode::LeadersLeft));
}

fn two_replicas() -> ClusterReading {
    let mut reading = stopped();
    let mut two = tenant(1004, 2);
    two.arbitration = Ok("ENABLED".to_owned());
    reading.tenants.push(two);
    let mut stream = log_stream(1004, 1, &[1, 2]);
    stream.arbitration_member = Ok(Some("127.0.1.9:2882:1".to_owned()));
    reading.log_streams.push(stream);
    let row = |number| ArbitrationReading { addr: addr(number), service: "a".to_owned(), status: "ACTIVE".to_owned() };
    reading.arbitration = Ok((1..=3).map(row).collect());
    reading
}

#[test]
fn two_replicas_wait_for_the_degradation() {
    let mut reading = two_replicas();
    let waits = ask(&reading, &NONE, StopTimeExpectation::MustBeSet, true, &[]);
    assert!(matches!(waits, Gate::Closed { code: GateCode::NotDegraded, retriable: true, .. }), "{waits:?}");
    let stream = reading.log_streams.last_mut().unwrap();
    stream.degraded_list = Ok(vec![addr(2)]);
    assert_eq!(code(&ask(&reading, &NONE, StopTimeExpectation::MustBeSet, false, &[])), None);
    // The leader may have taken the target out of its member list as well.
    let stream = reading.log_streams.last_mut().unwrap();
    stream.replicas[0].member_list = Ok(vec![addr(1)]);
    stream.replicas[0].paxos_replica_number = Ok(1);
    assert_eq!(code(&ask(&reading, &NONE, StopTimeExpectation::MustBeSet, false, &[])), None);
    let stream = reading.log_streams.last_mut().unwrap();
    stream.degraded_list = Err(crate::domain::reading::Unreadable::new("no such column"));
    assert_eq!(code(&ask(&reading, &NONE, StopTimeExpectation::MustBeSet, true, &[])), Some(GateCode::PrecheckBlocks));
}

proptest! {
    #[test]
    fn open_without_consent_means_safe(
        locations in -1_i64..3, log_stat in -1_i64..3, age in 0_u64..8, marked: bool, scn in 0_u64..10, number in 2_u8..6,
    ) {
        let mut reading = cluster(number);
        if marked { reading.servers[1].stop_time = Some(NOW); }
        let last = reading.log_streams[2].replicas.last_mut().unwrap();
        last.end_scn = Ok(1_700_000_000_000_000_000 - scn * 1_000_000_000);
        reading.observed_at = NOW.plus(Duration::from_secs(1)).minus(Duration::from_secs(age));
        let count = LeaderCount { locations, log_stat, observed_at: reading.observed_at };
        let answer = ask(&reading, &count, StopTimeExpectation::MustBeSet, false, &[]);
        if let Gate::Open { overridden } = &answer {
            prop_assert!(overridden.is_empty());
            prop_assert!(locations == 0 && log_stat == 0 && marked && age < 5 && number > 2);
            prop_assert!(number > 3 || scn <= 5);
        }
        // Consent never closes a gate.
        if code(&answer).is_none() {
            prop_assert_eq!(code(&ask(&reading, &count, StopTimeExpectation::MustBeSet, true, Risk::ALL)), None);
        }
        // What no caller can accept.
        if !marked || age >= 5 {
            prop_assert!(code(&ask(&reading, &count, StopTimeExpectation::MustBeSet, true, Risk::ALL)).is_some());
        }
    }
}
