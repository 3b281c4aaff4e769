//! Users, keys and roles: nobody gives away more than their own rights, somebody who may do everything is left, secrets are shown
//! once; and the same over the wire.

use obsteward::api::auth::Gatekeeper;
use obsteward::config::LimitsConfig;
use obsteward::domain::ids::{Principal, RoleName};
use obsteward::domain::refusal::Refusal;
use obsteward::net::bounds::ListenerLimits;
use obsteward::proto::v1;
use obsteward::proto::v1::admin_service_client::AdminServiceClient;
use obsteward::proto::v1::ob_server_service_client::ObServerServiceClient;
use obsteward::service::{
    CreateAccessKey, CreateRole, CreateUser, DeleteRole, ListAccessKeys, ListRoles, RotateAccessKey, SetPassword,
    UpdateAccessKey, UpdateUser,
};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use crate::support::guarded::Fixture;

fn role(name: &str) -> RoleName {
    name.parse().unwrap()
}

fn new_user(name: &str, roles: &[&str]) -> CreateUser {
    CreateUser {
        name: Principal::new(name),
        password: None,
        roles: roles.iter().map(|name| role(name)).collect(),
        certificate_names: Vec::new(),
    }
}

fn update(name: &str) -> UpdateUser {
    UpdateUser { name: Principal::new(name), roles: None, certificate_names: None, disabled: None }
}

fn roles(name: &str, roles: &[&str]) -> UpdateUser {
    UpdateUser { roles: Some(roles.iter().map(|name| role(name)).collect()), ..update(name) }
}

fn missing<T: std::fmt::Debug>(answer: Result<T, Refusal>) -> String {
    match answer {
        Err(Refusal::PermissionDenied { need, .. }) => need.to_string(),
        other => panic!("{other:?}"),
    }
}

fn reason<T: std::fmt::Debug>(answer: Result<T, Refusal>) -> &'static str {
    answer.unwrap_err().reason()
}

#[tokio::test]
async fn nobody_gives_what_he_does_not_have() {
    let fixture = Fixture::new(&[
        ("admin", &["**"]),
        ("staff", &["USER:*:*", "CLUSTER:1:*"]),
        ("plain", &["CLUSTER:1:READ"]),
        ("forcer", &["CLUSTER:1:FORCE"]),
    ])
    .await;
    let (staff, to) = (fixture.caller("staff"), &fixture.guarded);
    let name = |name: &str| Principal::new(name);
    // By a new user, by a new role, by oneself.
    assert_eq!(missing(to.call(&staff, new_user("evil", &["ADMIN"])).await), "CLUSTER:*:READ");
    assert_eq!(missing(to.call(&staff, new_user("evil", &["ROLE_3"])).await), "CLUSTER:1:FORCE");
    let everything = vec!["**".parse().unwrap()];
    assert_eq!(
        missing(to.call(&staff, CreateRole { name: role("EVIL"), permissions: everything }).await),
        "CLUSTER:*:READ"
    );
    let force = vec!["CLUSTER:1:FORCE".parse().unwrap()];
    assert_eq!(
        missing(to.call(&staff, CreateRole { name: role("EVIL"), permissions: force }).await),
        "CLUSTER:1:FORCE"
    );
    assert_eq!(missing(to.call(&staff, roles("staff", &["ROLE_1", "ADMIN"])).await), "CLUSTER:*:READ");
    assert_eq!(missing(to.call(&staff, roles("plain", &["CLUSTER_VIEWER"])).await), "CLUSTER:*:READ");
    // By becoming somebody who has it.
    for stronger in ["admin", "forcer"] {
        let lacks = if stronger == "admin" { "CLUSTER:*:READ" } else { "CLUSTER:1:FORCE" };
        let names = UpdateUser { certificate_names: Some(vec!["DNS:staff".to_owned()]), ..update(stronger) };
        assert_eq!(missing(to.call(&staff, names).await), lacks);
        let disable = UpdateUser { disabled: Some(true), ..update(stronger) };
        assert_eq!(missing(to.call(&staff, disable).await), lacks);
        assert_eq!(missing(to.call(&staff, roles(stronger, &[])).await), lacks);
        let password = SecretString::from("geheim99");
        assert_eq!(missing(to.call(&staff, SetPassword { name: name(stronger), password }).await), lacks);
        assert_eq!(missing(to.call(&staff, CreateAccessKey { user: Some(name(stronger)) }).await), lacks);
        let key = to.call(&fixture.caller(stronger), CreateAccessKey { user: None }).await.unwrap().row.id;
        assert_eq!(missing(to.call(&staff, RotateAccessKey(key.clone())).await), lacks);
        assert_eq!(missing(to.call(&staff, UpdateAccessKey { id: key, disabled: true }).await), lacks);
    }
    let before = fixture.directory.rows();
    assert_eq!((before.users.len(), before.roles.len(), before.keys.len()), (4, 4, 2), "nothing was made");
    // Their own rights they may give.
    let given = to.call(&staff, new_user("fine", &["ROLE_1"])).await.unwrap();
    assert_eq!(given.permissions.iter().map(ToString::to_string).collect::<Vec<_>>(), ["CLUSTER:1:*", "USER:*:*"]);
    to.call(&staff, CreateRole { name: role("FINE"), permissions: vec!["CLUSTER:1:UPDATE".parse().unwrap()] })
        .await
        .unwrap();
    to.call(&staff, roles("plain", &["FINE", "ROLE_2"])).await.unwrap();
    to.call(&staff, CreateAccessKey { user: Some(name("plain")) }).await.unwrap();
}

