//! Requests of callers that are not authenticated: for health, reflection and the description, and those whose refusal
//! has not been read yet. They cost memory like all requests, and their callers risk nothing; so their number is
//! limited, and a connection on which nobody was ever authenticated and nothing is asked is closed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::monotonic_now;
use crate::net::bounds::ListenerLimits;

/// Counts the open requests of unauthenticated callers, over the connections of a listener. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UnauthenticatedLimit {
    /// `None`: no limit.
    per_connection: Option<u32>,
    /// `None`: no limit.
    per_address: Option<u32>,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

impl UnauthenticatedLimit {
    pub fn new(bounds: ListenerLimits) -> Self {
        let ListenerLimits { strangers_per_connection, strangers_per_address, .. } = bounds;
        Self { per_connection: strangers_per_connection, per_address: strangers_per_address, open: Arc::default() }
    }

    pub fn guard(&self, address: IpAddr) -> ConnectionGuard {
        ConnectionGuard(Arc::new(Visit {
            unauthenticated: self.clone(),
            network: network(address),
            open: AtomicU32::default(),
            known: AtomicBool::default(),
            asking: Mutex::new((0, monotonic_now())),
        }))
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection, and its unauthenticated callers. Both faces find it among the extensions of a request.
#[derive(Clone, Debug)]
pub struct ConnectionGuard(Arc<Visit>);

#[derive(Debug)]
struct Visit {
    unauthenticated: UnauthenticatedLimit,
    network: IpAddr,
    /// Open requests of unauthenticated callers on this connection.
    open: AtomicU32,
    /// Whether a caller was ever authenticated on it.
    known: AtomicBool,
    /// Requests that are being answered, and since when that number has not changed.
    asking: Mutex<(u32, Instant)>,
}

impl ConnectionGuard {
    /// Notes that a caller was authenticated on the connection.
    pub fn known(&self) {
        self.0.known.store(true, Ordering::Relaxed);
    }

    /// Counts one more request of an unauthenticated caller for as long as the result is held: by the body of its
    /// answer. `Err`: the limit that is reached. `client`: the sender, which is not the peer of the connection when
    /// that is a trusted proxy; clients of a proxy count separately.
    pub fn stay(&self, client: IpAddr) -> Result<Stay, u32> {
        let Visit { unauthenticated, network: peer, open, .. } = &*self.0;
        let client = network(client);
        let mut addresses = unauthenticated.open();
        let here = (client == *peer).then(|| open.load(Ordering::Relaxed));
        let there = addresses.get(&client).copied().unwrap_or_default();
        for (count, limit) in
            [(here.unwrap_or_default(), unauthenticated.per_connection), (there, unauthenticated.per_address)]
        {
            if let Some(limit) = limit.filter(|limit| count >= *limit) {
                return Err(limit);
            }
        }
        // Under the lock.
        if here.is_some() {
            open.fetch_add(1, Ordering::Relaxed);
        }
        addresses.insert(client, there + 1);
        Ok(Stay { guard: self.clone(), client })
    }

    /// Counts one more request for as long as the result is held.
    pub fn asks(&self) -> Asking {
        self.0.count(|requests| requests + 1);
        Asking(self.clone())
    }

    /// Returns when nobody was authenticated and nothing was asked for `patience`.
    pub async fn idle(&self, patience: Duration) {
        loop {
            let (requests, since) = *self.0.asking.lock().unwrap_or_else(PoisonError::into_inner);
            let end = if requests > 0 { monotonic_now() } else { since } + patience;
            if end <= monotonic_now() && !self.0.known.load(Ordering::Relaxed) {
                return;
            }
            tokio::time::sleep_until(end.max(monotonic_now() + patience / 4)).await;
            if self.0.known.load(Ordering::Relaxed) {
                return std::future::pending().await;
            }
        }
    }
}

impl Visit {
    fn count(&self, change: impl FnOnce(u32) -> u32) {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        *asking = (change(asking.0), monotonic_now());
    }
}

/// A counted request of an unauthenticated caller.
#[derive(Debug)]
#[must_use = "the request counts only while this is held"]
pub struct Stay {
    guard: ConnectionGuard,
    client: IpAddr,
}

impl Drop for Stay {
    fn drop(&mut self) {
        let Visit { unauthenticated, network: peer, open, .. } = &*self.guard.0;
        let mut addresses = unauthenticated.open();
        if self.client == *peer {
            open.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(count) = addresses.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.client);
            }
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
#[must_use = "the connection is idle once this is dropped"]
pub struct Asking(ConnectionGuard);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.0.count(|requests| requests.saturating_sub(1));
    }
}

/// IPv6 addresses count by their first 64 bits: a client with one address of such a network has all of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LimitsConfig;

    #[test]
    fn strangers_count_on_their_connection_and_at_their_address_while_they_stay() {
        let bounds = ListenerLimits::from(&LimitsConfig::default());
        let unauthenticated = UnauthenticatedLimit::new(ListenerLimits {
            strangers_per_connection: Some(2),
            strangers_per_address: Some(3),
            ..bounds
        });
        let [one, two, other] =
            ["2001:db8::1", "2001:db8::2:3", "2001:db8:1::1"].map(|address| address.parse::<IpAddr>().unwrap());
        let [at_one, at_two, at_other] = [one, two, other].map(|address| unauthenticated.guard(address));
        let first = at_one.stay(one).unwrap();
        let _second = at_one.stay(one).unwrap();
        assert_eq!(at_one.stay(one).unwrap_err(), 2);
        let third = at_two.stay(two).unwrap();
        assert_eq!(at_two.stay(two).unwrap_err(), 3);
        let _elsewhere = at_other.stay(other).unwrap();
        drop(first);
        let _again = at_two.stay(two).unwrap();
        drop(third);
        let _once_more = at_one.stay(one).unwrap();
        assert_eq!(unauthenticated.open().len(), 2);
        // Behind a proxy each client counts for itself, and none for the connection.
        let [client, neighbour] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse::<IpAddr>().unwrap());
        let proxy = unauthenticated.guard("10.0.0.1".parse().unwrap());
        let mut through: Vec<_> = (0..3).map(|_| proxy.stay(client).unwrap()).collect();
        assert_eq!(proxy.stay(client).unwrap_err(), 3);
        through.push(proxy.stay(neighbour).unwrap());
        assert_eq!(unauthenticated.open().len(), 4);
        drop(through);
        assert_eq!(unauthenticated.open().len(), 2);
        let unlimited = UnauthenticatedLimit::new(ListenerLimits {
            strangers_per_connection: None,
            strangers_per_address: None,
            ..bounds
        });
        let guard = unlimited.guard(one);
        let _many: Vec<_> = (0..1000).map(|_| guard.stay(one).unwrap()).collect();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_of_strangers_is_idle_once_nothing_is_asked() {
        let patience = Duration::from_secs(15);
        let guard = UnauthenticatedLimit::new(ListenerLimits::from(&LimitsConfig::default()))
            .guard("127.0.0.1".parse().unwrap());
        let begun = monotonic_now();
        let asking = guard.asks();
        assert!(tokio::time::timeout(Duration::from_secs(100), guard.idle(patience)).await.is_err());
        drop(asking);
        guard.idle(patience).await;
        assert_eq!(monotonic_now().duration_since(begun).as_secs(), 115);
        guard.known();
        assert!(tokio::time::timeout(Duration::from_secs(100), guard.idle(patience)).await.is_err());
    }
}
