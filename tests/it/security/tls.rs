//! TLS of both faces: who gets in, who does not, what is known of who did, and certificates that are swapped while
//! connections are open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use futures::StreamExt;
use obsteward::app::App;
use obsteward::clock::Clock;
use obsteward::config::{Config, LimitsConfig, UserConfig};
use obsteward::net::bounds::ListenerLimits;
use obsteward::net::connections::{Connection, Connections};
use obsteward::net::http;
use obsteward::net::listener::bind_plaintext;
use obsteward::net::peer::Peer;
use obsteward::net::tls::{Protocols, ReloadOutcome, Tls};
use obsteward::proto::v1;
use obsteward::proto::v1::admin_service_client::AdminServiceClient;
use obsteward::proto::v1::task_service_client::TaskServiceClient;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::certificates::{Authority, Identity, ServerFiles, connect, shown};
use crate::support::http::{get, request};
use crate::support::{PATIENCE, config};

/// A service with TLS on both faces, ended in order when a test is done with it.
struct Service {
    grpc: SocketAddr,
    rest: SocketAddr,
    reload: Arc<Notify>,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
    authority: Authority,
    files: ServerFiles,
    _directory: tempfile::TempDir,
}

impl Service {
    async fn new(change: impl FnOnce(&mut ServerFiles)) -> Self {
        Self::with(change, |_| {}).await
    }

    async fn with(change: impl FnOnce(&mut ServerFiles), configure: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new("servers");
        let mut files = ServerFiles::new(directory.path(), &authority.server());
        change(&mut files);
        let mut config: Config = config(directory.path());
        config.local_agent.state_directory = None;
        config.server.tls = Some(files.config.clone());
        config.rest.listen = Some("127.0.0.1:0".parse().unwrap());
        config.rest.tls = Some(files.config.clone());
        configure(&mut config);
        let app = App::build(&config, Clock::system()).await.unwrap();
        let (grpc, rest) = (app.address(), app.rest_address().unwrap());
        let reload = app.reread_certificates().unwrap();
        let shutdown = CancellationToken::new();
        let told = shutdown.clone();
        let running = tokio::spawn(async move { app.run(told).await.unwrap() });
        Self { grpc, rest, reload, shutdown, running, authority, files, _directory: directory }
    }

    async fn health(&self, trusted: &Authority, own: Option<&Identity>) -> Result<(), String> {
        let mut client = HealthClient::new(channel(self.grpc, trusted, own).await?);
        let request = HealthCheckRequest::default();
        client.check(request).await.map(|_| ()).map_err(|status| status.to_string())
    }

    /// Status of an answer of the gateway to something that it does not have.
    async fn rest(&self, trusted: &Authority, own: Option<&Identity>) -> std::io::Result<u16> {
        let mut stream = connect(self.rest, trusted, own, b"http/1.1").await?;
        Ok(get(&mut stream, "/nothing").await?.status)
    }

    async fn end(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.running).await.expect("it does not end").unwrap();
    }
}

async fn channel(address: SocketAddr, trusted: &Authority, own: Option<&Identity>) -> Result<Channel, String> {
    let mut tls = ClientTlsConfig::new().ca_certificate(trusted.tonic());
    if let Some(own) = own {
        tls = tls.identity(own.tonic());
    }
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
    endpoint.connect().await.map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn who_trusts_the_authority_gets_in_and_who_does_not_stays_out() {
    let service = Service::new(|_| {}).await;
    let other = Authority::new("others");
    assert_eq!(service.health(&service.authority, None).await, Ok(()));
    let refused = service.health(&other, None).await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    assert_eq!(service.rest(&service.authority, None).await.unwrap(), 404);
    let refused = service.rest(&other, None).await.unwrap_err().to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    // HTTP/2 on the gateway, and no HTTP/1.1 where gRPC is spoken.
    let stream = connect(service.rest, &service.authority, None, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(connect(service.grpc, &service.authority, None, b"http/1.1").await.is_err());
    let plain = Endpoint::from_shared(format!("http://{}", service.grpc)).unwrap().connect_lazy();
    assert!(HealthClient::new(plain).check(HealthCheckRequest::default()).await.is_err(), "plaintext is a way in");
    service.end().await;
}

#[tokio::test]
async fn a_required_client_certificate_is_required_on_both_faces() {
    let (clients, others) = (Authority::new("clients"), Authority::new("others"));
    let service = Service::new(|files| _ = files.ask_clients(&clients, true)).await;
    let (known, unknown) = (clients.client("ops.example.com"), others.client("ops.example.com"));
    assert_eq!(service.health(&service.authority, Some(&known)).await, Ok(()));
    assert_eq!(service.rest(&service.authority, Some(&known)).await.unwrap(), 404);
    for own in [None, Some(&unknown)] {
        assert!(service.health(&service.authority, own).await.is_err());
        assert!(service.rest(&service.authority, own).await.is_err());
    }
    service.end().await;
}

/// A listener whose connections come out of a channel, and the TLS of it.
async fn accepting(files: &ServerFiles) -> (SocketAddr, Arc<Tls>, UnboundedReceiver<Connection>) {
    let tls = Tls::open(&files.config, Protocols::Rest).unwrap();
    let (listener, address) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    let bounds = ListenerLimits::from(&LimitsConfig::default());
    let mut connections = Connections::new(listener, Some(Arc::clone(&tls)), bounds);
    let (sender, accepted) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(connection)) = connections.next().await {
            let Ok(()) = sender.send(connection) else { break };
        }
    });
    (address, tls, accepted)
}

