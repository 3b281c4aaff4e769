//! What a stop means for a store that lives in the cluster, row by row.

use super::*;
use crate::domain::precheck::{blocking, precheck};
use crate::domain::reading::sample::{NOW, addr, cluster, log_stream, server, tenant};
use crate::domain::reading::{Fact, Role, Unreadable};
use crate::domain::status::Risk;

/// Tenant 1002 of the sample, reached through a proxy.
fn home(change: impl FnOnce(&mut StoreTenant)) -> StoreHome {
    let mut tenant = StoreTenant {
        tenant_id: 1002,
        answered_by: addr(1),
        cluster: Ok(("c".to_owned(), 1)),
        endpoints: vec!["10.9.9.9:2883".parse().unwrap()],
    };
    change(&mut tenant);
    StoreHome::Tenant(tenant)
}

fn in_tenant(tenant_id: i64) -> StoreHome {
    home(|tenant| tenant.tenant_id = tenant_id)
}

fn check(store: &StoreHome, reading: &ClusterReading, target: &StopTarget) -> Check {
    precheck(reading, target, store, NOW).check(NAME).unwrap().clone()
}

/// The verdict on the stop of a server, and what overrides it.
fn verdict(store: &StoreHome, reading: &ClusterReading, number: u8) -> (CheckVerdict, Option<OverriddenBy>) {
    let check = check(store, reading, &addr(number).into());
    assert!(!check.evidence.is_empty() && (check.verdict == CheckVerdict::Pass || !check.remedy.is_empty()));
    (check.verdict, check.overridden_by)
}

const PASS: (CheckVerdict, Option<OverriddenBy>) = (CheckVerdict::Pass, None);
const INFO: (CheckVerdict, Option<OverriddenBy>) = (CheckVerdict::Info, None);
const WARN: (CheckVerdict, Option<OverriddenBy>) = (CheckVerdict::Warn, None);
const REFUSED: (CheckVerdict, Option<OverriddenBy>) = (CheckVerdict::Block, None);

#[test]
fn a_store_elsewhere_is_in_nobodys_way() {
    // Without a majority, which is the business of other checks.
    let mut reading = cluster(3);
    reading.servers[2].last_offline_time = Some(NOW);
    let unknown: Fact<(String, i64)> = Err(Unreadable::new("no view"));
    for store in [
        StoreHome::InNoCluster,
        home(|tenant| tenant.cluster = Ok(("other".to_owned(), 1))),
        home(|tenant| tenant.cluster = Ok(("c".to_owned(), 2))),
        home(|tenant| tenant.answered_by = addr(9)),
        home(|tenant| (tenant.cluster, tenant.answered_by) = (unknown.clone(), addr(9))),
    ] {
        assert_eq!(verdict(&store, &reading, 1), PASS, "{store:?}");
    }
    assert_eq!(verdict(&home(|tenant| tenant.cluster = unknown), &reading, 1), REFUSED, "the address is all there is");
    assert_eq!(verdict(&StoreHome::NotKnown(Unreadable::new("no answer")), &reading, 1), WARN);
}

#[test]
fn what_the_store_will_notice_is_shown() {
    let reading = cluster(3);
    assert_eq!(verdict(&in_tenant(1002), &reading, 1), WARN, "leaders move");
    assert_eq!(verdict(&in_tenant(1002), &reading, 2), INFO, "no leader moves");
    assert_eq!(verdict(&in_tenant(1), &reading, 1), WARN, "the store may be in sys");
    let said = check(&in_tenant(1002), &reading, &addr(1).into()).evidence;
    let expected = "tenant 1002 (tenant1002), which holds the store of obsteward, has replicas of 3 log streams on \
                    127.0.1.1:2882, 3 of them led from there, and keeps its majority";
    assert_eq!(said, expected);
    let mut beside = cluster(5);
    let on = |tenant, ls| log_stream(tenant, ls, &[1, 2, 3]);
    beside.log_streams = vec![log_stream(1, 1, &[1, 2, 3, 4, 5]), on(1001, 1), on(1002, 1), log_stream(1004, 1, &[4])];
    assert_eq!(verdict(&in_tenant(1002), &beside, 4), PASS, "another tenant's only replica is not the store's");
}

