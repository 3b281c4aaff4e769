//! A table of the root service's messages, and properties against a brute-force count.

use proptest::prelude::*;

use super::*;
use crate::domain::ids::ServerAddr;
use crate::domain::reading::sample::{NOW, addr, cluster, log_stream, server, tenant};
use crate::domain::reading::{ArbitrationReading, LogStreamReading, Role, UnitReading, Unreadable};
use crate::domain::status::{InnerStatus, ZoneInnerStatus};

/// The checks that block a stop of server 2.
fn blocked(reading: &ClusterReading) -> Vec<(CheckName, Option<OverriddenBy>, Option<String>)> {
    let precheck = precheck(reading, &addr(2).into(), &StoreHome::InNoCluster, NOW);
    assert_eq!(precheck.checks.iter().map(|check| check.name).collect::<Vec<_>>(), CheckName::ALL);
    blocking(&precheck, false, &[])
        .into_iter()
        .inspect(|check| assert!(!check.evidence.is_empty() && !check.remedy.is_empty(), "{check:?}"))
        .map(|check| (check.name, check.overridden_by, check.root_service_words.clone()))
        .collect()
}

const QUORUM: Option<OverriddenBy> = Some(OverriddenBy::QuorumLoss);

fn words(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_healthy_cluster_passes() {
    let reading = cluster(3);
    assert_eq!(blocked(&reading), []);
    let precheck = precheck(&reading, &addr(1).into(), &StoreHome::InNoCluster, NOW);
    assert_eq!(precheck.failures_tolerated_after, 0);
    let moves: Vec<_> = precheck.leader_moves.iter().map(|moved| (moved.tenant_id, moved.leaders)).collect();
    assert_eq!(moves, [(1, 1), (1001, 1), (1002, 2)]);
    assert!(!needs_force_stop(&precheck));
    assert_eq!(super::precheck(&cluster(5), &addr(1).into(), &StoreHome::InNoCluster, NOW).failures_tolerated_after, 1);
}

#[test]
fn the_only_server_is_never_stopped() {
    let reading = cluster(1);
    let precheck = precheck(&reading, &addr(1).into(), &StoreHome::InNoCluster, NOW);
    let left = blocking(&precheck, true, Risk::ALL);
    assert_eq!(left.iter().map(|check| check.name).collect::<Vec<_>>(), [CheckName::SingleServer]);
}

#[test]
fn a_target_that_is_not_there_is_never_stopped() {
    let precheck = precheck(&cluster(3), &addr(9).into(), &StoreHome::InNoCluster, NOW);
    let left = blocking(&precheck, true, Risk::ALL);
    assert_eq!(
        left.iter().map(|check| check.name).collect::<Vec<_>>(),
        [CheckName::TargetKnown, CheckName::TargetStatus]
    );
}

/// Of a zone all servers count as gone, and the root service's words name its statement.
#[test]
fn a_zone_is_stopped_with_all_its_servers() {
    let zone = |number: u8| StopTarget::Zone(server(number).zone);
    let blocks = |reading: &ClusterReading, target: &StopTarget| {
        let precheck = precheck(reading, target, &StoreHome::InNoCluster, NOW);
        let blocking = blocking(&precheck, false, &[]);
        blocking.iter().map(|check| (check.name, check.root_service_words.clone())).collect::<Vec<_>>()
    };
    let mut reading = cluster(5);
    assert_eq!(blocks(&reading, &zone(2)), []);
    assert_eq!(precheck(&reading, &zone(2), &StoreHome::InNoCluster, NOW).failures_tolerated_after, 1);
    reading.servers[2].zone = reading.servers[1].zone.clone();
    assert_eq!(precheck(&reading, &zone(2), &StoreHome::InNoCluster, NOW).failures_tolerated_after, 0);
    assert_eq!(blocks(&reading, &addr(2).into()), []);
    reading.servers[3].zone = reading.servers[1].zone.clone();
    let no_majority =
        words("-4179: Tenant(1) LS(1) has no enough valid paxos member after stop zone, stop zone not allowed");
    let lags = words("-4179: Tenant(1) LS(1) log not sync, stop zone not allowed");
    assert_eq!(
        blocks(&reading, &zone(2)),
        [
            (CheckName::MemberMajority, no_majority.clone()),
            (CheckName::ReplicaMajority, no_majority),
            (CheckName::LogInSync, lags)
        ]
    );
    let names = |blocks: Vec<(CheckName, _)>| blocks.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    reading.zones[4].status = ZoneInnerStatus::Inactive;
    assert!(names(blocks(&reading, &zone(2))).contains(&CheckName::OtherZoneStopped));
    assert_eq!(names(blocks(&cluster(3), &zone(7))), [CheckName::TargetKnown, CheckName::TargetStatus]);
    assert!(names(blocks(&cluster(1), &zone(1))).contains(&CheckName::SingleServer));
}

#[test]
fn a_target_that_leaves_is_never_stopped() {
    let mut reading = cluster(3);
    reading.servers[1].status = InnerStatus::Deleting;
    assert_eq!(blocked(&reading), [(CheckName::TargetStatus, None, None)]);
}

#[test]
fn another_stopped_zone_is_4660() {
    let expected = words("-4660: cannot stop server or stop zone in multiple zones");
    let mut reading = cluster(5);
    reading.servers[0].stop_time = Some(NOW);
    assert_eq!(blocked(&reading), [(CheckName::OtherZoneStopped, QUORUM, expected.clone())]);
    let mut reading = cluster(5);
    reading.zones[0].status = ZoneInnerStatus::Inactive;
    assert_eq!(blocked(&reading), [(CheckName::OtherZoneStopped, QUORUM, expected)]);
    // A stopped server of the same zone is allowed.
    let mut reading = cluster(5);
    let mut neighbour = server(6);
    neighbour.zone = reading.servers[1].zone.clone();
    neighbour.stop_time = Some(NOW);
    reading.servers.push(neighbour);
    assert_eq!(blocked(&reading), []);
}

#[test]
fn no_replica_reports() {
    let mut reading = cluster(3);
    reading.log_streams[1].replicas.clear();
    let found = blocked(&reading);
    let expected = words("-4179: Tenant(1001) LS(1) has no enough paxos member, stop server not allowed");
    assert_eq!(found[0], (CheckName::LogStreamsReport, QUORUM, expected));
}

#[test]
fn no_leader() {
    let mut reading = cluster(3);
    reading.log_streams[0].replicas[0].role = Ok(Role::Follower);
    let found = blocked(&reading);
    let expected = words("-4179: Tenant(1) LS(1) has no leader, stop server not allowed");
    assert_eq!(found[0], (CheckName::LeaderPresent, QUORUM, expected));
    // Without a leader nothing else is known either, so nothing else passes.
    assert!(found.iter().any(|(name, _, _)| *name == CheckName::LogInSync));
}

#[test]
fn an_overtaken_leader_does_not_count_and_a_tie_is_no_leader() {
    let mut reading = cluster(3);
    reading.log_streams[0].replicas[2].role = Ok(Role::Leader);
    assert_eq!(blocked(&reading)[0].0, CheckName::LeaderPresent);
    reading.log_streams[0].replicas[2].proposal_id = Ok(2);
    assert_eq!(blocked(&reading), []);
    assert_eq!(reading.log_streams[0].leader().map(|leader| leader.addr), Some(addr(3)));
    // Both may still act as leaders until the old one learns of it.
    assert!(reading.log_streams[0].may_be_led_by(&addr(1)));
}

#[test]
fn locality_changes() {
    let mut reading = cluster(3);
    reading.tenants[2].previous_locality = Ok(Some("FULL{1}@zone1".to_owned()));
    let expected = words("-4179: Tenant(1002) locality is changing, stop server not allowed");
    assert_eq!(blocked(&reading), [(CheckName::LocalityStable, QUORUM, expected)]);
    reading.tenants[2].previous_locality = Err(Unreadable::new("NULL"));
    assert_eq!(blocked(&reading), [(CheckName::LocalityStable, QUORUM, None)]);
}

#[test]
fn replica_number_differs() {
    let mut reading = cluster(3);
    reading.tenants[1].paxos_replica_number = Ok(5);
    let expected = words(
        "-4179: Tenant(1001) LS(1) paxos replica number does not match with tenant. It should be 5. stop server not allowed",
    );
    assert_eq!(blocked(&reading), [(CheckName::ReplicaNumber, QUORUM, expected)]);
    reading.tenants[1].paxos_replica_number = Err(Unreadable::new("locality is odd"));
    assert_eq!(blocked(&reading), [(CheckName::ReplicaNumber, QUORUM, None)]);
    reading.tenants.remove(1);
    let names: Vec<_> = blocked(&reading).into_iter().map(|(name, _, _)| name).collect();
    assert_eq!(names, [CheckName::LocalityStable, CheckName::ReplicaNumber]);
}

#[test]
fn majority_is_lost() {
    let expected =
        words("-4179: Tenant(1) LS(1) has no enough valid paxos member after stop server, stop server not allowed");
    let changes: [fn(&mut ClusterReading); 4] = [
        |reading| reading.servers[2].last_offline_time = Some(NOW),
        |reading| reading.servers[2].status = InnerStatus::Inactive,
        |reading| reading.servers[2].start_service_time = None,
        |reading| {
            reading.zones.remove(2);
        },
    ];
    for change in changes {
        let mut reading = cluster(3);
        change(&mut reading);
        let found = blocked(&reading);
        assert_eq!(found[0], (CheckName::MemberMajority, QUORUM, expected.clone()));
        assert_eq!(found[1], (CheckName::ReplicaMajority, QUORUM, expected.clone()));
    }
    // A member that is no server fails every STOP SERVER, whatever stays.
    let mut reading = cluster(4);
    reading.servers.remove(2);
    let not_exist = words("-4018: Entry not exist");
    assert_eq!(blocked(&reading)[0], (CheckName::MembersKnown, QUORUM, not_exist));
    // A member that does not report.
    let mut reading = cluster(3);
    reading.log_streams[0].replicas.remove(2);
    assert_eq!(blocked(&reading)[0], (CheckName::ReplicaMajority, QUORUM, expected));
}

#[test]
fn log_not_in_sync() {
    let mut reading = cluster(3);
    let leader_scn = 1_700_000_000_000_000_000;
    reading.log_streams[3].replicas[2].end_scn = Ok(leader_scn - 5_000_000_000);
    assert_eq!(blocked(&reading), []);
    reading.log_streams[3].replicas[2].end_scn = Ok(leader_scn - 5_000_000_001);
    let expected = words("-4179: Tenant(1002) LS(1001) log not sync, stop server not allowed");
    assert_eq!(blocked(&reading), [(CheckName::LogInSync, Some(OverriddenBy::Force), expected)]);
    let precheck = precheck(&reading, &addr(2).into(), &StoreHome::InNoCluster, NOW);
    assert!(needs_force_stop(&precheck) && precheck.keeps_majority() && !precheck.keeps_synced_majority());
    assert_eq!(blocking(&precheck, true, &[]), Vec::<&Check>::new());
    assert_eq!(overridden(&precheck, true, &[]).len(), 1);
    reading.log_streams[3].replicas[2].end_scn = Err(Unreadable::new("NULL"));
    assert_eq!(blocked(&reading).len(), 1);
}

#[test]
fn a_single_replica_on_the_target_is_named() {
    let mut reading = cluster(3);
    reading.tenants.push(tenant(1004, 1));
    reading.log_streams.push(log_stream(1004, 1, &[2]));
    let names: Vec<_> = blocked(&reading).into_iter().map(|(name, _, _)| name).collect();
    let expected =
        [CheckName::MemberMajority, CheckName::ReplicaMajority, CheckName::LogInSync, CheckName::SingleReplicaTenants];
    assert_eq!(names, expected);
    // A single replica elsewhere is no reason.
    reading.log_streams.pop();
    reading.log_streams.push(log_stream(1004, 1, &[3]));
    assert_eq!(blocked(&reading), []);
}

/// Tenant 1004 with replicas on servers 1 and 2 and an arbitration member.
pub fn with_arbitration(status: &str) -> ClusterReading {
    let mut reading = cluster(3);
    let mut two = tenant(1004, 2);
    two.arbitration = Ok("ENABLED".to_owned());
    reading.tenants.push(two);
    let mut stream = log_stream(1004, 1, &[1, 2]);
    stream.arbitration_member = Ok(Some("127.0.1.9:2882:1".to_owned()));
    reading.log_streams.push(stream);
    let row = |number| ArbitrationReading {
        addr: addr(number),
        service: "127.0.1.9:2882".to_owned(),
        status: status.to_owned(),
    };
    reading.arbitration = Ok((1..=3).map(row).collect());
    reading
}

#[test]
fn two_replicas_lean_on_an_active_arbitration_service() {
    assert_eq!(blocked(&with_arbitration("ACTIVE")), []);
    let names: Vec<_> = blocked(&with_arbitration("INACTIVE")).into_iter().map(|(name, _, _)| name).collect();
    assert!(names.contains(&CheckName::ArbitrationService) && names.contains(&CheckName::MemberMajority));
    let mut reading = with_arbitration("ACTIVE");
    reading.arbitration = Err(Unreadable::new("no such view"));
    assert!(blocked(&reading).iter().any(|(name, _, _)| *name == CheckName::ArbitrationService));
    // The arbitration service counts for two replicas only.
    let mut reading = with_arbitration("ACTIVE");
    reading.servers[2].last_offline_time = Some(NOW);
    assert!(blocked(&reading).iter().any(|(name, _, _)| *name == CheckName::MemberMajority));
}

#[test]
fn what_cannot_be_read_blocks() {
    let mut reading = cluster(3);
    reading.units = Err(Unreadable::new("no such view"));
    reading.parameters.enable_upgrade_mode = Err(Unreadable::new("no such parameter"));
    let expected = [
        (CheckName::UnitMigration, Some(OverriddenBy::Force), None),
        (CheckName::UpgradeMode, Some(OverriddenBy::Force), None),
    ];
    assert_eq!(blocked(&reading), expected);
    let mut reading = cluster(3);
    reading.log_streams[0].replicas[0].member_list = Err(Unreadable::new("odd"));
    assert_eq!(blocked(&reading)[0].0, CheckName::MemberMajority);
    let mut reading = cluster(3);
    reading.log_streams.clear();
    assert_eq!(blocked(&reading)[0].0, CheckName::LogStreamsReport);
    let mut reading = cluster(3);
    reading.log_streams[0].unreadable.push(Unreadable::new("svr_ip is NULL"));
    assert_eq!(blocked(&reading)[0].0, CheckName::LogStreamsReport);
}

#[test]
fn a_moving_unit_and_an_upgrade_block() {
    let mut reading = cluster(3);
    let unit = |at, from: &str| UnitReading {
        unit_id: 1,
        tenant_id: Some(1002),
        addr: addr(at),
        zone: "zone1".to_owned(),
        status: "ACTIVE".to_owned(),
        migrate_from: Some(from.to_owned()),
    };
    reading.units = Ok(vec![unit(1, "127.0.1.3:2882")]);
    assert_eq!(blocked(&reading), []);
    for moving in [unit(2, "127.0.1.3:2882"), unit(3, "127.0.1.2:2882"), unit(3, "who knows")] {
        reading.units = Ok(vec![moving]);
        assert_eq!(blocked(&reading), [(CheckName::UnitMigration, Some(OverriddenBy::Force), None)]);
    }
    let mut reading = cluster(3);
    reading.parameters.enable_upgrade_mode = Ok(true);
    assert_eq!(blocked(&reading), [(CheckName::UpgradeMode, Some(OverriddenBy::Force), None)]);
}

#[test]
fn members_are_matched_exactly() {
    // The target's address is a prefix of a member's, in both IP versions.
    for (target, member) in [("127.0.1.2:288", "127.0.1.2:2882"), ("[fd00::1]:2882", "[fd00::1:2882]:2882")] {
        let mut reading = cluster(3);
        let target: ServerAddr = target.parse().unwrap();
        let member: ServerAddr = member.parse().unwrap();
        reading.servers[1].addr = member;
        for stream in &mut reading.log_streams {
            stream.replicas[1].addr = member;
            stream.replicas[0].member_list = Ok(vec![addr(1), member, addr(3)]);
        }
        let mut other = server(4);
        other.addr = target;
        other.zone = reading.servers[2].zone.clone();
        reading.servers.push(other);
        reading.servers[0].last_offline_time = Some(NOW);
        let precheck = precheck(&reading, &target.into(), &StoreHome::InNoCluster, NOW);
        assert_eq!(blocking(&precheck, false, &[]), Vec::<&Check>::new(), "{target} is no member");
    }
}

/// What the rules ask for, counted in the simplest way.
fn keeps_majority(reading: &ClusterReading, target: &StopTarget, stream: &LogStreamReading) -> bool {
    let Some(leader) = stream.replicas.iter().find(|replica| replica.role == Ok(Role::Leader)) else { return false };
    let (Ok(members), Ok(number)) = (&leader.member_list, &leader.paxos_replica_number) else { return false };
    let mut left = 0;
    for server in &reading.servers {
        let up =
            server.stop_time.is_none() && server.last_offline_time.is_none() && server.start_service_time.is_some();
        let zone_up =
            reading.zones.iter().any(|zone| zone.name == server.zone && zone.status == ZoneInnerStatus::Active);
        if !target.includes(server)
            && up
            && zone_up
            && members.contains(&server.addr)
            && stream.replicas.iter().any(|replica| replica.addr == server.addr)
        {
            left += 1;
        }
    }
    left * 2 > *number
}

prop_compose! {
    /// A cluster of up to seven servers, some in one zone, in which anything may be broken.
    fn any_cluster()(
        number in 2_u8..=7,
        in_a_zone in 1_usize..=3,
        broken in prop::collection::vec((0_usize..7, 0_u8..5), 0..5),
        streams in prop::collection::vec((0_usize..4, 0_usize..7, 0_u8..4), 0..4),
    ) -> ClusterReading {
        let mut reading = cluster(number);
        for (index, server) in reading.servers.iter_mut().enumerate() {
            server.zone = reading.zones[index / in_a_zone].name.clone();
        }
        for (index, how) in broken {
            let index = index % usize::from(number);
            match how {
                0 => reading.servers[index].stop_time = Some(NOW),
                1 => reading.servers[index].last_offline_time = Some(NOW),
                2 => reading.servers[index].start_service_time = None,
                3 => reading.zones[index].status = ZoneInnerStatus::Inactive,
                _ => {}
            }
        }
        for (stream, replica, how) in streams {
            let stream = &mut reading.log_streams[stream];
            if stream.replicas.is_empty() { continue }
            let replica = replica % stream.replicas.len();
            match how {
                0 => { stream.replicas.remove(replica); }
                1 => stream.replicas[replica].role = Ok(Role::Follower),
                2 => if let Ok(members) = &mut stream.replicas[0].member_list { members.pop(); },
                _ => stream.replicas[replica].end_scn = Ok(0),
            }
        }
        reading
    }
}

proptest! {
    /// What passes keeps a majority by the simplest count, and the reverse: where the count holds, no majority check blocks.
    #[test]
    fn majority_agrees_with_brute_force(reading in any_cluster(), target in 1_u8..=7, zone: bool) {
        let target = if zone { StopTarget::Zone(server(target).zone) } else { addr(target).into() };
        let precheck = precheck(&reading, &target, &StoreHome::InNoCluster, NOW);
        let kept = reading.log_streams.iter().all(|stream| keeps_majority(&reading, &target, stream));
        prop_assert_eq!(precheck.keeps_majority(), kept);
        if blocking(&precheck, false, &[]).is_empty() || blocking(&precheck, true, &[]).is_empty() {
            prop_assert!(kept);
        }
    }

    /// Losing a replica or a server never turns a refusal into a pass, with any consent.
    #[test]
    fn losing_more_is_never_better(reading in any_cluster(), stream in 0_usize..4, replica in 0_usize..7, lost in 0_usize..7) {
        let before = precheck(&reading, &addr(1).into(), &StoreHome::InNoCluster, NOW);
        let mut worse = reading.clone();
        let lost = lost % worse.servers.len();
        worse.servers[lost].start_service_time = None;
        let replicas = &mut worse.log_streams[stream].replicas;
        if !replicas.is_empty() { replicas.remove(replica % replicas.len()); }
        let after = precheck(&worse, &addr(1).into(), &StoreHome::InNoCluster, NOW);
        for (force, accepted) in [(false, &[][..]), (true, &[][..])] {
            if !blocking(&before, force, accepted).is_empty() {
                prop_assert!(!blocking(&after, force, accepted).is_empty());
            }
        }
    }

    /// More consent never blocks more, and a block is either refused or listed as overridden.
    #[test]
    fn consent_is_monotone_and_listed(reading in any_cluster(), force: bool, quorum: bool) {
        let precheck = precheck(&reading, &addr(1).into(), &StoreHome::InNoCluster, NOW);
        let accepted: &[Risk] = if quorum { &[Risk::QuorumLoss] } else { &[] };
        let refused = blocking(&precheck, force, accepted).len();
        prop_assert!(refused <= blocking(&precheck, false, &[]).len());
        prop_assert_eq!(refused + overridden(&precheck, force, accepted).len(), blocking(&precheck, false, &[]).len());
    }
}
