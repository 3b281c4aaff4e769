//! Translates between the messages of `obsteward.agent.v1` and plain types, both ways. Every field that arrives is
//! checked; nothing is decided here.

use std::time::Duration;

use crate::agent::refusal::AgentRefusal;
use crate::agent::service::{LONGEST_GRACE, StopRequest, Stopped};
use crate::agent::start::{LONGEST_WAIT, StartRequest, Started};
use crate::domain::host::{
    CallerFence, Ended, Finding, MaySignal, ObserverIdentity, ObserverTarget, ProcessReport, Ticket,
};
use crate::domain::ids::{ClusterKey, Fence, ServerAddr};
use crate::proto::agent_v1 as pb;

/// Longest path of the kernel.
const PATH: usize = 4096;
const NAME: usize = 128;
const KEY: usize = 1024;

pub fn target(message: Option<pb::ObserverTarget>) -> Result<ObserverTarget, AgentRefusal> {
    let message = message.ok_or_else(|| missing("target", "the observer that is meant"))?;
    let ip = message
        .svr_ip
        .parse()
        .map_err(|_| invalid("target.svr_ip", &message.svr_ip, "an IPv4 or IPv6 address, as OceanBase knows it"))?;
    let rpc_port = port("target.rpc_port", message.rpc_port)?;
    let address = ServerAddr::new(ip, rpc_port)
        .map_err(|_| invalid("target.rpc_port", message.rpc_port, "a port from 1 to 65535"))?;
    if message.ob_cluster_id < 0 {
        return Err(invalid("target.ob_cluster_id", message.ob_cluster_id, "the cluster's cluster_id, 0 or more"));
    }
    Ok(ObserverTarget {
        address,
        sql_port: port("target.sql_port", message.sql_port)?,
        cluster_name: text("target.cluster_name", message.cluster_name, NAME, "the cluster's name, 1 to 128 bytes")?,
        ob_cluster_id: message.ob_cluster_id,
    })
}

pub fn fence(message: Option<pb::CallerFence>) -> Result<CallerFence, AgentRefusal> {
    let message = message.ok_or_else(|| missing("fence", "who asks, and the fence of its lock"))?;
    if message.fence < 1 {
        return Err(invalid("fence.fence", message.fence, "the fence of the caller's lock, 1 or more"));
    }
    let key = text("fence.cluster_key", message.cluster_key, KEY, "the cluster's key, 1 to 1024 bytes")?;
    Ok(CallerFence {
        store_id: text("fence.store_id", message.store_id, NAME, "the id of the caller's store, 1 to 128 bytes")?,
        cluster: ClusterKey::from_stored(key),
        fence: Fence::new(message.fence),
    })
}

pub fn identity(message: Option<pb::ObserverIdentity>) -> Result<ObserverIdentity, AgentRefusal> {
    let message = message.ok_or_else(|| missing("identity", "the process that FindObserver found"))?;
    let pid = u32::try_from(message.pid).ok().filter(|pid| *pid > 0 && i32::try_from(*pid).is_ok());
    Ok(ObserverIdentity {
        pid: pid.ok_or_else(|| invalid("identity.pid", message.pid, "a process id"))?,
        boot_id: text("identity.boot_id", message.boot_id, NAME, "the host's boot id")?,
        start_ticks: message.start_ticks,
        executable: text("identity.executable", message.executable, PATH, "the path of the executable")?,
        executable_inode: text("identity.executable_inode", message.executable_inode, NAME, "dev:inode")?,
        home: text("identity.home", message.home, PATH, "the observer's home")?,
        uid: message.uid,
        network_namespace: text("identity.network_namespace", message.network_namespace, NAME, "net:[inode]")?,
        cluster_name: text("identity.cluster_name", message.cluster_name, NAME, "the cluster's name")?,
    })
}

pub fn stop_request(message: pb::StopObserverRequest) -> Result<StopRequest, AgentRefusal> {
    let grace = u64::try_from(message.grace_millis).map(Duration::from_millis);
    Ok(StopRequest {
        target: target(message.target)?,
        identity: identity(message.identity)?,
        ticket: Ticket::from_agent(text("ticket", message.ticket, NAME, "the ticket of FindObserver")?),
        token: text("token", message.token, KEY, "a name of this call, 1 to 1024 bytes")?,
        fence: fence(message.fence)?,
        grace: grace
            .ok()
            .filter(|grace| *grace <= LONGEST_GRACE)
            .ok_or_else(|| invalid("grace_millis", message.grace_millis, "0 to 600000"))?,
    })
}

