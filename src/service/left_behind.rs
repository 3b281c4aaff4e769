//! What a task that is given up leaves behind, as a look at cluster and host finds it just before: the caller is to know which
//! facts nobody takes care of any more. Bounded; what cannot be looked at is said to be not known.

use std::time::Duration;

use futures::future::join_all;

use super::Service;
use crate::domain::admission::service_state;
use crate::domain::event::TaskServer;
use crate::domain::host::Finding;
use crate::domain::task::Task;
use crate::inventory::recorded_reading;

/// Longest look: a cluster that does not answer must not keep it from being freed.
const LOOK: Duration = Duration::from_secs(5);
/// The code of the warnings.
const LEFT_BEHIND: &str = "LEFT_BEHIND";

impl Service {
    /// Code and words of every fact. The reading of the cluster is kept, so that statuses are as it finds them.
    pub(super) async fn left_behind(&self, task: &Task) -> Vec<(String, String)> {
        let sync = tokio::time::timeout(LOOK, self.deps.inventory.sync(task.spec.cluster.id));
        let processes = task.spec.servers.iter().map(|server| self.process_left(task, server));
        let (read, processes) = tokio::join!(sync, join_all(processes));
        let unread = match read {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("the cluster was not read within {} s", LOOK.as_secs())),
        };
        let mut found = Vec::new();
        for (server, process) in task.spec.servers.iter().zip(processes) {
            found.push(match &unread {
                Some(why) => format!("STOP_TIME of {} is not known: {why}", server.addr),
                None => self.mark_left(task, server).await,
            });
            found.push(process);
        }
        found.into_iter().map(|message| (LEFT_BEHIND.to_owned(), message)).collect()
    }

    /// As the cluster was just read.
    async fn mark_left(&self, task: &Task, server: &TaskServer) -> String {
        match self.deps.inventory.target(task.spec.cluster.id, server.id).await {
            Ok(target) => {
                let row = recorded_reading(&target.cluster, &target.server);
                let mark = row.stop_time.map_or_else(|| "not set".to_owned(), |at| format!("set since {at}"));
                format!("STOP_TIME of {} is {mark}, its service is {}", server.addr, service_state(&row))
            }
            Err(error) => format!("STOP_TIME of {} is not known: {error}", server.addr),
        }
    }

    async fn process_left(&self, task: &Task, server: &TaskServer) -> String {
        let addr = server.addr;
        let not_known = |why: String| format!("whether a process of {addr} runs is not known: {why}");
        let target = match self.deps.inventory.target(task.spec.cluster.id, server.id).await {
            Ok(target) => target,
            Err(error) => return not_known(error.to_string()),
        };
        let host = self.deps.hosts.host(&target.host);
        match tokio::time::timeout(LOOK, host.find(&target.observer())).await {
            Ok(Ok(found)) => match found.finding {
                Finding::Running(identity) => format!("the process of {addr} runs: {identity}"),
                Finding::Absent { .. } => format!("there is no process of {addr}"),
                Finding::HostUnreachable { reason: why } | Finding::Ambiguous { evidence: why } => not_known(why),
            },
            Ok(Err(error)) => not_known(error.to_string()),
            Err(_) => not_known(format!("its host did not answer within {} s", LOOK.as_secs())),
        }
    }
}
