//! What the embedded store promises about its file: it survives, it has one owner, and a bad one is refused in words.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use obsteward::domain::ids::Revision;
use obsteward::store::key_source::KeySource;
use obsteward::store::sqlite::{SqliteOptions, SqliteStore};
use obsteward::store::transfer::{Place, check_store};
use obsteward::store::{CommitOutcome, Store, StoreError};

use super::{append, commit, creation, sqlite, task_id};

/// Set for the process that writes until it is killed.
const WRITER_FILE: &str = "OBSTEWARD_TEST_WRITER_FILE";

fn refusal(path: &Path) -> String {
    refusal_with(path, KeySource::default())
}

pub fn refusal_with(path: &Path, key: KeySource) -> String {
    match SqliteStore::open(path, SqliteOptions { key, ..SqliteOptions::default() }) {
        Ok(_) => panic!("{} is opened", path.display()),
        Err(StoreError::Open(words)) => words,
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_reopened_store_has_everything() {
    let (directory, store) = sqlite();
    let path = directory.path().join("store.db");
    commit(&*store, creation(100, 1)).await;
    let id = store.store_id().to_owned();
    let reserved = store.reserve_ids(9).await.unwrap();
    let before = store.task(task_id(100)).await.unwrap();
    drop(store.submit(append(100, 2, 1, "queued when the store was dropped")));
    drop(store);
    let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
    let after = store.task(task_id(100)).await.unwrap().unwrap();
    assert_eq!(after.task.revision, Revision::new(3));
    assert_eq!(store.events(task_id(100), Revision::ZERO, 2).await.unwrap().len(), 2);
    assert_eq!(before.unwrap().task.spec, after.task.spec);
    assert_eq!(store.store_id(), id);
    assert!(store.reserve_ids(1).await.unwrap() > reserved + 8);
    assert_eq!(store.head().await.unwrap(), after.seq);
    for file in ["store.db", "store.db.lock", "store.db.key", "store.db-wal"] {
        let mode = std::fs::metadata(directory.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_second_server_on_the_file_is_refused() {
    let (directory, _store) = sqlite();
    let words = refusal(&directory.path().join("store.db"));
    assert!(words.contains("store.db") && words.contains("another obsteward"), "{words}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (directory, store) = sqlite();
    drop(store);
    let path = directory.path().join("store.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("INSERT INTO schema_version (version, written_by) VALUES (99, 'the future')", []).unwrap();
    drop(connection);
    let words = refusal(&path);
    assert!(words.contains("schema 99") && words.contains("newer version"), "{words}");
}

#[tokio::test]
async fn a_file_that_is_cut_or_foreign_is_refused() {
    let (directory, store) = sqlite();
    commit(&*store, creation(100, 1)).await;
    drop(store);
    let path = directory.path().join("store.db");
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 50, 4096, whole.len() / 2, whole.len() - 4096] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let words = refusal(&path);
        assert!(words.contains("store.db") && words.contains("damaged"), "cut to {length}: {words}");
    }
    std::fs::write(&path, "this is not a database, whatever its name says").unwrap();
    assert!(refusal(&path).contains("damaged"));
    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    assert!(refusal(&path).contains("not a store of obsteward"));
}

#[tokio::test]
async fn a_log_that_was_changed_by_hand_is_damage_that_names_the_task() {
    let (directory, store) = sqlite();
    commit(&*store, creation(100, 1)).await;
    commit(&*store, append(100, 2, 1, "a")).await;
    commit(&*store, append(100, 3, 1, "b")).await;
    let other = rusqlite::Connection::open(directory.path().join("store.db")).unwrap();
    for sql in ["DELETE FROM task_event WHERE revision = 3", "UPDATE task_event SET bodies = x'ff' WHERE revision = 4"]
    {
        other.execute_batch(sql).unwrap();
        let outcome = store.task(task_id(100)).await;
        assert!(matches!(&outcome, Err(StoreError::Damaged(words)) if words.contains("task 100")), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_failed_write_is_fatal_and_closes_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&said);
    let on_fatal = Arc::new(move |words: &str| heard.lock().unwrap().push(words.to_owned()));
    let store = SqliteStore::open(&path, SqliteOptions { on_fatal, ..SqliteOptions::default() }).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("DROP TABLE audit").unwrap();
    let outcome = store.submit(creation(100, 1)).outcome().await;
    assert!(matches!(outcome, Err(StoreError::Failed(_))), "{outcome:?}");
    assert!(said.lock().unwrap()[0].contains("unknown"));
    let outcome = store.submit(creation(200, 2)).outcome().await;
    assert!(matches!(outcome, Err(StoreError::Closed)), "{outcome:?}");
    assert!(matches!(store.reserve_ids(1).await, Err(StoreError::Closed)));
}

/// Not a test of its own: the process that the tests below start and end.
#[tokio::test]
async fn writer_process() {
    let Ok(path) = std::env::var(WRITER_FILE) else { return };
    let store = SqliteStore::open(path, SqliteOptions::default()).unwrap();
    commit(&*store, creation(100, 1)).await;
    for after in 2.. {
        let CommitOutcome::Committed { revision, .. } = commit(&*store, append(100, after, 1, "line")).await else {
            panic!("the append is refused")
        };
        println!("acknowledged {revision}");
    }
}

fn start_writer(path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "store::file::writer_process", "--nocapture", "--test-threads=1"]);
    command.env(WRITER_FILE, path).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn last_acknowledged(output: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(output);
    // The last line may be cut off; then it is not counted as said.
    let whole = &text[..text.rfind('\n').unwrap_or(0)];
    let numbers = whole.lines().filter_map(|line| line.rsplit_once("acknowledged ")?.1.parse().ok());
    numbers.max().unwrap_or(0)
}

#[tokio::test]
async fn kill_9_loses_nothing_acknowledged() {
    for round in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let mut child = start_writer(&path).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut output = Vec::new();
        // Killed in the middle of its work, never before it: otherwise nothing is acknowledged and nothing is shown.
        while last_acknowledged(&output) < 20 + 37 * round {
            assert!(said.read_until(b'\n', &mut output).unwrap() > 0, "the writer ended by itself");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        said.read_to_end(&mut output).unwrap();
        let acknowledged = last_acknowledged(&output);
        let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
        let revision = store.task(task_id(100)).await.unwrap().map_or(0, |stored| stored.task.revision.get());
        assert!(revision >= acknowledged, "{acknowledged} was acknowledged, {revision} is there");
    }
}

#[tokio::test]
async fn a_crash_around_the_commit_leaves_it_whole_or_not_there() {
    for (variable, there) in [("OBSTEWARD_CRASH_AT_SUBMIT", 4), ("OBSTEWARD_CRASH_AT_SUBMIT_AFTER", 5)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        // The creation is the first submit and has two events.
        let output = start_writer(&path).env(variable, "4").output().unwrap();
        assert!(!output.status.success());
        assert_eq!(last_acknowledged(&output.stdout), 4);
        let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
        let revision = store.task(task_id(100)).await.unwrap().unwrap().task.revision;
        assert_eq!(revision, Revision::new(there), "{variable}");
    }
}

#[tokio::test]
async fn a_check_finds_what_does_not_fit_together() {
    let (directory, store) = sqlite();
    for id in [100, 200, 300, 400, 500, 600] {
        commit(&*store, creation(id, id / 100)).await;
    }
    let path = directory.path().join("store.db");
    let whole = check_store(&Place::File(path.clone())).await.unwrap();
    assert_eq!((whole.tasks, whole.events, whole.locks, whole.findings), (6, 12, 6, Vec::new()));
    let file = rusqlite::Connection::open(&path).unwrap();
    let broken = "PRAGMA foreign_keys = OFF; UPDATE task SET state = 'FAILED' WHERE id = 100; DELETE FROM task_server WHERE task = 100; \
                  UPDATE cluster_lock SET holder = NULL WHERE holder = 200; \
                  DELETE FROM task_event WHERE task = 300; DELETE FROM task WHERE id = 400; \
                  UPDATE cluster_lock SET fence = 0 WHERE holder = 500; UPDATE counter SET value = 3 WHERE name = 'seq';";
    file.execute_batch(broken).unwrap();
    let found = check_store(&Place::File(path)).await.unwrap().findings;
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "task 100: state in the index is not what its events say",
            "task 100: its servers in the index are not what its events say",
            "task 200: is open, and does not hold the lock of its cluster",
            "task 300: is in the index, and has no events",
            "task 500: was written under fence 1, which its cluster's lock has not reached",
            "lock of c3#3#2026-01-02: is held by task 300, which is no open task of it",
            "lock of c4#4#2026-01-02: is held by task 400, which is no open task of it",
            "task 400: has events, and no row in the index",
            "counter seq: is 3, and 12 is given already",
        ]
    );
}
