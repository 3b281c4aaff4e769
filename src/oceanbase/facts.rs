//! Units, the arbitration service, and what is only worth knowing. A view that this version or edition does not have is an
//! unknown fact; the rules decide which unknown facts refuse.

use super::error::{ClusterError, ErrorClass};
use super::row::TextRow;
use super::session::Session;
use crate::domain::ids::ServerAddr;
use crate::domain::reading::{ArbitrationReading, Fact, Facts, LogDisk, UnitReading, Unreadable};

/// What the server cannot tell (it lacks the view, or answers what is not understood) is an unknown fact. Errors that
/// may pass, and broken sessions, stay errors, so that the read is repeated.
pub fn required_fact<T>(result: Result<T, ClusterError>) -> Result<Fact<T>, ClusterError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => match error.class {
            ErrorClass::Permanent | ErrorClass::Unreadable => Ok(Err(Unreadable::new(error.message))),
            ErrorClass::Transient
            | ErrorClass::AuthFailed
            | ErrorClass::WrongCluster
            | ErrorClass::Unreachable
            | ErrorClass::Unknown => Err(error),
        },
    }
}

/// The same for what no refusal depends on: any error that a server answers makes an unknown fact, and nothing is repeated.
pub fn advisory_fact<T>(result: Result<T, ClusterError>) -> Result<Fact<T>, ClusterError> {
    match result {
        Err(error) if error.number.is_some() => Ok(Err(Unreadable::new(error.message))),
        other => required_fact(other),
    }
}

async fn rows(session: &mut Session, name: &'static str) -> Result<Vec<TextRow>, ClusterError> {
    session.rows(name, &format!("SELECT * FROM oceanbase.{name}")).await
}

/// Reads a view on which refusals depend, row by row.
async fn view<T>(
    session: &mut Session,
    name: &'static str,
    read: impl Fn(&TextRow) -> Fact<T>,
) -> Result<Fact<Vec<T>>, ClusterError> {
    Ok(required_fact(rows(session, name).await)?.and_then(|rows| rows.iter().map(read).collect()))
}

/// Reads a view on which no refusal depends.
async fn advice<T>(
    session: &mut Session,
    name: &'static str,
    read: impl Fn(&TextRow) -> Fact<T>,
) -> Result<Fact<Vec<T>>, ClusterError> {
    Ok(advisory_fact(rows(session, name).await)?.and_then(|rows| rows.iter().map(read).collect()))
}

/// `DBA_OB_UNITS`.
pub async fn units(session: &mut Session) -> Result<Fact<Vec<UnitReading>>, ClusterError> {
    view(session, "DBA_OB_UNITS", unit).await
}

fn unit(row: &TextRow) -> Fact<UnitReading> {
    let tenant_id = match row.optional("TENANT_ID")? {
        Some(_) => Some(row.parse("TENANT_ID")?),
        None => None,
    };
    let migrate_from = row.optional("MIGRATE_FROM_SVR_IP")?.filter(|ip| !ip.trim().is_empty()).map(|ip| {
        let port = row.text_or_empty("MIGRATE_FROM_SVR_PORT");
        let addr = ip.parse().ok().zip(port.parse().ok()).and_then(|(ip, port)| ServerAddr::new(ip, port).ok());
        addr.map_or_else(|| format!("{ip}:{port}"), |addr| addr.to_string())
    });
    Ok(UnitReading {
        unit_id: row.parse("UNIT_ID")?,
        tenant_id,
        addr: row.addr()?,
        zone: row.text_or_empty("ZONE"),
        status: row.text_or_empty("STATUS"),
        migrate_from,
    })
}

/// `GV$OB_ARBITRATION_SERVICE_STATUS`.
pub async fn arbitration(session: &mut Session) -> Result<Fact<Vec<ArbitrationReading>>, ClusterError> {
    let read = |row: &TextRow| {
        Ok(ArbitrationReading {
            addr: row.addr()?,
            service: row.text_or_empty("ARBITRATION_SERVICE_ADDRESS"),
            status: row.text("STATUS")?.to_owned(),
        })
    };
    view(session, "GV$OB_ARBITRATION_SERVICE_STATUS", read).await
}

/// Facts on which no refusal depends.
pub async fn facts(session: &mut Session) -> Result<Facts, ClusterError> {
    let merges = advice(session, "CDB_OB_MAJOR_COMPACTION", |row| {
        Ok((row.parse::<i64>("TENANT_ID")?, row.text("STATUS")?.eq_ignore_ascii_case("IDLE")))
    });
    let merges = merges.await?;
    let backup_jobs =
        advice(session, "CDB_OB_BACKUP_JOBS", |row| Ok((row.parse("TENANT_ID")?, row.text_or_empty("STATUS"))));
    let backup_jobs = backup_jobs.await?;
    let log_disks = advice(session, "GV$OB_SERVERS", |row| {
        Ok(LogDisk {
            addr: row.addr()?,
            capacity: row.parse("LOG_DISK_CAPACITY")?,
            in_use: row.parse("LOG_DISK_IN_USE")?,
        })
    });
    let merging = |all: Vec<(i64, bool)>| all.into_iter().filter(|(_, idle)| !idle).map(|(tenant, _)| tenant).collect();
    Ok(Facts { merging_tenants: merges.map(merging), backup_jobs, log_disks: log_disks.await? })
}
