//! Users, keys, roles and the audit log: the access part of the conformance suite.

use std::sync::Arc;

use obsteward::domain::call::Call;
use obsteward::domain::ids::{AccessKeyId, ClusterId, Principal, RoleName, UserId};
use obsteward::domain::permission::Permission;
use obsteward::store::access::{AccessChange, AccessChangeOutcome, AuditFilter, NewUser};
use obsteward::store::{AuditOutcome, AuditRecord};
use secrecy::{ExposeSecret, SecretString};

use super::{Whole, at, audit, audits, task_id};

fn user_id(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

fn role(name: &str) -> RoleName {
    name.parse().unwrap()
}

fn key_id(id: &str) -> AccessKeyId {
    id.parse().unwrap()
}

pub fn user(name: &str) -> NewUser {
    NewUser {
        id: None,
        name: Principal::new(name),
        password_hash: None,
        roles: Vec::new(),
        certificate_names: Vec::new(),
    }
}

pub fn new_key(id: &str, user: i64, secret: &str) -> AccessChange {
    AccessChange::CreateKey { id: key_id(id), user: user_id(user), secret: SecretString::from(secret) }
}

fn taken(what: &'static str, name: &str) -> AccessChangeOutcome {
    AccessChangeOutcome::Taken { what, name: name.to_owned() }
}

/// At the version of now.
async fn change_at(store: &dyn Whole, change: AccessChange, record: AuditRecord) -> AccessChangeOutcome {
    let version = store.access().await.unwrap().version;
    store.change_access(change, record, version).await.unwrap().expect("nobody else changes anything")
}

pub async fn change(store: &dyn Whole, change: AccessChange) -> AccessChangeOutcome {
    change_at(store, change, AuditRecord { at: at(5), ..audit() }).await
}

pub async fn users_are_made_once_with_ids_from_1001(store: Arc<dyn Whole>) {
    let admin = NewUser {
        id: Some(user_id(100)),
        password_hash: Some("$argon2id$x".to_owned()),
        roles: vec![role("B"), role("A"), role("B")],
        certificate_names: vec!["DNS:b".to_owned(), "DNS:a".to_owned(), "DNS:b".to_owned()],
        ..user("admin")
    };
    // The counter passes over 1002, which was chosen before it came there.
    let chosen = NewUser { id: Some(user_id(1002)), ..user("chosen") };
    for new in [admin, chosen, user("anna"), user("bob")] {
        assert_eq!(change(&*store, AccessChange::CreateUser(new)).await, AccessChangeOutcome::Done);
    }
    let users = store.access().await.unwrap().users;
    let ids: Vec<_> = users.iter().map(|user| (user.id.get(), user.name.as_str())).collect();
    assert_eq!(ids, [(100, "admin"), (1001, "anna"), (1002, "chosen"), (1003, "bob")]);
    assert_eq!(users[0].roles, [role("A"), role("B")]);
    assert_eq!(users[0].certificate_names, ["DNS:a", "DNS:b"]);
    assert_eq!((users[0].password_hash.as_deref(), users[0].password_time), (Some("$argon2id$x"), Some(at(5))));
    assert_eq!((users[0].disabled, users[0].create_time), (false, at(5)));
    assert_eq!((users[1].password_hash.as_deref(), users[1].password_time), (None, None));
    assert!(!format!("{users:?}").contains("argon2id"));

    let refused = [
        (user("anna"), taken("user", "anna")),
        (NewUser { id: Some(user_id(1001)), ..user("carl") }, taken("user id", "1001")),
        (
            NewUser { certificate_names: vec!["DNS:c".to_owned(), "DNS:a".to_owned()], ..user("carl") },
            taken("certificate name", "DNS:a"),
        ),
    ];
    for (new, expected) in refused {
        assert_eq!(change(&*store, AccessChange::CreateUser(new)).await, expected);
    }
    // Neither rows nor records nor an id are left of what was refused.
    assert_eq!(store.access().await.unwrap().users, users);
    assert_eq!(audits(&*store).await.len(), 4);
    change(&*store, AccessChange::CreateUser(user("carl"))).await;
    assert_eq!(store.access().await.unwrap().users[4].id, user_id(1004));
}

pub async fn a_user_is_changed_in_part_and_a_certificate_proves_one_user(store: Arc<dyn Whole>) {
    let anna = NewUser { certificate_names: vec!["DNS:a".to_owned()], roles: vec![role("A")], ..user("anna") };
    let bob = NewUser { certificate_names: vec!["DNS:b".to_owned()], ..user("bob") };
    for new in [anna, bob] {
        change(&*store, AccessChange::CreateUser(new)).await;
    }
    let update = |user, certificate_names: Option<&[&str]>, disabled| AccessChange::UpdateUser {
        user: user_id(user),
        roles: None,
        certificate_names: certificate_names.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
        disabled,
    };
    let before = store.access().await.unwrap().users;
    let stolen = update(1001, Some(&["DNS:a", "DNS:b"]), Some(true));
    assert_eq!(change(&*store, stolen).await, taken("certificate name", "DNS:b"));
    assert_eq!(change(&*store, update(9, Some(&[]), Some(true))).await, AccessChangeOutcome::NotFound);
    let nobody = AccessChange::SetPassword { user: user_id(9), password_hash: "h".to_owned() };
    assert_eq!(change(&*store, nobody).await, AccessChangeOutcome::NotFound);
    assert_eq!(store.access().await.unwrap().users, before);
    assert_eq!(audits(&*store).await.len(), 2);

    assert_eq!(change(&*store, update(1002, None, Some(true))).await, AccessChangeOutcome::Done);
    let [anna, bob] = &store.access().await.unwrap().users[..] else { panic!("two users") };
    assert_eq!((anna, bob.disabled, &bob.certificate_names[..]), (&before[0], true, &["DNS:b".to_owned()][..]));
    // What one gives up, another may have; what is one's own stays.
    assert_eq!(change(&*store, update(1002, Some(&[]), None)).await, AccessChangeOutcome::Done);
    assert_eq!(change(&*store, update(1001, Some(&["DNS:b", "DNS:a"]), None)).await, AccessChangeOutcome::Done);
    let roles =
        AccessChange::UpdateUser { user: user_id(1001), roles: Some(vec![]), certificate_names: None, disabled: None };
    assert_eq!(change(&*store, roles).await, AccessChangeOutcome::Done);
    let password = AccessChange::SetPassword { user: user_id(1001), password_hash: "new".to_owned() };
    assert!(!format!("{password:?}").contains("new"));
    assert_eq!(change(&*store, password).await, AccessChangeOutcome::Done);
    let [anna, bob] = &store.access().await.unwrap().users[..] else { panic!("two users") };
    assert_eq!((anna.certificate_names.len(), anna.roles.len(), bob.certificate_names.len()), (2, 0, 0));
    assert_eq!((anna.password_hash.as_deref(), anna.password_time), (Some("new"), Some(at(5))));
    assert!(bob.disabled);
}

pub async fn sessions_are_ended_one_by_one_and_all_at_once(store: Arc<dyn Whole>) {
    for name in ["anna", "bob"] {
        change(&*store, AccessChange::CreateUser(user(name))).await;
    }
    let (anna, bob) = (user_id(1001), user_id(1002));
    let one = |user, issued, expires| AccessChange::EndSession { user, issued: at(issued), expires: at(expires) };
    let all = |user, until| AccessChange::EndSessions { user, issued_until: at(until) };
    let ended = async || {
        let rows = store.access().await.unwrap();
        let is_ended = |user, issued| rows.is_ended(user, at(issued));
        ([1, 2, 3, 4].map(|issued| is_ended(anna, issued)), [1, 2].map(|issued| is_ended(bob, issued)))
    };
    let nobody = user_id(1009);
    assert_eq!(change(&*store, one(nobody, 1, 9)).await, AccessChangeOutcome::NotFound);
    assert_eq!(change(&*store, all(nobody, 1)).await, AccessChangeOutcome::NotFound);
    // All changes take place at 5; one that is ended twice is ended.
    for change_of in [one(anna, 2, 100), one(anna, 2, 100), one(anna, 4, 5), one(bob, 1, 100)] {
        assert_eq!(change(&*store, change_of).await, AccessChangeOutcome::Done);
    }
    assert_eq!(ended().await, ([false, true, false, true], [true, false]));
    // What has expired holds nowhere, and is not kept for ever.
    change(&*store, one(anna, 1, 100)).await;
    assert_eq!(ended().await, ([true, true, false, false], [true, false]));
    change(&*store, all(anna, 3)).await;
    assert_eq!(ended().await, ([true, true, true, false], [true, false]));
    // By a clock that is behind.
    change(&*store, all(anna, 1)).await;
    assert_eq!(ended().await, ([true, true, true, false], [true, false]));
    let kept: Vec<_> = store.access().await.unwrap().ended_sessions;
    assert_eq!(kept.len(), 2, "{kept:?}");
}

pub async fn a_user_that_is_disabled_has_no_session_left(store: Arc<dyn Whole>) {
    change(&*store, AccessChange::CreateUser(user("anna"))).await;
    for disabled in [true, false] {
        let (roles, certificate_names, disabled) = (None, None, Some(disabled));
        let update = AccessChange::UpdateUser { user: user_id(1001), roles, certificate_names, disabled };
        assert_eq!(change(&*store, update).await, AccessChangeOutcome::Done);
    }
    let rows = store.access().await.unwrap();
    let ended = |seconds| rows.is_ended(user_id(1001), at(seconds));
    assert!(!rows.users[0].disabled && ended(5) && !ended(6), "{rows:?}");
}

pub async fn a_key_is_made_for_a_user_disabled_and_rotated(store: Arc<dyn Whole>) {
    assert_eq!(change(&*store, new_key("AKAKAKAK01", 1001, "s1")).await, AccessChangeOutcome::NotFound);
    change(&*store, AccessChange::CreateUser(user("anna"))).await;
    assert_eq!(change(&*store, new_key("AKAKAKAK02", 1001, "s2")).await, AccessChangeOutcome::Done);
    assert_eq!(change(&*store, new_key("AKAKAKAK01", 1001, "s1")).await, AccessChangeOutcome::Done);
    assert_eq!(change(&*store, new_key("AKAKAKAK01", 1001, "s3")).await, taken("access key", "AKAKAKAK01"));
    let keys = store.access().await.unwrap().keys;
    let shown: Vec<_> =
        keys.iter().map(|key| (key.id.as_str(), key.secret.expose_secret(), key.disabled, key.user.get())).collect();
    assert_eq!(shown, [("AKAKAKAK01", "s1", false, 1001), ("AKAKAKAK02", "s2", false, 1001)]);
    assert!(!format!("{keys:?}").contains("s1"));

    let id = key_id("AKAKAKAK02");
    let disable = AccessChange::UpdateKey { id: id.clone(), disabled: true };
    assert_eq!(change(&*store, disable).await, AccessChangeOutcome::Done);
    let rotate = AccessChange::RotateKey { id, secret: SecretString::from("s4") };
    assert!(!format!("{rotate:?}").contains("s4"));
    let later = AuditRecord { at: at(9), ..audit() };
    assert_eq!(change_at(&*store, rotate, later).await, AccessChangeOutcome::Done);
    let key = store.access().await.unwrap().keys.remove(1);
    assert_eq!((key.secret.expose_secret(), key.disabled), ("s4", true));
    assert_eq!((key.create_time, key.rotate_time), (at(5), at(9)));
    let gone = key_id("AKAKAKAK09");
    let disable = AccessChange::UpdateKey { id: gone.clone(), disabled: true };
    assert_eq!(change(&*store, disable).await, AccessChangeOutcome::NotFound);
    let rotate = AccessChange::RotateKey { id: gone, secret: SecretString::from("s") };
    assert_eq!(change(&*store, rotate).await, AccessChangeOutcome::NotFound);
    assert_eq!(audits(&*store).await.len(), 5);
}

pub async fn a_role_is_removed_only_when_nobody_has_it(store: Arc<dyn Whole>) {
    let permissions: Vec<Permission> =
        ["TASK:*:READ", "CLUSTER:7:FORCE", "CLUSTER:7:*", "TASK:*:READ"].map(|text| text.parse().unwrap()).into();
    let create = AccessChange::CreateRole { name: role("OPERATOR"), permissions };
    assert_eq!(change(&*store, create.clone()).await, AccessChangeOutcome::Done);
    assert_eq!(change(&*store, create).await, taken("role", "OPERATOR"));
    let roles = store.access().await.unwrap().roles;
    let texts: Vec<_> = roles[0].permissions.iter().map(Permission::to_string).collect();
    assert_eq!(texts.len(), 3);
    assert!(roles[0].permissions.is_sorted() && texts.contains(&"CLUSTER:7:FORCE".to_owned()), "{texts:?}");
    assert_eq!((roles[0].name.as_str(), roles[0].create_time), ("OPERATOR", at(5)));

    for name in ["anna", "bob"] {
        let user = NewUser { roles: vec![role("OPERATOR")], ..user(name) };
        change(&*store, AccessChange::CreateUser(user)).await;
    }
    let delete = AccessChange::DeleteRole { name: role("OPERATOR") };
    let in_use = AccessChangeOutcome::RoleInUse { user: Principal::new("anna") };
    assert_eq!(change(&*store, delete.clone()).await, in_use);
    assert_eq!(store.access().await.unwrap().roles, roles);
    for user in [1001, 1002] {
        let (user, roles) = (user_id(user), Some(Vec::new()));
        change(&*store, AccessChange::UpdateUser { user, roles, certificate_names: None, disabled: None }).await;
    }
    assert_eq!(change(&*store, delete.clone()).await, AccessChangeOutcome::Done);
    assert_eq!(store.access().await.unwrap().roles, []);
    assert_eq!(change(&*store, delete).await, AccessChangeOutcome::NotFound);
    assert_eq!(audits(&*store).await.len(), 6);
}

pub async fn the_audit_log_is_read_by_every_filter_from_the_newest_on(store: Arc<dyn Whole>) {
    let cluster = |id| Some(ClusterId::new(id).unwrap());
    let refused = AuditOutcome::Refused { reason: "PERMISSION_DENIED".to_owned() };
    let records = [
        AuditRecord { cluster: cluster(7), task: Some(task_id(100)), ..audit() },
        AuditRecord { at: at(1), principal: Principal::new("bob"), call: Call::RetryTask, ..audit() },
        AuditRecord { at: at(2), cluster: cluster(8), outcome: refused, ..audit() },
        AuditRecord { at: at(3), cluster: cluster(7), ..audit() },
        // The clock went back.
        AuditRecord { at: at(-9), task: Some(task_id(200)), ..audit() },
    ];
    for record in &records {
        store.record(record.clone()).await.unwrap();
    }
    let found = async |filter: AuditFilter, below: Option<i64>, limit: u32| -> Vec<usize> {
        let found = store.audit_records(&filter, below, limit).await.unwrap();
        let index = |record: &AuditRecord| records.iter().position(|one| one == record).unwrap();
        found.iter().map(|stored| index(&stored.record)).collect()
    };
    let any = AuditFilter::default;
    assert_eq!(found(any(), None, 10).await, [4, 3, 2, 1, 0]);
    assert_eq!(found(any(), None, 2).await, [4, 3]);
    let second = store.audit_records(&any(), None, 2).await.unwrap()[1].id;
    assert_eq!(found(any(), Some(second), 2).await, [2, 1]);
    assert_eq!(found(AuditFilter { principal: Some(Principal::new("bob")), ..any() }, None, 10).await, [1]);
    assert_eq!(found(AuditFilter { call: Some(Call::RetryTask), ..any() }, None, 10).await, [1]);
    assert_eq!(found(AuditFilter { task: Some(task_id(100)), ..any() }, None, 10).await, [0]);
    assert_eq!(found(AuditFilter { cluster: cluster(7), ..any() }, None, 10).await, [3, 0]);
    assert_eq!(found(AuditFilter { cluster: cluster(7), ..any() }, Some(second), 10).await, [0]);
    assert_eq!(found(AuditFilter { refused: Some(true), ..any() }, None, 10).await, [2]);
    assert_eq!(found(AuditFilter { refused: Some(false), ..any() }, None, 10).await, [4, 3, 1, 0]);
    assert_eq!(found(AuditFilter { since: Some(at(1)), ..any() }, None, 10).await, [3, 2, 1]);
    assert_eq!(found(AuditFilter { since: Some(at(99)), ..any() }, None, 10).await, [0; 0]);
    let both = AuditFilter { cluster: cluster(7), since: Some(at(1)), refused: Some(false), ..any() };
    assert_eq!(found(both, None, 10).await, [3]);
}
