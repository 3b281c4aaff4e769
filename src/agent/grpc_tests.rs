//! The agent over a real connection.

use std::net::SocketAddr;

use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use super::*;
use crate::agent::real_observer::{AtSigterm, RealObserver, agent};
use crate::net::listener::bind_plaintext;
use crate::proto::agent_v1::host_agent_service_client::HostAgentServiceClient;

async fn serving(agent: Agent) -> (SocketAddr, Channel) {
    let (listener, bound) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    tokio::spawn(serve(agent, listener, std::future::pending()));
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{bound}")).unwrap().connect().await.unwrap();
    (bound, channel)
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, "obsteward");
    info.reason
}

#[tokio::test]
async fn find_arm_stop_and_refusals() {
    let (_directory, agent) = agent();
    let mut observer = RealObserver::start(AtSigterm::Ends);
    observer.found(&agent).await;
    let (_, channel) = serving(agent).await;
    let mut client = HostAgentServiceClient::new(channel);
    let target = Some(wire::target_message(&observer.target));
    let fence = |number| Some(wire::fence_message(&observer.fence(number)));

    let find = pb::FindObserverRequest { target: target.clone(), ..Default::default() };
    let found = client.find_observer(find).await.unwrap().into_inner();
    assert_eq!((found.finding(), found.ticket.as_str(), found.may_signal), (pb::Finding::Running, "", true));
    assert!(found.rpc_port_open && found.sql_port_open && !found.boot_id.is_empty());

    let arm =
        |number| pb::FindObserverRequest { target: target.clone(), arm: true, fence: fence(number), fence_only: false };
    let admit = |number| pb::FindObserverRequest { fence_only: true, ..arm(number) };
    let armed = client.find_observer(arm(5)).await.unwrap().into_inner();
    assert_eq!(client.find_observer(admit(5)).await.unwrap().into_inner(), pb::FindObserverResponse::default());
    for older in [arm(4), admit(4)] {
        let status = client.find_observer(older).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "FENCED"));
        assert_eq!(status.get_details_error_info().unwrap().metadata["highest"], "5");
    }

    let stop = pb::StopObserverRequest {
        target,
        identity: armed.identity,
        ticket: armed.ticket,
        token: "t".to_owned(),
        fence: fence(5),
        grace_millis: 5_000,
    };
    let bad = pb::StopObserverRequest { grace_millis: 600_001, ..stop.clone() };
    let status = client.stop_observer(bad).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    assert!(status.message().contains("grace_millis is 600001"), "{status:?}");

    let stopped = client.stop_observer(stop.clone()).await.unwrap().into_inner();
    assert_eq!(stopped.outcome(), pb::StopOutcome::Terminated);
    assert!(!observer.is_alive());
    assert_eq!(client.stop_observer(stop.clone()).await.unwrap().into_inner(), stopped);
    let again = pb::StopObserverRequest { token: "u".to_owned(), ..stop };
    let status = client.stop_observer(again).await.unwrap_err();
    assert_eq!(reason(&status), "TICKET_USED");
}

#[tokio::test]
async fn start_and_its_refusals() {
    let (_directory, agent) = agent();
    let mut observer = RealObserver::start(AtSigterm::Ends);
    let identity = observer.found(&agent).await;
    let (_, channel) = serving(agent).await;
    let mut client = HostAgentServiceClient::new(channel);
    let start = |token: &str, target: pb::ObserverTarget| pb::StartObserverRequest {
        target: Some(target),
        token: token.to_owned(),
        fence: Some(wire::fence_message(&observer.fence(5))),
        wait_millis: 10_000,
        ticket: None,
    };
    let target = wire::target_message(&observer.target);
    let (first, second) = (start("1", target.clone()), start("2", target.clone()));
    let unknown = start("3", pb::ObserverTarget { svr_ip: "127.0.0.1".to_owned(), ..target.clone() });
    let bad = pb::StartObserverRequest { wait_millis: -1, ..start("4", target) };
    let running = client.start_observer(first).await.unwrap().into_inner();
    assert_eq!(running.outcome(), pb::StartOutcome::AlreadyRunning, "{running:?}");
    assert_eq!(running.identity, Some(wire::identity_message(&identity)));

    observer.replace_by_script("echo no disk left >&2; exit 1");
    let died = client.start_observer(second).await.unwrap().into_inner();
    assert_eq!(died.outcome(), pb::StartOutcome::Died, "{died:?}");
    assert_eq!((died.identity, died.last_log_lines), (None, vec!["no disk left".to_owned()]));

    let status = client.start_observer(unknown).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "HOME_UNKNOWN"));
    let status = client.start_observer(bad).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    assert!(status.message().contains("wait_millis is -1"), "{status:?}");
}

#[tokio::test]
async fn every_field_is_checked() {
    let (_directory, agent) = agent();
    let (_, channel) = serving(agent).await;
    let good = pb::ObserverTarget {
        svr_ip: "127.0.0.1".into(),
        rpc_port: 2882,
        sql_port: 2881,
        cluster_name: "demo".into(),
        ob_cluster_id: 1,
    };
    let bad = [
        None,
        Some(pb::ObserverTarget { svr_ip: "localhost".into(), ..good.clone() }),
        Some(pb::ObserverTarget { rpc_port: 0, ..good.clone() }),
        Some(pb::ObserverTarget { sql_port: 65_536, ..good.clone() }),
        Some(pb::ObserverTarget { cluster_name: String::new(), ..good.clone() }),
        Some(pb::ObserverTarget { cluster_name: "a\nb".into(), ..good.clone() }),
        Some(pb::ObserverTarget { ob_cluster_id: -1, ..good.clone() }),
    ];
    let mut client = HostAgentServiceClient::new(channel);
    for target in bad {
        let request = pb::FindObserverRequest { target, ..Default::default() };
        let status = client.find_observer(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    }
    let caller = pb::CallerFence { store_id: "s".into(), cluster_key: "k".into(), fence: 1 };
    for fence in [
        None,
        Some(pb::CallerFence { fence: 0, ..caller.clone() }),
        Some(pb::CallerFence { store_id: String::new(), ..caller.clone() }),
        Some(pb::CallerFence { cluster_key: String::new(), ..caller }),
    ] {
        let request = pb::FindObserverRequest { target: Some(good.clone()), arm: true, fence, ..Default::default() };
        let status = client.find_observer(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn health_and_reflection() {
    use tonic_reflection::pb::{v1, v1alpha};
    let (_directory, agent) = agent();
    let (_, channel) = serving(agent).await;
    let request = tonic_health::pb::HealthCheckRequest { service: "obsteward.agent.v1.HostAgentService".to_owned() };
    let health = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner();
    assert_eq!(health.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);

    let list = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(list)).await.unwrap().into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap());
    assert!(answer.contains("obsteward.agent.v1.HostAgentService"), "{answer}");

    let list = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(tokio_stream::once(list)).await.unwrap().into_inner();
    assert!(format!("{:?}", answers.message().await.unwrap()).contains("obsteward.agent.v1.HostAgentService"));
}
