//! Users, access keys, roles and the audit log as an administrator meets them: the real program against a service that
//! authenticates every caller. No cluster is needed for that.

use std::path::PathBuf;

use obsteward::app::App;
use obsteward::clock::Clock;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::program::{Ended, end_of, obsteward};
use crate::support::{callers, config};

const ADMIN: (&str, &str) = ("admin", "first password");
const BOB: (&str, &str) = ("bob", "second password");
const BOB_LATER: (&str, &str) = ("bob", "third password");

/// A service with one administrator; it ends with this value.
struct Office {
    url: String,
    folder: TempDir,
    _end: DropGuard,
}

impl Office {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        config.auth.enabled = true;
        let password_file = folder.path().join("admin.password");
        std::fs::write(&password_file, ADMIN.1).unwrap();
        config.auth.users = vec![callers::user(ADMIN.0, "ADMIN", &password_file)];
        let app = App::build(&config, Clock::system()).await.unwrap();
        let url = format!("http://{}", app.address());
        let shutdown = CancellationToken::new();
        tokio::spawn(app.run(shutdown.clone()));
        Self { url, folder, _end: shutdown.drop_guard() }
    }

    async fn run(&self, (user, password): (&str, &str), line: &str) -> Ended {
        let mut command = obsteward(line);
        command.envs([("OBSTEWARD_USER", user), ("OBSTEWARD_PASSWORD", password)]).args(["--server", &self.url]);
        end_of(command).await
    }

    fn password(&self, text: &str) -> PathBuf {
        let file = self.folder.path().join("new.password");
        std::fs::write(&file, format!("{text}\n")).unwrap();
        file
    }
}

#[track_caller]
fn refused(ended: Ended, reason: &str) {
    let ended = ended.with(3);
    assert!(ended.err.contains(reason) && ended.out.is_empty(), "not {reason}: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_keys_and_roles_are_managed_and_what_was_asked_is_recorded() {
    let office = Office::open().await;
    let roles = office.run(ADMIN, "role list --output json").await.with(0).json();
    let roles: Vec<&str> = roles["roles"].as_array().unwrap().iter().filter_map(|role| role["name"].as_str()).collect();
    assert!(roles.contains(&"ADMIN") && roles.contains(&"CLUSTER_VIEWER"), "{roles:?}");
    let make = "role create STOPPER CLUSTER:7:READ CLUSTER:7:UPDATE";
    assert!(office.run(ADMIN, make).await.with(0).out.contains("CLUSTER:7:READ, CLUSTER:7:UPDATE"));
    refused(office.run(ADMIN, make).await, "NAME_TAKEN");

    let file = office.password(BOB.1);
    let make = format!("user create bob --role STOPPER --new-password-file {} --output json", file.display());
    let bob = office.run(ADMIN, &make).await.with(0).json();
    assert_eq!(
        (&bob["has_password"], &bob["permissions"]),
        (&true.into(), &serde_json::json!(["CLUSTER:7:READ", "CLUSTER:7:UPDATE"]))
    );
    let shown = office.run(ADMIN, "user show bob").await.with(0);
    assert!(shown.out.contains("bob") && shown.out.contains("STOPPER"), "{shown:?}");

    // They may do what their role says, and nothing else; one cluster that is not there is like the other.
    refused(office.run(BOB, "stop 7 1").await, "NOT_FOUND");
    refused(office.run(BOB, "stop 8 1").await, "PERMISSION_DENIED");
    refused(office.run(BOB, "user list").await, "PERMISSION_DENIED");
    refused(office.run(BOB, "user update bob --role ADMIN").await, "PERMISSION_DENIED");
    refused(office.run(BOB, "audit").await, "PERMISSION_DENIED");

    // Their own password and keys are theirs.
    let file = office.password(BOB_LATER.1);
    office.run(BOB, &format!("user rotate bob --new-password-file {}", file.display())).await.with(0);
    refused(office.run(BOB, "key list").await, "UNAUTHENTICATED");
    let key = office.run(BOB_LATER, "key create --output json").await.with(0).json();
    let (id, secret) = (key["access_key"]["id"].as_str().unwrap(), key["secret"].as_str().unwrap());
    let rotated = office.run(BOB_LATER, &format!("key rotate {id} --output json")).await.with(0).json();
    assert_eq!(rotated["access_key"]["id"], id);
    assert_ne!(rotated["secret"], secret);
    assert!(office.run(BOB_LATER, &format!("key disable {id}")).await.with(0).out.contains("disabled"));
    let keys = office.run(ADMIN, "key list bob --output json").await.with(0);
    assert_eq!((&keys.json()["access_keys"][0]["disabled"], keys.out.contains("secret")), (&true.into(), false));
    assert!(office.run(BOB_LATER, &format!("key enable {id}")).await.with(0).out.contains("enabled"));

    office.run(ADMIN, "user disable bob").await.with(0);
    refused(office.run(BOB_LATER, "key list").await, "UNAUTHENTICATED");
    office.run(ADMIN, "user enable bob").await.with(0);
    office.run(BOB_LATER, "key list").await.with(0);
    refused(office.run(ADMIN, "user disable admin").await, "LAST_ADMINISTRATOR");
    refused(office.run(ADMIN, "role delete STOPPER").await, "ROLE_FIXED");
    assert!(office.run(ADMIN, "user update bob --no-roles").await.with(0).out.contains("none"));
    office.run(ADMIN, "role delete STOPPER").await.with(0);

    // Allowed or refused, it is on record, and no secret with it.
    let audit = office.run(ADMIN, "audit --limit 100 --output json").await.with(0);
    for hidden in [ADMIN.1, BOB.1, BOB_LATER.1, secret, rotated["secret"].as_str().unwrap()] {
        assert!(!audit.out.contains(hidden), "a secret is on record: {audit:?}");
    }
    let records = audit.json();
    let found = |principal: &str, operation: &str, result: &str, refusal: &str| {
        let fits = |record: &&Value| {
            record["principal"] == principal
                && record["operation"] == operation
                && record["result"] == result
                && record["refusal"] == refusal
        };
        let count = records["records"].as_array().unwrap().iter().filter(fits).count();
        assert_eq!(count, 1, "{principal} {operation} {result} {refusal} in {records:#}");
    };
    found("admin", "CREATE_ROLE", "AUDIT_RESULT_ACCEPTED", "");
    found("admin", "CREATE_ROLE", "AUDIT_RESULT_REFUSED", "NAME_TAKEN");
    found("bob", "UPDATE_USER", "AUDIT_RESULT_REFUSED", "PERMISSION_DENIED");
    found("bob", "SET_PASSWORD", "AUDIT_RESULT_ACCEPTED", "");
    found("bob", "ROTATE_ACCESS_KEY", "AUDIT_RESULT_ACCEPTED", "");
    found("admin", "DELETE_ROLE", "AUDIT_RESULT_REFUSED", "ROLE_FIXED");
    let line = "audit --principal bob --refused --operation update-user --since 1h --output json";
    let chosen = office.run(ADMIN, line).await.with(0).json();
    assert_eq!((chosen["records"].as_array().unwrap().len(), &chosen["more"]), (1, &false.into()));
    let text = office.run(ADMIN, "audit --limit 2").await.with(0);
    assert!(text.out.lines().count() == 3 && text.err.contains("more than 2 records"), "{text:?}");
}
