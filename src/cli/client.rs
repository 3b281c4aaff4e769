//! The connection to the obsteward server: one channel, the clients on it, who calls, and bounded calls.

use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic::{Response, Status};

use super::advice::{CallerIdentity, advice};
use super::any_server::AnyServer;
use super::failure::Failure;
use super::login::{Authorization, Login};
use crate::proto::v1::admin_service_client::AdminServiceClient;
use crate::proto::v1::cluster_service_client::ClusterServiceClient;
use crate::proto::v1::ob_server_service_client::ObServerServiceClient;
use crate::proto::v1::ob_zone_service_client::ObZoneServiceClient;
use crate::proto::v1::rollout_service_client::RolloutServiceClient;
use crate::proto::v1::task_service_client::TaskServiceClient;

/// Longest wait for an answer that needs only the server's own records.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for an answer that needs the cluster to be read.
pub const CLUSTER_TIMEOUT: Duration = Duration::from_secs(180);
/// Metadata of every answer that says the server's version.
pub const VERSION: &str = "obsteward-version";
/// A page of 1000 clusters with many zones is larger than tonic's 4 MiB.
const LARGEST_MESSAGE: usize = 64 << 20;

/// Where the server is, and how both sides are authenticated.
#[derive(Clone, Debug)]
pub struct Target {
    /// `http://host:port` or `https://host:port`; several, parted by commas, are replicas of one service.
    pub url: String,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Certificate authority of the server, for `https`.
    pub ca_file: Option<PathBuf>,
    /// Own certificate and key, for mutual TLS.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A channel that adds the caller's credentials to every call.
pub type Connection = InterceptedService<AnyServer, Authorization>;

/// Clients of one server, or of whichever of several answers; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    server: AnyServer,
    /// The caller's credentials, which every call carries.
    authorization: Authorization,
    url: String,
    named: CallerIdentity,
    /// The reason that changes carry; empty when none was given.
    reason: String,
    /// Whether a change was asked for: only then an outcome can be unknown.
    asked_to_change: Arc<AtomicBool>,
}

impl Client {
    /// Prepares the channel. It connects at the first call and again after a loss.
    pub fn new(target: &Target) -> Result<Self, Failure> {
        if target.url.contains('@') {
            // Not repeated: what stands before the @ may be a password.
            return Err(Failure::Usage("the server's URL must not name a user; name it with --user".to_owned()));
        }
        let mut endpoints = Vec::new();
        for url in target.url.split(',') {
            endpoints.push(endpoint(url.trim(), target)?);
        }
        let mut client = Self::over(AnyServer::new(endpoints), target.url.clone());
        client.named.certificate = target.identity.is_some();
        Ok(client)
    }

    /// The same server, called with these credentials. `login` is read or asked for only when the connection may carry
    /// a password: with TLS, on this machine, or when the caller allows plaintext.
    pub fn logged_in(
        mut self,
        insecure_plaintext: bool,
        login: impl FnOnce() -> Result<Login, Failure>,
    ) -> Result<Self, Failure> {
        if !insecure_plaintext && !keeps_secrets(&self.url) {
            return Err(Failure::Usage(format!(
                "server {:?}: a password would go over the network in the clear; write https with --ca-file, or say \
                 --insecure-plaintext if everybody on the way may read it",
                self.url
            )));
        }
        let login = login()?;
        self.authorization = Authorization::from(&login);
        self.named.user = Some(login.user.as_str().to_owned());
        Ok(self)
    }

    /// On a channel that is there already; `url` is only shown.
    pub fn from_channel(channel: Channel, url: String) -> Self {
        Self::over(AnyServer::from(channel), url)
    }

    fn over(server: AnyServer, url: String) -> Self {
        let (authorization, named, reason, asked_to_change) = Default::default();
        Self { server, authorization, url, named, reason, asked_to_change }
    }

    /// Sets the reason that changes carry.
    pub fn for_reason(self, reason: String) -> Self {
        Self { reason, ..self }
    }

    /// The reason that changes carry; empty when none was given.
    pub fn reason(&self) -> String {
        self.reason.clone()
    }

