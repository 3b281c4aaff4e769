//! What people and programs ask of one cluster meanwhile, at whichever replica answers, and what they watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use obsteward::clock::monotonic_now;
use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, SimCluster};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::replica_set::ReplicaSet;
use crate::promises::log::is_closed;
use crate::support::{Clients, quick};

/// How long a call may take until another replica is asked.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// How long everything may take once nothing goes wrong any more.
const LAST: Duration = Duration::from_secs(450);

pub struct Traffic {
    set: Arc<ReplicaSet>,
    pub sim: Arc<SimCluster>,
    pub cluster_id: i64,
    servers: Vec<i64>,
    random: fastrand::Rng,
    /// Tasks as calls returned them.
    pub handles: Vec<v1::Task>,
    /// Watches that have not seen the end yet.
    watching: Arc<AtomicUsize>,
    watched: Arc<Mutex<Vec<Vec<v1::TaskEvent>>>>,
}

impl Traffic {
    pub async fn over(set: Arc<ReplicaSet>, seed: u64) -> Self {
        let sim = Arc::new(SimCluster::start(quick()).await.unwrap());
        let clients = set.any_clients().await;
        let cluster = set.register(&clients, &sim).await;
        let servers = clients.list_servers(cluster.id).await.into_iter().map(|server| server.id).collect();
        let random = fastrand::Rng::with_seed(seed);
        let (handles, watching, watched) = Default::default();
        Self { set, sim, cluster_id: cluster.id, servers, random, handles, watching, watched }
    }

    /// One task after the other, until the time is over and the last is at rest.
    pub async fn run(&mut self, until: Instant) {
        while monotonic_now() < until {
            self.hold_leaders();
            let Some(task) = self.begin().await else { continue };
            self.handles.push(task.clone());
            for _ in 0..2 {
                self.watch(task.id);
            }
            self.see_to_its_end(task.id, until).await;
        }
    }

