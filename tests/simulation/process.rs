//! Processes of observers on simulated hosts: how they come up, hear signals and end, as their cluster wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use obsteward::domain::host::{ObserverIdentity, ObserverTarget};
use tokio::sync::watch;

/// The cluster that an observer belongs to, which knows how its processes behave and hears what becomes of them.
pub trait Observers: Send + Sync {
    fn process_begins(&self, server: i64) -> Beginning;
    fn process_started(&self, server: i64, pid: u32) -> bool;
    /// Returns how long after this somebody starts it again, if somebody does.
    fn process_ended(&self, server: i64, pid: u32) -> Option<Duration>;
    fn behaviour(&self, server: i64) -> Behaviour;
    fn sigterm_ignored(&self, server: i64);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    Dies,
    ServesAfter(Duration),
}

#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    pub ignore_sigterm: bool,
    pub exit_after_ms: u64,
}

/// An observer as it is installed on a host.
#[derive(Clone)]
pub struct Installation {
    pub target: ObserverTarget,
    /// Its id in its cluster.
    pub server: i64,
    pub home: String,
    pub cluster: Arc<dyn Observers>,
}

/// A process of an installation, from its launch on.
pub struct Process {
    pub identity: ObserverIdentity,
    listens: AtomicBool,
    /// How it ended, in words.
    end: watch::Sender<Option<String>>,
}

impl Process {
    /// One that does not listen yet.
    pub fn new(identity: ObserverIdentity) -> Arc<Self> {
        Arc::new(Self { identity, listens: AtomicBool::new(false), end: watch::Sender::new(None) })
    }

    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    pub fn listens(&self) -> bool {
        self.listens.load(Ordering::SeqCst)
    }

    pub fn end(&self) -> Option<String> {
        self.end.borrow().clone()
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        // The sender is ours: it cannot be gone.
        let _ = self.end.subscribe().wait_for(Option::is_some).await;
    }

    pub fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    pub fn begins_to_listen(&self) {
        self.listens.store(true, Ordering::SeqCst);
    }

    /// It ends now; false: it had ended before.
    pub fn ends(&self, how: &str) -> bool {
        self.end.send_if_modified(|end| {
            let lives = end.is_none();
            if lives {
                *end = Some(how.to_owned());
            }
            lives
        })
    }
}
