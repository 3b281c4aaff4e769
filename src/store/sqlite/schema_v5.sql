-- How far each target of notifications was told. `reminded` is a list in JSON: the reminders that were delivered, of holds that still
-- last.
CREATE TABLE notification (
    target       TEXT PRIMARY KEY,
    seq          INTEGER NOT NULL,
    reminded     TEXT NOT NULL,
    delivered_us INTEGER,
    failing_us   INTEGER,
    error        TEXT NOT NULL
) WITHOUT ROWID;
