//! Files that are not what the service left: cut short, changed, of another program, of a newer version, in use, on a disk
//! that may only be read. Refused in words, or served exactly as they were; never served wrongly.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use obsteward::domain::event::{Phase, StoredEvent};
use obsteward::domain::ids::{Revision, Seq, TaskId};
use obsteward::store::access::{AccessStore, AuditFilter};
use obsteward::store::inventory::{ClusterFilter, InventoryStore};
use obsteward::store::sqlite::{SqliteOptions, SqliteStore};
use obsteward::store::{Store, StoreError, TaskFilter};
use rustix::fs::{FlockOperation, flock};

use crate::support::faulty_disk::{DiskFault, FaultyDisk};
use crate::support::harness::Harness;
use crate::support::program::{end_of, obsteward};

/// Page of the file; frame of its log.
const PAGE: usize = 4096;
const FRAME: usize = PAGE + 24;

/// The files of a store that holds one whole stop, as `kill -9` left them.
struct Left {
    main: Vec<u8>,
    wal: Vec<u8>,
    key: Vec<u8>,
    lock: Vec<u8>,
    task: TaskId,
}

impl Left {
    async fn behind() -> Self {
        let harness = Harness::registered().await;
        let service = harness.serve(&[]).await;
        let task = service.clients.stop_with(harness.request(&service.clients).await).await.unwrap();
        service.clients.at_rest(task.id).await;
        service.kill();
        let read = |suffix: &str| std::fs::read(format!("{}{suffix}", harness.config.store.path.display())).unwrap();
        let (main, wal, key, lock) = (read(""), read("-wal"), read(".key"), read(".lock"));
        assert!(wal.len() > 20 * FRAME, "{}", wal.len());
        Self { main, wal, key, lock, task: TaskId::new(task.id).unwrap() }
    }

    /// With all that was in the log in the file, as a clean end leaves it.
    fn checkpointed(mut self) -> Self {
        let files = self.laid_out(&self.main, &self.wal);
        let connection = rusqlite::Connection::open(files.path()).unwrap();
        connection.execute("UPDATE meta SET value = 'closed' WHERE name = 'left'", []).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(connection);
        self.main = std::fs::read(files.path()).unwrap();
        self.wal = Vec::new();
        self
    }

    fn laid_out(&self, main: &[u8], wal: &[u8]) -> Files {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("obsteward.db");
        std::fs::write(&path, main).unwrap();
        let key = directory.path().join("obsteward.db.key");
        std::fs::write(&key, &self.key).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        if !wal.is_empty() {
            std::fs::write(directory.path().join("obsteward.db-wal"), wal).unwrap();
        }
        Files { _directory: directory, path }
    }
}

struct Files {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Files {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self) -> Result<Arc<SqliteStore>, StoreError> {
        SqliteStore::open(&self.path, SqliteOptions::default())
    }
}

/// Everything that a store serves, in words.
async fn served(store: &SqliteStore, task: TaskId) -> Result<String, StoreError> {
    let events = store.events(task, Revision::ZERO, u32::MAX).await?;
    let stored = store.task(task).await?;
    let log = store.log(task, None).await?;
    let listed = store.list(&TaskFilter::default(), None, 100).await?;
    let tail = store.tail(Seq::ZERO, u32::MAX).await?;
    let mut words = format!("{events:?}{stored:?}{log:?}{listed:?}{tail:?}");
    for cluster in store.clusters(&ClusterFilter::every(), None, 100).await? {
        let lock = store.lock(&cluster.identity.key()).await?;
        let (zones, servers) = (store.zones(cluster.id).await?, store.servers(cluster.id).await?);
        words.push_str(&format!("{cluster:?}{lock:?}{zones:?}{servers:?}{:?}", store.hosts(cluster.id).await?));
    }
    let audit = store.audit_records(&AuditFilter::default(), None, 1000).await?;
    Ok(words + &format!("{audit:?}"))
}

