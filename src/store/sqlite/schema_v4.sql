-- A task acts on one server, or on those of a zone or of the whole cluster.

DROP INDEX task_server;
CREATE TABLE task_server (
    server  INTEGER NOT NULL,
    task    INTEGER NOT NULL REFERENCES task (id),
    PRIMARY KEY (server, task)
) WITHOUT ROWID;
INSERT INTO task_server (server, task) SELECT server, id FROM task;
ALTER TABLE task DROP COLUMN server;
