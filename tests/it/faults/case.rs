//! One case on a stage of real processes: the stage is set, the fault is armed, the operation is asked for, and all is looked
//! at afterwards.

use std::time::Duration;

use obsteward::clock::Clock;
use obsteward::proto::v1;
use obsteward::sim::{Signal, SimCluster, SimOptions, TenantOptions};
use tokio::task::JoinSet;
use tonic::Status;

use crate::promises::cases::{Case, Injection, MOST_TRIES, Outcome};
use crate::promises::cluster_faults::{FaultCase, START_ZONE, STOP_ZONE, What, at_login};
use crate::promises::scenario::{Direction, Operation, SERVER, Scenario, ZONE};
use crate::support::harness::Harness;
use crate::support::{Clients, begins, quick};

/// A cluster in which the arbitration service has something to do: one tenant has two replicas, one of them on the server.
fn cluster(operation: Operation) -> SimOptions {
    let servers_per_zone = operation.servers_per_zone();
    let mut options = SimOptions { arbitration: true, servers_per_zone, ..quick() };
    options.tenants[0] = TenantOptions { replica_zones: vec![1, 2], arbitration: true, ..TenantOptions::new("pair") };
    options
}

/// As long as the cluster bears, nearly: whoever helps is earlier.
const LONGEST_HOLD: Duration = Duration::from_secs(1800);
/// How long a fault lasts for a task that waits it out: a start waits half an hour for its server, and so does a health gate.
const LONGEST_FAULT: Duration = Duration::from_secs(15);
/// Between two looks of whoever completes holds.
const HELP: Duration = Duration::from_millis(50);

/// How a case is tried on real processes.
impl Case {
    /// The stage itself fell.
    pub fn broke_down(self, error: &tokio::task::JoinError) -> Outcome {
        Outcome { violations: vec![format!("{self}: {error}")], case: self, effects: 0, commits: 0 }
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        match &self.injection {
            Injection::None | Injection::Fault(_) => Vec::new(),
            Injection::Twice => vec![("OBSTEWARD_STEPS_TWICE", "1".to_owned())],
            Injection::LostBefore(n) => vec![("OBSTEWARD_LOSE_EFFECT_BEFORE", n.to_string())],
            Injection::LostAfter(n) => vec![("OBSTEWARD_LOSE_EFFECT_AFTER", n.to_string())],
            Injection::KilledAtPermit(n) => vec![("OBSTEWARD_CRASH_AT_PERMIT", n.to_string())],
            Injection::KilledBeforeCommit(n) => vec![("OBSTEWARD_CRASH_AT_SUBMIT", n.to_string())],
            Injection::KilledAfterCommit(n) => vec![("OBSTEWARD_CRASH_AT_SUBMIT_AFTER", n.to_string())],
        }
    }

