//! TLS of connections that we open: which servers we trust, and our own certificate. The files are read again for each
//! connection, so that new ones take effect without a restart; open connections go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

pub use crate::config::ClientTlsConfig;
use crate::net::tls::{TlsError, authorities, certificates, own};

#[derive(Clone, Debug)]
pub struct ClientTls(ClientTlsConfig);

impl ClientTls {
    /// Reads the files once, so that what is wrong with them is known at once. Blocks.
    pub fn open(files: &ClientTlsConfig) -> Result<Self, TlsError> {
        let this = Self(files.clone());
        this.configure()?;
        Ok(this)
    }

    pub const fn files(&self) -> &ClientTlsConfig {
        &self.0
    }

    /// The configuration for a connection that is opened now, for HTTP/2 only. Blocks while it reads.
    pub fn configure(&self) -> Result<ClientConfig, TlsError> {
        let ClientTlsConfig { ca_file, cert_file, key_file } = &self.0;
        let read = |path: &Path| std::fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error });
        let provider = Arc::new(default_provider());
        let roots = authorities(ca_file, &read(ca_file)?)?;
        let own = own(&provider, (cert_file, read(cert_file)?), (key_file, read(key_file)?))?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Setup)?
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Where systems keep the authorities that they trust, in PEM.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What is spoken over a connection, for those who agree on it while they shake hands.
pub const HTTP_1: &[u8] = b"http/1.1";
pub const HTTP_2: &[u8] = b"h2";

/// The configuration for connections to servers that need no certificate of ours, over which `protocol` is spoken: those are trusted
/// whose certificate is of an authority in this file, or of one of the system's without it. Blocks while it reads.
pub fn trusting(ca_file: Option<&Path>, protocol: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error });
    let roots = match ca_file {
        Some(path) => authorities(path, &read(path)?)?,
        None => {
            let there = SYSTEM_AUTHORITIES.iter().map(PathBuf::from).find(|path| path.exists());
            let path = there.unwrap_or_else(|| PathBuf::from(SYSTEM_AUTHORITIES[0]));
            let mut roots = RootCertStore::empty();
            // Of a system's many, one that is of no use takes none of the others away.
            roots.add_parsable_certificates(certificates(&path, &read(&path)?)?);
            roots
        }
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}
