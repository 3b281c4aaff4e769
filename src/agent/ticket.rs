//! Tickets: the right to end one process, or to start one that is absent, once and within seconds. They live in memory only, so that
//! none survives the agent.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::agent::refusal::AgentRefusal;
use crate::clock;
use crate::domain::host::{CallerFence, ObserverIdentity, ObserverTarget, Ticket};

/// How long a ticket is valid, on the monotonic clock.
pub const VALID: Duration = Duration::from_secs(5);
/// How long a ticket is remembered, to say what was wrong with it.
const REMEMBERED: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
pub struct Tickets(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    issued: HashMap<String, Issued>,
    /// In the order in which they were given.
    given: VecDeque<(Instant, String)>,
}

#[derive(Debug)]
struct Issued {
    at: Instant,
    used: bool,
    fence: CallerFence,
    target: ObserverTarget,
    /// `None`: it was absent, and may be started.
    identity: Option<ObserverIdentity>,
}

impl Tickets {
    /// A new ticket, bound to its caller, the target, and the process that was found; `None`: there was none.
    pub fn give(&self, fence: CallerFence, target: ObserverTarget, identity: Option<ObserverIdentity>) -> Ticket {
        let text = uuid::Uuid::new_v4().simple().to_string();
        let now = clock::monotonic_now();
        let mut remembered = self.lock();
        let forgotten = |(at, _): &mut (Instant, String)| now.duration_since(*at) >= REMEMBERED;
        while let Some((_, ticket)) = remembered.given.pop_front_if(forgotten) {
            remembered.issued.remove(&ticket);
        }
        remembered.given.push_back((now, text.clone()));
        remembered.issued.insert(text.clone(), Issued { at: now, used: false, fence, target, identity });
        Ticket::from_agent(text)
    }

    /// Uses a ticket up. It is used up even when something else is wrong with it.
    pub fn take(
        &self,
        ticket: &str,
        fence: &CallerFence,
        target: &ObserverTarget,
        identity: Option<&ObserverIdentity>,
    ) -> Result<(), AgentRefusal> {
        let mut remembered = self.lock();
        let ticket = remembered.issued.get_mut(ticket).ok_or(AgentRefusal::TicketUnknown)?;
        if std::mem::replace(&mut ticket.used, true) {
            return Err(AgentRefusal::TicketUsed);
        }
        let age = clock::monotonic_now().duration_since(ticket.at);
        if age >= VALID {
            return Err(AgentRefusal::TicketExpired { age, valid: VALID });
        }
        let mismatch = |what| Err(AgentRefusal::TicketMismatch { what });
        if ticket.fence != *fence {
            return mismatch("caller or fence");
        }
        if ticket.target != *target {
            return mismatch("observer");
        }
        if ticket.identity.as_ref() != identity {
            return mismatch("process");
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::fake_proc;
    use crate::domain::ids::Fence;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_once_for_what_it_was_given_and_for_five_seconds() {
        let (fence, target) = (fake_proc::fence(7), fake_proc::target());
        let identity = fake_proc::identity();
        let tickets = Tickets::default();
        let give = || tickets.give(fence.clone(), target.clone(), Some(identity.clone()));
        let take = |ticket: &Ticket| tickets.take(ticket.as_str(), &fence, &target, Some(&identity));

        let ticket = give();
        tokio::time::advance(Duration::from_millis(4_999)).await;
        assert_eq!(take(&ticket), Ok(()));
        assert_eq!(take(&ticket), Err(AgentRefusal::TicketUsed));

        let ticket = give();
        tokio::time::advance(VALID).await;
        assert_eq!(take(&ticket), Err(AgentRefusal::TicketExpired { age: VALID, valid: VALID }));
        assert_eq!(take(&Ticket::from_agent("made up")), Err(AgentRefusal::TicketUnknown));

        let ticket = give();
        let other = CallerFence { fence: Fence::new(8), ..fence.clone() };
        let mismatch = tickets.take(ticket.as_str(), &other, &target, Some(&identity));
        assert_eq!(mismatch, Err(AgentRefusal::TicketMismatch { what: "caller or fence" }));
        assert_eq!(take(&ticket), Err(AgentRefusal::TicketUsed));

        let other = ObserverIdentity { start_ticks: 1, ..identity.clone() };
        let of_process = Err(AgentRefusal::TicketMismatch { what: "process" });
        assert_eq!(tickets.take(give().as_str(), &fence, &target, Some(&other)), of_process);
        assert_eq!(tickets.take(give().as_str(), &fence, &target, None), of_process, "it starts nothing");
    }
}
