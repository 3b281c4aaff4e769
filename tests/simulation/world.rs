//! A world: one cluster with its hosts and agents, a disk, and the service, which lives over them more than once, in one replica
//! or several. Whatever is done in it is a method here, in `replica.rs` or in `watchers.rs`; what is done when is the walk's.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use obsteward::agent::Timing;
use obsteward::clock::{Clock, monotonic_now};
use obsteward::domain::event::{Phase, TaskState, Verb};
use obsteward::domain::ids::{ClusterId, ServerAddr, TaskId};
use obsteward::domain::maintenance::MaintenancePolicy;
use obsteward::domain::refusal::Refusal;
use obsteward::domain::status::{ServerStatus, ZoneStatus};
use obsteward::domain::task::Task;
use obsteward::engine::Failpoints;
use obsteward::inventory::{access, observation};
use obsteward::operations::Timeouts;
use obsteward::service::{
    CancelTask, CompleteHold, GiveUpTask, PauseRollout, ResumeRollout, RetryTask, RollbackTask, ServiceCall,
    SkipSubtask,
};
use obsteward::sim::{InProcessCluster, SimClock, SimOptions, TenantOptions};
use obsteward::store::StoredTask;
use obsteward::store::inventory::{DefaultHost, NewCluster};
use obsteward::watch::encode;
use secrecy::SecretString;
use tokio::task::JoinHandle;

use crate::asking::zone_of;
use crate::beginnings::{Beginnings, free};
use crate::cluster::Clusters;
use crate::data_centre::{DataCentre, SimulatedHost};
use crate::database::Database;
use crate::disk::Disk;
use crate::life::{Dice, FreezePlan};
use crate::operators::Operators;
use crate::replica::Replica;
use crate::sends::Sends;
use crate::service::caller;
use crate::story::Story;
use crate::watchers::Watcher;
use crate::witness::Witness;

/// When every world begins.
pub const BEGINS: i64 = 1_700_000_000_000_000;
/// Between two moments at which time goes on in the cluster.
const TICK: Duration = Duration::from_millis(200);
const AGENT_PORT: u16 = 62_888;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    pub seed: u64,
    /// Of the service: 1 over an embedded store, more over a shared one.
    pub replicas: usize,
    pub servers_per_zone: u16,
    /// Whether one tenant has two replicas and the arbitration service.
    pub arbitration: bool,
    /// Whether the cluster's times are those of tests, not those of the kernel.
    pub quick: bool,
    pub timeouts: Timeouts,
    /// `ob_query_timeout` of an effect's session.
    pub effect_timeout: Duration,
    /// When tasks may begin.
    pub policy: Arc<MaintenancePolicy>,
}

impl WorldOptions {
    /// A cluster of three zones with a server each, and short times.
    pub fn new(seed: u64) -> Self {
        let timeouts = Timeouts {
            poll: Duration::from_millis(200),
            precheck: Duration::from_secs(2),
            gate: Duration::from_secs(10),
            grace: Duration::from_secs(4),
            leader_wait: Duration::from_secs(20),
            reading: Duration::from_secs(20),
            freeze: Duration::from_secs(20),
            start_watch: Duration::from_secs(6),
            catch_up: Duration::from_secs(20),
        };
        let effect_timeout = obsteward::oceanbase::EFFECT_QUERY_TIMEOUT;
        Self {
            seed,
            replicas: 1,
            servers_per_zone: 1,
            arbitration: false,
            quick: true,
            timeouts,
            effect_timeout,
            policy: free(),
        }
    }
}

pub struct World {
    pub options: WorldOptions,
    pub dice: Dice,
    pub disk: Disk,
    pub database: Arc<Database>,
    pub cluster: InProcessCluster,
    pub clusters: Clusters,
    pub data_centre: DataCentre,
    pub replicas: Vec<Replica>,
    /// The one that is asked.
    pub at: usize,
    pub sends: Sends,
    pub freeze_plan: FreezePlan,
    pub witness: Witness,
    pub operators: Operators,
    pub beginnings: Beginnings,
    pub story: Story,
    pub cluster_id: ClusterId,
    pub watchers: Vec<Watcher>,
    /// Steps of its walk that were done.
    pub steps: usize,
}

