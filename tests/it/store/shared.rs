//! The suite over the shared store: every case in a database of its own, on a server of our own.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use obsteward::clock::{Clock, monotonic_now};
use obsteward::domain::ids::Revision;
use obsteward::domain::store_home::StoreHome;
use obsteward::store::access::{AccessChange, NewUser};
use obsteward::store::backup::Backups;
use obsteward::store::home::Located;
use obsteward::store::inventory::RegisterOutcome;
use obsteward::store::key_source::KeySource;
use obsteward::store::mysql::{MysqlOptions, MysqlStore, Schema, SchemaStep};
use obsteward::store::replicas::Replicas;
use obsteward::store::sqlite::{SqliteOptions, SqliteStore};
use obsteward::store::transfer::{Place, check_store, migrate, restored};
use obsteward::store::{CommitOutcome, Store, TaskFilter, WholeStore};
use secrecy::ExposeSecret;

use crate::support::PATIENCE;

use super::{CASES, Whole, append, at, closing, commit, creation, key, task_id};

/// Options for the store of this URL; its key lies in the directory.
pub fn options(url: &str, directory: &std::path::Path) -> MysqlOptions {
    let mut options = MysqlOptions::from_url(url).unwrap();
    options.key = KeySource::File(directory.join("store.key"));
    options
}

async fn conforms(on: &str, database: impl AsyncFn(&str) -> String) {
    let mut failed = Vec::new();
    let begun = monotonic_now();
    for case in CASES {
        let directory = tempfile::tempdir().unwrap();
        // The name of a database has at most 64 characters.
        let url = database(&case.name.chars().take(60).collect::<String>()).await;
        let began = monotonic_now();
        let run = async {
            let store = MysqlStore::open(options(&url, directory.path()), Clock::system()).await.expect("a new store");
            let opened = began.elapsed();
            (case.run)(store.clone()).await;
            store.close().await;
            opened
        };
        match AssertUnwindSafe(run).catch_unwind().await {
            Ok(opened) => {
                let millis = (began.elapsed() - opened).as_millis();
                println!("{on}: {} in {millis} ms ({} ms to make its tables)", case.name, opened.as_millis());
            }
            Err(_) => failed.push(case.name),
        }
    }
    println!("{on}: {} cases in {} ms", CASES.len(), begun.elapsed().as_millis());
    assert!(failed.is_empty(), "{on}: {failed:?}");
}