    pub async fn run(self) -> Outcome {
        let mut harness = Harness::registered_with(cluster(self.scenario.operation)).await;
        harness.config.stop.effect_timeout_seconds = 1;
        harness.config.stop.freeze_seconds = 3;
        harness.config.stop.leader_wait_seconds = 3;
        harness.config.start.watch_seconds = 5;
        let mut handles = Vec::new();
        let before = self.set_the_stage(&harness, &mut handles).await;
        let base = before.as_ref().map_or(0, |task| task.revision);

        let environment = self.environment();
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut service = harness.serve(&environment).await;
        let mut helper = self.scenario.helped(&service.clients);
        let mut watched = Vec::new();
        let mut ended_by_others = Vec::new();
        let mut id = None;
        let mut interrupted = None;
        match self.ask(&harness, &service.clients, before.as_ref()).await {
            Ok(task) => {
                id = Some(task.id);
                let (seen, killed, ended) = self.watch(&harness, &service.clients, task.id, base).await;
                watched.push(seen);
                ended_by_others.extend(killed);
                handles.push(task);
                interrupted = ended.err();
            }
            Err(status) if self.kills() => drop(status),
            Err(status) => panic!("{self}: {status:?}"),
        }
        if self.kills() && service.ended_within(std::time::Duration::from_millis(500)).await.is_some() {
            service = harness.serve(&[]).await;
            helper = self.scenario.helped(&service.clients);
            let task = match self.known(&service.clients, before.as_ref()).await {
                Some(task) => task,
                None => self.ask(&harness, &service.clients, before.as_ref()).await.unwrap(),
            };
            if let (Some(told), found) = (id, task.id) {
                assert_eq!(told, found, "{self}: another task than was acknowledged");
            }
            id = Some(task.id);
            let after = watched.last().and_then(|seen| seen.last()).map_or(base, |event| event.revision);
            let (seen, ended) = service.clients.events_until(task.id, after, |_| false).await;
            watched.push(seen);
            interrupted = ended.err();
        }
        assert!(interrupted.is_none(), "{self}: a watch was interrupted although its service lives: {interrupted:?}");
        let id = id.expect("a task that was asked for");
        let mut task = service.clients.at_rest(id).await;
        harness.sim.clear_all();
        let mut tries = 0;
        while matches!(task.state(), v1::TaskState::Failed | v1::TaskState::Cancelled) && tries < MOST_TRIES {
            tries += 1;
            if let Injection::Fault(fault) = &self.injection {
                fault.heal(&harness.sim).await;
            }
            handles.push(self.scenario.go_on(&service.clients, id).await.unwrap());
            task = service.clients.at_rest(id).await;
        }
        if task.state() == v1::TaskState::Failed && self.interferes() {
            // Somebody else's doing is not for the task to mend: a person closes it, and is told what stays.
            let request = v1::GiveUpTaskRequest { task_id: id, if_revision: None, ..Default::default() };
            task = service.clients.tasks.clone().give_up_task(request).await.unwrap().into_inner().task.unwrap();
        }
        drop(helper);
        let mut evidence = harness.evidence(&service.clients).await;
        evidence.handles = handles;
        evidence.ended_by_others = ended_by_others;
        evidence.watched.extend(watched);
        let events: Vec<&v1::TaskEvent> =
            evidence.tasks.iter().flat_map(|task| &task.events).filter(|event| event.task_id == id).collect();
        let events: Vec<&v1::TaskEvent> = events.into_iter().filter(|event| event.revision > base).collect();
        let mut moments: Vec<_> = events.iter().map(|event| event.event_time).collect();
        moments.dedup();
        let effects =
            events.iter().filter(|event| matches!(event.kind, Some(v1::task_event::Kind::IntentRecorded(_)))).count();
        let commits = moments.len();
        let serves = harness.sim.look(|cluster| self.scenario.serves(cluster));
        let violations = self.violations(evidence.broken(), &task, tries, serves);
        Outcome { case: self, effects, commits, violations }
    }

    /// What is there before the request: for a start a server that was stopped, for an undo a task that failed in its last
    /// step. The service that did it has ended.
    async fn set_the_stage(&self, harness: &Harness, handles: &mut Vec<v1::Task>) -> Option<v1::Task> {
        if let Some(needed) = self.scenario.operation.needs() {
            let service = harness.serve(&[]).await;
            let stop = Scenario::new(needed, Direction::Forward);
            let task = ask(stop, harness, &service.clients).await.unwrap();
            let ended = service.clients.at_rest(task.id).await;
            assert_eq!(ended.state(), v1::TaskState::Successful, "{self}: the stage is not set: {ended:#?}");
            handles.push(task);
            service.kill();
        }
        if self.scenario.direction == Direction::Forward {
            return None;
        }
        let service = harness.serve(&[("OBSTEWARD_FAIL_STEP", self.scenario.operation.fails_at())]).await;
        let _helper = self.scenario.helped(&service.clients);
        let task = ask(self.scenario, harness, &service.clients).await.unwrap();
        let failed = service.clients.at_rest(task.id).await;
        assert_eq!(failed.state(), v1::TaskState::Failed, "{self}: the stage is not set: {failed:#?}");
        handles.push(task);
        service.kill();
        Some(failed)
    }

    async fn ask(
        &self,
        harness: &Harness,
        clients: &Clients,
        before: Option<&v1::Task>,
    ) -> Result<v1::Task, tonic::Status> {
        match before {
            Some(task) => self.scenario.go_on(clients, task.id).await,
            None => ask(self.scenario, harness, clients).await,
        }
    }

