//! Certificate authorities and what they sign, in files as a listener reads them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use obsteward::config::TlsConfig;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A certificate with its key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub certificate_pem: String,
    pub key: KeyPair,
}

impl Identity {
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    /// For tonic's clients.
    pub fn tonic(&self) -> tonic::transport::Identity {
        tonic::transport::Identity::from_pem(&self.certificate_pem, self.key.serialize_pem())
    }
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: CertificateDer<'static>,
    pub pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), certificate: der, pem }
    }

    /// A certificate for these names.
    pub fn sign(&self, names: Vec<SanType>) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.der().clone(), certificate_pem: certificate.pem(), key }
    }

    /// A certificate for servers on 127.0.0.1.
    pub fn server(&self) -> Identity {
        self.sign(vec![SanType::IpAddress([127, 0, 0, 1].into())])
    }

    /// A certificate for a client of this name.
    pub fn client(&self, name: &str) -> Identity {
        self.sign(vec![SanType::DnsName(name.try_into().unwrap())])
    }

    /// For tonic's clients.
    pub fn tonic(&self) -> tonic::transport::Certificate {
        tonic::transport::Certificate::from_pem(&self.pem)
    }
}

/// Files of a listener in a folder.
pub struct ServerFiles {
    pub config: TlsConfig,
}

impl ServerFiles {
    pub fn new(directory: &Path, identity: &Identity) -> Self {
        let path = |name: &str| directory.join(name);
        let config = TlsConfig {
            cert_file: path("server.pem"),
            key_file: path("server.key"),
            client_ca_file: None,
            require_client_certificate: false,
        };
        let this = Self { config };
        this.write(identity);
        this
    }

    /// Puts another certificate there.
    pub fn write(&self, identity: &Identity) {
        std::fs::write(&self.config.cert_file, &identity.certificate_pem).unwrap();
        std::fs::write(&self.config.key_file, identity.key.serialize_pem()).unwrap();
    }

    /// Asks clients for certificates of an authority.
    pub fn ask_clients(&mut self, authority: &Authority, required: bool) -> PathBuf {
        let path = self.config.cert_file.with_file_name("clients.pem");
        std::fs::write(&path, &authority.pem).unwrap();
        self.config.client_ca_file = Some(path.clone());
        self.config.require_client_certificate = required;
        path
    }
}

/// Connects with TLS, trusting one authority; with a certificate of one's own or none. TLS 1.3 tells a server's refusal of
/// the latter only with the first bytes that are read.
pub async fn connect(
    address: std::net::SocketAddr,
    trusted: &Authority,
    own: Option<&Identity>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    secure(TcpStream::connect(address).await?, trusted, own, protocol).await
}

/// The same over a connection that is there.
pub async fn secure(
    stream: TcpStream,
    trusted: &Authority,
    own: Option<&Identity>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.certificate.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_auth_cert(vec![own.certificate.clone()], own.key_der()).unwrap(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The certificate that the server showed.
pub fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}
