//! How often a login may fail: per address and user, and per address over all users, so that trying many names is slow too.
//! Pure: the moment is passed in, and nothing waits here.
//!
//! IPv6 addresses count by their first 64 bits: who has one of such a network has all of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

/// Most addresses, and most pairs of address and user, that are remembered; the oldest tenth is forgotten first.
pub const MOST_REMEMBERED: usize = 10_000;
/// Longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// An address may fail so many times as often over all users.
const ADDRESS_ALLOWANCE: u32 = 10;
/// Failures are forgotten so long after the wait that they brought.
const MEMORY: Duration = Duration::from_secs(3600);

/// Failed logins.
#[derive(Debug)]
pub struct Throttle {
    pairs: Tally<(IpAddr, String)>,
    addresses: Tally<IpAddr>,
}

impl Throttle {
    /// `failures` are free for each pair (0: as many as you like); the next attempt after them must wait for `wait`, and twice
    /// as long with each further failure.
    pub fn new(failures: u32, wait: Duration) -> Self {
        Self {
            pairs: Tally::new(failures, wait),
            addresses: Tally::new(failures.saturating_mul(ADDRESS_ALLOWANCE), wait),
        }
    }

    /// How long this user must wait at this address; `None`: not at all.
    pub fn user_wait(&self, address: IpAddr, user: &str, now: Instant) -> Option<Duration> {
        self.pairs.wait(&pair(address, user), now)
    }

    /// How long everybody must wait at this address; `None`: not at all.
    pub fn address_wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        self.addresses.wait(&network(address), now)
    }

    /// A login failed.
    pub fn failed(&mut self, address: IpAddr, user: &str, now: Instant) {
        self.pairs.failed(pair(address, user), now);
        self.addresses.failed(network(address), now);
    }

    /// A login was not looked at because its address must wait. It counts against its user there: who goes on trying while
    /// he must wait learns nothing by it.
    pub fn turned_away(&mut self, address: IpAddr, user: &str, now: Instant) {
        self.pairs.failed(pair(address, user), now);
    }

    /// A login was right: its user begins anew at this address. The address does not: one good password must not pay for
    /// trying others.
    pub fn succeeded(&mut self, address: IpAddr, user: &str) {
        if !self.pairs.counts.is_empty() {
            self.pairs.counts.remove(&pair(address, user));
        }
    }
}

/// Names are cut: what is sent as a name can be as long as a header.
fn pair(address: IpAddr, user: &str) -> (IpAddr, String) {
    (network(address), user.chars().take(72).collect())
}

/// What counts as one address.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[derive(Debug)]
struct Tally<K> {
    allowed: u32,
    wait: Duration,
    counts: HashMap<K, Count>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    last: Instant,
    until: Instant,
}

impl Count {
    fn is_forgotten(&self, now: Instant) -> bool {
        now >= self.until + MEMORY
    }
}

impl<K: Clone + Eq + Hash> Tally<K> {
    fn new(allowed: u32, wait: Duration) -> Self {
        Self { allowed, wait, counts: HashMap::new() }
    }

    fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let count = self.counts.get(key)?;
        (self.allowed > 0 && count.until > now).then(|| count.until - now)
    }

    fn failed(&mut self, key: K, now: Instant) {
        if self.allowed == 0 {
            return;
        }
        let before = self.counts.get(&key).filter(|count| !count.is_forgotten(now)).map_or(0, |count| count.failures);
        if self.counts.len() >= MOST_REMEMBERED && !self.counts.contains_key(&key) {
            self.make_room(now);
        }
        let failures = before.saturating_add(1);
        let until = now + self.wait_after(failures);
        self.counts.insert(key, Count { failures, last: now, until });
    }

    fn wait_after(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.allowed) {
            None => Duration::ZERO,
            Some(further) => self.wait.saturating_mul(1 << further.min(30)).min(LONGEST_WAIT),
        }
    }

    /// Many at once: a search for the oldest at each failure would be what an attacker wants.
    fn make_room(&mut self, now: Instant) {
        self.counts.retain(|_, count| !count.is_forgotten(now));
        if self.counts.len() < MOST_REMEMBERED {
            return;
        }
        let mut moments: Vec<Instant> = self.counts.values().map(|count| count.last).collect();
        let (_, border, _) = moments.select_nth_unstable(MOST_REMEMBERED / 10);
        let border = *border;
        self.counts.retain(|_, count| count.last >= border);
        // All of one moment: then any will do.
        if self.counts.len() >= MOST_REMEMBERED {
            self.counts.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic_now;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
    const WAIT: Duration = Duration::from_secs(10);

    #[test]
    fn waits_double_up_to_an_hour_and_end_with_a_success() {
        let (mut throttle, mut now) = (Throttle::new(5, WAIT), monotonic_now());
        for _ in 0..4 {
            throttle.failed(HERE, "eve", now);
            assert_eq!(throttle.user_wait(HERE, "eve", now), None);
        }
        for seconds in [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600] {
            throttle.failed(HERE, "eve", now);
            let wait = throttle.user_wait(HERE, "eve", now);
            assert_eq!(wait, Some(Duration::from_secs(seconds)));
            assert_eq!(throttle.user_wait(THERE, "eve", now), None, "another address is not affected");
            assert_eq!(throttle.user_wait(HERE, "bob", now), None, "another user is not affected");
            now += wait.unwrap();
            assert_eq!(throttle.user_wait(HERE, "eve", now), None);
        }
        throttle.failed(HERE, "eve", now);
        throttle.succeeded(HERE, "eve");
        assert_eq!(throttle.user_wait(HERE, "eve", now), None);
    }

    #[test]
    fn old_failures_are_forgotten() {
        let (mut throttle, now) = (Throttle::new(2, WAIT), monotonic_now());
        throttle.failed(HERE, "eve", now);
        throttle.failed(HERE, "eve", now + MEMORY);
        assert_eq!(throttle.user_wait(HERE, "eve", now + MEMORY), None);
        throttle.failed(HERE, "eve", now + MEMORY);
        assert_eq!(throttle.user_wait(HERE, "eve", now + MEMORY), Some(WAIT));
    }

    #[test]
    fn trying_many_names_is_slow_and_a_success_does_not_pay_for_it() {
        let (mut throttle, now) = (Throttle::new(5, WAIT), monotonic_now());
        for number in 0..50 {
            assert_eq!(throttle.address_wait(HERE, now), None);
            throttle.failed(HERE, &format!("user{number}"), now);
            throttle.succeeded(HERE, "mallory");
        }
        assert_eq!(throttle.address_wait(HERE, now), Some(WAIT));
        assert_eq!(throttle.address_wait(THERE, now), None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() {
        let (mut throttle, now) = (Throttle::new(1, WAIT), monotonic_now());
        throttle.failed("2001:db8::1".parse().unwrap(), "eve", now);
        assert!(throttle.user_wait("2001:db8::ffff:2".parse().unwrap(), "eve", now).is_some());
        assert!(throttle.user_wait("2001:db8:0:1::1".parse().unwrap(), "eve", now).is_none());
        throttle.failed("::ffff:10.0.0.1".parse().unwrap(), "eve", now);
        assert!(throttle.user_wait(HERE, "eve", now).is_some());
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let (mut throttle, start) = (Throttle::new(1, WAIT), monotonic_now());
        let moment = |number: u64| start + Duration::from_micros(number);
        let most = MOST_REMEMBERED as u64;
        for number in 0..3 * most {
            throttle.turned_away(HERE, &number.to_string(), moment(number));
            assert!(throttle.pairs.counts.len() <= MOST_REMEMBERED);
        }
        let now = moment(3 * most);
        assert_eq!(throttle.user_wait(HERE, "0", now), None);
        for number in 3 * most - most * 9 / 10..3 * most {
            assert!(throttle.user_wait(HERE, &number.to_string(), now).is_some(), "{number}");
        }
    }

    #[test]
    fn none_is_no_limit() {
        let (mut throttle, now) = (Throttle::new(0, WAIT), monotonic_now());
        throttle.failed(HERE, "eve", now);
        assert_eq!((throttle.user_wait(HERE, "eve", now), throttle.address_wait(HERE, now)), (None, None));
    }
}
