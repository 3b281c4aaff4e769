//! What the framework and the protocol refuse comes out of the error table like everything else, with its trace; and who is
//! not proven is answered by the head of the request alone.

use std::sync::Arc;

use obsteward::api::auth::Gatekeeper;
use obsteward::api::grpc::TRACE_ID;
use obsteward::clock::Clock;
use obsteward::config::{AuthConfig, LimitsConfig};
use obsteward::net::bounds::ListenerLimits;
use obsteward::net::connections::Connections;
use obsteward::net::http;
use obsteward::net::tls::Protocols;
use obsteward::proto::v1;
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_types::StatusExt;

use crate::faces::api::Fixture;
use crate::support::PATIENCE;
use crate::support::guarded;
use crate::support::http::{answer, until_closed};
use crate::support::http2::{call, connect, framed};
use crate::support::stored_tasks::{cluster_id, task_id};

/// Path, headers, body, whether the request ends with it; then code and reason.
type Case = (&'static str, &'static [(&'static str, &'static str)], Vec<u8>, bool, Code, &'static str);

const STOP: &str = "/obsteward.v1.ObServerService/StopServer";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

fn cases() -> Vec<Case> {
    let stop =
        framed(&v1::StopServerRequest { cluster_id: 1, server_id: 7, ..Default::default() }.encode_to_vec()).to_vec();
    let huge = 2_000_000_u32.to_be_bytes();
    vec![
        (STOP, &[], framed(&[0xff; 8]).to_vec(), true, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (STOP, &[], framed(&[0x0a, 0x01, 0x31]).to_vec(), true, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (STOP, &[], vec![], true, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (STOP, &[], stop[..stop.len() - 1].to_vec(), true, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (STOP, &[], [stop.clone(), stop.clone()].concat(), true, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (STOP, &[], framed(&stop[5..].repeat(2)).to_vec(), true, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (STOP, &[], [&[7], &stop[1..]].concat(), true, Code::InvalidArgument, "INVALID_ARGUMENT"),
        // Told before the rest is read: it never comes.
        (STOP, &[], [&[0], &huge[..]].concat(), false, Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
        (STOP, &[], [&[1], &stop[1..]].concat(), true, Code::Unimplemented, "COMPRESSION_UNSUPPORTED"),
        (STOP, &[("grpc-encoding", "gzip")], stop.clone(), true, Code::Unimplemented, "COMPRESSION_UNSUPPORTED"),
        ("/obsteward.v1.ObServerService/Stop", &[], stop.clone(), true, Code::Unimplemented, "METHOD_NOT_FOUND"),
        ("/obsteward.v2.ObServerService/StopServer", &[], vec![], false, Code::Unimplemented, "METHOD_NOT_FOUND"),
        ("/grpc.health.v1.Health/Look", &[], stop.clone(), true, Code::Unimplemented, "METHOD_NOT_FOUND"),
        (HEALTH, &[], framed(&[0xff; 8]).to_vec(), true, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (HEALTH, &[], [&[0], &huge[..]].concat(), false, Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
        (STOP, &[("grpc-timeout", "1x")], stop.clone(), true, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (STOP, &[("grpc-timeout", "123456789S")], stop.clone(), true, Code::InvalidArgument, "INVALID_ARGUMENT"),
        (
            STOP,
            &[("grpc-timeout", "1S"), ("grpc-timeout", "2S")],
            stop.clone(),
            true,
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
        (STOP, &[("host", "elsewhere")], stop, true, Code::InvalidArgument, "INVALID_ARGUMENT"),
        // Half a message, and a caller that does not wait for the other half.
        (STOP, &[("grpc-timeout", "50m")], vec![0, 0, 0], false, Code::DeadlineExceeded, "DEADLINE_PASSED"),
    ]
}

#[tokio::test]
async fn what_the_framework_refuses_is_a_row_of_the_table() {
    let fixture = Fixture::new().await;
    let (client, _driven) = connect(fixture.address, 65_535).await;
    for (path, headers, body, whole, code, reason) in cases() {
        let (status, told) = call(&client, path, headers, &body, whole).await;
        assert_eq!(status.code(), code, "{path} {headers:?} {body:?}: {status:?}");
        let info = status.get_details_error_info().unwrap_or_else(|| panic!("{path} {body:?}: {status:?}"));
        assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "obsteward"), "{path} {body:?}");
        assert!(told.contains_key(TRACE_ID), "{path} {body:?}");
    }
    assert!(fixture.service.nothing_reached(), "something reached the service");
}

#[tokio::test]
async fn a_stream_ends_when_its_caller_stops_waiting() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    let (client, _driven) = connect(fixture.address, 65_535).await;
    let watch = framed(&v1::WatchTaskRequest { task_id: 1, ..Default::default() }.encode_to_vec());
    let path = "/obsteward.v1.TaskService/WatchTask";
    let (status, told) = call(&client, path, &[("grpc-timeout", "100m")], &watch, true).await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "DEADLINE_PASSED");
    assert!(told.contains_key(TRACE_ID));
}

/// Nobody is known.
fn gatekeeper(service: &guarded::Fixture) -> Gatekeeper {
    let directory = Arc::clone(&service.directory);
    Gatekeeper::new(directory, Clock::system(), &AuthConfig::default(), &LimitsConfig::default())
}

#[tokio::test]
async fn a_strangers_call_is_answered_by_its_head() {
    let (service, shutdown) = (guarded::Fixture::empty(&[], 0).await, CancellationToken::new());
    let (gatekeeper, bounds) = (gatekeeper(&service), ListenerLimits::from(&LimitsConfig::default()));
    let (address, _) = service.serve(gatekeeper, bounds, &shutdown).await;
    let (client, _driven) = connect(address, 0).await;
    // Nothing of the body is sent, no window is open, and what is wrong besides is not told.
    for (path, headers) in [
        (STOP, &[][..]),
        (STOP, &[("grpc-encoding", "gzip")]),
        ("/obsteward.v1.ObServerService/Stop", &[]),
        (STOP, &[("authorization", "Basic Zm9vOmJhcg=="), ("authorization", "Basic Zm9vOmJhcg==")]),
    ] {
        let (status, _) = call(&client, path, headers, &[], false).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{path} {headers:?}: {status:?}");
        assert_eq!(status.get_details_error_info().unwrap().reason, "UNAUTHENTICATED");
    }
    shutdown.cancel();
}

#[tokio::test]
async fn a_strangers_request_is_answered_by_its_head() {
    let service = guarded::Fixture::empty(&[], 0).await;
    let gatekeeper = gatekeeper(&service);
    let router = crate::faces::rest::Fixture::over(service, gatekeeper, |_| ()).await.router;
    let (listener, shutdown) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), CancellationToken::new());
    let (address, bounds) = (listener.local_addr().unwrap(), ListenerLimits::from(&LimitsConfig::default()));
    let connections = Connections::new(listener, None, bounds);
    tokio::spawn(http::serve(connections, router, Protocols::Rest, bounds, shutdown.clone()));
    let date = "date: Tue, 17 Jan 2023 09:13:57 GMT\r\n";
    let signed = "authorization: OCP-ACCESS-KEY-HMACSHA1 AKAKAKAK:XN8P+O+v3vUabB16ZCooq5wMJoY=\r\n";
    for headers in
        ["", "authorization: Basic Zm9vOmJhcg==\r\n", "authorization: Bearer x\r\n", signed, &[date, signed].concat()]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head =
            format!("POST {} HTTP/1.1\r\nhost: ocp\r\nexpect: 100-continue\r\n{headers}", crate::faces::rest::STOP);
        stream.write_all(format!("{head}content-length: 60000\r\n\r\n{{").as_bytes()).await.unwrap();
        // The rest never comes, and nobody says that it may.
        let answer =
            tokio::time::timeout(PATIENCE, answer(&mut stream)).await.expect("its body is waited for").unwrap();
        assert_eq!(answer.status, 401, "{headers}: {answer:?}");
        assert!(answer.body.contains(r#""status":401"#), "it says how long it is, and is an envelope: {answer:?}");
    }
    shutdown.cancel();
}

#[tokio::test]
async fn a_body_whose_length_is_said_twice_ends_its_connection() {
    let router = crate::faces::rest::Fixture::new().await.router;
    let (listener, shutdown) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), CancellationToken::new());
    let (address, bounds) = (listener.local_addr().unwrap(), ListenerLimits::from(&LimitsConfig::default()));
    let connections = Connections::new(listener, None, bounds);
    tokio::spawn(http::serve(connections, router, Protocols::Rest, bounds, shutdown.clone()));
    for (lengths, status) in [
        ("content-length: 0\r\ncontent-length: 5\r\n", "HTTP/1.1 400"),
        ("content-length: +0\r\n", "HTTP/1.1 400"),
        ("transfer-encoding: gzip\r\n", "HTTP/1.1 400"),
        // RFC 9112, section 6.1: it may be read as chunks, and nothing behind it is another request.
        ("content-length: 0\r\ntransfer-encoding: chunked\r\n", "HTTP/1.1 404"),
        ("transfer-encoding: chunked\r\ncontent-length: 0\r\n", "HTTP/1.1 404"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let behind = "GET /openapi.yaml HTTP/1.1\r\nhost: ocp\r\n\r\n";
        let head = format!("POST /api/v2/nowhere HTTP/1.1\r\nhost: ocp\r\n{lengths}\r\n");
        stream.write_all(format!("{head}0\r\n\r\n{behind}").as_bytes()).await.unwrap();
        let came = tokio::time::timeout(PATIENCE, until_closed(&mut stream)).await.expect("the connection goes on");
        let came = String::from_utf8_lossy(&came);
        assert!(came.starts_with(status) && came.matches("HTTP/1.1 ").count() == 1, "{lengths}: {came}");
    }
    shutdown.cancel();
}
