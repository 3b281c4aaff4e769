//! A host whose calls are measured, and are spans of the trace that they are made for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::{field, info_span};

use crate::clock::monotonic_now;
use crate::domain::effect::Permit;
use crate::domain::host::{
    CallerFence, Finding, ObserverIdentity, ObserverTarget, ProcessReport, StartResult, StopResult, Ticket,
};
use crate::host::{Admission, Host, HostAddress, HostError};
use crate::telemetry::metrics::HostMetrics;
use crate::telemetry::traces::{self, SPAN};

/// How a call failed whose host gave no answer.
const UNREACHABLE: &str = "unreachable";

pub(super) struct MeasuredHost {
    inner: Arc<dyn Host>,
    transport: &'static str,
    metrics: HostMetrics,
}

impl MeasuredHost {
    pub fn new(inner: Arc<dyn Host>, address: &HostAddress, metrics: HostMetrics) -> Self {
        let transport = match address {
            HostAddress::Local => "local",
            HostAddress::Grpc { .. } => "grpc",
            HostAddress::Ssh(_) => "ssh",
            HostAddress::None => "none",
        };
        Self { inner, transport, metrics }
    }

    /// `failed`: how an answer failed; `None`: it did not.
    async fn measure<T>(
        &self,
        call: &'static str,
        failed: impl Fn(&T) -> Option<&'static str>,
        asked: impl Future<Output = T>,
    ) -> T {
        let began = monotonic_now();
        let span = info_span!(
            target: SPAN,
            "host",
            otel.name = %format_args!("agent {call}"),
            otel.kind = "client",
            otel.status_code = field::Empty,
            obsteward.host.call = call,
            obsteward.host.transport = self.transport,
            "error.type" = field::Empty,
        );
        let answer = traces::within(&span, asked).await;
        let failed = failed(&answer);
        self.metrics.answered(call, self.transport, failed, monotonic_now() - began);
        if let Some(failed) = failed {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", failed);
        }
        answer
    }
}

#[async_trait]
impl Host for MeasuredHost {
    async fn find(&self, target: &ObserverTarget) -> Result<ProcessReport, HostError> {
        let failed = |answer: &Result<ProcessReport, HostError>| unfound(answer.as_ref());
        self.measure("find", failed, self.inner.find(target)).await
    }

    async fn admit(&self, target: &ObserverTarget, fence: &CallerFence) -> Result<Admission, HostError> {
        let failed = |answer: &Result<Admission, HostError>| match answer {
            Ok(Admission::Current) => None,
            Ok(Admission::Unreachable { .. }) => Some(UNREACHABLE),
            Err(error) => Some(failure(error)),
        };
        self.measure("admit", failed, self.inner.admit(target, fence)).await
    }

    async fn arm(
        &self,
        target: &ObserverTarget,
        fence: &CallerFence,
    ) -> Result<(ProcessReport, Option<Ticket>), HostError> {
        let failed = |answer: &Result<(ProcessReport, Option<Ticket>), HostError>| {
            unfound(answer.as_ref().map(|(report, _)| report))
        };
        self.measure("arm", failed, self.inner.arm(target, fence)).await
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
        let failed = |result: &StopResult| match result {
            StopResult::Ended { .. } => None,
            StopResult::Refused { .. } => Some("refused"),
            StopResult::Unknown { .. } => Some("unknown"),
        };
        self.measure("stop", failed, self.inner.stop(permit, target, identity, ticket, store_id, grace)).await
    }

    async fn start(
        &self,
        permit: Permit,
        target: &ObserverTarget,
        ticket: Option<Ticket>,
        store_id: &str,
        wait: Duration,
    ) -> StartResult {
        let failed = |result: &StartResult| match result {
            StartResult::Started { .. } | StartResult::AlreadyRunning { .. } => None,
            StartResult::Died { .. } => Some("died"),
            StartResult::Refused { .. } => Some("refused"),
            StartResult::Unknown { .. } => Some("unknown"),
        };
        self.measure("start", failed, self.inner.start(permit, target, ticket, store_id, wait)).await
    }
}

/// How a search failed; a process that is not there was looked for well.
fn unfound(answer: Result<&ProcessReport, &HostError>) -> Option<&'static str> {
    match answer {
        Ok(report) => match report.finding {
            Finding::Running(_) | Finding::Absent { .. } | Finding::Ambiguous { .. } => None,
            Finding::HostUnreachable { .. } => Some(UNREACHABLE),
        },
        Err(error) => Some(failure(error)),
    }
}

const fn failure(error: &HostError) -> &'static str {
    match error {
        HostError::Refused { .. } => "refused",
        HostError::Protocol { .. } => "protocol",
    }
}