impl World {
    pub async fn new(options: WorldOptions, story: Story) -> Self {
        let (dice, began) = (Dice::new(options.seed), monotonic_now());
        let mut sim = if options.quick { SimOptions::quick("") } else { SimOptions::new("") };
        sim.servers_per_zone = options.servers_per_zone;
        sim.arbitration = options.arbitration;
        sim.tenants = vec![TenantOptions { log_streams: 1, ..TenantOptions::new("app") }];
        if options.arbitration {
            sim.tenants[0] = TenantOptions { replica_zones: vec![1, 2], arbitration: true, ..sim.tenants[0].clone() };
        }
        let cluster =
            InProcessCluster::new(&sim, |number| Ipv4Addr::new(10, 0, 1, number), SimClock::simulated(BEGINS));
        let data_centre =
            DataCentre::new(dice.clone(), Timing { one_end_per: Duration::from_secs(20), ..Timing::default() });
        for server in 1..=3 * i64::from(options.servers_per_zone) {
            data_centre.add(&agent_address(server)).install(&cluster, server);
        }
        let clusters = Clusters::default();
        clusters.add(cluster.clone());
        let ticking = cluster.clone();
        tokio::spawn(async move {
            loop {
                ticking.tick();
                tokio::time::sleep(TICK).await;
            }
        });
        let (replicas, database) = (options.replicas.max(1), Arc::<Database>::default());
        let shared = (replicas > 1).then(|| Arc::clone(&database));
        let mut world = Self {
            replicas: (0..replicas).map(|_| Replica::new(shared.clone(), dice.clone())).collect(),
            at: 0,
            sends: Sends::default(),
            freeze_plan: FreezePlan::default(),
            database,
            witness: Witness::new(&cluster),
            operators: Operators::new(began),
            beginnings: Beginnings::default(),
            dice,
            disk: Disk::default(),
            cluster,
            clusters,
            data_centre,
            story,
            cluster_id: ClusterId::new(1).unwrap(),
            watchers: Vec::new(),
            steps: 0,
            options,
        };
        for at in 0..replicas {
            world.start(at, None, Failpoints::default()).await;
        }
        world.register().await;
        world
    }

    async fn register(&mut self) {
        let endpoints: Vec<String> = (1..=3).map(|number| format!("10.0.1.{number}:2881")).collect();
        let (username, password) = ("root@sys".to_owned(), SecretString::from(""));
        let asked = access(&endpoints, &username, &password).unwrap();
        let inventory = self.asked().unwrap().inventory.clone();
        let discovery = inventory.discover(&asked).await.unwrap();
        self.cluster_id = self.disk.lock().register(NewCluster {
            id: None,
            identity: discovery.identity.clone(),
            endpoints,
            username,
            password,
            default_host: DefaultHost::Grpc { port: AGENT_PORT },
            hosts: Vec::new(),
            server_ids: Vec::new(),
            observation: observation(&discovery),
        });
    }

    /// Asks and waits for the answer; `None`: there will be none, the service is gone.
    pub async fn call<C>(
        &self,
        call: C,
        found: obsteward::service::Found<C::Subject>,
    ) -> Option<Result<StoredTask, Refusal>>
    where
        C: ServiceCall<Output = StoredTask>,
    {
        let running = self.asked()?;
        let answered = running.life.while_it_lasts(call.run(&running.service, &caller("anna"), found)).await?;
        if let Ok(stored) = &answered {
            self.witness.handles.lock().unwrap().push(encode::task(stored));
        }
        Some(answered)
    }

    /// A retry, a rollback or the end of a task at rest, waiting for the answer.
    pub async fn ask_verb_and_wait(&self, verb: Verb) -> Option<Result<StoredTask, Refusal>> {
        let found = self.open_task()?;
        let (task, if_revision, expire_time) = (found.task.spec.id, None, None);
        match verb {
            Verb::Retry => self.call(RetryTask { task, if_revision, expire_time }, found).await,
            Verb::Rollback => self.call(RollbackTask { task, if_revision, expire_time }, found).await,
            Verb::GiveUp => self.call(GiveUpTask { task, if_revision }, found).await,
            Verb::Cancel => self.call(CancelTask { task, if_revision }, found).await,
            Verb::CompleteHold => self.call(CompleteHold { task, if_revision }, found).await,
            Verb::Pause => self.call(PauseRollout { task, if_revision }, found).await,
            Verb::Resume => self.call(ResumeRollout { task, if_revision }, found).await,
            Verb::SkipSubtask | Verb::Approve | Verb::WithdrawApproval => None,
        }
    }

