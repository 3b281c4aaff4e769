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

/// What is known of an endpoint beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The SQL port of a server of the last sync.
    Observer,
    /// An observer or an OBProxy.
    AnyOf,
}

/// A name to log in with at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub endpoint: Endpoint,
    pub kind: Kind,
    pub username: String,
}

/// The endpoints of [`choose`] with the names to log in with: an observer gets the name without `#cluster`, and so does
/// an endpoint that can only be an observer. At any other endpoint both names may be right, the given one first.
pub fn attempts(access: &ClusterAccess, known: &[KnownServer], avoid: &Avoid, only_direct: bool) -> Vec<Attempt> {
    let direct = access.direct_username();
    let at = |endpoint: Endpoint| {
        let observer = known.iter().any(|server| server.endpoint() == endpoint);
        let kind = if observer { Kind::Observer } else { Kind::AnyOf };
        let given = (!observer && !only_direct && direct != access.username).then_some(access.username.as_str());
        let names: Vec<&str> = given.into_iter().chain([direct]).collect();
        let attempt = move |name: &str| Attempt { endpoint: endpoint.clone(), kind, username: name.to_owned() };
        names.into_iter().map(attempt).collect::<Vec<_>>()
    };
    choose(access, known, avoid).into_iter().flat_map(at).collect()
}

/// Seeds and the servers of the last sync, each endpoint once: ACTIVE servers first, then seeds that belong to no known
/// server, then the others; the zone and the server to avoid only when nothing else answers, and `never` not at all.
/// Within a rank the given order is kept.
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
    fn an_observer_never_gets_the_name_for_a_proxy() {
        let access = ClusterAccess { username: "root@sys#prod".to_owned(), ..access(&["vip:2883", "10.0.0.1:2881"]) };
        let known = [known(1, "z1", true)];
        let names = |known: &[KnownServer], only_direct| -> Vec<String> {
            let attempts = attempts(&access, known, &Avoid::default(), only_direct);
            attempts
                .iter()
                .map(|attempt| format!("{} {:?} {}", attempt.endpoint, attempt.kind, attempt.username))
                .collect()
        };
        let as_known = ["10.0.0.1:2881 Observer root@sys", "vip:2883 AnyOf root@sys#prod", "vip:2883 AnyOf root@sys"];
        assert_eq!(names(&known, false), as_known);
        assert_eq!(names(&known, true), ["10.0.0.1:2881 Observer root@sys", "vip:2883 AnyOf root@sys"]);
        let unknown = ["vip:2883 AnyOf root@sys#prod", "vip:2883 AnyOf root@sys"];
        assert_eq!(names(&[], false)[..2], unknown);
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