/// A store goes from a file into the database and back into a file, and is the same store everywhere until it is said
/// to have been restored.
async fn moves(url: String) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let options = options(&url, directory.path());
    let shared = || Place::Shared(Box::new(options.clone()));
    let sqlite = SqliteOptions { key: KeySource::File(path("store.key")), ..SqliteOptions::default() };
    let store = SqliteStore::open(path("first.db"), sqlite.clone()).unwrap();
    fill(&*store).await;
    let (id, content) = (store.store_id().to_owned(), content(&*store).await);
    let refused = migrate(&Place::File(path("first.db")), &shared()).await.unwrap_err().to_string();
    assert!(refused.contains("in use"), "{refused}");
    store.close().await;
    drop(store);
    migrate(&Place::File(path("first.db")), &shared()).await.unwrap();
    let refused = SqliteStore::open(path("first.db"), sqlite.clone()).err().unwrap().to_string();
    assert!(refused.contains("was moved to mysql://") && !refused.contains("password"), "{refused}");
    assert_eq!(check_store(&shared()).await.unwrap().findings, []);

    let store = MysqlStore::open(options.clone(), Clock::system()).await.unwrap();
    assert_eq!((store.store_id(), &self::content(&*store).await), (id.as_str(), &content));
    store.join().await.unwrap();
    let backup = store.back_up(at(9)).await.unwrap();
    std::io::copy(&mut &backup.file, &mut std::fs::File::create(path("backup.db")).unwrap()).unwrap();
    obsteward::store::sqlite::check_backup(&path("backup.db"), &id, backup.head.get()).unwrap();
    assert!(obsteward::store::sqlite::is_backup(&path("backup.db")));
    let renewing = async {
        loop {
            store.renew(0).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let (from, to) = (shared(), Place::File(path("second.db")));
    let refused = tokio::select! {
        moved = migrate(&from, &to) => moved.unwrap_err().to_string(),
        () = renewing => unreachable!(),
    };
    assert!(refused.contains("uses the store"), "{refused}");
    store.leave().await.unwrap();
    store.close().await;
    let renamed = restored(&shared()).await.unwrap();
    assert_eq!(renamed.former, id);
    migrate(&shared(), &Place::File(path("second.db"))).await.unwrap();
    let refused = MysqlStore::open(options.clone(), Clock::system()).await.err().unwrap().to_string();
    assert!(refused.contains("was moved to"), "{refused}");
    assert_eq!(check_store(&Place::File(path("second.db"))).await.unwrap().findings, []);
    let store = SqliteStore::open(path("second.db"), sqlite).unwrap();
    assert_eq!((store.store_id(), &self::content(&*store).await), (renamed.store_id.as_str(), &content));
    assert!(store.reserve_ids(1).await.unwrap() > 1 << 20);
    assert!(commit(&*store, creation(900, 9)).await != CommitOutcome::LockHeld { task: task_id(900) });
}

/// While replicas are replaced one by one, those of two versions work on one store; one that must not work on it any more is refused,
/// and keeps the new one from changing it while it lives.
async fn upgrades(url: String) {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&url, directory.path());
    let later = |sql: &'static str, readable_since| SchemaStep { sql, readable_since };
    let step = later("CREATE TABLE later (id BIGINT PRIMARY KEY); ALTER TABLE task ADD COLUMN later BIGINT", 1);
    let last = Schema::default().newest() + 2;
    let (second, third) =
        (Schema::default().followed_by(step), later("CREATE TABLE latest (id BIGINT PRIMARY KEY)", last));
    let opened = |schema: Schema| MysqlStore::open(MysqlOptions { schema, ..options.clone() }, Clock::system());

    let old = opened(Schema::default()).await.unwrap();
    old.join().await.unwrap();
    commit(&*old, creation(100, 1)).await;
    let new = opened(second.clone()).await.unwrap();
    new.join().await.unwrap();
    for (writer, reader, task) in [(&old, &new, 200), (&new, &old, 300)] {
        assert!(writer.renew(0).await.unwrap());
        commit(&**writer, creation(task, task)).await;
        let events = reader.events(task_id(task), Revision::ZERO, 10).await.unwrap();
        assert!(!events.is_empty());
    }
    // The new one drives what the old one has begun.
    old.leave().await.unwrap();
    let owned = new.owned_tasks().await.unwrap().into_iter().find(|owned| owned.task == task_id(100)).unwrap();
    assert_eq!(owned.owner, None);
    assert!(new.claim(&owned).await.unwrap().is_some());
    // And back: the older version is started again.
    old.close().await;
    let old = opened(Schema::default()).await.unwrap();
    old.join().await.unwrap();
    assert_eq!(check_store(&Place::Shared(Box::new(options.clone()))).await.unwrap().findings, []);

    let renewing = async {
        loop {
            old.renew(0).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let refused = tokio::select! {
        opened = opened(second.clone().followed_by(third)) => opened.err().unwrap().to_string(),
        () = renewing => unreachable!(),
    };
    assert!(refused.contains(&format!("cannot be brought to schema {last} while replica ")), "{refused}");
    new.leave().await.unwrap();
    // One that could not say that it ends.
    new.close().await;
    let newest = opened(second.followed_by(third)).await.unwrap();
    newest.join().await.unwrap();
    assert!(!old.renew(0).await.unwrap(), "it knows an older schema");
    for refused in [old.join().await.err(), opened(Schema::default()).await.err()] {
        let refused = refused.unwrap().to_string();
        let known = format!("has schema {last}, which needs an obsteward that knows schema {last}");
        assert!(refused.contains(&known), "{refused}");
    }
    assert!(newest.renew(0).await.unwrap());
    for store in [old, newest] {
        store.close().await;
    }
}

async fn fill(store: &dyn Whole) {
    let registered = store.register(super::inventory::cluster(1), super::audit()).await.unwrap();
    assert!(matches!(registered, RegisterOutcome::Done(_)));
    let new = NewUser { password_hash: Some("$argon2id$x'\\?".to_owned()), ..super::access::user("anna") };
    super::access::change(store, AccessChange::CreateUser(new)).await;
    super::access::change(store, super::access::new_key("AKID0001", 1001, "s3cret")).await;
    for id in 1..=1200 {
        commit(store, creation(id * 50, id)).await;
    }
    commit(store, append(100, 2, 1, "é'\\?\0\u{1a}")).await;
    let task = store.task(task_id(200)).await.unwrap().unwrap().task;
    commit(store, closing(&task)).await;
}

/// All that people see of it.
async fn content(store: &dyn Whole) -> String {
    let id = obsteward::domain::ids::ClusterId::new(1).unwrap();
    let tasks = store.list(&TaskFilter::default(), None, 5000).await.unwrap();
    let access = store.access().await.unwrap();
    format!(
        "{tasks:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        store.cluster(id).await.unwrap().map(|row| (row.identity, row.password.expose_secret().to_owned())),
        (store.servers(id).await.unwrap(), store.zones(id).await.unwrap(), store.hosts(id).await.unwrap()),
        (access.users, access.keys.iter().map(|key| key.secret.expose_secret().to_owned()).collect::<Vec<_>>()),
        super::audits(store).await,
        store.lock(&key(1)).await.unwrap(),
        store.head().await.unwrap(),
    )
}

/// Where the store lives, as it tells itself.
async fn home(url: String) -> StoreHome {
    let directory = tempfile::tempdir().unwrap();
    let store = MysqlStore::open(options(&url, directory.path()), Clock::system()).await.unwrap();
    // A server that has just started may take longer than a home is waited for.
    let known = async {
        loop {
            match store.home().await {
                StoreHome::NotKnown(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                home => return home,
            }
        }
    };
    let home = tokio::time::timeout(PATIENCE, known).await.expect("it does not tell where it lives");
    assert_eq!(store.home().await, home);
    store.close().await;
    home
}

mod mariadb {
    use super::{StoreHome, conforms, home, moves, upgrades};
    use crate::support::mariadb::Mariadb;

    #[tokio::test]
    #[ignore = "a lane of scripts/test runs it"]
    async fn it_is_in_no_cluster() {
        let server = Mariadb::start().await;
        assert_eq!(home(server.database("home").await).await, StoreHome::InNoCluster);
    }

    #[tokio::test]
    #[ignore = "a lane of scripts/test runs it"]
    async fn a_store_moves_in_and_out() {
        let server = Mariadb::start().await;
        moves(server.database("moves").await).await;
    }

    #[tokio::test]
    #[ignore = "a lane of scripts/test runs it"]
    async fn replicas_of_two_versions_share_a_store() {
        let server = Mariadb::start().await;
        upgrades(server.database("upgrades").await).await;
    }

    #[tokio::test]
    #[ignore = "a lane of scripts/test runs it"]
    async fn the_suite_holds() {
        let server = Mariadb::start().await;
        conforms("MariaDB", async |name| server.database(name).await).await;
    }
}

mod oceanbase {
    use obsteward::sim::NetClaim;

    use super::{StoreHome, conforms, home, moves, upgrades};
    use crate::e2e::real_engine::engine::{Engine, Release};
    use crate::support::mariadb::create_database;

    #[tokio::test]
    #[ignore = "needs a real OceanBase engine; a lane of scripts/test runs it"]
    async fn the_suite_holds() {
        let net = NetClaim::any().unwrap();
        let engine = Engine::start(Release::OfStore, net.address(250), "store").await;
        conforms("OceanBase", async |name| create_database(engine.address, name).await).await;
    }

    /// The one has tenants and says of which cluster it is, the other is without either.
    #[tokio::test]
    #[ignore = "needs a real OceanBase engine; a lane of scripts/test runs it"]
    async fn its_tenant_and_cluster_are_read() {
        let net = NetClaim::any().unwrap();
        let engine = Engine::start(Release::OfCluster, net.address(250), "tended").await;
        let StoreHome::Tenant(tenant) = home(create_database(engine.address, "home").await).await else {
            panic!("a release with tenants tells no tenant")
        };
        assert_eq!((tenant.tenant_id, tenant.cluster), (1, Ok(("tended".to_owned(), 1))));
        assert_eq!((tenant.answered_by.rpc_port(), tenant.endpoints), (2882, vec![engine.address]));
    }

    #[tokio::test]
    #[ignore = "needs a real OceanBase engine; a lane of scripts/test runs it"]
    async fn an_engine_without_tenants_is_in_no_cluster() {
        let net = NetClaim::any().unwrap();
        let engine = Engine::start(Release::OfStore, net.address(250), "store").await;
        assert_eq!(home(create_database(engine.address, "home").await).await, StoreHome::InNoCluster);
    }

    #[tokio::test]
    #[ignore = "needs a real OceanBase engine; a lane of scripts/test runs it"]
    async fn a_store_moves_in_and_out() {
        let net = NetClaim::any().unwrap();
        let engine = Engine::start(Release::OfStore, net.address(250), "store").await;
        moves(create_database(engine.address, "moves").await).await;
    }

    #[tokio::test]
    #[ignore = "needs a real OceanBase engine; a lane of scripts/test runs it"]
    async fn replicas_of_two_versions_share_a_store() {
        let net = NetClaim::any().unwrap();
        let engine = Engine::start(Release::OfStore, net.address(250), "store").await;
        upgrades(create_database(engine.address, "upgrades").await).await;
    }
}
