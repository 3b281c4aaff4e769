-- Sessions of the web console that were ended before they expired. Without a moment of expiry: with all that were issued before.
CREATE TABLE IF NOT EXISTS ended_session (
    user       BIGINT NOT NULL,
    issued_us  BIGINT NOT NULL,
    expires_us BIGINT,
    PRIMARY KEY (user, issued_us)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
