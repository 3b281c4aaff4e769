//! Clients that are slow, silent, or too many: each is cut off, and none disturbs another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::get;
use futures::stream::{self, StreamExt};
use obsteward::config::LimitsConfig;
use obsteward::net::bounds::ListenerLimits;
use obsteward::net::connections::Connections;
use obsteward::net::http::serve;
use obsteward::net::listener::bind_plaintext;
use obsteward::net::tls::{Protocols, Tls};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic_types::StatusExt;

use crate::faces::api::Fixture;
use crate::support::PATIENCE;
use crate::support::certificates::{Authority, ServerFiles, connect};
use crate::support::http::{answer, request, until_closed};
use crate::support::http2;

/// So short that a test can wait for it, and so long that a client that does as it should is in time.
const SHORT: Duration = Duration::from_millis(300);
/// So long that no test sees it pass.
const LONG: Duration = Duration::from_secs(3600);

fn bounds(arrival: Duration, write_timeout: Duration) -> ListenerLimits {
    ListenerLimits { arrival, write_timeout, ..ListenerLimits::from(&LimitsConfig::default()) }
}

struct Gateway {
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Gateway {
    async fn new(router: Router, tls: Option<Arc<Tls>>, bounds: ListenerLimits) -> Self {
        let (listener, address) = bind_plaintext("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let shutdown = CancellationToken::new();
        let connections = Connections::new(listener, tls, bounds);
        let serving = tokio::spawn(serve(connections, router, Protocols::Rest, bounds, shutdown.clone()));
        Self { address, shutdown, serving }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

async fn greets(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    request(stream, "GET", "/", &[], "").await.is_ok_and(|answer| answer.body == "hello")
}

/// What came until the other end closed the connection, which it must do.
async fn cut_off(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let came = tokio::time::timeout(PATIENCE, until_closed(stream)).await.expect("the connection is not cut off");
    String::from_utf8_lossy(&came).into_owned()
}

#[tokio::test]
async fn a_slow_handshake_disturbs_nobody_and_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("servers");
    let files = ServerFiles::new(directory.path(), &authority.server());
    let tls = Tls::open(&files.config, Protocols::Rest).unwrap();
    let patient = Gateway::new(hello(), Some(Arc::clone(&tls)), bounds(LONG, LONG)).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut stream = patient.connect().await;
        // The beginning of a handshake that does not go on.
        stream.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
        silent.push(stream);
    }
    assert!(greets(&mut connect(patient.address, &authority, None, b"http/1.1").await.unwrap()).await);
    let hasty = Gateway::new(hello(), Some(tls), bounds(SHORT, LONG)).await;
    let mut stream = hasty.connect().await;
    stream.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    assert_eq!(cut_off(&mut stream).await, "");
    // After the handshake the same holds for what it is made for.
    let mut stream = connect(hasty.address, &authority, None, b"http/1.1").await.unwrap();
    assert_eq!(cut_off(&mut stream).await, "");
}

#[tokio::test]
async fn slow_headers_are_cut_off() {
    let gateway = Gateway::new(hello(), None, bounds(SHORT, LONG)).await;
    for said in ["", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ", "PRI * HTTP/2"] {
        let mut stream = gateway.connect().await;
        stream.write_all(said.as_bytes()).await.unwrap();
        let came = cut_off(&mut stream).await;
        assert!(came.is_empty() || came.starts_with("HTTP/1.1 408"), "{said:?}: {came}");
    }
    // A connection that is silent between two requests is let go, too.
    let mut stream = gateway.connect().await;
    assert!(greets(&mut stream).await && greets(&mut stream).await);
    assert_eq!(cut_off(&mut stream).await, "");
}

#[tokio::test]
async fn an_answer_may_take_longer_than_its_question() {
    let slow = async || {
        tokio::time::sleep(3 * SHORT).await;
        "at last"
    };
    let gateway = Gateway::new(Router::new().route("/slow", get(slow)), None, bounds(SHORT, LONG)).await;
    let mut stream = gateway.connect().await;
    let answer = request(&mut stream, "GET", "/slow", &[], "").await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "at last"));
}

