//! In which order endpoints are tried. Pure.

use super::access::{Avoid, ClusterAccess, Endpoint, KnownServer};

/// Most endpoints tried for one session.
pub const MOST_ENDPOINTS: usize = 16;

/// How unwelcome an endpoint is; the order of the variants is the order of trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// ACTIVE at the last sync.
    Active,
    /// A seed of which nothing is known.
    Unknown,
    /// Not ACTIVE at the last sync.
    NotActive,
    /// In the zone to avoid.
    AvoidedZone,
    /// The server to avoid.
    AvoidedServer,
}

/// Seeds and the servers of the last sync, each endpoint once: ACTIVE servers first, then seeds that no server explains, then
/// the others; the zone and the server to avoid only when nothing else answers, and `never` not at all. Within a rank the
/// order given is kept.
pub fn choose(access: &ClusterAccess, known: &[KnownServer], avoid: &Avoid) -> Vec<Endpoint> {
    let server_at = |endpoint: &Endpoint| known.iter().find(|server| server.endpoint() == *endpoint);
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for endpoint in access.endpoints.iter().cloned().chain(known.iter().map(KnownServer::endpoint)) {
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
    let is = |wanted: Option<&crate::domain::ids::ServerAddr>, server: &KnownServer| wanted == Some(&server.addr);
    let mut ranked: Vec<(Rank, Endpoint)> = endpoints
        .into_iter()
        .filter_map(|endpoint| {
            let rank = match server_at(&endpoint) {
                None => Rank::Unknown,
                Some(server) if is(avoid.never.as_ref(), server) => return None,
                Some(server) if is(avoid.server.as_ref(), server) => Rank::AvoidedServer,
                Some(server) if avoid.zone.as_ref() == Some(&server.zone) => Rank::AvoidedZone,
                Some(server) if server.active => Rank::Active,
                Some(_) => Rank::NotActive,
            };
            Some((rank, endpoint))
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, endpoint)| endpoint).take(MOST_ENDPOINTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(seeds: &[&str]) -> ClusterAccess {
        let endpoints = seeds.iter().map(|seed| seed.parse().unwrap()).collect();
        ClusterAccess { endpoints, username: "root@sys".to_owned(), password: "".into() }
    }

    fn known(number: u8, zone: &str, active: bool) -> KnownServer {
        KnownServer {
            addr: format!("10.0.0.{number}:2882").parse().unwrap(),
            sql_port: 2881,
            zone: zone.parse().unwrap(),
            active,
        }
    }

    fn order(seeds: &[&str], known: &[KnownServer], avoid: &Avoid) -> Vec<String> {
        choose(&access(seeds), known, avoid).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn active_first_then_unknown_then_the_others() {
        let known = [known(1, "z1", false), known(2, "z2", true), known(3, "z3", true)];
        let seeds = ["10.0.0.1:2881", "vip:2883", "10.0.0.3:2881"];
        let expected = ["10.0.0.3:2881", "10.0.0.2:2881", "vip:2883", "10.0.0.1:2881"];
        assert_eq!(order(&seeds, &known, &Avoid::default()), expected);
    }

    #[test]
    fn the_target_and_its_zone_come_last_or_not_at_all() {
        let known = [known(1, "z1", true), known(2, "z1", true), known(3, "z3", false)];
        let target = known[0].addr;
        let avoid = Avoid { server: Some(target), zone: Some("z1".parse().unwrap()), never: None };
        assert_eq!(order(&["10.0.0.1:2881"], &known, &avoid), ["10.0.0.3:2881", "10.0.0.2:2881", "10.0.0.1:2881"]);
        let gate = Avoid { never: Some(target), ..avoid };
        assert_eq!(order(&["10.0.0.1:2881"], &known, &gate), ["10.0.0.3:2881", "10.0.0.2:2881"]);
    }

    #[test]
    fn no_more_than_a_few_are_tried() {
        let known: Vec<KnownServer> = (1..=60).map(|number| known(number, "z1", true)).collect();
        assert_eq!(order(&[], &known, &Avoid::default()).len(), MOST_ENDPOINTS);
    }
}