    /// The task as asked for, when the request was kept although its answer may have been lost.
    async fn known(&self, clients: &Clients, before: Option<&v1::Task>) -> Option<v1::Task> {
        match before {
            Some(before) => {
                let task = clients.task(before.id).await;
                (task.revision > before.revision).then_some(task)
            }
            None => {
                let wanted = self.scenario.operation.definition().name;
                clients.list().await.into_iter().find(|task| task.name == wanted)
            }
        }
    }

    /// Follows the task until it rests or the service is gone; a fault begins with its step. What was seen, and the process
    /// that the fault ended, and how the watch ended.
    async fn watch(
        &self,
        harness: &Harness,
        clients: &Clients,
        task: i64,
        base: i64,
    ) -> (Vec<v1::TaskEvent>, Option<u32>, Result<(), tonic::Status>) {
        let Injection::Fault(fault) = &self.injection else {
            let (seen, ended) = clients.events_until(task, base, |_| false).await;
            return (seen, None, ended);
        };
        let (mut seen, _) = clients.events_until(task, base, |event| begins(event, fault.step)).await;
        let killed = fault.begin(&harness.sim);
        let after = seen.last().map_or(base, |event| event.revision);
        let over = async {
            tokio::time::sleep(LONGEST_FAULT).await;
            harness.sim.clear_all();
            if matches!(fault.what, What::ThirdParty(_)) {
                // Whoever took the server out brings it back.
                let address = harness.sim.server(SERVER).unwrap().address();
                harness.sim.third_party(START_ZONE);
                harness.sim.third_party(&format!("ALTER SYSTEM START SERVER '{address}'"));
            }
            std::future::pending().await
        };
        let (behind, ended) = tokio::select! {
            watched = clients.events_until(task, after, |_| false) => watched,
            never = over => never,
        };
        seen.extend(behind);
        (seen, killed, ended)
    }
}

/// How a scenario is asked for.
impl Scenario {
    /// Asks for the operation itself.
    pub async fn ask(self, clients: &Clients, cluster_id: i64, server_id: i64) -> Result<v1::Task, Status> {
        let (mut servers, mut zones) = (clients.servers.clone(), clients.zones.clone());
        let zone = ZONE.to_owned();
        let task = match self.operation {
            // A restart stops without a freeze.
            Operation::Stop => {
                let request =
                    v1::StopServerRequest { cluster_id, server_id, freeze_before_stop: true, ..Default::default() };
                servers.stop_server(request).await?.into_inner().task
            }
            Operation::Hold => {
                let until = Clock::system().now().plus(LONGEST_HOLD);
                let hold_until = Some(obsteward::watch::encode::timestamp(until));
                let request = v1::StopServerRequest { cluster_id, server_id, hold_until, ..Default::default() };
                servers.stop_server(request).await?.into_inner().task
            }
            Operation::Start => {
                let request = v1::StartServerRequest { cluster_id, server_id, ..Default::default() };
                servers.start_server(request).await?.into_inner().task
            }
            Operation::Freeze => {
                let request = v1::FreezeServerRequest { cluster_id, server_id, ..Default::default() };
                servers.freeze_server(request).await?.into_inner().task
            }
            Operation::Restart => {
                let request = v1::RestartServerRequest { cluster_id, server_id, ..Default::default() };
                servers.restart_server(request).await?.into_inner().task
            }
            Operation::StopZone => {
                let request = v1::StopZoneRequest { cluster_id, zone, freeze_before_stop: true, ..Default::default() };
                zones.stop_zone(request).await?.into_inner().task
            }
            Operation::StartZone => {
                let request = v1::StartZoneRequest { cluster_id, zone, ..Default::default() };
                zones.start_zone(request).await?.into_inner().task
            }
            Operation::RestartZone => {
                let request = v1::RestartZoneRequest { cluster_id, zone, ..Default::default() };
                zones.restart_zone(request).await?.into_inner().task
            }
            Operation::StopCluster => {
                let accept_risks = vec![v1::Risk::ServiceLoss.into()];
                let request = v1::StopClusterRequest { cluster_id, accept_risks, ..Default::default() };
                clients.clusters.clone().stop_cluster(request).await?.into_inner().task
            }
            Operation::StartCluster => {
                let request = v1::StartClusterRequest { cluster_id, ..Default::default() };
                clients.clusters.clone().start_cluster(request).await?.into_inner().task
            }
            Operation::RestartCluster => {
                let accept_risks = vec![v1::Risk::ServiceLoss.into()];
                let request = v1::RestartClusterRequest { cluster_id, accept_risks, ..Default::default() };
                clients.clusters.clone().restart_cluster(request).await?.into_inner().task
            }
            Operation::Rollout | Operation::HoldRollout => {
                let action = match self.operation {
                    Operation::Rollout => v1::RolloutAction::Restart,
                    _ => v1::RolloutAction::Hold,
                };
                let scope = v1::rollout_scope::Scope::Zones(v1::ZoneNames { names: vec![zone] });
                let scope = Some(v1::RolloutScope { scope: Some(scope) });
                let request =
                    v1::StartRolloutRequest { cluster_id, scope, action: action.into(), ..Default::default() };
                clients.rollouts.clone().start_rollout(request).await?.into_inner().task
            }
        };
        Ok(task.unwrap())
    }

