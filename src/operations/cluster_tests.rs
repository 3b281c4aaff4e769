//! The graphs of whole clusters, what they are admitted for, and what opens the gate of their processes.

use std::time::Duration;

use super::*;
use crate::clock::Timestamp;
use crate::domain::event::{
    Direction, Event, EventKind, SubtaskOperation, SubtaskState, TaskCluster, TaskServer, TaskSpec,
};
use crate::domain::gate::{Gate, GateCode, WholeStop, whole_gate};
use crate::domain::graph::TaskTarget;
use crate::domain::ids::{ClusterId, Principal, ServerId, TaskId};
use crate::domain::reading::sample;
use crate::domain::reason::Reason;
use crate::domain::status::Risk;
use crate::domain::task::Task;
use crate::operations::definition::{GraphTimes, StepKind};

const TIMES: GraphTimes = GraphTimes {
    lease: Duration::from_secs(10),
    leader_wait: Duration::from_secs(300),
    drain: Duration::ZERO,
    hold: Duration::ZERO,
    rollout: Duration::ZERO,
};

fn servers() -> Vec<TaskServer> {
    let server = |number: u8| TaskServer {
        id: ServerId::new(number.into()).unwrap(),
        addr: sample::addr(number),
        ob_server_id: number.into(),
        zone: format!("zone{}", 1 + number % 2).parse().unwrap(),
    };
    (1..=3).map(server).collect()
}

fn task(operation: &Definition, target: TaskTarget, accepted_risks: Vec<Risk>) -> Task {
    let identity = sample::cluster(1).identity;
    let spec = TaskSpec {
        id: TaskId::new(1).unwrap(),
        cluster: TaskCluster {
            id: ClusterId::new(1).unwrap(),
            name: identity.name.clone(),
            ob_cluster_id: identity.ob_cluster_id,
            key: identity.key(),
        },
        target,
        servers: servers(),
        creator: Principal::new("admin"),
        reason: Reason::default(),
        expire_time: Timestamp::from_micros(1),
        force: true,
        accepted_risks,
        stop_type: None,
        freeze_before_stop: false,
        drain: Duration::ZERO,
        pending: None,
        hold: None,
        rollout: None,
        graph: operation.graph(2, &[servers()], TIMES).unwrap(),
        facts: Vec::new(),
        trace: None,
    };
    Task::begin(&Event { at: Timestamp::from_micros(0), kind: EventKind::Created(Box::new(spec)) }).unwrap()
}

fn frozen(mut task: Task) -> Task {
    for subtask in task.subtasks.iter_mut().filter(|it| it.spec.kind == StepKind::Freeze.as_str()) {
        subtask.state = SubtaskState::Successful;
    }
    task
}

