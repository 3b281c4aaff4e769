//! What changes of users, keys and roles are decided by: nobody gives rights that they do not have, and somebody who may do
//! everything is left. Pure; over the rows of one moment.

use crate::domain::call::{Call, Subject, permits};
use crate::domain::ids::{Principal, RoleName};
use crate::domain::permission::{Permission, Rights, builtin};
use crate::domain::refusal::Refusal;
use crate::service::Caller;
use crate::store::access::{AccessRows, UserRow};

/// Names of users that mean something else: everybody while authentication is off, and the service itself.
const RESERVED: &[&str] = &["anonymous", "system"];

/// The rows with the caller's rights by them: what is decided holds also when a role was taken away since the call began.
pub(super) struct Rules<'a> {
    pub rows: &'a AccessRows,
    caller: &'a Caller,
    rights: Rights,
}

impl<'a> Rules<'a> {
    /// For a caller. One who was disabled since has no rights any more.
    pub fn new(rows: &'a AccessRows, caller: &'a Caller) -> Self {
        let rights = match caller.user {
            None => (*caller.rights).clone(),
            Some(user) => {
                let row = rows.users.iter().find(|row| row.id == user && !row.disabled);
                row.map(|row| rights_of(rows, &row.roles)).unwrap_or_default()
            }
        };
        Self { rows, caller, rights }
    }

    /// Whether the call is permitted, as the table says.
    pub fn permit(&self, call: Call, subject: Subject) -> Result<(), Refusal> {
        permits(&self.rights, call, subject, &[])
            .map_err(|need| Refusal::PermissionDenied { principal: self.caller.principal.clone(), need })
    }

    /// A user that the call may touch: the caller itself, or one who has no rights that the caller lacks.
    pub fn touched(&self, call: Call, name: &Principal) -> Result<&'a UserRow, Refusal> {
        let user = self.rows.users.iter().find(|row| row.name == *name);
        let own = user.is_some_and(|user| self.caller.user == Some(user.id) && !user.disabled);
        self.permit(call, Subject::User { user: user.map(|user| user.id.get()), own })?;
        let user = user.ok_or_else(|| Refusal::UserNotFound { user: name.to_string() })?;
        if !own {
            self.holds(&rights_of(self.rows, &user.roles))?;
        }
        Ok(user)
    }

    /// Refuses what gives more than the caller has.
    pub fn holds(&self, given: &Rights) -> Result<(), Refusal> {
        match self.rights.missing(given) {
            None => Ok(()),
            Some(need) => Err(Refusal::PermissionDenied { principal: self.caller.principal.clone(), need }),
        }
    }

    /// Refuses roles that are not there, and roles that give more than the caller has.
    pub fn may_give(&self, roles: &[RoleName]) -> Result<(), Refusal> {
        if let Some(unknown) = roles.iter().find(|name| role(self.rows, name).is_none()) {
            return Err(Refusal::RoleNotFound { role: unknown.clone() });
        }
        self.holds(&rights_of(self.rows, roles))
    }

    /// Refuses a name that no user may have.
    pub fn free_name(&self, name: &Principal) -> Result<(), Refusal> {
        let taken = RESERVED.contains(&name.as_str()) || self.rows.users.iter().any(|row| row.name == *name);
        if taken { Err(Refusal::NameTaken { what: "user", name: name.to_string() }) } else { Ok(()) }
    }
}

/// Refuses to leave nobody who may do everything: `user` would have these roles, and be disabled or not.
pub(super) fn keeps_administrator(
    rows: &AccessRows,
    user: &UserRow,
    roles: &[RoleName],
    disabled: bool,
) -> Result<(), Refusal> {
    let administers = |roles: &[RoleName]| rights_of(rows, roles).cover(&Rights::everything());
    let was = !user.disabled && administers(&user.roles);
    let stays = !disabled && administers(roles);
    let other = rows.users.iter().any(|row| row.id != user.id && !row.disabled && administers(&row.roles));
    if was && !stays && !other { Err(Refusal::LastAdministrator { user: user.name.clone() }) } else { Ok(()) }
}

/// The permissions of a role; `None`: there is none of this name.
pub(super) fn role(rows: &AccessRows, name: &RoleName) -> Option<Vec<Permission>> {
    builtin(name.as_str())
        .or_else(|| rows.roles.iter().find(|row| row.name == *name).map(|row| row.permissions.clone()))
}

/// The permissions of roles, ascending, without repeats; roles that are gone permit nothing.
pub(super) fn permissions_of(rows: &AccessRows, roles: &[RoleName]) -> Vec<Permission> {
    let mut permissions: Vec<Permission> = roles.iter().filter_map(|name| role(rows, name)).flatten().collect();
    permissions.sort_unstable();
    permissions.dedup();
    permissions
}

fn rights_of(rows: &AccessRows, roles: &[RoleName]) -> Rights {
    Rights::new(permissions_of(rows, roles))
}
