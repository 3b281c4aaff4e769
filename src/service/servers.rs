//! GetServer and ListServers: recorded state, for one server with a fresh look at cluster and host.

use std::time::Duration;

use super::Service;
use super::call::{Caller, ServiceCall};
use super::refusals::{inventory_refusal, store_refusal};
use super::views::{ProcessView, ServerView};
use crate::clock::Timestamp;
use crate::domain::admission::service_state;
use crate::domain::call::Call;
use crate::domain::event::{Direction, TaskState};
use crate::domain::graph::TaskTarget;
use crate::domain::host::{Finding, ProcessReport};
use crate::domain::ids::{ClusterId, ServerId, ZoneName};
use crate::domain::refusal::Refusal;
use crate::domain::shown::server_status;
use crate::domain::status::{ServerStatus, ZoneInnerStatus};
use crate::domain::task::Task;
use crate::inventory::{Target, is_stopped_as_a_whole, recorded_reading};
use crate::oceanbase::{Avoid, ClusterError};
use crate::operations::definition::{Definition, StepKind};
use crate::store::inventory::{ClusterRow, ServerRow};

/// Longest look at cluster and host.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// One server, with a fresh look; what does not answer in time is shown as recorded.
#[derive(Clone, Debug)]
pub struct GetServer {
    pub cluster: ClusterId,
    pub server: ServerId,
}

impl ServiceCall for GetServer {
    const CALL: Call = Call::GetServer;
    type Subject = ClusterId;
    type Output = ServerView;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.cluster
    }

    async fn run(self, service: &Service, _: &Caller, _: ()) -> Result<ServerView, Refusal> {
        service.get_server(self.cluster, self.server).await
    }
}

/// Servers of a cluster as recorded, ascending by id.
#[derive(Clone, Debug)]
pub struct ListServers {
    pub cluster: ClusterId,
    /// `None`: of every zone.
    pub zone: Option<ZoneName>,
    /// Only ids above this (from the page token).
    pub above: Option<ServerId>,
    pub limit: u32,
}

impl ServiceCall for ListServers {
    const CALL: Call = Call::ListServers;
    type Subject = ClusterId;
    type Output = Vec<ServerView>;

    fn subject(&self, _: &Caller) -> ClusterId {
        self.cluster
    }

    async fn run(self, service: &Service, _: &Caller, _: ()) -> Result<Vec<ServerView>, Refusal> {
        service.list_servers(self).await
    }
}

impl Service {
    async fn get_server(&self, cluster: ClusterId, server: ServerId) -> Result<ServerView, Refusal> {
        let target = self.deps.inventory.target(cluster, server).await;
        let mut target = target.map_err(|error| inventory_refusal(&error))?;
        let host = self.deps.hosts.host(&target.host);
        let observer = target.observer();
        let here = |task: &Task| task.spec.server(server).is_some();
        // A task that was closed during the look may have started what was seen absent; one that was accepted may do so.
        let before = self.operating(&target.cluster).await?.filter(here);
        let (leaders, found) = tokio::join!(
            tokio::time::timeout(LONGEST_LOOK, self.fresh(&target)),
            tokio::time::timeout(LONGEST_LOOK, host.find(&observer)),
        );
        let (leaders, zone) = match leaders {
            Ok(Ok((row, leaders, zone))) => {
                target.server = row;
                (Some(leaders), zone)
            }
            Ok(Err(error)) => {
                tracing::info!(cluster = cluster.get(), "shown as recorded, the cluster does not answer: {error}");
                (None, None)
            }
            Err(_) => (None, None),
        };
        let process = match found {
            Ok(Ok(found)) => process_view(&found),
            Ok(Err(error)) => ProcessView::HostUnreachable { reason: error.to_string() },
            Err(_) => ProcessView::HostUnreachable { reason: "no answer in time".to_owned() },
        };
        let operating = self.operating(&target.cluster).await?;
        let mut view = view(&target.cluster, target.server, zone, process, leaders, operating.filter(here).as_ref());
        view.not_safe_reason =
            view.not_safe_reason.or_else(|| before.as_ref().and_then(|task| may_start(task, server)));
        Ok(view)
    }

    /// The server's row as the cluster says it now, its leaders, and the STATUS of its zone when it matters.
    async fn fresh(&self, target: &Target) -> Result<(ServerRow, i64, Option<ZoneInnerStatus>), ClusterError> {
        let avoid = Avoid { server: Some(target.server.addr), ..Avoid::default() };
        let expected = target.expected();
        let reader = self.deps.oceanbase.reader(&target.access, &target.known, &expected, &avoid);
        let mut reader = reader.await?;
        let mut row = target.server.clone();
        if let Some(read) = reader.server(&row.addr).await? {
            row.inner_status = read.status;
            row.stop_time = read.stop_time;
            row.start_service_time = read.start_service_time;
            row.last_offline_time = read.last_offline_time;
            row.with_rootserver = read.with_rootserver;
            row.build_version = read.build_version;
            row.observed_at = self.deps.clock.now();
        }
        let leaders = reader.leaders(&row.addr).await?.most();
        // STOP_TIME alone keeps leaders away.
        let zone = match row.stop_time {
            Some(_) => None,
            None => reader.zone(&row.zone).await?.map(|zone| zone.status),
        };
        Ok((row, leaders, zone))
    }

