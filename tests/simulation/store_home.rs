//! A store that is a tenant of the cluster which the service tends: what the plan of a stop says of it, and that no consent lets a
//! stop through that costs it its majority.

use std::time::Duration;

use obsteward::domain::event::{Failure, SubtaskState, TaskState};
use obsteward::domain::ids::ServerId;
use obsteward::domain::status::{OverriddenBy, Risk, StopType};
use obsteward::domain::store_home::StoreTenant;
use obsteward::domain::task::{Subtask, Task};
use obsteward::service::views::{CheckVerdict, StopPlanView};
use obsteward::service::{PlanStopServer, ServiceCall};

use crate::asking::Ask;
use crate::promises::scenario::Operation;
use crate::service::caller;
use crate::story::Story;
use crate::world::{World, WorldOptions};

const LONG: Duration = Duration::from_secs(600);
const NAME: &str = "STORE_ENDPOINT";

/// A world whose store is the cluster's one user tenant.
async fn world() -> World {
    let world = World::new(WorldOptions::new(1), Story::default()).await;
    let identity = world.disk.lock().cluster.as_ref().unwrap().row.identity.clone();
    let tenant_id = world.cluster.look(|core, _| core.cluster.tenants.iter().map(|tenant| tenant.id).max().unwrap());
    world.disk.lock().store_tenant = Some(StoreTenant {
        tenant_id,
        answered_by: world.address(1),
        cluster: Ok((identity.name, identity.ob_cluster_id)),
        endpoints: vec!["10.0.9.9:2883".parse().unwrap()],
    });
    world
}

/// With all that may be accepted.
fn determined(operation: Operation, server: i64) -> Ask {
    Ask { force: true, risks: vec![Risk::QuorumLoss], ..Ask::of(operation, server) }
}

async fn plan(world: &World, server: ServerId) -> StopPlanView {
    let call = PlanStopServer {
        cluster: world.cluster_id,
        server,
        force: true,
        accepted_risks: vec![Risk::QuorumLoss],
        stop_type: StopType::Process,
        freeze_before_stop: false,
    };
    let service = &world.replicas[0].running.as_ref().unwrap().service;
    call.run(service, &caller("anna"), ()).await.unwrap()
}

/// The task that is asked for, once it rests.
async fn done(world: &mut World, ask: &Ask) -> Task {
    assert!(matches!(world.ask_and_wait(ask).await, Some(Ok(_))), "{ask:?}");
    assert!(world.rests(LONG).await, "{ask:?}");
    assert_eq!(world.check(true), Vec::<String>::new());
    last_task(world)
}

fn last_task(world: &World) -> Task {
    world.disk.lock().tasks.last_key_value().unwrap().1.task.clone()
}

fn failure(task: &Task) -> Option<&Failure> {
    task.subtasks.iter().find_map(|subtask| subtask.error.as_ref())
}

#[tokio::test(start_paused = true)]
async fn what_a_stop_means_for_the_store_is_shown_and_refused_where_it_would_cost_its_majority() {
    let mut world = world().await;
    let server = |number| world.server_id(number).unwrap();
    let (first, second) = (server(1), server(2));
    let said = |plan: &StopPlanView| {
        let check = plan.checks.iter().find(|check| check.name == NAME).unwrap();
        (check.verdict, check.overridden_by, check.evidence.clone())
    };
    let shown = plan(&world, first).await;
    let (verdict, _, evidence) = said(&shown);
    assert!(shown.allowed && verdict == CheckVerdict::Warn && evidence.contains("keeps its majority"), "{evidence}");

    let task = done(&mut world, &Ask::of(Operation::Stop, 3)).await;
    assert_eq!(task.state, TaskState::Successful, "its majority stays: {task:#?}");

    let refused = plan(&world, second).await;
    let (verdict, overridden_by, evidence) = said(&refused);
    assert_eq!((refused.allowed, verdict, overridden_by), (false, CheckVerdict::Block, None), "{evidence}");
    assert!(evidence.contains("would lose a majority, and obsteward could not finish"), "{evidence}");
    let others = refused.checks.iter().filter(|check| check.refuses() && check.name != NAME);
    assert_eq!(others.count(), 0, "{refused:#?}");

    let task = done(&mut world, &determined(Operation::Stop, 2)).await;
    assert_eq!((task.state, &failure(&task).unwrap().reason[..]), (TaskState::Refused, NAME), "{task:#?}");
    assert!(world.cluster.look(|core, _| core.cluster.server(2).unwrap().alive()), "its process runs on");
}

/// The same stop where the store is elsewhere: then it is its caller's to decide.
#[tokio::test(start_paused = true)]
async fn a_store_elsewhere_keeps_nobody_from_accepting_the_loss() {
    let mut world = world().await;
    done(&mut world, &Ask::of(Operation::Stop, 3)).await;
    world.disk.lock().store_tenant = None;
    let second = world.server_id(2).unwrap();
    assert!(plan(&world, second).await.allowed);
    let task = done(&mut world, &determined(Operation::Stop, 2)).await;
    assert!(failure(&task).is_none_or(|failure| failure.reason != NAME), "{task:#?}");
}

/// Found out only behind the stop: the process is not ended all the same.
#[tokio::test(start_paused = true)]
async fn the_gate_asks_again() {
    let mut world = world().await;
    let tenant = world.disk.lock().store_tenant.take();
    done(&mut world, &Ask::of(Operation::Stop, 3)).await;
    world.ask(&determined(Operation::Stop, 2)).unwrap();
    let stops = |world: &World| {
        let task = world.open_task().map(|stored| stored.task);
        let running = |subtask: &Subtask| subtask.state == SubtaskState::Running;
        let is_stop = |subtask: &Subtask| subtask.spec.name == "Stop server" && running(subtask);
        task.is_some_and(|task| task.subtasks.iter().any(is_stop))
    };
    // It takes milliseconds: who accepts the loss waits for no leader.
    for _ in 0..10_000 {
        if stops(&world) {
            break;
        }
        world.pass(Duration::from_millis(1)).await;
    }
    world.disk.lock().store_tenant = tenant;
    assert!(world.rests(LONG).await);
    let task = last_task(&world);
    assert_eq!(task.state, TaskState::Refused, "{task:#?}");
    assert!(failure(&task).unwrap().message.contains(NAME), "{task:#?}");
    assert!(world.cluster.look(|core, _| core.cluster.server(2).unwrap().alive()), "its process runs on: {task:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_whole_cluster_that_holds_the_store_is_not_stopped() {
    for operation in [Operation::StopCluster, Operation::RestartCluster] {
        let task = done(&mut world().await, &determined(operation, 1)).await;
        assert_eq!((task.state, &failure(&task).unwrap().reason[..]), (TaskState::Refused, NAME), "{task:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_only_address_of_the_store_is_given_up_with_force() {
    let world = world().await;
    let first = world.server_id(1).unwrap();
    let sql = std::net::SocketAddr::new(world.address(1).ip(), 2881);
    world.disk.lock().store_tenant.as_mut().unwrap().endpoints = vec![sql];
    let forced = plan(&world, first).await;
    let check = forced.checks.iter().find(|check| check.name == NAME).unwrap();
    assert_eq!((check.overridden_by, check.overridden), (Some(OverriddenBy::Force), true), "{check:?}");
    assert!(forced.allowed);
}