/// Whether a client is turned away in its handshake, or at the latest when it wants to read.
async fn turned_away(address: SocketAddr, trusted: &Authority, own: Option<&Identity>) -> bool {
    match connect(address, trusted, own, b"http/1.1").await {
        Ok(mut stream) => get(&mut stream, "/").await.is_err(),
        Err(_) => true,
    }
}

#[tokio::test]
async fn what_a_client_shows_is_verified_and_known() {
    let directory = tempfile::tempdir().unwrap();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let mut files = ServerFiles::new(directory.path(), &servers.server());
    files.ask_clients(&clients, false);
    let (address, _tls, mut accepted) = accepting(&files).await;
    let known = clients.client("ops.example.com");
    for own in [None, Some(&known)] {
        let client = connect(address, &servers, own, b"h2").await.unwrap();
        let connection = accepted.recv().await.unwrap();
        assert_eq!(connection.peer().address, client.get_ref().0.local_addr().unwrap());
        assert_eq!(connection.peer().certificate.as_deref(), own.map(|own| &own.certificate));
    }
    // A certificate that cannot be verified is not as good as none: its connection never comes out.
    let unknown = Authority::new("others").client("ops.example.com");
    assert!(turned_away(address, &servers, Some(&unknown)).await);
    assert!(accepted.try_recv().is_err());
}

#[tokio::test]
async fn the_gateway_finds_the_peer_in_the_request() {
    let directory = tempfile::tempdir().unwrap();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let mut files = ServerFiles::new(directory.path(), &servers.server());
    files.ask_clients(&clients, true);
    let tls = Tls::open(&files.config, Protocols::Rest).unwrap();
    let (listener, address) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    let bounds = ListenerLimits::from(&LimitsConfig::default());
    let known = clients.client("ops.example.com");
    let expected = known.certificate.clone();
    let who = async move |Extension(peer): Extension<Peer>| {
        format!("{} {}", peer.address, peer.certificate.as_deref() == Some(&expected))
    };
    let router = Router::new().route("/who", axum::routing::get(who));
    let connections = Connections::new(listener, Some(tls), bounds);
    tokio::spawn(http::serve(connections, router, Protocols::Rest, bounds, CancellationToken::new()));
    let mut client = connect(address, &servers, Some(&known), b"http/1.1").await.unwrap();
    let own = client.get_ref().0.local_addr().unwrap();
    assert_eq!(get(&mut client, "/who").await.unwrap().body, format!("{own} true"));
}