pub fn start_request(message: pb::StartObserverRequest) -> Result<StartRequest, AgentRefusal> {
    let wait = u64::try_from(message.wait_millis).map(Duration::from_millis);
    Ok(StartRequest {
        target: target(message.target)?,
        token: text("token", message.token, KEY, "a name of this call, 1 to 1024 bytes")?,
        fence: fence(message.fence)?,
        wait: wait
            .ok()
            .filter(|wait| *wait <= LONGEST_WAIT)
            .ok_or_else(|| invalid("wait_millis", message.wait_millis, "0 to 600000"))?,
        ticket: match message.ticket {
            Some(ticket) => Some(Ticket::from_agent(text("ticket", ticket, NAME, "the ticket of FindObserver")?)),
            None => None,
        },
    })
}

/// What was found, to send; with a ticket when armed.
pub fn found_message(found: ProcessReport, ticket: Option<Ticket>) -> pb::FindObserverResponse {
    let (finding, identity) = match found.finding {
        Finding::Running(identity) => (pb::Finding::Running, Some(identity_message(&identity))),
        Finding::Absent { .. } => (pb::Finding::Absent, None),
        Finding::Ambiguous { .. } => (pb::Finding::Ambiguous, None),
        // No agent sends it, an agent being on its host: only its caller comes to this finding.
        Finding::HostUnreachable { .. } => (pb::Finding::Unspecified, None),
    };
    let (may_signal, may_not_reason) = match found.may_signal {
        MaySignal::Yes => (true, String::new()),
        MaySignal::No { reason } => (false, reason),
    };
    pb::FindObserverResponse {
        finding: finding.into(),
        identity,
        ticket: ticket.map(|ticket| ticket.as_str().to_owned()).unwrap_or_default(),
        evidence: found.evidence,
        supervisor: found.supervisor.unwrap_or_default(),
        may_signal,
        may_not_reason,
        boot_id: found.boot_id,
        rpc_port_open: found.rpc_port_open,
        sql_port_open: found.sql_port_open,
        beside: found.beside,
    }
}

/// What an agent answered. An answer that makes no sense is an error, never a finding.
pub fn found(message: pb::FindObserverResponse) -> Result<(ProcessReport, Option<Ticket>), AgentRefusal> {
    let evidence = message.evidence;
    let finding = match message.finding.try_into() {
        Ok(pb::Finding::Running) => Finding::Running(identity(message.identity)?),
        Ok(pb::Finding::Absent) => Finding::Absent { evidence: evidence.clone() },
        Ok(pb::Finding::Ambiguous) => Finding::Ambiguous { evidence: evidence.clone() },
        Ok(pb::Finding::Unspecified) | Err(_) => {
            return Err(invalid("finding", message.finding, "RUNNING, ABSENT or AMBIGUOUS (is the agent newer?)"));
        }
    };
    let found = ProcessReport {
        finding,
        evidence,
        supervisor: Some(message.supervisor).filter(|supervisor| !supervisor.is_empty()),
        may_signal: if message.may_signal { MaySignal::Yes } else { MaySignal::No { reason: message.may_not_reason } },
        boot_id: message.boot_id,
        rpc_port_open: message.rpc_port_open,
        sql_port_open: message.sql_port_open,
        beside: message.beside,
    };
    Ok((found, Some(message.ticket).filter(|ticket| !ticket.is_empty()).map(Ticket::from_agent)))
}

pub fn stopped_message(stopped: Stopped) -> pb::StopObserverResponse {
    let (outcome, evidence) = match stopped {
        Stopped::Ended { how, evidence } => {
            let outcome = match how {
                Ended::Terminated => pb::StopOutcome::Terminated,
                Ended::Killed => pb::StopOutcome::Killed,
                Ended::AlreadyGone => pb::StopOutcome::AlreadyGone,
            };
            (outcome, evidence)
        }
        Stopped::StillThere { evidence } => (pb::StopOutcome::StillThere, evidence),
        Stopped::Unknown { evidence } => (pb::StopOutcome::Unknown, evidence),
    };
    pb::StopObserverResponse { outcome: outcome.into(), evidence }
}

/// How a stop ended, as the agent says; an outcome that is not known here counts as unknown.
pub fn stopped(message: pb::StopObserverResponse) -> Stopped {
    let evidence = message.evidence;
    match message.outcome.try_into() {
        Ok(pb::StopOutcome::Terminated) => Stopped::Ended { how: Ended::Terminated, evidence },
        Ok(pb::StopOutcome::Killed) => Stopped::Ended { how: Ended::Killed, evidence },
        Ok(pb::StopOutcome::AlreadyGone) => Stopped::Ended { how: Ended::AlreadyGone, evidence },
        Ok(pb::StopOutcome::StillThere) => Stopped::StillThere { evidence },
        Ok(pb::StopOutcome::Unknown | pb::StopOutcome::Unspecified) | Err(_) => Stopped::Unknown { evidence },
    }
}

