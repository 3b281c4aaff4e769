//! What is read of a cluster, as plain data: the input of `precheck`, `gate` and `admission`. Nothing here decides, does I/O
//! or reads a clock. A fact that could not be read is an `Err` that says why, so that no rule can mistake it for a value.

pub mod locality;
pub mod member_list;
#[cfg(test)]
pub mod sample;

use std::time::Duration;

use thiserror::Error;

use crate::clock::Timestamp;
use crate::domain::ids::{ClusterIdentity, ServerAddr, ZoneName};
use crate::domain::status::{InnerStatus, ZoneInnerStatus};

/// Why a fact is not known: NULL, an unknown word, a missing view or column.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl Unreadable {
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// A fact, or why it is not known.
pub type Fact<T> = Result<T, Unreadable>;

pub const SYS_TENANT: i64 = 1;

/// A whole cluster, read between two equal looks at its servers and zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterReading {
    pub identity: ClusterIdentity,
    /// When the reading began: nothing in it is older.
    pub observed_at: Timestamp,
    /// `DBA_OB_SERVERS`.
    pub servers: Vec<ServerReading>,
    /// `DBA_OB_ZONES`.
    pub zones: Vec<ZoneReading>,
    /// `DBA_OB_TENANTS`, sys and META included.
    pub tenants: Vec<TenantReading>,
    /// The root service's own joined statement, one entry per log stream.
    pub log_streams: Vec<LogStreamReading>,
    /// `DBA_OB_UNITS`.
    pub units: Fact<Vec<UnitReading>>,
    pub parameters: Parameters,
    /// `GV$OB_ARBITRATION_SERVICE_STATUS`; the view is missing where there is no arbitration service.
    pub arbitration: Fact<Vec<ArbitrationReading>>,
    /// Facts that are shown to people; no rule refuses because of them.
    pub facts: Facts,
}

impl ClusterReading {
    pub fn server(&self, addr: &ServerAddr) -> Option<&ServerReading> {
        self.servers.iter().find(|server| server.addr == *addr)
    }

    pub fn zone(&self, name: &ZoneName) -> Option<&ZoneReading> {
        self.zones.iter().find(|zone| zone.name == *name)
    }

    pub fn tenant(&self, id: i64) -> Option<&TenantReading> {
        self.tenants.iter().find(|tenant| tenant.id == id)
    }

    /// Whether the reading is younger than `age` at `now`. A reading from the future has no known age: it is not.
    pub fn is_younger_than(&self, age: Duration, now: Timestamp) -> bool {
        younger_than(self.observed_at, age, now)
    }
}

/// Whether what was observed then is younger than `age` at `now`; false when the clock went backwards in between.
pub fn younger_than(observed_at: Timestamp, age: Duration, now: Timestamp) -> bool {
    observed_at <= now && now.since(observed_at) < age
}

/// A row of `DBA_OB_SERVERS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReading {
    /// IP and RPC port (`SVR_IP`, `SVR_PORT`).
    pub addr: ServerAddr,
    /// `ID`: another one after the address was deleted and added again.
    pub ob_server_id: i64,
    /// `ZONE`.
    pub zone: ZoneName,
    /// `SQL_PORT`.
    pub sql_port: u16,
    /// `WITH_ROOTSERVER`.
    pub with_rootserver: bool,
    /// `STATUS`.
    pub status: InnerStatus,
    /// `START_SERVICE_TIME`; `None`: it does not serve.
    pub start_service_time: Option<Timestamp>,
    /// `STOP_TIME`; `None`: it is not stopped.
    pub stop_time: Option<Timestamp>,
    /// `LAST_OFFLINE_TIME`; `None`: heartbeats arrive (or the version has no such column; then `status` decides).
    pub last_offline_time: Option<Timestamp>,
    /// `CREATE_TIME`.
    pub create_time: Option<Timestamp>,
    /// `BUILD_VERSION`.
    pub build_version: String,
}