/// Whichever page is spoilt, and wherever the file ends: refused as damaged, or served as it was because the page holds
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoilt_page_or_a_cut_file_is_refused_or_served_as_it_was() {
    let left = Left::behind().await.checkpointed();
    let store = left.laid_out(&left.main, &[]).open().unwrap();
    let whole = served(&store, left.task).await.unwrap();
    drop(store);
    let mut refused = 0;
    let pages = left.main.len() / PAGE;
    for page in 0..pages {
        let mut spoilt = left.main.clone();
        spoilt[page * PAGE..(page + 1) * PAGE].iter_mut().for_each(|byte| *byte = !*byte);
        let files = left.laid_out(&spoilt, &[]);
        let opened = files.open();
        let outcome = match &opened {
            Ok(store) => served(store, left.task).await,
            Err(error) => Err(error.clone()),
        };
        match outcome {
            Ok(words) => assert_eq!(words, whole, "page {page} is spoilt, and what it held is served"),
            Err(error) => {
                assert!(error.to_string().contains("damaged"), "page {page}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused * 2 > pages, "only {refused} of {pages} spoilt pages were noticed");
    for length in (0..left.main.len()).step_by(PAGE / 2) {
        match left.laid_out(&left.main[..length], &[]).open() {
            Err(StoreError::Open(words)) => assert!(words.contains("damaged"), "cut to {length}: {words}"),
            Ok(_) => panic!("the file was cut to {length} of {} and is opened", left.main.len()),
            Err(error) => panic!("cut to {length}: {error}"),
        }
    }
}

/// A log that was cut short or spoilt lacks what was acknowledged, and is refused. Where nothing is left that could tell (the
/// lock file stayed behind), it is a store of an earlier moment, whole: no half of a commit, and a lock that is held by the
/// task that is open then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_cut_or_spoilt_is_an_earlier_moment_and_whole() {
    let left = Left::behind().await;
    let store = left.laid_out(&left.main, &left.wal).open().unwrap();
    let whole = store.events(left.task, Revision::ZERO, u32::MAX).await.unwrap();
    drop(store);
    let frames = (left.wal.len() - 32) / FRAME;
    let cuts = (0..=frames).flat_map(|frame| [32 + frame * FRAME, 32 + frame * FRAME + FRAME / 3]);
    let cut = cuts.step_by(3).filter(|length| *length < left.wal.len()).map(|length| left.wal[..length].to_vec());
    let spoilt = (0..frames).step_by(7).map(|frame| {
        let mut wal = left.wal.clone();
        wal[32 + frame * FRAME + 1000] ^= 1;
        wal
    });
    let mut moments = std::collections::BTreeSet::new();
    for wal in cut.chain(spoilt) {
        let files = left.laid_out(&left.main, &wal);
        std::fs::write(format!("{}.lock", files.path().display()), &left.lock).unwrap();
        match files.open() {
            Err(StoreError::Open(words)) => {
                assert!(words.contains("were acknowledged") && words.contains("log was cut short"), "{words}");
            }
            Ok(_) => panic!("a log of {} of {} is opened", wal.len(), left.wal.len()),
            Err(error) => panic!("{error}"),
        }
        let store = left.laid_out(&left.main, &wal).open().unwrap_or_else(|error| panic!("{}: {error}", wal.len()));
        moments.insert(moment(&store, left.task, &whole).await);
    }
    assert!(moments.len() > 5 && moments.contains(&0), "{moments:?}");
    assert!(moments.iter().all(|revision| *revision < whole.len()), "{moments:?}");
}

/// Revision of the task in a store of an earlier moment, which is sound.
async fn moment(store: &SqliteStore, task: TaskId, whole: &[StoredEvent]) -> usize {
    let events = store.events(task, Revision::ZERO, u32::MAX).await.unwrap();
    assert_eq!(events, whole[..events.len()]);
    let Some(stored) = store.task(task).await.unwrap() else {
        assert_eq!(events, []);
        return 0;
    };
    assert_eq!((stored.seq, stored.task.revision), (store.head().await.unwrap(), events.last().unwrap().revision));
    let lock = store.lock(&stored.task.spec.cluster.key).await.unwrap().unwrap();
    let open = stored.task.state.phase() != Phase::Closed;
    assert_eq!(lock.holder, open.then_some(task));
    let states = TaskFilter { states: vec![stored.task.state], ..TaskFilter::default() };
    assert_eq!(store.list(&states, None, 9).await.unwrap().len(), 1, "the index is of another moment");
    events.len()
}

/// The program itself: it does not start, and says with which file something is wrong and what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_does_not_start_on_a_file_that_is_not_its_own() {
    let left = Left::behind().await.checkpointed();
    let refused = async |files: &Files, words: &[&str]| {
        let line = format!("serve --no-auth --listen 127.0.0.1:0 --store {}", files.path().display());
        let ended = end_of(obsteward(&line)).await.with(1);
        for words in words.iter().chain([&files.path().to_str().unwrap()]) {
            assert!(ended.err.contains(words), "{words:?} is not in {}", ended.err);
        }
        assert!(!ended.err.contains("listening on"), "{}", ended.err);
    };
    let whole = left.main.len();
    refused(&left.laid_out(&left.main[..whole - PAGE], &[]), &["is damaged", "restore a backup"]).await;
    let mut spoilt = left.main.clone();
    spoilt[PAGE..2 * PAGE].iter_mut().for_each(|byte| *byte = !*byte);
    refused(&left.laid_out(&spoilt, &[]), &["is damaged", "restore a backup"]).await;

    let files = left.laid_out(b"", &[]);
    std::fs::remove_file(files.path()).unwrap();
    rusqlite::Connection::open(files.path()).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    refused(&files, &["is not a store of obsteward", "name another file"]).await;

    let files = left.laid_out(&left.main, &[]);
    let newer = "INSERT INTO schema_version (version, written_by) VALUES (99, 'the future')";
    rusqlite::Connection::open(files.path()).unwrap().execute_batch(newer).unwrap();
    refused(&files, &["schema 99", "start the newer version again"]).await;

    let files = left.laid_out(&left.main, &[]);
    let lock = std::fs::File::create(format!("{}.lock", files.path().display())).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    refused(&files, &["in use by another obsteward"]).await;
}

/// Where nothing can be written, no service starts; the same words name the file whether it or its whole disk is meant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_does_not_start_where_it_cannot_write() {
    let harness = Harness::registered().await;
    let path = harness.config.store.path.clone();
    for (disk, words) in [
        (FaultyDisk::of_file(&path), "it can only be read; make the file, its directory and its disk writable"),
        (FaultyDisk::below(&path), "Read-only file system"),
    ] {
        disk.fails(DiskFault::ReadOnly);
        let (code, said) = harness.serve_in_vain(&disk.environment()).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words) && said.contains(&path.display().to_string()), "{said}");
        assert!(!said.contains("is damaged"), "{said}");
    }

    // No room for a new store: nothing is left that a later start would stumble over.
    let harness = Harness::new(crate::support::quick()).await;
    let disk = FaultyDisk::below(&harness.config.store.path);
    for syncs in 0..3 {
        disk.fails_after(DiskFault::Full, syncs);
        let (code, said) = harness.serve_in_vain(&disk.environment()).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("full") || said.contains("No space left on device"), "{said}");
        assert!(!said.contains("is damaged"), "{said}");
    }
    disk.is_well();
    let service = harness.serve(&disk.environment()).await;
    service.clients.register(harness.sim.endpoints()).await.unwrap();
    service.terminate();
    let (code, said) = service.last_words().await;
    assert_eq!(code, Some(0), "{said}");
}
