//! Users, keys, roles and the audit log in memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use obsteward::clock::Timestamp;
use obsteward::domain::ids::{Principal, RoleName, Seq, UserId};
use obsteward::domain::permission::Permission;
use obsteward::store::access::{
    AccessChange, AccessChangeOutcome, AccessKeyRow, AccessRows, AccessStore, AuditFilter, NewUser, RoleRow,
    StoredAuditRecord, UserRow,
};
use obsteward::store::backup::{Backup, Backups};
use obsteward::store::{AuditOutcome, AuditRecord, StoreError};

#[derive(Default)]
pub struct FakeAccess {
    pub rows: Mutex<AccessRows>,
    pub audit: Mutex<Vec<AuditRecord>>,
    /// Whether refusals cannot be recorded.
    pub records_fail: AtomicBool,
}

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

impl FakeAccess {
    /// With users of these names, each with one role of these permissions (none: no role), and ids from 1001.
    pub fn with(users: &[(&str, &[&str])]) -> Self {
        let mut rows = AccessRows::default();
        for (number, (name, permissions)) in (0..).zip(users) {
            let role: RoleName = format!("ROLE_{number}").parse().unwrap();
            let mut roles = Vec::new();
            if !permissions.is_empty() {
                let permissions = permissions.iter().map(|text| text.parse::<Permission>().unwrap()).collect();
                rows.roles.push(RoleRow { name: role.clone(), permissions, create_time: NOW });
                roles.push(role);
            }
            rows.users.push(UserRow { roles, ..user_row(1001 + number, name) });
        }
        Self { rows: Mutex::new(rows), ..Self::default() }
    }

    /// Records so far, oldest first, as `principal call target outcome`.
    pub fn told(&self) -> Vec<String> {
        let told = |record: &AuditRecord| {
            let outcome = match &record.outcome {
                AuditOutcome::Accepted => "ACCEPTED",
                AuditOutcome::Refused { reason } => reason.as_str(),
            };
            format!("{} {} {}: {outcome}", record.principal, record.call, record.target)
        };
        self.audit.lock().unwrap().iter().map(told).collect()
    }
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
        create_time: NOW,
        password_time: None,
    }
}

fn taken(what: &'static str, name: impl ToString) -> AccessChangeOutcome {
    AccessChangeOutcome::Taken { what, name: name.to_string() }
}

fn create_user(rows: &mut AccessRows, new: NewUser) -> AccessChangeOutcome {
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
        password_time: new.password_hash.as_ref().map(|_| NOW),
        password_hash: new.password_hash,
        roles: new.roles,
        certificate_names: new.certificate_names,
        ..user_row(id, new.name.as_str())
    });
    rows.users.sort_by_key(|user| user.id);
    AccessChangeOutcome::Done
}

fn apply(rows: &mut AccessRows, change: AccessChange) -> AccessChangeOutcome {
    match change {
        AccessChange::CreateUser(new) => return create_user(rows, new),
        AccessChange::UpdateUser { user, roles, certificate_names, disabled } => {
            let taken = certificate_names.iter().flatten().find(|name| {
                rows.users.iter().any(|other| other.id != user && other.certificate_names.contains(*name))
            });
            if let Some(name) = taken {
                return AccessChangeOutcome::Taken { what: "certificate name", name: name.clone() };
            }
            let Some(row) = rows.users.iter_mut().find(|row| row.id == user) else {
                return AccessChangeOutcome::NotFound;
            };
            row.roles = roles.unwrap_or_else(|| row.roles.clone());
            row.certificate_names = certificate_names.unwrap_or_else(|| row.certificate_names.clone());
            row.disabled = disabled.unwrap_or(row.disabled);
        }
        AccessChange::SetPassword { user, password_hash } => {
            let Some(row) = rows.users.iter_mut().find(|row| row.id == user) else {
                return AccessChangeOutcome::NotFound;
            };
            row.password_hash = Some(password_hash);
            row.password_time = Some(NOW);
        }
        AccessChange::CreateKey { id, user, secret } => {
            if rows.keys.iter().any(|key| key.id == id) {
                return taken("access key", id);
            }
            rows.keys.push(AccessKeyRow { id, user, secret, disabled: false, create_time: NOW, rotate_time: NOW });
            rows.keys.sort_by(|one, other| one.id.cmp(&other.id));
        }
        AccessChange::UpdateKey { id, disabled } => {
            let Some(key) = rows.keys.iter_mut().find(|key| key.id == id) else { return AccessChangeOutcome::NotFound };
            key.disabled = disabled;
        }
        AccessChange::RotateKey { id, secret } => {
            let Some(key) = rows.keys.iter_mut().find(|key| key.id == id) else { return AccessChangeOutcome::NotFound };
            key.secret = secret;
        }
        AccessChange::CreateRole { name, permissions } => {
            if rows.roles.iter().any(|role| role.name == name) {
                return AccessChangeOutcome::Taken { what: "role", name: name.to_string() };
            }
            rows.roles.push(RoleRow { name, permissions, create_time: NOW });
        }
        AccessChange::DeleteRole { name } => {
            if let Some(user) = rows.users.iter().find(|user| user.roles.contains(&name)) {
                return AccessChangeOutcome::RoleInUse { user: user.name.clone() };
            }
            let before = rows.roles.len();
            rows.roles.retain(|role| role.name != name);
            if rows.roles.len() == before {
                return AccessChangeOutcome::NotFound;
            }
        }
    }
    AccessChangeOutcome::Done
}

#[async_trait]
impl AccessStore for FakeAccess {
    async fn access(&self) -> Result<AccessRows, StoreError> {
        Ok(self.rows.lock().unwrap().clone())
    }

    async fn change_access(&self, change: AccessChange, audit: AuditRecord) -> Result<AccessChangeOutcome, StoreError> {
        let changed = apply(&mut self.rows.lock().unwrap(), change);
        if changed == AccessChangeOutcome::Done {
            self.audit.lock().unwrap().push(audit);
        }
        Ok(changed)
    }

    async fn record(&self, audit: AuditRecord) -> Result<(), StoreError> {
        if self.records_fail.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("the disk is full".to_owned()));
        }
        self.audit.lock().unwrap().push(audit);
        Ok(())
    }

    async fn audit_records(
        &self,
        filter: &AuditFilter,
        below: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredAuditRecord>, StoreError> {
        let audit = self.audit.lock().unwrap();
        let numbered = (1..).zip(audit.iter()).filter(|(id, record)| {
            let refused = record.outcome != AuditOutcome::Accepted;
            below.is_none_or(|below| *id < below)
                && filter.principal.as_ref().is_none_or(|principal| *principal == record.principal)
                && filter.call.is_none_or(|call| call == record.call)
                && filter.refused.is_none_or(|wanted| wanted == refused)
        });
        let mut records: Vec<_> =
            numbered.map(|(id, record)| StoredAuditRecord { id, record: record.clone() }).collect();
        records.reverse();
        records.truncate(limit as usize);
        Ok(records)
    }
}

#[async_trait]
impl Backups for FakeAccess {
    async fn back_up(&self, at: Timestamp) -> Result<Backup, StoreError> {
        let file = tempfile::tempfile().unwrap();
        Ok(Backup { file, bytes: 0, store_id: "fake".to_owned(), head: Seq::ZERO, at })
    }
}