    /// Now and then no leader leaves its server for a while: a task that waits is met by more than one that is done at once.
    fn hold_leaders(&mut self) {
        if self.random.u32(0..3) > 0 {
            return;
        }
        for server in self.sim.servers() {
            self.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, server.id));
        }
        let (sim, held) = (Arc::clone(&self.sim), Duration::from_millis(self.random.u64(500..12_000)));
        tokio::spawn(async move {
            tokio::time::sleep(held).await;
            sim.clear_all();
        });
    }

    /// Waits for every watch to see its end.
    pub async fn watched(&self) -> Vec<Vec<v1::TaskEvent>> {
        let deadline = monotonic_now() + LAST;
        while self.watching.load(Ordering::SeqCst) > 0 {
            assert!(monotonic_now() < deadline, "a watch does not see the end of its task");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.watched.lock().await.clone()
    }

    /// A task of whatever kind; `None`: refused, for example because another one holds the cluster.
    async fn begin(&mut self) -> Option<v1::Task> {
        let (cluster_id, request_id) = (self.cluster_id, uuid::Uuid::new_v4().to_string());
        let server_id = self.servers[self.random.usize(0..self.servers.len())];
        let kind = self.random.u32(0..10);
        let asked = self
            .ask(async |clients: Clients| {
                let mut servers = clients.servers;
                let request_id = request_id.clone();
                Ok(match kind {
                    0..=3 => {
                        let r#type = if kind < 2 { v1::StopType::Process } else { v1::StopType::Service } as i32;
                        let request =
                            v1::StopServerRequest { cluster_id, server_id, request_id, r#type, ..Default::default() };
                        servers.stop_server(request).await?.into_inner().task
                    }
                    4..=7 => {
                        let request =
                            v1::StartServerRequest { cluster_id, server_id, request_id, ..Default::default() };
                        servers.start_server(request).await?.into_inner().task
                    }
                    8 => {
                        let request =
                            v1::RestartServerRequest { cluster_id, server_id, request_id, ..Default::default() };
                        servers.restart_server(request).await?.into_inner().task
                    }
                    _ => {
                        let request =
                            v1::FreezeServerRequest { cluster_id, server_id, request_id, ..Default::default() };
                        servers.freeze_server(request).await?.into_inner().task
                    }
                })
            })
            .await;
        asked.ok().flatten()
    }

    /// Follows a task to its end, and now and then asks something of it.
    async fn see_to_its_end(&mut self, task_id: i64, until: Instant) {
        let deadline = until.max(monotonic_now()) + LAST;
        loop {
            assert!(monotonic_now() < deadline, "task {task_id} does not end");
            tokio::time::sleep(Duration::from_millis(self.random.u64(20..400))).await;
            let shown = self
                .ask(async |clients: Clients| {
                    Ok(clients.tasks.clone().get_task(v1::GetTaskRequest { task_id }).await?.into_inner().task)
                })
                .await;
            let Some(task) = shown.expect("a task that was accepted is there") else { continue };
            if is_closed(task.state()) {
                return;
            }
            let verbs: Vec<v1::TaskVerb> = task.allowed_verbs().collect();
            let wanted = match self.random.u32(0..100) {
                0..=4 => v1::TaskVerb::Cancel,
                5..=39 => v1::TaskVerb::Retry,
                40..=69 => v1::TaskVerb::Rollback,
                70..=74 => v1::TaskVerb::GiveUp,
                _ => continue,
            };
            if verbs.contains(&wanted) {
                // Whoever was faster, or whatever it has come to since, refuses it.
                let _ = self.verb(task_id, wanted).await;
            }
        }
    }

    async fn verb(&mut self, task_id: i64, verb: v1::TaskVerb) -> Result<(), Status> {
        self.ask(async |clients: Clients| {
            let mut tasks = clients.tasks;
            match verb {
                v1::TaskVerb::Cancel => {
                    drop(tasks.cancel_task(v1::CancelTaskRequest { task_id, ..Default::default() }).await?);
                }
                v1::TaskVerb::Retry => {
                    drop(tasks.retry_task(v1::RetryTaskRequest { task_id, ..Default::default() }).await?)
                }
                v1::TaskVerb::Rollback => {
                    drop(tasks.rollback_task(v1::RollbackTaskRequest { task_id, ..Default::default() }).await?);
                }
                _ => drop(tasks.give_up_task(v1::GiveUpTaskRequest { task_id, ..Default::default() }).await?),
            }
            Ok(())
        })
        .await
    }

    /// Asks one replica after the other until one answers, whatever it says.
    async fn ask<T>(&mut self, call: impl AsyncFn(Clients) -> Result<T, Status>) -> Result<T, Status> {
        let deadline = monotonic_now() + LAST;
        loop {
            let replica = self.random.usize(0..self.set.len());
            if let Some(clients) = self.set.clients(replica).await {
                match tokio::time::timeout(CALL_TIMEOUT, call(clients)).await {
                    Ok(Err(status)) if is_of_the_way(&status) => {}
                    Ok(answer) => return answer,
                    Err(_) => {}
                }
            }
            assert!(monotonic_now() < deadline, "no replica answers");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sees every event of a task, at one replica after the other.
    fn watch(&mut self, task_id: i64) {
        let (set, watched) = (Arc::clone(&self.set), Arc::clone(&self.watched));
        let (mut random, watching) = (self.random.fork(), Arc::clone(&self.watching));
        watching.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            let mut seen: Vec<v1::TaskEvent> = Vec::new();
            loop {
                let after = seen.last().map_or(0, |event| event.revision);
                let replica = random.usize(0..set.len());
                if let Some(clients) = set.clients(replica).await
                    && watch_once(&clients, task_id, after, &mut seen).await
                {
                    watched.lock().await.push(seen);
                    watching.fetch_sub(1, Ordering::SeqCst);
                    return;
                }
                tokio::time::sleep(Duration::from_millis(random.u64(10..200))).await;
            }
        });
    }
}

/// Whether a status says nothing of what was asked: the replica is gone, ends, or has no database.
fn is_of_the_way(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Internal
    )
}

/// Whether the task was seen to be closed.
async fn watch_once(clients: &Clients, task_id: i64, after: i64, seen: &mut Vec<v1::TaskEvent>) -> bool {
    let until = v1::WatchUntil::Closed as i32;
    let request = v1::WatchTaskRequest { task_id, after_revision: Some(after), until, ..Default::default() };
    let opened = tokio::time::timeout(CALL_TIMEOUT, clients.tasks.clone().watch_task(request)).await;
    let Ok(Ok(stream)) = opened else { return false };
    let mut stream = stream.into_inner();
    loop {
        match tokio::time::timeout(Duration::from_secs(20), stream.message()).await {
            Ok(Ok(Some(message))) => {
                if let Some(v1::watch_task_response::Kind::Event(event)) = message.kind {
                    seen.push(event);
                }
            }
            Ok(Ok(None)) => return true,
            Ok(Err(_)) | Err(_) => return false,
        }
    }
}
