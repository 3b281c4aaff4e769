//! Calls on roles. Those that are always there can neither be removed nor made again.

use super::Service;
use super::audit_entry::{AuditEntry, joined};
use super::call::{Caller, ServiceCall};
use super::views::RoleView;
use crate::domain::call::{Call, Subject};
use crate::domain::ids::RoleName;
use crate::domain::permission::{BUILTIN_ROLES, Permission, Rights, builtin};
use crate::domain::refusal::Refusal;
use crate::store::access::{AccessChange, AccessChangeOutcome, RoleRow};

#[derive(Clone, Debug)]
pub struct CreateRole {
    pub name: RoleName,
    pub permissions: Vec<Permission>,
}

impl ServiceCall for CreateRole {
    const CALL: Call = Call::CreateRole;
    type Subject = ();
    type Output = RoleView;

    fn subject(&self, _: &Caller) {}

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        AuditEntry::on(format!("role {}", self.name)).with("permissions", joined(&self.permissions))
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<RoleView, Refusal> {
        let entry = self.audit_entry(caller);
        let Self { name, mut permissions } = self;
        permissions.sort_unstable();
        permissions.dedup();
        let changed = service.change_access(caller, Self::CALL, entry, |rules| {
            rules.permit(Self::CALL, Subject::Nothing)?;
            if builtin(name.as_str()).is_some() {
                return Err(Refusal::NameTaken { what: "role", name: name.to_string() });
            }
            rules.holds(&Rights::new(permissions.iter().copied()))?;
            Ok(AccessChange::CreateRole { name: name.clone(), permissions: permissions.clone() })
        });
        role_done(changed.await?, &name)?;
        let rows = service.directory.rows();
        let made = rows.roles.iter().find(|row| row.name == name).map(view);
        made.ok_or(Refusal::RoleNotFound { role: name })
    }
}

#[derive(Clone, Debug)]
pub struct DeleteRole(pub RoleName);

impl ServiceCall for DeleteRole {
    const CALL: Call = Call::DeleteRole;
    type Subject = ();
    type Output = ();

    fn subject(&self, _: &Caller) {}

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        AuditEntry::on(format!("role {}", self.0))
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<(), Refusal> {
        let (name, entry) = (&self.0, self.audit_entry(caller));
        let changed = service.change_access(caller, Self::CALL, entry, |rules| {
            rules.permit(Self::CALL, Subject::Nothing)?;
            if builtin(name.as_str()).is_some() {
                return Err(Refusal::RoleFixed { role: name.clone(), why: "it is always there".to_owned() });
            }
            Ok(AccessChange::DeleteRole { name: name.clone() })
        });
        role_done(changed.await?, name)
    }
}

/// Roles, those that are always there first.
#[derive(Clone, Copy, Debug)]
pub struct ListRoles;

impl ServiceCall for ListRoles {
    const CALL: Call = Call::ListRoles;
    type Subject = ();
    type Output = Vec<RoleView>;

    fn subject(&self, _: &Caller) {}

    async fn run(self, service: &Service, _: &Caller, _: ()) -> Result<Vec<RoleView>, Refusal> {
        let always = BUILTIN_ROLES.iter().filter_map(|role| {
            let name: RoleName = role.name.parse().ok()?;
            Some(RoleView { name, permissions: builtin(role.name)?, create_time: None })
        });
        Ok(always.chain(service.directory.rows().roles.iter().map(view)).collect())
    }
}

fn view(row: &RoleRow) -> RoleView {
    RoleView { name: row.name.clone(), permissions: row.permissions.clone(), create_time: Some(row.create_time) }
}

fn role_done(changed: AccessChangeOutcome, role: &RoleName) -> Result<(), Refusal> {
    match changed {
        AccessChangeOutcome::Done => Ok(()),
        AccessChangeOutcome::Taken { what, name } => Err(Refusal::NameTaken { what, name }),
        AccessChangeOutcome::NotFound => Err(Refusal::RoleNotFound { role: role.clone() }),
        AccessChangeOutcome::RoleInUse { user } => {
            Err(Refusal::RoleFixed { role: role.clone(), why: format!("user {user} has it") })
        }
    }
}
