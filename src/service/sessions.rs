//! The end of sessions of the web console: of the one that signs out, or of all of a user.

use super::Service;
use super::audit_entry::AuditEntry;
use super::call::{Caller, ServiceCall};
use super::users::user_done;
use crate::clock::Timestamp;
use crate::domain::call::Call;
use crate::domain::ids::Principal;
use crate::domain::refusal::Refusal;
use crate::store::access::AccessChange;

/// Which sessions of a user end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The one that was issued then, of which no copy holds after it expires.
    One { issued: Timestamp, expires: Timestamp },
    /// All that were issued up to now.
    All,
}

/// Ends sessions of a user, at every replica.
#[derive(Clone, Debug)]
pub struct EndSessions {
    pub name: Principal,
    pub ended: Ended,
}

impl ServiceCall for EndSessions {
    const CALL: Call = Call::EndSessions;
    type Subject = Principal;
    type Output = ();

    fn subject(&self, _: &Caller) -> Principal {
        self.name.clone()
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        AuditEntry::on(format!("user {}", self.name)).with("all", self.ended == Ended::All)
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<(), Refusal> {
        let (name, entry, now) = (&self.name, self.audit_entry(caller), service.deps.clock.now());
        let changed = service.change_access(caller, Self::CALL, entry, |rules| {
            let user = rules.touched(Self::CALL, name)?.id;
            Ok(match self.ended {
                Ended::One { issued, expires } => AccessChange::EndSession { user, issued, expires },
                Ended::All => AccessChange::EndSessions { user, issued_until: now },
            })
        });
        user_done(changed.await?, name)
    }
}
