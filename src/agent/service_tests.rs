//! The agent against real processes.

use std::process::{Command, Stdio};

use super::*;
use crate::agent::fake_proc::{self, FakeProc, FakeProcess};
use crate::agent::real_observer::{AtSigterm, RealObserver, agent, config};

const GRACE: Duration = Duration::from_millis(300);

fn request(observer: &RealObserver, identity: &ObserverIdentity, ticket: &Ticket, token: &str) -> StopRequest {
    StopRequest {
        target: observer.target.clone(),
        identity: identity.clone(),
        ticket: Ticket::from_agent(ticket.as_str()),
        token: token.to_owned(),
        fence: observer.fence(1),
        grace: GRACE,
    }
}

async fn armed(agent: &Agent, observer: &RealObserver) -> (ObserverIdentity, Ticket) {
    let identity = observer.found(agent).await;
    let (found, ticket) = agent.arm(&observer.target, &observer.fence(1)).await.unwrap();
    assert_eq!(found.finding, Finding::Running(identity.clone()));
    (identity, ticket.unwrap_or_else(|| panic!("{found:?}")))
}

#[track_caller]
fn assert_ended(result: &Result<Stopped, AgentRefusal>, wanted: Ended) {
    assert!(matches!(result, Ok(Stopped::Ended { how, .. }) if *how == wanted), "{result:?}");
}

#[track_caller]
fn assert_refused(result: &Result<Stopped, AgentRefusal>, reason: &str) {
    assert!(matches!(result, Err(refusal) if refusal.reason() == reason), "{result:?}");
}

#[tokio::test]
async fn ends_after_sigterm_and_a_repeat_is_answered_from_the_record() {
    let (_directory, agent) = agent();
    let mut observer = RealObserver::start(AtSigterm::Ends);
    let (identity, ticket) = armed(&agent, &observer).await;
    let found = agent.find(&observer.target).await.unwrap();
    assert!(found.rpc_port_open && found.sql_port_open && found.may_signal == MaySignal::Yes, "{found:?}");
    let first = agent.stop(request(&observer, &identity, &ticket, "t")).await;
    assert_ended(&first, Ended::Terminated);
    assert!(!observer.is_alive());
    let found = observer.until(&agent, |found| Some(found.clone()).filter(|found| !found.rpc_port_open)).await;
    assert!(!found.sql_port_open);
    observer.until(&agent, |found| matches!(found.finding, Finding::Absent { .. }).then_some(())).await;

    observer.replace();
    observer.found(&agent).await;
    assert_eq!(agent.stop(request(&observer, &identity, &ticket, "t")).await, first);
    assert_refused(&agent.stop(request(&observer, &identity, &ticket, "u")).await, "TICKET_USED");
    assert!(observer.is_alive());
}

#[tokio::test]
async fn ends_after_sigkill_when_sigterm_is_ignored() {
    let (_directory, agent) = agent();
    let mut observer = RealObserver::start(AtSigterm::Ignores);
    let (identity, ticket) = armed(&agent, &observer).await;
    let began = crate::clock::monotonic_now();
    assert_ended(&agent.stop(request(&observer, &identity, &ticket, "t")).await, Ended::Killed);
    assert!(crate::clock::monotonic_now().duration_since(began) >= GRACE);
    assert!(!observer.is_alive());
}

#[tokio::test]
async fn a_process_that_took_the_place_of_the_armed_one_is_not_signalled() {
    let (_directory, agent) = agent();
    let mut observer = RealObserver::start(AtSigterm::Ends);
    let (identity, ticket) = armed(&agent, &observer).await;
    observer.replace();
    observer.found(&agent).await;
    let first = agent.stop(request(&observer, &identity, &ticket, "t")).await;
    assert_refused(&first, "IDENTITY_CHANGED");
    assert_eq!(agent.stop(request(&observer, &identity, &ticket, "t")).await, first);
    assert!(observer.is_alive());
}

#[tokio::test]
async fn a_process_that_is_gone_is_already_gone() {
    let (_directory, agent) = agent();
    let mut observer = RealObserver::start(AtSigterm::Ends);
    let (identity, ticket) = armed(&agent, &observer).await;
    observer.end();
    observer.until(&agent, |found| matches!(found.finding, Finding::Absent { .. }).then_some(())).await;
    assert_ended(&agent.stop(request(&observer, &identity, &ticket, "t")).await, Ended::AlreadyGone);
}

