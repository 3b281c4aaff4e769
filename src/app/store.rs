//! Opens the store that the configuration names: the embedded one, or the shared one of several replicas.

use std::sync::Arc;

use secrecy::SecretString;

use super::AppError;
use super::access_bootstrap::{Owner, first_line};
use crate::clock::Clock;
use crate::config::{StoreConfig, StoreTlsConfig};
use crate::store::WholeStore;
use crate::store::key_source::{KEY_VARIABLE, KeySource};
use crate::store::mysql::{MysqlOptions, MysqlStore, StoreTls};
use crate::store::replicas::ReplicaName;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::telemetry::metrics::StoreMetrics;

pub(super) async fn open(
    config: &StoreConfig,
    replica: ReplicaName,
    clock: Clock,
    metrics: StoreMetrics,
) -> Result<Arc<dyn WholeStore>, AppError> {
    match shared(config, replica.clone())? {
        Some(options) => Ok(MysqlStore::open(MysqlOptions { metrics, ..options }, clock).await?),
        None => {
            let options = SqliteOptions { key: key(config), replica, metrics, ..SqliteOptions::default() };
            Ok(SqliteStore::open(&config.path, options)?)
        }
    }
}

/// Where the shared store is; `None`: the store is embedded.
pub fn shared(config: &StoreConfig, replica: ReplicaName) -> Result<Option<MysqlOptions>, AppError> {
    let Some(url) = &config.url else { return Ok(None) };
    let mut options = MysqlOptions::from_url(url.expose())?;
    if let Some(path) = &config.password_file {
        options.password = Some(first_line(path, Owner::Store)?);
    }
    options.tls = config.tls.as_ref().map(tls).transpose()?;
    options.tail_interval = config.tail_interval();
    Ok(Some(MysqlOptions { key: key(config), replica, ..options }))
}

fn tls(config: &StoreTlsConfig) -> Result<StoreTls, AppError> {
    let StoreTlsConfig { ca_file, cert_file, key_file } = config.clone();
    let identity = match (cert_file, key_file) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let error = "cert_file: give it together with key_file, or neither".to_owned();
            return Err(AppError::Setting { setting: "store.tls", error });
        }
    };
    Ok(StoreTls { ca_file, identity })
}

/// The environment variable of the key has precedence over the file.
fn key(config: &StoreConfig) -> KeySource {
    let given = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty());
    match (given, &config.key_file) {
        (Some(key), _) => KeySource::Given(SecretString::from(key)),
        (None, Some(path)) => KeySource::File(path.clone()),
        (None, None) => KeySource::BesideStore,
    }
}
