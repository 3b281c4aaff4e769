-- How far each target of notifications was told. `reminded` is a list in JSON: the reminders that were delivered, of holds that still
-- last.
CREATE TABLE IF NOT EXISTS notification (
    target       VARBINARY(128) PRIMARY KEY,
    seq          BIGINT NOT NULL,
    reminded     MEDIUMTEXT NOT NULL,
    delivered_us BIGINT,
    failing_us   BIGINT,
    error        MEDIUMTEXT NOT NULL
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
