//! What was requested and decided at acceptance, with the task's graph, to its stored form and back.

use std::time::Duration;

use super::{damaged, fact, needed, optional_word, read, subtask_id, word};
use crate::clock::Timestamp;
use crate::domain::beginning::Pending;
use crate::domain::event::{TaskCluster, TaskServer, TaskSpec};
use crate::domain::graph::{Graph, OperationName, SubtaskRole, SubtaskSpec, TaskTarget};
use crate::domain::hold::{Hold, HoldUntil};
use crate::domain::ids::{ClusterId, ClusterKey, Principal, ServerId, TaskId};
use crate::domain::reason::Reason;
use crate::domain::rollout::Rollout;
use crate::domain::trace::TraceContext;
use crate::proto::store_v1 as stored;
use crate::proto::store_v1::hold::Until as StoredUntil;
use crate::proto::store_v1::task_spec::Target;
use crate::store::StoreError;

pub(super) fn to_stored(spec: &TaskSpec) -> stored::TaskSpec {
    stored::TaskSpec {
        id: spec.id.get(),
        cluster: Some(stored::TaskCluster {
            id: spec.cluster.id.get(),
            name: spec.cluster.name.clone(),
            ob_cluster_id: spec.cluster.ob_cluster_id,
            key: spec.cluster.key.as_str().to_owned(),
        }),
        // `None` never happens: a task knows the server that it acts on.
        target: match &spec.target {
            TaskTarget::Server(id) => spec.server(*id).map(|one| Target::Server(server(one))),
            TaskTarget::Zone(zone) => Some(Target::Zone(zone.as_str().to_owned())),
            TaskTarget::Cluster => Some(Target::WholeCluster(stored::WholeCluster {})),
        },
        servers: match &spec.target {
            TaskTarget::Server(_) => Vec::new(),
            TaskTarget::Zone(_) | TaskTarget::Cluster => spec.servers.iter().map(server).collect(),
        },
        creator: spec.creator.as_str().to_owned(),
        reason: spec.reason.as_str().to_owned(),
        expire_time_us: spec.expire_time.as_micros(),
        force: spec.force,
        accepted_risks: spec.accepted_risks.iter().map(|risk| risk.as_str().to_owned()).collect(),
        stop_type: spec.stop_type.map(|stop_type| stop_type.as_str().to_owned()).unwrap_or_default(),
        freeze_before_stop: spec.freeze_before_stop,
        hold: spec.hold.as_ref().map(hold),
        rollout: spec.rollout.as_ref().map(rollout),
        drain_us: micros(spec.drain),
        pending: spec.pending.as_ref().map(|pending| stored::Pending {
            store_id: pending.store_id.clone(),
            not_before_us: pending.not_before.map(Timestamp::as_micros),
            approval: pending.approval,
            starts: pending.starts,
        }),
        graph: Some(graph(&spec.graph)),
        facts: spec.facts.iter().map(fact::to_stored).collect(),
        traceparent: spec.trace.map(|trace| trace.to_string()).unwrap_or_default(),
    }
}

pub(super) fn from_stored(spec: stored::TaskSpec) -> Result<TaskSpec, StoreError> {
    let cluster = needed("cluster of a task", spec.cluster)?;
    let servers = spec.servers.into_iter().map(from_server).collect::<Result<_, _>>()?;
    let (target, servers) = match needed("target of a task", spec.target)? {
        Target::Server(server) => {
            let server = from_server(server)?;
            (TaskTarget::Server(server.id), vec![server])
        }
        Target::Zone(zone) => (TaskTarget::Zone(word("task", &zone)?), servers),
        Target::WholeCluster(stored::WholeCluster {}) => (TaskTarget::Cluster, servers),
    };
    Ok(TaskSpec {
        id: read("task", TaskId::new(spec.id))?,
        cluster: TaskCluster {
            id: read("cluster", ClusterId::new(cluster.id))?,
            name: cluster.name,
            ob_cluster_id: cluster.ob_cluster_id,
            key: ClusterKey::from_stored(cluster.key),
        },
        target,
        servers,
        creator: Principal::new(spec.creator),
        reason: Reason::from_stored(spec.reason),
        expire_time: Timestamp::from_micros(spec.expire_time_us),
        force: spec.force,
        accepted_risks: spec.accepted_risks.iter().map(|risk| word("task", risk)).collect::<Result<_, _>>()?,
        stop_type: optional_word("task", &spec.stop_type)?,
        freeze_before_stop: spec.freeze_before_stop,
        hold: spec.hold.map(from_hold).transpose()?,
        rollout: spec.rollout.map(from_rollout).transpose()?,
        drain: from_micros("drain of a task", spec.drain_us)?,
        pending: spec.pending.map(|pending| Pending {
            store_id: pending.store_id,
            not_before: pending.not_before_us.map(Timestamp::from_micros),
            approval: pending.approval,
            starts: pending.starts,
        }),
        graph: from_graph(needed("graph of a task", spec.graph)?)?,
        facts: spec.facts.into_iter().map(fact::from_stored).collect::<Result<_, _>>()?,
        // Nothing is decided by it: what cannot be read is none.
        trace: TraceContext::parse(&spec.traceparent),
    })
}

