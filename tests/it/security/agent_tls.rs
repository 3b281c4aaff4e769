//! TLS between service and agent: one client is accepted and no other, every way in which it fails is told apart, nobody falls
//! back to plaintext, and an agent that is started again remembers what it must.

use std::net::SocketAddr;
use std::path::Path;

use obsteward::agent::grpc::{BOUNDS, serve, serve_clients};
use obsteward::agent::{Agent, AgentConfig, Clients};
use obsteward::config::ClientTlsConfig;
use obsteward::host::{AgentHosts, Host, HostAddress, Hosts};
use obsteward::net::client_tls::ClientTls;
use obsteward::net::connections::Connections;
use obsteward::net::listener::bind_plaintext;
use obsteward::net::tls::{Protocols, Tls};
use obsteward::proto::agent_v1 as agent;
use obsteward::proto::agent_v1::host_agent_service_client::HostAgentServiceClient;
use obsteward::proto::v1;
use obsteward::sim::{SimCluster, SimOptions, SimServerInfo};
use rcgen::SanType;
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tonic::Code;
use tonic::transport::{Channel, ClientTlsConfig as TonicTls, Endpoint};

use crate::support::certificates::{Authority, Identity, ServerFiles, connect};
use crate::support::hosts::{by_grpc, look};
use crate::support::program::{Started, obsteward};
use crate::support::{Before, Stage, is_alive, quick, reason};

const CLIENT: &str = "obsteward.example.com";

/// Files of the service, which trusts an authority and shows a certificate.
pub fn client_files(directory: &Path, trusted: &Authority, own: &Identity) -> ClientTlsConfig {
    let path = |name: &str| directory.join(name);
    let files =
        ClientTlsConfig { ca_file: path("agents.pem"), cert_file: path("service.pem"), key_file: path("service.key") };
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(&files.ca_file, &trusted.pem).unwrap();
    std::fs::write(&files.cert_file, &own.certificate_pem).unwrap();
    std::fs::write(&files.key_file, own.key.serialize_pem()).unwrap();
    files
}

/// Files of an agent that takes certificates of an authority.
fn agent_files(directory: &Path, own: &Identity, clients: &Authority) -> ServerFiles {
    std::fs::create_dir_all(directory).unwrap();
    let mut files = ServerFiles::new(directory, own);
    files.ask_clients(clients, true);
    files
}

/// An agent in this process.
async fn serving(directory: &Path, tls: Option<&ServerFiles>) -> SocketAddr {
    let (listener, address) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    let agent = Agent::new(AgentConfig::new(directory.join(address.port().to_string()))).unwrap();
    match tls {
        None => drop(tokio::spawn(serve(agent, listener, std::future::pending()))),
        Some(files) => {
            let tls = Tls::open(&files.config, Protocols::Grpc).unwrap();
            let connections = Connections::new(listener, Some(tls), BOUNDS);
            let clients = Clients::named(&format!("DNS:{CLIENT}")).unwrap();
            drop(tokio::spawn(serve_clients(agent, connections, clients, std::future::pending())));
        }
    }
    address
}

/// The way to an agent, with files of one's own or in plaintext.
fn host(address: SocketAddr, files: Option<&ClientTlsConfig>) -> std::sync::Arc<dyn Host> {
    let tls = files.map(|files| ClientTls::open(files).unwrap());
    AgentHosts::new(None).with_tls(tls).host(&HostAddress::Grpc { address: address.to_string() })
}

