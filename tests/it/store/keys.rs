//! The key of a store and what is encrypted under it: no secret is in the file, and no other key opens it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use obsteward::domain::ids::ClusterId;
use obsteward::store::StoreError;
use obsteward::store::access::{AccessChange, AccessStore};
use obsteward::store::inventory::{ClusterChange, ClusterFilter, InventoryStore};
use obsteward::store::key_source::KeySource;
use obsteward::store::sqlite::{SqliteOptions, SqliteStore};
use obsteward::store::vault::new_key;
use secrecy::{ExposeSecret, SecretString};

use super::access::{change, user};
use super::file::refusal_with;
use super::{audit, inventory, sqlite};

/// What is on disk of a store: the file and its log.
pub fn bytes_of(path: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.extend(std::fs::read(format!("{}-wal", path.display())).unwrap_or_default());
    bytes
}

pub fn holds(bytes: &[u8], words: &str) -> bool {
    bytes.windows(words.len()).any(|window| window == words.as_bytes())
}

fn id(id: i64) -> ClusterId {
    ClusterId::new(id).unwrap()
}

fn write_key(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn no_secret_is_in_the_file() {
    let (directory, store) = sqlite();
    let path = directory.path().join("store.db");
    store.register(inventory::cluster(1), audit()).await.unwrap();
    let changed = ClusterChange { password: Some(SecretString::from("an0ther-s3cret")), ..ClusterChange::default() };
    store.update(id(1), changed, audit()).await.unwrap();
    change(&*store, AccessChange::CreateUser(user("anna"))).await;
    change(&*store, super::access::new_key("AKAKAKAK01", 1001, "secret-of-the-key")).await;
    let rotate =
        AccessChange::RotateKey { id: "AKAKAKAK01".parse().unwrap(), secret: SecretString::from("rotated-secret") };
    change(&*store, rotate).await;
    let row = store.cluster(id(1)).await.unwrap().unwrap();
    assert_eq!(row.password.expose_secret(), "an0ther-s3cret");
    for place in ["log", "file"] {
        let bytes = bytes_of(&path);
        assert!(holds(&bytes, "AKAKAKAK01") && holds(&bytes, "root@sys"), "the rows are not where they are looked for");
        for secret in ["s3cret", "an0ther-s3cret", "secret-of-the-key", "rotated-secret"] {
            assert!(!holds(&bytes, secret), "{secret} is in the {place}");
        }
        // Everything moves from the log into the file.
        let other = rusqlite::Connection::open(&path).unwrap();
        other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    }
}

#[tokio::test]
async fn a_store_without_its_key_is_refused_in_words_that_say_what_to_do() {
    let (directory, store) = sqlite();
    store.register(inventory::cluster(1), audit()).await.unwrap();
    drop(store);
    let path = directory.path().join("store.db");
    let file = directory.path().join("store.db.key");
    let right = std::fs::read_to_string(&file).unwrap();
    let other = new_key().unwrap();

    write_key(&file, &right, 0o640);
    let words = refusal_with(&path, KeySource::BesideStore);
    assert!(words.contains("chmod 600") && words.contains("store.db.key") && words.contains("640"), "{words}");
    for (text, expected) in [(other.expose_secret(), "not that of the store"), ("c2hvcnQ=", "base64 of 32 bytes")] {
        write_key(&file, text, 0o600);
        let words = refusal_with(&path, KeySource::File(file.clone()));
        assert!(words.contains(expected) && !words.contains(text), "{words}");
        let given = refusal_with(&path, KeySource::Given(SecretString::from(text)));
        assert!(given.contains(expected) && !given.contains(text), "{given}");
    }
    write_key(&file, &right.repeat(100), 0o600);
    assert!(refusal_with(&path, KeySource::BesideStore).contains("more than a key"));
    std::fs::remove_file(&file).unwrap();
    let words = refusal_with(&path, KeySource::BesideStore);
    assert!(words.contains("store.db.key") && words.contains("OBSTEWARD_STORE_KEY"), "{words}");
    assert!(!file.exists(), "a key was made for a store that has one");

    // The key itself may come from anywhere.
    let elsewhere = directory.path().join("elsewhere");
    write_key(&elsewhere, right.trim_end(), 0o400);
    for key in [KeySource::Given(SecretString::from(right.as_str())), KeySource::File(elsewhere)] {
        assert!(!format!("{key:?}").contains(right.trim_end()));
        let store = SqliteStore::open(&path, SqliteOptions { key, ..SqliteOptions::default() }).unwrap();
        assert_eq!(store.cluster(id(1)).await.unwrap().unwrap().password.expose_secret(), "s3cret");
    }
}

#[tokio::test]
async fn a_new_store_has_its_key_first_or_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let lost = KeySource::File(directory.path().join("no/such/directory/key"));
    assert!(refusal_with(&path, lost).contains("no/such/directory/key"));
    assert!(refusal_with(&path, KeySource::File(path.clone())).contains("the same name"));
    let bad = KeySource::Given(SecretString::from("bad"));
    assert!(refusal_with(&path, bad).contains("base64 of 32 bytes"));
    assert!(!path.exists());

    let key = KeySource::Given(new_key().unwrap());
    drop(SqliteStore::open(&path, SqliteOptions { key: key.clone(), ..SqliteOptions::default() }).unwrap());
    assert!(!directory.path().join("store.db.key").exists(), "a key that was given is not written");
    std::fs::remove_file(&path).unwrap();

    // A key file that is there is taken, and one that is made lasts.
    let file = directory.path().join("key");
    write_key(&file, new_key().unwrap().expose_secret(), 0o600);
    let there = std::fs::read(&file).unwrap();
    for (key, made) in [(KeySource::File(file.clone()), false), (KeySource::BesideStore, true)] {
        let options = || SqliteOptions { key: key.clone(), ..SqliteOptions::default() };
        drop(SqliteStore::open(&path, options()).unwrap());
        drop(SqliteStore::open(&path, options()).unwrap());
        assert_eq!(directory.path().join("store.db.key").exists(), made);
        std::fs::remove_file(&path).unwrap();
    }
    assert_eq!(std::fs::read(&file).unwrap(), there);
    let drafts =
        std::fs::read_dir(directory.path()).unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    assert_eq!(drafts.filter(|name| name.ends_with(".new")).count(), 0);
}

