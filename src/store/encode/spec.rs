//! What was requested and decided at acceptance, with the task's graph, to its stored form and back.

use std::time::Duration;

use super::{damaged, fact, needed, optional_word, read, subtask_id, word};
use crate::clock::Timestamp;
use crate::domain::event::{TaskCluster, TaskServer, TaskSpec};
use crate::domain::graph::{Graph, OperationName, SubtaskSpec, TaskTarget};
use crate::domain::ids::{ClusterId, ClusterKey, Principal, ServerId, TaskId};
use crate::domain::reason::Reason;
use crate::proto::store_v1 as stored;
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
        drain_us: i64::try_from(spec.drain.as_micros()).unwrap_or(i64::MAX),
        graph: Some(graph(&spec.graph)),
        facts: spec.facts.iter().map(fact::to_stored).collect(),
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
        drain: micros("drain of a task", spec.drain_us)?,
        graph: from_graph(needed("graph of a task", spec.graph)?)?,
        facts: spec.facts.into_iter().map(fact::from_stored).collect::<Result<_, _>>()?,
    })
}

fn micros(what: &str, micros: i64) -> Result<Duration, StoreError> {
    let time = u64::try_from(micros).map_err(|_| damaged(format!("{what} is {micros} us")))?;
    Ok(Duration::from_micros(time))
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

fn graph(graph: &Graph) -> stored::Graph {
    let subtasks = graph.subtasks.iter().map(|subtask| stored::Subtask {
        id: subtask.id.get(),
        name: subtask.name.clone(),
        kind: subtask.kind.clone(),
        server: match &subtask.target {
            TaskTarget::Server(server) => Some(server.get()),
            TaskTarget::Zone(_) | TaskTarget::Cluster => None,
        },
        zone: match &subtask.target {
            TaskTarget::Zone(zone) => Some(zone.as_str().to_owned()),
            TaskTarget::Server(_) | TaskTarget::Cluster => None,
        },
        timeout_us: i64::try_from(subtask.timeout.as_micros()).unwrap_or(i64::MAX),
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
            target: match (subtask.server, subtask.zone) {
                (Some(server), None) => TaskTarget::Server(read("server", ServerId::new(server))?),
                (None, Some(zone)) => TaskTarget::Zone(word("subtask", &zone)?),
                (None, None) => TaskTarget::Cluster,
                (Some(_), Some(_)) => {
                    return Err(damaged(format!("subtask {} acts on a server and on a zone", subtask.id)));
                }
            },
            timeout: micros(&format!("timeout of subtask {}", subtask.id), subtask.timeout_us)?,
            upstreams: subtask.upstreams.into_iter().map(subtask_id).collect::<Result<_, _>>()?,
            prohibit_skip: subtask.prohibit_skip,
        })
    });
    Ok(Graph {
        operation: OperationName { name: graph.operation, version: graph.version },
        subtasks: subtasks.collect::<Result<_, StoreError>>()?,
    })
}
