//! Tasks of so many steps that do nothing, for an engine without clusters and hosts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::{BootClock, Clock};
use obsteward::domain::attempt::RecordedIntent;
use obsteward::domain::decide::StepOutput;
use obsteward::domain::effect::Permit;
use obsteward::domain::event::{Failure, TaskCluster, TaskServer, TaskSpec};
use obsteward::domain::graph::{Graph, OperationName, SubtaskRole, SubtaskSpec, TaskTarget};
use obsteward::domain::ids::{ClusterId, ClusterIdentity, Principal, ServerId, SubtaskId, TaskId};
use obsteward::domain::reason::Reason;
use obsteward::domain::status::StopType;
use obsteward::domain::task::Task;
use obsteward::engine::{Engine, EngineSettings, Observation, Operation, Registry, Step, StepContext};
use obsteward::store::{WholeStore, Write};

/// As many as a stop has.
pub const STEPS: i64 = 8;

struct Nothing;

#[async_trait]
impl Step for Nothing {
    async fn look(&self, _: &StepContext) -> Observation {
        Observation::Reached { already_so: true, output: StepOutput::default(), writes: Vec::new() }
    }
}

#[async_trait]
impl Operation for Nothing {
    fn step(&self, _: &SubtaskSpec) -> Option<Arc<dyn Step>> {
        Some(Arc::new(Nothing))
    }

    async fn take_over(&self, _: &StepContext, _: &RecordedIntent, _: Permit) -> Result<String, Failure> {
        Ok(String::new())
    }

    fn closing_writes(&self, _: &Task) -> Vec<Write> {
        Vec::new()
    }
}

/// An engine that carries such tasks through, over a store.
pub async fn engine(store: &Arc<dyn WholeStore>, clock: &Clock) -> Arc<Engine> {
    let engine = idle_engine(store, clock);
    engine.recover().await.expect("a store that answers");
    engine
}

/// One that leaves alone what it finds.
pub fn idle_engine(store: &Arc<dyn WholeStore>, clock: &Clock) -> Arc<Engine> {
    let settings = EngineSettings {
        executor: "bench".to_owned(),
        clock: clock.clone(),
        boot_clock: BootClock::System,
        failpoints: Arc::default(),
        metrics: Default::default(),
    };
    let runtime = tokio::runtime::Handle::current();
    Engine::new(store.clone(), store.clone(), registry(), settings, runtime)
}

fn operation_name() -> OperationName {
    OperationName { name: "Nothing".to_owned(), version: 1 }
}

fn registry() -> Registry {
    Registry::default().with(operation_name(), Arc::new(Nothing))
}

/// A task with this id, and the ids behind it for its subtasks, on a cluster of this number.
pub fn spec(id: i64, cluster: i64, clock: &Clock) -> TaskSpec {
    let subtask = |step: i64| SubtaskId::new(id + step).expect("an id");
    let subtasks = (1..=STEPS).map(|step| SubtaskSpec {
        id: subtask(step),
        kind: "NOTHING".to_owned(),
        name: format!("step {step}"),
        target: TaskTarget::Cluster,
        timeout: Duration::from_secs(60),
        upstreams: (step > 1).then(|| subtask(step - 1)).into_iter().collect(),
        prohibit_skip: false,
        role: SubtaskRole::Step,
    });
    let name = format!("cluster{cluster}");
    let identity = ClusterIdentity { name: name.clone(), ob_cluster_id: cluster, fingerprint: "f".to_owned() };
    let server = ServerId::new(cluster).expect("an id");
    TaskSpec {
        id: TaskId::new(id).expect("an id"),
        cluster: TaskCluster {
            id: ClusterId::new(cluster).expect("an id"),
            name,
            ob_cluster_id: cluster,
            key: identity.key(),
        },
        target: TaskTarget::Server(server),
        servers: vec![TaskServer {
            id: server,
            addr: "127.0.0.1:2882".parse().expect("an address"),
            ob_server_id: 1,
            zone: "zone1".parse().expect("a zone"),
        }],
        creator: Principal::new("bench"),
        reason: Reason::default(),
        expire_time: clock.now().plus(Duration::from_secs(3600)),
        force: false,
        accepted_risks: Vec::new(),
        stop_type: Some(StopType::Process),
        freeze_before_stop: false,
        hold: None,
        rollout: None,
        drain: Duration::ZERO,
        pending: None,
        graph: Graph { operation: operation_name(), subtasks: subtasks.collect() },
        facts: Vec::new(),
        trace: None,
    }
}
