//! Where a store lives: a shared one may be a tenant of an OceanBase cluster that this service tends.

use async_trait::async_trait;

use crate::domain::store_home::StoreHome;

#[async_trait]
pub trait Located: Send + Sync {
    /// Asked again before every stop, and answered within moments: of a store that does not tell now, with what it told last.
    async fn home(&self) -> StoreHome;
}
