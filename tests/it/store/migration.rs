//! A file that an older version wrote: it opens, keeps its rows, and its secrets are no longer in it in the clear.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use obsteward::domain::ids::{ClusterId, Fence};
use obsteward::store::access::{AccessChange, AccessStore};
use obsteward::store::inventory::InventoryStore;
use obsteward::store::key_source::KeySource;
use obsteward::store::sqlite::{SqliteOptions, SqliteStore};
use obsteward::store::{CommitOutcome, LockRow, Store, TaskFilter, encode};
use rusqlite::{Connection, params};
use secrecy::ExposeSecret;

use super::access::{change, user};
use super::file::refusal_with;
use super::keys::{bytes_of, holds};
use super::{append, at, audit, audits, commit, creation, key, task_id};

const OLDER: &str = "older-plain-password";
const PLAIN: &str = "plain-password-of-v1";

/// A file as version 1 left it when it was killed: some of it is in the log only.
fn version_1(directory: &Path) -> PathBuf {
    let source = directory.join("source.db");
    let connection = Connection::open(&source).unwrap();
    connection
        .execute_batch(
            "PRAGMA application_id = 0x6f627374; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE schema_version (version INTEGER PRIMARY KEY, written_by TEXT NOT NULL);
             INSERT INTO schema_version VALUES (1, 'obsteward 0.1.0');",
        )
        .unwrap();
    connection.execute_batch(include_str!("../../../src/store/sqlite/schema_v1.sql")).unwrap();
    connection.execute("INSERT INTO meta VALUES ('store_id', 'the-old-store')", []).unwrap();
    let cluster = "INSERT INTO cluster VALUES (7, ?1, 'c1', 1, '2026-01-02', '[\"10.0.0.1:2881\"]', 'root@sys', ?2, \
                   'none', NULL, NULL, '', 0, 0)";
    connection.execute(cluster, params![key(1).as_str(), OLDER]).unwrap();
    let created = creation(100, 1);
    let (bodies, count) = (encode::events_to_bytes(&created.events), created.events.len() as i64);
    connection
        .execute(
            "INSERT INTO task_event VALUES (?1, 100, ?1, ?1, 1, 'request create-100 anna', ?2, NULL)",
            params![count, bodies],
        )
        .unwrap();
    connection
        .execute(
            "INSERT INTO task VALUES (100, 7, ?1, 1, 'RUNNING', 'anna', ?2, NULL)",
            params![key(1).as_str(), at(0).as_micros()],
        )
        .unwrap();
    connection.execute("INSERT INTO cluster_lock VALUES (?1, 100, 1)", [key(1).as_str()]).unwrap();
    connection.execute("UPDATE counter SET value = ?1 WHERE name = 'seq'", [count]).unwrap();
    connection
        .execute(
            "INSERT INTO audit (at_us, principal, address, operation, target, arguments, trace_id) \
             VALUES (?1, 'anna', '10.1.1.1:4711', 'STOP_OB_SERVER', 'cluster 1 server 2', 'force=false', 't')",
            [at(0).as_micros()],
        )
        .unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(FULL)").unwrap();
    connection.execute("UPDATE cluster SET password = ?1", [PLAIN]).unwrap();
    // Copied while it is open, so that nothing is tidied up.
    let path = directory.join("store.db");
    for suffix in ["", "-wal"] {
        std::fs::copy(format!("{}{suffix}", source.display()), format!("{}{suffix}", path.display())).unwrap();
    }
    path
}

#[tokio::test]
async fn a_file_of_version_1_keeps_its_rows_and_loses_its_plain_passwords() {
    let directory = tempfile::tempdir().unwrap();
    let path = version_1(directory.path());
    assert!(holds(&std::fs::read(&path).unwrap(), OLDER) && holds(&bytes_of(&path), PLAIN));
    for opened in ["migrated", "opened again"] {
        let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
        let bytes = bytes_of(&path);
        assert!(holds(&bytes, "root@sys"), "the row is not where it is looked for");
        assert!(!holds(&bytes, OLDER) && !holds(&bytes, PLAIN), "{opened}: the file holds a plain password");
        let row = store.cluster(ClusterId::new(7).unwrap()).await.unwrap().unwrap();
        assert_eq!((row.password.expose_secret(), row.username.as_str()), (PLAIN, "root@sys"));
        assert_eq!(store.store_id(), "the-old-store");
        assert_eq!(audits(&*store).await, [audit()]);
        let lock = LockRow { holder: Some(task_id(100)), fence: Fence::new(1) };
        assert_eq!(store.lock(&key(1)).await.unwrap(), Some(lock));
        let named = TaskFilter { name: Some("stop ob".to_owned()), ..TaskFilter::default() };
        assert_eq!(store.list(&named, None, 10).await.unwrap().len(), 1);
    }
    let mode = std::fs::metadata(directory.path().join("store.db.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
    assert!(matches!(commit(&*store, append(100, 2, 1, "goes on")).await, CommitOutcome::Committed { .. }));
    change(&*store, AccessChange::CreateUser(user("anna"))).await;
    assert_eq!(store.access().await.unwrap().users[0].id.get(), 1001);
}

#[tokio::test]
async fn a_file_of_version_1_stays_as_it_was_when_its_key_cannot_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = version_1(directory.path());
    let words = refusal_with(&path, KeySource::File(directory.path().join("no/such/directory/key")));
    assert!(words.contains("no/such/directory/key"), "{words}");
    let connection = Connection::open(&path).unwrap();
    let version: i64 = connection.query_row("SELECT max(version) FROM schema_version", [], |row| row.get(0)).unwrap();
    let password: String = connection.query_row("SELECT password FROM cluster", [], |row| row.get(0)).unwrap();
    assert_eq!((version, password.as_str()), (1, PLAIN));
}

/// A subtask had a description before its timeout once: a store that holds one is refused at the start, not at each task.
#[tokio::test]
async fn tasks_of_a_form_that_is_known_no_more_are_refused_whole_and_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = version_1(directory.path());
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE task_event SET bodies = x'0a10120e0a0c4a0a1a08086412016e1a016e'", []).unwrap();
    drop(connection);
    let words = refusal_with(&path, KeySource::File(directory.path().join("key")));
    assert!(words.contains("has schema 1") && words.contains("register the clusters anew"), "{words}");
    let connection = Connection::open(&path).unwrap();
    let version: i64 = connection.query_row("SELECT max(version) FROM schema_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
}

#[tokio::test]
async fn a_wipe_that_was_cut_short_goes_on_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    drop(SqliteStore::open(&path, SqliteOptions::default()).unwrap());
    let connection = Connection::open(&path).unwrap();
    let left_behind = "PRAGMA secure_delete = OFF; CREATE TABLE old (password TEXT); \
                       INSERT INTO old VALUES ('plain-password-of-v1'); DROP TABLE old; \
                       INSERT INTO meta VALUES ('wipe_pending', ''); PRAGMA wal_checkpoint(TRUNCATE);";
    connection.execute_batch(left_behind).unwrap();
    assert!(holds(&bytes_of(&path), PLAIN), "nothing is left behind to be wiped");
    drop(connection);
    let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
    assert!(!holds(&bytes_of(&path), PLAIN));
    let connection = Connection::open(&path).unwrap();
    assert!(!connection.prepare("SELECT 1 FROM meta WHERE name = 'wipe_pending'").unwrap().exists([]).unwrap());
    drop(store);
}
