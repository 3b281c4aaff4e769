-- A cluster of three zones with a server each, as OceanBase 4.3.5 shows it: names and types of columns are those of its inner
-- tables and views (its view definitions: DBA_OB_SERVERS reads __all_server, CDB_OB_LS_LOCATIONS the meta table, and so on).
-- NET stands for the first three octets of the addresses. A statement ends with a semicolon at the end of a line.

ALTER SYSTEM SET enable_sys_table_ddl = true;
-- Without it a table of the engine's own cannot be replaced.
ALTER SYSTEM SET _parallel_ddl_control = 'drop_table:off';
ALTER SYSTEM SET lease_time = '1s';

CREATE TABLE __all_server (
    gmt_create TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6), gmt_modified TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6),
    svr_ip VARCHAR(46) NOT NULL, svr_port BIGINT NOT NULL, id BIGINT NOT NULL, zone VARCHAR(128) NOT NULL,
    inner_port BIGINT NOT NULL, with_rootserver BIGINT NOT NULL, status VARCHAR(64) NOT NULL,
    block_migrate_in_time BIGINT NOT NULL DEFAULT 0, build_version VARCHAR(256) NOT NULL, stop_time BIGINT NOT NULL DEFAULT 0,
    start_service_time BIGINT NOT NULL DEFAULT 0, first_sessid BIGINT NOT NULL DEFAULT 0,
    with_partition BIGINT NOT NULL DEFAULT 0, last_offline_time BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (svr_ip, svr_port));
INSERT INTO __all_server (svr_ip, svr_port, id, zone, inner_port, with_rootserver, status, build_version, start_service_time,
    with_partition) VALUES
    ('NET.1', 2882, 1, 'zone1', 2881, 1, 'ACTIVE', '4.3.5.3_103000072025061211-0123456789abcdef', TIME_TO_USEC(NOW(6)), 1),
    ('NET.2', 2882, 2, 'zone2', 2881, 0, 'ACTIVE', '4.3.5.3_103000072025061211-0123456789abcdef', TIME_TO_USEC(NOW(6)), 1),
    ('NET.3', 2882, 3, 'zone3', 2881, 0, 'ACTIVE', '4.3.5.3_103000072025061211-0123456789abcdef', TIME_TO_USEC(NOW(6)), 1);
CREATE VIEW DBA_OB_SERVERS AS SELECT svr_ip AS SVR_IP, svr_port AS SVR_PORT, id AS ID, zone AS ZONE, inner_port AS SQL_PORT,
    CASE with_rootserver WHEN 1 THEN 'YES' ELSE 'NO' END AS WITH_ROOTSERVER, status AS STATUS,
    CASE start_service_time WHEN 0 THEN NULL ELSE USEC_TO_TIME(start_service_time) END AS START_SERVICE_TIME,
    CASE stop_time WHEN 0 THEN NULL ELSE USEC_TO_TIME(stop_time) END AS STOP_TIME,
    CASE block_migrate_in_time WHEN 0 THEN NULL ELSE USEC_TO_TIME(block_migrate_in_time) END AS BLOCK_MIGRATE_IN_TIME,
    gmt_create AS CREATE_TIME, gmt_modified AS MODIFY_TIME, build_version AS BUILD_VERSION,
    CASE last_offline_time WHEN 0 THEN NULL ELSE USEC_TO_TIME(last_offline_time) END AS LAST_OFFLINE_TIME FROM __all_server;
CREATE TABLE obsteward_sessions (id BIGINT UNSIGNED NOT NULL PRIMARY KEY, svr_ip VARCHAR(46) NOT NULL);

CREATE TABLE __all_zone (
    gmt_create TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6), gmt_modified TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6),
    zone VARCHAR(128) NOT NULL, name VARCHAR(256) NOT NULL, value BIGINT NOT NULL, info VARCHAR(4096) NULL,
    PRIMARY KEY (zone, name));
INSERT INTO __all_zone (zone, name, value, info) SELECT zone, 'status', 2, 'ACTIVE' FROM __all_server;
INSERT INTO __all_zone (zone, name, value, info) SELECT zone, 'idc', 0, '' FROM __all_server;
INSERT INTO __all_zone (zone, name, value, info) SELECT zone, 'region', 0, 'sys_region' FROM __all_server;
INSERT INTO __all_zone (zone, name, value, info) SELECT zone, 'zone_type', 0, 'ReadWrite' FROM __all_server;
CREATE VIEW DBA_OB_ZONES AS SELECT s.zone AS ZONE, s.gmt_create AS CREATE_TIME, s.gmt_modified AS MODIFY_TIME,
    s.info AS STATUS, i.info AS IDC, r.info AS REGION, t.info AS TYPE
    FROM __all_zone s JOIN __all_zone i ON i.zone = s.zone AND i.name = 'idc'
    JOIN __all_zone r ON r.zone = s.zone AND r.name = 'region'
    JOIN __all_zone t ON t.zone = s.zone AND t.name = 'zone_type' WHERE s.name = 'status';

