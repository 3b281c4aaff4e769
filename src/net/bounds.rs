//! How much of a listener its clients may take: the settings of `[limits]` as both faces apply them. Pure.

use std::time::Duration;

use tokio::sync::Semaphore;

use crate::config::LimitsConfig;

/// Least bytes of headers that hyper lets us ask for.
const LEAST_HEADER_BYTES: u32 = 8192;
/// Most bytes of headers: HTTP/2 keeps so many for each stream.
const MOST_HEADER_BYTES: u32 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections at the same time, including those still in their TLS handshake.
    pub connections: usize,
    /// Longest time for a TLS handshake, for the first bytes of a connection, and for the headers of a request; over HTTP/1
    /// also the longest silence between two requests.
    pub arrival: Duration,
    /// Longest time in which a client may take nothing of what is sent to it, over a connection or an HTTP/2 stream.
    pub write_timeout: Duration,
    /// Requests at the same time on one HTTP/2 connection; `None`: no limit.
    pub streams: Option<u32>,
    /// Requests of callers that are not authenticated, at the same time on one connection; `None`: no limit.
    pub strangers_per_connection: Option<u32>,
    /// The same per client address; `None`: no limit.
    pub strangers_per_address: Option<u32>,
    /// Bytes of a request's headers, 8192 to 1 MiB.
    pub header_bytes: u32,
}

impl From<&LimitsConfig> for ListenerLimits {
    /// Zero connections or streams are no limit; times are a second at least.
    fn from(limits: &LimitsConfig) -> Self {
        let connections = match limits.connections {
            0 => Semaphore::MAX_PERMITS,
            some => usize::try_from(some).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS),
        };
        Self {
            connections,
            arrival: Duration::from_secs(limits.arrival_seconds.max(1)),
            write_timeout: Duration::from_secs(limits.stall_seconds.max(1)),
            strangers_per_connection: Some(limits.strangers_per_connection).filter(|most| *most > 0),
            strangers_per_address: Some(limits.strangers_per_address).filter(|most| *most > 0),
            streams: Some(limits.streams_per_connection).filter(|streams| *streams > 0),
            header_bytes: limits.header_bytes.clamp(LEAST_HEADER_BYTES, MOST_HEADER_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_limit_where_that_makes_sense() {
        let mut limits = LimitsConfig::default();
        let bounds = ListenerLimits::from(&limits);
        assert_eq!((bounds.connections, bounds.streams, bounds.header_bytes), (10_000, Some(1024), 16_384));
        assert_eq!((bounds.arrival.as_secs(), bounds.write_timeout.as_secs()), (15, 30));
        (limits.connections, limits.streams_per_connection, limits.header_bytes) = (0, 0, 0);
        (limits.arrival_seconds, limits.stall_seconds) = (0, 0);
        let bounds = ListenerLimits::from(&limits);
        assert_eq!(
            (bounds.connections, bounds.streams, bounds.header_bytes),
            (Semaphore::MAX_PERMITS, None, LEAST_HEADER_BYTES)
        );
        assert_eq!((bounds.arrival.as_secs(), bounds.write_timeout.as_secs()), (1, 1));
    }
}
