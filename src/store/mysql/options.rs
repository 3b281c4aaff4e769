//! Where the shared database is, and how it is logged in to.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mysql_async::{ClientIdentity, Opts, SslOpts};
use secrecy::SecretString;

use super::schema::Schema;
use crate::store::StoreError;
use crate::store::key_source::KeySource;
use crate::store::replicas::ReplicaName;
use crate::telemetry::metrics::StoreMetrics;

/// TLS with the database. The files are read again for each session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreTls {
    /// Authorities of the database's certificate, in PEM.
    pub ca_file: PathBuf,
    /// Own certificate with its chain and its private key, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl StoreTls {
    pub(super) fn ssl_opts(&self) -> SslOpts {
        let identity = self.identity.clone().map(|(cert, key)| ClientIdentity::new(cert.into(), key.into()));
        SslOpts::default()
            .with_disable_built_in_roots(true)
            .with_root_certs(vec![self.ca_file.clone().into()])
            .with_client_identity(identity)
    }
}

#[derive(Clone, Debug)]
pub struct MysqlOptions {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<SecretString>,
    pub database: String,
    /// `None`: in plaintext.
    pub tls: Option<StoreTls>,
    pub key: KeySource,
    /// Sessions that read at the same time.
    pub readers: usize,
    /// How often the log of events is looked at while something goes on.
    pub tail_interval: Duration,
    pub replica: ReplicaName,
    pub schema: Schema,
    pub metrics: StoreMetrics,
}

impl MysqlOptions {
    /// From `mysql://user[:password]@host[:port]/database`; the rest as by default.
    pub fn from_url(url: &str) -> Result<Self, StoreError> {
        // The URL may hold a password, and is not shown.
        let wrong = |what: &str| {
            StoreError::Open(format!("store.url is not mysql://user[:password]@host[:port]/database, {what}"))
        };
        let opts = Opts::from_url(url).map_err(|error| wrong(&error.to_string()))?;
        let user = opts.user().ok_or_else(|| wrong("it names no user"))?.to_owned();
        let database = opts.db_name().filter(|name| !name.is_empty()).ok_or_else(|| wrong("it names no database"))?;
        if database.contains('`') {
            return Err(wrong("the name of the database holds a `"));
        }
        Ok(Self {
            host: opts.ip_or_hostname().to_owned(),
            port: opts.tcp_port(),
            user,
            password: opts.pass().map(SecretString::from),
            database: database.to_owned(),
            tls: None,
            key: KeySource::default(),
            readers: 8,
            tail_interval: Duration::from_millis(100),
            replica: ReplicaName::default(),
            schema: Schema::default(),
            metrics: StoreMetrics::default(),
        })
    }
}

impl fmt::Display for MysqlOptions {
    /// Without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, host, port, database, .. } = self;
        write!(formatter, "mysql://{user}@{host}:{port}/{database}")
    }
}
