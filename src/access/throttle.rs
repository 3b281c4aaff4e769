//! How often a login may fail. A user that failed too often at an address must wait there, longer and longer. An
//! address at which many users failed is slowed down, so that trying many names is slow too, but it is not blocked:
//! others who know their passwords may be behind the same proxy. Pure: the moment is passed in, and nothing waits here.
//!
//! IPv6 addresses count by their first 64 bits: a client with one address of such a network has all of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

use crate::access::pool::CallerClass;

/// Most addresses, and most pairs of address and user, that are remembered; the oldest tenth is forgotten first.
pub const MOST_REMEMBERED: usize = 10_000;
/// Longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// An address may fail this many times as often as a user, over all users.
const ADDRESS_ALLOWANCE: u32 = 10;
/// Time between two passwords of an address that is slowed down.
pub const PACE: Duration = Duration::from_millis(200);
/// Failures are forgotten this long after the wait that they caused.
const MEMORY: Duration = Duration::from_secs(3600);

/// A user, or an access key, at an address.
pub type Pair = (IpAddr, String);

#[derive(Debug)]
pub struct Throttle {
    users: Tally<Pair>,
    /// Separate from users: wrong signatures cost nothing to send, and must not push failed passwords out of memory.
    keys: Tally<Pair>,
    addresses: Tally<IpAddr>,
    /// Users that logged in, and when last. Only a right password adds one.
    known: HashMap<Pair, Instant>,
}

impl Throttle {
    /// `failures` are free for each pair (0: any number); the next attempt after them must wait for `wait`, and twice
    /// as long with each further failure.
    pub fn new(failures: u32, wait: Duration) -> Self {
        let growing = |failures| Tally::new(failures, wait, LONGEST_WAIT);
        Self {
            users: growing(failures),
            keys: growing(failures),
            addresses: Tally::new(failures.saturating_mul(ADDRESS_ALLOWANCE), PACE, PACE),
            known: HashMap::new(),
        }
    }

    /// How long this user must wait at this address; `None`: not at all.
    pub fn user_wait(&self, pair: &Pair, now: Instant) -> Option<Duration> {
        self.users.wait(pair, now)
    }

    /// How long this access key must wait at this address; `None`: not at all.
    pub fn key_wait(&self, pair: &Pair, now: Instant) -> Option<Duration> {
        self.keys.wait(pair, now)
    }

    /// How long unknown callers at this address must wait until the next password is tried, [`PACE`] at most; `None`:
    /// not at all.
    pub fn address_wait(&self, pair: &Pair, now: Instant) -> Option<Duration> {
        self.addresses.wait(&pair.0, now)
    }

    /// Whether this address is slowed down for unknown callers.
    pub fn is_slow(&self, pair: &Pair, now: Instant) -> bool {
        self.addresses.is_over(&pair.0, now)
    }

    /// A user that has logged in from there before is not held up by what others do at the address; its own failures
    /// still make it wait.
    pub fn standing(&self, pair: &Pair) -> CallerClass {
        if self.known.contains_key(pair) { CallerClass::Known } else { CallerClass::Unknown }
    }

    pub fn failed(&mut self, pair: &Pair, now: Instant) {
        self.users.failed(pair.clone(), now);
        self.addresses.failed(pair.0, now);
    }

    pub fn key_failed(&mut self, pair: &Pair, now: Instant) {
        self.keys.failed(pair.clone(), now);
    }

    /// Resets the user's failures at this address, but not the address's: one good password must not pay for trying others.
    pub fn succeeded(&mut self, pair: &Pair, now: Instant) {
        if !self.users.counts.is_empty() {
            self.users.counts.remove(pair);
        }
        if let Some(last) = self.known.get_mut(pair) {
            *last = now;
            return;
        }
        forget_first(&mut self.known, |moment| *moment);
        self.known.insert(pair.clone(), now);
    }

    pub fn key_succeeded(&mut self, pair: &Pair) {
        if !self.keys.counts.is_empty() {
            self.keys.counts.remove(pair);
        }
    }
}