    async fn list_servers(&self, asked: ListServers) -> Result<Vec<ServerView>, Refusal> {
        let cluster = self.deps.inventory.cluster(asked.cluster).await.map_err(|error| inventory_refusal(&error))?;
        let rows = self.deps.inventory.store().servers(asked.cluster).await.map_err(|error| store_refusal(&error))?;
        let operating = self.operating(&cluster).await?;
        let wanted = rows
            .into_iter()
            .filter(|row| asked.zone.as_ref().is_none_or(|zone| *zone == row.zone))
            .filter(|row| asked.above.is_none_or(|above| row.id > above))
            .take(usize::try_from(asked.limit).unwrap_or(usize::MAX));
        Ok(wanted
            .map(|row| {
                let operating = operating.as_ref().filter(|task| task.spec.server(row.id).is_some());
                view(&cluster, row, None, ProcessView::NotAsked, None, operating)
            })
            .collect())
    }

    /// The open task of a cluster.
    pub(super) async fn operating(&self, cluster: &ClusterRow) -> Result<Option<Task>, Refusal> {
        let lock = self.store.lock(&cluster.identity.key()).await.map_err(|error| store_refusal(&error))?;
        match lock.and_then(|lock| lock.holder) {
            None => Ok(None),
            Some(holder) => Ok(Some(self.stored_task(holder).await?.task)),
        }
    }
}

fn process_view(found: &ProcessReport) -> ProcessView {
    match &found.finding {
        Finding::Running(identity) => ProcessView::Running { pid: i64::from(identity.pid) },
        Finding::Absent { .. } => ProcessView::Absent,
        Finding::HostUnreachable { reason } => ProcessView::HostUnreachable { reason: reason.clone() },
        Finding::Ambiguous { evidence } => ProcessView::Ambiguous { evidence: evidence.clone() },
    }
}

fn view(
    cluster: &ClusterRow,
    mut row: ServerRow,
    zone: Option<ZoneInnerStatus>,
    process: ProcessView,
    leaders: Option<i64>,
    operating: Option<&Task>,
) -> ServerView {
    let reading = recorded_reading(cluster, &row);
    let status = server_status(row.managed_status, service_state(&reading));
    row.inner_status = reading.status;
    let permanent_offline_at = permanent_offline_at(cluster, &row);
    let not_safe_reason =
        not_safe(cluster, &row, zone, &process, leaders).or_else(|| operating.and_then(|task| may_start(task, row.id)));
    let operating_task = operating.map(|task| task.spec.id);
    let held_until = operating.and_then(|task| held_until(task, row.id));
    ServerView { row, status, process, leaders, permanent_offline_at, held_until, not_safe_reason, operating_task }
}

/// When the cluster gives up the replicas of a server that is away; `None`: it is not, by the last reading.
pub(super) fn permanent_offline_at(cluster: &ClusterRow, row: &ServerRow) -> Option<Timestamp> {
    let (lease, permanent) = (cluster.lease_time(), cluster.permanent_offline_time());
    // Last heartbeat = LAST_OFFLINE_TIME - lease_time (docs/oceanbase.md#permanent-offline).
    row.last_offline_time.map(|offline| offline.minus(lease).plus(permanent))
}

/// Until when the task holds the server out of service; `None`: it does not.
fn held_until(task: &Task, server: ServerId) -> Option<Timestamp> {
    let target = TaskTarget::Server(server);
    task.held().find(|(subtask, _)| subtask.spec.target == target).map(|(_, until)| until)
}

/// Why the process may be started although it is absent now: the open task of the server is there to start it, as long as it
/// is not closed. One at rest does so when it is retried, and nobody who asks for that looks at the host first.
fn may_start(task: &Task, server: ServerId) -> Option<String> {
    if held_until(task, server).is_some() {
        return None;
    }
    let starts = match (Definition::of_task(task), task.direction) {
        (Some(definition), Direction::Forward) => definition.has(StepKind::StartProcess),
        (Some(_), Direction::Back) | (None, _) => true,
    };
    let (id, name, state) = (task.spec.id, &task.spec.graph.operation.name, task.state);
    let open = match state {
        TaskState::Running | TaskState::Canceling => true,
        TaskState::Failed | TaskState::Cancelled => {
            let why = format!(
                "task {id} ({name}) rests as {state} and may start the process when it is retried: give it up first"
            );
            return starts.then_some(why);
        }
        // It takes no server yet.
        TaskState::Pending => false,
        TaskState::Successful | TaskState::RolledBack | TaskState::Refused | TaskState::GivenUp => false,
    };
    let what = match task.direction {
        Direction::Forward => "is at work",
        Direction::Back => "is being rolled back",
    };
    (open && starts).then(|| format!("task {id} ({name}) {what} and may start the process"))
}

/// Why a host is not safe to power off; only proof counts: that of a whole cluster that was stopped, and does not answer since,
/// serves nobody and leads nothing once its process is proven absent. `zone`: the STATUS of its zone; `None`: not known.
fn not_safe(
    cluster: &ClusterRow,
    row: &ServerRow,
    zone: Option<ZoneInnerStatus>,
    process: &ProcessView,
    leaders: Option<i64>,
) -> Option<String> {
    match process {
        ProcessView::Absent => {}
        ProcessView::NotAsked => return Some("the host was not asked, use GetServer".to_owned()),
        ProcessView::Running { pid } => return Some(format!("its process {pid} runs")),
        ProcessView::HostUnreachable { reason } => {
            return Some(format!("the process is not proven absent, the host does not answer: {reason}"));
        }
        ProcessView::Ambiguous { evidence } => return Some(format!("the process is not proven absent: {evidence}")),
    }
    match leaders {
        None if is_stopped_as_a_whole(cluster) && row.managed_status == Some(ServerStatus::Stopped) => return None,
        None => return Some("its leaders are not known, the cluster does not answer".to_owned()),
        Some(0) => {}
        Some(count) => return Some(format!("{count} log streams are led from it")),
    }
    let marked = row.stop_time.is_some() || zone == Some(ZoneInnerStatus::Inactive);
    (!marked).then(|| "STOP_TIME is not set and its zone is not stopped, leaders may return to it".to_owned())
}