#[tokio::test]
async fn a_reused_pid_is_not_signalled() {
    // Another process, which /proc shows as the observer when armed, and as started later when fired.
    let mut stranger = Command::new("/bin/sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    let fake = FakeProc::new(&[("127.0.1.1:2882", 100)]);
    let process = FakeProcess { sockets: vec![100], ..FakeProcess::observer(stranger.id()) };
    fake.add(&process);
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::new(AgentConfig { proc_root: fake.root(), ..config(directory.path()) }).unwrap();
    let (target, fence) = (fake_proc::target(), fake_proc::fence(1));
    let (found, ticket) = agent.arm(&target, &fence).await.unwrap();
    let (Finding::Running(identity), Some(ticket)) = (found.finding.clone(), ticket) else {
        // The observer of the tree is of uid 1000; only it and root may go on.
        assert!(matches!(found.may_signal, MaySignal::No { .. }), "{found:?}");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        return;
    };
    fake.remove(stranger.id());
    fake.add(&FakeProcess { start_ticks: 778, ..process });
    let request = StopRequest { target, identity, ticket, token: "t".into(), fence, grace: GRACE };
    assert_refused(&agent.stop(request).await, "IDENTITY_CHANGED");
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn a_stop_that_comes_late_with_an_old_fence_is_refused() {
    let (_directory, agent) = agent();
    let mut observer = RealObserver::start(AtSigterm::Ends);
    let (identity, ticket) = armed(&agent, &observer).await;
    agent.arm(&observer.target, &observer.fence(2)).await.unwrap();
    assert_refused(&agent.stop(request(&observer, &identity, &ticket, "t")).await, "FENCED");
    let (_, none) = agent.arm(&observer.target, &observer.fence(2)).await.unwrap();
    assert!(none.is_some());
    assert!(matches!(agent.arm(&observer.target, &observer.fence(1)).await, Err(AgentRefusal::Fenced { .. })));
    assert!(observer.is_alive());
}

#[tokio::test]
async fn a_token_without_an_answer_is_unknown_and_never_acted_on() {
    let directory = tempfile::tempdir().unwrap();
    let first = Agent::new(config(directory.path())).unwrap();
    let mut observer = RealObserver::start(AtSigterm::Ends);
    let (identity, ticket) = armed(&first, &observer).await;
    // As if the agent had died between the record and the signal.
    let cut_off = request(&observer, &identity, &ticket, "t");
    assert_eq!(first.0.begin(&cut_off), Ok(Recorded::New));
    drop(first);

    let agent = Agent::new(config(directory.path())).unwrap();
    let (identity, ticket) = armed(&agent, &observer).await;
    let result = agent.stop(request(&observer, &identity, &ticket, "t")).await;
    assert!(matches!(result, Ok(Stopped::Unknown { .. })), "{result:?}");
    assert!(observer.is_alive());
    let fenced = agent.arm(&observer.target, &observer.fence(0)).await;
    assert!(matches!(fenced, Err(AgentRefusal::Fenced { .. })), "the fence outlives the agent");
    assert_ended(&agent.stop(request(&observer, &identity, &ticket, "u")).await, Ended::Terminated);
}

#[tokio::test]
async fn two_calls_with_one_token_act_once() {
    let (_directory, agent) = agent();
    let observer = RealObserver::start(AtSigterm::Ends);
    let (identity, ticket) = armed(&agent, &observer).await;
    let (one, two) = tokio::join!(
        agent.stop(request(&observer, &identity, &ticket, "t")),
        agent.stop(request(&observer, &identity, &ticket, "t")),
    );
    let unknown = |result: &Result<Stopped, AgentRefusal>| matches!(result, Ok(Stopped::Unknown { .. }));
    let ended =
        |result: &Result<Stopped, AgentRefusal>| matches!(result, Ok(Stopped::Ended { how: Ended::Terminated, .. }));
    assert!((ended(&one) && (unknown(&two) || two == one)) || (ended(&two) && unknown(&one)), "{one:?} {two:?}");
}

#[tokio::test]
async fn a_second_observer_of_the_cluster_has_to_wait() {
    let (_directory, agent) = agent();
    let first = RealObserver::start(AtSigterm::Ends);
    let mut second = RealObserver::start(AtSigterm::Ends);
    let (identity, ticket) = armed(&agent, &first).await;
    assert_ended(&agent.stop(request(&first, &identity, &ticket, "1")).await, Ended::Terminated);
    let identity = second.found(&agent).await;
    // Another process, the first one's cluster.
    let (_, ticket) = agent.arm(&second.target, &first.fence(1)).await.unwrap();
    let stop = StopRequest { fence: first.fence(1), ..request(&second, &identity, &ticket.unwrap(), "2") };
    assert_refused(&agent.stop(stop).await, "TOO_MANY_ENDS");
    assert!(second.is_alive());
}

#[tokio::test]
async fn a_supervised_process_gets_no_ticket() {
    let fake = FakeProc::new(&[("127.0.1.1:2882", 100)]);
    let cgroup = "0::/system.slice/oceanbase.service\n".to_owned();
    fake.add(&FakeProcess { sockets: vec![100], cgroup, ..FakeProcess::observer(42) });
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::new(AgentConfig { proc_root: fake.root(), ..config(directory.path()) }).unwrap();
    let (found, ticket) = agent.arm(&fake_proc::target(), &fake_proc::fence(1)).await.unwrap();
    assert_eq!(found.supervisor.as_deref(), Some("systemd unit oceanbase.service"));
    assert!(matches!(&found.may_signal, MaySignal::No { reason } if reason.contains("--safe-unit")), "{found:?}");
    assert_eq!(ticket, None);
}

/// From now on nothing can be written to the record: the file that would replace it is on a disk without room.
fn fill_disk(directory: &std::path::Path) -> std::path::PathBuf {
    let next = directory.join("ledger.json.new");
    std::os::unix::fs::symlink("/dev/full", &next).unwrap();
    next
}

#[tokio::test]
async fn nothing_is_done_that_cannot_be_recorded() {
    let (directory, agent) = agent();
    let mut observer = RealObserver::start(AtSigterm::Ends);
    let (identity, ticket) = armed(&agent, &observer).await;
    let full = fill_disk(directory.path());
    let refused = agent.stop(request(&observer, &identity, &ticket, "t")).await;
    assert_refused(&refused, "LEDGER_FAILED");
    assert!(refused.unwrap_err().to_string().contains("No space left on device"));
    let newer = agent.arm(&observer.target, &observer.fence(2)).await;
    assert!(
        matches!(newer, Err(AgentRefusal::LedgerFailed { .. })),
        "a fence that could not be kept was given a ticket"
    );
    assert!(observer.is_alive());

    // What was refused left nothing behind: neither the fence nor the call. What was kept before is still there.
    std::fs::remove_file(full).unwrap();
    drop(agent);
    let agent = Agent::new(config(directory.path())).unwrap();
    let fenced = agent.arm(&observer.target, &observer.fence(0)).await;
    assert!(matches!(fenced, Err(AgentRefusal::Fenced { .. })), "{fenced:?}");
    let (identity, ticket) = armed(&agent, &observer).await;
    let ended = agent.stop(request(&observer, &identity, &ticket, "t")).await;
    assert_ended(&ended, Ended::Terminated);
    drop(agent);
    let agent = Agent::new(config(directory.path())).unwrap();
    assert_eq!(agent.stop(request(&observer, &identity, &ticket, "t")).await, ended, "the token is not remembered");
}

#[tokio::test]
async fn an_end_whose_answer_could_not_be_recorded_is_told_once_and_then_unknown() {
    let (directory, agent) = agent();
    let mut observer = RealObserver::start(AtSigterm::Ignores);
    let (identity, ticket) = armed(&agent, &observer).await;
    let patient = StopRequest { grace: Duration::from_secs(2), ..request(&observer, &identity, &ticket, "the token") };
    let stopping = tokio::spawn({
        let agent = agent.clone();
        async move { agent.stop(patient).await }
    });
    let record = directory.path().join("ledger.json");
    while !std::fs::read_to_string(&record).unwrap_or_default().contains("the token") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fill_disk(directory.path());
    assert_ended(&stopping.await.unwrap(), Ended::Killed);
    observer.replace();
    observer.found(&agent).await;
    let repeat = agent.stop(request(&observer, &identity, &ticket, "the token")).await;
    assert!(matches!(repeat, Ok(Stopped::Unknown { .. })), "{repeat:?}");
    drop(agent);
    let agent = Agent::new(config(directory.path())).unwrap();
    let repeat = agent.stop(request(&observer, &identity, &ticket, "the token")).await;
    assert!(matches!(repeat, Ok(Stopped::Unknown { .. })), "{repeat:?}");
    assert!(observer.is_alive(), "it acted again on a call without an answer");
    let fenced = agent.arm(&observer.target, &observer.fence(0)).await;
    assert!(matches!(fenced, Err(AgentRefusal::Fenced { .. })), "{fenced:?}");
}
