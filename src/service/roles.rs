//! Calls on roles. Those that are always there can neither be removed nor made again.

use super::Service;
use super::arguments::{Caller, RoleView};
use super::named;
use crate::domain::call::{Call, Subject};
use crate::domain::ids::RoleName;
use crate::domain::permission::{BUILTIN_ROLES, Permission, Rights, builtin};
use crate::domain::refusal::Refusal;
use crate::store::access::{AccessChange, AccessChanged, RoleRow};

impl Service {
    /// Makes a role.
    pub async fn create_role(
        &self,
        caller: &Caller,
        name: RoleName,
        mut permissions: Vec<Permission>,
    ) -> Result<RoleView, Refusal> {
        permissions.sort_unstable();
        permissions.dedup();
        let named = named::create_role(&name, &permissions);
        let changed = self.change_access(caller, Call::CreateRole, named, |rules| {
            rules.permit(Call::CreateRole, Subject::Nothing)?;
            if builtin(name.as_str()).is_some() {
                return Err(Refusal::NameTaken { what: "role", name: name.to_string() });
            }
            rules.holds(&Rights::new(permissions.iter().copied()))?;
            Ok(AccessChange::CreateRole { name: name.clone(), permissions })
        });
        role_done(changed.await?, &name)?;
        let rows = self.directory.rows();
        let made = rows.roles.iter().find(|row| row.name == name).map(view);
        made.ok_or(Refusal::RoleNotFound { role: name })
    }

    /// Removes a role.
    pub async fn delete_role(&self, caller: &Caller, name: RoleName) -> Result<(), Refusal> {
        let changed = self.change_access(caller, Call::DeleteRole, named::role(&name), |rules| {
            rules.permit(Call::DeleteRole, Subject::Nothing)?;
            if builtin(name.as_str()).is_some() {
                return Err(Refusal::RoleFixed { role: name.clone(), why: "it is always there".to_owned() });
            }
            Ok(AccessChange::DeleteRole { name: name.clone() })
        });
        role_done(changed.await?, &name)
    }

    /// Roles, those that are always there first.
    pub fn list_roles(&self) -> Vec<RoleView> {
        let always = BUILTIN_ROLES.iter().filter_map(|role| {
            let name: RoleName = role.name.parse().ok()?;
            Some(RoleView { name, permissions: builtin(role.name)?, create_time: None })
        });
        always.chain(self.directory.rows().roles.iter().map(view)).collect()
    }
}

fn view(row: &RoleRow) -> RoleView {
    RoleView { name: row.name.clone(), permissions: row.permissions.clone(), create_time: Some(row.create_time) }
}

fn role_done(changed: AccessChanged, role: &RoleName) -> Result<(), Refusal> {
    match changed {
        AccessChanged::Done => Ok(()),
        AccessChanged::Taken { what, name } => Err(Refusal::NameTaken { what, name }),
        AccessChanged::NotFound => Err(Refusal::RoleNotFound { role: role.clone() }),
        AccessChanged::RoleInUse { user } => {
            Err(Refusal::RoleFixed { role: role.clone(), why: format!("user {user} has it") })
        }
    }
}