/// Names are cut: what is sent as a name can be as long as a header.
pub(super) fn pair(address: IpAddr, user: &str) -> Pair {
    (network(address), user.chars().take(72).collect())
}

/// Addresses that count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[derive(Debug)]
struct Tally<K> {
    allowed: u32,
    wait: Duration,
    longest: Duration,
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
    fn new(allowed: u32, wait: Duration, longest: Duration) -> Self {
        Self { allowed, wait, longest, counts: HashMap::new() }
    }

    fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let count = self.counts.get(key)?;
        (self.allowed > 0 && count.until > now).then(|| count.until - now)
    }

    fn is_over(&self, key: &K, now: Instant) -> bool {
        self.counts.get(key).is_some_and(|count| count.failures >= self.allowed && !count.is_forgotten(now))
    }

    fn failed(&mut self, key: K, now: Instant) {
        if self.allowed == 0 {
            return;
        }
        let before = self.counts.get(&key).filter(|count| !count.is_forgotten(now)).map_or(0, |count| count.failures);
        if self.counts.len() >= MOST_REMEMBERED && !self.counts.contains_key(&key) {
            self.counts.retain(|_, count| !count.is_forgotten(now));
            // A pair that must wait is kept for longest: names that failed once must not push it out.
            forget_first(&mut self.counts, |count| (count.until > now, count.last));
        }
        let failures = before.saturating_add(1);
        let until = now + self.wait_after(failures);
        self.counts.insert(key, Count { failures, last: now, until });
    }

    fn wait_after(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.allowed) {
            None => Duration::ZERO,
            Some(further) => self.wait.saturating_mul(1 << further.min(30)).min(self.longest),
        }
    }
}

