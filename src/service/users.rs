//! Calls on users. A change is decided while no other change is made, by the caller's rights of that moment.

use secrecy::SecretString;

use super::Service;
use super::access_rules::{Rules, keeps_administrator, permissions_of};
use super::audit_entry::{AuditEntry, joined};
use super::call::{Caller, ServiceCall};
use super::refusals::Refused;
use super::views::UserView;
use crate::domain::call::{Call, Subject};
use crate::domain::ids::{Principal, RoleName};
use crate::domain::refusal::Refusal;
use crate::store::access::{AccessChange, AccessChangeOutcome, AccessRows, NewUser, UserRow};

#[derive(Clone, Debug)]
pub struct CreateUser {
    pub name: Principal,
    /// `None`: only a certificate or an access key proves the user.
    pub password: Option<SecretString>,
    /// Its roles; ascending, without repeats.
    pub roles: Vec<RoleName>,
    /// Names of its certificates; ascending, without repeats.
    pub certificate_names: Vec<String>,
}

impl ServiceCall for CreateUser {
    const CALL: Call = Call::CreateUser;
    type Subject = ();
    type Output = UserView;

    fn subject(&self, _: &Caller) {}

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        AuditEntry::on(format!("user {}", self.name))
            .with("roles", joined(&self.roles))
            .with("certificate_names", self.certificate_names.join(","))
            .with("password", if self.password.is_some() { "given" } else { "none" })
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<UserView, Refusal> {
        let name = self.name.clone();
        let entry = self.audit_entry(caller);
        let password_hash = match &self.password {
            Some(password) => Some(service.hasher.hash(password).await?),
            None => None,
        };
        let changed = service.change_access(caller, Self::CALL, entry, |rules| {
            rules.permit(Self::CALL, Subject::Nothing)?;
            rules.free_name(&self.name)?;
            rules.may_give(&self.roles)?;
            let Self { name, password: _, roles, certificate_names } = self.clone();
            let password_hash = password_hash.clone();
            Ok(AccessChange::CreateUser(NewUser { id: None, name, password_hash, roles, certificate_names }))
        });
        user_done(changed.await?, &name)?;
        service.user_view(&name)
    }
}

/// Changes a user; `None`: stays.
#[derive(Clone, Debug)]
pub struct UpdateUser {
    pub name: Principal,
    pub roles: Option<Vec<RoleName>>,
    pub certificate_names: Option<Vec<String>>,
    /// Whether it is nobody for now.
    pub disabled: Option<bool>,
}

impl ServiceCall for UpdateUser {
    const CALL: Call = Call::UpdateUser;
    type Subject = Principal;
    type Output = UserView;

    fn subject(&self, _: &Caller) -> Principal {
        self.name.clone()
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        AuditEntry::on(format!("user {}", self.name))
            .with_some("roles", self.roles.as_deref().map(joined))
            .with_some("certificate_names", self.certificate_names.as_deref().map(|names| names.join(",")))
            .with_some("disabled", self.disabled)
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<UserView, Refusal> {
        let (name, entry) = (self.name.clone(), self.audit_entry(caller));
        let changed = service.change_access(caller, Self::CALL, entry, |rules| {
            let user = rules.touched(Self::CALL, &self.name)?;
            if let Some(roles) = &self.roles {
                rules.may_give(roles)?;
            }
            let roles = self.roles.as_ref().unwrap_or(&user.roles);
            keeps_administrator(rules.rows, user, roles, self.disabled.unwrap_or(user.disabled))?;
            let Self { name: _, roles, certificate_names, disabled } = self.clone();
            Ok(AccessChange::UpdateUser { user: user.id, roles, certificate_names, disabled })
        });
        user_done(changed.await?, &name)?;
        service.user_view(&name)
    }
}

/// Gives a user another password.
#[derive(Clone, Debug)]
pub struct SetPassword {
    pub name: Principal,
    pub password: SecretString,
}

impl ServiceCall for SetPassword {
    const CALL: Call = Call::SetPassword;
    type Subject = Principal;
    type Output = ();

    fn subject(&self, _: &Caller) -> Principal {
        self.name.clone()
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        AuditEntry::on(format!("user {}", self.name))
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<(), Refusal> {
        let (name, entry) = (&self.name, self.audit_entry(caller));
        let password_hash = service.hasher.hash(&self.password).await?;
        let changed = service.change_access(caller, Self::CALL, entry, |rules| {
            let user = rules.touched(Self::CALL, name)?.id;
            Ok(AccessChange::SetPassword { user, password_hash: password_hash.clone() })
        });
        user_done(changed.await?, name)
    }
}

/// Users, ascending by id.
#[derive(Clone, Copy, Debug)]
pub struct ListUsers;

impl ServiceCall for ListUsers {
    const CALL: Call = Call::ListUsers;
    type Subject = ();
    type Output = Vec<UserView>;

    fn subject(&self, _: &Caller) {}

    async fn run(self, service: &Service, _: &Caller, _: ()) -> Result<Vec<UserView>, Refusal> {
        let rows = service.directory.rows();
        Ok(rows.users.iter().map(|row| view(&rows, row)).collect())
    }
}

impl Service {
    fn user_view(&self, name: &Principal) -> Result<UserView, Refusal> {
        let rows = self.directory.rows();
        let row = rows.users.iter().find(|row| row.name == *name);
        row.map(|row| view(&rows, row)).ok_or_else(|| Refusal::UserNotFound { user: name.to_string() })
    }

    /// Decides a change by the rows of now, and makes it with its audit record.
    pub(super) async fn change_access(
        &self,
        caller: &Caller,
        call: Call,
        entry: AuditEntry,
        decide: impl Fn(&Rules<'_>) -> Result<AccessChange, Refusal> + Send + Sync,
    ) -> Result<AccessChangeOutcome, Refusal> {
        let audit = self.accepted(caller, call, entry);
        let changed = self.directory.change(|rows: &AccessRows| -> Result<_, Refused> {
            let change = decide(&Rules::new(rows, caller)).map_err(Refused)?;
            Ok((change, audit.clone()))
        });
        changed.await.map_err(|Refused(refusal)| refusal)
    }
}

fn view(rows: &AccessRows, row: &UserRow) -> UserView {
    UserView { row: row.clone(), permissions: permissions_of(rows, &row.roles) }
}

pub(super) fn user_done(changed: AccessChangeOutcome, user: &Principal) -> Result<(), Refusal> {
    match changed {
        AccessChangeOutcome::Done => Ok(()),
        AccessChangeOutcome::Taken { what, name } => Err(Refusal::NameTaken { what, name }),
        AccessChangeOutcome::NotFound => Err(Refusal::UserNotFound { user: user.to_string() }),
        AccessChangeOutcome::RoleInUse { .. } => {
            Err(Refusal::Internal { what: format!("user {user} was taken for a role") })
        }
    }
}