    /// Somebody who completes every hold as soon as it begins, until this is dropped.
    fn helped(self, clients: &Clients) -> JoinSet<()> {
        let (clients, mut helper) = (clients.clone(), JoinSet::new());
        if self.operation.holds() {
            helper.spawn(async move {
                let mut tasks = clients.tasks.clone();
                loop {
                    tokio::time::sleep(HELP).await;
                    let Ok(listed) = tasks.list_tasks(v1::ListTasksRequest::default()).await else { continue };
                    for task in listed.into_inner().tasks.into_iter().filter(|task| !task.held.is_empty()) {
                        let request = v1::CompleteHoldRequest { task_id: task.id, ..Default::default() };
                        // It may be over by then, or the service with it.
                        _ = tasks.complete_hold(request).await;
                    }
                }
            });
        }
        helper
    }

    /// Goes on with a task at rest.
    pub async fn go_on(self, clients: &Clients, task_id: i64) -> Result<v1::Task, Status> {
        let mut tasks = clients.tasks.clone();
        let task = match self.direction {
            Direction::Forward => {
                let request = v1::RetryTaskRequest { task_id, ..Default::default() };
                tasks.retry_task(request).await?.into_inner().task
            }
            Direction::Back => {
                let request = v1::RollbackTaskRequest { task_id, ..Default::default() };
                tasks.rollback_task(request).await?.into_inner().task
            }
        };
        Ok(task.unwrap())
    }
}

/// How a fault begins and is mended.
impl FaultCase {
    /// The process that is ended by it, if any.
    pub fn begin(&self, sim: &SimCluster) -> Option<u32> {
        match &self.what {
            What::Fault(fault) => {
                sim.inject(fault.clone());
                // Sessions that are open already would know nothing of it.
                if at_login(&fault.kind) {
                    sim.cut_sessions();
                }
            }
            What::Killed => {
                // It may not run just now.
                let pid = sim.server(SERVER).unwrap().pid;
                return pid.filter(|_| sim.kill_process(SERVER, Signal::KILL).is_ok());
            }
            What::FailOver => sim.fail_over(),
            What::ThirdParty(statement) => {
                sim.third_party(&statement.replace("{server}", &sim.server(SERVER).unwrap().address()));
            }
        }
        None
    }

    /// What a person would do before asking again.
    pub async fn heal(&self, sim: &SimCluster) {
        sim.clear_all();
        if matches!(self.what, What::ThirdParty(STOP_ZONE)) {
            sim.third_party(START_ZONE);
        }
        // The cluster hears from every process that runs, and from no other; where it is down as a whole nobody hears.
        let settled = sim.wait_until(Duration::from_secs(10), |cluster| {
            cluster.root_service().is_none()
                || cluster.servers.iter().all(|server| server.process.is_some() == (server.last_offline_time == 0))
        });
        assert!(settled.await, "the cluster did not settle");
    }
}

async fn ask(scenario: Scenario, harness: &Harness, clients: &Clients) -> Result<v1::Task, tonic::Status> {
    let cluster_id = harness.cluster_id(clients).await;
    let ip = harness.sim.server(SERVER).unwrap().ip;
    let servers = clients.list_servers(cluster_id).await;
    let server_id = servers.into_iter().find(|server| server.ip == ip).unwrap().id;
    scenario.ask(clients, cluster_id, server_id).await
}
