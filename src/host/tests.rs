//! The ways to a host, to a real agent and to none.
#![cfg(test)]

use std::future::pending;
use std::net::SocketAddr;

use super::*;
use crate::agent::real_observer::{AtSigterm, RealObserver, agent};
use crate::agent::{Agent, grpc};
use crate::domain::effect::EndlessLease;
use crate::domain::host::{Ended, Finding, HostCode};
use crate::domain::ids::{SubtaskId, TaskId};
use crate::net::listener::bind_plaintext;

const GRACE: Duration = Duration::from_secs(5);
const STORE: &str = "store-a";

fn permit(observer: &RealObserver, fence: i64) -> Permit {
    let caller = observer.fence(fence);
    Permit::issue(
        TaskId::new(1).unwrap(),
        SubtaskId::new(2).unwrap(),
        3,
        1,
        caller.cluster,
        caller.fence,
        Arc::new(EndlessLease),
    )
}

async fn serving(agent: Agent) -> SocketAddr {
    let (listener, bound) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    tokio::spawn(grpc::serve(agent, listener, pending()));
    bound
}

async fn finds_arms_and_stops(host: &dyn Host, observer: &mut RealObserver) {
    let target = observer.target.clone();
    let Finding::Running(identity) = host.find(&target).await.unwrap().finding else { panic!("not found") };
    let (found, ticket) = host.arm(&target, &observer.fence(2)).await.unwrap();
    assert_eq!(found.finding, Finding::Running(identity.clone()));
    let refused = host.arm(&target, &observer.fence(1)).await;
    assert!(matches!(&refused, Err(HostError::Refused { code, .. }) if code == "FENCED"), "{refused:?}");

    let made_up = Ticket::from_agent("made up");
    let result = host.stop(permit(observer, 2), &target, &identity, made_up, STORE, GRACE).await;
    assert!(matches!(&result, StopResult::Refused { code, .. } if code == "TICKET_UNKNOWN"), "{result:?}");
    let result = host.stop(permit(observer, 2), &target, &identity, ticket.unwrap(), STORE, GRACE).await;
    assert!(matches!(result, StopResult::Ended { how: Ended::Terminated, .. }), "{result:?}");
    assert!(!observer.is_alive());
    let repeat = Ticket::from_agent("whatever");
    assert_eq!(host.stop(permit(observer, 2), &target, &identity, repeat, STORE, GRACE).await, result);
    starts(host, observer).await;
}

async fn starts(host: &dyn Host, observer: &mut RealObserver) {
    let target = observer.target.clone();
    observer.replace_by_script("echo no disk left >&2; exit 1");
    let start = |intent, ticket| {
        let caller = observer.fence(2);
        let (task, subtask) = (TaskId::new(1).unwrap(), SubtaskId::new(2).unwrap());
        host.start(
            Permit::issue(task, subtask, intent, 1, caller.cluster, caller.fence, Arc::new(EndlessLease)),
            &target,
            ticket,
            STORE,
            GRACE,
        )
    };
    let (found, ticket) = host.arm(&target, &observer.fence(2)).await.unwrap();
    assert!(matches!(found.finding, Finding::Absent { .. }) && ticket.is_some(), "{found:?}");
    let died = start(4, ticket).await;
    let StartResult::Died { last_log_lines, .. } = &died else { panic!("{died:?}") };
    assert_eq!(last_log_lines, &["no disk left"]);
    std::fs::remove_file(observer.home().join("bin/observer")).unwrap();
    assert_eq!(start(4, None).await, died, "a repeat is answered from the record");
    let refused = start(5, None).await;
    assert!(matches!(&refused, StartResult::Refused { code, .. } if code == "PROGRAM_MISSING"), "{refused:?}");
}

#[tokio::test]
async fn local() {
    let (_directory, agent) = agent();
    let mut observer = RealObserver::start(AtSigterm::Ends);
    observer.found(&agent).await;
    let host = AgentHosts::new(Some(agent)).host(&HostAddress::Local);
    finds_arms_and_stops(&*host, &mut observer).await;
}

#[tokio::test]
async fn remote() {
    let (_directory, agent) = agent();
    let mut observer = RealObserver::start(AtSigterm::Ends);
    observer.found(&agent).await;
    let address = serving(agent).await.to_string();
    let host = AgentHosts::new(None).host(&HostAddress::Grpc { address });
    finds_arms_and_stops(&*host, &mut observer).await;
}

