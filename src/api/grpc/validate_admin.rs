//! Requests about users, keys, roles and the audit log, translated into the service's arguments with everything that is
//! wrong collected. Passwords are never repeated in what is wrong.

use std::net::IpAddr;

use secrecy::SecretString;

use crate::api::grpc::fields::{Fields, LONGEST_NAME, shortened};
use crate::api::grpc::page::{self, Listing, Paging};
use crate::domain::call::Call;
use crate::domain::ids::{AccessKeyId, ClusterId, Principal, RoleName, TaskId};
use crate::domain::permission::Permission;
use crate::domain::refusal::Refusal;
use crate::notify::TargetView;
use crate::proto::v1;
use crate::service::views::{AccessKeyView, RoleView, UserView};
use crate::service::{
    CreateAccessKey, CreateRole, CreateUser, ListAccessKeys, ListAuditRecords, ReplicaView, SetPassword,
    UpdateAccessKey, UpdateUser,
};
use crate::store::access::AuditFilter;

/// Shortest password, in bytes.
pub const SHORTEST_PASSWORD: usize = 8;
/// Most roles of a user, certificate names of a user, and permissions of a role.
pub const MOST_GIVEN: usize = 100;
/// Longest certificate name, in bytes: a kind, a colon and a DNS name or URI.
pub const LONGEST_CERTIFICATE_NAME: usize = 512;

pub fn create_user(request: v1::CreateUserRequest) -> Result<CreateUser, Refusal> {
    let mut fields = Fields::default();
    let name = fields.parse::<Principal>("name", &request.name);
    let password = (!request.password.is_empty()).then(|| password(&mut fields, request.password));
    let roles = role_names(&mut fields, "roles", &request.roles);
    let certificate_names = certificate_names(&mut fields, "certificate_names", request.certificate_names);
    let Some(name) = name else { return Err(fields.refusal()) };
    fields.finish(CreateUser { name, password, roles, certificate_names })
}

pub fn update_user(request: v1::UpdateUserRequest) -> Result<UpdateUser, Refusal> {
    let mut fields = Fields::default();
    let name = fields.parse::<Principal>("name", &request.name);
    let roles = request.roles.map(|roles| role_names(&mut fields, "roles.names", &roles.names));
    let names = request.certificate_names;
    let certificate_names = names.map(|names| certificate_names(&mut fields, "certificate_names.names", names.names));
    let disabled = request.disabled;
    if roles.is_none() && certificate_names.is_none() && disabled.is_none() {
        fields.wrong("name", "is all that is given, give what to change: roles, certificate_names or disabled");
    }
    let Some(name) = name else { return Err(fields.refusal()) };
    fields.finish(UpdateUser { name, roles, certificate_names, disabled })
}

pub fn set_password(request: v1::SetPasswordRequest) -> Result<SetPassword, Refusal> {
    let mut fields = Fields::default();
    let name = fields.parse::<Principal>("name", &request.name);
    let password = password(&mut fields, request.password);
    let Some(name) = name else { return Err(fields.refusal()) };
    fields.finish(SetPassword { name, password })
}

/// CreateAccessKey; without a user, for the caller.
pub fn create_access_key(request: &v1::CreateAccessKeyRequest) -> Result<CreateAccessKey, Refusal> {
    let mut fields = Fields::default();
    let user = fields.optional("user", &request.user);
    fields.finish(CreateAccessKey { user })
}

pub fn update_access_key(request: &v1::UpdateAccessKeyRequest) -> Result<UpdateAccessKey, Refusal> {
    access_key(&request.id).map(|id| UpdateAccessKey { id, disabled: request.disabled })
}

pub fn list_access_keys(request: &v1::ListAccessKeysRequest) -> Result<ListAccessKeys, Refusal> {
    let mut fields = Fields::default();
    let user = fields.optional("user", &request.user);
    fields.finish(ListAccessKeys { user })
}

/// Id of an access key.
pub fn access_key(id: &str) -> Result<AccessKeyId, Refusal> {
    let mut fields = Fields::default();
    let key = fields.parse("id", id);
    key.ok_or_else(|| fields.refusal())
}