    /// Sends a call on its way; what it is answered with is a handle.
    pub fn send<C>(&mut self, call: C, found: obsteward::service::Found<C::Subject>)
    where
        C: ServiceCall<Output = StoredTask> + std::fmt::Debug,
        obsteward::service::Found<C::Subject>: 'static,
    {
        let Some(running) = self.asked() else { return };
        let (service, handles, story) =
            (running.service.clone(), Arc::clone(&self.witness.handles), self.story.clone());
        let caller = caller("anna");
        story.tell(format!("asks {call:?}"));
        self.replicas[self.at].requests.push(tokio::spawn(async move {
            match call.run(&service, &caller, found).await {
                Ok(stored) => {
                    let id = stored.task.spec.id;
                    story.tell(format!("is answered with task {id} at revision {}", stored.task.revision));
                    handles.lock().unwrap().push(encode::task(&stored));
                }
                Err(refusal) => story.tell(format!("is refused: {refusal:?}")),
            }
        }));
    }

    /// Asks a verb of the open task, whether or not it is allowed.
    pub fn ask_verb(&mut self, verb: Verb) {
        let Some(found) = self.open_task() else { return };
        let task = found.task.spec.id;
        let (if_revision, expire_time) = (None, None);
        match verb {
            Verb::Retry => self.send(RetryTask { task, if_revision, expire_time }, found),
            Verb::Rollback => self.send(RollbackTask { task, if_revision, expire_time }, found),
            Verb::Cancel => self.send(CancelTask { task, if_revision }, found),
            Verb::GiveUp => self.send(GiveUpTask { task, if_revision }, found),
            Verb::CompleteHold => self.send(CompleteHold { task, if_revision }, found),
            Verb::Pause => self.send(PauseRollout { task, if_revision }, found),
            Verb::Resume => self.send(ResumeRollout { task, if_revision }, found),
            // Of what has not begun: `beginnings.rs`.
            Verb::Approve | Verb::WithdrawApproval => {}
            Verb::SkipSubtask => {
                use obsteward::domain::event::SubtaskState::{Failed, Running};
                let mut subtasks = found.task.in_execution_order().into_iter();
                let stuck = subtasks.find(|subtask| matches!(subtask.state, Failed | Running));
                if let Some(subtask) = stuck.map(|subtask| subtask.spec.id) {
                    self.send(SkipSubtask { task, subtask, if_revision }, found);
                }
            }
        }
    }

    /// The clock of the replica that is asked.
    pub fn clock(&self) -> &Clock {
        &self.replicas[self.at].clock
    }

    pub fn open_task(&self) -> Option<StoredTask> {
        let content = self.disk.lock();
        let open = |task: &Task| StoredTask {
            seq: content.tasks[&task.spec.id].seq(),
            task: task.clone(),
            progress: Vec::new(),
        };
        content.open().map(open)
    }

    pub fn phase(&self) -> Option<(TaskId, Phase)> {
        self.disk.lock().open().map(|task| (task.spec.id, task.state.phase()))
    }

    /// Waits until no task moves, at most so long; false: it still moves, or the service has ended.
    pub async fn rests(&mut self, within: Duration) -> bool {
        let mut left = within;
        loop {
            if !matches!(self.phase(), Some((_, Phase::Moving))) {
                return true;
            }
            if left.is_zero() || !self.is_up() {
                return false;
            }
            let step = left.min(Duration::from_millis(500));
            self.pass(step).await;
            left -= step;
        }
    }

    /// [`World::rests`], with somebody who completes every hold and resumes every pause that the task waits in.
    pub async fn rests_with_help(&mut self, within: Duration) -> bool {
        let mut left = within;
        loop {
            self.help().await;
            let step = left.min(Duration::from_secs(1));
            if self.rests(step).await {
                return true;
            }
            left -= step;
            if left.is_zero() || !self.is_up() {
                return false;
            }
        }
    }

