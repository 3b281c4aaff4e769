//! A session for one effect on a simulated cluster, and the end of a session that an earlier owner left behind.

use std::time::Duration;

use async_trait::async_trait;
use obsteward::domain::effect::{EffectOutcome, Permit};
use obsteward::domain::ids::ClusterIdentity;
use obsteward::oceanbase::{
    ClusterError, EffectSession, EffectTimes, ErrorClass, KillingSession, Statement, effect_outcome, not_permitted,
};

use crate::cluster_session::{CONNECTION_ID, PROCESS_LIST, ServiceSession};
use crate::life::{LostEffect, Point};

/// The connection of an effect whose answer is lost breaks within this time, if it breaks before the answer.
const BREAKS_WITHIN_MS: u64 = 5_000;

pub struct SimulatedEffectSession {
    pub session: ServiceSession,
    pub endpoint: String,
    pub identity: ClusterIdentity,
    pub horizon: Duration,
    pub times: EffectTimes,
}

#[async_trait]
impl EffectSession for SimulatedEffectSession {
    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn connection_id(&self) -> i64 {
        self.session.connection_id
    }

    fn horizon(&self) -> Duration {
        self.horizon
    }

    async fn send(self: Box<Self>, permit: Permit, statement: Statement) -> EffectOutcome {
        match not_permitted(&permit, &self.identity, self.times.answer_bound(self.horizon)) {
            Some(not_sent) => not_sent,
            None => {
                self.session.life().lets_go(&permit);
                self.act(statement).await
            }
        }
    }
}

impl SimulatedEffectSession {
    /// Sends the statement.
    pub async fn act(mut self, statement: Statement) -> EffectOutcome {
        self.session.pass(Point::Permit).await;
        let (sql, bound) = (statement.to_string(), self.times.answer_bound(self.horizon));
        let answer = match self.session.life().loses_effect() {
            None => self.session.command(&sql, bound).await,
            Some(LostEffect::Before) => Err(lost(&sql)),
            Some(LostEffect::After) => {
                let dice = self.session.life().dice.clone();
                let breaks = Duration::from_millis(dice.below(BREAKS_WITHIN_MS));
                let bound = if dice.once_in(2) { breaks } else { bound };
                let _ = self.session.command(&sql, bound).await;
                Err(lost(&sql))
            }
        };
        self.session.pass(Point::Answer).await;
        effect_outcome(answer)
    }
}

fn lost(sql: &str) -> ClusterError {
    ClusterError::new(ErrorClass::Unknown, format!("{sql}: the connection was lost"))
}

#[async_trait]
impl KillingSession for ServiceSession {
    async fn own_id(&mut self) -> Result<i64, ClusterError> {
        self.ask(&CONNECTION_ID).await?;
        Ok(self.connection_id)
    }

    async fn is_there(&mut self, connection: i64) -> Result<bool, ClusterError> {
        self.ask(&PROCESS_LIST).await?;
        let here = self.server;
        Ok(self.state(|core, _| {
            let found = u64::try_from(connection).ok().and_then(|id| core.sessions.get(&id));
            found.is_some_and(|session| session.server == here)
        }))
    }

    async fn command(&mut self, sql: &str, bound: Duration) -> Result<(), ClusterError> {
        Self::command(self, sql, bound).await
    }
}