fn opens(task: &Task) -> Result<(), GateCode> {
    match WholeStop::of(task, StepKind::Freeze.as_str()) {
        Ok(stop) => {
            assert_eq!(whole_gate(stop, &sample::addr(2), None), Gate::Open { overridden: Vec::new() });
            Ok(())
        }
        Err(Gate::Closed { code, retriable: false, .. }) => Err(code),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn the_gate_of_a_whole_cluster_opens_only_behind_consent_and_every_freeze() {
    let loss = || vec![Risk::ServiceLoss];
    for operation in [&STOP, &RESTART] {
        let stop = task(operation, TaskTarget::Cluster, loss());
        assert_eq!(opens(&stop), Err(GateCode::NotFrozen));
        assert_eq!(opens(&frozen(stop.clone())), Ok(()));
        let freezes = |task: &Task| -> Vec<usize> {
            let is_freeze = |index: &usize| task.subtasks[*index].spec.kind == StepKind::Freeze.as_str();
            (0..task.subtasks.len()).filter(is_freeze).collect()
        };
        assert_eq!(freezes(&stop).len(), 3);
        for one in freezes(&stop) {
            for state in SubtaskState::ALL.iter().filter(|state| **state != SubtaskState::Successful) {
                let mut lacks = frozen(stop.clone());
                lacks.subtasks[one].state = *state;
                assert_eq!(opens(&lacks), Err(GateCode::NotFrozen), "{state}");
            }
            let mut skipped = frozen(stop.clone());
            skipped.subtasks[one].operation = SubtaskOperation::Skip;
            assert_eq!(opens(&skipped), Err(GateCode::NotFrozen));
            let mut missing = frozen(stop.clone());
            missing.subtasks.remove(one);
            assert_eq!(opens(&missing), Err(GateCode::NotFrozen));
        }
        // Whatever else is accepted, and force with it.
        for accepted in [vec![], vec![Risk::QuorumLoss, Risk::ClusterUnreachable]] {
            let other = frozen(task(operation, TaskTarget::Cluster, accepted));
            assert_eq!(opens(&other), Err(GateCode::ServiceLossNotAccepted));
        }
        // On less than the cluster, and on the way back.
        for target in [TaskTarget::Zone("zone1".parse().unwrap()), TaskTarget::Server(ServerId::new(1).unwrap())] {
            assert_eq!(opens(&frozen(task(operation, target, loss()))), Err(GateCode::ServiceLossNotAccepted));
        }
        let mut back = frozen(stop);
        back.direction = Direction::Back;
        assert_eq!(opens(&back), Err(GateCode::ServiceLossNotAccepted));
    }
    // A start has no freeze, so that its undo could end nothing even with the consent.
    assert_eq!(opens(&frozen(task(&START, TaskTarget::Cluster, loss()))), Err(GateCode::NotFrozen));
}

#[test]
fn while_the_cluster_answers_the_server_must_be_in_it() {
    let stop = frozen(task(&STOP, TaskTarget::Cluster, vec![Risk::ServiceLoss]));
    let stop = WholeStop::of(&stop, StepKind::Freeze.as_str()).unwrap();
    let seen = [sample::server(1), sample::server(3)];
    let gate = |number| whole_gate(stop, &sample::addr(number), Some(&seen));
    assert!(matches!(gate(1), Gate::Open { .. }));
    assert!(matches!(gate(2), Gate::Closed { code: GateCode::TargetUnknown, .. }));
}

/// The names of the samples (docs/ocp-v2.md#cluster-operations), and a freeze of each server before the first process ends.
#[test]
fn the_graphs_are_the_documented_ones() {
    let names = |operation: &Definition| operation.nodes.iter().map(|node| node.name).collect::<Vec<_>>().join(" | ");
    assert_eq!(
        names(&STOP),
        "Prepare stop cluster | Prepare stop OB zone | Wait node | Prepare stop observer | Freeze server | Wait node | Stop observer \
         process | Wait node | Update observer status | Wait node | Update zone status | Update OB cluster status"
    );
    assert_eq!(
        names(&START),
        "Prepare start cluster | Prepare start OB zone | Wait node | Prepare start observer | Wait node | Start observer process | \
         Wait observer accessible | Start ocp agent service | Wait node | Start server | Wait node | Start zone | Wait node | Update \
         observer status | Wait node | Update zone status | Sync all tenant information | Update OB cluster status"
    );
    assert_eq!(
        names(&RESTART),
        "Prepare restart cluster | Set zone context | Prepare restart OB zone | Prepare restart observer | Freeze server | Wait node | \
         Stop observer process | Wait node | Start observer process | Wait observer accessible | Start ocp agent service | Wait node | \
         Start server | Wait node | Update observer status | Start zone | Update zone status | Sync cluster info | Sync all tenant \
         information | Update OB cluster status"
    );
    // Three servers in two zones; no process ends before every freeze, and nobody may skip one.
    let graph = STOP.graph(1, &[servers()], TIMES).unwrap();
    assert_eq!(graph.subtasks.len(), 12 + 4 * 2 + 2);
    let of = |kind: StepKind| graph.subtasks.iter().filter(move |it| it.kind == kind.as_str());
    let freezes: Vec<_> = of(StepKind::Freeze).map(|it| it.id).collect();
    assert!(of(StepKind::Freeze).all(|it| it.prohibit_skip));
    for stop in of(StepKind::StopProcess) {
        let [wait] = stop.upstreams[..] else { panic!("{stop:?}") };
        assert_eq!(graph.subtasks.iter().find(|it| it.id == wait).unwrap().upstreams, freezes);
    }
}

#[test]
fn a_cluster_is_stopped_while_something_runs_and_started_while_something_does_not() {
    use ProcessFinding::{Absent, HostUnreachable, NotAsked, Running};
    use ServiceState::{Lost, Serving, Stopped};
    let active = [ZoneInnerStatus::Active];
    let admitted = |operation, states: &[(ServiceState, ProcessFinding)]| admits(operation, states, &active).is_ok();
    for (states, stop, start) in [
        ([(Serving, Running), (Serving, Running)], true, false),
        ([(Serving, NotAsked), (Serving, NotAsked)], true, false),
        ([(Lost, Absent), (Lost, Absent)], false, true),
        ([(Serving, Running), (Lost, Absent)], true, true),
        ([(Serving, Running), (Stopped, Running)], true, true),
        ([(Serving, Absent), (Serving, Absent)], false, true),
        ([(Lost, HostUnreachable), (Lost, Absent)], true, true),
    ] {
        assert_eq!((admitted(&STOP, &states), admitted(&START, &states)), (stop, start), "{states:?}");
        assert_eq!(admitted(&RESTART, &states), stop, "{states:?}");
    }
    let all = [(Serving, Running)];
    assert!(admits(&START, &all, &[ZoneInnerStatus::Active, ZoneInnerStatus::Inactive]).is_ok(), "START ZONE is due");
}
