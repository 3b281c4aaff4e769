//! Notifications: what becomes one and what it says, and that each arrives, in order and signed, however its target behaves.

mod messages;
mod receiver;
mod silences;
mod webhooks;

use std::time::Duration;

use crate::support::PATIENCE;

/// Waits for something that nothing else tells of.
async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("it never came to this: {what}"));
}
