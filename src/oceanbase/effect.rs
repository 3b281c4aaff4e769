//! A session for one effect. Its answer is Done, Refused or Unknown; whatever is not surely a refusal is Unknown.

use std::time::Duration;

use async_trait::async_trait;

use super::error::{ClusterError, is_surely_refusal};
use super::literal::Statement;
use super::session::{ProvenSession, Session};
use super::views::Whose;
use super::{EffectSession, EffectTimes, views};
use crate::domain::effect::{EffectOutcome, Permit};
use crate::domain::ids::ClusterIdentity;

pub struct MysqlEffectSession {
    proven: ProvenSession,
    connection_id: i64,
    horizon: Duration,
    times: EffectTimes,
}

impl MysqlEffectSession {
    pub(super) async fn new(mut proven: ProvenSession, times: EffectTimes) -> Result<Self, ClusterError> {
        let connection_id = connection_id(&mut proven.session).await?;
        // The root service, whose parameter counts, may be on any server.
        let parameters = views::parameters(&mut proven.session, Whose::AllServers).await?;
        // Without the parameter the horizon is not known, and nothing is sent without a horizon.
        let horizon = times.horizon(parameters.internal_sql_execute_timeout?);
        Ok(Self { proven, connection_id, horizon, times })
    }
}

/// `CONNECTION_ID()` of a session.
pub(super) async fn connection_id(session: &mut Session) -> Result<i64, ClusterError> {
    let rows = session.rows("CONNECTION_ID()", "SELECT CONNECTION_ID() AS ID").await?;
    let row = rows.first().ok_or_else(|| ClusterError::unreadable("CONNECTION_ID() gave no row"))?;
    Ok(row.parse("ID")?)
}

#[async_trait]
impl EffectSession for MysqlEffectSession {
    fn endpoint(&self) -> &str {
        &self.proven.endpoint
    }

    fn connection_id(&self) -> i64 {
        self.connection_id
    }

    fn horizon(&self) -> Duration {
        self.horizon
    }

    async fn send(mut self: Box<Self>, permit: Permit, statement: Statement) -> EffectOutcome {
        let bound = self.times.answer_bound(self.horizon);
        if let Some(not_sent) = not_permitted(&permit, &self.proven.identity, bound) {
            return not_sent;
        }
        let sql = statement.to_string();
        tracing::info!(endpoint = %self.proven.endpoint, connection_id = self.connection_id, fence = permit.fence().get(), %sql, "sending an effect");
        let outcome = effect_outcome(self.proven.session.command(&sql, bound).await);
        tracing::info!(endpoint = %self.proven.endpoint, connection_id = self.connection_id, ?outcome, "effect answered");
        outcome
    }
}

/// The outcome of an effect that is not sent: its permit is for another cluster than the session's, or is not valid any more for
/// what can happen for so long. The last look before it is sent.
pub fn not_permitted(permit: &Permit, identity: &ClusterIdentity, takes: Duration) -> Option<EffectOutcome> {
    let here = identity.key();
    if *permit.cluster() != here {
        let (wanted, here) = (permit.cluster().as_str(), here.as_str());
        let message = format!("the permit is for cluster {wanted}, the session is on {here}: nothing was sent");
        return Some(EffectOutcome::Refused { code: "WRONG_CLUSTER".to_owned(), message });
    }
    (!permit.is_valid_for(takes)).then(EffectOutcome::too_late)
}

/// What an effect's answer says about the effect.
pub fn effect_outcome(answer: Result<(), ClusterError>) -> EffectOutcome {
    match answer {
        Ok(()) => EffectOutcome::Done { message: "OK".to_owned() },
        Err(error) => match error.number {
            Some(number) if is_surely_refusal(number) => {
                // The root service's own words: statement and endpoint are in the intent already.
                EffectOutcome::Refused { code: number.to_string(), message: error.words.unwrap_or(error.message) }
            }
            Some(_) | None => EffectOutcome::Unknown { message: error.message },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::ErrorClass;
    use super::*;

    #[test]
    fn only_a_sure_refusal_is_one() {
        let answer = |number| Err(ClusterError { number, ..ClusterError::new(ErrorClass::Permanent, "no") });
        assert!(matches!(effect_outcome(answer(Some(4179))), EffectOutcome::Refused { .. }));
        for number in [Some(4012), Some(4652), Some(4751), Some(9999), None] {
            assert!(matches!(effect_outcome(answer(number)), EffectOutcome::Unknown { .. }), "{number:?}");
        }
        assert!(matches!(effect_outcome(Ok(())), EffectOutcome::Done { .. }));
    }
}
