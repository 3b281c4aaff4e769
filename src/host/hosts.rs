//! All hosts: one way to each, kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::agent::Agent;
use crate::host::local::LocalHost;
use crate::host::remote::RemoteHost;
use crate::host::unconfigured::Unconfigured;
use crate::host::{Host, HostAddress, Hosts};
use crate::net::client_tls::ClientTls;

/// Ways that are kept; beyond this, those that nobody uses are dropped.
const KEPT: usize = 1024;

/// Hosts that are reached through agents, in this process or by gRPC.
pub struct AgentHosts {
    local: Option<Arc<LocalHost>>,
    tls: Option<ClientTls>,
    remote: Mutex<HashMap<String, Arc<RemoteHost>>>,
}

impl AgentHosts {
    /// With or without an agent in this process; others in plaintext.
    pub fn new(local: Option<Agent>) -> Self {
        Self { local: local.map(LocalHost::new).map(Arc::new), tls: None, remote: Mutex::default() }
    }

    /// With `tls` other agents are reached over TLS and in no other way.
    pub fn with_tls(self, tls: Option<ClientTls>) -> Self {
        Self { tls, ..self }
    }

    fn remote(&self, address: &str) -> Arc<dyn Host> {
        let mut remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remote.get(address) {
            return Arc::clone(known) as Arc<dyn Host>;
        }
        match RemoteHost::new(address, self.tls.as_ref()) {
            Ok(host) => {
                if remote.len() >= KEPT {
                    remote.retain(|_, host| Arc::strong_count(host) > 1);
                }
                let host = Arc::new(host);
                remote.insert(address.to_owned(), Arc::clone(&host));
                host
            }
            Err(error) => Arc::new(Unconfigured::new(format!(
                "{address:?} is not the address of an agent ({error}), write host:port, for example 10.0.0.2:62888"
            ))),
        }
    }
}

impl Hosts for AgentHosts {
    fn host(&self, address: &HostAddress) -> Arc<dyn Host> {
        match address {
            HostAddress::Local => match &self.local {
                Some(local) => Arc::clone(local) as Arc<dyn Host>,
                None => Arc::new(Unconfigured::new("this service runs without a local agent, name the host's agent")),
            },
            HostAddress::Grpc { address } => self.remote(address),
            HostAddress::None => {
                Arc::new(Unconfigured::new("no adapter is configured for this server's host, name its agent"))
            }
        }
    }
}