/// Makes room for a tenth at once: searching for the oldest at each failure would play into an attacker's hands.
fn forget_first<K: Eq + Hash, V, O: Copy + Ord>(remembered: &mut HashMap<K, V>, order: impl Fn(&V) -> O) {
    if remembered.len() < MOST_REMEMBERED {
        return;
    }
    let mut places: Vec<O> = remembered.values().map(&order).collect();
    let (_, border, _) = places.select_nth_unstable(MOST_REMEMBERED / 10);
    let border = *border;
    remembered.retain(|_, one| order(one) >= border);
    // All of one moment: then any will do.
    if remembered.len() >= MOST_REMEMBERED {
        remembered.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic_now;

    const WAIT: Duration = Duration::from_secs(10);

    fn here(user: &str) -> Pair {
        pair("10.0.0.1".parse().unwrap(), user)
    }

    fn there(user: &str) -> Pair {
        pair("10.0.0.2".parse().unwrap(), user)
    }

    #[test]
    fn waits_double_up_to_an_hour_and_end_with_a_success() {
        let (mut throttle, mut now) = (Throttle::new(5, WAIT), monotonic_now());
        for _ in 0..4 {
            throttle.failed(&here("eve"), now);
            assert_eq!(throttle.user_wait(&here("eve"), now), None);
        }
        for seconds in [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600] {
            throttle.failed(&here("eve"), now);
            let wait = throttle.user_wait(&here("eve"), now);
            assert_eq!(wait, Some(Duration::from_secs(seconds)));
            assert_eq!(throttle.user_wait(&there("eve"), now), None, "another address is not affected");
            assert_eq!(throttle.user_wait(&here("bob"), now), None, "another user is not affected");
            assert_eq!(throttle.key_wait(&here("eve"), now), None, "nor is a key of that name");
            now += wait.unwrap();
            assert_eq!(throttle.user_wait(&here("eve"), now), None);
        }
        throttle.failed(&here("eve"), now);
        throttle.succeeded(&here("eve"), now);
        assert_eq!(throttle.user_wait(&here("eve"), now), None);
    }

    #[test]
    fn old_failures_are_forgotten() {
        let (mut throttle, now) = (Throttle::new(2, WAIT), monotonic_now());
        throttle.failed(&here("eve"), now);
        throttle.failed(&here("eve"), now + MEMORY);
        assert_eq!(throttle.user_wait(&here("eve"), now + MEMORY), None);
        throttle.failed(&here("eve"), now + MEMORY);
        assert_eq!(throttle.user_wait(&here("eve"), now + MEMORY), Some(WAIT));
    }

    #[test]
    fn trying_many_names_slows_the_address_and_never_shuts_it() {
        let (mut throttle, mut now) = (Throttle::new(5, WAIT), monotonic_now());
        for number in 0..50 {
            assert_eq!(throttle.address_wait(&here("bob"), now), None);
            assert!(!throttle.is_slow(&here("bob"), now));
            throttle.failed(&here(&format!("user{number}")), now);
            throttle.succeeded(&here("mallory"), now);
        }
        for number in 50..10_000 {
            assert_eq!(throttle.address_wait(&here("bob"), now), Some(PACE), "as long after {number} failures");
            assert!(throttle.is_slow(&here("bob"), now), "a success does not pay for it");
            assert_eq!(throttle.user_wait(&here("bob"), now), None);
            assert_eq!(throttle.address_wait(&there("bob"), now), None);
            now += PACE;
            assert_eq!(throttle.address_wait(&here("bob"), now), None);
            throttle.failed(&here(&format!("user{number}")), now);
        }
        now += MEMORY + PACE;
        assert!(!throttle.is_slow(&here("bob"), now), "it is forgotten");
    }

    #[test]
    fn who_was_right_somewhere_is_known_there() {
        let (mut throttle, now) = (Throttle::new(5, WAIT), monotonic_now());
        throttle.succeeded(&here("bob"), now);
        assert_eq!(throttle.standing(&here("bob")), CallerClass::Known);
        assert_eq!(throttle.standing(&there("bob")), CallerClass::Unknown);
        assert_eq!(throttle.standing(&here("eve")), CallerClass::Unknown);
        for number in 0..3 * MOST_REMEMBERED {
            throttle.succeeded(&here(&number.to_string()), now + Duration::from_micros(number as u64));
            assert!(throttle.known.len() <= MOST_REMEMBERED);
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() {
        let (mut throttle, now) = (Throttle::new(1, WAIT), monotonic_now());
        let at = |address: &str| pair(address.parse().unwrap(), "eve");
        throttle.failed(&at("2001:db8::1"), now);
        assert!(throttle.user_wait(&at("2001:db8::ffff:2"), now).is_some());
        assert!(throttle.user_wait(&at("2001:db8:0:1::1"), now).is_none());
        throttle.failed(&at("::ffff:10.0.0.1"), now);
        assert!(throttle.user_wait(&here("eve"), now).is_some());
    }

    #[test]
    fn memory_is_bounded_and_who_waits_is_kept_for_longest() {
        let (mut throttle, start) = (Throttle::new(2, WAIT), monotonic_now());
        throttle.failed(&here("eve"), start);
        throttle.failed(&here("eve"), start);
        let (most, moment) = (MOST_REMEMBERED as u64, |number: u64| start + Duration::from_micros(number));
        for number in 0..3 * most {
            throttle.failed(&here(&number.to_string()), moment(number));
            throttle.key_failed(&here(&number.to_string()), moment(number));
            assert!(throttle.users.counts.len() <= MOST_REMEMBERED);
        }
        assert!(throttle.user_wait(&here("eve"), moment(3 * most)).is_some(), "eve must wait, the others need not");
        assert!(!throttle.users.counts.contains_key(&here("0")), "the oldest went first");
        for number in 3 * most - most * 8 / 10..3 * most {
            assert!(throttle.users.counts.contains_key(&here(&number.to_string())), "{number}");
        }
    }

    #[test]
    fn none_is_no_limit() {
        let (mut throttle, now) = (Throttle::new(0, WAIT), monotonic_now());
        throttle.failed(&here("eve"), now);
        assert_eq!((throttle.user_wait(&here("eve"), now), throttle.address_wait(&here("eve"), now)), (None, None));
        assert!(!throttle.is_slow(&here("eve"), now));
    }
}
