//! So many calls, so many at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::now;

#[derive(Clone, Copy)]
pub struct Load {
    pub in_flight: usize,
    pub count: usize,
}

/// Runs so many calls, so many at a time; how long all took, and each.
pub async fn run<C: Clone + Send + 'static, F: Future<Output = ()> + Send>(
    load: Load,
    connections: Vec<C>,
    call: impl Fn(C, usize) -> F + Clone + Send + Sync + 'static,
) -> (Duration, Vec<Duration>) {
    let (next, begun) = (Arc::new(AtomicUsize::new(0)), now());
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..load.in_flight {
        let (connection, next, call) =
            (connections[caller % connections.len()].clone(), Arc::clone(&next), call.clone());
        callers.spawn(async move {
            let mut lasted = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= load.count {
                    return lasted;
                }
                let one = now();
                call(connection.clone(), number).await;
                lasted.push(one.elapsed());
            }
        });
    }
    let lasted = callers.join_all().await.into_iter().flatten().collect();
    (begun.elapsed(), lasted)
}
