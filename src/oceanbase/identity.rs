//! The proof of the cluster: made on every session before anything that acts is sent
//! (docs/promises.md#7-the-right-cluster-and-the-right-process).

use super::access::{Endpoint, Expected};
use super::error::{ClusterError, ErrorClass, ErrorDetail, number};
use super::row::TextRow;
use super::session::Session;
use super::views;
use crate::domain::ids::{ClusterIdentity, ServerAddr};
use crate::domain::reading::{SYS_TENANT, ServerReading};

/// What a session proved.
pub struct Proof {
    pub identity: ClusterIdentity,
    /// The observer that answers.
    pub server: ServerAddr,
    pub sql_port: u16,
}

/// Reads which cluster and server answer, and compares them with `expected`.
pub async fn prove(session: &mut Session, endpoint: &Endpoint, expected: &Expected) -> Result<Proof, ClusterError> {
    let identity = read(session).await?;
    same_cluster(&identity, expected, endpoint)?;
    let servers = views::servers(session).await?;
    same_target(&servers, expected.target.as_ref(), &endpoint.to_string())?;
    let here = match who_answers(session).await? {
        Some(addr) => servers.iter().find(|server| server.addr == addr),
        // The functions do not exist: the endpoint itself must be a server's.
        None => servers
            .iter()
            .find(|server| server.sql_port == endpoint.port && endpoint.host.parse() == Ok(server.addr.ip())),
    };
    match here {
        Some(server) => Ok(Proof { identity, server: server.addr, sql_port: server.sql_port }),
        None => Err(stranger(endpoint)),
    }
}

/// The error of an endpoint where another cluster answers than was expected.
pub fn same_cluster(identity: &ClusterIdentity, expected: &Expected, endpoint: &Endpoint) -> Result<(), ClusterError> {
    let Some(wanted) = expected.identity.as_ref().filter(|wanted| *wanted != identity) else { return Ok(()) };
    let (expected, found) = (wanted.key().as_str().to_owned(), identity.key().as_str().to_owned());
    let message = format!("{endpoint}: is cluster {found} instead of {expected}, nothing was sent to it");
    let about = Some(Box::new(ErrorDetail::OtherCluster { expected, found }));
    Err(ClusterError { about, ..ClusterError::new(ErrorClass::WrongCluster, message).at(endpoint) })
}

/// The error of an observer that its cluster does not know.
pub fn stranger(endpoint: &Endpoint) -> ClusterError {
    ClusterError::unreadable(format!("{endpoint}: the observer that answers is not in DBA_OB_SERVERS"))
}

/// A server that was deleted and added again is another one. Compared whenever servers are read, because a session can
/// outlive such a change.
pub fn same_target(
    servers: &[ServerReading],
    target: Option<&(ServerAddr, i64)>,
    endpoint: &str,
) -> Result<(), ClusterError> {
    let Some((addr, id)) = target else { return Ok(()) };
    let found = servers.iter().find(|server| server.addr == *addr).map(|server| server.ob_server_id);
    if found == Some(*id) {
        return Ok(());
    }
    let found = found.map_or("none".to_owned(), |found| found.to_string());
    let message = format!("{endpoint}: server {addr} has id {found} instead of {id}, sync the cluster");
    let error = ClusterError::new(ErrorClass::WrongCluster, message);
    Err(ClusterError { endpoint: Some(endpoint.to_owned()), ..error })
}

/// Name and id from the parameters, fingerprint from the creation of the sys tenant (in UTC, as the session's time zone is).
pub async fn read(session: &mut Session) -> Result<ClusterIdentity, ClusterError> {
    // The server's own parameters: the session acts on this server, and no other is asked.
    const VIEW: &str = "V$OB_PARAMETERS";
    let sql = "SELECT NAME, VALUE FROM oceanbase.V$OB_PARAMETERS WHERE NAME = 'cluster' OR NAME = 'cluster_id'";
    let rows = session.rows(VIEW, sql).await?;
    let name = one_value(&rows, "cluster")?;
    let id = one_value(&rows, "cluster_id")?;
    let ob_cluster_id = id
        .trim()
        .parse()
        .map_err(|_| ClusterError::unreadable(format!("parameter cluster_id is {id:?}, not a number")))?;
    let sql = format!("SELECT CREATE_TIME FROM oceanbase.DBA_OB_TENANTS WHERE TENANT_ID = {SYS_TENANT}");
    let rows = session.rows("DBA_OB_TENANTS", &sql).await?;
    let [row] = rows.as_slice() else {
        return Err(ClusterError::unreadable("DBA_OB_TENANTS shows no sys tenant: log in to the sys tenant"));
    };
    Ok(ClusterIdentity { name, ob_cluster_id, fingerprint: row.text("CREATE_TIME")?.trim().to_owned() })
}

/// The value on which all servers agree.
fn one_value(rows: &[TextRow], name: &str) -> Result<String, ClusterError> {
    let mut values: Vec<&str> = Vec::new();
    for row in rows {
        if row.text("NAME")?.eq_ignore_ascii_case(name) {
            values.push(row.text("VALUE")?);
        }
    }
    values.sort_unstable();
    values.dedup();
    match values.as_slice() {
        [value] if !value.is_empty() => Ok((*value).to_owned()),
        _ => Err(ClusterError::unreadable(format!("parameter {name} has the values {values:?} instead of one"))),
    }
}

/// The observer behind the session, also through OBProxy; `None`: it does not know the functions.
async fn who_answers(session: &mut Session) -> Result<Option<ServerAddr>, ClusterError> {
    match session.rows("host_ip() and rpc_port()", "SELECT host_ip() AS SVR_IP, rpc_port() AS SVR_PORT").await {
        Ok(rows) => match rows.first() {
            Some(row) => Ok(Some(row.addr()?)),
            None => Err(ClusterError::unreadable("host_ip() gave no row")),
        },
        Err(error) if error.number == Some(number::FUNCTION_DOES_NOT_EXIST) => Ok(None),
        Err(error) => Err(error),
    }
}