#[tokio::test]
async fn rights_that_were_taken_away_since_the_call_began_decide() {
    let fixture = Fixture::new(&[("admin", &["**"]), ("staff", &["USER:*:*"]), ("other", &["**"])]).await;
    let (admin, staff, to) = (fixture.caller("admin"), fixture.caller("staff"), &fixture.guarded);
    to.call(&admin, roles("staff", &[])).await.unwrap();
    assert_eq!(missing(to.call(&staff, new_user("late", &[])).await), "USER:*:CREATE");
    let other = fixture.caller("other");
    to.call(&admin, UpdateUser { disabled: Some(true), ..update("other") }).await.unwrap();
    assert_eq!(missing(to.call(&other, CreateAccessKey { user: None }).await), "USER:*:UPDATE");
    assert_eq!(missing(to.call(&other, new_user("late", &[])).await), "USER:*:CREATE");
}

#[tokio::test]
async fn somebody_who_may_do_everything_is_left() {
    let fixture =
        Fixture::new(&[("admin", &["**"]), ("second", &["**"]), ("off", &["**"]), ("staff", &["USER:*:*"])]).await;
    let (admin, to) = (fixture.caller("admin"), &fixture.guarded);
    let disable = |name: &str| UpdateUser { disabled: Some(true), ..update(name) };
    to.call(&admin, disable("off")).await.unwrap();
    to.call(&admin, disable("second")).await.unwrap();
    for change in [disable("admin"), roles("admin", &[]), roles("admin", &["CLUSTER_MANAGER", "TASK_MANAGER"])] {
        assert_eq!(reason(to.call(&admin, change).await), "LAST_ADMINISTRATOR");
    }
    assert_eq!(reason(to.call(&Fixture::anonymous(), disable("admin")).await), "LAST_ADMINISTRATOR");
    // Another role that is enough is enough.
    to.call(&admin, roles("admin", &["ADMIN"])).await.unwrap();
    to.call(&admin, UpdateUser { disabled: Some(false), ..update("second") }).await.unwrap();
    to.call(&admin, disable("admin")).await.unwrap();
    assert_eq!(reason(to.call(&fixture.caller("second"), roles("second", &[])).await), "LAST_ADMINISTRATOR");
    assert!(fixture.store.told().iter().any(|told| told == "second UPDATE_USER user second: LAST_ADMINISTRATOR"));
}

