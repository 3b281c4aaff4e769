//! How long a target that failed is left alone. Pure.

use std::time::Duration;

/// From one second to five minutes.
pub const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Behind so many failures in a row, from 1: each pause is twice the one before.
pub fn pause(failures: u32, (shortest, longest): (Duration, Duration)) -> Duration {
    let doubled = 2_u32.checked_pow(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    shortest.checked_mul(doubled).unwrap_or(longest).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_the_longest() {
        let seconds = [1, 2, 3, 9, 10, 33, u32::MAX].map(|failures| pause(failures, PAUSES).as_secs());
        assert_eq!(seconds, [1, 2, 4, 256, 300, 300, 300]);
        assert_eq!(pause(0, PAUSES), PAUSES.0);
    }
}
