//! When and how soon a lost call or stream is tried again. Reads no clock but tokio's.

use std::error::Error;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// Whether a status says that the answer was lost, rather than what the answer is.
pub fn is_lost(status: &Status) -> bool {
    // Only a status that was made on this side has a source: the transport broke.
    let broken = matches!(status.code(), Code::Unknown | Code::Internal) && status.source().is_some();
    broken || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}

/// Pauses that grow from 0.2 s to 10 s, or as long as the server asks.
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// It worked: the next pause is short again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The pause after `status`; the server's `RetryInfo` wins.
    pub fn pause(&mut self, status: &Status) -> Duration {
        let grown = FIRST.saturating_mul(1 << self.attempts.min(10)).min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        match status.get_details_retry_info().and_then(|info| info.retry_delay) {
            Some(asked) => asked,
            // Half to whole, so that many watchers of one server do not return in one instant.
            None => grown.mul_f64(0.5 + f64::from(Uuid::new_v4().as_bytes()[0]) / 510.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn answers_are_not_losses() {
        assert!(is_lost(&Status::unavailable("x")));
        assert!(is_lost(&Status::from_error(Box::new(std::io::Error::other("reset")))));
        assert!(!is_lost(&Status::internal("bug")));
        assert!(!is_lost(&Status::aborted("held")));
    }

    #[test]
    fn pauses_grow_are_bounded_and_start_again() {
        let mut backoff = Backoff::default();
        let lost = Status::unavailable("x");
        let first = backoff.pause(&lost);
        assert!(first >= FIRST / 2 && first <= FIRST);
        for _ in 0..40 {
            assert!(backoff.pause(&lost) <= LONGEST);
        }
        backoff.reset();
        assert!(backoff.pause(&lost) <= FIRST);
    }

    #[test]
    fn the_server_is_obeyed() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
        let status = Status::with_error_details(Code::Unavailable, "shutting down", details);
        assert_eq!(Backoff::default().pause(&status), Duration::from_secs(3));
    }
}
