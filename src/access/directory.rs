//! Users, keys and roles in memory: read from the store at start and after each change, looked up at every request.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::access::AuthEvidence;
use crate::domain::ids::{AccessKeyId, Principal, RoleName, UserId};
use crate::domain::permission::{Permission, Rights, builtin};
use crate::store::access::{AccessChange, AccessChangeOutcome, AccessKeyRow, AccessRows, AccessStore, UserRow};
use crate::store::{AuditRecord, StoreError};

/// How often reading the store is tried after a change. If all fail, nobody can log in until a later one succeeds.
const READS: usize = 3;
/// Time until then between one such reading and the next.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// An authenticated caller.
#[derive(Clone, Debug)]
pub struct Identity {
    pub user: UserId,
    pub principal: Principal,
    /// Its permissions as of now.
    pub rights: Arc<Rights>,
    /// How it was authenticated.
    pub proof: Arc<AuthEvidence>,
}

pub struct Directory {
    store: Arc<dyn AccessStore>,
    known: Arc<Known>,
    /// One change at a time: what a change was decided by still holds when it is written.
    changing: Arc<tokio::sync::Mutex<()>>,
}

struct Known {
    rows: RwLock<Arc<AccessRows>>,
    /// Told when they could not be read.
    unread: Notify,
}

impl Directory {
    pub async fn open(store: Arc<dyn AccessStore>) -> Result<Arc<Self>, StoreError> {
        let rows = RwLock::new(Arc::new(store.access().await?));
        let known = Arc::new(Known { rows, unread: Notify::new() });
        Ok(Arc::new(Self { store, known, changing: Arc::default() }))
    }

    /// Everything as of the last change.
    pub fn rows(&self) -> Arc<AccessRows> {
        Arc::clone(&self.known.rows.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn user(&self, name: &Principal) -> Option<UserRow> {
        self.rows().users.iter().find(|user| user.name == *name).cloned()
    }

    pub fn key(&self, id: &AccessKeyId) -> Option<(AccessKeyRow, UserRow)> {
        let rows = self.rows();
        let key = rows.keys.iter().find(|key| key.id == *id)?.clone();
        let user = rows.users.iter().find(|user| user.id == key.user)?.clone();
        Some((key, user))
    }

    /// The permissions of a role; `None`: no role has this name.
    pub fn role(&self, name: &RoleName) -> Option<Vec<Permission>> {
        if let Some(permissions) = builtin(name.as_str()) {
            return Some(permissions);
        }
        self.rows().roles.iter().find(|role| role.name == *name).map(|role| role.permissions.clone())
    }

    /// The union of the permissions of roles; roles that no longer exist permit nothing.
    pub fn rights_of(&self, roles: &[RoleName]) -> Rights {
        Rights::new(roles.iter().filter_map(|role| self.role(role)).flatten())
    }

    /// What a user may do now; `None`: it does not exist or is disabled.
    pub fn rights(&self, name: &Principal) -> Option<Rights> {
        let user = self.user(name).filter(|user| !user.disabled)?;
        Some(self.rights_of(&user.roles))
    }

    /// The identity of a user that `proof` authenticated; `None`: the user is disabled.
    pub fn identity(&self, user: &UserRow, proof: AuthEvidence) -> Option<Identity> {
        let (rights, proof) = (Arc::new(self.rights_of(&user.roles)), Arc::new(proof));
        (!user.disabled).then(|| Identity { user: user.id, principal: user.name.clone(), rights, proof })
    }

    /// Makes a change that `decide` derives from the current rows, while no other change runs, here or at another replica. A decided
    /// change goes on when its caller is gone: what is in memory must not stay behind what is on disk.
    pub async fn change<E: From<StoreError>>(
        &self,
        decide: impl Fn(&AccessRows) -> Result<(AccessChange, AuditRecord), E> + Send + Sync,
    ) -> Result<AccessChangeOutcome, E> {
        let changing = Arc::new(Arc::clone(&self.changing).lock_owned().await);
        loop {
            let rows = self.rows();
            let (change, audit) = decide(&rows)?;
            let (store, known, held) = (Arc::clone(&self.store), Arc::clone(&self.known), Arc::clone(&changing));
            let made = tokio::spawn(async move {
                let _changing = held;
                let changed = store.change_access(change, audit, rows.version).await;
                known.read_again(&*store).await;
                changed
            });
            // Another replica was faster: what it has changed may decide otherwise.
            if let Some(outcome) = made.await.unwrap_or(Err(StoreError::Closed))? {
                return Ok(outcome);
            }
        }
    }

    /// Reads again what other replicas have changed, as long as the store tells of it, and what could not be read before.
    pub async fn follow(self: Arc<Self>) {
        let mut changes = self.store.access_changes();
        loop {
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = self.known.unread.notified() => tokio::time::sleep(READ_AGAIN).await,
            }
            let _changing = self.changing.lock().await;
            self.known.read_again(&*self.store).await;
        }
    }
}

impl Known {
    /// Takes what the store holds after a change. When it cannot be read, no users at all: rather that than a user who was just
    /// disabled.
    async fn read_again(&self, store: &dyn AccessStore) {
        let rows = read(store).await.unwrap_or_else(|error| {
            tracing::error!("users, keys and roles cannot be read, nobody is admitted until they can be: {error}");
            self.unread.notify_one();
            AccessRows::default()
        });
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rows);
    }
}

async fn read(store: &dyn AccessStore) -> Result<AccessRows, StoreError> {
    let mut last = store.access().await;
    for _ in 1..READS {
        if last.is_ok() {
            break;
        }
        last = store.access().await;
    }
    last
}
