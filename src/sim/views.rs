//! The catalog: which views and inner tables there are, their columns, and how their rows follow from the state.
//! Names, types and NULL conventions are those of docs/oceanbase.md#views. The rows stand in `view_rows`,
//! `view_log_rows` and `view_session_rows`.

use super::sessions::Transaction;
use super::state::Cluster;
use super::time::Micros;
use super::{view_log_rows as log_rows, view_rows as rows, view_session_rows as session_rows};

#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    Int(i64),
    Text(String),
    /// Microseconds; shown in the session's time zone.
    Time(Micros),
}

impl Cell {
    /// Base columns hold 0 where the views say NULL.
    pub fn time(micros: Micros) -> Self {
        if micros == 0 { Self::Null } else { Self::Time(micros) }
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u16> for Cell {
    fn from(number: u16) -> Self {
        Self::Int(number.into())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A client's session, as the process list shows it.
#[derive(Debug, Clone)]
pub struct SessionRow {
    pub id: u64,
    pub server: i64,
    pub user: String,
    pub tenant: String,
    pub peer: String,
    pub database: Option<String>,
    pub transaction: Option<Transaction>,
    pub info: Option<String>,
    pub since: Micros,
}

/// What rows are made from.
pub struct Source<'a> {
    pub cluster: &'a Cluster,
    pub now: Micros,
    pub sessions: Vec<SessionRow>,
    /// The server that answers.
    pub server: i64,
    /// What the endpoint calls its cluster: name and id.
    pub identity: (String, i64),
}

pub type Rows = Vec<Vec<Cell>>;

pub struct View {
    pub name: &'static str,
    /// Its rows stand in the sys tenant: they can be read only while that has a leader.
    pub stored: bool,
    /// `NAME t`, `NAME i` or `NAME d`: text, integer, datetime.
    pub columns: &'static str,
    pub rows: fn(&Source<'_>) -> Rows,
}

const fn stored(name: &'static str, columns: &'static str, rows: fn(&Source<'_>) -> Rows) -> View {
    View { name, stored: true, columns, rows }
}

const fn live(name: &'static str, columns: &'static str, rows: fn(&Source<'_>) -> Rows) -> View {
    View { name, stored: false, columns, rows }
}

const LOG_STAT: &str = "TENANT_ID i,LS_ID i,SVR_IP t,SVR_PORT i,ROLE t,PROPOSAL_ID i,CONFIG_VERSION t,ACCESS_MODE t,\
    PAXOS_MEMBER_LIST t,PAXOS_REPLICA_NUM i,IN_SYNC t,BASE_LSN i,BEGIN_LSN i,BEGIN_SCN i,END_LSN i,END_SCN i,\
    MAX_LSN i,MAX_SCN i,ARBITRATION_MEMBER t,DEGRADED_LIST t,LEARNER_LIST t";

pub const VIEWS: &[View] = &[
    stored(
        "DBA_OB_SERVERS",
        "SVR_IP t,SVR_PORT i,ID i,ZONE t,SQL_PORT i,WITH_ROOTSERVER t,STATUS t,START_SERVICE_TIME d,STOP_TIME d,\
         BLOCK_MIGRATE_IN_TIME d,CREATE_TIME d,MODIFY_TIME d,BUILD_VERSION t,LAST_OFFLINE_TIME d",
        rows::dba_ob_servers,
    ),
    stored(
        "__all_server",
        "gmt_create d,gmt_modified d,svr_ip t,svr_port i,id i,zone t,inner_port i,with_rootserver i,status t,\
         block_migrate_in_time i,build_version t,stop_time i,start_service_time i,first_sessid i,with_partition i,\
         last_offline_time i",
        rows::all_server,
    ),
    stored("DBA_OB_ZONES", "ZONE t,CREATE_TIME d,MODIFY_TIME d,STATUS t,IDC t,REGION t,TYPE t", rows::dba_ob_zones),
    stored("__all_zone", "gmt_create d,gmt_modified d,zone t,name t,value i,info t", rows::all_zone),
    stored(
        "DBA_OB_TENANTS",
        "TENANT_ID i,TENANT_NAME t,TENANT_TYPE t,CREATE_TIME d,MODIFY_TIME d,PRIMARY_ZONE t,LOCALITY t,\
         PREVIOUS_LOCALITY t,COMPATIBILITY_MODE t,STATUS t,IN_RECYCLEBIN t,LOCKED t,TENANT_ROLE t,SWITCHOVER_STATUS t,\
         SWITCHOVER_EPOCH i,SYNC_SCN i,REPLAYABLE_SCN i,READABLE_SCN i,RECOVERY_UNTIL_SCN i,LOG_MODE t,\
         ARBITRATION_SERVICE_STATUS t,UNIT_NUM i,COMPATIBLE t,MAX_LS_ID i",
        rows::dba_ob_tenants,
    ),
    stored(
        "__all_tenant",
        "tenant_id i,tenant_name t,primary_zone t,locked i,locality t,previous_locality t,status t,in_recyclebin i,\
         arbitration_service_status t",
        rows::all_tenant,
    ),
    stored(
        "DBA_OB_UNITS",
        "UNIT_ID i,TENANT_ID i,STATUS t,RESOURCE_POOL_ID i,UNIT_GROUP_ID i,CREATE_TIME d,MODIFY_TIME d,ZONE t,\
         SVR_IP t,SVR_PORT i,MIGRATE_FROM_SVR_IP t,MIGRATE_FROM_SVR_PORT i,MANUAL_MIGRATE t,UNIT_CONFIG_ID i,\
         MAX_CPU i,MIN_CPU i,MEMORY_SIZE i,LOG_DISK_SIZE i",
        rows::dba_ob_units,
    ),
    live(
        "GV$OB_UNITS",
        "SVR_IP t,SVR_PORT i,UNIT_ID i,TENANT_ID i,ZONE t,MAX_CPU i,MIN_CPU i,MEMORY_SIZE i,LOG_DISK_SIZE i,\
         LOG_DISK_IN_USE i,DATA_DISK_IN_USE i,STATUS t,CREATE_TIME d",
        rows::gv_ob_units,
    ),
    stored(
        "DBA_OB_RESOURCE_POOLS",
        "RESOURCE_POOL_ID i,NAME t,TENANT_ID i,CREATE_TIME d,MODIFY_TIME d,UNIT_COUNT i,UNIT_CONFIG_ID i,\
         ZONE_LIST t,REPLICA_TYPE t",
        rows::resource_pools,
    ),
    stored(
        "CDB_OB_LS_LOCATIONS",
        "CREATE_TIME d,MODIFY_TIME d,TENANT_ID i,LS_ID i,SVR_IP t,SVR_PORT i,SQL_PORT i,ZONE t,ROLE t,MEMBER_LIST t,\
         PAXOS_REPLICA_NUMBER i,REPLICA_TYPE t,LEARNER_LIST t,REBUILD t",
        log_rows::ls_locations,
    ),
    stored(
        "__all_virtual_ls_meta_table",
        "tenant_id i,ls_id i,svr_ip t,svr_port i,sql_port i,role i,member_list t,proposal_id i,replica_type i,\
         replica_status t,paxos_replica_number i,zone t",
        log_rows::ls_meta,
    ),
    stored(
        "CDB_OB_LS",
        "TENANT_ID i,LS_ID i,STATUS t,PRIMARY_ZONE t,UNIT_GROUP_ID i,LS_GROUP_ID i",
        log_rows::cdb_ob_ls,
    ),
    stored(
        "__all_virtual_ls_status",
        "tenant_id i,ls_id i,status t,ls_group_id i,unit_group_id i,primary_zone t",
        log_rows::ls_status,
    ),
    live("GV$OB_LOG_STAT", LOG_STAT, log_rows::log_stat),
    live("__all_virtual_log_stat", LOG_STAT, log_rows::log_stat),
    live(
        "__all_virtual_ls_info",
        "svr_ip t,svr_port i,tenant_id i,ls_id i,replica_type t,ls_state t,tablet_count i,weak_read_scn i,\
         need_rebuild t,checkpoint_scn i,checkpoint_lsn i,migrate_status i,rebuild_seq i,tablet_change_checkpoint_scn i",
        log_rows::ls_info,
    ),
    live(
        "__all_virtual_core_meta_table",
        "tenant_id i,svr_ip t,svr_port i,sql_port i,role i,zone t",
        log_rows::core_meta,
    ),
    stored(
        "DBA_OB_ROOTSERVICE_EVENT_HISTORY",
        "TIMESTAMP d,MODULE t,EVENT t,NAME1 t,VALUE1 t,NAME2 t,VALUE2 t,NAME3 t,VALUE3 t,NAME4 t,VALUE4 t,NAME5 t,\
         VALUE5 t,NAME6 t,VALUE6 t,EXTRA_INFO t,RS_SVR_IP t,RS_SVR_PORT i",
        rows::events,
    ),
    live(
        "GV$OB_SERVERS",
        "SVR_IP t,SVR_PORT i,ZONE t,SQL_PORT i,CPU_CAPACITY i,CPU_CAPACITY_MAX i,CPU_ASSIGNED i,CPU_ASSIGNED_MAX i,\
         MEM_CAPACITY i,MEM_ASSIGNED i,LOG_DISK_CAPACITY i,LOG_DISK_ASSIGNED i,LOG_DISK_IN_USE i,\
         DATA_DISK_CAPACITY i,DATA_DISK_IN_USE i,DATA_DISK_HEALTH_STATUS t,MEMORY_LIMIT i,DATA_DISK_ABNORMAL_TIME d,\
         SSL_CERT_EXPIRED_TIME d",
        rows::gv_ob_servers,
    ),
    live(
        "GV$OB_PARAMETERS",
        "SVR_IP t,SVR_PORT i,ZONE t,SCOPE t,TENANT_ID i,NAME t,DATA_TYPE t,VALUE t,INFO t,SECTION t,EDIT_LEVEL t",
        rows::gv_ob_parameters,
    ),
    live(
        "V$OB_PARAMETERS",
        "SVR_IP t,SVR_PORT i,ZONE t,SCOPE t,TENANT_ID i,NAME t,DATA_TYPE t,VALUE t,INFO t,SECTION t,EDIT_LEVEL t",
        rows::v_ob_parameters,
    ),
    live(
        "__all_virtual_sys_parameter_stat",
        "zone t,svr_type t,svr_ip t,svr_port i,name t,data_type t,value t,value_strict t,info t,section t,scope t,\
         source t,edit_level t",
        rows::sys_parameter_stat,
    ),
    live(
        "GV$OB_ARBITRATION_SERVICE_STATUS",
        "SVR_IP t,SVR_PORT i,ARBITRATION_SERVICE_ADDRESS t,STATUS t",
        rows::arbitration_status,
    ),
    stored(
        "DBA_OB_ARBITRATION_SERVICE",
        "CREATE_TIME d,MODIFY_TIME d,ARBITRATION_SERVICE_KEY t,ARBITRATION_SERVICE t,PREVIOUS_ARBITRATION_SERVICE t,\
         TYPE t",
        rows::arbitration_service,
    ),
    stored(
        "CDB_OB_MAJOR_COMPACTION",
        "TENANT_ID i,FROZEN_SCN i,FROZEN_TIME d,GLOBAL_BROADCAST_SCN i,LAST_SCN i,LAST_FINISH_TIME d,START_TIME d,\
         STATUS t,IS_ERROR t,IS_SUSPENDED t,INFO t",
        rows::major_compaction,
    ),
    stored(
        "CDB_OB_BACKUP_JOBS",
        "TENANT_ID i,JOB_ID i,INCARNATION i,BACKUP_SET_ID i,BACKUP_TYPE t,JOB_LEVEL t,START_TIMESTAMP d,\
         END_TIMESTAMP d,STATUS t,RESULT i,COMMENT t,DESCRIPTION t,PATH t",
        rows::backup_jobs,
    ),
    live(
        "GV$OB_PROCESSLIST",
        "SVR_IP t,SVR_PORT i,SQL_PORT i,ID i,USER t,HOST t,DB t,TENANT t,COMMAND t,TIME i,TOTAL_TIME i,STATE t,INFO t,\
         USER_CLIENT_IP t,TRANS_ID i,TRANS_STATE t",
        session_rows::processlist,
    ),
    live(
        "GV$OB_TRANSACTION_PARTICIPANTS",
        "TENANT_ID i,SVR_IP t,SVR_PORT i,SESSION_ID i,SCHEDULER_ADDR t,TX_TYPE t,TX_ID i,LS_ID i,CTX_CREATE_TIME d,\
         STATE t,ACTION t,ROLE t",
        session_rows::transaction_participants,
    ),
];

impl View {
    /// Column names with their SQLite declarations. Text compares as MySQL compares it: without letter case.
    pub fn declarations(&self) -> Vec<(&'static str, &'static str)> {
        let declare = |column: &'static str| {
            let (name, kind) = column.trim().rsplit_once(' ').unwrap_or((column, "t"));
            let declaration = match kind {
                "i" => "BIGINT",
                "d" => "DATETIME COLLATE NOCASE",
                _ => "VARCHAR COLLATE NOCASE",
            };
            (name.trim(), declaration)
        };
        self.columns.split(',').map(declare).collect()
    }

    /// Whether a statement may read this view; reading one too many does no harm.
    pub fn named_in(&self, lowercase_sql: &str) -> bool {
        lowercase_sql.contains(&self.name.to_lowercase())
    }
}

pub fn find(name: &str) -> Option<&'static View> {
    VIEWS.iter().find(|view| view.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::bootstrap::tests::cluster;

    #[test]
    fn every_row_has_every_column() {
        let cluster = cluster(3);
        let session = SessionRow {
            id: 1,
            server: 1,
            user: "root".into(),
            tenant: "app".into(),
            peer: "p".into(),
            database: None,
            transaction: Some(Transaction { id: 1, since: 1, wrote: true }),
            info: None,
            since: 0,
        };
        let source = Source {
            cluster: &cluster,
            now: 5_000_000,
            sessions: vec![session],
            server: 1,
            identity: ("demo".into(), 1),
        };
        for view in VIEWS {
            let columns = view.declarations().len();
            for row in (view.rows)(&source) {
                assert_eq!(row.len(), columns, "{}", view.name);
            }
        }
    }
}
