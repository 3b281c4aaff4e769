//! Users, keys and roles in memory, with the rules of the real store.

use std::sync::Mutex;

use async_trait::async_trait;
use obsteward::clock::Timestamp;
use obsteward::domain::ids::{Principal, UserId};
use obsteward::store::access::{
    AccessChange, AccessChanged, AccessKeyRow, AccessRows, AccessStore, AuditFilter, NewUser, RoleRow,
    StoredAuditRecord, UserRow,
};
use obsteward::store::{AuditRecord, StoreError};

#[derive(Default)]
pub struct FakeAccess {
    pub rows: Mutex<AccessRows>,
    pub audit: Mutex<Vec<AuditRecord>>,
}

/// A user without anything.
pub fn user_row(id: i64, name: &str) -> UserRow {
    UserRow {
        id: UserId::new(id).unwrap(),
        name: Principal::new(name),
        password_hash: None,
        roles: Vec::new(),
        certificate_names: Vec::new(),
        disabled: false,
        create_time: Timestamp::default(),
        password_time: None,
    }
}

fn taken(what: &'static str, name: impl ToString) -> AccessChanged {
    AccessChanged::Taken { what, name: name.to_string() }
}

fn create_user(rows: &mut AccessRows, new: NewUser) -> AccessChanged {
    if rows.users.iter().any(|user| user.name == new.name) {
        return taken("user", new.name);
    }
    let others = rows.users.iter().flat_map(|user| &user.certificate_names);
    if let Some(name) = others.clone().find(|name| new.certificate_names.contains(name)) {
        return taken("certificate name", name);
    }
    let next = rows.users.iter().map(|user| user.id.get()).max().unwrap_or_default().max(1000) + 1;
    let id = new.id.map_or(next, UserId::get);
    rows.users.push(UserRow {
        password_hash: new.password_hash,
        roles: new.roles,
        certificate_names: new.certificate_names,
        ..user_row(id, new.name.as_str())
    });
    rows.users.sort_by_key(|user| user.id);
    AccessChanged::Done
}

fn apply(rows: &mut AccessRows, change: AccessChange) -> AccessChanged {
    let now = Timestamp::default();
    match change {
        AccessChange::CreateUser(new) => return create_user(rows, new),
        AccessChange::UpdateUser { user, roles, certificate_names, disabled } => {
            let Some(row) = rows.users.iter_mut().find(|row| row.id == user) else { return AccessChanged::NotFound };
            row.roles = roles.unwrap_or_else(|| row.roles.clone());
            row.certificate_names = certificate_names.unwrap_or_else(|| row.certificate_names.clone());
            row.disabled = disabled.unwrap_or(row.disabled);
        }
        AccessChange::SetPassword { user, password_hash } => {
            let Some(row) = rows.users.iter_mut().find(|row| row.id == user) else { return AccessChanged::NotFound };
            row.password_hash = Some(password_hash);
        }
        AccessChange::CreateKey { id, user, secret } => {
            if rows.keys.iter().any(|key| key.id == id) {
                return taken("access key", id);
            }
            rows.keys.push(AccessKeyRow { id, user, secret, disabled: false, create_time: now, rotate_time: now });
        }
        AccessChange::UpdateKey { id, disabled } => {
            let Some(key) = rows.keys.iter_mut().find(|key| key.id == id) else { return AccessChanged::NotFound };
            key.disabled = disabled;
        }
        AccessChange::RotateKey { id, secret } => {
            let Some(key) = rows.keys.iter_mut().find(|key| key.id == id) else { return AccessChanged::NotFound };
            key.secret = secret;
        }
        AccessChange::CreateRole { name, permissions } => {
            if rows.roles.iter().any(|role| role.name == name) {
                return taken("role", name);
            }
            rows.roles.push(RoleRow { name, permissions, create_time: now });
        }
        AccessChange::DeleteRole { name } => {
            if let Some(user) = rows.users.iter().find(|user| user.roles.contains(&name)) {
                return AccessChanged::RoleInUse { user: user.name.clone() };
            }
            rows.roles.retain(|role| role.name != name);
        }
    }
    AccessChanged::Done
}

#[async_trait]
impl AccessStore for FakeAccess {
    async fn access(&self) -> Result<AccessRows, StoreError> {
        Ok(self.rows.lock().unwrap().clone())
    }

    async fn change_access(&self, change: AccessChange, audit: AuditRecord) -> Result<AccessChanged, StoreError> {
        let changed = apply(&mut self.rows.lock().unwrap(), change);
        if changed == AccessChanged::Done {
            self.audit.lock().unwrap().push(audit);
        }
        Ok(changed)
    }

    async fn record(&self, audit: AuditRecord) -> Result<(), StoreError> {
        self.audit.lock().unwrap().push(audit);
        Ok(())
    }

    async fn audit_records(
        &self,
        _filter: &AuditFilter,
        below: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredAuditRecord>, StoreError> {
        let records = self.audit.lock().unwrap().clone();
        let numbered = records.into_iter().zip(1..).map(|(record, id)| StoredAuditRecord { id, record });
        let wanted = numbered.filter(|stored| below.is_none_or(|below| stored.id < below));
        let mut newest: Vec<_> = wanted.collect();
        newest.reverse();
        newest.truncate(limit as usize);
        Ok(newest)
    }
}