CREATE TABLE obsteward_tenants (
    gmt_create TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6), gmt_modified TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6),
    tenant_id BIGINT NOT NULL PRIMARY KEY, tenant_name VARCHAR(128) NOT NULL DEFAULT '',
    primary_zone VARCHAR(8192) NOT NULL DEFAULT '', locality VARCHAR(4096) NOT NULL DEFAULT '',
    previous_locality VARCHAR(4096) NOT NULL DEFAULT '', status VARCHAR(64) NOT NULL DEFAULT 'NORMAL',
    tenant_role VARCHAR(64) NOT NULL DEFAULT 'PRIMARY', switchover_epoch BIGINT NOT NULL DEFAULT 0,
    sync_scn BIGINT UNSIGNED NOT NULL DEFAULT 1, recovery_until_scn BIGINT UNSIGNED NOT NULL DEFAULT 4611686018427387903,
    arbitration_service_status VARCHAR(64) NOT NULL DEFAULT 'DISABLED');
INSERT INTO obsteward_tenants (tenant_id, tenant_name, primary_zone, locality, sync_scn) VALUES
    (1, 'sys', 'RANDOM', 'FULL{1}@zone1, FULL{1}@zone2, FULL{1}@zone3', 1),
    (1001, 'META$1002', 'RANDOM', 'FULL{1}@zone1, FULL{1}@zone2, FULL{1}@zone3', 1),
    (1002, 'shop', 'RANDOM', 'FULL{1}@zone1, FULL{1}@zone2, FULL{1}@zone3', TIME_TO_USEC(NOW(6)) * 1000);
CREATE VIEW DBA_OB_TENANTS AS SELECT tenant_id AS TENANT_ID, tenant_name AS TENANT_NAME,
    (CASE WHEN tenant_id = 1 THEN 'SYS' WHEN (tenant_id & 1) = 1 THEN 'META' ELSE 'USER' END) AS TENANT_TYPE,
    gmt_create AS CREATE_TIME, gmt_modified AS MODIFY_TIME, primary_zone AS PRIMARY_ZONE, locality AS LOCALITY,
    CASE previous_locality WHEN '' THEN NULL ELSE previous_locality END AS PREVIOUS_LOCALITY, 'MYSQL' AS COMPATIBILITY_MODE,
    status AS STATUS, 'NO' AS IN_RECYCLEBIN, 'NO' AS LOCKED, tenant_role AS TENANT_ROLE, 'NORMAL' AS SWITCHOVER_STATUS,
    switchover_epoch AS SWITCHOVER_EPOCH, (CASE WHEN (tenant_id & 1) = 1 THEN NULL ELSE sync_scn END) AS SYNC_SCN,
    (CASE WHEN (tenant_id & 1) = 1 THEN NULL ELSE sync_scn END) AS REPLAYABLE_SCN,
    (CASE WHEN (tenant_id & 1) = 1 THEN NULL ELSE sync_scn END) AS READABLE_SCN,
    (CASE WHEN (tenant_id & 1) = 1 THEN NULL ELSE recovery_until_scn END) AS RECOVERY_UNTIL_SCN,
    'NOARCHIVELOG' AS LOG_MODE, arbitration_service_status AS ARBITRATION_SERVICE_STATUS, CAST(1 AS SIGNED) AS UNIT_NUM,
    '4.3.5.3' AS COMPATIBLE, CAST(CASE tenant_id WHEN 1002 THEN 1001 ELSE 1 END AS SIGNED) AS MAX_LS_ID FROM obsteward_tenants;

