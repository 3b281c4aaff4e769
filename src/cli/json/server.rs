//! Servers, and what a stop of one would meet.

use serde::Serialize;

use crate::cli::json::task::TaskDoc;
use crate::cli::{times, words};
use crate::proto::v1;

/// A server of a cluster.
#[derive(Debug, Serialize)]
pub struct ServerDoc {
    id: i64,
    cluster_id: i64,
    ip: String,
    rpc_port: i32,
    sql_port: i32,
    zone: String,
    status: String,
    inner_status: String,
    service_state: String,
    process_state: String,
    stop_time: Option<String>,
    start_service_time: Option<String>,
    with_rootserver: bool,
    version: String,
    observed_at: Option<String>,
    permanent_offline_at: Option<String>,
    safe_to_power_off: bool,
    not_safe_reason: String,
    pid: i64,
    leader_count: i32,
    operating_task_id: i64,
}

impl From<&v1::ObServer> for ServerDoc {
    fn from(server: &v1::ObServer) -> Self {
        Self {
            id: server.id,
            cluster_id: server.cluster_id,
            ip: server.ip.clone(),
            rpc_port: server.rpc_port,
            sql_port: server.sql_port,
            zone: server.zone.clone(),
            status: server.status.clone(),
            inner_status: server.inner_status.clone(),
            service_state: words::service_state(server.service_state).into_owned(),
            process_state: words::process_state(server.process_state).into_owned(),
            stop_time: times::rfc3339(server.stop_time.as_ref()),
            start_service_time: times::rfc3339(server.start_service_time.as_ref()),
            with_rootserver: server.with_rootserver,
            version: server.version.clone(),
            observed_at: times::rfc3339(server.observed_at.as_ref()),
            permanent_offline_at: times::rfc3339(server.permanent_offline_at.as_ref()),
            safe_to_power_off: server.safe_to_power_off,
            not_safe_reason: server.not_safe_reason.clone(),
            pid: server.pid,
            leader_count: server.leader_count,
            operating_task_id: server.operating_task_id,
        }
    }
}

/// The servers of a cluster.
#[derive(Debug, Serialize)]
pub struct ServersDoc {
    /// Ascending by id.
    pub servers: Vec<ServerDoc>,
}

/// What a stop would meet.
#[derive(Debug, Serialize)]
pub struct PlanDoc {
    cluster_id: i64,
    server_id: i64,
    address: String,
    zone: String,
    allowed: bool,
    checks: Vec<CheckDoc>,
    leader_moves: Vec<LeaderMoveDoc>,
    failures_tolerated_after: i32,
    observed_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct CheckDoc {
    name: String,
    verdict: String,
    evidence: String,
    remedy: String,
    overridden_by: String,
    overridden: bool,
}

#[derive(Debug, Serialize)]
struct LeaderMoveDoc {
    tenant_id: i64,
    tenant_name: String,
    leaders: i32,
}

impl From<&v1::StopPlan> for PlanDoc {
    fn from(plan: &v1::StopPlan) -> Self {
        Self {
            cluster_id: plan.cluster_id,
            server_id: plan.server_id,
            address: plan.address.clone(),
            zone: plan.zone.clone(),
            allowed: plan.allowed,
            checks: plan.checks.iter().map(CheckDoc::from).collect(),
            leader_moves: plan.leader_moves.iter().map(LeaderMoveDoc::from).collect(),
            failures_tolerated_after: plan.failures_tolerated_after,
            observed_at: times::rfc3339(plan.observed_at.as_ref()),
        }
    }
}

impl From<&v1::PlanCheck> for CheckDoc {
    fn from(check: &v1::PlanCheck) -> Self {
        Self {
            name: check.name.clone(),
            verdict: words::verdict(check.verdict).into_owned(),
            evidence: check.evidence.clone(),
            remedy: check.remedy.clone(),
            overridden_by: check.overridden_by.clone(),
            overridden: check.overridden,
        }
    }
}

impl From<&v1::LeaderMove> for LeaderMoveDoc {
    fn from(leaders: &v1::LeaderMove) -> Self {
        Self { tenant_id: leaders.tenant_id, tenant_name: leaders.tenant_name.clone(), leaders: leaders.leaders }
    }
}

/// What `obsteward stop`, `start` or `restart` did.
#[derive(Debug, Serialize)]
pub struct AcceptedDoc {
    /// What it met; absent for a start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanDoc>,
    /// UUID of the request; absent when nothing was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The accepted task; absent when nothing was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskDoc>,
}