/// A client that is refused while it still sends reads its answer, and no reset; then its connection is good for more.
#[tokio::test]
async fn an_answer_is_not_lost_on_who_still_sends() {
    let refuse = async |_: Request<Body>| (StatusCode::PAYLOAD_TOO_LARGE, "too large");
    let router = hello().route("/large", axum::routing::post(refuse));
    let gateway = Gateway::new(router, None, bounds(LONG, LONG)).await;
    const BYTES: usize = 10 << 20;
    let mut stream = gateway.connect().await;
    // All of it is sent before the first look, as simple clients do.
    let head = format!("POST /large HTTP/1.1\r\nhost: localhost\r\ncontent-length: {BYTES}\r\n\r\n");
    let sending = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&vec![b'x'; BYTES]).await
    };
    tokio::time::timeout(PATIENCE, sending).await.expect("nobody takes what is sent").unwrap();
    let refused = answer(&mut stream).await.unwrap();
    assert_eq!((refused.status, refused.body.as_str()), (413, "too large"));
    assert!(greets(&mut stream).await);
    // A client that waits for leave to send has sent nothing: its connection just ends behind the answer.
    let mut stream = gateway.connect().await;
    let head = head.replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let said = cut_off(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
    // The client that everybody has, over either version.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; BYTES]).unwrap();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let mut curl = tokio::process::Command::new("curl");
        curl.args([version, "--silent", "--show-error", "--max-time", "30", "--header", "Expect:", "--data-binary"]);
        curl.arg(format!("@{}", file.path().display())).args(["--write-out", " %{http_code}"]);
        let ended = curl.arg(format!("http://{}/large", gateway.address)).output().await.unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert_eq!(said, "too large 413", "{version}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}

/// A client that closes its half of the connection has asked all that it asks, and waits for the answer.
#[tokio::test]
async fn who_closes_his_half_gets_his_answer() {
    let asked = Arc::new(Notify::new());
    let closed = Arc::clone(&asked);
    let slow = async move || {
        closed.notified().await;
        "at last"
    };
    let gateway = Gateway::new(Router::new().route("/slow", get(slow)), None, bounds(LONG, LONG)).await;
    let mut stream = gateway.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    // So late that the end of what it sends was seen.
    tokio::time::sleep(SHORT).await;
    asked.notify_one();
    let said = cut_off(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("at last"), "{said}");
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let gateway = Gateway::new(hello(), None, bounds(LONG, LONG)).await;
    let mut stream = gateway.connect().await;
    let large = "x".repeat(10_000);
    assert_eq!(request(&mut stream, "GET", "/", &[("x-large", &large)], "").await.unwrap().status, 200);
    let headers = [("x-large", large.as_str()), ("x-larger", large.as_str())];
    assert_eq!(request(&mut stream, "GET", "/", &headers, "").await.unwrap().status, 431);
    let mut stream = gateway.connect().await;
    let many: Vec<_> = (0..200).map(|number| (format!("x-{number}"), "y")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(request(&mut stream, "GET", "/", &many, "").await.unwrap().status, 431);
}

#[tokio::test]
async fn who_reads_nothing_is_cut_off_and_nobody_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("servers");
    let files = ServerFiles::new(directory.path(), &authority.server());
    let tls = Tls::open(&files.config, Protocols::Rest).unwrap();
    let (dropped, mut ended) = mpsc::unbounded_channel();
    // Without end; the channel tells when nobody wants more of it.
    let flood = async move || {
        let end = DropTells(dropped);
        Body::from_stream(stream::repeat(Bytes::from_static(&[0; 65_536])).map(move |chunk| {
            let _ = &end;
            Ok::<_, std::convert::Infallible>(chunk)
        }))
    };
    let quiet = async || {
        Body::from_stream(stream::once(async { Ok::<_, std::convert::Infallible>("begun") }).chain(stream::pending()))
    };
    let router = hello().route("/flood", get(flood)).route("/quiet", get(quiet));
    for tls in [None, Some(tls)] {
        let secure = tls.is_some();
        let gateway = Gateway::new(router.clone(), tls, bounds(LONG, SHORT)).await;
        let open = async || -> Box<dyn Both> {
            if secure {
                Box::new(connect(gateway.address, &authority, None, b"http/1.1").await.unwrap()) as Box<dyn Both>
            } else {
                Box::new(gateway.connect().await)
            }
        };
        // Has been told something, and is told nothing for now: no fault of its own.
        let mut waiting = open().await;
        waiting.write_all(b"GET /quiet HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert_eq!(answer(&mut waiting).await.unwrap().status, 200);
        let mut deaf = open().await;
        deaf.write_all(b"GET /flood HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        tokio::time::timeout(PATIENCE, ended.recv()).await.expect("who reads nothing is not cut off").unwrap();
        let still_open = tokio::time::timeout(SHORT, until_closed(&mut waiting)).await;
        assert!(still_open.is_err(), "who has nothing to read was cut off");
        assert!(greets(&mut open().await).await);
    }
}

struct DropTells(mpsc::UnboundedSender<()>);

impl Drop for DropTells {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_make_room_when_they_end() {
    let gateway = Gateway::new(hello(), None, ListenerLimits { connections: 2, ..bounds(LONG, LONG) }).await;
    let (mut one, mut two) = (gateway.connect().await, gateway.connect().await);
    assert!(greets(&mut one).await && greets(&mut two).await);
    let mut third = gateway.connect().await;
    assert_eq!(cut_off(&mut third).await, "");
    assert!(greets(&mut one).await && greets(&mut two).await, "those that were there were disturbed");
    drop(one);
    let room = async {
        while !greets(&mut gateway.connect().await).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, room).await.expect("the end of a connection makes no room");
}

#[tokio::test]
async fn the_end_answers_what_is_in_flight_and_waits_for_nobody_else() {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go));
    let slow = async move || {
        tell.notify_one();
        wait.notified().await;
        "answered"
    };
    let gateway = Gateway::new(hello().route("/slow", get(slow)), None, bounds(LONG, LONG)).await;
    let (mut idle, silent, mut busy) = (gateway.connect().await, gateway.connect().await, gateway.connect().await);
    assert!(greets(&mut idle).await);
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    begun.notified().await;
    gateway.shutdown.cancel();
    assert_eq!(cut_off(&mut idle).await, "");
    let refused = async {
        while TcpStream::connect(gateway.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("connections are still accepted");
    go.notify_one();
    assert_eq!(answer(&mut busy).await.unwrap().body, "answered");
    tokio::time::timeout(PATIENCE, gateway.serving).await.expect("it does not end").unwrap();
    drop(silent);
}

#[tokio::test]
async fn grpc_cuts_off_who_says_nothing_and_serves_the_others() {
    let fixture = Fixture::bounded(bounds(SHORT, LONG)).await;
    for said in ["", "PRI * HTTP/2"] {
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        // Its settings may have come before.
        cut_off(&mut stream).await;
    }
    let request = obsteward::proto::v1::GetTaskRequest { task_id: 1 };
    let status = fixture.tasks().get_task(request).await;
    assert!(status.is_ok() || status.unwrap_err().code() == tonic::Code::NotFound);
}

/// What comes of a body until it ends, and whether it ended as it should; whoever reads opens the window again.
async fn read_all(mut body: h2::RecvStream, enough: usize) -> (usize, Result<(), h2::Error>) {
    let mut came = 0;
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => {
                came += data.len();
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            Err(error) => return (came, Err(error)),
        }
        if came >= enough {
            break;
        }
    }
    (came, Ok(()))
}

/// How a stream ends that nobody reads: its window stays shut.
async fn reset(mut body: h2::RecvStream) -> h2::Reason {
    let ended = async {
        loop {
            match body.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error.reason().unwrap(),
                None => panic!("the stream ended well"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the stream is not reset")
}

#[tokio::test]
async fn a_stream_whose_window_stays_shut_is_reset_and_the_others_go_on() {
    let (dropped, mut ended) = mpsc::unbounded_channel();
    let flood = async move || {
        let end = DropTells(dropped);
        Body::from_stream(stream::repeat(Bytes::from_static(&[0; 8192])).map(move |chunk| {
            let _ = &end;
            Ok::<_, std::convert::Infallible>(chunk)
        }))
    };
    let quiet = async || {
        Body::from_stream(stream::once(async { Ok::<_, std::convert::Infallible>("begun") }).chain(stream::pending()))
    };
    let router = hello().route("/flood", get(flood)).route("/quiet", get(quiet));
    let gateway = Gateway::new(router, None, bounds(LONG, SHORT)).await;
    let (client, driven) = http2::connect(gateway.address, 65_535).await;
    let mut waiting = http2::ask(&client, "/quiet").await.into_body();
    assert_eq!(waiting.data().await.unwrap().unwrap(), "begun");
    let read = tokio::spawn(read_all(http2::ask(&client, "/flood").await.into_body(), usize::MAX));
    let shut = http2::ask(&client, "/flood").await.into_body();
    assert_eq!(reset(shut).await, h2::Reason::CANCEL);
    tokio::time::timeout(PATIENCE, ended.recv()).await.expect("its answer goes on").unwrap();
    assert!(!read.is_finished() && !driven.is_finished(), "another stream was disturbed");
    let (came, read_well) = read_all(http2::ask(&client, "/flood").await.into_body(), 1 << 20).await;
    assert!(came >= 1 << 20 && read_well.is_ok(), "{came}");
    assert!(tokio::time::timeout(SHORT, waiting.data()).await.is_err(), "who has nothing to read was cut off");
    read.abort();
}

#[tokio::test]
async fn a_window_that_never_opens_holds_a_stream_no_longer_than_that() {
    let gateway = Gateway::new(hello(), None, bounds(LONG, SHORT)).await;
    let (client, driven) = http2::connect(gateway.address, 0).await;
    for _ in 0..2 {
        assert_eq!(reset(http2::ask(&client, "/").await.into_body()).await, h2::Reason::CANCEL);
    }
    assert!(!driven.is_finished(), "its connection was disturbed");
    // All of the answer is handed over, and can no longer be taken back from this stream alone.
    let (client, driven) = http2::connect(gateway.address, 1).await;
    let _body = http2::ask(&client, "/").await.into_body();
    tokio::time::timeout(PATIENCE, driven).await.expect("the rest is owed for ever").unwrap();
    // Large answers wait with their end until little is left.
    let large = Router::new().route("/", get(async || vec![0; 200_000]));
    let gateway = Gateway::new(large, None, bounds(LONG, SHORT)).await;
    let (client, driven) = http2::connect(gateway.address, 65_535).await;
    assert_eq!(reset(http2::ask(&client, "/").await.into_body()).await, h2::Reason::CANCEL);
    let (came, read_well) = read_all(http2::ask(&client, "/").await.into_body(), usize::MAX).await;
    assert!(came == 200_000 && read_well.is_ok() && !driven.is_finished());
}

#[tokio::test]
async fn strangers_that_take_no_answer_have_a_number_and_a_time() {
    let fixture = crate::faces::rest::Fixture::new().await;
    let bounds =
        ListenerLimits { strangers_per_connection: Some(4), strangers_per_address: Some(6), ..bounds(LONG, SHORT) };
    let gateway = Gateway::new(fixture.router.clone(), None, bounds).await;
    let (client, _driven) = http2::connect(gateway.address, 0).await;
    let (other, _other) = http2::connect(gateway.address, 0).await;
    let mut open = Vec::new();
    for (client, room) in [(&client, 4), (&other, 2)] {
        for number in 0..10 {
            let (head, body) = http2::ask(client, "/openapi.yaml").await.into_parts();
            if number < room {
                assert_eq!(head.status, 200);
                open.push(body);
            } else {
                // Without a body, and so without a window: it is over at once.
                assert_eq!((head.status.as_u16(), body.is_end_stream()), (429, true));
                assert_eq!(head.headers["obsteward-reason"], "TOO_MANY_STRANGERS");
            }
        }
    }
    // Who is proven, as everybody is here, finds room.
    assert_eq!(http2::ask(&client, "/api/v2/tasks/instances/7").await.status(), 404);
    for body in open {
        assert_eq!(reset(body).await, h2::Reason::CANCEL);
    }
    let again = async {
        while http2::ask(&client, "/openapi.yaml").await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("the end of its streams makes a stranger no room");
}

#[tokio::test]
async fn strangers_watch_health_in_number_and_talk_with_reflection_for_a_time() {
    let bounds = ListenerLimits { strangers_per_connection: Some(2), ..bounds(SHORT, SHORT) };
    let fixture = Fixture::bounded(bounds).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(fixture.channel.clone());
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(health.watch(tonic_health::pb::HealthCheckRequest::default()).await.unwrap());
    }
    let status = health.watch(tonic_health::pb::HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "TOO_MANY_STRANGERS");
    drop(open);
    let mut reflection =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(fixture.channel.clone());
    let begun = async {
        loop {
            match reflection.server_reflection_info(stream::pending()).await {
                Ok(talk) => return talk,
                Err(status) => assert_eq!(status.code(), tonic::Code::ResourceExhausted),
            }
        }
    };
    let mut talk = tokio::time::timeout(PATIENCE, begun).await.expect("the end of a watch makes no room").into_inner();
    let ended = tokio::time::timeout(PATIENCE, talk.message()).await.expect("a silent conversation is held for ever");
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
}

#[tokio::test]
async fn a_connection_on_which_nobody_is_known_ends_when_nothing_is_asked() {
    let fixture = Fixture::bounded(bounds(SHORT, LONG)).await;
    let (_stranger, driven) = http2::connect(fixture.address, 65_535).await;
    tokio::time::timeout(PATIENCE, driven).await.expect("it is held for ever").unwrap();
    let (client, driven) = http2::connect(fixture.address, 65_535).await;
    let request = prost::Message::encode_to_vec(&obsteward::proto::v1::GetTaskRequest { task_id: 1 });
    http2::call(&client, "/obsteward.v1.TaskService/GetTask", &[], &http2::framed(&request), true).await;
    assert!(tokio::time::timeout(3 * SHORT, driven).await.is_err(), "a proven caller's connection was cut off");
}