#[tokio::test]
async fn a_secret_that_was_moved_to_another_row_does_not_open() {
    let (directory, store) = sqlite();
    store.register(inventory::cluster(1), audit()).await.unwrap();
    store.register(inventory::cluster(2), audit()).await.unwrap();
    change(&*store, AccessChange::CreateUser(user("anna"))).await;
    for key in ["AKAKAKAK01", "AKAKAKAK02"] {
        change(&*store, super::access::new_key(key, 1001, "secret-of-the-key")).await;
    }
    let other = rusqlite::Connection::open(directory.path().join("store.db")).unwrap();
    other
        .execute_batch("UPDATE cluster SET password = (SELECT password FROM cluster WHERE id = 2) WHERE id = 1")
        .unwrap();
    let outcome = store.cluster(id(1)).await;
    assert!(matches!(&outcome, Err(StoreError::Damaged(words)) if words.contains("cluster/1/password")), "{outcome:?}");
    assert_eq!(store.cluster(id(2)).await.unwrap().unwrap().password.expose_secret(), "s3cret");
    assert!(store.clusters(&ClusterFilter::every(), Some(id(1)), 10).await.is_ok());
    other
        .execute_batch("UPDATE access_key SET secret = (SELECT secret FROM access_key WHERE id = 'AKAKAKAK01')")
        .unwrap();
    let outcome = store.access().await;
    assert!(
        matches!(&outcome, Err(StoreError::Damaged(words)) if words.contains("access_key/AKAKAKAK02/secret")),
        "{outcome:?}"
    );
}
