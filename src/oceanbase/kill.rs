//! KILL of a session that an earlier owner left behind, and the check that it is gone.

use std::time::Duration;

use async_trait::async_trait;

use super::access::{ClusterAccess, Endpoint, Expected};
use super::effect::connection_id;
use super::error::{ClusterError, ErrorClass, number};
use super::identity;
use super::session::{Purpose, Session};
use crate::clock::monotonic_now;
use crate::domain::effect::Permit;
use crate::domain::ids::{ClusterIdentity, ServerAddr};

/// How long the session may take to go.
const GONE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How long KILL itself may take.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How it is known that a session is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionGone {
    Killed,
    NotThere,
    /// Nobody listens on the endpoint: its process is gone, and the session with it. A host that does not answer at all is
    /// no proof, and an error.
    EndpointDead,
}

/// Connects to the endpoint itself, never to another one: connection ids belong to one observer.
pub async fn kill(
    permit: &Permit,
    access: &ClusterAccess,
    expected: &Expected,
    endpoint: &str,
    connection: i64,
) -> Result<SessionGone, ClusterError> {
    let endpoint: Endpoint = endpoint.parse()?;
    // An effect is sent to observers only.
    let username = access.direct_username();
    let mut session = match Session::connect(&endpoint, username, access, Purpose::Read).await {
        Ok(session) => session,
        Err(failure) if failure.nobody_listens => return Ok(SessionGone::EndpointDead),
        Err(failure) => return Err(failure.error),
    };
    // The target may have been deleted since; the cluster must still be the same.
    let expected = Expected { identity: expected.identity.clone(), target: None };
    let proof = identity::prove(&mut session, &endpoint, &expected).await?;
    permitted(permit, &proof.identity, &endpoint)?;
    end_session(&mut OverMysql { session, server: proof.server, access }, &endpoint, connection).await
}

/// The error of a permit for another cluster.
pub fn permitted(permit: &Permit, identity: &ClusterIdentity, endpoint: &Endpoint) -> Result<(), ClusterError> {
    if *permit.cluster() == identity.key() {
        return Ok(());
    }
    let message = format!("{endpoint}: is not cluster {}, nothing was sent to it", permit.cluster().as_str());
    Err(ClusterError::new(ErrorClass::WrongCluster, message))
}

/// What KILL needs of a session at the observer that has the other one.
#[async_trait]
pub trait KillingSession: Send {
    /// Its own `CONNECTION_ID()`.
    async fn own_id(&mut self) -> Result<i64, ClusterError>;

    /// Whether our user has a session of this id on this observer.
    async fn is_there(&mut self, connection: i64) -> Result<bool, ClusterError>;

    /// Sends a statement, and waits for its answer at most so long.
    async fn command(&mut self, sql: &str, bound: Duration) -> Result<(), ClusterError>;
}

/// Ends a session, and looks until it is gone.
pub async fn end_session(
    session: &mut dyn KillingSession,
    endpoint: &Endpoint,
    connection: i64,
) -> Result<SessionGone, ClusterError> {
    // An observer that was restarted gives ids anew: ours may be the very number, or somebody else's session has it.
    if session.own_id().await? == connection || !session.is_there(connection).await? {
        return Ok(SessionGone::NotThere);
    }
    match session.command(&format!("KILL {connection}"), KILL_TIMEOUT).await {
        Ok(()) => {}
        Err(error) if error.number == Some(number::NO_SUCH_THREAD) => {}
        Err(error) => return Err(error),
    }
    let deadline = monotonic_now() + GONE_TIMEOUT;
    while session.is_there(connection).await? {
        if monotonic_now() >= deadline {
            let message = format!(
                "{endpoint}: session {connection} is still there {} s after KILL, look at GV$OB_PROCESSLIST",
                GONE_TIMEOUT.as_secs()
            );
            return Err(ClusterError::new(ErrorClass::Transient, message));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(SessionGone::Killed)
}

struct OverMysql<'a> {
    session: Session,
    server: ServerAddr,
    access: &'a ClusterAccess,
}

#[async_trait]
impl KillingSession for OverMysql<'_> {
    async fn own_id(&mut self) -> Result<i64, ClusterError> {
        connection_id(&mut self.session).await
    }

    async fn is_there(&mut self, connection: i64) -> Result<bool, ClusterError> {
        let sql = format!("SELECT * FROM oceanbase.GV$OB_PROCESSLIST WHERE ID = {connection}");
        let user = self.access.username.split('@').next().unwrap_or_default();
        for row in self.session.rows("GV$OB_PROCESSLIST", &sql).await? {
            let owner = row.text_or_empty("USER");
            let ours = owner.is_empty() || owner.split('@').next() == Some(user);
            if ours && row.addr()? == self.server {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn command(&mut self, sql: &str, bound: Duration) -> Result<(), ClusterError> {
        self.session.command(sql, bound).await
    }
}
