//! TLS of a listener, from PEM files that are read again when they change. A new certificate, key or authority holds
//! for the handshakes that follow; open connections go on. Files that cannot be used are reported and never taken.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use ring::digest::{Context, Digest, SHA256};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tracing::{error, info};

pub use crate::config::TlsConfig;

/// How often the files are looked at.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// The application protocols that ALPN offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/2 only.
    Grpc,
    /// HTTP/2 or HTTP/1.1.
    Rest,
}

impl Protocols {
    fn names(self) -> Vec<Vec<u8>> {
        match self {
            Self::Grpc => vec![b"h2".to_vec()],
            Self::Rest => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// Why files cannot be used for TLS. Names the file; never shows what is in it.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("cannot read {path}: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("{path} is damaged, its PEM cannot be read")]
    Damaged { path: PathBuf },
    /// It has no such PEM section.
    #[error("{path} has no {what} in PEM")]
    Missing { path: PathBuf, what: Kind },
    /// The key needs a passphrase.
    #[error("the private key in {path} is encrypted, give one without a passphrase that only the service can read")]
    Encrypted { path: PathBuf },
    /// What is in it is no valid certificate or key.
    #[error("the {what} in {path} cannot be used: {error}")]
    Unusable { path: PathBuf, what: Kind, error: rustls::Error },
    /// Key and certificate do not belong together.
    #[error("the private key in {key} does not fit the certificate in {certificate}")]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("the certificates in {path} cannot be authorities of clients: {error}")]
    Authorities { path: PathBuf, error: rustls::server::VerifierBuilderError },
    /// No client could be verified.
    #[error(
        "require_client_certificate needs client_ca_file, the authorities that client certificates are verified by"
    )]
    NoAuthorities,
    /// The TLS library does not support it.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// What a file is expected to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Certificate,
    PrivateKey,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Certificate => "certificate",
            Self::PrivateKey => "private key",
        })
    }
}

/// The result of reading the files again.
#[derive(Debug)]
pub enum ReloadOutcome {
    /// They did not change, whether or not they can be used.
    Same,
    /// They changed and are in use from now on.
    Taken,
    /// They cannot be used; the earlier ones stay in use.
    Kept(TlsError),
}

pub struct Tls {
    files: TlsConfig,
    protocols: Protocols,
    current: RwLock<Arc<ServerConfig>>,
    /// What was read last, in use or not.
    read: Mutex<Digest>,
}

impl Tls {
    pub fn open(files: &TlsConfig, protocols: Protocols) -> Result<Arc<Self>, TlsError> {
        let contents = Contents::read(files);
        let digest = contents.digest();
        let current = RwLock::new(Arc::new(contents.configure(files, protocols)?));
        Ok(Arc::new(Self { files: files.clone(), protocols, current, read: Mutex::new(digest) }))
    }

    /// The configuration for a handshake that begins now.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files, and uses them if they changed and can be used. Blocks while it reads.
    pub fn reload(&self) -> ReloadOutcome {
        let mut last = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = Contents::read(&self.files);
        let digest = contents.digest();
        if digest.as_ref() == last.as_ref() {
            return ReloadOutcome::Same;
        }
        *last = digest;
        match contents.configure(&self.files, self.protocols) {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                ReloadOutcome::Taken
            }
            Err(error) => ReloadOutcome::Kept(error),
        }
    }
}

/// Reads the files of all these again every `every`, and at once when `now` is notified. Logs what came of it. Never returns.
pub async fn follow(all: Vec<Arc<Tls>>, every: Duration, now: Arc<Notify>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = now.notified() => {}
        }
        for tls in &all {
            let (looking, certificate) = (Arc::clone(tls), tls.files.cert_file.display());
            match tokio::task::spawn_blocking(move || looking.reload()).await {
                Ok(ReloadOutcome::Same) => {}
                Ok(ReloadOutcome::Taken) => info!(%certificate, "new connections use the new TLS files"),
                Ok(ReloadOutcome::Kept(error)) => {
                    error!(%certificate, "the TLS files changed and cannot be used, the old ones stay: {error}");
                }
                Err(error) => error!(%certificate, "the TLS files could not be looked at: {error}"),
            }
        }
    }
}

