//! One connection to one observer: opened within a bound, proven, used for bounded queries, never reconnected.

use std::net::IpAddr;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, IoError, OptsBuilder, Row};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::access::{Avoid, ClusterAccess, Endpoint, Expected, KnownServer};
use super::endpoints::{Attempt, Kind};
use super::error::{ClusterError, ErrorClass};
use super::identity;
use super::row::TextRow;
use super::search::Search;
use super::spans;
use super::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, EffectTimes, READ_QUERY_TIMEOUT};
use crate::domain::ids::{ClusterIdentity, ServerAddr};

/// Answers larger than this are refused by the driver.
const MAX_ALLOWED_PACKET: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Reading; may also go through OBProxy.
    Read,
    /// One effect: directly on an observer, so that its connection id can be killed there.
    Effect(EffectTimes),
}

pub struct Session {
    endpoint: Endpoint,
    /// That it is logged in as, without the tenant.
    user: String,
    /// `None` once the connection is broken or a query was given up: what it would answer next belongs to that query.
    conn: Option<Conn>,
}

pub struct ConnectFailure {
    pub error: ClusterError,
    /// The host answered that nobody listens on the port: whatever ran there is gone.
    pub nobody_listens: bool,
}

/// A session whose cluster is proven.
pub struct ProvenSession {
    pub session: Session,
    /// `host:port`.
    pub endpoint: String,
    pub identity: ClusterIdentity,
    /// The observer that answers.
    pub server: ServerAddr,
    /// The server that is to be acted on, with its id.
    pub target: Option<(ServerAddr, i64)>,
}

impl Session {
    /// Logs in and sets the session's variables.
    pub async fn connect(
        endpoint: &Endpoint,
        username: &str,
        access: &ClusterAccess,
        purpose: Purpose,
    ) -> Result<Self, ConnectFailure> {
        // With both values given the driver asks the server for no settings of its own.
        let options = OptsBuilder::default()
            .ip_or_hostname(endpoint.host.clone())
            .tcp_port(endpoint.port)
            .user(Some(username.to_owned()))
            .pass(Some(access.password.expose_secret().to_owned()))
            .prefer_socket(false)
            .max_allowed_packet(Some(MAX_ALLOWED_PACKET))
            .wait_timeout(Some(28_800))
            .stmt_cache_size(0);
        let unreachable =
            |why: String| ClusterError::new(ErrorClass::Unreachable, format!("{endpoint}: {why}")).at(endpoint);
        let conn = match timeout(CONNECT_TIMEOUT, Conn::new(options)).await {
            Ok(Ok(conn)) => conn,
            Ok(Err(Error::Io(IoError::Io(error)))) => {
                let nobody_listens = error.kind() == std::io::ErrorKind::ConnectionRefused;
                return Err(ConnectFailure { error: unreachable(error.to_string()), nobody_listens });
            }
            Ok(Err(error @ Error::Server(_))) => {
                let error = ClusterError::from_driver(&error, &format!("login at {endpoint}")).at(endpoint);
                return Err(ConnectFailure { error, nobody_listens: false });
            }
            Ok(Err(error)) => {
                return Err(ConnectFailure { error: unreachable(error.to_string()), nobody_listens: false });
            }
            Err(_) => {
                let error = unreachable(format!("no login within {} s", CONNECT_TIMEOUT.as_secs()));
                return Err(ConnectFailure { error, nobody_listens: false });
            }
        };
        let user = username.split('@').next().unwrap_or_default().to_owned();
        let mut session = Self { endpoint: endpoint.clone(), user, conn: Some(conn) };
        let (query_timeout, idle_limit) = match purpose {
            Purpose::Read => (READ_QUERY_TIMEOUT, None),
            Purpose::Effect(times) => (times.query_timeout, times.idle_limit()),
        };
        let idle_limit = idle_limit.map(|limit| format!(", wait_timeout = {}", limit.as_secs())).unwrap_or_default();
        let settings =
            format!("SET ob_query_timeout = {}, time_zone = '+00:00'{idle_limit}", query_timeout.as_micros());
        let set = session.command(&settings, ANSWER_TIMEOUT).await;
        set.map_err(|error| ConnectFailure { error, nobody_listens: false })?;
        Ok(session)
    }