pub fn create_role(request: &v1::CreateRoleRequest) -> Result<CreateRole, Refusal> {
    let mut fields = Fields::default();
    let name = fields.parse::<RoleName>("name", &request.name);
    if request.permissions.is_empty() {
        fields.wrong("permissions", "is required, give at least one, for example CLUSTER:*:READ");
    }
    let permissions = parsed::<Permission>(&mut fields, "permissions", &request.permissions);
    let Some(name) = name else { return Err(fields.refusal()) };
    fields.finish(CreateRole { name, permissions })
}

/// DeleteRole.
pub fn role_name(name: &str) -> Result<RoleName, Refusal> {
    let mut fields = Fields::default();
    let role = fields.parse("name", name);
    role.ok_or_else(|| fields.refusal())
}

/// ListAuditRecords; the limit is one more than the page.
pub fn list_audit(request: &v1::ListAuditRecordsRequest) -> Result<(ListAuditRecords, Paging), Refusal> {
    let mut fields = Fields::default();
    // Of callers that authentication named, also when no user may have such a name now.
    let principal = fields.text("principal", request.principal.clone(), LONGEST_NAME);
    let call = fields.optional::<Call>("operation", &request.operation);
    let task = fields.optional_id("task_id", request.task_id, TaskId::new);
    let cluster = fields.optional_id("cluster_id", request.cluster_id, ClusterId::new);
    let refused = match fields.known("result", request.result) {
        Some(v1::AuditResult::Accepted) => Some(false),
        Some(v1::AuditResult::Refused) => Some(true),
        Some(v1::AuditResult::Unspecified) | None => None,
    };
    let since = fields.moment("since", request.since);
    let size = fields.page_size(request.page_size, 100);
    let listing = Listing::new("audit", &[&principal, &call, &task, &cluster, &refused, &since]);
    let below = listing.position(&mut fields, &request.page_token);
    let principal = (!principal.is_empty()).then(|| Principal::new(principal));
    let filter = AuditFilter { principal, call, task, cluster, refused, since };
    fields.finish((ListAuditRecords { filter, below, limit: size + 1 }, Paging { listing, size }))
}

/// Items of a page, and the token of the next one.
type Page<T> = (Vec<T>, String);

pub fn page_of_users(request: &v1::ListUsersRequest, all: Vec<UserView>) -> Result<Page<UserView>, Refusal> {
    let mut fields = Fields::default();
    let size = fields.page_size(request.page_size, 100);
    let name = |view: &UserView| format!("{:016x}", view.row.id.get());
    let listing = Listing::new("users", &[]);
    let page = page::of_named(&mut fields, listing, (size, &request.page_token), all, name);
    fields.finish(page)
}

pub fn page_of_access_keys(
    request: &v1::ListAccessKeysRequest,
    all: Vec<AccessKeyView>,
) -> Result<Page<AccessKeyView>, Refusal> {
    let mut fields = Fields::default();
    let size = fields.page_size(request.page_size, 100);
    let listing = Listing::new("access_keys", &[&request.user]);
    let page = page::of_named(&mut fields, listing, (size, &request.page_token), all, |view| view.row.id.to_string());
    fields.finish(page)
}

/// A page of ListRoles. Those that are always there come first, in an order of their own.
pub fn page_of_roles(request: &v1::ListRolesRequest, all: Vec<RoleView>) -> Result<Page<RoleView>, Refusal> {
    let mut fields = Fields::default();
    let size = fields.page_size(request.page_size, 100);
    let name = |view: &RoleView| format!("{}{}", if view.create_time.is_none() { "!" } else { "" }, view.name);
    let listing = Listing::new("roles", &[]);
    let page = page::of_named(&mut fields, listing, (size, &request.page_token), all, name);
    fields.finish(page)
}

pub fn page_of_replicas(
    request: &v1::ListReplicasRequest,
    all: Vec<ReplicaView>,
) -> Result<Page<ReplicaView>, Refusal> {
    let mut fields = Fields::default();
    let size = fields.page_size(request.page_size, 100);
    let id = |view: &ReplicaView| format!("{:016x}", view.row.id.get());
    let page = page::of_named(&mut fields, Listing::new("replicas", &[]), (size, &request.page_token), all, id);
    fields.finish(page)
}

