//! What every watch waits for besides events: shutdown, and the next bookmark, at which permission is checked again.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::monotonic_now;
use crate::domain::ids::{ClusterId, TaskId};
use crate::domain::refusal::Refusal;
use crate::store::TaskVisibility;
use crate::watch::ring::Channel;

pub const BOOKMARK_PERIOD: Duration = Duration::from_secs(15);

/// What the caller of a watch may see; checked repeatedly while the watch runs, because rights change.
pub trait WatchAuthorizer: Send + Sync {
    /// Whether the watch may continue; called at each bookmark.
    fn check(&self) -> Result<(), Refusal>;

    /// Whether a task is visible in a watch of many tasks.
    fn sees(&self, task: TaskId, cluster: ClusterId) -> bool;

    /// The visible tasks, as a filter.
    fn visible(&self) -> TaskVisibility;
}

/// Why a watch woke up.
pub(super) enum WakeReason {
    /// There may be new events.
    News,
    Bookmark,
    Shutdown,
}

/// Waits for the next reason to wake.
pub(super) struct WatchTimer {
    shutdown: CancellationToken,
    authorizer: Arc<dyn WatchAuthorizer>,
    bookmark_at: Instant,
    notify: watch::Receiver<()>,
    progress_notify: Option<watch::Receiver<()>>,
}

impl WatchTimer {
    /// Channels are observed from now on.
    pub fn new(
        channel: &Channel,
        shutdown: &CancellationToken,
        authorizer: Arc<dyn WatchAuthorizer>,
        progress: bool,
    ) -> Self {
        Self {
            shutdown: shutdown.clone(),
            authorizer,
            bookmark_at: monotonic_now() + BOOKMARK_PERIOD,
            notify: channel.notify.subscribe(),
            progress_notify: progress.then(|| channel.progress_notify.subscribe()),
        }
    }

    /// What is due already, without waiting.
    pub fn due(&self) -> Option<WakeReason> {
        if self.shutdown.is_cancelled() {
            Some(WakeReason::Shutdown)
        } else if monotonic_now() >= self.bookmark_at {
            Some(WakeReason::Bookmark)
        } else {
            None
        }
    }

    pub async fn wait(&mut self) -> WakeReason {
        let progress_notify = &mut self.progress_notify;
        let progress = async {
            match progress_notify {
                Some(notify) => _ = notify.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => WakeReason::Shutdown,
            () = tokio::time::sleep_until(self.bookmark_at) => WakeReason::Bookmark,
            // Never an error: the watch itself keeps the channel that owns the sender.
            _ = self.notify.changed() => WakeReason::News,
            () = progress => WakeReason::News,
        }
    }

    /// Whether the caller may see a task now.
    pub fn sees(&self, task: TaskId, cluster: ClusterId) -> bool {
        self.authorizer.sees(task, cluster)
    }

    /// The tasks that the caller may see now, as a filter.
    pub fn visible(&self) -> TaskVisibility {
        self.authorizer.visible()
    }

    /// Checks permission and sets the time of the next bookmark.
    pub fn at_bookmark(&mut self) -> Result<(), Refusal> {
        self.bookmark_at = monotonic_now() + BOOKMARK_PERIOD;
        self.authorizer.check()
    }

    /// What a watch sends because it woke: whether a bookmark, and with what it ends.
    pub fn woken(&mut self, reason: WakeReason) -> (bool, Option<Refusal>) {
        match reason {
            WakeReason::News => (false, None),
            WakeReason::Bookmark => {
                let end = self.at_bookmark().err();
                (end.is_none(), end)
            }
            WakeReason::Shutdown => (true, Some(shutdown_refusal())),
        }
    }
}

/// The end of a watch when the service shuts down. Watchers reconnect spread over two seconds.
pub(super) fn shutdown_refusal() -> Refusal {
    let random = RandomState::new().hash_one(0_u8) % 2000;
    Refusal::Unavailable {
        why: "the service is ending, watch again from the last position".to_owned(),
        retry_after_millis: 100 + u32::try_from(random).unwrap_or_default(),
    }
}