    /// The server's URL, without a user.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn connection(&self) -> Connection {
        InterceptedService::new(self.server.clone(), self.authorization.clone())
    }

    pub fn clusters(&self) -> ClusterServiceClient<Connection> {
        ClusterServiceClient::new(self.connection()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    pub fn servers(&self) -> ObServerServiceClient<Connection> {
        ObServerServiceClient::new(self.connection()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    pub fn zones(&self) -> ObZoneServiceClient<Connection> {
        ObZoneServiceClient::new(self.connection()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    pub fn rollouts(&self) -> RolloutServiceClient<Connection> {
        RolloutServiceClient::new(self.connection()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    pub fn tasks(&self) -> TaskServiceClient<Connection> {
        TaskServiceClient::new(self.connection()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    pub fn admin(&self) -> AdminServiceClient<Connection> {
        AdminServiceClient::new(self.connection()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// Waits for an answer, not longer than `limit`.
    pub async fn call<T>(
        &self,
        doing: &'static str,
        limit: Duration,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        bounded(limit, answer).await.map_err(|status| self.failure(doing, status))
    }

    /// [`Client::call`] for a call that changes something.
    pub async fn change<T>(
        &self,
        doing: &'static str,
        limit: Duration,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        self.asks_to_change();
        self.call(doing, limit, answer).await
    }

    /// Says that a change is asked for now: from here on its outcome can be unknown.
    pub fn asks_to_change(&self) {
        self.asked_to_change.store(true, Ordering::Relaxed);
    }

    pub fn failure(&self, doing: &'static str, status: Status) -> Failure {
        let hint = advice(&status, &self.named);
        let asked_to_change = self.asked_to_change.load(Ordering::Relaxed);
        let server = self.server.connected().unwrap_or_else(|| self.url.clone());
        Failure::Rpc { doing, server, status: Box::new(status), hint, asked_to_change }
    }

    /// The failure when something is not known: the outcome of a change if one was asked for, otherwise only what was
    /// to be read.
    pub fn not_known(&self, what: String) -> Failure {
        match self.asked_to_change.load(Ordering::Relaxed) {
            true => Failure::Unknown(what),
            false => Failure::NoAnswer(what),
        }
    }
}

fn endpoint(url: &str, target: &Target) -> Result<Endpoint, Failure> {
    let wrong = |what: String| Failure::Usage(format!("server {url:?}: {what}"));
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| wrong(format!("{error}, write for example http://127.0.0.1:50051")))?
        .connect_timeout(target.connect_timeout)
        // A watch may be silent for long; without these a host that vanished would never be noticed.
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .tcp_nodelay(true);
    match endpoint.uri().scheme_str() {
        Some("https") => {
            let Some(ca_file) = &target.ca_file else {
                return Err(wrong("https needs the server's certificate authority, give --ca-file".to_owned()));
            };
            let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca_file)?));
            if let Some((certificate, key)) = &target.identity {
                tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
            }
            endpoint.tls_config(tls).map_err(|error| wrong(format!("TLS: {error}")))
        }
        Some("http") if target.ca_file.is_none() && target.identity.is_none() => Ok(endpoint),
        Some("http") => Err(wrong("certificates are of no use with http, write https".to_owned())),
        Some(_) | None => Err(wrong("write http://host:port or https://host:port".to_owned())),
    }
}

/// Whether nobody can read what is sent to any of these URLs: TLS, or this machine.
fn keeps_secrets(urls: &str) -> bool {
    urls.split(',').all(|url| keeps_secret(url.trim()))
}

fn keeps_secret(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse::<IpAddr>();
    match address {
        _ if uri.scheme_str() == Some("https") => true,
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Waits for an answer, not longer than `limit`; then `DEADLINE_EXCEEDED`.
pub async fn bounded<T>(
    limit: Duration,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(format!("no answer within {} s", limit.as_secs()))),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::Usage(format!("cannot read {}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        let connect_timeout = Duration::from_secs(1);
        Target { url: url.to_owned(), connect_timeout, ca_file: None, identity: None }
    }

    #[tokio::test]
    async fn urls_that_cannot_work_say_what_to_write() {
        for url in ["", "127.0.0.1:50051", "ftp://x", "https://x:1"] {
            let failure = Client::new(&target(url)).unwrap_err();
            assert_eq!(failure.exit().code(), 2, "{url}");
        }
        assert!(Client::new(&target("http://127.0.0.1:1")).is_ok());
    }

    #[tokio::test]
    async fn a_password_does_not_leave_the_machine_in_the_clear() {
        let asked = std::cell::Cell::new(0);
        let login = || {
            asked.set(asked.get() + 1);
            Ok(Login { user: "bob".parse().unwrap(), password: "secret".into() })
        };
        for url in ["http://10.0.0.1:50051", "http://db-1:50051", "http://127.0.0.1.example:1", "http://[fd00::1]:1"] {
            let failure = Client::new(&target(url)).unwrap().logged_in(false, login).unwrap_err();
            let Failure::Usage(told) = failure else { panic!("{url}: {failure:?}") };
            assert!(told.contains("--insecure-plaintext") && told.contains("https"), "{told}");
        }
        assert_eq!(asked.get(), 0, "a password was asked for in vain");
        for url in ["http://127.0.0.1:1", "http://127.9.9.9:1", "http://[::1]:1", "http://LOCALHOST:1"] {
            assert!(Client::new(&target(url)).unwrap().logged_in(false, login).is_ok(), "{url}");
        }
        assert!(Client::new(&target("http://10.0.0.1:1")).unwrap().logged_in(true, login).is_ok());
        assert!(keeps_secrets("https://10.0.0.1:1"));
    }

    #[tokio::test]
    async fn a_url_with_a_password_is_refused_and_not_repeated() {
        let failure = Client::new(&target("http://bob:hidden@127.0.0.1:1")).unwrap_err();
        assert!(failure.exit().code() == 2 && !format!("{failure:?}").contains("hidden"), "{failure:?}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_leaves_the_outcome_of_a_change_unknown_and_nothing_else() {
        let client = Client::new(&target("http://127.0.0.1:1")).unwrap();
        let read = || client.tasks();
        let request = crate::proto::v1::GetTaskRequest { task_id: 1 };
        let failure = client.call("get task", READ_TIMEOUT, read().get_task(request)).await.unwrap_err();
        assert_eq!(failure.exit().code(), 5);
        assert!(failure.document().message.contains("http://127.0.0.1:1"), "{failure:?}");
        let cancel = crate::proto::v1::CancelTaskRequest { task_id: 1, ..Default::default() };
        let failure = client.change("cancel task", READ_TIMEOUT, client.tasks().cancel_task(cancel)).await.unwrap_err();
        assert_eq!(failure.exit().code(), 4);
        // What is read of the change afterwards leaves it open too.
        let failure = client.call("get task", READ_TIMEOUT, read().get_task(request)).await.unwrap_err();
        assert_eq!(failure.exit().code(), 4);
    }
}
