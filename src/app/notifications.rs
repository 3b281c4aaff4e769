//! The targets of notifications that the configuration names, checked at start: URLs, secrets, authorities and matchers. No error
//! shows a URL or a secret.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;
use secrecy::ExposeSecret;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::AppError;
use super::access_bootstrap::{Owner, first_line};
use crate::clock::Clock;
use crate::config::{AlertmanagerConfig, Config, NotificationConfig, SecretUrl};
use crate::notify::courier::Pace;
use crate::notify::endpoint::Endpoint;
use crate::notify::http_client::HttpClient;
use crate::notify::reminders::HeldServers;
use crate::notify::signature::WebhookSecret;
use crate::notify::silencer::ALERTMANAGER;
use crate::notify::silences::{SilenceRules, templates};
use crate::notify::{Alertmanager, Courier, DescribedTarget, NotificationTargets, Share, Silencer, Webhook};
use crate::store::WholeStore;

/// Most webhooks: each follows the log by itself.
const MOST_WEBHOOKS: usize = 32;
/// Longest name of a target, in bytes.
const LONGEST_NAME: usize = 64;

/// What tells others, not yet running.
pub(super) struct Notifier {
    webhooks: Vec<Arc<Webhook>>,
    alertmanager: Option<Arc<Alertmanager>>,
    store: Arc<dyn WholeStore>,
    clock: Clock,
}

impl Notifier {
    /// Reads the files that the configuration names. Blocks while it reads.
    pub(super) fn open(config: &Config, store: Arc<dyn WholeStore>, clock: Clock) -> Result<Self, AppError> {
        if config.notifications.len() > MOST_WEBHOOKS {
            let error = format!("{} are too many, {MOST_WEBHOOKS} are allowed", config.notifications.len());
            return Err(AppError::Setting { setting: "notifications", error });
        }
        let mut webhooks: Vec<Arc<Webhook>> = Vec::new();
        for config in &config.notifications {
            if webhooks.iter().any(|known| known.name == config.name) {
                return Err(wrong("name", format_args!("{:?} is there twice, name each differently", config.name)));
            }
            webhooks.push(Arc::new(webhook(config)?));
        }
        let alertmanager = config.alertmanager.as_ref().map(|config| alertmanager(config, store.store_id()));
        Ok(Self { webhooks, alertmanager: alertmanager.transpose()?.map(Arc::new), store, clock })
    }

    pub(super) fn targets(&self) -> NotificationTargets {
        let webhooks = self.webhooks.iter().map(|webhook| DescribedTarget::of_webhook(webhook));
        let alertmanager = self.alertmanager.iter().map(|one| DescribedTarget::of_alertmanager(one));
        NotificationTargets::new(self.store.clone(), webhooks.chain(alertmanager).collect())
    }

    /// A task for each target, until `shutdown` or until what is returned is dropped.
    pub(super) fn start(self, held: Arc<dyn HeldServers>, share: Share, shutdown: &CancellationToken) -> JoinSet<()> {
        let mut running = JoinSet::new();
        for webhook in self.webhooks {
            let courier = Courier {
                webhook,
                log: self.store.clone(),
                kept: self.store.clone(),
                held: Arc::clone(&held),
                share: Arc::clone(&share),
                clock: self.clock.clone(),
                pace: Pace::default(),
            };
            running.spawn(courier.run(shutdown.clone()));
        }
        if let Some(alertmanager) = self.alertmanager {
            let (log, kept, clock) = (self.store.clone(), self.store, self.clock);
            let silencer = Silencer { alertmanager, log, kept, share, clock };
            running.spawn(silencer.run(shutdown.clone()));
        }
        running
    }
}

fn wrong(field: &str, what: impl fmt::Display) -> AppError {
    AppError::Setting { setting: "notifications", error: format!("{field}: {what}") }
}

fn webhook(config: &NotificationConfig) -> Result<Webhook, AppError> {
    let NotificationConfig { name, url, secret_file, ca_file, events, clusters, .. } = config;
    let valid = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(valid) || name == ALERTMANAGER {
        let rule = format!("1 to {LONGEST_NAME} letters, digits, '-', '_' or '.', and not {ALERTMANAGER:?}");
        return Err(wrong("name", format_args!("{name:?} cannot be one, which has {rule}")));
    }
    let wrong = |field: &str, what: &dyn fmt::Display| wrong(field, format_args!("that of {name:?} {what}"));
    if events.is_empty() {
        return Err(wrong("events", &"is empty, leave it out to be told of all of them"));
    }
    let secret = first_line(secret_file, Owner::Webhook(name.clone()))?;
    let secret = WebhookSecret::parse(secret.expose_secret())
        .map_err(|error| wrong("secret_file", &format_args!("({}) {error}", secret_file.display())))?;
    let client = client(url, ca_file.as_deref(), config.timeout()).map_err(|(field, error)| wrong(field, &error))?;
    let (events, clusters, nearly) = (events.clone(), clusters.clone(), config.nearly_given_up());
    Ok(Webhook { name: name.clone(), events, clusters, nearly, secret, client })
}

fn alertmanager(config: &AlertmanagerConfig, store_id: &str) -> Result<Alertmanager, AppError> {
    let wrong = |field: &str, what: &dyn fmt::Display| AppError::Setting {
        setting: "alertmanager",
        error: format!("{field}: {what}"),
    };
    let templates = templates(&config.matchers).map_err(|error| wrong("matchers", &error))?;
    let authorization = match &config.authorization_file {
        None => None,
        Some(path) => {
            let line = first_line(path, Owner::Alertmanager)?;
            let mut value = HeaderValue::from_str(line.expose_secret()).map_err(|_| {
                wrong("authorization_file", &format_args!("{} holds no value of a header", path.display()))
            })?;
            value.set_sensitive(true);
            Some(value)
        }
    };
    let client = client(&config.url, config.ca_file.as_deref(), config.timeout());
    let client = client.map_err(|(field, error)| wrong(field, &error))?;
    let rules = SilenceRules { templates, created_by: format!("obsteward {store_id}"), length: config.silence() };
    Ok(Alertmanager { client, authorization, rules })
}

/// An error comes with the setting that it is about.
fn client(
    url: &SecretUrl,
    ca_file: Option<&Path>,
    timeout: std::time::Duration,
) -> Result<HttpClient, (&'static str, String)> {
    let endpoint = Endpoint::parse(url).map_err(|error| ("url", error.to_string()))?;
    HttpClient::new(endpoint, ca_file, timeout).map_err(|error| ("ca_file", error.to_string()))
}
