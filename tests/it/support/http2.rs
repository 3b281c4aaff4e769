//! HTTP/2 by hand, so that a test decides about windows, half a body, and every header.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Status;

use super::PATIENCE;

/// A client whose streams begin with a window of so many bytes; the task ends with the connection.
pub async fn connect(address: SocketAddr, window: u32) -> (SendRequest<Bytes>, JoinHandle<()>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = Builder::new();
    builder.initial_window_size(window).initial_connection_window_size(1 << 24);
    let (client, connection) = builder.handshake(stream).await.unwrap();
    let driven = tokio::spawn(async move { _ = connection.await });
    (client, driven)
}

/// Sends the head of a request, and leaves its body to be sent.
pub async fn begin(
    client: &SendRequest<Bytes>,
    request: Request<()>,
) -> (impl Future<Output = Result<Response<RecvStream>, h2::Error>> + use<>, SendStream<Bytes>) {
    let mut client = client.clone().ready().await.unwrap();
    client.send_request(request, false).unwrap()
}

/// Sends a request without a body and reads the head of its answer.
pub async fn ask(client: &SendRequest<Bytes>, path: &str) -> Response<RecvStream> {
    let request = Request::get(format!("http://localhost{path}")).body(()).unwrap();
    let mut client = client.clone().ready().await.unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    tokio::time::timeout(PATIENCE, answer).await.expect("no answer").unwrap()
}

/// A call that is answered by its status alone, or after its messages: `body` is sent as it is, and the call is left open
/// when `whole` is false.
pub async fn call(
    client: &SendRequest<Bytes>,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    whole: bool,
) -> (Status, HeaderMap) {
    let mut request = Request::post(format!("http://localhost{path}")).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (answer, mut sending) = begin(client, request.body(()).unwrap()).await;
    _ = sending.send_data(Bytes::copy_from_slice(body), whole);
    let answered = async {
        let (head, mut body) = answer.await.unwrap().into_parts();
        if head.headers.contains_key("grpc-status") {
            return head.headers;
        }
        while let Some(data) = body.data().await {
            let length = data.unwrap().len();
            body.flow_control().release_capacity(length).unwrap();
        }
        body.trailers().await.unwrap().expect("an answer ends with its status")
    };
    let headers = tokio::time::timeout(PATIENCE, answered).await.expect("no answer");
    (Status::from_header_map(&headers).unwrap(), headers)
}

/// A message with its prefix.
pub fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::from(&[0][..]);
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(message);
    framed.freeze()
}
