//! Calls on users. A change is decided while no other change is made, by the caller's rights of that moment.

use secrecy::SecretString;

use super::Service;
use super::access_rules::{Rules, keeps_administrator, permissions_of};
use super::arguments::{Caller, CreateUser, UpdateUser, UserView};
use super::named::{self, Named};
use super::refusals::Refused;
use crate::domain::call::{Call, Subject};
use crate::domain::ids::Principal;
use crate::domain::refusal::Refusal;
use crate::store::access::{AccessChange, AccessChanged, AccessRows, NewUser, UserRow};

impl Service {
    /// Makes a user.
    pub async fn create_user(&self, caller: &Caller, asked: CreateUser) -> Result<UserView, Refusal> {
        let named = named::create_user(&asked);
        let password_hash = match &asked.password {
            Some(password) => Some(self.hasher.hash(password).await?),
            None => None,
        };
        let name = asked.name.clone();
        let changed = self.change_access(caller, Call::CreateUser, named, |rules| {
            rules.permit(Call::CreateUser, Subject::Nothing)?;
            rules.free_name(&asked.name)?;
            rules.may_give(&asked.roles)?;
            let CreateUser { name, password: _, roles, certificate_names } = asked;
            Ok(AccessChange::CreateUser(NewUser { id: None, name, password_hash, roles, certificate_names }))
        });
        user_done(changed.await?, &name)?;
        self.user_view(&name)
    }

    /// Changes a user.
    pub async fn update_user(&self, caller: &Caller, asked: UpdateUser) -> Result<UserView, Refusal> {
        let named = named::update_user(&asked);
        let name = asked.name.clone();
        let changed = self.change_access(caller, Call::UpdateUser, named, |rules| {
            let user = rules.touched(Call::UpdateUser, &asked.name)?;
            if let Some(roles) = &asked.roles {
                rules.may_give(roles)?;
            }
            let roles = asked.roles.as_ref().unwrap_or(&user.roles);
            keeps_administrator(rules.rows, user, roles, asked.disabled.unwrap_or(user.disabled))?;
            let UpdateUser { name: _, roles, certificate_names, disabled } = asked;
            Ok(AccessChange::UpdateUser { user: user.id, roles, certificate_names, disabled })
        });
        user_done(changed.await?, &name)?;
        self.user_view(&name)
    }

    /// Gives a user another password.
    pub async fn set_password(&self, caller: &Caller, name: Principal, password: SecretString) -> Result<(), Refusal> {
        let password_hash = self.hasher.hash(&password).await?;
        let changed = self.change_access(caller, Call::SetPassword, named::user(&name), |rules| {
            let user = rules.touched(Call::SetPassword, &name)?.id;
            Ok(AccessChange::SetPassword { user, password_hash })
        });
        user_done(changed.await?, &name)
    }

    /// Users, ascending by id.
    pub fn list_users(&self) -> Vec<UserView> {
        let rows = self.directory.rows();
        rows.users.iter().map(|row| view(&rows, row)).collect()
    }

    /// Id of a user as OCP shows creators; 0: there is none of this name.
    pub fn user_id(&self, name: &Principal) -> i64 {
        self.directory.user(name).map_or(0, |user| user.id.get())
    }

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
        named: Named,
        decide: impl FnOnce(&Rules<'_>) -> Result<AccessChange, Refusal> + Send,
    ) -> Result<AccessChanged, Refusal> {
        let audit = self.audit(caller, call, named);
        let changed = self.directory.change(|rows: &AccessRows| -> Result<_, Refused> {
            let change = decide(&Rules::new(rows, caller)).map_err(Refused)?;
            Ok((change, audit))
        });
        changed.await.map_err(|Refused(refusal)| refusal)
    }
}

fn view(rows: &AccessRows, row: &UserRow) -> UserView {
    UserView { row: row.clone(), permissions: permissions_of(rows, &row.roles) }
}

fn user_done(changed: AccessChanged, user: &Principal) -> Result<(), Refusal> {
    match changed {
        AccessChanged::Done => Ok(()),
        AccessChanged::Taken { what, name } => Err(Refusal::NameTaken { what, name }),
        AccessChanged::NotFound => Err(Refusal::UserNotFound { user: user.to_string() }),
        AccessChanged::RoleInUse { .. } => Err(Refusal::Internal { what: format!("user {user} was taken for a role") }),
    }
}
