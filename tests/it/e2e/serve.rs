//! `obsteward serve` as a program: where it does not start and what it says then, what it tells of its listeners, and what
//! its signals do.

use std::path::Path;

use rustix::process::Signal;

use crate::support::certificates::{Authority, ServerFiles, connect};
use crate::support::http::get;
use crate::support::program::{Started, end_of, obsteward};

fn store(directory: &Path) -> String {
    format!("--store {}", directory.join("obsteward.db").display())
}

#[tokio::test]
async fn it_does_not_start_without_an_administrator_or_without_protection() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let refused = async |flags: &str| {
        let ended = end_of(obsteward(&format!("serve {store} {flags}"))).await;
        assert_ne!(ended.code, Some(0), "{flags}");
        assert!(!ended.err.contains("listening on"), "{}", ended.err);
        ended.err
    };
    let said = refused("--listen 127.0.0.1:0").await;
    for words in ["[[auth.users]]", "roles = [\"ADMIN\"]", "auth.enabled = false", "--no-auth"] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    let said = refused("--no-auth --listen 0.0.0.0:0").await;
    assert!(said.contains("without TLS and with nothing that authenticates callers"), "{said}");
    assert!(said.contains("server.insecure_listen = true"), "{said}");
    let said = refused("--no-auth --listen 127.0.0.1:0 --rest-listen 0.0.0.0:0").await;
    assert!(said.contains("rest.insecure_listen = true"), "{said}");

    let config = directory.path().join("obsteward.toml");
    std::fs::write(&config, "[metrics]\nlisten = \"0.0.0.0:0\"\n").unwrap();
    let said = refused(&format!("--no-auth --listen 127.0.0.1:0 --config {}", config.display())).await;
    assert!(said.contains("metrics.insecure_listen = true"), "{said}");
    let authority = Authority::new("servers");
    let files = ServerFiles::new(directory.path(), &authority.server());
    let tls = |section: &str| {
        let (certificate, key) = (files.config.cert_file.display(), files.config.key_file.display());
        let text = format!("[{section}.tls]\ncert_file = \"{certificate}\"\nkey_file = \"{key}\"\n");
        std::fs::write(&config, text).unwrap();
        format!("--no-auth --config {}", config.display())
    };
    let said = refused(&format!("{} --listen 0.0.0.0:0", tls("server"))).await;
    assert!(said.contains("with nothing that authenticates callers") && !said.contains("without TLS"), "{said}");
    std::fs::write(&files.config.key_file, "nothing").unwrap();
    for section in ["server", "rest"] {
        let said = refused(&format!("{} --listen 127.0.0.1:0 --rest-listen 127.0.0.1:0", tls(section))).await;
        let key = files.config.key_file.display();
        assert!(said.contains(&format!("{section}.tls: {key} has no private key in PEM")), "{said}");
    }
}

#[tokio::test]
async fn it_tells_both_listeners_and_takes_new_certificates_at_a_hangup() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("servers");
    let files = ServerFiles::new(directory.path(), &authority.server());
    let config = directory.path().join("obsteward.toml");
    let (certificate, key) = (files.config.cert_file.display(), files.config.key_file.display());
    let text = format!("[rest.tls]\ncert_file = \"{certificate}\"\nkey_file = \"{key}\"\n[sync]\nenabled = false\n");
    std::fs::write(&config, text).unwrap();
    let flags = "--no-auth --listen 127.0.0.1:0 --rest-listen 127.0.0.1:0";
    let line = format!("serve {flags} --config {} {}", config.display(), store(directory.path()));
    let mut started = Started::of(obsteward(&line));
    let listening = started.err_until(|line| line.starts_with("REST gateway on ")).await;
    assert!(listening.iter().any(|line| line.starts_with("listening on 127.0.0.1:")), "{listening:#?}");
    let address = listening.last().unwrap().trim_start_matches("REST gateway on ").parse().unwrap();
    let mut stream = connect(address, &authority, None, b"http/1.1").await.unwrap();
    assert_eq!(get(&mut stream, "/nothing").await.unwrap().status, 404);
    let new = Authority::new("new servers");
    files.write(&new.server());
    started.signal(Signal::HUP);
    started.err_until(|line| line.contains("new connections use the new TLS files")).await;
    assert!(connect(address, &new, None, b"http/1.1").await.is_ok());
    assert_eq!(get(&mut stream, "/nothing").await.unwrap().status, 404, "the open connection was cut");
    started.signal(Signal::TERM);
    started.ended().await.with(0);
}

/// A terminal that closes, or a script that rotates logs, does not take service or agent away.
#[tokio::test]
async fn a_hangup_ends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let agent = format!("agent --listen 127.0.0.1:0 --state-directory {}", directory.path().join("agent").display());
    let serve = format!("serve --no-auth --listen 127.0.0.1:0 {}", store(directory.path()));
    for line in [serve, agent] {
        let mut started = Started::of(obsteward(&line));
        started.err_until(|line| line.contains("listening on")).await;
        started.signal(Signal::HUP);
        started.signal(Signal::TERM);
        let ended = started.ended().await;
        assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
    }
}
