//! Clients first: before the server is frozen and its process ended, a stop may wait until no client has a session or an open
//! transaction on it. That is a wait with an end, and never a reason to fail: what is left then is a warning.
//!
//! It began when this execution did, so that a look after a crash has the same end before it, and a retry waits anew. What cannot
//! be seen may be there: it is waited for until the time is over.

use std::time::Duration;

use super::freeze::unread_is_accepted;
use crate::domain::blocker::Blocker;
use crate::domain::clients::ServerClients;
use crate::domain::event::Direction;
use crate::domain::reading::{Fact, Unreadable};
use crate::engine::{Observation, ProgressReport, StepContext};
use crate::inventory::Target;
use crate::operations::{Deps, clients, step_io};

/// What the clients of a server mean for what comes behind them.
pub(super) enum Drain {
    /// Nobody is left, or nobody is waited for any longer: the warning that says who is left.
    Over(Option<(String, String)>),
    /// This comes first.
    First(Box<Observation>),
}

/// Looks who is left.
pub(super) async fn before_stop(deps: &Deps, context: &StepContext, target: &Target) -> Drain {
    let asked = context.task.spec.drain;
    // A freeze or an end that was tried came after it.
    let is_over = asked.is_zero() || context.attempts().next().is_some();
    if is_over || context.task.direction == Direction::Back {
        return Drain::Over(None);
    }
    let addr = &target.server.addr;
    let found = match step_io::bounded(deps, context, clients::read(deps, target)).await {
        Ok(found) => found,
        Err(error) if unread_is_accepted(context, &error) => Err(Unreadable::new(error.message)),
        Err(error) => return Drain::First(Box::new(step_io::unread(&error))),
    };
    if found.as_ref().is_ok_and(ServerClients::is_empty) {
        context.log(format!("no client is left on {addr}"));
        return Drain::Over(None);
    }
    let began = context.this().and_then(|subtask| subtask.started_at);
    // By the clock that began it, and when that was set back by the one that never is.
    let waited = began.map_or(Duration::ZERO, |began| deps.clock.now().since(began)).max(context.waited());
    let left = asked.saturating_sub(waited);
    let who = words(&found);
    if left.is_zero() {
        let message = format!("after {} s clients of {addr} were not waited for any longer: {who}", asked.as_secs());
        return Drain::Over(Some(("NOT_DRAINED".to_owned(), message)));
    }
    let message = format!("drains {addr}: {who}; {} s left", left.as_secs());
    let progress = ProgressReport::uncounted(message).held_by(Blocker::server(*addr, format!("has {who}")));
    Drain::First(Box::new(Observation::Wait { progress, again_in: deps.timeouts.poll.min(left) }))
}

/// The warning goes with what is done behind the drain.
pub(super) fn warned(mut look: Observation, warning: Option<(String, String)>) -> Observation {
    if let Observation::Needed { output, .. } = &mut look {
        output.warnings.extend(warning);
    }
    look
}

fn words(found: &Fact<ServerClients>) -> String {
    match found {
        Ok(clients) => clients.to_string(),
        Err(why) => format!("sessions that are not known ({why})"),
    }
}
