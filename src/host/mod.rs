//! How we reach the host of an observer: trait [`Host`] and its transports. Reports honestly what is known and decides
//! nothing: whether an unreachable host stops a task is decided above.

mod connection;
mod hosts;
mod local;
mod remote;
mod ssh;
mod ssh_client;
mod ssh_error;
mod unconfigured;
mod way;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::domain::effect::Permit;
use crate::domain::host::{CallerFence, Found, ObserverIdentity, ObserverTarget, StartResult, StopResult, Ticket};
use crate::domain::ssh::SshDestination;

pub use hosts::AgentHosts;
pub use ssh_client::{InvalidSshOption, SshClient, SshOptions};

/// What is made here of an agent's `LEDGER_FAILED` that passes (a full disk, no file descriptor left), which it says by a
/// RetryInfo: a service that does not look for one takes it for a refusal for good, as before.
pub const LEDGER_WAITS: &str = "LEDGER_WAITS";

/// How the host of a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostAddress {
    /// It is this host: an agent in this process.
    Local,
    /// An agent that listens there, `host:port`.
    Grpc {
        /// `host:port`.
        address: String,
    },
    /// An agent that ssh starts there.
    Ssh(SshDestination),
    /// Nobody said how.
    None,
}

/// Why a look failed although somebody answered. That nobody answered is a finding, not an error.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HostError {
    /// The agent said no, for example `FENCED` or `STORE_NOT_TRUSTED`.
    #[error("{message}")]
    Refused {
        /// Reason in upper snake case.
        code: String,
        /// In words.
        message: String,
    },
    /// The answer makes no sense.
    #[error("the agent at {host} answered {problem}, run the same version on both sides")]
    Protocol {
        /// Which agent.
        host: String,
        /// What is wrong.
        problem: String,
    },
}

/// The host of one observer.
#[async_trait]
pub trait Host: Send + Sync {
    /// Looks for the process of an observer.
    async fn find(&self, target: &ObserverTarget) -> Result<Found, HostError>;

    /// Looks, and gets a ticket if the process was found and may be signalled. From here on, the host refuses callers with an
    /// older fence.
    async fn arm(&self, target: &ObserverTarget, fence: &CallerFence) -> Result<(Found, Option<Ticket>), HostError>;

    /// Ends the armed process: SIGTERM, `grace` (whole milliseconds, at most ten minutes), SIGKILL. Cluster, fence and token
    /// are the permit's.
    async fn stop(
        &self,
        permit: Permit,
        target: &ObserverTarget,
        identity: &ObserverIdentity,
        ticket: Ticket,
        store_id: &str,
        grace: Duration,
    ) -> StopResult;

    /// Starts an observer that does not run, where and as it ran before, and watches it for `wait` (whole milliseconds, at
    /// most ten minutes) until it listens. Cluster, fence and token are the permit's.
    async fn start(&self, permit: Permit, target: &ObserverTarget, store_id: &str, wait: Duration) -> StartResult;
}

/// All hosts.
pub trait Hosts: Send + Sync {
    /// The host at an address. Never fails: what cannot be reached says so when it is asked.
    fn host(&self, address: &HostAddress) -> Arc<dyn Host>;
}

/// The caller of a stop or start, from its permit.
fn caller(permit: &Permit, store_id: &str) -> CallerFence {
    CallerFence { store_id: store_id.to_owned(), cluster: permit.cluster().clone(), fence: permit.fence() }
}

#[cfg(test)]
mod tests;