#[tokio::test]
async fn one_client_gets_in_and_each_way_of_staying_out_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (agents, services, others) = (Authority::new("agents"), Authority::new("services"), Authority::new("others"));
    let right = services.client(CLIENT);
    let good = client_files(&path("good"), &agents, &right);
    let wrong_name = client_files(&path("wrong name"), &agents, &services.client("other.example.com"));
    let stranger = client_files(&path("stranger"), &agents, &others.client(CLIENT));
    let trusts_others = client_files(&path("trusts others"), &others, &right);

    let secure = serving(directory.path(), Some(&agent_files(&path("agent"), &agents.server(), &services))).await;
    let elsewhere = agents.sign(vec![SanType::IpAddress([10, 0, 0, 9].into())]);
    let misplaced = serving(directory.path(), Some(&agent_files(&path("misplaced"), &elsewhere, &services))).await;
    let plain = serving(directory.path(), None).await;
    // Takes connections and never says a word; and an address where nobody is.
    let (mute, mute_address) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();

    assert_eq!(look(&*host(secure, Some(&good))).await, Ok(()));
    assert_eq!(look(&*host(plain, None)).await, Ok(()));
    let refused = [
        (
            secure,
            Some(&wrong_name),
            "takes calls of DNS:obsteward.example.com only and the certificate that was shown is of DNS:other.example.com",
        ),
        (secure, Some(&stranger), "its --client-ca does not have the authority that signed it"),
        (secure, Some(&trusts_others), "its certificate is not signed by an authority in"),
        (misplaced, Some(&good), "its certificate is not for 127.0.0.1"),
        (secure, None, "it expects TLS and the service speaks plaintext"),
        (plain, Some(&good), "it does not speak TLS"),
        (mute_address, None, "it takes connections and says nothing"),
        (mute_address, Some(&good), "no connection within 2s"),
        (nobody, Some(&good), "cannot connect: "),
    ];
    let looks = refused.map(async |(address, files, words)| (words, look(&*host(address, files)).await.unwrap_err()));
    for (words, said) in futures::future::join_all(looks).await {
        let others = refused.iter().filter(|(_, _, others)| said.contains(others)).count();
        assert!(said.contains(words) && others == 1, "{words:?} alone is not in {said:?}");
    }
    drop(mute);

    // A client without a certificate does not even get an answer; one of another name gets one that programs understand.
    let mut alone = connect(secure, &agents, None, b"h2").await.unwrap();
    let refused = alone.read_u8().await.unwrap_err().to_string();
    assert!(refused.contains("CertificateRequired"), "{refused}");
    let named = raw(secure, &agents, &services.client("other.example.com"));
    let refused = HostAgentServiceClient::new(named).find_observer(agent::FindObserverRequest::default()).await;
    let refused = refused.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "CLIENT_NOT_ACCEPTED"));
}

/// A client of tonic's own.
fn raw(address: SocketAddr, trusted: &Authority, own: &Identity) -> Channel {
    let tls = TonicTls::new().ca_certificate(trusted.tonic()).identity(own.tonic());
    Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap().connect_lazy()
}

