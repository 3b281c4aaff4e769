//! The search for an endpoint that answers: which is tried next, which failures end it, and what it says when nobody answers.
//! It opens nothing itself.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::access::{Avoid, ClusterAccess, Endpoint, KnownServer};
use super::endpoints::{Attempt, Kind, attempts};
use super::error::{ClusterError, ErrorClass, number};
use crate::clock::monotonic_now;

/// After this long no further endpoint is tried.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// An endpoint of another cluster ends the search: it wants a person.
///
/// A refused login ends it for this kind of endpoint with this kind of name: the password is the same at all of them,
/// and every further try may lock the account. Another kind may still be right (a proxy refuses names that an observer
/// accepts, and the other way round), so that one call fails at most three logins.
pub struct Search {
    attempts: VecDeque<Attempt>,
    failures: Vec<ClusterError>,
    refused: Vec<(Kind, String)>,
    /// Another name changes nothing about an endpoint that does not answer.
    left: Option<Endpoint>,
    deadline: Instant,
}

impl Search {
    /// `only_direct`: observers only, no OBProxy.
    pub fn new(access: &ClusterAccess, known: &[KnownServer], avoid: &Avoid, only_direct: bool) -> Self {
        Self {
            attempts: attempts(access, known, avoid, only_direct).into(),
            failures: Vec::new(),
            refused: Vec::new(),
            left: None,
            deadline: monotonic_now() + OPEN_TIMEOUT,
        }
    }

    /// The attempt to make now.
    #[allow(clippy::should_implement_trait, reason = "what failed meanwhile decides about it")]
    pub fn next(&mut self) -> Option<Attempt> {
        loop {
            if monotonic_now() >= self.deadline {
                return None;
            }
            let attempt = self.attempts.pop_front()?;
            let refused = |(kind, name): &(Kind, String)| *kind == attempt.kind && *name == attempt.username;
            if self.left.as_ref() != Some(&attempt.endpoint) && !self.refused.iter().any(refused) {
                return Some(attempt);
            }
        }
    }

    /// The attempt failed; an error when that ends the search.
    pub fn failed(&mut self, attempt: Attempt, error: ClusterError) -> Result<(), ClusterError> {
        match error.number {
            Some(number::ACCESS_DENIED) => self.refused.push((attempt.kind, attempt.username)),
            Some(number::CLUSTER_NOT_EXIST) => {}
            Some(_) | None if error.next_endpoint() => self.left = Some(attempt.endpoint),
            Some(_) | None => return Err(error),
        }
        self.failures.push(error);
        Ok(())
    }

    /// The error when no endpoint can be used. A refused login comes first: repeated automatically it could lock the
    /// account. Then an error that an endpoint answered; if every endpoint is unreachable, so is the cluster.
    pub fn nobody(&self) -> ClusterError {
        let failures = &self.failures;
        let words: Vec<String> = failures.iter().map(ToString::to_string).collect();
        if let Some(refused) = failures.iter().find(|failure| failure.class == ErrorClass::AuthFailed) {
            return ClusterError { message: words.join("; "), ..refused.clone() };
        }
        let class = failures.iter().map(|failure| failure.class).find(|class| *class != ErrorClass::Unreachable);
        let number = failures.iter().find_map(|failure| failure.number);
        let message = match failures.as_slice() {
            [] => "no endpoint is left to ask: register another one".to_owned(),
            _ => format!("no endpoint answers: {}", words.join("; ")),
        };
        ClusterError { number, ..ClusterError::new(class.unwrap_or(ErrorClass::Unreachable), message) }
    }
}