pub fn started_message(started: Started) -> pb::StartObserverResponse {
    let (outcome, identity, evidence, last_log_lines) = match started {
        Started::Started { identity, listens, evidence } => {
            let outcome = if listens { pb::StartOutcome::Started } else { pb::StartOutcome::StillStarting };
            (outcome, Some(identity), evidence, Vec::new())
        }
        Started::AlreadyRunning { identity, evidence } => {
            (pb::StartOutcome::AlreadyRunning, Some(identity), evidence, Vec::new())
        }
        Started::Died { evidence, last_log_lines } => (pb::StartOutcome::Died, None, evidence, last_log_lines),
        Started::Unknown { evidence } => (pb::StartOutcome::Unknown, None, evidence, Vec::new()),
    };
    let identity = identity.as_ref().map(identity_message);
    pb::StartObserverResponse { outcome: outcome.into(), identity, evidence, last_log_lines }
}

/// What became of a start, as the agent says; an outcome that is not known here, or lacks its process, counts as unknown.
pub fn started(message: pb::StartObserverResponse) -> Started {
    let pb::StartObserverResponse { outcome, identity: process, evidence, last_log_lines } = message;
    let outcome = pb::StartOutcome::try_from(outcome).unwrap_or(pb::StartOutcome::Unspecified);
    match (outcome, identity(process)) {
        (pb::StartOutcome::Started, Ok(identity)) => Started::Started { identity, listens: true, evidence },
        (pb::StartOutcome::StillStarting, Ok(identity)) => Started::Started { identity, listens: false, evidence },
        (pb::StartOutcome::AlreadyRunning, Ok(identity)) => Started::AlreadyRunning { identity, evidence },
        (pb::StartOutcome::Died, _) => Started::Died { evidence, last_log_lines },
        (
            pb::StartOutcome::Started | pb::StartOutcome::StillStarting | pb::StartOutcome::AlreadyRunning,
            Err(problem),
        ) => Started::Unknown { evidence: format!("{evidence}; the process is not told: {problem}") },
        (pb::StartOutcome::Unknown | pb::StartOutcome::Unspecified, _) => Started::Unknown { evidence },
    }
}

pub fn target_message(target: &ObserverTarget) -> pb::ObserverTarget {
    pb::ObserverTarget {
        svr_ip: target.address.ip().to_string(),
        rpc_port: target.address.rpc_port().into(),
        sql_port: target.sql_port.into(),
        cluster_name: target.cluster_name.clone(),
        ob_cluster_id: target.ob_cluster_id,
    }
}

pub fn fence_message(fence: &CallerFence) -> pb::CallerFence {
    pb::CallerFence {
        store_id: fence.store_id.clone(),
        cluster_key: fence.cluster.as_str().to_owned(),
        fence: fence.fence.get(),
    }
}

pub fn identity_message(identity: &ObserverIdentity) -> pb::ObserverIdentity {
    pb::ObserverIdentity {
        boot_id: identity.boot_id.clone(),
        pid: identity.pid.into(),
        start_ticks: identity.start_ticks,
        executable: identity.executable.clone(),
        executable_inode: identity.executable_inode.clone(),
        home: identity.home.clone(),
        uid: identity.uid,
        network_namespace: identity.network_namespace.clone(),
        cluster_name: identity.cluster_name.clone(),
    }
}

fn port(field: &'static str, value: i32) -> Result<u16, AgentRefusal> {
    u16::try_from(value).ok().filter(|port| *port > 0).ok_or_else(|| invalid(field, value, "a port from 1 to 65535"))
}

fn text(field: &'static str, value: String, longest: usize, wanted: &'static str) -> Result<String, AgentRefusal> {
    if value.is_empty() || value.len() > longest || value.chars().any(char::is_control) {
        return Err(invalid(field, format!("{:?}", value.chars().take(200).collect::<String>()), wanted));
    }
    Ok(value)
}

fn missing(field: &'static str, wanted: &'static str) -> AgentRefusal {
    invalid(field, "missing", wanted)
}

fn invalid(field: &'static str, value: impl std::fmt::Display, wanted: &'static str) -> AgentRefusal {
    AgentRefusal::Invalid { field, value: value.to_string(), wanted }
}
