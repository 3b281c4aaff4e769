-- Tasks that were accepted and have not begun.
CREATE TABLE IF NOT EXISTS pending_task (
    task BIGINT PRIMARY KEY
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What nothing begins on: the key of a cluster, or the empty one for everything.
CREATE TABLE IF NOT EXISTS change_freeze (
    cluster_key VARBINARY(700) PRIMARY KEY,
    principal   VARBINARY(256) NOT NULL,
    reason      MEDIUMTEXT NOT NULL,
    since_us    BIGINT NOT NULL
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