#[tokio::test]
async fn roles_that_are_always_there_stay_and_names_are_taken_once() {
    let fixture = Fixture::new(&[("admin", &["**"]), ("ops", &["TASK:*:READ"])]).await;
    let (admin, to) = (fixture.caller("admin"), &fixture.guarded);
    let read = || vec!["TASK:*:READ".parse().unwrap()];
    assert_eq!(reason(to.call(&admin, CreateRole { name: role("ADMIN"), permissions: read() }).await), "NAME_TAKEN");
    assert_eq!(reason(to.call(&admin, DeleteRole(role("TASK_VIEWER"))).await), "ROLE_FIXED");
    assert_eq!(reason(to.call(&admin, CreateRole { name: role("ROLE_1"), permissions: read() }).await), "NAME_TAKEN");
    match to.call(&admin, DeleteRole(role("ROLE_1"))).await {
        Err(Refusal::RoleFixed { why, .. }) => assert_eq!(why, "user ops has it"),
        other => panic!("{other:?}"),
    }
    assert_eq!(reason(to.call(&admin, DeleteRole(role("GONE"))).await), "ROLE_NOT_FOUND");
    assert_eq!(reason(to.call(&admin, roles("ops", &["GONE"])).await), "ROLE_NOT_FOUND");
    assert_eq!(reason(to.call(&admin, new_user("a", &["GONE"])).await), "ROLE_NOT_FOUND");
    for taken in ["ops", "anonymous", "system"] {
        assert_eq!(reason(to.call(&admin, new_user(taken, &[])).await), "NAME_TAKEN");
    }
    let names: Vec<String> =
        to.call(&admin, ListRoles).await.unwrap().iter().map(|role| role.name.to_string()).collect();
    let always = ["ADMIN", "CLUSTER_MANAGER", "CLUSTER_VIEWER", "TASK_MANAGER", "TASK_VIEWER"];
    assert_eq!((&names[..5], names.len()), (&always.map(String::from)[..], 7));
    assert_eq!((to.user_id(&Principal::new("ops")), to.user_id(&Principal::new("anonymous"))), (1002, 0));
}

#[tokio::test]
async fn keys_are_ones_own_and_their_secrets_differ() {
    let fixture = Fixture::new(&[("admin", &["**"]), ("ops", &[]), ("reader", &["USER:1002:READ"])]).await;
    let (ops, to) = (fixture.caller("ops"), &fixture.guarded);
    let one = to.call(&ops, CreateAccessKey { user: None }).await.unwrap();
    let other = to.call(&ops, CreateAccessKey { user: Some(Principal::new("ops")) }).await.unwrap();
    assert_eq!((one.row.id.as_str().len(), one.user.as_str()), (20, "ops"));
    let secret = |view: &obsteward::service::views::AccessKeyView| view.row.secret.expose_secret().to_owned();
    assert!(secret(&one).len() >= 32 && secret(&one) != secret(&other) && one.row.id != other.row.id);
    let rotated = to.call(&ops, RotateAccessKey(one.row.id.clone())).await.unwrap();
    assert_ne!(secret(&rotated), secret(&one));
    assert!(to.call(&ops, UpdateAccessKey { id: one.row.id.clone(), disabled: true }).await.unwrap().row.disabled);
    let admins = to.call(&fixture.caller("admin"), CreateAccessKey { user: None }).await.unwrap().row.id;
    let shown = async |name: &str, of: Option<&str>| -> Vec<String> {
        let views = to.call(&fixture.caller(name), ListAccessKeys { user: of.map(Principal::new) }).await.unwrap();
        views.iter().map(|view| view.user.to_string()).collect()
    };
    assert_eq!(shown("ops", None).await, ["ops", "ops"]);
    assert_eq!(shown("ops", Some("ops")).await, ["ops", "ops"]);
    assert_eq!(shown("reader", None).await, ["ops", "ops"]);
    assert_eq!(shown("reader", Some("ops")).await, ["ops", "ops"]);
    assert_eq!(shown("admin", None).await.len(), 3);
    assert_eq!(missing(to.call(&ops, ListAccessKeys { user: Some(Principal::new("admin")) }).await), "USER:*:READ");
    assert_eq!(missing(to.call(&ops, RotateAccessKey(admins)).await), "USER:*:UPDATE");
    assert_eq!(
        reason(to.call(&fixture.caller("admin"), ListAccessKeys { user: Some(Principal::new("no")) }).await),
        "USER_NOT_FOUND"
    );
    assert_eq!(reason(to.call(&Fixture::anonymous(), CreateAccessKey { user: None }).await), "USER_NOT_FOUND");
}

