//! The agents of simulated hosts, asked as a life of the service asks them. A permit is the engine's alone, so effects go to
//! the agent itself.

use std::net::Ipv4Addr;

use obsteward::agent::{AgentRefusal, StartRequest, Started, StopRequest, Stopped, Timing};
use obsteward::domain::host::{Ended, Finding, MaySignal};
use obsteward::domain::ids::{ClusterKey, Fence, ServerAddr};
use obsteward::sim::{Fault, FaultKind, InProcessCluster, SimClock, SimOptions};

use super::*;
use crate::computer::{LedgerWrites, SentSignal};
use crate::life::Dice;
use crate::simulate::in_paused_time;

const GRACE: Duration = Duration::from_secs(5);

/// A cluster of three, each server on a host of its own, and a life that looks at them.
struct World {
    cluster: InProcessCluster,
    data_centre: DataCentre,
    hosts: SimulatedHosts,
}

fn world(seed: u64) -> World {
    let dice = Dice::new(seed);
    let clock = SimClock::simulated(1_700_000_000_000_000);
    let cluster = InProcessCluster::new(&SimOptions::new(""), |n| Ipv4Addr::new(10, 0, 1, n), clock);
    let data_centre =
        DataCentre::new(dice.clone(), Timing { one_end_per: Duration::from_secs(60), ..Timing::default() });
    for server in 1..=3 {
        data_centre.add(&agent_of(server)).install(&cluster, server);
    }
    let hosts = SimulatedHosts { life: Life::new(dice), data_centre: data_centre.clone() };
    World { cluster, data_centre, hosts }
}

fn agent_of(server: i64) -> String {
    format!("10.0.1.{server}:62888")
}

fn fence(number: i64) -> CallerFence {
    let cluster = ClusterKey::from_stored("obcluster#1#x".to_owned());
    CallerFence { store_id: "store-a".to_owned(), cluster, fence: Fence::new(number) }
}

impl World {
    fn host(&self, server: i64) -> Arc<SimulatedHost> {
        self.data_centre.get(&agent_of(server)).unwrap()
    }

    fn reached(&self, server: i64) -> Arc<dyn Host> {
        self.hosts.host(&HostAddress::Grpc { address: agent_of(server) })
    }

    fn target(&self, server: i64) -> ObserverTarget {
        crate::process::Installation::of(&self.cluster, server).0.target
    }

    fn address(&self, server: i64) -> ServerAddr {
        self.target(server).address
    }

    async fn find(&self, server: i64) -> Finding {
        self.reached(server).find(&self.target(server)).await.unwrap().finding
    }

    async fn armed(&self, server: i64, number: i64) -> (ObserverIdentity, Ticket) {
        let (report, ticket) = self.reached(server).arm(&self.target(server), &fence(number)).await.unwrap();
        assert_eq!(report.may_signal, MaySignal::Yes);
        match (report.finding, ticket) {
            (Finding::Running(identity), Some(ticket)) => (identity, ticket),
            other => panic!("{other:?}"),
        }
    }

    /// Arms, and stops at once.
    async fn stop(&self, server: i64, token: &str) -> Result<Stopped, AgentRefusal> {
        let (identity, ticket) = self.armed(server, 1).await;
        self.fire(server, identity, ticket, token).await
    }

    async fn fire(
        &self,
        server: i64,
        identity: ObserverIdentity,
        ticket: Ticket,
        token: &str,
    ) -> Result<Stopped, AgentRefusal> {
        let (target, token) = (self.target(server), token.to_owned());
        let request = StopRequest { target, identity, ticket, token, fence: fence(1), grace: GRACE };
        self.host(server).agent().unwrap().agent.stop(request).await
    }

    async fn start(&self, server: i64, token: &str) -> Result<Started, AgentRefusal> {
        let (target, token) = (self.target(server), token.to_owned());
        let request = StartRequest { target, token, fence: fence(1), wait: Duration::from_secs(30), ticket: None };
        self.host(server).agent().unwrap().agent.start(request).await
    }

    /// The process that the cluster knows of a server.
    fn pid(&self, server: i64) -> Option<u32> {
        crate::process::Installation::of(&self.cluster, server).1
    }

    fn signals(&self, server: i64) -> Vec<SentSignal> {
        self.host(server).computer.take_signals().into_iter().map(|sent| sent.signal).collect()
    }
}

