//! The host of a server for which no transport is configured: it is never reached.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::effect::Permit;
use crate::domain::host::{
    CallerFence, HostCode, ObserverIdentity, ObserverTarget, ProcessReport, StartResult, StopResult, Ticket,
};
use crate::host::{Admission, Host, HostError};

#[derive(Clone, Debug)]
pub struct Unconfigured {
    reason: String,
}

impl Unconfigured {
    /// `reason` is given to every caller.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

#[async_trait]
impl Host for Unconfigured {
    async fn find(&self, _target: &ObserverTarget) -> Result<ProcessReport, HostError> {
        Ok(ProcessReport::unreachable(self.reason.clone()))
    }

    async fn admit(&self, _target: &ObserverTarget, _fence: &CallerFence) -> Result<Admission, HostError> {
        Ok(Admission::Unreachable { reason: self.reason.clone() })
    }

    async fn arm(
        &self,
        _target: &ObserverTarget,
        _fence: &CallerFence,
    ) -> Result<(ProcessReport, Option<Ticket>), HostError> {
        Ok((ProcessReport::unreachable(self.reason.clone()), None))
    }

    async fn stop(
        &self,
        _permit: Permit,
        _target: &ObserverTarget,
        _identity: &ObserverIdentity,
        _ticket: Ticket,
        _store_id: &str,
        _grace: Duration,
    ) -> StopResult {
        StopResult::Refused { code: HostCode::HostUnreachable.to_string(), message: self.reason.clone() }
    }

    async fn start(
        &self,
        _permit: Permit,
        _target: &ObserverTarget,
        _ticket: Option<Ticket>,
        _store_id: &str,
        _wait: Duration,
    ) -> StartResult {
        StartResult::Refused { code: HostCode::HostUnreachable.to_string(), message: self.reason.clone() }
    }
}