pub fn page_of_notification_targets(
    request: &v1::ListNotificationTargetsRequest,
    all: Vec<TargetView>,
) -> Result<Page<TargetView>, Refusal> {
    let mut fields = Fields::default();
    let size = fields.page_size(request.page_size, 100);
    let name = |view: &TargetView| view.target.name.clone();
    let listing = Listing::new("notification targets", &[]);
    let page = page::of_named(&mut fields, listing, (size, &request.page_token), all, name);
    fields.finish(page)
}

fn password(fields: &mut Fields, password: String) -> SecretString {
    if password.len() < SHORTEST_PASSWORD {
        fields.wrong("password", format!("is shorter than {SHORTEST_PASSWORD} bytes"));
    }
    SecretString::from(fields.secret("password", password))
}

fn role_names(fields: &mut Fields, field: &str, names: &[String]) -> Vec<RoleName> {
    parsed(fields, field, names)
}

/// Values that are names or permissions; ascending, each once.
fn parsed<T: std::str::FromStr<Err: std::fmt::Display> + Ord>(
    fields: &mut Fields,
    field: &str,
    given: &[String],
) -> Vec<T> {
    if given.len() > MOST_GIVEN {
        fields.wrong(field, format!("has {} values, at most {MOST_GIVEN} are allowed", given.len()));
        return Vec::new();
    }
    let mut values: Vec<T> = Vec::with_capacity(given.len());
    for (index, value) in given.iter().enumerate() {
        let field = format!("{field}[{index}]");
        match fields.parse::<T>(field.clone(), value) {
            Some(value) if values.contains(&value) => fields.wrong(field, "is given twice, give it once"),
            Some(value) => values.push(value),
            None => {}
        }
    }
    values.sort_unstable();
    values
}

fn certificate_names(fields: &mut Fields, field: &str, mut names: Vec<String>) -> Vec<String> {
    if names.len() > MOST_GIVEN {
        fields.wrong(field, format!("has {} values, at most {MOST_GIVEN} are allowed", names.len()));
        return Vec::new();
    }
    for (index, name) in names.iter().enumerate() {
        let field = format!("{field}[{index}]");
        if name.len() > LONGEST_CERTIFICATE_NAME {
            let description = format!("has {} bytes, at most {LONGEST_CERTIFICATE_NAME} are allowed", name.len());
            fields.wrong(field, description);
        } else if !is_certificate_name(name) {
            let name = shortened(name);
            fields.wrong(
                field,
                format!("{name:?} is not a certificate name, write DNS:, URI:, EMAIL: or IP: and the name"),
            );
        } else if names[..index].contains(name) {
            fields.wrong(field, "is given twice, give it once");
        }
    }
    names.sort_unstable();
    names
}

