//! Permissions as OCP writes them, `DOMAIN:id:ACTION` with `*` for any id or action, roles made of them, and what a caller
//! with some of them may do (docs/ocp-v2.md#permissions-and-roles). Pure.
//!
//! `*` as the action means every action that OCP knows. [`Action::Force`] and [`Action::ServiceLoss`] are ours: they let a caller
//! accept risks by name, and no role that was written for OCP must grant them by accident. Only `CLUSTER:id:FORCE`,
//! `CLUSTER:id:SERVICE_LOSS` and `**` do. Writing does not imply reading, as in OCP.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::domain::ids::LARGEST_ID;
use crate::domain::words::words;

words!(
    /// The kind of object that a permission is about.
    Domain, "permission domain", {
        /// Clusters with their zones and servers; the id is the cluster's.
        Cluster = "CLUSTER",
        /// Tasks; the id is the task's.
        Task = "TASK",
        /// Users with their keys, and roles; the id is the user's.
        User = "USER",
        /// The audit log; it has no ids.
        Audit = "AUDIT",
        /// The service's own store; it has no ids. Reading it means taking a backup, with everything that is in it.
        Store = "STORE",
    }
);

words!(
    Action, "action", {
        Read = "READ",
        Create = "CREATE",
        /// For a cluster: stop its servers.
        Update = "UPDATE",
        Delete = "DELETE",
        /// Accept risks by name. Not part of `*`.
        Force = "FORCE",
        /// Accept the loss of all service of a cluster, beside [`Force`](Self::Force). Not part of `*`; of the roles that are always there
        /// only ADMIN has it.
        ServiceLoss = "SERVICE_LOSS",
    }
);

impl Action {
    const fn is_of_ocp(self) -> bool {
        match self {
            Self::Read | Self::Create | Self::Update | Self::Delete => true,
            Self::Force | Self::ServiceLoss => false,
        }
    }
}

/// Text that is not a permission.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a permission, write DOMAIN:id:ACTION with CLUSTER, TASK, USER, AUDIT or STORE, an id or *, and READ, CREATE, UPDATE, DELETE, FORCE, SERVICE_LOSS or *; or ** for everything"
)]
pub struct InvalidPermission(String);

/// The ids that a permission covers, or the one that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdScope {
    /// Every id, also of objects that do not exist yet.
    All,
    One(i64),
}

impl IdScope {
    const fn includes(self, other: Self) -> bool {
        match (self, other) {
            (Self::All, Self::All | Self::One(_)) => true,
            (Self::One(_), Self::All) => false,
            (Self::One(this), Self::One(that)) => this == that,
        }
    }
}

impl fmt::Display for IdScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("*"),
            Self::One(id) => id.fmt(formatter),
        }
    }
}

/// The actions that a permission covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actions {
    /// All that OCP knows.
    All,
    One(Action),
}

impl Actions {
    fn include(self, other: Self) -> bool {
        match (self, other) {
            (Self::All, Self::All) => true,
            (Self::All, Self::One(action)) => action.is_of_ocp(),
            (Self::One(_), Self::All) => false,
            (Self::One(this), Self::One(that)) => this == that,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// `**`.
    Everything,
    /// `DOMAIN:id:ACTION`.
    On(Domain, IdScope, Actions),
}

impl Permission {
    /// Whether a holder of this also holds `other`.
    pub fn includes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Everything, Self::Everything | Self::On(..)) => true,
            (Self::On(..), Self::Everything) => false,
            (Self::On(domain, extent, actions), Self::On(of, over, doing)) => {
                domain == of && extent.includes(over) && actions.include(doing)
            }
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => formatter.write_str("**"),
            Self::On(domain, extent, Actions::All) => write!(formatter, "{domain}:{extent}:*"),
            Self::On(domain, extent, Actions::One(action)) => write!(formatter, "{domain}:{extent}:{action}"),
        }
    }
}

impl FromStr for Permission {
    type Err = InvalidPermission;

    fn from_str(text: &str) -> Result<Self, InvalidPermission> {
        if text == "**" {
            return Ok(Self::Everything);
        }
        let invalid = || InvalidPermission(text.chars().take(64).collect());
        let mut parts = text.split(':');
        let (Some(domain), Some(id), Some(action), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        let digits = |id: &&str| !id.is_empty() && id.bytes().all(|digit| digit.is_ascii_digit());
        let extent = match id {
            "*" => IdScope::All,
            id => {
                let id = Some(id).filter(digits).and_then(|id| id.parse().ok());
                IdScope::One(id.filter(|id| (1..=LARGEST_ID).contains(id)).ok_or_else(invalid)?)
            }
        };
        let actions = match action {
            "*" => Actions::All,
            action => Actions::One(action.parse().map_err(|_| invalid())?),
        };
        Ok(Self::On(domain.parse().map_err(|_| invalid())?, extent, actions))
    }
}

/// What a call needs: one action on one object, or on a whole domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequiredPermission {
    pub domain: Domain,
    pub extent: IdScope,
    pub action: Action,
}

