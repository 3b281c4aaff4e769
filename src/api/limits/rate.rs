//! Requests of each principal in fixed windows of 10 seconds, a minute, an hour and a day, as OCP counts them
//! (docs/ocp-v2.md#rate-limits). A window begins with the first request in it. Pure: the moment is passed in.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::api::auth::Rate;
use crate::config::LimitsConfig;
use crate::domain::ids::Principal;
use crate::domain::refusal::Refusal;

/// Most principals that are remembered; those that were quiet for longest are forgotten first.
const MOST_REMEMBERED: usize = 10_000;

/// How many requests in how many seconds.
#[derive(Clone, Copy, Debug)]
struct Limit {
    requests: u32,
    seconds: u32,
}

/// A window of one principal.
#[derive(Clone, Copy, Debug)]
struct Window {
    begun: Instant,
    used: u32,
}

#[derive(Debug)]
pub struct Rates {
    limits: Vec<Limit>,
    /// A window for each limit.
    counts: HashMap<Principal, Vec<Window>>,
}

impl Rates {
    /// Windows without a limit are left out.
    pub fn new(limits: &LimitsConfig) -> Self {
        let all = [
            (limits.requests_per_10_seconds, 10),
            (limits.requests_per_minute, 60),
            (limits.requests_per_hour, 3600),
            (limits.requests_per_day, 86_400),
        ];
        let limits = all.into_iter().filter(|(requests, _)| *requests > 0);
        Self { limits: limits.map(|(requests, seconds)| Limit { requests, seconds }).collect(), counts: HashMap::new() }
    }

    /// No limits at all.
    pub fn unlimited() -> Self {
        Self { limits: Vec::new(), counts: HashMap::new() }
    }

    /// Counts a request, unless a window is full: then it counts in none. What is answered besides is the window that is
    /// nearest to being full; `None`: there are no limits.
    pub fn take(&mut self, principal: &Principal, now: Instant) -> (Result<(), Refusal>, Option<Rate>) {
        if self.limits.is_empty() {
            return (Ok(()), None);
        }
        if self.counts.len() >= MOST_REMEMBERED && !self.counts.contains_key(principal) {
            self.make_room();
        }
        let Self { limits, counts } = self;
        let windows = counts
            .entry(principal.clone())
            .or_insert_with(|| limits.iter().map(|_| Window { begun: now, used: 0 }).collect());
        for (limit, window) in limits.iter().zip(windows.iter_mut()) {
            if now >= window.begun + Duration::from_secs(limit.seconds.into()) {
                *window = Window { begun: now, used: 0 };
            }
        }
        let pairs = || limits.iter().zip(windows.iter());
        let left = |limit: &Limit, window: &Window| {
            (window.begun + Duration::from_secs(limit.seconds.into())).saturating_duration_since(now)
        };
        let full = pairs().filter(|(limit, window)| window.used >= limit.requests);
        if let Some((limit, window)) = full.max_by_key(|(limit, window)| left(limit, window)) {
            let left = left(limit, window);
            let millis = u32::try_from(left.as_millis()).unwrap_or(u32::MAX).saturating_add(1);
            let refusal = Refusal::RateLimited {
                limit: limit.requests,
                window_seconds: limit.seconds,
                retry_after_millis: millis,
            };
            return (Err(refusal), Some(rate(*limit, *window, left)));
        }
        for window in windows.iter_mut() {
            window.used += 1;
        }
        let rates = limits.iter().zip(windows.iter()).map(|(limit, window)| rate(*limit, *window, left(limit, window)));
        let nearest = rates.min_by_key(|rate| (rate.remaining, std::cmp::Reverse(rate.reset_seconds)));
        (Ok(()), nearest)
    }

    fn make_room(&mut self) {
        let quietest = self.counts.iter().min_by_key(|(_, windows)| windows.iter().map(|window| window.begun).max());
        if let Some(quietest) = quietest.map(|(principal, _)| principal.clone()) {
            self.counts.remove(&quietest);
        }
    }
}

fn rate(limit: Limit, window: Window, left: Duration) -> Rate {
    Rate {
        limit: limit.requests,
        remaining: limit.requests.saturating_sub(window.used),
        reset_seconds: u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic_now;

    fn limits(ten_seconds: u32, hour: u32) -> LimitsConfig {
        LimitsConfig { requests_per_10_seconds: ten_seconds, requests_per_hour: hour, ..LimitsConfig::default() }
    }

    #[test]
    fn a_window_fills_and_begins_anew() {
        let (mut rates, now) = (Rates::new(&limits(2, 0)), monotonic_now());
        let (eve, bob) = (Principal::new("eve"), Principal::new("bob"));
        let expected = |remaining, reset_seconds| Some(Rate { limit: 2, remaining, reset_seconds });
        assert_eq!(rates.take(&eve, now), (Ok(()), expected(1, 10)));
        assert_eq!(rates.take(&eve, now + Duration::from_millis(1500)), (Ok(()), expected(0, 9)));
        let refused = Refusal::RateLimited { limit: 2, window_seconds: 10, retry_after_millis: 5001 };
        assert_eq!(rates.take(&eve, now + Duration::from_secs(5)), (Err(refused), expected(0, 5)));
        assert_eq!(rates.take(&bob, now + Duration::from_secs(5)).0, Ok(()), "another principal");
        assert_eq!(rates.take(&eve, now + Duration::from_secs(10)), (Ok(()), expected(1, 10)));
    }

    #[test]
    fn the_nearest_window_is_told_and_the_longest_wait() {
        let (mut rates, now) = (Rates::new(&limits(2, 3)), monotonic_now());
        let eve = Principal::new("eve");
        assert_eq!(rates.take(&eve, now).1.map(|rate| rate.limit), Some(2));
        assert_eq!(rates.take(&eve, now).1.map(|rate| (rate.limit, rate.remaining)), Some((2, 0)));
        let later = now + Duration::from_secs(10);
        let hour = Some(Rate { limit: 3, remaining: 0, reset_seconds: 3590 });
        assert_eq!(rates.take(&eve, later), (Ok(()), hour));
        let (refused, rate) = rates.take(&eve, later);
        assert!(matches!(refused, Err(Refusal::RateLimited { limit: 3, window_seconds: 3600, .. })), "{refused:?}");
        assert_eq!(rate, hour);
    }

    #[test]
    fn what_is_refused_does_not_count() {
        let (mut rates, now) = (Rates::new(&limits(1, 2)), monotonic_now());
        let eve = Principal::new("eve");
        assert!(rates.take(&eve, now).0.is_ok());
        for _ in 0..5 {
            assert!(rates.take(&eve, now).0.is_err());
        }
        assert!(rates.take(&eve, now + Duration::from_secs(10)).0.is_ok(), "the hour has one left");
    }

    #[test]
    fn without_limits_nothing_is_counted_and_memory_is_bounded() {
        let (mut rates, now) = (Rates::unlimited(), monotonic_now());
        assert_eq!(rates.take(&Principal::new("eve"), now), (Ok(()), None));
        assert!(rates.counts.is_empty());
        let mut rates = Rates::new(&limits(1, 0));
        for number in 0..MOST_REMEMBERED as u64 + 1 {
            _ = rates.take(&Principal::new(number.to_string()), now + Duration::from_micros(number));
        }
        assert_eq!(rates.counts.len(), MOST_REMEMBERED);
        assert!(!rates.counts.contains_key(&Principal::new("0")));
    }
}