/// Bytes of the files, or why they cannot be read.
struct Contents {
    certificate: io::Result<Vec<u8>>,
    key: io::Result<Vec<u8>>,
    authorities: Option<io::Result<Vec<u8>>>,
}

impl Contents {
    fn read(files: &TlsConfig) -> Self {
        Self {
            certificate: std::fs::read(&files.cert_file),
            key: std::fs::read(&files.key_file),
            authorities: files.client_ca_file.as_ref().map(std::fs::read),
        }
    }

    /// Differs when anything in or about the files does.
    fn digest(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        for file in [Some(&self.certificate), Some(&self.key), self.authorities.as_ref()] {
            match file {
                None => context.update(b"none"),
                Some(Ok(bytes)) => {
                    context.update(b"file");
                    context.update(&bytes.len().to_le_bytes());
                    context.update(bytes);
                }
                Some(Err(error)) => {
                    context.update(b"fail");
                    context.update(&error.raw_os_error().unwrap_or_default().to_le_bytes());
                }
            }
        }
        context.finish()
    }

    fn configure(self, files: &TlsConfig, protocols: Protocols) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(default_provider());
        let read = |path: &Path, contents: io::Result<Vec<u8>>| {
            contents.map_err(|error| TlsError::Read { path: path.to_owned(), error })
        };
        let certificate = (&*files.cert_file, read(&files.cert_file, self.certificate)?);
        let own = own(&provider, certificate, (&*files.key_file, read(&files.key_file, self.key)?))?;
        let verifier: Option<Arc<dyn ClientCertVerifier>> = match (&files.client_ca_file, self.authorities) {
            (Some(path), Some(contents)) => {
                let roots = authorities(path, &read(path, contents)?)?;
                let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
                let builder = if files.require_client_certificate { builder } else { builder.allow_unauthenticated() };
                Some(builder.build().map_err(|error| TlsError::Authorities { path: path.clone(), error })?)
            }
            (None, _) | (_, None) if files.require_client_certificate => return Err(TlsError::NoAuthorities),
            (None, _) | (_, None) => None,
        };
        let asks_for_certificates = verifier.is_some();
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Setup)?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
        config.alpn_protocols = protocols.names();
        if asks_for_certificates {
            // Sessions cannot be resumed: a resumed one is not verified again, and would outlive the certificate that
            // authenticated it and what the authorities say of it now.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }
}

/// A certificate with its key, each from the contents of its file.
pub(super) fn own(
    provider: &CryptoProvider,
    (cert_file, certificate): (&Path, Vec<u8>),
    (key_file, key): (&Path, Vec<u8>),
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(cert_file, &certificate)?;
    let key = private_key(key_file, &key)?;
    let unusable = |path: &Path, what, error| TlsError::Unusable { path: path.to_owned(), what, error };
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|error| unusable(key_file, Kind::PrivateKey, error))?;
    let own = CertifiedKey::new(chain, key);
    own.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { certificate: cert_file.to_owned(), key: key_file.to_owned() }
        }
        error => unusable(cert_file, Kind::Certificate, error),
    })?;
    Ok(own)
}

pub(super) fn certificates(path: &Path, contents: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(contents).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(TlsError::Missing { path: path.to_owned(), what: Kind::Certificate })
        }
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(TlsError::Damaged { path: path.to_owned() }),
    }
}

fn private_key(path: &Path, contents: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    match PrivateKeyDer::from_pem_slice(contents) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => {
            const ENCRYPTED: &[u8] = b"ENCRYPTED PRIVATE KEY";
            if contents.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED) {
                Err(TlsError::Encrypted { path: path.to_owned() })
            } else {
                Err(TlsError::Missing { path: path.to_owned(), what: Kind::PrivateKey })
            }
        }
        // The error's text may show a piece of the key.
        Err(_) => Err(TlsError::Damaged { path: path.to_owned() }),
    }
}

/// The authorities in the contents of a file.
pub(super) fn authorities(path: &Path, contents: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, contents)? {
        roots.add(certificate).map_err(|error| TlsError::Unusable {
            path: path.to_owned(),
            what: Kind::Certificate,
            error,
        })?;
    }
    Ok(roots)
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