fn server(server: &TaskServer) -> stored::TaskServer {
    stored::TaskServer {
        id: server.id.get(),
        addr: server.addr.to_string(),
        ob_server_id: server.ob_server_id,
        zone: server.zone.as_str().to_owned(),
    }
}

fn from_server(server: stored::TaskServer) -> Result<TaskServer, StoreError> {
    Ok(TaskServer {
        id: read("server", ServerId::new(server.id))?,
        addr: word("server", &server.addr)?,
        ob_server_id: server.ob_server_id,
        zone: word("server", &server.zone)?,
    })
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn from_micros(what: &str, micros: i64) -> Result<Duration, StoreError> {
    u64::try_from(micros).map(Duration::from_micros).map_err(|_| damaged(format!("{what} is {micros} us")))
}

fn hold(hold: &Hold) -> stored::Hold {
    let until = match hold.until {
        HoldUntil::Deadline(until) => StoredUntil::DeadlineUs(until.as_micros()),
        HoldUntil::For(time) => StoredUntil::ForUs(micros(time)),
    };
    stored::Hold { until: Some(until), permanent_offline_us: micros(hold.permanent_offline) }
}

fn from_hold(hold: stored::Hold) -> Result<Hold, StoreError> {
    let until = match needed("end of a hold", hold.until)? {
        StoredUntil::DeadlineUs(until) => HoldUntil::Deadline(Timestamp::from_micros(until)),
        StoredUntil::ForUs(time) => HoldUntil::For(from_micros("time of a hold", time)?),
    };
    Ok(Hold { until, permanent_offline: from_micros("permanent offline time", hold.permanent_offline_us)? })
}

fn rollout(rollout: &Rollout) -> stored::Rollout {
    let batch = |batch: &Vec<ServerId>| stored::RolloutBatch { servers: batch.iter().map(|id| id.get()).collect() };
    stored::Rollout {
        action: rollout.action.as_str().to_owned(),
        batches: rollout.batches.iter().map(batch).collect(),
        min_healthy_us: micros(rollout.min_healthy),
        stop_after: rollout.stop_after,
        pause_after: rollout.pause_after,
    }
}

fn from_rollout(rollout: stored::Rollout) -> Result<Rollout, StoreError> {
    let batch = |batch: stored::RolloutBatch| {
        batch.servers.into_iter().map(|id| read("server", ServerId::new(id))).collect::<Result<Vec<_>, _>>()
    };
    Ok(Rollout {
        action: word("rollout", &rollout.action)?,
        batches: rollout.batches.into_iter().map(batch).collect::<Result<_, _>>()?,
        min_healthy: from_micros("healthy time of a rollout", rollout.min_healthy_us)?,
        stop_after: rollout.stop_after,
        pause_after: rollout.pause_after,
    })
}

fn graph(graph: &Graph) -> stored::Graph {
    let subtasks = graph.subtasks.iter().map(|subtask| stored::Subtask {
        id: subtask.id.get(),
        name: subtask.name.clone(),
        role: match subtask.role {
            SubtaskRole::Step => String::new(),
            role @ (SubtaskRole::HealthGate | SubtaskRole::Hold) => role.as_str().to_owned(),
        },
        kind: subtask.kind.clone(),
        server: match &subtask.target {
            TaskTarget::Server(server) => Some(server.get()),
            TaskTarget::Zone(_) | TaskTarget::Cluster => None,
        },
        zone: match &subtask.target {
            TaskTarget::Zone(zone) => Some(zone.as_str().to_owned()),
            TaskTarget::Server(_) | TaskTarget::Cluster => None,
        },
        timeout_us: micros(subtask.timeout),
        upstreams: subtask.upstreams.iter().map(|upstream| upstream.get()).collect(),
        prohibit_skip: subtask.prohibit_skip,
    });
    stored::Graph {
        operation: graph.operation.name.clone(),
        version: graph.operation.version,
        subtasks: subtasks.collect(),
    }
}

fn from_graph(graph: stored::Graph) -> Result<Graph, StoreError> {
    let subtasks = graph.subtasks.into_iter().map(|subtask| {
        Ok(SubtaskSpec {
            id: subtask_id(subtask.id)?,
            kind: subtask.kind,
            name: subtask.name,
            role: optional_word("subtask", &subtask.role)?.unwrap_or(SubtaskRole::Step),
            target: match (subtask.server, subtask.zone) {
                (Some(server), None) => TaskTarget::Server(read("server", ServerId::new(server))?),
                (None, Some(zone)) => TaskTarget::Zone(word("subtask", &zone)?),
                (None, None) => TaskTarget::Cluster,
                (Some(_), Some(_)) => {
                    return Err(damaged(format!("subtask {} acts on a server and on a zone", subtask.id)));
                }
            },
            timeout: from_micros("timeout of a subtask", subtask.timeout_us)?,
            upstreams: subtask.upstreams.into_iter().map(subtask_id).collect::<Result<_, _>>()?,
            prohibit_skip: subtask.prohibit_skip,
        })
    });
    Ok(Graph {
        operation: OperationName { name: graph.operation, version: graph.version },
        subtasks: subtasks.collect::<Result<_, StoreError>>()?,
    })
}
