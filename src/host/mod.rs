//! How we reach the host of an observer: trait [`Host`] and its transports. Reports what is known and decides nothing:
//! whether an unreachable host stops a task is decided above.

mod connection;
mod hosts;
mod local;
mod measured;
mod remote;
mod ssh;
mod ssh_client;
mod ssh_error;
mod transport;
mod unconfigured;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::domain::effect::Permit;
use crate::domain::host::{
    CallerFence, ObserverIdentity, ObserverTarget, ProcessReport, StartResult, StopResult, Ticket,
};
use crate::domain::ssh::SshDestination;

pub use hosts::AgentHosts;
pub use local::LocalHost;
pub use ssh_client::{InvalidSshOption, SshClient, SshOptions};

/// How the host of a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostAddress {
    /// It is this host: an agent in this process.
    Local,
    /// An agent that listens there, `host:port`.
    Grpc { address: String },
    /// An agent that ssh starts there.
    Ssh(SshDestination),
    /// Nobody configured how.
    None,
}

/// Why a search failed although an agent answered. A host that does not answer is a finding, not an error.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HostError {
    /// The agent refused, for example with `FENCED` or `STORE_NOT_TRUSTED`.
    #[error("{message}")]
    Refused {
        /// In upper snake case.
        code: String,
        message: String,
    },
    /// The answer makes no sense.
    #[error("the agent at {host} answered {problem}, run the same version on both sides")]
    Protocol { host: String, problem: String },
}

/// What a host that does not refuse says to a fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    Current,
    Unreachable { reason: String },
}

/// The host of one observer.
#[async_trait]
pub trait Host: Send + Sync {
    async fn find(&self, target: &ObserverTarget) -> Result<ProcessReport, HostError>;

    /// Asks whether this fence is current, without a look at the host. From here on, it refuses callers with an older fence.
    async fn admit(&self, target: &ObserverTarget, fence: &CallerFence) -> Result<Admission, HostError>;

    /// Looks, and gets a ticket: to end the process if it was found and may be signalled, to start it if it is absent. From here on, the
    /// host refuses callers with an older fence.
    async fn arm(
        &self,
        target: &ObserverTarget,
        fence: &CallerFence,
    ) -> Result<(ProcessReport, Option<Ticket>), HostError>;

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
    /// most ten minutes) until it listens. Cluster, fence and token are the permit's. `ticket`: of the look that found it absent;
    /// an agent that is older gives none.
    async fn start(
        &self,
        permit: Permit,
        target: &ObserverTarget,
        ticket: Option<Ticket>,
        store_id: &str,
        wait: Duration,
    ) -> StartResult;
}

/// All hosts.
pub trait Hosts: Send + Sync {
    /// The host at an address. Never fails: a host that cannot be reached says so when it is asked.
    fn host(&self, address: &HostAddress) -> Arc<dyn Host>;
}

/// The caller of a stop or start, from its permit.
fn caller(permit: &Permit, store_id: &str) -> CallerFence {
    CallerFence { store_id: store_id.to_owned(), cluster: permit.cluster().clone(), fence: permit.fence() }
}

#[cfg(test)]
mod tests;
