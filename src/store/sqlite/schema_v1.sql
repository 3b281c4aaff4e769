-- The store, version 1. Moments are microseconds since the Unix epoch; enumerations are words.

-- Facts of the store itself: store_id.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Numbers that never go back: the last one given of each.
CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO counter (name, value) VALUES ('seq', 0), ('id', 100000), ('cluster', 0), ('server', 0);

-- Ids of clusters and servers that callers chose: the counters pass over them, also after the registration is gone.
CREATE TABLE chosen_id (
    counter TEXT NOT NULL,
    id      INTEGER NOT NULL,
    PRIMARY KEY (counter, id)
) WITHOUT ROWID;

-- The truth: one row per commit. Its events have the places seq - events + 1 to seq and the revisions
-- revision - events + 1 to revision. `bodies` is obsteward.store.v1.Events, `lines` obsteward.store.v1.LogLines.
CREATE TABLE task_event (
    seq      INTEGER PRIMARY KEY,
    task     INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    events   INTEGER NOT NULL,
    fence    INTEGER NOT NULL,
    author   TEXT NOT NULL,
    bodies   BLOB NOT NULL,
    lines    BLOB
);
CREATE UNIQUE INDEX task_event_revision ON task_event (task, revision);

-- An index over the truth: what lists and recovery select by.
CREATE TABLE task (
    id          INTEGER PRIMARY KEY,
    cluster     INTEGER NOT NULL,
    cluster_key TEXT NOT NULL,
    server      INTEGER NOT NULL,
    state       TEXT NOT NULL,
    creator     TEXT NOT NULL,
    create_us   INTEGER NOT NULL,
    finish_us   INTEGER
);
CREATE INDEX task_cluster ON task (cluster);
CREATE INDEX task_server ON task (server);
CREATE INDEX task_open ON task (cluster) WHERE finish_us IS NULL;

-- Which task acts on which physical cluster. Rows are never deleted, the fence only grows.
CREATE TABLE cluster_lock (
    cluster_key TEXT PRIMARY KEY,
    holder      INTEGER,
    fence       INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX cluster_lock_holder ON cluster_lock (holder) WHERE holder IS NOT NULL;

-- Which request made which task.
CREATE TABLE request (
    principal  TEXT NOT NULL,
    request_id TEXT NOT NULL,
    task       INTEGER NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (principal, request_id)
) WITHOUT ROWID;

-- Every accepted mutation, in the commit of the mutation.
CREATE TABLE audit (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us     INTEGER NOT NULL,
    principal TEXT NOT NULL,
    address   TEXT NOT NULL,
    operation TEXT NOT NULL,
    target    TEXT NOT NULL,
    arguments TEXT NOT NULL,
    trace_id  TEXT NOT NULL
);

-- The inventory. managed_status is written by the lock holder's commits only, what was observed by sync only.
CREATE TABLE cluster (
    id                   INTEGER PRIMARY KEY,
    cluster_key          TEXT NOT NULL UNIQUE,
    name                 TEXT NOT NULL,
    ob_cluster_id        INTEGER NOT NULL,
    fingerprint          TEXT NOT NULL,
    endpoints            TEXT NOT NULL,
    username             TEXT NOT NULL,
    password             TEXT NOT NULL,
    default_host         TEXT NOT NULL,
    managed_status       TEXT,
    observed_us          INTEGER,
    sync_error           TEXT NOT NULL,
    lease_time_us        INTEGER NOT NULL,
    permanent_offline_us INTEGER NOT NULL
);
CREATE INDEX cluster_name ON cluster (name);

CREATE TABLE zone (
    cluster        INTEGER NOT NULL,
    name           TEXT NOT NULL,
    inner_status   TEXT NOT NULL,
    region         TEXT NOT NULL,
    idc            TEXT NOT NULL,
    managed_status TEXT,
    PRIMARY KEY (cluster, name)
) WITHOUT ROWID;

-- A server that was deleted and added again at its address has another ob_server_id, and another id here.
CREATE TABLE server (
    id               INTEGER PRIMARY KEY,
    cluster          INTEGER NOT NULL,
    addr             TEXT NOT NULL,
    ob_server_id     INTEGER NOT NULL,
    zone             TEXT NOT NULL,
    sql_port         INTEGER NOT NULL,
    managed_status   TEXT,
    inner_status     TEXT NOT NULL,
    stop_us          INTEGER,
    start_service_us INTEGER,
    last_offline_us  INTEGER,
    with_rootserver  INTEGER NOT NULL,
    build_version    TEXT NOT NULL,
    observed_us      INTEGER NOT NULL,
    UNIQUE (cluster, addr, ob_server_id)
);

-- Routes to hosts that are named one by one.
CREATE TABLE host (
    cluster INTEGER NOT NULL,
    svr_ip  TEXT NOT NULL,
    route   TEXT NOT NULL,
    PRIMARY KEY (cluster, svr_ip)
) WITHOUT ROWID;