#[track_caller]
fn assert_ended(stopped: &Result<Stopped, AgentRefusal>, wanted: Ended) {
    assert!(matches!(stopped, Ok(Stopped::Ended { how, .. }) if *how == wanted), "{stopped:?}");
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: &Result<T, AgentRefusal>, reason: &str) {
    assert!(matches!(result, Err(refusal) if refusal.reason() == reason), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn sigterm_ends_it_and_a_repeat_is_answered_from_the_record() {
    let world = world(1);
    let first = world.stop(1, "t").await;
    assert_ended(&first, Ended::Terminated);
    assert_eq!((world.pid(1), world.signals(1)), (None, vec![SentSignal::Term]));
    assert!(matches!(world.find(1).await, Finding::Absent { .. }));

    world.host(1).start_observer(world.address(1));
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The same call names the same process, and has the same answer.
    let Ok(Stopped::Ended { evidence, .. }) = &first else { panic!("{first:?}") };
    assert_eq!(evidence, "pid 1001 ended after SIGTERM");
    let (new, ticket) = world.armed(1, 1).await;
    assert_refused(&world.fire(1, new.clone(), ticket, "t").await, "TOKEN_REUSED");
    let old = ObserverIdentity { pid: 1001, start_ticks: 100, ..new };
    let ticket = Ticket::from_agent("lost");
    assert_eq!(world.fire(1, old, ticket, "t").await, first);
    assert!(world.pid(1).is_some() && world.signals(1).is_empty());
}

#[tokio::test(start_paused = true)]
async fn sigkill_ends_it_when_it_ignores_sigterm() {
    let world = world(2);
    world.cluster.inject(Fault::on(FaultKind::IgnoreSigterm, 1));
    let began = obsteward::clock::monotonic_now();
    assert_ended(&world.stop(1, "t").await, Ended::Killed);
    assert!(obsteward::clock::monotonic_now().duration_since(began) >= GRACE);
    assert_eq!((world.pid(1), world.signals(1)), (None, vec![SentSignal::Term, SentSignal::Kill]));
}

#[tokio::test(start_paused = true)]
async fn an_old_fence_is_fenced_and_a_second_end_has_to_wait() {
    let world = world(3);
    let (identity, ticket) = world.armed(1, 1).await;
    world.armed(1, 2).await;
    assert_refused(&world.fire(1, identity, ticket, "t").await, "FENCED");
    let old = world.reached(1).arm(&world.target(1), &fence(1)).await;
    assert!(matches!(&old, Err(HostError::Refused { code, .. }) if code == "FENCED"), "{old:?}");

    let (target, host) = (world.target(3), world.host(2));
    host.install(&world.cluster, 3);
    assert_ended(&world.stop(2, "1").await, Ended::Terminated);
    let (report, ticket) = world.reached(2).arm(&target, &fence(1)).await.unwrap();
    let Finding::Running(identity) = report.finding else { panic!("{report:?}") };
    let (token, ticket) = ("2".to_owned(), ticket.unwrap());
    let request = StopRequest { target, identity, ticket, token, fence: fence(1), grace: GRACE };
    assert_refused(&host.agent().unwrap().agent.stop(request).await, "TOO_MANY_ENDS");
}

#[tokio::test(start_paused = true)]
async fn a_start_is_watched_until_it_listens_or_has_died() {
    let world = world(4);
    assert!(matches!(world.start(1, "0").await, Ok(Started::AlreadyRunning { .. })));
    world.host(1).kill_observer(world.address(1));
    assert_eq!(world.host(1).computer.take_ended_by_others().len(), 1);
    world.cluster.inject(Fault::on(FaultKind::DiesAtStart, 1));
    let died = world.start(1, "1").await;
    assert!(matches!(&died, Ok(Started::Died { evidence, .. }) if evidence.contains("exit status: 1")), "{died:?}");
    assert_eq!(world.start(1, "1").await, died);
    world.cluster.inject(Fault::on(FaultKind::StartsSlowly { delay_ms: 7_000 }, 1));
    let started = world.start(1, "2").await;
    let Ok(Started::Started { identity, listens: true, .. }) = &started else { panic!("{started:?}") };
    assert_eq!(world.pid(1), Some(identity.pid));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_restarts_forgets_its_tickets_and_leaves_calls_without_an_answer() {
    let world = world(5);
    let (identity, ticket) = world.armed(1, 1).await;
    world.host(1).start_agent();
    assert_refused(&world.fire(1, identity.clone(), ticket, "t").await, "TICKET_UNKNOWN");

    world.cluster.inject(Fault::on(FaultKind::IgnoreSigterm, 1));
    let (_, ticket) = world.armed(1, 1).await;
    let host = world.host(1);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        host.start_agent();
    });
    let fired = tokio::time::timeout(GRACE * 4, world.fire(1, identity.clone(), ticket, "u")).await;
    assert!(fired.is_err(), "a call of an agent that is gone was answered: {fired:?}");
    assert_eq!(world.signals(1), [SentSignal::Term], "an agent that is gone went on");
    let repeat = world.fire(1, identity, Ticket::from_agent("lost"), "u").await;
    assert!(matches!(repeat, Ok(Stopped::Unknown { .. })), "{repeat:?}");
}

#[tokio::test(start_paused = true)]
async fn an_older_ledger_a_full_disk_and_a_reboot() {
    let world = world(6);
    world.armed(1, 1).await;
    world.host(1).back_up_ledger();
    world.armed(1, 9).await;
    world.host(1).computer.lock().ledger_writes = LedgerWrites::Wait;
    let waits = world.reached(1).arm(&world.target(1), &fence(10)).await;
    assert!(matches!(&waits, Err(HostError::Refused { code, .. }) if code == "LEDGER_WAITS"), "{waits:?}");
    world.host(1).computer.lock().ledger_writes = LedgerWrites::Succeed;
    assert!(world.reached(1).arm(&world.target(1), &fence(8)).await.is_err());
    world.host(1).restore_ledger();
    let (before, _) = world.armed(1, 8).await;

    world.host(1).reboot(Duration::from_secs(30));
    assert_eq!(world.pid(1), None);
    assert!(matches!(world.find(1).await, Finding::HostUnreachable { .. }));
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(matches!(world.find(1).await, Finding::Absent { .. }));
    let request =
        StartRequest { target: world.target(1), token: "t".into(), fence: fence(8), wait: GRACE, ticket: None };
    let started = world.host(1).agent().unwrap().agent.start(request).await;
    let Ok(Started::Started { identity, .. }) = started else { panic!("{started:?}") };
    assert_ne!(identity.boot_id, before.boot_id);
}

#[tokio::test(start_paused = true)]
async fn what_starts_is_in_doubt_until_it_listens_and_silence_is_a_finding() {
    let world = world(7);
    world.host(1).kill_observer(world.address(1));
    world.cluster.inject(Fault::on(FaultKind::StartsSlowly { delay_ms: 5_000 }, 1));
    world.host(1).start_observer(world.address(1));
    assert!(matches!(world.find(1).await, Finding::Ambiguous { .. }));
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(matches!(world.find(1).await, Finding::Running(_)));
    world.host(1).change_network(|network| network.way = Way::Silent);
    assert!(matches!(world.find(1).await, Finding::HostUnreachable { .. }));
    world.hosts.life.end();
    let never = tokio::time::timeout(Duration::from_secs(3600), world.find(2)).await;
    assert!(never.is_err(), "a life that is over was answered");
}

#[tokio::test(start_paused = true)]
async fn what_is_frozen_hears_sigterm_when_it_thaws_and_another_clusters_observer_is_in_doubt() {
    let world = world(8);
    world.host(1).freeze_observer(world.address(1));
    assert_ended(&world.stop(1, "1").await, Ended::Killed);
    assert!(matches!(world.start(1, "2").await, Ok(Started::Started { .. })));
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.host(1).freeze_observer(world.address(1));
    let (host, address) = (world.host(1), world.address(1));
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        host.thaw_observer(address);
    });
    assert_ended(&world.stop(1, "3").await, Ended::Terminated);

    let other = ObserverTarget { cluster_name: "other".to_owned(), ..world.target(2) };
    let found = world.reached(2).find(&other).await.unwrap();
    assert!(matches!(&found.finding, Finding::Ambiguous { evidence } if evidence.contains("of another cluster")));
}

/// Ends, starts and looks on all hosts at once; returns what can be seen of it.
async fn busy(seed: u64) -> String {
    let world = Arc::new(world(seed));
    let servers = [1, 2, 3].map(|server| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let mut seen = Vec::new();
            for round in 0..10 {
                seen.push(format!("{:?}", world.stop(server, &format!("stop {round}")).await));
                seen.push(format!("{:?}", world.start(server, &format!("start {round}")).await));
                seen.push(format!("{:?}", world.find(server).await));
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            seen.join("\n")
        })
    });
    let mut all = String::new();
    for server in servers {
        all.push_str(&server.await.unwrap());
    }
    world.cluster.look(|core, _| format!("{all}\n{:?}", core.record))
}

#[test]
fn one_seed_is_one_history() {
    let run = |seed| in_paused_time(busy(seed));
    let (one, again, other) = (run(1), run(1), run(2));
    assert_eq!(one, again);
    assert_ne!(one, other);
}
