-- The store, version 2: who may act, how calls ended, names of tasks. Secrets (cluster.password, access_key.secret and
-- key_check of meta) are encrypted: `v1:` and base64, see store/vault.rs. The program encrypts the passwords of version 1 in
-- the transaction of this migration, and wipes the file behind it while meta has wipe_pending.

-- Users are disabled, never removed. Moments as in version 1; password_hash is a PHC string of argon2id.
CREATE TABLE user (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    password_hash TEXT,
    disabled      INTEGER NOT NULL,
    create_us     INTEGER NOT NULL,
    password_us   INTEGER
);
-- The first user that is counted gets 1001; OCP's own have ids below.
INSERT INTO counter (name, value) VALUES ('user', 1000);

CREATE TABLE user_role (
    user INTEGER NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (user, role)
) WITHOUT ROWID;
CREATE INDEX user_role_role ON user_role (role);

-- Subject alternative names of client certificates: each proves one user.
CREATE TABLE user_certificate (
    name TEXT PRIMARY KEY,
    user INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX user_certificate_user ON user_certificate (user);

CREATE TABLE access_key (
    id        TEXT PRIMARY KEY,
    user      INTEGER NOT NULL,
    secret    TEXT NOT NULL,
    disabled  INTEGER NOT NULL,
    create_us INTEGER NOT NULL,
    rotate_us INTEGER NOT NULL
) WITHOUT ROWID;

-- Roles that people made. `permissions` is a JSON list of DOMAIN:id:ACTION.
CREATE TABLE role (
    name        TEXT PRIMARY KEY,
    permissions TEXT NOT NULL,
    create_us   INTEGER NOT NULL
) WITHOUT ROWID;

-- Refused mutations are recorded too. `reason` is empty when it was accepted. What was recorded before was accepted.
ALTER TABLE audit ADD COLUMN outcome TEXT NOT NULL DEFAULT 'ACCEPTED';
ALTER TABLE audit ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN cluster INTEGER;
ALTER TABLE audit ADD COLUMN task INTEGER;
-- A list about one thing or from a moment on must not read everything that ever was. By caller, call and outcome it walks back
-- from the newest: a commit that makes a task pays for each of these indexes, other commits for none.
CREATE INDEX audit_at ON audit (at_us);
CREATE INDEX audit_cluster ON audit (cluster) WHERE cluster IS NOT NULL;
CREATE INDEX audit_task ON audit (task) WHERE task IS NOT NULL;

-- The name of the task's operation; there was only one.
ALTER TABLE task ADD COLUMN name TEXT NOT NULL DEFAULT 'Stop OB server';