#[tokio::test]
async fn new_files_hold_for_new_connections_and_open_ones_go_on() {
    let service = Service::new(|_| {}).await;
    let old = connect(service.rest, &service.authority, None, b"http/1.1").await.unwrap();
    let old_certificate = shown(&old);
    let mut old_rest = old;
    let mut watcher = HealthClient::new(channel(service.grpc, &service.authority, None).await.unwrap());
    let mut watched = watcher.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    // What cannot be used changes nothing. The next look comes after the broken one: the same task does both.
    std::fs::write(&service.files.config.key_file, "nothing").unwrap();
    service.reload.notify_one();
    assert_eq!(service.rest(&service.authority, None).await.unwrap(), 404);

    let new = Authority::new("new servers");
    service.files.write(&new.server());
    service.reload.notify_one();
    for address in [service.grpc, service.rest] {
        let changed = async {
            loop {
                match connect(address, &new, None, b"h2").await {
                    Ok(stream) => return shown(&stream),
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let certificate = tokio::time::timeout(PATIENCE, changed).await.expect("the new certificate is not used");
        assert_ne!(certificate, old_certificate);
        assert!(connect(address, &service.authority, None, b"h2").await.is_err(), "the old one is still shown");
    }

    assert_eq!(get(&mut old_rest, "/nothing").await.unwrap().status, 404, "the open connection was cut");
    service.shutdown.cancel();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing, "the open watch was cut");
    // A watch of health has no end; the service would wait for it as long as it waits for anybody.
    drop((watched, watcher, old_rest));
    service.end().await;
}

#[tokio::test]
async fn a_broken_file_keeps_what_was_and_other_authorities_end_what_they_proved() {
    let directory = tempfile::tempdir().unwrap();
    let (servers, clients, others) = (Authority::new("servers"), Authority::new("clients"), Authority::new("others"));
    let mut files = ServerFiles::new(directory.path(), &servers.server());
    let ca = files.ask_clients(&clients, true);
    let (address, tls, mut accepted) = accepting(&files).await;
    let known = clients.client("ops.example.com");
    for (path, text) in [(&files.config.key_file, "nothing"), (&files.config.cert_file, ""), (&ca, "nothing")] {
        std::fs::write(path, text).unwrap();
        assert!(matches!(tls.reload(), ReloadOutcome::Kept(_)), "{path:?}");
        let _client = connect(address, &servers, Some(&known), b"h2").await.unwrap();
        assert!(accepted.recv().await.unwrap().peer().certificate.is_some());
    }
    files.write(&servers.server());
    std::fs::write(&ca, &others.pem).unwrap();
    assert!(matches!(tls.reload(), ReloadOutcome::Taken));
    assert!(turned_away(address, &servers, Some(&known)).await, "who was proven by the old authority still is");
    let _client = connect(address, &servers, Some(&others.client("ops.example.com")), b"h2").await.unwrap();
    assert!(accepted.recv().await.unwrap().peer().certificate.is_some());
}

#[tokio::test]
async fn a_client_certificate_proves_its_user_on_both_faces() {
    let clients = Authority::new("clients");
    let user = |name: &str, role: &str| UserConfig {
        name: name.to_owned(),
        roles: vec![role.to_owned()],
        password_file: None,
        password_hash: None,
        certificate_names: vec![format!("DNS:{name}.example.com")],
    };
    let configure = |config: &mut Config| {
        config.auth.enabled = true;
        config.auth.users = vec![user("ops", "ADMIN"), user("dashboard", "CLUSTER_VIEWER")];
    };
    let ask = |files: &mut ServerFiles| {
        files.ask_clients(&clients, false);
    };
    let service = Service::with(ask, configure).await;
    let ops = clients.client("ops.example.com");
    let dashboard = clients.client("dashboard.example.com");
    let stranger = clients.client("stranger.example.com");
    for (own, tasks, users) in [
        (Some(&ops), Code::Ok, Code::Ok),
        (Some(&dashboard), Code::Ok, Code::PermissionDenied),
        (Some(&stranger), Code::Unauthenticated, Code::Unauthenticated),
        (None, Code::Unauthenticated, Code::Unauthenticated),
    ] {
        let channel = channel(service.grpc, &service.authority, own).await.unwrap();
        let listed = TaskServiceClient::new(channel.clone()).list_tasks(v1::ListTasksRequest::default()).await;
        assert_eq!(listed.map_or_else(|status| status.code(), |_| Code::Ok), tasks);
        let listed = AdminServiceClient::new(channel).list_users(v1::ListUsersRequest::default()).await;
        assert_eq!(listed.map_or_else(|status| status.code(), |_| Code::Ok), users);
        let mut stream = connect(service.rest, &service.authority, own, b"http/1.1").await.unwrap();
        let answer = get(&mut stream, "/api/v2/tasks/instances").await.unwrap();
        assert_eq!(answer.status, if tasks == Code::Ok { 200 } else { 401 });
    }
    let mut stream = connect(service.rest, &service.authority, Some(&dashboard), b"http/1.1").await.unwrap();
    let stop = request(&mut stream, "POST", "/api/v2/ob/clusters/1/servers/1/stop", &[], "").await.unwrap();
    assert_eq!(stop.status, 403);
    service.end().await;
}
