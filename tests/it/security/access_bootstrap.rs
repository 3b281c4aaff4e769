//! What the configuration wants of users, keys and roles, made at start.

use std::sync::Arc;

use obsteward::access::bootstrap::{
    Bootstrap, WantedKey, WantedPassword, WantedRole, WantedUser, bootstrap, has_administrator,
};
use obsteward::access::{Directory, password};
use obsteward::clock::Clock;
use obsteward::domain::call::Call;
use obsteward::domain::ids::UserId;
use obsteward::store::AuditOutcome;
use obsteward::store::access::{AccessChange, NewUser};
use secrecy::SecretString;

use crate::security::access::cheap_hash;
use crate::support::stored_rows::{disable, new_user};
use crate::support::temporary_store::TemporaryStore;

fn user(name: &str, role: &str, password: Option<WantedPassword>) -> WantedUser {
    WantedUser { name: name.to_owned(), roles: vec![role.to_owned()], password, certificate_names: Vec::new() }
}

fn key(id: &str, user: &str, secret: &str) -> WantedKey {
    WantedKey { id: id.to_owned(), user: user.to_owned(), secret: SecretString::from(secret) }
}

fn role(name: &str, permission: &str) -> WantedRole {
    WantedRole { name: name.to_owned(), permissions: vec![permission.to_owned()] }
}

#[tokio::test]
async fn what_is_missing_is_made_once_and_audited_without_secrets() {
    let store = Arc::new(TemporaryStore::new());
    let directory = Directory::open(store.clone()).await.unwrap();
    assert!(!has_administrator(&directory));
    let wanted = Bootstrap {
        roles: vec![role("NIGHT_SHIFT", "CLUSTER:7:UPDATE")],
        users: vec![
            user("admin", "ADMIN", Some(WantedPassword::Plain(SecretString::from("demo")))),
            WantedUser {
                certificate_names: vec!["dns:Ops.example.com".to_owned()],
                ..user("ops", "NIGHT_SHIFT", Some(WantedPassword::Hash(cheap_hash("hunter22"))))
            },
        ],
        keys: vec![key("AKAKAKAKAK01", "ops", "2fc0c299cc94c6be266f2ceece765d4d")],
    };
    let everything = ["role NIGHT_SHIFT", "user admin", "user ops", "access key AKAKAKAKAK01"];
    let report = bootstrap(&directory, wanted.clone(), &Clock::system()).await.unwrap();
    assert_eq!((report.made, report.kept), (everything.map(str::to_owned).to_vec(), vec![]));
    assert!(has_administrator(&directory));
    let admin = directory.user(&"admin".parse().unwrap()).unwrap();
    assert_eq!(admin.id, UserId::new(100).unwrap());
    assert_eq!(password::check_hash(&admin.password_hash.unwrap()), Ok(()));
    assert_eq!(directory.user(&"ops".parse().unwrap()).unwrap().certificate_names, ["DNS:ops.example.com"]);

    let audit = store.records();
    let calls: Vec<Call> = audit.iter().map(|record| record.call).collect();
    assert_eq!(calls, [Call::CreateRole, Call::CreateUser, Call::CreateUser, Call::CreateAccessKey]);
    for record in &audit {
        assert_eq!((record.principal.as_str(), record.address.as_str()), ("system", ""));
        assert_eq!(record.outcome, AuditOutcome::Accepted);
    }
    let shown = format!("{audit:?} {wanted:?}");
    assert!(!shown.contains("demo") && !shown.contains("2fc0c299"), "{shown}");

    let report = bootstrap(&directory, wanted, &Clock::system()).await.unwrap();
    assert_eq!((report.made, report.kept), (vec![], everything.map(str::to_owned).to_vec()));
    assert_eq!(store.records().len(), 4);
}

#[tokio::test]
async fn a_wrong_entry_is_named_and_nothing_is_made() {
    let admin = || user("admin", "ADMIN", None);
    let users = |users: Vec<WantedUser>| Bootstrap { users, ..Bootstrap::default() };
    let roles = |roles: Vec<WantedRole>| Bootstrap { roles, ..Bootstrap::default() };
    let keys = |keys: Vec<WantedKey>| Bootstrap { keys, users: vec![admin()], ..Bootstrap::default() };
    let certified = WantedUser { certificate_names: vec!["CN:eve".to_owned()], ..user("eve", "ADMIN", None) };
    let wrong_hash = Some(WantedPassword::Hash("hunter22".to_owned()));
    let empty = Some(WantedPassword::Plain(SecretString::from("")));
    let secret = "2fc0c299cc94c6be266f2ceece765d4d";
    for (wanted, said) in [
        (users(vec![admin(), user("e v e", "ADMIN", None)]), "user \"e v e\": \"e v e\" is not a user name"),
        (users(vec![admin(), user("eve", "NIGHT_SHIFT", None)]), "user eve: there is no role NIGHT_SHIFT"),
        (users(vec![admin(), admin()]), "user admin is wanted twice"),
        (users(vec![admin(), user("eve", "ADMIN", wrong_hash)]), "user \"eve\": the hash is not"),
        (users(vec![admin(), user("eve", "ADMIN", empty)]), "user \"eve\": a password has 1 to 512 bytes, not 0"),
        (users(vec![admin(), certified]), "user \"eve\": \"CN:eve\" names no client certificate"),
        (roles(vec![role("GOOD", "TASK:*:READ"), role("BAD", "CLUSTER:x:READ")]), "role \"BAD\": \"CLUSTER:x:READ\""),
        (roles(vec![role("ADMIN", "**")]), "role ADMIN is always there"),
        (keys(vec![key("AKAKAKAKAK01", "eve", secret)]), "access key AKAKAKAKAK01: there is no user eve"),
        (keys(vec![key("AK", "admin", secret)]), "access key \"AK\""),
        (keys(vec![key("AKAKAKAKAK01", "admin", "short")]), "access key \"AKAKAKAKAK01\": its secret has 5 bytes"),
    ] {
        let store = Arc::new(TemporaryStore::new());
        let directory = Directory::open(store.clone()).await.unwrap();
        let error = bootstrap(&directory, wanted, &Clock::system()).await.unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
        assert!(!error.contains("hunter22"), "{error}");
        assert!(store.records().is_empty(), "{said}");
    }
}

#[tokio::test]
async fn an_administrator_is_enabled_and_can_prove_it() {
    let admin = || NewUser { roles: vec!["ADMIN".parse().unwrap()], ..new_user("admin") };
    let with_password = || NewUser { password_hash: Some(cheap_hash("hunter22")), ..admin() };
    for (user, disabled, expected) in [
        (admin(), false, false),
        (with_password(), false, true),
        (NewUser { certificate_names: vec!["DNS:ops.example.com".to_owned()], ..admin() }, false, true),
        (with_password(), true, false),
        (NewUser { roles: vec!["CLUSTER_MANAGER".parse().unwrap()], ..with_password() }, false, false),
    ] {
        let shown = format!("{user:?} disabled={disabled}");
        let mut access = vec![AccessChange::CreateUser(user)];
        if disabled {
            access.push(disable(1001));
        }
        let store = Arc::new(TemporaryStore::with(access, []).await);
        let directory = Directory::open(store).await.unwrap();
        assert_eq!(has_administrator(&directory), expected, "{shown}");
    }
}