impl ServerReading {
    /// Whether its heartbeats arrive (docs/oceanbase.md#alive-and-in-service).
    pub fn is_alive(&self) -> bool {
        self.last_offline_time.is_none()
            && match self.status {
                InnerStatus::Active | InnerStatus::Deleting | InnerStatus::TakeoverByRs => true,
                InnerStatus::Inactive => false,
            }
    }

    /// When its replicas will be given up and built elsewhere; `None` while heartbeats arrive. Last heartbeat +
    /// `server_permanent_offline_time`, last heartbeat = LAST_OFFLINE_TIME - `lease_time`
    /// (docs/oceanbase.md#permanent-offline).
    pub fn permanent_offline_at(&self, parameters: &Parameters) -> Option<Timestamp> {
        let offline = self.last_offline_time?;
        let lease = parameters.lease_time.as_ref().ok()?;
        let permanent = parameters.server_permanent_offline_time.as_ref().ok()?;
        Some(offline.minus(*lease).plus(*permanent))
    }
}

/// A row of `DBA_OB_ZONES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneReading {
    /// `ZONE`.
    pub name: ZoneName,
    /// `STATUS`.
    pub status: ZoneInnerStatus,
    /// `REGION`.
    pub region: String,
    /// `IDC`.
    pub idc: String,
    /// `TYPE`: `ReadWrite`, `ReadOnly`, `Encryption`.
    pub zone_type: String,
}

/// `DBA_OB_TENANTS.TENANT_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantType {
    Sys,
    /// The shadow of a user tenant that holds its metadata; its id is the user tenant's minus one.
    Meta,
    User,
}

/// A row of `DBA_OB_TENANTS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantReading {
    /// `TENANT_ID`.
    pub id: i64,
    /// `TENANT_NAME`.
    pub name: String,
    /// `TENANT_TYPE`.
    pub tenant_type: Fact<TenantType>,
    /// `LOCALITY`.
    pub locality: String,
    /// `PREVIOUS_LOCALITY`; `Some` while the locality changes, its user tenant's for a META tenant.
    pub previous_locality: Fact<Option<String>>,
    /// `STATUS`, for example `NORMAL`.
    pub status: String,
    /// `TENANT_ROLE`: `PRIMARY`, `STANDBY`, …
    pub role: Fact<String>,
    /// `ARBITRATION_SERVICE_STATUS`: `ENABLED`, `DISABLED`, …
    pub arbitration: Fact<String>,
    /// Paxos replicas that each of its log streams must have, by its locality.
    pub paxos_replica_number: Fact<i64>,
}

/// `ROLE` of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Leader,
    Follower,
}

/// One log stream: a row of `__all_virtual_ls_status` with its rows of `__all_virtual_log_stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStreamReading {
    pub tenant_id: i64,
    /// `LS_ID`, unique within the tenant.
    pub ls_id: i64,
    /// The replicas that report; empty when the left join found none.
    pub replicas: Vec<LogReplica>,
    /// Rows of this log stream that could not be understood (NULL address, for example).
    pub unreadable: Vec<Unreadable>,
    /// `DEGRADED_LIST` of the leader: members that the arbitration service has taken out of the majority.
    pub degraded_list: Fact<Vec<ServerAddr>>,
    /// `ARBITRATION_MEMBER` of the leader; `None`: it has none.
    pub arbitration_member: Fact<Option<String>>,
}

impl LogStreamReading {
    /// The leader: among replicas that say LEADER the one with the highest proposal id. Two with the same proposal id, or a
    /// role or proposal id that could not be read beside a leader, are no leader.
    pub fn leader(&self) -> Option<&LogReplica> {
        let mut leaders = self.replicas.iter().filter(|replica| replica.role == Ok(Role::Leader));
        let first = leaders.next()?;
        leaders.try_fold(first, |best, other| match (&best.proposal_id, &other.proposal_id) {
            (Ok(a), Ok(b)) if a > b => Some(best),
            (Ok(a), Ok(b)) if b > a => Some(other),
            _ => None,
        })
    }