    /// Completes the hold or resumes the pause that the open task waits in, if it does.
    pub async fn help(&mut self) {
        let verb = |task: &Task| match (task.held().next(), task.paused()) {
            (Some(_), _) => Some(Verb::CompleteHold),
            (None, Some(_)) => Some(Verb::Resume),
            (None, None) => None,
        };
        let running = |task: &&Task| task.state == TaskState::Running;
        let Some(verb) = self.disk.lock().open().filter(running).and_then(verb) else { return };
        self.turn();
        // What it is told may have happened meanwhile.
        _ = self.ask_verb_and_wait(verb).await;
        self.notice();
    }

    /// Lets time pass until something is so, at most so long, or until the service has ended.
    pub async fn until(&mut self, within: Duration, is_so: impl Fn(&Self) -> bool) {
        const STEP: Duration = Duration::from_millis(100);
        let mut left = within;
        while !left.is_zero() && self.is_up() && !is_so(self) {
            let step = left.min(STEP);
            self.pass(step).await;
            left -= step;
        }
    }

    /// Whether every request has its answer.
    pub fn has_answered(&self) -> bool {
        self.replicas.iter().flat_map(|replica| &replica.requests).all(JoinHandle::is_finished)
    }

    /// Whether the cluster serves, with every server but these.
    pub fn is_well_but_for(&self, others: &[i64]) -> bool {
        self.cluster.look(|core, _| {
            let mut servers = core.cluster.servers.iter().filter(|server| !others.contains(&server.id));
            servers.all(|server| server.reachable() && server.alive() && server.in_service())
                && core.cluster.log_streams.iter().all(|ls| ls.leader.is_some())
        })
    }

    pub fn host(&self, server: i64) -> Arc<SimulatedHost> {
        self.data_centre.get(&agent_address(server)).unwrap()
    }

    pub fn address(&self, server: i64) -> ServerAddr {
        format!("10.0.1.{server}:2882").parse().unwrap()
    }

    pub fn servers(&self) -> std::ops::RangeInclusive<i64> {
        1..=3 * i64::from(self.options.servers_per_zone)
    }

    pub fn server_id(&self, server: i64) -> Option<obsteward::domain::ids::ServerId> {
        let address = self.address(server);
        let content = self.disk.lock();
        content.cluster.as_ref()?.servers.iter().find(|row| row.addr == address).map(|row| row.id)
    }

    /// Whether obsteward says that it has stopped a server.
    pub fn is_stopped_by_us(&self, server: i64) -> bool {
        let address = self.address(server);
        let content = self.disk.lock();
        let mut rows = content.cluster.iter().flat_map(|cluster| &cluster.servers);
        rows.any(|row| row.addr == address && row.managed_status == Some(ServerStatus::Stopped))
    }

    /// Whether obsteward says that it has stopped the zone of a server.
    pub fn is_zone_stopped_by_us(&self, server: i64) -> bool {
        let content = self.disk.lock();
        let mut rows = content.cluster.iter().flat_map(|cluster| &cluster.zones);
        rows.any(|row| row.name == zone_of(server) && row.managed_status == Some(ZoneStatus::Stopped))
    }

    /// A client comes to a server, stays so long, and does nothing.
    pub fn client(&self, server: i64, stays: Duration) {
        let Ok(session) = self.cluster.open(server, "app", "root@app", "") else { return };
        tokio::spawn(async move {
            tokio::time::sleep(stays).await;
            drop(session);
        });
    }

    /// What is broken by now: who acted when, and what began; `whole`: the logs and what was done to the cluster too, which stay
    /// there and take long to look through.
    pub fn check(&mut self, whole: bool) -> Vec<String> {
        for host in self.data_centre.hosts() {
            let ended = host.computer.take_ended_by_others().into_iter().map(|ended| ended.pid);
            self.witness.ended_by_others(ended.collect::<Vec<_>>());
        }
        self.witness.look(&self.disk, &self.cluster);
        let mut broken = self.operators.look(&self.disk, &self.cluster, &self.sends);
        broken.extend(self.beginnings.look(&self.disk, &self.options.policy));
        if whole {
            broken.extend(self.witness.broken());
        }
        broken
    }
}

pub fn agent_address(server: i64) -> String {
    format!("10.0.1.{server}:{AGENT_PORT}")
}
