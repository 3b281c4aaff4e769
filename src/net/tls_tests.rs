//! What files make TLS, what is said of those that do not, and what a change of them does.

use std::fs;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

struct Folder {
    directory: TempDir,
    files: TlsConfig,
}

impl Folder {
    /// With a certificate, its key, and an authority of clients that is not asked for.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let files = TlsConfig {
            cert_file: path("cert.pem"),
            key_file: path("key.pem"),
            client_ca_file: None,
            require_client_certificate: false,
        };
        let this = Self { directory, files };
        this.renew();
        this
    }

    /// Another certificate with its key.
    fn renew(&self) -> (String, String) {
        let (certificate, key) = pair();
        fs::write(&self.files.cert_file, &certificate).unwrap();
        fs::write(&self.files.key_file, &key).unwrap();
        (certificate, key)
    }

    fn open(&self) -> Result<Arc<Tls>, TlsError> {
        Tls::open(&self.files, Protocols::Rest)
    }

    fn error(&self) -> String {
        self.open().err().expect("files that cannot be used").to_string()
    }
}

fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn every_error_names_the_file_and_none_shows_a_key() {
    let folder = Folder::new();
    assert!(folder.open().is_ok());
    let (certificate, key) = folder.renew();
    let (cert_file, key_file) = (folder.files.cert_file.display(), folder.files.key_file.display());

    fs::write(&folder.files.key_file, pair().1).unwrap();
    assert_eq!(folder.error(), format!("the private key in {key_file} does not fit the certificate in {cert_file}"));
    fs::write(&folder.files.key_file, &certificate).unwrap();
    assert_eq!(folder.error(), format!("{key_file} has no private key in PEM"));
    fs::write(&folder.files.key_file, key.replace("PRIVATE", "ENCRYPTED PRIVATE")).unwrap();
    assert!(folder.error().contains(&format!("the private key in {key_file} is encrypted")), "{}", folder.error());
    let secret = key.lines().nth(1).unwrap();
    let damaged = key.replace(secret, &format!("*{secret}"));
    for broken in [damaged, key.replace("-----END", "END"), format!("-----BEGIN {secret}\n{key}")] {
        fs::write(&folder.files.key_file, broken).unwrap();
        let error = folder.error();
        assert!(error.contains(&key_file.to_string()) && !error.contains(secret), "{error}");
    }
    let half: String = key.lines().take(2).chain(["-----END PRIVATE KEY-----"]).collect::<Vec<_>>().join("\n");
    fs::write(&folder.files.key_file, half).unwrap();
    assert!(
        folder.error().starts_with(&format!("the private key in {key_file} cannot be used: ")),
        "{}",
        folder.error()
    );
    fs::remove_file(&folder.files.key_file).unwrap();
    assert!(folder.error().starts_with(&format!("cannot read {key_file}: ")), "{}", folder.error());

    fs::write(&folder.files.key_file, &key).unwrap();
    fs::write(&folder.files.cert_file, &key).unwrap();
    assert_eq!(folder.error(), format!("{cert_file} has no certificate in PEM"));
    fs::write(&folder.files.cert_file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(
        folder.error().starts_with(&format!("the certificate in {cert_file} cannot be used: ")),
        "{}",
        folder.error()
    );
}

#[test]
fn authorities_of_clients_must_be_there_when_certificates_are_required() {
    let mut folder = Folder::new();
    folder.files.require_client_certificate = true;
    assert!(folder.error().contains("needs client_ca_file"));
    let path = folder.directory.path().join("ca.pem");
    folder.files.client_ca_file = Some(path.clone());
    assert!(folder.error().starts_with(&format!("cannot read {}: ", path.display())));
    fs::write(&path, "").unwrap();
    assert_eq!(folder.error(), format!("{} has no certificate in PEM", path.display()));
    fs::write(&path, pair().0).unwrap();
    let config = folder.open().unwrap().current();
    assert_eq!(config.send_tls13_tickets, 0, "no session outlives what proved its client");
    assert!(!config.session_storage.can_cache());
}

#[test]
fn a_change_is_taken_when_it_can_be_used_and_told_once_when_not() {
    let folder = Folder::new();
    let tls = folder.open().unwrap();
    let first = tls.current();
    assert!(matches!(tls.reload(), ReloadOutcome::Same));
    assert!(Arc::ptr_eq(&first, &tls.current()));

    // The certificate is replaced before its key.
    let (certificate, key) = pair();
    fs::write(&folder.files.cert_file, &certificate).unwrap();
    assert!(matches!(tls.reload(), ReloadOutcome::Kept(TlsError::Mismatch { .. })));
    assert!(matches!(tls.reload(), ReloadOutcome::Same), "told again although nothing changed");
    assert!(Arc::ptr_eq(&first, &tls.current()));
    fs::write(&folder.files.key_file, &key).unwrap();
    assert!(matches!(tls.reload(), ReloadOutcome::Taken));
    let second = tls.current();
    assert!(!Arc::ptr_eq(&first, &second));

    fs::remove_file(&folder.files.key_file).unwrap();
    assert!(matches!(tls.reload(), ReloadOutcome::Kept(TlsError::Read { .. })));
    assert!(matches!(tls.reload(), ReloadOutcome::Same));
    // Back as it was: what is in use was made of the same files, and is made again.
    fs::write(&folder.files.key_file, &key).unwrap();
    assert!(matches!(tls.reload(), ReloadOutcome::Taken));
}

#[tokio::test]
async fn files_are_looked_at_by_and_by_and_at_once_when_told() {
    let folder = Folder::new();
    let tls = folder.open().unwrap();
    for every in [Duration::from_millis(1), Duration::from_secs(3600)] {
        let before = tls.current();
        let now = Arc::new(Notify::new());
        let following = tokio::spawn(follow(vec![Arc::clone(&tls)], every, Arc::clone(&now)));
        folder.renew();
        now.notify_one();
        let changed = async {
            while Arc::ptr_eq(&before, &tls.current()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), changed).await.expect("the new files were not taken");
        following.abort();
    }
}