/// `obsteward agent` over TLS, open to the network as its protection allows; and where it is reached from here.
async fn start(directory: &Path, files: &ServerFiles) -> (Started, SocketAddr) {
    let state = directory.join("state");
    let config = &files.config;
    let line = format!(
        "agent --listen 0.0.0.0:0 --state-directory {} --one-end-per 0 --tls-cert {} --tls-key {} --client-ca {} --client-name DNS:{CLIENT}",
        state.display(),
        config.cert_file.display(),
        config.key_file.display(),
        config.client_ca_file.as_ref().unwrap().display(),
    );
    let mut started = Started::of(obsteward(&line));
    let said = started.err_until(|line| line.starts_with("listening on ")).await;
    let bound: SocketAddr = said.last().unwrap().trim_start_matches("listening on ").parse().unwrap();
    (started, SocketAddr::from(([127, 0, 0, 1], bound.port())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_stopped_through_an_agent_with_tls() {
    let directory = tempfile::tempdir().unwrap();
    let (agents, services) = (Authority::new("agents"), Authority::new("services"));
    let files = agent_files(&directory.path().join("agent"), &agents.server(), &services);
    let (started, address) = start(directory.path(), &files).await;
    let own = client_files(&directory.path().join("service"), &agents, &services.client(CLIENT));
    let stage = Stage::with(quick(), |config| config.agents = Some(own.clone())).await;
    stage.reach(2, by_grpc(address)).await;
    let before = Before::of(&stage.sim);
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    before.assert_only_stopped(&stage.sim, 2);
    let record = std::fs::read_to_string(directory.path().join("state/ledger.json")).unwrap();
    assert!(record.contains("\"terminated\""), "another agent ended it: {record}");
    started.signal(Signal::TERM);
    started.ended().await.with(0);
}

/// Calls of an agent about one simulated server.
struct Caller {
    client: HostAgentServiceClient<Channel>,
    target: agent::ObserverTarget,
}

impl Caller {
    fn of(address: SocketAddr, trusted: &Authority, own: &Identity, server: &SimServerInfo, cluster: &str) -> Self {
        let target = agent::ObserverTarget {
            svr_ip: server.ip.clone(),
            rpc_port: server.rpc_port.into(),
            sql_port: server.sql_port.into(),
            cluster_name: cluster.to_owned(),
            ob_cluster_id: 1,
        };
        Self { client: HostAgentServiceClient::new(raw(address, trusted, own)), target }
    }

    async fn arm(&mut self, fence: i64) -> Result<agent::FindObserverResponse, tonic::Status> {
        let request = agent::FindObserverRequest {
            target: Some(self.target.clone()),
            arm: true,
            fence: fenced(fence),
            fence_only: false,
        };
        Ok(self.client.find_observer(request).await?.into_inner())
    }

    async fn stop(
        &mut self,
        armed: &agent::FindObserverResponse,
        fence: i64,
    ) -> Result<agent::StopObserverResponse, tonic::Status> {
        let request = agent::StopObserverRequest {
            target: Some(self.target.clone()),
            identity: armed.identity.clone(),
            ticket: armed.ticket.clone(),
            token: "1/1/1/1".to_owned(),
            fence: fenced(fence),
            grace_millis: 1_000,
        };
        Ok(self.client.stop_observer(request).await?.into_inner())
    }
}

fn fenced(fence: i64) -> Option<agent::CallerFence> {
    Some(agent::CallerFence { store_id: "store".to_owned(), cluster_key: "demo/1/x".to_owned(), fence })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_started_again_remembers_fences_and_calls() {
    let directory = tempfile::tempdir().unwrap();
    let (agents, services) = (Authority::new("agents"), Authority::new("services"));
    let files = agent_files(&directory.path().join("agent"), &agents.server(), &services);
    let own = services.client(CLIENT);
    let options = SimOptions { zones: 1, ..quick() };
    let cluster = options.cluster_name.clone();
    let sim = SimCluster::start(options).await.unwrap();
    let server = sim.server(1).unwrap();

    let (started, address) = start(directory.path(), &files).await;
    let mut caller = Caller::of(address, &agents, &own, &server, &cluster);
    let armed = caller.arm(7).await.unwrap();
    let ended = caller.stop(&armed, 7).await.unwrap();
    assert_eq!(ended.outcome(), agent::StopOutcome::Terminated, "{ended:?}");
    assert!(!is_alive(server.pid.unwrap()));
    started.signal(Signal::KILL);
    started.ended().await;
    let pid = sim.start_server_process(1).await.unwrap();

    let (started, address) = start(directory.path(), &files).await;
    let mut caller = Caller::of(address, &agents, &own, &server, &cluster);
    let refused = caller.arm(6).await.unwrap_err();
    assert_eq!(reason(&refused), "FENCED", "{refused:?}");
    assert_eq!(caller.stop(&armed, 7).await.unwrap(), ended, "the answer of the call was forgotten");
    assert!(is_alive(pid), "the call was made again");
    started.signal(Signal::TERM);
    started.ended().await.with(0);
}

#[tokio::test]
async fn who_is_turned_away_is_logged_and_new_certificates_hold_for_new_connections() {
    let directory = tempfile::tempdir().unwrap();
    let (agents, services, new) = (Authority::new("agents"), Authority::new("services"), Authority::new("new agents"));
    let files = agent_files(&directory.path().join("agent"), &agents.server(), &services);
    let own = client_files(&directory.path().join("service"), &agents, &services.client(CLIENT));
    let (mut started, address) = start(directory.path(), &files).await;
    let open = host(address, Some(&own));
    assert_eq!(look(&*open).await, Ok(()));

    // Whoever is turned away is in the agent's log.
    let stranger = Authority::new("others").client(CLIENT);
    let stranger = client_files(&directory.path().join("stranger"), &agents, &stranger);
    look(&*host(address, Some(&stranger))).await.unwrap_err();
    started.err_until(|line| line.contains("no TLS handshake") && line.contains("UnknownIssuer")).await;
    let other = client_files(&directory.path().join("other"), &agents, &services.client("other.example.com"));
    look(&*host(address, Some(&other))).await.unwrap_err();
    started.err_until(|line| line.contains("a call was turned away") && line.contains("DNS:other.example.com")).await;

    files.write(&new.server());
    started.signal(Signal::HUP);
    started.err_until(|line| line.contains("new connections use the new TLS files")).await;
    let next = host(address, Some(&own));
    let said = look(&*next).await.unwrap_err();
    assert!(said.contains("its certificate is not signed by an authority in"), "{said}");
    std::fs::write(&own.ca_file, &new.pem).unwrap();
    assert_eq!(look(&*next).await, Ok(()), "the service keeps its old files");
    assert_eq!(look(&*open).await, Ok(()), "the open connection was cut");

    let last = host(address, Some(&own));
    std::fs::write(&own.key_file, "nothing").unwrap();
    let said = look(&*last).await.unwrap_err();
    assert!(said.contains("the service's own TLS files cannot be used: "), "{said}");
    assert!(said.contains("service.key has no private key in PEM"), "{said}");
    started.signal(Signal::TERM);
    started.ended().await.with(0);
}