CREATE TABLE DBA_OB_UNITS (
    UNIT_ID BIGINT NOT NULL, TENANT_ID BIGINT NULL, STATUS VARCHAR(64) NOT NULL, RESOURCE_POOL_ID BIGINT NOT NULL,
    UNIT_GROUP_ID BIGINT NOT NULL, CREATE_TIME TIMESTAMP(6) NULL, MODIFY_TIME TIMESTAMP(6) NULL, ZONE VARCHAR(128) NOT NULL,
    SVR_IP VARCHAR(46) NOT NULL, SVR_PORT BIGINT NOT NULL, MIGRATE_FROM_SVR_IP VARCHAR(46) NULL,
    MIGRATE_FROM_SVR_PORT BIGINT NULL, MANUAL_MIGRATE VARCHAR(3) NULL, UNIT_CONFIG_ID BIGINT NOT NULL, MAX_CPU DOUBLE NOT NULL,
    MIN_CPU DOUBLE NOT NULL, MEMORY_SIZE BIGINT NOT NULL, LOG_DISK_SIZE BIGINT NOT NULL, MAX_IOPS BIGINT NOT NULL,
    MIN_IOPS BIGINT NOT NULL, IOPS_WEIGHT BIGINT NOT NULL);
INSERT INTO DBA_OB_UNITS SELECT 1000 + s.id + t.tenant_id, t.tenant_id, 'ACTIVE', t.tenant_id, t.tenant_id, t.gmt_create,
    t.gmt_create, s.zone, s.svr_ip, s.svr_port, NULL, NULL, NULL, 1, 2, 2, 4294967296, 12884901888, 1024, 1024, 0
    FROM __all_server s JOIN obsteward_tenants t WHERE t.tenant_id <> 1001;

CREATE TABLE __all_virtual_ls_status (
    tenant_id BIGINT NOT NULL, ls_id BIGINT NOT NULL, gmt_create TIMESTAMP(6) NULL, gmt_modified TIMESTAMP(6) NULL,
    status VARCHAR(100) NOT NULL, ls_group_id BIGINT NOT NULL, unit_group_id BIGINT NOT NULL, primary_zone VARCHAR(128) NULL,
    init_member_list LONGTEXT NULL, b_init_member_list LONGTEXT NULL, init_learner_list LONGTEXT NULL,
    flag VARCHAR(2048) NOT NULL, unit_list VARCHAR(262144) NULL, PRIMARY KEY (tenant_id, ls_id));
INSERT INTO __all_virtual_ls_status (tenant_id, ls_id, gmt_create, gmt_modified, status, ls_group_id, unit_group_id, primary_zone,
    flag) VALUES (1, 1, NOW(6), NOW(6), 'NORMAL', 0, 0, 'zone1', ''), (1001, 1, NOW(6), NOW(6), 'NORMAL', 0, 0, 'zone1', ''),
    (1002, 1, NOW(6), NOW(6), 'NORMAL', 0, 0, 'zone3', ''), (1002, 1001, NOW(6), NOW(6), 'NORMAL', 1001, 1002, 'zone2', ''),
    (1002, 1002, NOW(6), NOW(6), 'CREATE_ABORT', 1002, 1002, 'zone2', '');

DROP TABLE __all_virtual_log_stat;
CREATE TABLE __all_virtual_log_stat (
    tenant_id BIGINT NOT NULL, ls_id BIGINT NOT NULL, svr_ip VARCHAR(46) NOT NULL, svr_port BIGINT NOT NULL,
    role VARCHAR(32) NOT NULL, proposal_id BIGINT NOT NULL, config_version VARCHAR(128) NOT NULL,
    access_mode VARCHAR(32) NOT NULL, paxos_member_list VARCHAR(1024) NOT NULL, paxos_replica_num BIGINT NOT NULL,
    in_sync TINYINT NOT NULL, base_lsn BIGINT UNSIGNED NOT NULL, begin_lsn BIGINT UNSIGNED NOT NULL,
    begin_scn BIGINT UNSIGNED NOT NULL, end_lsn BIGINT UNSIGNED NOT NULL, end_scn BIGINT UNSIGNED NOT NULL,
    max_lsn BIGINT UNSIGNED NOT NULL, max_scn BIGINT UNSIGNED NOT NULL, arbitration_member VARCHAR(128) NOT NULL,
    degraded_list VARCHAR(1024) NOT NULL, learner_list LONGTEXT NOT NULL, PRIMARY KEY (tenant_id, ls_id, svr_ip, svr_port));
INSERT INTO __all_virtual_log_stat SELECT l.tenant_id, l.ls_id, s.svr_ip, s.svr_port,
    CASE s.zone WHEN l.primary_zone THEN 'LEADER' ELSE 'FOLLOWER' END, 7, '{proposal_id:7, config_seq:1}', 'APPEND',
    'NET.1:2882:1,NET.2:2882:1,NET.3:2882:1', 3, 1, 0, 0, 1, 4096, TIME_TO_USEC(NOW(6)) * 1000, 4096,
    TIME_TO_USEC(NOW(6)) * 1000, '', '', '' FROM __all_virtual_ls_status l JOIN __all_server s WHERE l.status = 'NORMAL';
