//! The hosts of a [`DataCentre`] as one life of the service reaches them: what it asks and what it sends takes its time, and
//! its own end cuts it off. What surely was not sent is refused, and what may have been is unknown, as with a real agent.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::monotonic_now;
use obsteward::domain::effect::Permit;
use obsteward::domain::host::{
    CallerFence, Ended, HostCode, ObserverIdentity, ObserverTarget, ProcessReport, StartResult, StopResult, Ticket,
};
use obsteward::host::{Admission, Host, HostAddress, HostError, Hosts, LocalHost};
use tokio::time::{sleep, timeout};

use crate::agent_run::AgentRun;
use crate::data_centre::{DataCentre, RunningAgent, SimulatedHost, Way};
use crate::life::{Life, Point};

/// Longest look, as of a real host; so the next three.
const LOOK: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(2);
const STOP_BEYOND_GRACE: Duration = Duration::from_secs(30);
const START_BEYOND_WAIT: Duration = Duration::from_secs(120);
/// How long a caller takes to notice that an agent is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(6);

/// The hosts of one life, which are those of `HostAddress::Grpc`.
pub struct SimulatedHosts {
    pub life: Arc<Life>,
    pub data_centre: DataCentre,
}

impl Hosts for SimulatedHosts {
    fn host(&self, address: &HostAddress) -> Arc<dyn Host> {
        let (address, host) = match address {
            HostAddress::Grpc { address } => (address.clone(), self.data_centre.get(address)),
            HostAddress::Local | HostAddress::Ssh(_) | HostAddress::None => (String::new(), None),
        };
        Arc::new(ReachedHost { life: Arc::clone(&self.life), address, host })
    }
}

/// A host on the way from one life.
struct ReachedHost {
    life: Arc<Life>,
    address: String,
    /// None: nothing is there.
    host: Option<Arc<SimulatedHost>>,
}

/// What is asked of an agent.
#[derive(Clone, Copy)]
enum Call {
    Look,
    /// Whose answer may be one of those that get lost.
    Effect,
}

/// Why a call has no answer.
enum Unanswered {
    /// Nothing was sent.
    NotSent(String),
    Lost(String),
}

impl ReachedHost {
    /// Connects to the agent; `Err`: why nothing was sent.
    async fn connect(&self) -> Result<(&SimulatedHost, RunningAgent), String> {
        let refused = Err(format!("agent {}: nobody listens there", self.address));
        let Some(host) = &self.host else { return refused };
        match (host.network().way, host.agent()) {
            (Way::Open, Some(running)) => Ok((host, running)),
            (Way::Silent, _) => {
                sleep(CONNECT).await;
                Err(format!("agent {}: no connection within {CONNECT:?}", self.address))
            }
            (Way::Refused, _) | (Way::Open, None) => refused,
        }
    }

    async fn call<T, F: Future<Output = T>>(
        &self,
        kind: Call,
        limit: Duration,
        call: impl FnOnce(LocalHost<AgentRun>) -> F,
    ) -> Result<T, Unanswered> {
        let (host, running) = self.connect().await.map_err(Unanswered::NotSent)?;
        let lost = |why: String| Unanswered::Lost(format!("agent {}: {why}", self.address));
        let answer = tokio::select! {
            biased;
            answer = timeout(limit, call(LocalHost::new(running.agent))) => answer,
            () = running.over.cancelled() => return Err(lost("the connection was lost".to_owned())),
        };
        let answer = answer.map_err(|_| lost(format!("no answer within {limit:?}")))?;
        let gets_lost = match kind {
            Call::Look => host.network().way != Way::Open,
            Call::Effect => host.loses_answer(),
        };
        if gets_lost {
            sleep(KEEP_ALIVE).await;
            return Err(lost("the connection was lost".to_owned()));
        }
        Ok(answer)
    }

    /// Looks; a host that does not answer is a finding.
    async fn look<F: Future<Output = Result<Looked, HostError>>>(
        &self,
        call: impl FnOnce(LocalHost<AgentRun>) -> F,
    ) -> Result<Looked, HostError> {
        self.ask(call).await.unwrap_or_else(|why| Ok((ProcessReport::unreachable(why), None)))
    }

    /// `Err`: why there is no answer.
    async fn ask<F: Future>(&self, call: impl FnOnce(LocalHost<AgentRun>) -> F) -> Result<F::Output, String> {
        self.life.goes_on().await;
        let answer = self.call(Call::Look, LOOK, call).await;
        self.life.pass(Point::Look, self.life.dice.latency()).await;
        answer.map_err(|(Unanswered::NotSent(why) | Unanswered::Lost(why))| why)
    }
}

type Looked = (ProcessReport, Option<Ticket>);

#[async_trait]
impl Host for ReachedHost {
    async fn find(&self, target: &ObserverTarget) -> Result<ProcessReport, HostError> {
        Ok(self.look(|host| async move { Ok((host.find(target).await?, None)) }).await?.0)
    }

    async fn admit(&self, target: &ObserverTarget, fence: &CallerFence) -> Result<Admission, HostError> {
        let answer = self.ask(|host| async move { host.admit(target, fence).await }).await;
        answer.unwrap_or_else(|reason| Ok(Admission::Unreachable { reason }))
    }

    async fn arm(&self, target: &ObserverTarget, fence: &CallerFence) -> Result<Looked, HostError> {
        self.look(|host| async move { host.arm(target, fence).await }).await
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
        self.life.lets_go(&permit);
        self.life.pass(Point::Permit, self.life.dice.latency()).await;
        let stop = |host: LocalHost<AgentRun>| async move {
            let (came, token, fence) = (monotonic_now(), permit.token(), permit.fence());
            let stopped = host.stop(permit, target, identity, ticket, store_id, grace).await;
            if let StopResult::Ended { how: Ended::Terminated | Ended::Killed, .. } = &stopped {
                self.life.sends.done_by_agent(came, token, fence);
            }
            stopped
        };
        let result = match self.call(Call::Effect, grace + STOP_BEYOND_GRACE, stop).await {
            Ok(result) => result,
            Err(Unanswered::NotSent(why)) => StopResult::Refused { code: unreachable(), message: not_sent(&why) },
            Err(Unanswered::Lost(message)) => StopResult::Unknown { message },
        };
        self.life.pass(Point::Answer, self.life.dice.latency()).await;
        result
    }

    async fn start(
        &self,
        permit: Permit,
        target: &ObserverTarget,
        ticket: Option<Ticket>,
        store_id: &str,
        wait: Duration,
    ) -> StartResult {
        self.life.lets_go(&permit);
        self.life.pass(Point::Permit, self.life.dice.latency()).await;
        let start = |host: LocalHost<AgentRun>| async move {
            let (came, token, fence) = (monotonic_now(), permit.token(), permit.fence());
            let started = host.start(permit, target, ticket, store_id, wait).await;
            if let StartResult::Started { .. } | StartResult::Died { .. } = &started {
                self.life.sends.done_by_agent(came, token, fence);
            }
            started
        };
        let result = match self.call(Call::Effect, wait + START_BEYOND_WAIT, start).await {
            Ok(result) => result,
            Err(Unanswered::NotSent(why)) => StartResult::Refused { code: unreachable(), message: not_sent(&why) },
            Err(Unanswered::Lost(message)) => StartResult::Unknown { message },
        };
        self.life.pass(Point::Answer, self.life.dice.latency()).await;
        result
    }
}

fn unreachable() -> String {
    HostCode::HostUnreachable.to_string()
}

fn not_sent(why: &str) -> String {
    format!("{why}; nothing was sent")
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
