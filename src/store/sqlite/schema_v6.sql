-- Sessions of the web console that were ended before they expired. Without a moment of expiry: with all that were issued before.
CREATE TABLE ended_session (
    user       INTEGER NOT NULL,
    issued_us  INTEGER NOT NULL,
    expires_us INTEGER,
    PRIMARY KEY (user, issued_us)
) WITHOUT ROWID;
