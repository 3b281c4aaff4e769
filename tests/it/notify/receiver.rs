//! A target on a loopback address that behaves as a test says, one request per connection.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::PATIENCE;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Arrived {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Reply {
    Answer(u16, String),
    /// Nothing is answered, and the connection stays open.
    Hang,
    BreakOff,
}

/// Dropping it closes everything.
pub struct Receiver {
    pub address: SocketAddr,
    arrived: mpsc::UnboundedReceiver<Arrived>,
    _serving: JoinSet<()>,
}

impl Receiver {
    pub async fn new(reply: impl FnMut(&Arrived) -> Reply + Send + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), reply).await
    }

    pub async fn at(address: SocketAddr, mut reply: impl FnMut(&Arrived) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, arrived) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut hanging = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                // Whoever gives up in the middle of a request is no failure of the test.
                let Ok(request) = read(&mut stream).await else { continue };
                let reply = reply(&request);
                let _ = sender.send(request);
                match reply {
                    Reply::Answer(status, body) => {
                        let text = format!(
                            "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                            body.len()
                        );
                        let _ = stream.write_all(text.as_bytes()).await;
                    }
                    Reply::Hang => hanging.push(stream),
                    Reply::BreakOff => drop(stream),
                }
            }
        });
        Self { address, arrived, _serving: serving }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn next(&mut self) -> Arrived {
        tokio::time::timeout(PATIENCE, self.arrived.recv()).await.expect("nothing arrives").unwrap()
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Arrived> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    Ok(Arrived { method, path, headers, body })
}
