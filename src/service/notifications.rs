//! ListNotificationTargets, and what notifications are told of servers that are held.

use async_trait::async_trait;

use super::Service;
use super::call::{Caller, ServiceCall};
use super::refusals::store_refusal;
use crate::domain::call::Call;
use crate::domain::refusal::Refusal;
use crate::notify::TargetView;
use crate::notify::reminders::{HeldServers, Hold};

/// Who is notified, and how that goes; ascending by name.
#[derive(Clone, Copy, Debug)]
pub struct ListNotificationTargets;

impl ServiceCall for ListNotificationTargets {
    const CALL: Call = Call::ListNotificationTargets;
    type Subject = ();
    type Output = Vec<TargetView>;

    fn subject(&self, _: &Caller) {}

    async fn run(self, service: &Service, _: &Caller, _: ()) -> Result<Vec<TargetView>, Refusal> {
        service.notifications.list().await.map_err(|error| store_refusal(&error))
    }
}

#[async_trait]
impl HeldServers for Service {
    async fn held_now(&self) -> Result<Vec<Hold>, String> {
        self.holds().await.map_err(|refusal| format!("{refusal:?}"))
    }
}
