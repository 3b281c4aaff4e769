//! The host that we run on: an agent in this process.

use std::time::Duration;

use async_trait::async_trait;

use crate::agent::{Agent, AgentRefusal, Linux, Machine, StartRequest, Started, StopRequest, Stopped};
use crate::domain::effect::Permit;
use crate::domain::host::{
    CallerFence, HostCode, ObserverIdentity, ObserverTarget, ProcessReport, StartResult, StopResult, Ticket,
};
use crate::host::{Admission, Host, HostError, caller};

#[derive(Clone, Debug)]
pub struct LocalHost<M = Linux>(Agent<M>);

impl<M> LocalHost<M> {
    pub const fn new(agent: Agent<M>) -> Self {
        Self(agent)
    }
}

#[async_trait]
impl<M: Machine> Host for LocalHost<M> {
    async fn find(&self, target: &ObserverTarget) -> Result<ProcessReport, HostError> {
        self.0.find(target).await.map_err(refused)
    }

    async fn admit(&self, _target: &ObserverTarget, fence: &CallerFence) -> Result<Admission, HostError> {
        self.0.admit(fence).await.map(|()| Admission::Current).map_err(refused)
    }

    async fn arm(
        &self,
        target: &ObserverTarget,
        fence: &CallerFence,
    ) -> Result<(ProcessReport, Option<Ticket>), HostError> {
        self.0.arm(target, fence).await.map_err(refused)
    }

    async fn stop(
        &self,
        permit: Permit,
        target: &ObserverTarget,
        identity: &ObserverIdentity,
        ticket: Ticket,
        store_id: &str,
        grace: Duration,
    ) -> StopResult {
        let request = StopRequest {
            target: target.clone(),
            identity: identity.clone(),
            ticket,
            token: permit.token(),
            fence: caller(&permit, store_id),
            grace,
        };
        match self.0.stop(request).await {
            Ok(stopped) => result(stopped),
            Err(refusal) => StopResult::Refused { code: code(&refusal), message: refusal.to_string() },
        }
    }

    async fn start(
        &self,
        permit: Permit,
        target: &ObserverTarget,
        ticket: Option<Ticket>,
        store_id: &str,
        wait: Duration,
    ) -> StartResult {
        let fence = caller(&permit, store_id);
        let request = StartRequest { target: target.clone(), token: permit.token(), fence, wait, ticket };
        match self.0.start(request).await {
            Ok(started) => start_result(started),
            Err(refusal) => StartResult::Refused { code: code(&refusal), message: refusal.to_string() },
        }
    }
}

/// Translates an agent's answer. A process that was signalled and is still there may yet end: unknown.
pub fn result(stopped: Stopped) -> StopResult {
    match stopped {
        Stopped::Ended { how, evidence } => StopResult::Ended { how, evidence },
        Stopped::StillThere { evidence } | Stopped::Unknown { evidence } => StopResult::Unknown { message: evidence },
    }
}

/// Translates an agent's answer to a start.
pub fn start_result(started: Started) -> StartResult {
    match started {
        Started::Started { identity, listens, evidence } => StartResult::Started { identity, listens, evidence },
        Started::AlreadyRunning { identity, evidence } => StartResult::AlreadyRunning { identity, evidence },
        Started::Died { evidence, last_log_lines } => StartResult::Died { evidence, last_log_lines },
        Started::Unknown { evidence } => StartResult::Unknown { message: evidence },
    }
}

fn refused(refusal: AgentRefusal) -> HostError {
    HostError::Refused { code: code(&refusal), message: refusal.to_string() }
}

fn code(refusal: &AgentRefusal) -> String {
    match refusal {
        AgentRefusal::LedgerFailed { passes: true, .. } => HostCode::LedgerWaits.as_str(),
        other => other.reason(),
    }
    .to_owned()
}
