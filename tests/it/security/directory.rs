//! What is known of users when the store fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use obsteward::access::Directory;
use obsteward::store::StoreError;
use obsteward::store::access::AccessChange;

use crate::support::PATIENCE;
use crate::support::stored_rows::{audit, disable, new_user};
use crate::support::temporary_store::TemporaryStore;

#[tokio::test(start_paused = true)]
async fn nobody_is_admitted_while_users_cannot_be_read_and_everybody_again_once_they_can() {
    let users = vec![AccessChange::CreateUser(new_user("eve")), AccessChange::CreateUser(new_user("gone"))];
    let store = Arc::new(TemporaryStore::with(users, []).await);
    let directory = Directory::open(store.clone()).await.unwrap();
    tokio::spawn(Arc::clone(&directory).follow());
    let disabled = |name: &str| directory.user(&name.parse().unwrap()).map(|user| user.disabled);

    store.switches.access_fails.store(true, Ordering::SeqCst);
    directory.change::<StoreError>(|_| Ok((disable(1002), audit("admin")))).await.unwrap();
    assert_eq!((disabled("eve"), disabled("gone")), (None, None));

    store.switches.access_fails.store(false, Ordering::SeqCst);
    let read = async {
        while disabled("eve").is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
    assert_eq!((disabled("eve"), disabled("gone")), (Some(false), Some(true)));
}
