//! Users, keys and roles in memory: read from the store at start and after each change, asked at every request.

use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::ids::{AccessKeyId, Principal, RoleName, UserId};
use crate::domain::permission::{Permission, Rights, builtin};
use crate::store::access::{AccessChange, AccessChanged, AccessKeyRow, AccessRows, AccessStore, UserRow};
use crate::store::{AuditRecord, StoreError};

/// Somebody who was proven to be who he says.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its user.
    pub user: UserId,
    /// Its name.
    pub principal: Principal,
    /// What it may do now.
    pub rights: Arc<Rights>,
}

/// See the module's head.
pub struct Directory {
    store: Arc<dyn AccessStore>,
    rows: RwLock<Arc<AccessRows>>,
    /// One change at a time: what it is decided by is still so when it is written.
    changing: tokio::sync::Mutex<()>,
}

impl Directory {
    /// Reads the store.
    pub async fn open(store: Arc<dyn AccessStore>) -> Result<Arc<Self>, StoreError> {
        let rows = RwLock::new(Arc::new(store.access().await?));
        Ok(Arc::new(Self { store, rows, changing: tokio::sync::Mutex::new(()) }))
    }

    /// Everything, as of the last change.
    pub fn rows(&self) -> Arc<AccessRows> {
        Arc::clone(&self.rows.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A user by name, disabled ones too.
    pub fn user(&self, name: &Principal) -> Option<UserRow> {
        self.rows().users.iter().find(|user| user.name == *name).cloned()
    }

    /// A key with its user.
    pub fn key(&self, id: &AccessKeyId) -> Option<(AccessKeyRow, UserRow)> {
        let rows = self.rows();
        let key = rows.keys.iter().find(|key| key.id == *id)?.clone();
        let user = rows.users.iter().find(|user| user.id == key.user)?.clone();
        Some((key, user))
    }

    /// The permissions of a role; `None`: there is none of this name.
    pub fn role(&self, name: &RoleName) -> Option<Vec<Permission>> {
        if let Some(permissions) = builtin(name.as_str()) {
            return Some(permissions);
        }
        self.rows().roles.iter().find(|role| role.name == *name).map(|role| role.permissions.clone())
    }

    /// The union of the permissions of roles; names that are gone permit nothing.
    pub fn rights_of(&self, roles: &[RoleName]) -> Rights {
        Rights::new(roles.iter().filter_map(|role| self.role(role)).flatten())
    }

    /// What a user may do now; `None`: it is not there or disabled.
    pub fn rights(&self, name: &Principal) -> Option<Rights> {
        let user = self.user(name).filter(|user| !user.disabled)?;
        Some(self.rights_of(&user.roles))
    }

    /// A user as proven; `None`: it is disabled.
    pub fn identity(&self, user: &UserRow) -> Option<Identity> {
        let rights = Arc::new(self.rights_of(&user.roles));
        (!user.disabled).then(|| Identity { user: user.id, principal: user.name.clone(), rights })
    }

    /// Decides a change by what is known now, and makes it. `decide` runs while nobody else changes anything.
    pub async fn change<E: From<StoreError>>(
        &self,
        decide: impl FnOnce(&AccessRows) -> Result<(AccessChange, AuditRecord), E> + Send,
    ) -> Result<AccessChanged, E> {
        let _changing = self.changing.lock().await;
        let (change, audit) = decide(&self.rows())?;
        let changed = self.store.change_access(change, audit).await?;
        let rows = Arc::new(self.store.access().await?);
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = rows;
        Ok(changed)
    }
}