impl RequiredPermission {
    /// An action on one object.
    pub const fn one(domain: Domain, id: i64, action: Action) -> Self {
        Self { domain, extent: IdScope::One(id), action }
    }

    /// An action on a whole domain.
    pub const fn all(domain: Domain, action: Action) -> Self {
        Self { domain, extent: IdScope::All, action }
    }
}

impl fmt::Display for RequiredPermission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.domain, self.extent, self.action)
    }
}

/// The objects of a domain that a caller may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VisibleIds {
    All,
    /// Ascending, without repeats; may be empty.
    Only(Vec<i64>),
}

impl VisibleIds {
    pub fn includes(&self, id: i64) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.binary_search(&id).is_ok(),
        }
    }
}

/// The union of a caller's permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights(Vec<Permission>);

impl Rights {
    pub fn new(permissions: impl IntoIterator<Item = Permission>) -> Self {
        let mut permissions: Vec<Permission> = permissions.into_iter().collect();
        permissions.sort_unstable();
        permissions.dedup();
        Self(permissions)
    }

    /// The rights of ADMIN, and of every caller while authentication is off.
    pub fn everything() -> Self {
        Self(vec![Permission::Everything])
    }

    /// Whether they cover a need.
    pub fn allow(&self, need: RequiredPermission) -> bool {
        self.include(Permission::On(need.domain, need.extent, Actions::One(need.action)))
    }

    /// Whether they include all of `other`: nobody can grant what they do not have.
    pub fn cover(&self, other: &Self) -> bool {
        other.0.iter().all(|permission| self.include(*permission))
    }

    /// The first permission of `other` that these lack, as a need; `None`: they include all of it. A caller who lacks `**` but
    /// holds every permission one by one gets a need about users, because only `**` covers everything about users.
    pub fn missing(&self, other: &Self) -> Option<RequiredPermission> {
        let lacked = other.0.iter().find(|permission| !self.include(**permission))?;
        let mut needs = Vec::new();
        match *lacked {
            Permission::Everything => {
                for domain in Domain::ALL {
                    needs.extend(Action::ALL.iter().map(|action| RequiredPermission::all(*domain, *action)));
                }
            }
            Permission::On(domain, extent, Actions::One(action)) => {
                needs.push(RequiredPermission { domain, extent, action })
            }
            Permission::On(domain, extent, Actions::All) => {
                let known = Action::ALL.iter().filter(|action| action.is_of_ocp());
                needs.extend(known.map(|action| RequiredPermission { domain, extent, action: *action }));
            }
        }
        let first = needs.into_iter().find(|need| !self.allow(*need));
        Some(first.unwrap_or(RequiredPermission::all(Domain::User, Action::Update)))
    }

    fn include(&self, wanted: Permission) -> bool {
        self.0.iter().any(|permission| permission.includes(wanted))
    }

    /// The objects of a domain that these rights let a caller read.
    pub fn visible(&self, domain: Domain) -> VisibleIds {
        if self.allow(RequiredPermission::all(domain, Action::Read)) {
            return VisibleIds::All;
        }
        let read = |permission: &Permission| match *permission {
            Permission::On(of, IdScope::One(id), actions) if of == domain => {
                actions.include(Actions::One(Action::Read)).then_some(id)
            }
            Permission::On(..) | Permission::Everything => None,
        };
        let mut ids: Vec<i64> = self.0.iter().filter_map(read).collect();
        ids.sort_unstable();
        ids.dedup();
        VisibleIds::Only(ids)
    }
}

/// A role that always exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltinRole {
    /// As in OCP.
    pub name: &'static str,
    pub permissions: &'static [&'static str],
}

/// The roles that always exist. OCP's tables have no TASK_VIEWER although its task pages ask for one; its permissions are what
/// those pages need.
pub const BUILTIN_ROLES: &[BuiltinRole] = &[
    BuiltinRole { name: "ADMIN", permissions: &["**"] },
    BuiltinRole { name: "CLUSTER_MANAGER", permissions: &["CLUSTER:*:*", "TASK:*:*", "USER:*:READ"] },
    BuiltinRole { name: "CLUSTER_VIEWER", permissions: &["CLUSTER:*:READ", "TASK:*:READ"] },
    BuiltinRole { name: "TASK_MANAGER", permissions: &["TASK:*:*"] },
    BuiltinRole { name: "TASK_VIEWER", permissions: &["TASK:*:READ"] },
];

