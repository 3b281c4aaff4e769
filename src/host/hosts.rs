//! All hosts: one client for each, kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::agent::Agent;
use crate::host::local::LocalHost;
use crate::host::measured::MeasuredHost;
use crate::host::remote::RemoteHost;
use crate::host::ssh::SshTransport;
use crate::host::transport::Transport;
use crate::host::unconfigured::Unconfigured;
use crate::host::{Host, HostAddress, Hosts, SshClient};
use crate::net::client_tls::ClientTls;
use crate::telemetry::metrics::HostMetrics;

/// Most clients that are kept; beyond this, unused ones are dropped.
const KEPT: usize = 1024;

/// Hosts that are reached through agents, in this process, by gRPC or over ssh.
pub struct AgentHosts {
    local: Option<Arc<LocalHost>>,
    tls: Option<ClientTls>,
    ssh: Option<Arc<SshClient>>,
    remote: Mutex<HashMap<HostAddress, Arc<RemoteHost>>>,
    metrics: HostMetrics,
}

impl AgentHosts {
    /// `local`: the agent in this process, if any. Other agents are reached in plaintext, and none over ssh.
    pub fn new(local: Option<Agent>) -> Self {
        let (remote, metrics) = Default::default();
        Self { local: local.map(LocalHost::new).map(Arc::new), tls: None, ssh: None, remote, metrics }
    }

    /// Sets TLS: with it other agents are reached over TLS and in no other way.
    pub fn with_tls(self, tls: Option<ClientTls>) -> Self {
        Self { tls, ..self }
    }

    /// Enables ssh, which neither needs nor has TLS.
    pub fn with_ssh(self, client: SshClient) -> Self {
        Self { ssh: Some(Arc::new(client)), ..self }
    }

    /// Counts there what hosts are asked.
    pub fn measured(self, metrics: HostMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// The kept host of an address; a new one is reached by `transport`.
    fn remote(&self, address: &HostAddress, transport: impl FnOnce() -> Result<Transport, String>) -> Arc<dyn Host> {
        let mut remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remote.get(address) {
            return Arc::clone(known) as Arc<dyn Host>;
        }
        match transport() {
            Ok(transport) => {
                if remote.len() >= KEPT {
                    remote.retain(|_, host| Arc::strong_count(host) > 1);
                }
                let host = Arc::new(RemoteHost::by(transport));
                remote.insert(address.clone(), Arc::clone(&host));
                host
            }
            Err(why) => Arc::new(Unconfigured::new(why)),
        }
    }
}

impl Hosts for AgentHosts {
    fn host(&self, address: &HostAddress) -> Arc<dyn Host> {
        Arc::new(MeasuredHost::new(self.reached(address), address, self.metrics.clone()))
    }
}

impl AgentHosts {
    fn reached(&self, address: &HostAddress) -> Arc<dyn Host> {
        match address {
            HostAddress::Local => match &self.local {
                Some(local) => Arc::clone(local) as Arc<dyn Host>,
                None => Arc::new(Unconfigured::new("this service runs without a local agent, name the host's agent")),
            },
            HostAddress::Grpc { address: text } => self.remote(address, || {
                Transport::tcp(text, self.tls.as_ref()).map_err(|error| {
                    format!(
                        "{text:?} is not the address of an agent ({error}), write host:port, for example 10.0.0.2:62888"
                    )
                })
            }),
            HostAddress::Ssh(destination) => self.remote(address, || match &self.ssh {
                Some(client) => Ok(Transport::Ssh(SshTransport::to(destination.clone(), Arc::clone(client)))),
                None => Err("this service runs without ssh, name the host's agent".to_owned()),
            }),
            HostAddress::None => {
                Arc::new(Unconfigured::new("no adapter is configured for this server's host, name its agent"))
            }
        }
    }
}
