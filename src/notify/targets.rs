//! The targets as they are shown: what the configuration says of each, without what may be secret, and where it stands.

use std::sync::Arc;

use crate::config::NotifiedOf;
use crate::notify::courier::Webhook;
use crate::notify::silencer::{ALERTMANAGER, Alertmanager};
use crate::store::StoreError;
use crate::store::notifications::{NotificationRow, NotificationStore};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    Webhook,
    Alertmanager,
}

/// A target of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedTarget {
    pub name: String,
    pub kind: TargetKind,
    /// `https://host:port`.
    pub host: String,
    pub events: Vec<NotifiedOf>,
    /// Empty: all.
    pub clusters: Vec<String>,
}

/// A target, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetView {
    pub target: DescribedTarget,
    /// `None`: nothing has been tried yet.
    pub standing: Option<NotificationRow>,
}

impl DescribedTarget {
    pub fn of_webhook(webhook: &Webhook) -> Self {
        Self {
            name: webhook.name.clone(),
            kind: TargetKind::Webhook,
            host: webhook.client.endpoint.to_string(),
            events: webhook.events.clone(),
            clusters: webhook.clusters.clone(),
        }
    }

    pub fn of_alertmanager(alertmanager: &Alertmanager) -> Self {
        Self {
            name: ALERTMANAGER.to_owned(),
            kind: TargetKind::Alertmanager,
            host: alertmanager.client.endpoint.to_string(),
            events: Vec::new(),
            clusters: Vec::new(),
        }
    }
}

/// All targets; there are none by default.
#[derive(Clone, Default)]
pub struct NotificationTargets {
    /// `None`: there are no targets.
    store: Option<Arc<dyn NotificationStore>>,
    targets: Arc<[DescribedTarget]>,
}

impl NotificationTargets {
    pub fn new(store: Arc<dyn NotificationStore>, targets: Vec<DescribedTarget>) -> Self {
        Self { store: Some(store).filter(|_| !targets.is_empty()), targets: targets.into() }
    }

    /// Those of this replica's configuration, each as whichever replica tells it has kept it. Ascending by name.
    pub async fn list(&self) -> Result<Vec<TargetView>, StoreError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let rows = store.notification_rows().await?;
        let view = |target: &DescribedTarget| TargetView {
            standing: rows.iter().find(|row| row.target == target.name).cloned(),
            target: target.clone(),
        };
        let mut views: Vec<TargetView> = self.targets.iter().map(view).collect();
        views.sort_by(|one, other| one.target.name.cmp(&other.target.name));
        Ok(views)
    }
}
