-- The shared store, version 1. Moments are microseconds since the Unix epoch; enumerations are words. Names that must be
-- equal byte for byte are VARBINARY: a collation may take a trailing space for nothing. Every statement can be run again.

-- Facts of the store itself: store_id, key_check.
CREATE TABLE IF NOT EXISTS meta (
    name  VARBINARY(64) PRIMARY KEY,
    value VARBINARY(1024) NOT NULL
);

-- Numbers that never go back: the last one given of each. Whoever writes locks the row of seq first, and until its commit: so the
-- order of seq is the order of commits, and two writers never wait for each other in a circle. The numbers of inventory and
-- access count their changes.
CREATE TABLE IF NOT EXISTS counter (
    name  VARBINARY(32) PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counter (name, value) VALUES ('seq', 0), ('id', 100000), ('cluster', 0), ('server', 0), ('user', 1000),
    ('replica', 0), ('ownership', 0), ('inventory', 0), ('access', 0), ('progress', 0) ON DUPLICATE KEY UPDATE counter.value = counter.value;

-- Ids that callers chose: the counters pass over them, also after the registration is gone.
CREATE TABLE IF NOT EXISTS chosen_id (
    counter VARBINARY(32) NOT NULL,
    id      BIGINT NOT NULL,
    PRIMARY KEY (counter, id)
);

-- Changes that were written, so that one whose answer was lost is not written twice.
CREATE TABLE IF NOT EXISTS written_change (
    nonce VARBINARY(36) PRIMARY KEY,
    at_us BIGINT NOT NULL,
    KEY written_change_at (at_us)
);

-- The truth: one row per commit. Its events have the places seq - events + 1 to seq and the revisions
-- revision - events + 1 to revision. `bodies` is obsteward.store.v1.Events, `lines` obsteward.store.v1.LogLines.
CREATE TABLE IF NOT EXISTS task_event (
    seq      BIGINT PRIMARY KEY,
    task     BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    events   INT NOT NULL,
    fence    BIGINT NOT NULL,
    author   VARBINARY(512) NOT NULL,
    bodies   LONGBLOB NOT NULL,
    `lines`  LONGBLOB,
    UNIQUE KEY task_event_revision (task, revision)
);

-- An index over the truth: what lists and recovery select by.
CREATE TABLE IF NOT EXISTS task (
    id          BIGINT PRIMARY KEY,
    cluster     BIGINT NOT NULL,
    cluster_key VARBINARY(700) NOT NULL,
    state       VARBINARY(32) NOT NULL,
    creator     VARBINARY(256) NOT NULL,
    create_us   BIGINT NOT NULL,
    finish_us   BIGINT,
    name        VARCHAR(256) NOT NULL,
    KEY task_cluster (cluster),
    KEY task_finish (finish_us)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS task_server (
    server BIGINT NOT NULL,
    task   BIGINT NOT NULL,
    PRIMARY KEY (server, task)
);

-- Which task acts on which physical cluster, and which replica drives it. Rows are never deleted, the fence only grows. `owner`
-- is NULL while the task rests, and when its replica has let go of it.
CREATE TABLE IF NOT EXISTS cluster_lock (
    cluster_key VARBINARY(700) PRIMARY KEY,
    holder      BIGINT,
    fence       BIGINT NOT NULL,
    owner       BIGINT,
    KEY cluster_lock_holder (holder)
);

-- Which request made which task.
CREATE TABLE IF NOT EXISTS request (
    principal  VARBINARY(256) NOT NULL,
    request_id VARBINARY(128) NOT NULL,
    task       BIGINT NOT NULL,
    digest     VARBINARY(128) NOT NULL,
    PRIMARY KEY (principal, request_id)
);

-- Every mutation that was asked for. `refusal` says why it was refused, `reason` why it was asked for, in the caller's words.
CREATE TABLE IF NOT EXISTS audit (
    id        BIGINT PRIMARY KEY AUTO_INCREMENT,
    at_us     BIGINT NOT NULL,
    principal VARBINARY(256) NOT NULL,
    address   VARBINARY(256) NOT NULL,
    operation VARBINARY(64) NOT NULL,
    target    MEDIUMTEXT NOT NULL,
    arguments MEDIUMTEXT NOT NULL,
    trace_id  VARBINARY(256) NOT NULL,
    outcome   VARBINARY(16) NOT NULL,
    refusal   VARBINARY(128) NOT NULL,
    cluster   BIGINT,
    task      BIGINT,
    reason    MEDIUMTEXT NOT NULL,
    KEY audit_at (at_us),
    KEY audit_cluster (cluster),
    KEY audit_task (task)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The inventory. managed_status is written by the lock holder's commits only, what was observed by sync only. Secrets are
-- encrypted, see store/vault.rs.
CREATE TABLE IF NOT EXISTS cluster (
    id                   BIGINT PRIMARY KEY,
    cluster_key          VARBINARY(700) NOT NULL,
    name                 VARCHAR(256) NOT NULL,
    ob_cluster_id        BIGINT NOT NULL,
    fingerprint          VARBINARY(256) NOT NULL,
    endpoints            MEDIUMTEXT NOT NULL,
    username             VARBINARY(512) NOT NULL,
    password             MEDIUMTEXT NOT NULL,
    default_host         MEDIUMTEXT NOT NULL,
    managed_status       VARBINARY(32),
    observed_us          BIGINT,
    sync_error           MEDIUMTEXT NOT NULL,
    lease_time_us        BIGINT NOT NULL,
    permanent_offline_us BIGINT NOT NULL,
    UNIQUE KEY cluster_key (cluster_key),
    KEY cluster_name (name)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS zone (
    cluster        BIGINT NOT NULL,
    name           VARBINARY(256) NOT NULL,
    inner_status   VARBINARY(32) NOT NULL,
    region         MEDIUMTEXT NOT NULL,
    idc            MEDIUMTEXT NOT NULL,
    managed_status VARBINARY(32),
    PRIMARY KEY (cluster, name)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A server that was deleted and added again at its address has another ob_server_id, and another id here.
CREATE TABLE IF NOT EXISTS server (
    id               BIGINT PRIMARY KEY,
    cluster          BIGINT NOT NULL,
    addr             VARBINARY(64) NOT NULL,
    ob_server_id     BIGINT NOT NULL,
    zone             VARBINARY(256) NOT NULL,
    sql_port         INT NOT NULL,
    managed_status   VARBINARY(32),
    inner_status     VARBINARY(32) NOT NULL,
    stop_us          BIGINT,
    start_service_us BIGINT,
    last_offline_us  BIGINT,
    with_rootserver  INT NOT NULL,
    build_version    MEDIUMTEXT NOT NULL,
    observed_us      BIGINT NOT NULL,
    UNIQUE KEY server_addr (cluster, addr, ob_server_id)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Routes to hosts that are named one by one.
CREATE TABLE IF NOT EXISTS host (
    cluster BIGINT NOT NULL,
    svr_ip  VARBINARY(64) NOT NULL,
    route   MEDIUMTEXT NOT NULL,
    PRIMARY KEY (cluster, svr_ip)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Users are disabled, never removed. password_hash is a PHC string of argon2id.
CREATE TABLE IF NOT EXISTS `user` (
    id            BIGINT PRIMARY KEY,
    name          VARBINARY(256) NOT NULL,
    password_hash MEDIUMTEXT,
    disabled      INT NOT NULL,
    create_us     BIGINT NOT NULL,
    password_us   BIGINT,
    UNIQUE KEY user_name (name)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS user_role (
    user BIGINT NOT NULL,
    role VARBINARY(128) NOT NULL,
    PRIMARY KEY (user, role),
    KEY user_role_role (role)
);

-- Subject alternative names of client certificates: each proves one user.
CREATE TABLE IF NOT EXISTS user_certificate (
    name VARBINARY(700) PRIMARY KEY,
    user BIGINT NOT NULL,
    KEY user_certificate_user (user)
);

CREATE TABLE IF NOT EXISTS access_key (
    id        VARBINARY(128) PRIMARY KEY,
    user      BIGINT NOT NULL,
    secret    MEDIUMTEXT NOT NULL,
    disabled  INT NOT NULL,
    create_us BIGINT NOT NULL,
    rotate_us BIGINT NOT NULL
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Roles that people made. `permissions` is a JSON list of DOMAIN:id:ACTION.
CREATE TABLE IF NOT EXISTS role (
    name        VARBINARY(128) PRIMARY KEY,
    permissions MEDIUMTEXT NOT NULL,
    create_us   BIGINT NOT NULL
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The replicas of the service, also those that are gone. Each start is a new one. `renewals` counts the renewals of its lease:
-- whoever sees the same number for the length of a lease may bury it. `tasks`: how many it drives. `newest_schema`: the newest that
-- it knows.
CREATE TABLE IF NOT EXISTS replica (
    id         BIGINT PRIMARY KEY,
    name       VARBINARY(256) NOT NULL,
    address    VARBINARY(256) NOT NULL,
    version    VARBINARY(64) NOT NULL,
    newest_schema BIGINT NOT NULL,
    start_us   BIGINT NOT NULL,
    end_us     BIGINT,
    state      VARBINARY(16) NOT NULL,
    renewals   BIGINT NOT NULL,
    renewed_us BIGINT NOT NULL,
    tasks      INT NOT NULL
);

-- The latest progress of running subtasks, for people who ask another replica than the one that drives the task. `number` grows
-- with each write of a replica. `body` is obsteward.store.v1.Progress.
CREATE TABLE IF NOT EXISTS progress (
    task    BIGINT NOT NULL,
    subtask BIGINT NOT NULL,
    replica BIGINT NOT NULL,
    number  BIGINT NOT NULL,
    body    MEDIUMBLOB NOT NULL,
    PRIMARY KEY (task, subtask),
    KEY progress_number (replica, number)
);
