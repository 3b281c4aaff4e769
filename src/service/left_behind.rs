//! What a task that is given up leaves behind, as a look at cluster and host finds it just before: the caller is to know which
//! facts nobody takes care of any more. Bounded; what cannot be looked at is said to be not known.

use std::time::Duration;

use super::Service;
use crate::domain::admission::service_state;
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
        let (cluster, server) = (task.spec.cluster.id, task.spec.server());
        let (read, target) = tokio::join!(
            tokio::time::timeout(LOOK, self.deps.inventory.sync(cluster)),
            self.deps.inventory.target(cluster, server.id)
        );
        let process = match &target {
            Ok(target) => {
                let host = self.deps.hosts.host(&target.host);
                let found = tokio::time::timeout(LOOK, host.find(&target.observer())).await;
                match found.map(|found| found.map(|found| found.finding)) {
                    Ok(Ok(Finding::Running(identity))) => format!("the process of {} runs: {identity}", server.addr),
                    Ok(Ok(Finding::Absent { .. })) => format!("there is no process of {}", server.addr),
                    Ok(Ok(Finding::HostUnreachable { reason: why } | Finding::Ambiguous { evidence: why })) => {
                        format!("whether a process of {} runs is not known: {why}", server.addr)
                    }
                    Ok(Err(error)) => format!("whether a process of {} runs is not known: {error}", server.addr),
                    Err(_) => format!(
                        "whether a process of {} runs is not known: its host did not answer within {} s",
                        server.addr,
                        LOOK.as_secs()
                    ),
                }
            }
            Err(error) => format!("whether a process of {} runs is not known: {error}", server.addr),
        };
        let mark = match read {
            Ok(Ok(_)) => match self.deps.inventory.target(cluster, server.id).await {
                Ok(target) => {
                    let row = recorded_reading(&target.server);
                    let mark = row.stop_time.map_or_else(|| "not set".to_owned(), |at| format!("set since {at}"));
                    format!("STOP_TIME of {} is {mark}, its service is {}", server.addr, service_state(&row))
                }
                Err(error) => format!("STOP_TIME of {} is not known: {error}", server.addr),
            },
            Ok(Err(error)) => format!("STOP_TIME of {} is not known: {error}", server.addr),
            Err(_) => {
                format!(
                    "STOP_TIME of {} is not known: the cluster was not read within {} s",
                    server.addr,
                    LOOK.as_secs()
                )
            }
        };
        [mark, process].map(|message| (LEFT_BEHIND.to_owned(), message)).into()
    }
}
