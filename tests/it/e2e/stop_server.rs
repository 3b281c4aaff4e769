//! The main job: one server stopped, end to end, over gRPC.

use obsteward::proto::v1;

use crate::support::{Stage, assert_unbroken, graphs, in_order};

/// Eight subtasks in contract order; process and ports gone; STATUS INACTIVE with STOP_TIME set; the others serve.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_stopped() {
    let stage = Stage::new().await;
    let before = stage.info(2);
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    let expected: Vec<_> = graphs::STOP.iter().map(|name| ((*name).to_owned(), v1::SubtaskState::Successful)).collect();
    assert_eq!(in_order(&task), expected);
    assert!(!std::path::Path::new(&format!("/proc/{}", before.pid.unwrap())).exists());
    for port in [before.sql_port, before.rpc_port] {
        assert!(std::net::TcpStream::connect((before.ip.as_str(), port)).is_err());
    }
    let server = stage.clients.get_server(stage.cluster_id, stage.server(2).await.id).await;
    assert_eq!((server.status(), server.inner_status()), (v1::ServerStatus::Stopped, v1::ServerInnerStatus::Inactive));
    assert!(server.stop_time.is_some() && server.safe_to_power_off, "{server:#?}");
    for other in [1, 3] {
        let server = stage.clients.get_server(stage.cluster_id, stage.server(other).await.id).await;
        assert_eq!(server.status(), v1::ServerStatus::Running);
        assert_eq!(server.service_state(), v1::ServiceState::Serving);
    }
    assert!(stage.is_free().await);
    assert_unbroken(&stage.clients.events(task.id).await);
}