CREATE OR REPLACE VIEW GV$OB_LOG_STAT AS SELECT tenant_id AS TENANT_ID, ls_id AS LS_ID, svr_ip AS SVR_IP, svr_port AS SVR_PORT,
    role AS ROLE, proposal_id AS PROPOSAL_ID, config_version AS CONFIG_VERSION, access_mode AS ACCESS_MODE,
    paxos_member_list AS PAXOS_MEMBER_LIST, paxos_replica_num AS PAXOS_REPLICA_NUM,
    CASE in_sync WHEN 1 THEN 'YES' ELSE 'NO' END AS IN_SYNC, base_lsn AS BASE_LSN, begin_lsn AS BEGIN_LSN,
    begin_scn AS BEGIN_SCN, end_lsn AS END_LSN, end_scn AS END_SCN, max_lsn AS MAX_LSN, max_scn AS MAX_SCN,
    arbitration_member AS ARBITRATION_MEMBER, degraded_list AS DEGRADED_LIST, learner_list AS LEARNER_LIST
    FROM __all_virtual_log_stat;

CREATE TABLE __all_virtual_ls_meta_table (
    tenant_id BIGINT NOT NULL, ls_id BIGINT NOT NULL, svr_ip VARCHAR(46) NOT NULL, svr_port BIGINT NOT NULL,
    gmt_create TIMESTAMP(6) NULL, gmt_modified TIMESTAMP(6) NULL, sql_port BIGINT NOT NULL, role BIGINT NOT NULL,
    member_list VARCHAR(262144) NOT NULL, proposal_id BIGINT NOT NULL, replica_type BIGINT NOT NULL,
    replica_status VARCHAR(64) NOT NULL, restore_status BIGINT NOT NULL, memstore_percent BIGINT NOT NULL,
    unit_id BIGINT NOT NULL, zone VARCHAR(128) NOT NULL, paxos_replica_number BIGINT NOT NULL, data_size BIGINT NOT NULL,
    required_size BIGINT NOT NULL, learner_list LONGTEXT NULL, rebuild BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, ls_id, svr_ip, svr_port));
INSERT INTO __all_virtual_ls_meta_table SELECT l.tenant_id, l.ls_id, l.svr_ip, l.svr_port, NOW(6), NOW(6), s.inner_port,
    CASE l.role WHEN 'LEADER' THEN 1 ELSE 2 END, 'NET.1:2882:1,NET.2:2882:1,NET.3:2882:1', 7, 0, 'NORMAL', 0, 100, 1, s.zone,
    3, 0, 0, '', 0 FROM __all_virtual_log_stat l JOIN __all_server s ON s.svr_ip = l.svr_ip AND s.svr_port = l.svr_port;
CREATE VIEW CDB_OB_LS_LOCATIONS AS SELECT gmt_create AS CREATE_TIME, gmt_modified AS MODIFY_TIME, tenant_id AS TENANT_ID,
    ls_id AS LS_ID, svr_ip AS SVR_IP, svr_port AS SVR_PORT, sql_port AS SQL_PORT, zone AS ZONE,
    (CASE role WHEN 1 THEN 'LEADER' ELSE 'FOLLOWER' END) AS ROLE, (CASE role WHEN 1 THEN member_list ELSE NULL END) AS MEMBER_LIST,
    (CASE role WHEN 1 THEN paxos_replica_number ELSE NULL END) AS PAXOS_REPLICA_NUMBER,
    (CASE replica_type WHEN 0 THEN 'FULL' WHEN 16 THEN 'READONLY' ELSE NULL END) AS REPLICA_TYPE,
    (CASE role WHEN 1 THEN learner_list ELSE '' END) AS LEARNER_LIST,
    (CASE rebuild WHEN 0 THEN 'FALSE' ELSE 'TRUE' END) AS REBUILD FROM __all_virtual_ls_meta_table;

