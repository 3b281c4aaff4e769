//! The store is one file that can be taken away: whole by itself after a clean end, refused when it was copied without its
//! write-ahead log, and copied by the service itself while that works.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use obsteward::config::Config;
use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, Kind};
use obsteward::store::sqlite::check_backup;

use crate::support::harness::Harness;
use crate::support::program::{Program, end_of, obsteward};
use crate::support::{Clients, PATIENCE, ServeProcess};

/// SQLite's default size of a page.
const PAGE: usize = 4096;

/// The same service elsewhere: only its key is there.
fn elsewhere(harness: &Harness, directory: &Path) -> (Config, PathBuf) {
    let mut config = harness.config.clone();
    config.store.path = directory.join("obsteward.db");
    std::fs::copy(harness.directory.path().join("obsteward.db.key"), directory.join("obsteward.db.key")).unwrap();
    let store = config.store.path.clone();
    (config, store)
}

async fn starts(config: &Config, directory: &Path) -> Result<ServeProcess, String> {
    tokio::task::block_in_place(|| ServeProcess::try_start(config, directory, &[]).map_err(|(_, said)| said))
}

async fn clusters(clients: &Clients) -> usize {
    let clusters = clients.clusters.clone().list_clusters(v1::ListClustersRequest::default()).await.unwrap();
    clusters.into_inner().clusters.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_without_its_log_is_refused_and_one_after_a_clean_end_is_whole() {
    let harness = Harness::new(crate::support::quick()).await;
    let log = harness.directory.path().join("obsteward.db-wal");
    let mut service = harness.serve(&[]).await;
    service.clients.register(harness.sim.endpoints()).await.unwrap();

    // The file alone, as a backup program takes it that knows nothing of SQLite.
    let alone = tempfile::tempdir().unwrap();
    let (config, store) = elsewhere(&harness, alone.path());
    std::fs::copy(&harness.config.store.path, &store).unwrap();
    let said = starts(&config, alone.path()).await.err().expect("a store that has lost its last events is served");
    for words in ["obsteward.db-wal is missing", "what was written last is not there", "`obsteward store restored`"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    // Refusing changed nothing: brought with its log, it is whole.
    service.kill();
    std::fs::copy(&harness.config.store.path, &store).unwrap();
    std::fs::copy(&log, alone.path().join("obsteward.db-wal")).unwrap();
    let whole = starts(&config, alone.path()).await.unwrap();
    assert_eq!(clusters(&whole.clients).await, 1);
    whole.kill();

    // A crash leaves both, and is no reason to refuse; a clean end leaves one.
    service = harness.serve(&[]).await;
    assert_eq!(clusters(&service.clients).await, 1);
    service.terminate();
    assert_eq!(service.last_words().await.0, Some(0));
    assert!(std::fs::metadata(&log).map_or(0, |log| log.len()) == 0, "the write-ahead log is still there");
    let taken = tempfile::tempdir().unwrap();
    let (config, store) = elsewhere(&harness, taken.path());
    std::fs::copy(&harness.config.store.path, &store).unwrap();
    let service = starts(&config, taken.path()).await.unwrap();
    assert_eq!(clusters(&service.clients).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_of_a_service_that_works_is_restored_as_the_readme_says() {
    let harness = Harness::registered().await;
    let service = harness.serve(&[]).await;
    // A task stands before its first statement.
    let held = Fault::from(FaultKind::Slow { delay_ms: 60_000 }).for_statement("SELECT CONNECTION_ID()");
    let held = harness.sim.inject(held);
    let request = harness.request(&service.clients).await;
    let task = service.clients.stop_with(request).await.unwrap().id;
    assert!(harness.sim.wait_recorded(PATIENCE, Kind::Statement, "SELECT CONNECTION_ID()").await);

    let taken = tempfile::tempdir().unwrap();
    let file = taken.path().join("backup.db");
    let line = format!("store backup {}", file.display());
    let program = Program::of(&service.address);
    let made = program.run(&format!("{line} --output json")).await.with(0).json();
    assert_eq!((&made["key_included"], made["seq"].as_i64() > Some(0)), (&false.into(), true), "{made}");
    assert_eq!(made["bytes"].as_u64(), Some(std::fs::metadata(&file).unwrap().len()));
    let first = std::fs::read(&file).unwrap();
    // What is checked on arrival: that it is the copy of this store and this moment, and that no page of it is spoilt.
    let (id, head) = (made["store_id"].as_str().unwrap(), made["seq"].as_i64().unwrap());
    assert_eq!(check_backup(&file, id, head).map_err(|error| error.to_string()), Ok(()));
    let spoilt = taken.path().join("spoilt.db");
    let page = first.len() / 2 / PAGE * PAGE;
    let pages = [&first[..page], &[0xFF; PAGE], &first[page + PAGE..]].concat();
    std::fs::write(&spoilt, pages).unwrap();
    for (file, id, head) in [(&file, "another", head), (&file, id, head - 1), (&spoilt, id, head)] {
        assert!(check_backup(file, id, head).is_err(), "{} {id} {head}", file.display());
    }
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(taken.path().join(format!("spoilt.db{suffix}")));
    }
    let refused = program.run(&line).await.with(3);
    assert!(refused.err.contains("is there already"), "{}", refused.err);
    assert_eq!(std::fs::read(&file).unwrap(), first, "it was overwritten");
    let told = program.run(&format!("{line} --overwrite")).await.with(0);
    assert!(told.err.contains("the key of its secrets is not in it"), "{}", told.err);
    // The store itself, its key and whatever else is no backup are left alone: their service would write to a lost file.
    let store = harness.config.store.path.display();
    for other in [store.to_string(), format!("{store}.key")] {
        let inode = || std::fs::metadata(&other).unwrap().ino();
        let before = inode();
        let refused = program.run(&format!("store backup {other} --overwrite")).await.with(3);
        assert!(refused.err.contains("is there and is no backup"), "{}", refused.err);
        assert_eq!(inode(), before, "{other} was replaced");
    }
    // Nothing else is left on either side.
    assert_eq!(std::fs::read_dir(taken.path()).unwrap().count(), 1);
    let left: Vec<_> =
        std::fs::read_dir(harness.directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".copy-")), "{left:?}");
    let audit = v1::ListAuditRecordsRequest { operation: "BACKUP_STORE".to_owned(), ..Default::default() };
    let records = service.clients.admin.clone().list_audit_records(audit).await.unwrap().into_inner().records;
    assert_eq!(records.len(), 2, "{records:#?}");
    service.kill();
    harness.sim.clear(held);

    let (config, store) = elsewhere(&harness, taken.path());
    std::fs::rename(&file, &store).unwrap();
    let said = starts(&config, taken.path()).await.err().expect("a backup is served as if it were the store");
    assert!(said.contains("is a backup of ") && said.contains("`obsteward store restored`"), "{said}");
    let restored = end_of(obsteward(&format!("store restored --output json --store {}", store.display()))).await;
    let restored = restored.with(0).json();
    assert_eq!(restored["former_store_id"], made["store_id"]);
    let agent = config.local_agent.state_directory.as_ref().unwrap().display();
    let trust = format!("agent trust {} --state-directory {agent}", restored["store_id"].as_str().unwrap());
    end_of(obsteward(&trust)).await.with(0);
    let service = starts(&config, taken.path()).await.unwrap();
    let task = service.clients.at_rest(task).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
}
