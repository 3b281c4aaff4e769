//! What the promises are held against, asked of a service and of its simulated cluster.

use std::time::Duration;

use obsteward::proto::v1;
use obsteward::proto::v1::get_cluster_request::By;
use obsteward::sim::SimCluster;

use super::Clients;
use crate::promises::{Evidence, TaskEvidence};

impl Evidence {
    /// Everything that can be asked for. Waits until no task of the cluster moves.
    pub async fn gather(clients: &Clients, sim: &SimCluster, cluster_id: i64) -> Self {
        let mut tasks = Vec::new();
        let mut request = v1::ListTasksRequest { cluster_id: Some(cluster_id), page_size: 1000, ..Default::default() };
        loop {
            let page = clients.tasks.clone().list_tasks(request.clone()).await.unwrap().into_inner();
            tasks.extend(page.tasks.into_iter().map(|task| task.id));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        // Newest first, as they are listed.
        tasks.reverse();
        for task in &tasks {
            clients.at_rest(*task).await;
        }
        // The record before the logs: what is in it has its intent in the log already.
        let record = sim.record();
        let mut known = Vec::new();
        for task in tasks {
            let events = clients.events(task).await;
            known.push(TaskEvidence { shown: clients.task(task).await, events });
        }
        // Two replicas may give ids that overlap in the other order than their tasks are accepted.
        known.sort_by_key(|task| task.events.first().map(|event| event.seq));
        let request = v1::GetClusterRequest { by: Some(By::ClusterId(cluster_id)) };
        let cluster = clients.clusters.clone().get_cluster(request).await.unwrap().into_inner().cluster.unwrap();
        Self {
            servers: sim.servers(),
            record,
            tasks: known,
            holder: cluster.operating_task_id(),
            handles: Vec::new(),
            watched: Vec::new(),
            ended_by_others: Vec::new(),
            forgotten_before: 0,
            clock_ahead: Duration::ZERO,
            clock_set_back: Duration::ZERO,
        }
    }
}