DROP TABLE __all_virtual_ls_info;
CREATE TABLE __all_virtual_ls_info (
    svr_ip VARCHAR(46) NOT NULL, svr_port BIGINT NOT NULL, tenant_id BIGINT NOT NULL, ls_id BIGINT NOT NULL,
    replica_type VARCHAR(16) NOT NULL, ls_state VARCHAR(16) NOT NULL, tablet_count BIGINT NOT NULL,
    weak_read_scn BIGINT UNSIGNED NOT NULL, need_rebuild VARCHAR(3) NOT NULL, checkpoint_scn BIGINT UNSIGNED NOT NULL,
    checkpoint_lsn BIGINT UNSIGNED NOT NULL, migrate_status BIGINT NOT NULL, rebuild_seq BIGINT NOT NULL,
    tablet_change_checkpoint_scn BIGINT UNSIGNED NOT NULL, transfer_scn BIGINT UNSIGNED NOT NULL, tx_blocked BIGINT NOT NULL,
    required_data_disk_size BIGINT NOT NULL, mv_major_merge_scn BIGINT UNSIGNED NOT NULL,
    mv_publish_scn BIGINT UNSIGNED NOT NULL, mv_safe_scn BIGINT UNSIGNED NOT NULL);
INSERT INTO __all_virtual_ls_info SELECT svr_ip, svr_port, tenant_id, ls_id, 'FULL', role, 100, end_scn, 'NO',
    end_scn - 3600000000000, 0, 0, 0, 0, 0, 0, 36864, 0, 0, 0 FROM __all_virtual_log_stat;

CREATE OR REPLACE VIEW GV$OB_PARAMETERS AS SELECT s.svr_ip AS SVR_IP, s.svr_port AS SVR_PORT, s.zone AS ZONE, p.scope AS SCOPE,
    CASE p.scope WHEN 'TENANT' THEN 1 ELSE NULL END AS TENANT_ID, p.name AS NAME, p.data_type AS DATA_TYPE, p.value AS VALUE,
    p.info AS INFO, p.section AS SECTION, p.edit_level AS EDIT_LEVEL, p.default_value AS DEFAULT_VALUE,
    CAST(CASE p.isdefault WHEN 1 THEN 'YES' ELSE 'NO' END AS CHAR(3)) AS ISDEFAULT
    FROM __all_virtual_tenant_parameter_stat p JOIN __all_server s WHERE s.status = 'ACTIVE';
CREATE OR REPLACE VIEW V$OB_PARAMETERS AS SELECT p.* FROM GV$OB_PARAMETERS p JOIN obsteward_sessions o
    ON o.id = CONNECTION_ID() AND o.svr_ip = p.SVR_IP;
CREATE OR REPLACE VIEW GV$OB_PROCESSLIST AS SELECT s.svr_ip AS SVR_IP, s.svr_port AS SVR_PORT, s.inner_port AS SQL_PORT,
    p.id AS ID, p.user AS USER, p.host AS HOST, p.db AS DB, p.tenant AS TENANT, p.command AS COMMAND, p.time AS TIME,
    p.total_time AS TOTAL_TIME, p.state AS STATE, p.info AS INFO, p.proxy_sessid AS PROXY_SESSID,
    p.master_sessid AS MASTER_SESSID, p.user_client_ip AS USER_CLIENT_IP, p.user_host AS USER_HOST, p.sql_id AS SQL_ID,
    p.trans_id AS TRANS_ID, p.thread_id AS THREAD_ID, p.ssl_cipher AS SSL_CIPHER, p.trace_id AS TRACE_ID,
    p.trans_state AS TRANS_STATE
    FROM __all_virtual_processlist p JOIN obsteward_sessions o ON o.id = p.id JOIN __all_server s ON s.svr_ip = o.svr_ip;

-- The engine's own has no TENANT_ID. None is open here.
DROP VIEW GV$OB_TRANSACTION_PARTICIPANTS;
CREATE TABLE GV$OB_TRANSACTION_PARTICIPANTS (TENANT_ID BIGINT NOT NULL, SVR_IP VARCHAR(46) NOT NULL, SVR_PORT BIGINT NOT NULL,
    SESSION_ID BIGINT NOT NULL, SCHEDULER_ADDR VARCHAR(64) NOT NULL, TX_TYPE VARCHAR(16) NOT NULL, TX_ID BIGINT NOT NULL,
    LS_ID BIGINT NOT NULL, PARTICIPANTS VARCHAR(1024) NULL, CTX_CREATE_TIME TIMESTAMP(6) NULL, TX_EXPIRED_TIME TIMESTAMP(6) NULL,
    STATE VARCHAR(16) NOT NULL, ACTION VARCHAR(16) NOT NULL, ROLE VARCHAR(16) NOT NULL);