    /// Whether a replica on this server says that it leads, even one that has been overtaken.
    pub fn may_be_led_by(&self, addr: &ServerAddr) -> bool {
        self.replicas.iter().any(|replica| replica.addr == *addr && replica.role != Ok(Role::Follower))
    }
}

/// A row of `__all_virtual_log_stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogReplica {
    pub addr: ServerAddr,
    /// `role`.
    pub role: Fact<Role>,
    /// `proposal_id`.
    pub proposal_id: Fact<i64>,
    /// `paxos_member_list`.
    pub member_list: Fact<Vec<ServerAddr>>,
    /// `paxos_replica_num`.
    pub paxos_replica_number: Fact<i64>,
    /// `end_scn`, in nanoseconds.
    pub end_scn: Fact<u64>,
}

/// A row of `DBA_OB_UNITS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitReading {
    /// `UNIT_ID`.
    pub unit_id: i64,
    /// `TENANT_ID`; `None`: the unit's pool belongs to no tenant.
    pub tenant_id: Option<i64>,
    /// `SVR_IP` and `SVR_PORT`.
    pub addr: ServerAddr,
    /// `ZONE`.
    pub zone: String,
    /// `STATUS`.
    pub status: String,
    /// `MIGRATE_FROM_SVR_IP` and `MIGRATE_FROM_SVR_PORT` as written; `Some` while the unit moves here.
    pub migrate_from: Option<String>,
}

/// Parameters of the cluster; where servers disagree, the longest time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// `lease_time`.
    pub lease_time: Fact<Duration>,
    /// `server_permanent_offline_time`.
    pub server_permanent_offline_time: Fact<Duration>,
    /// `internal_sql_execute_timeout`: how long the root service's precheck loop and transactions may run.
    pub internal_sql_execute_timeout: Fact<Duration>,
    /// `enable_upgrade_mode`: true when any server says so.
    pub enable_upgrade_mode: Fact<bool>,
}

/// A row of `GV$OB_ARBITRATION_SERVICE_STATUS`: how one server sees the arbitration service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArbitrationReading {
    /// The server that reports this status.
    pub addr: ServerAddr,
    /// `ARBITRATION_SERVICE_ADDRESS`.
    pub service: String,
    /// `STATUS`: `ACTIVE` or `INACTIVE`.
    pub status: String,
}

/// Facts on which no refusal depends; each may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Ids of tenants that merge (`CDB_OB_MAJOR_COMPACTION.STATUS` is not IDLE).
    pub merging_tenants: Fact<Vec<i64>>,
    /// Backup jobs that run (`CDB_OB_BACKUP_JOBS`): tenant and status.
    pub backup_jobs: Fact<Vec<(i64, String)>>,
    /// Log disks (`GV$OB_SERVERS`).
    pub log_disks: Fact<Vec<LogDisk>>,
}

impl Facts {
    /// Nothing was read, for this reason.
    pub fn not_asked(reason: &str) -> Self {
        let unknown = Unreadable::new(reason);
        Self { merging_tenants: Err(unknown.clone()), backup_jobs: Err(unknown.clone()), log_disks: Err(unknown) }
    }
}

/// Log disk of a server, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDisk {
    pub addr: ServerAddr,
    /// `LOG_DISK_CAPACITY`.
    pub capacity: i64,
    /// `LOG_DISK_IN_USE`.
    pub in_use: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_from_the_future_is_not_young() {
        let age = Duration::from_secs(5);
        let at = Timestamp::from_micros;
        assert!(younger_than(at(0), age, at(4_999_999)));
        assert!(!younger_than(at(0), age, at(5_000_000)));
        assert!(!younger_than(at(1), age, at(0)));
    }
}