#[test]
fn no_stop_costs_the_store_its_majority_whatever_is_accepted() {
    let down = |reading: &mut ClusterReading, number: usize| reading.servers[number - 1].last_offline_time = Some(NOW);
    type Case = (&'static str, Box<dyn Fn(&mut ClusterReading)>);
    let cases: [Case; 6] = [
        ("a member is down", Box::new(move |reading| down(reading, 3))),
        ("a member is stopped", Box::new(|reading| reading.servers[2].stop_time = Some(NOW))),
        ("the only replica", Box::new(|reading| reading.log_streams[2] = log_stream(1002, 1, &[2]))),
        ("only META loses it", Box::new(|reading| reading.log_streams[1] = log_stream(1001, 1, &[2]))),
        ("only sys loses it", Box::new(|reading| reading.log_streams[0] = log_stream(1, 1, &[1, 2]))),
        ("no leader", Box::new(|reading| reading.log_streams[3].replicas[0].role = Ok(Role::Follower))),
    ];
    for (case, change) in cases {
        let mut reading = cluster(3);
        change(&mut reading);
        assert_eq!(verdict(&in_tenant(1002), &reading, 2), REFUSED, "{case}");
        let precheck = precheck(&reading, &addr(2).into(), &in_tenant(1002), NOW);
        let left: Vec<CheckName> = blocking(&precheck, true, Risk::ALL).iter().map(|check| check.name).collect();
        assert_eq!(left, [NAME], "{case}");
        let check = precheck.check(NAME).unwrap();
        assert!(check.blockers.count() > 0 && check.retriable == (case == "no leader"), "{case}: {check:?}");
    }
    let mut unread = cluster(3);
    unread.log_streams.retain(|it| it.tenant_id != 1002);
    assert_eq!(verdict(&in_tenant(1002), &unread, 2), REFUSED, "what is not known keeps no majority");
    let mut silent = cluster(3);
    silent.log_streams[3].replicas.clear();
    assert_eq!(verdict(&in_tenant(1002), &silent, 2), REFUSED);
}

/// The stop of a server that carries nothing of the store's takes nothing from it, whatever it is like.
#[test]
fn a_majority_that_others_have_lost_is_not_this_stops() {
    let mut reading = cluster(5);
    reading.log_streams[2] = log_stream(1002, 1, &[1, 2, 3]);
    reading.log_streams[3] = log_stream(1002, 1001, &[1, 2, 3]);
    reading.log_streams[1] = log_stream(1001, 1, &[1, 2, 3]);
    for number in [1, 2] {
        reading.servers[number].last_offline_time = Some(NOW);
    }
    reading.log_streams[0] = log_stream(1, 1, &[1]);
    assert_eq!(verdict(&in_tenant(1002), &reading, 4), PASS);
    assert_eq!(verdict(&in_tenant(1002), &reading, 1), REFUSED);
}

#[test]
fn a_zone_is_stopped_with_all_that_it_carries() {
    let zone = |number: u8| StopTarget::Zone(server(number).zone);
    let mut reading = cluster(5);
    assert_eq!(check(&in_tenant(1002), &reading, &zone(2)).verdict, CheckVerdict::Info);
    for other in [2, 3] {
        reading.servers[other].zone = reading.servers[1].zone.clone();
    }
    let refused = check(&in_tenant(1002), &reading, &zone(2));
    assert_eq!((refused.verdict, refused.overridden_by), REFUSED);
    assert!(refused.evidence.contains("could not finish what it began: Tenant(1"), "{}", refused.evidence);
}

#[test]
fn a_url_that_leads_to_the_target_alone_is_refused_unless_forced() {
    let reading = cluster(3);
    let leads_to = |endpoints: &[&str]| {
        home(|tenant| tenant.endpoints = endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect())
    };
    let forced = (CheckVerdict::Block, Some(OverriddenBy::Force));
    let direct = leads_to(&["127.0.1.2:2881"]);
    assert_eq!(verdict(&direct, &reading, 2), forced);
    assert_eq!(verdict(&direct, &reading, 3), INFO);
    assert_eq!(check(&direct, &reading, &StopTarget::Zone(server(2).zone)).verdict, CheckVerdict::Block);
    assert_eq!(verdict(&leads_to(&["127.0.1.2:2881", "127.0.1.3:2881"]), &reading, 2), INFO);
    assert_eq!(verdict(&leads_to(&["127.0.1.2:2883"]), &reading, 2), INFO, "a proxy on the same host");
    assert_eq!(verdict(&leads_to(&[]), &reading, 2), INFO);
    let mut weak = cluster(3);
    weak.servers[2].last_offline_time = Some(NOW);
    assert_eq!(verdict(&direct, &weak, 2), REFUSED, "the majority comes first");
}

#[test]
fn a_whole_cluster_and_one_that_is_not_read() {
    let identity = cluster(3).identity;
    let servers = || [1, 2, 3].map(addr).into_iter();
    for of in [of_whole_cluster, of_unread_cluster] {
        let of = |store: &StoreHome| {
            let check = of(store, &identity, servers());
            (check.verdict, check.overridden_by)
        };
        assert_eq!(of(&in_tenant(1002)), REFUSED);
        assert_eq!(of(&home(|tenant| tenant.answered_by = addr(9))), PASS);
        assert_eq!(of(&StoreHome::InNoCluster), PASS);
        assert_eq!(of(&StoreHome::NotKnown(Unreadable::new("no answer"))), WARN);
    }
}

/// The tenant that holds the store is known by its replicas, not by the server that answered.
#[test]
fn whichever_server_answers_the_rule_is_the_same() {
    let mut reading = cluster(3);
    reading.tenants.push(tenant(1004, 3));
    for number in 1..=3 {
        let store = home(|tenant| tenant.answered_by = addr(number));
        assert_eq!(verdict(&store, &reading, 1), WARN);
    }
}
