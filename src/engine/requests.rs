//! Up to where requests of a running task were committed, told to whichever of its subtasks waits. They are woken in the order in
//! which they wait, so that a simulated world repeats: a watch channel wakes them in any.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::ids::Revision;

#[derive(Debug)]
pub(super) struct Requests {
    upto: Mutex<Revision>,
    arrived: Notify,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self { upto: Mutex::new(Revision::ZERO), arrived: Notify::new() }
    }

    /// Revision up to which requests were committed while the task ran.
    pub(super) fn upto(&self) -> Revision {
        *self.upto.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn committed(&self, revision: Revision) {
        let mut upto = self.upto.lock().unwrap_or_else(PoisonError::into_inner);
        if revision > *upto {
            *upto = revision;
            self.arrived.notify_waiters();
        }
    }

    /// Returns once one was committed that is not in this revision.
    pub(super) async fn arrived(&self, since: Revision) {
        loop {
            let mut arrived = pin!(self.arrived.notified());
            // From here on nothing is missed.
            arrived.as_mut().enable();
            if self.upto() > since {
                return;
            }
            arrived.await;
        }
    }
}
