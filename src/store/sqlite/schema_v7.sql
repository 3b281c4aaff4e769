-- Tasks that were accepted and have not begun.
CREATE TABLE pending_task (
    task INTEGER PRIMARY KEY REFERENCES task (id)
);

-- What nothing begins on: the key of a cluster, or the empty one for everything.
CREATE TABLE change_freeze (
    cluster_key TEXT PRIMARY KEY,
    principal   TEXT NOT NULL,
    reason      TEXT NOT NULL,
    since_us    INTEGER NOT NULL
) WITHOUT ROWID;