/// `DNS:…`, `URI:…`, `EMAIL:…` or `IP:…`, printable and without spaces; the IP as it is written back.
fn is_certificate_name(name: &str) -> bool {
    let Some((kind, value)) = name.split_once(':') else { return false };
    let printable = !value.is_empty() && value.chars().all(|letter| letter.is_ascii_graphic());
    match kind {
        "DNS" | "URI" | "EMAIL" => printable,
        "IP" => value.parse::<IpAddr>().is_ok_and(|ip| ip.to_string() == value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong<T: std::fmt::Debug>(validated: Result<T, Refusal>) -> Vec<String> {
        let Err(Refusal::InvalidArgument(violations)) = validated else { panic!("{validated:?}") };
        violations.shown.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn everything_wrong_is_told_and_no_password() {
        let request = v1::CreateUserRequest {
            name: "a b".to_owned(),
            password: "geheim".to_owned(),
            roles: vec!["ADMIN".to_owned(), "ADMIN".to_owned(), "lower".to_owned()],
            certificate_names: ["DNS:a", "DNS:a", "CN:b", "IP:10.0.0.02", "URI:", "EMAIL:a b"].map(String::from).into(),
            ..Default::default()
        };
        let refused = create_user(request).unwrap_err();
        assert!(!format!("{refused:?}").contains("geheim"));
        let expected = [
            "name",
            "password",
            "roles[1]",
            "roles[2]",
            "certificate_names[1]",
            "certificate_names[2]",
            "certificate_names[3]",
            "certificate_names[4]",
            "certificate_names[5]",
        ];
        assert_eq!(wrong::<()>(Err(refused)), expected);
    }

    #[test]
    fn what_is_given_is_sorted() {
        let request = v1::CreateUserRequest {
            name: "ops@example.com".to_owned(),
            password: "12345678".to_owned(),
            roles: vec!["TASK_VIEWER".to_owned(), "ADMIN".to_owned()],
            certificate_names: ["URI:spiffe://a/b", "IP:fd00::2"].map(String::from).into(),
            ..Default::default()
        };
        let asked = create_user(request).unwrap();
        assert_eq!(asked.roles.iter().map(RoleName::as_str).collect::<Vec<_>>(), ["ADMIN", "TASK_VIEWER"]);
        assert_eq!(asked.certificate_names, ["IP:fd00::2", "URI:spiffe://a/b"]);
        assert!(!format!("{asked:?}").contains("12345678"));
    }

    #[test]
    fn limits_and_emptiness() {
        let user = |name: &str| v1::UpdateUserRequest { name: name.to_owned(), ..Default::default() };
        assert_eq!(wrong(update_user(user("a"))), ["name"]);
        let none = Some(v1::RoleNames::default());
        assert_eq!(update_user(v1::UpdateUserRequest { roles: none, ..user("a") }).unwrap().roles, Some(vec![]));
        let many = Some(v1::RoleNames { names: vec!["R".to_owned(); MOST_GIVEN + 1] });
        assert_eq!(wrong(update_user(v1::UpdateUserRequest { roles: many, ..user("a") })), ["roles.names"]);
        let password =
            |text: String| v1::SetPasswordRequest { name: "a".to_owned(), password: text, ..Default::default() };
        assert!(set_password(password("é".repeat(4))).is_ok(), "bytes count");
        for text in [String::new(), "1234567".to_owned(), "x".repeat(513), "1234567\0".to_owned()] {
            assert_eq!(wrong(set_password(password(text))), ["password"]);
        }
        let role = |permissions: &[&str]| v1::CreateRoleRequest {
            name: "OPS".to_owned(),
            permissions: permissions.iter().map(|one| (*one).to_owned()).collect(),
            ..Default::default()
        };
        assert_eq!(wrong(create_role(&role(&[]))), ["permissions"]);
        assert_eq!(wrong(create_role(&role(&["CLUSTER:1:READ", "CLUSTER:1:STOP"]))), ["permissions[1]"]);
        assert_eq!(create_role(&role(&["TASK:*:*", "**"])).unwrap().permissions[0].to_string(), "**");
        assert!(access_key("short").is_err() && role_name("").is_err());
    }

    #[test]
    fn an_audit_page_belongs_to_its_filters() {
        let request = v1::ListAuditRecordsRequest {
            operation: "STOP_OB_SERVER".to_owned(),
            result: v1::AuditResult::Refused.into(),
            page_size: 7,
            ..Default::default()
        };
        let (asked, page) = list_audit(&request).unwrap();
        assert_eq!((asked.filter.call, asked.filter.refused, asked.limit), (Some(Call::StopServer), Some(true), 8));
        let next = v1::ListAuditRecordsRequest { page_token: page.listing.token(41), ..request.clone() };
        assert_eq!(list_audit(&next).unwrap().0.below, Some(41));
        let other = v1::ListAuditRecordsRequest { result: 0, ..next };
        assert_eq!(wrong(list_audit(&other)), ["page_token"]);
        assert_eq!(
            wrong(list_audit(&v1::ListAuditRecordsRequest { operation: "STOP".to_owned(), ..request })),
            ["operation"]
        );
    }
}