    /// Runs a query; `view` names what is read.
    pub async fn rows(&mut self, view: &'static str, sql: &str) -> Result<Vec<TextRow>, ClusterError> {
        let context = format!("reading {view} at {}", self.endpoint);
        let Some(mut conn) = self.conn.take() else { return Err(closed(&context)) };
        let bound = ANSWER_TIMEOUT;
        let span = spans::of_query(&self.endpoint, view);
        match spans::asked(&span, timeout(bound, conn.query::<Row, _>(sql))).await {
            Ok(Ok(rows)) => {
                self.conn = Some(conn);
                Ok(rows.into_iter().map(|row| TextRow::new(view, row)).collect())
            }
            Ok(Err(error)) => {
                self.keep_unless_broken(conn, &error);
                Err(ClusterError::from_driver(&error, &context).at(&self.endpoint).of_view(view))
            }
            Err(_) => {
                let message = format!("{context}: no answer in {} s", bound.as_secs());
                Err(ClusterError::new(ErrorClass::Unknown, message).at(&self.endpoint))
            }
        }
    }

    /// That it is logged in as, without the tenant.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether another query may be run.
    pub const fn is_open(&self) -> bool {
        self.conn.is_some()
    }

    /// Sends a statement without rows, and waits at most `bound` for its answer.
    pub async fn command(&mut self, sql: &str, bound: Duration) -> Result<(), ClusterError> {
        let context = format!("{sql} at {}", self.endpoint);
        let Some(mut conn) = self.conn.take() else { return Err(closed(&context)) };
        let span = spans::of_command(&self.endpoint, sql);
        match spans::asked(&span, timeout(bound, conn.query_drop(sql))).await {
            Ok(Ok(())) => {
                self.conn = Some(conn);
                Ok(())
            }
            Ok(Err(error)) => {
                self.keep_unless_broken(conn, &error);
                Err(ClusterError::from_driver(&error, &context))
            }
            Err(_) => {
                Err(ClusterError::new(ErrorClass::Unknown, format!("{context}: no answer in {} s", bound.as_secs())))
            }
        }
    }

    fn keep_unless_broken(&mut self, conn: Conn, error: &Error) {
        if !error.is_fatal() {
            self.conn = Some(conn);
        }
    }
}

fn closed(context: &str) -> ClusterError {
    ClusterError::new(ErrorClass::Unknown, format!("{context}: the session is closed, open another one"))
}

/// Opens a session on the first endpoint that answers and proves the cluster.
pub async fn open(
    access: &ClusterAccess,
    known: &[KnownServer],
    expected: &Expected,
    avoid: &Avoid,
    purpose: Purpose,
) -> Result<ProvenSession, ClusterError> {
    let mut search = Search::new(access, known, avoid, matches!(purpose, Purpose::Effect(_)));
    while let Some(attempt) = search.next() {
        match open_at(&attempt, access, expected, avoid, purpose).await {
            Ok(proven) => return Ok(proven),
            Err(error) => search.failed(attempt, error)?,
        }
    }
    Err(search.nobody())
}

/// Opens a session at one endpoint.
async fn open_at(
    attempt: &Attempt,
    access: &ClusterAccess,
    expected: &Expected,
    avoid: &Avoid,
    purpose: Purpose,
) -> Result<ProvenSession, ClusterError> {
    let endpoint = &attempt.endpoint;
    let session = Session::connect(endpoint, &attempt.username, access, purpose).await;
    let mut session = session.map_err(|failure| failure.error)?;
    let stripped = attempt.kind == Kind::AnyOf && attempt.username != access.username;
    if let Some(name) = access.cluster_name().filter(|_| stripped) {
        // A proxy takes a name without a cluster for whichever cluster it likes, which says nothing of the endpoint.
        let found = identity::read(&mut session).await?.name;
        if found != name {
            let message = format!("{endpoint}: without a cluster in the name leads to {found} instead of {name}");
            return Err(ClusterError::new(ErrorClass::Unreachable, message).at(endpoint));
        }
    }
    let proof = identity::prove(&mut session, endpoint, expected).await?;
    avoid.permits(&proof.server, endpoint)?;
    if matches!(purpose, Purpose::Effect(_)) && !is_direct(endpoint, &proof).await {
        let message = format!(
            "{endpoint}: is not the SQL port of the observer {} that answers (OBProxy?), register it directly",
            proof.server
        );
        return Err(ClusterError::new(ErrorClass::Unreachable, message).at(endpoint));
    }
    let (endpoint, target) = (endpoint.to_string(), expected.target);
    Ok(ProvenSession { session, endpoint, identity: proof.identity, server: proof.server, target })
}

/// Whether the endpoint is the observer itself: one of its addresses and its SQL port.
async fn is_direct(endpoint: &Endpoint, proof: &identity::Proof) -> bool {
    if endpoint.port != proof.sql_port {
        return false;
    }
    let wanted = proof.server.ip();
    if let Ok(ip) = endpoint.host.parse::<IpAddr>() {
        return ip == wanted;
    }
    let lookup = timeout(CONNECT_TIMEOUT, tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))).await;
    match lookup {
        Ok(Ok(mut addresses)) => addresses.any(|address| address.ip() == wanted),
        Ok(Err(_)) | Err(_) => false,
    }
}