CREATE TABLE GV$OB_ARBITRATION_SERVICE_STATUS (SVR_IP VARCHAR(46) NOT NULL, SVR_PORT BIGINT NOT NULL,
    ARBITRATION_SERVICE_ADDRESS VARCHAR(1024) NOT NULL, STATUS VARCHAR(64) NOT NULL);
CREATE TABLE GV$OB_SERVERS (
    SVR_IP VARCHAR(46) NOT NULL, SVR_PORT BIGINT NOT NULL, ZONE VARCHAR(128) NOT NULL, SQL_PORT BIGINT NOT NULL,
    CPU_CAPACITY BIGINT NOT NULL, CPU_CAPACITY_MAX DOUBLE NOT NULL, CPU_ASSIGNED DOUBLE NOT NULL,
    CPU_ASSIGNED_MAX DOUBLE NOT NULL, MEM_CAPACITY BIGINT NOT NULL, MEM_ASSIGNED BIGINT NOT NULL,
    LOG_DISK_CAPACITY BIGINT NOT NULL, LOG_DISK_ASSIGNED BIGINT NOT NULL, LOG_DISK_IN_USE BIGINT NOT NULL,
    DATA_DISK_CAPACITY BIGINT NOT NULL, DATA_DISK_IN_USE BIGINT NOT NULL, DATA_DISK_HEALTH_STATUS VARCHAR(4096) NOT NULL,
    MEMORY_LIMIT BIGINT NOT NULL, DATA_DISK_ALLOCATED BIGINT NOT NULL, DATA_DISK_ABNORMAL_TIME TIMESTAMP(6) NULL,
    SSL_CERT_EXPIRED_TIME TIMESTAMP(6) NULL);
INSERT INTO GV$OB_SERVERS SELECT svr_ip, svr_port, zone, inner_port, 16, 16, 4, 4, 68719476736, 8589934592, 107374182400,
    12884901888, 10737418240, 536870912000, 42949672960, 'NORMAL', 85899345920, 42949672960, NULL, NULL FROM __all_server;
DROP VIEW CDB_OB_MAJOR_COMPACTION;
CREATE VIEW CDB_OB_MAJOR_COMPACTION AS SELECT t.tenant_id AS TENANT_ID, m.frozen_scn AS FROZEN_SCN,
    USEC_TO_TIME(m.frozen_scn / 1000) AS FROZEN_TIME, m.global_broadcast_scn AS GLOBAL_BROADCAST_SCN,
    m.last_merged_scn AS LAST_SCN, USEC_TO_TIME(m.last_merged_time) AS LAST_FINISH_TIME,
    USEC_TO_TIME(m.merge_start_time) AS START_TIME,
    (CASE m.merge_status WHEN 0 THEN 'IDLE' WHEN 1 THEN 'COMPACTING' WHEN 2 THEN 'VERIFYING' ELSE 'UNKNOWN' END) AS STATUS,
    (CASE m.is_merge_error WHEN 0 THEN 'NO' ELSE 'YES' END) AS IS_ERROR,
    (CASE m.suspend_merging WHEN 0 THEN 'NO' ELSE 'YES' END) AS IS_SUSPENDED, '' AS INFO
    FROM __all_virtual_merge_info m JOIN obsteward_tenants t;
CREATE TABLE CDB_OB_BACKUP_JOBS (
    TENANT_ID BIGINT NOT NULL, JOB_ID BIGINT NOT NULL, INCARNATION BIGINT NOT NULL, INITIATOR_TENANT_ID BIGINT NOT NULL,
    INITIATOR_JOB_ID BIGINT NOT NULL, EXECUTOR_TENANT_ID VARCHAR(65535) NULL, BACKUP_SET_ID BIGINT NOT NULL,
    PLUS_ARCHIVELOG VARCHAR(3) NOT NULL, BACKUP_TYPE VARCHAR(11) NOT NULL, JOB_LEVEL VARCHAR(11) NOT NULL,
    ENCRYPTION_MODE VARCHAR(64) NOT NULL, PASSWD VARCHAR(128) NULL, START_TIMESTAMP TIMESTAMP(6) NULL,
    END_TIMESTAMP TIMESTAMP(6) NULL, STATUS VARCHAR(64) NOT NULL, RESULT BIGINT NOT NULL, COMMENT VARCHAR(4096) NOT NULL,
    DESCRIPTION VARCHAR(4096) NOT NULL, PATH VARCHAR(4096) NOT NULL);