/// `None`: no built-in role has this name.
pub fn builtin(name: &str) -> Option<Vec<Permission>> {
    let role = BUILTIN_ROLES.iter().find(|role| role.name == name)?;
    Some(role.permissions.iter().filter_map(|permission| permission.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(permissions: &[&str]) -> Rights {
        Rights::new(permissions.iter().map(|permission| permission.parse::<Permission>().unwrap()))
    }

    #[test]
    fn a_permission_is_written_as_it_is_read() {
        for text in ["**", "CLUSTER:*:*", "CLUSTER:7:FORCE", "TASK:100001:READ", "USER:*:CREATE", "AUDIT:*:READ"] {
            assert_eq!(text.parse::<Permission>().unwrap().to_string(), text);
        }
        for text in ["", "*", "***", "CLUSTER", "CLUSTER:*", "CLUSTER:*:*:*", "HOST:*:READ", "CLUSTER:0:READ"] {
            assert!(text.parse::<Permission>().is_err(), "{text}");
        }
        for text in
            ["CLUSTER:-1:READ", "CLUSTER:+1:READ", "CLUSTER:1:STOP", "CLUSTER:9007199254740993:READ", "::", "é:1:READ"]
        {
            assert!(text.parse::<Permission>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_builtin_role_is_made_of_permissions() {
        for role in BUILTIN_ROLES {
            assert_eq!(builtin(role.name).unwrap().len(), role.permissions.len(), "{}", role.name);
        }
        assert_eq!(builtin("NOBODY"), None);
    }

    #[test]
    fn one_id_is_not_another_nor_all() {
        let some = rights(&["CLUSTER:7:UPDATE", "CLUSTER:9:READ", "CLUSTER:3:*"]);
        assert!(some.allow(RequiredPermission::one(Domain::Cluster, 7, Action::Update)));
        assert!(!some.allow(RequiredPermission::one(Domain::Cluster, 8, Action::Update)));
        assert!(!some.allow(RequiredPermission::all(Domain::Cluster, Action::Update)));
        assert!(!some.allow(RequiredPermission::one(Domain::Task, 7, Action::Update)));
        assert!(
            !some.allow(RequiredPermission::one(Domain::Cluster, 7, Action::Read)),
            "writing does not imply reading"
        );
        assert_eq!(some.visible(Domain::Cluster), VisibleIds::Only(vec![3, 9]));
        assert_eq!(some.visible(Domain::Task), VisibleIds::Only(vec![]));
        assert_eq!(rights(&["**"]).visible(Domain::Task), VisibleIds::All);
    }

    #[test]
    fn risks_are_accepted_only_by_who_is_named_for_it() {
        let force = RequiredPermission::one(Domain::Cluster, 7, Action::Force);
        assert!(!rights(&["CLUSTER:*:*"]).allow(force));
        assert!(rights(&["CLUSTER:*:FORCE"]).allow(force));
        assert!(rights(&["CLUSTER:7:FORCE"]).allow(force));
        assert!(Rights::everything().allow(force));
        let manager = Rights::new(builtin("CLUSTER_MANAGER").unwrap());
        assert!(!manager.allow(force));
    }

    #[test]
    fn of_the_roles_that_are_always_there_only_admin_ends_all_service() {
        let loss = RequiredPermission::one(Domain::Cluster, 7, Action::ServiceLoss);
        for role in BUILTIN_ROLES {
            assert_eq!(Rights::new(builtin(role.name).unwrap()).allow(loss), role.name == "ADMIN", "{}", role.name);
        }
        assert!(!rights(&["CLUSTER:*:*", "CLUSTER:*:FORCE"]).allow(loss));
        assert!(rights(&["CLUSTER:7:SERVICE_LOSS"]).allow(loss));
    }

    #[test]
    fn nobody_gives_what_he_does_not_have() {
        let manager = Rights::new(builtin("CLUSTER_MANAGER").unwrap());
        assert!(manager.cover(&Rights::new(builtin("CLUSTER_VIEWER").unwrap())));
        assert!(manager.cover(&rights(&["CLUSTER:7:*"])));
        assert!(!manager.cover(&Rights::everything()));
        assert!(!manager.cover(&rights(&["CLUSTER:7:FORCE"])));
        assert!(!rights(&["CLUSTER:7:*"]).cover(&rights(&["CLUSTER:*:READ"])));
        assert!(Rights::default().cover(&Rights::default()));
    }

    #[test]
    fn what_is_lacked_is_named() {
        let manager = Rights::new(builtin("CLUSTER_MANAGER").unwrap());
        let missing = |other: &[&str]| manager.missing(&rights(other)).map(|need| need.to_string());
        assert_eq!(missing(&["CLUSTER:7:*", "USER:9:READ"]), None);
        assert_eq!(missing(&["CLUSTER:7:FORCE"]).as_deref(), Some("CLUSTER:7:FORCE"));
        assert_eq!(missing(&["USER:*:*"]).as_deref(), Some("USER:*:CREATE"));
        assert_eq!(missing(&["**"]).as_deref(), Some("CLUSTER:*:FORCE"));
        let every_one = rights(&[
            "CLUSTER:*:*",
            "CLUSTER:*:FORCE",
            "CLUSTER:*:SERVICE_LOSS",
            "TASK:*:*",
            "TASK:*:FORCE",
            "TASK:*:SERVICE_LOSS",
            "USER:*:*",
            "AUDIT:*:*",
        ]);
        assert_eq!(every_one.missing(&Rights::everything()).unwrap().to_string(), "USER:*:FORCE");
        assert!(rights(&["CLUSTER:1:READ"]).missing(&rights(&["CLUSTER:1:*"])).is_some());
    }
}
