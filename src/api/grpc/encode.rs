//! Answers of the service as messages: servers, clusters and plans. Tasks are encoded by `watch::encode`, so that a stream
//! and a call show the same.

use crate::api::grpc::statuses;
use crate::domain::change_freeze::FreezeScope;
use crate::domain::clients::ServerClients;
use crate::domain::event::TaskServer;
use crate::domain::ids::{ServerAddr, TaskId};
use crate::domain::reading::Fact;
use crate::domain::ssh::SshLogin;
use crate::domain::status::InnerStatus;
use crate::proto::v1;
use crate::service::views::{AssessedCheck, CheckVerdict, ClusterView, ProcessView, ServerView, StopPlanView};
use crate::service::{ChangeFreezeView, RolloutPlanView, TaskPlanView};
use crate::store::inventory::{DefaultHost, HostRoute, ServerRow};
use crate::watch::encode::{overridden_by, task, task_server, timestamp};

pub fn server(view: &ServerView) -> v1::ObServer {
    let row = &view.row;
    let (process_state, pid) = match &view.process {
        ProcessView::NotAsked => (v1::ProcessState::Unspecified, None),
        ProcessView::Running { pid } => (v1::ProcessState::Running, Some(*pid)),
        ProcessView::Absent => (v1::ProcessState::Absent, None),
        ProcessView::HostUnreachable { .. } => (v1::ProcessState::HostUnreachable, None),
        ProcessView::Ambiguous { .. } => (v1::ProcessState::Ambiguous, None),
    };
    v1::ObServer {
        id: row.id.get(),
        cluster_id: row.cluster.get(),
        ip: row.addr.ip().to_string(),
        rpc_port: i32::from(row.addr.rpc_port()),
        sql_port: i32::from(row.sql_port),
        zone: row.zone.to_string(),
        status: statuses::server(view.status).into(),
        inner_status: statuses::server_inner(row.inner_status).into(),
        service_state: service_state(row).into(),
        process_state: process_state.into(),
        stop_time: row.stop_time.map(timestamp),
        start_service_time: row.start_service_time.map(timestamp),
        with_rootserver: row.with_rootserver,
        version: row.build_version.clone(),
        observed_at: Some(timestamp(row.observed_at)),
        permanent_offline_at: view.permanent_offline_at.map(timestamp),
        held_until: view.held_until.map(timestamp),
        safe_to_power_off: view.not_safe_reason.is_none(),
        not_safe_reason: view.not_safe_reason.clone().unwrap_or_default(),
        pid,
        leader_count: view.leaders.map(|leaders| i32::try_from(leaders).unwrap_or(i32::MAX)),
        operating_task_id: view.operating_task.map(TaskId::get),
    }
}

/// STATUS stays ACTIVE after STOP SERVER: whether a server serves is read from more than that.
const fn service_state(row: &ServerRow) -> v1::ServiceState {
    match (row.inner_status, row.stop_time, row.start_service_time) {
        (InnerStatus::Deleting | InnerStatus::TakeoverByRs, _, _) => v1::ServiceState::Leaving,
        (InnerStatus::Active | InnerStatus::Inactive, Some(_), _) => v1::ServiceState::Stopped,
        (InnerStatus::Inactive, None, _) => v1::ServiceState::Lost,
        (InnerStatus::Active, None, Some(_)) => v1::ServiceState::Serving,
        (InnerStatus::Active, None, None) => v1::ServiceState::Starting,
    }
}

pub fn plan(view: StopPlanView) -> v1::StopPlan {
    let moves = view.leader_moves.into_iter();
    v1::StopPlan {
        cluster_id: view.cluster.get(),
        server_id: view.server.map(|(server, _)| server.get()).unwrap_or_default(),
        address: view.server.map(|(_, addr)| addr.to_string()).unwrap_or_default(),
        zone: view.zone.map(|zone| zone.to_string()).unwrap_or_default(),
        allowed: view.allowed,
        checks: view.checks.into_iter().map(check).collect(),
        leader_moves: moves
            .map(|(tenant_id, tenant_name, leaders)| v1::LeaderMove { tenant_id, tenant_name, leaders })
            .collect(),
        failures_tolerated_after: view.failures_tolerated_after,
        observed_at: Some(timestamp(view.observed_at)),
        clients: view.clients.into_iter().map(clients).collect(),
    }
}

pub fn rollout_plan(view: RolloutPlanView) -> v1::PlanRolloutResponse {
    let allowed = view.allowed();
    let batch = |batch: &Vec<TaskServer>| v1::RolloutBatch { servers: batch.iter().map(task_server).collect() };
    v1::PlanRolloutResponse {
        batches: view.batches.iter().map(batch).collect(),
        plans: view.plans.into_iter().map(plan).collect(),
        allowed,
    }
}