struct Wire {
    fixture: Fixture,
    channel: Channel,
    shutdown: CancellationToken,
}

impl Wire {
    /// Authentication is off: what is tested is the translation there and back.
    async fn new() -> Self {
        let (fixture, shutdown) = (Fixture::empty(&[("ops", &["TASK:*:READ"])], 3).await, CancellationToken::new());
        let (address, _) =
            fixture.serve(Gatekeeper::open(), ListenerLimits::from(&LimitsConfig::default()), &shutdown).await;
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { fixture, channel, shutdown }
    }

    fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

#[tokio::test]
async fn users_keys_and_roles_over_the_wire() {
    let wire = Wire::new().await;
    let mut admin = wire.admin();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let asked = v1::CreateRoleRequest {
        name: "OPS".to_owned(),
        permissions: names(&["TASK:*:*", "CLUSTER:1:UPDATE"]),
        ..Default::default()
    };
    let made = admin.create_role(asked).await.unwrap().into_inner().role.unwrap();
    assert_eq!((made.permissions, made.builtin), (names(&["CLUSTER:1:UPDATE", "TASK:*:*"]), false));
    assert!(made.create_time.is_some());
    let asked = v1::CreateUserRequest {
        name: "eve".to_owned(),
        password: "geheim99".to_owned(),
        roles: names(&["OPS"]),
        certificate_names: names(&["DNS:eve"]),
        ..Default::default()
    };
    let user = admin.create_user(asked).await.unwrap().into_inner().user.unwrap();
    assert_eq!((user.id, user.has_password, user.disabled, user.password_time.is_some()), (1002, true, false, true));
    assert_eq!((user.roles, user.permissions), (names(&["OPS"]), names(&["CLUSTER:1:UPDATE", "TASK:*:*"])));
    let asked = v1::UpdateUserRequest {
        name: "eve".to_owned(),
        roles: Some(v1::RoleNames::default()),
        certificate_names: None,
        disabled: Some(true),
        ..Default::default()
    };
    let changed = admin.update_user(asked).await.unwrap().into_inner().user.unwrap();
    assert_eq!((changed.roles, changed.certificate_names, changed.disabled), (vec![], names(&["DNS:eve"]), true));
    let password = |password: &str| v1::SetPasswordRequest {
        name: "eve".to_owned(),
        password: password.to_owned(),
        ..Default::default()
    };
    admin.set_password(password("geheim100")).await.unwrap();
    let asked = v1::CreateAccessKeyRequest { user: "eve".to_owned(), ..Default::default() };
    let made = admin.create_access_key(asked).await.unwrap().into_inner();
    let key = made.access_key.unwrap();
    assert_eq!((key.user.as_str(), made.secret.len()), ("eve", 40));
    let asked = v1::RotateAccessKeyRequest { id: key.id.clone(), ..Default::default() };
    let rotated = admin.rotate_access_key(asked).await.unwrap().into_inner();
    assert!(rotated.secret != made.secret && rotated.access_key.unwrap().id == key.id);
    let off = v1::UpdateAccessKeyRequest { id: key.id.clone(), disabled: true, ..Default::default() };
    assert!(admin.update_access_key(off).await.unwrap().into_inner().access_key.unwrap().disabled);
    let keys = admin.list_access_keys(v1::ListAccessKeysRequest::default()).await.unwrap().into_inner().access_keys;
    assert_eq!((keys.len(), keys[0].disabled), (1, true));
    admin.delete_role(v1::DeleteRoleRequest { name: "OPS".to_owned(), ..Default::default() }).await.unwrap();
    let roles = admin.list_roles(v1::ListRolesRequest::default()).await.unwrap().into_inner().roles;
    assert_eq!((roles.len(), roles[0].builtin, roles[5].builtin), (6, true, false));
    assert_eq!(admin.list_users(v1::ListUsersRequest::default()).await.unwrap().into_inner().users.len(), 2);

    let refused = admin.set_password(password("geheim")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "password");
    let asked = v1::UpdateAccessKeyRequest { id: "NoSuchKey9".to_owned(), disabled: true, ..Default::default() };
    let unknown = admin.update_access_key(asked).await;
    assert_eq!(unknown.unwrap_err().get_details_error_info().unwrap().reason, "ACCESS_KEY_NOT_FOUND");
}

#[tokio::test]
async fn the_audit_log_over_the_wire_is_paged_and_holds_invalid_requests() {
    let wire = Wire::new().await;
    let mut servers = ObServerServiceClient::new(wire.channel.clone());
    let invalid = v1::StopServerRequest { cluster_id: 1, server_id: -7, ..Default::default() };
    servers.stop_server(invalid).await.unwrap_err();
    for server_id in [70, 71] {
        servers
            .stop_server(v1::StopServerRequest { cluster_id: 1, server_id, ..Default::default() })
            .await
            .unwrap_err();
    }
    servers.stop_server(v1::StopServerRequest { cluster_id: 1, server_id: 8, ..Default::default() }).await.unwrap();
    let mut admin = wire.admin();
    let mut asked =
        v1::ListAuditRecordsRequest { page_size: 3, principal: "anonymous".to_owned(), ..Default::default() };
    let first = admin.list_audit_records(asked.clone()).await.unwrap().into_inner();
    let told = |record: &v1::AuditRecord| {
        format!("{} {} {} {:?} {}", record.id, record.operation, record.target, record.result(), record.refusal)
    };
    let expected = [
        "9 STOP_OB_SERVER cluster 1 server 8 (10.0.1.8:2882) Accepted ",
        "8 STOP_OB_SERVER cluster 1 server 71 Refused SERVER_NOT_FOUND",
        "7 STOP_OB_SERVER cluster 1 server 70 Refused SERVER_NOT_FOUND",
    ];
    assert_eq!(first.records.iter().map(told).collect::<Vec<_>>(), expected);
    let accepted = &first.records[0];
    assert_eq!(
        (accepted.cluster_id, accepted.task_id, accepted.principal.as_str()),
        (Some(1), Some(100_001), "anonymous")
    );
    assert!(accepted.address.starts_with("127.0.0.1:") && accepted.trace_id.len() == 32 && accepted.time.is_some());
    asked.page_token = first.next_page_token;
    let second = admin.list_audit_records(asked).await.unwrap().into_inner();
    assert_eq!(second.records.iter().map(told).collect::<Vec<_>>(), ["6 STOP_OB_SERVER  Refused INVALID_ARGUMENT"]);
    assert_eq!(
        (second.records[0].arguments.as_str(), second.next_page_token.as_str()),
        ("invalid_fields=server_id", "")
    );
    let refused = v1::ListAuditRecordsRequest { result: v1::AuditResult::Refused.into(), ..Default::default() };
    assert_eq!(admin.list_audit_records(refused).await.unwrap().into_inner().records.len(), 3);
    assert_eq!(wire.fixture.store.told().len(), 4, "reading the log is not in it");
}
