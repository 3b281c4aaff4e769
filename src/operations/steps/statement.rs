//! A statement that acts, on a session of its own, which is opened away from the server or zone that it is about. The agents of
//! its hosts are asked first whether this owner is still the one, because the cluster knows no fences.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::effect::{EffectOutcome, Intent, Permit};
use crate::engine::{Observation, PreparedEffect, StepContext};
use crate::inventory::Target;
use crate::oceanbase::{EffectSession, Statement};
use crate::operations::server_or_zone::{Mark, Seen, ServerOrZone};
use crate::operations::{Deps, step_io};

/// Between looks for the mark while the statement has not answered.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

pub(super) struct Prepared {
    session: Box<dyn EffectSession>,
    statement: Statement,
}

impl Prepared {
    /// Opens the session. `Err`: the observation that says why there is none.
    pub(super) async fn open(
        deps: &Deps,
        context: &StepContext,
        subject: &ServerOrZone,
        statement: Statement,
    ) -> Result<Self, Box<Observation>> {
        let owner = async {
            for target in subject.targets() {
                if let Some(look) = step_io::lost_ownership(deps, context, target).await {
                    return Err(Box::new(look));
                }
            }
            Ok(())
        };
        let Target { access, known, .. } = subject.way();
        let (expected, avoid) = (subject.expected(), subject.avoid());
        let session = deps.oceanbase.effect_session(access, known, &expected, &avoid);
        let (owner, session) = tokio::join!(owner, session);
        owner?;
        match session {
            Ok(session) => Ok(Self { session, statement }),
            Err(error) => Err(Box::new(step_io::unread(&error))),
        }
    }

    /// What is recorded before it is sent. `horizon`: how long it can still take effect by the cluster's parameters now, when
    /// they were read beside the session.
    pub(super) fn intent(&self, deps: &Deps, horizon: Duration) -> Intent {
        Intent {
            description: self.statement.to_string(),
            endpoint: self.session.endpoint().to_owned(),
            connection_id: self.session.connection_id(),
            horizon: deps.clock.now().plus(horizon.max(self.session.horizon())),
            irreversible: false,
        }
    }
}

#[async_trait]
impl PreparedEffect for Prepared {
    async fn send(self: Box<Self>, permit: Permit) -> EffectOutcome {
        let Self { session, statement } = *self;
        session.send(permit, statement).await
    }
}

/// A stop, awaited no longer than until its mark is seen.
pub(super) struct UntilMarked {
    pub deps: Deps,
    pub subject: ServerOrZone,
    pub prepared: Prepared,
}

#[async_trait]
impl PreparedEffect for UntilMarked {
    /// The statement answers only when the last leader has left (docs/oceanbase.md#waiting-for-leaders), which would be
    /// a silent wait: as soon as its mark is seen it has done what it was sent for, and the step waits with progress
    /// itself.
    async fn send(self: Box<Self>, permit: Permit) -> EffectOutcome {
        let Self { deps, subject, prepared } = *self;
        tokio::select! {
            biased;
            outcome = Box::new(prepared).send(permit) => outcome,
            message = mark_seen(&deps, &subject) => EffectOutcome::Done { message },
        }
    }
}

/// Returns once the mark is set.
async fn mark_seen(deps: &Deps, subject: &ServerOrZone) -> String {
    loop {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        let read = async {
            let mut reader = subject.reader(deps).await?;
            subject.see(reader.as_mut()).await
        };
        // What cannot be read is not seen: the statement's own answer is still awaited.
        let read = step_io::within(deps.timeouts.reading, subject.cluster_name(), read);
        if let Ok(Seen { mark: Mark::Set(how), .. }) = read.await {
            return format!("{how}, leaders are still leaving");
        }
    }
}