pub fn task_plan(view: TaskPlanView) -> v1::PlanTaskResponse {
    v1::PlanTaskResponse {
        task: Some(task(&view.task)),
        plans: view.plans.into_iter().map(plan).collect(),
        plan_digest: view.digest.to_string(),
    }
}

pub fn change_freeze(view: ChangeFreezeView) -> v1::ChangeFreeze {
    let ChangeFreezeView { cluster, freeze } = view;
    v1::ChangeFreeze {
        cluster_id: cluster.as_ref().map(|(id, _)| id.get()),
        cluster_name: cluster.map(|(_, name)| name).unwrap_or_default(),
        everything: freeze.scope == FreezeScope::Everything,
        principal: freeze.by.to_string(),
        reason: freeze.reason.to_string(),
        since: Some(timestamp(freeze.since)),
    }
}

fn clients((addr, found): (ServerAddr, Fact<ServerClients>)) -> v1::ServerClients {
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let (found, not_known_reason) = match found {
        Ok(found) => (found, String::new()),
        Err(why) => (ServerClients::default(), why.to_string()),
    };
    let tenants = found.0.into_iter().map(|one| v1::TenantClients {
        tenant: one.tenant,
        sessions: count(one.sessions),
        active_sessions: count(one.active),
        open_transactions: count(one.transactions),
    });
    v1::ServerClients { address: addr.to_string(), tenants: tenants.collect(), not_known_reason }
}

fn check(check: AssessedCheck) -> v1::PlanCheck {
    let verdict = match check.verdict {
        CheckVerdict::Pass => v1::Verdict::Pass,
        CheckVerdict::Info => v1::Verdict::Info,
        CheckVerdict::Warn => v1::Verdict::Warn,
        CheckVerdict::Block => v1::Verdict::Block,
    };
    v1::PlanCheck {
        evidence: check.words(),
        name: check.name,
        verdict: verdict.into(),
        remedy: check.remedy,
        overridden_by: check.overridden_by.map_or(v1::OverriddenBy::Unspecified, overridden_by).into(),
        overridden: check.overridden,
    }
}

/// A cluster; its password is never shown.
pub fn cluster(view: &ClusterView) -> v1::Cluster {
    let row = &view.row;
    let zones = view.zones.iter().map(|(zone, status)| v1::Zone {
        name: zone.name.to_string(),
        status: statuses::zone(*status).into(),
        inner_status: statuses::zone_inner(zone.inner_status).into(),
        region: zone.region.clone(),
        idc: zone.idc.clone(),
    });
    v1::Cluster {
        id: row.id.get(),
        name: row.identity.name.clone(),
        ob_cluster_id: row.identity.ob_cluster_id,
        status: statuses::cluster(view.status).into(),
        endpoints: row.endpoints.clone(),
        username: row.username.clone(),
        zones: zones.collect(),
        hosts: view.hosts.iter().map(|(svr_ip, route)| host(svr_ip, route)).collect(),
        observed_at: row.observed_at.map(timestamp),
        operating_task_id: view.operating_task.map(TaskId::get),
        sync_error: row.sync_error.clone(),
        version: view.version.clone(),
        server_count: i32::try_from(view.server_count).unwrap_or(i32::MAX),
        default_host: default_host(&row.default_host),
    }
}

fn default_host(host: &DefaultHost) -> Option<v1::DefaultHost> {
    let of = |transport: v1::HostTransport| v1::DefaultHost { transport: transport.into(), ..Default::default() };
    Some(match host {
        DefaultHost::None => return None,
        DefaultHost::Local => of(v1::HostTransport::Local),
        DefaultHost::Grpc { port } => {
            v1::DefaultHost { agent_port: Some(i32::from(*port)), ..of(v1::HostTransport::Grpc) }
        }
        DefaultHost::Ssh(SshLogin { user, port }) => v1::DefaultHost {
            ssh_user: user.as_ref().map(ToString::to_string).unwrap_or_default(),
            ssh_port: port.map(|port| i32::from(port.get())),
            ..of(v1::HostTransport::Ssh)
        },
    })
}

fn host(svr_ip: &str, route: &HostRoute) -> v1::Host {
    let by = |transport: v1::HostTransport| v1::Host {
        svr_ip: svr_ip.to_owned(),
        transport: transport.into(),
        ..Default::default()
    };
    match route {
        HostRoute::None => by(v1::HostTransport::Unspecified),
        HostRoute::Local => by(v1::HostTransport::Local),
        HostRoute::Grpc { address } => v1::Host { agent_address: address.clone(), ..by(v1::HostTransport::Grpc) },
        HostRoute::Ssh(destination) => {
            v1::Host { ssh_destination: destination.to_string(), ..by(v1::HostTransport::Ssh) }
        }
    }
}