/// An agent's full disk is transient, and reported as such on every transport; a damaged record is not.
#[tokio::test]
async fn a_record_that_has_no_room_waits() {
    let (directory, agent) = agent();
    let observer = RealObserver::start(AtSigterm::Ends);
    observer.found(&agent).await;
    let address = serving(agent.clone()).await.to_string();
    let next = directory.path().join("ledger.json.new");
    std::os::unix::fs::symlink("/dev/full", &next).unwrap();
    let hosts = AgentHosts::new(Some(agent));
    let arm = async |address: &HostAddress| match hosts.host(address).arm(&observer.target, &observer.fence(3)).await {
        Err(HostError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    let ways = [HostAddress::Local, HostAddress::Grpc { address }];
    for transport in &ways {
        assert_eq!(arm(transport).await, HostCode::LedgerWaits.as_str());
    }
    std::fs::remove_file(&next).unwrap();
    std::fs::create_dir(&next).unwrap();
    for transport in &ways {
        assert_eq!(arm(transport).await, "LEDGER_FAILED");
    }
}

#[test]
fn an_address_is_a_host_and_a_port() {
    use crate::host::connection::{AddressError, TcpTransport};
    for good in ["10.0.0.2:62888", "agent.example:1", "[fd00::2]:65535"] {
        assert!(TcpTransport::to(good, None).is_ok(), "{good}");
    }
    for (bad, why) in
        [("10.0.0.2", AddressError::Port), ("[fd00::2]", AddressError::Port), ("a b:1", AddressError::Host)]
    {
        assert_eq!(TcpTransport::to(bad, None).unwrap_err(), why, "{bad}");
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_a_stop_was_surely_not_sent() {
    let (_directory, agent) = agent();
    let observer = RealObserver::start(AtSigterm::Ends);
    let identity = observer.found(&agent).await;
    let free = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap().1.to_string();
    let hosts = AgentHosts::new(None);
    for address in [
        HostAddress::None,
        HostAddress::Local,
        HostAddress::Grpc { address: free },
        HostAddress::Grpc { address: "no address".to_owned() },
    ] {
        let host = hosts.host(&address);
        let found = host.find(&observer.target).await.unwrap();
        assert!(matches!(found.finding, Finding::HostUnreachable { .. }), "{found:?}");
        let (found, ticket) = host.arm(&observer.target, &observer.fence(1)).await.unwrap();
        assert!(matches!(found.finding, Finding::HostUnreachable { .. }) && ticket.is_none(), "{found:?}");
        let ticket = Ticket::from_agent("t");
        let result = host.stop(permit(&observer, 1), &observer.target, &identity, ticket, STORE, GRACE).await;
        assert!(matches!(&result, StopResult::Refused { code, .. } if code == "HOST_UNREACHABLE"), "{result:?}");
        let result = host.start(permit(&observer, 1), &observer.target, None, STORE, GRACE).await;
        assert!(matches!(&result, StartResult::Refused { code, .. } if code == "HOST_UNREACHABLE"), "{result:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_after_sending_is_unknown() {
    let (_directory, agent) = agent();
    let observer = RealObserver::start(AtSigterm::Ends);
    let identity = observer.found(&agent).await;
    // Accepts connections, speaks first as an agent does, and drops each once something was sent on it.
    let (listener, bound) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::io::AsyncWriteExt::write_all(&mut connection, &[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            let _ = tokio::io::AsyncReadExt::read(&mut connection, &mut [0; 1024]).await;
        }
    });
    let host = AgentHosts::new(None).host(&HostAddress::Grpc { address: bound.to_string() });
    let ticket = Ticket::from_agent("t");
    let result = host.stop(permit(&observer, 1), &observer.target, &identity, ticket, STORE, GRACE).await;
    assert!(matches!(result, StopResult::Unknown { .. }), "{result:?}");
    let result = host.start(permit(&observer, 1), &observer.target, None, STORE, GRACE).await;
    assert!(matches!(result, StartResult::Unknown { .. }), "{result:?}");
    let found = host.find(&observer.target).await.unwrap();
    assert!(matches!(found.finding, Finding::HostUnreachable { .. }), "{found:?}");
}
